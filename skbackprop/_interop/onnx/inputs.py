"""What an exported model takes: types of the inputs, and rows in these types.

Categories go in as text: ONNX knows neither missing values nor columns of several types.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline

from skbackprop._checks.tables import encoding_of
from skbackprop._columns import (
    Column,
    are_texts,
    columns_of,
    factor,
    floats,
    has_numeric_dtype,
    is_frame,
    is_number,
    quoted,
    text_of,
    to_numpy,
)
from skbackprop._estimator import BaseMLP
from skbackprop._fit.data_checks import is_missing
from skbackprop._fit.inputs import RawTable
from skbackprop._interop.onnx.graph import require
from skbackprop._interop.onnx.known import ENSEMBLES, children, parts
from skbackprop._table import LEFT_OUT, Table

if TYPE_CHECKING:
    from onnx import ModelProto
    from pandas import DataFrame
    from skl2onnx.common.data_types import DataType

NO_IDENTIFIER = re.compile(r"^(?=\d)|[^\w+]")  # where skl2onnx puts _ into the name of an input
OUTPUTS = {"label", "probabilities", "variable", "std"}


def texts(values: Iterable[object]) -> np.ndarray:
    """Texts of categories; that of a missing one is empty."""
    return np.array(["" if is_missing(value) else text_of(value) for value in values], dtype=object)


def plain_columns(model: BaseEstimator) -> dict[str | int, bool]:
    """Of columns that our own steps and estimators read, whether they go in as text, or else as numbers.

    Keys are the texts of names, or places where the fit saw no names.
    """
    found: dict[str | int, bool] = {}
    for part in first_steps(model):
        encoding = encoding_of(part)
        if isinstance(part, Table):
            kinds = zip(_keys(part.names_, part.n_features_in_), part.kinds_, strict=True)
            found |= {key: kind != "numbers" for key, kind in kinds if kind != LEFT_OUT}
        elif encoding is not None:
            keys = _keys(getattr(part, "feature_names_in_", None), part.n_features_in_)
            found |= zip(keys, encoding.is_category.tolist(), strict=True)
    return found


def _keys(names: Sequence[Hashable] | None, n: int) -> Sequence[str | int]:
    return range(n) if names is None else [str(name) for name in names]


def first_steps(model: BaseEstimator) -> Iterator[BaseEstimator]:
    """What gets the columns as they are, in Pipelines and ensembles."""
    if isinstance(model, Pipeline):
        yield from first_steps(model.steps[0][1])
    elif type(model).__name__ in ENSEMBLES:
        for _, part in children(model):
            yield from first_steps(part)
    else:
        yield model


def take_text(model: BaseEstimator) -> None:
    """Make every encoder and imputer inside the model expect text where it was fitted to objects."""
    for part in parts(model):
        if isinstance(part, Table):
            _check_gaps(part)
        if isinstance(part, SimpleImputer) and getattr(part, "statistics_", np.zeros(0)).dtype == object:
            part.missing_values = ""
        if hasattr(part, "categories_") and not isinstance(part, BaseMLP):
            part.categories_ = [_text_categories(known) for known in part.categories_]


def _check_gaps(table: Table) -> None:
    """Raise if texts in a column of numbers count as missing, which the graph could not know."""
    for i, gaps in enumerate(table.gaps_):
        if gaps:
            name = table.names_[i] if table.names_ else i
            raise ValueError(
                f"Column {name!r} held texts among its numbers ({quoted(list(gaps))}), which an exported model cannot "
                "read. Fit to numbers and missing values, which pandas.to_numeric(..., errors='coerce') makes."
            )


def _text_categories(known: np.ndarray) -> np.ndarray:
    """Categories as texts, if they are objects; raise if two have the same text."""
    if known.dtype != object:
        return known
    text = texts(known)
    if len(set(text)) < len(text):
        raise ValueError(
            f"The categories {known.tolist()} cannot be told apart as text, in which missing ones are empty. Rename "
            "them."
        )
    return text


def input_types(
    model: BaseEstimator, X: DataFrame | ArrayLike | None, dtype: DTypeLike, plain: dict[str | int, bool]
) -> list[tuple[str, DataType]]:
    """Name and type of each input: one matrix "X", or one column for each of a DataFrame's.

    plain: which columns are texts and which are numbers, where that is settled.
    """
    types = require("skl2onnx.common.data_types")
    numbers = types.DoubleTensorType if np.dtype(dtype) == np.float64 else types.FloatTensorType
    if is_frame(X):
        kinds = []
        for i, (key, x) in enumerate(zip(X.columns, columns_of(X), strict=True)):
            is_text = plain.get(str(key), plain.get(i))
            is_text = not is_numeric(x) if is_text is None else is_text
            kinds.append((str(key), (types.StringTensorType if is_text else numbers)([None, 1])))
        return kinds
    if X is None and plain and are_texts(plain):
        chosen = {str(key): types.StringTensorType if is_text else numbers for key, is_text in plain.items()}
        return [(name, kind([None, 1])) for name, kind in chosen.items()]
    if X is None and hasattr(model, "feature_names_in_"):
        raise ValueError(
            "This model was fitted to a table with named columns. Give some rows of it as X: a DataFrame, for one "
            "input per column, or an array, for one matrix."
        )
    if any(plain.values()):
        raise ValueError("Text and numbers do not go into one matrix: fit the model to a DataFrame, and give one as X.")
    n = model.n_features_in_ if X is None else np.shape(X)[1]
    is_text = not plain and X is not None and np.asarray(X).dtype.kind in "OUS"
    return [("X", (types.StringTensorType if is_text else numbers)([None, n]))]


def is_numeric(column: Column) -> bool:
    """Tell whether a column holds numbers or booleans, be it as objects."""
    dtype = str(column.dtype).lower()
    if dtype == "object":
        return all(is_number(value) or is_missing(value) for value in column)
    return has_numeric_dtype(column) or dtype.startswith("bool")


def feeds(onnx_model: ModelProto, X: DataFrame | ArrayLike) -> dict[str, np.ndarray]:
    """Rows by the names of the inputs, in their types."""
    helper, described = require("onnx").helper, list(onnx_model.graph.input)
    kinds = {d.name: helper.tensor_dtype_to_np_dtype(d.type.tensor_type.elem_type) for d in described}
    if list(kinds) == ["X"] and np.shape(X)[1:] == (described[0].type.tensor_type.shape.dim[1].dim_value,):
        kind = kinds["X"]
        if is_frame(X):
            rows = [_column(x, str(key), kind) for key, x in zip(X.columns, columns_of(X), strict=True)]
            return {"X": np.stack(rows, axis=1)}
        values = np.asarray(X)
        return {"X": texts(values.flat).reshape(values.shape) if kind.hasobject else values.astype(kind, copy=False)}
    columns = columns_by_name(X)
    # a column that is called as an output is has a number behind its name
    own = {name: re.sub(rf"^({'|'.join(OUTPUTS)})\d+$", r"\1", name) for name in kinds if name not in columns}
    missing = [name for name, theirs in own.items() if theirs not in columns]
    if missing and not is_frame(X):
        raise ValueError(f"X must be a DataFrame: the exported model takes the columns {list(kinds)}.")
    if missing:
        raise ValueError(f"X has no columns {missing}.")
    return {name: _column(columns[own.get(name, name)], name, kind).reshape(-1, 1) for name, kind in kinds.items()}


def columns_by_name(X: DataFrame | ArrayLike) -> dict[str, Column]:
    """Columns by all names that inputs may have: their own, those that skl2onnx makes of these, and by places."""
    if not is_frame(X):
        columns = columns_of(np.asarray(X))
        return dict(zip(input_names(None, len(columns)), columns, strict=True))
    columns, own = columns_of(X), [str(key) for key in X.columns]
    found = {} if are_texts(X.columns) else dict(zip(input_names(None, len(columns)), columns, strict=True))
    for names in ([NO_IDENTIFIER.sub("_", name) for name in own], own):
        found |= zip(names, columns, strict=True)
    return found


def as_frame(X: Any) -> Any:
    """A table of pyarrow as a DataFrame, and what `tabular_pipeline` makes of one as an array; all else as it is."""
    if isinstance(X, RawTable):
        return np.asarray(X)
    return X.to_pandas() if type(X).__module__.startswith("pyarrow.") and hasattr(X, "to_pandas") else X


def names_of(model: BaseEstimator, X: DataFrame | ArrayLike | None) -> list[str] | None:
    """Names of the inputs of one of our estimators alone, an input for each column; None: they are one matrix.

    They are one where the estimator does not encode columns, and where these are all numbers and X is no DataFrame.
    """
    encoding = encoding_of(model)
    if encoding is None or not (is_frame(X) or encoding.is_category.any()):
        return None
    names = getattr(model, "feature_names_in_", X.columns if is_frame(X) else None)
    if names is not None and len(names) != len(encoding.is_category):
        raise ValueError(f"X has {len(names)} columns, but the model was fitted to {len(encoding.is_category)}.")
    return input_names(names, len(encoding.is_category))


def input_names(names: Sequence[Hashable] | None, n: int) -> list[str]:
    """Different names for the inputs of n columns: identifiers where that can be, and none that an output has."""
    own = [f"x{i}" for i in range(n)] if names is None else [str(name) for name in names]
    safe = [NO_IDENTIFIER.sub("_", name) for name in own]
    found = [own[i] if safe.count(name) > 1 else name for i, name in enumerate(safe)]
    return [f"{name}1" if name in OUTPUTS else name for name in found]  # as skl2onnx does


def _column(column: Column, name: str, dtype: np.dtype) -> np.ndarray:
    """A column's values in the type of its input."""
    if dtype.hasobject:
        numbers, different = factor(name, column)
        return np.array([*different, ""], dtype=object)[numbers]  # of missing ones the last, number -1
    return to_numpy(column, dtype) if has_numeric_dtype(column) else floats(name, column).astype(dtype)
