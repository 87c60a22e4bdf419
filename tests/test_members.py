"""Members that share weights, and the input scale."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_diabetes, load_iris
from sklearn.preprocessing import scale

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._engines.reference import ReferenceEngine
from skbackprop._nn.network import Network, Parameters
from skbackprop._nn.optimizers import Optimizer
from skbackprop.inspection import check_gradients


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), y


@pytest.mark.parametrize("hidden", [(), (3,), (5, 4)])
@pytest.mark.parametrize("input_scale", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("n_members", [1, 3])
def test_gradients(n_members, dropout, input_scale, hidden, iris):
    model = MLPSoftmaxClassifier(
        hidden, "tanh", n_members=n_members, input_scale=input_scale, dropout=dropout, alpha=0.1, random_state=0
    )
    X, y = iris[0][::7], iris[1][::7]
    assert check_gradients(model, X, y, sample_weight=np.arange(len(y)) % 3) < 1e-6


@pytest.mark.parametrize("loss", ["quantile", "gaussian", "poisson", "huber"])
def test_gradients_of_losses(loss, diabetes):
    X, y = diabetes
    model = MLPRegressor((4,), "tanh", loss=loss, n_members=2, input_scale=True, random_state=0)
    assert check_gradients(model, X[:20], y[:20]) < 1e-6


def test_a_member_is_the_network_with_its_effective_weights(iris):
    X, y = iris
    model = MLPSoftmaxClassifier(
        (6, 5), "tanh", n_members=3, input_scale=True, max_iter=5, learning_rate="cosine", random_state=0
    ).fit(X, y)
    _, members = model.predict_proba(X, return_members=True)
    for j in range(3):
        a = X * model.input_scale_
        for h in range(2):
            r, s = model.member_factors_[h]
            a = np.tanh(((a * r[j]) @ model.coefs_[h]) * s[j] + model.intercepts_[h][j])
        v = a @ model.coefs_[2][j] + model.intercepts_[2][j]
        p = np.exp(v) / np.exp(v).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(members[j], p, rtol=1e-12)


def test_input_scale_of_numpys_booleans_is_that_of_pythons(iris):
    X, y = iris
    params = {"max_iter": 3, "random_state": 0}
    for value in (True, False):
        one, two = (MLPSoftmaxClassifier((5,), input_scale=v, **params).fit(X, y) for v in (value, np.bool_(value)))
        assert hasattr(one, "input_scale_") == hasattr(two, "input_scale_") == value
        np.testing.assert_array_equal(one.coefs_[0], two.coefs_[0])


def test_members_without_hidden_layers_are_named_as_idle(iris):
    with pytest.warns(UserWarning, match="n_members=3 has no effect"):
        MLPSoftmaxClassifier((), n_members=3, max_iter=2, random_state=0).fit(*iris)


def test_prediction_is_the_mean_of_the_members(iris, diabetes):
    X, y = iris
    model = MLPSoftmaxClassifier(
        (6,), n_members=3, max_iter=5, learning_rate="cosine", learning_rate_init=0.05, random_state=0
    ).fit(X, y)
    p, members = model.predict_proba(X, return_members=True)
    np.testing.assert_allclose(p, members.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), p, rtol=1e-12)
    assert members.std(axis=0).max() > 0.01  # they differ
    labels, each = model.predict(X, return_members=True)
    assert np.array_equal(labels, p.argmax(axis=1))
    assert np.array_equal(each, members.argmax(axis=2))
    X, y = diabetes
    for loss in ("squared_error", "poisson", "gaussian"):
        model = MLPRegressor((6,), loss=loss, n_members=3, max_iter=5, learning_rate="cosine", random_state=0).fit(X, y)
        mean, members = model.predict(X, return_members=True)
        np.testing.assert_allclose(mean, members.mean(axis=0), rtol=1e-12)
    assert model.predict(X, return_std=True, return_members=True)[1].shape == y.shape


def test_multilabel_probabilities_are_means(iris):
    X, y = iris
    Y = np.eye(3, dtype=int)[y]
    p, members = (
        MLPSoftmaxClassifier((6,), n_members=2, max_iter=5, learning_rate="cosine", random_state=0)
        .fit(X, Y)
        .predict_proba(X, return_members=True)
    )
    np.testing.assert_allclose(p, members.mean(axis=0), rtol=1e-12)


def test_the_variance_of_gaussian_members_is_that_of_their_mixture(diabetes):
    X, y = diabetes
    model = MLPRegressor(
        (6,), loss="gaussian", n_members=2, scale_target=False, random_state=0, max_iter=3, learning_rate="cosine"
    )
    model.fit(X, y / 100)
    v = model._output(X, link=False, members=True)
    draws = np.random.default_rng(0).normal(v[:, :1, 0], np.exp(0.5 * v[:, :1, 1]), (2, 400_000))
    assert model.predict(X[:1], return_std=True)[1][0] == pytest.approx(draws.std(), rel=0.01)


def test_only_weight_matrices_are_decayed_and_only_the_input_scale_has_its_own_rate():
    network = Network((3, 4, 2), ("tanh",), n_members=2, input_scale=True)
    theta = np.ones(network.n_parameters)
    engine = ReferenceEngine(network, Optimizer("sgd", weight_decay=0.5, momentum=0.0, input_scale_rate=6.0))
    engine.load(theta)
    engine.apply_gradient(np.ones_like(theta), 0.1)
    P = Parameters(np, network, engine.dump()[0])
    for W in P.W[1:]:
        np.testing.assert_allclose(W, 1 - 0.1 * 0.5 - 0.1)
    for array in (*P.b[1:], P.r[1], P.s[1]):
        np.testing.assert_allclose(array, 1 - 0.1)
    np.testing.assert_allclose(P.c, 1 - 0.6)


def test_sparse_inputs_and_pickles(iris):
    X, y = iris
    model = MLPSoftmaxClassifier(
        (6,), n_members=2, input_scale=3.0, dropout=[0.1, 0.1], max_iter=3, learning_rate="cosine", random_state=0
    )
    dense = model.fit(X, y).predict_proba(X)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(model)).predict_proba(X), dense)
    np.testing.assert_allclose(model.fit(sp.csr_array(X), y).predict_proba(sp.csr_array(X)), dense, atol=1e-12)


def test_fitted_factors_are_what_prediction_reads(iris):
    X, y = iris
    model = MLPSoftmaxClassifier((6,), input_scale=True, max_iter=3, learning_rate="cosine", random_state=0).fit(X, y)
    before = model.predict_proba(X)
    model.input_scale_[0] = 0.0
    X0 = X.copy()
    X0[:, 0] = 0.0
    assert not np.allclose(model.predict_proba(X), before)
    np.testing.assert_allclose(model.predict_proba(X), model.predict_proba(X0))
    model.input_scale_ = np.ones(3)
    with pytest.raises(ValueError, match="the factors"):
        model.predict(X)


def test_warm_start_with_other_members_is_an_error(iris):
    X, y = iris
    model = MLPSoftmaxClassifier(
        (6,), n_members=2, max_iter=2, learning_rate="cosine", warm_start=True, random_state=0
    ).fit(X, y)
    with pytest.raises(ValueError, match="other values of n_members"):
        model.set_params(n_members=3).fit(X, y)
