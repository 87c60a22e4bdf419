"""Calls of methods: names that other libraries have for what is asked here, answered with ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from numbers import Real
from typing import Any, TypeVar, cast

from sklearn.base import BaseEstimator, _fit_context

Method = TypeVar("Method", bound=Callable[..., object])

VALIDATION_SETS = {"eval_set", "validation_data", "valid_sets", "validation_set", "X_valid", "y_valid", "eval_X"}
WEIGHTS = {"weights", "weight", "sample_weights"}


def validated(method: Method) -> Method:
    """Check the parameters before the method, and end what callbacks began behind it, as scikit-learn does."""
    return spelled(_fit_context(prefer_skip_nested_validation=True)(method))


def spelled(method: Method) -> Method:
    """Answer arguments that have another name here with the right one."""
    names = inspect.signature(method).parameters

    @wraps(method)
    def call(estimator: BaseEstimator, *args: Any, **kwargs: Any) -> object:
        for name in kwargs:
            if name not in names and (hint := _hint(estimator, name, takes_set="X_val" in names)):
                who = f"{type(estimator).__name__}.{method.__name__}"
                raise TypeError(f"{who}() got an unexpected keyword argument {name!r}. {hint}")
        return method(estimator, *args, **kwargs)

    return cast(Method, call)


def _hint(estimator: BaseEstimator, name: str, *, takes_set: bool) -> str:
    """What to write in the place of a name that a method does not have; nothing if nobody knows."""
    if name in estimator.get_params(deep=False):
        return f"It is a parameter of the estimator: {type(estimator).__name__}({name}=...), or set_params({name}=...)."
    if name == "callbacks":
        return "Call set_callbacks(...) before fit; it needs scikit-learn 1.9 or newer."
    if name in WEIGHTS:
        return "Write sample_weight=weights."
    if name in VALIDATION_SETS and takes_set:
        return "A validation set is two arguments: fit(X, y, X_val=X_val, y_val=y_val)."
    if name in {*VALIDATION_SETS, "X_val", "y_val", "sample_weight_val"} and not takes_set:
        return "This estimator takes no validation set; MLPSoftmaxClassifier and MLPRegressor do."
    return ""


def check_pair(X_val: object, y_val: object) -> None:
    """Raise if rows and targets of a validation set come as one, as other libraries have them."""
    if y_val is not None:
        return
    while isinstance(X_val, list) and len(X_val) == 1:
        X_val = X_val[0]
    if isinstance(X_val, tuple) and len(X_val) in (2, 3):
        raise ValueError(
            "X_val is a tuple, but rows and targets are two arguments. Write fit(X, y, X_val=X_val, y_val=y_val)."
        )


def rate_hint(learning_rate: object) -> str:
    """What to write where a number was given for the schedule of the learning rate."""
    if not isinstance(learning_rate, Real) or isinstance(learning_rate, bool):
        return ""
    return f" Write learning_rate_init={learning_rate}: as in scikit-learn, learning_rate is the name of the schedule."
