"""Members that share weights, and the input scale: both multiply weight matrices by learned factors.

Member j is a network with W[h] = diag(c r_j) W diag(s_j), where c is in the first layer only (BatchEnsemble: Wen, Tran
and Ba, 2020; as an ensemble for tables: Gorishniy, Kotelnikov and Babenko, TabM, 2025). So forward and backward
propagation do not change, and the product rule gives the gradients with respect to W, r, s and c.
"""

from __future__ import annotations

from copy import copy

from skbackprop._nn.network import NO_LAYER, Network, Parameters, flatten
from skbackprop._types import Array, Namespace


def member(network: Network, P: Parameters, j: int) -> Parameters:
    """The weights and biases of member j; members do not share biases and output layers."""
    M = unscaled(network, P, j)
    if network.input_scale:
        M.W[1] = P.c[:, None] * M.W[1]
    return M


def unscaled(network: Network, P: Parameters, j: int) -> Parameters:
    """The same without the input scale."""
    M, last = copy(P), network.n_layers
    M.W, M.b = list(P.W), list(P.b)
    if network.n_members > 1:
        M.b = [NO_LAYER, *(b[j, :] for b in P.b[1:])]
        hidden = [P.r[h][j, :, None] * P.W[h] * P.s[h][j, :] for h in range(1, last)]
        M.W = [NO_LAYER, *hidden, P.W[last][j, :, :]]
    return M


def shared_gradient(
    xp: Namespace, network: Network, P: Parameters, member_grads: list[tuple[list[Array], list[Array]]]
) -> Array:
    """From the gradients G of all members' W[h] and b[h] to the gradient of theta: the product rule for `member`."""
    grad_W, grad_b = P.W[:1], P.b[:1]
    grad_factors: list[Array] = []
    last = network.n_layers
    for h in range(1, last + 1):
        G = xp.stack([grads[0][h] for grads in member_grads])
        if h == 1 and network.input_scale:
            W = xp.stack([unscaled(network, P, j).W[1] for j in range(network.n_members)])
            grad_c = xp.sum(G * W, axis=(0, 2))
            G = P.c[:, None] * G
        if network.n_members == 1:
            grad_W.append(G[0, :, :])
            grad_b.append(member_grads[0][1][h])
            continue
        grad_b.append(xp.stack([grads[1][h] for grads in member_grads]))
        if h == last:
            grad_W.append(G)
            continue
        r, s = P.r[h][:, :, None], P.s[h][:, None, :]
        grad_W.append(xp.sum(r * G * s, axis=0))
        grad_factors += [xp.sum(G * P.W[h] * s, axis=2), xp.sum(G * P.W[h] * r, axis=1)]
    return flatten(xp, grad_W, grad_b, [*grad_factors, grad_c] if network.input_scale else grad_factors)


def rate_factors(xp: Namespace, network: Network, theta: Array, input_scale_rate: float) -> Array:
    """Factor of the learning rate of each parameter."""
    ones = Parameters(xp, network, xp.ones_like(theta))
    factors = [*ones.factors[:-1], input_scale_rate * ones.c] if network.input_scale else ones.factors
    return flatten(xp, ones.W, ones.b, factors)
