"""A fitted network as a module of torch."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.targets import NumberCodec
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.losses import LOG_VARIANCE_FLOOR, LOSSES
from skbackprop._nn.network import Network, Parameters


class Exp(Module):
    """The link exp."""

    def forward(self, v: Tensor) -> Tensor:
        return torch.exp(v)


class MeanAndDeviation(Module):
    """From means and logarithms of variances above a floor to means and standard deviations."""

    def __init__(self, log_floor: Tensor):
        super().__init__()
        self.register_buffer("log_floor", log_floor)

    def forward(self, v: Tensor) -> Tensor:
        m, s = torch.chunk(v, 2, dim=1)
        return torch.cat([m, torch.exp(0.5 * torch.logaddexp(s, self.log_floor))], dim=1)


class Sort(Module):
    """Quantiles that never cross."""

    def forward(self, v: Tensor) -> Tensor:
        return torch.sort(v, dim=-1).values


class Members(Module):
    """The mean of members' predictions, as the logits of it where members give logits."""

    def __init__(self, members: list[Module], kind: str):
        super().__init__()
        self.members, self.kind = torch.nn.ModuleList(members), kind

    def forward(self, X: Tensor) -> Tensor:
        return POOLS[self.kind](torch.stack([net(X) for net in self.members]))


def _logistic_pool(v: Tensor) -> Tensor:
    """ln(p / (1 - p)) of the mean p."""
    log_sigmoid = torch.nn.functional.logsigmoid
    return torch.logsumexp(log_sigmoid(v), dim=0) - torch.logsumexp(log_sigmoid(-v), dim=0)


def _gaussian_pool(v: Tensor) -> Tensor:
    """Mean and standard deviation of the equal mixture."""
    m, std = torch.chunk(v, 2, dim=2)
    mean = torch.mean(m, dim=0)
    return torch.cat([mean, torch.sqrt(torch.mean(std**2 + (m - mean) ** 2, dim=0))], dim=1)


POOLS = {
    "softmax": lambda v: torch.logsumexp(torch.log_softmax(v, dim=2), dim=0) - math.log(len(v)),  # ln of the mean
    "logistic": _logistic_pool,
    "gaussian": _gaussian_pool,
    "mean": lambda y: torch.mean(y, dim=0),
}


def to_torch(model: FittedModel) -> torch.nn.Sequential:
    """Make a torch.nn.Sequential of a model on the host; see the estimators' method."""
    network = model.network
    nets = [_stack(network, P, _head(model)) for P in model.effective_layers()]
    kind = "gaussian" if network.loss == "gaussian" else LOSSES[network.loss].link
    pool = kind if kind in POOLS else "mean"
    body = list(nets[0]) if len(nets) == 1 else [Members(nets, pool)]
    tail = _tail(model.codec) if isinstance(model.codec, NumberCodec) else []
    return torch.nn.Sequential(*body, *tail)


def _stack(network: Network, P: Parameters, head: list[Module]) -> Module:
    """The layers of one member."""
    modules: list[Module] = []
    for h in range(1, network.n_layers + 1):
        linear = torch.nn.utils.skip_init(torch.nn.Linear, *P.W[h].shape, dtype=_dtype(P.theta))
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(P.W[h].T.copy()))
            linear.bias.copy_(torch.tensor(P.b[h].copy()))
        modules.append(linear)
        if h < network.n_layers:
            name = network.activations[h - 1]
            module = ACTIVATIONS[name].torch
            if module is None:
                known = sorted(name for name, entry in ACTIVATIONS.items() if entry.torch is not None)
                raise ValueError(f"torch has no module for activation={name!r}; it has for {known}.")
            modules.append(module(torch.nn))
    return torch.nn.Sequential(*modules, *head)


def _dtype(array: np.ndarray) -> torch.dtype:
    return torch.float64 if array.dtype == "float64" else torch.float32


def _head(model: FittedModel) -> list[Module]:
    """What each member does to its output layer's sums; classifiers give logits."""
    loss, codec = model.network.loss, model.codec
    if isinstance(codec, NumberCodec) and loss == "gaussian":
        log_floor = LOG_VARIANCE_FLOOR + 2.0 * np.log(codec.scale)
        return [MeanAndDeviation(torch.tensor(log_floor, dtype=_dtype(model.theta)))]
    return [Exp()] if LOSSES[loss].link == "exp" else []


def _tail(codec: NumberCodec) -> list[Module]:
    """From (n_samples, n_outputs) to the shape that predict gives."""
    if codec.loss_name == "gaussian":
        return []
    modules = []
    if codec.loss_name == "quantile" and not codec.quantile_is_scalar:
        modules = [torch.nn.Unflatten(1, (codec.n_targets, -1)), Sort()]
    return [*modules, torch.nn.Flatten(0, 1)] if codec.y_is_1d else modules
