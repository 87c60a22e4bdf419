"""What the losses, weights and regularisers are for, on data made to show it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import balanced_accuracy_score, mean_poisson_deviance
from sklearn.model_selection import GridSearchCV, ParameterGrid, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._engines.compiled import CompiledEngine
from skbackprop._nn.network import Network, Parameters
from skbackprop._nn.optimizers import Optimizer

PLANNED = {"learning_rate": "cosine", "random_state": 0, "learning_rate_init": 0.01, "max_iter": 60,
           "batch_size": 200, "weight_decay": 0.0}  # fmt: skip


def heteroscedastic(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 2, (n, 1))
    spread = 0.2 + X[:, 0]
    return X, np.sin(3 * X[:, 0]) + spread * rng.normal(size=n), spread


def test_quantiles_cover_held_out_rows():
    X, y, _ = heteroscedastic(4000, 0)
    X_test, y_test, _ = heteroscedastic(4000, 1)
    levels = [0.1, 0.5, 0.9]
    model = MLPRegressor((40,), "tanh", loss="quantile", quantile=levels, **PLANNED).fit(X, y)
    covered = (y_test[:, None] <= model.predict(X_test)).mean(axis=0)
    assert_allclose(covered, levels, atol=0.03)


def test_gaussian_finds_the_spread_of_held_out_rows():
    X, y, _ = heteroscedastic(4000, 0)
    X_test, y_test, spread = heteroscedastic(4000, 1)
    model = MLPRegressor((40,), "tanh", loss="gaussian", **PLANNED).fit(X, y)
    mean, std = model.predict(X_test, return_std=True)
    assert np.corrcoef(std, spread)[0, 1] > 0.9
    assert_allclose(np.std((y_test - mean) / std), 1.0, atol=0.05)


def test_poisson_beats_squared_error_on_counts():
    """On the mean of four draws: a single one may lie on either side of the bound, by luck."""
    deviance = {"poisson": 0.0, "squared_error": 0.0}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(3000, 3))
        y = rng.poisson(np.exp(X[:, 0] - 0.5 * X[:, 1])).astype(float)
        for loss in deviance:
            model = MLPRegressor((20,), loss=loss, **PLANNED).fit(X[:2000], y[:2000])
            deviance[loss] += mean_poisson_deviance(y[2000:], np.maximum(model.predict(X[2000:]), 1e-3))
    assert deviance["poisson"] < 0.95 * deviance["squared_error"]


def test_balanced_class_weights_on_one_in_fifty(rng):
    X = np.vstack([rng.normal(0, 1, (5000, 3)), rng.normal(1.2, 1, (100, 3))])
    y = np.repeat([0, 1], [5000, 100])
    half = rng.permutation(5100) < 2550
    scores = []
    for class_weight in (None, "balanced"):
        model = MLPSoftmaxClassifier((20,), class_weight=class_weight, alpha=10.0, **PLANNED)
        model.fit(X[half], y[half])
        scores.append(balanced_accuracy_score(y[~half], model.predict(X[~half])))
    assert scores[1] > scores[0] + 0.1


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_dropouts_expected_activation_is_the_undropped_one(p, rng):
    """The gradient by the next layer's weights is the sum of a * delta; with delta held still, the mean of a."""

    network = Network((4, 50, 1), ("softplus",), dropout=(0.0, p), seed=3)
    theta = rng.normal(size=network.n_parameters)
    Parameters(np, network, theta).W[2][:] = 0.0  # so that v[2] = b and delta is the same in every step
    engine = CompiledEngine(network, Optimizer())
    engine.load(theta)
    X, Y = rng.normal(size=(400, 4)), np.zeros((400, 1))
    plain = Parameters(np, network, engine.loss_and_gradient(X, Y, None)[1]).W[2]
    steps = [Parameters(np, network, engine.loss_and_gradient(X, Y, None, step=s)[1]).W[2] for s in range(200)]
    assert_allclose(
        np.mean(steps, axis=0), plain, rtol=0.02
    )  # 200 masks of 400 rows: a standard error is up to 0.5 %, over 50 units


@pytest.mark.slow
def test_grid_search_over_twelve_settings_equals_the_loop_by_hand():
    X, y = load_breast_cancer(return_X_y=True)
    weights = np.where(y == 0, 2.0, 1.0)
    model = MLPSoftmaxClassifier((20,), **{**PLANNED, "max_iter": 4}, n_threads=1)
    pipeline = make_pipeline(StandardScaler(), model)
    grid = {
        "mlpsoftmaxclassifier__solver": ["adam", "nadam", "rmsprop"],
        "mlpsoftmaxclassifier__dropout": [0.0, 0.3],
        "mlpsoftmaxclassifier__class_weight": [None, "balanced"],
    }
    folds = list(StratifiedKFold(2).split(X, y))
    search = GridSearchCV(pipeline, grid, cv=folds, n_jobs=2, refit=False)
    search.fit(X, y, mlpsoftmaxclassifier__sample_weight=weights)
    for params, found in zip(ParameterGrid(grid), search.cv_results_["mean_test_score"], strict=True):
        scores = []
        for train, test in folds:
            by_hand = clone(pipeline).set_params(**params)
            by_hand.fit(X[train], y[train], mlpsoftmaxclassifier__sample_weight=weights[train])
            scores.append(by_hand.score(X[test], y[test]))
        assert np.mean(scores) == found
