"""Numbers such as identifiers and Unix seconds, of which float32 would lose digits that the model needs."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from skbackprop._interop.onnx.parts import parts

SCALERS = (StandardScaler, RobustScaler, MinMaxScaler)  # whose results float32 can hold
LOSS = 2e-5  # that rounding to float32 may change in a scaled value
EPS = 2.0**-24  # relative error of that rounding


def lossy_parts(models: list[BaseEstimator]) -> list[BaseEstimator]:
    """Parts whose inputs float32 cannot hold."""
    return [part for model in models for part in parts(model) if is_lossy(part)]


def is_lossy(part: BaseEstimator) -> bool:
    """Tell whether float32 loses digits that the part needs."""
    with np.errstate(all="ignore"):
        return any(EPS * ratio > LOSS for ratio in _ratios(part))


def _ratios(part: BaseEstimator) -> list[float]:
    """How large numbers are for the differences that matter."""
    ratios: list[np.ndarray | float] = []
    if isinstance(part, StandardScaler | RobustScaler):
        center = getattr(part, "mean_" if isinstance(part, StandardScaler) else "center_", None)
        scale = getattr(part, "scale_", None)
        if center is not None:
            ratios.append(np.abs(center) / (1.0 if scale is None else scale))
    elif isinstance(part, MinMaxScaler) and hasattr(part, "data_range_"):
        ratios.append(np.maximum(np.abs(part.data_min_), np.abs(part.data_max_)) * part.scale_)
    ratios += [
        np.abs(edges).max() / np.diff(edges).min()
        for edges in getattr(part, "bin_edges_", ())
        if len(edges) > 1
    ]
    if hasattr(part, "quantiles_"):
        ratios.append(np.abs(part.quantiles_).max(axis=0) / np.ptp(part.quantiles_, axis=0))
    if hasattr(part, "explained_variance_") and getattr(part, "mean_", None) is not None:
        variances = part.explained_variance_
        smallest = variances.min() if getattr(part, "whiten", False) else variances.max()
        ratios.append(np.abs(part.mean_).max() / np.sqrt(smallest))
    for known in getattr(part, "categories_", ()):
        if getattr(known, "dtype", np.dtype(object)).kind in "iuf" and len(known):
            numbers = np.asarray(known, dtype=np.float64)
            if (numbers.astype(np.float32) != numbers).any():
                ratios.append(np.inf)
    return [float(np.max(ratio, initial=0.0, where=~np.isnan(ratio))) for ratio in ratios]
