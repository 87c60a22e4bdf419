"""MLPSoftmaxClassifier: kinds of labels, probabilities, logits, class weights, losses."""

import numpy as np
import pytest
import scipy.special
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, make_multilabel_classification
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPSoftmaxClassifier
from skbackprop.data import Shards

PLANNED = {"learning_rate": "cosine", "random_state": 0, "learning_rate_init": 0.01}


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def multilabel():
    return make_multilabel_classification(300, 10, n_classes=4, random_state=0)


def test_binary_has_two_softmax_units(cancer):
    X, y = cancer
    model = MLPSoftmaxClassifier((20,), max_iter=20, **PLANNED).fit(X[:400], y[:400])
    assert model.score(X[400:], y[400:]) > 0.95
    assert (model.n_outputs_, model.out_activation_) == (2, "softmax")
    p, v = model.predict_proba(X), model.decision_function(X)
    assert v.shape == (len(X),)
    assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    assert_allclose(p[:, 1], scipy.special.expit(v), rtol=1e-10)
    assert_array_equal(model.predict(X), (v > 0).astype(int))


def test_multiclass_outputs_agree(digits):
    X, y = digits
    names = np.array([f"digit {c}" for c in range(10)])
    model = MLPSoftmaxClassifier((20,), max_iter=10, **PLANNED).fit(X, names[y])
    assert_array_equal(model.classes_, names)
    p, v = model.predict_proba(X), model.decision_function(X)
    assert_allclose(p, scipy.special.softmax(v, axis=1), rtol=1e-10)
    assert_allclose(model.predict_log_proba(X), scipy.special.log_softmax(v, axis=1), rtol=1e-8, atol=1e-12)
    assert_array_equal(model.predict(X), names[p.argmax(axis=1)])


def test_multilabel(multilabel):
    X, y = multilabel
    model = MLPSoftmaxClassifier((30,), max_iter=60, **PLANNED).fit(X, y)
    p, v = model.predict_proba(X), model.decision_function(X)
    assert p.shape == v.shape == y.shape
    assert_allclose(p, scipy.special.expit(v), rtol=1e-10)
    assert_allclose(np.exp(model.predict_log_proba(X)), p, rtol=1e-10)
    assert_array_equal(model.predict(X), (p > 0.5).astype(int))
    assert f1_score(y, model.predict(X), average="micro") > 0.8
    assert model.out_activation_ == "logistic"


def test_multilabel_predict_proba_feeds_sklearns_scorers(multilabel):
    X, y = multilabel
    model = MLPSoftmaxClassifier(max_iter=40, early_stopping=True, scoring="average_precision", **PLANNED)
    assert max(model.fit(X, y).validation_scores_) > 0.8


def test_probabilities_leave_the_ends_out():
    X, y = np.array([[-1.0], [1.0]]), np.array([[0, 1], [1, 0]])
    model = MLPSoftmaxClassifier((), max_iter=2, **PLANNED).fit(X, y)
    model.coefs_ = [np.array([[4000.0, -4000.0]])]
    p = model.predict_proba(X)
    assert ((p > 0) & (p < 1)).all()
    assert np.isfinite(model.predict_log_proba(X)).all()
    assert np.isfinite(np.log(p)).all()


@pytest.mark.parametrize("loss", ["cross_entropy", "brier", "focal"])
def test_every_loss_learns(loss, digits, multilabel):
    X, y = digits
    model = MLPSoftmaxClassifier((30,), loss=loss, max_iter=20, **PLANNED).fit(X[:1200], y[:1200])
    assert model.score(X[1200:], y[1200:]) > 0.88
    X, y = multilabel
    model = MLPSoftmaxClassifier((30,), loss=loss, max_iter=60, **PLANNED).fit(X, y)
    assert f1_score(y, model.predict(X), average="micro") > 0.75


def test_class_weight_balanced_finds_the_rare_class(rng):
    X = np.vstack([rng.normal(0, 1, (500, 2)), rng.normal(1.5, 1, (25, 2))])
    y = np.repeat([0, 1], [500, 25])
    params = {"max_iter": 60, "weight_decay": 0.0, **PLANNED}
    plain = MLPSoftmaxClassifier(**params).fit(X, y)
    balanced = MLPSoftmaxClassifier(class_weight="balanced", **params).fit(X, y)
    assert balanced.predict(X)[500:].mean() > plain.predict(X)[500:].mean() + 0.2
    explicit = MLPSoftmaxClassifier(class_weight={0: 525 / 1000, 1: 525 / 50}, **params).fit(X, y)
    assert_allclose(explicit.coefs_[0], balanced.coefs_[0], rtol=1e-10)
    weighted = MLPSoftmaxClassifier(**params).fit(X, y, np.where(y, 525 / 50, 525 / 1000))
    assert_allclose(weighted.coefs_[0], balanced.coefs_[0], rtol=1e-10)


def test_class_weight_for_multilabel(multilabel):
    X, y = multilabel
    plain = MLPSoftmaxClassifier(max_iter=30, **PLANNED).fit(X, y)
    heavy = MLPSoftmaxClassifier(max_iter=30, class_weight=[{1: 20.0}, {}, {}, {}], **PLANNED).fit(X, y)
    assert heavy.predict(X)[:, 0].mean() > plain.predict(X)[:, 0].mean()


def test_label_smoothing_bounds_the_confidence(cancer):
    X, y = cancer
    params = {**PLANNED, "solver": "lbfgs", "learning_rate": "auto", "learning_rate_init": "auto", "alpha": 0.0}
    model = MLPSoftmaxClassifier((20,), label_smoothing=0.2, max_iter=2000, **params).fit(X, y)
    p = model.predict_proba(X).max(axis=1)
    assert 0.85 < np.median(p) < 0.95  # the best is 1 - 0.2 / 2
    # the entropy of the smoothed targets is the least loss there is
    assert model.loss_ >= -(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) - 1e-9


def test_label_smoothing_acts_in_training_only(cancer):
    X, y = cancer
    model = MLPSoftmaxClassifier((20,), label_smoothing=0.2, max_iter=5, **PLANNED).fit(X, y, X_val=X, y_val=y)
    picked = model.predict_proba(X)[np.arange(len(y)), y]
    assert_allclose(model.validation_loss_curve_[-1], -np.log(picked).mean(), rtol=1e-10)


def test_a_class_that_partial_fit_has_not_seen_yet(cancer):
    X, y = cancer
    model = MLPSoftmaxClassifier(class_weight="balanced", random_state=0)
    for _ in range(5):
        model.partial_fit(X[y == 0], y[y == 0], classes=[0, 1])
        model.partial_fit(X[y == 1], y[y == 1])
    assert model.predict_proba(X).shape == (len(X), 2)
    assert np.isfinite(model.loss_)


def test_balanced_labels_do_not_depend_on_the_unit_of_the_weights(digits):
    X, Y = digits[0][:300], np.eye(3, dtype=int)[digits[1][:300] % 3]
    params = {"class_weight": "balanced", "alpha": 0.0, "weight_decay": 0.0, "max_iter": 2, "random_state": 0}
    params |= {"learning_rate": "cosine", "batch_size": 100}
    once, twice = (MLPSoftmaxClassifier((5,), **params).fit(X, Y, np.full(300, w)) for w in (1.0, 2.0))
    assert_allclose(once.coefs_[0], twice.coefs_[0], rtol=1e-9)  # the same steps but for rounding
    streamed = MLPSoftmaxClassifier((5,), **params)
    for part in (slice(0, 200), slice(200, 300)):
        streamed.partial_fit(X[part], Y[part], np.full(len(X[part]), 2.0))
    plain = MLPSoftmaxClassifier((5,), **params)
    for part in (slice(0, 200), slice(200, 300)):
        plain.partial_fit(X[part], Y[part])
    assert_allclose(plain.coefs_[0], streamed.coefs_[0], rtol=1e-9)


def test_class_weights_of_a_class_that_this_fold_lacks():
    X = np.random.default_rng(0).normal(size=(600, 3))
    y = np.repeat(["a", "b"], 300)
    data = Shards(X, y, memory=14_000, block_rows=1)
    params = {"hidden_layer_sizes": (3,), "max_iter": 2, **PLANNED}
    known, more = ({"b": 3.0} | rest for rest in ({}, {"rare": 50.0}))
    for fit in (
        lambda weights: MLPSoftmaxClassifier(class_weight=weights, **params).fit(X, y),
        lambda weights: MLPSoftmaxClassifier(class_weight=weights, **params).fit(data),
        lambda weights: MLPSoftmaxClassifier((3,), class_weight=weights, random_state=0).partial_fit(
            X, y, classes=["a", "b", "c"]
        ),
    ):
        assert_array_equal(fit(more).predict_proba(X), fit(known).predict_proba(X))
        with pytest.raises(ValueError, match=r"\['rare'\], none of which is among the classes \['a', 'b'"):
            fit({"rare": 50.0})
    lacks = np.stack([y == "a", np.zeros(600)], axis=1)  # a column without a 1
    weights = [{0: 2.0, 1: 3.0}] * 2
    assert MLPSoftmaxClassifier(class_weight=weights, **params).fit(X, lacks).score(X, lacks) >= 0
