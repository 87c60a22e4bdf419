"""The tables' entries: values against SciPy and against definitions."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.testing import assert_allclose

from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.initializers import INITIALIZERS, initialize
from skbackprop._nn.losses import LINKS, LOSSES, LossArgs
from skbackprop._nn.network import Network, Objective
from skbackprop._nn.optimizers import OPTIMIZERS, Optimizer
from skbackprop._nn.schedules import SCHEDULES

V = np.array([[-800.0, -30.0, -2.0, -0.5, 0.0, 0.3, 1.0, 4.0, 30.0, 800.0]])
EXPECTED = {  # else the value is that of the activation's module in torch
    "identity": V,
    "logistic": scipy.special.expit(V),
    "tanh": np.tanh(V),
    "relu": np.maximum(V, 0),
    "leaky_relu": np.where(V > 0, V, 0.01 * V),
    "elu": scipy.special.expm1(np.minimum(V, 0)) + np.maximum(V, 0),
    "selu": 1.0507009873554805 * np.where(V > 0, V, 1.6732632423543772 * np.expm1(np.minimum(V, 0))),
    "gelu": V * scipy.stats.norm.cdf(V),
    "silu": V * scipy.special.expit(V),
    "mish": V * np.tanh(np.logaddexp(0, V)),
    "softplus": np.logaddexp(0, V),
    "softmax": scipy.special.softmax(V, axis=1),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activation_values_also_far_out(name, dtype):
    expected, v = EXPECTED.get(name), V.astype(dtype)
    if expected is None:
        torch = pytest.importorskip("torch")
        expected = ACTIVATIONS[name].torch(torch.nn)(torch.asarray(V)).numpy()
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        a = ACTIVATIONS[name].phi(np, v)
        g = ACTIVATIONS[name].vjp(np, v, a, np.ones_like(v))
    assert a.dtype == g.dtype == dtype
    rtol, atol = (1e-5, 1e-6) if dtype == np.float32 else (1e-12, 1e-15)
    assert_allclose(a, expected, rtol=rtol, atol=atol)
    assert np.isfinite(g).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_keeps_nan(name):
    with np.errstate(invalid="ignore"):
        a = ACTIVATIONS[name].phi(np, np.array([[np.nan, 1.0]]))
    assert np.isnan(a[0, 0])


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_delta_are_finite_far_out(name):
    loss, args = LOSSES[name], LossArgs(quantiles=(0.3, 0.8))
    # e^v overflows further out, as it must
    scale = 100.0 if loss.link == "exp" or name == "gaussian" else 1e4
    v = scale * np.array([[1.0, -1.0] * loss.outputs_per_target(args)])
    y = np.array([[0.0, 1.0]]) if loss.task != "regression" else np.array([[1.0, 2.0]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(loss.value(np, v, y, args)).all()
        assert np.isfinite(loss.delta(np, v, y, args)).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_best_constant_is_the_best(name, weighted, rng):
    """No other constant near or far has a smaller weighted mean loss."""
    loss, args = LOSSES[name], LossArgs(quantiles=(0.3, 0.8), focal_gamma=0.0)
    # focal's best constant has no closed form; at gamma = 0 it is cross-entropy's, which serves as its yardstick
    Y = {
        "classification": np.eye(3)[rng.integers(0, 3, 50)],
        "multilabel": rng.integers(0, 2, (50, 2)).astype(float),
        "regression": rng.gamma(2.0, size=(50, 2)),
    }[loss.task]
    w = rng.random(50) if weighted else np.ones(50)
    best = loss.constant(Y, w, args)

    def mean(v):
        return np.average(loss.value(np, np.broadcast_to(v, (50, len(v))), Y, args), weights=w)

    for size in (1e-3, 0.1, 2.0):
        for _ in range(20):
            assert mean(best + size * rng.normal(size=len(best))) >= mean(best) - 1e-12


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.quadratic is not None])
def test_losses_of_labels_are_as_quadratic_as_they_say(name, rng):
    """Less quadratic |y|^2, the value of a mean of targets is the mean of their values."""
    loss, args = LOSSES[name], LossArgs(quantiles=(0.3, 0.8))
    v, y = rng.normal(size=(1, 4)), rng.dirichlet(np.ones(4), 6)

    def linear(y):
        return loss.value(np, np.broadcast_to(v, y.shape), y, args) - loss.quadratic * np.sum(y**2, axis=1)

    assert_allclose(linear(y.mean(axis=0, keepdims=True)), [linear(y).mean()], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "v", "y", "value"),
    [
        ("cross_entropy", [0.0, np.log(3.0)], [0.0, 1.0], np.log(4 / 3)),
        ("brier", [0.0, np.log(3.0)], [0.0, 1.0], 2 * 0.25**2),
        ("focal", [0.0, np.log(3.0)], [0.0, 1.0], 0.25**2 * np.log(4 / 3)),
        ("binary_cross_entropy", [0.0, np.log(3.0)], [0.0, 1.0], np.log(2.0) + np.log(4 / 3)),
        ("binary_brier", [0.0, np.log(3.0)], [0.0, 1.0], 0.25 + 0.25**2),
        ("binary_focal", [0.0, np.log(3.0)], [0.0, 1.0], 0.25 * np.log(2) + 0.25**2 * np.log(4 / 3)),
        ("squared_error", [1.0, 2.0], [0.0, 5.0], 5.0),
        ("absolute_error", [1.0, 2.0], [0.0, 5.0], 4.0),
        ("huber", [1.0, 2.0], [0.0, 5.0], 0.5 + 1.35 * (3.0 - 0.675)),
        ("quantile", [1.0, 2.0], [0.0, 5.0], 0.5 * 1.0 + 0.5 * 3.0),
        ("poisson", [0.0, np.log(2.0)], [1.0, 0.0], 0.0 + 2.0),
        ("gamma", [0.0, np.log(2.0)], [1.0, 1.0], 0.0 + np.log(2.0) - 0.5),
        ("gaussian", [1.0, 2.0, *[np.log(0.9999)] * 2], [0.0, 5.0], 2 * 0.5 * np.log(2 * np.pi) + 5.0),
    ],
)
def test_loss_values_by_hand(name, v, y, value):
    v, y = np.array([v]), np.array([y])
    assert_allclose(LOSSES[name].value(np, v, y, LossArgs()), [value], rtol=1e-12)


def test_every_loss_was_computed_by_hand():
    mark = next(m for m in test_loss_values_by_hand.pytestmark if m.name == "parametrize")
    assert {case[0] for case in mark.args[1]} == set(LOSSES)


def test_links_invert_what_the_constants_say(rng):
    y = rng.gamma(2.0, size=(40, 1))
    w = rng.random(40)
    for name in ("poisson", "gamma", "squared_error"):
        v = LOSSES[name].constant(y, w, LossArgs())
        assert_allclose(LINKS[LOSSES[name].link].phi(np, v), np.average(y, axis=0, weights=w), rtol=1e-12)


# By hand, the first two steps from theta = 1 with gradients 2 and -1 at rate 0.1.
MU = [0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in (1, 2, 3)]  # Dozat's schedule
TWO_STEPS = {
    "sgd": (1 - 0.1 * (0.9 * 2 + 2), lambda th: th + 0.1 * (0.9 * (0.9 * -2 + 1) + 1)),
    "rmsprop": (1 - 0.1 * 2 / np.sqrt(0.001 * 4), lambda th: th + 0.1 / np.sqrt(0.999 * 0.004 + 0.001)),
    "adam": (
        1 - 0.1,
        lambda th: th - 0.1 * ((0.9 * 0.2 - 0.1) / 0.19) / np.sqrt((0.999 * 0.004 + 0.001) / (1 - 0.999**2)),
    ),
    "nadam": (
        1 - 0.1 * (MU[1] / (1 - MU[0] * MU[1]) * 0.2 + 2) / 2,
        lambda th: (
            th
            - 0.1
            * (MU[2] / (1 - MU[0] * MU[1] * MU[2]) * (0.9 * 0.2 - 0.1) - (1 - MU[1]) / (1 - MU[0] * MU[1]))
            / np.sqrt((0.999 * 0.004 + 0.001) / (1 - 0.999**2))
        ),
    ),
    "lion": (1 - 0.1, lambda th: th + 0.1),  # sign(0.9 * 0.002 - 0.1) = -1
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_by_hand(name):
    rule, opt = OPTIMIZERS[name], Optimizer(name, epsilon=1e-300)
    theta = np.array([1.0])
    state = rule.init(np, theta)
    first, second = TWO_STEPS[name]
    theta, state = rule.update(np, np.array([2.0]), state, theta, 0.1, 1, opt)
    assert_allclose(theta, first, rtol=1e-12)
    theta, state = rule.update(np, np.array([-1.0]), state, theta, 0.1, 2, opt)
    assert_allclose(theta, second(first), rtol=1e-12)
    assert set(state) >= set(rule.slots)


def test_nadam_approaches_adam_with_look_ahead():
    """With a constant gradient both steps tend to the rate."""
    rule, opt, theta = OPTIMIZERS["nadam"], Optimizer("nadam"), np.array([0.0])
    state = rule.init(np, theta)
    for t in range(1, 2000):
        before = theta
        theta, state = rule.update(np, np.array([3.0]), state, theta, 0.01, t, opt)
    assert_allclose(before - theta, 0.01, rtol=1e-3)


def test_schedules_at_their_landmarks():
    def at(name, *steps, power_t=0.5):
        return SCHEDULES[name].factor(np.array(steps), 1000, power_t)

    assert_allclose(at("constant", 0, 999), 1.0)
    assert_allclose(at("adaptive", 0, 999), 1.0)
    assert_allclose(at("invscaling", 0, 3, 99), [1.0, 0.5, 0.1])
    assert_allclose(at("invscaling", 7, power_t=1.0), 1 / 8)
    assert_allclose(at("cosine", 0, 250, 500, 1000, 5000), [1, 0.5 + 0.5**1.5, 0.5, 0, 0], atol=1e-15)
    assert_allclose(at("warmup_cosine", 0, 49, 99, 550, 1000), [0.01, 0.5, 1.0, 0.5, 0.0], atol=1e-15)
    assert_allclose(at("onecycle", 0, 150, 300, 650, 1000), [0.04, 0.52, 1.0, 0.5, 0.0], atol=1e-15)
    cycle_ends = [1000 * (2**k - 1) / 15 for k in range(5)]
    assert_allclose(at("coslog4", *cycle_ends), 0.0, atol=1e-12)
    assert_allclose(at("coslog4", 1000 * (2**0.5 - 1) / 15), 1.0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_stay_between_zero_and_one(name):
    factors = SCHEDULES[name].factor(np.arange(337), 337, 0.5)
    assert factors.shape == (337,)
    assert ((factors >= 0) & (factors <= 1)).all()


VARIANCE = {
    "glorot_uniform": 2 / 500,
    "glorot_normal": 2 / 500,
    "he_uniform": 2 / 300,
    "he_normal": 2 / 300,
    "lecun_normal": 1 / 300,
    "orthogonal": 1 / 300,
}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers_have_the_variance_of_their_papers(name):
    W = INITIALIZERS[name](np.random.RandomState(0), 300, 200)
    assert W.shape == (300, 200)
    assert_allclose(W.var(), VARIANCE[name], rtol=0.03)  # 60,000 draws: 1 % is one standard error
    if name.endswith("uniform"):
        assert np.abs(W).max() <= np.sqrt(3 * VARIANCE[name])


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5)])
def test_orthogonal_initializer_is_orthonormal(shape):
    W = INITIALIZERS["orthogonal"](np.random.RandomState(0), *shape)
    G = W.T @ W if shape[0] >= shape[1] else W @ W.T
    assert_allclose(G, np.eye(min(shape)), atol=1e-12)


def test_auto_initializer_follows_the_activation_and_starts_outputs_at_zero():
    network = Network((300, 200, 200, 3), ("relu", "tanh"))
    W, b, _ = initialize(network, "auto", np.random.RandomState(0))
    assert_allclose(W[1].var(), 2 / 300, rtol=0.03)
    assert_allclose(W[2].var(), 2 / 400, rtol=0.03)
    assert not W[3].any()
    assert not np.concatenate(b[1:]).any()


def test_objective_of_a_minibatch_is_unbiased():
    objective = Objective.over(n_rows=50, weight_sum=100.0, alpha=0.5, batch_size=8)
    assert objective == Objective(8, 2.0, 0.005)
    assert objective.n_steps(50) == 7
