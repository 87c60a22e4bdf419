"""Rows on disk: read block by block, and held out for validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from skbackprop._fit.block import Block
from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.inputs import InputEncoding, RawTable
from skbackprop._fit.split import validation_shares
from skbackprop._fit.summaries import LabelSummary, NumberSummary
from skbackprop._types import Array

VALIDATION_SHARE = 4  # validation rows take at most 1 / VALIDATION_SHARE of the memory


class Source(Protocol):
    """Rows in blocks, which are read one at a time, as `skbackprop.data.Shards` does."""

    n_rows: int
    n_features: int
    memory: int  # bytes that training may take for rows
    bounds: np.ndarray  # block k is the rows bounds[k] to bounds[k + 1]
    dtype: np.dtype

    @property
    def y(self) -> np.ndarray:
        """All targets."""

    @property
    def sample_weight(self) -> np.ndarray | None:
        """All weights."""

    def read(self, k: int, out: Array) -> tuple[np.ndarray, np.ndarray | None]:
        """Write X of block k to `out`; return its y and weights."""

    def read_targets(self, k: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Y and weights of block k alone."""


class TableSource(Protocol):
    """Rows of a table in blocks, which are read in the same way."""

    n_rows: int
    memory: int
    bounds: np.ndarray

    @property
    def y(self) -> np.ndarray:
        """All targets."""

    @property
    def sample_weight(self) -> np.ndarray | None:
        """All weights."""

    def read_table(self, k: int) -> tuple[RawTable, np.ndarray, np.ndarray | None]:
        """Block k: the table, y and weights."""

    def read_targets(self, k: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Y and weights of block k alone."""


class EncodedSource:
    """A `Source` of the encoded columns of a table, which are encoded when they are read."""

    def __init__(self, table: TableSource, encoding: InputEncoding, dtype: np.dtype):
        self.table, self.encoding, self.dtype = table, encoding, dtype
        self.n_rows, self.memory, self.bounds = table.n_rows, table.memory, table.bounds
        self.n_features = encoding.n_inputs
        self.read_targets = table.read_targets

    @property
    def y(self) -> np.ndarray:
        return self.table.y

    @property
    def sample_weight(self) -> np.ndarray | None:
        return self.table.sample_weight

    def read(self, k: int, out: Array) -> tuple[np.ndarray, np.ndarray | None]:
        """Write the inputs of block k to `out`, a table with the same columns; return y and weights."""
        table, y, weights = self.table.read_table(k)
        space: Any = out
        space[:] = self.encoding.encode(table, self.dtype)
        return y, weights

    def room(self, n: int, dtype: DTypeLike) -> Any:
        """An empty table for n rows."""
        return self.encoding.encode(self.encoding.no_rows, dtype).room(n)


Encode = Callable[[ArrayDataset], Block]


def room(source: Source, n: int, dtype: DTypeLike) -> Array:
    """Memory for the inputs of n rows."""
    if isinstance(source, EncodedSource):
        space: Array = source.room(n, dtype)
        return space
    return np.zeros((n, source.n_features), dtype)


def row_bytes(source: Source, dtype: DTypeLike) -> int:
    """Bytes of the inputs of one row."""
    return int(room(source, 1, dtype).nbytes)


def read_blocks(source: Source, dtype: DTypeLike) -> Iterator[ArrayDataset]:
    """All blocks in order; each is overwritten by the next."""
    space = room(source, int(np.diff(source.bounds).max()), dtype)
    for k, n in enumerate(np.diff(source.bounds)):
        X = space[:n]
        yield ArrayDataset(X, *source.read(k, X))


class Copies:
    """Rows taken from many blocks in turn."""

    def __init__(self, source: Source, n_rows: int, dtype: DTypeLike):
        self._X = room(source, n_rows, dtype)
        self._n = 0
        self._targets: list[tuple[np.ndarray, np.ndarray | None]] = []

    def add(self, rows: ArrayDataset) -> None:
        """Add the next rows."""
        self._X[self._n : self._n + len(rows.X)] = rows.X
        self._n += len(rows.X)
        self._targets.append((rows.y, rows.weights))

    def dataset(self) -> ArrayDataset:
        """All of them."""
        return with_targets(self._X, self._targets)


def with_targets(X: Array, targets: list[tuple[np.ndarray, np.ndarray | None]]) -> ArrayDataset:
    """Rows whose y and weights are read in parts."""
    y, weights = zip(*targets, strict=True)
    return ArrayDataset(X, np.concatenate(y), None if weights[0] is None else np.concatenate(weights))


def hold_out(
    source: Source,
    dtype: DTypeLike,
    rng: np.random.RandomState,
    targets: LabelSummary | NumberSummary,
    fraction: float,
    memory: int,
) -> tuple[np.ndarray, ArrayDataset]:
    """Numbers and copies of the validation rows: of positive weight, stratified by class, limited by the memory.

    The number from each stratum is known before; the rows are drawn during the pass (Knuth's algorithm S, 3.4.2, one
    block at a time: the number of chosen rows of a block is hypergeometric).
    """
    left = np.asarray(targets.eligible).copy()
    most = memory // VALIDATION_SHARE // row_bytes(source, dtype)
    take = validation_shares(left, fraction, source.n_rows, max(1, most))
    space = room(source, int(np.diff(source.bounds).max()), dtype)
    copies, numbers = Copies(source, take.sum(), dtype), []
    for k, n in enumerate(np.diff(source.bounds)):
        y, weights = source.read_targets(k)
        is_eligible = np.ones(n, dtype=bool) if weights is None else weights > 0
        rows = _draw(rng, targets.strata(y), is_eligible, left, take)
        if len(rows):
            X = space[:n]
            copies.add(ArrayDataset(X, *source.read(k, X))[rows])
            numbers.append(source.bounds[k] + rows)
    return np.concatenate(numbers), copies.dataset()


def _draw(
    rng: np.random.RandomState, strata: np.ndarray, is_eligible: np.ndarray, left: np.ndarray, take: np.ndarray
) -> np.ndarray:
    """Choose rows of a block; reduce the numbers of remaining rows and of rows to choose."""
    rows = [np.empty(0, dtype=np.int64)]
    eligible = np.flatnonzero(is_eligible)
    eligible = eligible[np.argsort(strata[eligible], kind="stable")]
    present, starts = np.unique(strata[eligible], return_index=True)
    for stratum, candidates in zip(present, np.split(eligible, starts[1:]), strict=False):
        n, wanted, rest = len(candidates), take[stratum], left[stratum]
        drawn = rng.hypergeometric(wanted, rest - wanted, n) if 0 < wanted < rest else n * (wanted > 0)
        rows.append(rng.permutation(candidates)[:drawn])
        left[stratum], take[stratum] = rest - n, wanted - drawn
    return np.sort(np.concatenate(rows))
