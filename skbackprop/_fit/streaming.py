"""Training sets on disk: shuffled in buffers of many blocks; one buffer is read ahead."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skbackprop._fit.block import Block, epoch_order
from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.device import HOST, Device
from skbackprop._fit.source import Encode, Source, read_blocks, room, row_bytes, with_targets
from skbackprop._fit.warn import say, warn

FEW_BLOCKS = 8  # in a buffer: with fewer, rows are hardly shuffled


@dataclass
class DiskTrainingSet:
    """Training rows on disk, without those held out; they are read block by block and encoded for an engine."""

    source: Source
    encode: Encode
    sample: Block  # some rows in memory
    weight_sum: float
    memory: int  # bytes, for both buffers
    held_out: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    device: Device = HOST
    unit: float = 1.0  # of the weights that the engine sees
    verbose: int = 0
    _buffers: tuple[Block, Block] | None = None  # each begins with room for a minibatch that the other left unfinished

    def __post_init__(self) -> None:
        bounds = self.source.bounds
        out = np.searchsorted(self.held_out, bounds)
        self._sizes = np.diff(bounds) - np.diff(out)  # rows of each block to train on

    @property
    def n(self) -> int:
        return int(self._sizes.sum())

    def sum_weights(self) -> float:
        """Sum of the weights as they are encoded, from the targets alone."""
        total = 0.0
        for k, n in enumerate(np.diff(self.source.bounds)):
            block = self._kept(k, ArrayDataset(np.empty((n, 0)), *self.source.read_targets(k)))
            total += self.encode(block).weight_sum
        return total

    def together(self) -> DiskTrainingSet:
        return self

    def blocks(self) -> Iterator[Block]:
        for k, block in enumerate(read_blocks(self.source, self.sample.X.dtype)):
            rows = self.encode(self._kept(k, block))
            yield from rows.in_units(block.X.dtype, self.unit).blocks()

    def never_met(self) -> np.ndarray:
        """Numbers of the inputs for categories and missing values that are 0 in all rows with weight."""
        found = [block.never_met() for block in self.blocks()]
        return functools.reduce(np.intersect1d, found)

    # ------------------------------------------------------------------------------ an epoch ----

    def plan(self, batch_size: int) -> tuple[int, int]:
        """Rows of a buffer, and number of buffers in an epoch."""
        X, Y = self.sample.X, self.sample.Y
        # X and weights; y, twice as it is encoded; the order, y, w
        n_bytes = row_bytes(self.source, X.dtype) + X.dtype.itemsize + 2 * Y[:1].nbytes + 24
        largest = int(np.diff(self.source.bounds).max())
        room = self.memory // 2 // n_bytes - batch_size
        if room < 2 * largest:
            needed = 2 * (2 * largest + batch_size) * n_bytes
            raise ValueError(
                f"{self.memory:,} bytes cannot hold two buffers of two blocks ({largest:,} rows each) and a minibatch "
                f"({batch_size:,} rows), of {n_bytes:,} bytes per row. Set memory={needed:,} or more, or use "
                "smaller blocks (block_rows, or write Parquet files with a smaller row_group_size)."
            )
        n_buffers = math.ceil(self.n / (room - largest))
        return min(room, math.ceil(self.n / n_buffers) + largest), n_buffers

    def epoch(self, rng: np.random.RandomState, shuffle: bool, batch_size: int) -> Generator[tuple[Block, np.ndarray]]:
        """Buffers with the orders in which to visit their rows, each row once, in complete minibatches.

        The blocks are permuted and distributed over the buffers; the rows of a buffer are permuted again. While one
        buffer is visited, a thread fills the other. All random numbers are drawn here, so the result does not depend
        on the speed of the threads.
        """
        room, n_buffers = self.plan(batch_size)
        if self._buffers is None:
            self._announce(room, n_buffers, shuffle)
            self._buffers = self._allocate(batch_size + room), self._allocate(batch_size + room)
        ready, coming = self._buffers
        groups = self._deal(rng, shuffle, n_buffers)
        stop = threading.Event()
        with ThreadPoolExecutor(1, "skbackprop-read") as reader:
            try:
                left = np.empty(0, dtype=np.int64)
                filling: Any = reader.submit(self._fill, coming, next(groups), batch_size, stop)
                while filling is not None:
                    n = filling.result()
                    _copy_rows(ready, left, coming, slice(batch_size - len(left), batch_size))
                    ready, coming = coming, ready
                    group = next(groups, None)
                    filling = None
                    if group is not None:
                        filling = reader.submit(self._fill, coming, group, batch_size, stop)
                    order = batch_size + epoch_order(rng, n, shuffle)
                    order = np.concatenate([np.arange(batch_size - len(left), batch_size), order])
                    whole = len(order) if filling is None else len(order) // batch_size * batch_size
                    left = order[whole:]
                    if whole:
                        yield ready, order[:whole]
            finally:
                stop.set()

    def _announce(self, room: int, n_buffers: int, shuffle: bool) -> None:
        n_blocks = len(self._sizes)
        if self.verbose:
            say(f"streaming {self.n} rows in {n_blocks} blocks: {n_buffers} buffers of up to {room} rows per epoch")
        if shuffle and n_buffers > 1 and n_blocks < FEW_BLOCKS * n_buffers:
            warn(
                f"A buffer holds only about {n_blocks / n_buffers:.0f} of the {n_blocks} blocks, so rows are hardly "
                "shuffled. Set more memory, use smaller blocks (block_rows, or write Parquet files with a smaller "
                "row_group_size), or set shuffle=False if the files are shuffled already."
            )

    def _allocate(self, n: int) -> Block:
        X, Y = self.sample.X, self.sample.Y
        weights = None if self.sample.weights is None else np.zeros(n, dtype=X.dtype)
        return Block(room(self.source, n, X.dtype), np.zeros((n, *Y.shape[1:]), Y.dtype), weights)

    def _deal(self, rng: np.random.RandomState, shuffle: bool, n_buffers: int) -> Iterator[np.ndarray]:
        """Distribute the blocks over buffers with about equal numbers of rows."""
        n_blocks = len(self._sizes)
        blocks = epoch_order(rng, n_blocks, shuffle)
        starts = np.cumsum(self._sizes[blocks]) - self._sizes[blocks]
        buffers = np.minimum(starts * n_buffers // max(1, self.n), n_buffers - 1)
        yield from np.split(blocks, np.flatnonzero(np.diff(buffers)) + 1)

    def _fill(self, buffer: Block, blocks: np.ndarray, start: int, stop: threading.Event) -> int:
        """Read blocks into a buffer, from one of its rows on, until asked to stop; return the number of rows read."""
        at, targets = start, []
        for k in blocks:
            if stop.is_set():
                return 0
            X = buffer.X[at : at + int(np.diff(self.source.bounds[k : k + 2])[0])]
            block = self._kept(k, ArrayDataset(X, *self.source.read(k, X)))
            if block.X is not X:
                X[: len(block.X)] = block.X
            targets.append((block.y, block.weights))
            at += len(block.X)
        rows = self.encode(with_targets(buffer.X[start:at], targets))
        buffer.Y[start:at] = rows.Y
        if buffer.weights is not None:
            assert rows.weights is not None
            buffer.weights[start:at] = rows.weights / self.unit
        return at - start

    def _kept(self, k: int, block: ArrayDataset) -> ArrayDataset:
        """Training rows of block k."""
        first, stop = self.source.bounds[k : k + 2]
        out = self.held_out[slice(*np.searchsorted(self.held_out, (first, stop)))]
        if not len(out):
            return block
        kept = np.ones(len(block.X), dtype=bool)
        kept[out - first] = False
        return block[kept]


def _copy_rows(source: Block, rows: np.ndarray, to: Block, places: slice) -> None:
    to.X[places], to.Y[places] = source.X[rows], source.Y[rows]
    if to.weights is not None:
        assert source.weights is not None
        to.weights[places] = source.weights[rows]
