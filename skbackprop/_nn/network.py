"""What a network is: a frozen description, and its parameters as one flat vector."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from skbackprop._nn.losses import LossArgs


@dataclass(frozen=True)
class Network:
    """A multi-layer perceptron, described but without its numbers.

    Layers are numbered h = 1..H; layer h maps ``sizes[h - 1]`` inputs to ``sizes[h]`` outputs.
    """

    sizes: tuple[int, ...]  # inputs, hidden layers, outputs
    activations: tuple[str, ...] = ()  # one per hidden layer
    loss: str = "squared_error"  # owns the link of the output layer
    loss_args: LossArgs = field(default_factory=LossArgs)
    dropout: tuple[float, ...] = ()  # of the input, then of each hidden layer; (): none
    seed: int = 0  # of the dropout masks

    def __post_init__(self):
        if not self.dropout:
            object.__setattr__(self, "dropout", (0.0,) * self.n_layers)

    @property
    def n_layers(self) -> int:
        """H: the number of weight matrices."""
        return len(self.sizes) - 1

    @cached_property
    def layers(self) -> tuple[tuple[int, int, int], ...]:
        """For each layer: where its block of the flat vector starts, its n_in and its n_out."""
        blocks, start = [], 0
        for n_in, n_out in pairwise(self.sizes):
            blocks.append((start, n_in, n_out))
            start += (n_in + 1) * n_out
        return tuple(blocks)

    @cached_property
    def n_parameters(self) -> int:
        """Length of the flat vector."""
        start, n_in, n_out = self.layers[-1]
        return start + (n_in + 1) * n_out


class Parameters:
    """One flat vector ``theta``; ``W[h]`` and ``b[h]`` (h = 1..H; slot 0 is empty) are views into it.

    A layer's block is the notes' extended matrix, the biases being the weights of x_0 = 1 (D1):
    row 0 is ``b[h]``, the n_in rows below are ``W[h]``.
    """

    def __init__(self, xp: Any, network: Network, theta: Any):
        self.theta = theta
        self.W: list[Any] = [None]
        self.b: list[Any] = [None]
        for start, n_in, n_out in network.layers:
            block = xp.reshape(theta[start : start + (n_in + 1) * n_out], (n_in + 1, n_out))
            self.b.append(block[0, :])
            self.W.append(block[1:, :])


def flatten(xp: Any, W: list[Any], b: list[Any]) -> Any:
    """Join W[1..H] and b[1..H] into one flat vector, the inverse of `Parameters`."""
    parts = []
    for W_h, b_h in zip(W[1:], b[1:], strict=True):
        parts += [b_h, xp.reshape(W_h, (-1,))]
    return xp.concat(parts)


@dataclass(frozen=True)
class Objective:
    """What a minibatch must know of the whole training set to estimate J without bias.

    J(W, b) = (sum_i w_i loss_i + alpha/2 sum_h |W[h]|^2) / sum_i w_i: a minibatch of B rows estimates
    its gradient by sum_batch w_i grad_i / (B * mean_weight) + penalty * W.
    """

    batch_size: int
    mean_weight: float = 1.0  # of the raw weights of the training set
    penalty: float = 0.0  # alpha / sum_i w_i

    @classmethod
    def over(cls, n_rows: int, weight_sum: float, alpha: float, batch_size: int) -> Objective:
        """Make the objective of a training set of n_rows rows whose weights sum to weight_sum."""
        return cls(batch_size, weight_sum / n_rows, alpha / weight_sum)

    def n_steps(self, n_rows: int) -> int:
        """Minibatches in one pass over n_rows rows, the last one possibly shorter."""
        return math.ceil(n_rows / self.batch_size)
