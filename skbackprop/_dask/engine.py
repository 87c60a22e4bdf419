"""The engine of a cluster and its inputs: ranks compute sums over their own rows, which add up (D7)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import DTypeLike

from skbackprop._dask.job import Layout
from skbackprop._dask.ranks import Rank
from skbackprop._dask.wire import Message
from skbackprop._engines.encoded_table import EncodedTable
from skbackprop._engines.engine import RowNumbers, Sums, Weights
from skbackprop._fit.block import in_blocks
from skbackprop._fit.dataset import RemoteRows
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._nn.network import Network, Objective
from skbackprop._nn.optimizers import Optimizer
from skbackprop._types import Array, Integers

SLICE_SECONDS = 0.1  # of steps between two chances to interrupt
Result = TypeVar("Result")


class ClusterEngine:
    """The interface `Engine`, computed by all ranks; rank 0 makes the steps and keeps the optimizer's memory."""

    objective: Objective

    def __init__(self, rank: Rank, network: Network, optimizer: Optimizer):
        self.network = network
        rank.call(Rank.build, network=asdict(network), optimizer=asdict(optimizer))
        self._rank, self._number, self._local = rank, len(rank.engines) - 1, rank.engines[-1]
        self.step = 0
        self._slice_steps = 1

    @property
    def precision(self) -> str:
        return self._local.engine.precision

    def load(self, theta: np.ndarray, state: dict[str, Any] | None = None, objective: Objective | None = None) -> None:
        self._local.engine.load(theta, state, objective)
        self._local.memory = state
        if objective is not None:
            self.objective = objective

    def dump(self, memory: bool = True) -> tuple[np.ndarray, dict[str, Any] | None]:
        return self._local.engine.dump(memory)

    def _call(self, operation: Callable[..., Result], table: str, *arrays: np.ndarray, **facts: Any) -> Result:
        """Call an operation on all ranks with this engine and their rows of the table."""
        return self._rank.call(operation, *arrays, engine=self._number, table=table, **facts)

    def loss_and_gradient(
        self, X: Any, Y: Array, weights: Weights, step: int | None = None, row_offset: RowNumbers = 0
    ) -> tuple[float, np.ndarray, float]:
        """Sums over the training set, in one round; the ranks have Y and weights already."""
        self._rank.check()
        (loss, weight), gradient = self._call(Rank.gradient, X.table.name, self._local.theta)
        return loss, gradient, weight

    def train_steps(
        self,
        X: Any,
        Y: Array,
        weights: Weights,
        order: Integers,
        rates: Array,
        first_step: int,
        sums: Sums = (0.0, 0.0),
    ) -> tuple[tuple[float, float], int]:
        """Some steps, each a round or, with sync_every, that many in one; add to the sums of losses and weights."""
        self._rank.check()
        started, sync_every = time.perf_counter(), self._rank.request.sync_every
        n = min(len(rates), self._slice_steps if sync_every == 1 else sync_every)
        rows = X.numbers(order[: n * self.objective.batch_size])
        make = self._exact_steps if sync_every == 1 else self._local_steps
        so_far = float(sums[0]), float(sums[1])
        loss, weight = make(rows, rates[:n], X.table.name, first_step, so_far)
        self.step = first_step + n
        seconds = (time.perf_counter() - started) / n
        self._slice_steps = max(1, min(2 * self._slice_steps, int(SLICE_SECONDS / seconds)))
        return (loss, weight), n

    def _exact_steps(
        self, rows: np.ndarray, rates: np.ndarray, table: str, first_step: int, sums: tuple[float, float]
    ) -> tuple[float, float]:
        """Make each step with the gradient of the whole minibatch."""
        batch_size = self.objective.batch_size

        def step(k: int, theta: np.ndarray, numbers: list[float], gradient: np.ndarray) -> None:
            nonlocal sums
            sums = sums[0] + numbers[0], sums[1] + numbers[1]
            n_rows = min(batch_size, len(rows) - k * batch_size)
            self._local.apply(theta, gradient, n_rows, rates[k], first_step + k)

        facts = {"batch_size": batch_size, "first_step": first_step}
        self._call(Rank.exact_steps, table, rows, **facts, root_only={"step": step})
        return sums

    def _local_steps(
        self, rows: np.ndarray, rates: np.ndarray, table: str, first_step: int, sums: tuple[float, float]
    ) -> tuple[float, float]:
        """Let each rank make steps on its own, then average the weights by the numbers of rows."""
        aim, theta = self.objective, self._local.theta
        facts = {"objective": [aim.batch_size, float(aim.mean_weight), float(aim.penalty)], "first_step": first_step}
        (loss, weight, n_rows), total = self._call(Rank.local_steps, table, theta, rows, rates, **facts)
        mean = (total / n_rows).astype(theta.dtype, copy=False)
        self._local.engine.load(mean, self._local.memory, aim)
        return sums[0] + loss, sums[1] + weight

    def predict(self, X: Any, link: bool = True, checked: bool = True, members: bool = False) -> np.ndarray:
        arrays = [self._local.theta, *X.selection]
        answers = self._call(Rank.predict, X.table.name, *arrays, link=link, members=members)
        return X.assemble(answers, axis=1 if members else 0)


@dataclass
class RemoteTable:
    """The rows of X, of the training or of the validation set, that the ranks hold."""

    rank: Rank
    name: str
    layouts: list[Layout]
    n_features: int
    codes: EncodedTable | None = None  # a table without rows that has their columns, if these are codes
    engines: dict[Network, ClusterEngine] = field(default_factory=dict)  # for predictions


class RemoteX(RemoteRows):
    """X of a table on the workers, or of some rows, in place of an array; indexing and casting move no data."""

    ndim = 2

    def __init__(self, table: RemoteTable, dtype: DTypeLike, rows: np.ndarray | None = None):
        self.table, self.dtype, self.rows = table, np.dtype(dtype), rows
        n = sum(layout.n for layout in table.layouts) if rows is None else len(rows)
        self.shape = n, table.n_features
        self._fetched: np.ndarray | EncodedTable | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def astype(self, dtype: DTypeLike, copy: bool = False) -> RemoteX:
        """The same rows in another dtype."""
        return RemoteX(self.table, dtype, self.rows)

    def __getitem__(self, rows: Any) -> RemoteX:
        rows = rows[0] if isinstance(rows, tuple) else rows  # of all columns
        return RemoteX(self.table, self.dtype, self.numbers(rows))

    def numbers(self, rows: np.ndarray | slice) -> np.ndarray:
        """Numbers of these rows in the whole table."""
        if self.rows is not None:
            return self.rows[rows]
        return np.arange(self.shape[0])[rows] if isinstance(rows, slice) else np.asarray(rows)

    @property
    def selection(self) -> list[np.ndarray]:
        """The row numbers to send to the ranks, or nothing for all rows."""
        return [] if self.rows is None else [self.rows]

    def positions(self, layout: Layout) -> np.ndarray:
        """The rows among these that a rank holds."""
        return layout.rows if self.rows is None else layout.find(self.rows)[0]

    def assemble(self, answers: list[Message], axis: int = 0, which: int = 0) -> np.ndarray:
        """Join the arrays that ranks return for their parts of these rows."""
        answered = zip(self.table.layouts, answers, strict=True)
        held = [(layout, arrays[which]) for layout, (_, arrays) in answered if arrays]
        shape = list(held[0][1].shape)
        shape[axis] = self.shape[0]
        whole = np.empty(shape, dtype=held[0][1].dtype)
        for layout, part in held:
            whole[(slice(None),) * axis + (self.positions(layout),)] = part
        return whole

    def fetch(self) -> np.ndarray | EncodedTable:
        """Copy the rows to this process."""
        if self._fetched is None:
            call, codes = self.table.rank.call, self.table.codes
            answers = call(Rank.collect, *self.selection, table=self.table.name, dtype=self.dtype.name)
            if codes is None:
                self._fetched = self.assemble(answers)
            else:
                arrays = [self.assemble(answers, which=k) for k in range(len(codes.rows))]
                self._fetched = codes.astype(self.dtype).with_rows(arrays)
        return self._fetched

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        rows = np.asarray(self.fetch())
        return rows if dtype is None else rows.astype(dtype, copy=False)

    def outputs(self, model: FittedModel, options: dict[str, bool], answer: Callable[[Any], Any] | None) -> Any:
        engines, network = self.table.engines, model.network
        if network not in engines:
            engines[network] = ClusterEngine(self.table.rank, network, Optimizer())
        engine = engines[network]
        engine.load(model.theta)
        if answer is None:
            return engine.predict(self, **options)
        return in_blocks(engine, cast(Array, self), options, answer)
