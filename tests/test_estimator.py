"""What both estimators share: fit, partial_fit, warm starts, stopping, weights, warnings, prediction."""

import copy
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import DivergenceError, MLPRegressor, MLPSoftmaxClassifier
from skbackprop._nn.optimizers import OPTIMIZERS

PLANNED = {"learning_rate": "cosine", "random_state": 0}
SOLVERS = [*OPTIMIZERS, "lbfgs"]


def planned(cls, **params):
    return cls(**{**PLANNED, "max_iter": 5, **params})


# -------------------------------------------------------------------------------- training ----


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_solver_learns_real_data(solver, digits, diabetes):
    rate = {"sgd": 0.05, "lion": 0.002}.get(solver, 0.002)
    schedule = "auto" if solver == "lbfgs" else "cosine"
    params = {"solver": solver, "learning_rate": schedule, "random_state": 0}
    params |= {} if solver == "lbfgs" else {"learning_rate_init": rate}
    X, y = digits
    model = MLPSoftmaxClassifier((50,), max_iter=30, **params).fit(X[:1300], y[:1300])
    assert model.score(X[1300:], y[1300:]) > 0.88
    X, y = diabetes
    if solver == "sgd":
        params["learning_rate_init"] = 0.01
    model = MLPRegressor((20,), alpha=10.0, max_iter=40, **params).fit(X[:350], y[:350])
    assert model.score(X[350:], y[350:]) > 0.4


@pytest.mark.parametrize(
    "schedule", ["constant", "invscaling", "adaptive", "cosine", "warmup_cosine", "onecycle", "coslog4"]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_every_schedule_learns_with_every_kind_of_solver(schedule, solver, digits):
    X, y = digits[0][:400], digits[1][:400]
    rate = 0.1 if solver == "sgd" else 0.01
    model = MLPSoftmaxClassifier(
        (30,), solver=solver, learning_rate=schedule, learning_rate_init=rate, max_iter=40, random_state=0,
        power_t=0.25 if schedule == "invscaling" else 0.5, batch_size=50,
    )  # fmt: skip
    assert model.fit(X, y).score(X, y) > 0.98


def test_adaptive_divides_the_rate_at_each_plateau(digits, capsys):
    X, y = digits[0][:100], digits[1][:100]
    model = MLPSoftmaxClassifier(
        learning_rate="adaptive",
        tol=1e9,
        n_iter_no_change=2,
        max_iter=50,
        verbose=True,
        learning_rate_init=0.001,
        random_state=0,
    ).fit(X, y)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    rates = [float(line.split("rate")[1].split()[0]) for line in lines]
    # the first epoch improves on nothing, then every second one ends a plateau
    assert_allclose(rates[:7], [1e-3, 1e-3, 1e-3, 2e-4, 2e-4, 4e-5, 4e-5])
    assert rates[-1] < 1e-6
    assert model.n_iter_ == 1 + 2 * (1 + 5)  # 1e-3 / 5^5 is below 1e-6


def test_lbfgs_finds_the_minimum_of_a_convex_problem(digits):
    """Without hidden layers J is convex: scikit-learn's logistic regression has the same minimum."""
    from sklearn.linear_model import LogisticRegression

    X, y = digits[0][:600], digits[1][:600]
    ours = MLPSoftmaxClassifier((), solver="lbfgs", alpha=10.0, tol=1e-7, max_iter=2000, random_state=0).fit(X, y)
    theirs = LogisticRegression(C=1 / 10.0, tol=1e-7, max_iter=2000).fit(X, y)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-3)  # their stopping rule


def test_lbfgs_linear_regression_is_ridge(diabetes):
    from sklearn.linear_model import Ridge

    X, y = diabetes
    ours = MLPRegressor((), solver="lbfgs", alpha=30.0, tol=1e-9, max_iter=2000, random_state=0).fit(X, y)
    assert_allclose(ours.predict(X), Ridge(30.0).fit(X, y).predict(X), rtol=1e-4)


def test_lbfgs_says_why_it_stopped(digits):
    with pytest.warns(ConvergenceWarning, match="L-BFGS stopped after 3 iterations"):
        model = MLPSoftmaxClassifier(solver="lbfgs", max_iter=3, random_state=0).fit(*digits)
    assert model.n_iter_ == len(model.loss_curve_) == 3
    assert_allclose(model.loss_, log_loss(digits[1], model.predict_proba(digits[0])), rtol=1e-6)


def test_loss_curve_is_the_mean_loss_before_each_step(digits):
    X, y = digits[0][:300], digits[1][:300]
    model = planned(MLPSoftmaxClassifier, max_iter=3, learning_rate_init=1e-12, batch_size=64).fit(X, y)
    assert_allclose(model.loss_curve_, log_loss(y, model.predict_proba(X)), rtol=1e-8)
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.loss_ == model.loss_curve_[-1]


def test_fitted_attributes(digits):
    X, y = digits[0][:300], digits[1][:300]
    model = planned(MLPSoftmaxClassifier, hidden_layer_sizes=(20, 10), max_iter=4).fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 4
    assert model.t_ == 4 * 300
    assert (model.n_layers_, model.n_outputs_, model.out_activation_) == (4, 10, "softmax")
    assert model.n_features_in_ == 64
    assert [b.shape for b in model.intercepts_] == [(20,), (10,), (10,)]
    assert model.validation_scores_ is model.validation_loss_curve_ is None


def test_random_state_makes_training_reproducible(digits):
    X, y = digits[0][:300], digits[1][:300]
    one, two = (planned(MLPSoftmaxClassifier, early_stopping=True).fit(X, y) for _ in range(2))
    assert_array_equal(one.coefs_[0], two.coefs_[0])
    other = planned(MLPSoftmaxClassifier, early_stopping=True, random_state=1).fit(X, y)
    assert (one.coefs_[0] != other.coefs_[0]).any()


def test_weight_decay_is_decoupled_and_spares_biases(digits):
    X, y = digits[0][:100], digits[1][:100]
    params = {"max_iter": 1, "batch_size": 100, "alpha": 0.0, "learning_rate": "constant", "learning_rate_init": 0.1,
              "tol": 0.0, "initializer": "he_normal", "random_state": 0}  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain = MLPSoftmaxClassifier((10,), **params).fit(X, y)
        decayed = MLPSoftmaxClassifier((10,), weight_decay=0.5, **params).fit(X, y)
        start = MLPSoftmaxClassifier((10,), **{**params, "learning_rate_init": 1e-300}).fit(X, y)
    assert_allclose(decayed.coefs_[0], plain.coefs_[0] - 0.1 * 0.5 * start.coefs_[0], rtol=1e-10)
    assert_allclose(decayed.intercepts_[0], plain.intercepts_[0], rtol=1e-12)


# ---------------------------------------------------------------------------- dtypes, inputs ----


@pytest.mark.parametrize("cls", [MLPSoftmaxClassifier, MLPRegressor])
def test_dtype_is_kept_or_forced(cls, digits):
    X, y = digits[0][:100], digits[1][:100]
    single = X.astype(np.float32)
    for given, dtype, expected in (
        (X, "auto", np.float64), (single, "auto", np.float32), (X.astype(int), "auto", np.float64),
        (X, "float32", np.float32), (single, "float64", np.float64),
    ):  # fmt: skip
        model = planned(cls, dtype=dtype).fit(given, y)
        assert model.coefs_[0].dtype == model.intercepts_[-1].dtype == expected
    model = planned(cls).fit(single, y)
    output = getattr(model, "predict_proba", model.predict)
    assert output(single).dtype == (np.float32 if cls is MLPSoftmaxClassifier else np.float64)
    assert output(X).dtype == np.float64
    assert_allclose(output(single), output(X), rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore:batch_size")
@pytest.mark.parametrize("cls", [MLPSoftmaxClassifier, MLPRegressor])
def test_float32_weights_equal_repeated_rows_to_rounding(cls, digits):
    X, y = digits[0][:60].astype(np.float32), digits[1][:60]
    times = np.arange(60) % 3
    params = {"hidden_layer_sizes": (100,), "learning_rate_init": 0.001, "batch_size": 400, "max_iter": 20}
    weighted = planned(cls, **params)
    weighted.fit(X, y, times)
    repeated = planned(cls, **params)
    repeated.fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    output = "predict_proba" if cls is MLPSoftmaxClassifier else "predict"
    # float32 carries 7 digits, and 20 steps of Adam enlarge the difference
    assert_allclose(getattr(weighted, output)(X), getattr(repeated, output)(X), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("cls", [MLPSoftmaxClassifier, MLPRegressor])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:batch_size")
def test_integer_weights_equal_repeated_rows(cls, solver, digits):
    X, y = digits[0][:60], digits[1][:60]
    times = np.arange(60) % 3
    params = {"solver": solver, "batch_size": "auto", "max_iter": 30, "random_state": 0}
    if cls is MLPSoftmaxClassifier:
        params["class_weight"] = "balanced"
    weighted = cls(**params).fit(X, y, times)
    repeated = cls(**params).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    # the same sums in another order
    assert_allclose(weighted.coefs_[0], repeated.coefs_[0], rtol=1e-5, atol=1e-7)
    assert_allclose(weighted.loss_, repeated.loss_, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("make", [sp.csr_array, sp.csc_array, sp.coo_matrix, sp.csr_matrix])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sparse_input_trains_as_dense(make, solver):
    X = sp.random(120, 15, density=0.3, random_state=0).toarray()
    y = (X.sum(axis=1) > np.median(X.sum(axis=1))).astype(int)
    params = {"solver": solver, "max_iter": 20, "random_state": 0, "batch_size": 32 if solver == "adam" else "auto"}
    dense = MLPSoftmaxClassifier((8,), **params).fit(X, y)
    sparse = MLPSoftmaxClassifier((8,), **params).fit(make(X), y)
    assert_allclose(sparse.predict_proba(make(X)), dense.predict_proba(X), rtol=1e-6)
    assert_allclose(sparse.predict_proba(X), dense.predict_proba(X), rtol=1e-6)


def test_wide_sparse_text_is_never_made_dense(monkeypatch):
    X = sp.csr_array(sp.random(300, 20_000, density=1e-3, random_state=0, dtype=np.float32))

    def refuse(self, *args, **kwargs):
        raise AssertionError(f"{self.shape} was made dense")

    monkeypatch.setattr(sp.csr_array, "toarray", refuse)
    monkeypatch.setattr(sp.csr_array, "todense", refuse)
    model = planned(MLPSoftmaxClassifier, hidden_layer_sizes=(3,), max_iter=2).fit(X, np.arange(300) % 2)
    assert model.predict(X).shape == (300,)


def test_data_frames_keep_their_names(diabetes):
    names = [f"f{i}" for i in range(10)]
    X, y = pd.DataFrame(diabetes[0], columns=names), pd.Series(diabetes[1])
    model = planned(MLPRegressor).fit(X, y)
    assert model.feature_names_in_.tolist() == names
    assert_array_equal(model.predict(X), planned(MLPRegressor).fit(*diabetes).predict(diabetes[0]))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[names[::-1]])
    stopped = planned(MLPRegressor, early_stopping=True, scoring="r2").fit(X, y, X_val=X, y_val=y)
    assert stopped.feature_names_in_.tolist() == names


def test_the_callers_arrays_are_not_written(digits):
    X, y, w = digits[0][:50].copy(), digits[1][:50].copy(), np.ones(50)
    for array in (X, y, w):
        array.flags.writeable = False
    planned(MLPSoftmaxClassifier, class_weight="balanced").fit(X, y, w)
    planned(MLPRegressor).fit(X, y, w)


def test_coefs_are_what_predict_reads(diabetes):
    X, y = diabetes
    model = planned(MLPRegressor).fit(X, y)
    model.coefs_[-1][:] = 0.0
    model.intercepts_[-1] = np.array([2.0])
    assert_allclose(model.predict(X), model.target_shift_[0] + 2.0 * model.target_scale_[0])


@pytest.mark.parametrize("rows", [1, 300])
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_every_change_of_coefs_takes_effect_between_predictions(engine, rows, digits):
    X, y = digits[0][:rows], digits[1][:300]
    model = planned(MLPSoftmaxClassifier, engine=engine).fit(digits[0][:300], y)
    first = model.decision_function(X)
    model.intercepts_[-1][3] += 1.0  # in place
    expected = first + np.eye(10)[3]
    assert_allclose(model.decision_function(X), expected, rtol=1e-10, atol=1e-12)
    model.intercepts_[-1] = model.intercepts_[-1] - np.eye(10)[3]  # another array
    assert_allclose(model.decision_function(X), first, rtol=1e-10, atol=1e-12)
    model.coefs_ = [2.0 * W for W in model.coefs_]  # another list
    assert not np.allclose(model.decision_function(X), first)
    copied = copy.deepcopy(model)
    assert_array_equal(copied.decision_function(X), model.decision_function(X))
    copied.coefs_[0][:] = 0.0
    assert not np.array_equal(copied.decision_function(X), model.decision_function(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_quick_way_of_prediction_refuses_what_the_careful_one_does(dtype, digits):
    X, y = digits[0][:100].astype(dtype), digits[1][:100]
    model = planned(MLPSoftmaxClassifier).fit(X, y)
    for value, message in ((np.nan, "contains NaN"), (np.inf, "contains infinity")):
        spoiled = X[:1].copy()
        spoiled[0, 5] = value
        with pytest.raises(ValueError, match=message):
            model.predict(spoiled)
    with pytest.raises(ValueError, match="expecting 64 features"):
        model.predict(X[:1, :60].copy())
    with pytest.raises(ValueError, match="0 sample"):
        model.predict(X[:0])
    huge = np.full((1, 64), np.finfo(dtype).max / 2, dtype=dtype)  # finite, but its sum is not
    with pytest.raises(ValueError, match="Predictions are not finite"):
        model.predict(huge)
    strided = np.asfortranarray(X)
    assert_array_equal(model.predict(strided), model.predict(X))
    assert_allclose(model.predict_proba(X[:1])[0], model.predict_proba(X)[0], rtol=0)
    assert_allclose(model.predict_proba(X[:1].tolist())[0], model.predict_proba(X)[0], rtol=1e-4)


def test_threads_may_predict_with_one_model_at_once(digits):
    from joblib import Parallel, delayed

    model = planned(MLPSoftmaxClassifier, hidden_layer_sizes=(300,)).fit(*digits)
    expected = model.predict_proba(digits[0])
    found = Parallel(4, backend="threading")(delayed(model.predict_proba)(digits[0]) for _ in range(20))
    assert all(np.array_equal(p, expected) for p in found)


# ------------------------------------------------------------- tools of scikit-learn, scripts ----


def test_pipeline_and_grid_search(digits):
    X, y = digits[0][:400], digits[1][:400]
    pipeline = make_pipeline(StandardScaler(), planned(MLPSoftmaxClassifier, max_iter=15, learning_rate_init=0.01))
    search = GridSearchCV(pipeline, {"mlpsoftmaxclassifier__hidden_layer_sizes": [(), (30,)]}, cv=3)
    assert search.fit(X, y).best_score_ > 0.8
    assert cross_val_score(planned(MLPRegressor), X, y, cv=2).shape == (2,)


def test_clone_and_copy(digits):
    model = planned(MLPSoftmaxClassifier, activation=["tanh", "relu"]).fit(*digits)
    assert clone(model).get_params() == model.get_params()
    assert not hasattr(clone(model), "coefs_")
    assert_array_equal(copy.deepcopy(model).predict_proba(digits[0]), model.predict_proba(digits[0]))


# --------------------------------------------------------------------- stopping, warm starts ----


def test_t11_own_validation_set_with_weights(digits):
    X, y = digits
    w = np.arange(300) % 2 + 0.5
    model = planned(MLPSoftmaxClassifier, early_stopping=True, max_iter=8)
    model.fit(X[:500], y[:500], X_val=X[500:800], y_val=y[500:800], sample_weight_val=w)
    loss = log_loss(y[500:800], model.predict_proba(X[500:800]), sample_weight=w)
    assert_allclose(loss, min(model.validation_loss_curve_), rtol=1e-10)
    assert_allclose(model.validation_scores_, np.negative(model.validation_loss_curve_))
    assert model.t_ == 8 * 500  # all training rows are trained on


def test_validation_set_without_early_stopping_is_only_watched(digits):
    X, y = digits[0][:300], digits[1][:300]
    watched = planned(MLPSoftmaxClassifier).fit(X, y, X_val=X[:50], y_val=y[:50])
    plain = planned(MLPSoftmaxClassifier).fit(X, y)
    assert_array_equal(watched.coefs_[0], plain.coefs_[0])
    assert len(watched.validation_loss_curve_) == 5


def test_early_stopping_with_lbfgs_restores_the_best(digits):
    X, y = digits
    model = MLPSoftmaxClassifier((20,), solver="lbfgs", early_stopping=True, n_iter_no_change=3, alpha=0.0,
                                 random_state=0)  # fmt: skip
    model.fit(X[:200], y[:200], X_val=X[200:600], y_val=y[200:600])
    assert model.n_iter_ < 200
    assert_allclose(-log_loss(y[200:600], model.predict_proba(X[200:600])), max(model.validation_scores_), rtol=1e-10)


@pytest.mark.parametrize("scoring", ["f1_macro", "neg_log_loss", "roc_auc_ovr"])
def test_t11_any_scorer_decides(scoring, digits):
    X, y = digits[0][:600], digits[1][:600]
    model = planned(MLPSoftmaxClassifier, early_stopping=True, scoring=scoring)
    model.fit(X[:400], y[:400], X_val=X[400:], y_val=y[400:])
    from sklearn.metrics import get_scorer

    assert_allclose(get_scorer(scoring)(model, X[400:], y[400:]), max(model.validation_scores_), rtol=1e-12)


def test_a_failing_scorer_changes_nothing(digits):
    X, y = digits[0][:100], digits[1][:100]
    model = planned(MLPSoftmaxClassifier).fit(X, y)
    before = model.predict_proba(X)

    def scorer(model, X, y):
        model.coefs_[0][:] = 0.0
        raise RuntimeError("scorer")

    model.set_params(early_stopping=True, scoring=scorer)
    with pytest.raises(RuntimeError, match="scorer"):
        model.fit(X, y)
    assert_array_equal(model.predict_proba(X), before)


def test_warm_start_keeps_weights_and_scaler_and_starts_all_else_anew(diabetes):
    X, y = diabetes
    model = planned(MLPRegressor, warm_start=True, max_iter=20).fit(X, y)
    shift, loss = model.target_shift_.copy(), model.loss_
    model.fit(X, y + 10.0)
    assert_array_equal(model.target_shift_, shift)
    assert model.n_iter_ == len(model.loss_curve_) == 20
    assert model.loss_curve_[0] < 1.2 * loss + 0.05  # it did not start from scratch


def test_warm_start_refuses_another_network(digits):
    X, y = digits[0][:100], digits[1][:100]
    model = planned(MLPSoftmaxClassifier, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        model.set_params(hidden_layer_sizes=(7,)).fit(X, y)
    with pytest.raises(ValueError, match="labels"):
        model.set_params(hidden_layer_sizes=(100, 100)).fit(X, y + 1)
    with pytest.raises(ValueError, match="64 features"):
        model.fit(X[:, :5], y)
    model = planned(MLPRegressor, warm_start=True).fit(X, y)
    model.set_params(loss="huber").fit(X, y)
    with pytest.raises(ValueError, match="trained with loss='huber'"):
        model.set_params(loss="poisson").fit(X, y)


def test_warm_start_follows_changed_parameters(digits):
    X, y = digits[0][:100], digits[1][:100]
    model = planned(MLPSoftmaxClassifier, hidden_layer_sizes=(9,), warm_start=True, learning_rate_init=1e-10)
    model.fit(X, y)
    model.set_params(activation="tanh", dropout=0.5).fit(X, y)
    hidden = np.tanh(X @ model.coefs_[0] + model.intercepts_[0])
    assert_allclose(hidden @ model.coefs_[1] + model.intercepts_[1], model.decision_function(X), atol=1e-12)
    assert model.loss_curve_[0] > 0


# ------------------------------------------------------------------------------- partial_fit ----


@pytest.mark.parametrize("solver", ["adam", "nadam", "rmsprop", "sgd", "lion"])
def test_partial_fit_on_all_rows_is_an_epoch_of_fit(solver, digits):
    X, y = digits[0][:300], digits[1][:300]
    params = {
        "solver": solver,
        "learning_rate": "constant",
        "shuffle": False,
        "max_iter": 4,
        "random_state": 0,
        "n_iter_no_change": np.inf,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole = MLPSoftmaxClassifier((20,), **params).fit(X, y)
    parts = MLPSoftmaxClassifier((20,), **params)
    for _ in range(4):
        parts.partial_fit(X, y)
    # the penalty's share falls as rows are counted again, and alpha is small
    assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-4)
    assert parts.n_iter_ == 4
    assert parts.t_ == 1200
    exact = [MLPSoftmaxClassifier((20,), **{**params, "alpha": 0.0}) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        exact[0].fit(X, y)
    for _ in range(4):
        exact[1].partial_fit(X, y)
    assert_array_equal(exact[0].coefs_[0], exact[1].coefs_[0])  # optimizer state is kept


def test_partial_fit_out_of_core_learns(digits):
    X, y = digits
    model = MLPSoftmaxClassifier((50,), learning_rate_init=0.003, random_state=0)
    for _ in range(15):
        for start in range(0, 1200, 400):
            model.partial_fit(X[start : start + 400], y[start : start + 400], classes=range(10))
    assert model.score(X[1200:], y[1200:]) > 0.88


def test_t12_partial_fit_counts_patience_restores_the_best_and_rests(digits):
    X, y = digits[0][:300], digits[1][:300]
    val = {"X_val": digits[0][300:400], "y_val": digits[1][300:400]}
    model = MLPSoftmaxClassifier((20,), early_stopping=True, n_iter_no_change=3, learning_rate_init=0.05, tol=0.0,
                                 random_state=0)  # fmt: skip

    def go_on():
        for _ in range(100):
            model.partial_fit(X, y, **val)

    with pytest.raises(UserWarning, match="changed nothing"):  # warnings are errors here
        go_on()
    assert model.n_iter_ == model.best_iter_ + 3
    loss = log_loss(val["y_val"], model.predict_proba(val["X_val"]))
    assert_allclose(-loss, max(model.validation_scores_), rtol=1e-10)
    model.fit(X, y, **val)  # fit starts anew
    model.partial_fit(X, y, **val)


def test_partial_fit_keeps_the_first_scaler(diabetes):
    X, y = diabetes
    model = MLPRegressor(random_state=0).partial_fit(X, y)
    shift = model.target_shift_.copy()
    model.partial_fit(X, y + 1000.0)
    assert_array_equal(model.target_shift_, shift)


def test_fit_then_partial_fit_goes_on(digits):
    X, y = digits[0][:300], digits[1][:300]
    model = planned(MLPSoftmaxClassifier, hidden_layer_sizes=(30,), max_iter=10, learning_rate="constant", tol=0.0)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    loss = model.loss_
    model.partial_fit(X, y)
    assert model.loss_ < loss
    assert model.n_iter_ == 11


# --------------------------------------------------------------------- interrupts, messages ----


def test_ctrl_c_keeps_the_model_trained_so_far(digits):
    X, y = digits[0][:300], digits[1][:300]
    calls = []

    def scorer(model, X_val, y_val):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return 0.0

    model = planned(MLPSoftmaxClassifier, max_iter=100, early_stopping=True, scoring=scorer)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert len(model.loss_curve_) == len(model.validation_scores_) == 3
    assert model.n_iter_ == 3
    assert model.predict(X).shape == (300,)


def test_parameters_without_effect_are_named_in_one_warning(diabetes):
    with pytest.warns(UserWarning, match="without effect|no effect") as caught:
        MLPRegressor((), solver="lbfgs", dropout=0.5, momentum=0.3, beta_1=0.8, random_state=0).fit(*diabetes)
    texts = [str(w.message) for w in caught if "no effect" in str(w.message)]
    assert len(texts) == 1
    for name in ("dropout=0.5", "momentum=0.3", "beta_1=0.8"):
        assert name in texts[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        planned(MLPRegressor, beta_1=0.8).fit(*diabetes)
    with pytest.warns(UserWarning, match="scoring='r2'"):
        planned(MLPRegressor, scoring="r2").fit(*diabetes)


def test_features_of_very_different_scales_bring_one_warning(rng):
    X, y = rng.normal(size=(3000, 4)), rng.normal(size=3000)
    X[:, 3] = 0.0  # an empty column is no small one
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        planned(MLPRegressor).fit(X * [1.0, 1.0, 50.0, 1.0], y)
        planned(MLPRegressor).fit(sp.csr_array(X * [1.0, 1.0, 1e4, 1.0]), y)
    with pytest.warns(UserWarning, match=r"column 2 has a range of .*e\+04, column \d of .*StandardScaler") as caught:
        planned(MLPRegressor).fit(X * [1.0, 1.0, 1e4, 1.0], y)
    assert len(caught) == 1


def test_verbose_prints_what_was_chosen_and_a_line_per_epoch(digits, capsys):
    model = planned(MLPSoftmaxClassifier, verbose=1, early_stopping=True, max_iter=3).fit(*digits)
    lines = capsys.readouterr().out.splitlines()
    assert re.match(
        r"selection of weight_decay, 3 epochs .* loss 0\.\d+ for 0\.05, 0\.\d+ for 0\.5, 0\.\d+ for 2$", lines[0]
    )
    decay = model.auto_params_["weight_decay"]
    assert lines[1] == f"weight_decay {decay:g} (of 0.05, 0.5, 2): lowest loss on 323 held-out rows"
    assert lines[2].startswith("auto_params_: learning_rate_init=0.01, batch_size=16, epochs=3, weight_decay=")
    losses = zip(model.loss_curve_, model.validation_loss_curve_, strict=True)
    for epoch, (line, (loss, validation_loss)) in enumerate(zip(lines[3:6], losses, strict=True), 1):
        assert line.startswith(f"epoch     {epoch}  loss {loss:.6f}  val loss {validation_loss:.6f}  rate ")
        assert "score" not in line
    best = min(model.validation_loss_curve_)
    assert lines[6:] == [f"the weights of epoch {model.best_iter_} are restored: lowest val loss, {best:.6f}"]


@pytest.mark.parametrize(
    ("scoring", "name"),
    [
        ("neg_log_loss", "neg_log_loss"),
        ("accuracy", "accuracy"),
        (make_scorer(accuracy_score), "accuracy_score"),
        (make_scorer(log_loss, greater_is_better=False, response_method="predict_proba"), "neg_log_loss"),
        (MLPSoftmaxClassifier.score, "score"),
    ],
)
def test_verbose_names_the_scorer(scoring, name, digits, capsys):
    model = MLPSoftmaxClassifier((8,), verbose=1, early_stopping=True, scoring=scoring, epochs=2, weight_decay=0.5)
    model.set_params(random_state=0).fit(*digits)
    out = capsys.readouterr().out
    for score in model.validation_scores_:
        assert f"  val {name} {score:.6f}  rate" in out
    assert f"are restored: highest val {name}, {max(model.validation_scores_):.6f}" in out


def test_verbose_without_a_selection(digits, capsys):
    X, y = digits[0][:100], digits[1][:100]
    MLPSoftmaxClassifier((8,), verbose=1, epochs=1, random_state=0).fit(X, y)
    assert capsys.readouterr().out.startswith("weight_decay 0.5: suits most data; too few rows to compare others\n")
    MLPSoftmaxClassifier((8,), verbose=1, random_state=0).partial_fit(X, y)
    assert re.fullmatch(r"epoch     1  loss .*\n", capsys.readouterr().out)


@pytest.mark.filterwarnings("ignore:Column . has a large scale")
def test_no_floating_point_warning_leaves_training(rng):
    """Overflow inside a diverging fit is reported once, by its error."""
    X, y = 1e5 * rng.normal(size=(50, 3)), rng.normal(size=50)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(DivergenceError):
            MLPRegressor(solver="sgd", learning_rate_init=1.0).fit(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cls", [MLPRegressor, MLPSoftmaxClassifier])
def test_the_penalty_of_epochs_of_partial_fit_is_that_of_fit(cls, weighted, rng):
    X = rng.normal(size=(120, 4))
    y = X[:, 0] + 0.1 * rng.normal(size=120) if cls is MLPRegressor else (X[:, 0] > 0).astype(int)
    w = rng.uniform(0.5, 2.0, size=120) if weighted else None
    params = {"alpha": 20.0, "shuffle": False, "random_state": 0, "batch_size": 40}
    whole = cls((6,), learning_rate="constant", max_iter=50, n_iter_no_change=np.inf, **params).fit(X, y, w)
    epochs, fading = cls((6,), **params), cls((6,), **params)
    for _ in range(50):
        epochs.partial_fit(X, y, w, total_samples=120)
        fading.partial_fit(X, y, w)
    assert_allclose(epochs.coefs_[0], whole.coefs_[0], rtol=1e-9, atol=1e-12)
    assert np.linalg.norm(fading.coefs_[0]) > 1.15 * np.linalg.norm(whole.coefs_[0])
    stream = cls((6,), **params)
    for rows in (slice(0, 40), slice(40, 80), slice(80, 120)):  # known from the first call on how many will come
        kwargs = {"classes": [0, 1]} if cls is MLPSoftmaxClassifier else {}
        stream.partial_fit(X[rows], y[rows], total_samples=120, **kwargs)
    once = cls((6,), learning_rate="constant", max_iter=1, n_iter_no_change=np.inf, **params)
    if cls is MLPSoftmaxClassifier:  # no scale to learn from the first rows
        assert_allclose(stream.coefs_[0], once.fit(X, y).coefs_[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("wrong", [0, 119, 120.0, True, "120", 2**63])
def test_total_samples_is_a_number_of_rows(wrong, rng):
    X = rng.normal(size=(120, 4))
    with pytest.raises(ValueError, match=r"total_samples must be .* at least the 120 rows of this call"):
        MLPRegressor((3,), random_state=0).partial_fit(X, X[:, 0], total_samples=wrong)


def test_a_first_call_that_tells_no_scale_warns(rng):
    X = rng.normal(size=(20, 4))
    model = MLPRegressor((3,), random_state=0)
    with pytest.warns(UserWarning, match=r"is a single row, so the scale stays 1\. Make the first call with"):
        clone(model).partial_fit(X[:1], X[:1, 0])
    with pytest.warns(UserWarning, match=r"has 20 rows of equal targets \(of the targets \[1\]\)"):
        clone(model).partial_fit(X, np.stack([X[:, 0], np.ones(20)], axis=1))
    with pytest.warns(UserWarning, match="has 3 rows of equal targets"):
        clone(model).partial_fit(X, (np.arange(20) > 2) * 1.0, (np.arange(20) > 16) * 1.0)
    clone(model).partial_fit(X, X[:, 0]).partial_fit(X[:1], X[:1, 0])  # a later one does not
    clone(model).set_params(scale_target=False).partial_fit(X[:1], X[:1, 0])
    clone(model).fit(X[:1], X[:1, 0])


@pytest.mark.parametrize("solver", ["sgd", "nadam", "rmsprop", "lion"])
def test_partial_fit_by_another_solver_begins_with_a_memory_of_its_own(solver):
    """As a new estimator with these weights would."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = X[:, 0]
    model = MLPRegressor((4,), batch_size=40, random_state=0).partial_fit(X, y)
    fresh = MLPRegressor((4,), batch_size=40, random_state=0, solver=solver).partial_fit(X, y)
    fresh._progress.forget_run()
    for ours, theirs in zip(fresh.coefs_ + fresh.intercepts_, model.coefs_ + model.intercepts_, strict=True):
        ours[...] = theirs
    for one in (model.set_params(solver=solver), fresh):
        one.partial_fit(X, y)
    assert_allclose(model.coefs_[0], fresh.coefs_[0], rtol=1e-12)  # rows in another order: rounding


class Fixed(MLPRegressor):
    """A user's subclass with fewer parameters."""

    def __init__(self, alpha=1e-4):
        super().__init__((5,), alpha=alpha, max_iter=2, random_state=0)


def test_subclasses_may_have_fewer_parameters(rng):
    X = rng.normal(size=(300, 3))
    expected = MLPRegressor((5,), alpha=0.5, max_iter=2, random_state=0).fit(X, X[:, 0])
    assert_array_equal(Fixed(0.5).fit(X, X[:, 0]).predict(X), expected.predict(X))
