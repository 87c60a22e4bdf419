"""Rows: what a training set is to an engine, its order in an epoch, and the validation split."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skbackprop._fit.places import HOST, Host

BLOCK_ROWS = 4096  # rows whose activations a full-batch gradient holds at a time
BLOCK_OUTPUTS = 2**18  # numbers that a prediction holds at a time, where nobody needs all


@dataclass
class Rows:
    """Inputs, targets as the engines take them, and weights (None: all 1) of a set of rows."""

    X: Any
    Y: Any
    weights: Any = None
    place: Host = HOST  # of X; Y and weights are on the host until they are put `together`
    unit: float = 1.0  # of the weights: what the user gave is so many times as much

    @property
    def n(self) -> int:
        """Number of rows, those of weight zero included."""
        return self.Y.shape[0]

    @property
    def weight_sum(self) -> float:
        """Sum of the raw weights."""
        if self.weights is None:
            return float(self.n)
        return self.unit * float(np.sum(self.place.fetch(self.weights), dtype=float))

    def in_units(self, dtype: Any, unit: float | None = None) -> Rows:
        """Rows whose weights are of the engine's dtype, as multiples of a unit: by default of about their mean.

        So float32 holds all that count beside the others, however large or small the user's numbers are.
        """
        if self.weights is None:
            return self
        unit = weight_unit(self.weight_sum / self.n) if unit is None else unit
        return replace(self, weights=(self.weights / unit).astype(dtype), unit=unit)

    @property
    def n_features(self) -> int:
        """Number of inputs."""
        return int(self.X.shape[1])

    @property
    def known(self) -> Rows:
        """Rows in memory that stand for all: here all."""
        return self

    def together(self) -> Rows:
        """All of it where X is."""
        put = self.place.put
        return replace(self, Y=put(self.Y), weights=None if self.weights is None else put(self.weights))

    def blocks(self) -> Iterator[Rows]:
        """Cut into blocks that together are the whole, in order (D7)."""
        for start in range(0, self.n, BLOCK_ROWS):
            cut = slice(start, min(start + BLOCK_ROWS, self.n))
            weights = None if self.weights is None else self.weights[cut]
            yield replace(self, X=self.X[cut, :], Y=self.Y[cut, ...], weights=weights)

    def epoch(self, rng: Any, shuffle: bool, batch_size: int) -> Generator[tuple[Rows, Any]]:
        """Parts with the orders in which an epoch visits their rows: whole minibatches, but for the last. Here one."""
        yield self, self.place.put(epoch_order(rng, self.n, shuffle))


def weight_unit(mean: float) -> float:
    """A power of two near the mean weight: to divide by it costs no rounding."""
    return math.ldexp(1.0, math.frexp(mean)[1] - 1)


def output_blocks(X: Any, n_outputs: int) -> Iterator[tuple[slice, Any]]:
    """Cut X so that few outputs are held at a time: which rows, and these."""
    n_rows, step = X.shape[0], max(1, BLOCK_OUTPUTS // n_outputs)
    if n_rows <= step:
        yield slice(0, n_rows), X
        return
    for start in range(0, n_rows, step):
        rows = slice(start, min(start + step, n_rows))
        yield rows, X[rows, :]


def epoch_order(rng: Any, n_rows: int, shuffle: bool) -> Any:
    """Row numbers in the order in which an epoch visits them."""
    return rng.permutation(n_rows) if shuffle else np.arange(n_rows)


def validation_split(rng: Any, n_rows: int, fraction: float, weights: Any, codes: Any):
    """Row numbers for training and for validation.

    Validation rows have positive weight; with class codes (single labels) they are stratified. A class's
    last row, and so a class with one row, stays in training. At least one row goes to validation.
    """
    eligible = np.arange(n_rows) if weights is None else np.flatnonzero(weights > 0)
    strata = np.zeros(len(eligible), dtype=int) if codes is None else codes[eligible]
    _, strata, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    take = validation_shares(sizes, fraction, n_rows)
    shuffled = rng.permutation(len(eligible))
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    place_in_stratum = np.arange(len(eligible)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = by_stratum[place_in_stratum < np.repeat(take, sizes)]
    validation = np.sort(eligible[chosen])
    return np.setdiff1d(np.arange(n_rows), validation, assume_unique=True), validation


def validation_shares(sizes: Any, fraction: float, n_rows: int, most_rows: float = np.inf) -> Any:
    """How many rows of each stratum, of these sizes, go to validation: at most `most_rows` in all."""
    most = sizes - 1  # one row of each stratum stays
    n_validation = int(min(max(1, round(fraction * sizes.sum())), most.sum(), most_rows))
    if n_validation == 0:
        raise ValueError(
            f"early_stopping=True needs a row to validate on, but none can be spared of n_samples={n_rows}: "
            "with a single row of positive weight per class all of them are needed for training. "
            "Give more rows, or pass X_val and y_val, or set early_stopping=False."
        )
    share = np.minimum(n_validation * sizes / sizes.sum(), most)
    take = np.floor(share).astype(int)
    while (left := n_validation - take.sum()) > 0:  # largest remainders first
        open_ = np.flatnonzero(take < most)
        take[open_[np.argsort(take[open_] - share[open_], kind="stable")[:left]]] += 1
    return take
