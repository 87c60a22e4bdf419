"""Ensembles: regularisations that are blended, folds, out-of-fold answers, and intervals."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.ensemble import BaggingRegressor
from sklearn.metrics import accuracy_score, brier_score_loss, d2_pinball_score, log_loss, r2_score
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop._blending import blend_weights, blended, folds_of, longer
from skbackprop._fit.spec import REGIMES
from skbackprop._intervals import CVPlus
from skbackprop.data import Shards
from skbackprop.ensemble import MLPEnsembleClassifier, MLPEnsembleRegressor

SMALL = {MLPEnsembleClassifier: MLPSoftmaxClassifier((8,)), MLPEnsembleRegressor: MLPRegressor((8,), n_members=2)}
FOLDS = {"blend": False, "oob_score": True, "n_folds": 3}


def waves(n=400, seed=0):
    """Rows whose targets are the noisier the larger the second column is."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2.0, 2.0, (n, 2))
    return X, np.sin(2.0 * X[:, 0]) + (0.1 + 0.2 * np.abs(X[:, 1])) * rng.standard_normal(n)


def make(cls, **params):
    return cls(clone(SMALL[cls]), random_state=0, **params)


def targets_for(cls, y):
    return np.where(y > 0.3, "high", np.where(y < -0.3, "low", "mid")) if cls is MLPEnsembleClassifier else y


def outputs(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # the checks fit tiny, odd data
@parametrize_with_checks(
    [make(cls, **params) for cls in SMALL for params in ({}, FOLDS)],
    expected_failed_checks=lambda estimator: {
        f"check_sample_weight_equivalence_on_{kind}_data": "rows that are repeated come into several folds"
        for kind in ("dense", "sparse")
        if estimator.oob_score
    },
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# -------------------------------------------------------------------------------- blending ----


def test_weights_are_those_of_the_least_loss():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((200, 1))
    answers = y + rng.standard_normal((3, 200, 1)) * np.array([0.5, 0.6, 50.0])[:, None, None]
    p = rng.uniform(0.05, 0.95, (3, 200, 1))
    weights = rng.uniform(0.5, 2.0, 200)
    share = weights / weights.sum()
    grid = [np.array([a, b, 100 - a - b]) / 100 for a in range(101) for b in range(101 - a)]
    losses = [share @ (np.tensordot(mix, answers, 1) - y)[:, 0] ** 2 for mix in grid]
    np.testing.assert_allclose(blend_weights(answers, y, weights), grid[np.argmin(losses)], atol=0.015)
    losses = [-share @ np.log(np.tensordot(mix, p, 1))[:, 0] for mix in grid]
    np.testing.assert_allclose(blend_weights(p, None, weights), grid[np.argmin(losses)], atol=0.015)


def test_a_network_that_is_best_alone_has_all_the_weight():
    y = np.linspace(-1.0, 1.0, 50)[:, None]
    np.testing.assert_array_equal(blend_weights(np.stack([y, y + 1.0, -y]), y, None), [1.0, 0.0, 0.0])


def test_targets_count_alike_in_whatever_units():
    rng = np.random.default_rng(1)
    y = rng.standard_normal((100, 2))
    answers = y + rng.standard_normal((2, 100, 2))
    units = np.array([1e-170, 1e4])
    np.testing.assert_allclose(blend_weights(answers * units, y * units, None), blend_weights(answers, y, None), 1e-4)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("n_rows", [1000, 80_000])
def test_regimes_stand_beside_the_one_that_was_found(solver, n_rows):
    pace = min(1.0, 20_000 / n_rows)
    own = [{name: value * pace for name, value in regime.regularisation(solver).items()} for regime in REGIMES.values()]
    estimator = MLPRegressor(solver=solver)
    for number, beside in enumerate([[0, 1], [0, 1, 2], [1, 2]]):
        found = own[number] | {"epochs": 10}
        assert blended(found, n_rows, estimator) == [own[k] | {"epochs": 10} for k in beside]


def test_one_network_has_finer_bins():
    found = REGIMES["clean"].regularisation("adam")
    estimator = MLPRegressor(numeric_encoder="piecewise_linear", n_bins=6)
    assert blended(found, 500, estimator)[-1] == found | {"n_bins": 24}


def test_a_dropout_of_ones_own_stays():
    assert [list(some) for some in blended({"weight_decay": 0.5}, 500, MLPRegressor())] == [["weight_decay"]] * 3


def test_blended_networks_train_longer_and_never_beyond_max_iter():
    assert longer({"weight_decay": 0.5, "epochs": 9}, MLPRegressor()) == {"weight_decay": 0.5, "epochs": 12}
    assert longer({"epochs": 9}, MLPRegressor(max_iter=10)) == {"epochs": 10}
    assert longer({"weight_decay": 0.5}, MLPRegressor(epochs=7)) == {"weight_decay": 0.5}


@pytest.mark.parametrize("cls", SMALL)
def test_the_answer_is_the_weighted_mean(cls):
    X, y = waves()
    model = make(cls).fit(X, targets_for(cls, y))
    assert 1 <= len(model.estimators_) == len(model.weights_) <= 3
    assert model.weights_.sum() == pytest.approx(1.0)
    mean = sum(w * outputs(network, X) for w, network in zip(model.weights_, model.estimators_, strict=True))
    np.testing.assert_allclose(outputs(model, X), mean, rtol=1e-12)
    decays = [network.weight_decay for network in model.estimators_]
    assert len(set(decays)) == len(decays)
    if cls is MLPEnsembleClassifier:
        np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)
        np.testing.assert_array_equal(model.predict(X), model.classes_[model.predict_proba(X).argmax(axis=1)])
        np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))


@pytest.mark.parametrize("params", [{}, FOLDS, FOLDS | {"blend": True}])
@pytest.mark.parametrize("cls", SMALL)
def test_a_seed_makes_the_same_bits(cls, params):
    X, y = waves(250)
    y = targets_for(cls, y)
    first, second = (outputs(make(cls, **params).fit(X, y), X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


# ----------------------------------------------------------------------------------- folds ----


def test_folds_have_as_many_rows_of_each_class():
    y = np.repeat([0, 1, 2], [50, 31, 7])
    folds = folds_of(y, 5, True, np.random.RandomState(0))
    counts = np.array([np.bincount(y[test], minlength=3) for _, test in folds])
    assert (np.ptp(counts, axis=0) <= 1).all()
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(88))
    for train, test in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(88))


@pytest.mark.parametrize("cls", SMALL)
def test_out_of_fold_answers_are_of_networks_that_have_not_seen_the_row(cls):
    X, y = waves()
    y = targets_for(cls, y)
    model = make(cls, **FOLDS).fit(X, y)
    found = model.oob_decision_function_ if cls is MLPEnsembleClassifier else model.oob_prediction_
    each = np.stack([outputs(network, X) for network in model.estimators_])
    distances = np.abs(each - found).reshape(3, len(X), -1).max(axis=2)
    fold = distances.argmin(axis=0)
    assert distances.min(axis=0).max() < 1e-12
    assert np.bincount(fold).tolist() == pytest.approx([len(X) / 3] * 3, abs=2)
    for number in range(3):  # trained again without the fold, a network is the same
        some = np.flatnonzero(fold != number)
        again = clone(model.estimators_[number]).fit(X[some], y[some])
        np.testing.assert_array_equal(outputs(again, X), outputs(model.estimators_[number], X))
    if cls is MLPEnsembleClassifier:
        assert model.oob_score_ == np.mean(model.classes_[found.argmax(axis=1)] == y)
    else:
        assert model.oob_score_ == pytest.approx(r2_score(y, found))


def test_folds_weigh_regimes_by_out_of_fold_answers():
    X, y = waves()
    y = targets_for(MLPEnsembleClassifier, y)
    model = make(MLPEnsembleClassifier, oob_score=True, n_folds=3).fit(X, y)
    n = len(model.estimators_) // 3
    np.testing.assert_allclose(model.weights_.reshape(3, n).sum(axis=1), 1.0 / 3.0)
    np.testing.assert_allclose(model.weights_.reshape(3, n), model.weights_[:n][None].repeat(3, axis=0))
    alone = make(MLPEnsembleClassifier, **FOLDS).fit(X, y)
    assert log_loss(y, model.oob_decision_function_) < 1.1 * log_loss(y, alone.oob_decision_function_)


def test_a_row_alone_in_its_class_is_in_every_fold():
    X, y = waves(120)
    y = (y > 0.0).astype(int)
    y[7] = 2
    model = make(MLPEnsembleClassifier, **FOLDS).fit(X, y)
    assert np.isnan(model.oob_decision_function_[7]).all()
    assert np.isfinite(np.delete(model.oob_decision_function_, 7, axis=0)).all()
    assert model.predict_proba(X).shape == (120, 3)


def test_rows_of_no_weight_are_not_judged():
    X, _ = waves(400)
    labels = (X[:, 0] > 0.0).astype(int)
    rng = np.random.default_rng(0)
    noise = np.where(rng.random(400) < 0.5, labels, 1 - labels)  # half of the rows tell nothing
    told = np.arange(400) % 2 == 0
    mixed = np.where(told, labels, noise)
    scores = [
        make(MLPEnsembleClassifier, **FOLDS | {"blend": True}).fit(X, mixed, w) for w in (None, told.astype(float))
    ]
    assert scores[0].oob_score_ < 0.9 < scores[1].oob_score_


def test_small_networks_weigh_the_regimes():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 5))
    noisy = make(MLPEnsembleRegressor).fit(X, X[:, 0] + 3.0 * rng.standard_normal(400))
    clean = make(MLPEnsembleRegressor).fit(X, np.sin(X[:, 0]))
    decays = [model.weights_ @ [network.weight_decay for network in model.estimators_] for model in (noisy, clean)]
    assert decays[0] > 5.0 * decays[1]


@pytest.mark.parametrize("params", [{}, {"oob_score": True, "n_folds": 2}])
@pytest.mark.parametrize("is_multilabel", [False, True])
def test_class_weights_count_where_a_blend_is_weighed(params, is_multilabel):
    X, y = waves(300, seed=3)
    codes = (y > 0.7).astype(int)
    labels = np.column_stack([codes, y + X[:, 1] > 0.0]).astype(int) if is_multilabel else codes
    class_weight = [{1: 20.0}, {}] if is_multilabel else {1: 20.0}
    base = MLPSoftmaxClassifier((8,), class_weight=class_weight)
    model = MLPEnsembleClassifier(base, random_state=0, **params).fit(X, labels)
    as_rows = make(MLPEnsembleClassifier, **params).fit(X, labels, np.where(codes > 0, 20.0, 1.0))
    np.testing.assert_allclose(model.weights_, as_rows.weights_, rtol=1e-6)
    np.testing.assert_allclose(model.predict_proba(X), as_rows.predict_proba(X), rtol=0, atol=1e-6)


def test_logarithms_stay_finite_where_probabilities_vanish():
    X, y = waves(240)
    model = make(MLPEnsembleClassifier, **FOLDS).fit(X, targets_for(MLPEnsembleClassifier, y))
    log_p = model.predict_log_proba(1e5 * X)
    assert np.isfinite(log_p).all()
    assert log_p.min() < -1000.0


def test_weights_of_rows_go_along():
    X, y = waves(300)
    w = np.where(np.arange(300) < 200, 1.0, 0.0)
    bad = np.where(w > 0.0, y, 100.0)
    for params in ({}, FOLDS):
        model = make(MLPEnsembleRegressor, **params).fit(X, bad, w)
        assert np.abs(model.predict(X)).max() < 3.0  # what weighs nothing taught nothing
    assert model.oob_score_ > 0.0


# ------------------------------------------------------------------------------- intervals ----


def brute_force(answers, scales, residuals, fold, level):
    """Bounds of one row by all of the numbers, sorted."""
    above = np.sort(answers[fold] + scales[fold] * residuals)
    n = len(residuals)
    k = int(np.ceil((1.0 + level) / 2.0 * (n + 1) - 1e-9))
    return above[n - k], above[k - 1]


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("mean_spread", [0.0, 2.0])
def test_bounds_are_quantiles_of_all_answers_plus_residuals(level, mean_spread):
    rng = np.random.default_rng(0)
    fold = np.arange(90) % 4
    residuals = rng.standard_t(3, 90)
    answers, spreads = rng.standard_normal((4, 50)), rng.uniform(0.5, 3.0, (4, 50))
    part = CVPlus(residuals, fold, np.full(90, 1.0 / 90), 4, mean_spread)
    scales = 0.75 + 0.25 * spreads / mean_spread if mean_spread else np.ones_like(spreads)
    expected = [brute_force(answers[:, i], scales[:, i], residuals, fold, level) for i in range(50)]
    np.testing.assert_allclose(part.bounds(answers, spreads, level), expected, rtol=0, atol=1e-12)


def test_rows_of_no_weight_change_no_interval():
    rng = np.random.default_rng(0)
    residuals, fold, spreads = rng.standard_normal(100), np.arange(100) % 5, np.zeros(100)
    weights = np.where(np.arange(100) < 60, 2.0, 0.0)
    answers = rng.standard_normal((5, 20))
    some = CVPlus.learn(residuals[:60], spreads[:60], fold[:60], None)
    all_ = CVPlus.learn(np.where(weights > 0.0, residuals, 1e6), spreads, fold, weights)
    bounds = [part.bounds(answers, np.zeros((5, 20)), 0.8) for part in (some, all_)]
    np.testing.assert_allclose(*bounds, rtol=0, atol=1e-6)


def test_bounds_are_exact_beside_a_row_far_away():
    residuals = np.append(np.linspace(-1.0, 1.0, 99), 1e15)
    part = CVPlus.learn(residuals, np.zeros(100), np.arange(100) % 5, None)
    found = part.bounds(np.zeros((5, 1)), np.zeros((5, 1)), 0.5)
    ordered = np.sort(residuals)
    np.testing.assert_allclose(found, [[ordered[24], ordered[75]]], rtol=0, atol=1e-12)


@pytest.mark.parametrize("differs", [False, True])
def test_residuals_are_scaled_where_intervals_are_better_by_that(differs):
    rng = np.random.default_rng(0)
    spreads = rng.uniform(0.2, 2.0, 2000)
    residuals = rng.standard_normal(2000) * (spreads if differs else 1.0)
    part = CVPlus.learn(residuals, spreads, np.arange(2000) % 5, None)
    assert (part.mean_spread > 0.0) == differs
    widths = np.diff(part.bounds(np.zeros((5, 2)), np.array([[0.2, 2.0]] * 5), 0.9))[:, 0]
    assert (widths[1] > 1.2 * widths[0]) == differs


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_bounds_stay_in_the_domain_of_the_loss(loss):
    X, y = waves(240)
    counts = np.random.default_rng(0).poisson(np.exp(y)) + (loss == "gamma")
    model = MLPEnsembleRegressor(MLPRegressor((8,), loss=loss), **FOLDS).fit(X, counts)
    bounds = model.predict(X, interval=0.9)[1]
    assert bounds.min() >= 0.0
    assert (bounds[:, 0] < bounds[:, 1]).all()


def test_intervals_hold_the_targets_as_often_as_they_should():
    X, y = waves(1500)
    X_new, y_new = waves(4000, seed=1)
    model = MLPEnsembleRegressor(MLPRegressor((30,), n_members=4), blend=False, oob_score=True, random_state=0)
    prediction, bounds = model.fit(X, y).predict(X_new, interval=0.9)
    np.testing.assert_allclose(prediction, model.predict(X_new))
    covered = (bounds[:, 0] <= y_new) & (y_new <= bounds[:, 1])
    assert abs(covered.mean() - 0.9) < 0.03  # three standard deviations, of 1,500 rows and 4,000
    assert (bounds[:, 0] < bounds[:, 1]).all()
    narrow = model.predict(X_new, interval=0.5)[1]
    assert (narrow[:, 0] > bounds[:, 0]).all()
    assert (narrow[:, 1] < bounds[:, 1]).all()


def test_each_target_has_intervals_of_its_own():
    X, y = waves(300)
    Y = np.column_stack([y, 1000.0 * y[::-1]])
    model = make(MLPEnsembleRegressor, **FOLDS).fit(X, Y)
    prediction, bounds = model.predict(X, interval=0.8)
    assert prediction.shape == (300, 2)
    assert bounds.shape == (300, 2, 2)
    widths = np.diff(bounds, axis=2)[..., 0].mean(axis=0)
    assert 300.0 < widths[1] / widths[0] < 3000.0
    assert model.oob_prediction_.shape == (300, 2)


def test_what_is_sorted_for_intervals_is_not_saved():
    X, y = waves(240)
    model = make(MLPEnsembleRegressor, **FOLDS).fit(X, y)
    before = pickle.dumps(model)
    bounds = model.predict(X, interval=0.8)[1]
    assert pickle.dumps(model) == before
    np.testing.assert_array_equal(model.predict(X, interval=0.8)[1], bounds)
    np.testing.assert_array_equal(pickle.loads(before).predict(X, interval=0.8)[1], bounds)


# -------------------------------------------------------------------------- what may come in ----


@pytest.mark.parametrize("params", [{}, FOLDS])
def test_inputs_of_all_kinds(params):
    X, y = waves(240)
    expected = make(MLPEnsembleRegressor, **params).fit(X, y).predict(X)
    for given in (X.tolist(), pd.DataFrame(X, columns=["a", "b"]), sp.csr_array(X), sp.coo_array(X)):
        model = make(MLPEnsembleRegressor, **params).fit(given, y.tolist())
        np.testing.assert_allclose(model.predict(given), expected, rtol=1e-6, atol=1e-6)
    assert not hasattr(model, "feature_names_in_")
    assert model.n_features_in_ == 2


def test_columns_are_of_the_same_kind_in_all_folds():
    X, y = waves(240)
    table = pd.DataFrame({"x": X[:, 0], "code": np.where(X[:, 1] > 0.0, "1", "2")})
    table.loc[17, "code"] = "x"  # without which all codes are numbers
    model = make(MLPEnsembleRegressor, **FOLDS).fit(table, y)
    assert [network.categorical_features for network in model.estimators_] == [[1]] * 3
    assert np.isfinite(model.predict(table, interval=0.8)[1]).all()


def test_labels_of_several_columns():
    X, y = waves(300)
    Y = np.column_stack([y > 0.0, X[:, 1] > 0.5]).astype(int)
    model = make(MLPEnsembleClassifier, oob_score=True, n_folds=2).fit(X, Y)
    assert model.predict(X).shape == model.predict_proba(X).shape == model.oob_decision_function_.shape == (300, 2)
    assert model.oob_score_ == np.mean(((model.oob_decision_function_ > 0.5) == Y).all(axis=1))
    assert model.score(X, Y) > 0.5


@pytest.mark.parametrize("cls", SMALL)
def test_scores_and_their_checks_are_those_of_one_network(cls):
    X, y = waves(240)
    y = targets_for(cls, y)
    model = make(cls).fit(X, y)
    ours = accuracy_score if cls is MLPEnsembleClassifier else r2_score
    assert model.score(X, y) == ours(y, model.predict(X))
    assert model.score(X, y, sample_weight=X[:, 0] > 0) == ours(y, model.predict(X), sample_weight=X[:, 0] > 0)
    for estimator in (model, model.estimators_[0]):
        with pytest.raises(ValueError, match="Input y contains NaN"):
            estimator.score(X, [*y[:-1].tolist(), None])


@pytest.mark.parametrize("columns", [1, 2])
def test_labels_as_objects_are_scored(columns):
    X, y = waves(240)
    Y = np.stack([y > 0, X[:, 0] > 0][:columns], axis=1).squeeze().astype(object)
    model = make(MLPEnsembleClassifier).fit(X, Y)
    assert model.score(X, Y) == accuracy_score(Y.astype(int), model.predict(X).astype(int))


@pytest.mark.parametrize("quantile", [0.9, [0.1, 0.9]])
def test_quantiles_are_scored_by_the_pinball_loss(quantile):
    X, y = waves(240)
    model = MLPEnsembleRegressor(MLPRegressor((8,), loss="quantile", quantile=quantile), random_state=0).fit(X, y)
    levels, predictions = np.ravel(quantile), model.predict(X).reshape(240, -1)
    each = [d2_pinball_score(y, p, alpha=level) for level, p in zip(levels, predictions.T, strict=True)]
    assert model.score(X, y) == np.mean(each)
    pipeline = tabular_pipeline("regressor", effort="best", loss="quantile", quantile=quantile, hidden_layer_sizes=(8,))
    assert np.isfinite(cross_val_score(pipeline, X, y, cv=2)).all()


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("params", [{}, {"blend": True, "oob_score": True, "n_folds": 3}])
def test_probabilities_are_at_most_one(params, columns):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    Y = (X[:, :columns] + rng.normal(size=(400, columns)) > 0).squeeze().astype(int)
    base = MLPSoftmaxClassifier((8,), max_iter=4)
    for seed in range(4, 7):
        model = MLPEnsembleClassifier(base, random_state=seed, **params).fit(X, Y)
        p = model.predict_proba(300.0 * X)
        assert ((p >= 0.0) & (p <= 1.0)).all()
        assert model.predict_log_proba(300.0 * X).max() <= 0.0
        if columns == 1:
            np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-15)
            brier_score_loss(Y, p[:, 1])
        if params:
            assert model.oob_decision_function_.max() <= 1.0


def test_quantiles_are_blended_equally():
    X, y = waves(300)
    model = MLPEnsembleRegressor(MLPRegressor((8,), loss="quantile", quantile=(0.1, 0.9)), random_state=0).fit(X, y)
    assert len(model.weights_) > 1
    np.testing.assert_array_equal(model.weights_, 1.0 / len(model.weights_))
    assert model.predict(X).shape == (300, 2)


# ---------------------------------------------------------------------------------- mistakes ----


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"estimator": MLPRegressor(weight_decay=0.1)}, "leave the estimator's weight_decay='auto'"),
        ({"estimator": MLPRegressor(solver="lbfgs")}, "set blend=False"),
        ({"blend": False}, "fit the estimator itself"),
        ({"n_folds": 1, "oob_score": True}, "n_folds"),
        ({"n_folds": 500, "oob_score": True}, "n_folds=500 needs as many rows, but n_samples=240"),
        ({"estimator": MLPRegressor(loss="quantile"), "oob_score": True}, "one prediction for each target"),
        ({"estimator": MLPRegressor(dropout=2.0)}, "dropout"),
    ],
)
def test_parameters_that_make_no_ensemble(params, message):
    with pytest.raises(ValueError, match=message):
        MLPEnsembleRegressor(**params).fit(*waves(240))


def test_estimators_of_others():
    with pytest.raises(TypeError, match="takes an MLPRegressor"):
        MLPEnsembleRegressor(MLPSoftmaxClassifier()).fit(*waves(240))
    with pytest.raises(TypeError, match=r"Write MLPRegressor\(\), with parentheses"):
        MLPEnsembleRegressor(MLPRegressor).fit(*waves(240))


def test_classes_of_too_few_rows():
    X, _ = waves(15)
    with pytest.raises(ValueError, match="n_folds=10 needs as many rows in classes of two rows or more"):
        MLPEnsembleClassifier(blend=False, oob_score=True).fit(X, [*["a"] * 9, *map(str, range(6))])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, r"part of the rows \(one of 5\) held out .*, so none is left to train on"),
        (FOLDS, "one fold of n_folds=3, so none is left to train on"),
    ],
)
def test_a_single_row_of_positive_weight(params, message):
    X, y = waves()
    messages = []
    for row in range(8):
        try:
            MLPEnsembleRegressor(MLPRegressor((3,), max_iter=2), random_state=0, **params).fit(X, y, np.eye(400)[row])
        except ValueError as error:
            messages.append(str(error))
    assert messages
    assert len(messages) == 8 or not params  # in folds it is left out once
    for said in messages:
        assert re.search(f"All rows of positive weight are in (the )?{message}", said)


def test_rows_on_the_disk(tmp_path):
    X, y = waves(240)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    with pytest.raises(ValueError, match="takes rows in memory"):
        make(MLPEnsembleRegressor).fit(Shards([tmp_path / "X.npy"], [tmp_path / "y.npy"]), None)


def test_intervals_that_cannot_be_had():
    X, y = waves(240)
    model = make(MLPEnsembleRegressor).fit(X, y)
    with pytest.raises(ValueError, match="fit with oob_score=True"):
        model.predict(X, interval=0.9)
    model = make(MLPEnsembleRegressor, **FOLDS).fit(X, y)
    for interval in (0.0, 1.0, 90, "0.9"):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            model.predict(X, interval=interval)
    with pytest.raises(ValueError, match="needs residuals of 399 rows of equal weight or more, but there are 240"):
        model.predict(X, interval=0.995)


def test_an_error_leaves_the_earlier_fit():
    X, y = waves(240)
    model = make(MLPEnsembleRegressor, **FOLDS).fit(X, y)
    before = model.predict(X, interval=0.8)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), y)
    np.testing.assert_array_equal(model.predict(X, interval=0.8)[1], before[1])
    model.set_params(oob_score=False, blend=True).fit(X, y)
    assert not hasattr(model, "oob_score_")


class Interrupting:
    """A scorer that presses Ctrl-C when it is called for the nth time."""

    def __init__(self, n):
        self.n = n

    def __deepcopy__(self, memo):
        return self  # every network's clone has this one

    def __call__(self, estimator, X, y):
        self.n -= 1
        if self.n == 0:
            raise KeyboardInterrupt
        return 0.0


@pytest.mark.parametrize("nth", [2, 30])  # in the first network, and in a later one
def test_ctrl_c_leaves_what_was_trained(nth):
    X, y = waves(240)
    base = MLPRegressor((8,), early_stopping=True, scoring=Interrupting(nth), n_iter_no_change=20, weight_decay=0.1)
    model = MLPEnsembleRegressor(base, **FOLDS)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert len(model.estimators_) == 1
    assert (model.estimators_[0].n_iter_ < 10) == (nth == 2)  # none that is half trained, if there is another
    assert np.isfinite(model.predict(X)).all()
    with pytest.raises(ValueError, match="oob_score=True"):
        model.predict(X, interval=0.9)


# --------------------------------------------------------------------------------- pipelines ----


def frame(n=300):
    X, y = waves(n)
    table = pd.DataFrame(X, columns=["x", "noise"])
    table["kind"] = np.where(y > 0.0, "up", "down")
    table.loc[::7, "x"] = np.nan
    return table, y


def test_effort_and_out_of_fold_in_a_pipeline():
    table, y = frame()
    best = tabular_pipeline("regressor", effort="best", random_state=0, hidden_layer_sizes=(16,)).fit(table, y)
    assert isinstance(best[-1], MLPEnsembleRegressor)
    assert best[-1].blend
    assert best.get_params()["mlp__estimator__hidden_layer_sizes"] == (16,)
    folds = tabular_pipeline("regressor", oob_score=True, random_state=0, hidden_layer_sizes=(16,))
    folds.set_params(mlp__n_folds=3).fit(table, y)
    assert not folds[-1].blend
    prediction, bounds = folds.predict(table, interval=0.9)
    assert bounds.shape == (300, 2)
    assert ((bounds[:, 0] <= prediction) & (prediction <= bounds[:, 1])).all()
    labels = tabular_pipeline(effort="best", random_state=0, hidden_layer_sizes=(16,))
    assert cross_val_score(labels, table, table["kind"], cv=2).mean() > 0.9


def test_quick_is_a_smaller_network():
    quick, default = (tabular_pipeline(effort=effort)[-1] for effort in ("quick", "default"))
    assert quick.hidden_layer_sizes < default.hidden_layer_sizes
    assert tabular_pipeline(effort="quick", hidden_layer_sizes=(7,))[-1].hidden_layer_sizes == (7,)


def test_efforts_of_others():
    with pytest.raises(ValueError, match=r"effort must be one of \['quick', 'default', 'best'\]; got 'high'"):
        tabular_pipeline(effort="high")
    for params in ({"effort": "best"}, {"oob_score": True}):
        with pytest.raises(ValueError, match=rf"got also \['{next(iter(params))}'\]"):
            tabular_pipeline(MLPRegressor(), **params)
    with pytest.raises(ValueError, match="oob_score must be True or False"):
        tabular_pipeline(oob_score="no")


def test_wrappers_of_others_get_numbers():
    table, y = frame(120)
    inside = MLPRegressor((8,), numeric_encoder="piecewise_linear")
    pipeline = tabular_pipeline(BaggingRegressor(inside, n_estimators=2, random_state=0)).fit(table, y)
    assert list(pipeline.named_steps) == ["table", "encoder", "mlp"]
    assert np.isfinite(pipeline.predict(table)).all()


def test_numbers_as_texts_are_targets_too():
    X, y = waves(240)
    texts = y.round(3).astype(str)
    model = make(MLPEnsembleRegressor, **FOLDS).fit(X, texts)
    np.testing.assert_array_equal(model.predict(X), make(MLPEnsembleRegressor, **FOLDS).fit(X, y.round(3)).predict(X))


@pytest.mark.parametrize(
    "wrong", [{"learning_rate": 0.01}, {"solver": "adm"}, {"activation": "rel"}, {"weight_decay": "x"}]
)
def test_wrong_parameters_of_the_networks_are_named(wrong):
    X = np.random.default_rng(0).normal(size=(60, 3))
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MLPEnsembleRegressor(MLPRegressor(**wrong)).fit(X, X[:, 0])


# ------------------------------------------------------------------------- lines and warnings ----


def test_each_line_says_which_network_it_is_of(capsys):
    X, y = waves(300)
    base = MLPRegressor((8,), max_iter=2, verbose=1)
    model = MLPEnsembleRegressor(base, blend=False, oob_score=True, n_folds=2, random_state=0).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("selection of weight_decay")
    for fold, network in enumerate(model.estimators_, 1):
        for epoch, loss in enumerate(network.loss_curve_, 1):
            start = f"fold {fold} of 2, network 1 of 1: epoch     {epoch}  loss {loss:.6f}"
            assert [line.startswith(start) for line in lines].count(True) == 1
    model = MLPEnsembleRegressor(base, random_state=0).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    n = len(model.estimators_)
    for number, network in enumerate(model.estimators_, 1):
        start = f"network {number} of {n}: epoch     2  loss {network.loss_curve_[-1]:.6f}"
        assert [line.startswith(start) for line in lines].count(True) == 1
    assert any(line.startswith("small network 1 of ") for line in lines)
    base.fit(X, y)
    assert "network 1" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("scale", "params", "message"),
    [
        (1.0, {"momentum": 0.5}, "momentum=0.5 has no effect"),
        (1e5, {}, "Features differ in scale"),
        (1.0, {"learning_rate": "constant", "weight_decay": 0.5}, "before it converged"),
    ],
)
def test_what_all_networks_warn_of_comes_once(scale, params, message):
    X, y = waves(300)
    model = MLPEnsembleRegressor(MLPRegressor((8,), max_iter=2, **params), random_state=0, **FOLDS)
    for _ in range(2):  # and again in the next fit
        with pytest.warns(Warning, match=message) as caught:
            model.fit(X * [1.0, scale], y)
        assert len(caught) == 1


def test_what_networks_warn_of_comes_once_for_each_column():
    X, y = waves(300)
    days = pd.date_range("2024-01-01", periods=300).strftime("%Y-%m-%d")
    X = pd.DataFrame({"date1": days, "date2": days, "size": X[:, 0]})
    network = MLPRegressor((8,), numeric_encoder="piecewise_linear", max_iter=2)
    with pytest.warns(UserWarning, match="looks like dates") as caught:
        MLPEnsembleRegressor(network, random_state=0, **FOLDS).fit(X, y)
    assert [str(warning.message).partition(" looks")[0] for warning in caught] == ["Column 'date1'", "Column 'date2'"]
