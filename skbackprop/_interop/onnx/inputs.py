"""What an exported model takes: types of the inputs, and rows in these types."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator

from skbackprop._columns import Column, columns_of, floats, has_numeric_dtype, is_frame, is_number, to_numpy
from skbackprop._fit.data_checks import is_missing
from skbackprop._interop.onnx.graph import require
from skbackprop._interop.onnx.text import as_text

if TYPE_CHECKING:
    from onnx import ModelProto
    from pandas import DataFrame
    from skl2onnx.common.data_types import DataType


def input_types(
    model: BaseEstimator, X: DataFrame | ArrayLike | None, dtype: DTypeLike, plain: dict[Hashable, bool]
) -> list[tuple[str, DataType]]:
    """Name and type of each input: one matrix "X", or one column for each of a DataFrame's.

    plain: which columns are texts and which are numbers, where that is settled.
    """
    types = require("skl2onnx.common.data_types")
    numbers = types.DoubleTensorType if np.dtype(dtype) == np.float64 else types.FloatTensorType
    if is_frame(X):
        kinds = []
        for i, (key, x) in enumerate(zip(X.columns, columns_of(X), strict=True)):
            place = key if isinstance(key, str) else i
            is_text = plain[place] if place in plain else not is_numeric(x)
            kinds.append((str(key), (types.StringTensorType if is_text else numbers)([None, 1])))
        return kinds
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
        values, kind = np.asarray(X), kinds["X"]
        if np.dtype(kind).kind == "O":
            values = np.array([as_text(value) for value in values.flat], dtype=object).reshape(values.shape)
        return {"X": values.astype(kind, copy=False)}
    if not is_frame(X):
        raise ValueError(f"X must be a DataFrame: the exported model takes the columns {list(kinds)}.")
    names = [str(key) for key in X.columns]
    given = columns_of(X) * 2  # by the names that skl2onnx gives to inputs, and by their own
    columns = dict(zip([*(re.sub(r"^(?=\d)|[^\w+]", "_", name) for name in names), *names], given, strict=True))
    missing = [name for name in kinds if name not in columns]
    if missing:
        raise ValueError(f"X has no columns {missing}.")
    return {name: _column(name, columns[name], kind).reshape(-1, 1) for name, kind in kinds.items()}


def _column(name: str, column: Column, dtype: DTypeLike) -> np.ndarray:
    """A column's values in the type of its input."""
    if np.dtype(dtype).kind == "O":
        return np.array([as_text(value) for value in column], dtype=object)
    return to_numpy(column, dtype) if has_numeric_dtype(column) else floats(name, column).astype(dtype)
