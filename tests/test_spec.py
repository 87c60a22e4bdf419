"""What "auto" stands for."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from curves import curve
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._checks.constraints import fit_spec
from skbackprop._fit.block import Block
from skbackprop._fit.scales import gradient_limit, root_mean_squares
from skbackprop._fit.spec import REGIMES, UNKNOWN, FitPlan, planned_epochs, resolve_batch_size
from skbackprop._fit.state import Patience, TrainState
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.optimizers import OPTIMIZERS

SOLVERS = [*OPTIMIZERS, "lbfgs"]


def spec_of(model):
    return fit_spec(model)


def settle(model, n_rows, regime=UNKNOWN):
    return FitPlan.settle(spec_of(model), n_rows, regime)


@pytest.mark.parametrize(
    ("n_rows", "size"), [(1, 1), (64, 64), (65, 16), (2000, 16), (3600, 32), (10_000, 64), (20_000, 128), (10**6, 128)]
)
def test_batch_size_of_its_own_accord(n_rows, size):
    assert resolve_batch_size("auto", n_rows) == size


def test_batch_size_as_given():
    assert resolve_batch_size(32, 50) == 32
    assert resolve_batch_size(64, 50) == 50
    with pytest.warns(UserWarning, match="larger than the 20 training rows"):
        MLPRegressor((3,), batch_size=64, max_iter=1, random_state=0).fit(np.eye(20), np.arange(20))


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1024), (8, 128), (60, 18), (64, 16), (1000, 16)])
def test_a_plan_makes_enough_steps_of_few_rows_and_enough_epochs_of_many(steps, epochs):
    assert planned_epochs(steps) == epochs


def test_the_defaults_are_a_plan_of_one_cycle():
    plan = settle(MLPSoftmaxClassifier(), 10_000)
    assert (plan.learning_rate, plan.learning_rate_init) == ("onecycle", 0.01)
    assert (plan.batch_size, plan.max_iter, plan.stops) == (64, 16, False)
    assert plan.weight_decay == UNKNOWN.weight_decay
    clean = settle(MLPSoftmaxClassifier(), 10_000, regime=replace(REGIMES["clean"], length=1.5))
    assert (clean.weight_decay, clean.max_iter) == (0.05, 24)


def test_a_constant_rate_brings_scikit_learns_training():
    plan = settle(MLPRegressor(learning_rate="constant"), 10_000)
    assert (plan.learning_rate, plan.learning_rate_init, plan.max_iter) == ("constant", 0.001, 200)
    assert (plan.weight_decay, plan.dropout, plan.tol, plan.stops) == (0.0, 0.0, 1e-4, True)
    X, y = curve(300, 0.1)
    with pytest.warns(ConvergenceWarning, match="max_iter=3 epochs"):
        MLPRegressor(learning_rate="constant", max_iter=3, random_state=0).fit(X, y)
    MLPRegressor(learning_rate="constant", max_iter=3, n_iter_no_change=np.inf, random_state=0).fit(
        X, y
    )  # as asked: no warning


def test_a_stream_has_a_constant_rate_and_no_regime():
    X, y = curve(300, 0.1)
    model = MLPRegressor(random_state=0).partial_fit(X, y)
    assert model.auto_params_ == {
        "learning_rate": "constant",
        "learning_rate_init": 0.001,
        "batch_size": 16,
        "weight_decay": 0.0,
        "tol": 1e-4,
    }


@pytest.mark.parametrize("schedule", ["auto", "onecycle"])
def test_a_cycle_is_as_long_as_its_rows_need_within_max_iter(schedule):
    def length(n_rows, regime=UNKNOWN, **params):
        return settle(MLPRegressor(learning_rate=schedule, **params), n_rows, regime=regime).max_iter

    assert length(10_000, max_iter=1000) == 16
    assert length(10_000, max_iter=5) == 5
    assert length(50) == 200
    assert length(10_000, replace(UNKNOWN, length=1.5)) == 24
    assert length(10_000, replace(UNKNOWN, length=0.01)) == 1
    assert length(10_000, replace(UNKNOWN, length=1.5), epochs=7) == 7
    assert length(10_000, epochs=300, max_iter=1000) == 300
    assert length(10_000, epochs=300) == 200


def test_other_plans_take_all_of_max_iter_unless_told_otherwise():
    assert settle(MLPRegressor(learning_rate="cosine"), 10_000, regime=replace(UNKNOWN, length=0.5)).max_iter == 200
    assert settle(MLPRegressor(learning_rate="cosine", epochs=9), 10_000).max_iter == 9


def test_epochs_that_do_nothing_are_named():
    X, y = curve(50, 0.1)
    with pytest.warns(UserWarning, match="epochs=9 has no effect above max_iter=2"):
        assert MLPRegressor((3,), epochs=9, max_iter=2, random_state=0).fit(X, y).n_iter_ == 2
    with pytest.warns(UserWarning, match="epochs=9 has no effect without a planned schedule"):
        MLPRegressor((3,), learning_rate="constant", epochs=9, max_iter=2, n_iter_no_change=np.inf, random_state=0).fit(
            X, y
        )
    with pytest.warns(UserWarning, match="epochs=9 has no effect with solver='lbfgs'"):
        MLPRegressor((), solver="lbfgs", alpha=1.0, epochs=9, random_state=0).fit(X, y)


LEFT_OPEN = {
    "defaults": {},
    "dropout": {"dropout": "auto"},
    "limited": {"max_iter": 5},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 5},
    "tol": {"tol": 0.001},
    "cosine": {"learning_rate": "cosine", "max_iter": 10},
    "constant": {"learning_rate": "constant", "max_iter": 30, "n_iter_no_change": 3},
    "sgd": {"solver": "sgd"},
    "lion": {"solver": "lion"},
    "lbfgs": {"solver": "lbfgs", "alpha": 1.0},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("noise", [0.0, pytest.param(3.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("params", LEFT_OPEN.values(), ids=LEFT_OPEN)
def test_what_auto_stood_for_can_be_given_back(params, noise):
    """All of it brings the same bits; one value, too, but for dropout, with which the selection's networks train."""
    X, y = curve(300, noise)
    model = MLPRegressor((20,), random_state=0, **params).fit(X, y)
    found = model.auto_params_
    again = clone(model).set_params(**found).fit(X, y)
    assert again.auto_params_ == {}
    assert again.loss_curve_ == model.loss_curve_
    assert_array_equal(again.coefs_[0], model.coefs_[0])
    for name in found.keys() - {"dropout"}:
        one = clone(model).set_params(**{name: found[name]}).fit(X, y)
        assert one.auto_params_ | {name: found[name]} == found
        assert one.loss_curve_ == model.loss_curve_
        assert one.learning_rate_curve_ == model.learning_rate_curve_


def test_lbfgs_has_scikit_learns_limits():
    plan = settle(MLPRegressor(solver="lbfgs"), 10_000)
    assert (plan.max_iter, plan.tol, plan.batch_size) == (200, 1e-4, 10_000)
    assert plan.found(spec_of(MLPRegressor(solver="lbfgs"))) == {"tol": 1e-4}


def test_what_is_given_is_kept():
    model = MLPRegressor(
        learning_rate="cosine", learning_rate_init=0.1, batch_size=50, max_iter=7, weight_decay=0.3, tol=0.5,
        dropout=0.2,
    )  # fmt: skip
    plan = settle(model, 10_000, regime=REGIMES["clean"])
    assert (plan.learning_rate, plan.learning_rate_init, plan.max_iter) == ("cosine", 0.1, 7)
    assert (plan.batch_size, plan.weight_decay, plan.dropout, plan.tol) == (50, 0.3, 0.2, 0.5)
    assert plan.stops  # tol was asked for
    assert plan.found(spec_of(model)) == {"epochs": 7}


def test_tol_acts_on_a_plan_only_when_asked_for():
    X, y = curve(300, 2.0)
    assert MLPRegressor(epochs=30, random_state=0).fit(X, y).n_iter_ == 30
    assert MLPRegressor(epochs=30, tol=0.5, random_state=0).fit(X, y).n_iter_ < 30
    with pytest.warns(UserWarning, match="n_iter_no_change=3 has no effect"):
        MLPRegressor(max_iter=4, n_iter_no_change=3, random_state=0).fit(X, y)


def test_plan_of_rates():
    plan = settle(MLPRegressor(learning_rate="invscaling", learning_rate_init=0.1), 10)
    state = TrainState(None, patience=Patience(10, 0.0))
    assert_allclose(plan.rates(np.array([0, 3]), state), [0.1, 0.05])
    assert not plan.goes_on_after_plateau(state)
    plan = settle(MLPRegressor(learning_rate="adaptive", learning_rate_init=1.0), 10)
    assert plan.goes_on_after_plateau(state)
    assert_allclose(plan.rates(np.array([0]), state), 0.2)


# ------------------------------------------------------------------------- long gradients ----


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["auto", "constant", "invscaling", "adaptive", "cosine", "coslog4"])
@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Column . has a large scale")
def test_sgd_learns_from_unscaled_features(size, schedule, diabetes):
    X, y = size * diabetes[0], diabetes[1]
    model = MLPRegressor((20,), solver="sgd", learning_rate=schedule, max_iter=60, random_state=0).fit(X, y)
    assert model.auto_params_["max_grad_norm"] <= 1.0
    assert model.score(X, y) > 0.3  # without the limit it diverges
    labels = y > np.median(y)
    classifier = MLPSoftmaxClassifier((20,), solver="sgd", learning_rate=schedule, max_iter=60, random_state=0)
    assert classifier.fit(X, labels).score(X, labels) > 0.65


@pytest.mark.parametrize("schedule", ["auto", "constant", "invscaling", "adaptive"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Features differ in scale")
@pytest.mark.filterwarnings("ignore:Column . is far from zero")
def test_sgd_stays_finite_on_features_far_from_zero_and_on_outliers(schedule):
    rng = np.random.default_rng(0)
    far, y = 100.0 + rng.normal(size=(100, 2)), rng.normal(size=100)
    outlier = rng.normal(size=(100, 2))
    outlier[7] = 1e3
    tailed = rng.standard_t(2, size=(100, 2))
    for X in (far, outlier, tailed, sp.csr_array(outlier), far.astype(np.float32)):
        model = MLPRegressor(solver="sgd", learning_rate=schedule, max_iter=30, random_state=0).fit(X, y)
        assert max(abs(W).max() for W in model.coefs_) < 10.0


@pytest.mark.parametrize("schedule", ["auto", "constant"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sgd_learns_unscaled_targets(schedule, rng):
    X = rng.normal(size=(300, 3))
    raw = MLPRegressor(solver="sgd", learning_rate=schedule, scale_target=False, random_state=0)
    assert raw.fit(X, 100.0 * X[:, 0]).score(X, 100.0 * X[:, 0]) > 0.5
    counts = rng.poisson(np.exp(3.0 * X[:, 0]))  # most are 0, some in the thousands
    model = MLPRegressor(solver="sgd", learning_rate=schedule, loss="poisson", random_state=0).fit(X, counts)
    assert model.auto_params_["max_grad_norm"] == 1.0
    assert model.loss_ < 0.5 * model.loss_curve_[0]


@pytest.mark.parametrize("cls", [MLPSoftmaxClassifier, MLPRegressor])
def test_on_scaled_data_sgd_takes_its_plain_steps(cls, digits):
    X, y = digits[0][:150], digits[1][:150]
    params = {"solver": "sgd", "max_iter": 3, "weight_decay": 0.5, "epochs": 3, "random_state": 0}
    auto = cls((8,), **params).fit(X, y)
    assert auto.auto_params_["max_grad_norm"] is None
    plain = cls((8,), **params, max_grad_norm=None).fit(X, y)
    assert all(map(np.array_equal, auto.coefs_, plain.coefs_))


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_a_step_without_a_limit_is_the_derivative_of_J_and_with_one_as_long_as_that(engine, rng):
    X, y = 100.0 * rng.normal(size=(30, 3)), rng.normal(size=30)
    rate = 1e-6
    scaled = (y - y.mean()) / y.std()
    residuals = -scaled  # of a linear model whose weights start at zero
    W, b = X.T @ residuals / 30, residuals.mean()
    length = np.sqrt(W @ W + b * b)

    def stepped(limit):
        model = MLPRegressor(
            (), solver="sgd", learning_rate="constant", learning_rate_init=rate, momentum=0.0,
            nesterovs_momentum=False, alpha=0.0, max_grad_norm=limit, engine=engine, random_state=0,
        )  # fmt: skip
        return model.partial_fit(X, y)

    assert_allclose(stepped(None).coefs_[0][:, 0], -rate * W, rtol=1e-12)
    model = stepped("auto")
    limit = model.auto_params_["max_grad_norm"]
    assert limit == 2.0**-5  # of features 33 times as large as scaled ones, in powers of two
    assert_allclose(model.coefs_[0][:, 0], -rate * W * limit / length, rtol=1e-12)


def test_the_limit_follows_schedule_scale_and_rate():
    def limit(inputs, targets=1.0, solver="sgd", **params):
        model = MLPRegressor(solver=solver, **params)
        return gradient_limit(spec_of(model), LOSSES[model.loss], settle(model, 100), lambda: (inputs, targets))

    assert limit(3.0) is None
    assert limit(3.1) == limit(1e6) == limit(1.0, 3.1) == 1.0
    assert limit(1e16) is None
    assert limit(np.inf) is None
    constant = {"learning_rate": "constant"}
    assert limit(5.9, **constant) == limit(1.0, 1e6, **constant) == 1.0
    assert limit(6.1, **constant) == 0.5
    assert limit(3072.0, **constant) == 2.0**-10
    assert limit(100.0, learning_rate_init=0.05) == 1.0
    assert limit(100.0, learning_rate_init=0.06) is None
    for solver in SOLVERS:
        assert spec_of(MLPRegressor(solver=solver)).seeks_gradient_limit == (solver == "sgd")
    assert not spec_of(MLPRegressor(solver="sgd", max_grad_norm=None)).seeks_gradient_limit
    gaussian = {"loss": "gaussian"}  # has one of its own
    assert limit(1.0, solver="adam", **gaussian) == limit(1.0, **gaussian) == limit(1e3, **gaussian) == 1.0
    assert limit(13.0, **constant, **gaussian) == 0.25
    assert spec_of(MLPRegressor(**gaussian)).seeks_gradient_limit
    assert not spec_of(MLPRegressor(solver="lbfgs", **gaussian)).seeks_gradient_limit


def test_weights_count_for_the_scale_as_repeated_rows_do():
    X, Y = np.array([[1.0, 3.0], [7.0, 7.0], [100.0, 100.0]]), np.array([[2.0], [0.0], [50.0]])
    expected = (np.sqrt((2 * 5.0 + 49.0) / 3), np.sqrt((2 * 4.0) / 3))
    assert_allclose(root_mean_squares(Block(X, Y, np.array([2.0, 1.0, 0.0]))), expected)
    assert_allclose(root_mean_squares(Block(X[[0, 0, 1]], Y[[0, 0, 1]])), expected)
    assert_allclose(root_mean_squares(Block(sp.csr_array(X[[0, 0, 1]]), Y[[0, 0, 1]])), expected)


@pytest.mark.parametrize("schedule", ["auto", "constant"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_limit_that_was_found_brings_the_same_fit(schedule, diabetes):
    X, y = 100.0 * diabetes[0], diabetes[1]
    model = MLPRegressor((8,), solver="sgd", learning_rate=schedule, max_iter=5, random_state=0).fit(X, y)
    again = clone(model).set_params(**model.auto_params_).fit(X, y)
    assert all(map(np.array_equal, again.coefs_, model.coefs_))


def test_no_limit_asks_for_nothing_where_there_is_none():
    X, y = curve(50, 0.1)
    MLPRegressor((), solver="lbfgs", alpha=1.0, max_grad_norm=None, random_state=0).fit(X, y)  # warnings are errors
    with pytest.warns(UserWarning, match="max_grad_norm=2.0 has no effect with solver='lbfgs'"):
        MLPRegressor((), solver="lbfgs", alpha=1.0, max_grad_norm=2.0, random_state=0).fit(X, y)
