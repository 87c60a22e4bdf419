"""Pipelines whose last step encodes: what it makes of rows is kept as codes, and not written out."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skbackprop._checks.arrays import gives_arrays
from skbackprop._checks.rows import copy_of
from skbackprop._engines.encoded_table import MOST, Bins, Categories, EncodedTable, Numbers
from skbackprop._types import Data
from skbackprop.preprocessing import PiecewiseLinearEncoder

BLOCK_ROWS = 2**14  # whose categories are looked up at a time


class CodedPart(BaseEstimator):
    """A Pipeline in a ColumnTransformer that gives codes, if its last step is an encoder that can be kept so."""

    def __init__(self, pipeline: Pipeline):
        self.pipeline = pipeline

    def fit_transform(self, X: Data, y: Data = None) -> Data:
        """Fit the Pipeline and encode the rows."""
        if not _gives_codes(self.pipeline):
            return self.pipeline.fit_transform(X, y)
        rows: Any = X
        is_own = False
        for _, step in self.pipeline.steps[:-1]:
            if _has_median(step, rows):
                rows, is_own = step.fit(_medians(rows)).transform(rows), True
            elif type(step) is StandardScaler and is_own:
                rows = _in_place(step.fit(rows), rows)
            elif not _does_nothing(step):
                rows, is_own = step.fit_transform(rows, y), False
        encoder = self.pipeline[-1].fit(rows, y)
        return _encoded(encoder, rows)

    def transform(self, X: Data) -> Data:
        """Encode new rows."""
        if not _gives_codes(self.pipeline):
            return self.pipeline.transform(X)
        rows: Any = X
        is_own = False
        for _, step in self.pipeline.steps[:-1]:
            if type(step) is StandardScaler and is_own:
                rows = _in_place(step, rows)
            elif not _does_nothing(step):
                rows, is_own = step.transform(rows), type(step) is SimpleImputer and step.copy
        return _encoded(self.pipeline[-1], rows)


def _does_nothing(step: object) -> bool:
    return step is None or (isinstance(step, str) and step == "passthrough")


def _gives_codes(pipeline: Pipeline) -> bool:
    """Tell whether codes may stand for what the last step makes, and the steps before may be gone through here."""
    last = pipeline.steps[-1][1]
    if pipeline.memory is not None or pipeline.verbose:
        return False
    if not all(_does_nothing(step) or gives_arrays(step) for _, step in pipeline.steps):
        return False
    if type(last) is OneHotEncoder:
        return last.drop is None and last.min_frequency is None and last.max_categories is None
    return type(last) is PiecewiseLinearEncoder


def _has_median(step: Any, rows: Data) -> bool:
    """Tell whether a step puts medians in the place of missing values, and nothing more."""
    if type(step) is not SimpleImputer or step.strategy != "median" or step.add_indicator or not step.copy:
        return False
    return (
        isinstance(rows, np.ndarray) and rows.dtype == np.float64 and bool(step.missing_values != step.missing_values)
    )


def _medians(rows: np.ndarray) -> np.ndarray:
    """A row that has the medians of all, column by column: SimpleImputer sorts masked copies of all columns at once."""
    return np.array([[np.median(x[~np.isnan(x)]) if not np.isnan(x).all() else np.nan for x in rows.T]])


def _in_place(scaler: StandardScaler, rows: np.ndarray) -> np.ndarray:
    """Scale rows that are nobody else's."""
    return copy_of(scaler, {"copy": False}).transform(rows)


def _encoded(encoder: OneHotEncoder | PiecewiseLinearEncoder, rows: Data) -> Data:
    """What a fitted encoder makes of rows, as codes if these are of the kind and the number that can be kept."""
    if isinstance(encoder, OneHotEncoder):
        sizes = np.array([len(known) for known in encoder.categories_], dtype=np.int64)
        return _categories(encoder, np.asarray(rows), sizes) if sizes.max() <= MOST else encoder.transform(rows)
    if not isinstance(rows, np.ndarray) or rows.dtype != np.float64 or encoder.n_bins_.max() > MOST:
        return encoder.transform(rows)
    with np.errstate(over="ignore"):  # whoever computes with it looks for infinity
        values = [Numbers(rows.astype(np.float32, order="C"))] if encoder.passthrough else []
    low, high = map(float, encoder.code_range)
    return EncodedTable((*values, Bins.of(rows, encoder.bin_edges_, low, high)))


def _categories(encoder: OneHotEncoder, rows: np.ndarray, sizes: np.ndarray) -> EncodedTable:
    """Numbers of the categories of rows, as the encoder finds them."""
    sparse, ends = copy_of(encoder, {"sparse_output": True}), np.cumsum(sizes)
    numbers = np.empty((len(rows), len(sizes)), dtype=np.int32)
    numbers[:] = sizes  # of those that are not known
    for start in range(0, len(rows), BLOCK_ROWS):
        found = sparse.transform(rows[start : start + BLOCK_ROWS])
        feature = np.searchsorted(ends, found.indices, side="right")
        row = start + np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
        numbers[row, feature] = found.indices - (ends - sizes)[feature]
    return EncodedTable((Categories(numbers, sizes),))
