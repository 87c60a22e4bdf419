"""Datasets: checked rows, in memory, on disk or on a cluster; and the dataset in memory."""

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
    """Rows on other machines, in place of X: predictions are made there."""

    @abstractmethod
    def outputs(self, model: FittedModel, options: dict[str, bool], answer: Callable[[Array], Array] | None) -> Array:
        """The outputs of the network for all rows, or the results of `answer` for these."""


class TrainingSet(Protocol):
    """Training rows, encoded for an engine."""

    device: Device
    unit: float  # of the weights that the engine sees

    @property
    def n(self) -> int:
        """Number of rows, including those of weight zero."""

    @property
    def weight_sum(self) -> float:
        """Sum of the raw weights, including class weights."""

    @property
    def sample(self) -> Block:
        """A representative sample in memory."""

    def never_met(self) -> np.ndarray:
        """Numbers of the inputs for categories and missing values that are 0 in all rows with weight."""

    def together(self) -> Self:
        """The same with targets and weights on the device of the inputs."""

    def blocks(self) -> Iterator[Block]:
        """All rows in order, as blocks (D7)."""

    def epoch(self, rng: np.random.RandomState, shuffle: bool, batch_size: int) -> Generator[tuple[Block, np.ndarray]]:
        """Blocks with the order in which to visit their rows; all minibatches but the last are complete."""


class Dataset(Protocol):
    """Checked rows: X, y in the user's labels or units, and raw weights."""

    device: Device

    @property
    def X(self) -> object:
        """The rows for which a scorer predicts."""

    @property
    def y(self) -> np.ndarray:
        """Targets, on the host."""

    @property
    def weights(self) -> np.ndarray | None:
        """Weights on the host, or None: all 1."""

    @property
    def dtype(self) -> np.dtype:
        """The dtype of X as one of NumPy."""

    @property
    def largest(self) -> float:
        """Largest absolute value of the inputs."""

    @property
    def sample(self) -> ArrayDataset:
        """A representative sample in memory."""

    @property
    def examples(self) -> np.ndarray:
        """Targets that pass the same checks as all: every label, or the smallest and the largest number."""

    def __len__(self) -> int: ...

    def fingerprint(self) -> str:
        """Text with shape, dtype and a hash of the content."""

    def split(
        self, rng: np.random.RandomState, fraction: float, strata: Callable[[np.ndarray], np.ndarray | None]
    ) -> tuple[Self, Dataset]:
        """Training rows, and validation rows."""

    def moments(self) -> Moments:
        """Weighted moments of the targets."""

    def class_totals(self, codec: LabelCodec) -> tuple[np.ndarray, float]:
        """Weighted number of rows of each class, and the sum of the weights."""

    def training_set(
        self, codec: TargetCodec, factors: np.ndarray | None, spec: FitSpec, dtype: DTypeLike
    ) -> TrainingSet:
        """Training rows, with class weights as factors of their weights."""

    def validation_blocks(self, codec: TargetCodec, dtype: DTypeLike) -> Callable[[], Iterable[Block]]:
        """Make a function that gives blocks for the validation loss; X and targets are on the device."""

    def engine(self, network: Network, spec: FitSpec, plan: FitPlan) -> Engine:
        """An engine that computes on the machine and the device of the rows."""


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
        """The same rows in this dtype, for training in this process."""
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
        """The rows encoded for the network, with weights multiplied by class weights."""
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
