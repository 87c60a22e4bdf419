"""A table in, predictions out: the Pipeline around the estimators, with settings that suit most tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from sklearn.base import BaseEstimator, is_regressor

from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._ensemble import BaseEnsemble
from skbackprop._regressor import MLPRegressor
from skbackprop._table import Table
from skbackprop._table_encoder import TableEncoder
from skbackprop.ensemble import MLPEnsembleClassifier, MLPEnsembleRegressor

if TYPE_CHECKING:
    from skbackprop._tabular_pipeline import TabularPipeline

__all__ = ["tabular_pipeline"]

ESTIMATORS: dict[str, Callable[..., BaseEstimator]] = {"classifier": MLPSoftmaxClassifier, "regressor": MLPRegressor}
ENSEMBLES: dict[str, Callable[..., BaseEstimator]] = {
    "classifier": MLPEnsembleClassifier,
    "regressor": MLPEnsembleRegressor,
}
EFFORTS = ["quick", "default", "best"]
RECIPE: dict[str, object] = {
    "numeric_encoder": "piecewise_linear",
    "learning_rate_init": 0.005,
    "hidden_layer_sizes": (128, 128),
    "dropout": "auto",
    "beta_2": 0.95,
    "dtype": "float32",
    "input_scale": True,
}
# more of them than two make probabilities better, but hardly means
MEMBERS = {"classifier": 4, "regressor": 2}
QUICK_MEMBERS = {"classifier": 2, "regressor": 1}
INTERVAL_MEMBERS = 4  # whose disagreement tells how wide an interval should be
# with another solver these are as its estimator has them
NOT_ADAM = {"learning_rate_init": "auto", "beta_2": 0.999}


def tabular_pipeline(
    estimator: Literal["classifier", "regressor"] | BaseEstimator = "classifier",
    *,
    effort: Literal["quick", "default", "best"] = "default",
    oob_score: bool = False,
    max_categories: int = 30,
    **params: object,
) -> TabularPipeline:
    """Make a Pipeline for tables with numbers, categories and missing values.

    Numeric columns are standardised and encoded piecewise linearly, with a missing indicator. Each category and boolean
    has an input of its own, and so have missing values. Columns with many categories are replaced by the mean target of
    the category, or the share of each class (`sklearn.preprocessing.TargetEncoder`); the categories are kept beside it
    if they are not too rare. Columns without values, or with only one, are dropped with a warning. Strings that are
    numbers are read as numbers. A warning names columns of strings that look like dates, identifiers or free text. The
    last step is an estimator of this package, which does the encoding. Its settings were chosen on 26 public data sets:
    two layers of 128, ensemble members that share weights (four for classification, two for regression), a learned
    scale for each input, and a selection of decay, dropout and epochs (``weight_decay="auto"``).

    Parameters
    ----------
    estimator : {'classifier', 'regressor'} or estimator, default='classifier'
        Last step of the Pipeline: `MLPSoftmaxClassifier` or `MLPRegressor` with the settings for tables, or an
        estimator of your own, unchanged.
    effort : {'quick', 'default', 'best'}, default='default'
        Trade-off of accuracy and time. 'quick' uses two layers of 64 and half the members. 'best' trains networks with
        several weight decays, and one with finer bins, and averages them with weights found on held-out rows. It makes
        an `ensemble.MLPEnsembleClassifier` or `ensemble.MLPEnsembleRegressor`, whose `estimator` has the parameters.
    oob_score : bool, default=False
        Whether to train ten networks, each without a tenth of the rows. This gives predictions for rows that a network
        has not seen (`oob_score_`) and, for regression, intervals by ``predict(X, interval=0.9)``. The last step is
        then an ensemble whose networks have four members.
    max_categories : int, default=30
        Columns with more categories than this are replaced by mean targets, which ignore sample weights. The categories
        are kept too if there are 20 rows for each on average and the last step encodes columns itself.
    **params : dict
        Parameters of `MLPSoftmaxClassifier` or `MLPRegressor` that replace the settings for tables. ``random_state``
        also seeds the folds of the target encoder. ``categorical_features`` names numeric columns that are categories;
        it can also be given with an estimator of your own.

    Returns
    -------
    pipeline : Pipeline
        A :class:`sklearn.pipeline.Pipeline` with the steps "table", which reads the columns, and "mlp". Parameters of
        steps can be set and searched as usual, such as ``mlp__n_bins``. If the last step does not encode columns
        itself, there is a step "encoder" in front of it. So pass another estimator to this function, and do not
        replace the last step of the Pipeline.

        `fit` takes what the last step takes: ``fit(X, y, X_val=X_val, y_val=y_val, sample_weight=w)``. The validation
        set is a table with the same columns, and is transformed by the steps automatically. There is a `partial_fit` if
        the last step has one; its first call determines what the columns hold.

    Raises
    ------
    ValueError
        For dates, durations and complex numbers, which must be converted to numbers; for lists, infinities, numbers
        too large for float32, sparse matrices and, in `predict`, strings in a numeric column; if columns are missing or
        have the same name; and if all columns are dropped.

    Notes
    -----
    `fit` and `predict` take DataFrames (pandas, and with scikit-learn 1.9 or newer polars), pyarrow tables and arrays.
    A column of an object array is numeric if all its values are numbers. Columns of tables are found by their names, of
    any type, and columns of arrays by position. True, 1, 1.0, "1" and "True" are one category. In a column of strings
    that are numbers, other strings such as "?" and "NA" are missing values, and so are any others if they make up at
    most 5 % of the distinct ones. Numbers with leading zeros are categories. Mean targets need a single target; for
    several, raise `max_categories`.

    ``pipeline["table"].transform(X)`` gives a table of numbers and categories for the last step. NumPy can convert it
    to an array; after ``set_output(transform="pandas")`` it is a DataFrame.

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
    # here, as the import of Pipelines takes longer than that of this package
    from skbackprop._tabular_pipeline import TabularPipeline

    columns = params.pop("categorical_features", "from_dtype")
    model = _estimator(estimator, effort, oob_score, params)
    network = model.estimator if isinstance(model, BaseEnsemble) else model
    encodes = getattr(network, "numeric_encoder", "identity") != "identity"
    table = Table(
        max_categories,
        rows_per_category=20 if encodes else None,
        categorical_features=columns,
        target_type="continuous" if is_regressor(model) else "auto",
        random_state=params.get("random_state"),
    )
    return TabularPipeline([("table", table), *([] if encodes else [("encoder", TableEncoder())]), ("mlp", model)])


def _estimator(
    estimator: str | BaseEstimator, effort: str, oob_score: bool, params: dict[str, object]
) -> BaseEstimator:
    """The estimator by its name, with the settings for tables, or the user's own."""
    if effort not in EFFORTS:
        raise ValueError(f"effort must be one of {EFFORTS}; got {effort!r}.")
    if not isinstance(oob_score, bool):
        raise ValueError(f"oob_score must be True or False; got {oob_score!r}.")
    if isinstance(estimator, str) and estimator in ESTIMATORS:
        recipe = RECIPE | {"n_members": MEMBERS[estimator]}
        if effort == "quick":
            recipe |= {"hidden_layer_sizes": (64, 64), "n_members": QUICK_MEMBERS[estimator]}
        if oob_score:
            recipe["n_members"] = INTERVAL_MEMBERS
        if params.get("solver", "adam") != "adam":
            recipe |= NOT_ADAM
        network = ESTIMATORS[estimator](**recipe | params)
        if effort != "best" and not oob_score:
            return network
        options = {"blend": effort == "best", "oob_score": oob_score, "random_state": network.random_state}
        return ENSEMBLES[estimator](network.set_params(random_state=None), **options)
    if not hasattr(estimator, "fit") or isinstance(estimator, type):
        hint = f" Write {estimator.__name__}(), with parentheses." if isinstance(estimator, type) else ""
        raise ValueError(f"estimator must be 'classifier', 'regressor' or an estimator; got {estimator!r}.{hint}")
    asked = sorted(params) + ["effort"] * (effort != "default") + ["oob_score"] * oob_score
    if asked:
        raise ValueError(f"An estimator of your own comes with its parameters; got also {asked}.")
    return estimator
