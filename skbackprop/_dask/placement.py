"""Which worker holds which rows: partitions are computed, and joined to one shard on each worker that has any."""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
from distributed import Client, Future, Lock

from skbackprop._dask.post import is_connected
from skbackprop._dask.tables import Layout, Shard, join
from skbackprop._fit.data_checks import complete

UNEVEN = 1.1  # rows of the fullest worker to those of the mean, from which on partitions are moved


class WorkerLostError(RuntimeError):
    """A worker that held rows of the training set left the cluster, and took them with it."""


@dataclass
class Placement:
    """Shards of the tables on workers, by rank."""

    addresses: list[str]
    layouts: dict[str, list[Layout]]
    shards: list[Future]


def is_collection(X: Any) -> bool:
    """Tell whether it is an array or a DataFrame of Dask."""
    return isinstance(X, (da.Array, dd.DataFrame, dd.Series))


def parts_of(X: Any, y: Any, weights: Any, name: str = "X") -> list[Any]:
    """Join each partition of X with the rows of y and of the weights that belong to it; still to be computed."""
    if not is_collection(X):
        raise TypeError(
            f"{name} must be an array or a DataFrame of Dask, got {type(X).__name__}. Fit data of this process with "
            "the local estimator, or make it a collection: dask.array.from_array(X, chunks=(10_000, -1))."
        )
    if isinstance(X, da.Array) and X.ndim == 2 and X.numblocks[1] > 1:
        raise ValueError(
            f"{name} is cut into {X.numblocks[1]} blocks of columns; rows must be whole: {name}.rechunk({{1: -1}})."
        )
    if y is None:
        raise ValueError(f"{name} needs its targets: y is None.")
    columns = [_partitions(X), _partitions(_like(y, X, "y")), [None] * X.npartitions]
    if weights is not None:
        columns[2] = _partitions(_like(weights, X, "sample_weight"))
    for column in columns[1:]:
        if len(column) != len(columns[0]):
            raise ValueError(
                f"{name} has {len(columns[0])} partitions, but what goes with it has {len(column)}: they must be cut "
                "alike. Repartition or rechunk one of them."
            )
    make = dask.delayed(_part, pure=False)
    return [make(*pieces) for pieces in zip(*columns, strict=True)]


def _like(y: Any, X: Any, name: str) -> Any:
    """Y in the partitions of X."""
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


def _partitions(X: Any) -> list[Any]:
    return list(np.ravel(X.to_delayed()))


def _part(X: Any, y: Any, weights: Any) -> tuple[Any, Any, Any]:
    if len(y) != len(X) or (weights is not None and len(weights) != len(X)):
        lengths = [len(X), len(y)] + ([] if weights is None else [len(weights)])
        raise ValueError(f"A partition has other numbers of rows in X, y and sample_weight: {lengths}.")
    return X, y, weights


def _length(part: tuple[Any, Any, Any]) -> int:
    return len(part[0])


def _shard(parts: list[Any], pieces: list[tuple[int, int]]) -> Shard:
    """Join partitions; a single one is not copied."""
    if not parts:
        return Shard(Layout.of([]))
    X, y, weights = zip(*parts, strict=True)
    return Shard(Layout.of(pieces), join(X), join(y), None if weights[0] is None else join(weights))


def _shards(tables: dict[str, Any]) -> dict[str, Shard]:
    return {name: _shard(*table) for name, table in tables.items()}


def _evened(addresses: list[str], lengths: list[int], workers: Iterable[str]) -> list[str]:
    """Move a few partitions, so that all workers have about as many rows: a step waits for the one with the most."""
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
        middle = bisect(parts, (gap / 2, 0))  # half the gap leaves the two most alike
        fitting = [part for part in parts[max(0, middle - 1) : middle + 1] if 0 < part[0] < gap]
        if rows[full] <= most or not fitting:
            return addresses
        n, k = min(fitting, key=lambda part: abs(part[0] - gap / 2))
        parts.remove((n, k))
        rows[full] -= n
        give(k, free)


def _running(dask_scheduler: Any) -> list[str]:
    """Workers that take tasks: not those that are paused or about to leave."""
    return sorted(worker.address for worker in dask_scheduler.running)


def _homes(client: Client, wanted: Iterable[str] | None) -> list[str]:
    """Choose the workers that may have rows."""
    running = client.run_on_scheduler(_running)
    homes = [address for address in running if wanted is None or address in wanted]
    if not homes:
        raise WorkerLostError("None of the workers that the fit may use is in the cluster and running.")
    return homes


def place(client: Client, tables: dict[str, list[Any]], workers: Iterable[str] | None = None) -> Placement:
    """Compute the partitions, spread them evenly over the workers, and join those of each worker there.

    Dask may have all of a few partitions on one worker: on that which has the array that they are cut from, say.
    """
    futures = {name: client.compute(parts) for name, parts in tables.items()}
    every = [future for column in futures.values() for future in column]
    counts = client.map(_length, every, pure=False)
    try:
        return _place(client, futures, client.gather(counts), workers)
    finally:  # the shards hold the rows; and an error may keep this frame alive
        for future in [*every, *counts]:
            future.release()


def _place(
    client: Client, futures: dict[str, list[Future]], lengths: list[int], workers: Iterable[str] | None
) -> Placement:
    holders = client.who_has([future for column in futures.values() for future in column])
    homes = _homes(client, workers)
    pieces: dict[str, dict[str, tuple[list[Any], list[Any]]]] = {}
    for name, column in futures.items():
        here = [min(holders[future.key], default="") for future in column]  # lost just now: computed again
        ns, lengths = lengths[: len(column)], lengths[len(column) :]
        start = 0
        for future, n, address in zip(column, ns, _evened(here, ns, homes), strict=True):
            if n:
                parts, bounds = pieces.setdefault(address, {t: ([], []) for t in futures})[name]
                parts.append(future)
                bounds.append((start, start + n))
            start += n
        if column and not start:
            where = "In the validation set (X_val, y_val): " if name == "validation" else ""
            raise ValueError(f"{where}Found array with 0 sample(s) while a minimum of 1 is required.")
    # the first has training rows
    addresses = sorted(pieces, key=lambda a: pieces[a]["train"][1][:1] or [(np.inf, np.inf)])
    layouts = {name: [Layout.of(pieces[a][name][1]) for a in addresses] for name in futures}
    shards = [
        client.submit(_shards, pieces[a], workers=[a], allow_other_workers=False, pure=False)
        for a in addresses
    ]
    return Placement(addresses, layouts, shards)


def _release(client: Any, lock: Lock) -> None:
    if is_connected(client):
        lock.release()


@contextmanager
def locked(client: Any, addresses: list[str]) -> Iterator[None]:
    """Have these workers for one fit at a time.

    Locks are taken in one order, so that two fits cannot wait for each other, and they are leases: unlike a MultiLock,
    which nobody can take any more when the client that holds it dies, they run out by themselves.
    """
    with ExitStack() as stack:
        for address in sorted(addresses):
            lock = Lock(f"skbackprop-{address}", scheduler_rpc=client.scheduler, loop=client.loop)
            refreshing = getattr(lock, "refresh_callback", None)  # there is none where leases do not end
            if refreshing is not None:
                stack.callback(client.loop.add_callback, refreshing.stop)
            lock.acquire()
            stack.callback(_release, client, lock)
        yield
