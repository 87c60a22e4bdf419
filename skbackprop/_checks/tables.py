"""Tables that estimators encode: which columns are categories, and the values of their rows."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping, Sequence
from numbers import Integral
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.utils.validation import FLOAT_DTYPES, _check_feature_names, _check_n_features, check_array

from skbackprop._columns import (
    CATEGORIES,
    COMPLEX,
    DATES,
    LARGEST,
    NO_NUMBERS,
    NUMBERS,
    Column,
    as_table,
    columns_of,
    different_values,
    factor,
    floats,
    has_numeric_dtype,
    is_frame,
    refuse,
    refuse_lazy,
)
from skbackprop._fit.data_checks import within_floats
from skbackprop._fit.device import FLOAT64, HOST, compute_device
from skbackprop._fit.inputs import Factor, InputEncoding, RawTable
from skbackprop._fit.warn import warn
from skbackprop._nn.encoders import ENCODERS
from skbackprop._readers import CodedColumn
from skbackprop._texts import warn_of_look
from skbackprop._types import Array, Data
from skbackprop._values import number_of

ENCODING = "_inputs"  # the attribute that holds an InputEncoding


def encoding_of(estimator: BaseEstimator) -> InputEncoding | None:
    """The encoding of a fitted estimator; None: numbers are not encoded."""
    found: InputEncoding | None = vars(estimator).get(ENCODING)
    return found


def categories_in(estimator: BaseEstimator, X: Data, named: Any = None) -> np.ndarray | None:
    """Which columns of X are categories; None if fit encodes nothing.

    named: the categories that the user gave. They decide for columns whose type leaves it open.
    """
    refuse_lazy(X, "collect")
    encodes, asked = estimator.numeric_encoder != "identity", estimator.categorical_features
    if isinstance(X, RawTable):
        if asked is not None and not isinstance(asked, str):
            warn(
                "categorical_features has no effect on a table whose columns were read by an earlier step. Set that of "
                "the earlier step, table__categorical_features."
            )
        return X.is_category if encodes or X.is_category.any() else None
    if not encodes and named is None and not _may_hold_categories(asked, X):
        return None
    _check_can_be_encoded(X)
    table, names = as_table(X)
    is_category = np.zeros(table.shape[1], dtype=bool)
    if not isinstance(asked, str):
        is_category[places_of([] if asked is None else asked, table.shape[1], names)] = True
    elif names is not None:
        columns = list(zip(names, columns_of(table), strict=True))
        is_category[:] = [_holds_categories(name, column) for name, column in columns]
        if named is not None:
            is_open = [not _is_plain(str(column.dtype).lower()) for _, column in columns]
            is_category |= _are_named(named, names) & is_open
    return is_category if encodes or is_category.any() else None


def read_table(estimator: BaseEstimator, X: Data, is_category: np.ndarray, *, reset: bool) -> tuple[RawTable, np.dtype]:
    """Read the rows of X, learn or compare its columns, and return the dtype of its numbers."""
    known = None if reset else encoding_of(estimator)
    encoder = ENCODERS[estimator.numeric_encoder if known is None else known.encoder]
    _check_can_be_encoded(X)
    if isinstance(X, RawTable):
        _check_n_features(estimator, X, reset=reset)
        if reset and X.names is not None:
            estimator.feature_names_in_ = X.names
        _check_kinds(X, is_category)
        if not encoder.takes_nan:
            _check_gaps(X.numbers, (np.arange(len(is_category)) if X.names is None else X.names)[~is_category].tolist())
        return X, FLOAT64
    if not is_frame(X) and not hasattr(X, "to_pandas"):  # with scikit-learn's own errors
        kind = None if is_category.any() else FLOAT_DTYPES
        X = check_array(X, dtype=kind, ensure_all_finite=False, estimator=estimator, input_name="X")
    table, names = as_table(X)
    _check_feature_names(estimator, table, reset=reset)
    _check_n_features(estimator, table, reset=reset)
    if not len(table):
        raise ValueError(f"Found array with 0 sample(s) (shape={table.shape}) while a minimum of 1 is required.")
    columns, labels = columns_of(table), names or list(range(table.shape[1]))
    kinds = {str(column.dtype).lower() for column, is_one in zip(columns, is_category, strict=True) if not is_one}
    raw = raw_table(len(table), labels, columns, is_category, takes_nan=encoder.takes_nan, reset=reset)
    return raw, np.dtype(np.float32) if kinds == {"float32"} else FLOAT64


def raw_table(
    n_rows: int,
    names: Sequence[Hashable],
    columns: Sequence[Column | CodedColumn],
    is_category: np.ndarray,
    *,
    takes_nan: bool,
    reset: bool,
) -> RawTable:
    """Read columns as numbers and categories; numbers may be missing if the encoder takes NaN."""
    chosen = list(zip(names, columns, is_category, strict=True))
    with within_floats("Input X"):
        largest = LARGEST if takes_nan else sys.float_info.max  # of what is standardised and squared the former
        numbers = [_numbers(name, column, largest, reset=reset) for name, column, is_one in chosen if not is_one]
    rows = np.array(numbers).T if numbers else np.empty((n_rows, 0))  # side by side: all is done by column
    if not takes_nan:
        _check_gaps(rows, [name for name, _, is_one in chosen if not is_one])
    return RawTable(rows, [_factor(name, column) for name, column, is_one in chosen if is_one], is_category)


def _factor(name: Hashable, column: Column | CodedColumn) -> Factor:
    if not isinstance(column, CodedColumn):
        return factor(name, column)
    known = factor(name, column.values)
    return Factor(column.spread(known.numbers, -1), known.texts)


def _are_named(named: Any, names: Sequence[Hashable]) -> np.ndarray:
    """Columns for which categories are given; these are checked later."""
    if isinstance(named, Mapping):
        return np.array([named.get(name) is not None for name in names])
    if isinstance(named, str) or not isinstance(named, Sequence) or len(named) != len(names):
        return np.zeros(len(names), dtype=bool)
    return np.array([values is not None for values in named])


def _check_can_be_encoded(X: Data) -> None:
    refuse_lazy(X, "collect")
    what = None
    if sp.issparse(X):
        what = "a sparse matrix"
    elif compute_device(cast(Array, X)) is not HOST:
        what = "an array on a device"
    if what:
        raise ValueError(
            f"X is {what}, whose columns cannot be encoded. Leave numeric_encoder='identity' and categorical_features "
            "at their defaults, or pass a DataFrame or a NumPy array."
        )


def _may_hold_categories(asked: Any, X: Any) -> bool:
    """Tell whether the user named categorical columns, or X is a DataFrame whose dtypes allow some."""
    if asked is None or isinstance(asked, str):
        is_table = (is_frame(X) and not hasattr(X, "compute")) or hasattr(X, "to_pandas")
        kinds = {str(dtype).lower() for dtype in getattr(X, "dtypes", ["unknown"])}
        return asked is not None and is_table and not all(map(_is_plain, kinds))
    return any(one is not False and one is not np.False_ for one in np.asarray(asked, dtype=object).reshape(-1))


def refuse_columns(X: Data) -> None:
    """Raise for a column of a DataFrame that holds neither numbers nor categories, such as dates."""
    if is_frame(X) and hasattr(X, "dtypes") and not hasattr(X, "compute"):
        for name, column in zip(X.columns, columns_of(X), strict=True):
            refuse(name, column) if has_numeric_dtype(column) else different_values(name, column)


def refuse_dates(X: Data) -> None:
    """Raise for lazy tables, and for dates, which scikit-learn converts to numbers if all columns contain them."""
    refuse_lazy(X, "collect")
    if isinstance(X, np.ndarray):
        if X.dtype.kind in "mM":
            raise ValueError("X holds dates or times. Convert them: X.astype('datetime64[D]').astype(float).")
    elif is_frame(X) and hasattr(X, "dtypes") and not hasattr(X, "compute"):
        for name, column in zip(X.columns, columns_of(X), strict=True):
            if DATES.match(str(column.dtype).lower()):
                refuse(name, column)


def _is_plain(dtype: str) -> bool:
    """Tell whether a dtype of a DataFrame is one of numbers, booleans or dates, and so not of categories."""
    is_number = NUMBERS.match(dtype) or DATES.match(dtype) or COMPLEX.match(dtype)
    return bool(is_number) or dtype.startswith(("bool", "sparse[bool", "null"))


def _holds_categories(name: Hashable, column: Column) -> bool:
    """Tell whether a column of a DataFrame is categorical: of objects or strings, if some are not numbers."""
    dtype = str(column.dtype).lower()
    if _is_plain(dtype) or CATEGORIES.match(dtype):
        return not _is_plain(dtype)
    if dtype == "object" and not any(isinstance(value, str | bytes) for value in column):
        return False
    values = different_values(name, column)
    if all(number_of(value) is not None for value in values):
        return False
    warn_of_look(name, column, values)
    return True


def places_of(asked: Any, n: int, names: list[Hashable] | None) -> list[int]:
    """Numbers of the columns given by a mask, by numbers or by names."""
    asked = list(np.reshape(asked, -1)) if isinstance(asked, np.ndarray) else list(asked)
    if asked and all(isinstance(one, bool | np.bool_) for one in asked):
        if len(asked) != n:
            raise ValueError(f"categorical_features is a mask of {len(asked)} columns, but X has {n}.")
        return [i for i, one in enumerate(asked) if one]
    if all(isinstance(one, Integral) and not isinstance(one, bool) for one in asked):
        wrong = [one for one in asked if not -n <= one < n]
        if wrong:
            raise ValueError(f"categorical_features holds {wrong}, but X has {n} columns, numbered from 0.")
        return [int(one) % n for one in asked]
    if not all(isinstance(one, str | tuple) or one in (names or ()) for one in asked):
        raise ValueError(
            "categorical_features must be 'from_dtype', None, or a list of names, of numbers or of booleans; got "
            f"{asked!r}."
        )
    if names is None:
        raise ValueError(f"categorical_features holds names, {asked}, but X is an array. Use numbers, or a DataFrame.")
    unknown = [one for one in asked if one not in names]
    if unknown:
        raise ValueError(f"categorical_features holds {unknown}, but the columns of X are {names}.")
    return [names.index(one) for one in asked]


def _numbers(name: Hashable, column: Column | CodedColumn, largest: float, *, reset: bool) -> np.ndarray:
    """Read the numbers of a column, missing ones as NaN."""
    if isinstance(column, CodedColumn):
        return column.spread(_numbers(name, column.values, largest, reset=reset), np.nan)
    is_array = isinstance(column, np.ndarray)
    if str(column.dtype).lower().startswith("bool") and (is_array or hasattr(column, "to_numpy")):
        column = np.asarray(column).astype(object if not is_array and hasattr(column, "isna") else float)
    said = (
        "Column {name!r} holds {texts}, but is not in categorical_features. Add it there, or convert these to missing "
        "values:{code}"
    )
    return floats(name, column, said=said if reset else NO_NUMBERS, largest=largest)


def _check_kinds(table: RawTable, is_category: np.ndarray) -> None:
    """Raise if columns are of another kind than in fit, after an earlier step was fitted again."""
    if not np.array_equal(table.is_category, is_category):
        raise ValueError("X has categories where fit had numbers, or numbers where fit had categories.")


def _check_gaps(rows: np.ndarray, names: Sequence[Hashable]) -> None:
    """Raise if a number is missing, for an encoder that does not accept this."""
    gaps = [name for name, some in zip(names, np.isnan(rows).any(axis=0), strict=True) if some]
    if gaps:
        raise ValueError(
            f"Input X contains NaN: columns {gaps} have missing numbers. Set numeric_encoder='piecewise_linear', which "
            "encodes them, or use skbackprop.tabular_pipeline, which sets it."
        )
