"""The engine of a cluster: every rank computes with its own rows, and sums add up (D7)."""

from __future__ import annotations

import time
from typing import Any

from skbackprop._dask.ranks import Rank, apply_step, describe
from skbackprop._nn.network import Network
from skbackprop._nn.optimizers import Optimizer

SLICE_SECONDS = 0.1  # of steps between two chances to interrupt


class ClusterEngine:
    """The engine contract, computed by all ranks; rank 0 makes the steps and keeps the optimizer's memory."""

    def __init__(self, rank: Rank, network: Network, optimizer: Optimizer):
        self.network = network
        rank.call("build", spec=describe(network, optimizer, rank.engine_kind))
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
        self, X: Any, Y: Any, weights: Any, step: int | None = None, row_offset: Any = 0
    ) -> tuple[float, Any, float]:
        """Sums over the training set, in one round; Y and weights are with the ranks already."""
        self.rank.check()
        theta = self.local.dump(memory=False)[0]
        (loss, weight), gradient = self.rank.call("gradient", theta, engine=self.number, table=X.table)
        return loss, gradient, weight

    def train_steps(
        self, X: Any, Y: Any, weights: Any, order: Any, rates: Any, first_step: int, sums: Any = (0.0, 0.0)
    ) -> tuple[Any, int]:
        """Some steps, each a round or, with sync_every, that many in one; add to the sums."""
        self.rank.check()
        started, batch_size = time.perf_counter(), self.objective.batch_size
        n = min(len(rates), self._stride if self.rank.sync_every == 1 else self.rank.sync_every)
        rows, where = X.numbers(order[: n * batch_size]), {"engine": self.number, "table": X.table}
        walk = self._exact if self.rank.sync_every == 1 else self._apart
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

    def predict(self, X: Any, link: bool = True, checked: bool = True, members: bool = False) -> Any:
        """Outputs for rows that lie on the ranks."""
        theta = self.local.dump(memory=False)[0]
        answers = self.rank.call(
            "predict", theta, *X.selection, engine=self.number, table=X.table, link=link, members=members
        )
        return X.assemble(answers, axis=1 if members else 0)
