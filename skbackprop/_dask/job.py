"""The long-lived task of each worker that holds data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from distributed import get_worker

from skbackprop._dask.comms import Tree
from skbackprop._dask.lead import run_lead
from skbackprop._dask.memory import kept_memory
from skbackprop._dask.post import Mailbox
from skbackprop._dask.ranks import Rank
from skbackprop._dask.request import FitRequest
from skbackprop._dask.tables import Layout, Shard
from skbackprop._fit.state import TrainState


@dataclass
class Job:
    """What all ranks must know of a fit."""

    fit: str  # its name
    token: str  # its secret
    request: FitRequest
    addresses: list[str]  # of the workers, by rank
    layouts: dict[str, list[Layout]]  # which rows each rank holds, by table
    has_callbacks: bool = False
    keeps: bool = False  # send the client after each epoch what training could go on from?
    resume: tuple[Any, TrainState] | None = None  # parameters and state to go on from


def run_rank(job: Job, number: int, shards: dict[str, Shard]) -> Any:
    """Do one rank's part of the fit; rank 0 has the result."""
    worker = get_worker()
    if worker.address != job.addresses[number]:
        raise RuntimeError(f"Rank {number} belongs on {job.addresses[number]}, but runs on {worker.address}.")
    with Mailbox(job.fit) as mailbox, kept_memory():
        tree = Tree(number, len(job.addresses), job.token, worker, mailbox.is_wanted)
        try:
            mailbox.tell("here", number, tree.open())
            tree.join(mailbox.wait())
            own = {name: replace(shard) for name, shard in shards.items()}  # the worker's stay as they are
            n_threads = job.request.spec.n_threads or worker.state.nthreads
            rank = Rank(tree, job.request, own, n_threads)
            if number == 0:
                rank.check = mailbox.check
                return run_lead(job, rank, mailbox)
            rank.follow()
        finally:
            tree.close()
            if mailbox.is_wanted():
                mailbox.tell("over")
    return None
