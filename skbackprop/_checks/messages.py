"""Errors and warnings of a fit, with remedies."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skbackprop._fit.dataset import Dataset
from skbackprop._fit.scales import UNSCALED
from skbackprop._fit.targets import constant_columns
from skbackprop._fit.warn import warn


class DivergenceError(ValueError):
    """Raised when the loss or weights become NaN or infinite.

    Parameters
    ----------
    message : str
        Message with the epoch, the learning rate, the likely cause and the remedy.
    estimator : estimator, default=None
        Copy of the estimator with the last finite weights, which can predict. It is an attribute of the error.
    """

    def __init__(self, message: str, estimator: Any = None):
        super().__init__(message)
        self.estimator = estimator


DivergenceError.__module__ = "skbackprop"  # its public module, for tracebacks


def divergence(
    epoch: int, rate: float | None, largest: float, max_grad_norm: float | None, estimator: BaseEstimator
) -> DivergenceError:
    """Make the error, with epoch, learning rate, likely cause and remedy; largest: of the absolute features."""
    if largest > UNSCALED:
        scaler = "put a StandardScaler in front (make_pipeline(StandardScaler(), ...))"
        cause = f"features are up to {largest:.3g}: {scaler}"
    elif rate is None:
        cause = "the steps of L-BFGS were too large: raise alpha, or use a minibatch solver such as 'adam'"
    else:
        clip = "set max_grad_norm=1.0" if max_grad_norm is None else f"max_grad_norm (now {max_grad_norm:g})"
        cause = f"the learning rate is too high: lower learning_rate_init or {clip}"
    pace = "" if rate is None else f" at learning rate {rate:.3g}"
    return DivergenceError(
        f"Training diverged in epoch {epoch}{pace}: loss or weights grew without bound. Likely cause: "
        f"{cause}. Its `estimator` attribute holds the last finite model.",
        estimator,
    )


def warn_constant_block(data: Dataset) -> None:
    """Warn if the first rows of partial_fit do not determine the scale of the targets."""
    columns = constant_columns(data.y, data.weights)
    if not columns:
        return
    n_rows = len(data) if data.weights is None else int(np.count_nonzero(data.weights))
    rows = "is a single row" if n_rows == 1 else f"has {n_rows} rows of equal targets"
    which = "" if columns == [0] else f" (of the targets {columns})"
    warn(
        f"The first call of partial_fit determines the scale of the target, but it {rows}{which}, so the scale stays "
        "1. Make the first call with representative rows, or scale y yourself and set scale_target=False."
    )
