"""Inspection: check gradients, compute the outputs of layers, and see which inputs have large weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state

from skbackprop._checks.arrays import check_finite_output, check_inputs, check_same_device
from skbackprop._checks.constraints import check_parameters, fit_spec
from skbackprop._checks.rows import Given, copy_of, read_rows, starting_point
from skbackprop._engines.encoded_table import dense
from skbackprop._engines.reference import PREDICT_ROWS, forward
from skbackprop._ensemble import BaseEnsemble
from skbackprop._estimator import BaseMLP
from skbackprop._fit.device import compute_device
from skbackprop._fit.fit import settle
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.lbfgs import objective_and_gradient
from skbackprop._fit.state import TrainState
from skbackprop._steps import owners_of, steps_of
from skbackprop._types import Array, Data

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["check_gradients", "feature_importances", "layer_outputs"]

STEPS = (1e-3, 1e-4, 1e-5, 1e-6)  # of the differences; later ones are used if earlier ones cross a kink
FLOOR = 1e-4  # components below this share of the largest are rounding


def check_gradients(
    estimator: BaseMLP,
    X: Data,
    y: Data,
    sample_weight: Data = None,
    *,
    max_parameters: int = 1000,
    random_state: int | np.random.RandomState | None = 0,
) -> float:
    """Compare the gradient of J by backpropagation with numerical derivatives.

    J is the training objective of the estimator: the weighted mean loss of all rows, the penalty `alpha`, and, with
    dropout, the masks of the first training step. Derivatives are taken in float64, at the weights of a fitted
    estimator, or at random non-zero weights if it is not fitted. Numerical derivatives are five-point central
    differences [1]_. They are wrong if a kink, such as that of ReLU, lies between their points. So derivatives that
    disagree are repeated with smaller steps, and the best agreement counts.

    Parameters
    ----------
    estimator : MLPSoftmaxClassifier or MLPRegressor
        Estimator, fitted or not. It is not changed.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Sample weights.
    max_parameters : int, default=1000
        Maximum number of weights and biases to compare. If the network has more, they are drawn at random.
    random_state : int, RandomState instance or None, default=0
        Seed of the random weights and of this draw.

    Returns
    -------
    error : float
        Largest relative error of a component: the difference divided by the larger of the two numbers, or by 1e-4 of
        the largest component if both are smaller. Below 1e-6 the gradient is right.

    References
    ----------
    .. [1] Abramowitz and Stegun, "Handbook of mathematical functions", 25.3.6, 1964.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skbackprop import MLPSoftmaxClassifier
    >>> from skbackprop.inspection import check_gradients
    >>> X, y = load_iris(return_X_y=True)
    >>> check_gradients(MLPSoftmaxClassifier((10, 5), activation="tanh"), X, y) < 1e-6
    True
    """
    _check_is_network(estimator)
    check_parameters(estimator)
    rng, spec, first = check_random_state(random_state), fit_spec(estimator), not hasattr(estimator, "coefs_")
    data, features = read_rows(estimator, X, Given(y, sample_weight), reset=first, dtype="float64")
    start = starting_point(estimator, spec, data, features, None if first else "fit")
    prepared = settle(spec, data, None, start, TrainState(rng))
    rows = prepared.training_set.together()
    theta = rows.device.fetch(prepared.model.theta).astype(np.float64)
    if first:
        theta = theta + 0.1 * rng.standard_normal(len(theta))

    def J(theta: Array) -> tuple[float, Array]:
        return objective_and_gradient(prepared.engine, rows, prepared.spec.alpha, theta, step=0)

    gradient = J(theta)[1]
    components = np.arange(len(theta))
    if len(theta) > max_parameters:
        components = rng.choice(len(theta), max_parameters, replace=False)
    floor = FLOOR * np.abs(gradient).max()
    return float(max(_error(J, theta, i, gradient[i], floor) for i in components.tolist()))


def _error(J: Callable[[Array], tuple[float, Array]], theta: Array, i: int, exact: float, floor: float) -> float:
    """Relative error of one component, the smallest over the steps tried; differences are of fourth order."""

    def at(distance: float) -> float:
        moved = theta.copy()
        moved[i] += distance
        return J(moved)[0]

    best = np.inf
    for h in STEPS:
        numerical = (at(-2 * h) - 8.0 * at(-h) + 8.0 * at(h) - at(2 * h)) / (12.0 * h)
        best = min(best, abs(exact - numerical) / max(abs(exact), abs(numerical), floor, 1e-300))
        if best < 1e-7:
            break
    return best


def layer_outputs(estimator: BaseMLP, X: Data, layer: int = -1) -> Array:
    """Compute the outputs of a layer for each row of X, for example as features for another model.

    Layers are numbered from 0 to H, where H - 1 is the number of hidden layers. They are computed as in a prediction,
    without dropout, by the reference engine, so `predict` may differ by rounding.

    Parameters
    ----------
    estimator : MLPSoftmaxClassifier or MLPRegressor
        Fitted estimator.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs.
    layer : int, default=-1
        Layer to compute. 0 is the inputs, multiplied by `input_scale_` if there is one. 1 to H - 1 are the activations
        of the hidden layers. H is the weighted sums of the output layer: logits, or scaled targets before the link
        function. Negative numbers count back from the output layer, so -1 is the last hidden layer.

    Returns
    -------
    outputs : ndarray of shape (n_samples, n_units), or (n_members, n_samples, n_units) if ``n_members > 1``
        Outputs, float64 unless X and the model are float32. Layer 0, which members share, always has the shape
        (n_samples, n_features), and is sparse if X is. The array library and device are those of X.

    Raises
    ------
    ValueError
        If there is no such layer.
    NotFittedError, TypeError
        If the estimator is not fitted, or not of this package.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import scale
    >>> from skbackprop import MLPSoftmaxClassifier
    >>> from skbackprop.inspection import layer_outputs
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPSoftmaxClassifier((20, 5), random_state=0).fit(scale(X), y)
    >>> layer_outputs(model, scale(X)).shape
    (150, 5)
    """
    _check_is_network(estimator)
    estimator = copy_of(estimator)  # that another thread may fit meanwhile
    model = estimator.__fitted_model__()
    network, H = model.network, model.network.n_layers
    if not -H <= layer <= H:
        raise ValueError(f"layer must be between {-H} and {H}, the output layer; got {layer!r}.")
    h = layer if layer >= 0 else H + layer
    device = compute_device(cast(Array, X))
    check_same_device(estimator, device, "predict")
    inputs: Array = dense(check_inputs(estimator, X, device, device.dtype_of(model.theta)))
    xp, theta = device.xp, device.cast(model.theta, device.dtype_of(inputs))
    model = replace(model, theta=theta)
    if h == 0:
        if not network.input_scale:
            return inputs
        c = model.parameters.c
        return sp.csr_array(inputs).multiply(c).tocsr() if sp.issparse(inputs) else inputs * c
    n_rows, nets, same = inputs.shape[0], model.members(), [lambda x: x] * (H + 1)
    outputs = xp.empty((network.n_members, n_rows, network.sizes[h]), dtype=theta.dtype, device=theta.device)
    with np.errstate(all="ignore"):  # the result is checked
        for start in range(0, n_rows, PREDICT_ROWS):
            rows = slice(start, min(start + PREDICT_ROWS, n_rows))
            for j, M in enumerate(nets):
                a, v, _ = forward(xp, network, M, inputs[rows, :], same, same)
                outputs[j, rows, :] = v[H] if h == H else a[h]
    check_finite_output(outputs, device, inputs, theta)
    return outputs if network.n_members > 1 else outputs[0, :, :]


def feature_importances(estimator: BaseMLP | BaseEnsemble | Pipeline) -> Array:
    """Compute the importance of each input as the norm of its weights in the first layer.

    Training enlarges the weights of inputs that change the output: the squares of these norms, the diagonal of
    W[1] W[1]^T, follow the mean squared derivatives of the output by the inputs [1]_. They cost nothing to compute, but
    are only a rough guide:

    * All inputs must have the same scale: put a StandardScaler in front. An input in millimetres needs a thousandth of
      the weights that it needs in metres.
    * If the estimator encodes a column (`numeric_encoder`, `categorical_features`), the weights of all its inputs are
      added up. So columns with many categories get a larger importance.
    * Later layers may ignore outputs of the first. Weights as a measure of importance are an old idea [2]_, and a rough
      one [3]_.
    * Inputs that do not help keep part of their random initial weights, unless `weight_decay`, `alpha` or `input_scale`
      shrinks them. Correlated inputs share their importance.

    :func:`sklearn.inspection.permutation_importance` measures the effect of an input on the score.

    Parameters
    ----------
    estimator : MLPSoftmaxClassifier, MLPRegressor, an ensemble of them or Pipeline
        Fitted estimator. The last step of a Pipeline must be one of these estimators. The other steps may be those of
        `tabular_pipeline`, encoders of this package, and transformers that keep column names, such as scikit-learn's
        scalers, imputers and selectors. The importances are those of the columns that enter the Pipeline.

    Returns
    -------
    importances : ndarray of shape (n_features,)
        Importances, as a NumPy array. They are not negative, and sum to 1 unless all weights are zero. They include
        `input_scale_`. Squares are summed over members, and averaged over an ensemble with its weights. Columns that
        the Pipeline drops have 0.

    Raises
    ------
    NotFittedError, TypeError
        If the estimator is not fitted, or not of this package; if a step mixes columns.

    References
    ----------
    .. [1] Radhakrishnan, Beaglehole, Pandit and Belkin, "Mechanism for feature learning in neural networks and
       backpropagation-free machine learning models", Science, 2024.
    .. [2] Garson, "Interpreting neural-network connection weights", AI Expert, 1991.
    .. [3] Olden, Joy and Death, "An accurate comparison of methods for quantifying variable importance in
       artificial neural networks using simulated data", Ecological Modelling, 2004.

    Examples
    --------
    Use it with scikit-learn's feature selection:

    >>> from sklearn.datasets import make_classification
    >>> from sklearn.feature_selection import SelectFromModel
    >>> from skbackprop import MLPSoftmaxClassifier
    >>> from skbackprop.inspection import feature_importances
    >>> X, y = make_classification(500, 8, n_informative=2, n_redundant=0, shuffle=False, random_state=0)
    >>> model = MLPSoftmaxClassifier(input_scale=True, random_state=0)
    >>> selector = SelectFromModel(model, importance_getter=feature_importances, max_features=2)
    >>> selector.fit(X, y).get_support(indices=True).tolist()
    [0, 1]

    For a table there is one number per column:

    >>> import pandas as pd
    >>> from skbackprop import tabular_pipeline
    >>> flats = pd.DataFrame({"town": ["Bonn", "Ulm"] * 100, "age": range(200), "area": range(7, 207)})
    >>> pipeline = tabular_pipeline("regressor", random_state=0).fit(flats, 9.0 * (flats["town"] == "Ulm"))
    >>> dict(zip(flats, feature_importances(pipeline).round().tolist(), strict=True))
    {'town': 1.0, 'age': 0.0, 'area': 0.0}
    """
    *steps, last = steps_of(estimator)
    if not isinstance(last, BaseMLP | BaseEnsemble):
        raise TypeError(
            "A fitted MLPSoftmaxClassifier or MLPRegressor, an ensemble of them, or a Pipeline that ends in one, is "
            f"needed; got {type(estimator).__name__}."
        )
    is_one = isinstance(last, BaseMLP)
    weighted = [(1.0, last.__fitted_model__(on_host=True))] if is_one else last.__weighted_models__()
    squares = sum(weight * _squares(model) for weight, model in weighted)
    for step in reversed(steps):
        squares = np.bincount(owners_of(step), squares, minlength=step.n_features_in_)
    norms: Array = np.sqrt(squares)
    total = float(norms.sum())
    return norms / total if total > 0.0 else norms


def _squares(model: FittedModel) -> np.ndarray:
    """For each column the sum of the squares of its weights in the first layer."""
    squares: np.ndarray = np.sum(np.stack([net.W[1] for net in model.members()]) ** 2, axis=(0, 2))
    if model.features.encoding is not None:  # sum over all inputs of an encoded column
        squares = np.bincount(model.features.encoding.owners, squares, minlength=model.features.n)
    return squares


def _check_is_network(estimator: object) -> None:
    """Raise unless it is an estimator of this package."""
    if isinstance(estimator, BaseEnsemble):
        raise TypeError(
            f"{type(estimator).__name__} holds several networks. Pass one of them, such as model.estimators_[0]."
        )
    if not isinstance(estimator, BaseMLP):
        raise TypeError(
            f"A fitted MLPSoftmaxClassifier or MLPRegressor is needed, got {type(estimator).__name__}. For a Pipeline, "
            "pass its last step, pipeline[-1], and the transformed rows, pipeline[:-1].transform(X)."
        )
