"""What a fitted model of scikit-learn is made of, and which parts need more digits than float32 has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from skbackprop._estimator import BaseMLP

SCALERS = (StandardScaler, RobustScaler, MinMaxScaler)  # whose results float32 can hold
LOSS = 2e-5  # that rounding to float32 may change in a scaled value
EPS = 2.0**-24  # relative error of that rounding


def attributes(estimator: BaseEstimator) -> dict[str, object]:
    """Parameters and fitted attributes."""
    return vars(estimator)  # of classes that we do not know, for which scikit-learn offers no list of them


def parts(value: object) -> Iterator[BaseEstimator]:
    """Estimators inside a value, in their lists, tuples, dicts and attributes, itself included."""
    inside: list[object] = []
    if isinstance(value, dict):
        inside = list(value.values())
    elif isinstance(value, list | tuple):
        inside = list(value)
    elif hasattr(value, "__dict__") and type(value).__module__.startswith(("sklearn.", "skbackprop.")):
        yield value
        inside = [] if isinstance(value, BaseMLP) else list(attributes(value).values())
    for part in inside:
        yield from parts(part)


def last_step(model: BaseEstimator) -> BaseEstimator:
    """What stands at the end of Pipelines."""
    while isinstance(model, Pipeline):
        model = model.steps[-1][1]
    return model


def lossy_parts(models: list[BaseEstimator]) -> list[BaseEstimator]:
    """Parts whose inputs, such as identifiers and Unix seconds, float32 cannot hold."""
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
        np.abs(edges).max() / np.diff(edges).min() for edges in getattr(part, "bin_edges_", ()) if len(edges) > 1
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
