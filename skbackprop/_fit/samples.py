"""Checked rows in memory, from which rows to train on and rows to judge by are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skbackprop._fit.batches import Rows, validation_split
from skbackprop._fit.identity import fingerprint
from skbackprop._fit.places import HOST, Host
from skbackprop._fit.training import Progress


@dataclass
class Sample:
    """Checked rows: X in its place, y in the user's labels or units and raw weights on the host.

    `Sampled` is its counterpart for rows that stay on the disk.
    """

    X: Any
    y: Any
    weights: Any
    place: Host = HOST

    def __len__(self) -> int:
        return len(self.y)

    @property
    def dtype(self) -> Any:
        """NumPy's name for that of X."""
        return self.place.dtype_of(self.X)

    @property
    def some(self) -> Sample:
        """Rows in memory that stand for all: here all."""
        return self

    @property
    def stand_in(self) -> Sample:
        """Rows by which targets are learned."""
        return self

    @property
    def largest(self) -> float:
        """Largest absolute value of the inputs."""
        return self.place.largest(self.X)

    def fingerprint(self) -> str:
        """Shape, kind and content of all."""
        name = fingerprint([(self.X, self.y, self.weights)], self.place)
        return f"{tuple(self.X.shape)} {self.dtype} {name}"

    def split(self, rng: Any, fraction: float, strata: Callable[[Any], Any]) -> tuple[Sample, Sample]:
        """Rows to train on, and rows held out for validation."""
        train_rows, validation_rows = validation_split(rng, len(self), fraction, self.weights, strata(self.y))
        return self[train_rows], self[validation_rows]

    def rows(self, estimator: Any, dtype: Any, progress: Progress) -> Rows:
        """Rows to train on, with everything that acts in training only."""
        return estimator._training_rows(self, dtype, progress)

    def encoded(self, encode: Callable[[Any, Any], Any], dtype: Any) -> list[tuple[Any, Any, Any]]:
        """X, Y and weights for the validation loss."""
        put = self.place.put
        return [(self.place.cast(self.X, dtype), put(encode(self, dtype)), self.weights)]

    def __getitem__(self, rows: Any) -> Sample:
        weights = None if self.weights is None else self.weights[rows]
        return Sample(self.place.take(self.X, rows), self.y[rows], weights, self.place)
