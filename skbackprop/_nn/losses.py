"""Losses: each owns its link (network output v -> prediction a), its value and its delta = dE/dv.

Conventions, for every entry. v is the raw output of the last layer, (rows, outputs); y the targets,
(rows, targets): those of classes are one-hot, and may be smoothed (`target_rows`). ``value`` gives one number
per row, the sum over its outputs; ``delta`` is the derivative of that number, so the gradient is that of the
reported loss. Both are computed from v, not from the prediction, so that no logarithm of a rounded 0 occurs.
``constant`` is the v of the best constant prediction for weighted targets (NumPy, float64).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from skbackprop._nn import baselines
from skbackprop._nn.activations import Activation, logistic, softmax, softplus
from skbackprop._nn.links import LINKS, POOLS, Pool, gaussian_pool, log_softmax
from skbackprop._types import Array, Namespace

# smallest variance of gaussian: a standard deviation of 1 % of the target's, which is scaled to 1
VARIANCE_FLOOR = 1e-4
LOG_VARIANCE_FLOOR = math.log(VARIANCE_FLOOR)


@dataclass(frozen=True)
class LossArgs:
    """Parameters of single losses, and label smoothing of all losses of labels, in training."""

    focal_gamma: float = 2.0
    huber_delta: float = 1.35
    quantiles: tuple[float, ...] = (0.5,)
    label_smoothing: float = 0.0


Formula = Callable[[Namespace, Array, Array, LossArgs], Array]  # of v, y and the parameters


@dataclass(frozen=True)
class Loss:
    """An entry; see the module's conventions."""

    task: str  # "classification" (one label), "multilabel" or "regression"
    link: str  # key of LINKS
    value: Formula
    delta: Formula
    constant: Callable[[Array, Array | None, LossArgs], Array]
    scaling: str | None = None  # of the targets: "standardize", "mean", or none
    lower: tuple[str, float] | None = None  # domain of y: (">=" or ">", bound)
    outputs_per_target: Callable[[LossArgs], int] = lambda args: 1
    relative_tol: bool = True  # False if the smallest value of the loss is not 0
    max_grad_norm: float | None = None  # largest value of "auto"
    pool: Pool | None = None  # members' v -> v of the mean prediction; None: by link
    quadratic: float | None = None  # for labels: value - quadratic |y|^2 is linear in y; None: it is not


def smooth(y: Array, amount: float, multilabel: bool) -> Array:
    """Mix targets with the share `amount` of the uniform distribution (Szegedy et al., 2016)."""
    if amount == 0.0:
        return y
    uniform = 0.5 if multilabel else 1.0 / y.shape[1]
    return (1.0 - amount) * y + amount * uniform


def target_rows(xp: Namespace, loss: Loss, Y: np.ndarray, n_outputs: int, like: Array, args: LossArgs) -> Array:
    """Targets for the entries: class codes as one-hot rows (D9), and labels smoothed.

    One-hot rows are made when needed, for few rows at a time. `like` determines dtype and device.
    """
    if loss.task == "regression":
        return Y
    if loss.task == "classification":
        classes = xp.arange(n_outputs, dtype=Y.dtype, device=like.device)
        Y = xp.astype(Y[:, None] == classes[None, :], like.dtype)
    return smooth(Y, args.label_smoothing, loss.task == "multilabel")


def finish_members(xp: Namespace, loss: Loss, v: Array, link: bool, members: bool) -> Array:
    """From the v of members, (members, rows, outputs), to their mean prediction, or to each one's.

    With link, these are predictions, else the v that gives them.
    """
    phi = LINKS[loss.link].phi
    if members:
        return xp.stack([phi(xp, v[j, :, :]) for j in range(v.shape[0])]) if link else v
    mean = v[0, :, :] if v.shape[0] == 1 else (loss.pool or POOLS[loss.link])(xp, v)
    return phi(xp, mean) if link else mean


# ------------------------------------------------------------------------- classification ----


def cross_entropy(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """E = -sum_j y_j (v_j - ln sum_k e^{v_k}) (D9)."""
    return -xp.sum(y * log_softmax(xp, v), axis=1)


def cross_entropy_delta(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """dE/dv_i = a_i - y_i, as sum_k y_k = 1 (D10; equal to the general path D11)."""
    return softmax(xp, v) - y


def binary_cross_entropy(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """-sum_j [y_j ln a_j + (1 - y_j) ln(1 - a_j)], for independent labels."""
    return xp.sum(y * softplus(xp, -v) + (1.0 - y) * softplus(xp, v), axis=1)


def _brier(link: Activation) -> tuple[Formula, Formula]:
    """Sum of (a - y)^2 (Brier, 1950); its delta goes through the link's Jacobian (D8)."""

    def value(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
        """Sum of (a - y)^2 (Brier, 1950)."""
        return xp.sum((link.phi(xp, v) - y) ** 2, axis=1)

    def delta(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
        a = link.phi(xp, v)
        return link.vjp(xp, v, a, 2.0 * (a - y))

    return value, delta


def _focal(xp: Namespace, log_p: Array, gamma: float) -> tuple[Array, Array]:
    """-(1 - p)^gamma ln p (Lin et al., 2017) and its derivative by ln p."""
    # at ln p = 0 there would be 0^(gamma - 1); with the smallest normal number the product has the right limit, 0
    log_p = xp.minimum(log_p, xp.full_like(log_p, -float(xp.finfo(log_p.dtype).smallest_normal)))
    p, q = xp.exp(log_p), -xp.expm1(log_p)
    return -(q**gamma) * log_p, gamma * p * q ** (gamma - 1.0) * log_p - q**gamma


def focal(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """sum_j y_j f(ln a_j)."""
    return xp.sum(y * _focal(xp, log_softmax(xp, v), args.focal_gamma)[0], axis=1)


def focal_delta(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """y_i f'_i - a_i sum_j y_j f'_j, as d ln a_j / dv_i = [i = j] - a_i."""
    g = y * _focal(xp, log_softmax(xp, v), args.focal_gamma)[1]
    return g - softmax(xp, v) * xp.sum(g, axis=1, keepdims=True)


def binary_focal(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """sum_j [y_j f(ln a_j) + (1 - y_j) f(ln(1 - a_j))]."""
    on = _focal(xp, -softplus(xp, -v), args.focal_gamma)[0]
    off = _focal(xp, -softplus(xp, v), args.focal_gamma)[0]
    return xp.sum(y * on + (1.0 - y) * off, axis=1)


def binary_focal_delta(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """Derivative of `binary_focal`, as d ln a / dv = 1 - a and d ln(1 - a) / dv = -a."""
    on = _focal(xp, -softplus(xp, -v), args.focal_gamma)[1]
    off = _focal(xp, -softplus(xp, v), args.focal_gamma)[1]
    return y * on * logistic(xp, -v) - (1.0 - y) * off * logistic(xp, v)


# ----------------------------------------------------------------------------- regression ----


def squared_error(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """1/2 sum (a - y)^2."""
    return 0.5 * xp.sum((v - y) ** 2, axis=1)


def absolute_error(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """Sum of |a - y|."""
    return xp.sum(xp.abs(v - y), axis=1)


def huber(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """1/2 r^2 inside delta, delta (|r| - delta/2) outside (Huber, 1964)."""
    r = xp.abs(v - y)
    inside = xp.minimum(r, xp.full_like(v, args.huber_delta))  # so that delta^2 is not computed, which may overflow
    return xp.sum(inside * (r - 0.5 * inside), axis=1)


def huber_delta(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """The residual, clipped to +-delta."""
    d = xp.full_like(v, args.huber_delta)  # not xp.clip, for which the host may wait for the device
    return xp.minimum(xp.maximum(v - y, -d), d)


def _residuals(xp: Namespace, v: Array, y: Array, args: LossArgs) -> tuple[Array, Array]:
    """R = y - a as (rows, targets, quantiles), and the quantiles as an array."""
    # filled one by one: a list would be copied to the device, and the host would wait for it
    q = xp.stack([xp.full((), level, dtype=v.dtype, device=v.device) for level in args.quantiles])
    return y[:, :, None] - xp.reshape(v, (y.shape[0], y.shape[1], -1)), q


def quantile(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """Sum max(q r, (q - 1) r) over targets and quantiles (Koenker and Bassett, 1978)."""
    r, q = _residuals(xp, v, y, args)
    return xp.sum(xp.maximum(q * r, (q - 1.0) * r), axis=(1, 2))


def quantile_delta(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """-q where the prediction is too low, 1 - q where it is too high, 0 where it is exact."""
    r, q = _residuals(xp, v, y, args)
    zero = xp.zeros_like(r)
    return xp.reshape(xp.where(r > 0, zero - q, xp.where(r < 0, 1.0 - q + zero, zero * r)), v.shape)


def poisson(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """Half the Poisson deviance, y ln(y / mu) - y + mu, mu = e^v; y ln y = 0 at y = 0."""
    y_log_y = y * xp.log(xp.where(y > 0, y, xp.ones_like(y)))
    return xp.sum(y_log_y - y * v - y + xp.exp(v), axis=1)


def gamma(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """Half the gamma deviance, ln(mu / y) + y / mu - 1, mu = e^v."""
    return xp.sum(v - xp.log(y) + y * xp.exp(-v) - 1.0, axis=1)


def log_variance(xp: Namespace, s: Array) -> Array:
    """Ln(floor + e^s): without the floor, steps would become infinite if targets have no noise."""
    return LOG_VARIANCE_FLOOR + softplus(xp, s - LOG_VARIANCE_FLOOR)


def gaussian(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """Negative log likelihood of N(m, floor + e^s) (Nix and Weigend, 1994): v holds all m, then all s."""
    m, s = v[:, : y.shape[1]], log_variance(xp, v[:, y.shape[1] :])
    return 0.5 * xp.sum(math.log(2.0 * math.pi) + s + (y - m) ** 2 * xp.exp(-s), axis=1)


def gaussian_delta(xp: Namespace, v: Array, y: Array, args: LossArgs) -> Array:
    """With the variance u by m: (m - y) / u; by s: (1 - (y - m)^2 / u) / 2, times the share e^s / u of it."""
    m, s = v[:, : y.shape[1]], v[:, y.shape[1] :]
    precision, share = xp.exp(-log_variance(xp, s)), logistic(xp, s - LOG_VARIANCE_FLOOR)
    return xp.concat([(m - y) * precision, 0.5 * (1.0 - (y - m) ** 2 * precision) * share], axis=1)


_classes = partial(Loss, "classification", "softmax", constant=lambda y, w, args: baselines.log_mean(y, w))
_labels = partial(Loss, "multilabel", "logistic", constant=lambda y, w, args: baselines.log_odds(y, w))
_numbers = partial(Loss, "regression", "identity", scaling="standardize")
_amounts = partial(Loss, "regression", "exp", constant=lambda y, w, args: baselines.log_mean(y, w), scaling="mean")

LOSSES: dict[str, Loss] = {
    "cross_entropy": _classes(cross_entropy, cross_entropy_delta, quadratic=0.0),
    "brier": _classes(*_brier(LINKS["softmax"]), quadratic=1.0),
    "focal": _classes(focal, focal_delta, quadratic=0.0),
    "binary_cross_entropy": _labels(binary_cross_entropy, lambda xp, v, y, args: logistic(xp, v) - y, quadratic=0.0),
    "binary_brier": _labels(*_brier(LINKS["logistic"]), quadratic=1.0),
    "binary_focal": _labels(binary_focal, binary_focal_delta, quadratic=0.0),
    "squared_error": _numbers(squared_error, lambda xp, v, y, args: v - y, lambda y, w, args: baselines.mean(y, w)),
    "absolute_error": _numbers(
        absolute_error, lambda xp, v, y, args: xp.sign(v - y), lambda y, w, args: baselines.quantiles(y, w, (0.5,))
    ),
    "huber": _numbers(huber, huber_delta, lambda y, w, args: baselines.huber_location(y, w, args.huber_delta)),
    "quantile": _numbers(
        quantile,
        quantile_delta,
        lambda y, w, args: baselines.quantiles(y, w, args.quantiles),
        outputs_per_target=lambda args: len(args.quantiles),
    ),
    "poisson": _amounts(poisson, lambda xp, v, y, args: xp.exp(v) - y, lower=(">=", 0.0)),
    "gamma": _amounts(gamma, lambda xp, v, y, args: 1.0 - y * xp.exp(-v), lower=(">", 0.0)),
    "gaussian": _numbers(
        gaussian,
        gaussian_delta,
        lambda y, w, args: baselines.log_moments(y, w, VARIANCE_FLOOR),
        outputs_per_target=lambda args: 2,
        relative_tol=False,
        max_grad_norm=1.0,  # dE/dm grows like 1 / u, and one row may spoil Adam's second moments
        pool=gaussian_pool,
    ),
}


def losses_for(task: str) -> list[str]:
    """Names of the losses that a user may choose for "classification" or "regression"."""
    return [name for name, loss in LOSSES.items() if loss.task == task]
