"""What an exported model takes: types of the inputs, and rows in these types.

Categories go in as text: ONNX knows neither missing values nor columns of several types.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skbackprop._columns import (
    Column,
    columns_of,
    floats,
    has_numeric_dtype,
    is_frame,
    is_number,
    quoted,
    text_of,
    to_numpy,
)
from skbackprop._fit.data_checks import is_missing
from skbackprop._interop.onnx.graph import require
from skbackprop._interop.onnx.known import parts
from skbackprop._table import Table
from skbackprop.tabular import plain_categories, plain_numbers

if TYPE_CHECKING:
    from onnx import ModelProto
    from pandas import DataFrame
    from skl2onnx.common.data_types import DataType


def texts(values: Iterable[object]) -> np.ndarray:
    """Texts of categories; that of a missing one is empty."""
    return np.array(["" if is_missing(value) else text_of(value) for value in values], dtype=object)


def plain_columns(model: BaseEstimator) -> dict[Hashable, bool]:
    """Of columns that `tabular_pipeline` reads, whether they go in as text, whatever their type: else as numbers.

    Their keys are names, or places where names are no texts.
    """
    found: dict[Hashable, bool] = {}
    for part in parts(model):
        if isinstance(part, ColumnTransformer):
            for _, encoder, columns in getattr(part, "transformers_", ()):
                first = encoder.steps[0][1] if isinstance(encoder, Pipeline) else None
                if isinstance(first, FunctionTransformer) and first.func in (plain_categories, plain_numbers):
                    is_text = first.func is plain_categories
                    found |= {key: is_text or found.get(key, False) for key in columns}
    return found


def take_text(model: BaseEstimator) -> None:
    """Make every encoder and imputer inside the model expect text where it was fitted to objects."""
    for part in parts(model):
        if isinstance(part, FunctionTransformer) and part.func in (plain_categories, plain_numbers):
            part.func = None  # the exported model is given texts and floats
        if isinstance(part, Table):
            _check_gaps(part)
            part.__class__ = ColumnTransformer  # which skl2onnx knows
        if isinstance(part, SimpleImputer) and getattr(part, "statistics_", np.zeros(0)).dtype == object:
            part.missing_values = ""
        if hasattr(part, "categories_"):
            part.categories_ = [_text_categories(known) for known in part.categories_]


def _check_gaps(table: Table) -> None:
    """Raise if texts in a column of numbers count as missing, which the graph could not know."""
    for i, gaps in getattr(table, "numbers_", {}).items():
        if gaps:
            name = table.names_[i] if table.names_ else i
            raise ValueError(
                f"Column {name!r} held texts among its numbers ({quoted(gaps)}), which an exported model cannot read. "
                "Fit to numbers and missing values, which pandas.to_numeric(..., errors='coerce') makes."
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
        return {"X": texts(values.flat).reshape(values.shape) if kind.hasobject else values.astype(kind, copy=False)}
    if not is_frame(X):
        raise ValueError(f"X must be a DataFrame: the exported model takes the columns {list(kinds)}.")
    names = [str(key) for key in X.columns]
    given = columns_of(X) * 2  # by the names that skl2onnx gives to inputs, and by their own
    columns = dict(zip([*(re.sub(r"^(?=\d)|[^\w+]", "_", name) for name in names), *names], given, strict=True))
    missing = [name for name in kinds if name not in columns]
    if missing:
        raise ValueError(f"X has no columns {missing}.")
    return {name: _column(name, columns[name], kind).reshape(-1, 1) for name, kind in kinds.items()}


def _column(name: str, column: Column, dtype: np.dtype) -> np.ndarray:
    """A column's values in the type of its input."""
    if dtype.hasobject:
        return texts(column)
    return to_numpy(column, dtype) if has_numeric_dtype(column) else floats(name, column).astype(dtype)
