"""From the user's arguments to checked datasets."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
from sklearn.base import BaseEstimator, is_classifier

from skbackprop._checks.arrays import (
    check_rows,
    check_same_device,
    check_targets,
    check_weights,
    has_validation_set,
    names_of,
)
from skbackprop._checks.categories import check_categories, named_categories, warn_silent, with_categories
from skbackprop._checks.constraints import warn_without_effect
from skbackprop._checks.shards import categories_in_shards, open_table
from skbackprop._checks.tables import ENCODING, categories_in, encoding_of, read_table
from skbackprop._fit.data_checks import check_range, one_column
from skbackprop._fit.dataset import ArrayDataset, Dataset
from skbackprop._fit.device import HOST, compute_device, to_host
from skbackprop._fit.fitted_model import Features, FittedModel, Untrained
from skbackprop._fit.inputs import InputEncoding, RawTable
from skbackprop._fit.out_of_core import DiskDataset, learn_encoding
from skbackprop._fit.scales import check_validation_set, in_validation_set
from skbackprop._fit.source import EncodedSource, Source, TableSource
from skbackprop._fit.spec import FitSpec
from skbackprop._fit.summaries import LabelSummary, NumberSummary
from skbackprop._fit.targets import LabelCodec, NumberCodec, TargetCodec
from skbackprop._fit.weights import check_weight_sum
from skbackprop._types import Array, Data
from skbackprop.data import Shards, load_numbers

NAMES = "feature_names_in_"  # which scikit-learn sets, and compares with the next X


def copy_of(
    estimator: object,
    changes: Mapping[str, object] | None = None,
    without: Iterable[str] = (),
    cls: type[Any] | None = None,
) -> Any:
    """Shallow copy of an estimator, with another class or attributes if given, and without those left out.

    Changes of the estimator in other threads, and of the copy in scikit-learn's checks, do not affect the other.
    """
    attributes = dict(estimator.__dict__)
    for name in without:
        attributes.pop(name, None)
    attributes.update(changes or {})
    copied = object.__new__(type(estimator) if cls is None else cls)
    copied.__dict__ = attributes
    return copied


class Given(NamedTuple):
    """The user's arguments for the rows of X."""

    y: Data
    weights: Data = None
    name: str = "sample_weight"  # of the weights
    categories: Any = None  # of columns, if given
    goes_on: bool = False  # may later calls continue from this fit with other rows?


def read_rows(
    estimator: BaseEstimator, X: Data, given: Given, *, reset: bool, dtype: str | None = None
) -> tuple[Dataset, Features]:
    """Check rows, and learn or compare their features; the estimator does not change. A dtype replaces its own."""
    forgotten = [ENCODING] if reset else []
    reader = copy_of(estimator, {} if dtype is None else {"dtype": dtype}, without=forgotten)
    if not isinstance(X, Shards):
        return _read_arrays(reader, X, given, reset), _features(reader)
    if given.y is not None or given.weights is not None:
        raise ValueError("Shards hold targets and weights. Pass y and sample_weight to Shards(...), not to fit.")
    if not reset:  # the blocks have no names, but the model keeps its own
        return _read_shards(without_names(reader, X, "fit"), X, given, reset), _features(reader)
    data = _read_shards(reader, X, given, reset)
    if X.feature_names is not None:
        reader.feature_names_in_ = np.asarray(X.feature_names, dtype=object)
    return data, _features(reader)


def starting_point(
    estimator: BaseEstimator,
    spec: FitSpec,
    data: Dataset,
    features: Features,
    again: str | None,
    classes: np.ndarray | None = None,
) -> FittedModel | Untrained:
    """The start of training: the fitted model, if the method `again` continues from it, or an untrained one."""
    if again is None:
        codec: type[TargetCodec] = LabelCodec if is_classifier(estimator) else NumberCodec
        return Untrained(codec.learn(data.examples, spec, classes), features)
    check_same_device(estimator, data.device, again)
    model: FittedModel = estimator.__fitted_model__()
    known = model.codec.for_training(spec)
    known.check_again(data.examples, classes)
    return replace(model, codec=known, features=features)


def read_validation(
    estimator: BaseEstimator,
    rows: tuple[Data, Data, Data],
    spec: FitSpec,
    data: Dataset,
    start: FittedModel | Untrained,
) -> Dataset | None:
    """Read and check the user's validation set, if any; warn of parameters that have no effect with or without it."""
    X_val, y_val, weights = rows
    held_out = None
    if has_validation_set(X_val, y_val, weights, holds_targets=isinstance(X_val, Shards)):
        features, strict = start.features, not spec.partial
        names = names_of(X_val) if features.names is None and features.encoding is None else None
        known = features.attributes if names is None else features.attributes | {NAMES: names}
        reader = copy_of(estimator, known, without=[NAMES, ENCODING])
        with in_validation_set():
            held_out, _ = read_rows(reader, X_val, Given(y_val, weights, "sample_weight_val"), reset=False)
        by_name, columns = names is not None, features.numeric
        check_validation_set(held_out, data, start.codec, strict=strict, columns=columns, by_name=by_name)
    if not (spec.partial and isinstance(start, FittedModel)):  # a stream's first call has said it
        warn_without_effect(estimator, spec, is_given=held_out is not None)
    return held_out


def read_part(
    estimator: BaseEstimator,
    X: Data,
    y: Data,
    columns: tuple[int, np.ndarray | None] | None,
    is_category: np.ndarray | None = None,
    encoder: str | None = None,
) -> tuple[Array | RawTable, np.ndarray, Features, np.dtype]:
    """Check a part of the rows of a fit; return a table if its columns are to be encoded, and the dtype to compute in.

    columns: the number and names that X must have; None: learned from X.
    """
    learned = {} if columns is None else Features(*columns).attributes
    reset, encoding = columns is None, {} if encoder is None else {"numeric_encoder": encoder}
    reader = copy_of(estimator, learned | encoding, without=[NAMES, ENCODING])
    if is_category is not None:
        table, dtype = read_table(reader, X, is_category, reset=reset)
        y = check_targets(reader, y, len(table))
        return table, y, _features(reader), dtype if reader.dtype == "auto" else np.dtype(reader.dtype)
    X, y = check_rows(reader, X, y, reset=reset, dtypes=HOST.floats(reader.dtype))
    return X, y, _features(reader), HOST.dtype_of(X)


def without_names(estimator: BaseEstimator, data: Shards, method: str) -> BaseEstimator:
    """Copy of a fitted estimator that takes blocks without names; the data must have those of the fit."""
    theirs, ours = data.feature_names, getattr(estimator, NAMES, None)
    if theirs is None:
        return estimator  # scikit-learn's check warns of missing names
    if ours is not None and list(ours) != theirs:
        raise ValueError(
            f"The columns passed to {method} must be those passed to fit, in the same order: fit had {list(ours)}, "
            f"but these data have {theirs}. Name them: Shards(..., features=[...])."
        )
    return copy_of(estimator, without=[NAMES])


def _features(reader: BaseEstimator) -> Features:
    """The features that scikit-learn's checks learned from X."""
    return Features(reader.n_features_in_, getattr(reader, NAMES, None), encoding_of(reader))


def _read_arrays(reader: BaseEstimator, X: Any, given: Given, reset: bool) -> ArrayDataset:
    is_category = (
        categories_in(reader, X, given.categories) if reset else getattr(encoding_of(reader), "is_category", None)
    )
    if is_category is not None:
        table, kind = read_table(reader, X, is_category, reset=reset)
        return _encoded(reader, table, kind if reader.dtype == "auto" else np.dtype(reader.dtype), given, reset)
    device = compute_device(X)
    X, targets = check_rows(reader, X, given.y, reset=reset, dtypes=device.floats(reader.dtype))
    if given.categories is not None:
        names = _names(reader)
        named_categories(given.categories, names, np.zeros(len(names), dtype=bool))
    targets = to_host(targets)
    weights = check_weights(to_host(cast(Any, given.weights)), targets, given.name)
    return ArrayDataset(X, one_column(targets) if is_classifier(reader) else targets, weights, device)


def _names(reader: BaseEstimator) -> Sequence[Hashable]:
    """Names of the columns, or their numbers."""
    names = getattr(reader, NAMES, None)
    return range(reader.n_features_in_) if names is None else list(names)


def _encoded(reader: BaseEstimator, table: RawTable, dtype: np.dtype, given: Given, reset: bool) -> ArrayDataset:
    """Rows of a table, encoded as learned here or in fit."""
    targets = to_host(check_targets(reader, given.y, len(table)))
    weights = check_weights(to_host(cast(Any, given.weights)), targets, given.name)
    if reset:
        learned = InputEncoding.learn(table, reader.numeric_encoder, reader.n_bins, weights)
        setattr(reader, ENCODING, learned.open if given.goes_on else learned)
    encoding = encoding_of(reader)
    assert encoding is not None
    if given.categories is not None:
        named = named_categories(given.categories, _names(reader), table.is_category)
        if reset:
            encoding = with_categories(encoding, named)
            setattr(reader, ENCODING, encoding)
        else:
            check_categories(encoding, named, _names(reader))
    if given.goes_on and not reset:
        warn_silent(encoding, table, weights, _names(reader))
    rows: Any = encoding.encode(table, dtype)
    check_range(rows.largest(), dtype)
    return ArrayDataset(rows, one_column(targets) if is_classifier(reader) else targets, weights)


def _read_shards(reader: BaseEstimator, data: Shards, given: Given, reset: bool) -> Dataset:
    """Read the data once; return X, y and weights themselves if they fit into the memory that the user gave."""
    if data.read_targets(0)[0] is None:
        raise ValueError("These Shards hold no targets. Pass y to Shards(...).")
    allowed = HOST.floats(reader.dtype)
    dtype = data.dtype if data.dtype in allowed else allowed[0]
    are_loaded = data.n_rows * data.n_features * dtype.itemsize <= data.memory
    if are_loaded:
        given = given._replace(y=data.y, weights=data.sample_weight)
    known = encoding_of(reader)
    is_category = categories_in_shards(reader, data) if reset else None if known is None else known.is_category
    if is_category is not None:
        table = open_table(reader, data, is_category, reset=reset)
        if are_loaded:
            rows = RawTable.join([table.read_table(k)[0] for k in range(len(data.bounds) - 1)])
            return _encoded(reader, rows, dtype, given, reset)
        if reset:
            learned = learn_encoding(table, is_category, reader.numeric_encoder, reader.n_bins)
            setattr(reader, ENCODING, learned.open if given.goes_on else learned)
        disk = _survey_table(reader, table, dtype)
        disk.given = data
        return disk
    if are_loaded:
        return _read_arrays(reader, load_numbers(data), given, reset)
    disk = _survey(reader, cast(Source, data), dtype)
    X, y, weights = disk.summary.stand_ins(data.n_features)
    X, disk.examples = check_rows(reader, X.astype(dtype), y, reset=reset, dtypes=[dtype])
    check_weights(weights, y)
    check_weight_sum(disk.summary.weight_sum, "sample_weight")
    return disk


def _survey_table(reader: BaseEstimator, table: TableSource, dtype: np.dtype) -> DiskDataset:
    """Read a table with encoded columns once."""
    encoding = encoding_of(reader)
    assert encoding is not None
    disk = _survey(reader, EncodedSource(table, encoding, dtype), dtype)
    _, y, weights = disk.summary.stand_ins(1)
    disk.examples = check_targets(reader, y, len(y))
    check_weights(weights, y)
    check_weight_sum(disk.summary.weight_sum, "sample_weight")
    check_range(disk.largest, dtype)
    return disk


def _survey(reader: BaseEstimator, source: Source, dtype: np.dtype) -> DiskDataset:
    return DiskDataset.survey(source, dtype, LabelSummary() if is_classifier(reader) else NumberSummary())
