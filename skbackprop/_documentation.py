"""Documentation of the parameters and attributes that both estimators share."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata
from typing import TypeVar

from skbackprop._nn.activations import ACTIVATIONS

NAMES = ", ".join(f"'{name}'" + (f" ({entry.note})" if entry.note else "") for name, entry in ACTIVATIONS.items())
ACTIVATION = textwrap.fill(f"Activation of the hidden layers: one name for all, or a list with one each: {NAMES}.", 106)
BEFORE_LOSS = f"""\
hidden_layer_sizes : tuple of int or int, default=(100, 100)
    Number of units in each hidden layer. () gives a linear model.
activation : str or list of str, default='relu'
{textwrap.indent(ACTIVATION, "    ")}"""

SHARED = """\
solver : {'adam', 'nadam', 'rmsprop', 'sgd', 'lion', 'lbfgs'}, default='adam'
    Optimizer that minimises J. 'lbfgs' works on the full batch, in float64, and suits small data. The others take
    minibatch steps.
learning_rate : {'auto', 'constant', 'invscaling', 'adaptive', 'cosine', 'warmup_cosine', 'onecycle', 'coslog4'}, \
default='auto'
    Learning rate schedule, for every minibatch solver: how `learning_rate_init` is multiplied from step to step.
    'invscaling' multiplies by (step + 1)^-power_t. 'adaptive' divides the rate by 5 each time the loss has not improved
    for `n_iter_no_change` epochs. 'cosine', 'warmup_cosine', 'onecycle' and 'coslog4' are planned schedules: they are
    laid out over `epochs` and end near 0. 'auto' is 'onecycle' in `fit`, and 'constant' in `partial_fit`, where the
    number of steps is not known. 'constant' trains as scikit-learn does.
learning_rate_init : float or 'auto', default='auto'
    Initial learning rate, > 0; in a planned schedule the highest one. 'auto' is 0.001 for schedules that are not
    planned. For planned ones it is 0.01, or 0.005 for 'rmsprop' and 'sgd'. For 'lion' it is 0.0003 and 0.0015.
power_t : float, default=0.5
    Exponent for ``learning_rate='invscaling'``.
batch_size : int or 'auto', default='auto'
    Number of rows in a minibatch. 'auto' is n_samples / 128, rounded to a power of two between 16 and 128; with up to
    64 rows it is all of them.
epochs : int or 'auto', default='auto'
    Number of epochs of a planned schedule, at most `max_iter`. 'auto' is `max_iter`, except for 'onecycle' in `fit`:
    there it is 16 epochs, or the epochs of 1024 steps if that is more, times 1.5, 1, 0.5 or 0.25. The selection
    described under `weight_decay` chooses this factor.
max_iter : int, default=200
    Maximum number of epochs, or of iterations for 'lbfgs'.
max_fun : int, default=15000
    Maximum number of evaluations of J for 'lbfgs'.
shuffle : bool, default=True
    Whether to visit the rows in a new random order in each epoch.
random_state : int, RandomState instance or None, default=None
    Seed of the initial weights, the validation split, the order of the rows and dropout.
alpha : float, default=0.0001
    Strength of the L2 penalty on the weights (not on the biases). It does not depend on the batch size. scikit-learn's
    minibatch solvers divide the penalty by the rows of the minibatch, not of the training set, so its `alpha`
    corresponds to ``alpha * n_samples / batch_size`` here.
weight_decay : float or 'auto', default='auto'
    Decoupled weight decay (AdamW): each step first multiplies the weights by 1 - rate * weight_decay. 'auto' selects
    0.05, 0.5 or 2 for planned schedules, and is 0 for others. Three networks of half the width are trained in float32
    on four fifths of the rows (of at most 20,000), for a quarter of 16 epochs, and compared by their loss on the
    remaining rows. The best one, and a second one that is hardly worse, are also trained for half of 16 epochs. The
    decay of the best network is used to train on all rows. `epochs` is a quarter if the half was not better, 16 if it
    was better by more than 3 percent, 24 if by more than 10 percent, and else 8. With more than 20,000 rows the decay
    shrinks in proportion (Wang and Aitchison, ICML 2025), and lengths below 16 with the square root of
    20,000 / n_samples. With ``loss="gaussian"`` the length is always 16. The selection runs if `weight_decay`,
    `dropout` or, for 'onecycle', `epochs` is 'auto'. The decay is 0.5 without the selection, with fewer than 200 rows
    or none to hold out, and in `partial_fit`. For solvers with other default rates than Adam's, the values are scaled
    in inverse proportion to the rate.
dropout : float, sequence of floats or 'auto', default=0.0
    Dropout rate in [0, 1): the share of each hidden layer's outputs set to zero in a training step. A sequence has one
    rate per hidden layer, or one more, in front, for the inputs. 'auto' follows the selection of `weight_decay`: 0 if
    the smallest decay wins, else 0.1, and less in proportion with more than 20,000 rows. It is 0.1 without a selection
    and 0 without a planned schedule.
max_grad_norm : float, 'auto' or None, default='auto'
    Maximum norm of the gradient of J in a step (gradient clipping); None does not clip. 'auto' is 1 for
    ``loss="gaussian"``, and None otherwise, except for 'sgd' at rates up to 0.05 on features or targets that were not
    scaled (root mean square above 3). There it is 1 in planned schedules. In others it is halved for each factor of 2
    by which the features' root mean square exceeds 3.
initializer : str, default='auto'
    Initial weights: 'glorot_uniform', 'glorot_normal', 'he_uniform', 'he_normal', 'lecun_normal' or 'orthogonal'.
    'auto' chooses by the activation, and sets the output layer to zero. Biases start at zero; output biases with a log
    link start at the logarithm of the mean target.
momentum : float, default=0.9
    Momentum for ``solver='sgd'``, in [0, 1].
nesterovs_momentum : bool, default=True
    Whether to use Nesterov's momentum for ``solver='sgd'``.
beta_1, beta_2 : float, default=0.9, 0.999
    Decay rates of the first and second moment estimates, in [0, 1), for 'adam', 'nadam' and 'lion'. 'rmsprop' uses
    beta_2 only. The paper of 'lion' uses 0.99 for beta_2.
epsilon : float, default=1e-8
    Added to the square root of the second moment, after bias correction, for numerical stability.
early_stopping : bool, default=False
    Whether to stop when the validation score has not improved by `tol` for `n_iter_no_change` epochs, and to restore
    the weights of the best epoch. The validation rows are `X_val` if given; otherwise they are split off.
validation_fraction : float, default=0.1
    Fraction of the training rows to hold out for early stopping, stratified by class.
n_iter_no_change : int or inf, default=10
    Number of epochs in a row without improvement after which training stops. Improvement is judged by the validation
    score with early stopping, and otherwise by the training loss. With inf training runs for `max_iter` epochs.
tol : float or 'auto', default='auto'
    Smallest change that counts as an improvement, as a fraction of the loss of the best constant prediction. It is
    absolute for ``loss="gaussian"`` and with `scoring`. 'lbfgs' stops when no component of the gradient exceeds it.
    'auto' is 1e-4, and lets a planned schedule run to its end whatever the training loss does.
scoring : str, callable or None, default=None
    Score that early stopping maximises: any scorer of scikit-learn. None is the negative validation loss.
warm_start : bool, default=False
    Whether `fit` starts from the weights (and target scale) of the previous fit. Everything else starts anew.
verbose : bool or int, default=False
    Whether to print what 'auto' stands for and why, and a line per epoch.
dtype : {'auto', 'float32', 'float64'}, default='auto'
    Precision of the computation. 'auto' keeps float32 and float64 inputs as they are, and uses float64 for others.
engine : {'auto', 'compiled', 'reference'}, default='auto'
    Implementation to use: 'compiled' (kernels in C) or 'reference' (plain array operations). 'auto' uses the kernels
    if they have every component. Both use the same initial weights, row orders and dropout masks.
n_threads : int or None, default=None
    Number of threads of the compiled engine. None uses OMP_NUM_THREADS if set, and otherwise the CPUs available to the
    process. Small batches always use one thread. Results are bitwise identical for any number.
matmul_precision : {'highest', 'medium'}, default='highest'
    Precision of float32 matrix products, named as in PyTorch and JAX. 'medium' rounds the factors to bfloat16 and sums
    in float32, in `fit` and in predictions, if the processor has hardware for this (Intel AMX, on Linux). Otherwise,
    and with ``solver='lbfgs'``, it is the same as 'highest'.
n_members : int, default=1
    Number of ensemble members (BatchEnsemble), trained together on the same minibatches; predictions are their mean.
    Members share the hidden layers' weight matrices. A hidden layer of member j computes ((a * r_j) W) * s_j + b_j with
    its own factors r_j, s_j and biases b_j; output layers are separate. The loss is the mean over the members. The
    factors are neither penalised nor decayed.
input_scale : bool or float, default=False
    Whether to learn a factor for each input, which shrinks inputs that do not help. The factors start at 1 and are
    learned at `learning_rate_init` times this number; True means 6.
numeric_encoder : {'identity', 'piecewise_linear'}, default='identity'
    How numeric columns are encoded. 'identity' leaves them as they are; missing values are an error.
    'piecewise_linear' standardises each column and adds codes of `n_bins` bins, as
    :class:`~skbackprop.preprocessing.PiecewiseLinearEncoder` does. No scaler is needed, and NaN is allowed: a missing
    value becomes the mean and the middle of every code, and has an input of its own if training data had NaN.
n_bins : int, default=8
    Number of bins per numeric column, of about equal total weight of training rows.
categorical_features : 'from_dtype', array-like of str, int or bool, or None, default='from_dtype'
    Categorical columns: their names, their indices or a boolean mask. Each category of the training rows has an input
    of its own, and so have missing values and, where `categories_` says so, unknown ones. 'from_dtype' takes the
    columns of a DataFrame with a categorical (category, Enum, dictionary) or string dtype, and object columns that hold
    anything but numbers; no column of an array. None means no column. Categories are compared as text; 1, 1.0, True and
    "1" are the same."""

ATTRIBUTES = """\
coefs_, intercepts_ : list of ndarray
    Weights (n_in, n_out) and biases (n_out,) of each layer. Predictions read them, so changing them changes the
    predictions. With ``n_members > 1`` the biases and the last weight matrix have a first axis of members; the other
    weights are shared.
member_factors_ : list of tuples of two ndarray
    Only with ``n_members > 1``: for each hidden layer r (n_members, n_in) and s (n_members, n_out). Member j acts like
    a network with the weights ``r[j][:, None] * W * s[j]``.
input_scale_ : ndarray of shape (n_inputs,)
    Only with `input_scale`: the learned factor of each input.
categories_ : list of ndarray or None
    Only if columns are encoded (`numeric_encoder`, `categorical_features`): the training categories of each column as
    text, and None for numeric columns. The rows of ``coefs_[0]`` are in this order: the numbers; their bins; a missing
    indicator for each numeric column that had missing values; then for each categorical column one input per category,
    and one for missing values if there were any. Models trained by `partial_fit`, or with ``warm_start=True``, always
    have two more inputs per categorical column, for missing and for unknown values.
bin_edges_ : list of ndarray or None
    Only if columns are encoded: the edges of the bins of each numeric column, and None for categorical columns.
auto_params_ : dict
    Values that the last fit used for the parameters set to 'auto', if they had an effect: learning_rate,
    learning_rate_init, batch_size, epochs, weight_decay, dropout, max_grad_norm and tol. Passing these values as
    parameters gives exactly the same fit.
matmul_precision_ : str
    Precision that the last fit used, 'highest' or 'medium'.
loss_curve_ : list of float
    Mean training loss of each epoch, without the penalty, measured before each step.
loss_, best_loss_ : float
    Last and smallest value of `loss_curve_`.
validation_loss_curve_, validation_scores_ : list of float or None
    Loss and score on the validation rows after each epoch. They are NaN for calls of `partial_fit` without such rows.
learning_rate_curve_ : list of float or None
    Learning rate of the last step of each epoch. None for 'lbfgs'.
best_iter_ : int
    Number of the best epoch, counted from 1: the one with the highest validation score, or with the smallest training
    loss if there is no validation set. Of equal ones it is the last.
n_iter_ : int
    Number of epochs trained.
t_ : int
    Number of rows visited, over all epochs.
n_layers_ : int
    Number of layers, including input and output.
n_outputs_ : int
    Number of output units.
out_activation_ : str
    Activation of the output layer.
n_features_in_ : int
    Number of features (columns of X).
feature_names_in_ : ndarray of shape (n_features,)
    Names of the features. Only if all column names of X are strings."""


STREAM_X = """\
X : {array-like, sparse matrix} of shape (n_samples, n_features)
    Training inputs."""

STREAM_WEIGHTS = """\
sample_weight : array-like of shape (n_samples,), default=None
    Non-negative sample weights."""

STREAM = """\
X_val, y_val, sample_weight_val : array-like, default=None
    Validation set. With ``early_stopping=True``, `n_iter_no_change` counts calls. When it is reached, the best weights
    are restored, and later calls return at once with a warning.
total_samples : int, default=None
    Number of rows of the whole training set that the calls go through, for the strength of `alpha`. None counts the
    rows of all calls so far, as if each call brought new ones. If calls repeat the same rows, as in several epochs,
    give the number; otherwise the penalty gets weaker with every call.
categories : list of array-like or None, or dict, default=None
    All categories of all calls: a list with an entry for each column of X (None for numeric columns), as in
    ``categories_``, or a dict from column names to lists. By default the categories of the first call. Others are
    treated as unknown. Categories are compared as text.

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
    """URL of an estimator's page, from "label, address" pairs as in a package's metadata; empty without any."""
    for pair in project_urls:
        label, _, address = pair.partition(", ")
        if label == "Documentation":
            return address.rstrip("/") + "/generated/{estimator_module}.{estimator_name}.html"
    return ""


class DocLinkMixin:
    """Links in scikit-learn's HTML representation to the documentation URL in the package's metadata, if any."""

    _doc_link_module = "skbackprop"

    @property
    def _doc_link_template(self) -> str:
        with suppress(PackageNotFoundError):  # bundles of applications often leave metadata out
            return doc_link_template(metadata("skbackprop").get_all("Project-URL") or ())
        return ""
