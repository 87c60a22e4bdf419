"""The recipes with other packages do what the user guide says of them; .ci/run installs the packages."""

import re

import numpy as np
import pandas as pd
import pytest
import recipes
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import recall_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor, MLPSoftmaxClassifier

# what other packages warn of is theirs
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def curve():
    """A noisy function of two of four features: rows to train on, to calibrate with, and to test."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 4))
    y = 3.0 * X[:, 1] - 2.0 * np.abs(X[:, 3]) + rng.normal(size=1500)
    model = make_pipeline(StandardScaler(), MLPRegressor((30,), random_state=0)).fit(X[:500], y[:500])
    return model, X, y


def halves(cancer):
    X, y = cancer
    return train_test_split(X, y, stratify=y, random_state=0)


@pytest.fixture(scope="module")
def cancer():
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(return_X_y=True)


def test_shap(curve):
    """What the features add makes the prediction, and those that do nothing add little."""
    pytest.importorskip("shap")
    model, X, _ = curve
    found = recipes.explain(model, X[:500], X[500:520])
    assert_allclose(found.base_values + found.values.sum(axis=1), model.predict(X[500:520]), rtol=1e-6)
    strength = np.abs(found.values).mean(axis=0)
    assert min(strength[[1, 3]]) > 3.0 * max(strength[[0, 2]])


@pytest.mark.parametrize("package", ["mapie", "crepes"])
def test_conformal_intervals(package, curve):
    """About 90 of 100 new targets are inside, by the quantile of the residuals that one would take oneself."""
    pytest.importorskip(package)
    model, X, y = curve
    residuals = np.sort(np.abs(y[500:1000] - model.predict(X[500:1000])))
    half = residuals[int(np.ceil(0.9 * 501)) - 1]
    given = model, X[500:1000], y[500:1000], X[1000:]
    recipe = {"mapie": lambda *given: recipes.intervals_with_mapie(*given)[1], "crepes": recipes.intervals_with_crepes}
    bounds = recipe[package](*given)
    expected = model.predict(X[1000:])[:, None] + [-half, half]
    assert_allclose(bounds, expected, rtol=1e-9)
    inside = (bounds[:, 0] <= y[1000:]) & (y[1000:] <= bounds[:, 1])
    assert 0.86 < inside.mean() < 0.94


def test_optuna(cancer):
    """Trials are ended early, and the best of the others is found."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = recipes.search_with_optuna(*cancer)
    states = [trial.state.name for trial in study.trials]
    assert {"COMPLETE", "PRUNED"} == set(states)
    assert study.best_value < 0.12
    assert study.best_value == min(trial.value for trial in study.trials if trial.state.name == "COMPLETE")


def test_mlflow(cancer, tmp_path, monkeypatch):
    """A run has the parameters and the losses, and the model comes back without a pickle."""
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("skops")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    X, y = cancer
    try:
        run_id, model = recipes.track_with_mlflow(X, y)
    finally:
        mlflow.sklearn.autolog(disable=True)
    run = mlflow.get_run(run_id)
    assert run.data.params["mlpsoftmaxclassifier__solver"] == "adam"
    assert run.data.metrics["training_accuracy_score"] == model.score(X, y) > 0.95
    losses = [one.value for one in mlflow.MlflowClient().get_metric_history(run_id, "loss")]
    assert losses == model[-1].loss_curve_


def test_imbalanced_learn():
    pytest.importorskip("imblearn")
    rng = np.random.default_rng(0)
    y = (np.arange(2000) % 20 == 0).astype(int)
    X = rng.normal(size=(2000, 5)) + y[:, None]
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    plain = make_pipeline(StandardScaler(), MLPSoftmaxClassifier(random_state=0)).fit(X_train, y_train)
    more = recipes.oversample(X_train, y_train)
    assert recall_score(y_test, more.predict(X_test)) > recall_score(y_test, plain.predict(X_test)) + 0.15
    assert len(more.predict(X_test)) == len(X_test)


def test_fairlearn():
    """Groups that the model selects at different rates are selected at nearly the same."""
    metrics = pytest.importorskip("fairlearn.metrics")
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, 2000)
    X = rng.normal(size=(2000, 3)) + group[:, None] * 0.7
    y = (X[:, 0] + rng.normal(size=2000) > 0.5).astype(int)
    plain = make_pipeline(StandardScaler(), MLPSoftmaxClassifier(random_state=0)).fit(X, y).predict(X)
    fair = recipes.equal_rates(X, y, group).predict(X, sensitive_features=group, random_state=0)
    apart = [metrics.demographic_parity_difference(y, p, sensitive_features=group) for p in (plain, fair)]
    assert apart[0] > 0.2 > 0.05 > apart[1]


def test_skrub():
    """A date and a text that carry the target are read."""
    pytest.importorskip("skrub")
    rng = np.random.default_rng(0)
    days = rng.integers(0, 3000, 600)
    words = np.array(["a large red house", "a small hut by the sea", "an old mill in town"])
    kind = rng.integers(0, 3, 600)
    frame = pd.DataFrame({"sold": pd.Timestamp("2015-01-01") + pd.to_timedelta(days, "D"), "about": words[kind]})
    y = days / 1000.0 + 2.0 * (kind == 1)
    model = recipes.table_with_dates_and_texts(frame[:450], y[:450])
    assert model.score(frame[450:], y[450:]) > 0.95


def test_category_encoders():
    pytest.importorskip("category_encoders")
    rng = np.random.default_rng(0)
    town = rng.integers(0, 40, 1200)
    y = (rng.random(1200) < 0.1 + 0.8 * (town % 2)).astype(int)
    frame = pd.DataFrame({"town": [f"town {k}" for k in town]})
    model = recipes.encode_categories(frame[:900], y[:900])
    assert model.score(frame[900:], y[900:]) > 0.85  # 0.9 is the best there is


def test_cleanlab(cancer):
    """Most of the labels that were changed are found."""
    pytest.importorskip("cleanlab")
    X, y = cancer
    changed = np.random.default_rng(0).choice(len(y), 30, replace=False)
    labels = y.copy()
    labels[changed] = 1 - labels[changed]
    issues = recipes.wrong_labels(X, labels)["is_label_issue"].to_numpy()
    assert issues[changed].mean() > 0.8
    assert issues.sum() < 60


def test_halving(cancer):
    search = recipes.halving(*cancer)
    assert search.n_resources_ == [2, 4, 8]
    assert search.best_estimator_[-1].n_iter_ == 8
    assert search.best_params_["mlpsoftmaxclassifier__weight_decay"] != 1000.0


def test_model_cards(cancer, tmp_path):
    pytest.importorskip("skops.card")
    X_train, X_test, y_train, y_test = halves(cancer)
    model = make_pipeline(StandardScaler(), MLPSoftmaxClassifier(random_state=0)).fit(X_train, y_train)
    recipes.model_card(model, X_test, y_test, tmp_path / "README.md")
    card = (tmp_path / "README.md").read_text()
    accuracy = float(re.search(r"\| accuracy +\| ([0-9.]+)", card)[1])
    assert accuracy == model.score(X_test, y_test) > 0.94
    assert "of cell nuclei like these" in card
    assert "mlpsoftmaxclassifier__weight_decay" in card


def test_feature_selection(curve):
    few, best = recipes.select_features(curve[1][:500], curve[2][:500])
    assert_array_equal(few, [False, True, False, True])
    assert best[[1, 3]].all()
