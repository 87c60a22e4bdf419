"""The client's side of a fit: distribute the data, start the ranks, receive messages, and handle failures."""

from __future__ import annotations

import pickle
import secrets
import time
from asyncio import CancelledError
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from dask.delayed import Delayed
from distributed import Client, Future, KilledWorker
from distributed.comm import CommClosedError

from skbackprop._dask.channel import Abandoned, ClientChannel, is_connected
from skbackprop._dask.collectives import RankLost
from skbackprop._dask.job import FitRequest, Job, Snapshot
from skbackprop._dask.placement import Placement, WorkerLostError, locked, place
from skbackprop._dask.worker import Report, run_rank
from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.early_stopping import FitCallbacks
from skbackprop._fit.warn import say, warn

POLL_SECONDS = 0.5  # seconds between checks of the workers, or,
SOON_SECONDS = 0.005  # when a rank reported its end, of its task
LAST_WORDS_SECONDS = 2.0  # seconds for the other ranks to report errors after one failed


@dataclass
class Supervisor:
    """One fit on a cluster, with one or several attempts."""

    client: Client
    request: FitRequest
    tables: dict[str, list[Delayed]]  # partitions of the training set and of the validation set
    workers: list[str] | None  # None: all
    retries: bool  # or an error, when a worker is lost
    callbacks: FitCallbacks | None  # None: there are none
    sample: ArrayDataset  # the data that callbacks get
    interrupted: bool = False
    _kept: Snapshot | None = None
    _told: dict[Hashable, bool | None] = field(default_factory=dict)  # answers of callbacks, by event

    def run(self) -> Report:
        """Fit; if workers are lost and retries are wanted, fit again, as long as each attempt completes epochs."""
        stuck = 0
        while True:
            before = self._kept
            try:
                return self._attempt()
            except WorkerLostError:
                stuck = stuck + 1 if self._kept is before else 1
                # twice without progress: the workers probably cannot hold their rows
                if not self.retries or stuck > 1:
                    raise
            except (CommClosedError, ConnectionError, CancelledError) as error:
                raise ConnectionError(
                    "The connection to Dask's scheduler was lost during the fit, or the cluster was restarted; the "
                    f"estimator is unchanged. Connect to a running cluster and fit again. ({error})"
                ) from error

    def _attempt(self) -> Report:
        placed = place(self.client, self.tables, self.workers)
        try:
            with locked(self.client, placed.addresses):
                return self._supervise(placed)
        finally:  # an error may keep this frame, and so the rows
            for shard in placed.shards:
                shard.release()

    def _supervise(self, placed: Placement) -> Report:
        """Start the ranks, and receive messages until rank 0 reports."""
        job = Job(
            name=f"skbackprop-{secrets.token_hex(8)}",
            token=secrets.token_hex(16),
            request=self.request,
            addresses=placed.addresses,
            layouts=placed.layouts,
            has_callbacks=self.callbacks is not None,
            keeps_checkpoints=self.retries,
            resume=self._kept,
        )
        channel = ClientChannel(job.name, self.client)
        ranks: list[Future] = []
        try:
            for number, (address, shard) in enumerate(zip(placed.addresses, placed.shards, strict=True)):
                pinned: dict[str, Any] = {"workers": [address], "allow_other_workers": False, "priority": 10}
                key = f"{job.name}-{number}"
                ranks.append(self.client.submit(run_rank, job, number, shard, key=key, pure=False, **pinned))
            return self._listen(job, channel, ranks)
        finally:
            with suppress(Exception):  # if the scheduler stops at this moment
                if is_connected(self.client):
                    self.client.cancel(ranks, force=True)
                channel.close()

    def _listen(self, job: Job, channel: ClientChannel, ranks: list[Future]) -> Report:
        addresses: dict[int, str | None] = {}  # addresses at which ranks listen for their children
        looked, is_over = time.monotonic(), False
        while True:
            try:
                message = channel.receive(SOON_SECONDS if is_over else POLL_SECONDS)
                if message is not None:
                    is_over = is_over or message[0] == "done"
                    self._handle(job, channel, message, addresses)
                if ranks[0].status == "finished":
                    for message in channel.receive_rest():
                        self._handle(job, channel, message, addresses)
                    report: Report = ranks[0].result()
                    return report
                if any(rank.done() and rank.status != "finished" for rank in ranks):
                    self._fail(job, ranks)
                if time.monotonic() - looked > POLL_SECONDS:
                    if missing := self._missing(job):  # nothing else might notice
                        self._lose(missing)
                    looked = time.monotonic()
            except KeyboardInterrupt:
                if self.interrupted:  # the second interrupt ends the fit at once
                    raise
                self.interrupted = True
                channel.send(None, job.addresses[:1])

    def _handle(
        self, job: Job, channel: ClientChannel, message: tuple[Any, ...], addresses: dict[int, str | None]
    ) -> None:
        """Handle a message of a rank."""
        callbacks, content = self.callbacks, message[1:]
        match message[0]:
            case "address":
                addresses[content[0]] = content[1]
                if len(addresses) == len(job.addresses):
                    channel.send(addresses, job.addresses)
                    if self.interrupted:  # before rank 0 could receive it
                        channel.send(None, job.addresses[:1])
            case "begin_fit" if callbacks is not None:
                self._once("begin_fit", lambda: callbacks.begin_fit(content[0], self.sample))
            case "begin_epoch" if callbacks is not None:
                self._once(("begin", content[0]), callbacks.begin_epoch)
            case "end_epoch" if callbacks is not None:
                stops = self._once(("end", content[0]), lambda: callbacks.end_epoch(lambda: content[1], content[2]))
                channel.send(bool(stops), job.addresses[:1])
            case "checkpoint":
                self._kept = pickle.loads(content[0])
            case "log":
                text, category = content
                if category is None:
                    say(text)
                else:
                    self._once(text, lambda: warn(text, category))
            case "disconnected":
                raise ConnectionError(str(content[0])) from content[0]

    def _once(self, event: Hashable, tell: Callable[[], bool | None]) -> bool | None:
        """Report an event only the first time, since epochs are repeated after the loss of a worker."""
        if event not in self._told:
            self._told[event] = tell()
        return self._told[event]

    # -------------------------------------------------------------------- what can go wrong ----

    def _missing(self, job: Job) -> list[str]:
        """Workers of this fit that left the cluster."""
        if not is_connected(self.client):
            raise ConnectionError("its scheduler does not answer")
        left = self.client.nthreads(workers=job.addresses)
        return [address for address in job.addresses if address not in left]

    def _lose(self, missing: list[str]) -> NoReturn:
        whose = f"Worker {', '.join(missing)} was" if missing else "A connection between workers was"
        raise WorkerLostError(
            f"{whose} lost during the fit; the estimator is unchanged. Fit again, or set on_worker_lost='retry' to "
            "continue from the last epoch on the remaining workers."
        )

    def _fail(self, job: Job, ranks: list[Future]) -> NoReturn:
        """Raise the error of the rank that failed first, and not consequences on other ranks."""
        until = time.monotonic() + LAST_WORDS_SECONDS
        while time.monotonic() < until and not all(rank.done() for rank in ranks):
            if self._missing(job):
                break
            time.sleep(0.05)
        if any(rank.status == "cancelled" for rank in ranks):
            raise ConnectionError("its tasks were cancelled, as by a restart of the cluster")
        for error in (rank.exception() for rank in ranks if rank.status == "error"):
            if not isinstance(error, (RankLost, Abandoned, KilledWorker)):
                raise error
        self._lose(self._missing(job))
