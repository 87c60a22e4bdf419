"""Targets: from y to the engine's Y, from weights to one vector, and from outputs back to predictions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from skbackprop._fit.places import BOUND, HOST, Host
from skbackprop._fit.validation import within_floats
from skbackprop._nn.losses import LOSSES, Loss, LossArgs, log_variance, smooth, target_rows


@dataclass
class Labels:
    """How class labels and their codes correspond."""

    classes: Any
    multilabel: bool = False

    @classmethod
    def of(cls, y: Any) -> Labels:
        """Learn the classes from y."""
        if y.ndim == 2 and y.shape[1] > 1:
            return cls(np.arange(indicator(y).shape[1]), multilabel=True)
        with labels_of_one_kind(y):
            check_classification_targets(y)
            return cls(np.unique(column_or_1d(y)))

    def check(self, y: Any) -> None:
        """Raise for labels that are unknown, and for targets of another kind or width."""
        if self.multilabel:
            indicator(y, len(self.classes))
        else:
            self.codes(y)

    def codes(self, y: Any) -> Any:
        """Class number of each row; None for multilabel targets."""
        if self.multilabel:
            return None
        if y.ndim == 2 and y.shape[1] > 1:
            raise ValueError(
                f"y must hold one label per row, as the model was trained on, got shape {y.shape}."
            )
        y = column_or_1d(y)
        with labels_of_one_kind(y, self.classes):
            codes = np.searchsorted(self.classes, y).astype(np.int64, copy=False)
        known = np.minimum(codes, len(self.classes) - 1)
        unseen = np.unique(y[self.classes[known] != y])
        if len(unseen):
            raise ValueError(
                f"y holds the labels {unseen.tolist()}, which are not among the known classes "
                f"{self.classes.tolist()}. All classes must be among the training rows, or in `classes` of the first "
                "call of partial_fit."
            )
        return codes

    def encode(self, y: Any, dtype: Any) -> Any:
        """Class number of each row, or the 0/1 indicator of multilabel targets in this dtype."""
        if self.multilabel:
            return indicator(y, len(self.classes)).astype(dtype, order="C")  # as a sum's last bits tell
        return self.codes(y)

    def decode(self, output: Any, place: Host = HOST) -> Any:
        """Labels of the largest output; for multilabel those with logit above 0 (probability > 1/2)."""
        if self.multilabel:
            return place.cast(output > 0, np.int64)
        return place.take(place.put(self.classes), place.xp.argmax(output, axis=1))


def indicator(y: Any, n_labels: int | None = None) -> Any:
    """Multilabel targets, which must be 0 and 1 (or False and True) alone; of so many labels if that is known."""
    y = y.toarray() if sp.issparse(y) else np.asarray(y)
    if n_labels is not None and (y.ndim != 2 or y.shape[1] != n_labels):
        raise ValueError(f"y must be a multilabel indicator with {n_labels} columns, got shape {y.shape}.")
    if y.dtype.kind in "biufO" and np.isin(y, (0, 1)).all():
        return y
    with labels_of_one_kind(y):
        check_classification_targets(y)
    if type_of_target(y) == "multiclass-multioutput":
        raise ValueError(
            "y has several columns with more than two values each: this classifier learns one label per "
            "row, or a multilabel indicator of 0s and 1s. Wrap it in "
            "sklearn.multioutput.MultiOutputClassifier to learn each column on its own."
        )
    raise ValueError(
        "y has several columns, so it must be a multilabel indicator of 0s and 1s, but it holds "
        f"{np.unique(y)[:5].tolist()}: write 1 where a row has the label and 0 where it has not."
    )


@contextmanager
def labels_of_one_kind(*labels: Any) -> Iterator[None]:
    """Raise the user's error where labels cannot be sorted together."""
    try:
        yield
    except TypeError:
        kinds = sorted({type(label).__name__ for some in labels for label in np.ravel(some).tolist()})
        raise ValueError(
            f"Labels must be all of one kind, but there are {' and '.join(kinds)} among them."
        ) from None


def class_counts(Y: Any, weights: Any, n_classes: int = 0) -> Any:
    """Weighted number of rows in each class, of n_classes, or with each label."""
    w = np.ones(len(Y)) if weights is None else weights
    if Y.ndim == 1:
        return np.bincount(Y, w, n_classes)
    return w @ Y.astype(np.float64)


def class_factors(class_weight: Any, labels: Labels, counts: Any, total: float) -> Any:
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


def _balance(counts: Any) -> Any:
    present = counts > 0
    factors = np.zeros(len(counts))
    factors[present] = counts.sum() / (present.sum() * counts[present])
    return factors


def _factor(class_weight: dict, label: Any) -> float:
    with within_floats("class_weight"):
        factor = float(class_weight.get(label, 1.0))
    if not (np.isfinite(factor) and factor >= 0):
        raise ValueError(f"class_weight[{label!r}] must be a finite number >= 0, got {factor}.")
    return factor


def _multilabel_factors(class_weight: Any, on: Any, total: float) -> Any:
    n_labels = len(on)
    if isinstance(class_weight, (str, dict)):
        class_weight = [class_weight] * n_labels
    if len(class_weight) != n_labels:
        raise ValueError(f"class_weight must hold one entry per label ({n_labels}), got {len(class_weight)}.")
    columns = [
        _label_factors(entry, np.asarray([total - ones, ones]))
        for entry, ones in zip(class_weight, on, strict=True)
    ]
    return np.asarray(columns).T


def _label_factors(class_weight: Any, counts: Any) -> Any:
    """Factors of one label's zeros and ones."""
    if isinstance(class_weight, str) and class_weight == "balanced":
        return _balance(counts)
    if not isinstance(class_weight, dict) or not {0, 1}.issuperset(class_weight):
        raise ValueError(
            "Each label's class_weight must be 'balanced' or a dict with factors of 0 and 1 (such as {1: 5.0}), got "
            f"{class_weight!r}."
        )
    return [_factor(class_weight, value) for value in (0, 1)]


def apply_class_factors(factors: Any, Y: Any, weights: Any) -> Any:
    """Multiply weights by the factor of each row's class.

    A row of multilabel targets has one weight, as every row does: the product of its labels' factors.
    """
    rows = np.prod(np.where(Y > 0, factors[1], factors[0]), axis=1) if factors.ndim == 2 else factors[Y]
    return rows if weights is None else weights * rows


@dataclass
class Scaler:
    """y = shift + scale * (what the network learns), per target; float64."""

    shift: Any
    scale: Any

    @classmethod
    def learn(cls, y: Any, weights: Any, loss: Loss, enabled: bool) -> Scaler:
        """Weighted mean and standard deviation, or the mean alone, as the loss asks."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean = np.average(y, axis=0, weights=weights)
            variance = np.average((y - mean) ** 2, axis=0, weights=weights)
        return cls.of_moments(mean, variance, np.abs(y).max(axis=0), loss, enabled)

    @classmethod
    def of_moments(cls, mean: Any, variance: Any, largest: Any, loss: Loss, enabled: bool) -> Scaler:
        """The same from the weighted moments and the largest absolute value of each target."""
        shift, scale = np.zeros(len(mean)), np.ones(len(mean))
        if enabled:
            with np.errstate(invalid="ignore"):
                shift, scale = (shift, mean) if loss.scaling == "mean" else (mean, np.sqrt(variance))
        if not (np.isfinite(shift).all() and np.isfinite(scale).all()):
            raise ValueError(
                f"The targets are too large to be scaled (up to {largest.max():.3g}): their variance overflows. "
                "Divide them by a constant, or set scale_target=False."
            )
        # a constant target leaves nothing but rounding to scale by
        constant = scale <= 10 * np.finfo(float).eps * np.maximum(largest, 1e-300)
        return cls(shift, np.where(constant, 1.0, scale))

    def encode(self, y: Any, dtype: Any, loss: Loss) -> Any:
        """Targets of the scaled problem; scaled in float64, then cast. Raise if no network could come near them."""
        with np.errstate(over="ignore"):
            scaled = (y - self.shift) / self.scale
        tiny = np.finfo(dtype).tiny
        if loss.lower == (">", 0.0) and scaled.min() < tiny:
            raise ValueError(
                f"Targets are as small as {y.min():.3g}, which is {scaled.min():.3g} in units of the network, and this "
                f"loss takes logarithms, from {tiny:.3g} on in {np.dtype(dtype).name}: leave out those that are no "
                "measurements, or choose another loss."
            )
        largest = np.abs(scaled).max()
        if not largest < BOUND:
            raise ValueError(
                f"Targets reach {np.abs(y).max():.3g}, which is {largest:.3g} in units of the network, more than any "
                "can learn: leave scale_target=True, or divide them by a constant; beside targets of which the scale "
                "was learned already, leave out those that are no measurements."
            )
        return np.ascontiguousarray(scaled.astype(dtype))

    def decode(self, output: Any, loss_name: str, place: Host = HOST) -> tuple[Any, Any]:
        """Prediction in the user's units and, for gaussian, its standard deviation; in float64 where the place has it.

        Float32 would round large targets to fewer digits than the network tells apart.
        Several quantiles come as (rows, targets, quantiles), sorted so that they never cross
        (Chernozhukov, Fernandez-Val and Galichon, 2010).
        """
        xp, n_targets = place.xp, self.shift.shape[0]
        output = place.cast(output, place.dtype_of(self.shift))
        if loss_name == "gaussian":
            m, s = output[:, :n_targets], output[:, n_targets:]
            std = xp.exp(0.5 * log_variance(xp, s)) * self.scale
            return self.shift + self.scale * m, std
        if loss_name == "quantile":
            output = xp.sort(xp.reshape(output, (output.shape[0], n_targets, -1)), axis=2)
            return self.shift[:, None] + self.scale[:, None] * output, None
        return self.shift + self.scale * output, None


def constant_loss(loss_name: str, Y: Any, weights: Any, args: LossArgs, n_classes: int = 0) -> float:
    """Weighted mean loss of the best constant prediction: L0, the yardstick of `tol`. n_classes: of class codes."""
    loss = LOSSES[loss_name]
    y, w, spread = _in_short(loss, Y, weights, args, n_classes)
    v = loss.constant(y, w, args)
    values = loss.value(np, np.broadcast_to(v, (len(y), len(v))), y, args)
    return float(np.average(values, weights=w)) + spread


def _in_short(loss: Loss, Y: Any, weights: Any, args: LossArgs, n_classes: int) -> tuple[Any, Any, float]:
    """Targets and their weights whose mean loss is that of all rows, but for the number beside them.

    Labels are told by their shares, as if these were the targets of one row; the number is what is quadratic in them.
    """
    w = np.ones(len(Y)) if weights is None else weights.astype(np.float64)
    if loss.task == "regression":
        return Y.astype(np.float64), w, 0.0
    counts = class_counts(Y, w, n_classes)
    if loss.quadratic is not None:
        total = counts.sum() if loss.task == "classification" else w.sum()
        shares = np.minimum(counts / total, 1.0)  # which rounding may exceed
        variance = (1.0 - args.label_smoothing) ** 2 * float(shares @ (1.0 - shares))
        y = smooth(shares[None, :], args.label_smoothing, loss.task == "multilabel")
        return y, np.ones(1), loss.quadratic * variance
    if loss.task == "classification":  # each class once
        Y = np.flatnonzero(counts)
        w = counts[Y]
    else:
        Y = Y.astype(np.float64)
    return target_rows(np, loss, Y, len(counts), w, args), w, 0.0


def row_losses(loss: Loss, v: Any, Y: Any, args: LossArgs, place: Host = HOST) -> Any:
    """Loss of each row, on the host, of raw outputs v; v and Y are in the place."""
    y = target_rows(place.xp, loss, Y, v.shape[1], v, args)
    return place.fetch(loss.value(place.xp, v, y, args))
