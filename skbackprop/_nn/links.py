"""Links: from the output v of the network to its prediction a, and to v again for the mean of several predictions.

A pool takes the outputs of all members, (members, rows, outputs), and returns the v whose prediction is their mean
prediction. Ensembles average predictions, not weights.
"""

from __future__ import annotations

from collections.abc import Callable

from skbackprop._nn.activations import ACTIVATIONS, Activation, softplus
from skbackprop._types import Array, Namespace

Pool = Callable[[Namespace, Array], Array]

LINKS: dict[str, Activation] = {
    **{name: ACTIVATIONS[name] for name in ("identity", "logistic", "softmax")},
    "exp": Activation(lambda xp, v: xp.exp(v), lambda xp, v, a, g: g * a, onnx=lambda g, v: g("Exp", v)),
}


def log_softmax(xp: Namespace, v: Array) -> Array:
    """v_j - ln sum_k e^{v_k}: the log posterior of D9, by log-sum-exp."""
    z = v - xp.max(v, axis=1, keepdims=True)
    return z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))


def _log_mean_exp(xp: Namespace, z: Array) -> Array:
    """Ln of the mean of e^z over the members."""
    largest = xp.max(z, axis=0)
    return largest + xp.log(xp.mean(xp.exp(z - largest), axis=0))


def _softmax_pool(xp: Namespace, v: Array) -> Array:
    """Ln of the mean posterior, which is a logit since sum_k e^v_k = 1."""
    return _log_mean_exp(xp, xp.stack([log_softmax(xp, v[j, :, :]) for j in range(v.shape[0])]))


def _logistic_pool(xp: Namespace, v: Array) -> Array:
    """ln(p / (1 - p)) of the mean p."""
    return _log_mean_exp(xp, -softplus(xp, -v)) - _log_mean_exp(xp, -softplus(xp, v))


def gaussian_pool(xp: Namespace, v: Array) -> Array:
    """M and s of the equal mixture of the members' distributions, whose variances all contain the floor."""
    m, s = v[..., : v.shape[-1] // 2], v[..., v.shape[-1] // 2 :]
    mean = xp.mean(m, axis=0)
    variance = xp.mean(xp.exp(s) + (m - mean) ** 2, axis=0)  # law of total variance
    return xp.concat([mean, xp.log(variance)], axis=1)


POOLS: dict[str, Pool] = {
    "identity": lambda xp, v: xp.mean(v, axis=0),
    "logistic": _logistic_pool,
    "softmax": _softmax_pool,
    "exp": _log_mean_exp,
}
