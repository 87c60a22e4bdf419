"""The task of each worker with rows: rank 0 prepares and trains as a single process does, the others follow."""

from __future__ import annotations

import ctypes
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from typing import NamedTuple, cast

import numpy as np
from distributed import get_worker

from skbackprop._dask.channel import WorkerChannel
from skbackprop._dask.collectives import Communicator
from skbackprop._dask.dataset import encode, read_table
from skbackprop._dask.job import Job, Shard, Snapshot
from skbackprop._dask.ranks import Rank
from skbackprop._engines.engine import Engine
from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.early_stopping import FitCallbacks
from skbackprop._fit.fit import FitResult, fit_model, prepare
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.scales import check_validation_set, in_validation_set, warn_unscaled
from skbackprop._fit.spec import FitPlan
from skbackprop._fit.state import History, TrainState
from skbackprop._fit.warn import redirect_messages
from skbackprop._types import Array

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # their numbers in glibc's malloc.h
KEPT, LARGEST = 2**29, 2**25  # free bytes that the process keeps; larger arrays are returned at once
USUAL = 2**17  # glibc's own


class Report(NamedTuple):
    """The result that rank 0 sends to the client."""

    result: FitResult | None  # None: interrupted before there was a model
    rng: np.random.RandomState  # after the fit


class ClientCallbacks(FitCallbacks):
    """Sends the events of the fit to the client's callbacks."""

    def __init__(self, channel: WorkerChannel, state: TrainState):
        self._channel, self._state = channel, state

    def begin_fit(self, max_epochs: int, sample: ArrayDataset) -> None:
        self._channel.send("begin_fit", max_epochs)

    def begin_epoch(self) -> None:
        self._channel.send("begin_epoch", self._state.epoch + 1)

    def end_epoch(self, model: Callable[[], FittedModel], history: History) -> bool:
        self._channel.send("end_epoch", self._state.epoch, model(), history)
        return bool(self._channel.receive(interruptible=True))


class ClientCheckpoint:
    """Sends the state of training to the client, from which it continues after the loss of a worker."""

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
        return not last

    def write(self, engine: Engine, state: TrainState) -> None:
        """Send it to the client, once an epoch is over."""
        if state.epoch:
            theta, memory = engine.dump()
            # pickled here, so that the client unpickles it only if a worker is lost
            self._channel.send("checkpoint", pickle.dumps(Snapshot(theta, replace(state, memory=memory))))


def run_rank(job: Job, number: int, shards: dict[str, Shard]) -> Report | None:
    """Do the part of one rank in the fit; rank 0 reports the result."""
    worker = get_worker()
    if worker.address != job.addresses[number]:
        raise RuntimeError(f"Rank {number} belongs on {job.addresses[number]}, but runs on {worker.address}.")
    report, has_followed = None, False
    with closing(WorkerChannel(job.name)) as channel, kept_memory():
        comm = Communicator(number, len(job.addresses), job.token, worker, channel.is_wanted)
        try:
            channel.send("address", number, comm.open())
            comm.join(channel.receive())
            own = {name: replace(shard) for name, shard in shards.items()}  # the worker's stay as they are
            n_threads = job.request.spec.n_threads or worker.state.nthreads
            rank = Rank(comm, job.request, own, n_threads, channel.check)
            if number == 0:
                report = lead(job, rank, channel)
            else:
                rank.follow()
                has_followed = True
        finally:
            comm.close()
            if channel.is_wanted() and not has_followed:  # else rank 0 tells, whom the client may hear first and leave
                channel.send("done")
    return report


def lead(job: Job, rank: Rank, channel: WorkerChannel) -> Report:
    """Fit as rank 0."""
    request, result = job.request, None
    spec, state = replace(request.spec, n_threads=rank.n_threads), TrainState(request.rng)
    try:
        with redirect_messages(lambda text, category: channel.send("log", text, category)):
            data, features, is_category = read_table(rank, job.layouts["train"], "train", request.features)
            data.weights = request.check_weights(data.weights, data.y)
            if is_category is not None:
                data, features = encode(rank, data, features, is_category)
            start = request.start(spec, data, features)
            held_out = None
            if any(layout.n for layout in job.layouts["validation"]):
                held_out, *_ = read_table(rank, job.layouts["validation"], "validation", features)
                with in_validation_set():
                    held_out.weights = request.check_weights(held_out.weights, held_out.y, "sample_weight_val")
                if is_category is not None:
                    held_out, _ = encode(rank, held_out, features, is_category)
                check_validation_set(held_out, data, start.codec, columns=features.numeric)
            warn_unscaled(cast(Array, data.X), data.device, features.numeric)
            callbacks = ClientCallbacks(channel, state) if job.has_callbacks else None
            checkpoint = ClientCheckpoint(channel, job.resume) if job.keeps_checkpoints else None
            prepared = prepare(spec, data, held_out, start, state)
            result = fit_model(prepared, request.make_score, callbacks, checkpoint)
            if result.interrupt is not None:  # a new one, without frames that refer to the rows
                result = result._replace(interrupt=KeyboardInterrupt())
    except KeyboardInterrupt:
        pass
    rank.end()  # after an error the closed connections inform the others, which may be waiting
    return Report(result, request.rng)


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let the C library keep freed memory during the fit, if a nanny told it not to; else do nothing.

    Dask's nannies start workers with MALLOC_TRIM_THRESHOLD_, so that the C library returns each large array to the
    system when it is freed, and gets new pages for the next one. A rank allocates the same arrays in every step.
    """
    told = os.environ.get("MALLOC_TRIM_THRESHOLD_", "")
    library = ctypes.CDLL(None) if told.isdigit() and os.name == "posix" else None
    if library is None or not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(TRIM_THRESHOLD, KEPT)
    library.mallopt(MMAP_THRESHOLD, LARGEST)
    try:
        yield
    finally:
        library.mallopt(TRIM_THRESHOLD, int(told))
        library.mallopt(MMAP_THRESHOLD, USUAL)
        library.malloc_trim(0)
