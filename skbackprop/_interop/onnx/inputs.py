"""Inputs of an exported model: their types, and rows in these types.

Categories are string inputs, since ONNX has neither missing values nor columns of several types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline

from skbackprop._columns import (
    Column,
    are_texts,
    columns_of,
    factor,
    floats,
    has_numeric_dtype,
    is_frame,
    quoted,
    to_numpy,
)
from skbackprop._estimator import BaseMLP
from skbackprop._fit.data_checks import is_missing
from skbackprop._fit.inputs import RawTable
from skbackprop._interop.onnx.graph import require
from skbackprop._interop.onnx.known import ENSEMBLES, children, encoding_in, parts
from skbackprop._table import LEFT_OUT, Table
from skbackprop._values import is_number, text_of

if TYPE_CHECKING:
    from onnx import ModelProto
    from pandas import DataFrame
    from skl2onnx.common.data_types import DataType

NO_IDENTIFIER = re.compile(r"^(?=\d)|[^\w+]")  # characters that skl2onnx replaces by _ in names of inputs
OUTPUTS = {"label", "probabilities", "variable", "std"}
NAMELESS = "A column has the empty name, which no input of a graph can have: rename it."
EMPTY = "skbackprop.missing_if_empty"  # key of the inputs in which only missing texts are empty


def texts(values: Iterable[object]) -> np.ndarray:
    """Texts of categories; that of a missing one is empty."""
    return np.array(["" if is_missing(value) else text_of(value) for value in values], dtype=object)


def plain_columns(model: BaseEstimator) -> dict[str | int, bool]:
    """For columns that this package's steps and estimators read, whether they are string inputs or numbers.

    Keys are names as texts, or indices if the fit had no names.
    """
    found: dict[str | int, bool] = {}
    for part in first_steps(model):
        encoding = encoding_in(part)
        if isinstance(part, Table) and is_fitted(part):
            kinds = zip(_keys(part.names_, part.n_features_in_), part.kinds_, strict=True)
            found |= {key: kind != "numbers" for key, kind in kinds if kind != LEFT_OUT}
        elif encoding is not None:
            keys = _keys(getattr(part, "feature_names_in_", None), part.n_features_in_)
            found |= zip(keys, encoding.is_category.tolist(), strict=True)
    return found


def _keys(names: Sequence[Hashable] | None, n: int) -> Sequence[str | int]:
    return range(n) if names is None else [str(name) for name in names]


def first_steps(model: BaseEstimator) -> Iterator[BaseEstimator]:
    """The estimators or steps that get the unchanged columns, in Pipelines and ensembles."""
    if isinstance(model, Pipeline):
        yield from first_steps(model.steps[0][1])
    elif type(model).__name__ in ENSEMBLES:
        for _, part in children(model):
            yield from first_steps(part)
    else:
        yield model


def take_text(model: BaseEstimator) -> None:
    """Make every encoder and imputer in the model that was fitted to objects expect strings."""
    every = list(parts(model))  # an ensemble may contain one under two names
    for part in every:
        if isinstance(part, Table) and is_fitted(part):  # ensembles keep their templates
            _check_gaps(part)
            _check_means(part)
    for part in every:
        if isinstance(part, SimpleImputer) and getattr(part, "statistics_", np.zeros(0)).dtype == object:
            part.missing_values = ""
        if hasattr(part, "categories_") and not isinstance(part, BaseMLP):
            part.categories_ = [_text_categories(known) for known in part.categories_]


def _check_gaps(table: Table) -> None:
    """Raise if texts in a column of numbers count as missing, which the graph cannot represent."""
    for i, gaps in enumerate(table.gaps_):
        if gaps:
            name = table.names_[i] if table.names_ else i
            raise ValueError(
                f"Column {name!r} held texts among its numbers ({quoted(list(gaps))}), which an exported model cannot "
                "read. Fit to numbers and missing values, which pandas.to_numeric(..., errors='coerce') makes."
            )


def is_fitted(table: Table) -> bool:
    """Tell whether a Table is fitted, and not only the template of an ensemble's members."""
    return hasattr(table, "kinds_")


def _check_means(table: Table) -> None:
    """Raise if the empty text is a target-encoded category, since in the graph it means a missing value."""
    for known in () if table.targets_ is None else table.targets_.categories_:
        if "" in known.tolist():
            raise ValueError(
                f"The categories {quoted(known.tolist())} cannot be told apart as text: one is the empty text, by "
                "which missing ones go into the graph. Make missing values (None, NaN) of it, or rename it."
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
    """Name and type of each input: one matrix "X", or one input per column of a DataFrame.

    plain: which columns are strings and which are numbers, where this is known.
    """
    types = require("skl2onnx.common.data_types")
    numbers = types.DoubleTensorType if np.dtype(dtype) == np.float64 else types.FloatTensorType
    if is_frame(X):
        kinds = []
        for i, (key, x) in enumerate(zip(X.columns, columns_of(X), strict=True)):
            is_text = plain.get(str(key), plain.get(i))
            is_text = not is_numeric(x) if is_text is None else is_text
            if not str(key):
                raise ValueError(NAMELESS)
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
        raise ValueError("Strings and numbers cannot be one matrix. Fit the model to a DataFrame, and pass one as X.")
    n = model.n_features_in_ if X is None else np.shape(X)[1]
    is_text = not plain and X is not None and np.asarray(X).dtype.kind in "OUS"
    return [("X", (types.StringTensorType if is_text else numbers)([None, n]))]


def is_numeric(column: Column) -> bool:
    """Tell whether a column holds numbers or booleans, possibly as objects."""
    dtype = str(column.dtype).lower()
    if dtype == "object":
        return all(is_number(value) or is_missing(value) for value in column)
    return has_numeric_dtype(column) or dtype.startswith("bool")


def feeds(onnx_model: ModelProto, X: DataFrame | ArrayLike) -> dict[str, np.ndarray]:
    """Values of rows for each input, in its type."""
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
    own = {d.name: d.doc_string or d.name for d in described}
    missing = [name for name in own.values() if name not in columns]
    if missing and not is_frame(X):
        raise ValueError(f"X must be a DataFrame: the exported model takes the columns {list(own.values())}.")
    if missing:
        raise ValueError(f"X has no columns {missing}.")
    found = {name: _column(columns[own[name]], own[name], kind).reshape(-1, 1) for name, kind in kinds.items()}
    refusing = [entry.value for entry in onnx_model.metadata_props if entry.key == EMPTY]
    for name in json.loads(refusing[0]) if refusing else ():
        values = columns[own[name]]
        if "" in factor(own[name], values).texts:
            raise ValueError(
                f"Column {own[name]!r} holds the empty text, by which missing ones go into the graph. Make missing "
                "values (None, NaN) of it, or give it another name, such as 'empty'."
            )
    return found


def columns_by_name(X: DataFrame | ArrayLike) -> dict[str, Column]:
    """Columns by the names of a DataFrame, or by index if names are not strings."""
    if not is_frame(X):
        columns = columns_of(np.asarray(X))
        return dict(zip(input_names(None, len(columns)), columns, strict=True))
    columns = columns_of(X)
    found = {} if are_texts(X.columns) else dict(zip(input_names(None, len(columns)), columns, strict=True))
    return found | dict(zip([str(key) for key in X.columns], columns, strict=True))


def name_columns(onnx_model: ModelProto, names: Sequence[str]) -> None:
    """Store with each input the name of its column, which may differ from the input's name.

    It is stored in the input's documentation, from which `feeds` reads it.
    """
    for described, name in zip(onnx_model.graph.input, names, strict=True):
        described.doc_string = name if described.type.tensor_type.shape.dim[1].dim_value == 1 else ""


def note_texts(onnx_model: ModelProto, plain: dict[str | int, bool]) -> None:
    """Store in the metadata which string inputs this package's steps read, where only missing values are empty."""
    text = require("onnx").TensorProto.STRING
    inputs = [d for d in onnx_model.graph.input if d.type.tensor_type.elem_type == text]
    names = [d.name for d in inputs if not are_texts(plain) or plain.get(d.doc_string or d.name, False)]
    if plain and names and [d.name for d in onnx_model.graph.input] != ["X"]:
        onnx_model.metadata_props.add(key=EMPTY, value=json.dumps(names))


def as_frame(X: Any) -> Any:
    """Convert a pyarrow table to a DataFrame, and a table of `tabular_pipeline` to an array; others stay unchanged."""
    if isinstance(X, RawTable):
        return np.asarray(X)
    return X.to_pandas() if type(X).__module__.startswith("pyarrow.") and hasattr(X, "to_pandas") else X


def names_of(model: BaseEstimator, X: DataFrame | ArrayLike | None) -> list[str] | None:
    """Names of the inputs of an estimator of this package, one per column; None: one matrix.

    There is one matrix if the estimator does not encode columns, or if all are numbers and X is not a DataFrame.
    """
    encoding = encoding_in(model)
    if encoding is None or not (is_frame(X) or encoding.is_category.any()):
        return None
    names = getattr(model, "feature_names_in_", X.columns if is_frame(X) else None)
    if names is not None and len(names) != len(encoding.is_category):
        raise ValueError(f"X has {len(names)} columns, but the model was fitted to {len(encoding.is_category)}.")
    return input_names(names, len(encoding.is_category))


def input_names(names: Sequence[Hashable] | None, n: int) -> list[str]:
    """Distinct names for the inputs of n columns: identifiers if possible, and different from those of outputs."""
    own = [f"x{i}" for i in range(n)] if names is None else [str(name) for name in names]
    if not all(own):
        raise ValueError(NAMELESS)
    safe = [NO_IDENTIFIER.sub("_", name) for name in own]
    wanted = [own[i] if safe.count(name) > 1 else name for i, name in enumerate(safe)]
    found: list[str] = []
    for name in wanted:
        others = (f"{name}{k}" for k in count(1))
        is_free = name not in OUTPUTS and name not in found
        found.append(name if is_free else next(one for one in others if one not in {*wanted, *found}))
    return found


def _column(column: Column, name: str, dtype: np.dtype) -> np.ndarray:
    """A column's values in the type of its input."""
    if dtype.hasobject:
        numbers, different = factor(name, column)
        return np.array([*different, ""], dtype=object)[numbers]  # of missing ones the last, number -1
    return to_numpy(column, dtype) if has_numeric_dtype(column) else floats(name, column).astype(dtype)
