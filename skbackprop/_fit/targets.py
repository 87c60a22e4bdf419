"""Targets: how y is encoded for the network (`TargetCodec`), and how its outputs are decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from skbackprop._fit.data_checks import check_domain, distinct_labels, indicator, labels_of_one_kind, numbers
from skbackprop._fit.device import BOUND, HOST, Device, device_of, to_host
from skbackprop._fit.spec import FitSpec
from skbackprop._nn.losses import LOSSES, log_variance
from skbackprop._types import Array


class Moments(NamedTuple):
    """Weighted mean and standard deviation of each target, and its largest absolute value."""

    mean: np.ndarray
    deviation: np.ndarray
    largest: np.ndarray


@dataclass
class LabelCodec:
    """The encoding of class labels as numbers 0, 1, ..., or of multilabel targets as 0 and 1."""

    classes: np.ndarray
    multilabel: bool = False

    @classmethod
    def learn(cls, y: np.ndarray, spec: FitSpec | None = None, classes: np.ndarray | None = None) -> Self:
        """Learn the classes from y, or take the given ones, which must contain all in y."""
        if y.ndim == 2 and y.shape[1] > 1:
            return cls(np.arange(indicator(y).shape[1]), multilabel=True)
        found = cls(distinct_labels(y.reshape(-1)))
        if classes is None:
            return found
        with labels_of_one_kind(classes):
            known = cls(np.unique(classes))
        if not known.n_targets:
            raise ValueError("classes is empty. List the class labels of all calls, or omit it if y has all of them.")
        known.codes(y)
        return known

    @property
    def n_targets(self) -> int:
        """Number of classes, or of labels."""
        return len(self.classes)

    def loss(self, name: str) -> str:
        """Key of LOSSES: multilabel targets have logistic outputs."""
        return f"binary_{name}" if self.multilabel else name

    def for_training(self, spec: FitSpec) -> Self:
        """The same."""
        return self

    def scaled(self, moments: Callable[[], Moments], spec: FitSpec) -> Self:
        """Labels have no scale."""
        return self

    def check(self, y: np.ndarray) -> None:
        """Raise for unknown labels, and for targets of another kind or number of columns."""
        if self.multilabel:
            indicator(y, len(self.classes))
        else:
            self.codes(y)

    def check_again(self, y: np.ndarray, classes: np.ndarray | None = None) -> None:
        """Raise unless a later call's y, and its classes if it was given any, are those of the first call."""
        found = self.learn(y)
        with labels_of_one_kind([] if classes is None else classes):
            is_other = classes is not None and not np.array_equal(np.unique(classes), self.classes)
        if is_other:
            known = self.classes.tolist()
            raise ValueError(f"classes={classes!r} differs from the classes of the first call, {known}.")
        if classes is None and found.multilabel != self.multilabel:
            kinds = ("one label per row", "multilabel")
            now, first = kinds[found.multilabel], kinds[self.multilabel]
            raise ValueError(f"y is {now}, but in the first call it was {first}. It must not change.")
        self.check(y)

    def strata(self, y: np.ndarray) -> np.ndarray | None:
        """Class number of each row; None for multilabel targets."""
        return None if self.multilabel else self.codes(y)

    def codes(self, y: np.ndarray) -> np.ndarray:
        """Class number of each row."""
        if y.ndim == 2 and y.shape[1] > 1:
            raise ValueError(f"y must hold one label per row, as in training, got shape {y.shape}.")
        y = y.reshape(-1)
        with labels_of_one_kind(y, self.classes):
            codes = np.searchsorted(self.classes, y).astype(np.int64, copy=False)
        unseen = self.classes[np.minimum(codes, len(self.classes) - 1)] != y
        if unseen.any():
            raise ValueError(
                f"y holds the labels {np.unique(y[unseen]).tolist()}, which are not among the known classes "
                f"{self.classes.tolist()}. All classes must occur in the training rows, or be listed in `classes` of "
                "the first call of partial_fit."
            )
        return codes

    def encode(self, y: np.ndarray, dtype: DTypeLike) -> np.ndarray:
        """Class number of each row, or the 0/1 indicator of multilabel targets in this dtype."""
        if self.multilabel:
            y = indicator(y, len(self.classes))
            return y.astype(dtype, order="C")  # in another order the last bits of sums differ
        return self.codes(y)

    def decode(self, output: Array, device: Device = HOST) -> Array:
        """Labels of the largest output; for multilabel those with logit above 0 (probability > 1/2)."""
        if self.multilabel:
            is_on: Any = output > 0
            return device.cast(is_on, np.int64)
        return device.take(device.put(self.classes), device.xp.argmax(output, axis=1))

    def decode_members(self, outputs: Array) -> Array:
        """The same of each member's outputs."""
        labels = [self.decode(outputs[j, :, :], device_of(outputs)) for j in range(outputs.shape[0])]
        stacked: Array = device_of(*labels).xp.stack(labels)
        return stacked


@dataclass
class NumberCodec:
    """y = shift + scale * (what the network learns), for each target; float64."""

    loss_name: str
    n_targets: int
    shift: np.ndarray = field(default_factory=lambda: np.empty(0))  # empty, as the scale: not known yet
    scale: np.ndarray = field(default_factory=lambda: np.empty(0))
    y_is_1d: bool = False
    quantile_is_scalar: bool = True
    classes: ClassVar[None] = None

    @classmethod
    def learn(cls, y: np.ndarray, spec: FitSpec, classes: np.ndarray | None = None) -> Self:
        """Learn the shape of y; `scaled` learns the scale from the training rows."""
        y = numbers(y)
        check_domain(spec.loss, y)
        is_scalar = not isinstance(spec.quantile, tuple)
        return cls(spec.loss, as_columns(y).shape[1], y_is_1d=y.ndim == 1, quantile_is_scalar=is_scalar)

    def loss(self, name: str) -> str:
        return name

    def check(self, y: np.ndarray) -> None:
        """Raise for targets that are not numbers, have another number of columns, or are outside the loss's domain."""
        y = numbers(y)
        self.check_width(y)
        check_domain(self.loss_name, y)

    def check_width(self, y: np.ndarray) -> None:
        """Raise for another number of targets."""
        n = as_columns(y).shape[1]
        if n != self.n_targets:
            raise ValueError(f"y has {n} targets, but the model was started with {self.n_targets}.")

    def check_again(self, y: np.ndarray, classes: np.ndarray | None = None) -> None:
        self.check(y)

    def for_training(self, spec: FitSpec) -> Self:
        """The same on the host, for the loss with which training continues."""
        is_scalar = not isinstance(spec.quantile, tuple)
        shift, scale = to_host(self.shift), to_host(self.scale)
        return replace(self, loss_name=spec.loss, shift=shift, scale=scale, quantile_is_scalar=is_scalar)

    def strata(self, y: np.ndarray) -> np.ndarray | None:
        """Numbers have none."""
        return None

    def scaled(self, moments: Callable[[], Moments], spec: FitSpec) -> Self:
        """Shift by the mean and scale by the standard deviation, or by the mean alone, as the loss asks."""
        if self.shift.size:
            return self
        mean, deviation, largest = moments()
        shift, scale = np.zeros(len(mean)), np.ones(len(mean))
        if spec.scale_target:
            by_mean = LOSSES[self.loss_name].scaling == "mean"
            shift, scale = (shift, mean) if by_mean else (mean, deviation)
        if not (np.isfinite(shift).all() and np.isfinite(scale).all()):
            raise ValueError(
                f"The targets are too large to be scaled (up to {largest.max():.3g}): their variance overflows. "
                "Divide them by a constant, or set scale_target=False."
            )
        # the deviation of a constant target is only rounding
        constant = scale <= 10 * np.finfo(float).eps * largest
        return replace(self, shift=shift, scale=np.where(constant, 1.0, scale))

    def encode(self, y: np.ndarray, dtype: DTypeLike) -> np.ndarray:
        """Scaled targets, computed in float64 and then cast; raise if they are too large or too small to be learned."""
        y = as_columns(y)
        with np.errstate(over="ignore"):
            scaled = (y - self.shift) / self.scale
        tiny = np.finfo(dtype).tiny
        if LOSSES[self.loss_name].lower == (">", 0.0) and scaled.min() < tiny:
            raise ValueError(
                f"The smallest target is {y.min():.3g}, which is {scaled.min():.3g} after scaling. This loss takes "
                f"logarithms of targets, which must be at least {tiny:.3g} in {np.dtype(dtype).name}. Remove rows with "
                "invalid targets, or choose another loss."
            )
        largest = np.abs(scaled).max()
        if not largest < BOUND:
            raise ValueError(
                f"The largest target is {np.abs(y).max():.3g}, which is {largest:.3g} after scaling: too large to be "
                "learned. Set scale_target=True, or divide the targets by a constant. If the scale was learned from "
                "other rows, remove rows with invalid targets."
            )
        return np.ascontiguousarray(scaled.astype(dtype))

    def decode(self, output: Array, device: Device = HOST) -> tuple[Any, Any]:
        """Prediction in the user's units and, for gaussian, its standard deviation; in float64 where the device has it.

        Float32 would round large targets to fewer digits than the network distinguishes. Several quantiles come as
        (rows, targets, quantiles), sorted so that they never cross (Chernozhukov, Fernandez-Val and Galichon, 2010).
        """
        xp, n_targets = device.xp, self.n_targets
        output = device.cast(output, device.dtype_of(self.shift))
        if self.loss_name == "gaussian":
            m, s = output[:, :n_targets], output[:, n_targets:]
            std = xp.exp(0.5 * log_variance(xp, s)) * self.scale
            return self.shift + self.scale * m, std
        if self.loss_name == "quantile":
            output = xp.sort(xp.reshape(output, (output.shape[0], n_targets, -1)), axis=2)
            return self.shift[:, None] + self.scale[:, None] * output, None
        return self.shift + self.scale * output, None

    def in_shape(self, y: Array) -> Array:
        """Drop the axes of a prediction that the user's y and quantile did not have."""
        if self.loss_name == "quantile" and self.quantile_is_scalar:
            y = y[:, :, 0]
        return y[:, 0, ...] if self.y_is_1d else y


TargetCodec: TypeAlias = LabelCodec | NumberCodec  # y <-> what a network learns


def as_columns(y: np.ndarray) -> np.ndarray:
    """Checked numbers as a matrix of float64, a column for each target."""
    y = np.asarray(y, dtype=np.float64, order="C")  # in another order the last bits of sums differ
    return y[:, None] if y.ndim == 1 else y


def moments_of(y: np.ndarray, weights: np.ndarray | None) -> Moments:
    """The moments of targets in memory."""
    y = as_columns(y)
    largest = np.abs(y).max(axis=0)
    unit = exponents(largest)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.average(y, axis=0, weights=weights)
        variance = np.average(np.ldexp(y - mean, -unit) ** 2, axis=0, weights=weights)
    return Moments(mean, np.ldexp(np.sqrt(variance), unit), largest)


def exponents(largest: np.ndarray) -> np.ndarray:
    """Exponents of powers of two by which to divide targets, so that the squares of small ones do not underflow.

    The bits of the result stay the same. Squares of large targets overflow as before.
    """
    found: np.ndarray = np.minimum(np.frexp(largest)[1], 0)
    return found


def constant_columns(y: np.ndarray, weights: np.ndarray | None) -> list[int]:
    """Numbers of the targets that are constant in all rows of positive weight."""
    y = as_columns(y)
    return np.flatnonzero(np.ptp(y if weights is None else y[weights > 0], axis=0) == 0.0).tolist()
