"""Arithmetic: the only floor that computes with weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from skbackprop._engines.reference import ReferenceEngine
from skbackprop._nn.network import Network
from skbackprop._nn.optimizers import Optimizer


def choose_engine(
    network: Network, optimizer: Optimizer, engine: str = "auto", xp: Any = np
) -> ReferenceEngine:
    """Make the engine for this network on arrays of namespace xp."""
    if engine == "compiled":
        raise ValueError("engine='compiled' is not part of this build; use engine='auto'.")
    return ReferenceEngine(network, optimizer, xp)
