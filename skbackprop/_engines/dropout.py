"""Dropout masks from a counter-based hash, so that every engine and every shard has the same masks.

A mask depends only on (seed, step, layer, row, column). All numbers have 32 bits and are stored in int64; the
multipliers are below 2^31, so that products do not overflow in any array library. Inverted dropout
(Srivastava et al., 2014): outputs that are kept are multiplied by 1 / (1 - p), so predictions need no correction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import scipy.sparse as sp

from skbackprop._nn.network import Network
from skbackprop._types import Array, Integers, Namespace

Dropper: TypeAlias = Callable[[Array], Array]  # multiplies a layer's output by its mask
Bits = TypeVar("Bits", int, Integers)
BITS32 = 0xFFFFFFFF
COLUMN = 0x2545F491  # odd, so that columns stay distinct


def mix(x: Bits) -> Bits:
    """Scramble 32-bit numbers, Python ints or int64 arrays (a "low bias" integer hash, two rounds)."""
    x = x ^ (x >> 16)
    x = (x * 0x21F0AAAD) & BITS32
    x = x ^ (x >> 15)
    x = (x * 0x735A2D97) & BITS32
    return x ^ (x >> 15)


def mask(
    network: Network, layer: int, step: int, rows: Integers, columns: Integers, xp: Namespace, dtype: Any
) -> Array:
    """Factors 0 or 1 / (1 - p) for broadcastable int64 arrays of row and column numbers."""
    p = network.dropout[layer]
    key = mix((mix((mix(network.seed) + step) & BITS32) + layer) & BITS32)
    bits = mix(mix((rows + key) & BITS32) ^ ((columns * COLUMN) & BITS32))
    return xp.astype(bits >= round(p * 2.0**32), dtype) * (1.0 / (1.0 - p))


def droppers(
    xp: Namespace,
    network: Network,
    step: int | None,
    row_offset: int | Integers,
    X: Array,
    like: Array,
    member: int = 0,
) -> list[Dropper]:
    """For each layer 0..H-1 a function that multiplies its output by the mask of this step.

    The rows of X have the numbers row_offset, row_offset + 1, ... in their minibatch, or those in an array row_offset.
    `like` determines dtype and device. Without a step (prediction, validation) there is no dropout. All members have
    the same mask of the inputs; their hidden units are numbered one member after the other.
    """

    def arange(n: int) -> Integers:
        return cast(Integers, xp.arange(n, dtype=xp.int64, device=like.device))

    def numbers(rows: Integers) -> Integers:
        return rows + row_offset if isinstance(row_offset, int) else cast(Integers, xp.take(row_offset, rows))

    def dropper(layer: int) -> Dropper:
        if step is None or network.dropout[layer] == 0.0:
            return lambda x: x
        if layer == 0 and sp.issparse(X):
            return sparse
        n_units = network.sizes[layer]
        columns = arange(n_units)[None, :] + (member * n_units if layer > 0 else 0)
        factors = mask(network, layer, step, numbers(arange(X.shape[0]))[:, None], columns, xp, like.dtype)
        return lambda x: x * factors

    def sparse(x: Any) -> Any:  # zeros stay zeros: only stored entries need a mask
        coordinates = x.tocoo()
        rows, columns = (c.astype(xp.int64) for c in (coordinates.row, coordinates.col))
        factors = mask(network, 0, cast(int, step), numbers(rows), columns, xp, like.dtype)
        return sp.csr_array((coordinates.data * factors, (rows, columns)), shape=x.shape)

    return [dropper(layer) for layer in range(network.n_layers)]
