"""The network as nodes: tables with one entry for each activation, link and pool.

An entry takes the `Graph` and the name of a value, adds nodes, and returns the name of the result. It uses operators
that ONNX Runtime has in float32 and in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import erfcx

from skbackprop._interop.onnx.graph import Graph
from skbackprop._nn.activations import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.network import Network, Parameters

ERFC_DEGREE = 28  # of the polynomial in erfc: what it leaves out is less than rounding


def _erfc(g: Graph, z: str) -> str:
    """Complementary error function of z >= 0.

    erfc(z) = t e^(p(2 t - 1) - z^2), t = 2 / (2 + z) (Press et al., Numerical Recipes, 3rd edition, 2007, 6.2.2). The
    polynomial p interpolates at Chebyshev's points and is summed by Clenshaw's recurrence.
    """

    def log_ratio(y):
        t = 0.5 * (y + 1.0)
        return np.log(erfcx(2.0 / t - 2.0) / t)

    first, *others = np.polynomial.chebyshev.chebinterpolate(log_ratio, ERFC_DEGREE)
    t = g("Div", 2.0, g("Add", z, 2.0))
    y = g("Sub", g("Mul", t, 2.0), 1.0)
    twice = g("Mul", y, 2.0)
    total = before = g.constant(0.0)
    for c in reversed(others):
        total, before = g("Sub", g("Add", g("Mul", twice, total), c), before), total
    p = g("Sub", g("Add", g("Mul", y, total), first), before)
    return g("Mul", t, g("Exp", g("Sub", p, g("Mul", z, z))))


def _gelu(g: Graph, v: str) -> str:
    """Product v Phi(v); ONNX Runtime has Erf in float32 only."""
    if g.dtype == np.float32:
        return g("Mul", v, g("Mul", g("Add", g("Erf", g("Mul", v, math.sqrt(0.5))), 1.0), 0.5))
    tail = g("Mul", _erfc(g, g("Mul", g("Abs", v), math.sqrt(0.5))), 0.5)
    return g("Mul", v, g("Where", g("Greater", v, 0.0), g("Sub", 1.0, tail), tail))


def _selu(g: Graph, v: str) -> str:
    """Not by the operator Selu, whose constants are float32."""
    return g("Mul", g("Where", g("Greater", v, 0.0), v, g("Mul", g("Elu", v), SELU_ALPHA)), SELU_SCALE)


ACTIVATION_NODES: dict[str, Callable[[Graph, str], str]] = {
    "identity": lambda g, v: v,
    "logistic": lambda g, v: g("Sigmoid", v),
    "tanh": lambda g, v: g("Tanh", v),
    "relu": lambda g, v: g("Relu", v),
    "leaky_relu": lambda g, v: g("Max", v, g("Mul", v, LEAKY_SLOPE)),
    "elu": lambda g, v: g("Elu", v),
    "selu": _selu,
    "gelu": _gelu,
    # not v Sigmoid(v): ONNX Runtime 1.20 makes a QuickGelu of it, which it lacks in float64
    "silu": lambda g, v: g("Div", v, g("Add", g("Exp", g("Neg", v)), 1.0)),
    "mish": lambda g, v: g("Mul", v, g("Tanh", g("Softplus", v))),
    "softplus": lambda g, v: g("Softplus", v),
    "softmax": lambda g, v: g("Softmax", v, axis=-1),
}
LINK_NODES: dict[str, Callable[[Graph, str], str]] = {
    **{name: ACTIVATION_NODES[name] for name in ("identity", "logistic", "softmax")},
    "exp": lambda g, v: g("Exp", v),
}


# --------------------------------------------------------------------------------- members ----


def _mean(g: Graph, z: str) -> str:
    return g("ReduceMean", z, g.integers([0]), keepdims=0)


def _log_mean_exp(g: Graph, z: str) -> str:
    """Ln of the mean of e^z over the members."""
    largest = g("ReduceMax", z, g.integers([0]), keepdims=1)
    mean = _mean(g, g("Exp", g("Sub", z, largest)))
    return g("Add", g("Squeeze", largest, g.integers([0])), g("Log", mean))


def _logistic_pool(g: Graph, v: str) -> str:
    """ln(p / (1 - p)) of the mean p."""
    log_p, log_q = (g("Neg", g("Softplus", z)) for z in (g("Neg", v), v))
    return g("Sub", _log_mean_exp(g, log_p), _log_mean_exp(g, log_q))


def halves(g: Graph, v: str, n: int) -> list[str]:
    """The first n columns, and the n behind them."""
    return [g("Gather", v, g.integers(np.arange(start, start + n)), axis=-1) for start in (0, n)]


def _gaussian_pool(g: Graph, v: str, n_outputs: int) -> str:
    """Mean and log variance of the mixture."""
    m, s = halves(g, v, n_outputs // 2)
    mean = _mean(g, m)
    distance = g("Sub", m, mean)
    variance = _mean(g, g("Add", g("Exp", s), g("Mul", distance, distance)))
    return g("Concat", mean, g("Log", variance), axis=-1)


POOL_NODES: dict[
    str, Callable[[Graph, str, int], str]
] = {  # by link; by loss where that has a pool of its own
    "identity": lambda g, v, n_outputs: _mean(g, v),
    "logistic": lambda g, v, n_outputs: _logistic_pool(g, v),
    "softmax": lambda g, v, n_outputs: _log_mean_exp(g, g("LogSoftmax", v, axis=-1)),
    "exp": lambda g, v, n_outputs: _log_mean_exp(g, v),
    "gaussian": _gaussian_pool,
}


# --------------------------------------------------------------------------------- network ----


def entry(table: dict[str, Any], name: str) -> Any:
    """Look a component's nodes up."""
    if name not in table:
        raise ValueError(
            f"{name!r} cannot be exported to ONNX: its table in skbackprop/_onnx has no entry for it."
        )
    return table[name]


def raw_output(g: Graph, network: Network, P: Parameters) -> str:
    """Weighted sums v[H] of the output layer, (rows, outputs); of several members those of the mean prediction.

    The members share the hidden layers' weights here too: (members, rows, units) are multiplied by r, W and s in turn.
    """
    a, several, last = g.input, network.n_members > 1, network.n_layers
    if network.input_scale:
        a = g("Mul", a, g.constant(P.c, name="c"))
    for h in range(1, last + 1):
        shared = several and h < last
        if shared:
            a = g("Mul", a, g.constant(P.r[h][:, None, :], name=f"r{h}"))
        v = g("MatMul", a, g.constant(P.W[h], name=f"W{h}"))
        if shared:
            v = g("Mul", v, g.constant(P.s[h][:, None, :], name=f"s{h}"))
        v = g("Add", v, g.constant(P.b[h][:, None, :] if several else P.b[h], name=f"b{h}"))
        if h < last:
            a = entry(ACTIVATION_NODES, network.activations[h - 1])(g, v)
    if not several:
        return v
    loss = LOSSES[network.loss]
    return entry(POOL_NODES, network.loss if loss.pool else loss.link)(g, v, network.sizes[-1])
