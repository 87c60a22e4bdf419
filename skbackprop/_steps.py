"""Pipelines with an estimator of this package: their steps, and the origin of each column of a step's output."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbackprop._table import Table
from skbackprop._table_encoder import TableEncoder
from skbackprop.preprocessing import PiecewiseLinearEncoder


def steps_of(model: object) -> list[Any]:
    """The steps of a Pipeline except passthrough ones; for an estimator the estimator itself."""
    from sklearn.pipeline import Pipeline  # here, as its import takes longer than that of this package

    if not isinstance(model, Pipeline):
        return [model]
    return [step for _, step in model.steps if step is not None and step != "passthrough"]


def owners_of(step: Any) -> np.ndarray:
    """For each output column of a fitted step the number of the input column from which it is computed."""
    check_is_fitted(step)
    found: np.ndarray
    if isinstance(step, Table | TableEncoder | PiecewiseLinearEncoder):
        found = step.owners
        return found
    names = getattr(step, "feature_names_in_", [f"x{i}" for i in range(step.n_features_in_)])
    place = {name: i for i, name in enumerate(names)}
    given = step.get_feature_names_out() if hasattr(step, "get_feature_names_out") else [None]
    if not all(name in place for name in given):
        raise TypeError(
            f"{type(step).__name__} has output columns with other names, which may be computed from several columns. "
            "Pass the last step of the Pipeline, pipeline[-1], whose columns are those of "
            "pipeline[:-1].get_feature_names_out()."
        )
    found = np.array([place[name] for name in given])
    return found
