"""Tables of many libraries, and reading their columns as numbers or as texts of categories."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike

from skbackprop._fit.data_checks import is_missing
from skbackprop._fit.device import to_host
from skbackprop._fit.inputs import Factor
from skbackprop._fit.warn import warn
from skbackprop._values import is_bool, is_number, number_of, text_of

if TYPE_CHECKING:
    from pandas import DataFrame, Series  # also used for those of other libraries

Column: TypeAlias = "Series | np.ndarray"

# names of dtypes in NumPy, pandas (its own, and Arrow's) and polars, in lower case
NUMBERS = re.compile(r"(sparse\[)?(u?int\d|float|half|double|decimal)")
CATEGORIES = re.compile(r"(sparse\[)?bool|categor|enum|dictionary")
DATES = re.compile(r"date|time|duration|period")
COMPLEX = re.compile("complex")
NESTED = re.compile(r"(large_|fixed_size_)?list|array|struct|map")
DATE_TYPES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
PLAIN = (float, bool, np.floating, np.bool_, type(None))  # which NumPy converts to floats, None to NaN
LARGEST = float(np.finfo(np.float32).max)

# invalid contents of columns, for messages
# converts dates and free text to numbers; categories stay categories
SKRUB = "make_pipeline(skrub.TableVectorizer(low_cardinality='passthrough'), model)"
DATED = f"dates or times ({{}}). Convert them to numbers by a step in front, or drop the column:\n    {SKRUB}"
COMPLEX_VALUES = "complex numbers. Use np.real and np.imag of them instead."
NESTED_VALUES = (
    "values that are neither numbers nor categories, such as lists. Convert them to columns, or drop the column."
)
COERCE = "X[{name!r}] = pandas.to_numeric(X[{name!r}], errors='coerce')"  # other texts become missing values
NO_NUMBERS = "Column {name!r} held numbers in training, but now also {texts}. Convert these to missing values:{code}"
# floats with shorter texts than the Python floats to which some libraries convert them
SHORT: dict[str, Callable[[Any], object]] = {
    "float": np.float32,
    "float32": np.float32,
    "float16": np.float16,
    "halffloat": np.float16,
}


def is_frame(X: object) -> TypeGuard[DataFrame]:
    """Tell whether X is a DataFrame of pandas or a similar library."""
    return hasattr(X, "columns")


def refuse_lazy(X: object, *methods: str) -> None:
    """Raise if X is a table that one of these methods computes."""
    for method in methods:
        if hasattr(X, method) and hasattr(type(X), "columns"):
            raise ValueError(f"X is a lazy {type(X).__name__}. Pass X.{method}().")


def as_table(X: object) -> tuple[DataFrame | np.ndarray, list[Hashable] | None]:
    """A DataFrame of pandas or polars and the names of its columns, or an array."""
    if type(X).__module__.startswith("pyarrow.") and hasattr(X, "to_pandas"):
        X = _from_arrow(X)
    if hasattr(X, "read_columns"):  # Shards, which are in a higher layer
        raise ValueError("tabular_pipeline takes rows in memory. Pass Shards to MLPSoftmaxClassifier or MLPRegressor.")
    if sp.issparse(X):
        raise ValueError(
            "tabular_pipeline takes DataFrames and dense arrays. Pass sparse X to MLPSoftmaxClassifier or "
            "MLPRegressor, after a MaxAbsScaler."
        )
    refuse_lazy(X, "collect", "compute")  # polars, Dask
    X = X if is_frame(X) else _as_array(X)
    shape = tuple(X.shape)
    if len(shape) != 2:
        raise ValueError(f"X must be a table of rows and columns, but its shape is {shape}.")
    if not shape[0]:
        raise ValueError(f"X has no rows: its shape is {shape}.")
    if isinstance(X, np.ndarray):
        return X, None
    names = list(X.columns)
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise ValueError(f"Columns of X have the same name: {repeated}. Rename or drop some of them.")
    return X, names


def _from_arrow(X: Any) -> DataFrame:
    """Convert an Arrow table to pandas; integers with missing values stay integers, since floats are not exact."""
    import pandas as pd
    import pyarrow as pa

    whole = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
    frame: DataFrame = X.to_pandas(types_mapper=whole.get)
    return frame


def _as_array(given: object) -> np.ndarray:
    """Convert rows of any library to a NumPy array, of objects if they have no dtype; masked values become None."""
    given = to_host(cast(np.ndarray, given))
    if not hasattr(given, "dtype"):
        given = np.asarray(given, dtype=object)
    X = np.asarray(given)
    if X.dtype.names:
        raise ValueError(
            f"X is a structured array of the fields {list(X.dtype.names)}. Convert it: pandas.DataFrame(X)."
        )
    if isinstance(given, np.ma.MaskedArray):
        X = X.astype(object)
        X[np.ma.getmaskarray(given)] = None
    return X


def are_texts(names: Iterable[Hashable] | None) -> bool:
    """Tell whether there are names of columns and all are strings."""
    return names is not None and all(isinstance(name, str) for name in names)


def columns_of(X: DataFrame | np.ndarray) -> list[Column]:
    """Columns of a DataFrame or an array, in their order."""
    if isinstance(X, np.ndarray):
        return list(X.T)
    if hasattr(X, "iloc"):
        return [X.iloc[:, i] for i in range(X.shape[1])]
    return [X[name] for name in X.columns]


def rows_of(X: Any, rows: np.ndarray) -> Any:
    """Rows of any X that `fit` takes, by their indices."""
    if hasattr(X, "iloc"):  # pandas
        return X.iloc[rows]
    if type(X).__module__.startswith("pyarrow."):
        return X.take(rows)
    if sp.issparse(X):
        return X.tocsr()[rows]
    return X[rows] if hasattr(X, "shape") else np.asarray(X)[rows]


def to_numpy(column: Column, dtype: DTypeLike) -> np.ndarray:
    """Values of a numeric column as NumPy array; missing ones become NaN."""
    if isinstance(column, np.ndarray):
        return np.asarray(column, dtype)
    if str(column.dtype) in ("Int128", "UInt128"):  # of polars, which NumPy does not have
        column = column.cast(float)
    if hasattr(column, "isna"):
        return column.to_numpy(dtype, na_value=np.nan)
    return np.asarray(column, dtype)


def has_numeric_dtype(column: Column) -> bool:
    """Tell whether the dtype of a column is numeric; columns with other dtypes may contain numbers, too."""
    return bool(NUMBERS.match(str(column.dtype).lower()))


def different_values(name: Hashable, column: Column) -> set[object]:
    """Distinct values of a column without missing ones; of equal ones such as 1 and True, any one."""
    refuse(name, column)
    try:
        values = column.unique() if hasattr(column, "unique") else set(np.asarray(column).tolist())
        found = {value for value in values if not is_missing(value)}
    except Exception as error:  # of any library, for values without a hash
        raise ValueError(f"Column {name!r} holds " + NESTED_VALUES) from error
    if any(isinstance(value, DATE_TYPES) or type(value).__name__ == "Period" for value in found):
        raise ValueError(f"Column {name!r} holds " + DATED.format(str(column.dtype).lower()))
    if any(isinstance(value, complex | np.complexfloating) for value in found):
        raise ValueError(f"Column {name!r} holds " + COMPLEX_VALUES)
    return found


def factor(name: Hashable, column: Column) -> Factor:
    """The index of each row's distinct value, -1 for missing ones, and the texts of these values."""
    different = different_values(name, column)
    short = SHORT.get(str(column.dtype).lower().removesuffix("[pyarrow]"), _as_it_is)
    if not isinstance(column, np.ndarray) and hasattr(column, "factorize"):  # pandas
        numbers, known = column.factorize()
        known = [short(value) for value in np.asarray(known)]
    elif isinstance(column, np.ndarray) and column.dtype.kind in "biuf":
        known, numbers = np.unique(column, return_inverse=True)
    else:
        place = {value: i for i, value in enumerate(different)}
        known = [short(value) for value in different]
        numbers = np.array([place.get(value, -1) for value in column], dtype=np.int64)
    there = [not is_missing(value) for value in known]
    places = np.append(np.where(there, np.cumsum(there) - 1, -1), -1).astype(np.int64)
    texts = [text_of(value) for value, is_there in zip(known, there, strict=True) if is_there]
    return Factor(places[np.asarray(numbers)], texts)


def _as_it_is(value: object) -> object:
    return value


def are_numbers(values: set[object]) -> bool:
    """Tell whether all distinct values are numbers or booleans."""
    return bool(values) and all(is_number(value) or is_bool(value) for value in values)


def are_bools(column: Column, values: set[object]) -> bool:
    """Tell whether all values of a column are booleans; among the distinct values True and 1 are equal."""
    return values <= {0, 1} and all(is_bool(value) or is_missing(value) for value in column)


def floats(
    name: Hashable, column: Column, gaps: Iterable[str] = (), said: str = NO_NUMBERS, largest: float = LARGEST
) -> np.ndarray:
    """Numbers of a column as float64, missing ones as NaN.

    A text that is not a number is an error, unless there were some in training: gaps, which count as missing. A number
    above the largest is an error, too.
    """
    refuse(name, column)
    if has_numeric_dtype(column):
        x = to_numpy(column, float)
    elif all(issubclass(kind, PLAIN) for kind in set(map(type, column))):
        x = np.array(list(column), dtype=float)
    else:
        numbers = {value: number_of(value) for value in different_values(name, column)}
        odd = sorted({text_of(value) for value, number in numbers.items() if number is None}.difference(gaps))
        if odd and not gaps:
            raise ValueError(said.format(name=name, texts=quoted(odd), code=code_of(column, COERCE.format(name=name))))
        if odd:
            warn(
                f"Column {name!r} holds strings that are not numbers and were not in the training rows. They count as "
                f"missing: {quoted(odd)}."
            )
        x = np.array([numbers.get(value) for value in column], dtype=float)
    large = x[np.abs(x) > largest]
    if len(large):
        what = "infinity" if np.isinf(large[0]) else f"{large[0]:.6g}, which is too large for float32"
        raise ValueError(f"Column {name!r} holds {what}. Scale these numbers, or replace them by missing values.")
    return x


def code_of(column: Column, line: str) -> str:
    """A line of code for X as a pandas DataFrame, after a conversion of other tables."""
    is_array, is_pandas = isinstance(column, np.ndarray), hasattr(column, "iloc")
    first = "X = pandas.DataFrame(X); " if is_array else "" if is_pandas or line == SKRUB else "X = X.to_pandas(); "
    return f"\n    {first}{line}"


def quoted(texts: list[str]) -> str:
    """Up to three texts for a message; long ones are cut."""
    some = [repr(text if len(text) <= 40 else text[:37] + "...") for text in texts[:3]]
    return ", ".join(some) + (", ..." if len(texts) > 3 else "")


def refuse(name: Hashable, column: Column) -> None:
    """Raise for a dtype that is neither numeric nor categorical."""
    dtype = str(column.dtype).lower()
    for pattern, what in ((DATES, DATED), (COMPLEX, COMPLEX_VALUES), (NESTED, NESTED_VALUES)):
        if pattern.match(dtype):
            raise ValueError(f"Column {name!r} holds " + what.format(dtype))
