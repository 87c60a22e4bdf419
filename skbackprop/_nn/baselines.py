"""Baselines: the output v of the best constant prediction for weighted targets (NumPy, float64).

`tol` is relative to the loss of this prediction, and networks with a log link start from it.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from skbackprop._types import Array

TINY = np.finfo(np.float64).tiny  # in place of a frequency or a mean of 0, whose logarithm is infinite


def mean(y: Array, w: Array | None) -> Array:
    """Weighted mean of each column."""
    return np.asarray(np.average(y, axis=0, weights=w))


def log_mean(y: Array, w: Array | None) -> Array:
    """Logarithm of the weighted mean: for classes the log frequencies."""
    return np.log(np.maximum(mean(y, w), TINY))


def log_odds(y: Array, w: Array | None) -> Array:
    """Logit of the weighted share of ones."""
    p = np.clip(mean(y, w), 1e-15, 1.0 - 1e-15)
    return np.log(p / (1.0 - p))


def quantiles(y: Array, w: Array | None, levels: tuple[float, ...]) -> Array:
    """Weighted quantiles, grouped by column: the smallest value at which the cumulative weight reaches the level."""
    w = np.ones(len(y)) if w is None else w
    order = np.argsort(y, axis=0, kind="stable")
    below = np.cumsum(w[order], axis=0)
    found = []
    for level in levels:
        rows = np.asarray([np.searchsorted(column, level * column[-1]) for column in below.T])
        rows = np.minimum(rows, len(y) - 1)
        found.append(np.take_along_axis(y, np.take_along_axis(order, rows[None, :], axis=0), axis=0)[0])
    return np.stack(found, axis=1).reshape(-1)


def huber_location(y: Array, w: Array | None, delta: float) -> Array:
    """Huber's estimate of the location of each column, by minimising his loss."""

    def locate(column: Array) -> float:
        def cost(c: float) -> float:
            r = np.abs(c - column)
            inside = np.minimum(r, delta)
            return float(np.average(inside * (r - 0.5 * inside), weights=w))

        low, high = float(column.min()), float(column.max())
        return low if low == high else float(minimize_scalar(cost, bounds=(low, high)).x)

    return np.asarray([locate(column) for column in y.T])


def log_moments(y: Array, w: Array | None, floor: float) -> Array:
    """Weighted mean, and the logarithm of the weighted variance minus the floor, of each column."""
    m = mean(y, w)
    variance = mean((y - m) ** 2, w)
    return np.concatenate([m, np.log(np.maximum(variance - floor, np.finfo(np.float64).eps * floor))])
