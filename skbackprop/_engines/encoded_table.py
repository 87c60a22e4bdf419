"""Tables whose columns are stored as codes, and expanded to the inputs of a network when needed.

Bins and categories turn 20 columns into hundreds of inputs. The index of a bin and one code, or the index of a
category, contain the same information.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike

from skbackprop._engines.level import _cpu, largest, level
from skbackprop._types import Integers

MOST = 2**16 - 2  # bins or categories of a column; one more index is for missing and unknown values
FLOAT32: np.dtype = np.dtype(np.float32)


class Columns(Protocol):
    """Some neighbouring columns."""

    @property
    def width(self) -> int:
        """Number of columns."""

    @property
    def rows(self) -> list[np.ndarray]:
        """The arrays with an entry per row."""

    def with_rows(self, rows: Sequence[np.ndarray]) -> Self:
        """The same columns with other rows."""

    def arrays(self) -> dict[str, np.ndarray | float]:
        """The arguments for the kernels."""

    def astype(self, dtype: np.dtype) -> Self:
        """The same columns with this dtype of the dense rows."""

    def largest(self) -> float:
        """Largest absolute value; not finite if one is not."""


@dataclass(frozen=True)
class Numbers:
    """Columns that are not encoded."""

    values: np.ndarray  # (n, width), of the table's dtype

    @property
    def width(self) -> int:
        return int(self.values.shape[1])

    @property
    def rows(self) -> list[np.ndarray]:
        return [self.values]

    def with_rows(self, rows: Sequence[np.ndarray]) -> Self:
        return replace(self, values=rows[0])

    def arrays(self) -> dict[str, np.ndarray | float]:
        return {"values": self.values}

    def astype(self, dtype: np.dtype) -> Self:
        return replace(self, values=self.values.astype(dtype, order="C", copy=False))

    def largest(self) -> float:
        return largest(self.values)


@dataclass(frozen=True)
class Bins:
    """Columns of a piecewise linear encoding: for each feature one per bin."""

    bins: np.ndarray  # (n, n_features), index of the bin of the value; for missing values the number of bins
    codes: np.ndarray  # (n, n_features), in that bin
    n_bins: Integers
    low: float  # code of a bin above the value, and
    high: float  # of a bin below it

    @classmethod
    def of(cls, rows: np.ndarray, edges: Sequence[np.ndarray], low: float, high: float) -> Bins:
        """Find the bins of rows, all in float64."""
        bins, codes = np.empty(rows.shape, dtype=np.uint16), np.empty(rows.shape, dtype=np.float32)
        for j, ends in enumerate(edges):
            _cpu.find_bins(np.ascontiguousarray(rows[:, j]), ends, low, high, bins, codes, j)
        return cls(bins, codes, np.array([len(ends) - 1 for ends in edges], dtype=np.int64), low, high)

    @property
    def width(self) -> int:
        return int(self.n_bins.sum())

    @property
    def rows(self) -> list[np.ndarray]:
        return [self.bins, self.codes]

    def with_rows(self, rows: Sequence[np.ndarray]) -> Self:
        return replace(self, bins=rows[0], codes=rows[1])

    def arrays(self) -> dict[str, np.ndarray | float]:
        full, middle = (self.low + (self.high - self.low) * part for part in (1.0, 0.5))  # as the encoder rounds
        ends = {"low": self.low, "high": full, "middle": middle}
        return {"sizes": self.n_bins, "bins": self.bins, "codes": self.codes, **ends}

    def astype(self, dtype: np.dtype) -> Self:
        return self

    def largest(self) -> float:
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True)
class Categories:
    """Columns of a one-hot encoding: for each feature one per category."""

    numbers: np.ndarray  # (n, n_features) in int32, indices of categories; unknown ones have an index after the last
    sizes: Integers

    @property
    def width(self) -> int:
        return int(self.sizes.sum())

    @property
    def rows(self) -> list[np.ndarray]:
        return [self.numbers]

    def with_rows(self, rows: Sequence[np.ndarray]) -> Self:
        return replace(self, numbers=rows[0])

    def arrays(self) -> dict[str, np.ndarray | float]:
        return {"sizes": self.sizes, "categories": self.numbers}

    def never_met(self, counts: np.ndarray | None) -> np.ndarray:
        """Numbers of the columns that are 0 in all rows with weight."""
        numbers = self.numbers if counts is None else self.numbers[counts]
        is_met = [np.bincount(numbers[:, j], minlength=size + 1)[:size] > 0 for j, size in enumerate(self.sizes)]
        found: np.ndarray = np.flatnonzero(~np.concatenate(is_met))
        return found

    def astype(self, dtype: np.dtype) -> Self:
        return self

    def largest(self) -> float:
        return 1.0


@dataclass(frozen=True, eq=False)
class EncodedTable:
    """Rows of a table, which become dense for NumPy or a network.

    It has the shape of an array, and rows are selected by slices and indices. Other keys select from the dense array.
    """

    parts: tuple[Columns, ...]
    dtype: np.dtype = FLOAT32  # of the dense rows and of columns of numbers; codes are float32

    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.parts[0].rows[0]), sum(part.width for part in self.parts)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<EncodedTable of shape {self.shape} and dtype {self.dtype}; numpy.asarray converts it>"

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("A table of codes cannot become an array without a copy.")
        rows = np.empty(self.shape, dtype=self.dtype)
        self.table().encode(level(), np.arange(len(self)), rows)
        return rows if dtype is None else rows.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> Any:
        rows = key
        if isinstance(key, tuple) and len(key) == 2 and (key[1] is Ellipsis or _is_all(key[1])):
            rows = key[0]
        if isinstance(rows, list):
            rows = np.asarray(rows, dtype=None if rows else int)
        if isinstance(rows, slice) or (isinstance(rows, np.ndarray) and rows.ndim == 1):
            return self.with_rows([np.ascontiguousarray(array[rows]) for array in self.rows])
        return np.asarray(self)[key]

    def __setitem__(self, rows: slice | np.ndarray, table: EncodedTable) -> None:
        for ours, theirs in zip(self.rows, table.rows, strict=True):
            ours[rows] = theirs

    def astype(self, dtype: DTypeLike, copy: bool = False) -> EncodedTable:
        """The same table with another dtype of its dense rows."""
        wanted: np.dtype = np.dtype(dtype)
        return replace(self, parts=tuple(part.astype(wanted) for part in self.parts), dtype=wanted)

    def never_met(self, counts: np.ndarray | None) -> np.ndarray:
        """Numbers of the columns of categories that are 0 in all rows with weight (None: all rows)."""
        found: list[np.ndarray] = []
        at = 0
        for part in self.parts:
            if isinstance(part, Categories):
                found.append(at + part.never_met(counts))
            at += part.width
        return np.concatenate([*found, np.zeros(0, dtype=np.int64)])

    @property
    def rows(self) -> list[np.ndarray]:
        """The arrays with an entry per row."""
        return [array for part in self.parts for array in part.rows]

    @property
    def nbytes(self) -> int:
        """Bytes of these."""
        return sum(array.nbytes for array in self.rows)

    def with_rows(self, rows: Sequence[np.ndarray]) -> EncodedTable:
        """A table with the same columns and these rows."""
        left = iter(rows)
        return replace(self, parts=tuple(part.with_rows([next(left) for _ in part.rows]) for part in self.parts))

    def room(self, n: int) -> EncodedTable:
        """A table with the same columns and n rows without values."""
        return self.with_rows([np.zeros((n, *array.shape[1:]), array.dtype) for array in self.rows])

    @property
    def numbers(self) -> np.ndarray:
        """The columns that are not encoded, side by side."""
        found = [part.values for part in self.parts if isinstance(part, Numbers)]
        return np.hstack(found) if found else np.empty((len(self), 0), dtype=self.dtype)

    def table(self) -> _cpu.Table:
        """The same for the kernels."""
        return _cpu.Table(len(self), self.dtype.itemsize, [part.arrays() for part in self.parts])

    def largest(self) -> float:
        """Largest absolute value; not finite if one is not."""
        return float(np.max([part.largest() for part in self.parts]))


def _is_all(key: object) -> bool:
    return isinstance(key, slice) and key == slice(None)


def dense(X: Any) -> Any:
    """Convert an encoded table to an array; everything else stays unchanged."""
    return np.asarray(X) if isinstance(X, EncodedTable) else X
