"""Datasets: checked rows as the user gave them, wherever they lie, and those that lie in memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import DTypeLike

from skbackprop._engines import choose_engine
from skbackprop._engines.engine import Engine
from skbackprop._fit.block import Block
from skbackprop._fit.device import HOST, Device
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.identity import fingerprint
from skbackprop._fit.spec import FitPlan, FitSpec
from skbackprop._fit.split import validation_split
from skbackprop._fit.targets import LabelCodec, Moments, TargetCodec, moments_of
from skbackprop._fit.weights import apply_class_factors, check_weight_sum, class_counts
from skbackprop._nn.network import Network
from skbackprop._types import Array


class RemoteRows:
    """Rows that are elsewhere, in the place of X: predictions for them are made where they are."""

    @abstractmethod
    def outputs(self, model: FittedModel, options: dict[str, bool], answer: Callable[[Array], Array] | None) -> Array:
        """What the network gives for all of them, or what `answer` makes of that."""


class TrainingSet(Protocol):
    """Rows to train on, encoded for an engine."""

    device: Device
    unit: float  # of the weights that the engine sees

    @property
    def n(self) -> int:
        """Number of rows, those of weight zero included."""

    @property
    def weight_sum(self) -> float:
        """Sum of the raw weights, class weights included."""

    @property
    def sample(self) -> Block:
        """Rows in memory that stand for all."""

    def never_met(self) -> np.ndarray:
        """Of inputs that stand for categories and gaps those that are 0 in all rows that count."""

    def together(self) -> Self:
        """All of it where the inputs are."""

    def blocks(self) -> Iterator[Block]:
        """Cut into blocks that together are the whole, in order (D7)."""

    def epoch(self, rng: np.random.RandomState, shuffle: bool, batch_size: int) -> Generator[tuple[Block, np.ndarray]]:
        """Blocks with the order in which to visit their rows: whole minibatches, but for the last."""


class Dataset(Protocol):
    """Checked rows: X, y in the user's labels or units, and raw weights."""

    device: Device

    @property
    def X(self) -> object:
        """What a scorer predicts for."""

    @property
    def y(self) -> np.ndarray:
        """Targets, on the host."""

    @property
    def weights(self) -> np.ndarray | None:
        """Weights on the host, or None: all 1."""

    @property
    def dtype(self) -> np.dtype:
        """NumPy's name for that of X."""

    @property
    def largest(self) -> float:
        """Largest absolute value of the inputs."""

    @property
    def sample(self) -> ArrayDataset:
        """Rows in memory that stand for all."""

    @property
    def examples(self) -> np.ndarray:
        """Targets of the kind, the width and the domain of all: every label, smallest and largest number."""

    def __len__(self) -> int: ...

    def fingerprint(self) -> str:
        """Shape, kind and content of all."""

    def split(
        self, rng: np.random.RandomState, fraction: float, strata: Callable[[np.ndarray], np.ndarray | None]
    ) -> tuple[Self, Dataset]:
        """Rows to train on, and rows held out for validation."""

    def moments(self) -> Moments:
        """Weighted moments of the targets."""

    def class_totals(self, codec: LabelCodec) -> tuple[np.ndarray, float]:
        """Weighted number of rows of each class, and the sum of the weights."""

    def training_set(
        self, codec: TargetCodec, factors: np.ndarray | None, spec: FitSpec, dtype: DTypeLike
    ) -> TrainingSet:
        """Rows to train on, with the factors that class weights give."""

    def validation_blocks(self, codec: TargetCodec, dtype: DTypeLike) -> Callable[[], Iterable[Block]]:
        """Blocks for the validation loss, each time anew: X and targets on the device, weights on the host."""

    def engine(self, network: Network, spec: FitSpec, plan: FitPlan) -> Engine:
        """An engine that computes where the rows are."""


@dataclass
class ArrayDataset:
    """The rows of a `Dataset` that are in memory: X on its device, y and weights on the host."""

    X: Array
    y: np.ndarray
    weights: np.ndarray | None
    device: Device = HOST

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: np.ndarray) -> Self:
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, X=self.device.take(self.X, rows), y=self.y[rows], weights=weights)

    def in_memory(self, dtype: DTypeLike) -> ArrayDataset:
        """The same rows in this dtype, to be trained on in this process."""
        return replace(self, X=self.device.cast(self.X, dtype))

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.device.dtype_of(self.X))

    @property
    def largest(self) -> float:
        return self.device.largest(self.X)

    @property
    def sample(self) -> ArrayDataset:
        return self

    @property
    def examples(self) -> np.ndarray:
        return self.y

    def fingerprint(self) -> str:
        name = fingerprint([(self.X, self.y, self.weights)], self.device)
        return f"{tuple(self.X.shape)} {self.dtype} {name}"

    def split(
        self, rng: np.random.RandomState, fraction: float, strata: Callable[[np.ndarray], np.ndarray | None]
    ) -> tuple[Self, Self]:
        train_rows, validation_rows = validation_split(rng, len(self), fraction, self.weights, strata(self.y))
        return self[train_rows], self[validation_rows]

    def moments(self) -> Moments:
        return moments_of(self.y, self.weights)

    def class_totals(self, codec: LabelCodec) -> tuple[np.ndarray, float]:
        counts = class_counts(codec.encode(self.y, np.float64), self.weights, codec.n_targets)
        return counts, float(len(self)) if self.weights is None else float(self.weights.sum())

    def encoded(self, codec: TargetCodec, factors: np.ndarray | None, dtype: DTypeLike) -> Block:
        """The rows as a network learns from them, with the weights that class weights give."""
        X, Y = self.device.cast(self.X, dtype), codec.encode(self.y, dtype)
        return Block(X, Y, apply_class_factors(factors, Y, self.weights), self.device)

    def training_set(self, codec: TargetCodec, factors: np.ndarray | None, spec: FitSpec, dtype: DTypeLike) -> Block:
        rows = self.encoded(codec, factors, dtype)
        if rows.weights is not None:
            check_weight_sum(rows.weights)
        return rows.in_units(dtype)

    def validation_blocks(self, codec: TargetCodec, dtype: DTypeLike) -> Callable[[], list[Block]]:
        rows = self.encoded(codec, None, dtype)
        blocks = [replace(rows, Y=self.device.put(rows.Y))]
        return lambda: blocks

    def engine(self, network: Network, spec: FitSpec, plan: FitPlan) -> Engine:
        rule, xp = plan.optimizer(spec), self.device.xp
        return choose_engine(network, rule, spec.engine, xp, spec.n_threads, spec.precision)
