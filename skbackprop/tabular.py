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
    """Make a Pipeline that learns from a table as it comes.

    Numbers are standardised and encoded piecewise linearly, a gap having an input of its own; each category and boolean
    has one, too, and so have missing ones. Where there are many categories, the mean target that they go with, or the
    share of each class, stands for them (`sklearn.preprocessing.TargetEncoder`), beside an input each where these are
    not too rare. Columns without any value, and those with only one, are left out, with a warning. Texts that are
    numbers are read as such, and a warning tells of texts that look like dates, identifiers or prose. Behind this
    stands one of our estimators, which does the encoding, with settings found on 26 public data sets: two layers of
    128, members that share their weights (four for classes, two for numbers), a learned scale for each input, and
    decay, dropout and epochs as the noise of the targets and short trainings ask for (``weight_decay="auto"``).

    Parameters
    ----------
    estimator : {'classifier', 'regressor'} or estimator, default='classifier'
        What to put behind the columns: `MLPSoftmaxClassifier` or `MLPRegressor` with the settings for tables, or an
        estimator of your own as it is.
    effort : {'quick', 'default', 'best'}, default='default'
        Accuracy for seconds. 'quick': two layers of 64 and half the members. 'best': networks of several weight decays,
        and one of finer bins, blended by what they answer for rows held out: an `ensemble.MLPEnsembleClassifier` or
        `ensemble.MLPEnsembleRegressor`, whose `estimator` has the parameters then.
    oob_score : bool, default=False
        Train ten networks, each without a tenth of the rows, for answers to rows that they have not seen
        (`oob_score_`) and, of numbers, for ``predict(X, interval=0.9)``. This makes an ensemble, too, whose networks
        have four members.
    max_categories : int, default=30
        Of columns with more categories than this the mean target is given, and the category itself only where one of
        our estimators encodes it and there are twenty rows of each on the average. Means do not weigh rows.
    **params : dict
        Parameters of `MLPSoftmaxClassifier` or `MLPRegressor` that differ from the settings for tables and effort.
        ``random_state`` also seeds the folds of the target encoder. ``categorical_features`` names columns of numbers
        that are categories; it may be given with an estimator of your own, too.

    Returns
    -------
    pipeline : Pipeline
        A :class:`sklearn.pipeline.Pipeline` of the steps "table", which reads the columns, and "mlp". Every parameter
        of a step can be set and searched by its name, such as ``mlp__n_bins``. In front of an estimator that does not
        encode columns itself, the step "encoder" makes them numbers; so give another estimator to this function, and
        not to the Pipeline.

        Its `fit` takes what the last step's does, ``fit(X, y, X_val=X_val, y_val=y_val, sample_weight=w)``: the
        validation rows are a table of the same columns, and go through the steps by themselves. It has the last step's
        `partial_fit`, too, if that has one; the first call decides what the columns are.

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
    values; numbers with leading zeros are codes. Means need a single target: for several, raise `max_categories`.

    What ``pipeline["table"].transform(X)`` gives is a table of numbers and categories for the estimator, which is an
    array to NumPy, and a DataFrame after ``set_output(transform="pandas")``.

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
