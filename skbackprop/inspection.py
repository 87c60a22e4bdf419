"""Look inside: check that the gradients are right."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skbackprop._estimator import BaseMLP
from skbackprop._fit.lbfgs import objective_and_gradient
from skbackprop._fit.settings import settle
from skbackprop._fit.training import Progress
from skbackprop._types import Data

__all__ = ["check_gradients"]

STEPS = (1e-3, 1e-4, 1e-5, 1e-6)  # of the differences, the later ones where the earlier met a kink
FLOOR = 1e-4  # share of the largest component below which a component is rounding


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

    J is the whole training objective of the estimator: the weighted mean loss of all rows with the penalty
    `alpha`, and, if there is dropout, with the masks of the first training step. It is differentiated, in
    float64, at the weights of a fitted estimator; at random weights, all different from zero, if the estimator
    was not fitted yet. Numerical derivatives are five-point central differences [1]_. Where one of their points
    lies across a kink (of ReLU, say) a difference means nothing, so each derivative that disagrees is taken
    again with smaller steps, and the best agreement counts.

    Parameters
    ----------
    estimator : MLPSoftmaxClassifier or MLPRegressor
        Fitted or not; it is left as it is.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights.
    max_parameters : int, default=1000
        If the network has more weights and biases than this, so many are drawn at random and compared.
    random_state : int, RandomState instance or None, default=0
        For the random weights and the draw.

    Returns
    -------
    error : float
        Largest relative error of a component, that is the difference divided by the larger of the two numbers
        (or by 1e-4 of the largest component, where both are smaller). Below 1e-6 the gradient is right.

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
    rng = check_random_state(random_state)
    engine, rows, theta = _at(estimator, X, y, sample_weight, rng)

    def J(theta: Any) -> Any:
        return objective_and_gradient(engine, rows, estimator.alpha, theta, step=0)

    gradient = J(theta)[1]
    components = np.arange(len(theta))
    if len(theta) > max_parameters:
        components = rng.choice(len(theta), max_parameters, replace=False)
    floor = FLOOR * np.abs(gradient).max()
    return float(max(_error(J, theta, i, gradient[i], floor) for i in components.tolist()))


def _at(estimator: Any, X: Any, y: Any, sample_weight: Any, rng: Any) -> tuple[Any, Any, Any]:
    """Engine, rows and parameters at which the estimator is inspected."""
    trial = copy.copy(estimator)
    trial._validate_params()
    trial.dtype = "float64"
    first = not hasattr(trial, "coefs_")
    sample = trial._read(X, y, sample_weight, reset=first)
    trial._learn_targets(sample, None, first=first)
    rows = trial._training_rows(sample, np.dtype(np.float64), Progress(rng))
    trial._settings = settle(trial, rows.n)
    if first:
        trial._start(rows, rng)
    theta = trial._theta().astype(np.float64)
    return trial._engine(), rows, theta + 0.1 * rng.standard_normal(len(theta)) if first else theta


def _error(J: Any, theta: Any, i: int, exact: float, floor: float) -> float:
    """Relative error of one component, the smallest over the steps tried."""
    best = np.inf
    for step in STEPS:
        numerical = _derivative(lambda t: J(t)[0], theta, i, step)
        best = min(best, abs(exact - numerical) / max(abs(exact), abs(numerical), floor, 1e-300))
        if best < 1e-7:
            break
    return best


def _derivative(f: Any, theta: Any, i: int, step: float) -> float:
    """(f(-2) - 8 f(-1) + 8 f(1) - f(2)) / 12 steps, with an error of fourth order."""

    def at(k: int) -> Any:
        moved = theta.copy()
        moved[i] += k * step
        return f(moved)

    return float((at(-2) - 8.0 * at(-1) + 8.0 * at(1) - at(2)) / (12.0 * step))
