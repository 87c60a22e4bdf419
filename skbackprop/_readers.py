"""Files and arrays from which `skbackprop.data.Shards` reads rows."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from skbackprop._columns import floats
from skbackprop._fit.data_checks import complete

Source: TypeAlias = "str | os.PathLike[str] | ArrayLike"  # a file, or an array
KINDS = NUMBER, TEXT, CATEGORY = "number", "text", "category"  # of columns; if files differ, the last one applies
NO_NUMBERS = (
    "Column {name!r} holds {texts}, but is not in categorical_features. Add it there, or convert it to numbers "
    "when you write the files."
)
Targets: TypeAlias = tuple[np.ndarray | None, np.ndarray | None]  # y and weights
NUMERIC = "biuf"  # kinds of NumPy dtypes that inputs may have
NO_WEIGHTS = "cmMV"  # kinds of NumPy dtypes that weights cannot have, although NumPy converts them
AROUND = 2**18  # bytes that the system may map around those being read (Linux: 64 KiB)


@dataclass(frozen=True)
class CodedColumn:
    """A column as indices of its distinct values, -1 where it is missing."""

    codes: np.ndarray
    values: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return self.values.dtype

    def spread(self, of_values: np.ndarray, missing: float) -> np.ndarray:
        """Map each row to the entry of its value, or to another for missing ones."""
        found: np.ndarray = np.append(of_values, missing)[self.codes]
        return found


TargetedColumns: TypeAlias = tuple[list[np.ndarray | CodedColumn], np.ndarray | None, np.ndarray | None]


def numbers_of(name: str, column: np.ndarray | CodedColumn) -> np.ndarray:
    """Numbers of a column of any type; texts may be numbers."""
    if isinstance(column, CodedColumn):
        return column.spread(floats(name, column.values, said=NO_NUMBERS), np.nan)
    return floats(name, column) if column.dtype.hasobject else column  # booleans with missing values


def read_array(given: Source, name: str) -> ArrayReader | FileReader:
    """Reader of an array, or of the .npy file at a path."""
    if isinstance(given, (str, os.PathLike)):
        path = Path(given)
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{name}: {str(path)!r} is not a .npy file of numbers: {error}") from error
        if not isinstance(mapped, np.ndarray):
            mapped.close()
            raise ValueError(f"{name}: {str(path)!r} is an archive (.npz) of arrays. Save each with numpy.save.")
        if isinstance(mapped, np.memmap) and mapped.flags.c_contiguous:
            return FileReader(path, mapped)
        return ArrayReader(mapped)  # in Fortran's order, or empty
    if name == "y":
        given = complete(given)
    elif np.ma.is_masked(given):
        raise ValueError(f"{name} is an array with masked values, which are not supported.")
    array = given if isinstance(given, np.ndarray) else np.asarray(given)
    if not array.ndim:
        raise ValueError(f"{name} must be an array or the path of a .npy file, got {type(given).__name__}.")
    return ArrayReader(array)


def weights_of(column: np.ndarray) -> np.ndarray:
    """Sample weights as float64."""
    try:
        if column.dtype.kind in NO_WEIGHTS:  # whose imaginary parts, or units, would be lost
            raise TypeError
        return column.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise ValueError(f"sample_weight must hold numbers, got an array of {column.dtype}.") from None


class ArrayReader:
    """Rows of an array; pages of a memory map are released after copying."""

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
    """Let the system release these rows' pages of a shared memory map, which count as memory of this process."""
    pages: object = rows
    while isinstance(pages, np.ndarray):
        pages = pages.base
    if not isinstance(rows, np.memmap) or rows.mode == "c" or not rows.flags.c_contiguous:
        return  # mode "c": pages may have changes that are not in the file
    if not isinstance(pages, mmap.mmap) or not hasattr(pages, "madvise"):
        return
    first = np.frombuffer(pages, np.uint8).__array_interface__["data"][0]
    start = rows.__array_interface__["data"][0] - first
    stop = min(start + rows.nbytes + AROUND, len(pages))
    start = max(0, start - AROUND) // mmap.PAGESIZE * mmap.PAGESIZE
    pages.madvise(mmap.MADV_DONTNEED, start, stop - start)


class FileReader:
    """Rows of a .npy file, read without a memory map, directly to the output if the dtype is the same."""

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
                    raise ValueError(f"{str(self.path)!r} ends too early: it was truncated while it was read.")
                view = view[n:]
        if out is None or out is rows:
            return rows
        out[...] = rows
        return out


class ArrayShard:
    """Readers of X, y and weights."""

    def __init__(self, X: Source, y: Source | None, weights: Source | None):
        self.X = read_array(X, "X")
        self.y = None if y is None else read_array(y, "y")
        self.weights = None if weights is None else read_array(weights, "sample_weight")
        if len(self.X.shape) != 2 or not self.X.shape[1]:
            raise ValueError(f"X must have rows and columns, got an array of shape {self.X.shape}.")
        if self.X.dtype.kind not in NUMERIC:
            raise ValueError(f"X must hold numbers, got an array of {self.X.dtype}. Encode it first.")
        if self.y is not None and self.y.dtype.kind in "cV":
            raise ValueError(f"y must hold numbers or labels, got an array of {self.y.dtype}.")
        if self.weights is not None:
            weights_of(self.weights.read(0, 0))
        self.n_rows, self.n_features = self.X.shape
        self.dtype: np.dtype = self.X.dtype
        self.names = None
        self.kinds = [NUMBER] * self.n_features
        self.target_shape = None if self.y is None else self.y.shape[1:]  # of a row; None without any
        for name, reader in (("y", self.y), ("weights", self.weights)):
            if reader is not None and (not reader.shape or reader.shape[0] != self.n_rows):
                raise ValueError(f"{name} of shape {reader.shape} does not fit X of shape {self.X.shape}.")

    def pieces(self, rows: int) -> list[int]:
        """Sizes of blocks; all but the last have the given number of rows."""
        return [min(rows, self.n_rows - start) for start in range(0, self.n_rows, rows)]

    def read(self, start: int, stop: int, out: np.ndarray) -> Targets:
        """Copy X to ``out``; y and weights."""
        self.X.read(start, stop, out)
        return self.read_targets(start, stop)

    def read_columns(self, start: int, stop: int, which: Sequence[int]) -> TargetedColumns:
        """Some columns of X, y and weights."""
        return list(self.X.read(start, stop)[:, which].T), *self.read_targets(start, stop)

    def read_targets(self, start: int, stop: int) -> Targets:
        """Copy y and weights."""
        y, weights = self.y, self.weights
        return (
            None if y is None else y.read(start, stop),
            None if weights is None else weights_of(weights.read(start, stop)),
        )
