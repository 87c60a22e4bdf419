"""The epoch loop and the full-batch objective."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skbackprop._engines.reference import ReferenceEngine
from skbackprop._fit.block import Block
from skbackprop._fit.early_stopping import Monitor
from skbackprop._fit.lbfgs import objective_and_gradient, penalty
from skbackprop._fit.spec import FitPlan
from skbackprop._fit.state import Patience, TrainState
from skbackprop._fit.training import Diverged, run_epoch, train
from skbackprop._nn.network import Network, Objective, Parameters
from skbackprop._nn.optimizers import Optimizer


@pytest.fixture
def setting(rng):
    """Engine, rows and parameters of a small weighted classification."""
    network = Network((3, 5, 2), ("tanh",), loss="cross_entropy")
    rows = Block(rng.normal(size=(23, 3)), rng.integers(0, 2, 23), rng.random(23))
    return ReferenceEngine(network, Optimizer("sgd")), rows, rng.normal(size=network.n_parameters)


def test_objective_adds_the_penalty_once_however_many_blocks(setting, monkeypatch):
    engine, rows, theta = setting
    whole = objective_and_gradient(engine, rows, 0.7, theta)
    monkeypatch.setattr("skbackprop._fit.block.BLOCK_ROWS", 4)
    assert len(list(rows.blocks())) == 6
    blocks = objective_and_gradient(engine, rows, 0.7, theta)
    assert_allclose(blocks[0], whole[0], rtol=1e-12)
    assert_allclose(blocks[1], whole[1], rtol=1e-12, atol=1e-14)
    squares = sum((W**2).sum() for W in Parameters(np, engine.network, theta).W[1:])
    bare = objective_and_gradient(engine, rows, 0.0, theta)
    assert_allclose(whole[0] - bare[0], 0.5 * 0.7 * squares / rows.weights.sum(), rtol=1e-10)
    assert_allclose(penalty(engine.network, 0.7, theta)[0], 0.35 * squares)


def test_an_epoch_of_full_batch_steps_follows_the_gradient_of_the_objective(setting):
    engine, rows, theta = setting
    gradient = objective_and_gradient(engine, rows, 0.7, theta)[1]
    engine = ReferenceEngine(engine.network, Optimizer("sgd", momentum=0.0, nesterov=False))
    engine.load(theta, objective=Objective.over(rows.n, rows.weight_sum, 0.7, rows.n))
    run_epoch(engine, rows.epoch(None, False, rows.n), np.array([0.01]), 0, rows.n)
    assert_allclose(engine.dump()[0], theta - 0.01 * gradient, rtol=1e-12)


@pytest.mark.parametrize(("limit", "length"), [(0.01, 0.01), (1e6, None)])
def test_long_gradients_are_shortened_and_short_ones_left_alone(setting, limit, length):
    engine, rows, theta = setting
    gradient = objective_and_gradient(engine, rows, 0.0, theta)[1]
    optimizer = Optimizer("sgd", momentum=0.0, nesterov=False, max_grad_norm=limit)
    engine = ReferenceEngine(engine.network, optimizer)
    engine.load(theta)
    engine.apply_gradient(gradient, 1.0)
    expected = gradient if length is None else gradient * length / np.linalg.norm(gradient)
    assert_allclose(theta - engine.dump()[0], expected, rtol=1e-10)


def test_minibatch_gradients_average_to_that_of_the_objective(setting):
    """Over all batches of an epoch (equal sizes), each estimate of J is right on average."""
    engine, rows, theta = setting
    rows = Block(rows.X[:20], rows.Y[:20], rows.weights[:20])
    gradient = objective_and_gradient(engine, rows, 0.7, theta)[1]
    moves = []
    for start in range(0, 20, 5):
        engine = ReferenceEngine(engine.network, Optimizer("sgd", momentum=0.0, nesterov=False))
        engine.load(theta, objective=Objective.over(rows.n, rows.weight_sum, 0.7, 5))
        engine.train_steps(rows.X, rows.Y, rows.weights, np.arange(start, start + 5), [1.0], 0)
        moves.append(theta - engine.dump()[0])
    assert_allclose(np.mean(moves, axis=0), gradient, rtol=1e-10)


def test_an_epoch_in_slices_is_an_epoch(setting, monkeypatch):
    engine, rows, theta = setting
    results = []
    for seconds in (10.0, 0.0):
        monkeypatch.setattr("skbackprop._engines.reference.SLICE_SECONDS", seconds)
        engine.load(theta, objective=Objective.over(rows.n, rows.weight_sum, 0.1, 4))
        loss = run_epoch(engine, rows.epoch(None, False, 4), np.full(6, 0.1), 0, 4)
        results.append((loss, engine.dump()[0]))
    assert results[0][0] == results[1][0]
    assert np.array_equal(results[0][1], results[1][1])


def test_divergence_carries_the_weights_of_the_epoch_before(setting):
    engine, rows, theta = setting
    plan = FitPlan("constant", np.inf, 5, 50, 0.0, 0.0, 0.0, stops=True)
    state = TrainState(np.random.RandomState(0), patience=Patience(10, 0.0))
    engine.load(theta, objective=Objective.over(rows.n, rows.weight_sum, 0.0, 5))
    with np.errstate(all="ignore"), pytest.raises(Diverged) as caught:
        train(engine, rows, plan, state, Monitor(state), plan.max_iter)
    assert caught.value.epoch == state.epoch + 1
    assert np.isfinite(caught.value.theta).all()
