"""What is to be fitted on a cluster: all that the ranks must know of it beside the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skbackprop._fit.dataset import Dataset
from skbackprop._fit.fitted_model import Features, FittedModel, Untrained
from skbackprop._fit.spec import FitSpec


@dataclass
class FitRequest:
    """Made by the estimator; its functions are those of the local estimator's fit."""

    spec: FitSpec
    rng: np.random.RandomState
    features: Features | None  # that X must have; None: those that X has are learned
    check_rows: Callable[[Any, Any, Any], tuple[Any, Any, Features]]  # X, y, number and names of the features
    check_weights: Callable[..., Any]  # weights, y, the parameter's name
    start: Callable[[FitSpec, Dataset, Features], FittedModel | Untrained]
    make_score: Callable[[Dataset, FittedModel], Callable[[FittedModel], float]]
    sync_every: int = 1
