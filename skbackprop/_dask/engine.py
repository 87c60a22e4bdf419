"""The engine of a cluster: every rank computes with its own rows, and sums add up (D7)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from skbackprop._dask.ranks import Rank
from skbackprop._nn.network import Network, Objective
from skbackprop._nn.optimizers import Optimizer

if TYPE_CHECKING:
    from skbackprop._dask.dataset import RemoteX

SLICE_SECONDS = 0.1  # of steps between two chances to interrupt
Result = TypeVar("Result")


class ClusterEngine:
    """The engine contract, computed by all ranks; rank 0 makes the steps and keeps the optimizer's memory."""

    objective: Objective

    def __init__(self, rank: Rank, network: Network, optimizer: Optimizer):
        self.network = network
        rank.call(Rank.build, network=asdict(network), optimizer=asdict(optimizer))
        self._rank, self._number, self._local = rank, len(rank.engines) - 1, rank.engines[-1]
        self.step = 0
        self._slice_steps = 1

    def load(
        self, theta: np.ndarray, state: dict[str, Any] | None = None, objective: Objective | None = None
    ) -> None:
        """Take parameters, the optimizer's memory and the objective."""
        self._local.engine.load(theta, state, objective)
        self._local.memory = state
        if objective is not None:
            self.objective = objective

    def dump(self, memory: bool = True) -> tuple[np.ndarray, dict[str, Any] | None]:
        """Give parameters and memory back."""
        return self._local.engine.dump(memory)

    def _call(
        self, operation: Callable[..., Result], table: str, *arrays: np.ndarray, **facts: Any
    ) -> Result:
        """Let all ranks do this with this engine and their rows of the table."""
        return self._rank.call(operation, *arrays, engine=self._number, table=table, **facts)

    def loss_and_gradient(
        self, X: RemoteX, Y: object, weights: object, step: int | None = None, row_offset: object = 0
    ) -> tuple[float, np.ndarray, float]:
        """Sums over the training set, in one round; Y and weights are with the ranks already."""
        self._rank.check()
        (loss, weight), gradient = self._call(Rank.gradient, X.table.name, self._local.theta)
        return loss, gradient, weight

    def train_steps(
        self,
        X: RemoteX,
        Y: object,
        weights: object,
        order: np.ndarray,
        rates: np.ndarray,
        first_step: int,
        sums: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[tuple[float, float], int]:
        """Some steps, each a round or, with sync_every, that many in one; add to the sums of losses and weights."""
        self._rank.check()
        started, sync_every = time.perf_counter(), self._rank.request.sync_every
        n = min(len(rates), self._slice_steps if sync_every == 1 else sync_every)
        rows = X.numbers(order[: n * self.objective.batch_size])
        make = self._exact_steps if sync_every == 1 else self._local_steps
        loss, weight = make(rows, rates[:n], X.table.name, first_step, sums)
        self.step = first_step + n
        seconds = (time.perf_counter() - started) / n
        self._slice_steps = max(1, min(2 * self._slice_steps, int(SLICE_SECONDS / seconds)))
        return (loss, weight), n

    def _exact_steps(
        self, rows: np.ndarray, rates: np.ndarray, table: str, first_step: int, sums: tuple[float, float]
    ) -> tuple[float, float]:
        """Each step by the gradient of the whole minibatch."""
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
        """Steps of each rank's own, and then the mean of the weights, by the rows that ranks saw."""
        aim, theta = self.objective, self._local.theta
        facts = {
            "objective": [aim.batch_size, float(aim.mean_weight), float(aim.penalty)],
            "first_step": first_step,
        }
        (loss, weight, n_rows), total = self._call(Rank.local_steps, table, theta, rows, rates, **facts)
        mean = (total / n_rows).astype(theta.dtype, copy=False)
        self._local.engine.load(mean, self._local.memory, aim)
        return sums[0] + loss, sums[1] + weight

    def predict(
        self, X: RemoteX, link: bool = True, checked: bool = True, members: bool = False
    ) -> np.ndarray:
        """Outputs for rows that lie on the ranks."""
        arrays = [self._local.theta, *X.selection]
        answers = self._call(Rank.predict, X.table.name, *arrays, link=link, members=members)
        return X.assemble(answers, axis=1 if members else 0)
