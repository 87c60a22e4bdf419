"""Initializers: (rng, n_in, n_out) -> W, float64. Biases start at zero."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.random import RandomState

from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.network import NO_LAYER, Layers, Network
from skbackprop._types import Array


def _uniform(rng: RandomState, n_in: int, n_out: int, variance: float) -> Array:
    bound = math.sqrt(3.0 * variance)
    return rng.uniform(-bound, bound, (n_in, n_out))


def _normal(rng: RandomState, n_in: int, n_out: int, variance: float) -> Array:
    return math.sqrt(variance) * rng.standard_normal((n_in, n_out))


def orthogonal(rng: RandomState, n_in: int, n_out: int) -> Array:
    """Orthonormal rows or columns, whichever are fewer (Saxe, McClelland and Ganguli, 2014)."""
    Q, R = np.linalg.qr(rng.standard_normal((max(n_in, n_out), min(n_in, n_out))))
    Q = Q * np.sign(np.diag(R))  # makes the distribution uniform
    return Q if n_in >= n_out else Q.T


INITIALIZERS: dict[str, Callable[[RandomState, int, int], Array]] = {
    # Glorot and Bengio (2010)
    "glorot_uniform": lambda rng, i, o: _uniform(rng, i, o, 2.0 / (i + o)),
    "glorot_normal": lambda rng, i, o: _normal(rng, i, o, 2.0 / (i + o)),
    # He et al. (2015)
    "he_uniform": lambda rng, i, o: _uniform(rng, i, o, 2.0 / i),
    "he_normal": lambda rng, i, o: _normal(rng, i, o, 2.0 / i),
    # LeCun et al., Efficient BackProp (1998)
    "lecun_normal": lambda rng, i, o: _normal(rng, i, o, 1.0 / i),
    "orthogonal": orthogonal,
}


def initialize(network: Network, initializer: str, rng: RandomState) -> tuple[Layers, Layers, list[Array]]:
    """Draw W[1..H] and b[1..H] (slot 0 empty) and the factors, in float64.

    "auto" takes each hidden layer's initializer from its activation and starts the output layer at zero, so that the
    first prediction depends on the biases only. Members start with different factors of their inputs, r[1] ~ N(0, 1)
    (Gorishniy, Kotelnikov and Babenko, TabM, 2025); all other factors are 1.
    """
    W: Layers = [NO_LAYER]
    b: Layers = [NO_LAYER]
    members = () if network.n_members == 1 else (network.n_members,)
    for h, (n_in, n_out) in enumerate(network.layers):
        is_output = h == len(network.activations)
        name = ACTIVATIONS[network.activations[h]].initializer if not is_output else ""
        own = members if is_output else ()
        if initializer == "auto" and is_output:
            W.append(np.zeros((*own, n_in, n_out)))
        else:
            draw = INITIALIZERS[name if initializer == "auto" else initializer]
            drawn = [draw(rng, n_in, n_out) for _ in range(math.prod(own))]
            W.append(np.stack(drawn) if own else drawn[0])
        b.append(np.zeros((*members, n_out)))
    factors = [np.ones(shape) for shape in network.shapes[2 * network.n_layers :]]
    if members and network.activations:
        factors[0] = rng.standard_normal(factors[0].shape)
    return W, b, factors
