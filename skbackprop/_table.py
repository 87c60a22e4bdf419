"""The first step of `tabular_pipeline`, which finds columns of tables by their names and reads them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from importlib import import_module
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skbackprop._checks.arrays import check_targets, feature_names, output_of
from skbackprop._checks.callbacks import CallbackSupportMixin
from skbackprop._checks.constraints import Interval, StrOptions, validated
from skbackprop._checks.rows import copy_of
from skbackprop._checks.tables import places_of
from skbackprop._columns import Column, are_texts, as_table, columns_of, factor, floats
from skbackprop._fit.data_checks import labels_of_one_kind, numbers
from skbackprop._fit.device import to_host
from skbackprop._fit.inputs import Factor, RawTable, distinct
from skbackprop._fit.warn import warn
from skbackprop._prediction import of_one_model
from skbackprop._texts import LEFT_OUT, read_columns, warn_of_unknown
from skbackprop._types import Data

if TYPE_CHECKING:
    from pandas import DataFrame
    from sklearn.preprocessing import TargetEncoder
    from sklearn.utils import Tags

GIVEN = ("numbers", "categories", "both")  # kinds of columns that are kept
WITH_MEANS = ("means", "both")  # kinds that get mean targets


class TakesTables(CallbackSupportMixin, TransformerMixin, BaseEstimator):
    """Tag of a step that takes numbers with missing values, categories and strings."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        return tags


class Table(TakesTables):
    """Read the columns of a table as numbers (missing values as NaN) or as categories.

    Columns are found by their names, which may be of any type. New columns are ignored, and so are columns without
    values or with a single value. Strings of numbers are converted. Nothing is imputed, and only columns with many
    categories are encoded: by the mean target of each category, or by its share of each class
    (`sklearn.preprocessing.TargetEncoder`).

    Parameters
    ----------
    max_categories : int, default=30
        Columns with more categories than this are target-encoded.
    rows_per_category : int or None, default=20
        Columns with more than max_categories categories, but on average at least so many rows per category, are used
        both as categories and target-encoded. None: they are only target-encoded.
    categorical_features : 'from_dtype' or array-like of str, int or bool, default='from_dtype'
        Columns to treat as categories, even if they are numbers: names, numbers or a mask. With 'from_dtype', all
        columns that are not numbers.
    target_type : {'auto', 'continuous'}, default='auto'
        Type of target for the target encoder. With 'auto', integers are classes.
    random_state : int, RandomState instance or None, default=None
        Seed of the target encoder's folds.

    Attributes
    ----------
    columns_ : dict
        Names of the columns, or their indices if they have none, by kind: "numbers", "categories", "means"
        (target-encoded), "both" (means and categories) and "left out".
    n_features_in_ : int
        Number of columns seen by `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if all are strings.
    """

    columns_: dict[str, list[Hashable]]
    names_: list[Hashable] | None  # of the columns in fit, if X had any
    kinds_: list[str]  # of each column, as keys of `columns_`
    gaps_: list[list[str]]  # for each column the texts that count as missing numbers
    texts_: Sequence[list[str]] = ()  # for each column its categories, if they are few; pickles of 0.2.0 have none
    targets_: TargetEncoder | None  # of columns of many categories
    n_features_in_: int

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "categorical_features": [StrOptions({"from_dtype"}), "array-like"],
        "max_categories": [Interval(Integral, 1, None, closed="left")],
        "rows_per_category": [Interval(Integral, 1, None, closed="left"), None],
        "target_type": [StrOptions({"auto", "continuous"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        max_categories: int = 30,
        rows_per_category: int | None = 20,
        categorical_features: Any = "from_dtype",
        target_type: str = "auto",
        random_state: Any = None,
    ) -> None:
        self.max_categories = max_categories
        self.rows_per_category = rows_per_category
        self.categorical_features = categorical_features
        self.target_type = target_type
        self.random_state = random_state

    def fit(self, X: Data, y: Data = None) -> Self:
        """Learn the kinds of the columns of X."""
        self.fit_transform(X, y)
        return self

    @validated
    def fit_transform(self, X: Data, y: Data = None) -> RawTable | DataFrame:
        """Learn the kinds of the columns of X, and read them."""
        X, names = as_table(X)
        labels: list[Hashable] = list(range(X.shape[1])) if names is None else names
        found: dict[str, list[Hashable]] = {kind: [] for kind in (*GIVEN, "means", LEFT_OUT)}
        most = len(X) // self.rows_per_category if self.rows_per_category else 0
        asked = [] if isinstance(self.categorical_features, str) else self.categorical_features
        named = set(places_of(asked, len(labels), names))
        readings = read_columns(labels, columns_of(X), named, self.max_categories, most)
        for label, reading in zip(labels, readings, strict=True):
            found[reading.kind].append(label)
        if len(found[LEFT_OUT]) == len(labels):
            raise ValueError("Every column of X is empty or constant, so nothing can be learned.")
        if found[LEFT_OUT]:
            warn(f"Columns without values, or with a single value, are left out: {found[LEFT_OUT]}.")
        seen = copy_of(self, without=["feature_names_in_"])
        seen.columns_, seen.names_, seen.n_features_in_ = found, names, len(labels)
        seen.kinds_, seen.gaps_ = [reading.kind for reading in readings], [reading.gaps for reading in readings]
        if are_texts(names):
            seen.feature_names_in_ = np.array(names, dtype=object)
        values = [reading.values for reading in readings]
        means = seen._learn_targets(values, y, len(X))
        known = zip(seen.kinds_, values, strict=True)
        seen.texts_ = [sorted(cast(Factor, value).texts) if kind == "categories" else [] for kind, value in known]
        self.__dict__ = vars(seen)  # in one assignment, since another thread may transform
        return self._table(values, means, X)

    @of_one_model
    def transform(self, X: Data) -> RawTable | DataFrame:
        """Read the columns of new rows.

        They are numbers or categories as in `fit`. In a numeric column, a string that is not a number is an error if
        there were none in `fit`, and otherwise a missing value, with a warning.
        """
        check_is_fitted(self)
        X, names = as_table(X)
        labels = names if self.names_ is None and names else self.names_ or range(X.shape[1])
        values: list[np.ndarray | Factor | None] = []
        columns = zip(labels, self._columns(X, names), self.kinds_, self.gaps_, self._known(), strict=True)
        for label, column, kind, gaps, known in columns:
            if kind == LEFT_OUT or column is None:
                values.append(None)
            elif kind == "numbers":
                values.append(floats(label, column, gaps))
            else:
                values.append(found := factor(label, column))
                warn_of_unknown(label, column, found, known, is_expected=kind in WITH_MEANS)
        means = None if self.targets_ is None else self.targets_.transform(self._with_means(values))
        return self._table(values, means, X)

    @of_one_model
    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Names of the columns that are not left out, followed by those of the mean targets."""
        check_is_fitted(self)
        names = feature_names(self, input_features)
        given = names[np.isin(self.kinds_, GIVEN)]
        if self.targets_ is None:
            return given
        means = self.targets_.get_feature_names_out(names[np.isin(self.kinds_, WITH_MEANS)])
        return distinct([*given, *(f"{name}_mean" for name in means)])

    @property
    def owners(self) -> np.ndarray:
        """For each output column the number of its column in `fit`."""
        given = np.flatnonzero(np.isin(self.kinds_, GIVEN))
        if self.targets_ is None:
            return given
        many = np.flatnonzero(np.isin(self.kinds_, WITH_MEANS))
        n_means = len(self.targets_.get_feature_names_out()) // len(many)  # of each
        return np.append(given, np.repeat(many, n_means))

    def _learn_targets(self, values: list[np.ndarray | Factor | None], y: Data, n_rows: int) -> np.ndarray | None:
        """Learn the mean targets of categories, and return those of the training rows.

        They are computed from the rows of the other folds.
        """
        self.targets_ = None
        only, both = self.columns_["means"], self.columns_["both"]
        if not only and not both:
            return None
        if y is None:
            raise ValueError(f"Columns {only + both} have many categories, and their mean targets need y.")
        targets = to_host(check_targets(self, y, n_rows))
        if targets.ndim > 1 and targets.shape[1] > 1:
            if not only:  # they are categories alone
                self.columns_ = self.columns_ | {"categories": self.columns_["categories"] + both, "both": []}
                self.kinds_ = ["categories" if kind == "both" else kind for kind in self.kinds_]
                return None
            raise ValueError(
                f"Columns {only} have more than max_categories={self.max_categories} categories, and mean targets need "
                f"a single target, but y has {targets.shape[1]} columns. Raise max_categories, drop these "
                "columns, or fit one model for each target."
            )
        targets, labels = targets.reshape(-1), None
        if self.target_type == "continuous" or (targets.dtype.kind == "f" and (targets % 1 != 0).any()):
            targets = numbers(targets)  # TargetEncoder does not take all types
        else:
            with labels_of_one_kind(targets):
                labels, targets = np.unique(targets, return_inverse=True)
        encoder = self._target_encoder(targets)
        with config_context(enable_metadata_routing=False):  # TargetEncoder would ask for groups for its folds
            means: np.ndarray = encoder.fit_transform(self._with_means(values), targets)
        if labels is not None:
            encoder.classes_ = labels  # which stand in the names of its columns
        self.targets_ = encoder
        return means

    def _target_encoder(self, targets: np.ndarray) -> TargetEncoder:
        """A new target encoder with seeded folds."""
        # imported here, since this is slow
        from sklearn.model_selection import KFold
        from sklearn.preprocessing import TargetEncoder

        target = TargetEncoder(target_type=self.target_type).set_output(transform="default")
        if target.shuffle is True:  # folds are stratified where targets are classes
            largest = np.unique(targets, return_counts=True)[1].max() if self.target_type == "auto" else len(targets)
            return target.set_params(cv=max(2, min(5, int(largest))), random_state=self.random_state)
        # from scikit-learn 1.9 on; not stratified, as a class may have fewer rows than there are folds
        return target.set_params(cv=KFold(min(5, len(targets)), shuffle=True, random_state=self.random_state))

    def _known(self) -> list[Sequence[str]]:
        """The categories of each column in `fit`, in ascending order."""
        learned = [] if self.targets_ is None else self.targets_.categories_
        means = iter([texts[: len(texts) - (texts[-1] is None)] for texts in learned])
        few = zip(self.kinds_, self.texts_ or [[]] * len(self.kinds_), strict=True)
        return [next(means, texts) if kind in WITH_MEANS else texts for kind, texts in few]

    def _with_means(self, values: list[np.ndarray | Factor | None]) -> np.ndarray:
        """Texts of the target-encoded columns, side by side."""
        pairs = zip(values, self.kinds_, strict=True)
        return np.stack([cast(Factor, column).values for column, kind in pairs if kind in WITH_MEANS], axis=1)

    def _columns(self, X: DataFrame | np.ndarray, names: list[Hashable] | None) -> list[Column | None]:
        """The columns of X that were in `fit`; None for a missing one that was left out."""
        columns = columns_of(X)
        if names is None or self.names_ is None:
            if len(columns) != self.n_features_in_:
                raise ValueError(f"X has {len(columns)} columns, but in fit it had {self.n_features_in_}.")
            if are_texts(self.names_):
                raise ValueError(
                    f"X is an array, but in fit its columns had names: {self.names_}. Pass a DataFrame with them."
                )
            return list(columns)
        place = {name: j for j, name in enumerate(names)}
        may_lack = LEFT_OUT if are_texts(self.names_) else None
        known = zip(self.names_, self.kinds_, strict=True)
        missing = [name for name, kind in known if name not in place and kind != may_lack]
        if missing:
            raise ValueError(f"columns are missing: {missing}. They were in X in fit; now X has {names}.")
        return [columns[place[name]] if name in place else None for name in self.names_]

    def _table(
        self, values: list[np.ndarray | Factor | None], means: np.ndarray | None, X: Data
    ) -> RawTable | DataFrame:
        """The columns that are not left out, as a DataFrame if `set_output` asks for one."""
        pairs = zip(values, self.kinds_, strict=True)
        columns = [column for column, kind in pairs if column is not None and kind in GIVEN]
        columns += [] if means is None else list(means.T)
        table = _side_by_side(columns, self.get_feature_names_out())
        library = output_of(self)
        return table if library == "default" else _frame(library, table, X)


def _side_by_side(columns: Sequence[np.ndarray | Factor], names: np.ndarray) -> RawTable:
    """Columns as a table."""
    numbers = [column for column in columns if isinstance(column, np.ndarray)]
    factors = [column for column in columns if isinstance(column, Factor)]
    rows = np.array(numbers).T if numbers else np.empty((len(factors[0].numbers), 0))
    return RawTable(rows, factors, np.array([isinstance(column, Factor) for column in columns]), names)


def _frame(library: str, table: RawTable, X: Data) -> DataFrame:
    """The table as a DataFrame of pandas or polars with a categorical dtype."""
    frames, names = import_module(library), cast(np.ndarray, table.names)
    given = [column if isinstance(column, np.ndarray) else column.values.tolist() for column in table.columns]
    if library == "polars":
        columns = zip(names, given, table.is_category, strict=True)
        kinds = {True: frames.Categorical, False: None}
        return frames.DataFrame([frames.Series(name, x, dtype=kinds[bool(is_one)]) for name, x, is_one in columns])
    made = [frames.Categorical(x) if is_one else x for x, is_one in zip(given, table.is_category, strict=True)]
    return frames.DataFrame(dict(zip(names, made, strict=True)), index=getattr(X, "index", None))
