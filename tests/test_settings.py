"""What "auto" stands for, and the race that tells how noisy the targets are."""

import copy

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._fit.batches import Rows
from skbackprop._fit.race import FEWEST_ROWS, MOST_ROWS, run_race
from skbackprop._fit.samples import Sample
from skbackprop._fit.scales import root_mean_squares
from skbackprop._fit.settings import (
    REGIMES,
    UNKNOWN,
    gradient_limit,
    planned_epochs,
    resolve_batch_size,
    settle,
    wants_gradient_limit,
)
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.optimizers import OPTIMIZERS

SOLVERS = [*OPTIMIZERS, "lbfgs"]


def curve(n, noise, seed=0):
    """A smooth function of two of ten inputs, and noise of so many times its spread."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 10))
    y = np.sin(3.0 * X[:, 0]) + np.abs(X[:, 1])
    return X, y + noise * y.std() * rng.normal(size=n)


@pytest.mark.parametrize(
    ("n_rows", "size"),
    [(1, 1), (64, 64), (65, 16), (1000, 16), (1800, 32), (10_000, 128), (20_000, 256), (10**6, 256)],
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
    settings = settle(MLPSoftmaxClassifier(), 10_000)
    assert (settings.learning_rate, settings.learning_rate_init) == ("onecycle", 0.01)
    assert (settings.batch_size, settings.max_iter, settings.stops) == (128, 16, False)
    assert settings.weight_decay == UNKNOWN.weight_decay
    clean = settle(MLPSoftmaxClassifier(), 10_000, regime=REGIMES["clean"])
    assert (clean.weight_decay, clean.max_iter) == (0.05, 24)


def test_a_constant_rate_brings_scikit_learns_training():
    settings = settle(MLPRegressor(learning_rate="constant"), 10_000)
    assert (settings.learning_rate, settings.learning_rate_init, settings.max_iter) == (
        "constant",
        0.001,
        200,
    )
    assert (settings.weight_decay, settings.dropout, settings.tol, settings.stops) == (0.0, 0.0, 1e-4, True)
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
    assert length(10_000, REGIMES["clean"]) == 24
    assert length(10_000, REGIMES["clean"], epochs=7) == 7
    assert length(10_000, epochs=300, max_iter=1000) == 300
    assert length(10_000, epochs=300) == 200


def test_other_plans_take_all_of_max_iter_unless_told_otherwise():
    assert settle(MLPRegressor(learning_rate="cosine"), 10_000, regime=REGIMES["clean"]).max_iter == 200
    assert settle(MLPRegressor(learning_rate="cosine", epochs=9), 10_000).max_iter == 9


def test_epochs_that_do_nothing_are_named():
    X, y = curve(50, 0.1)
    with pytest.warns(UserWarning, match="epochs=9 has no effect beyond max_iter=2"):
        assert MLPRegressor((3,), epochs=9, max_iter=2, random_state=0).fit(X, y).n_iter_ == 2
    with pytest.warns(UserWarning, match="epochs=9 has no effect without a schedule that ends"):
        MLPRegressor(
            (3,), learning_rate="constant", epochs=9, max_iter=2, n_iter_no_change=np.inf, random_state=0
        ).fit(X, y)
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
    """All of it brings the same bits; one value, the same length and schedule."""
    X, y = curve(300, noise)
    model = MLPRegressor((20,), random_state=0, **params).fit(X, y)
    found = model.auto_params_
    again = clone(model).set_params(**found).fit(X, y)
    assert again.auto_params_ == {}
    assert again.loss_curve_ == model.loss_curve_
    assert_array_equal(again.coefs_[0], model.coefs_[0])
    for name in found:
        one = clone(model).set_params(**{name: found[name]}).fit(X, y)
        assert one.auto_params_ | {name: found[name]} == found
        assert one.loss_curve_ == model.loss_curve_
        assert one.learning_rate_curve_ == model.learning_rate_curve_


def test_few_rows_have_no_race_to_be_told_of():
    X, y = curve(FEWEST_ROWS - 1, 0.0)
    model = MLPRegressor((5,), random_state=0).fit(X, y)
    assert_array_equal(clone(model).set_params(**model.auto_params_).fit(X, y).coefs_[0], model.coefs_[0])


def test_lbfgs_has_scikit_learns_limits():
    settings = settle(MLPRegressor(solver="lbfgs"), 10_000)
    assert (settings.max_iter, settings.tol, settings.batch_size) == (200, 1e-4, 10_000)
    assert settings.found(MLPRegressor(solver="lbfgs")) == {"tol": 1e-4}


def test_what_is_given_is_kept():
    model = MLPRegressor(
        learning_rate="cosine", learning_rate_init=0.1, batch_size=50, max_iter=7, weight_decay=0.3, tol=0.5,
        dropout=0.2,
    )  # fmt: skip
    settings = settle(model, 10_000, regime=REGIMES["clean"])
    assert (settings.learning_rate, settings.learning_rate_init, settings.max_iter) == ("cosine", 0.1, 7)
    assert (settings.batch_size, settings.weight_decay, settings.dropout, settings.tol) == (50, 0.3, 0.2, 0.5)
    assert settings.stops  # tol was asked for
    assert settings.found(model) == {"epochs": 7}


def test_tol_acts_on_a_plan_only_when_asked_for():
    X, y = curve(300, 2.0)
    assert MLPRegressor(max_iter=30, random_state=0).fit(X, y).n_iter_ == 30
    assert MLPRegressor(max_iter=30, tol=0.5, random_state=0).fit(X, y).n_iter_ < 30
    with pytest.warns(UserWarning, match="n_iter_no_change=3 has no effect"):
        MLPRegressor(max_iter=4, n_iter_no_change=3, random_state=0).fit(X, y)


# --------------------------------------------------------------------------------- the race ----


@pytest.mark.parametrize(("noise", "regimes"), [(0.0, ["clean", "mixed"]), (30.0, ["noisy"])])
@pytest.mark.parametrize("kind", ["regression", "classification", "multilabel"])
def test_the_race_tells_noise(kind, noise, regimes):
    X, y = curve(1500, noise)
    if kind == "classification":
        y = np.where(y > 1.0, "high", "low")
    elif kind == "multilabel":
        y = np.stack([y > 0.5, y > 1.0], axis=1).astype(int)
    cls = MLPRegressor if kind == "regression" else MLPSoftmaxClassifier
    model = cls((60, 60), dropout="auto", random_state=0).fit(X, y)
    (won,) = (r for r in REGIMES.values() if r.weight_decay == model.auto_params_["weight_decay"])
    assert won in [REGIMES[name] for name in regimes]
    assert model.auto_params_["dropout"] == won.dropout == model._network.dropout[1]
    assert model.n_iter_ == np.ceil(won.stretch * planned_epochs(np.ceil(1500 / 32)))


def test_the_winner_is_worth_it():
    """Noise needs the decay, and would be learned by heart without it."""
    X, y = curve(600, 4.0)
    X_test, y_test = curve(4000, 0.0, seed=1)
    raced = MLPRegressor(random_state=0).fit(X, y)
    clean = clone(raced).set_params(weight_decay=REGIMES["clean"].weight_decay).fit(X, y)
    assert ((raced.predict(X_test) - y_test) ** 2).mean() < 0.7 * (
        (clean.predict(X_test) - y_test) ** 2
    ).mean()


def test_what_the_user_fixed_stays(digits):
    X, y = digits[0][:400], digits[1][:400]
    model = MLPSoftmaxClassifier((20,), weight_decay=0.2, dropout="auto", random_state=0).fit(X, y)
    assert "weight_decay" not in model.auto_params_
    assert model._settings.weight_decay == 0.2
    assert model.n_iter_ == model.auto_params_["epochs"]
    assert model.auto_params_["dropout"] in {regime.dropout for regime in REGIMES.values()}


@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_without_rows_to_spare_there_is_no_race(digits, capsys):
    X, y = curve(FEWEST_ROWS - 1, 0.0)
    assert (
        MLPRegressor((5,), verbose=True, random_state=0).fit(X, y).auto_params_["weight_decay"]
        == UNKNOWN.weight_decay
    )
    X, y = digits
    MLPSoftmaxClassifier((5,), verbose=True, max_iter=1, random_state=0).fit(X[:300], np.arange(300))
    assert "race" not in capsys.readouterr().out
    MLPSoftmaxClassifier((5,), verbose=True, max_iter=1, random_state=0).fit(X[:300], y[:300])
    assert "race" in capsys.readouterr().out


def test_the_race_is_seeded_and_leaves_no_trace(digits):
    X, y = digits[0][:400], digits[1][:400]
    one, two = (MLPSoftmaxClassifier((20,), random_state=0).fit(X, y) for _ in range(2))
    assert_array_equal(one.coefs_[0], two.coefs_[0])
    assert len(one.loss_curve_) == one.n_iter_
    assert one.coefs_[0].dtype == np.float64
    fixed = MLPSoftmaxClassifier((20,), random_state=0, weight_decay=0.5).fit(X, y)
    assert fixed.get_params()["hidden_layer_sizes"] == one.get_params()["hidden_layer_sizes"] == (20,)


def test_the_race_sees_weights_and_sparse_rows():
    """Rows of weight zero are noise: they must not count."""
    X, y = curve(1200, 0.0)
    _, noise = curve(1200, 8.0, seed=1)
    both, targets = np.vstack([X, X]), np.r_[y, noise]
    weights = np.r_[np.ones(1200), np.zeros(1200)]
    for rows in (both, sp.csr_array(both)):
        model = MLPRegressor((60, 60), batch_size=32, random_state=0).fit(rows, targets, weights)
        assert model.auto_params_["weight_decay"] < REGIMES["noisy"].weight_decay
        model.fit(rows, targets, 1.0 - weights)
        assert model.auto_params_["weight_decay"] == REGIMES["noisy"].weight_decay


def test_a_race_copies_no_more_rows_than_it_needs():
    X, y = np.zeros((MOST_ROWS + 5000, 1)), np.zeros(MOST_ROWS + 5000)
    seen = []
    model = MLPRegressor(random_state=0)
    sample = model._read(X, y, None, reset=True)

    def judge(params, *parts):
        seen.append([len(part.y) for part in parts])
        return 0.0

    run_race(model, sample, None, np.random.RandomState(0), judge)
    assert seen == [[MOST_ROWS * 4 // 5, MOST_ROWS // 5]] * 3


@pytest.mark.filterwarnings("ignore:Features differ in scale")
def test_a_race_in_which_all_diverge_leaves_the_fit_to_tell():
    X, y = curve(400, 0.0)
    model = MLPRegressor((3,), random_state=0)
    sample = model._read(X * 1e200, y, None, reset=True)  # beyond float32
    assert run_race(model, sample, None, np.random.RandomState(0), model._judge) is UNKNOWN


def test_a_tie_tells_nothing():
    X, y = curve(400, 0.0)
    # a single step from weights of zero, which nothing can decay
    model = MLPRegressor((), dropout="auto", epochs=1, batch_size=400, random_state=0).fit(X, y)
    assert model.auto_params_["dropout"] == UNKNOWN.dropout
    assert model.auto_params_["weight_decay"] == UNKNOWN.weight_decay


def test_ctrl_c_in_the_race_leaves_the_earlier_fit(digits, monkeypatch):
    X, y = digits
    model = MLPSoftmaxClassifier((20,), random_state=0, max_iter=2).fit(X[:400], y[:400])
    before = copy.deepcopy(model.coefs_)

    def interrupted(self, *parts):
        raise KeyboardInterrupt

    monkeypatch.setattr(MLPSoftmaxClassifier, "_judge", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert all(map(np.array_equal, model.coefs_, before))


@pytest.mark.parametrize("seed", range(4))
def test_class_weights_are_sample_weights_in_the_race_too(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(800, 10))
    y = (X[:, 0] - 2.6 + rng.normal(size=800) > 0).astype(int)
    by_class = MLPSoftmaxClassifier((30,), class_weight={0: 1, 1: 20}, random_state=0).fit(X, y)
    by_row = MLPSoftmaxClassifier((30,), random_state=0).fit(X, y, np.where(y, 20.0, 1.0))
    assert by_class.auto_params_ == by_row.auto_params_
    assert_array_equal(by_class.coefs_[0], by_row.coefs_[0])


def test_class_weights_of_zero_leave_nothing_to_judge_by():
    X, y = curve(400, 0.0)
    y = np.r_[np.ones(1, int), np.zeros(399, int)]
    model = MLPSoftmaxClassifier((5,), class_weight={0: 0.0}, max_iter=2, random_state=0).fit(X, y)
    assert model.auto_params_["weight_decay"] == UNKNOWN.weight_decay


def test_every_loss_can_race():
    X, y = curve(400, 0.5)
    for loss in ("absolute_error", "huber", "quantile", "gaussian", "poisson", "gamma"):
        targets = np.exp(y) if loss in ("poisson", "gamma") else np.stack([y, -y], axis=1)
        model = MLPRegressor((10,), loss=loss, max_iter=2, random_state=0).fit(X, targets)
        assert model.auto_params_["weight_decay"] in {regime.weight_decay for regime in REGIMES.values()}
    for loss in ("brier", "focal"):
        model = MLPSoftmaxClassifier(
            (10,), loss=loss, class_weight="balanced", max_iter=2, random_state=0
        ).fit(X, y > 0)
        assert model.auto_params_["weight_decay"] in {regime.weight_decay for regime in REGIMES.values()}


def test_rows_to_judge_by_are_weighted_by_the_rows_that_were_trained_on(rng):
    """Were they counted too, balanced weights would depend on what they judge."""
    X, y = rng.normal(size=(200, 3)), np.repeat([0, 1], 100)
    trained, judged = np.r_[:90, 100:110], np.r_[90:100, 110:200]
    params = MLPSoftmaxClassifier(
        (4,), class_weight="balanced", learning_rate="cosine", max_iter=3, weight_decay=0.1, random_state=0
    ).get_params()
    model = MLPSoftmaxClassifier(**params).fit(X[trained], y[trained])
    parts = (Sample(X[rows], y[rows], None) for rows in (trained, judged))
    factors = compute_class_weight("balanced", classes=np.array([0, 1]), y=y[trained])
    expected = log_loss(y[judged], model.predict_proba(X[judged]), sample_weight=factors[y[judged]])
    assert_allclose(MLPSoftmaxClassifier()._judge(params, *parts), expected, rtol=1e-12)


# ------------------------------------------------------------------------- long gradients ----


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["auto", "constant", "invscaling", "adaptive", "cosine", "coslog4"])
@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sgd_learns_from_unscaled_features(size, schedule, diabetes):
    X, y = size * diabetes[0], diabetes[1]
    model = MLPRegressor((20,), solver="sgd", learning_rate=schedule, max_iter=60, random_state=0).fit(X, y)
    assert model.auto_params_["max_grad_norm"] <= 1.0
    assert model.score(X, y) > 0.3  # without the limit it diverges
    labels = y > np.median(y)
    classifier = MLPSoftmaxClassifier(
        (20,), solver="sgd", learning_rate=schedule, max_iter=60, random_state=0
    )
    assert classifier.fit(X, labels).score(X, labels) > 0.65


@pytest.mark.parametrize("schedule", ["auto", "constant", "invscaling", "adaptive"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Features differ in scale")
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
        return gradient_limit(solver, LOSSES[model.loss], settle(model, 100), lambda: (inputs, targets))

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
    assert all(wants_gradient_limit(MLPRegressor(solver=solver)) == (solver == "sgd") for solver in SOLVERS)
    assert not wants_gradient_limit(MLPRegressor(solver="sgd", max_grad_norm=None))
    gaussian = {"loss": "gaussian"}  # has one of its own
    assert limit(1.0, solver="adam", **gaussian) == limit(1.0, **gaussian) == limit(1e3, **gaussian) == 1.0
    assert limit(13.0, **constant, **gaussian) == 0.25
    assert wants_gradient_limit(MLPRegressor(**gaussian))
    assert not wants_gradient_limit(MLPRegressor(solver="lbfgs", **gaussian))


def test_weights_count_for_the_scale_as_repeated_rows_do():
    X, Y = np.array([[1.0, 3.0], [7.0, 7.0], [100.0, 100.0]]), np.array([[2.0], [0.0], [50.0]])
    expected = (np.sqrt((2 * 5.0 + 49.0) / 3), np.sqrt((2 * 4.0) / 3))
    assert_allclose(root_mean_squares(Rows(X, Y, np.array([2.0, 1.0, 0.0]))), expected)
    assert_allclose(root_mean_squares(Rows(X[[0, 0, 1]], Y[[0, 0, 1]])), expected)
    assert_allclose(root_mean_squares(Rows(sp.csr_array(X[[0, 0, 1]]), Y[[0, 0, 1]])), expected)


@pytest.mark.parametrize("schedule", ["auto", "constant"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_limit_that_was_found_brings_the_same_fit(schedule, diabetes):
    X, y = 100.0 * diabetes[0], diabetes[1]
    model = MLPRegressor((8,), solver="sgd", learning_rate=schedule, max_iter=5, random_state=0).fit(X, y)
    again = clone(model).set_params(**model.auto_params_).fit(X, y)
    assert all(map(np.array_equal, again.coefs_, model.coefs_))


def test_no_limit_asks_for_nothing_where_there_is_none():
    X, y = curve(50, 0.1)
    MLPRegressor((), solver="lbfgs", alpha=1.0, max_grad_norm=None, random_state=0).fit(
        X, y
    )  # warnings are errors
    with pytest.warns(UserWarning, match="max_grad_norm=2.0 has no effect with solver='lbfgs'"):
        MLPRegressor((), solver="lbfgs", alpha=1.0, max_grad_norm=2.0, random_state=0).fit(X, y)
