"""The precision of matrix products, with the names of PyTorch and JAX.

"highest": the precision of the dtype. "medium": float32 factors are rounded to bfloat16, which has 8 of their 24 bits,
and products are summed in float32, as matrix units of processors do. Biases, sums of gradients, the optimizer and its
memory keep their precision, and so does a first layer with sparse or encoded inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from scipy.sparse import issparse

from skbackprop._engines.encoded_table import EncodedTable
from skbackprop._engines.level import has_tiles, level
from skbackprop._types import Array, Namespace

PRECISIONS = ("highest", "medium")
SPLIT = 2.0**16 + 1  # Veltkamp's factor that leaves the upper 8 of 24 bits
LARGE, SMALLEST = 2.0**100, 2.0**-126  # above which the factor could overflow; the smallest normal number
Rounding: TypeAlias = Callable[[Array], Array]


def level_of_tiles() -> str:
    """Level of the kernels that multiply tiles, with the matrix unit or, with the same results, without it."""
    return "v4" if level() == "amx" and not has_tiles() else level()


def bfloat16(xp: Namespace, x: Array) -> Array:
    """Round float32 numbers to the nearest of bfloat16, ties to even, by Veltkamp's splitting; denormals to zero.

    J. W. Dekker, A floating-point technique for extending the available precision, Numerische Mathematik 18, 1971.
    """
    size = xp.abs(x)
    fits = xp.where(size > LARGE, x * 2.0**-32, x)
    c = fits * SPLIT
    high = c - (c - fits)
    high = xp.where(size > LARGE, high * 2.0**32, high)
    high = xp.where(xp.isfinite(x), high, x)
    return xp.where(size < SMALLEST, x * 0.0, high)


def roundings(xp: Namespace, precision: str, n_layers: int, X: object, theta: Array) -> list[Rounding]:
    """Functions that round the factors of the products of layers h = 1..H; slot 0 is not used."""
    if precision == "highest" or theta.dtype != xp.float32:
        return [_exact] * (n_layers + 1)
    first = _exact if isinstance(X, EncodedTable) or issparse(X) else partial(bfloat16, xp)
    return [_exact, first, *[partial(bfloat16, xp)] * (n_layers - 1)]


def _exact(x: Array) -> Array:
    return x
