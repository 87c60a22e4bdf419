"""Shards whose columns the estimator encodes."""

from __future__ import annotations

from typing import cast

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_feature_names, _check_n_features

from skbackprop._checks.tables import encoding_of, places_of, raw_table
from skbackprop._columns import different_values
from skbackprop._fit.device import FLOAT64
from skbackprop._fit.inputs import RawTable
from skbackprop._fit.source import EncodedSource, Source, TableSource
from skbackprop._nn.encoders import ENCODERS
from skbackprop._readers import CATEGORY, TEXT, CodedColumn
from skbackprop._values import number_of
from skbackprop.data import Shards


class TableShards:
    """The rows of Shards as numbers and categories: a `_fit.source.TableSource`."""

    def __init__(self, data: Shards, is_category: np.ndarray, encoder: str, *, reset: bool):
        self.data, self._is_category = data, is_category
        self._takes_nan, self._reset = ENCODERS[encoder].takes_nan, reset
        self.n_rows, self.memory, self.bounds = data.n_rows, data.memory, data.bounds
        self.read_targets = data.read_targets

    @property
    def y(self) -> np.ndarray | None:
        return self.data.y

    @property
    def sample_weight(self) -> np.ndarray | None:
        return self.data.sample_weight

    def read_table(self, k: int) -> tuple[RawTable, np.ndarray | None, np.ndarray | None]:
        """Read block k: the table, y and weights."""
        n, names = int(np.diff(self.bounds[k : k + 2])[0]), self.data.feature_names or range(self.data.n_features)
        columns, y, weights = self.data.read_columns(k, range(self.data.n_features))
        options = {"takes_nan": self._takes_nan, "reset": self._reset}
        return raw_table(n, names, columns, self._is_category, **options), y, weights


def categories_in_shards(estimator: BaseEstimator, data: Shards) -> np.ndarray | None:
    """Which columns are categories; None if fit encodes nothing."""
    asked, is_category = estimator.categorical_features, np.zeros(data.n_features, dtype=bool)
    if isinstance(asked, str):
        is_category[:] = [kind == CATEGORY for kind in data.kinds]
        is_category[_columns_of_texts(data)] = True
    elif asked is not None:
        names = data.feature_names
        is_category[places_of(asked, data.n_features, None if names is None else list(names))] = True
    return is_category if estimator.numeric_encoder != "identity" or is_category.any() else None


def _columns_of_texts(data: Shards) -> list[int]:
    """Columns of strings that are not all numbers; each is read only until this is known."""
    open_ones, found = [j for j, kind in enumerate(data.kinds) if kind == TEXT], []
    for k in range(len(data.bounds) - 1):
        if not open_ones:
            break
        columns = zip(open_ones, data.read_columns(k, open_ones)[0], strict=True)
        found += [j for j, column in columns if _holds_texts(j, column)]
        open_ones = [j for j in open_ones if j not in found]
    return found


def _holds_texts(j: int, column: np.ndarray | CodedColumn) -> bool:
    values = column.values if isinstance(column, CodedColumn) else column
    return any(number_of(value) is None for value in different_values(j, values))


def open_table(estimator: BaseEstimator, data: Shards, is_category: np.ndarray, *, reset: bool) -> TableSource:
    """Learn or compare the number and the names of the columns of Shards."""
    for check in (_check_feature_names, _check_n_features):  # the blocks have no names
        check(estimator, np.empty((1, data.n_features)), reset=reset)
    known = None if reset else encoding_of(estimator)
    encoder = estimator.numeric_encoder if known is None else known.encoder
    return cast(TableSource, TableShards(data, is_category, encoder, reset=reset))


def encoded_shards(estimator: BaseEstimator, data: Shards) -> Source:
    """Shards as the inputs of a fitted estimator; targets may be missing."""
    encoding = encoding_of(estimator)
    if encoding is None:
        return cast(Source, data)
    # the model casts to its own dtype
    return EncodedSource(open_table(estimator, data, encoding.is_category, reset=False), encoding, FLOAT64)
