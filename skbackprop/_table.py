"""The first step of `tabular_pipeline`: tables of many types, whose columns are found by names of any type."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import TargetEncoder
from sklearn.utils.validation import check_is_fitted

from skbackprop._checks.arrays import gives_arrays
from skbackprop._checks.rows import copy_of
from skbackprop._coded import CodedPart
from skbackprop._columns import are_texts, as_table, columns_of, different_values, floats, has_numeric_dtype, refuse
from skbackprop._engines.encoded_table import EncodedTable, join
from skbackprop._fit.warn import warn
from skbackprop._texts import read
from skbackprop._types import Data

if TYPE_CHECKING:
    from pandas import DataFrame


Parts: TypeAlias = list[tuple[str, Any, Any]]  # names, transformers and columns, as a ColumnTransformer has them


class Table(ColumnTransformer):
    """A ColumnTransformer that takes more kinds of tables, and names the column at fault.

    It finds columns by their names, of whatever type these are, and ignores those that were not there in `fit`. Where
    numbers come as texts, it reads them.
    """

    names_: list[Hashable] | None  # of the columns in fit, if X had any
    transformers_: Parts
    numbers_: dict[int, list[str]]  # of each column of numbers, by its place in fit, the texts that count as missing

    def fit_transform(self, X: Data, y: Data = None, **params: object) -> Data:
        """Fit the transformers, each to the columns that are for it, and encode these."""
        X, names = as_table(X)
        labels: list[Hashable] = list(range(X.shape[1])) if names is None else names
        columns = columns_of(X)
        gaps = [read(label, column) for label, column in zip(labels, columns, strict=True)]
        numbers = {i: texts for i, texts in enumerate(gaps) if texts is not None}
        as_text = [i for i in numbers if not has_numeric_dtype(columns[i])]
        X = _readable(X, names, {i: floats(labels[i], columns[i], numbers[i]) for i in as_text})
        parts = _with_columns(self.transformers, X)
        self._check_targets(parts, y, labels)
        encoded = self._fit_columns(parts, X, y, params)
        self.names_, self.numbers_ = names, numbers
        if all(hasattr(columns, "max_categories") for *_, columns in self.transformers):  # none a user's own
            chosen = self._chosen(dropped=True)
            left_out = [label for i, label in enumerate(labels) if i not in chosen]
            if left_out:
                warn(f"Columns without values or with a single one are left out: {left_out}.")
        return encoded

    def transform(self, X: Data, **params: object) -> Data:
        """Encode the columns of new rows."""
        X, names = self.arranged(X)
        labels = names or self.names_ or list(range(X.shape[1]))
        learned = None if names is None else self.names_
        places = {label: j for j, label in enumerate(labels)}
        columns, read_anew = columns_of(X), {}
        for i in self._chosen():
            j = i if learned is None else places[learned[i]]
            if i not in self.numbers_:
                check = different_values if str(columns[j].dtype).lower() == "object" else refuse
                check(labels[j], columns[j])
            else:
                x = floats(labels[j], columns[j], self.numbers_[i])
                if not has_numeric_dtype(columns[j]):
                    read_anew[j] = x
        return self._encode(_readable(X, names, read_anew), params)

    def _fit_columns(self, parts: Parts, X: Data, y: Data, params: dict[str, object]) -> Data:
        """Fit the transformers, whose columns are found, and encode X."""
        fitted = copy_of(self, {"transformers": parts})
        encoded = super(Table, fitted).fit_transform(X, y, **params)
        plain = [
            (name, part.pipeline if isinstance(part, CodedPart) else part, keys)
            for name, part, keys in fitted.transformers_
        ]
        self.__dict__ = vars(copy_of(fitted, {"transformers": self.transformers, "transformers_": plain}))
        return encoded

    def _encode(self, X: Data, params: dict[str, object]) -> Data:
        """Encode rows whose columns are in their places."""
        return super().transform(X, **params)

    def arranged(self, X: object) -> tuple[DataFrame | np.ndarray, list[Hashable] | None]:
        """X with its columns as they were in `fit`, and their names. Text names may lack columns that are not used."""
        check_is_fitted(self)
        X, names = as_table(X)
        if names is None or isinstance(X, np.ndarray) or self.names_ is None:
            if X.shape[1] != self.n_features_in_:
                raise ValueError(f"X has {X.shape[1]} columns, but there were {self.n_features_in_} in fit.")
            if self.names_ is not None and are_texts(self.names_):
                raise ValueError(
                    f"X is an array, but in fit there were names of columns: {self.names_}. Make a DataFrame of it."
                )
            return X, names
        needed = self._chosen() if are_texts(self.names_) else range(len(self.names_))
        missing = [self.names_[i] for i in needed if self.names_[i] not in names]
        if missing:
            raise ValueError(f"columns are missing: {missing}, which were there in fit. X has {names}.")
        if names == self.names_:
            return X, names
        present = [name for name in self.names_ if name in names]
        places = [names.index(name) for name in present]
        return X.iloc[:, places] if hasattr(X, "iloc") else X.select(present), present

    def _chosen(self, dropped: bool = False) -> list[int]:
        """Places in `fit` of the columns that the transformers take, and those named to be dropped."""
        chosen = set()
        for name, part, columns in self.transformers_:
            if isinstance(part, str) and part == "drop" and (name == "remainder" or not dropped):
                continue
            if not isinstance(columns, list):  # a user's own choice, such as a slice
                return list(range(self.n_features_in_))
            chosen |= {(self.names_ or []).index(key) if isinstance(key, str) else key for key in columns}
        return sorted(chosen)

    def _check_targets(self, parts: Parts, y: Data, labels: list[Hashable]) -> None:
        """Raise if the mean of several targets is asked for."""
        shape = getattr(y, "shape", None) or np.shape(cast(ArrayLike, y))
        if len(shape) < 2 or shape[1] < 2:
            return
        for _, part, columns in parts:
            if not isinstance(part, Pipeline) or not hasattr(columns, "max_categories"):
                continue
            if columns.keys and any(isinstance(step, TargetEncoder) for _, step in part.steps):
                keys = [key if isinstance(key, str) else labels[key] for key in columns.keys]
                raise ValueError(
                    f"Columns {keys} have more than max_categories={columns.max_categories} categories, for each "
                    f"of which the mean target is to stand, but y has {shape[1]} columns. Raise max_categories, "
                    "drop these columns, or fit one model for each target."
                )


class CompactTable(Table):
    """A Table that gives codes of bins and categories in place of the many columns that these are, where it can."""

    def _fit_columns(self, parts: Parts, X: Data, y: Data, params: dict[str, object]) -> Data:
        if params or not self._may_give_codes():
            return super()._fit_columns(parts, X, y, params)
        return super()._fit_columns(_with_codes(parts), X, y, params)

    def _encode(self, X: Data, params: dict[str, object]) -> Data:
        if params or not self._may_give_codes():
            return super()._encode(X, params)
        return super(Table, copy_of(self, {"transformers_": _with_codes(self.transformers_)})).transform(X)

    def _may_give_codes(self) -> bool:
        """Tell whether all that is done with the columns is what codes can stand for."""
        return self.remainder == "drop" and self.transformer_weights is None and gives_arrays(self)

    def _hstack(self, Xs: list[Any], **options: int) -> Data:
        """Put what the transformers made side by side."""
        if not any(isinstance(X, EncodedTable) for X in Xs):
            return super()._hstack(Xs, **options)
        return join([X.toarray() if sp.issparse(X) else X for X in Xs])


def _with_codes(parts: Parts) -> Parts:
    """The same transformers, of which the Pipelines give codes where they can."""
    return [(name, CodedPart(part) if isinstance(part, Pipeline) else part, keys) for name, part, keys in parts]


@dataclass(frozen=True)
class Chosen:
    """Columns that were chosen for a transformer before the ColumnTransformer asks for them."""

    keys: list[Hashable]
    max_categories: int

    def __call__(self, X: Data) -> list[Hashable]:
        return self.keys


def _with_columns(transformers: Parts, X: DataFrame | np.ndarray) -> Parts:
    """Transformers with the columns that are for them, for which each column is looked at once."""
    kinds: dict[int, dict[Hashable, str]] = {}
    parts = []
    for name, part, columns in transformers:
        n = getattr(columns, "max_categories", None)
        if n is not None:
            kinds[n] = kinds[n] if n in kinds else columns.kinds(X)
            columns = Chosen(columns.among(kinds[n]), n)
        parts.append((name, part, columns))
    return parts


def _readable(
    X: DataFrame | np.ndarray, names: list[Hashable] | None, numbers: dict[int, np.ndarray]
) -> DataFrame | np.ndarray:
    """Copy of X for scikit-learn: these columns of numbers in the place of theirs, and names that are texts."""
    if names is None or isinstance(X, np.ndarray):
        if numbers:
            X = X.astype(object)
            X[:, list(numbers)] = np.stack(list(numbers.values()), axis=1)
        return X
    if not hasattr(X, "iloc"):
        return X.with_columns(**{str(names[i]): values for i, values in numbers.items()})
    X = X.copy(deep=False)
    for i, values in numbers.items():
        X.isetitem(i, values)
    return X if are_texts(names) else X.set_axis(range(len(names)), axis=1)
