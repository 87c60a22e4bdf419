"""Arithmetic: the only floor that computes with weights."""

from __future__ import annotations

from typing import Any

from skbackprop._engines.reference import ReferenceEngine
from skbackprop._nn.network import Network
from skbackprop._nn.optimizers import Optimizer


def choose_engine(network: Network, optimizer: Optimizer, xp: Any) -> ReferenceEngine:
    """Make the engine for this network on arrays of namespace xp."""
    return ReferenceEngine(network, optimizer, xp)
