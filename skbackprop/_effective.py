"""The weights with which a fitted model acts: members' factors and target scales folded in, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from skbackprop._engines.members import member
from skbackprop._fit import validation
from skbackprop._fit.places import HOST
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.network import Parameters
from skbackprop._prediction import as_published


def on_host(model: Any) -> Any:
    """A fitted model as it is now, whose arrays are NumPy's: copies of them if it was fitted elsewhere."""
    model = as_published(model)
    check_is_fitted(model)
    if validation.home_of(model.coefs_[0]) is HOST:
        return model
    return model.__sklearn_array_api_convert__(validation.to_host)


def effective_layers(model: Any) -> list[Parameters]:
    """W[1..H] and b[1..H] that each member acts with, the last layer of a regressor in the units of y, and in float64.

    The model is one on the host. For the link exp that is before the link, for gaussian the logarithm of the variance.
    """
    network = model._network
    P = Parameters(np, network, model._theta())
    nets = [member(network, P, j) for j in range(network.n_members)]
    if not is_classifier(model):
        for net in nets:
            net.W, net.b = list(net.W), list(net.b)
            W, b = _in_units(network.loss, net.W[-1], net.b[-1], model.target_shift_, model.target_scale_)
            net.W[-1], net.b[-1] = W, b
    return nets


def _in_units(loss: str, W: Any, b: Any, shift: Any, scale: Any) -> tuple[Any, Any]:
    """Fold y = shift + scale * (what the network learned) into the last layer."""
    if LOSSES[loss].link == "exp":  # which is never shifted
        return W, b + np.log(scale)
    n = len(scale)
    if loss == "gaussian":
        scaled = np.concatenate([scale * b[:n] + shift, b[n:] + 2.0 * np.log(scale)])
        return np.hstack([W[:, :n] * scale, W[:, n:]]), scaled
    scale, shift = (
        np.repeat(x, len(b) // n) for x in (scale, shift)
    )  # each target's quantiles stand together
    return W * scale, b * scale + shift
