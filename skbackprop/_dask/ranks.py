"""What each worker does in a fit: the same operations on every rank, each on its own rows.

Rank 0 leads: what it calls, all ranks do, itself included. The others follow until it ends the fit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import scipy.sparse as sp

from skbackprop._dask.comms import Tree
from skbackprop._dask.request import FitRequest
from skbackprop._dask.tables import Shard, to_plain
from skbackprop._engines import choose_engine
from skbackprop._fit.device import HOST
from skbackprop._fit.scales import in_validation_set
from skbackprop._nn.losses import LossArgs
from skbackprop._nn.network import Network, Objective, weights_alone
from skbackprop._nn.optimizers import Optimizer

END = "end"


class Rank:
    """One rank's rows and engines, and the tree that joins it with the others."""

    def __init__(self, tree: Tree, request: FitRequest, shards: dict[str, Shard], n_threads: int):
        self.tree, self.shards, self.n_threads = tree, shards, n_threads
        self.check_rows = request.check_rows
        self.engine_kind, self.sync_every = request.spec.engine, request.sync_every
        self.check: Callable[[], None] = lambda: None  # raises if the client wants the fit to end
        self.serving: dict[Network, Any] = {}  # engines for predictions
        self.engines: list[Any] = []
        self.is_weight: list[Any] = []  # of each engine: 1 for what is penalised, 0 for what is not
        self.memory: dict[int, Any] = {}  # of the optimizer, by engine, between stretches of `walk`

    def call(self, name: str, *arrays: Any, mine: dict[str, Any] | None = None, **facts: Any) -> Any:
        """Lead: let all ranks do this; `mine` is for the root alone."""
        self.tree.broadcast([name, facts], arrays)
        return getattr(self, name)(*arrays, **facts, **(mine or {}))

    def end(self) -> None:
        """Lead: send the others home."""
        self.tree.broadcast([END, {}])

    def follow(self) -> None:
        """Do what the root calls, until it ends the fit."""
        while True:
            (name, facts), arrays = self.tree.broadcast()
            if name == END:
                return
            getattr(self, name)(*arrays, **facts)

    # ---------------------------------------------------------------------------------- data ----

    def read(self, *, table: str, columns: Any = None) -> list[Any]:
        """Check this rank's rows as a local fit would; the root gets every rank's y, weights and columns.

        columns: number and names (or None) that X must have; None: to be learned from X.
        """
        shard, facts, arrays = self.shards[table], None, []
        if shard.layout.n:
            with in_validation_set() if table == "validation" else nullcontext():
                shard.X, y, features = self.check_rows(shard.X, shard.y, columns)
            if sp.issparse(shard.X):
                raise TypeError("Blocks of Dask arrays must be dense; sparse ones go to the local estimator.")
            shard.y, is_object = to_plain(y)
            names = None if features.names is None else tuple(features.names)
            facts = [features.n, names, shard.X.dtype.name, is_object]
            w = shard.sample_weight
            arrays = [shard.y] + ([] if w is None else [np.asarray(w, dtype=np.float64)])
        return self.tree.gather(facts, arrays)

    def prepare(self, *split: Any, table: str, dtype: str, messages: Any = ()) -> None:
        """Cast X and take the targets and weights of the training rows: all, or those of a split."""
        shard = self.shards[table]
        _, (Y, *weights) = self.tree.scatter(messages)
        self._cast(shard, dtype)
        shard.training = None
        shard.Y, shard.weights = Y, weights[0] if weights else None
        if split:
            _, here = shard.layout.find(split[0])
            shard.training = here
            shard.Y, shard.weights = (
                _spread(part, here, shard.layout.n) for part in (shard.Y, shard.weights)
            )

    def collect(self, *rows: Any, table: str, dtype: str) -> list[Any]:
        """X of some rows, or of all, to the root."""
        shard = self.shards[table]
        if not shard.layout.n:
            return self.tree.gather(None)
        with np.errstate(over="ignore"):
            X = shard.X[self._here(shard, rows)].astype(dtype, copy=False)
        return self.tree.gather(None, [X])

    def largest(self, *, table: str) -> list[Any]:
        """Largest absolute value of X."""
        shard = self.shards[table]
        return self.tree.gather(HOST.largest(shard.X) if shard.layout.n else 0.0)

    @staticmethod
    def _cast(shard: Shard, dtype: str) -> None:
        if shard.layout.n:
            shard.X = np.ascontiguousarray(shard.X, dtype=dtype)

    @staticmethod
    def _here(shard: Shard, rows: tuple[Any, ...]) -> Any:
        return shard.layout.find(rows[0])[1] if rows else slice(None)

    # ---------------------------------------------------------------------------- arithmetic ----

    def build(self, *, spec: str) -> None:
        """Make an engine from what the root describes; it is known by its number from then on."""
        engine = _engine_of(spec, self.n_threads)
        self.engines.append(engine)
        ones = np.ones(engine.network.n_parameters, dtype=np.float32)  # which keeps float32 what it meets
        self.is_weight.append(weights_alone(np, engine.network, ones))

    def gradient(self, theta: Any, *, engine: int, table: str) -> tuple[list[float], Any]:
        """Sums over all training rows, in one round."""
        shard, local = self.shards[table], self.engines[engine]
        local.load(theta)
        numbers, total = [0.0, 0.0], None
        for block in shard.blocks() if shard.Y is not None else ():
            loss, gradient, weight = local.loss_and_gradient(*block)
            numbers = [numbers[0] + float(loss), numbers[1] + float(weight)]
            total = gradient if total is None else total + gradient
        return self.tree.reduce(numbers, total)

    def steps(
        self,
        order: Any,
        rates: Any,
        *,
        engine: int,
        table: str,
        batch_size: int,
        first_step: int,
        finish: Any = None,
        sums: Any = (0.0, 0.0),
    ) -> Any:
        """Minibatches through `order`: each rank's part of the gradient, added up; the root makes the step.

        finish(theta, gradient, n_rows, rate, step): the root's, who sends the weights after it with the next step, and
        adds to the sums of losses and weights.
        """
        shard, local = self.shards[table], self.engines[engine]
        positions, here = shard.layout.find(order)
        bounds = np.searchsorted(positions, np.arange(len(rates) + 1) * batch_size)
        for k, rate in enumerate(rates):
            own = slice(bounds[k], bounds[k + 1])
            if finish is not None:
                theta = local.dump(memory=False)[0]
                self.tree.broadcast(None, [theta])
            else:
                local.load(self.tree.broadcast()[1][0])
            numbers, gradient = [0.0, 0.0], None
            if own.stop > own.start:  # the masks of a row's place in the whole minibatch
                in_batch = positions[own] - k * batch_size
                loss, gradient, weight = local.loss_and_gradient(
                    *shard.take(here[own]), first_step + k, in_batch
                )
                numbers = [float(loss), float(weight)]
            numbers, gradient = self.tree.reduce(numbers, gradient)
            if finish is not None:
                sums = sums[0] + numbers[0], sums[1] + numbers[1]
                finish(theta, gradient, min(batch_size, len(order) - k * batch_size), rate, first_step + k)
        return sums

    def walk(
        self,
        theta: Any,
        order: Any,
        rates: Any,
        *,
        engine: int,
        table: str,
        objective: list[Any],
        first_step: int,
    ) -> tuple[list[float], Any]:
        """Steps of one's own, each rank with its rows of the minibatches; then the mean of the weights.

        A rank counts by the rows it saw. Its optimizer's memory stays its own.
        """
        shard, local, aims = self.shards[table], self.engines[engine], Objective(*objective)
        positions, here = shard.layout.find(order)
        bounds = np.searchsorted(positions, np.arange(len(rates) + 1) * aims.batch_size)
        local.load(theta, self.memory.get(engine), aims)
        sums = [0.0, 0.0, float(len(positions))]
        for k, rate in enumerate(rates):
            own = slice(bounds[k], bounds[k + 1])
            n = int(own.stop - own.start)
            if not n:
                continue
            in_batch = positions[own] - k * aims.batch_size
            loss, gradient, weight = local.loss_and_gradient(*shard.take(here[own]), first_step + k, in_batch)
            local.step = first_step + k
            now = local.dump(memory=False)[0]
            apply_step(local, now, gradient, n, rate, aims, self.is_weight[engine])
            sums = [sums[0] + float(loss), sums[1] + float(weight), sums[2]]
        theta, self.memory[engine] = local.dump()
        return self.tree.reduce(sums, theta * sums[2] if sums[2] else None)

    def predict(
        self, theta: Any, *rows: Any, engine: int, table: str, link: bool, members: bool
    ) -> list[Any]:
        """Outputs of the network for some rows, or for all, to the root."""
        shard, local = self.shards[table], self.engines[engine]
        here = self._here(shard, rows)
        if not shard.layout.n or (rows and not len(here)):
            return self.tree.gather(None)
        self._cast(shard, theta.dtype.name)
        local.load(theta)
        return self.tree.gather(None, [local.predict(shard.X[here], link=link, members=members)])


def apply_step(
    engine: Any, theta: Any, gradient: Any, n_rows: int, rate: float, objective: Objective, is_weight: Any
) -> None:
    """One step from theta by the sum of a minibatch's gradients, as `train_steps` makes it."""
    gradient = gradient * theta.dtype.type(1.0 / (n_rows * objective.mean_weight))  # D7
    if objective.penalty:
        decay = is_weight * theta
        decay *= objective.penalty
        gradient += decay
    engine.apply_gradient(gradient, float(rate))


def describe(network: Network, optimizer: Optimizer, kind: str) -> str:
    """An engine in text, from which every rank can make it."""
    parts = {"network": asdict(network), "optimizer": asdict(optimizer), "kind": kind}
    return json.dumps(parts, default=lambda number: number.item())


def _engine_of(spec: str, n_threads: int) -> Any:
    parts = json.loads(spec)
    fields = parts["network"]
    args: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in fields["loss_args"].items()}
    fields |= {k: tuple(v) for k, v in fields.items() if isinstance(v, list)} | {
        "loss_args": LossArgs(**args)
    }
    return choose_engine(
        Network(**fields), Optimizer(**parts["optimizer"]), parts["kind"], n_threads=n_threads
    )


def _spread(part: Any, rows: Any, n: int) -> Any:
    """Values of some of n rows where these rows are; the others are never looked at."""
    if part is None:
        return None
    whole = np.zeros((n, *part.shape[1:]), dtype=part.dtype)
    whole[rows] = part
    return whole
