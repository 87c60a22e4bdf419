"""Conversion of fitted networks to torch modules, and of rows to tensors."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.inputs import InputEncoding, RawTable
from skbackprop._fit.targets import NumberCodec
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.encoders import CODE_RANGE, ENCODERS, Column
from skbackprop._nn.losses import LOG_VARIANCE_FLOOR, LOSSES
from skbackprop._nn.network import Network, Parameters


class Exp(Module):
    """The link exp."""

    def forward(self, v: Tensor) -> Tensor:
        return torch.exp(v)


class MeanAndDeviation(Module):
    """Convert means and log variances to means and standard deviations."""

    def __init__(self, log_floor: Tensor):
        super().__init__()
        self.register_buffer("log_floor", log_floor)

    def forward(self, v: Tensor) -> Tensor:
        m, s = torch.chunk(v, 2, dim=1)
        return torch.cat([m, torch.exp(0.5 * torch.logaddexp(s, self.log_floor))], dim=1)


class Sort(Module):
    """Sort quantiles, so that they do not cross."""

    def forward(self, v: Tensor) -> Tensor:
        return torch.sort(v, dim=-1).values


class Members(Module):
    """The mean prediction of the members, as logits if members return logits."""

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


class Slope(Module):
    """A numeric column that is an input without encoding."""

    def __init__(self, weights: Tensor):
        super().__init__()
        self.slope = torch.nn.Parameter(weights[0])

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.slope.dtype)[:, None] * self.slope


class PiecewiseLinear(Module):
    """A numeric column with bins: a straight line plus a piecewise linear function with kinks at the edges.

    `slope`: of the standardised number; `at_edges`: the sum over all codes at each edge; `missing`: the value for a
    missing number. Edges, mean and scale are float64, so that large numbers keep their digits.
    """

    def __init__(self, column: Column, weights: Tensor):
        super().__init__()
        low, high = CODE_RANGE
        n_bins = len(column.edges) - 1
        bins = weights[1 : 1 + n_bins]
        codes = torch.full((n_bins + 1, n_bins), low, dtype=bins.dtype)
        codes[torch.tril_indices(n_bins + 1, n_bins, -1).unbind()] = high
        self.slope = torch.nn.Parameter(weights[0])
        self.at_edges = torch.nn.Parameter(codes @ bins)
        self.missing = torch.nn.Parameter(0.5 * (low + high) * bins.sum(dim=0) + weights[1 + n_bins :].sum(dim=0))
        self.register_buffer("edges", torch.tensor(column.edges, dtype=torch.float64))
        self.register_buffer("mean", torch.tensor(column.mean, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(column.scale, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        x, dtype = x.to(self.edges.dtype), self.slope.dtype
        is_missing = torch.isnan(x)
        x = torch.where(is_missing, self.mean, x)
        v = ((x - self.mean) / self.scale).to(dtype)[:, None] * self.slope
        if len(self.edges) > 1:
            n = torch.bucketize(x.detach(), self.edges[1:-1], right=True)
            passed = torch.clamp((x - self.edges[n]) / (self.edges[n + 1] - self.edges[n]), 0.0, 1.0)
            v = v + torch.lerp(self.at_edges[n], self.at_edges[n + 1], passed.to(dtype)[:, None])
        return torch.where(is_missing[:, None], self.missing, v)


class Columns(Module):
    """Contribution of each column to the sums of the first layer, (rows, columns, units); members are side by side.

    `columns`: a module for each; for a column of categories a torch.nn.Embedding.
    """

    def __init__(self, encoding: InputEncoding, W: Tensor):
        super().__init__()
        numeric = iter(encoding.columns)
        n_others = iter(encoding.n_others)
        owners, modules = torch.tensor(encoding.owners), torch.nn.ModuleList()
        for i, is_category in enumerate(encoding.is_category):
            weights = W[owners == i]
            if is_category:
                weights = torch.nn.functional.pad(weights, (0, 0, 0, 2 - next(n_others)))  # missing and unknown: 0
                modules.append(torch.nn.Embedding.from_pretrained(weights, freeze=False))
            elif ENCODERS[encoding.encoder].takes_nan:
                modules.append(PiecewiseLinear(next(numeric), weights))
            else:
                modules.append(Slope(weights))
        self.columns = modules

    def forward(self, numbers: Tensor, categories: Tensor | None = None) -> Tensor:
        given = iter(numbers.unbind(dim=1))
        chosen = iter(() if categories is None else categories.unbind(dim=1))
        found = [m(next(chosen if isinstance(m, torch.nn.Embedding) else given)) for m in self.columns]
        return torch.stack(found, dim=1)


class Sum(Module):
    """The sums of the first layer, over the contributions of all columns."""

    def __init__(self, bias: Tensor):
        super().__init__()
        self.bias = torch.nn.Parameter(bias)

    def forward(self, v: Tensor) -> Tensor:
        return torch.sum(v, dim=1) + self.bias


class Units(Module):
    """The units of one member, among members side by side."""

    def __init__(self, start: int, n: int):
        super().__init__()
        self.start, self.n = start, n

    def forward(self, v: Tensor) -> Tensor:
        return torch.narrow(v, 1, self.start, self.n)


class TableNetwork(Module):
    """A network for tables: `columns` computes the contributions to the first layer, `network` everything else."""

    def __init__(self, columns: Columns, network: torch.nn.Sequential):
        super().__init__()
        self.columns, self.network = columns, network

    def forward(self, numbers: Tensor, categories: Tensor | None = None) -> Tensor:
        return self.network(self.columns(numbers, categories))


def to_torch(model: FittedModel) -> torch.nn.Sequential | TableNetwork:
    """Make a module of a model on the host; see the estimators' method."""
    network, encoding, nets = model.network, model.features.encoding, model.effective_layers()
    if encoding is None:
        return torch.nn.Sequential(*_body(model, [_linear(P, 1) for P in nets], nets))
    W = as_tensor(np.concatenate([P.W[1] for P in nets], axis=1), model)
    b = as_tensor(np.concatenate([P.b[1] for P in nets]), model)
    if len(nets) == 1:
        body = _body(model, [Sum(b)], nets)
    else:
        n = network.sizes[1]
        body = [Sum(b), *_body(model, [Units(j * n, n) for j in range(len(nets))], nets)]
    return TableNetwork(Columns(encoding, W), torch.nn.Sequential(*body))


def codes(encoding: InputEncoding, table: RawTable) -> tuple[Tensor, Tensor]:
    """Rows of a table for a `TableNetwork`: numbers, and indices of categories."""
    return torch.tensor(table.numbers), torch.tensor(encoding.category_numbers(table), dtype=torch.int64)


def _body(model: FittedModel, firsts: list[Module], nets: list[Parameters]) -> list[Module]:
    """All layers of the members, whose first layers are given, and the functions from outputs to predictions."""
    network, codec = model.network, model.codec
    stacks = [_stack(network, first, P, _head(model)) for first, P in zip(firsts, nets, strict=True)]
    kind = "gaussian" if network.loss == "gaussian" else LOSSES[network.loss].link
    body = list(stacks[0]) if len(stacks) == 1 else [Members(stacks, kind if kind in POOLS else "mean")]
    return [*body, *(_tail(codec) if isinstance(codec, NumberCodec) else [])]


def _stack(network: Network, first: Module, P: Parameters, head: list[Module]) -> torch.nn.Sequential:
    """The layers of one member."""
    modules = [first]
    for h in range(2, network.n_layers + 1):
        name = network.activations[h - 2]
        module = ACTIVATIONS[name].torch
        if module is None:
            known = sorted(name for name, entry in ACTIVATIONS.items() if entry.torch is not None)
            raise ValueError(f"torch has no module for activation={name!r}; it has for {known}.")
        modules += [module(torch.nn), _linear(P, h)]
    return torch.nn.Sequential(*modules, *head)


def _linear(P: Parameters, h: int) -> Module:
    """Layer h."""
    linear = torch.nn.utils.skip_init(torch.nn.Linear, *P.W[h].shape, dtype=_dtype(P.theta))
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(P.W[h].T.copy()))
        linear.bias.copy_(torch.tensor(P.b[h].copy()))
    return linear


def as_tensor(array: np.ndarray, model: FittedModel) -> Tensor:
    """A copy of an array in the dtype of the model's parameters."""
    return torch.tensor(array, dtype=_dtype(model.theta))


def _dtype(array: np.ndarray) -> torch.dtype:
    return torch.float64 if array.dtype == "float64" else torch.float32


def _head(model: FittedModel) -> list[Module]:
    """The function of each member's output sums; for classifiers it returns logits."""
    loss, codec = model.network.loss, model.codec
    if isinstance(codec, NumberCodec) and loss == "gaussian":
        log_floor = LOG_VARIANCE_FLOOR + 2.0 * np.log(codec.scale)
        return [MeanAndDeviation(torch.tensor(log_floor, dtype=_dtype(model.theta)))]
    return [Exp()] if LOSSES[loss].link == "exp" else []


def _tail(codec: NumberCodec) -> list[Module]:
    """Reshape (n_samples, n_outputs) to the shape of predict."""
    if codec.loss_name == "gaussian":
        return []
    modules = []
    if codec.loss_name == "quantile" and not codec.quantile_is_scalar:
        modules = [torch.nn.Unflatten(1, (codec.n_targets, -1)), Sort()]
    return [*modules, torch.nn.Flatten(0, 1)] if codec.y_is_1d else modules
