"""What all ranks must know of a fit beside their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skbackprop._dask.shards import Layout
from skbackprop._fit.dataset import Dataset
from skbackprop._fit.fitted_model import Features, FittedModel, Untrained
from skbackprop._fit.spec import FitSpec
from skbackprop._fit.state import TrainState


@dataclass
class FitRequest:
    """What the estimator asks for; the functions are those of the local estimator's fit."""

    spec: FitSpec
    rng: np.random.RandomState
    features: Features | None  # that X must have; None: those that X has are learned
    check_rows: Callable[[object, object, object], tuple[object, object, Features]]  # X, y, number and names
    check_weights: Callable[..., np.ndarray | None]  # weights, y, the parameter's name
    start: Callable[[FitSpec, Dataset, Features], FittedModel | Untrained]
    make_score: Callable[[Dataset, FittedModel], Callable[[FittedModel], float]]
    sync_every: int = 1


@dataclass
class Snapshot:
    """What training can go on from: the parameters, and all else with the optimizer's memory in it."""

    theta: np.ndarray
    state: TrainState


@dataclass
class Job:
    """One attempt at a fit, on certain workers."""

    name: str
    token: str  # a secret, by which ranks know each other
    request: FitRequest
    addresses: list[str]  # of the workers, by rank
    layouts: dict[str, list[Layout]]  # which rows each rank holds, by table
    has_callbacks: bool
    keeps_checkpoints: bool  # does the client want one after each epoch?
    resume: Snapshot | None  # to go on from
