"""Data larger than memory: rows in .npy files, memory maps or Parquet files, read block by block."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np

from skbackprop._parquet import ParquetShard, join_frames
from skbackprop._readers import KINDS, NUMBER, Source, TargetedColumns, Targets
from skbackprop._shards import Shard, open_shards

__all__ = ["Shards"]

BLOCK_BYTES = 2**18  # read at a time, if block_rows is not given
BLOCKS = 64  # at least in a buffer: with little memory, blocks are smaller
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


class Shards:
    """Rows of inputs, targets and weights on disk, for ``fit``, ``predict`` and as a validation set.

    The estimators take it instead of X, without a y. The user guide explains how rows are shuffled and what is kept in
    memory.

    Parameters
    ----------
    X : path, ndarray, or list of these
        Inputs. One of:

        * a ``.npy`` file, or an array (or ``numpy.memmap``), of shape (n_samples, n_features), or a list of such files
          or arrays with the same number of columns;
        * a folder with files ``X*.npy`` and, for targets and weights, as many files ``y*.npy`` and
          ``sample_weight*.npy``. They are matched in the order of their names;
        * a Parquet file, a list of them, or a folder of ``*.parquet`` files (needs pyarrow:
          ``pip install 'skbackprop[parquet]'``).
    y : as X, or str or list of str, default=None
        Targets. For ``.npy`` files and arrays, files or arrays of shape (n_samples,) or (n_samples, n_outputs). For
        Parquet files, the name of the column, or a list of names for several outputs. Not given for a folder of
        ``.npy`` files.
    sample_weight : as X, or str, default=None
        Non-negative sample weights, given like the targets.
    features : list of str, default=None
        Names of the columns of Parquet files to use as inputs, in this order. By default all except targets, weights,
        and the index of a pandas or Dask DataFrame. They may hold numbers, categories (Arrow's dictionaries) or
        strings.
    memory : int or str, default="256MB"
        Maximum memory for rows, such as 10**8 (bytes), "500MB" or "1GiB". Data that fit into it are loaded, and
        training is as with arrays.
    block_rows : int, default=None
        Number of rows to read at a time; they are shuffled together. By default 256 KiB of rows, and fewer if a buffer
        would hold less than 64 blocks. Larger blocks suit disks with slow seeks. For Parquet files it is ignored: each
        row group is a block.

    Attributes
    ----------
    shape : tuple of int
        Number of rows and number of features.
    dtype : numpy.dtype
        Data type of the numbers: the smallest one to which the numbers of all files can be cast.
    kinds : list of {"number", "text", "category"}
        Kind of each column.
    feature_names : list of str or None
        Column names of Parquet files; None for others.

    See Also
    --------
    skbackprop.MLPSoftmaxClassifier.partial_fit : Training on a stream of rows.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from skbackprop import MLPRegressor
    >>> from skbackprop.data import Shards
    >>> rng = np.random.default_rng(0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for k in range(4):
    ...         X = rng.normal(size=(500, 3)).astype(np.float32)
    ...         np.save(pathlib.Path(folder, f"X-{k}.npy"), X)
    ...         np.save(pathlib.Path(folder, f"y-{k}.npy"), X @ [1.0, 2.0, 3.0])
    ...     data = Shards(folder, memory="20KB")
    ...     model = MLPRegressor(random_state=0).fit(data)
    ...     score = model.score(data, data.y)
    >>> data
    Shards(2000 rows of 3 features, float32, in 4 files)
    >>> score > 0.99
    True
    """

    def __init__(
        self,
        X: Source | Sequence[Source],
        y: Source | Sequence[Source] | None = None,
        sample_weight: Source | Sequence[Source] | None = None,
        *,
        features: Sequence[str] | None = None,
        memory: int | str = "256MB",
        block_rows: int | None = None,
    ) -> None:
        self.memory = parse_bytes(memory)
        is_number = isinstance(block_rows, Integral) and not isinstance(block_rows, bool)
        if block_rows is not None and not (is_number and block_rows >= 1):
            raise ValueError(f"block_rows must be an integer of at least 1, or None; got {block_rows!r}.")
        self._shards = open_shards(X, y, sample_weight, features)
        first = self._shards[0]
        self.n_features: int = first.n_features
        self.n_rows: int = sum(shard.n_rows for shard in self._shards)
        self.dtype = np.result_type(*(shard.dtype for shard in self._shards))
        self.feature_names: list[str] | None = first.names
        self.kinds = [max(kinds, key=KINDS.index) for kinds in zip(*(s.kinds for s in self._shards), strict=True)]
        if self.n_rows == 0:
            raise ValueError("There are no rows in these data.")
        row_bytes = self.n_features * self.dtype.itemsize
        if block_rows is None:
            block_rows = max(1, min(BLOCK_BYTES, self.memory // 2 // BLOCKS) // row_bytes)
        sizes = [(n, j) for j, shard in enumerate(self._shards) for n in shard.pieces(block_rows) if n]
        self.bounds = np.cumsum([0, *(n for n, _ in sizes)])
        self._shard_of = np.asarray([j for _, j in sizes])
        self._first_rows = np.cumsum([0, *(shard.n_rows for shard in self._shards)])

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and number of features."""
        return self.n_rows, self.n_features

    @property
    def y(self) -> np.ndarray | None:
        """All targets, in memory; None if there are none."""
        return self._all(0)

    @property
    def sample_weight(self) -> np.ndarray | None:
        """All weights, in memory; None if there are none."""
        return self._all(1)

    def blocks(self) -> Iterator[tuple[Any, np.ndarray | None, np.ndarray | None]]:
        """Read the rows in order, one block at a time.

        Yields
        ------
        X : ndarray of shape (n_rows_of_the_block, n_features), or DataFrame
            Inputs; a pandas DataFrame if some columns hold categories or strings.
        y, sample_weight : ndarray or None
            Targets and weights.
        """
        for k, n in enumerate(np.diff(self.bounds)):
            if self._are_numbers():
                X = np.empty((n, self.n_features), dtype=self.dtype)
                yield X, *self.read(k, X)
            else:
                yield self._frame([k]), *self.read_targets(k)

    def load(self) -> tuple[Any, np.ndarray | None, np.ndarray | None]:
        """Read all rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), or DataFrame
            Inputs; a pandas DataFrame if some columns hold categories or strings.
        y, sample_weight : ndarray or None
            Targets and weights.
        """
        if not self._are_numbers():
            return self._frame(range(len(self.bounds) - 1)), self.y, self.sample_weight
        return load_numbers(self), self.y, self.sample_weight

    def read(self, block: int, out: np.ndarray) -> Targets:
        """Read one block.

        Parameters
        ----------
        block : int
            Index of the block, from 0. It holds rows ``bounds[block]`` to ``bounds[block + 1]``.
        out : ndarray of shape (n_rows_of_the_block, n_features)
            Array to write the inputs to, in its dtype.

        Returns
        -------
        y, sample_weight : ndarray or None
            Targets and weights.
        """
        shard, start, stop = self._place(block)
        return shard.read(start, stop, out)

    def read_columns(self, block: int, which: Sequence[int]) -> TargetedColumns:
        """Read some columns of one block, targets and weights.

        Parameters
        ----------
        block : int
            Index of the block.
        which : sequence of int
            Indices of the columns.

        Returns
        -------
        columns : list
            The values of each column, or its codes together with its distinct values.
        y, sample_weight : ndarray or None
            Targets and weights.
        """
        shard, start, stop = self._place(block)
        return shard.read_columns(start, stop, which)

    def read_targets(self, block: int) -> Targets:
        """Read targets and weights of one block.

        Parameters
        ----------
        block : int
            Index of the block.

        Returns
        -------
        y, sample_weight : ndarray or None
            Targets and weights.
        """
        shard, start, stop = self._place(block)
        return shard.read_targets(start, stop)

    def __len__(self) -> int:
        return self.n_rows

    def __repr__(self) -> str:
        n, are_files = len(self._shards), all(hasattr(getattr(s, "X", s), "path") for s in self._shards)
        return (
            f"{type(self).__name__}({self.n_rows} rows of {self.n_features} features, {self.dtype}, in {n} "
            f"{'file' if are_files else 'array'}{'s' * (n > 1)})"
        )

    def _are_numbers(self) -> bool:
        return set(self.kinds) == {NUMBER}

    def _frame(self, blocks: Iterable[int]) -> Any:
        """Join blocks to a pandas DataFrame."""
        places = [self._place(k) for k in blocks]
        tables = [s.read_frame(start, stop) for s, start, stop in places if isinstance(s, ParquetShard)]
        return join_frames(tables, self.kinds)

    def _place(self, block: int) -> tuple[Shard, int, int]:
        """The shard that contains a block, and the block's first and last row there."""
        j = self._shard_of[block]
        first = self._first_rows[j]
        return self._shards[j], int(self.bounds[block] - first), int(self.bounds[block + 1] - first)

    def _all(self, which: int) -> np.ndarray | None:
        """The targets or the weights of all rows."""
        parts = [self.read_targets(k)[which] for k in range(len(self.bounds) - 1)]
        given = [part for part in parts if part is not None]
        return np.concatenate(given) if given else None


def parse_bytes(memory: int | str) -> int:
    """Number of bytes of a value such as 10**6, "1MB" or "1 MiB"."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(([KMG]I?)?B)?", str(memory).strip(), re.IGNORECASE | re.ASCII)
    if match is None:
        raise ValueError(f"memory must be a number of bytes, or a text such as '256MB' or '1GiB'; got {memory!r}.")
    n_bytes = int(float(match[1]) * UNITS[(match[3] or "").upper()])
    if n_bytes < 1:
        raise ValueError(f"memory must be at least a byte, got {memory!r}.")
    return n_bytes


def load_numbers(data: Shards) -> np.ndarray:
    """All rows of X as an array; columns must be numbers or texts of numbers."""
    X = np.empty(data.shape, dtype=data.dtype)
    for k, (start, stop) in enumerate(pairwise(data.bounds)):
        data.read(k, X[start:stop])
    return X
