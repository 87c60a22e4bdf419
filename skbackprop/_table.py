"""The first step of `tabular_pipeline`: tables of many types, whose columns are found by names of any type, are read."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skbackprop._checks.arrays import feature_names, output_of
from skbackprop._checks.constraints import Interval, StrOptions, validated
from skbackprop._checks.rows import copy_of
from skbackprop._columns import Column, are_texts, as_table, columns_of, factor, floats
from skbackprop._fit.inputs import Factor, RawTable
from skbackprop._fit.warn import warn
from skbackprop._prediction import of_one_model
from skbackprop._texts import read
from skbackprop._types import Data

if TYPE_CHECKING:
    from pandas import DataFrame
    from sklearn.preprocessing import TargetEncoder

LEFT_OUT = "left out"


class Table(TransformerMixin, BaseEstimator):
    """Read the columns of a table: as numbers, missing ones as NaN, or as the texts of categories.

    It finds columns by their names, of whatever type these are, and ignores those that were not there in `fit`, and
    those without values or with a single one. Where numbers come as texts, it reads them. Nothing is imputed, and
    nothing encoded but, where it is asked for, columns of many categories by the targets that go with these.

    Parameters
    ----------
    max_categories : int, default=30
        Columns with more categories than this are "many".
    many : {'lookup', 'target', 'both'}, default='lookup'
        What becomes of those: categories like others; the mean target that goes with the category, or the share of
        each class (`sklearn.preprocessing.TargetEncoder`), which is a number; or both.
    target_type : {'auto', 'continuous'}, default='auto'
        Of the target encoder, which takes whole numbers for classes unless it is told.
    random_state : int, RandomState instance or None, default=None
        For its folds.

    Attributes
    ----------
    columns_ : dict
        Names of the columns, or their places where they have none: those of "numbers", of "categories", of "many"
        categories, and those "left out".
    n_features_in_ : int
        Number of columns seen by `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if all are texts.
    """

    columns_: dict[str, list[Hashable]]
    names_: list[Hashable] | None  # of the columns in fit, if X had any
    kinds_: list[str]  # of each column, as keys of `columns_`
    gaps_: list[list[str]]  # of each column the texts that count as missing among its numbers
    targets_: TargetEncoder | None  # of the columns of many categories
    n_features_in_: int

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "max_categories": [Interval(Integral, 1, None, closed="left")],
        "many": [StrOptions({"lookup", "target", "both"})],
        "target_type": [StrOptions({"auto", "continuous"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self, max_categories: int = 30, many: str = "lookup", target_type: str = "auto", random_state: Any = None
    ) -> None:
        self.max_categories = max_categories
        self.many = many
        self.target_type = target_type
        self.random_state = random_state

    def fit(self, X: Data, y: Data = None) -> Self:
        """Find out what the columns of X hold."""
        self.fit_transform(X, y)
        return self

    @validated
    def fit_transform(self, X: Data, y: Data = None) -> RawTable | DataFrame:
        """Find out what the columns of X hold, and read them."""
        X, names = as_table(X)
        labels: list[Hashable] = list(range(X.shape[1])) if names is None else names
        found: dict[str, list[Hashable]] = {"numbers": [], "categories": [], "many": [], LEFT_OUT: []}
        readings = [
            _read(label, column, self.max_categories) for label, column in zip(labels, columns_of(X), strict=True)
        ]
        for label, reading in zip(labels, readings, strict=True):
            found[reading.kind].append(label)
        if len(found[LEFT_OUT]) == len(labels):
            raise ValueError("Every column of X is without values or constant: there is nothing to learn from.")
        if found[LEFT_OUT]:
            warn(f"Columns without values or with a single one are left out: {found[LEFT_OUT]}.")
        seen = copy_of(self, without=["feature_names_in_"])
        seen.columns_, seen.names_, seen.n_features_in_ = found, names, len(labels)
        seen.kinds_, seen.gaps_ = [reading.kind for reading in readings], [reading.gaps for reading in readings]
        if are_texts(names):
            seen.feature_names_in_ = np.array(names, dtype=object)
        values = [reading.values for reading in readings]
        means = seen._learn_targets(values, y)
        self.__dict__ = vars(seen)  # at once, as another thread may transform meanwhile
        return self._table(values, means, X)

    @of_one_model
    def transform(self, X: Data) -> RawTable | DataFrame:
        """Read the columns of new rows.

        They are numbers or categories as in `fit`. A text that is no number is an error where there were none in
        `fit`, and otherwise a missing value, with a warning.
        """
        check_is_fitted(self)
        X, names = as_table(X)
        labels = names if self.names_ is None and names else self.names_ or range(X.shape[1])
        values: list[np.ndarray | Factor | None] = []
        columns = self._columns(X, names)
        for label, column, kind, gaps in zip(labels, columns, self.kinds_, self.gaps_, strict=True):
            if kind == LEFT_OUT or column is None:
                values.append(None)
            else:
                values.append(floats(label, column, gaps) if kind == "numbers" else factor(label, column))
        means = None if self.targets_ is None else self.targets_.transform(self._many(values))
        return self._table(values, means, X)

    @of_one_model
    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Name the columns that are not left out, and the means of targets behind these."""
        check_is_fitted(self)
        names = feature_names(self, input_features)
        kinds = np.array(self.kinds_)
        kept = names[(kinds != LEFT_OUT) & ((kinds != "many") | self._looks_up)]
        if self.targets_ is None:
            return kept
        means = self.targets_.get_feature_names_out(names[kinds == "many"])
        return np.append(kept, [f"{name}_mean" for name in means])

    @property
    def _looks_up(self) -> bool:
        """Are categories of columns of many the estimator's to encode?"""
        return self.targets_ is None or self.many == "both"

    def _learn_targets(self, values: list[np.ndarray | Factor | None], y: Data) -> np.ndarray | None:
        """Learn what targets go with the categories of columns of many, and give those of the training rows.

        Each of these from the other rows: from all folds but its own.
        """
        self.targets_ = None
        if self.many == "lookup" or not self.columns_["many"]:
            return None
        if y is None:
            raise ValueError(
                f"Columns {self.columns_['many']} have many categories, for whose mean targets y is needed."
            )
        targets = np.asarray(cast(ArrayLike, y))
        if targets.ndim > 1 and targets.shape[1] > 1:
            if self.many == "both":
                return None
            raise ValueError(
                f"Columns {self.columns_['many']} have more than max_categories={self.max_categories} categories, for "
                f"each of which the mean target is to stand, but y has {targets.shape[1]} columns. Raise "
                "max_categories, drop these columns, or fit one model for each target."
            )
        self.targets_ = self._target_encoder()
        return self.targets_.fit_transform(self._many(values), targets.reshape(-1))

    def _target_encoder(self) -> TargetEncoder:
        """A new one with seeded folds."""
        # here, as their import takes longer than that of this package
        from sklearn.model_selection import KFold
        from sklearn.preprocessing import TargetEncoder

        target = TargetEncoder(target_type=self.target_type)
        if target.shuffle is True:
            return target.set_params(random_state=self.random_state)
        # from scikit-learn 1.9 on; not stratified, as a class may have fewer rows than there are folds
        return target.set_params(cv=KFold(5, shuffle=True, random_state=self.random_state))

    def _many(self, values: list[np.ndarray | Factor | None]) -> np.ndarray:
        """Texts of the columns of many categories, side by side."""
        pairs = zip(values, self.kinds_, strict=True)
        return np.stack([cast(Factor, column).values for column, kind in pairs if kind == "many"], axis=1)

    def _columns(self, X: DataFrame | np.ndarray, names: list[Hashable] | None) -> list[Column | None]:
        """The columns of X that were there in `fit`; None for one that is missing and was left out."""
        columns = columns_of(X)
        if names is None or self.names_ is None:
            if len(columns) != self.n_features_in_:
                raise ValueError(f"X has {len(columns)} columns, but there were {self.n_features_in_} in fit.")
            if are_texts(self.names_):
                raise ValueError(
                    f"X is an array, but in fit there were names of columns: {self.names_}. Make a DataFrame of it."
                )
            return list(columns)
        place = {name: j for j, name in enumerate(names)}
        may_lack = LEFT_OUT if are_texts(self.names_) else None
        known = zip(self.names_, self.kinds_, strict=True)
        missing = [name for name, kind in known if name not in place and kind != may_lack]
        if missing:
            raise ValueError(f"columns are missing: {missing}, which were there in fit. X has {names}.")
        return [columns[place[name]] if name in place else None for name in self.names_]

    def _table(
        self, values: list[np.ndarray | Factor | None], means: np.ndarray | None, X: Data
    ) -> RawTable | DataFrame:
        """The columns that are not left out side by side, in a DataFrame if one is asked for."""
        pairs = zip(values, self.kinds_, strict=True)
        kept = [column for column, kind in pairs if column is not None and (kind != "many" or self._looks_up)]
        kept += [] if means is None else list(means.T)
        table = _side_by_side(kept, self.get_feature_names_out())
        library = output_of(self)
        return table if library == "default" else _frame(library, table, X)


class Reading(NamedTuple):
    """What a training column holds."""

    kind: str  # "numbers", "categories", "many" or "left out"
    values: np.ndarray | Factor | None = None
    gaps: Sequence[str] = ()  # the texts that count as missing among its numbers


def _read(label: Hashable, column: Column, max_categories: int) -> Reading:
    """Read a training column."""
    gaps = read(label, column)
    if gaps is not None:
        x = floats(label, column, gaps)
        known = x[~np.isnan(x)]
        return Reading("numbers", x, gaps) if len(known) and (known != known[0]).any() else Reading(LEFT_OUT)
    categories = factor(label, column)
    n = len(set(categories.texts))
    if n == 0 or (n == 1 and not (categories.numbers < 0).any()):
        return Reading(LEFT_OUT)
    return Reading("categories" if n <= max_categories else "many", categories)


def _side_by_side(columns: Sequence[np.ndarray | Factor], names: np.ndarray) -> RawTable:
    """Columns as a table."""
    numbers = [column for column in columns if isinstance(column, np.ndarray)]
    factors = [column for column in columns if isinstance(column, Factor)]
    rows = np.array(numbers).T if numbers else np.empty((len(factors[0].numbers), 0))
    return RawTable(rows, factors, np.array([isinstance(column, Factor) for column in columns]), names)


def _frame(library: str, table: RawTable, X: Data) -> DataFrame:
    """The table as a DataFrame of pandas or polars, whose categories have a type of their own."""
    given = [column if isinstance(column, np.ndarray) else column.values.tolist() for column in table.columns]
    columns = list(zip(cast(np.ndarray, table.names), given, table.is_category, strict=True))
    if library == "polars":
        import polars

        return polars.DataFrame(
            [polars.Series(name, x, dtype=polars.Categorical if is_one else None) for name, x, is_one in columns]
        )
    import pandas

    made = {name: pandas.Categorical(x) if is_one else x for name, x, is_one in columns}
    return pandas.DataFrame(made, index=getattr(X, "index", None))
