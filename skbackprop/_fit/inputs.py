"""The inputs of a network made from a table: encoded numbers, and one input for each category or missing value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike

from skbackprop._engines.encoded_table import Bins, Categories, Columns, EncodedTable, Numbers
from skbackprop._nn.encoders import CODE_RANGE, ENCODERS, Column


class Factor(NamedTuple):
    """A column of categories: for each row the index of its text, -1 where it is missing."""

    numbers: np.ndarray
    texts: list[str]

    @property
    def values(self) -> np.ndarray:
        """The texts of the rows, None where they are missing."""
        found: np.ndarray = np.array([*self.texts, None], dtype=object)[self.numbers]  # of missing ones the last
        return found


@dataclass(frozen=True, eq=False, repr=False)
class RawTable:
    """Rows of a table whose columns were read as numbers or as categories; nothing is encoded yet."""

    numbers: np.ndarray  # (n, n_numbers) in float64, missing ones NaN
    factors: Sequence[Factor]
    is_category: np.ndarray  # (n_columns,), in the user's order
    names: np.ndarray | None = None  # of the columns, if the step that read them gave names

    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.numbers), len(self.is_category)

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def join(cls, tables: Sequence[RawTable]) -> Self:
        """Join the rows of several tables."""
        factors = []
        for parts in zip(*(table.factors for table in tables), strict=True):
            place: dict[str, int] = {}
            found = [renumbered(part, place) for part in parts]
            factors.append(Factor(np.concatenate(found), list(place)))
        first, numbers = tables[0], np.concatenate([table.numbers for table in tables])
        return cls(numbers, factors, first.is_category, first.names)

    def __repr__(self) -> str:
        n = int(np.sum(self.is_category))
        return f"<RawTable of shape {self.shape}, with {n} columns of categories; numpy.asarray converts it>"

    def __getitem__(self, rows: Any) -> Any:
        if not isinstance(rows, slice | np.ndarray):
            return np.asarray(self)[rows]
        factors = [Factor(factor.numbers[rows], factor.texts) for factor in self.factors]
        return replace(self, numbers=self.numbers[rows], factors=factors)

    @property
    def columns(self) -> list[np.ndarray | Factor]:
        """All columns in the user's order."""
        numbers, factors = iter(self.numbers.T), iter(self.factors)
        return [next(factors) if is_one else next(numbers) for is_one in self.is_category]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """Numbers and the texts of categories, None where one is missing, in the user's order."""
        if copy is False:
            raise ValueError("A table cannot become an array without a copy.")
        if not self.factors:
            return np.array(self.numbers, dtype=dtype)
        values = np.empty(self.shape, dtype=object)
        for j, column in enumerate(self.columns):
            values[:, j] = column.values if isinstance(column, Factor) else column
        return values if dtype is None else values.astype(dtype)


def distinct(names: Sequence[str]) -> np.ndarray:
    """The names, where repeated ones get a number as a suffix."""
    given, met = set(names), dict[str, None]()
    for name in names:
        k, other = 2, name
        while other in met or (other != name and other in given):
            k, other = k + 1, f"{name}_{k}"
        met[other] = None
    return np.array([*met], dtype=object)


def renumbered(factor: Factor, place: dict[str, int]) -> np.ndarray:
    """For each row the index of its text in `place`, to which new texts are added; -1 where it is missing."""
    of_texts = np.array([*(place.setdefault(text, len(place)) for text in factor.texts), -1])
    numbers: np.ndarray = of_texts[factor.numbers]
    return numbers


@dataclass(frozen=True)
class InputEncoding:
    """The encoding learned from the columns of a table.

    The inputs are, in this order: the numbers; their bins; an indicator of missing values for each column of numbers
    that had some; and for each column of categories one input per category, and those for missing and unknown values.
    A value without an input has no effect.
    """

    encoder: str  # key of ENCODERS
    is_category: np.ndarray  # (n_columns,), of the user's columns
    means: list[float] = field(default_factory=list)  # of each column of numbers
    scales: list[float] = field(default_factory=list)
    bin_edges: list[np.ndarray] = field(default_factory=list)
    has_gaps: list[bool] = field(default_factory=list)
    categories: list[np.ndarray] = field(default_factory=list)  # texts, in ascending order, of each other column
    n_others: list[int] = field(default_factory=list)  # further inputs of each: 1 for missing, 2 also for unknown

    @classmethod
    def learn(cls, table: RawTable, encoder: str, n_bins: int, weights: np.ndarray | None) -> Self:
        """Learn from rows with weights; those of weight 0 count as absent."""
        columns = [ENCODERS[encoder].learn(np.ascontiguousarray(x), weights, n_bins, None) for x in table.numbers.T]
        return cls.of(table.is_category, encoder, columns, [texts_met(factor, weights) for factor in table.factors])

    @classmethod
    def of(
        cls, is_category: np.ndarray, encoder: str, columns: Sequence[Column], texts: Sequence[set[str | None]]
    ) -> Self:
        """Make it from the encodings of the columns of numbers, and the texts of the others, None if missing."""
        return cls(
            encoder,
            is_category,
            [column.mean for column in columns],
            [column.scale for column in columns],
            [column.edges for column in columns],
            [column.has_gaps for column in columns],
            [np.array(sorted(text for text in known if text is not None), dtype=object) for known in texts],
            [int(None in known) for known in texts],
        )

    def __post_init__(self) -> None:
        parts = (self.means, self.scales, self.bin_edges, self.has_gaps)
        n_numbers = int(np.sum(~np.asarray(self.is_category, dtype=bool)))
        n_categories = len(self.is_category) - n_numbers
        fits = all(len(part) == n_numbers for part in parts)
        fits = fits and len(self.categories) == len(self.n_others) == n_categories and {*self.n_others} <= {0, 1, 2}
        if self.encoder not in ENCODERS or not fits:
            raise ValueError("the encodings of the columns do not fit together")

    @property
    def columns(self) -> list[Column]:
        """The encoding of each column of numbers."""
        return [Column(*found) for found in zip(self.means, self.scales, self.bin_edges, self.has_gaps, strict=True)]

    @property
    def sizes(self) -> list[int]:
        """Number of inputs of each column of categories."""
        return [len(known) + n for known, n in zip(self.categories, self.n_others, strict=True)]

    @property
    def open(self) -> Self:
        """The same with inputs for missing and unknown values of all columns, since later rows may have some."""
        return replace(self, n_others=[2] * len(self.categories))

    @property
    def has_categories(self) -> bool:
        """Tell whether there are inputs for categories or missing values."""
        return bool(self.categories) or any(self.has_gaps)

    @property
    def attributes(self) -> dict[str, list[np.ndarray | None]]:
        """The fitted attributes of the encoding, with an entry per column, None for a column of the other kind."""
        has_bins = self.encoder != "identity"
        edges = iter([edges.copy() if has_bins else None for edges in self.bin_edges])
        known = iter([texts.copy() for texts in self.categories])
        return {
            "bin_edges_": [None if is_one else next(edges) for is_one in self.is_category],
            "categories_": [next(known) if is_one else None for is_one in self.is_category],
        }

    @property
    def n_inputs(self) -> int:
        """Width of the network's input layer."""
        n_bins = sum(len(edges) - 1 for edges in self.bin_edges)
        return len(self.means) + n_bins + sum(self.has_gaps) + sum(self.sizes)

    @property
    def no_rows(self) -> RawTable:
        """A table with the user's columns and no rows."""
        none = Factor(np.empty(0, dtype=np.int64), [])
        return RawTable(np.empty((0, len(self.means))), [none] * len(self.categories), self.is_category)

    @property
    def owners(self) -> np.ndarray:
        """Number of the user's column from which each input is computed."""
        numeric, other = np.flatnonzero(~self.is_category), np.flatnonzero(self.is_category)
        n_bins = [len(edges) - 1 for edges in self.bin_edges]
        gaps = numeric[np.array(self.has_gaps, dtype=bool)]
        found: np.ndarray = np.concatenate([numeric, np.repeat(numeric, n_bins), gaps, np.repeat(other, self.sizes)])
        return found

    def names(self, columns: Sequence[str]) -> np.ndarray:
        """Names of the inputs, made from those of the user's columns."""
        numbers = [name for name, is_one in zip(columns, self.is_category, strict=True) if not is_one]
        others = [name for name, is_one in zip(columns, self.is_category, strict=True) if is_one]
        n_bins = [len(edges) - 1 for edges in self.bin_edges]
        bins = [f"{name}_bin{k}" for name, n in zip(numbers, n_bins, strict=True) for k in range(n)]
        gaps = [f"{name}_missing" for name, has_gaps in zip(numbers, self.has_gaps, strict=True) if has_gaps]
        values = [
            f"{name}_{value}"
            for name, known, n in zip(others, self.categories, self.n_others, strict=True)
            for value in (*known, *("missing", "unknown")[:n])
        ]
        return distinct([*numbers, *bins, *gaps, *values])

    def encode(self, table: RawTable, dtype: DTypeLike) -> EncodedTable:
        """Encode rows; inputs are stored as codes."""
        parts: list[Columns] = []
        if table.numbers.shape[1]:
            z = np.empty(table.numbers.shape, dtype=dtype)
            with np.errstate(over="ignore"):  # infinity is detected later
                for j, (x, mean, scale) in enumerate(zip(table.numbers.T, self.means, self.scales, strict=True)):
                    z[:, j] = np.where(np.isnan(x), 0.0, (x - mean) / scale)
            parts.append(Numbers(z))
        if sum(len(edges) - 1 for edges in self.bin_edges):
            parts.append(Bins.of(table.numbers, self.bin_edges, *CODE_RANGE))
        gaps = np.flatnonzero(self.has_gaps)
        if len(gaps):  # the first and only category: there is a gap
            is_there = ~np.isnan(table.numbers[:, gaps])
            parts.append(Categories(is_there.astype(np.int32, order="C"), np.ones(len(gaps), dtype=np.int64)))
        if self.categories:
            parts.append(Categories(self.category_numbers(table), np.array(self.sizes, dtype=np.int64)))
        return EncodedTable(tuple(parts), np.dtype(dtype))

    def category_numbers(self, table: RawTable) -> np.ndarray:
        """Index of the input that is 1, for each row and column of categories, (rows, columns) in int32.

        Missing values have the index after the categories, and unknown ones the next, even if there are no such inputs.
        """
        found = [_inputs(factor, place) for factor, place in zip(table.factors, self._places, strict=True)]
        return np.stack(found, axis=1) if found else np.empty((len(table), 0), dtype=np.int32)

    def silent_in(self, table: RawTable, weights: np.ndarray | None) -> np.ndarray:
        """Numbers of the user's columns that contain categories, or missing values, without an input.

        Rows of weight 0 count as absent.
        """
        numbers = self.category_numbers(table)
        numbers = numbers if weights is None else numbers[weights > 0]
        found: np.ndarray = np.flatnonzero(self.is_category)[(numbers >= self.sizes).any(axis=0)]
        return found

    @cached_property
    def _places(self) -> list[dict[str, int]]:
        """Index of each category's input, for each column of categories."""
        return [{text: i for i, text in enumerate(known)} for known in self.categories]


def _inputs(factor: Factor, place: dict[str, int]) -> np.ndarray:
    """Index of each row's input among those of a column of categories."""
    of_texts = [place.get(text, len(place) + 1) for text in factor.texts]
    of_all: np.ndarray = np.array([*of_texts, len(place)], dtype=np.int32)  # of missing ones the last, number -1
    inputs: np.ndarray = of_all[factor.numbers]
    return inputs


def texts_met(factor: Factor, weights: np.ndarray | None) -> set[str | None]:
    """Texts that occur in rows with weight, with None for missing values."""
    met = np.unique(factor.numbers if weights is None else factor.numbers[weights > 0])
    return {factor.texts[i] if i >= 0 else None for i in met}
