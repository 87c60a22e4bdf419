"""Optimizers: init and update, one entry each, as the papers write them.

``update(xp, g, state, theta, rate, t, opt)`` returns the new theta and the new state. g is the gradient of
the objective, t = 1, 2, ... the number of the step, rate its learning rate. Nothing is written in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from skbackprop._types import Array, Namespace

Rate = Array | float  # one for all parameters, or one for each
Memory = dict[str, Any]  # arrays and numbers of an optimizer, by the names of its entry
Step = tuple[Array, Memory]  # result of a step: theta and the memory


@dataclass(frozen=True)
class Optimizer:
    """The name of the rule, and its constants."""

    name: str = "adam"
    momentum: float = 0.9
    nesterov: bool = True
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    max_grad_norm: float | None = None
    input_scale_rate: float = 1.0  # factor of the rate with which the input scale learns


Update = Callable[[Namespace, Array, Memory, Array, Rate, int, Optimizer], Step]


@dataclass(frozen=True)
class Rule:
    """An entry: the names of its memory vectors, its update, and suitable learning rates."""

    slots: tuple[str, ...]
    update: Update
    rate: float  # constant
    peak: float  # largest of a schedule that ends near zero
    uses: tuple[str, ...] = ()  # constants of Optimizer that it uses
    unbounded: bool = False  # do its steps grow with the gradient?

    def init(self, xp: Namespace, theta: Array) -> Memory:
        """Fresh memory: zeros."""
        return {slot: xp.zeros_like(theta) for slot in self.slots}

    def check(self, state: object, theta: Array) -> None:
        """Raise unless this is a memory of this rule for these parameters."""
        known = state if isinstance(state, dict) else {}
        for name in self.init(np, np.empty(0)):
            value = known.get(name)
            is_right = isinstance(value, Real)
            if name in self.slots:
                is_real = not isinstance(value, np.ndarray) or value.dtype.kind == "f"  # or a device's
                is_right = is_real and tuple(getattr(value, "shape", ())) == tuple(theta.shape)
            if not is_right:
                raise ValueError(
                    f"The optimizer's memory {name!r} is not one of this network's {theta.shape[0]} parameters: the "
                    "state of this estimator is damaged, or was changed. Call fit, or load it from an intact file."
                )


def sgd(xp: Namespace, g: Array, state: Memory, theta: Array, rate: Rate, t: int, opt: Optimizer) -> Step:
    """Momentum (Polyak, 1964), Nesterov's in the form of Sutskever et al. (2013); the rate stays outside."""
    velocity = opt.momentum * state["velocity"] - g
    step = opt.momentum * velocity - g if opt.nesterov else velocity
    return theta + rate * step, {"velocity": velocity}


def adam(xp: Namespace, g: Array, state: Memory, theta: Array, rate: Rate, t: int, opt: Optimizer) -> Step:
    """Algorithm 1 of Kingma and Ba (2015)."""
    m = opt.beta_1 * state["m"] + (1.0 - opt.beta_1) * g
    v = opt.beta_2 * state["v"] + (1.0 - opt.beta_2) * g * g
    m_hat = m / (1.0 - opt.beta_1**t)
    v_hat = v / (1.0 - opt.beta_2**t)
    return theta - rate * m_hat / (xp.sqrt(v_hat) + opt.epsilon), {"m": m, "v": v}


def nadam(xp: Namespace, g: Array, state: Memory, theta: Array, rate: Rate, t: int, opt: Optimizer) -> Step:
    """Dozat (2016), with his momentum schedule mu_t = beta_1 (1 - 0.96^(0.004 t) / 2)."""
    mu, mu_next = (opt.beta_1 * (1.0 - 0.5 * 0.96 ** (0.004 * s)) for s in (t, t + 1))
    product = state["mu_product"] * mu
    m = opt.beta_1 * state["m"] + (1.0 - opt.beta_1) * g
    v = opt.beta_2 * state["v"] + (1.0 - opt.beta_2) * g * g
    v_hat = v / (1.0 - opt.beta_2**t)
    m_hat = mu_next / (1.0 - product * mu_next) * m + (1.0 - mu) / (1.0 - product) * g
    step = rate * m_hat / (xp.sqrt(v_hat) + opt.epsilon)
    return theta - step, {"m": m, "v": v, "mu_product": product}


class _NadamRule(Rule):
    def init(self, xp: Namespace, theta: Array) -> Memory:
        return {**super().init(xp, theta), "mu_product": 1.0}


def rmsprop(xp: Namespace, g: Array, state: Memory, theta: Array, rate: Rate, t: int, opt: Optimizer) -> Step:
    """Tieleman and Hinton (2012); the decay of the mean square is beta_2."""
    v = opt.beta_2 * state["v"] + (1.0 - opt.beta_2) * g * g
    return theta - rate * g / (xp.sqrt(v) + opt.epsilon), {"v": v}


def lion(xp: Namespace, g: Array, state: Memory, theta: Array, rate: Rate, t: int, opt: Optimizer) -> Step:
    """Chen et al., Symbolic Discovery of Optimization Algorithms (2023)."""
    step = xp.sign(opt.beta_1 * state["m"] + (1.0 - opt.beta_1) * g)
    return theta - rate * step, {"m": opt.beta_2 * state["m"] + (1.0 - opt.beta_2) * g}


OPTIMIZERS: dict[str, Rule] = {
    "adam": Rule(("m", "v"), adam, 0.001, 0.01, uses=("beta_1", "beta_2", "epsilon")),
    "nadam": _NadamRule(("m", "v"), nadam, 0.001, 0.01, uses=("beta_1", "beta_2", "epsilon")),
    "rmsprop": Rule(("v",), rmsprop, 0.001, 0.005, uses=("beta_2", "epsilon")),
    "sgd": Rule(("velocity",), sgd, 0.001, 0.005, uses=("momentum", "nesterovs_momentum"), unbounded=True),
    "lion": Rule(("m",), lion, 0.0003, 0.0015, uses=("beta_1", "beta_2")),
}
