"""What the ranks of a fit are given: what is asked for, and rows of the tables, of which each rank holds a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from dask.dataframe.dispatch import concat

from skbackprop._fit.block import BLOCK_ROWS
from skbackprop._fit.dataset import Dataset
from skbackprop._fit.fitted_model import Features, FittedModel, Untrained
from skbackprop._fit.inputs import InputEncoding
from skbackprop._fit.spec import FitSpec
from skbackprop._fit.state import TrainState


@dataclass(frozen=True)
class Layout:
    """Which rows of a table one rank holds: pieces, by the number of their first row and of the one past the last."""

    starts: np.ndarray
    stops: np.ndarray

    @classmethod
    def of(cls, pieces: list[tuple[int, int]]) -> Layout:
        """From pairs in ascending order; empty pieces are left out."""
        bounds = np.array([pair for pair in pieces if pair[0] < pair[1]], dtype=np.int64).reshape(-1, 2)
        return cls(bounds[:, 0], bounds[:, 1])

    @property
    def n(self) -> int:
        """Number of rows."""
        return int((self.stops - self.starts).sum())

    @property
    def rows(self) -> np.ndarray:
        """Their numbers in the whole table."""
        return np.concatenate([np.arange(0), *map(np.arange, self.starts, self.stops)])

    def find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of rows by their numbers in the whole table: positions of those that are here, and where they are."""
        if not len(self.starts):
            return np.arange(0), np.arange(0)
        piece = np.searchsorted(self.starts, rows, side="right") - 1
        positions = np.flatnonzero((piece >= 0) & (rows < self.stops[piece]))
        piece = piece[positions]
        lengths = self.stops - self.starts
        first = np.cumsum(lengths) - lengths  # of each piece, where it begins here
        return positions, rows[positions] - self.starts[piece] + first[piece]


@dataclass
class Shard:
    """The rows of a table that one rank holds, in the order of their numbers."""

    layout: Layout
    # a partition as the user has it, until it is read: then an array, or a table and then its codes
    X: Any = None
    y: Any = None
    sample_weight: Any = None
    Y: np.ndarray | None = None  # encoded targets
    weights: np.ndarray | None = None  # as training sees them, class weights included
    training: np.ndarray | None = None  # which rows it sees; None: all

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """X, Y and weights of the training rows, block by block; none before they are prepared."""
        n = 0 if self.Y is None else self.layout.n if self.training is None else len(self.training)
        for start in range(0, n, BLOCK_ROWS):
            cut = slice(start, start + BLOCK_ROWS)
            yield self.take(cut if self.training is None else self.training[cut])

    def take(self, rows: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """X, Y and weights of rows by where they are here."""
        assert self.Y is not None
        return self.X[rows], self.Y[rows], None if self.weights is None else self.weights[rows]


@dataclass
class FitRequest:
    """What the estimator asks for; the functions are those of the local estimator's fit."""

    spec: FitSpec
    rng: np.random.RandomState
    features: Features | None  # that X must have; None: those that X has are learned
    # X, y, number and names of columns, which are categories, the encoder -> X, y, features, dtype
    check_rows: Callable[..., tuple[Any, Any, Features, np.dtype]]
    find_categories: Callable[[Any], np.ndarray | None]  # of X; None: nothing is to be encoded
    check_weights: Callable[..., np.ndarray | None]  # weights, y, the parameter's name
    start: Callable[[FitSpec, Dataset, Features], FittedModel | Untrained]
    make_score: Callable[[Dataset, FittedModel], Callable[[FittedModel], float]]
    sync_every: int = 1
    goes_on: bool = False  # may later calls go on from this fit?


@dataclass
class Snapshot:
    """What training can go on from: the parameters, and all else with the optimizer's memory in it."""

    theta: np.ndarray
    state: TrainState


@dataclass
class Job:
    """One attempt at a fit, on certain workers."""

    name: str
    token: str  # a secret, by which ranks know each other
    request: FitRequest
    addresses: list[str]  # of the workers, by rank
    layouts: dict[str, list[Layout]]  # which rows each rank holds, by table
    has_callbacks: bool
    keeps_checkpoints: bool  # does the client want one after each epoch?
    resume: Snapshot | None  # to go on from


def join(parts: Sequence[Any]) -> Any:
    """Rows of partitions in one array or DataFrame; of a single one it is that itself."""
    if len(parts) == 1:
        return parts[0]
    if any(isinstance(part, (pd.DataFrame, pd.Series)) for part in parts):
        return concat(parts)  # with all of their categories
    return np.concatenate([np.asarray(part) for part in parts])


def put(values: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """Make n rows, of which these have the values; the others are never looked at."""
    whole = np.zeros((n, *values.shape[1:]), dtype=values.dtype)
    whole[rows] = values
    return whole


def to_plain(y: object) -> tuple[np.ndarray, bool]:
    """Labels or numbers in a dtype that can be sent, and whether they were objects."""
    array = np.asarray(y)
    if array.dtype.kind != "O":
        return array, False
    plain = np.asarray(array.tolist())
    if plain.dtype.kind == "O" or (plain.dtype.kind in "US" and not all(isinstance(v, str) for v in array.flat)):
        raise ValueError(f"Labels must be numbers or text, all of one kind; got {array[:5]!r}, ...")
    return plain, True


LISTS = ("means", "scales", "has_gaps", "n_others")  # of an InputEncoding, that hold plain values


def pack_encoding(encoding: InputEncoding) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What is known of a table's columns in plain values and arrays, which can be sent."""
    facts = {name: getattr(encoding, name) for name in ("encoder", *LISTS)}
    texts = [known.tolist() for known in encoding.categories]
    return facts | {"categories": texts}, [encoding.is_category, *encoding.bin_edges]


def unpack_encoding(facts: dict[str, Any], arrays: Sequence[np.ndarray]) -> InputEncoding:
    """The same from what was sent."""
    lists = {name: list(facts[name]) for name in LISTS}
    known = [np.array(texts, dtype=object) for texts in facts["categories"]]
    return InputEncoding(facts["encoder"], arrays[0], bin_edges=list(arrays[1:]), categories=known, **lists)
