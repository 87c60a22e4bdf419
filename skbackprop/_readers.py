"""Files and arrays from which `skbackprop.data.Shards` reads rows."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from skbackprop._fit.data_checks import complete

if TYPE_CHECKING:
    import pyarrow as pa

Source: TypeAlias = "str | os.PathLike[str] | ArrayLike"  # a file, or what it could hold
Shard: TypeAlias = "ArrayShard | ParquetShard"
Targets: TypeAlias = tuple[np.ndarray | None, np.ndarray | None]  # y and weights
NUMBERS = "biuf"  # kinds of NumPy dtypes that inputs may have
AROUND = 2**18  # bytes that the system may map around those that are read (Linux: 64 KiB)
INDEX = re.compile(r"__index_level_\d+__|__null_dask_index__")  # what pandas and Dask make of an index


def read_array(given: Source, name: str) -> ArrayReader | FileReader:
    """Reader of an array, or of the .npy file at a path."""
    if isinstance(given, (str, os.PathLike)):
        path = Path(given)
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{name}: {str(path)!r} is not a .npy file of numbers: {error}") from error
        if isinstance(mapped, np.memmap) and mapped.flags.c_contiguous:
            return FileReader(path, mapped)
        return ArrayReader(mapped)  # in Fortran's order, or empty
    if name == "y":
        given = complete(given)
    elif np.ma.is_masked(given):
        raise ValueError(f"{name} is an array with masked values, which cannot be trained on.")
    return ArrayReader(given if isinstance(given, np.ndarray) else np.asarray(given))


class ArrayReader:
    """Rows of an array; those of a memory map are given back to the file once they are copied."""

    def __init__(self, array: np.ndarray):
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype

    def read(self, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        """Copy rows, to ``out`` if it is given."""
        rows = self.array[start:stop]
        if out is None:
            out = np.array(rows)
        else:
            out[...] = rows
        _give_back(rows)
        return out


def _give_back(rows: np.ndarray) -> None:
    """Let the system drop the pages of a shared map that these rows are on: they count as ours until then."""
    pages: object = rows
    while isinstance(pages, np.ndarray):
        pages = pages.base
    if not isinstance(rows, np.memmap) or rows.mode == "c" or not rows.flags.c_contiguous:
        return  # "c": the pages may hold changes of the user's that no file has
    if not isinstance(pages, mmap.mmap) or not hasattr(pages, "madvise"):
        return
    first = np.frombuffer(pages, np.uint8).__array_interface__["data"][0]
    start = rows.__array_interface__["data"][0] - first
    stop = min(start + rows.nbytes + AROUND, len(pages))
    start = max(0, start - AROUND) // mmap.PAGESIZE * mmap.PAGESIZE
    pages.madvise(mmap.MADV_DONTNEED, start, stop - start)


class FileReader:
    """Rows of a .npy file, read without mapping it: straight to where they are wanted, if the dtype allows."""

    def __init__(self, path: Path, mapped: np.memmap):
        self.path, self.shape, self.dtype = path, mapped.shape, mapped.dtype
        self._offset = int(mapped.offset)
        self._row_bytes = int(mapped.dtype.itemsize * np.prod(mapped.shape[1:], dtype=np.int64))

    def read(self, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        """Copy rows, to ``out`` if it is given."""
        if out is not None and out.dtype == self.dtype and out.flags.c_contiguous:
            rows = out
        else:
            rows = np.empty((stop - start, *self.shape[1:]), dtype=self.dtype)
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self._offset + start * self._row_bytes)
            view = rows.reshape(-1).view(np.uint8).data
            while len(view):
                n = file.readinto(view)
                if not n:
                    raise ValueError(f"{str(self.path)!r} ends early: it was cut off while it was read.")
                view = view[n:]
        if out is None or out is rows:
            return rows
        out[...] = rows
        return out


class ArrayShard:
    """X, y and weights, a reader each."""

    def __init__(self, X: Source, y: Source | None, weights: Source | None):
        self.X = read_array(X, "X")
        self.y = None if y is None else read_array(y, "y")
        self.weights = None if weights is None else read_array(weights, "sample_weight")
        if len(self.X.shape) != 2:
            raise ValueError(f"X must have rows and columns, got an array of shape {self.X.shape}.")
        if self.X.dtype.kind not in NUMBERS:
            raise ValueError(f"X must hold numbers, got an array of {self.X.dtype}: encode it first.")
        self.n_rows, self.n_features = self.X.shape
        self.dtype: np.dtype = self.X.dtype
        self.names = None
        self.target_shape = None if self.y is None else self.y.shape[1:]  # of a row; None without any
        for name, reader in (("y", self.y), ("weights", self.weights)):
            if reader is not None and (not reader.shape or reader.shape[0] != self.n_rows):
                raise ValueError(f"{name} of shape {reader.shape} does not fit X of shape {self.X.shape}.")

    def pieces(self, rows: int) -> list[int]:
        """Sizes of blocks, of so many rows but for the last."""
        return [min(rows, self.n_rows - start) for start in range(0, self.n_rows, rows)]

    def read(self, start: int, stop: int, out: np.ndarray) -> Targets:
        """Copy X to ``out``; y and weights."""
        self.X.read(start, stop, out)
        return self.read_targets(start, stop)

    def read_targets(self, start: int, stop: int) -> Targets:
        """Copy y and weights."""
        y, weights = self.y, self.weights
        return (
            None if y is None else y.read(start, stop),
            None if weights is None else weights.read(start, stop).astype(np.float64, copy=False),
        )


def _pyarrow() -> ModuleType:
    """Import pyarrow, or say how to get it."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("Reading Parquet files needs pyarrow: pip install 'skbackprop[parquet]'.") from error
    return pyarrow


def index_columns(paths: Iterable[Source]) -> set[str]:
    """Columns of Parquet files that were the index of a DataFrame, in whichever of them: they number the rows."""
    found: set[str] = set()
    for path in paths:
        schema = _pyarrow().parquet.read_schema(str(path))
        # of an index that counts the rows there is a dict, and no column
        listed = (schema.pandas_metadata or {}).get("index_columns", [])
        found.update(name for name in listed if isinstance(name, str))
        found.update(name for name in schema.names if INDEX.fullmatch(name))
    return found


class ParquetShard:
    """Columns of a Parquet file. A row group, which can only be read as a whole, is a block.

    Without features named, these are all columns but for y, the weights and the index.
    """

    def __init__(
        self,
        path: Source,
        y: str | list[str] | None,
        weights: str | None,
        features: Iterable[str] | None,
        index: Iterable[str] = (),
    ):
        self._pa = _pyarrow()
        self.path = str(path)
        with self._pa.parquet.ParquetFile(self.path) as file:
            schema, self._metadata = file.schema_arrow, file.metadata
        self._y = [y] if isinstance(y, str) else y
        self._y_is_1d, self._weights = isinstance(y, str), weights
        self.target_shape = None if self._y is None else () if self._y_is_1d else (len(self._y),)
        self._apart = apart = list(dict.fromkeys([*(self._y or []), *([] if weights is None else [weights])]))
        if features is None:
            features = [name for name in schema.names if name not in apart and name not in index]
        self.names = list(features)
        missing = [name for name in [*self.names, *apart] if name not in schema.names]
        if missing:
            raise ValueError(f"{self.path!r} has no columns {missing}; it has {schema.names}.")
        types = {name: schema.field(name).type for name in self.names}
        of_numbers = (self._pa.types.is_integer, self._pa.types.is_floating, self._pa.types.is_boolean)
        odd = [f"{name} ({kind})" for name, kind in types.items() if not any(is_(kind) for is_ in of_numbers)]
        if odd:
            raise ValueError(
                f"{self.path!r} has columns that are no numbers: {', '.join(odd)}. Encode them when the files are "
                "written, or name the columns to read: features=[...]."
            )
        if not self.names:
            beside = [*apart, *sorted(set(index).intersection(schema.names).difference(apart))]
            raise ValueError(
                f"{self.path!r} has no columns of features beside {beside}; features=[...] names those to read."
            )
        single = all(str(kind) in ("float", "halffloat") for kind in types.values())
        self.dtype = np.dtype(np.float32 if single else np.float64)
        self.n_rows, self.n_features = self._metadata.num_rows, len(self.names)
        sizes = [self._metadata.row_group(g).num_rows for g in range(self._metadata.num_row_groups)]
        self._ends = np.cumsum(sizes)

    def pieces(self, rows: int) -> list[int]:
        """Sizes of blocks: of the row groups, whatever is asked for."""
        return np.diff(self._ends, prepend=0).tolist()

    def read(self, start: int, stop: int, out: np.ndarray) -> Targets:
        """Copy the features of a row group to ``out``; its y and weights."""
        table = self._table(stop, [*self.names, *self._apart])
        for j, name in enumerate(self.names):
            out[:, j] = self._numpy(table.column(name))
        return self._targets(table)

    def read_targets(self, start: int, stop: int) -> Targets:
        """Copy y and weights."""
        return self._targets(self._table(stop, self._apart)) if self._apart else (None, None)

    def _table(self, stop: int, names: list[str]) -> pa.Table:
        group = int(np.searchsorted(self._ends, stop))
        with self._pa.parquet.ParquetFile(self.path, metadata=self._metadata) as file:
            return file.read_row_group(group, columns=names, use_threads=False)

    def _numpy(self, column: pa.ChunkedArray) -> np.ndarray:
        if self._pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return column.to_numpy(zero_copy_only=False)

    def _targets(self, table: pa.Table) -> Targets:
        y = weights = None
        if self._y is not None:
            columns = [self._numpy(table.column(name)) for name in self._y]
            y = columns[0] if self._y_is_1d else np.stack(columns, axis=1)
        if self._weights is not None:
            weights = self._numpy(table.column(self._weights)).astype(np.float64, copy=False)
        return y, weights
