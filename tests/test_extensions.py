"""What the documentation says of a new entry: one name in one table, and it is accepted, checked and trained."""

import numpy as np
import pytest
from extensions import ADAGRAD, LINEAR, LOG_COSH, SQUAREPLUS, lecun_uniform
from numpy.testing import assert_allclose

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._engines import choose_engine
from skbackprop._engines.reference import ReferenceEngine
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.initializers import INITIALIZERS
from skbackprop._nn.losses import LOSSES, LossArgs
from skbackprop._nn.network import Network
from skbackprop._nn.optimizers import OPTIMIZERS, Optimizer
from skbackprop._nn.schedules import SCHEDULES
from skbackprop.inspection import check_gradients

NEW = {  # parameter: table, name, entry
    "activation": (ACTIVATIONS, "squareplus", SQUAREPLUS),
    "loss": (LOSSES, "log_cosh", LOG_COSH),
    "solver": (OPTIMIZERS, "adagrad", ADAGRAD),
    "learning_rate": (SCHEDULES, "linear", LINEAR),
    "initializer": (INITIALIZERS, "lecun_uniform", lecun_uniform),
}
RIGHT = 1e-6  # relative; the difference formula itself is good to about 1e-8


@pytest.mark.parametrize("parameter", NEW)
def test_an_entry_is_checked_trained_and_gone(parameter, digits, diabetes, monkeypatch):
    table, name, entry = NEW[parameter]
    if parameter == "loss":
        model, (X, y), good = MLPRegressor((20,), max_iter=20, random_state=0), diabetes, 0.5
    else:
        model, (X, y), good = MLPSoftmaxClassifier((30,), max_iter=20, random_state=0), digits, 0.98
        X, y = X[:300], y[:300]
    model.set_params(**{parameter: name}, random_state=0)
    with pytest.raises(ValueError, match=f"'{parameter}' parameter"):
        model.fit(X, y)
    with monkeypatch.context() as patch:
        patch.setitem(table, name, entry)
        assert check_gradients(model, X[:30], y[:30], max_parameters=100) < RIGHT
        assert model.fit(X, y).score(X, y) > good
    with pytest.raises(ValueError, match=f"'{parameter}' parameter"):
        model.fit(X, y)


def test_squareplus_by_hand():
    """sqrt(1.5^2 + 4) = 2.5."""
    v = np.array([[0.0, 1.5, -1.5]])
    a = SQUAREPLUS.phi(np, v)
    assert_allclose(a, [[1.0, 2.0, 0.5]], rtol=1e-15)
    assert_allclose(SQUAREPLUS.vjp(np, v, a, np.full((1, 3), 10.0)), [[5.0, 8.0, 2.0]], rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squareplus_keeps_its_digits_far_out(dtype):
    v = np.array([[-1e4, -800.0, 800.0, 1e4, np.nan]], dtype=dtype)
    a = SQUAREPLUS.phi(np, v)
    assert a.dtype == dtype
    # phi(-v) = 1 / phi(v) = 1/v - 1/v^3 + ..., the second term being below 2e-6 of the first; float32: 1e-7
    assert_allclose(a[0, :4], [1e-4, 1 / 800.0, 800.0, 1e4], rtol=3e-6)
    assert np.isnan(a[0, 4])


def test_log_cosh_by_hand():
    """cosh(ln 2) = 5/4 and tanh(ln 2) = 3/5."""
    v, y = np.array([[1.0 + np.log(2.0), 3.0]]), np.array([[1.0, 3.0 + np.log(2.0)]])
    assert_allclose(LOG_COSH.value(np, v, y, LossArgs()), [2.0 * np.log(1.25)], rtol=1e-14)
    assert_allclose(LOG_COSH.delta(np, v, y, LossArgs()), [[0.6, -0.6]], rtol=1e-14)
    assert_allclose(LOG_COSH.value(np, v + 1e4, y, LossArgs()), [2e4 - 2.0 * np.log(2.0)], rtol=1e-12)


def test_log_cosh_best_constant(rng):
    """No neighbour is better; and a column of one value has that value."""
    y, w = np.column_stack([rng.gamma(2.0, size=40), np.full(40, 7.0)]), rng.random(40)
    best = LOG_COSH.constant(y, w, LossArgs())
    assert best[1] == 7.0

    def mean(v):
        return np.average(LOG_COSH.value(np, np.broadcast_to(v, y.shape), y, LossArgs()), weights=w)

    for step in (1e-3, -1e-3, 0.5, -0.5):
        assert mean(best + step) > mean(best)


def test_adagrad_by_hand():
    """The squares seen sum to 4, then to 5."""
    theta, opt = np.array([1.0]), Optimizer(epsilon=1e-300)
    state = ADAGRAD.init(np, theta)
    theta, state = ADAGRAD.update(np, np.array([2.0]), state, theta, 0.1, 1, opt)
    assert_allclose(theta, [0.9], rtol=1e-15)
    theta, state = ADAGRAD.update(np, np.array([-1.0]), state, theta, 0.1, 2, opt)
    assert_allclose(theta, [0.9 + 0.1 / np.sqrt(5.0)], rtol=1e-15)


def test_linear_at_its_landmarks():
    factors = LINEAR.factor(np.array([0, 250, 1000, 5000]), 1000, 0.5)
    assert_allclose(factors, [1.0, 0.75, 0.0, 0.0])


def test_linear_reaches_the_steps_of_a_training(digits, monkeypatch):
    monkeypatch.setitem(SCHEDULES, "linear", LINEAR)
    params = {"learning_rate": "linear", "learning_rate_init": 0.01, "max_iter": 4}
    model = MLPSoftmaxClassifier((10,), **params).fit(*digits)
    # an epoch's last step is one step short of 3/4, 1/2, 1/4 and 0
    per_step = 0.01 / (4 * np.ceil(1797 / model.auto_params_["batch_size"]))
    expected = np.array([0.0075, 0.005, 0.0025, 0.0]) + per_step
    assert_allclose(model.learning_rate_curve_, expected, rtol=1e-9)


def test_lecun_uniform_keeps_the_variance():
    W = lecun_uniform(np.random.RandomState(0), 300, 200)
    assert W.shape == (300, 200)
    assert_allclose(W.var(), 1 / 300, rtol=0.03)  # 60,000 draws: 1 % is one standard error


@pytest.mark.parametrize("parameter", ["activation", "loss", "solver"])
def test_without_a_kernel_the_reference_engine_computes_it(parameter, monkeypatch):
    table, name, entry = NEW[parameter]
    monkeypatch.setitem(table, name, entry)
    network = {
        "activation": Network((3, 4, 2), (name,)),
        "loss": Network((3, 2), loss=name),
        "solver": Network((3, 2)),
    }[parameter]
    optimizer = Optimizer(name) if parameter == "solver" else Optimizer()
    assert isinstance(choose_engine(network, optimizer), ReferenceEngine)
    with pytest.raises(ValueError, match=f"'{name}'.* has no kernel"):
        choose_engine(network, optimizer, "compiled")


def test_constants_that_an_optimizer_does_not_use_are_named(digits, monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "adagrad", ADAGRAD)
    with pytest.warns(UserWarning, match=r"beta_1=0.5 has no effect with solver='adagrad'"):
        MLPSoftmaxClassifier((5,), solver="adagrad", beta_1=0.5, max_iter=1, random_state=0).fit(*digits)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_squareplus_in_onnx(dtype, monkeypatch):
    pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    from skbackprop.onnx import to_onnx

    monkeypatch.setitem(ACTIVATIONS, "squareplus", SQUAREPLUS)
    X = np.linspace(-30.0, 30.0, 120).astype(dtype).reshape(-1, 2)
    model = MLPRegressor((6,), "squareplus", max_iter=3, random_state=0).fit(X, X[:, 0])
    session = ort.InferenceSession(to_onnx(model).SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"X": X})[0]
    # rounding of sums of about 30 in the dtype
    assert_allclose(found[:, 0], model.predict(X), atol=1e-4 if dtype == "float32" else 1e-12)
