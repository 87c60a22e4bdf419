"""Encoding of tables as numbers, which `tabular_pipeline` puts in front of other estimators."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import ClassVar, Self, cast

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbackprop._checks.arrays import feature_names
from skbackprop._checks.constraints import Interval, validated
from skbackprop._checks.rows import copy_of
from skbackprop._checks.tables import ENCODING, categories_in, encoding_of, read_table
from skbackprop._engines.encoded_table import MOST
from skbackprop._fit.device import FLOAT64
from skbackprop._fit.inputs import InputEncoding
from skbackprop._prediction import of_one_model
from skbackprop._table import TakesTables
from skbackprop._types import Data
from skbackprop.persistence import Persistent


class TableEncoder(Persistent, TakesTables):
    """Encode a table as numbers, as the estimators do with ``numeric_encoder="piecewise_linear"``.

    Parameters
    ----------
    n_bins : int, default=8
        Bins of a column of numbers, at most.
    """

    # as parameters of the estimators, for reading tables
    numeric_encoder = "piecewise_linear"
    categorical_features = "from_dtype"

    _inputs: InputEncoding
    n_features_in_: int

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {"n_bins": [Interval(Integral, 1, MOST, closed="both")]}

    def __init__(self, n_bins: int = 8) -> None:
        self.n_bins = n_bins

    @validated
    def fit(self, X: Data, y: Data = None) -> Self:
        """Learn the mean, standard deviation and bins of numbers, and the categories."""
        seen = copy_of(self, without=[ENCODING])
        is_category = categories_in(seen, X)
        assert is_category is not None
        rows, _ = read_table(seen, X, is_category, reset=True)
        setattr(seen, ENCODING, InputEncoding.learn(rows, self.numeric_encoder, self.n_bins, None))
        self.__dict__ = vars(seen)  # at once, as another thread may transform meanwhile
        return self

    @of_one_model
    def transform(self, X: Data) -> np.ndarray:
        """Encode rows, in float64."""
        check_is_fitted(self)
        encoding = cast(InputEncoding, encoding_of(self))
        rows, _ = read_table(self, X, encoding.is_category, reset=False)
        return np.asarray(encoding.encode(rows, FLOAT64))

    @property
    def owners(self) -> np.ndarray:
        """Number of the user's column that each input comes from."""
        return cast(InputEncoding, encoding_of(self)).owners

    @of_one_model
    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Names of the columns: "age", "age_bin0", ..., "age_missing", "town_Ulm", ..., "town_missing"."""
        check_is_fitted(self)
        names = feature_names(self, input_features)
        return cast(InputEncoding, encoding_of(self)).names(names.tolist())
