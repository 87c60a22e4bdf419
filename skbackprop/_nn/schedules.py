"""Schedules: plain functions of the step, giving the factor by which learning_rate_init is multiplied.

``factor(step, total, power_t)`` works on an array of step numbers (from 0); total is the number of steps
planned. Schedules without a horizon ignore it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skbackprop._types import Array

WARMUP = 0.1  # share of the training with increasing rate in warmup_cosine
ONECYCLE_WARMUP, ONECYCLE_START = 0.3, 0.04


@dataclass(frozen=True)
class Schedule:
    """An entry."""

    factor: Callable[[Array, int, float], Array]
    horizon: bool = True  # does it depend on the planned number of epochs?
    plateau: bool = False  # is the rate divided by 5 when the loss stops improving?


def constant(step: Array, total: int, power_t: float) -> Array:
    """Constant rate."""
    return np.ones(np.shape(step))


def invscaling(step: Array, total: int, power_t: float) -> Array:
    """(step + 1)^-power_t."""
    return (np.asarray(step) + 1.0) ** -power_t


def cosine(step: Array, total: int, power_t: float) -> Array:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter, SGDR, 2017)."""
    return 0.5 * (1.0 + np.cos(np.pi * _share(step, total)))


def warmup_cosine(step: Array, total: int, power_t: float) -> Array:
    """Linear increase over the first tenth of the training, then half a cosine down to 0."""
    t = _share(step, total)
    climb = (np.asarray(step) + 1.0) / max(1.0, math.ceil(WARMUP * total))
    down = 0.5 * (1.0 + np.cos(np.pi * (t - WARMUP) / (1.0 - WARMUP)))
    return np.where(t < WARMUP, np.minimum(climb, 1.0), down)


def onecycle(step: Array, total: int, power_t: float) -> Array:
    """From 4 % up by half a cosine over 30 % of the training, then down to 0 (Smith, 2018)."""
    t = _share(step, total)
    up = 0.5 * (1.0 - np.cos(np.pi * t / ONECYCLE_WARMUP))
    down = 0.5 * (1.0 + np.cos(np.pi * (t - ONECYCLE_WARMUP) / (1.0 - ONECYCLE_WARMUP)))
    return np.where(t < ONECYCLE_WARMUP, ONECYCLE_START + (1.0 - ONECYCLE_START) * up, down)


def coslog4(step: Array, total: int, power_t: float) -> Array:
    """Four cycles, each as long as all before: (1 - cos(2 pi log2(1 + 15 t))) / 2 (Holzmüller et al., 2024)."""
    return 0.5 * (1.0 - np.cos(2.0 * np.pi * np.log2(1.0 + 15.0 * _share(step, total))))


def _share(step: Array, total: int) -> Array:
    """Fraction of the training, at most 1."""
    return np.minimum(np.asarray(step) / max(total, 1), 1.0)


SCHEDULES: dict[str, Schedule] = {
    "constant": Schedule(constant, horizon=False),
    "invscaling": Schedule(invscaling, horizon=False),
    "adaptive": Schedule(constant, horizon=False, plateau=True),
    "cosine": Schedule(cosine),
    "warmup_cosine": Schedule(warmup_cosine),
    "onecycle": Schedule(onecycle),
    "coslog4": Schedule(coslog4),
}
