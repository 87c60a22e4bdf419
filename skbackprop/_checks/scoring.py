"""Scores on validation rows, by any scorer, also if the rows lack some of the classes."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.metadata_routing import get_routing_for_object

from skbackprop._fit.device import to_host
from skbackprop._types import Array

# metrics of probabilities or logits with a parameter for the known classes; `sklearn.metrics` may lack some of them
KNOW_LABELS = (
    "brier_score_loss",
    "d2_brier_score",
    "d2_log_loss_score",
    "hinge_loss",
    "log_loss",
    "top_k_accuracy_score",
)

Metric = Callable[..., float]


class Judge:
    """A scorer and its rows: targets, weights and known classes (None for regression), on the host."""

    def __init__(
        self, scoring: Any, y: Any, weights: np.ndarray | None, classes: np.ndarray | None, put: Callable[[Any], Any]
    ):
        from sklearn.metrics import get_scorer  # here, since its import is slow

        self._scoring, self._y, self._classes = scoring, y.toarray() if sp.issparse(y) else y, classes
        self._counts = slice(None) if weights is None else weights > 0.0  # rows with weight
        scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
        _check_arguments(scorer)
        is_multiclass = classes is not None and len(classes) > 2 and np.ndim(y) == 1
        takes_weights = weights is not None and _takes_weights(scorer, is_multiclass)
        self._scorer = scorer if classes is None else _for_classes(scorer, self._y, self._counts, classes)
        self._target = put(self._y)
        self._options = {"sample_weight": put(weights)} if takes_weights else {}

    def __call__(self, model: Any, X: Any) -> float:
        """Score a model's predictions for X."""
        try:
            score = self._scorer(model, X, self._target, **self._options)
        except ValueError as error:
            if lacking := self._lacking():
                error.add_note(f"The validation rows lack the classes {lacking}.")
            raise
        try:
            return float(score)
        except (TypeError, ValueError) as error:
            raise TypeError(f"scoring={self._scoring!r} must return one number, got {score!r}.") from error

    def check(self, score: float) -> float:
        """Raise if a score is nan, so that no epoch is the best."""
        if np.isnan(score):
            raise ValueError(
                f"scoring={self._scoring!r} gives nan for the validation set, so it cannot decide when to stop. "
                f"{self._reason()}"
            )
        return score

    def _lacking(self) -> list[object]:
        """Classes without validation rows."""
        if self._classes is None or np.ndim(self._y) == 2:
            return []
        return list(np.setdiff1d(self._classes, self._y[self._counts]).tolist())

    def _reason(self) -> str:
        y = self._y[self._counts]
        more = "Raise validation_fraction, or pass more rows as X_val"
        if len(y) < 2:
            return f"It needs at least two rows, but the validation set has only one row with weight. {more}."
        if self._classes is not None and np.ndim(y) == 2 and (y == y[:1]).all():
            return f"It needs rows with and without a label, but all validation rows have the same labels. {more}."
        if self._classes is not None and np.ndim(y) == 1 and (y == y[0]).all():
            return f"It needs two classes, but all validation rows have the class {y[:1].tolist()[0]!r}. {more}."
        if lacking := self._lacking():
            return f"The validation rows lack the classes {lacking}. {more}."
        if self._classes is None and (y == y[:1]).all():
            return f"All validation targets are equal. {more}."
        return "The scorer must return a number in every epoch. Correct it, or choose another."


def _check_arguments(scorer: Any) -> None:
    """Raise if a scorer cannot be called with a model, rows and targets, as a metric of targets and predictions."""
    try:
        signature = inspect.signature(scorer)
    except (TypeError, ValueError):  # written in C
        return
    try:
        signature.bind_partial("model", "X", "y")
    except TypeError:
        name = getattr(scorer, "__name__", repr(scorer))
        raise TypeError(
            f"scoring must be the name of a scorer, or called as scoring(estimator, X, y), as {name} cannot be. Of a "
            f"metric of y_true and y_pred, make a scorer: scoring=sklearn.metrics.make_scorer({name})."
        ) from None


def _function_of(scorer: Any) -> Any:
    """The function that a scorer of scikit-learn calls; None for other scorers."""
    return getattr(scorer, "_score_func", None)


def _metric_of(scorer: Any) -> tuple[Any, dict[str, Any]]:
    """The metric of a scorer of scikit-learn, and its options; (None, {}) for other scorers."""
    metric: Any = _function_of(scorer)
    options = dict(getattr(scorer, "_kwargs", None) or {})
    while type(metric) is partial:
        metric, options = metric.func, metric.keywords | options
    return metric, options


def _takes_weights(scorer: Any, is_multiclass: bool) -> bool:
    """Tell whether a scorer takes sample_weight; those of scikit-learn pass all arguments to their metrics."""
    request = get_routing_for_object(scorer)
    if hasattr(request, "score") and request.score.requests.get("sample_weight") is False:
        return False
    metric, options = _metric_of(scorer)
    by_pairs = getattr(metric, "__name__", "") == "roc_auc_score" and options.get("multi_class") == "ovo"
    if by_pairs and is_multiclass:  # the one case in which it refuses them
        return False
    try:
        parameters = inspect.signature(_function_of(scorer) or scorer).parameters
    except (TypeError, ValueError):  # written in C
        return False
    return "sample_weight" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


# -------------------------------------------------------------------------- classes without rows ----


def _for_classes(scorer: Any, y: np.ndarray, counts: np.ndarray | slice, classes: np.ndarray) -> Any:
    """The scorer, where possible with a metric that does not need rows of every class."""
    import sklearn.metrics

    metric, _ = _metric_of(scorer)
    multilabel, judge = np.ndim(y) == 2, None
    if metric is None:
        return scorer
    if not multilabel and metric in [getattr(sklearn.metrics, name, None) for name in KNOW_LABELS]:
        judge = partial(_over_all, classes)
    elif metric is sklearn.metrics.roc_auc_score:
        judge = partial(_over_columns, True) if multilabel else partial(_ranking_of_present, classes)
    elif metric is sklearn.metrics.average_precision_score:
        judge = partial(_over_columns, False) if multilabel else partial(_precision_of_present, classes)
    if judge is None:
        return scorer
    wrapped = _function_of(scorer)

    @wraps(wrapped)
    def judged(y_true: Array, answer: Array, sample_weight: Array | None = None, **options: object) -> float:
        weights = {} if sample_weight is None else {"sample_weight": to_host(sample_weight)[counts]}
        y_true, answer = to_host(y_true)[counts], to_host(answer)[counts]
        return judge(wrapped, y_true, answer, **options, **weights)

    scorer = copy.copy(scorer)
    scorer._score_func = judged
    return scorer


def _over_all(classes: np.ndarray, metric: Metric, y: np.ndarray, answer: np.ndarray, **options: object) -> float:
    """The metric over all known classes; of two the prediction may be the probability of the second."""
    if (y == y[0]).all() and getattr(metric, "__name__", "").startswith("d2"):
        return np.nan  # the baseline has no loss
    if answer.ndim == 1 and "pos_label" in inspect.signature(metric).parameters:
        return metric(y, answer, **{"pos_label": classes[-1]} | options)
    return metric(y, answer, **{"labels": classes} | options)


def _ranking_of_present(classes: np.ndarray, metric: Metric, y: np.ndarray, p: np.ndarray, **options: object) -> float:
    """ROC AUC of the classes that have rows, with probabilities normalised over these."""
    present = np.isin(classes, y)
    given = "labels" in options or options.get("multi_class", "raise") == "raise"
    if p.ndim == 1 or present.all() or given or not np.allclose(p.sum(axis=1), 1.0):
        return metric(y, p, **options)
    p = p[:, present].astype(np.float64)
    p /= p.sum(axis=1, keepdims=True)
    if present.sum() > 2:
        return metric(y, p, **options)
    # of two each has the same
    return metric(y == classes[present][1], p[:, 1], **options) if present.sum() == 2 else np.nan


def _precision_of_present(
    classes: np.ndarray, metric: Metric, y: np.ndarray, answer: np.ndarray, **options: object
) -> float:
    """Average precision of the classes that have rows."""
    present = np.isin(classes, y)
    if answer.ndim == 1 or present.all():
        return metric(y, answer, **options)
    if present.sum() < 2:
        return np.nan
    return metric((y[:, None] == classes[present]).astype(int), answer[:, present], **options)


def _over_columns(needs_both: bool, metric: Metric, y: np.ndarray, answer: np.ndarray, **options: object) -> float:
    """A ranking metric of multilabel rows over the labels that occur (and are absent in some rows, if needed)."""
    tells = y.any(axis=0) & ~(y.all(axis=0) & needs_both)
    if options.get("average", "macro") in ("macro", "weighted") and tells.any():
        y, answer = y[:, tells], answer[:, tells]
    return metric(y, answer, **options)
