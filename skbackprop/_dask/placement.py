"""Placement of rows on workers: partitions are computed and joined to one shard on each worker."""

from __future__ import annotations

import sys
from bisect import bisect, insort
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
from dask.delayed import Delayed
from distributed import Client, Future, Lock

from skbackprop._dask.channel import is_connected
from skbackprop._dask.job import Layout, Shard, join
from skbackprop._fit.data_checks import complete

UNEVEN = 1.1  # ratio of the largest number of rows to the mean, from which on partitions are moved
Collection: TypeAlias = da.Array | dd.DataFrame | dd.Series
Part: TypeAlias = tuple[Any, Any, Any]  # X, y and weights of a partition, as the user has them


class WorkerLostError(RuntimeError):
    """Raised when a worker with rows of the training set leaves the cluster, so that these rows are lost."""


@dataclass
class Placement:
    """Shards of the tables on workers, by rank."""

    addresses: list[str]
    layouts: dict[str, list[Layout]]
    shards: list[Future]


def is_collection(X: object) -> TypeGuard[Collection]:
    """Tell whether it is an array or a DataFrame of Dask."""
    return isinstance(X, (da.Array, dd.DataFrame, dd.Series))


def known_workers(client: Client, workers: Iterable[str] | None) -> list[str] | None:
    """Check the user's workers, which must be in the cluster; None: all. The client must be synchronous."""
    if client.asynchronous:
        raise ValueError("fit waits, so it needs an ordinary client: Client(..., asynchronous=False).")
    if workers is None:
        return None
    there, chosen = sorted(client.nthreads()), list(workers)
    if not chosen or not set(chosen).issubset(there):
        raise ValueError(f"workers must be addresses of workers of the cluster, some of {there}; got {chosen}.")
    return chosen


def parts_of(X: object, y: object, weights: object, name: str = "X") -> list[Delayed]:
    """Join each partition of X with its rows of y and of the weights, lazily."""
    if not is_collection(X):
        raise TypeError(
            f"{name} must be an array or a DataFrame of Dask, got {type(X).__name__}. Fit local data with the "
            "local estimator, or convert them to a collection: dask.array.from_array(X, chunks=(10_000, -1))."
        )
    if isinstance(X, da.Array) and X.ndim == 2 and X.numblocks[1] > 1:
        raise ValueError(
            f"{name} is cut into {X.numblocks[1]} blocks of columns; rows must be whole: {name}.rechunk({{1: -1}})."
        )
    if y is None:
        raise ValueError(f"{name} needs its targets: y is None.")
    collections = [X, _cut_like(y, X, "y")]
    if weights is not None:
        collections.append(_cut_like(weights, X, "sample_weight"))
    columns = [list(np.ravel(collection.to_delayed())) for collection in collections]
    for column in columns[1:]:
        if len(column) != len(columns[0]):
            raise ValueError(
                f"{name} has {len(columns[0])} partitions, but what goes with it has {len(column)}: they must be cut "
                "alike. Repartition or rechunk one of them."
            )
    make = dask.delayed(_part, pure=False)
    return [make(*pieces) for pieces in zip(*columns, strict=True)]


def _cut_like(y: Any, X: Collection, name: str) -> Collection:
    """Y as a collection with the partitions of X."""
    is_known = isinstance(X, da.Array) and not np.isnan(X.shape[0])
    if not is_collection(y):
        if not is_known:
            raise TypeError(
                f"{name} must be a collection of Dask like X, with the same partitions; got {type(y).__name__}."
            )
        y = da.from_array(np.asarray(complete(y) if name == "y" else y), chunks=-1)
    if isinstance(y, da.Array):
        if y.ndim == 2:
            y = y.rechunk({1: -1})
        if is_known and not np.isnan(y.shape[0]):
            if y.shape[0] != X.shape[0]:
                raise ValueError(f"X has {X.shape[0]} rows, but {name} has {y.shape[0]}.")
            y = y.rechunk({0: X.chunks[0]})
    return y


def _part(X: Any, y: Any, weights: Any = None) -> Part:
    lengths = [len(X), len(y)] + ([] if weights is None else [len(weights)])
    if len(set(lengths)) > 1:
        raise ValueError(f"A partition has other numbers of rows in X, y and sample_weight: {lengths}.")
    return X, y, weights


def _shards(tables: dict[str, tuple[list[Part], list[tuple[int, int]]]]) -> dict[str, Shard]:
    """Join the partitions of each table; a single partition is not copied."""
    shards = {}
    for name, (parts, pieces) in tables.items():
        columns = zip(*parts, strict=True)  # of X, y and weights, or none
        shards[name] = Shard(Layout.of(pieces), *(None if column[0] is None else join(column) for column in columns))
    return shards


def _evened(addresses: list[str], lengths: list[int], workers: Iterable[str]) -> list[str]:
    """Move some partitions so that workers have similar numbers of rows, since a step waits for the largest."""
    addresses, held = list(addresses), {worker: list[tuple[int, int]]() for worker in workers}
    rows = dict.fromkeys(held, 0)

    def give(k: int, worker: str) -> None:
        insort(held[worker], (lengths[k], k))
        rows[worker] += lengths[k]
        addresses[k] = worker

    for k, address in enumerate(addresses):
        give(k, address if address in held else min(rows, key=rows.__getitem__))
    most = UNEVEN * sum(lengths) / len(held)
    while True:
        full, free = max(rows, key=rows.__getitem__), min(rows, key=rows.__getitem__)
        parts, gap = held[full], rows[full] - rows[free]
        middle = bisect(parts, (gap / 2, 0))  # moving half of the difference makes the two equal
        fitting = [part for part in parts[max(0, middle - 1) : middle + 1] if 0 < part[0] < gap]
        if rows[full] <= most or not fitting:
            return addresses
        n, k = min(fitting, key=lambda part: abs(part[0] - gap / 2))
        parts.remove((n, k))
        rows[full] -= n
        give(k, free)


def place(client: Client, tables: dict[str, list[Delayed]], workers: Iterable[str] | None = None) -> Placement:
    """Compute the partitions, spread them evenly over the workers, and join those of each worker there.

    Dask may place few partitions on one worker, for example on the one with the array from which they are cut.
    """
    futures = {name: client.compute(parts) for name, parts in tables.items()}
    every = [future for column in futures.values() for future in column]
    counts = client.map(lambda part: len(part[0]), every, pure=False)
    try:
        return _place(client, futures, client.gather(counts), workers)
    finally:  # the shards hold the rows; and an error may keep this frame alive
        for future in [*every, *counts]:
            future.release()


def _place(
    client: Client, futures: dict[str, list[Future]], lengths: list[int], workers: Iterable[str] | None
) -> Placement:
    holders = client.who_has([future for column in futures.values() for future in column])
    # those that take tasks, which are neither paused nor about to leave
    running = client.run_on_scheduler(lambda dask_scheduler: [worker.address for worker in dask_scheduler.running])
    usable: list[str] = [address for address in sorted(running) if workers is None or address in workers]
    if not usable:
        raise WorkerLostError("None of the workers that the fit may use is in the cluster and running.")
    tables: dict[str, dict[str, tuple[list[Future], list[tuple[int, int]]]]] = {}  # by worker
    for name, column in futures.items():
        here = [min(holders[future.key], default="") for future in column]  # "": lost, computed again
        ns, lengths = lengths[: len(column)], lengths[len(column) :]
        start = 0
        for future, n, address in zip(column, ns, _evened(here, ns, usable), strict=True):
            if n:
                parts, pieces = tables.setdefault(address, {t: ([], []) for t in futures})[name]
                parts.append(future)
                pieces.append((start, start + n))
            start += n
        if column and not start:
            where = "In the validation set (X_val, y_val): " if name == "validation" else ""
            raise ValueError(f"{where}Found array with 0 sample(s) while a minimum of 1 is required.")
    # the first has training rows
    addresses = sorted(tables, key=lambda a: tables[a]["train"][1][:1] or [(sys.maxsize, 0)])
    layouts = {name: [Layout.of(tables[a][name][1]) for a in addresses] for name in futures}
    pinned: dict[str, Any] = {"allow_other_workers": False, "pure": False}
    shards = [client.submit(_shards, tables[a], workers=[a], **pinned) for a in addresses]
    return Placement(addresses, layouts, shards)


@contextmanager
def locked(client: Client, addresses: list[str]) -> Iterator[None]:
    """Lock these workers, so that they train one fit at a time.

    Locks are acquired in a fixed order, so that two fits cannot wait for each other. They are leases, which expire by
    themselves, while a MultiLock would stay locked if its client died.
    """
    loop: Any = client.loop

    def release(lock: Lock) -> None:
        if is_connected(client):
            lock.release()

    with ExitStack() as stack:
        for address in sorted(addresses):
            lock = Lock(f"skbackprop-{address}", scheduler_rpc=client.scheduler, loop=loop)
            refreshing = getattr(lock, "refresh_callback", None)  # there is none where leases do not end
            if refreshing is not None:
                stack.callback(loop.add_callback, refreshing.stop)
            lock.acquire()
            stack.callback(release, lock)
        yield
