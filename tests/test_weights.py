"""Sample weights of any size: their ratios count, and their sum beside alpha; and what class weights make of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils.class_weight import compute_class_weight

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._fit.targets import LabelCodec
from skbackprop._fit.weights import apply_class_factors, class_counts, class_factors
from skbackprop.data import Shards

SIZES = [1e-80, 1e-43, 1e-38, 3.0, 1e39, 1e80]
PLANNED = {"hidden_layer_sizes": (4,), "learning_rate": "cosine", "max_iter": 3, "random_state": 0}
ROUNDING = {"float32": {"rtol": 2e-4, "atol": 5e-5}, "float64": {"rtol": 1e-9, "atol": 1e-12}}  # of forty steps


@pytest.fixture
def data(rng):
    X = rng.normal(size=(200, 3))
    return X, X[:, 0] + 0.1 * rng.normal(size=200)


def models(dtype):
    """With sgd, as adam's steps tell the signs of gradients that are all rounding."""
    shared = PLANNED | {"dtype": dtype, "alpha": 0.0, "solver": "sgd"}
    yield MLPRegressor(**shared)
    yield MLPSoftmaxClassifier(**shared)
    yield MLPSoftmaxClassifier(class_weight="balanced", **shared)


def same(ours, theirs, close):
    assert_allclose(ours.loss_curve_, theirs.loss_curve_, **close)
    for a, b in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        assert_allclose(a, b, **close)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
def test_equal_weights_of_any_size_are_weights_of_1(size, dtype, data):
    X, numbers = data
    w = np.full(len(X), size)
    for model in models(dtype):
        y = numbers if isinstance(model, MLPRegressor) else (numbers > 0).astype(int)
        plain = clone(model).fit(X, y, X_val=X, y_val=y)
        heavy = clone(model).fit(X, y, w, X_val=X, y_val=y, sample_weight_val=w)
        same(heavy, plain, ROUNDING[dtype])
        assert_allclose(heavy.validation_loss_curve_, plain.validation_loss_curve_, **ROUNDING[dtype])
        on_disk = clone(model).set_params(shuffle=False)
        disk = [Shards(X, y, weights, memory=X.nbytes - 1, block_rows=1) for weights in (None, w)]
        same(clone(on_disk).fit(disk[1]), clone(on_disk).fit(disk[0]), ROUNDING[dtype])
        stream = [clone(model).set_params(learning_rate="constant", max_iter=200) for _ in range(2)]
        for _ in range(2):
            stream[0].partial_fit(X, y)
            stream[1].partial_fit(X, y, w)
        same(stream[1], stream[0], ROUNDING[dtype])


@pytest.mark.parametrize("size", SIZES)
def test_equal_weights_of_any_size_in_lbfgs(size, data):
    X, y = data
    model = MLPRegressor((4,), solver="lbfgs", alpha=0.0, max_iter=1000, tol=1e-3, random_state=0)
    plain, heavy = clone(model).fit(X, y), clone(model).fit(X, y, np.full(len(X), size))
    assert_allclose(heavy.loss_curve_[:5], plain.loss_curve_[:5], rtol=1e-6)
    assert abs(heavy.loss_ - plain.loss_) < 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_penalty_is_as_strong_as_the_weights_say(solver, dtype, data):
    """J is the same for weights and alpha times one number; for a power of two to the same bits."""
    X, y = data
    w = np.linspace(0.5, 2.0, len(X))
    more = {} if solver == "adam" else {"learning_rate": "auto", "max_iter": 500, "tol": 1e-2}
    for exponent in (-100, 3, 100):
        alphas = [5.0, float(np.ldexp(5.0, exponent))]
        plain, scaled = (
            MLPRegressor(**PLANNED | {"solver": solver, "dtype": dtype, "alpha": alpha} | more).fit(X, y, v)
            for alpha, v in zip(alphas, (w, np.ldexp(w, exponent)), strict=True)
        )
        assert_array_equal(scaled.predict(X), plain.predict(X))
        assert scaled.loss_curve_ == plain.loss_curve_


def test_weights_beside_which_others_are_nothing(data):
    X, y = data
    w = np.where(np.arange(200) < 100, 1e39, 1e-310)
    w[50:60] = 0.0
    model = MLPRegressor(**PLANNED | {"alpha": 0.0, "shuffle": False, "dtype": "float32"})
    some = clone(model).fit(X, y, (w > 1) * 1.0)
    same(model.fit(X, y, w), some, ROUNDING["float32"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("factor", [1e-43, 1e-80, 1e80])
def test_class_weights_of_any_size(factor, dtype, data):
    X, y = data[0], (data[1] > 0).astype(int)
    for known in (y, np.stack([y, 1 - y], axis=1)):
        model = MLPSoftmaxClassifier(**PLANNED | {"alpha": 0.0, "dtype": dtype})
        each = {0: factor, 1: factor}
        weights = each if known is y else [each, {}]
        same(clone(model).set_params(class_weight=weights).fit(X, known), model.fit(X, known), ROUNDING[dtype])
        disk = Shards(X, known, memory=X.nbytes - 1, block_rows=1)
        model.set_params(shuffle=False)
        same(clone(model).set_params(class_weight=weights).fit(disk), model.fit(disk), ROUNDING[dtype])


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_weights_that_no_number_can_sum(solver, data):
    X, y = data
    shared = {"hidden_layer_sizes": (4,), "solver": solver, "random_state": 0}
    disk = {"memory": X.nbytes - 1, "block_rows": 1}
    for w, message in ((1e-310, r"is \d\S*e-3"), (1e307, r"is (inf|\d)"), (1e-300, "Divide them by their mean")):
        w = np.full(len(X), w)
        for call in (
            lambda w=w: MLPRegressor(**shared).fit(X, y, w),
            lambda w=w: MLPRegressor(**shared).fit(X, y, X_val=X, y_val=y, sample_weight_val=w),
            lambda w=w: MLPRegressor(**shared).fit(Shards(X, y, w, **disk)),
        ):
            with pytest.raises(ValueError, match=message):
                call()
    with pytest.raises(ValueError, match=r"class_weight together.* is 1e-298"):
        MLPSoftmaxClassifier(class_weight={0: 1e-300, 1: 0.0}, **shared).fit(X, np.arange(200) % 2)
    for alpha, w in ((1e-4, 1e-43), (1e30, 1.0)):
        with pytest.raises(ValueError, match=r"only the penalty of alpha=.* counts"):
            MLPRegressor(alpha=alpha, **shared).fit(X, y, np.full(len(X), w))


def test_a_block_of_validation_rows_without_weight(data):
    X, y = data
    w = (np.arange(200) < 150) * 1.0
    val = Shards(X, y, w, memory=X.nbytes - 1, block_rows=50)
    on_disk = MLPRegressor(**PLANNED).fit(X, y, X_val=val).validation_loss_curve_
    here = MLPRegressor(**PLANNED).fit(X, y, X_val=X, y_val=y, sample_weight_val=w).validation_loss_curve_
    assert_allclose(on_disk, here, rtol=1e-12)


# ---- class weights ----


def test_balanced_factors_are_scikit_learns_and_use_the_weights():
    y = np.array([0, 0, 0, 1, 2, 2])
    labels = LabelCodec.learn(y)
    Y = labels.encode(y, np.float64)
    ours = class_factors("balanced", labels, class_counts(Y, None), len(y))
    assert_allclose(ours, compute_class_weight("balanced", classes=labels.classes, y=y))
    w = np.array([1.0, 2.0, 0.0, 1.0, 3.0, 1.0])
    balanced = apply_class_factors(class_factors("balanced", labels, class_counts(Y, w), len(y)), Y, w)
    assert_allclose([balanced[y == c].sum() for c in range(3)], 8 / 3)
    w = np.array([1.0, 2.0, 0.0, 0.0, 3.0, 1.0])
    assert class_factors("balanced", labels, class_counts(Y, w), len(y))[1] == 0.0  # no weight, no factor


def test_class_weight_dicts():
    labels = LabelCodec.learn(np.array(["a", "b", "c"]))
    assert_array_equal(class_factors({"b": 5.0}, labels, np.ones(3), 3), [1.0, 5.0, 1.0])
    assert_array_equal(class_factors({"b": 5.0, "z": 2.0}, labels, np.ones(3), 3), [1.0, 5.0, 1.0])
    assert_array_equal(class_factors({}, labels, np.ones(3), 3), 1.0)
    with pytest.raises(ValueError, match=r"\['y', 'z'\], none of which is among the classes \['a', 'b', 'c'\]"):
        class_factors({"y": 1.0, "z": 1.0}, labels, np.ones(3), 3)
    with pytest.raises(ValueError, match="finite number >= 0"):
        class_factors({"a": -1.0}, labels, np.ones(3), 3)


def test_multilabel_class_weight_lists():
    y = np.array([[1, 0], [1, 1], [0, 0], [1, 0]])
    labels = LabelCodec.learn(y)
    counts = class_counts(y, None)
    factors = class_factors([{1: 3.0}, "balanced"], labels, counts, 4)
    assert_allclose(factors, [[1.0, 4 / (2 * 3)], [3.0, 4 / (2 * 1)]])
    assert_allclose(apply_class_factors(factors, y, None), [3 * 2 / 3, 3 * 2.0, 2 / 3, 3 * 2 / 3])
    with pytest.raises(ValueError, match=r"one entry per label \(2\)"):
        class_factors(["balanced"], labels, counts, 4)
    for wrong in ({1: 2.0, 7: 1.0}, "equal", None):
        with pytest.raises(ValueError, match="must be 'balanced' or a dict with factors of 0 and 1"):
            class_factors(["balanced", wrong], labels, counts, 4)


def test_class_counts():
    w = np.array([0.5, 2.0, 0.0])
    assert_array_equal(class_counts(np.array([0, 2, 2]), None, 4), [1.0, 0.0, 2.0, 0.0])
    assert_array_equal(class_counts(np.array([0, 2, 2]), w, 4), [0.5, 0.0, 2.0, 0.0])
    assert_array_equal(class_counts(np.array([[1, 0], [1, 1], [0, 1]]), w), [2.5, 2.0])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["labels", "several labels", "shards", "partial_fit"])
def test_weights_whose_products_overflow_are_an_error(kind):
    X, w = np.random.default_rng(0).normal(size=(40, 2)), np.full(40, 1e90)
    y = np.arange(40) % 2
    Y, factors = (np.stack([y, y], axis=1), [{1: 1e300}] * 2) if kind == "several labels" else (y, {0: 0.0, 1: 1e300})
    model = MLPSoftmaxClassifier((3,), max_iter=2, class_weight=factors, random_state=0)
    train = model.partial_fit if kind == "partial_fit" else model.fit
    rows = (Shards(X, Y, w, memory=600),) if kind == "shards" else (X, Y, w)
    with pytest.raises(ValueError, match=r"^The sum of the weights .* is (inf|nan), but must be between"):
        train(*rows)
