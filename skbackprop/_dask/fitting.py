"""The client's side of a fit: place the data, start the ranks, listen to them, and judge what went wrong."""

from __future__ import annotations

import pickle
import secrets
import time
from asyncio import CancelledError
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from distributed import Client, Future, KilledWorker
from distributed.comm import CommClosedError

from skbackprop._dask.comms import RankLost
from skbackprop._dask.job import Job, run_rank
from skbackprop._dask.lead import Report
from skbackprop._dask.placement import Placement, WorkerLostError, locked
from skbackprop._dask.post import Abandoned, Inbox, deliver, is_connected
from skbackprop._dask.request import FitRequest
from skbackprop._fit.early_stopping import FitCallbacks
from skbackprop._fit.state import TrainState
from skbackprop._fit.warn import say, warn

POLL_SECONDS = 0.5  # between two looks at the workers, or,
SOON_SECONDS = 0.005  # once a rank has said that it is done, at its task
LAST_WORDS_SECONDS = 2.0  # for the other ranks to say what went wrong, once one has failed


class Supervisor:
    """One fit on a cluster."""

    def __init__(
        self, client: Client, request: FitRequest, placement: Callable[[], Placement], retries: bool
    ):
        self.client, self.request, self.place, self.retries = client, request, placement, retries
        self.callbacks: FitCallbacks | None = None  # None: there are none
        self.sample: Any = None  # what these see of the data
        self.kept: tuple[Any, TrainState] | None = None  # parameters and state that training could go on from
        self._told = False  # do the callbacks know of the fit?
        self.interrupted = False
        self._heard: set[str] = set()
        self._begun = self._ended = (
            0  # epochs that the callbacks know: those made again they do not hear of again
        )
        self._stops = False  # did they ask to stop after the last of these?

    def run(self) -> Report:
        """Fit, again and again if workers are lost and that is wanted, as long as epochs are completed in between."""
        stuck = 0
        while True:
            before = self.kept
            try:
                return self._attempt()
            except WorkerLostError:
                stuck = stuck + 1 if self.kept is before else 1
                # twice is rather workers that cannot bear their rows than bad luck
                if not self.retries or stuck > 1:
                    raise

    def _attempt(self) -> Report:
        try:
            placed = self.place()
            try:
                with locked(self.client, placed.addresses):
                    return self._supervise(placed)
            finally:  # errors may keep this frame alive, and with it the rows
                for shard in placed.shards:
                    shard.release()
        except (CommClosedError, ConnectionError, CancelledError) as error:
            raise ConnectionError(
                "The connection to Dask's scheduler was lost during the fit, or the cluster was restarted; the "
                f"estimator is as it was. Connect to a running cluster and fit again. ({error})"
            ) from error

    # ------------------------------------------------------------------------- while it runs ----

    def _supervise(self, placed: Placement) -> Report:
        job = Job(
            fit=f"skbackprop-{secrets.token_hex(8)}",
            token=secrets.token_hex(16),
            request=self.request,
            addresses=placed.addresses,
            layouts=placed.layouts,
            has_callbacks=self.callbacks is not None,
            keeps=self.retries,
            resume=self.kept,
        )
        inbox = Inbox(job.fit, self.client)
        ranks: list[Future] = []
        try:
            for number, (address, shard) in enumerate(zip(placed.addresses, placed.shards, strict=True)):
                pinned = {"workers": [address], "allow_other_workers": False, "pure": False, "priority": 10}
                key = f"{job.fit}-{number}"
                ranks.append(self.client.submit(run_rank, job, number, shard, key=key, **pinned))
            return self._listen(job, inbox, ranks)
        finally:
            with suppress(Exception):  # of a scheduler that goes in this moment
                if is_connected(self.client):
                    self.client.cancel(ranks, force=True)
                inbox.close()

    def _listen(self, job: Job, inbox: Inbox, ranks: list[Future]) -> Report:
        contacts: dict[int, str | None] = {}
        looked, is_over = time.monotonic(), False
        while True:
            try:
                message = inbox.next(SOON_SECONDS if is_over else POLL_SECONDS)
                if message is not None:
                    is_over = is_over or message[0] == "over"
                    self._hear(job, message, contacts)
                if ranks[0].status == "finished":
                    for message in inbox.rest():
                        self._hear(job, message, contacts)
                    return self._result(ranks[0])
                if any(rank.done() and rank.status != "finished" for rank in ranks):
                    self._fail(job, ranks)
                if time.monotonic() - looked > POLL_SECONDS:
                    self._look(job)
                    looked = time.monotonic()
            except KeyboardInterrupt:
                if self.interrupted:  # twice: no more patience
                    raise
                self.interrupted = True
                self._answer(job, None, job.addresses[:1])

    def _result(self, rank: Future) -> Report:
        report: Report = rank.result()
        return report._replace(interrupted=report.interrupted or self.interrupted)

    def _answer(self, job: Job, answer: Any, addresses: list[str]) -> None:
        self.client.run(deliver, job.fit, answer, workers=addresses, on_error="ignore")

    def _hear(self, job: Job, message: tuple[Any, ...], contacts: dict[int, str | None]) -> None:
        """Do what a message asks for."""
        kind, *content = message
        if kind == "here":
            contacts[content[0]] = content[1]
            if len(contacts) == len(job.addresses):
                self._answer(job, contacts, job.addresses)
                if self.interrupted:  # before rank 0 could hear of it
                    self._answer(job, None, job.addresses[:1])
        elif kind == "fit" and self.callbacks is not None and not self._told:
            self._told = True
            self.callbacks.begin_fit(content[0], self.sample)
        elif kind == "begin_epoch" and self.callbacks is not None:
            if content[0] > self._begun:
                self._begun = content[0]
                self.callbacks.begin_epoch()
        elif kind == "end_epoch" and self.callbacks is not None:
            number, model = content
            if number > self._ended:
                self._ended, self._stops = number, self.callbacks.end_epoch(lambda: model)
            self._answer(job, self._stops and number == self._ended, job.addresses[:1])
        elif kind == "keep":
            self.kept = pickle.loads(content[0])
        elif kind == "voice":
            self._speak(*content)
        elif kind == "lost":
            raise ConnectionError(str(content[0])) from content[0]

    def _speak(self, text: str, category: type[Warning] | None) -> None:
        if category is None:
            say(text)
        elif text not in self._heard:  # again, after a worker was lost
            self._heard.add(text)
            warn(text, category)

    # -------------------------------------------------------------------- what can go wrong ----

    def _missing(self, job: Job) -> list[str]:
        if not is_connected(self.client):
            raise ConnectionError("its scheduler does not answer")
        left = self.client.nthreads(workers=job.addresses)
        return [address for address in job.addresses if address not in left]

    def _look(self, job: Job) -> None:
        """Raise if a worker is gone: nobody else might notice."""
        missing = self._missing(job)
        if missing:
            self._lose(missing)

    def _lose(self, missing: list[str]) -> None:
        whose = f"Worker {', '.join(missing)} was" if missing else "A connection between workers was"
        raise WorkerLostError(
            f"{whose} lost during the fit; the estimator is as it was. Fit again, or set on_worker_lost='retry' to go "
            "on from the last epoch on the workers that are left."
        )

    def _fail(self, job: Job, ranks: list[Future]) -> None:
        """Raise the error of the rank that failed first, not of those that it left alone."""
        until = time.monotonic() + LAST_WORDS_SECONDS
        while time.monotonic() < until and not all(rank.done() for rank in ranks):
            if self._missing(job):
                break
            time.sleep(0.05)
        if any(rank.status == "cancelled" for rank in ranks):
            raise ConnectionError("its tasks were cancelled, as by a restart of the cluster")
        errors = [rank.exception() for rank in ranks if rank.status == "error"]
        for error in errors:
            if not isinstance(error, (RankLost, Abandoned, KilledWorker)):
                raise error
        self._lose(self._missing(job))
