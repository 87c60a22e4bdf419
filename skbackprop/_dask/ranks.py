"""The work of each worker in a fit: the same operations on every rank, with its own rows.

Rank 0 leads: it calls operations, which all ranks execute, including itself, until it ends the fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import scipy.sparse as sp

from skbackprop._dask.collectives import Communicator
from skbackprop._dask.job import FitRequest, Shard, put, to_plain, unpack_encoding
from skbackprop._dask.wire import Message
from skbackprop._engines import choose_engine
from skbackprop._engines.encoded_table import EncodedTable
from skbackprop._engines.engine import LocalEngine
from skbackprop._fit.block import Block
from skbackprop._fit.device import HOST
from skbackprop._fit.fitted_model import Features
from skbackprop._fit.scales import in_validation_set
from skbackprop._fit.summaries import TableSummary
from skbackprop._nn.losses import LossArgs
from skbackprop._nn.network import Network, Objective, weights_alone
from skbackprop._nn.optimizers import Optimizer
from skbackprop._readers import weights_of

GradientSums: TypeAlias = tuple[list[float], np.ndarray]  # of losses and weights, and of gradients
# step(k, theta, numbers, gradient) makes step k from theta by these sums
Step: TypeAlias = Callable[[int, np.ndarray, list[float], np.ndarray], None]
Columns: TypeAlias = tuple[int, tuple[str, ...] | None]  # their number, and names if they have any
Result = TypeVar("Result")


class RankEngine:
    """The engine of a rank, which can also make a step with the sum of several ranks' gradients."""

    def __init__(self, engine: LocalEngine):
        self.engine = engine
        self.memory: dict[str, Any] | None = None  # the optimizer's, between rounds of local SGD
        # 1 where penalised, else 0; in float32, so that products with float32 stay float32
        self._is_weight = weights_alone(np, engine.network, np.ones(engine.network.n_parameters, np.float32))

    @property
    def theta(self) -> np.ndarray:
        """The present parameters."""
        return self.engine.dump(memory=False)[0]

    def gradient(self, shard: Shard, rows: np.ndarray, step: int, places: np.ndarray) -> GradientSums:
        """Sums over some rows; dropout masks depend on the position of a row in the whole minibatch."""
        loss, gradient, weight = self.engine.loss_and_gradient(*shard.take(rows), step, places)
        return [float(loss), float(weight)], gradient

    def apply(self, theta: np.ndarray, gradient: np.ndarray, n_rows: int, rate: float, step: int) -> None:
        """Make a step from theta with the summed gradients of a minibatch, as `train_steps` does."""
        objective = self.engine.objective
        gradient = gradient * theta.dtype.type(1.0 / (n_rows * objective.mean_weight))  # D7
        if objective.penalty:
            decay = self._is_weight * theta
            decay *= objective.penalty
            gradient += decay
        self.engine.step = step
        self.engine.apply_gradient(gradient, float(rate))


@dataclass
class Rank:
    """One rank's rows and engines, and its connections to the others."""

    comm: Communicator
    request: FitRequest
    shards: dict[str, Shard]
    n_threads: int
    check: Callable[[], None]  # raises if the client wants the fit to end
    engines: list[RankEngine] = field(default_factory=list)

    def call(
        self, operation: Callable[..., Result], *arrays: Any, root_only: dict[str, Any] | None = None, **facts: Any
    ) -> Result:
        """On rank 0: call one of the operations below on all ranks, with these arguments."""
        self.comm.broadcast([operation.__name__, facts], arrays)
        return operation(self, *arrays, **facts, **(root_only or {}))

    def end(self) -> None:
        """On rank 0: end the fit."""
        self.comm.broadcast(None)

    def follow(self) -> None:
        """Execute the operations that the root calls, until it ends the fit."""
        while (message := self.comm.broadcast())[0] is not None:
            (name, facts), arrays = message
            getattr(self, name)(*arrays, **facts)

    # ---------------------------------------------------------------------------------- data ----

    def find_categories(self, *, table: str) -> list[Message]:
        """Send the root which of this rank's columns hold categories; nothing if none are encoded."""
        shard = self.shards[table]
        found = self.request.find_categories(shard.X) if shard.layout.n else None
        return self.comm.gather(None, [] if found is None else [found])

    def read(
        self, *is_category: np.ndarray, table: str, columns: Columns | None, encoder: str | None = None
    ) -> list[Message]:
        """Check this rank's rows as a local fit does; the root gets y, weights and columns of every rank.

        columns: that X must have; None: learned from X. is_category, encoder: of a table to encode.
        """
        shard = self.shards[table]
        if not shard.layout.n:
            return self.comm.gather(None)
        with in_validation_set() if table == "validation" else nullcontext():
            asked = *(is_category or [None]), encoder
            shard.X, y, features, dtype = self.request.check_rows(shard.X, shard.y, columns, *asked)
        if sp.issparse(shard.X):
            raise TypeError("Blocks of Dask arrays must be dense; sparse ones go to the local estimator.")
        shard.y, held_objects = to_plain(y)
        w = shard.sample_weight
        arrays = [shard.y] + ([] if w is None else [weights_of(np.asarray(w))])
        return self.comm.gather([*columns_of(features), dtype.name, held_objects], arrays)

    def summarise(self, *, table: str, n_rows: int) -> list[Message]:
        """Send the root the statistics of this rank's rows from which the encoding is learned."""
        shard = self.shards[table]
        if not shard.layout.n:
            return self.comm.gather(None)
        w, table_here = shard.sample_weight, shard.X
        summary = TableSummary(n_rows, table_here.numbers.shape[1], len(table_here.factors))
        places = summary.add(table_here, None if w is None else np.asarray(w, dtype=np.float64), shard.layout.rows)
        arrays = [summary.moments, summary.numbers[places], summary.weights[places]]
        return self.comm.gather([list(texts) for texts in summary.texts], arrays)

    def encode(self, *arrays: np.ndarray, table: str, dtype: str, encoding: dict[str, Any]) -> None:
        """Encode this rank's rows of a table."""
        shard = self.shards[table]
        if shard.layout.n:
            shard.X = unpack_encoding(encoding, arrays).encode(shard.X, np.dtype(dtype))

    def never_met(self, *, table: str) -> list[Message]:
        """Send the root the inputs that are 0 in all training rows with weight of this rank."""
        shard = self.shards[table]
        if shard.Y is None or not shard.layout.n:
            return self.comm.gather(None)
        rows = shard.take(slice(None) if shard.training is None else shard.training)
        return self.comm.gather(None, [Block(*rows).never_met()])

    def prepare(self, *selected: np.ndarray, table: str, dtype: str, targets: list[Message] | None = None) -> None:
        """Cast X, and set the targets and weights of the training rows: all, or those selected."""
        shard = self.shards[table]
        _, arrays = self.comm.scatter(targets or ())
        _cast(shard, dtype)
        shard.training = shard.layout.find(selected[0])[1] if selected else None
        if shard.training is not None:
            arrays = [put(array, shard.training, shard.layout.n) for array in arrays]
        shard.Y, shard.weights = arrays[0], arrays[1] if len(arrays) > 1 else None

    def collect(self, *selected: np.ndarray, table: str, dtype: str) -> list[Message]:
        """Send the root X of some or all rows."""
        shard = self.shards[table]
        if not shard.layout.n:
            return self.comm.gather(None)
        with np.errstate(over="ignore"):
            X = shard.X[_local_rows(shard, selected)].astype(dtype, copy=False)
        return self.comm.gather(None, X.rows if isinstance(X, EncodedTable) else [X])

    def largest(self, *, table: str) -> list[Message]:
        """Send the root the largest absolute value of X."""
        shard = self.shards[table]
        return self.comm.gather(HOST.largest(shard.X) if shard.layout.n else 0.0)

    # ---------------------------------------------------------------------------- arithmetic ----

    def build(self, *, network: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Make an engine from the fields of its description; later calls refer to it by number."""
        described = Network(**network | {"loss_args": LossArgs(**network["loss_args"])})
        spec, rule = self.request.spec, Optimizer(**optimizer)
        made = choose_engine(described, rule, spec.engine, n_threads=self.n_threads, precision=spec.precision)
        self.engines.append(RankEngine(made))

    def gradient(self, theta: np.ndarray, *, engine: int, table: str) -> GradientSums:
        """Sums over all training rows, in one round."""
        local = self.engines[engine].engine
        local.load(theta)
        numbers, total = [0.0, 0.0], None
        for block in self.shards[table].blocks():
            loss, gradient, weight = local.loss_and_gradient(*block)
            numbers = [numbers[0] + float(loss), numbers[1] + float(weight)]
            total = gradient if total is None else total + gradient
        return self.comm.reduce(numbers, total)

    def exact_steps(
        self, order: np.ndarray, *, engine: int, table: str, batch_size: int, first_step: int, step: Step | None = None
    ) -> None:
        """For each minibatch, send the root's weights to all ranks, sum the gradients, and step on the root."""
        shard, local = self.shards[table], self.engines[engine]
        for k, (rows, places) in enumerate(_minibatches(shard, order, batch_size)):
            if step is None:
                theta = self.comm.broadcast()[1][0]
                local.engine.load(theta)
            else:
                theta = local.theta
                self.comm.broadcast(None, [theta])
            part = local.gradient(shard, rows, first_step + k, places) if len(rows) else ([0.0, 0.0], None)
            sums = self.comm.reduce(*part)
            if step is not None:
                step(k, theta, *sums)

    def local_steps(
        self,
        theta: np.ndarray,
        order: np.ndarray,
        rates: np.ndarray,
        *,
        engine: int,
        table: str,
        objective: list[float],
        first_step: int,
    ) -> GradientSums:
        """Local SGD: each rank makes steps with its own rows of the minibatches; then weights are summed.

        The weights of a rank are multiplied by its number of rows, which is the last of the sums. Each rank keeps its
        own optimizer memory.
        """
        shard, local = self.shards[table], self.engines[engine]
        batch_size, mean_weight, penalty = objective
        local.engine.load(theta, local.memory, Objective(int(batch_size), mean_weight, penalty))
        losses, weights, n_rows = 0.0, 0.0, 0
        for k, (rows, places) in enumerate(_minibatches(shard, order, int(batch_size))):
            if len(rows):
                (loss, weight), gradient = local.gradient(shard, rows, first_step + k, places)
                local.apply(local.theta, gradient, len(rows), rates[k], first_step + k)
                losses, weights, n_rows = losses + loss, weights + weight, n_rows + len(rows)
        theta, local.memory = local.engine.dump()
        return self.comm.reduce([losses, weights, float(n_rows)], theta * float(n_rows) if n_rows else None)

    def predict(
        self, theta: np.ndarray, *selected: np.ndarray, engine: int, table: str, link: bool, members: bool
    ) -> list[Message]:
        """Send the root the outputs of the network for some or all rows."""
        shard, local = self.shards[table], self.engines[engine].engine
        rows = _local_rows(shard, selected)
        if not shard.layout.n or (selected and not len(rows)):
            return self.comm.gather(None)
        _cast(shard, theta.dtype.name)
        local.load(theta)
        return self.comm.gather(None, [cast(np.ndarray, local.predict(shard.X[rows], link=link, members=members))])


def columns_of(features: Features) -> Columns:
    """The columns of X in the form in which they are sent."""
    return features.n, None if features.names is None else tuple(features.names)


def _cast(shard: Shard, dtype: str) -> None:
    if shard.layout.n:
        is_table = isinstance(shard.X, EncodedTable)
        shard.X = shard.X.astype(dtype) if is_table else np.ascontiguousarray(shard.X, dtype=dtype)


def _local_rows(shard: Shard, selected: tuple[np.ndarray, ...]) -> Any:
    """Positions of the selected rows in this shard; None selects all."""
    return shard.layout.find(selected[0])[1] if selected else slice(None)


def _minibatches(shard: Shard, order: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each minibatch the rows in this shard: their positions here and in the minibatch."""
    positions, rows = shard.layout.find(order)
    bounds = np.searchsorted(positions, np.arange(0, len(order) + batch_size, batch_size))
    for k, (start, stop) in enumerate(pairwise(bounds)):
        yield rows[start:stop], positions[start:stop] - k * batch_size
