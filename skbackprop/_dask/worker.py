"""The long task of each worker that holds rows: rank 0 prepares and trains as one process does, the others follow."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from typing import NamedTuple, cast

import numpy as np
from distributed import get_worker

from skbackprop._dask.channel import WorkerChannel
from skbackprop._dask.collectives import Communicator
from skbackprop._dask.dataset import read_table
from skbackprop._dask.job import Job, Snapshot
from skbackprop._dask.memory import kept_memory
from skbackprop._dask.ranks import Rank
from skbackprop._dask.shards import Shard
from skbackprop._engines.engine import Engine
from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.early_stopping import FitCallbacks
from skbackprop._fit.fit import FitResult, fit_model, prepare
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.scales import check_validation_set, in_validation_set, warn_unscaled
from skbackprop._fit.spec import FitPlan
from skbackprop._fit.state import TrainState
from skbackprop._fit.warn import redirect_messages
from skbackprop._types import Array


class Report(NamedTuple):
    """What rank 0 sends the client at the end."""

    result: FitResult | None  # None: interrupted before there was a model
    rng: np.random.RandomState  # after the fit


class ClientCallbacks(FitCallbacks):
    """Forwards the fit's events to the client's callbacks."""

    def __init__(self, channel: WorkerChannel, state: TrainState):
        self._channel, self._state = channel, state

    def begin_fit(self, max_epochs: int, sample: ArrayDataset) -> None:
        """Say how many epochs there will be at most."""
        self._channel.send("begin_fit", max_epochs)

    def begin_epoch(self) -> None:
        """Say which epoch begins."""
        self._channel.send("begin_epoch", self._state.epoch + 1)

    def end_epoch(self, model: Callable[[], FittedModel]) -> bool:
        """True if a callback asks to stop."""
        self._channel.send("end_epoch", self._state.epoch, model())
        return bool(self._channel.receive(interruptible=True))


class ClientCheckpoint:
    """Keeps the state of the training with the client, who lets it go on from there when a worker is lost."""

    def __init__(self, channel: WorkerChannel, kept: Snapshot | None):
        self._channel, self._kept = channel, kept

    def resume(self, theta: np.ndarray, state: TrainState, plan: FitPlan) -> np.ndarray:
        """Put the state back to where it was; the parameters then, or the given ones in a new fit."""
        if self._kept is None:
            return theta
        kept = self._kept.state
        state.rng.set_state(kept.rng.get_state())
        for field in fields(kept):
            if field.name != "rng":
                setattr(state, field.name, getattr(kept, field.name))
        return self._kept.theta.astype(theta.dtype)

    def is_due(self, last: bool) -> bool:
        """After every epoch but the last."""
        return not last

    def write(self, engine: Engine, state: TrainState) -> None:
        """Send it to the client, once an epoch is over."""
        if state.epoch:
            theta, memory = engine.dump()
            # pickled here: the client need not unpickle it before a worker is lost
            self._channel.send("checkpoint", pickle.dumps(Snapshot(theta, replace(state, state=memory))))


def run_rank(job: Job, number: int, shards: dict[str, Shard]) -> Report | None:
    """Do one rank's part of the fit; rank 0 reports."""
    worker = get_worker()
    if worker.address != job.addresses[number]:
        raise RuntimeError(f"Rank {number} belongs on {job.addresses[number]}, but runs on {worker.address}.")
    with closing(WorkerChannel(job.name)) as channel, kept_memory():
        comm = Communicator(number, len(job.addresses), job.token, worker, channel.is_wanted)
        try:
            channel.send("address", number, comm.open())
            comm.join(channel.receive())
            own = {name: replace(shard) for name, shard in shards.items()}  # the worker's stay as they are
            n_threads = job.request.spec.n_threads or worker.state.nthreads
            rank = Rank(comm, job.request, own, n_threads, channel.check)
            if number == 0:
                return lead(job, rank, channel)
            rank.follow()
        finally:
            comm.close()
            if channel.is_wanted():
                channel.send("done")
    return None


def lead(job: Job, rank: Rank, channel: WorkerChannel) -> Report:
    """Fit as rank 0."""
    request, result = job.request, None
    spec, state = replace(request.spec, n_threads=rank.n_threads), TrainState(request.rng)
    try:
        with redirect_messages(lambda text, category: channel.send("log", text, category)):
            train = read_table(rank, job.layouts["train"], "train", request.features)
            assert train is not None
            data, features = train
            data.weights = request.check_weights(data.weights, data.y)
            start = request.start(spec, data, features)
            validation = read_table(rank, job.layouts["validation"], "validation", features)
            held_out = None
            if validation is not None:
                held_out, _ = validation
                with in_validation_set():
                    held_out.weights = request.check_weights(held_out.weights, held_out.y, "sample_weight_val")
                check_validation_set(held_out, data, start.codec)
            warn_unscaled(cast(Array, data.X), data.device)
            callbacks = ClientCallbacks(channel, state) if job.has_callbacks else None
            checkpoint = ClientCheckpoint(channel, job.resume) if job.keeps_checkpoints else None
            prepared = prepare(spec, data, held_out, start, state)
            result = fit_model(prepared, request.make_score, callbacks, checkpoint)
            if result.interrupt is not None:  # a new one, without the frames that hold the rows
                result = FitResult(*result[:4], KeyboardInterrupt())
    except KeyboardInterrupt:
        pass
    rank.end()  # after an error the others learn from the closed connections: they may wait for other things
    return Report(result, request.rng)
