"""A table in, predictions out: the Pipeline around the estimators, with settings that suit most tables."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import is_regressor

from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._fit.validation import to_host
from skbackprop._fit.warn import warn
from skbackprop._regressor import MLPRegressor
from skbackprop.preprocessing import PiecewiseLinearEncoder

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["tabular_pipeline"]

ESTIMATORS: dict[str, Any] = {"classifier": MLPSoftmaxClassifier, "regressor": MLPRegressor}
RECIPE = {
    "learning_rate_init": 0.005,
    "hidden_layer_sizes": (128, 128),
    "dropout": "auto",
    "beta_2": 0.95,
    "dtype": "float32",
    "n_members": 4,
    "input_scale": True,
}
# with another solver these are as its estimator has them
NOT_ADAM = {"learning_rate_init": "auto", "beta_2": 0.999}

# names of dtypes in NumPy, pandas (its own, and Arrow's) and polars, in lower case
NUMBERS = re.compile(r"(sparse\[)?(u?int\d|float|double|decimal)")
DATES = re.compile(r"date|time|duration|period")
DATE_TYPES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


def tabular_pipeline(estimator: Any = "classifier", *, max_categories: int = 30, **params: Any) -> Pipeline:
    """Make a Pipeline that learns from a table as it comes.

    Numeric columns are imputed (median), standardised, and encoded piecewise linearly; categories and booleans become
    one column each, missing values being a category of their own. Where there are many categories, the mean target that
    they go with, or the share of each class, stands for them (`sklearn.preprocessing.TargetEncoder`). A category not
    seen in training counts as none. Columns without any value, and those with only one, are left out, with a warning.
    Behind this stands one of our estimators, with settings found on 26 public data sets: two layers of 128, four
    members that share their weights, a learned scale for each input, and decay and dropout as the noise of the targets
    asks for (``weight_decay="auto"``).

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
        Steps "table" (a ColumnTransformer of "numeric", "categories" and "many") and "mlp". Every parameter of a step
        can be set and searched by its name, such as ``mlp__weight_decay`` or ``table__numeric__bins__n_bins``.

    Raises
    ------
    ValueError
        In `fit`, for dates, durations and complex numbers, which have to be made numbers first; for sparse matrices;
        and if no column is left.

    Notes
    -----
    `fit` and `predict` take DataFrames (pandas, and with scikit-learn 1.9 or newer polars) and arrays; a column of an
    array of objects whose values are all numbers is numeric. Target encoding needs a single target: for several, raise
    `max_categories`.

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
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    model = _estimator(estimator, params)
    numeric = Pipeline(
        [
            ("plain", FunctionTransformer(plain_numbers, feature_names_out="one-to-one")),
            ("impute", SimpleImputer(strategy="median")),
            ("scale", StandardScaler()),
            ("bins", PiecewiseLinearEncoder(passthrough=True)),
        ]
    )
    categories = Pipeline(
        [
            ("plain", FunctionTransformer(plain_categories, feature_names_out="one-to-one")),
            ("one_hot", OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
        ]
    )
    many = Pipeline(
        [
            ("plain", FunctionTransformer(plain_categories, feature_names_out="one-to-one")),
            ("target", _target_encoder(model, params.get("random_state"))),
            ("scale", StandardScaler()),
        ]
    )
    table = ColumnTransformer(
        [
            ("numeric", numeric, Columns("numeric", max_categories, warns=True)),
            ("categories", categories, Columns("categories", max_categories)),
            ("many", many, Columns("many", max_categories)),
        ]
    )
    return Pipeline([("table", table), ("mlp", model)])


def _estimator(estimator: Any, params: dict[str, Any]) -> Any:
    if isinstance(estimator, str) and estimator in ESTIMATORS:
        recipe = RECIPE if params.get("solver", "adam") == "adam" else RECIPE | NOT_ADAM
        return ESTIMATORS[estimator](**recipe | params)
    if not hasattr(estimator, "fit") or isinstance(estimator, type):
        hint = f" Write {estimator.__name__}(), with parentheses." if isinstance(estimator, type) else ""
        raise ValueError(
            f"estimator must be 'classifier', 'regressor' or an estimator; got {estimator!r}.{hint}"
        )
    if params:
        raise ValueError(f"An estimator of your own comes with its parameters; got also {sorted(params)}.")
    return estimator


def _target_encoder(model: Any, random_state: Any) -> Any:
    """A TargetEncoder with seeded folds, which scikit-learn 1.9 asks for in another way."""
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import TargetEncoder

    # else it would take whole numbers for classes
    encoder = TargetEncoder(target_type="continuous" if is_regressor(model) else "auto")
    if encoder.shuffle is True:
        return encoder.set_params(random_state=random_state)
    # not stratified: a class may have fewer rows than there are folds
    return encoder.set_params(cv=KFold(5, shuffle=True, random_state=random_state))


@dataclass
class Columns:
    """Choose the columns of one kind, when the ColumnTransformer is fitted."""

    kind: str
    max_categories: int
    warns: bool = False  # of columns that are left out

    def __call__(self, X: Any) -> list[Any]:
        """Names of the columns of X, or numbers where it has none."""
        kinds = {key: _kind(key, column, self.max_categories) for key, column in _columns(X)}
        left_out = [key for key, kind in kinds.items() if kind == "constant"]
        if len(left_out) == len(kinds):
            raise ValueError(
                "Every column of X is without values or constant: there is nothing to learn from."
            )
        if self.warns and left_out:
            warn(f"Columns without values or with a single one are left out: {left_out}.")
        return [key for key, kind in kinds.items() if kind == self.kind]


def _columns(X: Any) -> Iterator[tuple[Any, Any]]:
    """Pairs of a column's name, or its number, and its values."""
    if sp.issparse(X):
        raise ValueError(
            "tabular_pipeline takes DataFrames and dense arrays. Give sparse X to MLPSoftmaxClassifier or MLPRegressor "
            "itself, behind a MaxAbsScaler."
        )
    if len(X.shape) != 2:
        raise ValueError(f"X must be a table of rows and columns, but its shape is {tuple(X.shape)}.")
    if not hasattr(X, "columns"):
        yield from enumerate(to_host(X).T)
    elif all(isinstance(name, str) for name in X.columns):
        yield from ((name, X[name]) for name in X.columns)
    else:
        yield from ((i, X.iloc[:, i]) for i in range(X.shape[1]))


def _kind(key: Any, column: Any, max_categories: int) -> str:
    dtype = str(column.dtype).lower()
    if DATES.match(dtype):
        _refuse_dates(key, dtype)
    if dtype.startswith("complex"):
        raise ValueError(
            f"Column {key!r} holds complex numbers. Give their parts, np.real and np.imag, instead."
        )
    if NUMBERS.match(dtype):
        return _numeric_kind(column)
    values = _different_values(key, column)
    if any(isinstance(value, DATE_TYPES) for value in values):
        _refuse_dates(key, dtype)
    if dtype == "object" and values and all(is_number(value) for value in values):
        return _numeric_kind(column)
    n = len(values)
    has_missing = n == 1 and _has_missing(column)
    return "constant" if n + has_missing < 2 else "categories" if n <= max_categories else "many"


def plain_categories(X: Any) -> Any:
    """Categories as texts, missing ones as None. A value's text does not depend on the values beside it."""
    plain = np.empty(X.shape, dtype=object)
    for j, (key, column) in enumerate(_columns(X)):
        texts = {value: text_of(value) for value in _different_values(key, column)}
        plain[:, j] = [texts.get(value) for value in column]
    return plain


def text_of(value: Any) -> str:
    """1, 1.0 and "1" are one category, as they may change into each other where a value is missing."""
    return str(int(value)) if is_number(value) and value == value // 1 else str(value)


def plain_numbers(X: Any) -> Any:
    """Numbers as floats, missing ones as NaN."""
    return np.stack([_floats(column) for _, column in _columns(X)], axis=1)


def _floats(column: Any) -> Any:
    if hasattr(column, "isna"):  # pandas, which cannot make a float of its NA unasked
        return column.to_numpy(float, na_value=np.nan)
    if column.dtype == object:
        return np.array([np.nan if is_missing(value) else value for value in column], dtype=float)
    return np.asarray(column, dtype=float)


def _numeric_kind(column: Any) -> str:
    x = _floats(column)
    x = x[~np.isnan(x)]
    return "numeric" if len(x) and (x != x[0]).any() else "constant"


def is_number(value: Any) -> bool:
    return isinstance(value, Real | Decimal) and not isinstance(value, bool | np.bool_)


def is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value


def _values(column: Any) -> Any:
    """The different values of a column, missing ones perhaps repeated."""
    return column.unique() if hasattr(column, "unique") else set(column.tolist())


def _different_values(key: Any, column: Any) -> set[Any]:
    try:
        return {value for value in _values(column) if not is_missing(value)}
    except TypeError:
        raise ValueError(f"Column {key!r} holds values that are neither numbers nor categories.") from None


def _has_missing(column: Any) -> bool:
    return any(map(is_missing, _values(column)))


def _refuse_dates(key: Any, dtype: str) -> None:
    raise ValueError(
        f"Column {key!r} holds dates or times ({dtype}). Make numbers of them first, such as the days since the first, "
        "the hour or the month, or drop it."
    )
