"""The reference engine: forward and backward propagation, line by line as derived.

Equation numbers D1-D11 are those of the derivation in the documentation. There, samples are columns and
W^(h) is (n_out, n_in); here samples are rows, so W[h] is (n_in, n_out), the transpose. Layers are
h = 1..H, a[0] = X; v[h] is a layer's weighted sum, q[h] its activation, a[h] the same after dropout.
Array-API operations only: the same lines run on NumPy, torch or CuPy arrays on any device, and nothing
is written in place. With sparse X only the two products with a[0] differ, and SciPy overloads those.
"""

from __future__ import annotations

import time
from typing import TypeAlias

import numpy as np

from skbackprop._engines.dropout import Dropper, droppers
from skbackprop._engines.encoded_table import dense
from skbackprop._engines.engine import SLICE_SECONDS, Memory, Number, RowNumbers, Sums, Weights
from skbackprop._engines.members import member, rate_factors, shared_gradient
from skbackprop._engines.precision import Rounding, roundings
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.losses import LOSSES, finish_members, target_rows
from skbackprop._nn.network import Network, Objective, Parameters, weights_alone
from skbackprop._nn.optimizers import OPTIMIZERS, Optimizer
from skbackprop._types import Array, Integers, Namespace

PREDICT_ROWS = 4096  # rows whose activations are in memory at a time
Layers: TypeAlias = tuple[list[Array], list[Array], list[Array]]  # a, v and q, by the number of the layer


def forward(
    xp: Namespace, network: Network, P: Parameters, X: Array, drop: list[Dropper], rounded: list[Rounding]
) -> Layers:
    """Propagate X through the layers: a[0..H-1], v[1..H] and q[1..H-1]; slot 0 of v and q is not used."""
    a, v, q = [drop[0](X)], [X], [X]
    for h in range(1, network.n_layers + 1):
        v.append(rounded[h](a[h - 1]) @ rounded[h](P.W[h]) + P.b[h])  # D1
        if h < network.n_layers:
            q.append(ACTIVATIONS[network.activations[h - 1]].phi(xp, v[h]))  # D2
            a.append(drop[h](q[h]))  # D3
    return a, v, q


def backward(
    xp: Namespace, network: Network, P: Parameters, layers: Layers, delta: Array, drop: list[Dropper],
    rounded: list[Rounding],
) -> tuple[list[Array], list[Array]]:  # fmt: skip
    """Propagate delta[H] = dE/dv[H] back: dE/dW[h] and dE/db[h] for h = 1..H, in the slots of W[h] and b[h]."""
    (a, v, q), grad_W, grad_b = layers, list(P.W), list(P.b)
    for h in range(network.n_layers, 0, -1):
        factor = rounded[h](delta)
        grad_W[h] = rounded[h](a[h - 1]).T @ factor  # D4; sums over the rows, D7
        grad_b[h] = xp.sum(delta, axis=0)  # D4 for the input x_0 = 1 of D1
        if h > 1:
            g = drop[h - 1](factor @ rounded[h](P.W[h]).T)  # sum_k delta_k w_ki of D5
            phi = ACTIVATIONS[network.activations[h - 2]]
            delta = phi.vjp(xp, v[h - 1], q[h - 1], g)  # D6; D8 for softmax
    return grad_W, grad_b


class ReferenceEngine:
    """The interface `Engine`, implemented by `forward` and `backward`; tests compare all other engines with it."""

    def __init__(self, network: Network, optimizer: Optimizer, xp: Namespace = np, precision: str = "highest"):
        self.network, self.optimizer, self.xp, self.precision = network, optimizer, xp, precision
        self.loss, self.rule = LOSSES[network.loss], OPTIMIZERS[optimizer.name]

    def load(self, theta: Array, state: Memory | None = None, objective: Objective | None = None) -> None:
        xp = self.xp
        self.network.check(theta)
        if state is not None:
            self.rule.check(state, theta)
        self.theta, self.step = theta, 0
        self.state = self.rule.init(xp, theta) if state is None else state
        self.objective = Objective(1) if objective is None else objective
        self.is_weight = weights_alone(xp, self.network, xp.ones_like(theta))
        self.pace = rate_factors(xp, self.network, theta, self.optimizer.input_scale_rate)

    def dump(self, memory: bool = True) -> tuple[Array, Memory | None]:
        return self.theta, self.state if memory else None

    def loss_and_gradient(
        self, X: Array, Y: Array, weights: Weights, step: int | None = None, row_offset: RowNumbers = 0
    ) -> tuple[Number, Array, Number]:
        """Sum of w * loss, its gradient, sum of w: sums, so that shards add up (D7)."""
        xp, network = self.xp, self.network
        rounded, X = roundings(xp, self.precision, network.n_layers, X, self.theta), dense(X)
        P, values, grads = Parameters(xp, network, self.theta), [], []
        y = target_rows(xp, self.loss, Y, network.sizes[-1], self.theta, network.loss_args)
        total: Number = float(X.shape[0]) if weights is None else xp.sum(weights)
        for j in range(network.n_members):  # J has the mean of the members' losses
            M = member(network, P, j)
            drop = droppers(xp, network, step, row_offset, X, self.theta, j)
            _, v, _ = layers = forward(xp, network, M, X, drop, rounded)
            value = self.loss.value(xp, v[-1], y, network.loss_args) / network.n_members  # D9
            delta = self.loss.delta(xp, v[-1], y, network.loss_args) / network.n_members  # D10, or D11
            if weights is not None:
                value, delta = value * weights, delta * weights[:, None]
            values.append(xp.sum(value))
            grads.append(backward(xp, network, M, layers, delta, drop, rounded))
        return sum(values), shared_gradient(xp, network, P, grads), total

    def apply_gradient(self, gradient: Array, rate: float) -> None:
        xp, opt = self.xp, self.optimizer
        if opt.max_grad_norm is not None:
            norm = xp.sqrt(xp.sum(gradient * gradient))
            limit = xp.full_like(norm, opt.max_grad_norm)
            gradient = gradient * (limit / xp.maximum(norm, limit))
        theta, rates = self.theta, rate * self.pace
        if opt.weight_decay > 0.0:  # decoupled (Loshchilov and Hutter, AdamW, 2019)
            theta = theta - rates * opt.weight_decay * self.is_weight * theta
        self.step += 1
        self.theta, self.state = self.rule.update(xp, gradient, self.state, theta, rates, self.step, opt)

    def train_steps(
        self, X: Array, Y: Array, weights: Weights, order: Integers, rates: Array,
        first_step: int, sums: Sums = (0.0, 0.0),
    ) -> tuple[Sums, int]:  # fmt: skip
        xp, objective, self.step = self.xp, self.objective, first_step
        loss_sum, weight_sum = sums
        until = time.perf_counter() + SLICE_SECONDS
        for done, rate in enumerate(rates, start=1):
            stop = min(done * objective.batch_size, order.shape[0])
            rows = order[(done - 1) * objective.batch_size : stop]
            w = None if weights is None else xp.take(weights, rows)
            x = xp.take(X, rows, axis=0) if xp is not np else X[rows]
            loss, gradient, total = self.loss_and_gradient(x, xp.take(Y, rows, axis=0), w, step=self.step)
            gradient = gradient / (rows.shape[0] * objective.mean_weight)  # D7
            gradient = gradient + objective.penalty * self.is_weight * self.theta
            self.apply_gradient(gradient, float(rate))
            loss_sum, weight_sum = loss_sum + loss, weight_sum + total
            if time.perf_counter() > until:
                break
        return (loss_sum, weight_sum), done

    @np.errstate(all="ignore")  # the caller looks for what is not finite
    def predict(self, X: Array, link: bool = True, checked: bool = True, members: bool = False) -> Array | None:
        xp, network = self.xp, self.network
        if not checked and not xp.all(xp.isfinite(X)):
            return None
        P, keep = Parameters(xp, network, self.theta), droppers(xp, network, None, 0, X, self.theta)
        nets = [member(network, P, j) for j in range(network.n_members)]
        rounded = roundings(xp, self.precision, network.n_layers, X, self.theta)
        blocks = []
        for start in range(0, X.shape[0], PREDICT_ROWS):
            block = dense(X[start : min(start + PREDICT_ROWS, X.shape[0]), :])
            blocks.append(xp.stack([forward(xp, network, M, block, keep, rounded)[1][-1] for M in nets]))
        return finish_members(xp, self.loss, xp.concat(blocks, axis=1), link, members)
