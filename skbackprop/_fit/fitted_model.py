"""A trained network with everything that is needed to predict, export and explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skbackprop._engines.members import member
from skbackprop._fit.device import HOST, Device
from skbackprop._fit.inputs import InputEncoding
from skbackprop._fit.targets import NumberCodec, TargetCodec
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.network import Network, Parameters
from skbackprop._types import Array


@dataclass(frozen=True)
class Features:
    """The columns of X: their number, their names if any, and their encoding if any."""

    n: int
    names: np.ndarray | None = None
    encoding: InputEncoding | None = None

    @property
    def n_inputs(self) -> int:
        """Width of the network's input layer."""
        return self.n if self.encoding is None else self.encoding.n_inputs

    @property
    def numeric(self) -> np.ndarray | None:
        """Numbers of the columns that are inputs as they are; None: all."""
        if self.encoding is None:
            return None
        return np.flatnonzero(~self.encoding.is_category & (self.encoding.encoder == "identity"))

    @property
    def attributes(self) -> dict[str, Any]:
        """By the names that scikit-learn gives them, and ours."""
        found: dict[str, Any] = {"n_features_in_": self.n}
        if self.encoding is not None:
            found |= {"_inputs": self.encoding} | self.encoding.attributes
        return found if self.names is None else found | {"feature_names_in_": self.names}


class Untrained(NamedTuple):
    """Targets and features before there is a model."""

    codec: TargetCodec
    features: Features


@dataclass(frozen=True)
class FittedModel:
    """A network, its parameters, and the meaning of its inputs and outputs. Values in theta may be changed in place."""

    network: Network
    theta: Array
    codec: TargetCodec
    features: Features
    device: Device = HOST  # of theta

    @property
    def link(self) -> str:
        """Key of LINKS, of the output layer."""
        return LOSSES[self.network.loss].link

    @property
    def parameters(self) -> Parameters:
        """Views into theta."""
        return Parameters(self.device.xp, self.network, self.theta)

    def check_goes_on_as(self, asked: Network) -> None:
        """Raise unless training can continue with these weights in the network of the present parameters."""
        fitted, wrong = self.network, ""
        old, new = LOSSES[fitted.loss], LOSSES[asked.loss]
        if fitted.sizes != asked.sizes:
            wrong = (
                f"have layers of the sizes {fitted.sizes}, but hidden_layer_sizes and the data now need {asked.sizes}. "
                "Use the same hidden_layer_sizes and kind of loss, or call fit with warm_start=False."
            )
        elif len(fitted.activations) != fitted.n_layers - 1:
            wrong = (
                f"belong to the activations {fitted.activations}, which are not one for each of their layers: the "
                "state of the model was changed. Fit it again."
            )
        elif fitted.shapes != asked.shapes:
            wrong = (
                "belong to other values of n_members and input_scale. Use the same values, or call fit with "
                "warm_start=False."
            )
        elif (old.link, old.scaling) != (new.link, new.scaling):
            wrong = (
                f"were trained with loss={fitted.loss!r}, whose outputs have another meaning than those of "
                f"loss={asked.loss!r}. Use the same loss, or call fit with warm_start=False."
            )
        if wrong:
            raise ValueError(f"The weights of the last fit (warm_start=True or partial_fit) {wrong}")

    def members(self) -> list[Parameters]:
        """The weights and biases with which each member acts."""
        P = self.parameters
        return [member(self.network, P, j) for j in range(self.network.n_members)]

    def effective_layers(self) -> list[Parameters]:
        """W[1..H] and b[1..H] of each member in float64, for a regressor with the last layer in the units of y.

        The model must be on the host. For the link exp the last layer gives the value before the link, for gaussian
        the logarithm of the variance.
        """
        nets = self.members()
        if isinstance(self.codec, NumberCodec):
            for net in nets:
                net.W[-1], net.b[-1] = _in_units(self.network.loss, net.W[-1], net.b[-1], self.codec)
        return nets


def _in_units(loss: str, W: Any, b: Any, codec: NumberCodec) -> tuple[Any, Any]:
    """Fold y = shift + scale * (what the network learned) into the last layer."""
    shift, scale = codec.shift, codec.scale
    if LOSSES[loss].link == "exp":  # which is never shifted
        return W, b + np.log(scale)
    n = len(scale)
    if loss == "gaussian":
        scaled = np.concatenate([scale * b[:n] + shift, b[n:] + 2.0 * np.log(scale)])
        return np.hstack([W[:, :n] * scale, W[:, n:]]), scaled
    # each target's quantiles stand together
    scale, shift = (np.repeat(x, len(b) // n) for x in (scale, shift))
    return W * scale, b * scale + shift
