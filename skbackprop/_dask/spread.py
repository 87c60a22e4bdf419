"""Rows that are elsewhere, for rank 0: an X, a place, and an engine that let the ordinary fit run on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from skbackprop._dask.ranks import Rank, apply_step, describe
from skbackprop._dask.tables import Layout
from skbackprop._fit.batches import Rows
from skbackprop._fit.device import Host

SLICE_SECONDS = 0.1  # of steps between two chances to interrupt


class Remote:
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

    def astype(self, dtype: Any, copy: bool = False) -> Remote:
        """The same rows in another dtype."""
        return Remote(self.rank, self.layouts, self.table, self.shape[1], dtype, self.rows)

    def __getitem__(self, rows: Any) -> Remote:
        rows = rows[0] if isinstance(rows, tuple) else rows  # of all columns
        return Remote(self.rank, self.layouts, self.table, self.shape[1], self.dtype, self.numbers(rows))

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


class Spread(Host):
    """The place of such an X."""

    def __eq__(self, other: object) -> bool:
        return type(other) in (Host, Spread)  # parameters and targets are NumPy's in both

    def __hash__(self) -> int:
        return hash(Host)

    def __repr__(self) -> str:
        return "a Dask collection"

    def fetch(self, array: Any) -> Any:
        """Bring rows to rank 0."""
        return np.asarray(array) if isinstance(array, Remote) else array

    def largest(self, X: Any) -> float:
        """Ask all ranks, of rows that are with them."""
        if not isinstance(X, Remote):
            return super().largest(X)
        return max(largest for largest, _ in X.rank.call("largest", table=X.table))


class SpreadRows(Rows):
    """A training set whose gradient is one round, however many rows it has."""

    def blocks(self) -> Iterator[Rows]:
        """All in one."""
        yield self


class SpreadEngine:
    """The engine contract, computed by all ranks; rank 0 makes the steps and keeps the optimizer's memory."""

    def __init__(self, rank: Rank, plan: Any, kind: str, sync_every: int, check: Callable[[], None]):
        self.network, self.sync_every, self._check = plan.network, sync_every, check
        rank.call("build", spec=describe(plan.network, plan.optimizer, kind))
        self.rank, self.number, self.local = rank, len(rank.engines) - 1, rank.engines[-1]
        self.step = 0
        self._stride = 1  # steps in a slice

    def load(self, theta: Any, state: Any = None, objective: Any = None) -> None:
        """Take parameters, the optimizer's memory and the objective."""
        self.local.load(theta, state, objective)
        self.objective, self.rank.memory[self.number] = objective, state

    def dump(self, memory: bool = True) -> tuple[Any, Any]:
        """Give parameters and memory back."""
        return self.local.dump(memory)

    def loss_and_gradient(
        self, X: Remote, Y: Any, weights: Any, step: int | None = None, row_offset: Any = 0
    ) -> tuple[float, Any, float]:
        """Sums over the training set, in one round; Y and weights are with the ranks already."""
        self._check()
        theta = self.local.dump(memory=False)[0]
        (loss, weight), gradient = self.rank.call("gradient", theta, engine=self.number, table=X.table)
        return loss, gradient, weight

    def train_steps(
        self, X: Remote, Y: Any, weights: Any, order: Any, rates: Any, first_step: int, sums: Any = (0.0, 0.0)
    ) -> tuple[Any, int]:
        """Some steps, each a round or, with sync_every, that many in one; add to the sums."""
        self._check()
        started, batch_size = time.perf_counter(), self.objective.batch_size
        n = min(len(rates), self._stride if self.sync_every == 1 else self.sync_every)
        rows, where = X.numbers(order[: n * batch_size]), {"engine": self.number, "table": X.table}
        walk = self._exact if self.sync_every == 1 else self._apart
        sums = walk(rows, rates[:n], where, first_step, sums)
        self.step = first_step + n
        seconds = (time.perf_counter() - started) / n
        self._stride = max(1, min(2 * self._stride, int(SLICE_SECONDS / seconds)))
        return sums, n

    def _exact(self, rows: Any, rates: Any, where: Any, first_step: int, sums: Any) -> list[float]:
        return self.rank.call(
            "steps",
            rows,
            rates,
            **where,
            batch_size=self.objective.batch_size,
            first_step=first_step,
            mine={"finish": self._finish, "sums": sums},
        )

    def _finish(self, theta: Any, gradient: Any, n_rows: int, rate: float, step: int) -> None:
        self.local.step = step
        is_weight = self.rank.is_weight[self.number]
        apply_step(self.local, theta, gradient, n_rows, rate, self.objective, is_weight)

    def _apart(self, rows: Any, rates: Any, where: Any, first_step: int, sums: Any) -> list[float]:
        aims, theta = self.objective, self.local.dump(memory=False)[0]
        aims_sent = [aims.batch_size, float(aims.mean_weight), float(aims.penalty)]
        (loss, weight, n_rows), total = self.rank.call(
            "walk", theta, rows, rates, **where, objective=aims_sent, first_step=first_step
        )
        mean = (total / n_rows).astype(theta.dtype, copy=False)
        self.local.load(mean, self.rank.memory[self.number], aims)
        return [sums[0] + loss, sums[1] + weight]

    def predict(self, X: Remote, link: bool = True, checked: bool = True, members: bool = False) -> Any:
        """Outputs for rows that lie on the ranks."""
        theta = self.local.dump(memory=False)[0]
        answers = self.rank.call(
            "predict", theta, *X.selection, engine=self.number, table=X.table, link=link, members=members
        )
        return X.assemble(answers, axis=1 if members else 0)
