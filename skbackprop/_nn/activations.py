"""Activations: phi and its vector-Jacobian product, one entry each.

Every function is written in array-API terms for any namespace ``xp``. With v of shape (rows, units) and
a = phi(v), ``vjp(xp, v, a, g)`` is g^T da/dv, row by row. For an elementwise phi that is phi'(v) * g;
softmax, whose every output depends on all v_k, uses its full Jacobian (D8).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LEAKY_SLOPE = 0.01
# Klambauer et al., Self-Normalizing Neural Networks (2017)
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@dataclass(frozen=True)
class Activation:
    """An entry: phi(xp, v) -> a and vjp(xp, v, a, g) -> g^T da/dv."""

    phi: Callable[[Any, Any], Any]
    vjp: Callable[[Any, Any, Any, Any], Any]
    initializer: str = "he_uniform"  # what initializer="auto" gives the layer below it


def logistic(xp, v):
    """1 / (1 + e^-v), without overflow and with full relative accuracy in both tails."""
    return xp.exp(-softplus(xp, -v))


def softplus(xp, v):
    """ln(1 + e^v) without overflow (Glorot, Bordes and Bengio, 2011)."""
    return xp.logaddexp(v, xp.zeros_like(v))


def identity(xp, v):
    """Leaves v as it is."""
    return v


def tanh(xp, v):
    """Hyperbolic tangent."""
    return xp.tanh(v)


def softmax(xp, v):
    """e^{v_i} / sum_k e^{v_k}, row by row (D8)."""
    e = xp.exp(v - xp.max(v, axis=1, keepdims=True))
    return e / xp.sum(e, axis=1, keepdims=True)


def softmax_vjp(xp, v, a, g):
    """Jacobian product from da_i/dv_i = a_i (1 - a_i) and da_j/dv_i = -a_j a_i (D8, D11)."""
    return a * (g - xp.sum(g * a, axis=1, keepdims=True))


def relu(xp, v):
    """max(0, v); NaN stays NaN."""
    return xp.maximum(v, xp.zeros_like(v))


def leaky_relu(xp, v):
    """Identity above 0, 0.01 v below (Maas, Hannun and Ng, 2013)."""
    return xp.where(v > 0, v, LEAKY_SLOPE * v)


def _negative(xp, v):
    """min(v, 0), so that exp of the branch not taken cannot overflow."""
    return xp.minimum(v, xp.zeros_like(v))


def elu(xp, v):
    """Identity above 0, e^v - 1 below (Clevert, Unterthiner and Hochreiter, 2016)."""
    return xp.where(v > 0, v, xp.expm1(_negative(xp, v)))


def selu_vjp(xp, v, a, g):
    """Derivative: scale above 0, scale * alpha * e^v below."""
    return g * SELU_SCALE * xp.where(v > 0, xp.ones_like(v), SELU_ALPHA * xp.exp(_negative(xp, v)))


def selu(xp, v):
    """Scaled ELU (Klambauer et al., 2017)."""
    return SELU_SCALE * xp.where(v > 0, v, SELU_ALPHA * xp.expm1(_negative(xp, v)))


def normal_cdf(xp, v):
    """Distribution function of the standard normal, 1/2 erfc(-v / sqrt 2)."""
    return 0.5 * (1.0 + _erf(xp, v / math.sqrt(2.0)))


def gelu(xp, v):
    """Product v Phi(v), exact (Hendrycks and Gimpel, 2016)."""
    return v * normal_cdf(xp, v)


def gelu_vjp(xp, v, a, g):
    """(v Phi(v))' = Phi(v) + v pdf(v)."""
    pdf = xp.exp(-0.5 * v * v) / math.sqrt(2.0 * math.pi)
    return g * (normal_cdf(xp, v) + v * pdf)


def silu(xp, v):
    """Product v logistic(v) (Elfwing, Uchibe and Doya, 2018)."""
    return v * logistic(xp, v)


def silu_vjp(xp, v, a, g):
    """(v s)' = s + v s (1 - s), s the logistic function."""
    s = logistic(xp, v)
    return g * (s + a * (1.0 - s))


def mish(xp, v):
    """Product v tanh(softplus(v)) (Misra, 2019)."""
    return v * xp.tanh(softplus(xp, v))


def mish_vjp(xp, v, a, g):
    """(v t)' = t + v (1 - t^2) s, t = tanh(softplus(v)), s = softplus'."""
    t = xp.tanh(softplus(xp, v))
    return g * (t + v * (1.0 - t * t) * logistic(xp, v))


def _erf(xp, x):
    """The array-API standard has no erf: take the library's own, else SciPy's."""
    if hasattr(xp, "erf"):
        return xp.erf(x)
    module = getattr(xp, "__name__", "")
    if "cupy" in module:
        from cupyx.scipy.special import erf

        return erf(x)
    import numpy as np
    from scipy.special import erf

    return xp.asarray(erf(np.from_dlpack(x)), device=x.device)


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(identity, lambda xp, v, a, g: g, initializer="glorot_uniform"),
    "logistic": Activation(logistic, lambda xp, v, a, g: g * a * (1.0 - a), initializer="glorot_uniform"),
    "tanh": Activation(tanh, lambda xp, v, a, g: g * (1.0 - a * a), initializer="glorot_uniform"),
    "relu": Activation(relu, lambda xp, v, a, g: xp.where(v > 0, g, xp.zeros_like(g))),
    "leaky_relu": Activation(leaky_relu, lambda xp, v, a, g: xp.where(v > 0, g, LEAKY_SLOPE * g)),
    "elu": Activation(elu, lambda xp, v, a, g: xp.where(v > 0, g, g * (a + 1.0))),
    "selu": Activation(selu, selu_vjp, initializer="lecun_normal"),
    "gelu": Activation(gelu, gelu_vjp),
    "silu": Activation(silu, silu_vjp),
    "mish": Activation(mish, mish_vjp),
    "softplus": Activation(softplus, lambda xp, v, a, g: g * logistic(xp, v)),
    "softmax": Activation(softmax, softmax_vjp, initializer="glorot_uniform"),
}
