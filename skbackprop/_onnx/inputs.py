"""What an exported model takes: types of the inputs, and rows in these types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from skbackprop._onnx.graph import require
from skbackprop._onnx.text import as_text
from skbackprop.tabular import NUMBERS, is_missing, is_number


def input_types(model: Any, X: Any, dtype: Any, text: set[Any]) -> list[tuple[str, Any]]:
    """Name and type of each input: one matrix "X", or one column for each of a DataFrame's."""
    types = require("skl2onnx.common.data_types")
    numbers = types.DoubleTensorType if np.dtype(dtype) == np.float64 else types.FloatTensorType
    if hasattr(X, "columns"):
        return [
            (str(key), (types.StringTensorType if key in text or not is_numeric(x) else numbers)([None, 1]))
            for key, x in columns_of(X)
        ]
    if X is None and hasattr(model, "feature_names_in_"):
        raise ValueError(
            "This model was fitted to a table with named columns. Give some rows of it as X: a DataFrame, for one "
            "input per column, or an array, for one matrix."
        )
    if text:
        raise ValueError(
            "Text and numbers do not go into one matrix: fit the model to a DataFrame, and give one as X."
        )
    n = model.n_features_in_ if X is None else np.shape(X)[1]
    is_text = X is not None and np.asarray(X).dtype.kind in "OUS"
    return [("X", (types.StringTensorType if is_text else numbers)([None, n]))]


def columns_of(X: Any) -> Iterator[tuple[Any, Any]]:
    """Names and values of a DataFrame's columns."""
    for i, key in enumerate(X.columns):
        yield key, X.iloc[:, i] if hasattr(X, "iloc") else X[key]


def is_numeric(column: Any) -> bool:
    """Tell whether a column holds numbers or booleans, be it as objects."""
    dtype = str(column.dtype).lower()
    if dtype == "object":
        return all(is_number(value) or is_missing(value) for value in column)
    return bool(NUMBERS.match(dtype)) or dtype.startswith("bool")


def feeds(onnx_model: Any, X: Any) -> dict[str, Any]:
    """Rows by the names of the inputs, in their types."""
    helper, described = require("onnx").helper, list(onnx_model.graph.input)
    kinds = {d.name: helper.tensor_dtype_to_np_dtype(d.type.tensor_type.elem_type) for d in described}
    if list(kinds) == ["X"] and np.shape(X)[1:] == (described[0].type.tensor_type.shape.dim[1].dim_value,):
        return {"X": _as(np.asarray(X), kinds["X"])}
    if not hasattr(X, "columns"):
        raise ValueError(f"X must be a DataFrame: the exported model takes the columns {list(kinds)}.")
    columns = {str(key): column for key, column in columns_of(X)}
    missing = [name for name in kinds if name not in columns]
    if missing:
        raise ValueError(f"X has no columns {missing}.")
    return {name: _as(columns[name], kind).reshape(-1, 1) for name, kind in kinds.items()}


def _as(values: Any, dtype: Any) -> Any:
    """Values as an array of numbers, or of text."""
    if np.dtype(dtype).kind == "O":
        shape = np.shape(values)
        flat = values.ravel() if isinstance(values, np.ndarray) else values
        return np.array([as_text(value) for value in flat], dtype=object).reshape(shape)
    if hasattr(values, "isna"):
        return values.to_numpy(dtype, na_value=np.nan)
    return np.asarray(values, dtype=dtype)
