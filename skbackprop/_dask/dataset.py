"""Datasets with inputs on the workers of a cluster, and targets and weights on rank 0."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skbackprop._dask.engine import ClusterEngine, RemoteTable, RemoteX
from skbackprop._dask.job import Layout, pack_encoding, put
from skbackprop._dask.ranks import Rank, columns_of
from skbackprop._fit.block import Block
from skbackprop._fit.data_checks import check_range
from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.device import Device
from skbackprop._fit.fitted_model import Features
from skbackprop._fit.spec import FitPlan, FitSpec
from skbackprop._fit.summaries import TableSummary
from skbackprop._fit.targets import TargetCodec
from skbackprop._nn.network import Network


class ClusterDevice(Device):
    """The device of a RemoteX; parameters and targets are NumPy's."""

    def __eq__(self, other: object) -> bool:
        return type(other) in (Device, ClusterDevice)

    def __hash__(self) -> int:
        return hash(Device)

    def __repr__(self) -> str:
        return "a Dask collection"

    def fetch(self, array: Any) -> Any:
        return array.fetch() if isinstance(array, RemoteX) else array

    def largest(self, X: Any) -> float:
        if not isinstance(X, RemoteX):
            return super().largest(X)
        return max(largest for largest, _ in X.table.rank.call(Rank.largest, table=X.table.name))


class ClusterBlock(Block):
    """A training set on a cluster; its full gradient needs one round of messages."""

    def blocks(self) -> Iterator[Block]:
        yield self

    def never_met(self) -> np.ndarray:
        X: Any = self.X
        answers = X.table.rank.call(Rank.never_met, table=X.table.name)
        return functools.reduce(np.intersect1d, [arrays[0] for _, arrays in answers if arrays])


@dataclass
class ClusterDataset(ArrayDataset):
    """Rows whose X is a `RemoteX`."""

    X: RemoteX  # type: ignore[assignment]  # in the place of an array
    device: Device = field(default_factory=ClusterDevice)

    def in_memory(self, dtype: DTypeLike) -> ArrayDataset:
        rows: Any = self.X.astype(dtype).fetch()
        return ArrayDataset(rows, self.y, self.weights)

    def training_set(
        self, codec: TargetCodec, factors: np.ndarray | None, spec: FitSpec, dtype: DTypeLike
    ) -> ClusterBlock:
        """Training rows; each rank gets the targets and weights of its rows."""
        block, table, targets = super().training_set(codec, factors, spec, dtype), self.X.table, []
        for layout in table.layouts:
            rows = self.X.positions(layout)
            weights = [] if block.weights is None else [block.weights[rows]]
            targets.append((None, [block.Y[rows], *weights]))
        mine, kind = {"targets": targets}, np.dtype(dtype).name
        table.rank.call(Rank.prepare, *self.X.selection, table=table.name, dtype=kind, root_only=mine)
        return ClusterBlock(block.X, block.Y, block.weights, block.device, block.unit)

    def engine(self, network: Network, spec: FitSpec, plan: FitPlan) -> ClusterEngine:
        return ClusterEngine(self.X.table.rank, network, plan.optimizer(spec))


def read_table(
    rank: Rank, layouts: list[Layout], name: str, features: Features | None
) -> tuple[ClusterDataset, Features, np.ndarray | None]:
    """Check the rows of a table on the workers. Weights are still those of the user.

    Also returns which columns are categories, if `encode` must follow.
    """
    known = None if features is None else columns_of(features)
    is_category = _categories(rank, name, features)
    encoding = None if features is None else features.encoding
    encoder = rank.request.spec.numeric_encoder if encoding is None else encoding.encoder
    asked = [] if is_category is None else [is_category]
    answers = rank.call(Rank.read, *asked, table=name, columns=known, encoder=encoder if asked else None)
    held = [(layout, *answer) for layout, answer in zip(layouts, answers, strict=True) if layout.n]
    facts = [facts for _, facts, _ in held]
    n, names = facts[0][:2] if known is None else known
    for other in facts:
        if tuple(other[:2]) != (n, names):
            raise ValueError(f"Partitions of X differ in their columns: {(n, names)} and {tuple(other[:2])}.")
    numbers = np.concatenate([layout.rows for layout, _, _ in held])
    columns = zip(*(arrays for *_, arrays in held), strict=True)
    y, *weights = (put(np.concatenate(column), numbers, len(numbers)) for column in columns)
    if any(held_objects for *_, held_objects in facts):
        y = y.astype(object)
    X = RemoteX(RemoteTable(rank, name, layouts, n), np.result_type(*(dtype for _, _, dtype, _ in facts)))
    features = Features(n, None if names is None else np.array(names, dtype=object), encoding)
    return ClusterDataset(X, y, weights[0] if weights else None), features, is_category


def _categories(rank: Rank, name: str, features: Features | None) -> np.ndarray | None:
    """Which columns of a table hold categories in any rows; None if nothing is encoded."""
    if features is not None:
        return None if features.encoding is None else features.encoding.is_category
    found = [arrays[0] for _, arrays in rank.call(Rank.find_categories, table=name) if arrays]
    if any(len(mask) != len(found[0]) for mask in found):
        raise ValueError(f"Partitions of X differ in their columns: there are {sorted({len(mask) for mask in found})}.")
    return np.logical_or.reduce(found) if found else None


def encode(
    rank: Rank, data: ClusterDataset, features: Features, is_category: np.ndarray
) -> tuple[ClusterDataset, Features]:
    """Encode a table's rows on the workers, by an encoding learned from all of them, or a given one."""
    table, n = data.X.table, len(data)
    if features.encoding is None:
        n_categories, spec = int(is_category.sum()), rank.request.spec
        summary = TableSummary(n, len(is_category) - n_categories, n_categories)
        summary.is_weighted = data.weights is not None
        answers = rank.call(Rank.summarise, table=table.name, n_rows=n)
        for layout, (texts, arrays) in zip(table.layouts, answers, strict=True):
            if arrays:
                places, (moments, numbers, weights) = layout.find(summary.drawn)[0], arrays
                summary.numbers[places], summary.weights[places] = numbers, weights
                summary.merge(texts, moments)
        found = summary.encoding(is_category, spec.numeric_encoder, spec.n_bins)
        features = replace(features, encoding=found.open if rank.request.goes_on else found)
    encoding = features.encoding
    assert encoding is not None
    facts, arrays = pack_encoding(encoding)
    rank.call(Rank.encode, *arrays, table=table.name, dtype=data.dtype.name, encoding=facts)
    codes = encoding.encode(encoding.no_rows, data.dtype)
    X = RemoteX(RemoteTable(rank, table.name, table.layouts, encoding.n_inputs, codes), data.dtype)
    data = replace(data, X=X)
    check_range(data.largest, data.dtype)
    return data, features
