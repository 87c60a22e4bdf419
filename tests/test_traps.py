"""One test for each behaviour of scikit-learn's MLP that this package must not have.

Named after the row of the migration table; T11 and T12 are in test_estimator.py, T15 and T16 in test_compiled.py.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.base import clone
from sklearn.datasets import make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from skbackprop import DivergenceError, MLPRegressor, MLPSoftmaxClassifier
from skbackprop.inspection import check_gradients

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_t1_gradient_is_that_of_the_reported_loss_for_several_outputs(rng):
    X, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 5))
    model = MLPRegressor((6,), "tanh", scale_target=False, alpha=0.0, random_state=0, batch_size=30)
    # J of check_gradients is the objective whose value loss_curve_ reports
    assert check_gradients(model, X, y) < 1e-6
    model.set_params(max_iter=1, learning_rate_init=1e-12).fit(X, y)
    reported = 0.5 * ((model.predict(X) - y) ** 2).sum(axis=1).mean()  # summed over outputs, not averaged
    assert_allclose(model.loss_curve_[0], reported, rtol=1e-9)


def test_t2_validation_split_is_stratified_for_several_classes(rng):
    y = np.repeat([0, 1, 2, 3], [60, 30, 9, 1])
    X = rng.normal(size=(100, 2)) + y[:, None]
    seen = []

    def scorer(model, X_val, y_val):
        seen.append(np.bincount(y_val, minlength=4))
        return 0.0

    MLPSoftmaxClassifier(early_stopping=True, validation_fraction=0.2, scoring=scorer, max_iter=1, random_state=0).fit(
        X, y
    )
    assert seen[0].tolist() == [12, 6, 2, 0]  # the class with one row stays in training


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_t3_warm_start_with_early_stopping_returns_the_best_weights(scoring, digits):
    X, y = digits[0][:500], digits[1][:500]
    X_val, y_val = digits[0][500:700], digits[1][500:700]
    model = MLPSoftmaxClassifier(
        (20,), early_stopping=True, warm_start=True, scoring=scoring, n_iter_no_change=5,
        learning_rate_init=0.03, epochs=30, tol=0.0, random_state=0,
    )  # fmt: skip
    for _ in range(2):
        model.fit(X, y, X_val=X_val, y_val=y_val)
        score = -log_loss(y_val, model.predict_proba(X_val)) if scoring is None else model.score(X_val, y_val)
        assert_allclose(score, max(model.validation_scores_), rtol=1e-12)
        if scoring is None:  # accuracies tie
            assert model.validation_scores_[-1] < max(model.validation_scores_)  # the last were not the best
        assert model.validation_scores_[model.best_iter_ - 1] == max(model.validation_scores_)


def test_t4_a_warm_fit_on_new_data_has_patience_of_its_own(digits):
    X, y = digits
    model = MLPSoftmaxClassifier(
        warm_start=True, max_iter=60, random_state=0, n_iter_no_change=5, tol=1e-3, learning_rate="constant"
    )
    model.fit(X[:600], y[:600])
    easy = model.loss_
    rng = np.random.default_rng(0)
    hard = rng.permutation(y[600:1200])  # noise: its loss starts far above that of the first fit
    model.fit(X[600:1200], hard)
    assert model.n_iter_ > 20
    assert len(model.loss_curve_) == model.n_iter_
    assert model.loss_curve_[0] > 10 * easy
    assert model.loss_ < model.loss_curve_[0] / 2


@pytest.mark.slow
def test_t5_alpha_means_the_same_at_every_batch_size(digits):
    X, y = digits
    scores = []
    for batch_size, epochs in ((10, 12), (200, 60), (len(X), 300)):
        model = MLPSoftmaxClassifier(
            alpha=100.0, batch_size=batch_size, max_iter=epochs, learning_rate="cosine",
            learning_rate_init=0.005, random_state=0, weight_decay=0.0,
        )  # fmt: skip
        scores.append(model.fit(X, y).score(X, y))
    assert max(scores) - min(scores) < 0.03
    assert min(scores) > 0.9


def test_t5_loss_curve_is_without_the_penalty(digits):
    X, y = digits[0][:200], digits[1][:200]
    model = MLPSoftmaxClassifier(
        alpha=1000.0, batch_size=200, max_iter=1, learning_rate_init=1e-12, weight_decay=0.0, random_state=0
    )
    model.fit(X, y)
    assert_allclose(model.loss_curve_[0], log_loss(y, model.predict_proba(X)), rtol=1e-9)


def test_t6_weights_are_normalised_once_over_the_training_set(rng):
    """With sgd one epoch of tiny steps moves the weights by the gradient of the whole weighted objective."""
    X, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    w = np.where(np.arange(60) < 30, 0.01, 5.0)  # batches of very different weight
    moves = []
    for batch_size in (10, 60):
        rate = 1e-7 * batch_size / 60  # a smaller batch makes more steps
        model = MLPRegressor(
            (4,), "tanh", solver="sgd", momentum=0.0, nesterovs_momentum=False, learning_rate_init=rate,
            learning_rate="constant",
            batch_size=batch_size, shuffle=False, max_iter=1, initializer="glorot_uniform", random_state=0,
        )  # fmt: skip
        model.fit(X, y, w)
        start = clone(model).set_params(learning_rate_init=1e-300).fit(X, y, w)
        moves.append((model.coefs_[0] - start.coefs_[0]) / 1e-7)
    assert_allclose(moves[0], moves[1], rtol=1e-4, atol=1e-6)  # first order in the rate


def test_t6_a_minibatch_of_zero_weights_makes_a_step_without_data(rng):
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    w = np.where(np.arange(20) < 10, 0.0, 1.0)
    params = {"batch_size": 10, "shuffle": False, "max_iter": 3, "random_state": 0, "alpha": 0.0}
    model = MLPRegressor((4,), **params).fit(X, y, w)
    assert np.isfinite(model.predict(X)).all()
    other = X.copy()
    other[:10] = 100.0
    assert_allclose(MLPRegressor((4,), **params).fit(other, y, w).predict(X), model.predict(X), rtol=1e-12)


def test_t7_targets_far_from_zero_are_learned():
    X, y = make_regression(400, 5, noise=1.0, random_state=0)
    for shift, unit in ((5000.0, 1.0), (0.0, 1e-6), (-3e6, 1e3)):
        model = MLPRegressor(learning_rate_init=0.01, max_iter=60, random_state=0)
        assert model.fit(X, shift + unit * y).score(X, shift + unit * y) > 0.98


def test_t7_tol_is_relative_to_the_loss_of_the_best_constant():
    X, y = make_regression(200, 5, noise=1.0, random_state=0)
    small, large = (
        MLPRegressor(tol=0.01, max_iter=500, learning_rate="constant", random_state=0).fit(X, unit * y).n_iter_
        for unit in (1e-4, 1e4)
    )
    assert small == large


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_t8_schedules_act_on_every_solver_and_count_steps(solver, digits):
    X, y = digits[0][:400], np.eye(10)[digits[1][:400]]
    rate, power_t, n_steps = 0.05, 0.7, 8  # 4 minibatches an epoch
    plain = {"momentum": 0.0, "nesterovs_momentum": False} if solver == "sgd" else {}
    model = MLPSoftmaxClassifier(
        (), solver=solver, learning_rate="invscaling", learning_rate_init=rate, power_t=power_t, batch_size=100,
        max_iter=2, shuffle=False, alpha=0.0, random_state=0, **plain,
    ).fit(X, digits[1][:400])  # fmt: skip
    start = clone(model).set_params(learning_rate_init=1e-300).fit(X, digits[1][:400])
    W, b = start.coefs_[0].copy(), start.intercepts_[0].copy()
    m = v = 0.0
    for t in range(n_steps):
        rows = slice(t % 4 * 100, t % 4 * 100 + 100)
        p = softmax(X[rows] @ W + b, axis=1)
        delta = (p - y[rows]) / 100
        g = np.vstack([delta.sum(axis=0), X[rows].T @ delta])
        if solver == "adam":
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            g = m / (1 - 0.9 ** (t + 1)) / (np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8)
        step = rate / (t + 1) ** power_t * g
        W, b = W - step[1:], b - step[0]
    assert_allclose(model.coefs_[0], W, atol=1e-12)
    assert_allclose(model.intercepts_[0], b, atol=1e-12)


@pytest.mark.parametrize("n_iter_no_change", [1, 3, 10])
def test_t9_patience_ends_after_exactly_n_iter_no_change_epochs(n_iter_no_change, digits):
    X, y = digits[0][:100], digits[1][:100]
    model = MLPSoftmaxClassifier(tol=1e9, n_iter_no_change=n_iter_no_change, max_iter=50, random_state=0).fit(X, y)
    assert model.n_iter_ == 1 + n_iter_no_change  # the first epoch improves on nothing
    scores = iter([0.1, 0.2, 0.5, *[0.4] * 50])
    model.set_params(tol=0.0, early_stopping=True, scoring=lambda model, X, y: next(scores))
    assert model.fit(X, y).n_iter_ == 3 + n_iter_no_change
    assert model.best_iter_ == 3


def test_t10_predict_log_proba_is_finite_where_softmax_is_zero():
    X, y = np.array([[-1.0], [1.0]]), np.array([0, 1])
    model = MLPSoftmaxClassifier((), solver="lbfgs", alpha=0.0, random_state=0).fit(X, y)
    model.coefs_ = [np.array([[-1000.0, 1000.0]])]
    model.intercepts_ = [np.zeros(2)]
    assert_allclose(model.predict_log_proba(X), [[0.0, -2000.0], [-2000.0, 0.0]], atol=0)
    p = model.predict_proba(np.array([[-0.9], [-0.8]]))
    assert (p > 0).all()
    assert p[0, 1] < p[1, 1] < 1e-307  # order survives below the smallest normal number


def test_t13_divergence_is_noticed_in_its_epoch_and_keeps_the_last_finite_model(digits):
    X, y = digits
    earlier = MLPSoftmaxClassifier(max_iter=2, random_state=0).fit(X, y)
    before = earlier.predict_proba(X)
    earlier.set_params(solver="sgd", learning_rate_init=1e200, learning_rate="constant", max_iter=50)
    with pytest.raises(DivergenceError, match=r"epoch 1 .*1e\+200.*learning rate is too high") as caught:
        earlier.fit(X, y)
    assert np.array_equal(earlier.predict_proba(X), before)
    assert np.isfinite(caught.value.estimator.predict_proba(X)).all()


def test_t13_divergence_names_unscaled_features(rng):
    X = 1e150 * rng.normal(size=(50, 3))
    told = pytest.warns(UserWarning, match="Column . has a large scale")
    with told, pytest.raises(DivergenceError, match="StandardScaler"):
        MLPRegressor(solver="sgd").fit(X, rng.normal(size=50))


def test_t14_hidden_layer_sizes_is_the_first_parameter(diabetes):
    assert MLPRegressor((7,)).hidden_layer_sizes == (7,)
    assert MLPSoftmaxClassifier((7,), "tanh").activation == "tanh"
    model = MLPRegressor((7, 5), max_iter=2).fit(*diabetes)
    assert [W.shape for W in model.coefs_] == [(10, 7), (7, 5), (5, 1)]


def test_no_convergence_warning_names_its_numbers(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning, match="max_iter=2 epochs"):
            MLPSoftmaxClassifier(max_iter=2, learning_rate="constant").fit(*digits)
        MLPSoftmaxClassifier(max_iter=2, random_state=0).fit(*digits)  # planned to end there
