"""layer_outputs and feature_importances, and scikit-learn's own inspection on data whose answers are known."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel, SelectKBest, f_regression
from sklearn.impute import SimpleImputer
from sklearn.inspection import PartialDependenceDisplay, partial_dependence, permutation_importance
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop.inspection import feature_importances, layer_outputs
from skbackprop.preprocessing import PiecewiseLinearEncoder

PLAN = {"learning_rate": "cosine", "max_iter": 5, "random_state": 0}


@pytest.fixture(scope="module")
def plain(digits):
    X, y = digits
    return MLPSoftmaxClassifier((12, 7), ["tanh", "relu"], dropout=0.2, **PLAN).fit(X, y)


@pytest.fixture(scope="module")
def members(digits):
    X, y = digits
    return MLPSoftmaxClassifier((12, 7), "tanh", n_members=3, input_scale=True, **PLAN).fit(X, y)


# ------------------------------------------------------------------------------- layer_outputs ----


def test_each_layer_is_what_the_weights_say(plain, digits):
    X = digits[0]
    a1 = np.tanh(X @ plain.coefs_[0] + plain.intercepts_[0])
    a2 = np.maximum(a1 @ plain.coefs_[1] + plain.intercepts_[1], 0.0)
    v3 = a2 @ plain.coefs_[2] + plain.intercepts_[2]
    for layer, expected in ((0, X), (1, a1), (2, a2), (3, v3), (-1, a2), (-2, a1), (-3, X)):
        # sums of 64 products in other orders
        assert_allclose(layer_outputs(plain, X, layer), expected, rtol=1e-10, atol=1e-12)
    assert_array_equal(layer_outputs(plain, X), layer_outputs(plain, X, 2))
    assert_allclose(layer_outputs(plain, X, 3), plain.decision_function(X), rtol=1e-10, atol=1e-12)


def test_blocks_join_without_a_seam(plain, digits):
    X = np.tile(digits[0], (5, 1))  # 8985 rows, more than two blocks
    assert_allclose(layer_outputs(plain, X, 1), np.tile(layer_outputs(plain, digits[0], 1), (5, 1)), rtol=1e-10)


def test_sparse_inputs(plain, members, digits):
    X = digits[0]
    for model in (plain, members):
        for kind in (sp.csr_array, sp.csc_matrix):
            for layer in (0, 1, 3):
                outputs = layer_outputs(model, kind(X), layer)
                assert sp.issparse(outputs) == (layer == 0)
                dense = outputs.toarray() if layer == 0 else outputs
                assert_allclose(dense, layer_outputs(model, X, layer), rtol=1e-10, atol=1e-12)


def test_members_are_the_first_axis(members, digits):
    X = digits[0]
    scaled = X * members.input_scale_
    assert_allclose(layer_outputs(members, X, 0), scaled)
    first, logits = layer_outputs(members, X, 1), layer_outputs(members, X, 3)
    assert (first.shape, logits.shape) == ((3, len(X), 12), (3, len(X), 10))
    _, probabilities = members.predict_proba(X, return_members=True)
    for j in range(3):
        r, s = members.member_factors_[0]
        v = ((scaled * r[j]) @ members.coefs_[0]) * s[j] + members.intercepts_[0][j]
        assert_allclose(first[j], np.tanh(v), rtol=1e-9, atol=1e-12)
        p = np.exp(logits[j])
        assert_allclose(p / p.sum(axis=1, keepdims=True), probabilities[j], rtol=1e-9, atol=1e-12)


def test_dtypes_and_a_linear_model(digits, diabetes):
    X, y = digits[0][:200].astype(np.float32), digits[1][:200]
    model = MLPSoftmaxClassifier((5,), **PLAN).fit(X, y)
    assert layer_outputs(model, X).dtype == np.float32
    assert layer_outputs(model, X.astype(float)).dtype == np.float64
    linear = MLPRegressor((), **PLAN).fit(*diabetes)
    assert_array_equal(layer_outputs(linear, diabetes[0]), diabetes[0])  # its last "hidden" layer is the input
    scaled = layer_outputs(linear, diabetes[0], 1)[:, 0]
    assert_allclose(scaled * linear.target_scale_ + linear.target_shift_, linear.predict(diabetes[0]), rtol=1e-10)


def test_changed_weights_count(plain, digits):
    copy = MLPSoftmaxClassifier((12, 7), **PLAN).fit(*digits)
    copy.coefs_ = [np.zeros_like(W) for W in copy.coefs_]
    copy.intercepts_[1] = np.arange(7.0)
    assert_array_equal(layer_outputs(copy, digits[0][:3]), np.tile(np.arange(7.0), (3, 1)))
    assert_array_equal(feature_importances(copy), np.zeros(64))


def test_errors(plain, digits):
    X = digits[0]
    for layer in (4, -4):
        with pytest.raises(ValueError, match=f"between -3 and 3, the output layer; got {layer}"):
            layer_outputs(plain, X, layer)
    with pytest.raises(ValueError, match="expecting 64 features"):
        layer_outputs(plain, X[:, :3])
    for inspect in (feature_importances, lambda model: layer_outputs(model, X)):
        with pytest.raises(NotFittedError):
            inspect(MLPRegressor())
        with pytest.raises(TypeError, match="A fitted MLPSoftmaxClassifier or MLPRegressor"):
            inspect(StandardScaler().fit(X))
    with pytest.raises(TypeError, match=r"pipeline\[-1\]"):
        layer_outputs(make_pipeline(StandardScaler(), plain), X)
    with pytest.raises(NotFittedError):
        feature_importances(make_pipeline(StandardScaler(), plain))
    with pytest.raises(TypeError, match=r"PCA has output columns with other names.* pipeline\[-1\]"):
        feature_importances(make_pipeline(PCA().fit(X), plain))
    with pytest.raises(TypeError, match="a Pipeline that ends in one, is needed; got Pipeline"):
        feature_importances(make_pipeline(PCA().fit(X)))


# ------------------------------------------------------------------------- feature_importances ----


def test_importances_are_the_norms_of_the_first_weights(plain, members):
    norms = np.linalg.norm(plain.coefs_[0], axis=1)
    assert_allclose(feature_importances(plain), norms / norms.sum(), rtol=1e-12)
    r, s = members.member_factors_[0]
    W = members.input_scale_[:, None] * r[:, :, None] * members.coefs_[0] * s[:, None, :]  # (members, in, out)
    squares = (W**2).sum(axis=(0, 2))
    assert_allclose(feature_importances(members), np.sqrt(squares) / np.sqrt(squares).sum(), rtol=1e-12)


@pytest.fixture(scope="module")
def known():
    """Eight independent inputs, of which the first two act, the first twice as much as the second."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 8))
    return X, 2.0 * X[:, 0] + X[:, 1] + 0.1 * rng.normal(size=2000)


def test_importances_of_known_data(known):
    X, y = known
    linear = MLPRegressor((), solver="lbfgs", alpha=0.0, random_state=0).fit(X, y)
    # least squares knows each coefficient to 0.1 / sqrt(2000) = 0.002; times 4 for the largest of eight
    assert_allclose(feature_importances(linear), np.array([2, 1, 0, 0, 0, 0, 0, 0]) / 3, atol=0.01)
    for model in (MLPRegressor(input_scale=True, random_state=0), MLPSoftmaxClassifier(random_state=0)):
        target = y if isinstance(model, MLPRegressor) else y > 0
        selector = SelectFromModel(model, importance_getter=feature_importances, max_features=2).fit(X, target)
        assert selector.get_support(indices=True).tolist() == [0, 1]
        importances = feature_importances(selector.estimator_)
        assert importances[0] > 1.3 * importances[1]
        assert importances.sum() == pytest.approx(1.0)


# ------------------------------------------------------------------- scikit-learn's inspection ----


def test_permutation_importance_of_a_regressor(known):
    """Shuffling x with coefficient c adds 2 c^2 var(x) to the mean squared error, and takes that / var(y) off R^2."""
    X, y = known
    model = MLPRegressor(random_state=0).fit(X, y)
    found = permutation_importance(model, X, y, n_repeats=10, random_state=0)
    expected = 2 * np.array([4, 1, 0, 0, 0, 0, 0, 0]) * X.var(axis=0) / y.var()
    # the mean of ten shuffles of 2000 rows scatters by 1 %; the network is right to about another
    assert_allclose(found.importances_mean, expected, atol=0.05)


def test_permutation_importance_of_a_classifier(known):
    """Of labels that one input decides the other half is lost when that is shuffled, and nothing else matters."""
    X, y = known[0], np.where(known[0][:, 3] > 0, "yes", "no")
    model = make_pipeline(StandardScaler(), MLPSoftmaxClassifier(random_state=0)).fit(X, y)
    found = permutation_importance(model, X, y, n_repeats=10, random_state=0)
    # 2000 labels at random are right in half of the cases to 1 %, and the model misses up to 3 % of its own rows
    assert_allclose(found.importances_mean, np.eye(8)[3] / 2, atol=0.03)


def test_partial_dependence_of_a_linear_regressor_is_its_line(known):
    X, y = known
    model = MLPRegressor((), solver="lbfgs", alpha=0.0, random_state=0).fit(X, y)
    for feature, slope in ((0, 2.0), (1, 1.0), (2, 0.0)):
        found = partial_dependence(model, X, [feature], grid_resolution=20)
        grid, line = found["grid_values"][0], found["average"][0]
        assert_allclose(np.diff(line) / np.diff(grid), slope, atol=0.01)  # four times its standard error, as above
        assert np.interp(0.0, grid, line) == pytest.approx(y.mean() - slope * X[:, feature].mean(), abs=0.01)


def test_partial_dependence_of_networks(known):
    X = known[0]
    regressor = MLPRegressor(random_state=0).fit(X, X[:, 0] ** 2 + X[:, 1])
    found = partial_dependence(regressor, X, [0], percentiles=(0.1, 0.9))
    # the parabola is learned to about a tenth from 2000 rows in eight dimensions
    assert_allclose(found["average"][0], found["grid_values"][0] ** 2 + X[:, 1].mean(), atol=0.15)
    classifier = MLPSoftmaxClassifier(random_state=0).fit(X, X[:, 0] > 0)
    found = partial_dependence(classifier, X, [0], response_method="predict_proba")
    grid, p = found["grid_values"][0], found["average"][0]
    assert_allclose(p[np.abs(grid) > 1.0], grid[np.abs(grid) > 1.0] > 0, atol=0.05)  # sure, away from the border
    assert np.interp(0.0, grid, p) == pytest.approx(0.5, abs=0.1)


def test_partial_dependence_display(known):
    plt = pytest.importorskip("matplotlib.pyplot", reason="displays need the extra 'plot'")
    plt.switch_backend("Agg")
    X, y = known
    for model in (MLPRegressor((), **PLAN).fit(X, y), MLPSoftmaxClassifier((4,), **PLAN).fit(X, y > 0)):
        display = PartialDependenceDisplay.from_estimator(model, X, [0], grid_resolution=10)
        expected = partial_dependence(model, X, [0], grid_resolution=10)
        assert_allclose(display.lines_[0, 0].get_xdata(), expected["grid_values"][0])
        assert_allclose(display.lines_[0, 0].get_ydata(), expected["average"][0])
        plt.close("all")


def flats(n=400):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "area": rng.uniform(20, 200, n),
            "always": 1,
            "town": rng.choice(["Ulm", "Bonn", "Kiel"], n),
            "street": [f"street {i % 60}" for i in range(n)],
            "noise": rng.normal(size=n),
        }
    )
    return X, 2.0 * X["area"] + 90.0 * (X["town"] == "Ulm")


@pytest.mark.filterwarnings("ignore:Columns without values")
@pytest.mark.parametrize("kind", ["ours", "of others"])
def test_importances_of_a_pipeline_are_of_its_columns(kind):
    X, y = flats()
    model = MLPRegressor(weight_decay=0.5, random_state=0) if kind == "of others" else "regressor"
    pipeline = tabular_pipeline(model, max_categories=30).fit(X, y)
    assert pipeline["table"].columns_["means"] == ["street"]
    importances = dict(zip(X, feature_importances(pipeline), strict=True))
    assert importances["always"] == 0.0
    assert sum(importances.values()) == pytest.approx(1.0)
    assert sorted(importances, key=importances.get)[-2:] in (["area", "town"], ["town", "area"])


def test_importances_behind_steps_that_keep_columns():
    X, y = load_diabetes(return_X_y=True)
    model = MLPRegressor((8,), random_state=0, epochs=4, weight_decay=0.1)
    steps = [
        SimpleImputer(),
        StandardScaler(),
        SelectKBest(f_regression, k=3),
        PiecewiseLinearEncoder(4, passthrough=True),
        model,
    ]
    pipeline = make_pipeline("passthrough", *steps).fit(X, y)[1:]
    importances = feature_importances(pipeline)
    chosen = pipeline[2].get_support()
    assert_array_equal(importances > 0.0, chosen)
    squares = feature_importances(pipeline[-1]) ** 2  # of three features, then of the bins of each
    expected = squares[:3] + [part.sum() for part in np.split(squares[3:], np.cumsum(pipeline[3].n_bins_)[:-1])]
    assert_allclose(importances[chosen], np.sqrt(expected) / np.sqrt(expected).sum(), rtol=1e-12)
