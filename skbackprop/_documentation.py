"""The documentation of what both estimators share, written once and put into each docstring."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata
from typing import TypeVar

from skbackprop._nn.activations import ACTIVATIONS

NAMES = ", ".join(f"'{name}'" + (f" ({entry.note})" if entry.note else "") for name, entry in ACTIVATIONS.items())
ACTIVATION = textwrap.fill(f"Of the hidden layers, one name for all or one each: {NAMES}.", 106)
BEFORE_LOSS = f"""\
hidden_layer_sizes : tuple of int or int, default=(100, 100)
    Width of each hidden layer; () is a linear model.
activation : str or list of str, default='relu'
{textwrap.indent(ACTIVATION, "    ")}"""

SHARED = """\
solver : {'adam', 'nadam', 'rmsprop', 'sgd', 'lion', 'lbfgs'}, default='adam'
    How J is minimised: by minibatch steps, or by 'lbfgs' on the full batch, in float64, which suits small data.
learning_rate : {'auto', 'constant', 'invscaling', 'adaptive', 'cosine', 'warmup_cosine', 'onecycle', 'coslog4'}, \
default='auto'
    Factor of `learning_rate_init` over the steps of any minibatch solver. 'invscaling': (step + 1)^-power_t.
    'adaptive': divided by 5 each time the patience of `n_iter_no_change` epochs runs out, until it is
    negligible. The next four follow a plan of `epochs` and end near 0. 'auto' is 'onecycle', and 'constant' in
    `partial_fit`, whose end is not known. 'constant' brings scikit-learn's way of training.
learning_rate_init : float or 'auto', default='auto'
    The learning rate, > 0. 'auto' is 0.001 for constant rates, and in a plan 0.01, for 'rmsprop' and 'sgd' 0.005; for
    'lion' 0.0003 and 0.0015.
power_t : float, default=0.5
    Exponent of 'invscaling'.
batch_size : int or 'auto', default='auto'
    Rows per step; 'auto' is n_samples / 128, rounded to a power of two within 16 and 128, and all rows up to 64.
epochs : int or 'auto', default='auto'
    Length of the plan of a schedule that has one, at most `max_iter`. 'auto' is, for one cycle, 16 epochs or what 1024
    steps take, times 1.5, 1, 0.5 or 0.25, as the selection of `weight_decay` finds much or little left to learn; for
    other schedules and in `partial_fit` it is `max_iter`.
max_iter : int, default=200
    Most epochs, or iterations of L-BFGS.
max_fun : int, default=15000
    Most evaluations of J by L-BFGS.
shuffle : bool, default=True
    Visit the rows in a new random order each epoch.
random_state : int, RandomState instance or None, default=None
    Seeds initial weights, validation split, order of rows and dropout.
alpha : float, default=0.0001
    Strength of the squared penalty on weights (never on biases). Unlike in scikit-learn it does not depend on
    the batch size: scikit-learn's minibatch solvers divide their penalty by the rows of a batch, not of the
    training set, so the same strength is ``alpha * n_samples / batch_size`` here.
weight_decay : float or 'auto', default='auto'
    Decoupled decay: each step first multiplies the weights by 1 - rate * weight_decay (AdamW). 'auto' is 0 without
    a plan. In a plan the noise of the targets decides between 0.05, 0.5 and 2: three networks of half the width are
    trained in float32, for a quarter of 16 epochs, on four fifths of the rows (of at most 20,000) and judged by
    their loss on the others, the best one, and another that is hardly worse, also for a half. The decay of the best
    serves the training on all rows; of more than 20,000, in proportion less (Wang and Aitchison, ICML 2025). If the
    half was not better than the quarter, the quarter is also the length of the plan; if it was better by more than
    3 or 10 percent, `epochs` are 16 or 24; else 8. Of more than 20,000 rows a length below 16 shrinks as the square
    root of 20,000 / n_samples. With ``loss="gaussian"``, which has no zero, the length is always 16. This selection
    is made where `weight_decay`, `dropout` or, for one cycle, `epochs` is 'auto'. Without it, with fewer than 200
    rows or none to spare, and in `partial_fit`, the decay is 0.5. Solvers with other rates than Adam's take these
    values in inverse proportion.
dropout : float, sequence of floats or 'auto', default=0.0
    Share in [0, 1) of each hidden layer's outputs that a training step sets to zero; one per hidden layer, or
    one more in front for the inputs. 'auto' follows the selection of `weight_decay`: 0 for the smallest decay, else
    0.1, of more than 20,000 rows in proportion less; 0.1 without a selection; 0 without a plan.
max_grad_norm : float, 'auto' or None, default='auto'
    Longest gradient of J that a step may see; longer ones are shortened to it. None: of any length. 'auto' is 1 for
    ``loss="gaussian"``, and None elsewhere but for 'sgd', whose steps grow with the gradient, on features or targets
    that were not scaled (whose root mean square is above 3): there it is 1, and without a plan half as much for each
    time that the features' root mean square goes beyond 3 by another factor of 2. With a rate above 0.05 it stays None.
initializer : str, default='auto'
    Of the weights: 'glorot_uniform', 'glorot_normal', 'he_uniform', 'he_normal', 'lecun_normal', 'orthogonal';
    'auto' chooses by activation and starts the output layer at zero. Biases start at zero, but for log
    links at the logarithm of the mean target.
momentum : float, default=0.9
    Of 'sgd', in [0, 1].
nesterovs_momentum : bool, default=True
    Look ahead, in Nesterov's way ('sgd').
beta_1, beta_2 : float, default=0.9, 0.999
    Decay of the moments, in [0, 1): 'adam', 'nadam', 'lion'; beta_2 also of 'rmsprop'. The paper of 'lion' takes
    0.99 for beta_2.
epsilon : float, default=1e-8
    Added to the root of the second moment, after the bias correction.
early_stopping : bool, default=False
    Stop when the validation score has not improved by `tol` for `n_iter_no_change` epochs, and restore the
    best epoch's weights. The validation rows are `X_val` if given, else split off the training rows.
validation_fraction : float, default=0.1
    Share of the rows that is split off, stratified by class.
n_iter_no_change : int or inf, default=10
    Patience: training ends after exactly so many epochs without improvement, of the validation score
    when stopping early, else of the training loss. With inf it makes all `max_iter` epochs.
tol : float or 'auto', default='auto'
    Least improvement, as a fraction of the loss of the best constant prediction (absolute for loss='gaussian'
    and with `scoring`). For L-BFGS the largest gradient component at which it stops. 'auto' is 1e-4, but a plan is
    then carried out to its end whatever the training loss does.
scoring : str, callable or None, default=None
    What early stopping maximises: any scorer of scikit-learn; None is the negative validation loss.
warm_start : bool, default=False
    Start from the weights (and target scale) of the last fit. All else starts anew.
verbose : bool or int, default=False
    Print what 'auto' stands for and why it was chosen, and a line per epoch.
dtype : {'auto', 'float32', 'float64'}, default='auto'
    Of the computation; 'auto' keeps float32 and float64 inputs as they are and takes float64 for others.
engine : {'auto', 'compiled', 'reference'}, default='auto'
    What computes: 'compiled', kernels in C, or 'reference', the textbook in array operations; 'auto' takes the
    kernels wherever there is one for every component. Both see the same weights, orders and masks.
n_threads : int or None, default=None
    Threads of the compiled engine; None honours OMP_NUM_THREADS and otherwise takes the CPUs of this process. Small
    batches use one whatever this says. Results have the same bits for any number.
matmul_precision : {'highest', 'medium'}, default='highest'
    Precision of matrix products of float32 numbers, in the words of PyTorch and JAX. 'medium' rounds their factors to
    bfloat16 and sums in float32, in `fit` and in predictions, where the processor multiplies such matrices in hardware
    (Intel AMX, on Linux). Everywhere else, and with solver='lbfgs', it is the same as 'highest'.
n_members : int, default=1
    Networks that are trained together on the same minibatches, the mean of whose predictions is given (BatchEnsemble).
    They share the hidden layers' weight matrices; a hidden layer of member j computes ((a * r_j) W) * s_j + b_j with
    factors and biases of its own, and the output layers are separate. The loss is the mean of the members' losses.
    Factors are neither penalised nor decayed.
input_scale : bool or float, default=False
    Learn a factor for each input, from 1 on, at `learning_rate_init` times this number (True: 6): inputs that do not
    help are soon turned down.
numeric_encoder : {'identity', 'piecewise_linear'}, default='identity'
    What becomes of columns of numbers. 'identity': they are inputs as they are, and none may be missing.
    'piecewise_linear': each is standardised, and beside it stand the codes of `n_bins` bins, as
    :class:`~skbackprop.preprocessing.PiecewiseLinearEncoder` makes them. This needs no scaler in front, and takes NaN:
    a missing number has the mean, the middle of all codes and, if there were gaps in training, an input of its own.
n_bins : int, default=8
    Bins of each column of numbers, with about the same weight of training rows each.
categorical_features : 'from_dtype', array-like of str, int or bool, or None, default='from_dtype'
    Columns of categories, by their names, their numbers or a mask. Each value of such a column has a row of the first
    layer's weights, as has a missing value, and as have all values that were not there in training. 'from_dtype': the
    columns of a DataFrame that are categorical (category, Enum, dictionary) or texts, and those of objects that are not
    all numbers; no column of an array. None: none. A value counts by its text, and 1, 1.0, True and "1" have one."""

ATTRIBUTES = """\
coefs_, intercepts_ : list of ndarray
    Weights (n_in, n_out) and biases (n_out,) of each layer. They are what prediction reads: change them and
    the predictions change. With ``n_members > 1`` biases have a first axis of members, and so has the last, their
    own, weight matrix; the others are shared.
member_factors_ : list of tuples of two ndarray
    Only with ``n_members > 1``: for each hidden layer r (n_members, n_in) and s (n_members, n_out). Member j acts like
    a network with the weights ``r[j][:, None] * W * s[j]``.
input_scale_ : ndarray of shape (n_inputs,)
    Only with `input_scale`: the factors of the inputs.
categories_ : list of ndarray or None
    Only where columns are encoded, as `numeric_encoder` and `categorical_features` say: for each column the texts of
    its categories in training, None for numbers. The inputs of the network, rows of ``coefs_[0]``, are in this order:
    the numbers; their bins; for each column of numbers that had gaps whether there is one; and for each column of
    categories an input a category, and one for missing values if there were some. Models that are trained by
    `partial_fit`, or with ``warm_start=True``, have two more inputs for each of these, for missing and unknown values.
bin_edges_ : list of ndarray or None
    Only then: for each column of numbers the edges of its bins, None for categories.
auto_params_ : dict
    What each parameter that was 'auto' stood for in the last fit, as far as it acts: of learning_rate,
    learning_rate_init, batch_size, epochs, weight_decay, dropout, max_grad_norm and tol. Given as parameters, these
    values bring the same fit, to the last bit.
matmul_precision_ : str
    What ran in the last fit, 'highest' or 'medium'.
loss_curve_ : list of float
    Mean training loss of each epoch, without the penalty, as measured before each step.
loss_, best_loss_ : float
    Its last and its smallest value.
validation_loss_curve_, validation_scores_ : list of float or None
    Loss and score on the validation rows after each epoch; nan where `partial_fit` was given none.
learning_rate_curve_ : list of float or None
    Learning rate of the last step of each epoch; None for L-BFGS.
best_iter_ : int
    Epoch, counted from 1, with the best validation score if there is a validation set, else with the
    smallest loss; the latest of equals.
n_iter_ : int
    Epochs trained.
t_ : int
    Rows visited.
n_layers_ : int
    Number of layers, input and output included.
n_outputs_ : int
    Number of output units.
out_activation_ : str
    Link from the output units to the prediction.
n_features_in_ : int
    Number of features: columns of X.
feature_names_in_ : ndarray of shape (n_features,)
    Their names, if X had string column names."""


STREAM_X = """\
X : {array-like, sparse matrix} of shape (n_samples, n_features)
    Training inputs."""

STREAM_WEIGHTS = """\
sample_weight : array-like of shape (n_samples,), default=None
    Non-negative weights."""

STREAM = """\
X_val, y_val, sample_weight_val : array-like, default=None
    A validation set. With ``early_stopping=True`` patience counts calls; when it runs out the best
    weights are restored, and later calls return at once with a warning.
total_samples : int, default=None
    Rows of the whole training set that the calls walk through, for the strength of `alpha`, which stands beside
    the sum of their weights. None: all rows that came so far, each call's being new ones; where calls bring the
    same rows again, as in several epochs, the penalty then fades.
categories : list of array-like or None, or dict, default=None
    All categories that any call will bring: for each column of X a list of them, None for numbers, as in
    ``categories_``; or a dict of such lists by the names of columns. Where none are given, those of the first call are
    taken to be all. Others count as unknown. They are compared as texts.

Returns
-------
self : object
    The fitted estimator."""

PARTS = {"before_loss": BEFORE_LOSS, "shared": SHARED, "attributes": ATTRIBUTES, "stream": STREAM}
PARTS |= {"stream_X": STREAM_X, "stream_weights": STREAM_WEIGHTS}
Documented = TypeVar("Documented")


def document(documented: Documented) -> Documented:
    """Fill the shared parts into the docstring of an estimator or a method."""
    if documented.__doc__ is not None:  # python -OO has none
        documented.__doc__ = inspect.cleandoc(documented.__doc__)
        for name, text in PARTS.items():
            documented.__doc__ = documented.__doc__.replace(f"{{{name}}}", text)
    return documented


def doc_link_template(project_urls: Iterable[str]) -> str:
    """Address of an estimator's page, from "label, address" pairs as in a package's metadata; empty without any."""
    for pair in project_urls:
        label, _, address = pair.partition(", ")
        if label == "Documentation":
            return address.rstrip("/") + "/generated/{estimator_module}.{estimator_name}.html"
    return ""


class DocLinkMixin:
    """Links in scikit-learn's HTML representation, to the documentation that the package's metadata name, if any."""

    _doc_link_module = "skbackprop"

    @property
    def _doc_link_template(self) -> str:
        with suppress(PackageNotFoundError):  # bundles of applications often leave metadata out
            return doc_link_template(metadata("skbackprop").get_all("Project-URL") or ())
        return ""
