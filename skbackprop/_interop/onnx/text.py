"""Categories as text: ONNX knows neither missing values nor columns of several types."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skbackprop._columns import quoted, text_of
from skbackprop._fit.data_checks import is_missing
from skbackprop._interop.onnx.parts import parts
from skbackprop._table import Table
from skbackprop.tabular import plain_categories, plain_numbers


def as_text(value: object) -> str:
    """Text of a category; that of a missing one is empty."""
    return "" if is_missing(value) else text_of(value)


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
    text = [as_text(category) for category in known]
    if len(set(text)) < len(text):
        raise ValueError(
            f"The categories {known.tolist()} cannot be told apart as text, in which missing ones are empty. Rename "
            "them."
        )
    return np.array(text, dtype=object)
