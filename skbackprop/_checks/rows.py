"""From what the user gave to datasets that are checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skbackprop._checks.arrays import check_rows, check_same_device, check_weights, has_validation_set
from skbackprop._fit.data_checks import numbers, one_column
from skbackprop._fit.dataset import ArrayDataset, Dataset
from skbackprop._fit.device import HOST, compute_device, to_host
from skbackprop._fit.fitted_model import Features, FittedModel, Untrained
from skbackprop._fit.out_of_core import DiskDataset
from skbackprop._fit.scales import in_validation_set
from skbackprop._fit.spec import FitSpec
from skbackprop._fit.summaries import LabelSummary, NumberSummary
from skbackprop._fit.targets import LabelCodec, NumberCodec
from skbackprop._fit.weights import check_weight_sum
from skbackprop.data import Shards

NO_TARGETS = "These data hold no targets: pass y when you make the Shards."


def read_rows(
    estimator: Any,
    X: Any,
    y: Any,
    weights: Any,
    *,
    reset: bool,
    name: str = "sample_weight",
    dtype: str | None = None,
) -> tuple[Dataset, Features]:
    """Check rows, and learn or compare their features; the estimator is left as it is.

    dtype: in the place of the parameter of this name.
    """
    reader = copy_of(estimator)
    reader.dtype = estimator.dtype if dtype is None else dtype
    if not isinstance(X, Shards):
        data = _read_arrays(reader, X, y, weights, name, reset)
    elif y is not None or weights is not None:
        raise ValueError("Shards hold targets and weights: pass these when you make them, and neither here.")
    else:
        if not reset:
            reader = without_names(reader, X, "fit")
        data = _read_shards(reader, X, name, reset)
        if reset and X.feature_names is not None:
            reader.feature_names_in_ = np.asarray(X.feature_names, dtype=object)
    return data, Features(reader.n_features_in_, getattr(reader, "feature_names_in_", None))


def starting_point(
    estimator: Any, spec: FitSpec, data: Dataset, features: Features, again: str | None, classes: Any = None
) -> FittedModel | Untrained:
    """What training begins with: the fitted model, if the method `again` goes on from it.

    classes: all that there will be, of which partial_fit was told.
    """
    if again is None:
        codec: Any = LabelCodec if is_classifier(estimator) else NumberCodec
        return Untrained(codec.learn(data.examples, spec, classes), features)
    check_same_device(estimator, data.device, again)
    model: FittedModel = estimator.__fitted_model__()
    known = model.codec.for_training(spec)
    known.check_again(data.examples, classes)
    return replace(model, codec=known, features=features)


def read_validation(estimator: Any, rows: tuple[Any, Any, Any], features: Features) -> Dataset | None:
    """Read the user's validation set, whose features must be those of the training set; None if there is none."""
    X_val, y_val, weights = rows
    if not has_validation_set(X_val, y_val, weights, holds_targets=isinstance(X_val, Shards)):
        return None
    with in_validation_set():
        reader = reader_of(estimator, features)
        return read_rows(reader, X_val, y_val, weights, reset=False, name="sample_weight_val")[0]


def read_part(estimator: Any, X: Any, y: Any, columns: tuple[int, Any] | None) -> tuple[Any, Any, Features]:
    """Check a part of the rows of a fit; columns: number and names that X must have, None: to be learned from X."""
    reader = copy_of(estimator) if columns is None else reader_of(estimator, Features(*columns))
    X, y = check_rows(reader, X, y, reset=columns is None, dtypes=HOST.floats(reader.dtype))
    return X, y, Features(reader.n_features_in_, getattr(reader, "feature_names_in_", None))


def reader_of(estimator: Any, features: Features) -> Any:
    """Copy of an estimator that has learned these features."""
    reader = copy_of(estimator)
    reader.__dict__.pop("feature_names_in_", None)
    reader.__dict__ |= features.attributes
    return reader


def copy_of(estimator: Any) -> Any:
    """An estimator for scikit-learn's checks, which leave what they learn on it."""
    reader = object.__new__(type(estimator))
    reader.__dict__ = dict(estimator.__dict__)
    return reader


def without_names(estimator: Any, data: Shards, method: str) -> Any:
    """Copy of a fitted estimator that takes blocks, which have no names; data must have those of the fit."""
    theirs, ours = data.feature_names, getattr(estimator, "feature_names_in_", None)
    if theirs is None:
        return estimator  # scikit-learn's check says it if they are missed
    if ours is not None and list(ours) != theirs:
        raise ValueError(
            f"The columns passed to {method} must be those that were passed to fit, in that order: fit saw "
            f"{list(ours)}, and these data have {theirs}. Name them: Shards(..., features=[...])."
        )
    reader = copy_of(estimator)
    reader.__dict__.pop("feature_names_in_", None)
    return reader


def _read_arrays(reader: Any, X: Any, y: Any, weights: Any, name: str, reset: bool) -> ArrayDataset:
    device = compute_device(X)
    X, y = check_rows(reader, X, y, reset=reset, dtypes=device.floats(reader.dtype))
    y = to_host(y)
    weights = check_weights(to_host(weights), y, name)
    return ArrayDataset(X, one_column(y) if is_classifier(reader) else y, weights, device)


def _read_shards(reader: Any, data: Shards, name: str, reset: bool) -> Dataset:
    """Survey the data; X, y and weights themselves if they fit into the memory that the user gave."""
    allowed = HOST.floats(reader.dtype)
    dtype = data.dtype if data.dtype in allowed else allowed[0]
    if data.n_rows * data.n_features * dtype.itemsize <= data.memory:
        X, y, weights = data.load()
        if y is None:
            raise ValueError(NO_TARGETS)
        return _read_arrays(reader, X, y, weights, name, reset)
    first = data.read_targets(0)[0]
    if first is None:
        raise ValueError(NO_TARGETS)
    if not is_classifier(reader):
        numbers(first)  # raises for labels
    disk = DiskDataset.survey(data, dtype, LabelSummary() if is_classifier(reader) else NumberSummary())
    X, y, weights = disk.summary.stand_ins(data.n_features)
    X, disk.examples = check_rows(reader, X.astype(dtype), y, reset=reset, dtypes=[dtype])
    check_weights(weights, y)
    check_weight_sum(disk.summary.weight_sum, "sample_weight")
    return disk
