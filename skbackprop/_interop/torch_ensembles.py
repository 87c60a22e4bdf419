"""Conversion of fitted ensembles to torch modules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.inputs import InputEncoding
from skbackprop._fit.targets import LabelCodec
from skbackprop._interop.torch import Units, as_tensor
from skbackprop._interop.torch import to_torch as network_to_torch
from skbackprop._nn.losses import LOSSES


class WeightedMean(Module):
    """The weighted mean prediction of networks, as logits if they return logits.

    `kind`: key of MEANS; `tail`: function of the mean.
    """

    def __init__(self, networks: Sequence[Module], weights: Tensor, kind: str, tail: torch.nn.Sequential):
        super().__init__()
        self.networks, self.kind, self.tail = torch.nn.ModuleList(networks), kind, tail
        self.register_buffer("weights", weights)

    def forward(self, numbers: Tensor, categories: Tensor | None = None) -> Tensor:
        inputs = (numbers,) if categories is None else (numbers, categories)
        return self.tail(MEANS[self.kind](torch.stack([net(*inputs) for net in self.networks], dim=-1), self.weights))


def _log_mean_exp(log_p: Tensor, weights: Tensor) -> Tensor:
    """Ln of the mean p."""
    return torch.logsumexp(log_p + torch.log(weights), dim=-1)


def _logit_of_mean(v: Tensor, weights: Tensor) -> Tensor:
    """ln(p / (1 - p)) of the mean p."""
    log_p, log_q = (torch.nn.functional.logsigmoid(z) for z in (v, -v))
    return _log_mean_exp(log_p, weights) - _log_mean_exp(log_q, weights)


MEANS = {  # of predictions (..., networks), by the link of classifiers
    "softmax": lambda v, weights: _log_mean_exp(torch.log_softmax(v, dim=1), weights),
    "logistic": _logit_of_mean,
    "mean": torch.matmul,
}


def to_torch(models: Sequence[FittedModel], weights: Sequence[float], common: InputEncoding | None) -> WeightedMean:
    """Make a module from models on the host, with one encoding of categories for all."""
    networks = [_numbered(network_to_torch(model), model.features.encoding, common) for model in models]
    network, codec = models[0].network, models[0].codec
    tail, kind = torch.nn.Sequential(), "mean"
    if isinstance(codec, LabelCodec):
        kind = LOSSES[network.loss].link
    elif network.loss == "gaussian":  # the deviations are left out
        tail = torch.nn.Sequential(Units(0, codec.n_targets), *([torch.nn.Flatten(0, 1)] if codec.y_is_1d else []))
    return WeightedMean(networks, as_tensor(np.array(weights), models[0]), kind, tail)


def _numbered(network: Module, own: InputEncoding | None, common: InputEncoding | None) -> Module:
    """The network with categories numbered by the common encoding; those that it has not seen are unknown."""
    if own is None or common is None:
        return network
    modules = network.columns.columns
    places = np.flatnonzero(own.is_category).tolist()
    for i, known, texts in zip(places, own.categories, common.categories, strict=True):
        n, number = len(known), {text: k for k, text in enumerate(known)}
        rows = [*(number.get(text, n + 1) for text in texts), n, n + 1]  # the last for missing and unknown values
        modules[i] = torch.nn.Embedding.from_pretrained(modules[i].weight.detach()[rows], freeze=False)
    return network
