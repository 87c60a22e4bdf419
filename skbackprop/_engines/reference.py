"""The textbook page: forward and backward propagation, line by line as derived.

Equation numbers D1-D11 are those of the derivation in the documentation. There, samples are columns and
W^(h) is (n_out, n_in); here samples are rows, so W[h] is (n_in, n_out), the transpose. Layers are
h = 1..H, a[0] = X; v[h] is a layer's weighted sum, q[h] its activation, a[h] what dropout leaves of it.
Array-API operations only: the same lines run on NumPy, torch or CuPy arrays, wherever X lives, and nothing
is written in place. With sparse X only the two products with a[0] differ, and SciPy overloads those.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.sparse as sp

from skbackprop._engines.dropout import droppers
from skbackprop._engines.members import member, rate_factors, shared_gradient
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.losses import LOSSES, finish_members, target_rows
from skbackprop._nn.network import Network, Parameters, weights_alone
from skbackprop._nn.optimizers import OPTIMIZERS, Optimizer

SLICE_SECONDS = 0.05  # of work between two chances to interrupt
PREDICT_ROWS = 4096  # rows whose activations are held at a time


def forward(xp, network, P, X, drop):
    """Propagate X through the layers: a[0..H-1], v[1..H] and q[1..H-1]."""
    a, v, q = [drop[0](X)], [None], [None]
    for h in range(1, network.n_layers + 1):
        v.append(a[h - 1] @ P.W[h] + P.b[h])  # D1
        if h < network.n_layers:
            q.append(ACTIVATIONS[network.activations[h - 1]].phi(xp, v[h]))  # D2
            a.append(drop[h](q[h]))  # D3
    return a, v, q


def backward(xp, network, P, a, v, q, delta, drop):
    """Propagate delta[H] = dE/dv[H] back: dE/dW[h] and dE/db[h] for h = 1..H."""
    grad_W, grad_b = [None] * (network.n_layers + 1), [None] * (network.n_layers + 1)
    for h in range(network.n_layers, 0, -1):
        grad_W[h] = a[h - 1].T @ delta  # D4; sums over the rows, D7
        grad_b[h] = xp.sum(delta, axis=0)  # D4 for the input x_0 = 1 of D1
        if h > 1:
            g = drop[h - 1](delta @ P.W[h].T)  # sum_k delta_k w_ki of D5
            phi = ACTIVATIONS[network.activations[h - 2]]
            delta = phi.vjp(xp, v[h - 1], q[h - 1], g)  # D6; D8 for softmax
    return grad_W, grad_b


class ReferenceEngine:
    """The engine contract on `forward` and `backward`; the oracle of every other engine.

    Targets Y are class codes, integers (rows,), for the losses of one label per row, and else numbers (rows, targets).
    """

    def __init__(self, network: Network, optimizer: Optimizer, xp: Any = np):
        self.network, self.optimizer, self.xp = network, optimizer, xp
        self.loss, self.rule = LOSSES[network.loss], OPTIMIZERS[optimizer.name]

    def load(self, theta, state: dict | None = None, objective: Any = None) -> None:
        """Take parameters, the optimizer's memory (None: fresh) and the Objective that a step follows."""
        xp = self.xp
        self.theta, self.step = theta, 0
        self.state = self.rule.init(xp, theta) if state is None else state
        self.objective = objective
        self.is_weight = weights_alone(xp, self.network, xp.ones_like(theta))
        self.pace = rate_factors(xp, self.network, theta, self.optimizer.input_scale_rate)

    def dump(self, memory: bool = True) -> tuple[Any, dict | None]:
        """Give the parameters and, if asked for, the optimizer's memory back, as they are now."""
        return self.theta, self.state if memory else None

    def loss_and_gradient(self, X, Y, weights, step: int | None = None, row_offset: Any = 0):
        """Sum of w * loss, its gradient, sum of w: sums, so that shards add up (D7); see `droppers`."""
        xp, network = self.xp, self.network
        P, grads, values = Parameters(xp, network, self.theta), [], 0.0
        y = target_rows(xp, self.loss, Y, network.sizes[-1], self.theta, network.loss_args)
        total = float(X.shape[0]) if weights is None else xp.sum(weights)
        for j in range(network.n_members):  # J has the mean of the members' losses
            M = member(network, P, j)
            drop = droppers(xp, network, step, row_offset, X, self.theta, j)
            a, v, q = forward(xp, network, M, X, drop)
            value = self.loss.value(xp, v[-1], y, network.loss_args) / network.n_members  # D9
            delta = self.loss.delta(xp, v[-1], y, network.loss_args) / network.n_members  # D10, or D11
            if weights is not None:
                value, delta = value * weights, delta * weights[:, None]
            values = values + xp.sum(value)
            grads.append(backward(xp, network, M, a, v, q, delta, drop))
        return values, shared_gradient(xp, network, P, grads), total

    def apply_gradient(self, gradient, rate: float) -> None:
        """Make one step of the optimizer."""
        xp, opt = self.xp, self.optimizer
        if opt.max_grad_norm is not None:
            norm = xp.sqrt(xp.sum(gradient * gradient))
            limit = xp.full_like(norm, opt.max_grad_norm)
            gradient = gradient * (limit / xp.maximum(norm, limit))
        theta, rate = self.theta, rate * self.pace
        if opt.weight_decay > 0.0:  # decoupled (Loshchilov and Hutter, AdamW, 2019)
            theta = theta - rate * opt.weight_decay * self.is_weight * theta
        self.step += 1
        self.theta, self.state = self.rule.update(xp, gradient, self.state, theta, rate, self.step, opt)

    def train_steps(self, X, Y, weights, order, rates, first_step: int, sums=(0.0, 0.0)):
        """Walk through the rows of `order`, a minibatch a step, until they or the time slice end; add to the sums."""
        xp, objective, self.step = self.xp, self.objective, first_step
        take = (lambda A, rows: A[rows]) if sp.issparse(X) else (lambda A, rows: xp.take(A, rows, axis=0))
        loss_sum, weight_sum = sums
        until = time.perf_counter() + SLICE_SECONDS
        for done, rate in enumerate(rates, start=1):
            stop = min(done * objective.batch_size, order.shape[0])
            rows = order[(done - 1) * objective.batch_size : stop]
            w = None if weights is None else xp.take(weights, rows)
            loss, gradient, total = self.loss_and_gradient(
                take(X, rows), xp.take(Y, rows, axis=0), w, step=self.step
            )
            gradient = gradient / (rows.shape[0] * objective.mean_weight)  # D7
            gradient = gradient + objective.penalty * self.is_weight * self.theta
            self.apply_gradient(gradient, float(rate))
            loss_sum, weight_sum = loss_sum + loss, weight_sum + total
            if time.perf_counter() > until:
                break
        return (loss_sum, weight_sum), done

    def predict(self, X, link: bool = True, checked: bool = True, members: bool = False):
        """Output of the network for the rows of X: link(v[H]), or v[H] itself.

        Of several members the mean prediction, or with `members` each one's, (members, rows, outputs).
        None if X was not checked before and holds NaN or infinity.
        """
        xp, network = self.xp, self.network
        if not checked and not xp.all(xp.isfinite(X)):
            return None
        P, keep = Parameters(xp, network, self.theta), [lambda x: x] * network.n_layers
        nets = [member(network, P, j) for j in range(network.n_members)]
        blocks = []
        for start in range(0, X.shape[0], PREDICT_ROWS):
            block = X[start : min(start + PREDICT_ROWS, X.shape[0]), :]
            blocks.append(xp.stack([forward(xp, network, M, block, keep)[1][-1] for M in nets]))
        return finish_members(xp, self.loss, xp.concat(blocks, axis=1), link, members)
