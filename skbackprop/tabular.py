"""A table in, predictions out: the Pipeline around the estimators, with settings that suit most tables."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.exceptions import NotFittedError

from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._columns import (
    Column,
    are_bools,
    are_numbers,
    are_texts,
    as_table,
    columns_of,
    different_values,
    factor,
    floats,
    has_numeric_dtype,
    is_number,
    text_of,
)
from skbackprop._fit.data_checks import is_missing
from skbackprop._regressor import MLPRegressor
from skbackprop._types import Data
from skbackprop.preprocessing import PiecewiseLinearEncoder

if TYPE_CHECKING:
    from pandas import DataFrame
    from sklearn.pipeline import Pipeline

__all__ = ["tabular_pipeline"]

ESTIMATORS: dict[str, Callable[..., BaseEstimator]] = {"classifier": MLPSoftmaxClassifier, "regressor": MLPRegressor}
RECIPE = {
    "learning_rate_init": 0.005,
    "hidden_layer_sizes": (128, 128),
    "dropout": "auto",
    "beta_2": 0.95,
    "dtype": "float32",
    "input_scale": True,
}
# more of them than two make probabilities better, but hardly means
MEMBERS = {"classifier": 4, "regressor": 2}
# with another solver these are as its estimator has them
NOT_ADAM = {"learning_rate_init": "auto", "beta_2": 0.999}


def tabular_pipeline(
    estimator: str | BaseEstimator = "classifier", *, max_categories: int = 30, **params: object
) -> Pipeline:
    """Make a Pipeline that learns from a table as it comes.

    Numeric columns are imputed (median), standardised, and encoded piecewise linearly; categories and booleans become
    one column each, missing values being a category of their own. Where there are many categories, the mean target that
    they go with, or the share of each class, stands for them (`sklearn.preprocessing.TargetEncoder`). A category not
    seen in training counts as none. Columns without any value, and those with only one, are left out, with a warning.
    Texts that are numbers are read as such, and a warning tells of texts that look like dates, identifiers or prose.
    Behind this stands one of our estimators, with settings found on 26 public data sets: two layers of 128, members
    that share their weights (four for classes, two for numbers), a learned scale for each input, and decay, dropout and
    epochs as the noise of the targets and short trainings ask for (``weight_decay="auto"``).

    Parameters
    ----------
    estimator : {'classifier', 'regressor'} or estimator, default='classifier'
        What to put behind the columns: `MLPSoftmaxClassifier` or `MLPRegressor` with the settings for tables, or an
        estimator of your own as it is.
    max_categories : int, default=30
        Columns with more categories than this are encoded by their mean target.
    **params : dict
        Parameters of `MLPSoftmaxClassifier` or `MLPRegressor` that differ from the settings for tables.
        ``random_state`` also seeds the folds of the target encoder.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Steps "table" (a ColumnTransformer of "numeric", "categories" and "many", which also reads the columns) and
        "mlp". Every parameter of a step can be set and searched by its name, such as ``mlp__weight_decay`` or
        ``table__numeric__bins__n_bins``.

    Raises
    ------
    ValueError
        For dates, durations and complex numbers, which have to be made numbers first; for lists, infinities, numbers
        beyond float32 and, in `predict`, texts in a column that had none; for sparse matrices; if columns are missing
        or share a name; and if no column is left.

    Notes
    -----
    `fit` and `predict` take DataFrames (pandas, and with scikit-learn 1.9 or newer polars), pyarrow's tables and
    arrays; a column of an array of objects whose values are all numbers is numeric. Columns are found by their names,
    of whatever type these are, and those of arrays by their places. True, 1, 1.0, "1" and "True" are one category.
    Numbers may come as texts of which up to 5 % of the different ones, or any such as "?" and "NA", stand for missing
    values; numbers with leading zeros are codes. Target encoding needs a single target: for several, raise
    `max_categories`.

    Bins and categories are kept as codes, and become columns of float32 some thousand rows at a time. What
    ``pipeline[:-1].transform(X)`` gives is a table of such codes, an array to NumPy and scikit-learn.

    References
    ----------
    .. [1] Gorishniy, Kotelnikov and Babenko, "TabM: advancing tabular deep learning with parameter-efficient
       ensembling", ICLR 2025.
    .. [2] Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular
       data", NeurIPS 2024.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbackprop import tabular_pipeline
    >>> people = pd.DataFrame({"age": [25, 31, None, 58] * 20, "town": ["Ulm", "Bonn", "Bonn", None] * 20})
    >>> buys = ["no", "yes", "yes", "no"] * 20
    >>> model = tabular_pipeline("classifier", random_state=0).fit(people, buys)
    >>> model.predict(pd.DataFrame({"age": [30, 60], "town": ["Bonn", "Rome"]}))
    array(['yes', 'no'], dtype='<U3')
    """
    # here, as their import takes longer than that of this package
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import KFold
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder

    from skbackprop._table import CompactTable, Table

    model = _estimator(estimator, params)
    texts = FunctionTransformer(plain_categories, feature_names_out=same_names, kw_args={"one_text": True})
    numbers = FunctionTransformer(plain_numbers, feature_names_out=same_names)
    impute, bins = SimpleImputer(strategy="median"), PiecewiseLinearEncoder(passthrough=True)
    numeric = Pipeline([("plain", numbers), ("impute", impute), ("scale", StandardScaler()), ("bins", bins)])
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    categories = Pipeline([("plain", clone(texts)), ("one_hot", one_hot)])
    # of numbers it would else take whole ones for classes
    target = TargetEncoder(target_type="continuous" if is_regressor(model) else "auto")
    seed = params.get("random_state")
    if target.shuffle is True:
        target.set_params(random_state=seed)
    else:  # from scikit-learn 1.9 on; not stratified, as a class may have fewer rows than there are folds
        target.set_params(cv=KFold(5, shuffle=True, random_state=seed))
    many = Pipeline([("plain", texts), ("target", target), ("scale", StandardScaler())])
    parts = [("numeric", numeric), ("categories", categories), ("many", many)]
    columns = [(kind, part, Columns(kind, max_categories)) for kind, part in parts]
    # codes of bins and categories hold all that float32 does, and our estimators know them
    table = CompactTable(columns) if type(model) in ESTIMATORS.values() and model.dtype == "float32" else Table(columns)
    return Pipeline([("table", table), ("mlp", model)])


def _estimator(estimator: str | BaseEstimator, params: dict[str, object]) -> BaseEstimator:
    """The estimator by its name, with the settings for tables, or the user's own."""
    if isinstance(estimator, str) and estimator in ESTIMATORS:
        recipe = RECIPE | {"n_members": MEMBERS[estimator]}
        if params.get("solver", "adam") != "adam":
            recipe |= NOT_ADAM
        return ESTIMATORS[estimator](**recipe | params)
    if not hasattr(estimator, "fit") or isinstance(estimator, type):
        hint = f" Write {estimator.__name__}(), with parentheses." if isinstance(estimator, type) else ""
        raise ValueError(f"estimator must be 'classifier', 'regressor' or an estimator; got {estimator!r}.{hint}")
    if params:
        raise ValueError(f"An estimator of your own comes with its parameters; got also {sorted(params)}.")
    return estimator


@dataclass
class Columns:
    """Choose the columns of one kind, when the ColumnTransformer is fitted."""

    kind: str
    max_categories: int

    def __call__(self, X: Data) -> list[Hashable]:
        """Names of the columns of X, or numbers where it has none."""
        return self.among(self.kinds(X))

    def kinds(self, X: Data) -> dict[Hashable, str]:
        """Kind of each column, for all that choose by the same number of categories."""
        return {key: _kind(key, column, self.max_categories) for key, column in _columns(X)}

    def among(self, kinds: dict[Hashable, str]) -> list[Hashable]:
        """Names of those of its kind."""
        if all(kind == "constant" for kind in kinds.values()):
            raise ValueError("Every column of X is without values or constant: there is nothing to learn from.")
        return [key for key, kind in kinds.items() if kind == self.kind]


def _columns(X: object) -> Iterator[tuple[Hashable, Column]]:
    """Pairs of a column's name, or its number if names are no texts, and its values."""
    X, names = as_table(X)
    keys = names if names and are_texts(names) else range(X.shape[1])
    yield from zip(keys, columns_of(X), strict=True)


def _kind(key: Hashable, column: Column, max_categories: int) -> str:
    """Tell which transformer a column is for, or that it is constant."""
    holds_numbers = has_numeric_dtype(column)
    if not holds_numbers:
        values, is_object = different_values(key, column), str(column.dtype).lower() == "object"
        holds_numbers = is_object and are_numbers(values) and not are_bools(column, values)
    if holds_numbers:
        x = floats(key, column)
        x = x[~np.isnan(x)]
        return "numeric" if len(x) and (x != x[0]).any() else "constant"
    n = len({text_of(value) for value in values})
    has_missing = n == 1 and any(map(is_missing, column))
    return "constant" if n + has_missing < 2 else "categories" if n <= max_categories else "many"


def plain_categories(X: DataFrame | np.ndarray, one_text: bool = False) -> np.ndarray:
    """Categories as texts, missing ones as None. A value's text does not depend on the values beside it.

    one_text: True, 1 and "1" have one text. In pipelines that were saved before this was so, True has its own.
    """
    plain = np.empty(X.shape, dtype=object)
    for j, (key, column) in enumerate(_columns(X)):
        numbers, texts = factor(key, column, text_of if one_text else _text_apart)
        plain[:, j] = np.array([*texts, None], dtype=object)[numbers]  # of missing ones the last, number -1
    return plain


def _text_apart(value: object) -> str:
    return text_of(value) if is_number(value) else str(value)


def plain_numbers(X: DataFrame | np.ndarray) -> np.ndarray:
    """Numbers as floats, missing ones as NaN; those of a column lie side by side, for what comes is done by column."""
    plain: np.ndarray = np.empty(X.shape, order="F")
    for j, (key, column) in enumerate(_columns(X)):
        plain[:, j] = floats(key, column)
    return plain


def same_names(transformer: BaseEstimator, names: np.ndarray | None) -> np.ndarray:
    """Names of what a FunctionTransformer makes: those of its columns. One without columns was never fitted."""
    if names is None:
        raise NotFittedError(f"This {type(transformer).__name__} has no columns.")
    return names
