"""The data that ranks of a fit get: the request of the estimator, and a shard of the rows of each table."""

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
    """The rows of a table that one rank holds: pieces, given by their first row and the row after the last."""

    starts: np.ndarray
    stops: np.ndarray

    @classmethod
    def of(cls, pieces: list[tuple[int, int]]) -> Layout:
        """Make them from pairs in ascending order; empty pieces are left out."""
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
        """For row numbers in the whole table: the positions of those in this shard, and their rows here."""
        if not len(self.starts):
            return np.arange(0), np.arange(0)
        piece = np.searchsorted(self.starts, rows, side="right") - 1
        positions = np.flatnonzero((piece >= 0) & (rows < self.stops[piece]))
        piece = piece[positions]
        lengths = self.stops - self.starts
        first = np.cumsum(lengths) - lengths  # position of the start of each piece
        return positions, rows[positions] - self.starts[piece] + first[piece]


@dataclass
class Shard:
    """The rows of a table that one rank holds, in the order of their numbers."""

    layout: Layout
    # the user's partition, then an array, or a table and later its codes
    X: Any = None
    y: Any = None
    sample_weight: Any = None
    Y: np.ndarray | None = None  # encoded targets
    weights: np.ndarray | None = None  # for training, including class weights
    training: np.ndarray | None = None  # rows for training; None: all

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """X, Y and weights of the training rows, block by block; none before they are prepared."""
        n = 0 if self.Y is None else self.layout.n if self.training is None else len(self.training)
        for start in range(0, n, BLOCK_ROWS):
            cut = slice(start, start + BLOCK_ROWS)
            yield self.take(cut if self.training is None else self.training[cut])

    def take(self, rows: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """X, Y and weights of rows, given by their positions in this shard."""
        assert self.Y is not None
        return self.X[rows], self.Y[rows], None if self.weights is None else self.weights[rows]


@dataclass
class FitRequest:
    """The request of the estimator, with functions of the local estimator's fit."""

    spec: FitSpec
    rng: np.random.RandomState
    features: Features | None  # that X must have; None: learned from X
    # X, y, number and names of columns, which are categories, the encoder -> X, y, features, dtype
    check_rows: Callable[..., tuple[Any, Any, Features, np.dtype]]
    find_categories: Callable[[Any], np.ndarray | None]  # of X; None: nothing is to be encoded
    check_weights: Callable[..., np.ndarray | None]  # weights, y, the parameter's name
    start: Callable[[FitSpec, Dataset, Features], FittedModel | Untrained]
    make_score: Callable[[Dataset, FittedModel], Callable[[FittedModel], float]]
    sync_every: int = 1
    goes_on: bool = False  # may later calls continue from this fit?


@dataclass
class Snapshot:
    """A state from which training can continue: the parameters, and the rest with the optimizer's memory."""

    theta: np.ndarray
    state: TrainState


@dataclass
class Job:
    """One attempt of a fit on given workers."""

    name: str
    token: str  # a secret by which ranks identify each other
    request: FitRequest
    addresses: list[str]  # of the workers, by rank
    layouts: dict[str, list[Layout]]  # which rows each rank holds, by table
    has_callbacks: bool
    keeps_checkpoints: bool  # does the client want one after each epoch?
    resume: Snapshot | None  # from which to continue


def join(parts: Sequence[Any]) -> Any:
    """Join the rows of partitions to one array or DataFrame; a single one is not copied."""
    if len(parts) == 1:
        return parts[0]
    if any(isinstance(part, (pd.DataFrame, pd.Series)) for part in parts):
        return concat(parts)  # with all of their categories
    return np.concatenate([np.asarray(part) for part in parts])


def put(values: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """Make n rows with these values in the given rows; the others are not used."""
    whole = np.zeros((n, *values.shape[1:]), dtype=values.dtype)
    whole[rows] = values
    return whole


def to_plain(y: object) -> tuple[np.ndarray, bool]:
    """Labels or numbers in a dtype that can be sent, and whether they had dtype object."""
    array = np.asarray(y)
    if array.dtype.kind != "O":
        return array, False
    plain = np.asarray(array.tolist())
    if plain.dtype.kind == "O" or (plain.dtype.kind in "US" and not all(isinstance(v, str) for v in array.flat)):
        raise ValueError(f"Labels must be numbers or text, all of one kind; got {array[:5]!r}, ...")
    return plain, True


LISTS = ("means", "scales", "has_gaps", "n_others")  # of an InputEncoding, that hold plain values


def pack_encoding(encoding: InputEncoding) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Convert an encoding to plain values and arrays, which can be sent."""
    facts = {name: getattr(encoding, name) for name in ("encoder", *LISTS)}
    texts = [known.tolist() for known in encoding.categories]
    return facts | {"categories": texts}, [encoding.is_category, *encoding.bin_edges]


def unpack_encoding(facts: dict[str, Any], arrays: Sequence[np.ndarray]) -> InputEncoding:
    """Convert the plain values back to an encoding."""
    lists = {name: list(facts[name]) for name in LISTS}
    known = [np.array(texts, dtype=object) for texts in facts["categories"]]
    return InputEncoding(facts["encoder"], arrays[0], bin_edges=list(arrays[1:]), categories=known, **lists)
