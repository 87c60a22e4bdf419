"""Pipelines around an estimator of ours: their steps, and from which column each that a step gives comes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbackprop._table import Table
from skbackprop._table_encoder import TableEncoder
from skbackprop.preprocessing import PiecewiseLinearEncoder


def steps_of(model: object) -> list[Any]:
    """The steps of a Pipeline but for those that do nothing; of an estimator itself."""
    from sklearn.pipeline import Pipeline  # here, as its import takes longer than that of this package

    if not isinstance(model, Pipeline):
        return [model]
    return [step for _, step in model.steps if step is not None and step != "passthrough"]


def owners_of(step: Any) -> np.ndarray:
    """Of each column that a fitted step gives the number of the one it comes from."""
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
            f"{type(step).__name__} gives columns by other names, which may come from several: give the last step of "
            "the Pipeline, pipeline[-1], whose columns are those of pipeline[:-1].get_feature_names_out()."
        )
    found = np.array([place[name] for name in given])
    return found
