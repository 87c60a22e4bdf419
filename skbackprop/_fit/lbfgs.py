"""The full batch: the objective J with its gradient, and L-BFGS on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, minimize
from threadpoolctl import threadpool_limits

from skbackprop._engines.engine import Engine
from skbackprop._fit.dataset import TrainingSet
from skbackprop._fit.early_stopping import Monitor
from skbackprop._fit.training import Checkpoint, Diverged, Outcome
from skbackprop._nn.network import Network, weights_alone
from skbackprop._types import Array


def objective_and_gradient(
    engine: Engine, rows: TrainingSet, alpha: float, theta: Array, step: int | None = None
) -> tuple[float, np.ndarray]:
    """J(theta) = (sum_i w_i loss_i + alpha/2 sum_h |W[h]|^2) / sum_i w_i, and its gradient.

    Only here the penalty is added to the sums of the engine, and they are divided. If a step is given, the dropout
    masks of that step are applied. Theta and the gradient are on the host, wherever the rows are.
    """
    engine.load(rows.device.put(theta))
    loss, weight_sum, offset = 0.0, 0.0, 0
    gradient: Any = 0.0
    for block in rows.blocks():
        shard = engine.loss_and_gradient(block.X, block.Y, block.weights, step, offset)
        loss, gradient = loss + float(shard[0]), gradient + shard[1]  # D7
        weight_sum, offset = weight_sum + float(shard[2]), offset + block.n
    gradient = rows.device.fetch(gradient)
    value, derivative = penalty(engine.network, alpha / rows.unit, theta)
    return (loss + value) / weight_sum, (gradient + derivative) / weight_sum


def penalty(network: Network, alpha: float, theta: Array) -> tuple[float, np.ndarray]:
    """alpha/2 sum_h |W[h]|^2 and its gradient; biases and factors are not penalised."""
    W = weights_alone(np, network, theta)
    return 0.5 * alpha * float(np.vdot(W, W)), alpha * W


def minimize_lbfgs(
    engine: Engine,
    rows: TrainingSet,
    theta: Array,
    monitor: Monitor,
    alpha: float,
    options: dict[str, float],
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Minimise J by SciPy's L-BFGS-B (Zhu et al., 1997); an iteration counts as an epoch."""
    weight_sum = rows.weight_sum
    outcome = Outcome(theta)
    stopped, made, theta = False, 0, rows.device.fetch(theta)

    def fun(theta: np.ndarray) -> tuple[float, np.ndarray]:
        return objective_and_gradient(engine, rows, alpha, theta)

    def data_term(result: OptimizeResult) -> float:
        # alpha beside weights as the engine sees them
        value = penalty(engine.network, alpha / rows.unit, result.x)[0]
        return float(result.fun - value / (weight_sum / rows.unit))

    def callback(intermediate_result: OptimizeResult) -> None:
        nonlocal stopped, made
        made += 1
        outcome.theta = np.array(intermediate_result.x)
        ends = monitor.ends_with(data_term(intermediate_result), outcome.theta)
        stopped = monitor.stopped or (ends and monitor.early_stopping)
        if checkpoint is not None and checkpoint.is_due(stopped or made == options["maxiter"]):
            engine.load(outcome.theta)
            checkpoint.write(engine, monitor.state)
        if stopped:
            raise StopIteration

    if not np.isfinite(fun(theta)[0]):
        raise Diverged(1, None, theta)
    try:
        # SciPy's vectors are short: threads of its BLAS would not help, and would change the last bits
        with threadpool_limits(1, user_api="blas"):
            result = minimize(fun, theta, jac=True, method="L-BFGS-B", callback=callback, options=options)
    except KeyboardInterrupt as interrupt:
        outcome.interrupt = interrupt
        return outcome
    if not (np.isfinite(result.fun) and np.isfinite(result.x).all()):
        raise Diverged(len(monitor.state.history.loss_curve) + 1, None, outcome.theta)
    outcome.theta, outcome.message = np.array(result.x), str(result.message)
    outcome.converged = stopped or result.status == 0
    if not monitor.state.history.loss_curve:  # the start was a minimum already
        monitor.ends_with(data_term(result), result.x)
    return outcome
