"""Datasets whose inputs lie on the workers of a cluster; targets and weights are here, on rank 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from skbackprop._dask.engine import ClusterEngine
from skbackprop._dask.ranks import Rank
from skbackprop._dask.tables import Layout, from_plain
from skbackprop._fit.block import Block, in_blocks
from skbackprop._fit.dataset import ArrayDataset, RemoteRows
from skbackprop._fit.device import Device
from skbackprop._fit.fitted_model import Features, FittedModel
from skbackprop._fit.spec import FitPlan, FitSpec
from skbackprop._fit.targets import TargetCodec
from skbackprop._nn.network import Network
from skbackprop._nn.optimizers import Optimizer


class RemoteX(RemoteRows):
    """X of a table, or of some of its rows, that lies on the ranks."""

    ndim = 2

    def __init__(
        self, rank: Rank, layouts: list[Layout], table: str, n_features: int, dtype: Any, rows: Any = None
    ):
        self.rank, self.layouts, self.table, self.rows = rank, layouts, table, rows
        n = sum(layout.n for layout in layouts) if rows is None else len(rows)
        self.shape, self.dtype = (n, n_features), np.dtype(dtype)
        self._here: Any = None  # once somebody asked for it

    def __len__(self) -> int:
        return self.shape[0]

    def astype(self, dtype: Any, copy: bool = False) -> RemoteX:
        """The same rows in another dtype."""
        return RemoteX(self.rank, self.layouts, self.table, self.shape[1], dtype, self.rows)

    def __getitem__(self, rows: Any) -> RemoteX:
        rows = rows[0] if isinstance(rows, tuple) else rows  # of all columns
        return RemoteX(self.rank, self.layouts, self.table, self.shape[1], self.dtype, self.numbers(rows))

    def numbers(self, rows: Any) -> Any:
        """Numbers in the whole table of these rows."""
        if self.rows is not None:
            return self.rows[rows]
        return np.arange(self.shape[0])[rows] if isinstance(rows, slice) else np.asarray(rows)

    @property
    def selection(self) -> list[Any]:
        """What to send the ranks: the rows' numbers, or nothing for all."""
        return [] if self.rows is None else [self.rows]

    def positions(self, layout: Layout) -> Any:
        """Which of these rows a rank holds."""
        return layout.rows if self.rows is None else layout.find(self.rows)[0]

    def assemble(self, answers: list[Any], axis: int = 0) -> Any:
        """Join what the ranks computed for their rows, in the order of the rows."""
        parts = [
            (self.positions(layout), arrays[0])
            for layout, (_, arrays) in zip(self.layouts, answers, strict=True)
            if arrays
        ]
        shape = list(parts[0][1].shape)
        shape[axis] = self.shape[0]
        whole = np.empty(shape, dtype=parts[0][1].dtype)
        for positions, part in parts:
            whole[(slice(None),) * axis + (positions,)] = part
        return whole

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self._here is None:
            answers = self.rank.call("collect", *self.selection, table=self.table, dtype=self.dtype.name)
            self._here = self.assemble(answers)
        return self._here if dtype is None else self._here.astype(dtype, copy=False)

    def outputs(
        self, model: FittedModel, options: dict[str, bool], answer: Callable[[Any], Any] | None
    ) -> Any:
        """What the network gives for all of these rows, or what `answer` makes of that."""
        engine = self.rank.serving.get(model.network)
        if engine is None:
            engine = self.rank.serving[model.network] = ClusterEngine(self.rank, model.network, Optimizer())
        engine.load(model.theta)
        return engine.predict(self, **options) if answer is None else in_blocks(engine, self, options, answer)


class Cluster(Device):
    """Where such an X is."""

    def __eq__(self, other: object) -> bool:
        return type(other) in (Device, Cluster)  # parameters and targets are NumPy's in both

    def __hash__(self) -> int:
        return hash(Device)

    def __repr__(self) -> str:
        return "a Dask collection"

    def fetch(self, array: Any) -> Any:
        """Bring rows to rank 0."""
        return np.asarray(array) if isinstance(array, RemoteX) else array

    def largest(self, X: Any) -> float:
        """Ask all ranks, of rows that are with them."""
        if not isinstance(X, RemoteX):
            return super().largest(X)
        return max(largest for largest, _ in X.rank.call("largest", table=X.table))


class ClusterBlock(Block):
    """A training set whose gradient is one round, however many rows it has."""

    def blocks(self) -> Iterator[Block]:
        """All in one."""
        yield self


@dataclass
class ClusterDataset(ArrayDataset):
    """Rows whose X is a `RemoteX`."""

    def in_memory(self, dtype: Any) -> ArrayDataset:
        """The same rows in this process; for few of them."""
        return ArrayDataset(np.asarray(self.X.astype(dtype)), self.y, self.weights)

    def training_set(self, codec: TargetCodec, factors: Any, spec: FitSpec, dtype: Any) -> ClusterBlock:
        """Rows to train on; each rank gets the targets and weights of its own."""
        block = super().training_set(codec, factors, spec, dtype)
        rows = ClusterBlock(*(getattr(block, field.name) for field in fields(block)))
        X, messages = rows.X, []
        for layout in X.layouts:
            here = X.positions(layout)
            weights = [] if rows.weights is None else [rows.weights[here]]
            messages.append((None, [rows.Y[here], *weights]))
        X.rank.call("prepare", *X.selection, table=X.table, dtype=X.dtype.name, mine={"messages": messages})
        return rows

    def engine(self, network: Network, spec: FitSpec, plan: FitPlan) -> ClusterEngine:
        """An engine that computes where the rows are."""
        return ClusterEngine(self.X.rank, network, plan.optimizer(spec))


def read_table(
    rank: Rank, layouts: list[Layout], table: str, features: Features | None
) -> tuple[Any, Any, Any, Features] | None:
    """X that stays where it is, and y, weights and features that come here; None if the table has no rows."""
    if not any(layout.n for layout in layouts):
        return None
    known = None if features is None else (features.n, features.names)
    answers = rank.call("read", table=table, columns=known)
    held = [(layout, *answer) for layout, answer in zip(layouts, answers, strict=True) if layout.n]
    facts = [facts for _, facts, _ in held]
    known = tuple(facts[0][:2]) if known is None else known
    for n, names, *_ in facts:
        if (n, names) != known:
            raise ValueError(f"Partitions of X differ in their columns: {known} and {(n, names)}.")
    order = np.concatenate([layout.rows for layout, _, _ in held])
    y, *weights = (_ordered(values, order) for values in zip(*(arrays for *_, arrays in held), strict=True))
    dtype = np.result_type(*(dtype for _, _, dtype, _ in facts))
    n, names = known
    X = RemoteX(rank, layouts, table, n, dtype)
    features = Features(n, None if names is None else np.array(names, dtype=object))
    return X, from_plain(y, any(fact[3] for fact in facts)), weights[0] if weights else None, features


def _ordered(values: tuple[Any, ...], order: Any) -> Any:
    """Join arrays of rows and put them in the order of their numbers."""
    joined = np.concatenate(values)
    whole = np.empty_like(joined)
    whole[order] = joined
    return whole
