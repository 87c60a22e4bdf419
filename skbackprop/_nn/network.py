"""The description of a network, and its parameters as one flat vector."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from skbackprop._nn.losses import LOSSES, LossArgs
from skbackprop._types import Array, Namespace

Layers = list[Array]  # an array for each layer h = 1..H
NO_LAYER: Any = None  # in slot 0 of such a list


@dataclass(frozen=True)
class Network:
    """The description of a multi-layer perceptron, without its parameters.

    Layers are numbered h = 1..H; layer h maps ``sizes[h - 1]`` inputs to ``sizes[h]`` outputs.
    """

    sizes: tuple[int, ...]  # inputs, hidden layers, outputs
    activations: tuple[str, ...] = ()  # one per hidden layer
    loss: str = "squared_error"  # also determines the link of the output layer
    loss_args: LossArgs = field(default_factory=LossArgs)
    dropout: tuple[float, ...] = ()  # of the input, then of each hidden layer; (): none
    seed: int = 0  # of the dropout masks
    n_members: int = 1  # that share the hidden layers' weights (BatchEnsemble)
    input_scale: bool = False  # is there a learnable factor per input?

    def __post_init__(self) -> None:
        if not self.dropout:
            object.__setattr__(self, "dropout", (0.0,) * self.n_layers)

    @property
    def n_layers(self) -> int:
        """H: the number of weight matrices."""
        return len(self.sizes) - 1

    @property
    def n_targets(self) -> int:
        """Number of targets or classes; with some losses each has several outputs."""
        return self.sizes[-1] // LOSSES[self.loss].outputs_per_target(self.loss_args)

    @cached_property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """n_in and n_out of each layer."""
        return tuple(pairwise(self.sizes))

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the arrays in the flat vector, in their order.

        For each layer b[h] and then W[h]: together they are the extended matrix of the derivation, where biases are
        the weights of x_0 = 1 (D1). Members have separate biases and output layers. Their factors follow, r[h] and
        s[h] of each hidden layer, and then the input scale c.
        """
        members = () if self.n_members == 1 else (self.n_members,)
        shapes: list[tuple[int, ...]] = []
        for h, (n_in, n_out) in enumerate(self.layers, start=1):
            own = members if h == self.n_layers else ()
            shapes += [(*members, n_out), (*own, n_in, n_out)]
        for n_in, n_out in self.layers[:-1] if members else ():
            shapes += [(*members, n_in), (*members, n_out)]
        return (*shapes, (self.sizes[0],)) if self.input_scale else tuple(shapes)

    @cached_property
    def n_parameters(self) -> int:
        """Length of the flat vector."""
        return sum(math.prod(shape) for shape in self.shapes)

    def check(self, theta: Array) -> None:
        """Raise unless theta is a flat vector of this network."""
        if theta.shape != (self.n_parameters,):
            raise ValueError(
                f"A network with layers of the sizes {self.sizes} has {self.n_parameters} parameters in one vector, "
                f"but the array has the shape {tuple(theta.shape)}: the model's state was changed. Fit it anew."
            )


class Parameters:
    """One flat vector ``theta``, and views into it.

    ``W[h]`` and ``b[h]`` for h = 1..H (slot 0 is empty). With several members also their factors ``r[h]`` and
    ``s[h]``, h = 1..H-1; with an input scale its factors ``c``. See `Network.shapes`.
    """

    def __init__(self, xp: Namespace, network: Network, theta: Array):
        self.theta = theta
        self.arrays: list[Array] = []
        start = 0
        for shape in network.shapes:
            stop = start + math.prod(shape)
            self.arrays.append(xp.reshape(theta[start:stop], shape))
            start = stop
        n = 2 * network.n_layers
        self.b: Layers = [NO_LAYER, *self.arrays[0:n:2]]
        self.W: Layers = [NO_LAYER, *self.arrays[1:n:2]]
        self.factors: list[Array] = self.arrays[n:]
        if network.input_scale:
            self.c: Array = self.factors[-1]
        pairs = self.factors[:-1] if network.input_scale else self.factors
        self.r: Layers = [NO_LAYER, *pairs[0::2]]
        self.s: Layers = [NO_LAYER, *pairs[1::2]]


def flatten(xp: Namespace, W: Layers, b: Layers, factors: Iterable[Array] = ()) -> Array:
    """Join W[1..H], b[1..H] and the factors into one flat vector, the inverse of `Parameters`."""
    arrays = [array for pair in zip(b[1:], W[1:], strict=True) for array in pair]
    return xp.concat([xp.reshape(array, (-1,)) for array in (*arrays, *factors)])


def weights_alone(xp: Namespace, network: Network, theta: np.ndarray) -> Array:
    """Theta with zeros in place of everything except the weight matrices, to which penalty and decay apply."""
    P = Parameters(xp, network, theta)
    b, factors = ([xp.zeros_like(array) for array in arrays] for arrays in (P.b[1:], P.factors))
    return flatten(xp, P.W, [NO_LAYER, *b], factors)


@dataclass(frozen=True)
class Objective:
    """Numbers of the whole training set, for an unbiased estimate of J from a minibatch.

    J(W, b) = (sum_i w_i loss_i + alpha/2 sum_h |W[h]|^2) / sum_i w_i: a minibatch of B rows estimates
    its gradient by sum_batch w_i grad_i / (B * mean_weight) + penalty * W.
    """

    batch_size: int
    mean_weight: float = 1.0  # of the training set, in the unit in which the engine sees the weights
    penalty: float = 0.0  # alpha / sum_i w_i, of the raw weights

    @classmethod
    def over(cls, n_rows: int, weight_sum: float, alpha: float, batch_size: int, unit: float = 1.0) -> Objective:
        """Make the objective of a training set of n_rows rows whose raw weights sum to weight_sum."""
        return cls(batch_size, weight_sum / n_rows / unit, alpha / weight_sum)

    def n_steps(self, n_rows: int) -> int:
        """Minibatches in one pass over n_rows rows, the last one possibly shorter."""
        return math.ceil(n_rows / self.batch_size)
