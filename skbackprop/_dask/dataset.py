"""Datasets whose inputs lie on the workers of a cluster; targets and weights are here, on rank 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike

from skbackprop._dask.engine import ClusterEngine
from skbackprop._dask.ranks import Rank
from skbackprop._dask.shards import Layout
from skbackprop._dask.wire import Message
from skbackprop._fit.block import Block, in_blocks
from skbackprop._fit.dataset import ArrayDataset, RemoteRows
from skbackprop._fit.device import Device
from skbackprop._fit.fitted_model import Features, FittedModel
from skbackprop._fit.spec import FitPlan, FitSpec
from skbackprop._fit.targets import TargetCodec
from skbackprop._nn.network import Network
from skbackprop._nn.optimizers import Optimizer
from skbackprop._types import Array


@dataclass
class RemoteTable:
    """The rows of X, of the training or of the validation set, that the ranks hold."""

    rank: Rank
    name: str
    layouts: list[Layout]
    n_features: int
    engines: dict[Network, ClusterEngine] = field(default_factory=dict)  # for predictions

    @property
    def n_rows(self) -> int:
        """Of all ranks."""
        return sum(layout.n for layout in self.layouts)

    def engine(self, network: Network) -> ClusterEngine:
        """An engine for predictions, made once for each network."""
        if network not in self.engines:
            self.engines[network] = ClusterEngine(self.rank, network, Optimizer())
        return self.engines[network]


class RemoteX(RemoteRows):
    """X of a table, or of some of its rows, in the place of an array; indexing and casting move nothing."""

    ndim = 2

    def __init__(self, table: RemoteTable, dtype: DTypeLike, rows: np.ndarray | None = None):
        self.table, self.dtype, self.rows = table, np.dtype(dtype), rows
        self.shape = (table.n_rows if rows is None else len(rows)), table.n_features
        self._fetched: np.ndarray | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def astype(self, dtype: DTypeLike, copy: bool = False) -> RemoteX:
        """The same rows in another dtype."""
        return RemoteX(self.table, dtype, self.rows)

    def __getitem__(self, rows: Any) -> RemoteX:
        rows = rows[0] if isinstance(rows, tuple) else rows  # of all columns
        return RemoteX(self.table, self.dtype, self.numbers(rows))

    def numbers(self, rows: np.ndarray | slice) -> np.ndarray:
        """Numbers in the whole table of these rows."""
        if self.rows is not None:
            return self.rows[rows]
        return np.arange(self.shape[0])[rows] if isinstance(rows, slice) else np.asarray(rows)

    @property
    def selection(self) -> list[np.ndarray]:
        """What to send the ranks: the rows' numbers, or nothing for all."""
        return [] if self.rows is None else [self.rows]

    def positions(self, layout: Layout) -> np.ndarray:
        """Which of these rows a rank holds."""
        return layout.rows if self.rows is None else layout.find(self.rows)[0]

    def assemble(self, answers: list[Message], axis: int = 0) -> np.ndarray:
        """Put what the ranks answer, each for its own of these rows, together."""
        parts = [
            (self.positions(layout), arrays[0])
            for layout, (_, arrays) in zip(self.table.layouts, answers, strict=True)
            if arrays
        ]
        shape = list(parts[0][1].shape)
        shape[axis] = self.shape[0]
        whole = np.empty(shape, dtype=parts[0][1].dtype)
        for positions, part in parts:
            whole[(slice(None),) * axis + (positions,)] = part
        return whole

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if self._fetched is None:
            call, name = self.table.rank.call, self.table.name
            answers = call(Rank.collect, *self.selection, table=name, dtype=self.dtype.name)
            self._fetched = self.assemble(answers)
        return self._fetched if dtype is None else self._fetched.astype(dtype, copy=False)

    def outputs(
        self, model: FittedModel, options: dict[str, bool], answer: Callable[[Any], Any] | None
    ) -> Any:
        """What the network gives for all of these rows, or what `answer` makes of that."""
        engine = self.table.engine(model.network)
        engine.load(model.theta)
        if answer is None:
            return engine.predict(self, **options)
        return in_blocks(engine, cast(Array, self), options, answer)


class ClusterDevice(Device):
    """The device of a RemoteX; parameters and targets are NumPy's."""

    def __eq__(self, other: object) -> bool:
        return type(other) in (Device, ClusterDevice)

    def __hash__(self) -> int:
        return hash(Device)

    def __repr__(self) -> str:
        return "a Dask collection"

    def fetch(self, array: Any) -> Any:
        """Bring rows to rank 0."""
        return np.asarray(array) if isinstance(array, RemoteX) else array

    def largest(self, X: Any) -> float:
        """Largest absolute value, for which all ranks are asked if the rows are with them."""
        if not isinstance(X, RemoteX):
            return super().largest(X)
        return max(largest for largest, _ in X.table.rank.call(Rank.largest, table=X.table.name))


class ClusterBlock(Block):
    """A training set whose gradient is one round, however many rows it has."""

    def blocks(self) -> Iterator[Block]:
        """All in one."""
        yield self


@dataclass
class ClusterDataset(ArrayDataset):
    """Rows whose X is a `RemoteX`."""

    X: RemoteX  # type: ignore[assignment]  # in the place of an array
    device: Device = field(default_factory=ClusterDevice)

    def in_memory(self, dtype: DTypeLike) -> ArrayDataset:
        """The same rows in this process; for few of them."""
        return ArrayDataset(np.asarray(self.X.astype(dtype)), self.y, self.weights)

    def training_set(
        self, codec: TargetCodec, factors: np.ndarray | None, spec: FitSpec, dtype: DTypeLike
    ) -> ClusterBlock:
        """Rows to train on; each rank gets the targets and weights of its own."""
        block, table, targets = super().training_set(codec, factors, spec, dtype), self.X.table, []
        for layout in table.layouts:
            rows = self.X.positions(layout)
            weights = [] if block.weights is None else [block.weights[rows]]
            targets.append((None, [block.Y[rows], *weights]))
        mine, kind = {"targets": targets}, np.dtype(dtype).name
        table.rank.call(Rank.prepare, *self.X.selection, table=table.name, dtype=kind, root_only=mine)
        return ClusterBlock(block.X, block.Y, block.weights, block.device, block.unit)

    def engine(self, network: Network, spec: FitSpec, plan: FitPlan) -> ClusterEngine:
        """An engine that computes where the rows are."""
        return ClusterEngine(self.X.table.rank, network, plan.optimizer(spec))


def read_table(
    rank: Rank, layouts: list[Layout], name: str, features: Features | None
) -> tuple[ClusterDataset, Features] | None:
    """Check the rows of a table, whose X stays where it is; None if it has none. Weights are the user's still."""
    if not any(layout.n for layout in layouts):
        return None
    known = None if features is None else (features.n, features.names)
    answers = rank.call(Rank.read, table=name, columns=known)
    held = [(layout, *answer) for layout, answer in zip(layouts, answers, strict=True) if layout.n]
    facts = [facts for _, facts, _ in held]
    n, names = facts[0][:2] if known is None else known
    for other in facts:
        if tuple(other[:2]) != (n, names):
            raise ValueError(f"Partitions of X differ in their columns: {(n, names)} and {tuple(other[:2])}.")
    numbers = np.concatenate([layout.rows for layout, _, _ in held])
    arrays = [_ordered(parts, numbers) for parts in zip(*(arrays for *_, arrays in held), strict=True)]
    y, weights = arrays[0], arrays[1] if len(arrays) > 1 else None
    if any(held_objects for *_, held_objects in facts):
        y = y.astype(object)
    X = RemoteX(RemoteTable(rank, name, layouts, n), np.result_type(*(dtype for _, _, dtype, _ in facts)))
    features = Features(n, None if names is None else np.array(names, dtype=object))
    return ClusterDataset(X, y, weights), features


def _ordered(parts: tuple[np.ndarray, ...], numbers: np.ndarray) -> np.ndarray:
    """Join arrays of rows and put them in the order of their numbers."""
    joined = np.concatenate(parts)
    whole = np.empty_like(joined)
    whole[numbers] = joined
    return whole
