"""Scorers decide when to stop, whether or not they take weights and whichever classes the validation rows have."""

from functools import partial, wraps

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    get_scorer,
    get_scorer_names,
    log_loss,
    make_scorer,
    max_error,
    r2_score,
    roc_auc_score,
)
from sklearn.utils.fixes import parse_version

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop.data import Shards

QUICK = {"learning_rate": "cosine", "max_iter": 2, "weight_decay": 0.0, "random_state": 0}


def classifier(scoring, **params):
    return MLPSoftmaxClassifier((5,), **QUICK | {"early_stopping": True, "scoring": scoring} | params)


def regressor(scoring):
    return MLPRegressor((5,), **QUICK, early_stopping=True, scoring=scoring)


@pytest.fixture
def numbers(rng):
    X = rng.normal(size=(80, 4))
    return X, X[:, 0] + 0.5 * X[:, 1] ** 2, np.arange(80) % 3 + 1.0


@pytest.fixture
def three(rng):
    """Three classes and a fourth with a single row, which a split leaves to the training rows."""
    X = rng.normal(size=(90, 4))
    y = np.argmax(X[:, :3], axis=1)
    y[0] = 3
    return X, y


# --------------------------------------------------------------------------------- weights ----


def plain(estimator, X, y):
    return -max_error(y, estimator.predict(X))


class Scorer:
    def __call__(self, estimator, X, y):
        return plain(estimator, X, y)

    def method(self, estimator, X, y):
        return plain(estimator, X, y)


@wraps(plain)
def decorated(*args, **kwargs):
    return plain(*args, **kwargs)


def with_option(estimator, X, y, factor):
    return factor * plain(estimator, X, y)


def largest_miss(y, prediction):
    return np.abs(y - prediction).max()


WEIGHTLESS = [
    "neg_max_error",
    plain,
    lambda estimator, X, y: plain(estimator, X, y),
    Scorer(),
    Scorer().method,
    decorated,
    partial(with_option, factor=1.0),
    make_scorer(largest_miss, greater_is_better=False),
    make_scorer(partial(max_error), greater_is_better=False),
]


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("scoring", WEIGHTLESS)
def test_a_scorer_that_takes_no_weights_is_called_without(scoring, routing, numbers):
    X, y, w = numbers
    held_out = {"X_val": X[60:], "y_val": y[60:]}
    with sklearn.config_context(enable_metadata_routing=routing):
        weighted = regressor(scoring).fit(X[:60], y[:60], w[:60], sample_weight_val=w[60:], **held_out)
        split = regressor(scoring).fit(X, y, w)
    assert len(split.validation_scores_) == 2
    best = weighted.validation_scores_[weighted.best_iter_ - 1]
    assert best == pytest.approx(-max_error(y[60:], weighted.predict(X[60:])), rel=1e-12)  # another order


def with_any(estimator, X, y, **options):
    return r2_score(y, estimator.predict(X), **options)


def with_weights(estimator, X, y, sample_weight=None):
    return r2_score(y, estimator.predict(X), sample_weight=sample_weight)


@pytest.mark.parametrize("scoring", ["r2", make_scorer(r2_score), with_any, with_weights])
def test_a_scorer_that_takes_weights_gets_them(scoring, numbers):
    X, y, w = numbers
    model = regressor(scoring).fit(X, y, X_val=X[60:], y_val=y[60:], sample_weight_val=w[60:])
    best = r2_score(y[60:], model.predict(X[60:]), sample_weight=w[60:])
    assert model.validation_scores_[model.best_iter_ - 1] == pytest.approx(best, rel=1e-12)


def test_a_scorer_that_asked_for_no_weights_gets_none(numbers):
    X, y, w = numbers
    with sklearn.config_context(enable_metadata_routing=True):
        scoring = make_scorer(r2_score).set_score_request(sample_weight=False)
        model = regressor(scoring).fit(X, y, X_val=X[60:], y_val=y[60:], sample_weight_val=w[60:])
    best = r2_score(y[60:], model.predict(X[60:]))
    assert model.validation_scores_[model.best_iter_ - 1] == pytest.approx(best, rel=1e-12)


def test_an_error_inside_a_scorer_is_its_own(numbers):
    X, y, w = numbers

    def wrong(estimator, X, y, sample_weight):
        return accuracy_score(y, estimator.predict(X), weights=sample_weight)

    with pytest.raises(TypeError, match="unexpected keyword argument 'weights'"):
        regressor(wrong).fit(X, y, w)
    with pytest.raises(TypeError, match=r"must return one number, got \{'a': 1\.0\}"):
        regressor(lambda estimator, X, y: {"a": 1.0}).fit(X, y)


def test_pairs_of_classes_are_ranked_without_weights(three):
    """scikit-learn refuses weights there, and nowhere else of this metric."""
    X, y = three
    model = classifier("roc_auc_ovo").fit(X, y, np.arange(90) % 2 + 1.0)
    assert 0.0 < max(model.validation_scores_) <= 1.0


# ------------------------------------------------------------------------- classes without rows ----


def ranking(y, p, classes, weights, **options):
    """Mean ROC AUC over the classes with rows, of probabilities given that it is one of these."""
    present = np.unique(y)
    p = p[:, np.isin(classes, present)]
    p = p / p.sum(axis=1, keepdims=True)
    each = [roc_auc_score(y == c, p[:, k], sample_weight=weights) for k, c in enumerate(present)]
    shares = [np.average(y == c, weights=weights) for c in present] if options else None
    return np.average(each, weights=shares)


def precision(y, p, classes, weights, decision):
    present = np.unique(y)
    scores = decision[:, np.isin(classes, present)]
    return np.mean(
        [average_precision_score(y == c, scores[:, k], sample_weight=weights) for k, c in enumerate(present)]
    )


# scorers that older versions of scikit-learn refuse where no class is called 1
NUMBERS_ALONE = {"average_precision"} if parse_version(sklearn.__version__) < parse_version("1.9") else set()
BY_HAND = {
    "neg_log_loss": lambda y, p, classes, w, v: (
        -np.average(-np.log(p[np.arange(len(y)), np.searchsorted(classes, y)]), weights=w)
    ),
    "neg_brier_score": lambda y, p, classes, w, v: (
        -np.average(((p - (y[:, None] == classes)) ** 2).sum(axis=1), weights=w)
    ),
    "roc_auc_ovr": lambda y, p, classes, w, v: ranking(y, p, classes, w),
    "roc_auc_ovr_weighted": lambda y, p, classes, w, v: ranking(y, p, classes, w, by_share=True),
    "average_precision": precision,
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("labels", [np.arange(4), np.array(["d", "c", "b", "a"]), np.array([-7, 1, 2, 30])])
@pytest.mark.parametrize("name", BY_HAND)
def test_validation_rows_may_lack_classes(name, labels, weighted, three):
    if name in NUMBERS_ALONE and 1 not in labels:
        pytest.skip("this version of scikit-learn ranks classes by number")
    X, codes = three
    y, w = labels[codes], np.arange(90) % 3 + 1.0 if weighted else None
    for known in ([0, 1, 2], [1, 2]):
        rows = np.flatnonzero(np.isin(codes, known))[1:]
        model = classifier(name)
        weights = None if w is None else w[rows]
        model.fit(X, y, X_val=X[rows], y_val=y[rows], sample_weight_val=weights)
        p, v = model.predict_proba(X[rows]), model.decision_function(X[rows])
        best = BY_HAND[name](y[rows], p, model.classes_, weights, v)
        assert model.validation_scores_[model.best_iter_ - 1] == pytest.approx(best, rel=1e-9)


NAMES = [*BY_HAND, "roc_auc_ovo", "roc_auc_ovo_weighted", "top_k_accuracy", "d2_log_loss_score"]
NAMES = [name for name in NAMES if name in get_scorer_names()]  # older versions lack some


@pytest.mark.parametrize("name", NAMES)
def test_the_own_split_may_lack_a_class(name, three):
    X, y = three
    labels = np.arange(4) if name in NUMBERS_ALONE else np.array(list("abcd"))
    for target, weights in ((y, None), (labels[y], np.arange(90) % 3 + 1.0)):
        model = classifier(name).fit(X, target, weights)
        assert len(model.classes_) == 4
        assert np.isfinite(model.validation_scores_).all()


def test_the_scorers_own_options_and_metrics_stay(three):
    X, y = three
    rows = np.isin(y, [0, 1])
    for scorer, factor in (
        (make_scorer(log_loss, response_method="predict_proba", normalize=False), rows.sum()),
        (make_scorer(partial(log_loss, normalize=False), response_method="predict_proba"), rows.sum()),
        (make_scorer(log_loss, response_method="predict_proba", labels=range(4)), 1.0),
    ):
        model = classifier(scorer, early_stopping=False).fit(X, y, X_val=X[rows], y_val=y[rows])
        losses = classifier("neg_log_loss").fit(X, y, X_val=X[rows], y_val=y[rows]).validation_scores_
        assert_allclose(model.validation_scores_, factor * -np.array(losses), rtol=1e-12)


def test_rows_of_no_weight_do_not_make_a_class_present(three):
    X, y = three
    weights = np.where(y == 0, 0.0, 1.0)
    model = classifier("roc_auc_ovr").fit(X, y, X_val=X, y_val=y, sample_weight_val=weights)
    rows = y != 0
    best = ranking(y[rows], model.predict_proba(X[rows]), model.classes_, None)
    assert model.validation_scores_[model.best_iter_ - 1] == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("labels", [np.array(["no", "yes"]), np.array([1, 2])])
def test_brier_score_of_two_classes_of_any_labels(labels, three):
    X, y = three
    y = labels[(y > 0).astype(int)]
    for rows in (slice(None), y == labels[0]):
        model = classifier("neg_brier_score").fit(X, y, X_val=X[rows], y_val=y[rows])
        best = -np.mean((model.predict_proba(X[rows])[:, 1] - (y[rows] == labels[1])) ** 2)
        assert model.validation_scores_[model.best_iter_ - 1] == pytest.approx(best, rel=1e-9)
        assert best == pytest.approx(-brier_score_loss(y[rows] == labels[1], model.predict_proba(X[rows])[:, 1]))


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_labels_that_are_constant_there_do_not_count(name, rng):
    X = rng.normal(size=(60, 4))
    Y = (X[:, :4] > 0).astype(int)
    Y_val = Y.copy()
    Y_val[:, 1], Y_val[:, 2] = 0, 1
    model = classifier(name).fit(X, Y, X_val=X, y_val=Y_val)
    v = model.decision_function(X)
    metric, columns = (roc_auc_score, [0, 3]) if name == "roc_auc" else (average_precision_score, [0, 2, 3])
    best = np.mean([metric(Y_val[:, k], v[:, k]) for k in columns])
    assert model.validation_scores_[model.best_iter_ - 1] == pytest.approx(best, rel=1e-9)


def test_blocks_of_the_disk_may_lack_a_class(three):
    X, y = three
    keep = y != 2
    held_out = Shards([X[keep][:40], X[keep][40:]], [y[keep][:40], y[keep][40:]], memory=500)
    one = classifier("roc_auc_ovr").fit(X, y, X_val=held_out)
    two = classifier("roc_auc_ovr").fit(X, y, X_val=X[keep], y_val=y[keep])
    assert_allclose(one.validation_scores_, two.validation_scores_, rtol=1e-9)


def test_all_classes_present_is_scikit_learns_own_score(three):
    X, y = three
    y[0] = 0
    for name in NAMES:
        model = classifier(name).fit(X, y, X_val=X, y_val=y)
        best = model.validation_scores_[model.best_iter_ - 1]
        assert best == pytest.approx(get_scorer(name)(model, X, y), rel=1e-12)


# -------------------------------------------------------------------------------- words ----


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_a_score_that_is_nan_says_what_it_lacks(three, numbers):
    X, t, _ = numbers
    for scoring in ("r2", "d2_absolute_error_score"):
        with pytest.raises(ValueError, match=rf"'{scoring}' gives nan .* It needs at least two rows"):
            regressor(scoring).fit(X, t, X_val=X[:1], y_val=t[:1])
    X, y = three
    names = np.array(["low", "mid", "high", "odd"])[y]
    one, metrics = names == "mid", {"roc_auc_ovr", "average_precision", "d2_log_loss_score"}
    for scoring in sorted(metrics & {*NAMES} - NUMBERS_ALONE):
        with pytest.raises(ValueError, match=r"all validation rows have the class 'mid'.* validation_fraction"):
            classifier(scoring).fit(X, names, X_val=X[one], y_val=names[one])
    Y = np.stack([y == 0, y == 1], axis=1).astype(int)
    with pytest.raises(ValueError, match="all validation rows have the same labels"):
        classifier("roc_auc").fit(X, Y, X_val=X[y == 0], y_val=Y[y == 0])
    with pytest.raises(ValueError, match="must return a number in every epoch"):
        classifier(lambda estimator, X, y: np.nan).fit(X, y, X_val=X, y_val=y)
    watched = classifier("roc_auc_ovr", early_stopping=False).fit(X, names, X_val=X[one], y_val=names[one])
    assert np.isnan(watched.validation_scores_).all()


def test_an_error_where_classes_lack_rows_has_a_note(three):
    X, y = three

    def mine(estimator, X, y):
        return -log_loss(y, estimator.predict_proba(X))

    with pytest.raises(ValueError, match="labels") as caught:
        classifier(mine).fit(X, y)
    assert caught.value.__notes__ == ["The validation rows lack the classes [3]."]
