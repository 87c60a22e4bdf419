"""Datasets on disk: they are read once before training, and then block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skbackprop._engines import choose_engine
from skbackprop._engines.encoded_table import EncodedTable
from skbackprop._engines.engine import Engine
from skbackprop._fit.block import Block, weight_unit
from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.device import HOST, Device
from skbackprop._fit.identity import fingerprint
from skbackprop._fit.inputs import InputEncoding
from skbackprop._fit.source import Copies, Source, TableSource, hold_out, read_blocks, row_bytes
from skbackprop._fit.spec import FitPlan, FitSpec
from skbackprop._fit.streaming import DiskTrainingSet
from skbackprop._fit.summaries import LabelSummary, NumberSummary, Summary, TableSummary
from skbackprop._fit.targets import LabelCodec, Moments, TargetCodec
from skbackprop._fit.weights import check_weight_sum
from skbackprop._nn.network import Network
from skbackprop._types import Array

SAMPLE_ROWS = 20_000  # at most, in the sample


@dataclass
class DiskDataset:
    """Rows on disk that were read once."""

    source: Source
    dtype: np.dtype
    summary: Summary
    numbers: np.ndarray  # of the rows in the sample
    sample: ArrayDataset  # random rows in memory
    examples: Any = None  # targets that pass the same checks as all
    held_out: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    device: Device = HOST
    given: object = None  # the rows for which a scorer predicts, if not the source

    @classmethod
    def survey(cls, source: Source, dtype: np.dtype, targets: LabelSummary | NumberSummary) -> DiskDataset:
        """Read a source in one pass before training; `targets` collects the statistics of targets."""
        n = min(SAMPLE_ROWS, max(1, source.memory // 4 // row_bytes(source, dtype)), source.n_rows)
        numbers = np.random.default_rng(0).choice(source.n_rows, n, replace=False, shuffle=False)
        numbers = np.sort(numbers)
        summary, some = Summary(targets), Copies(source, n, dtype)
        for k, block in enumerate(read_blocks(source, dtype)):
            summary.add(block.X, block.y, block.weights)
            first, stop = np.searchsorted(numbers, source.bounds[k : k + 2])
            some.add(block[numbers[first:stop] - source.bounds[k]])
        return cls(source, dtype, summary, numbers, some.dataset())

    def __len__(self) -> int:
        return self.source.n_rows - len(self.held_out)

    @property
    def X(self) -> object:
        return self.source if self.given is None else self.given

    @property
    def y(self) -> np.ndarray:
        return self.source.y

    @property
    def weights(self) -> np.ndarray | None:
        return self.source.sample_weight

    @property
    def largest(self) -> float:
        return self.summary.largest

    def fingerprint(self) -> str:
        """Text with shape, dtype, a hash of the content, and the memory, on which the shuffling depends."""
        source = self.source
        name = fingerprint(map(_hashed, read_blocks(source, self.dtype)))
        return f"{(source.n_rows, source.n_features)} {self.dtype} {name} memory {source.memory}"

    def split(
        self, rng: np.random.RandomState, fraction: float, strata: Callable[[np.ndarray], np.ndarray | None]
    ) -> tuple[DiskDataset, ArrayDataset]:
        """Hold out validation rows in memory, at most a quarter of it."""
        source = self.source
        out, held = hold_out(source, self.dtype, rng, self.summary.targets, fraction, source.memory)
        kept = ~np.isin(self.numbers, out)
        rest = replace(
            self,
            summary=self.summary.without(held.y, held.weights),
            numbers=self.numbers[kept],
            sample=self.sample[kept],
            held_out=out,
        )
        return rest, held

    def moments(self) -> Moments:
        assert isinstance(self.summary.targets, NumberSummary)
        return self.summary.targets.moments

    def class_totals(self, codec: LabelCodec) -> tuple[np.ndarray, float]:
        assert isinstance(self.summary.targets, LabelSummary)
        return self.summary.targets.counts_of(codec), self.summary.weight_sum

    def training_set(
        self, codec: TargetCodec, factors: np.ndarray | None, spec: FitSpec, dtype: DTypeLike
    ) -> DiskTrainingSet:
        def encode(rows: ArrayDataset) -> Block:
            return rows.encoded(codec, factors, dtype)

        sample = encode(self.sample)
        if sample.weights is not None and not sample.weights.any():
            # if few rows have weight, use any rows
            sample = replace(sample, weights=np.ones_like(sample.weights))
        memory = self.source.memory - len(self.held_out) * row_bytes(self.source, self.dtype)
        rows = DiskTrainingSet(self.source, encode, sample, 0.0, memory, self.held_out, verbose=spec.verbose)
        rows.weight_sum = self.summary.weight_sum if factors is None else rows.sum_weights()
        if sample.weights is not None:
            rows.unit = weight_unit(check_weight_sum(rows.weight_sum) / rows.n)
        return rows

    def validation_blocks(self, codec: TargetCodec, dtype: DTypeLike) -> Callable[[], Iterator[Block]]:
        return lambda: (block.encoded(codec, None, dtype) for block in read_blocks(self.source, dtype))

    def engine(self, network: Network, spec: FitSpec, plan: FitPlan) -> Engine:
        return choose_engine(network, plan.optimizer(spec), spec.engine, np, spec.n_threads, spec.precision)


def _hashed(block: ArrayDataset) -> tuple[Array, np.ndarray, np.ndarray | None]:
    """X, y and weights of a block for hashing; of a table its codes, since dense rows may be very wide."""
    X: Any = block.X
    if isinstance(X, EncodedTable):
        X = np.concatenate([part.view(np.uint8).reshape(len(X), -1) for part in X.rows], axis=1)
    return X, block.y, block.weights


def learn_encoding(table: TableSource, is_category: np.ndarray, encoder: str, n_bins: int) -> InputEncoding:
    """Read a table in a separate pass, to learn the encoding of its columns."""
    n_categories = int(is_category.sum())
    summary = TableSummary(table.n_rows, len(is_category) - n_categories, n_categories, table.memory)
    for k, (first, stop) in enumerate(pairwise(table.bounds)):
        rows, _, weights = table.read_table(k)
        summary.add(rows, weights, np.arange(first, stop))
    return summary.encoding(is_category, encoder, n_bins)


def predict_blocks(source: Source, output: Callable[[Array], Array], axis: int) -> Array:
    """Outputs for all rows, computed block by block and joined along an axis."""
    dtype = source.dtype if source.dtype in HOST.floats("auto") else np.dtype(np.float64)
    return np.concatenate([output(block.X) for block in read_blocks(source, dtype)], axis=axis)
