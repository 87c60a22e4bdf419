"""Input encodings, the zeroth layer a[0] = e(x): each learns from a column of numbers and encodes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skbackprop._types import Array, Namespace

CODE_RANGE = (-1.0, 1.0)  # codes of a bin above the value, and of a bin below it


class Column(NamedTuple):
    """The learned encoding of a column."""

    mean: float = 0.0
    scale: float = 1.0
    edges: np.ndarray = np.zeros(1)  # of its bins, one more than there are
    has_gaps: bool = False  # were there missing numbers?


class Moments(NamedTuple):
    """Moments of all rows of a column, if edges are learned from a sample."""

    mean: float
    scale: float
    has_gaps: bool


@dataclass(frozen=True)
class Encoder:
    """An input encoding."""

    # from float64 numbers (n,), weights, number of bins, and moments if the numbers are a sample
    learn: Callable[[np.ndarray, np.ndarray | None, int, Moments | None], Column]
    forward: Callable[[Namespace, Array, Column], Array]  # numbers (n,) -> inputs (n, n_inputs)
    takes_nan: bool


def learn_nothing(x: np.ndarray, weights: np.ndarray | None, n_bins: int, known: Moments | None = None) -> Column:
    """Learn the column of the identity."""
    return Column()


def identity(xp: Namespace, x: Array, column: Column) -> Array:
    """The numbers themselves."""
    return x[:, None]


def learn_bins(x: np.ndarray, weights: np.ndarray | None, n_bins: int, known: Moments | None = None) -> Column:
    """Weighted mean and standard deviation of the numbers that are not missing, and edges of bins."""
    mean, scale, has_gaps = moments(x, weights) if known is None else known
    is_constant = scale <= 10 * np.finfo(float).eps * abs(mean)  # deviations of equal numbers by rounding
    return Column(mean, 1.0 if is_constant else scale, bin_edges(x, weights, n_bins), has_gaps)


def moments(x: np.ndarray, weights: np.ndarray | None) -> Moments:
    """Weighted mean and standard deviation of the numbers that are not missing, and whether some are."""
    gaps = np.isnan(x)
    there = ~gaps
    if weights is not None:
        gaps, there = gaps & (weights > 0), there & (weights > 0)
    known, w = x[there], None if weights is None else weights[there]
    if not len(known):
        return Moments(0.0, 1.0, bool(gaps.any()))
    mean = float(np.average(known, weights=w))
    return Moments(mean, float(np.sqrt(np.average((known - mean) ** 2, weights=w))), bool(gaps.any()))


def piecewise_linear(xp: Namespace, x: Array, column: Column) -> Array:
    """The standardised number, its position in each bin, and an indicator of missing values, if there were some.

    For a missing number the first is 0, and all codes are the middle of their range (Gorishniy, Rubachev and Babenko,
    2022, but with the standardised number as well, and with outermost bins that end at their edges).
    """
    missing = xp.isnan(x)
    z = xp.where(missing, xp.zeros_like(x), (x - column.mean) / column.scale)
    parts = [z[:, None], bin_codes(xp, x, column.edges, *CODE_RANGE)]
    if column.has_gaps:
        parts.append(xp.astype(missing, x.dtype)[:, None])
    return xp.concat(parts, axis=1)


ENCODERS = {
    "identity": Encoder(learn_nothing, identity, takes_nan=False),
    "piecewise_linear": Encoder(learn_bins, piecewise_linear, takes_nan=True),
}


def bin_edges(x: np.ndarray, weights: np.ndarray | None, n_bins: int) -> np.ndarray:
    """Distinct quantiles at 0, 1/n, ..., 1 (inverted distribution function), in float64."""
    counts = ~np.isnan(x)
    shares = np.linspace(0.0, 1.0, n_bins + 1)
    if weights is not None:
        rows = np.flatnonzero(counts & (weights > 0))
        rows = rows[np.argsort(x[rows], kind="stable")]
        x, reached = x[rows], np.cumsum(weights[rows])
        at = np.searchsorted(reached, shares * (reached[-1] if len(rows) else 0.0))
    else:
        x = np.sort(x[counts])  # in a fraction of argsort's time
        at = np.maximum(np.ceil(shares * len(x)).astype(int) - 1, 0)
    if not len(x):
        return np.zeros(1)
    return np.unique(x[np.minimum(at, len(x) - 1)].astype(np.float64))


def bin_codes(xp: Namespace, x: Array, edges: np.ndarray, low: float, high: float) -> Array:
    """Positions of numbers (n,) in each of the bins, (n, n_bins); for NaN the middle."""
    if np.abs(edges).max() > xp.finfo(x.dtype).max / 2:  # their differences would overflow
        return xp.astype(bin_codes(xp, xp.astype(x, xp.float64) / 2, edges / 2, low, high), x.dtype)
    first, last = (xp.asarray(ends, dtype=x.dtype, device=x.device) for ends in (edges[:-1], edges[1:]))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # if edges are equal in float32: 0 or 1
        passed = (x[:, None] - first) / (last - first)
    passed = xp.clip(passed, 0.0, 1.0)
    passed = xp.where(xp.isnan(passed), xp.full_like(passed, 0.5), passed)
    return passed * (high - low) + low
