"""Nodes of networks: their layers, and tables of pools of members and of outputs.

The entry of an activation or a pool takes the `Graph` and the name of a value, adds nodes, and returns the name of the
result. It uses operators that ONNX Runtime has in float32 and in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.targets import NumberCodec
from skbackprop._interop.onnx.graph import Graph
from skbackprop._interop.onnx.table import Inputs, first_layer
from skbackprop._nn.activations import ACTIVATIONS, Activation, Nodes
from skbackprop._nn.links import LINKS
from skbackprop._nn.losses import LOG_VARIANCE_FLOOR, LOSSES
from skbackprop._nn.network import Network, Parameters

# --------------------------------------------------------------------------------- members ----


def _mean(g: Graph, z: str, weights: str = "") -> str:
    """The mean over the members, or by weights of sum 1."""
    if weights:
        return g("ReduceSum", g("Mul", z, weights), g.integers([0]), keepdims=0)
    return g("ReduceMean", z, g.integers([0]), keepdims=0)


def _log_mean_exp(g: Graph, z: str, weights: str = "") -> str:
    """Ln of the mean of e^z over the members."""
    largest = g("ReduceMax", z, g.integers([0]), keepdims=1)
    mean = _mean(g, g("Exp", g("Sub", z, largest)), weights)
    return g("Add", g("Squeeze", largest, g.integers([0])), g("Log", mean))


def _softmax_pool(g: Graph, v: str, weights: str = "") -> str:
    """Ln of the mean p."""
    return _log_mean_exp(g, g("LogSoftmax", v, axis=-1), weights)


def _logistic_pool(g: Graph, v: str, weights: str = "") -> str:
    """ln(p / (1 - p)) of the mean p."""
    log_p, log_q = (g("Neg", g("Softplus", z)) for z in (g("Neg", v), v))
    return g("Sub", _log_mean_exp(g, log_p, weights), _log_mean_exp(g, log_q, weights))


def halves(g: Graph, v: str, n: int) -> list[str]:
    """The first n columns, and the next n."""
    return [g("Gather", v, g.integers(np.arange(start, start + n)), axis=-1) for start in (0, n)]


def _gaussian_pool(g: Graph, v: str, n_outputs: int) -> str:
    """Mean and log variance of the mixture."""
    m, s = halves(g, v, n_outputs // 2)
    mean = _mean(g, m)
    distance = g("Sub", m, mean)
    variance = _mean(g, g("Add", g("Exp", s), g("Mul", distance, distance)))
    return g("Concat", mean, g("Log", variance), axis=-1)


# by link, or by loss if it has its own pool
POOL_NODES: dict[str, Callable[[Graph, str, int], str]] = {
    "identity": lambda g, v, n_outputs: _mean(g, v),
    "logistic": lambda g, v, n_outputs: _logistic_pool(g, v),
    "softmax": lambda g, v, n_outputs: _softmax_pool(g, v),
    "exp": lambda g, v, n_outputs: _log_mean_exp(g, v),
    "gaussian": _gaussian_pool,
}
# by link, of several networks' logits (networks, rows, outputs) with weights (networks, 1, 1)
WEIGHTED_POOLS: dict[str, Callable[[Graph, str, str], str]] = {"logistic": _logistic_pool, "softmax": _softmax_pool}


# --------------------------------------------------------------------------------- network ----


def activate(g: Graph, table: dict[str, Activation], name: str, v: str) -> str:
    """Add the nodes of an activation's or a link's entry."""
    onnx = table[name].onnx
    if onnx is None:
        raise ValueError(f"{name!r} cannot be exported to ONNX: its entry in skbackprop/_nn has no nodes.")
    return onnx(cast(Nodes, g), v)


def raw_output(g: Graph, network: Network, P: Parameters, inputs: Inputs) -> str:
    """Weighted sums v[H] of the output layer, (rows, outputs); for several members those of the mean prediction.

    Members share the weights of hidden layers here too: (members, rows, units) are multiplied by r, W and s in turn.
    """
    several, last = network.n_members > 1, network.n_layers
    a, v = "", first_layer(g, network, P, inputs)
    for h in range(1, last + 1):
        shared = several and h < last
        if h > 1:
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
    return POOL_NODES[network.loss if loss.pool else loss.link](g, v, network.sizes[-1])


def label_array(classes: ArrayLike) -> np.ndarray:
    """Class labels in a dtype that skl2onnx uses: object for strings, else int64."""
    classes = np.asarray(classes)
    if all(isinstance(label, str) for label in classes.tolist()):
        return classes.astype(object)
    if classes.dtype.kind in "biuf":
        with np.errstate(invalid="ignore"):
            numbers = classes.astype(np.int64)
        if np.array_equal(numbers, classes):
            return numbers
    raise ValueError(
        f"Labels such as {classes[0]!r} (dtype {classes.dtype}) have no type in ONNX. Train on strings, integers "
        "or booleans."
    )


# -------------------------------------------------------------------------- classification ----


def _scores(g: Graph, model: FittedModel, v: str) -> None:
    """Probabilities, or with `raw_scores` the decision function, for two classes with a column for each."""
    n_classes = model.codec.n_targets
    if not g.raw_scores:
        v = activate(g, LINKS, model.link, v)
    elif n_classes == 2 and model.link == "softmax":
        v = g("MatMul", v, [[1.0, -1.0], [-1.0, 1.0]])
    g.output("probabilities", v, [n_classes])


def _one_label(g: Graph, model: FittedModel, v: str) -> None:
    classes = label_array(cast(np.ndarray, model.codec.classes))
    names = g.constant(classes, classes.dtype, "classes")
    g.output("label", g("Gather", names, g("ArgMax", v, axis=1, keepdims=0)), [], classes.dtype)
    _scores(g, model, v)


def _several_labels(g: Graph, model: FittedModel, v: str) -> None:
    """Labels with a probability above 1/2."""
    g.output("label", g.cast(g("Greater", v, 0.0), np.int64), [model.codec.n_targets], np.int64)
    _scores(g, model, v)


# ------------------------------------------------------------------------------ regression ----


def _rescaled(g: Graph, a: str, scale: ArrayLike, shift: ArrayLike) -> str:
    """Compute shift + scale * a in float64, since large targets need its digits."""
    a = g("Mul", g.cast(a, np.float64), g.constant(scale, np.float64, "target_scale"))
    return g("Add", a, g.constant(shift, np.float64, "target_shift"))


def predicted(g: Graph, model: FittedModel, v: str) -> tuple[str, list[int]]:
    """The predictions of a regressor in float64, and their shape for one row."""
    codec = cast(NumberCodec, model.codec)
    if model.network.loss == "quantile":
        return _quantiles(g, codec, v, len(model.network.loss_args.quantiles))
    if model.network.loss == "gaussian":  # the means, which are followed by the deviations
        a = g("Gather", v, g.integers(np.arange(codec.n_targets)), axis=-1)
    else:
        a = activate(g, LINKS, model.link, v)
    return _rescaled(g, a, codec.scale, codec.shift), [codec.n_targets]


def _quantiles(g: Graph, codec: NumberCodec, v: str, n: int) -> tuple[str, list[int]]:
    """Sort quantiles, so that they do not cross."""
    n_targets = codec.n_targets
    a = g("Reshape", v, g.integers([-1, n_targets, n]))
    a = g("TopK", a, g.integers([n]), largest=0, n_results=2)
    y = _rescaled(g, a, codec.scale[:, None], codec.shift[:, None])
    shape = [n_targets] if codec.quantile_is_scalar else [n] if codec.y_is_1d else [n_targets, n]
    return g("Reshape", y, g.integers([-1, *shape])), shape


def _targets(g: Graph, model: FittedModel, v: str) -> None:
    y, shape = predicted(g, model, v)
    g.output("variable", y, shape, np.float64)


def _mean_and_std(g: Graph, model: FittedModel, v: str) -> None:
    codec = cast(NumberCodec, model.codec)
    m, s = halves(g, v, codec.n_targets)
    g.output("variable", _rescaled(g, m, codec.scale, codec.shift), [codec.n_targets], np.float64)
    floor = g.constant(LOG_VARIANCE_FLOOR, np.float64, "log_variance_floor")
    above = g("Softplus", g("Sub", g.cast(s, np.float64), floor))
    std = g("Exp", g("Mul", g("Add", above, floor), g.constant(0.5, np.float64)))
    std = g("Mul", std, g.constant(codec.scale, np.float64, "target_scale"))
    g.output("std", std, [codec.n_targets], np.float64)


OUTPUT_NODES: dict[str, Callable[[Graph, FittedModel, str], None]] = {
    "cross_entropy": _one_label,
    "brier": _one_label,
    "focal": _one_label,
    "binary_cross_entropy": _several_labels,
    "binary_brier": _several_labels,
    "binary_focal": _several_labels,
    "squared_error": _targets,
    "absolute_error": _targets,
    "huber": _targets,
    "quantile": _targets,
    "poisson": _targets,
    "gamma": _targets,
    "gaussian": _mean_and_std,
}
