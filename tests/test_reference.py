"""The reference engine in the terms of the array-API standard, on arrays other than NumPy's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skbackprop._engines.reference import ReferenceEngine
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.losses import LOSSES, LossArgs
from skbackprop._nn.network import Network, Objective
from skbackprop._nn.optimizers import OPTIMIZERS, Optimizer


@pytest.fixture(params=["array_api_strict", "torch"])
def xp(request):
    """Other namespace of arrays: one that allows nothing beyond the standard, and torch's."""
    if request.param == "torch":
        pytest.importorskip("torch")
        pytest.importorskip("array_api_compat")
        import array_api_compat.torch as namespace

        return namespace
    return pytest.importorskip(request.param)


@pytest.fixture(autouse=True)
def no_slices(monkeypatch):
    """A first call can take long: let it make all its steps."""
    monkeypatch.setattr("skbackprop._engines.reference.SLICE_SECONDS", 1e9)


def problem(loss, rng, n=11):
    args = LossArgs(quantiles=(0.3, 0.8), label_smoothing=0.1)
    X = rng.normal(size=(n, 4))
    Y = {
        "classification": rng.integers(0, 3, n),
        "multilabel": rng.integers(0, 2, (n, 3)).astype(float),
        "regression": np.abs(rng.normal(size=(n, 3))) + 0.1,
    }[LOSSES[loss].task]
    outputs = 3 * LOSSES[loss].outputs_per_target(args)
    return X, Y, rng.random(n), outputs, args


def run(xp, network, optimizer, theta, X, Y, w):
    """Gradient, three steps, prediction, on arrays of xp; back as NumPy arrays."""
    engine = ReferenceEngine(network, optimizer, xp)
    theta, X, Y, w = (xp.asarray(a) for a in (theta, X, Y, w))
    engine.load(theta, objective=Objective(5, 0.5, 0.01))
    value, gradient, total = engine.loss_and_gradient(X, Y, w, step=1)
    order, rates, sums, done = xp.asarray(np.arange(11)[::-1].copy()), [0.1, 0.05, 0.01], (0.0, 0.0), 0
    while done < 3:  # a call may end early, to be interrupted
        sums, n = engine.train_steps(X, Y, w, order[5 * done :], rates[done:], done, sums)
        done += n
    return [np.asarray(a) for a in (value, gradient, total, *sums, engine.dump()[0], engine.predict(X))]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_in_other_namespaces(activation, xp, rng):
    X, Y, w, outputs, args = problem("cross_entropy", rng)
    network = Network((4, 5, outputs), (activation,), "cross_entropy", args, dropout=(0.2, 0.3), seed=1)
    compare(xp, network, Optimizer(), rng, X, Y, w)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_in_other_namespaces(loss, xp, rng):
    X, Y, w, outputs, args = problem(loss, rng)
    compare(xp, Network((4, 5, outputs), ("tanh",), loss, args, dropout=(0.0, 0.0)), Optimizer(), rng, X, Y, w)


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_every_optimizer_in_other_namespaces(solver, xp, rng):
    X, Y, w, outputs, args = problem("cross_entropy", rng)
    optimizer = Optimizer(solver, weight_decay=0.1, max_grad_norm=0.01)
    compare(xp, Network((4, outputs), (), "cross_entropy", args), optimizer, rng, X, Y, w)


def compare(xp, network, optimizer, rng, X, Y, w):
    theta = 0.5 * rng.normal(size=network.n_parameters)
    ours = run(np, network, optimizer, theta, X, Y, w)
    theirs = run(xp, network, optimizer, theta, X, Y, w)
    for a, b in zip(ours, theirs, strict=True):
        assert_allclose(a, b, rtol=1e-9, atol=1e-12)  # float64 in another order
