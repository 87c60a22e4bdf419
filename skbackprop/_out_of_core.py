"""What a fit does with rows that stay on the disk: the counterpart of `Sample` and its steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skbackprop._fit import validation
from skbackprop._fit.batches import weight_unit
from skbackprop._fit.identity import fingerprint
from skbackprop._fit.places import FLOAT64, HOST, Host
from skbackprop._fit.race import MOST_ROWS
from skbackprop._fit.streaming import FEW_BLOCKS, Part, Stream, hold_out, read_parts, survey
from skbackprop._fit.summaries import Summary
from skbackprop._fit.warn import warn
from skbackprop.data import Shards


def dtype_of(estimator: Any, data: Shards) -> Any:
    """Dtype in which these data are trained on."""
    allowed = HOST.floats(estimator.dtype)
    return data.dtype if data.dtype in allowed else allowed[0]


def nameless(estimator: Any, data: Shards, method: str) -> Any:
    """Copy of a fitted estimator that takes blocks, which have no names; data must have those of the fit."""
    theirs, ours = data.feature_names, getattr(estimator, "feature_names_in_", None)
    if theirs is None:
        return estimator  # scikit-learn's check says it if they are missed
    if ours is not None and list(ours) != theirs:
        raise ValueError(
            f"The columns passed to {method} must be those that were passed to fit, in that order: fit saw "
            f"{list(ours)}, and these data have {theirs}. Name them: Shards(..., features=[...])."
        )
    model = copy.copy(estimator)
    model.__dict__.pop("feature_names_in_", None)
    return model


def predict_blocks(data: Shards, output: Callable[[Any], Any], axis: int) -> Any:
    """Outputs for all rows, computed block by block and joined along an axis."""
    dtype = data.dtype if data.dtype in HOST.floats("auto") else FLOAT64
    return np.concatenate([output(part.X) for part in read_parts(data, dtype)], axis=axis)


def read_shards(estimator: Any, data: Shards, *, reset: bool) -> Sampled | tuple[Any, Any, Any]:
    """Survey the data; X, y and weights themselves if they fit into the memory that the user gave."""
    dtype = dtype_of(estimator, data)
    if data.n_rows * data.n_features * dtype.itemsize <= data.memory:
        X, y, weights = data.load()
        if y is None:
            raise ValueError(NO_TARGETS)
        return X, y, weights
    if data.read_targets(0)[0] is None:
        raise ValueError(NO_TARGETS)
    row_bytes = data.n_features * dtype.itemsize
    n_some = min(MOST_ROWS, max(1, data.memory // 4 // row_bytes), data.n_rows)
    numbers = np.random.default_rng(0).choice(data.n_rows, n_some, replace=False, shuffle=False)
    numbers = np.sort(numbers)
    summary, some = survey(data, dtype, estimator._target_summary(data.read_targets(0)[0]), numbers)
    X, y, weights = summary.stand_ins(data.n_features)
    X, y = validation.check_rows(estimator, X.astype(dtype), y, reset=reset, dtypes=[dtype])
    weights = validation.check_weights(weights, y)
    validation.check_weight_sum(summary.weight_sum, "sample_weight")
    return Sampled(data, dtype, summary, numbers, some, Part(X, y, weights))


NO_TARGETS = "These data hold no targets: pass y when you make the Shards."


@dataclass
class Sampled:
    """Rows on the disk that were looked through: what `Sample` is for those in memory."""

    source: Shards
    dtype: Any
    summary: Summary
    numbers: Any  # of
    some: Any  # rows in memory that stand for all, drawn at random
    stand_in: Any  # few rows by which targets are learned
    held_out: Any = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    memory: int = 0  # taken by these
    place: Host = HOST

    def __len__(self) -> int:
        return self.source.n_rows - len(self.held_out)

    @property
    def X(self) -> Shards:
        """What a scorer predicts for."""
        return self.source

    @property
    def y(self) -> Any:
        """All targets."""
        return self.source.y

    @property
    def weights(self) -> Any:
        """All weights."""
        return self.source.sample_weight

    @property
    def largest(self) -> float:
        """Largest absolute value of the inputs."""
        return self.summary.largest

    def fingerprint(self) -> str:
        """Shape, kind and content of all, in one pass; and the memory, by which rows are shuffled."""
        source = self.source
        name = fingerprint((part.X, part.y, part.weights) for part in read_parts(source, self.dtype))
        return f"{source.shape} {self.dtype} {name} memory {source.memory}"

    def split(self, rng: Any, fraction: float, strata: Any) -> tuple[Sampled, Any]:
        """Hold rows out for validation, in memory: as many as take a quarter of it, at most."""
        source, targets = self.source, self.summary.targets
        out, part = hold_out(source, self.dtype, rng, targets, fraction, source.memory)
        kept = ~np.isin(self.numbers, out)
        rest = replace(
            self,
            summary=self.summary.without(part),
            numbers=self.numbers[kept],
            some=self.some[kept],
            held_out=out,
            memory=part.X.nbytes,
        )
        return rest, type(self.some)(part.X, part.y, part.weights, HOST)

    def rows(self, estimator: Any, dtype: Any, progress: Any) -> Stream:
        """Rows to train on, with everything that acts in training only."""
        source, some = self.source, self.some
        encode = estimator._encoder(self.summary, dtype, progress)
        known = encode(replace(some, X=some.X.astype(dtype, copy=False)))
        if (
            known.weights is not None and not known.weights.any()
        ):  # where weight is rare, any rows stand for all
            known = replace(known, weights=np.ones_like(known.weights))
        stream = Stream(source, encode, known, 0.0, source.memory - self.memory, self.held_out)
        has_factors = getattr(estimator, "class_weight", None) is not None
        stream.weight_sum = stream.sum_weights() if has_factors else self.summary.weight_sum
        if known.weights is not None:
            stream.unit = weight_unit(validation.check_weight_sum(stream.weight_sum) / stream.n)
        if estimator.solver != "lbfgs":
            self._tell(estimator, stream)
        return stream

    def _tell(self, estimator: Any, stream: Stream) -> None:
        room, n_buffers = stream.plan(estimator._settings.batch_size)
        n_blocks = len(self.source.bounds) - 1
        if estimator.verbose:
            print(
                f"streaming {stream.n} rows in {n_blocks} blocks: {n_buffers} buffers of up to {room} rows an epoch",
                flush=True,
            )
        if estimator.shuffle and n_buffers > 1 and n_blocks < FEW_BLOCKS * n_buffers:
            warn(
                f"A buffer holds only about {n_blocks / n_buffers:.0f} of the {n_blocks} blocks, so that rows are "
                "hardly shuffled. Give more memory, or smaller blocks (block_rows, or a smaller row_group_size where "
                "Parquet files are written), or shuffle=False if the files are shuffled already."
            )

    def encoded(self, encode: Callable[[Any, Any], Any], dtype: Any) -> Encoded:
        """X, Y and weights for the validation loss, block by block each time."""
        encode(self.stand_in, dtype)  # raises for labels that are unknown
        return Encoded(self, encode, dtype)


@dataclass
class Encoded:
    """Blocks of a validation set, read anew each time they are asked for."""

    sampled: Sampled
    encode: Callable[[Any, Any], Any]
    dtype: Any

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        for part in read_parts(self.sampled.source, self.dtype):
            yield part.X, self.encode(part, self.dtype), part.weights
