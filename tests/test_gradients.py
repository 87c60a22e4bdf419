"""Backpropagation against numerical derivatives, and the identities of the derivation (D1-D11)."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import log_loss

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._engines import choose_engine
from skbackprop._engines.reference import ReferenceEngine, forward
from skbackprop._nn.activations import ACTIVATIONS, softmax, softmax_vjp
from skbackprop._nn.losses import LOSSES, LossArgs, cross_entropy_delta, losses_for
from skbackprop._nn.network import Network, Parameters, flatten
from skbackprop._nn.optimizers import Optimizer
from skbackprop.inspection import check_gradients

RIGHT = 1e-6  # relative; the difference formula itself is good to about 1e-8


def rows_for(loss, rng, n=7, targets=2):
    X = rng.normal(size=(n, 3))
    if loss.endswith("multilabel"):
        return X, rng.integers(0, 2, (n, 3))
    if loss in losses_for("classification"):
        return X, np.arange(n) % 3
    y = rng.normal(size=(n, targets))
    if loss in ("poisson", "gamma"):
        y = np.abs(y) + 0.1
    return X, y


def estimator_for(loss, hidden, activation, **params):
    params |= {"engine": "reference", "random_state": 0, "alpha": 0.3}
    if loss.endswith("multilabel"):
        return MLPSoftmaxClassifier(hidden, activation, loss=loss.split()[0], **params)
    if loss in losses_for("classification"):
        return MLPSoftmaxClassifier(hidden, activation, loss=loss, **params)
    if loss == "quantile":
        params["quantile"] = [0.2, 0.5, 0.9]
    return MLPRegressor(hidden, activation, loss=loss, **params)


ALL_LOSSES = [
    *losses_for("classification"),
    *(f"{loss} multilabel" for loss in losses_for("classification")),
    *losses_for("regression"),
]


# without hidden layers there is no activation
NETWORKS = [("identity", 0), *((name, 2) for name in ACTIVATIONS)]
ALL_NETWORKS = [*NETWORKS, *((name, depth) for name in ACTIVATIONS for depth in (1, 3))]


def is_quick(loss, activation):
    """Every activation and every loss, but few of their pairs."""
    return activation == "tanh" or loss == "squared_error"


@pytest.mark.parametrize(
    ("loss", "activation", "depth"),
    [
        pytest.param(loss, *network, marks=() if is_quick(loss, network[0]) else pytest.mark.slow)
        for loss in ALL_LOSSES
        for network in NETWORKS
    ],
)
def test_gradient_of_every_activation_and_loss(loss, activation, depth, rng):
    X, y = rows_for(loss, rng)
    weights = rng.choice([0.0, 0.5, 1.0, 3.0], len(X))
    model = estimator_for(loss, (4, 3)[:depth], activation)
    assert check_gradients(model, X, y, weights) < RIGHT


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "depth"), ALL_NETWORKS)
@pytest.mark.parametrize("loss", ALL_LOSSES)
def test_gradient_of_every_combination(loss, activation, depth):
    numbers = (1, 2) if loss in losses_for("regression") else (1,)
    for weighted, targets, dropout in itertools.product((False, True), numbers, (0.0, 0.3)):
        rng = np.random.default_rng(0)
        X, y = rows_for(loss, rng, targets=targets)
        weights = rng.random(len(X)) if weighted else None
        model = estimator_for(loss, (4, 3, 5)[:depth], activation, dropout=dropout)
        error = check_gradients(model, X, y, weights, max_parameters=20)
        assert error < RIGHT, f"{weighted=}, {targets=}, {dropout=}"


@pytest.mark.parametrize("loss", ["cross_entropy", "brier", "focal"])
@pytest.mark.parametrize("kind", ["classes", "labels"])
@pytest.mark.parametrize("activation", ["identity", "tanh", "softmax"])
def test_gradient_with_label_smoothing_and_weights(loss, kind, activation, rng):
    X, w = rng.normal(size=(12, 3)), rng.random(12) + 0.1
    if kind == "classes":
        y, class_weight = np.arange(12) % 3 // 2, {0: 0.3, 1: 2.0}
    else:
        y, class_weight = np.eye(3, dtype=int)[np.arange(12) % 3], [{1: 5.0}, {0: 0.5}, {0: 1.0}]
    model = MLPSoftmaxClassifier(
        (5, 4), activation, loss=loss, label_smoothing=0.2, class_weight=class_weight, alpha=0.3, random_state=0
    )
    assert check_gradients(model, X, y, w) < RIGHT


def test_check_gradients_sees_a_wrong_gradient(rng, monkeypatch):
    X, y = rows_for("cross_entropy", rng)
    wrong = ACTIVATIONS["tanh"].__class__(ACTIVATIONS["tanh"].phi, lambda xp, v, a, g: g * (1.0 - 1.01 * a * a))
    monkeypatch.setitem(ACTIVATIONS, "tanh", wrong)
    model = MLPSoftmaxClassifier((4, 3), "tanh", engine="reference", random_state=0)
    assert check_gradients(model, X, y) > 1e-3


def test_check_gradients_inspects_the_fitted_weights(rng):
    X, y = rows_for("cross_entropy", rng)
    model = MLPSoftmaxClassifier((4,), "tanh", learning_rate="cosine", max_iter=3, random_state=0).fit(X, y)
    before = [W.copy() for W in model.coefs_]
    assert check_gradients(model, X, y) < RIGHT
    model.coefs_[0][:] = 1e200  # overflows: the derivative there is not a number
    with np.errstate(all="ignore"):
        assert not check_gradients(model, X, y) < RIGHT
    assert not np.array_equal(before[0], model.coefs_[0])


@pytest.mark.parametrize("dropout", [0.5, [0.5, 0.0], [0.3, 0.4, 0.2]])
def test_gradient_with_dropout_uses_the_same_masks_both_ways(dropout, rng):
    X, y = rows_for("cross_entropy", rng)
    model = MLPSoftmaxClassifier((6, 5), "tanh", dropout=dropout, random_state=0)
    assert check_gradients(model, X, y) < RIGHT


def engine_for(network, rng, **kwargs):
    engine = ReferenceEngine(network, Optimizer(**kwargs))
    engine.load(rng.normal(size=network.n_parameters))
    return engine


def test_d1_extended_matrix_form(rng):
    """[1, X] times the block [b; W] is X @ W + b."""
    network = Network((4, 3, 2), ("tanh",))
    theta = rng.normal(size=network.n_parameters)
    P, X = Parameters(np, network, theta), rng.normal(size=(5, 4))
    v = forward(np, network, P, X, [lambda x: x] * 2, [lambda x: x] * 3)[1]
    extended = np.hstack([np.ones((5, 1)), X]) @ theta[: 5 * 3].reshape(5, 3)
    assert_allclose(v[1], extended, rtol=1e-14)


def test_d3_a_layers_output_is_the_next_layers_input(rng):
    network = Network((4, 3, 2), ("tanh",))
    P, X = Parameters(np, network, rng.normal(size=network.n_parameters)), rng.normal(size=(5, 4))
    a, v, q = forward(np, network, P, X, [lambda x: x] * 2, [lambda x: x] * 3)
    assert a[1] is q[1]
    assert_allclose(a[1], np.tanh(X @ P.W[1] + P.b[1]), rtol=1e-14)
    assert_allclose(v[2], np.tanh(X @ P.W[1] + P.b[1]) @ P.W[2] + P.b[2], rtol=1e-14)


def test_d7_sums_over_shards_add_up_to_the_batchs(rng):
    network = Network((3, 8, 3), ("relu",), loss="cross_entropy")
    engine = engine_for(network, rng)
    X, Y, w = rng.normal(size=(23, 3)), rng.integers(0, 3, 23), rng.random(23)
    whole = engine.loss_and_gradient(X, Y, w)
    cuts = [slice(0, 5), slice(5, 6), slice(6, 23)]
    shards = [engine.loss_and_gradient(X[c], Y[c], w[c]) for c in cuts]
    for total, parts in zip(whole, zip(*shards, strict=True), strict=True):
        assert_allclose(sum(parts), total, rtol=1e-12, atol=1e-13)


def test_d7_shards_share_the_dropout_masks_of_the_batch(rng):
    network = Network((3, 8, 3), ("tanh",), loss="cross_entropy", dropout=(0.2, 0.5), seed=5)
    engine = engine_for(network, rng)
    X, Y = rng.normal(size=(23, 3)), rng.integers(0, 3, 23)
    whole = engine.loss_and_gradient(X, Y, None, step=3)[1]
    shards = [
        engine.loss_and_gradient(X[:9], Y[:9], None, step=3)[1],
        engine.loss_and_gradient(X[9:], Y[9:], None, step=3, row_offset=9)[1],
    ]
    assert_allclose(shards[0] + shards[1], whole, rtol=1e-12, atol=1e-13)
    assert not np.allclose(engine.loss_and_gradient(X, Y, None, step=4)[1], whole)


def test_d8_softmax_jacobian(rng):
    v, g = rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
    a = softmax(np, v)
    jacobians = [np.diag(row) - np.outer(row, row) for row in a]
    expected = np.stack([J.T @ g_row for J, g_row in zip(jacobians, g, strict=True)])
    assert_allclose(softmax_vjp(np, v, a, g), expected, rtol=1e-12, atol=1e-15)


def test_d9_is_scikit_learns_log_loss(rng):
    v, y = 3.0 * rng.normal(size=(50, 6)), rng.integers(0, 6, 50)
    values = LOSSES["cross_entropy"].value(np, v, np.eye(6)[y], LossArgs())
    assert_allclose(values.mean(), log_loss(y, softmax(np, v), labels=np.arange(6)), rtol=1e-12)


def test_d10_equals_d11(rng):
    """a - y is -y/a sent through the softmax Jacobian, for one-hot and for smoothed targets."""
    v = 3.0 * rng.normal(size=(50, 6))
    a = softmax(np, v)
    for Y in (np.eye(6)[rng.integers(0, 6, 50)], rng.dirichlet(np.ones(6), 50)):
        d11 = softmax_vjp(np, v, a, -Y / a)
        assert_allclose(cross_entropy_delta(np, v, Y, LossArgs()), d11, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_delta_is_the_derivative_of_the_value_for_each_loss_alone(name, rng):
    loss, args = LOSSES[name], LossArgs(quantiles=(0.3, 0.8))
    Y = {
        "classification": np.eye(4)[rng.integers(0, 4, 9)],
        "multilabel": rng.integers(0, 2, (9, 4)).astype(float),
        "regression": np.abs(rng.normal(size=(9, 4))) + 0.1,
    }[loss.task]
    v, h = rng.normal(size=(9, 4 * loss.outputs_per_target(args))), 1e-6
    delta = loss.delta(np, v, Y, args)
    for j in range(v.shape[1]):
        step = h * np.eye(v.shape[1])[j]
        numerical = (loss.value(np, v + step, Y, args) - loss.value(np, v - step, Y, args)) / (2 * h)
        assert_allclose(delta[:, j], numerical, rtol=1e-6, atol=1e-8)  # second-order differences


def test_flat_vector_and_views_are_inverse(rng):
    network = Network((4, 3, 2), ("tanh",))
    theta = rng.normal(size=network.n_parameters)
    P = Parameters(np, network, theta)
    assert [W.shape for W in P.W[1:]] == [(4, 3), (3, 2)]
    assert np.shares_memory(P.W[2], theta)
    assert np.array_equal(flatten(np, P.W, P.b), theta)


def test_engines_are_chosen_by_name():
    network = Network((4, 2))
    assert isinstance(choose_engine(network, Optimizer(), "reference"), ReferenceEngine)
