"""Arithmetic: the only layer of the package that computes with weights."""

from __future__ import annotations

import numpy as np

from skbackprop._engines.compiled import CompiledEngine, without_kernel
from skbackprop._engines.engine import LocalEngine
from skbackprop._engines.level import has_tiles
from skbackprop._engines.reference import ReferenceEngine
from skbackprop._nn.network import Network
from skbackprop._nn.optimizers import Optimizer
from skbackprop._types import Namespace


def choose_engine(
    network: Network,
    optimizer: Optimizer,
    engine: str = "auto",
    xp: Namespace = np,
    n_threads: int | None = None,
    precision: str = "highest",
) -> LocalEngine:
    """Make the engine for this network on arrays of namespace xp: compiled where it can be.

    Products are less precise than "highest" only where a matrix unit makes them faster.
    """
    missing = without_kernel(network, optimizer)
    if engine == "compiled" and (missing or xp is not np):
        reason = f"{missing} has no kernel" if missing else f"it takes NumPy arrays only, not {xp.__name__}'s"
        raise ValueError(f"engine='compiled' is not available: {reason}. Use engine='auto' or 'reference'.")
    if engine == "reference" or missing or xp is not np:
        return ReferenceEngine(network, optimizer, xp)
    if precision != "highest" and not has_tiles():  # which asks the system, and only for those who want them
        precision = "highest"
    return CompiledEngine(network, optimizer, n_threads, precision)
