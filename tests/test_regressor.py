"""MLPRegressor: losses, scaling, quantiles, standard deviations, scores."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import d2_pinball_score, mean_pinball_loss, r2_score

from skbackprop import MLPRegressor
from skbackprop._nn.losses import losses_for
from skbackprop.data import Shards

PLANNED = {"learning_rate": "cosine", "random_state": 0, "learning_rate_init": 0.01}


@pytest.fixture(scope="module")
def noisy():
    """y = 3 x + noise whose spread grows with x."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 2, (1500, 1))
    return X, 3.0 * X[:, 0] + (0.2 + X[:, 0]) * rng.normal(size=1500)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "gaussian"])
def test_losses_for_any_target(loss, diabetes):
    X, y = diabetes
    model = MLPRegressor((20,), loss=loss, alpha=3.0, max_iter=40, **PLANNED).fit(X[:350], y[:350])
    assert model.score(X[350:], y[350:]) > 0.45


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_losses_for_positive_targets_and_their_units(loss, rng):
    X = rng.normal(size=(800, 3))
    mu = 5000.0 * np.exp(0.5 * X[:, 0] - 0.3 * X[:, 1])
    y = rng.poisson(mu).astype(float) if loss == "poisson" else rng.gamma(4.0, mu / 4.0)
    model = MLPRegressor((20,), loss=loss, max_iter=60, **PLANNED).fit(X, y)
    assert r2_score(mu, model.predict(X)) > 0.95
    assert (model.predict(X) > 0).all()
    assert_allclose(model.target_scale_, y.mean())
    assert_allclose(model.target_shift_, 0.0)


@pytest.mark.parametrize("loss", losses_for("regression"))
def test_a_tag_tells_which_targets_a_loss_asks_for(loss):
    model = MLPRegressor((4,), loss=loss, max_iter=2, random_state=0)
    tags = model.__sklearn_tags__().target_tags
    assert tags.positive_only == (loss in {"poisson", "gamma"})
    assert tags.multi_output
    X, y = np.random.default_rng(0).normal(size=(11, 3)), np.random.default_rng(1).uniform(1, 2, size=(11, 5))
    assert model.fit(X, y).predict(X).shape == y.shape
    if tags.positive_only:
        with pytest.raises(ValueError, match=f"loss='{loss}' needs y >"):
            model.fit(X, -y)
    assert not MLPRegressor(loss="none of ours").__sklearn_tags__().target_tags.positive_only  # fit refuses it


def test_poisson_starts_at_the_mean(rng):
    X, y = rng.normal(size=(50, 2)), rng.poisson(7.0, 50).astype(float)
    w = rng.random(50)
    model = MLPRegressor((4,), loss="poisson", max_iter=1, **{**PLANNED, "learning_rate_init": 1e-12}).fit(X, y, w)
    assert_allclose(model.predict(X), np.average(y, weights=w), rtol=1e-8)


def test_several_outputs_keep_their_units(rng):
    X = rng.normal(size=(400, 3))
    y = np.stack([1e-3 * X[:, 0], 1e3 + 1e4 * X[:, 1]], axis=1)
    model = MLPRegressor((30,), max_iter=60, **PLANNED).fit(X, y)
    assert model.predict(X).shape == (400, 2)
    assert (r2_score(y, model.predict(X), multioutput="raw_values") > 0.98).all()
    assert model.fit(X, y[:, :1]).predict(X).shape == (400, 1)  # 2-D stays 2-D
    assert model.fit(X, y[:, 0]).predict(X).shape == (400,)


def test_quantiles_cover_their_share(noisy):
    X, y = noisy
    levels = [0.1, 0.5, 0.9]
    model = MLPRegressor((30,), loss="quantile", quantile=levels, max_iter=60, **PLANNED).fit(X, y)
    predicted = model.predict(X)
    assert predicted.shape == (1500, 3)
    assert_allclose((y[:, None] <= predicted).mean(axis=0), levels, atol=0.03)
    assert (np.diff(predicted, axis=1) >= 0).all()
    width = predicted[:, 2] - predicted[:, 0]
    assert width[X[:, 0] > 1.5].mean() > 2 * width[X[:, 0] < 0.5].mean()
    scores = [d2_pinball_score(y, predicted[:, k], alpha=q) for k, q in enumerate(levels)]
    assert_allclose(model.score(X, y), np.mean(scores))


def test_one_quantile_is_one_column_and_its_score_is_relative_to_the_best_constant(noisy):
    X, y = noisy
    w = np.linspace(0, 1, len(y))
    model = MLPRegressor((30,), loss="quantile", quantile=0.8, max_iter=20, **PLANNED).fit(X, y)
    assert model.predict(X).shape == y.shape
    ratio = mean_pinball_loss(y, model.predict(X), alpha=0.8) / mean_pinball_loss(
        y, np.full(len(y), np.quantile(y, 0.8)), alpha=0.8
    )
    assert_allclose(model.score(X, y), 1.0 - ratio, rtol=1e-6)
    assert model.score(X, y, w) != model.score(X, y)


def test_quantiles_of_several_outputs(noisy):
    X, y = noisy
    Y = np.stack([y, -10.0 * y], axis=1)
    model = MLPRegressor((30,), loss="quantile", quantile=(0.25, 0.75), max_iter=30, **PLANNED).fit(X, Y)
    predicted = model.predict(X)
    assert predicted.shape == (1500, 2, 2)
    covered = (Y[:, :, None] <= predicted).mean(axis=0)
    assert_allclose(covered, [[0.25, 0.75]] * 2, atol=0.06)
    assert 0 < model.score(X, Y) < 1


def test_gaussian_learns_the_spread(noisy):
    X, y = noisy
    model = MLPRegressor((30,), loss="gaussian", max_iter=60, **PLANNED).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert_array_equal(mean, model.predict(X))
    assert np.corrcoef(std, 0.2 + X[:, 0])[0, 1] > 0.95
    assert 0.9 < np.std((y - mean) / std) < 1.1
    assert_allclose(np.abs(mean - 3 * X[:, 0]).mean(), 0.0, atol=0.15)


def test_return_std_needs_gaussian(noisy):
    model = MLPRegressor((4,), max_iter=2, **PLANNED).fit(*noisy)
    with pytest.raises(ValueError, match=r"needs loss='gaussian'.*'squared_error'"):
        model.predict(noisy[0], return_std=True)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_huber_with_a_delta_whose_square_overflows_is_the_squared_error(engine, rng):
    X = rng.normal(size=(40, 2))
    params = {"engine": engine, "max_iter": 3, "random_state": 0}
    expected = MLPRegressor(loss="squared_error", **params).fit(X, X[:, 0])
    found = MLPRegressor(loss="huber", huber_delta=1e300, **params).fit(X, X[:, 0])
    np.testing.assert_array_equal(found.predict(X), expected.predict(X))
    assert found.loss_curve_ == expected.loss_curve_


def test_huber_and_absolute_error_resist_outliers(rng):
    X = rng.normal(size=(300, 1))
    y = 2.0 * X[:, 0]
    spoiled = y.copy()
    spoiled[::10] += 100.0
    errors = {}
    for loss in ("squared_error", "huber", "absolute_error"):
        model = MLPRegressor((), loss=loss, huber_delta=0.1, max_iter=200, solver="lbfgs", random_state=0) if (
            loss == "huber"
        ) else MLPRegressor((), loss=loss, max_iter=300, **PLANNED)  # fmt: skip
        errors[loss] = np.abs(model.fit(X, spoiled).predict(X) - y).mean()
    assert errors["huber"] < 0.5 * errors["squared_error"]
    assert errors["absolute_error"] < 0.2 * errors["squared_error"]


def test_scale_target_off_trains_on_raw_units(diabetes):
    X, y = diabetes
    model = MLPRegressor((20,), scale_target=False, max_iter=3, **PLANNED).fit(X, y)
    assert (model.target_shift_[0], model.target_scale_[0]) == (0.0, 1.0)
    assert model.loss_curve_[0] > 1000


def test_scaling_uses_the_weights(diabetes):
    X, y = diabetes
    w = (np.arange(len(y)) < 100).astype(float)
    model = MLPRegressor(max_iter=2, **PLANNED).fit(X, y, w)
    assert_allclose(model.target_shift_, y[:100].mean())
    assert_allclose(model.target_scale_, y[:100].std())


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "quantile", "gaussian"])
def test_large_targets_keep_their_digits_in_float32(loss):
    """Seconds since 1970: float32 tells numbers of that size apart by 128."""
    X = np.random.default_rng(0).normal(size=(200, 5))
    y = 1.7e9 + 10.0 * X[:, 0]
    params = {"hidden_layer_sizes": (20,), "loss": loss, "max_iter": 60, **PLANNED}
    single, double = (MLPRegressor(**params).fit(X.astype(dtype), y) for dtype in ("float32", "float64"))
    X32 = X.astype(np.float32)
    assert single.coefs_[0].dtype == np.float32
    assert single.predict(X32).dtype == np.float64
    assert double.score(X, y) > 0.98
    assert_allclose(single.score(X32, y), double.score(X, y), atol=2e-3)  # 1000 steps enlarge the roundings
    if loss != "quantile":
        assert_allclose(single.to_sklearn().predict(X32), single.predict(X32), rtol=0, atol=1e-3)


def test_large_targets_keep_their_digits_however_they_come():
    X = np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32)
    y = 1.7e9 + 10.0 * X[:, 0].astype(np.float64)
    whole = MLPRegressor((20,), n_members=2, early_stopping=True, scoring="r2", max_iter=30, **PLANNED)
    assert max(whole.fit(X, y).validation_scores_) > 0.98
    assert whole.set_params(warm_start=True, max_iter=1).fit(X, y).score(X, y) > 0.98
    mean, members = whole.predict(X, return_members=True)
    assert mean.dtype == members.dtype == np.float64
    assert_allclose(members.mean(axis=0), mean, rtol=0, atol=1e-4)
    data = Shards(X, y, memory=X.nbytes - 1, block_rows=2)
    on_disk = MLPRegressor((20,), max_iter=30, **PLANNED).fit(data)
    assert on_disk.predict(data).dtype == np.float64
    assert on_disk.score(data, y) > 0.98
    stream = MLPRegressor((20,), learning_rate_init=0.01, random_state=0)
    for _ in range(20):
        stream.partial_fit(X, y)
    assert stream.score(X, y) > 0.98
    gaussian = MLPRegressor((20,), loss="gaussian", max_iter=10, **PLANNED).fit(X, y)
    assert {part.dtype for part in gaussian.predict(X, return_std=True)} == {np.dtype(np.float64)}


def test_targets_in_the_order_of_columns_give_the_same_bits(rng):
    """As a DataFrame holds them; their sums differed in the last digit, and all that followed."""
    X, y = rng.normal(size=(11, 1)), rng.exponential(size=(11, 2))
    rows, columns = (
        MLPRegressor((3, 2), "tanh", max_iter=2, random_state=0).fit(X, order(y)).predict(X)
        for order in (np.ascontiguousarray, np.asfortranarray)
    )
    assert np.array_equal(rows, columns)


@pytest.mark.parametrize(
    ("dtype", "seed"), [*(("float64", seed) for seed in range(4)), *(("float32", seed) for seed in range(4, 6))]
)
def test_gaussian_learns_targets_without_noise(dtype, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(200, 5)).astype(dtype)
    model = MLPRegressor(loss="gaussian", random_state=seed).fit(X, X[:, 0])
    assert model.score(X, X[:, 0]) > 0.999
    std = model.predict(X, return_std=True)[1]
    assert (std >= 0.01 * model.target_scale_).all()
    assert np.median(std) < 0.05 * X[:, 0].std()


@pytest.mark.parametrize("params", [{"solver": "lbfgs", "max_iter": 100}, {"solver": "sgd"}, {"n_members": 2}], ids=str)
@pytest.mark.filterwarnings("ignore:L-BFGS stopped")
def test_gaussian_learns_targets_without_noise_with_any_solver(params):
    X = np.random.default_rng(0).normal(size=(200, 5))
    assert MLPRegressor(loss="gaussian", random_state=0, **params).fit(X, X[:, 0]).score(X, X[:, 0]) > 0.99


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_gaussian_of_a_constant_target_is_the_constant(solver, dtype):
    X = np.random.default_rng(0).normal(size=(200, 5)).astype(dtype)
    mean, std = MLPRegressor(loss="gaussian", solver=solver, random_state=0).fit(X, np.full(200, 7.0)).predict(X, True)
    assert_allclose(mean, 7.0, rtol=1e-6)
    assert (std < 0.05).all()


def test_the_limit_of_a_gaussian_step_is_the_users_if_there_is_one():
    X = np.random.default_rng(0).normal(size=(100, 3))
    params = {"loss": "gaussian", "max_iter": 3, **PLANNED}
    unset, one, none, small = (
        MLPRegressor((4,), max_grad_norm=limit, **params).fit(X, X[:, 0]).coefs_[0]
        for limit in ("auto", 1.0, None, 1e-3)
    )
    assert_array_equal(unset, one)
    assert (one != none).any()
    assert (one != small).any()
    model = MLPRegressor((4,), **params).fit(X, X[:, 0])
    assert model.auto_params_["max_grad_norm"] == 1.0
    again = MLPRegressor((4,), **params | model.auto_params_).fit(X, X[:, 0])
    assert_array_equal(again.coefs_[0], model.coefs_[0])


def test_targets_beyond_all_networks_are_an_error(rng):
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    model = MLPRegressor((3,), max_iter=2, random_state=0)
    for dtype in (np.float32, np.float64):
        with pytest.raises(ValueError, match=r"The largest target is .*e\+200.*Set scale_target=True"):
            MLPRegressor(scale_target=False).fit(X.astype(dtype), 1e200 * y)
    with pytest.raises(ValueError, match=r"In the validation set .*The largest target is 1e\+200.*invalid targets"):
        model.fit(X, y, X_val=X[:1], y_val=[1e200])
    with pytest.raises(ValueError, match=r"The largest target is 1e\+200.*invalid targets"):
        model.fit(X, y).partial_fit(X[:1], [1e200])
    MLPRegressor((3,), max_iter=2, scale_target=False, random_state=0).fit(X, 1e6 * y)  # large, but who knows


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("small", [1e-300, 5e-324])
def test_gamma_needs_targets_whose_logarithm_is_a_number(engine, small):
    """Engines may take denormal numbers for zero."""
    model = MLPRegressor((3,), loss="gamma", max_iter=2, random_state=0, engine=engine)
    X, y = [[1.0], [2.0], [3.0], [0.0]], [small, 1e300 if small > 1e-310 else 1.0, 1.0, 2.0]
    with pytest.raises(ValueError, match=r"The smallest target is .* after scaling"):
        model.fit(X, y)


def test_a_warm_start_follows_the_form_of_quantile(rng):
    X = rng.normal(size=(60, 3))
    model = MLPRegressor((4,), loss="quantile", warm_start=True, max_iter=2, random_state=0).fit(X, X[:, 0])
    assert model.predict(X).shape == (60,)
    assert model.set_params(quantile=[0.5]).fit(X, X[:, 0]).predict(X).shape == (60, 1)
