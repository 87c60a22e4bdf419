"""Summaries of all rows, computed block by block in one pass."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from skbackprop._engines.encoded_table import EncodedTable
from skbackprop._fit.data_checks import complete, indicator, labels_of_one_kind, numbers
from skbackprop._fit.inputs import InputEncoding, RawTable, texts_met
from skbackprop._fit.targets import LabelCodec, Moments, exponents
from skbackprop._nn.encoders import ENCODERS
from skbackprop._nn.encoders import Moments as ColumnMoments
from skbackprop._types import Array

SAMPLE_ROWS = 200_000  # at most, from which the edges of bins are computed
FEWEST_ROWS = 10_000  # at least, however small the memory


class Summary:
    """Running extremes, weight sum and target statistics, and a few rows that give the same result in checks."""

    def __init__(self, targets: LabelSummary | NumberSummary):
        self.targets = targets
        self.weight_sum = 0.0
        self._X: list[float] = []  # smallest and largest number of each block, and NaN if there is one
        self._weights: list[float] = []

    def add(self, X: Array, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Add a block of rows."""
        y = complete(y)
        ends = [X.largest()] if isinstance(X, EncodedTable) else [X.min(), X.max()]
        self._X = _ends([*self._X, *ends])
        if weights is not None:
            self._weights = _ends([*self._weights, weights.min(), weights.max()])
        w = np.ones(len(X)) if weights is None else weights
        with np.errstate(over="ignore"):  # an infinite sum raises where it is used
            self.weight_sum += float(w.sum())
            self.targets.add(y, w)

    @property
    def largest(self) -> float:
        """Largest absolute value of the inputs."""
        return float(np.abs(self._X).max())

    def without(self, y: np.ndarray, weights: np.ndarray | None) -> Summary:
        """Summary of the rows that remain when some are held out; extremes stay."""
        rest = copy.copy(self)
        w = np.ones(len(y)) if weights is None else weights
        rest.weight_sum = self.weight_sum - float(w.sum())
        rest.targets = self.targets.without(y, w)
        return rest

    def stand_ins(self, n_features: int) -> tuple[Any, Any, Any]:
        """X, y and weights of a few rows that give the same result in checks as all rows."""
        y = self.targets.stand_in()
        y = np.resize(y, (3 * len(y), *y.shape[1:]))  # a label a row would look like numbers
        X = np.repeat(np.resize(self._X, len(y))[:, None], n_features, axis=1)
        return X, y, np.resize(self._weights, len(y)) if self._weights else None


def _ends(values: list[float]) -> list[float]:
    return [np.min(values), np.max(values)]


class LabelSummary:
    """Class labels, or multilabel indicators: their values, and the number of rows of each."""

    def __init__(self) -> None:
        self.values: Any = None  # ascending, of single labels
        self.counts: Any = 0.0  # weighted, of each value; of a multilabel column the ones
        self.eligible: Any = 0  # rows of positive weight, of each value
        self._some: Any = None  # a block of multilabel indicators

    def add(self, y: np.ndarray, w: np.ndarray) -> None:
        """Take in a block."""
        if y.ndim == 2 and y.shape[1] > 1:
            indicator(y)  # raises
            self._some = y.copy() if self._some is None else self._some
            self.counts = self.counts + w @ y.astype(np.float64)
            self.eligible = self.eligible + np.asarray([np.count_nonzero(w)])
            return
        y = y.reshape(-1)
        with labels_of_one_kind(y, [] if self.values is None else self.values):
            if self.values is None:
                check_classification_targets(np.tile(y, 3))  # it would warn of a block with as many labels as rows
                self.values, self.counts, self.eligible = y[:0], np.zeros(0), np.zeros(0, dtype=np.int64)
            values, codes = np.unique(y, return_inverse=True)
            together = np.union1d(self.values, values)
        for name, dtype, new in (("counts", float, w), ("eligible", np.int64, w > 0)):
            grown = np.zeros(len(together), dtype)
            grown[np.searchsorted(together, self.values)] = getattr(self, name)
            grown[np.searchsorted(together, values)] += np.bincount(codes, new, len(values)).astype(dtype)
            setattr(self, name, grown)
        self.values = together

    def without(self, y: np.ndarray, w: np.ndarray) -> LabelSummary:
        """Summary of the rows that are left."""
        rest, out = copy.copy(self), LabelSummary()
        out.add(y, w)
        if self.values is None:
            rest.counts = self.counts - out.counts
        else:
            rest.counts = self.counts.copy()
            rest.counts[np.searchsorted(self.values, out.values)] -= out.counts
        return rest

    def stand_in(self) -> np.ndarray:
        """Each label once, or a block of indicators."""
        return np.asarray(self._some if self.values is None else self.values)

    def strata(self, y: np.ndarray) -> np.ndarray:
        """Number of each row's stratum, for the split."""
        if self.values is None:
            return np.zeros(len(y), dtype=int)
        return np.searchsorted(self.values, y.reshape(-1))

    def counts_of(self, labels: LabelCodec) -> np.ndarray:
        """Weighted number of rows of each known class, or with each label."""
        if labels.multilabel:
            return np.asarray(self.counts)
        counts = np.zeros(len(labels.classes))
        counts[labels.codes(self.values)] = self.counts
        return counts


class NumberSummary:
    """Numbers: weighted mean and standard deviation of each column, smallest and largest."""

    def __init__(self) -> None:
        self.eligible: Any = np.zeros(1, dtype=np.int64)
        self.mean: Any = 0.0
        self.largest: Any = 0.0  # absolute value
        self._unit: Any = 0  # exponents of the unit of
        self._squares: Any = 0.0  # the sum of w (y - mean)^2
        self._weight = 0.0
        self._low: Any = np.inf
        self._high: Any = -np.inf

    def add(self, y: np.ndarray, w: np.ndarray) -> None:
        """Add a block; means and squares are merged by the method of Chan, Golub and LeVeque (1979)."""
        y = numbers(y)
        self._low, self._high = np.minimum(self._low, y.min(axis=0)), np.maximum(self._high, y.max(axis=0))
        y = y.reshape(len(y), -1)
        self.largest = np.maximum(self.largest, np.abs(y).max(axis=0))
        self.eligible = self.eligible + np.count_nonzero(w)
        unit, weight = exponents(self.largest), float(w.sum())
        self._unit, self._squares = unit, np.ldexp(self._squares, 2 * (self._unit - unit))
        if not weight > 0.0:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # checked at the end
            mean = w @ y / weight
            squares = w @ np.ldexp(y - mean, -unit) ** 2
            total, gap = self._weight + weight, mean - self.mean
            between = np.ldexp(gap, -unit) ** 2 * (self._weight * weight / total)
            self._squares = self._squares + squares + between
            self.mean = self.mean + gap * (weight / total)
        self._weight = total

    def without(self, y: np.ndarray, w: np.ndarray) -> NumberSummary:
        """Summary of the rows that are left."""
        rest, out = copy.copy(self), NumberSummary()
        out.largest = self.largest  # so that both have the same unit
        out.add(y, w)
        rest._weight = self._weight - out._weight
        rest.mean = self.mean + (self.mean - out.mean) * (out._weight / rest._weight)
        gap = rest.mean - out.mean
        between = np.ldexp(gap, -self._unit) ** 2 * (rest._weight * out._weight / self._weight)
        rest._squares = np.maximum(self._squares - out._squares - between, 0.0)  # rounding may make it negative
        return rest

    @property
    def moments(self) -> Moments:
        """Weighted mean and standard deviation of each column, and its largest absolute value."""
        return Moments(self.mean, np.ldexp(np.sqrt(self._squares / self._weight), self._unit), self.largest)

    def stand_in(self) -> np.ndarray:
        """Smallest and largest."""
        return np.asarray([self._low, self._high])

    def strata(self, y: np.ndarray) -> np.ndarray:
        """All rows are in one stratum."""
        return np.zeros(len(y), dtype=int)


class TableSummary:
    """A table: the texts of categories, the moments of numbers, and random rows of the numbers.

    Rows of weight 0 count as absent. If all rows are drawn, the result does not depend on how the table is cut into
    blocks, except for the order of sums.
    """

    def __init__(self, n_rows: int, n_numbers: int, n_categories: int, memory: int = sys.maxsize):
        self.drawn = drawn_rows(n_rows, n_numbers, memory)
        self.texts: list[set[str | None]] = [set() for _ in range(n_categories)]  # None: missing
        # of each column of numbers: sum of weights, mean, sum of w (x - mean)^2, and how many are missing
        self.moments = np.zeros((4, n_numbers))
        self.numbers = np.zeros((len(self.drawn), n_numbers))  # of the rows drawn, and
        self.weights = np.zeros(len(self.drawn))  # their weights
        self.is_weighted = False

    def add(self, table: RawTable, weights: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
        """Add rows, given their numbers in the whole table in ascending order."""
        first, stop = np.searchsorted(self.drawn, (rows[0], rows[-1] + 1))
        places: np.ndarray = first + np.flatnonzero(np.isin(self.drawn[first:stop], rows, assume_unique=True))
        chosen = np.searchsorted(rows, self.drawn[places])
        w = np.ones(len(table)) if weights is None else np.maximum(weights, 0.0)
        self.numbers[places], self.weights[places] = table.numbers[chosen], w[chosen]
        self.is_weighted |= weights is not None
        self.merge([texts_met(factor, weights) for factor in table.factors], moments_of(table.numbers, w))
        return places

    def merge(self, texts: Sequence[Iterable[str | None]], moments: np.ndarray) -> None:
        """Add texts and moments of other rows; moments by the method of Chan, Golub and LeVeque (1979)."""
        for known, more in zip(self.texts, texts, strict=True):
            known.update(more)
        (ours, mean, squares, gaps), (theirs, other_mean, other_squares, other_gaps) = self.moments, moments
        with np.errstate(all="ignore"):
            total, away = np.maximum(ours + theirs, np.finfo(float).tiny), other_mean - mean
            self.moments = np.stack([
                ours + theirs,
                mean + away * (theirs / total),
                squares + other_squares + away**2 * (ours * theirs / total),
                gaps + other_gaps,
            ])  # fmt: skip

    def encoding(self, is_category: np.ndarray, encoder: str, n_bins: int) -> InputEncoding:
        """The encoding learned from the columns."""
        weight, mean, squares, gaps = self.moments
        scale = np.where(weight > 0, np.sqrt(squares / np.where(weight > 0, weight, 1.0)), 1.0)
        w = self.weights if self.is_weighted else None
        columns = [
            ENCODERS[encoder].learn(np.ascontiguousarray(self.numbers[:, j]), w, n_bins, ColumnMoments(*found))
            for j, found in enumerate(zip(mean.tolist(), scale.tolist(), (gaps > 0).tolist(), strict=True))
        ]
        return InputEncoding.of(is_category, encoder, columns, self.texts)


def drawn_rows(n_rows: int, n_numbers: int, memory: int = sys.maxsize) -> np.ndarray:
    """Numbers of the rows from which quantiles are computed: all rows, if they are few."""
    most = min(SAMPLE_ROWS, max(FEWEST_ROWS, memory // 2 // (8 * max(1, n_numbers))))
    if n_rows <= most:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(0).choice(n_rows, most, replace=False, shuffle=False))


def moments_of(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Sum of weights, mean, sum of w (x - mean)^2 and number of missing values, for each column of numbers."""
    there = ~np.isnan(x)
    with np.errstate(all="ignore"):  # weights are checked later
        weight = w @ there
        mean = w @ np.where(there, x, 0.0) / np.where(weight > 0, weight, 1.0)
        squares = w @ np.where(there, x - mean, 0.0) ** 2
    found: np.ndarray = np.stack([weight, mean, squares, np.count_nonzero(~there[w > 0], axis=0)])
    return found
