"""Rows for an engine: inputs, encoded targets and weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from skbackprop._engines.encoded_table import EncodedTable
from skbackprop._engines.engine import Engine
from skbackprop._fit.device import HOST, Device, device_of
from skbackprop._types import Array

BLOCK_ROWS = 4096  # rows whose activations are in memory during a full-batch gradient
BLOCK_OUTPUTS = 2**18  # outputs that are in memory during a prediction of which not all are needed


@dataclass
class Block:
    """Rows in memory, all or a part of a training set: inputs, encoded targets, and weights (None: all 1)."""

    X: Array
    Y: np.ndarray
    weights: np.ndarray | None = None
    device: Device = HOST  # of X; Y and weights are on the host until they are put `together`
    unit: float = 1.0  # the user's weights are these weights times the unit

    @property
    def n(self) -> int:
        return int(self.Y.shape[0])

    @property
    def weight_sum(self) -> float:
        if self.weights is None:
            return float(self.n)
        return self.unit * float(np.sum(self.device.fetch(self.weights), dtype=float))

    def in_units(self, dtype: DTypeLike, unit: float | None = None) -> Block:
        """Block whose weights are of the engine's dtype, as multiples of a unit: by default of about their mean.

        So float32 can hold them, however large or small the user's numbers are.
        """
        if self.weights is None:
            return self
        unit = weight_unit(self.weight_sum / self.n) if unit is None else unit
        return replace(self, weights=(self.weights / unit).astype(dtype), unit=unit)

    @property
    def sample(self) -> Block:
        return self

    def never_met(self) -> np.ndarray:
        """Numbers of the inputs for categories and missing values that are 0 in all rows with weight."""
        assert isinstance(self.X, EncodedTable)
        return self.X.never_met(None if self.weights is None else self.weights > 0)

    def together(self) -> Self:
        put = self.device.put
        return replace(self, Y=put(self.Y), weights=None if self.weights is None else put(self.weights))

    def blocks(self) -> Iterator[Block]:
        for start in range(0, self.n, BLOCK_ROWS):
            cut = slice(start, min(start + BLOCK_ROWS, self.n))
            weights = None if self.weights is None else self.weights[cut]
            yield replace(self, X=self.X[cut, :], Y=self.Y[cut, ...], weights=weights)

    def epoch(self, rng: np.random.RandomState, shuffle: bool, batch_size: int) -> Generator[tuple[Block, np.ndarray]]:
        yield self, self.device.put(epoch_order(rng, self.n, shuffle))


def weight_unit(mean: float) -> float:
    """A power of two near the mean weight, so that dividing by it is exact."""
    return math.ldexp(1.0, math.frexp(mean)[1] - 1)


def output_blocks(X: Array, n_outputs: int) -> Iterator[tuple[slice, Any]]:
    """Parts of X, as slices and rows, so that few outputs are in memory at a time."""
    n_rows, step = X.shape[0], max(1, BLOCK_OUTPUTS // n_outputs)
    if n_rows <= step:
        yield slice(0, n_rows), X
        return
    for start in range(0, n_rows, step):
        rows = slice(start, min(start + step, n_rows))
        yield rows, X[rows, :]


def epoch_order(rng: np.random.RandomState, n: int, shuffle: bool) -> np.ndarray:
    """Numbers of n rows, or of blocks of them, in the order in which an epoch visits them."""
    return rng.permutation(n) if shuffle else np.arange(n)


def in_blocks(engine: Engine, X: Array, options: dict[str, bool], answer: Callable[[Array], Array]) -> Array | None:
    """A function of the engine's outputs, computed block by block; None if the engine refuses X."""
    answers, network = [], engine.network
    for _, rows in output_blocks(X, network.sizes[-1] * network.n_members):
        output = engine.predict(rows, **options)
        if output is None:
            return None
        answers.append(answer(output))
    if len(answers) == 1:
        return answers[0]
    return device_of(*answers).xp.concat(answers, axis=int(options["members"]))
