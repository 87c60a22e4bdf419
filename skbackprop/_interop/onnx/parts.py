"""What a fitted model of scikit-learn is made of."""

from __future__ import annotations

from collections.abc import Iterator

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from skbackprop._estimator import BaseMLP


def attributes(estimator: BaseEstimator) -> dict[str, object]:
    """Parameters and fitted attributes."""
    return vars(estimator)  # of classes that we do not know, for which scikit-learn offers no list of them


def parts(value: object) -> Iterator[BaseEstimator]:
    """Estimators inside a value, in their lists, tuples, dicts and attributes, itself included."""
    inside: list[object] = []
    if isinstance(value, dict):
        inside = list(value.values())
    elif isinstance(value, list | tuple):
        inside = list(value)
    elif hasattr(value, "__dict__") and type(value).__module__.startswith(("sklearn.", "skbackprop.")):
        yield value
        inside = [] if isinstance(value, BaseMLP) else list(attributes(value).values())
    for part in inside:
        yield from parts(part)


def last_step(model: BaseEstimator) -> BaseEstimator:
    """What stands at the end of Pipelines."""
    while isinstance(model, Pipeline):
        model = model.steps[-1][1]
    return model
