"""Activations: phi and its vector-Jacobian product, one entry each.

Every function is written in array-API terms for any namespace ``xp``. With v of shape (rows, units) and
a = phi(v), ``vjp(xp, v, a, g)`` is g^T da/dv, row by row. For an elementwise phi that is phi'(v) * g;
softmax, whose every output depends on all v_k, uses its full Jacobian (D8).

An entry also contains the activation's counterparts in the documentation, in ONNX and in torch, so that all code about
single activations is here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

from skbackprop._types import Array, Namespace

LEAKY_SLOPE = 0.01
# Klambauer et al., Self-Normalizing Neural Networks (2017)
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


class Nodes(Protocol):
    """An ONNX graph under construction: adds an operator on named values and numbers, and returns its output's name."""

    def __call__(self, op: str, *inputs: str | float, **attributes: object) -> str: ...

    def normal_cdf(self, v: str) -> str:
        """Distribution function of the standard normal."""


@dataclass(frozen=True)
class Activation:
    """An entry: phi(xp, v) -> a and vjp(xp, v, a, g) -> g^T da/dv, and its counterparts elsewhere."""

    phi: Callable[[Namespace, Array], Array]
    vjp: Callable[[Namespace, Array, Array, Array], Array]
    initializer: str = "he_uniform"  # of the layer below it with initializer="auto"
    onnx: Callable[[Nodes, str], str] | None = None  # its nodes
    torch: Callable[[ModuleType], object] | None = None  # its module, from the classes of torch.nn
    note: str = ""  # after the name in the parameter's documentation


def logistic(xp: Namespace, v: Array) -> Array:
    """1 / (1 + e^-v), without overflow and with full relative accuracy in both tails."""
    return xp.exp(-softplus(xp, -v))


def softplus(xp: Namespace, v: Array) -> Array:
    """ln(1 + e^v) without overflow (Glorot, Bordes and Bengio, 2011)."""
    return xp.logaddexp(v, xp.zeros_like(v))


def softmax(xp: Namespace, v: Array) -> Array:
    """e^{v_i} / sum_k e^{v_k}, row by row (D8)."""
    e = xp.exp(v - xp.max(v, axis=1, keepdims=True))
    return e / xp.sum(e, axis=1, keepdims=True)


def softmax_vjp(xp: Namespace, v: Array, a: Array, g: Array) -> Array:
    """Jacobian product from da_i/dv_i = a_i (1 - a_i) and da_j/dv_i = -a_j a_i (D8, D11)."""
    return a * (g - xp.sum(g * a, axis=1, keepdims=True))


def relu(xp: Namespace, v: Array) -> Array:
    """max(0, v); NaN stays NaN."""
    return xp.maximum(v, xp.zeros_like(v))


def leaky_relu(xp: Namespace, v: Array) -> Array:
    """Identity above 0, 0.01 v below (Maas, Hannun and Ng, 2013)."""
    return xp.where(v > 0, v, LEAKY_SLOPE * v)


def _negative(xp: Namespace, v: Array) -> Array:
    """min(v, 0), so that exp of the branch not taken cannot overflow."""
    return xp.minimum(v, xp.zeros_like(v))


def elu(xp: Namespace, v: Array) -> Array:
    """Identity above 0, e^v - 1 below (Clevert, Unterthiner and Hochreiter, 2016)."""
    return xp.where(v > 0, v, xp.expm1(_negative(xp, v)))


def selu_vjp(xp: Namespace, v: Array, a: Array, g: Array) -> Array:
    """Derivative: scale above 0, scale * alpha * e^v below."""
    return g * SELU_SCALE * xp.where(v > 0, xp.ones_like(v), SELU_ALPHA * xp.exp(_negative(xp, v)))


def selu(xp: Namespace, v: Array) -> Array:
    """Scaled ELU (Klambauer et al., 2017)."""
    return SELU_SCALE * xp.where(v > 0, v, SELU_ALPHA * xp.expm1(_negative(xp, v)))


def normal_cdf(xp: Namespace, v: Array) -> Array:
    """Distribution function of the standard normal, 1/2 erfc(-v / sqrt 2)."""
    return 0.5 * (1.0 + _erf(xp, v / math.sqrt(2.0)))


def gelu(xp: Namespace, v: Array) -> Array:
    """Product v Phi(v), exact (Hendrycks and Gimpel, 2016)."""
    return v * normal_cdf(xp, v)


def gelu_vjp(xp: Namespace, v: Array, a: Array, g: Array) -> Array:
    """(v Phi(v))' = Phi(v) + v pdf(v)."""
    pdf = xp.exp(-0.5 * v * v) / math.sqrt(2.0 * math.pi)
    return g * (normal_cdf(xp, v) + v * pdf)


def silu(xp: Namespace, v: Array) -> Array:
    """Product v logistic(v) (Elfwing, Uchibe and Doya, 2018)."""
    return v * logistic(xp, v)


def silu_vjp(xp: Namespace, v: Array, a: Array, g: Array) -> Array:
    """(v s)' = s + v s (1 - s), s the logistic function."""
    s = logistic(xp, v)
    return g * (s + a * (1.0 - s))


def _hard_gate(xp: Namespace, v: Array) -> Array:
    """relu6(v + 3): a piecewise linear 6 logistic(v)."""
    return xp.minimum(xp.maximum(v + 3.0, xp.zeros_like(v)), xp.full_like(v, 6.0))


def hard_swish(xp: Namespace, v: Array) -> Array:
    """Product v relu6(v + 3) / 6, a piecewise quadratic silu (Howard et al., MobileNetV3, 2019)."""
    return v * _hard_gate(xp, v) / 6.0


def hard_swish_vjp(xp: Namespace, v: Array, a: Array, g: Array) -> Array:
    """(v r)' = r + v r', r = relu6(v + 3) / 6, with r' = 1/6 between -3 and 3, and 0 outside."""
    return g * (_hard_gate(xp, v) + xp.where(xp.abs(v) < 3.0, v, xp.zeros_like(v))) / 6.0


def mish(xp: Namespace, v: Array) -> Array:
    """Product v tanh(softplus(v)) (Misra, 2019)."""
    return v * xp.tanh(softplus(xp, v))


def mish_vjp(xp: Namespace, v: Array, a: Array, g: Array) -> Array:
    """(v t)' = t + v (1 - t^2) s, t = tanh(softplus(v)), s = softplus'."""
    t = xp.tanh(softplus(xp, v))
    return g * (t + v * (1.0 - t * t) * logistic(xp, v))


def _erf(xp: Namespace, x: Array) -> Array:
    """The error function of the library, which the array-API standard lacks, or else of SciPy."""
    if hasattr(xp, "erf"):
        return xp.erf(x)
    module = getattr(xp, "__name__", "")
    if "cupy" in module:
        from cupyx.scipy.special import erf

        return xp.asarray(erf(x))
    import numpy as np
    from scipy.special import erf

    return xp.asarray(erf(np.from_dlpack(x)), device=x.device)


def _selu_nodes(g: Nodes, v: str) -> str:
    """Without the operator Selu, whose constants are float32."""
    return g("Mul", g("Where", g("Greater", v, 0.0), v, g("Mul", g("Elu", v), SELU_ALPHA)), SELU_SCALE)


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(
        lambda xp, v: v,
        lambda xp, v, a, g: g,
        initializer="glorot_uniform",
        onnx=lambda g, v: v,
        torch=lambda nn: nn.Identity(),
    ),
    "logistic": Activation(
        logistic,
        lambda xp, v, a, g: g * a * (1.0 - a),
        initializer="glorot_uniform",
        onnx=lambda g, v: g("Sigmoid", v),
        torch=lambda nn: nn.Sigmoid(),
    ),
    "tanh": Activation(
        lambda xp, v: xp.tanh(v),
        lambda xp, v, a, g: g * (1.0 - a * a),
        initializer="glorot_uniform",
        onnx=lambda g, v: g("Tanh", v),
        torch=lambda nn: nn.Tanh(),
    ),
    "relu": Activation(
        relu,
        lambda xp, v, a, g: xp.where(v > 0, g, xp.zeros_like(g)),
        onnx=lambda g, v: g("Relu", v),
        torch=lambda nn: nn.ReLU(),
    ),
    "leaky_relu": Activation(
        leaky_relu,
        lambda xp, v, a, g: xp.where(v > 0, g, LEAKY_SLOPE * g),
        onnx=lambda g, v: g("Max", v, g("Mul", v, LEAKY_SLOPE)),
        torch=lambda nn: nn.LeakyReLU(LEAKY_SLOPE),
        note="slope 0.01",
    ),
    "elu": Activation(
        elu,
        lambda xp, v, a, g: xp.where(v > 0, g, g * (a + 1.0)),
        onnx=lambda g, v: g("Elu", v),
        torch=lambda nn: nn.ELU(),
    ),
    "selu": Activation(selu, selu_vjp, initializer="lecun_normal", onnx=_selu_nodes, torch=lambda nn: nn.SELU()),
    "gelu": Activation(
        gelu, gelu_vjp, onnx=lambda g, v: g("Mul", v, g.normal_cdf(v)), torch=lambda nn: nn.GELU(), note="exact"
    ),
    "silu": Activation(
        silu,
        silu_vjp,
        # not v Sigmoid(v): ONNX Runtime 1.20 converts it to QuickGelu, which it lacks in float64
        onnx=lambda g, v: g("Div", v, g("Add", g("Exp", g("Neg", v)), 1.0)),
        torch=lambda nn: nn.SiLU(),
    ),
    "hard_swish": Activation(
        hard_swish,
        hard_swish_vjp,
        # not by the operator HardSwish, whose 1/6 is float32
        onnx=lambda g, v: g("Div", g("Mul", v, g("Clip", g("Add", v, 3.0), 0.0, 6.0)), 6.0),
        torch=lambda nn: nn.Hardswish(),
    ),
    "mish": Activation(
        mish, mish_vjp, onnx=lambda g, v: g("Mul", v, g("Tanh", g("Softplus", v))), torch=lambda nn: nn.Mish()
    ),
    "softplus": Activation(
        softplus,
        lambda xp, v, a, g: g * logistic(xp, v),
        onnx=lambda g, v: g("Softplus", v),
        torch=lambda nn: nn.Softplus(threshold=40.0),  # linear above, where float64 tells no difference
    ),
    "softmax": Activation(
        softmax,
        softmax_vjp,
        initializer="glorot_uniform",
        onnx=lambda g, v: g("Softmax", v, axis=-1),
        torch=lambda nn: nn.Softmax(dim=1),
    ),
}
