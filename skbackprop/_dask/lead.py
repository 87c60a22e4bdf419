"""Rank 0 of a fit: it prepares and trains as one process does, with rows that are spread over all ranks."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np

from skbackprop._dask.dataset import Cluster, ClusterDataset, read_table
from skbackprop._dask.post import Mailbox
from skbackprop._dask.ranks import Rank
from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.fit import FitResult, fit_model, prepare
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.scales import check_validation_set, in_validation_set, warn_unscaled
from skbackprop._fit.spec import FitPlan
from skbackprop._fit.state import TrainState
from skbackprop._fit.warn import heard_by


class Report(NamedTuple):
    """What rank 0 tells the client at the end."""

    result: FitResult | None  # None: interrupted before there was a model
    rng: np.random.RandomState  # after the fit
    interrupted: bool


class ClientCallbacks:
    """Tells the client's callbacks of the fit and its epochs, if there are any."""

    def __init__(self, mailbox: Mailbox, state: TrainState, has_callbacks: bool):
        self._mailbox, self._state, self._has_callbacks = mailbox, state, has_callbacks

    def begin_fit(self, max_epochs: int, sample: ArrayDataset) -> None:
        """Say how many epochs there will be at most."""
        self._mailbox.tell("fit", max_epochs)

    def begin_epoch(self) -> None:
        """Say which epoch begins."""
        if self._has_callbacks:
            self._mailbox.tell("begin_epoch", self._state.epoch + 1)

    def end_epoch(self, model: Callable[[], FittedModel]) -> bool:
        """True if a callback asks to stop."""
        if not self._has_callbacks:
            return False
        self._mailbox.tell("end_epoch", self._state.epoch, model())
        return bool(self._mailbox.wait(interruptible=True))


class ClientCheckpoint:
    """Keeps the state of the training with the client, who lets it go on from there when a worker is lost."""

    def __init__(self, mailbox: Mailbox, keeps: bool, kept: tuple[Any, TrainState] | None):
        self._mailbox, self._keeps, self._kept = mailbox, keeps, kept

    def resume(self, theta: Any, state: TrainState, plan: FitPlan) -> Any:
        """Put the state back to where it was; give the parameters then."""
        if self._kept is None:
            return theta
        kept_theta, kept = self._kept
        state.rng.set_state(kept.rng.get_state())
        for field in fields(kept):
            if field.name != "rng":
                setattr(state, field.name, getattr(kept, field.name))
        return kept_theta.astype(theta.dtype)

    def is_due(self, last: bool) -> bool:
        """After every epoch but the last, if the client wants it."""
        return self._keeps and not last

    def write(self, engine: Any, state: TrainState) -> None:
        """Send it to the client, once an epoch is over."""
        if self._keeps and state.epoch:
            theta, memory = engine.dump()
            self._mailbox.tell("keep", pickle.dumps((theta, replace(state, state=memory))))


def run_lead(job: Any, rank: Rank, mailbox: Mailbox) -> Report:
    """Fit as rank 0."""
    request, result, interrupted = job.request, None, False
    spec, rng = replace(request.spec, n_threads=rank.n_threads), request.rng
    try:
        with heard_by(lambda text, category: mailbox.tell("voice", text, category)):
            train = read_table(rank, job.layouts["train"], "train", request.features)
            assert train is not None
            X, y, weights, features = train
            data = ClusterDataset(X, y, request.check_weights(weights, y), Cluster())
            start = request.start(spec, data, features)
            held_out, validation = None, read_table(rank, job.layouts["validation"], "validation", features)
            if validation is not None:
                X, y, weights, _ = validation
                with in_validation_set():
                    weights = request.check_weights(weights, y, "sample_weight_val")
                held_out = ClusterDataset(X, y, weights, Cluster())
                check_validation_set(held_out, data, start.codec)
            warn_unscaled(X, data.device)
            state = TrainState(rng)
            callbacks = ClientCallbacks(mailbox, state, job.has_callbacks)
            checkpoint = ClientCheckpoint(mailbox, job.keeps, job.resume)
            prepared = prepare(spec, data, held_out, start, state)
            result = fit_model(prepared, request.make_score, callbacks, checkpoint)
            interrupted = result.interrupt is not None
            result = result._replace(interrupt=None, spec=request.spec)
    except KeyboardInterrupt:
        interrupted = True
    rank.end()  # after an error the others learn from the closed connections: they may wait for other things
    return Report(result, rng, interrupted)
