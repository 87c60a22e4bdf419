"""The network as nodes, and a table of the ways to pool members.

The entry of an activation or a pool takes the `Graph` and the name of a value, adds nodes, and returns the name of the
result. It uses operators that ONNX Runtime has in float32 and in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np

from skbackprop._interop.onnx.graph import Graph
from skbackprop._nn.activations import ACTIVATIONS, Activation, Nodes
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.network import Network, Parameters

Entry = TypeVar("Entry")

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


# by link; by loss where that has a pool of its own
POOL_NODES: dict[str, Callable[[Graph, str, int], str]] = {
    "identity": lambda g, v, n_outputs: _mean(g, v),
    "logistic": lambda g, v, n_outputs: _logistic_pool(g, v),
    "softmax": lambda g, v, n_outputs: _log_mean_exp(g, g("LogSoftmax", v, axis=-1)),
    "exp": lambda g, v, n_outputs: _log_mean_exp(g, v),
    "gaussian": _gaussian_pool,
}


# --------------------------------------------------------------------------------- network ----


def entry(table: dict[str, Entry], name: str) -> Entry:
    """Look a component's nodes up."""
    if name not in table:
        raise ValueError(f"{name!r} cannot be exported to ONNX: it has no entry in skbackprop/_interop/onnx.")
    return table[name]


def activate(g: Graph, table: dict[str, Activation], name: str, v: str) -> str:
    """Add the nodes that an activation's or a link's own entry gives."""
    onnx = table[name].onnx
    if onnx is None:
        raise ValueError(f"{name!r} cannot be exported to ONNX: its entry in skbackprop/_nn gives no nodes.")
    return onnx(cast(Nodes, g), v)


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
            a = activate(g, ACTIVATIONS, network.activations[h - 1], v)
    if not several:
        return v
    loss = LOSSES[network.loss]
    return entry(POOL_NODES, network.loss if loss.pool else loss.link)(g, v, network.sizes[-1])
