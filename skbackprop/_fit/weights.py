"""Weights of rows: class weights, and checks that sums of weights are neither too large nor too small."""

from __future__ import annotations

from typing import Any

import numpy as np

from skbackprop._fit.data_checks import within_floats
from skbackprop._fit.device import BOUND
from skbackprop._fit.targets import LabelCodec

WEIGHT_SUMS = 1e-100, 1e100  # smallest and largest, so that products with targets and losses stay finite


def check_weight_sum(weights: np.ndarray | float, name: str = "sample_weight and class_weight together") -> float:
    """Sum of weights, or of sums of weights; raise if it is too large or too small to compute with."""
    with np.errstate(over="ignore"):
        total = float(np.sum(weights, dtype=np.float64))
    low, high = WEIGHT_SUMS
    if total == 0.0:
        raise ValueError("With sample_weight and class_weight, no row has a positive weight.")
    if not low <= total <= high:
        raise ValueError(
            f"The sum of the weights ({name}) is {total:.3g}, but must be between {low:g} and {high:g}. Divide them by "
            "their mean, and alpha too to keep the strength of the penalty."
        )
    return total


def check_penalty(alpha: float, weight_sum: float) -> None:
    """Raise if the penalty is so large compared with the loss that float32 overflows."""
    if alpha / weight_sum > BOUND:
        raise ValueError(
            f"The sum of the weights is {weight_sum:.3g}, so small that only the penalty of alpha={alpha:g} counts. "
            "Divide sample_weight by its mean, or set alpha=0."
        )


def class_counts(Y: np.ndarray, weights: np.ndarray | None, n_classes: int = 0) -> np.ndarray:
    """Weighted number of rows in each class, of n_classes, or with each label."""
    w = np.ones(len(Y)) if weights is None else weights
    if Y.ndim == 1:
        return np.bincount(Y, w, n_classes)
    return w @ Y.astype(np.float64)


def class_factors(class_weight: Any, labels: LabelCodec, counts: np.ndarray, total: float) -> np.ndarray:
    """Factor of each class (K,), or of each label's zeros and ones (2, K).

    "balanced" is total / (number of classes with weight * the class's weight); a class without weight gets 0.
    """
    if labels.multilabel:
        return _multilabel_factors(class_weight, counts, total)
    if isinstance(class_weight, str):
        return _balance(counts)
    if not isinstance(class_weight, dict):
        raise ValueError(
            f"class_weight must be 'balanced', a dict of classes or None for single labels; got {class_weight!r}."
        )
    known = labels.classes.tolist()
    if class_weight and not any(label in known for label in class_weight):
        raise ValueError(
            f"class_weight names the labels {list(class_weight)}, none of which is among the classes {known}."
        )
    return np.asarray([_factor(class_weight, label) for label in known])


def _balance(counts: np.ndarray) -> np.ndarray:
    present = counts > 0
    factors = np.zeros(len(counts))
    factors[present] = counts.sum() / (present.sum() * counts[present])
    return factors


def _factor(class_weight: dict[object, Any], label: Any) -> float:
    with within_floats("class_weight"):
        factor = float(class_weight.get(label, 1.0))
    if not (np.isfinite(factor) and factor >= 0):
        raise ValueError(f"class_weight[{label!r}] must be a finite number >= 0, got {factor}.")
    return factor


def _multilabel_factors(class_weight: Any, on: np.ndarray, total: float) -> np.ndarray:
    n_labels = len(on)
    if isinstance(class_weight, (str, dict)):
        class_weight = [class_weight] * n_labels
    if len(class_weight) != n_labels:
        raise ValueError(f"class_weight must hold one entry per label ({n_labels}), got {len(class_weight)}.")
    columns = [
        _label_factors(entry, np.asarray([total - ones, ones])) for entry, ones in zip(class_weight, on, strict=True)
    ]
    return np.asarray(columns).T


def _label_factors(class_weight: Any, counts: np.ndarray) -> np.ndarray | list[float]:
    """Factors of one label's zeros and ones."""
    if isinstance(class_weight, str) and class_weight == "balanced":
        return _balance(counts)
    if not isinstance(class_weight, dict) or not {0, 1}.issuperset(class_weight):
        raise ValueError(
            "Each label's class_weight must be 'balanced' or a dict with factors of 0 and 1 (such as {1: 5.0}), got "
            f"{class_weight!r}."
        )
    return [_factor(class_weight, value) for value in (0, 1)]


def apply_class_factors(factors: np.ndarray | None, Y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
    """Multiply weights by the factor of each row's class, if there are factors.

    A row of multilabel targets has one weight, as every row does: the product of its labels' factors.
    """
    if factors is None:
        return weights
    with np.errstate(over="ignore", invalid="ignore"):  # check_weight_sum refuses what comes of it
        rows: np.ndarray = np.prod(np.where(Y > 0, factors[1], factors[0]), axis=1) if factors.ndim == 2 else factors[Y]
        return rows if weights is None else weights * rows
