"""Losses: each owns its link (network output v -> prediction a), its value and its delta = dE/dv.

Conventions, for every entry. v is the raw output of the last layer, (rows, outputs); y the targets,
(rows, targets): those of classes are one-hot, and may be smoothed (`target_rows`). ``value`` gives one number
per row, the sum over its outputs; ``delta`` is the derivative of that very number (trap T1: the reported loss
and the gradient are one function). Both start from v, never from the prediction, so that no logarithm meets a
rounded 0. ``constant`` is the v of the best constant prediction for weighted targets (NumPy, float64).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from skbackprop._nn.activations import ACTIVATIONS, Activation, logistic, softmax, softplus
from skbackprop._types import Array, Namespace

LINKS: dict[str, Activation] = {
    **{name: ACTIVATIONS[name] for name in ("identity", "logistic", "softmax")},
    "exp": Activation(lambda xp, v: xp.exp(v), lambda xp, v, a, g: g * a, onnx=lambda g, v: g("Exp", v)),
}


LOG_VARIANCE_FLOOR = math.log(
    1e-4
)  # of gaussian: a standard deviation of 1 % of the target's, which is scaled to 1


@dataclass(frozen=True)
class LossArgs:
    """The parameters that single losses have; all of labels have smoothing, in training."""

    focal_gamma: float = 2.0
    huber_delta: float = 1.35
    quantiles: tuple[float, ...] = (0.5,)
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class Loss:
    """An entry; see the module's conventions."""

    task: str  # "classification" (one label), "multilabel" or "regression"
    link: str  # key of LINKS
    value: Callable[[Any, Any, Any, LossArgs], Any]
    delta: Callable[[Any, Any, Any, LossArgs], Any]
    constant: Callable[[Any, Any, LossArgs], Any]
    scaling: str | None = None  # of the targets: "standardize", "mean", or none
    lower: tuple[str, float] | None = None  # domain of y: (">=" or ">", bound)
    outputs_per_target: Callable[[LossArgs], int] = lambda args: 1
    relative_tol: bool = True  # False where the loss has no zero to measure `tol` from
    max_grad_norm: float | None = None  # what "auto" is at most
    pool: Callable[[Any, Any], Any] | None = None  # members' v -> v of the mean prediction; None: by link
    quadratic: float | None = None  # of labels: value - quadratic |y|^2 is linear in y; None: it is not


def smooth(y: Any, amount: float, multilabel: bool) -> Any:
    """Move the share `amount` of each target to the uniform distribution (Szegedy et al., 2016)."""
    if amount == 0.0:
        return y
    uniform = 0.5 if multilabel else 1.0 / y.shape[1]
    return (1.0 - amount) * y + amount * uniform


def target_rows(xp: Any, loss: Loss, Y: Any, n_outputs: int, like: Any, args: LossArgs) -> Any:
    """Targets as the entries take them: of class codes the one-hot rows (D9); labels are smoothed.

    Rows of classes are made when they are needed, for few rows at a time. `like` tells dtype and device.
    """
    if loss.task == "regression":
        return Y
    if loss.task == "classification":
        classes = xp.arange(n_outputs, dtype=Y.dtype, device=like.device)
        Y = xp.astype(Y[:, None] == classes[None, :], like.dtype)
    return smooth(Y, args.label_smoothing, loss.task == "multilabel")


def apply_link(xp: Namespace, loss: Loss, v: Array) -> Array:
    """Turn the raw output v into the prediction a[H] = link(v[H])."""
    return LINKS[loss.link].phi(xp, v)


def finish_members(xp: Namespace, loss: Loss, v: Array, link: bool, members: bool) -> Array:
    """From members' v, (members, rows, outputs), to the mean of their predictions, or to each one's.

    With link the predictions themselves, else the v whose link they are.
    """
    if members:
        return xp.stack([apply_link(xp, loss, v[j, :, :]) for j in range(v.shape[0])]) if link else v
    mean = v[0, :, :] if v.shape[0] == 1 else (loss.pool or POOLS[loss.link])(xp, v)
    return apply_link(xp, loss, mean) if link else mean


def _log_mean_exp(xp, z):
    """Ln of the mean of e^z over the members."""
    largest = xp.max(z, axis=0)
    return largest + xp.log(xp.mean(xp.exp(z - largest), axis=0))


def _softmax_pool(xp, v):
    """Ln of the mean posterior: a logit of its own, as sum_k e^v_k = 1."""
    return _log_mean_exp(xp, xp.stack([log_softmax(xp, v[j, :, :]) for j in range(v.shape[0])]))


def _logistic_pool(xp, v):
    """ln(p / (1 - p)) of the mean p."""
    return _log_mean_exp(xp, -softplus(xp, -v)) - _log_mean_exp(xp, -softplus(xp, v))


POOLS: dict[str, Callable[[Any, Any], Any]] = {
    "identity": lambda xp, v: xp.mean(v, axis=0),
    "logistic": _logistic_pool,
    "softmax": _softmax_pool,
    "exp": _log_mean_exp,
}


# ------------------------------------------------------------------------- classification ----


def log_softmax(xp, v):
    """v_j - ln sum_k e^{v_k}: the log posterior of D9, by log-sum-exp."""
    z = v - xp.max(v, axis=1, keepdims=True)
    return z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))


def cross_entropy(xp, v, y, args):
    """E = -sum_j y_j (v_j - ln sum_k e^{v_k}) (D9)."""
    return -xp.sum(y * log_softmax(xp, v), axis=1)


def cross_entropy_delta(xp, v, y, args):
    """dE/dv_i = a_i - y_i, as sum_k y_k = 1 (D10; equal to the general path D11)."""
    return softmax(xp, v) - y


def binary_cross_entropy(xp, v, y, args):
    """-sum_j [y_j ln a_j + (1 - y_j) ln(1 - a_j)], each label a problem of its own."""
    return xp.sum(y * softplus(xp, -v) + (1.0 - y) * softplus(xp, v), axis=1)


def _brier(link: Activation) -> tuple[Any, Any]:
    """Sum of (a - y)^2 (Brier, 1950); its delta goes through the link's Jacobian (D8)."""

    def value(xp, v, y, args):
        """Sum of (a - y)^2 (Brier, 1950)."""
        return xp.sum((link.phi(xp, v) - y) ** 2, axis=1)

    def delta(xp, v, y, args):
        a = link.phi(xp, v)
        return link.vjp(xp, v, a, 2.0 * (a - y))

    return value, delta


def _focal(xp, log_p, gamma):
    """-(1 - p)^gamma ln p (Lin et al., 2017) and its derivative by ln p."""
    # ln p = 0 would meet 0^(gamma - 1); the smallest normal number keeps the product's limit, 0
    log_p = xp.minimum(log_p, xp.full_like(log_p, -float(xp.finfo(log_p.dtype).smallest_normal)))
    p, q = xp.exp(log_p), -xp.expm1(log_p)
    return -(q**gamma) * log_p, gamma * p * q ** (gamma - 1.0) * log_p - q**gamma


def focal(xp, v, y, args):
    """sum_j y_j f(ln a_j)."""
    return xp.sum(y * _focal(xp, log_softmax(xp, v), args.focal_gamma)[0], axis=1)


def focal_delta(xp, v, y, args):
    """y_i f'_i - a_i sum_j y_j f'_j, as d ln a_j / dv_i = [i = j] - a_i."""
    g = y * _focal(xp, log_softmax(xp, v), args.focal_gamma)[1]
    return g - softmax(xp, v) * xp.sum(g, axis=1, keepdims=True)


def binary_focal(xp, v, y, args):
    """sum_j [y_j f(ln a_j) + (1 - y_j) f(ln(1 - a_j))]."""
    on = _focal(xp, -softplus(xp, -v), args.focal_gamma)[0]
    off = _focal(xp, -softplus(xp, v), args.focal_gamma)[0]
    return xp.sum(y * on + (1.0 - y) * off, axis=1)


def binary_focal_delta(xp, v, y, args):
    """Derivative of `binary_focal`, as d ln a / dv = 1 - a and d ln(1 - a) / dv = -a."""
    on = _focal(xp, -softplus(xp, -v), args.focal_gamma)[1]
    off = _focal(xp, -softplus(xp, v), args.focal_gamma)[1]
    return y * on * logistic(xp, -v) - (1.0 - y) * off * logistic(xp, v)


# ----------------------------------------------------------------------------- regression ----


def squared_error(xp, v, y, args):
    """1/2 sum (a - y)^2."""
    return 0.5 * xp.sum((v - y) ** 2, axis=1)


def absolute_error(xp, v, y, args):
    """Sum of |a - y|."""
    return xp.sum(xp.abs(v - y), axis=1)


def huber(xp, v, y, args):
    """1/2 r^2 inside delta, delta (|r| - delta/2) outside (Huber, 1964)."""
    r, d = xp.abs(v - y), args.huber_delta
    return xp.sum(xp.where(r <= d, 0.5 * r * r, d * (r - 0.5 * d)), axis=1)


def huber_delta(xp, v, y, args):
    """The residual, clipped to +-delta."""
    d = xp.full_like(v, args.huber_delta)  # not xp.clip, at which the host can wait for the device
    return xp.minimum(xp.maximum(v - y, -d), d)


def _residuals(xp, v, y, args):
    """R = y - a as (rows, targets, quantiles), and the quantiles as an array."""
    # filled one by one: a list would be copied to the device, and the host would wait for it
    q = xp.stack([xp.full((), level, dtype=v.dtype, device=v.device) for level in args.quantiles])
    return y[:, :, None] - xp.reshape(v, (y.shape[0], y.shape[1], -1)), q


def quantile(xp, v, y, args):
    """Sum max(q r, (q - 1) r) over targets and quantiles (Koenker and Bassett, 1978)."""
    r, q = _residuals(xp, v, y, args)
    return xp.sum(xp.maximum(q * r, (q - 1.0) * r), axis=(1, 2))


def quantile_delta(xp, v, y, args):
    """-q where the prediction is too low, 1 - q where it is too high, 0 where it is exact."""
    r, q = _residuals(xp, v, y, args)
    zero = xp.zeros_like(r)
    return xp.reshape(xp.where(r > 0, zero - q, xp.where(r < 0, 1.0 - q + zero, zero * r)), v.shape)


def poisson(xp, v, y, args):
    """Half the Poisson deviance, y ln(y / mu) - y + mu, mu = e^v; y ln y = 0 at y = 0."""
    y_log_y = y * xp.log(xp.where(y > 0, y, xp.ones_like(y)))
    return xp.sum(y_log_y - y * v - y + xp.exp(v), axis=1)


def gamma(xp, v, y, args):
    """Half the gamma deviance, ln(mu / y) + y / mu - 1, mu = e^v."""
    return xp.sum(v - xp.log(y) + y * xp.exp(-v) - 1.0, axis=1)


def log_variance(xp, s):
    """Ln(floor + e^s): what is left of a variance would make steps without bounds where targets have no noise."""
    return LOG_VARIANCE_FLOOR + softplus(xp, s - LOG_VARIANCE_FLOOR)


def gaussian(xp, v, y, args):
    """Negative log likelihood of N(m, floor + e^s) (Nix and Weigend, 1994): v holds all m, then all s."""
    m, s = v[:, : y.shape[1]], log_variance(xp, v[:, y.shape[1] :])
    return 0.5 * xp.sum(math.log(2.0 * math.pi) + s + (y - m) ** 2 * xp.exp(-s), axis=1)


def gaussian_delta(xp, v, y, args):
    """With the variance u by m: (m - y) / u; by s: (1 - (y - m)^2 / u) / 2, times the share e^s / u of it."""
    m, s = v[:, : y.shape[1]], v[:, y.shape[1] :]
    precision, share = xp.exp(-log_variance(xp, s)), logistic(xp, s - LOG_VARIANCE_FLOOR)
    return xp.concat([(m - y) * precision, 0.5 * (1.0 - (y - m) ** 2 * precision) * share], axis=1)


def gaussian_pool(xp, v):
    """M and s of the equal mixture of the members' distributions; the floor is in all variances alike."""
    m, s = v[..., : v.shape[-1] // 2], v[..., v.shape[-1] // 2 :]
    mean = xp.mean(m, axis=0)
    variance = xp.mean(xp.exp(s) + (m - mean) ** 2, axis=0)  # law of total variance
    return xp.concat([mean, xp.log(variance)], axis=1)


# -------------------------------------------------------------- best constant predictions ----


def _mean(y, w):
    return np.average(y, axis=0, weights=w)


def _log_frequencies(y, w, args):
    return np.log(np.maximum(_mean(y, w), np.finfo(float).tiny))


def _log_odds(y, w, args):
    p = np.clip(_mean(y, w), 1e-15, 1.0 - 1e-15)
    return np.log(p / (1.0 - p))


def _weighted_quantiles(y, w, q):
    """Smallest value of each column below or at which the share q of the weight lies."""
    order = np.argsort(y, axis=0, kind="stable")
    below = np.cumsum(w[order], axis=0)
    rows = np.asarray([np.searchsorted(column, q * column[-1]) for column in below.T])
    rows = np.minimum(rows, len(y) - 1)
    return np.take_along_axis(y, np.take_along_axis(order, rows[None, :], axis=0), axis=0)[0]


def _huber_center(y, w, args):
    def center(column):
        def cost(c):
            return np.average(huber(np, np.full((len(y), 1), c), column[:, None], args), weights=w)

        bounds = (column.min(), column.max())
        return bounds[0] if bounds[0] == bounds[1] else minimize_scalar(cost, bounds=bounds).x

    return np.asarray([center(column) for column in y.T])


def _moments(y, w, args):
    m = _mean(y, w)
    variance = np.average((y - m) ** 2, axis=0, weights=w)
    floor = math.exp(LOG_VARIANCE_FLOOR)
    return np.concatenate([m, np.log(np.maximum(variance - floor, np.finfo(float).eps * floor))])


def _quantile_constant(y, w, args):
    return np.stack([_weighted_quantiles(y, w, q) for q in args.quantiles], axis=1).reshape(-1)


LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(
        "classification",
        "softmax",
        cross_entropy,
        cross_entropy_delta,
        _log_frequencies,
        quadratic=0.0,
    ),
    "brier": Loss("classification", "softmax", *_brier(LINKS["softmax"]), _log_frequencies, quadratic=1.0),
    "focal": Loss("classification", "softmax", focal, focal_delta, _log_frequencies, quadratic=0.0),
    "binary_cross_entropy": Loss(
        "multilabel",
        "logistic",
        binary_cross_entropy,
        lambda xp, v, y, args: logistic(xp, v) - y,
        _log_odds,
        quadratic=0.0,
    ),
    "binary_brier": Loss("multilabel", "logistic", *_brier(LINKS["logistic"]), _log_odds, quadratic=1.0),
    "binary_focal": Loss(
        "multilabel", "logistic", binary_focal, binary_focal_delta, _log_odds, quadratic=0.0
    ),
    "squared_error": Loss(
        "regression",
        "identity",
        squared_error,
        lambda xp, v, y, args: v - y,
        lambda y, w, args: _mean(y, w),
        scaling="standardize",
    ),
    "absolute_error": Loss(
        "regression",
        "identity",
        absolute_error,
        lambda xp, v, y, args: xp.sign(v - y),
        lambda y, w, args: _weighted_quantiles(y, w, 0.5),
        scaling="standardize",
    ),
    "huber": Loss("regression", "identity", huber, huber_delta, _huber_center, scaling="standardize"),
    "quantile": Loss(
        "regression",
        "identity",
        quantile,
        quantile_delta,
        _quantile_constant,
        scaling="standardize",
        outputs_per_target=lambda args: len(args.quantiles),
    ),
    "poisson": Loss(
        "regression",
        "exp",
        poisson,
        lambda xp, v, y, args: xp.exp(v) - y,
        lambda y, w, args: np.log(np.maximum(_mean(y, w), np.finfo(float).tiny)),
        scaling="mean",
        lower=(">=", 0.0),
    ),
    "gamma": Loss(
        "regression",
        "exp",
        gamma,
        lambda xp, v, y, args: 1.0 - y * xp.exp(-v),
        lambda y, w, args: np.log(_mean(y, w)),
        scaling="mean",
        lower=(">", 0.0),
    ),
    "gaussian": Loss(
        "regression",
        "identity",
        gaussian,
        gaussian_delta,
        _moments,
        scaling="standardize",
        outputs_per_target=lambda args: 2,
        relative_tol=False,
        max_grad_norm=1.0,  # as the gradient by m grows like 1 / u, and one row may spoil Adam's second moments
        pool=gaussian_pool,
    ),
}


def losses_for(task: str) -> list[str]:
    """Names of the losses that a user may choose for "classification" or "regression"."""
    return [name for name, loss in LOSSES.items() if loss.task == task]
