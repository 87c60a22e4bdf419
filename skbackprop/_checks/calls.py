"""Calls of methods: names that other libraries have for what is asked here, answered with ours."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from functools import update_wrapper, wraps
from numbers import Real
from types import MethodType
from typing import Any, TypeVar, cast

from sklearn.base import BaseEstimator, _fit_context

Method = TypeVar("Method", bound=Callable[..., object])

VALIDATION_SETS = {"eval_set", "validation_data", "valid_sets", "validation_set", "eval_X", "eval_y"}
VALIDATION_SETS |= {f"{name}_{part}" for name in "Xy" for part in ("valid", "validation", "test", "eval", "dev")}
WEIGHTS = {"weights", "weight", "sample_weights"}
OTHER_NAMES = {  # of parameters, in Keras, PyTorch, skorch, XGBoost, LightGBM and CatBoost
    "activation": "act activation_fn activation_function nonlinearity",
    "alpha": "l2 l2_leaf_reg lambda_l2 reg_lambda",
    "batch_size": "batch batchsize bs mini_batch_size minibatch_size",
    "beta_1": "beta1",
    "beta_2": "beta2",
    "categorical_features": "cat_cols cat_features cat_idxs categorical_columns categorical_feature",
    "class_weight": "class_weights scale_pos_weight",
    "dropout": "drop_rate dropout_p dropout_prob dropout_rate",
    "epochs": "epoch iterations max_epochs n_epoch n_epochs n_iter nb_epoch nb_epochs num_boost_round num_epochs",
    "epsilon": "eps",
    "hidden_layer_sizes": "hidden_dim hidden_dims hidden_layers hidden_size hidden_sizes hidden_units layers",
    "initializer": "init kernel_initializer weight_init",
    "learning_rate": "lr_schedule lr_scheduler scheduler",
    "learning_rate_init": "base_lr eta eta0 lr max_lr",
    "loss": "criterion loss_fn loss_function objective",
    "max_grad_norm": "clipnorm grad_clip gradient_clip_val",
    "n_iter_no_change": "early_stopping_round early_stopping_rounds patience",
    "n_threads": "n_jobs nthread num_threads num_workers thread_count",
    "random_state": "random_seed seed",
    "scoring": "eval_metric metric metrics",
    "solver": "optim optimiser optimizer",
    "validation_fraction": "val_size val_split validation_split",
    "verbose": "verbosity",
    "weight_decay": "decay wd",
}
OURS = {other: name for name, others in OTHER_NAMES.items() for other in others.split()}


def validated(method: Method) -> Method:
    """Check the parameters before the method, and end what callbacks began behind it, as scikit-learn does."""
    return spelled(_fit_context(prefer_skip_nested_validation=True)(method))


def composed(method: Method) -> Method:
    """The same for an estimator made of others, which check their own parameters."""
    return cast(Method, _fit_context(prefer_skip_nested_validation=False)(method))


def offered_if(check: Callable[[Any], object], method: Method) -> Method:
    """Offer the method of estimators for which the check raises no AttributeError; the user sees the error as it is."""
    return cast(Method, _Offered(method, check))


class _Offered:
    """scikit-learn's `available_if` but for its error, which does not say why."""

    def __init__(self, method: Callable[..., object], check: Callable[[Any], object]):
        update_wrapper(cast(Any, self), method)
        self._method, self._check = method, check

    def __get__(self, estimator: Any, owner: type) -> Callable[..., object]:
        if estimator is None:
            return self._method
        self._check(estimator)
        return MethodType(self._method, estimator)


def spelled(method: Method) -> Method:
    """Answer arguments that have another name here with the right one, and any wrong call by the estimator's name."""
    signature = inspect.signature(method)

    @wraps(method)
    def call(estimator: BaseEstimator, /, *args: Any, **kwargs: Any) -> object:
        try:
            signature.bind(estimator, *args, **kwargs)
        except TypeError as error:
            check_names(type(estimator), method, kwargs)
            raise TypeError(f"{_name_of(type(estimator), method)}: {error}") from None
        return method(estimator, *args, **kwargs)

    return cast(Method, call)


def check_names(cls: type[BaseEstimator], method: Callable[..., object], names: Iterable[str]) -> None:
    """Raise if a method of the class does not take an argument of one of these names; say what to write."""
    takes = inspect.signature(method).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in takes.values()):
        return
    for name in names:
        if name not in takes:
            who, hint = _name_of(cls, method), _hint(cls, name, method)
            raise TypeError(f"{who} got an unexpected keyword argument {name!r}{hint}") from None


def _name_of(cls: type[BaseEstimator], method: Callable[..., object]) -> str:
    return f"{cls.__name__}()" if method.__name__ == "__init__" else f"{cls.__name__}.{method.__name__}()"


def _hint(cls: type[BaseEstimator], name: str, method: Callable[..., object]) -> str:
    """What to write in the place of a name that a method does not have; nothing if nobody knows."""
    where, takes = method.__name__, inspect.signature(method).parameters
    if name in WEIGHTS and "sample_weight" in takes:
        return ". Write sample_weight=weights."
    if where == "score":
        return ""
    if name == "callbacks":
        return ". Call set_callbacks(...) before fit; it needs scikit-learn 1.9 or newer."
    ours, network = OURS.get(name, name), getattr(cls, "__network__", None)
    if ours in _parameters_of(cls):
        if where == "__init__":
            return f". Write {ours}=..."
        return f". It is a parameter of the estimator: {cls.__name__}({ours}=...), or set_params({ours}=...)."
    if network is not None and ours in _parameters_of(network):
        return f". It is a parameter of the networks: {cls.__name__}({network.__name__}({ours}=...))."
    if where == "__init__":
        return ""
    if name in VALIDATION_SETS and "X_val" in takes:
        return ". A validation set is two arguments: fit(X, y, X_val=X_val, y_val=y_val)."
    if name == "interval":
        return ". Intervals need tabular_pipeline('regressor', oob_score=True) or MLPEnsembleRegressor(oob_score=True)."
    what = "checkpoint" if name == "checkpoint" else "validation set"
    if name not in {*VALIDATION_SETS, "X_val", "y_val", "sample_weight_val", "checkpoint"}:
        return ""
    if network is None:
        return f". {cls.__name__} takes no {what}; MLPSoftmaxClassifier and MLPRegressor do."
    return (
        f". {cls.__name__} takes no {what}; {network.__name__} does, and so does "
        "tabular_pipeline(effort='default') without oob_score=True."
    )


def _parameters_of(cls: type[BaseEstimator]) -> list[str]:
    return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]


def check_pair(X_val: Any, y_val: object) -> None:
    """Raise if rows and targets of a validation set come as one, as other libraries have them."""
    while isinstance(X_val, list) and len(X_val) == 1:
        X_val = X_val[0]
    if not isinstance(X_val, tuple) or len(X_val) not in (2, 3):
        return
    if y_val is None or len(getattr(X_val[0], "shape", ())) == 2:  # else a tuple of rows
        raise ValueError(
            "X_val is a tuple, but rows and targets are two arguments. Write fit(X, y, X_val=X_val, y_val=y_val)."
        )


def value_hint(name: str, value: object) -> str:
    """What to write where a number was given for the schedule of the learning rate, or a text for a number."""
    is_text = isinstance(value, str) and bool(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value))
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if name == "learning_rate" and (is_text or is_number):
        return f" Write learning_rate_init={value}: as in scikit-learn, learning_rate is the name of the schedule."
    return f" Write {name}={value}, a number without quotation marks." if is_text else ""
