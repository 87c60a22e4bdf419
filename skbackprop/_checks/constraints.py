"""Parameters: their constraints, their values for a fit, and which of them have no effect."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions, make_constraint

from skbackprop._checks.calls import Method, validated
from skbackprop._engines.encoded_table import MOST
from skbackprop._engines.precision import PRECISIONS
from skbackprop._engines.threads import MOST_THREADS
from skbackprop._fit.data_checks import within_floats
from skbackprop._fit.spec import FitSpec
from skbackprop._fit.warn import warn
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.encoders import ENCODERS
from skbackprop._nn.initializers import INITIALIZERS
from skbackprop._nn.losses import losses_for
from skbackprop._nn.optimizers import OPTIMIZERS
from skbackprop._nn.schedules import SCHEDULES

__all__ = ["Interval", "Method", "validated"]

RULES_OWN = ("momentum", "nesterovs_momentum", "beta_1", "beta_2", "epsilon")  # parameters of some optimizers
STEPS_OWN = (  # parameters of all optimizers, but not of L-BFGS
    "learning_rate",
    "learning_rate_init",
    "power_t",
    "batch_size",
    "epochs",
    "shuffle",
    "weight_decay",
    "dropout",
    "max_grad_norm",
    "matmul_precision",
)
LOSSES_OWN = {"focal_gamma": "focal", "huber_delta": "huber", "quantile": "quantile"}
INPUT_SCALE_RATE = 6.0  # of input_scale=True


def check_parameters(estimator: BaseEstimator) -> None:
    """Raise unless each parameter satisfies its constraints."""
    estimator._validate_params()


def keeps_constraints(estimator: BaseEstimator) -> bool:
    """Tell whether all parameters are valid, in a quarter of the time that scikit-learn takes."""
    return all(
        any(constraint.is_satisfied_by(getattr(estimator, name)) for constraint in constraints)
        for name, constraints in _constraints_of(estimator.__class__).items()
    )


@cache
def _constraints_of(cls: type[BaseEstimator]) -> dict[str, list[Any]]:
    """The constraints of a class, as objects of scikit-learn."""
    given = {name: some for name, some in cls._parameter_constraints.items() if some != "no_validation"}
    return {name: [make_constraint(one) for one in some] for name, some in given.items()}


@cache
def _defaults_of(cls: type[BaseEstimator]) -> dict[str, object]:
    """Defaults of the parameters of a class."""
    return {name: parameter.default for name, parameter in inspect.signature(cls.__init__).parameters.items()}


class _TableNames(StrOptions):
    """One of a table's names, read when the parameter is checked, so that new entries are accepted."""

    def __init__(self, names: Callable[[], Iterable[str]]):
        self._names = names
        self.deprecated: set[str] = set()
        self.hidden = False
        self.type = str

    @property
    def options(self) -> list[str]:
        return list(self._names())

    def is_satisfied_by(self, val: object) -> bool:
        return isinstance(val, str) and val in self.options


class _Reals(Interval):
    """Numbers that a float can represent; an integer of a thousand digits is not one."""

    def __init__(self, low: float, high: float | None = None, closed: str = "left"):
        super().__init__(Real, low, high, closed=closed)

    def is_satisfied_by(self, val: object) -> bool:
        fits = not isinstance(val, Integral) or abs(int(val)) <= sys.float_info.max
        return fits and bool(super().is_satisfied_by(val))


def _integer(low: int) -> Interval:
    return Interval(Integral, low, None, closed="left")


SHARED_CONSTRAINTS: dict[str, list[object]] = {
    "hidden_layer_sizes": ["array-like", _integer(1)],
    "activation": [_TableNames(lambda: ACTIVATIONS), list, tuple],
    "solver": [_TableNames(lambda: [*OPTIMIZERS, "lbfgs"])],
    "learning_rate": [_TableNames(lambda: ["auto", *SCHEDULES])],
    "learning_rate_init": [StrOptions({"auto"}), _Reals(0, closed="neither")],
    "power_t": [_Reals(0)],
    "batch_size": [StrOptions({"auto"}), _integer(1)],
    "epochs": [StrOptions({"auto"}), _integer(1)],
    "max_iter": [_integer(1)],
    "max_fun": [_integer(1)],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "alpha": [_Reals(0)],
    "weight_decay": [StrOptions({"auto"}), _Reals(0)],
    "dropout": [StrOptions({"auto"}), _Reals(0, 1), "array-like"],
    "max_grad_norm": [StrOptions({"auto"}), _Reals(0, closed="neither"), None],
    "initializer": [_TableNames(lambda: ["auto", *INITIALIZERS])],
    "momentum": [_Reals(0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "beta_1": [_Reals(0, 1)],
    "beta_2": [_Reals(0, 1)],
    "epsilon": [_Reals(0, closed="neither")],
    "early_stopping": ["boolean"],
    "validation_fraction": [_Reals(0, 1, closed="neither")],
    "n_iter_no_change": [_integer(1), Options(Real, {np.inf})],
    "tol": [StrOptions({"auto"}), _Reals(0)],
    "scoring": [str, callable, None],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
    "dtype": [StrOptions({"auto", "float32", "float64"})],
    "engine": [StrOptions({"auto", "reference", "compiled"})],
    "matmul_precision": [StrOptions(set(PRECISIONS))],
    "n_threads": [Interval(Integral, 1, MOST_THREADS, closed="both"), None],
    "n_members": [_integer(1)],
    "input_scale": ["boolean", _Reals(0, closed="neither")],
    "numeric_encoder": [_TableNames(lambda: ENCODERS)],
    "n_bins": [Interval(Integral, 1, MOST, closed="both")],
    "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
}
CLASSIFIER_CONSTRAINTS: dict[str, list[object]] = {
    "loss": [_TableNames(lambda: losses_for("classification"))],
    "focal_gamma": [_Reals(0)],
    "label_smoothing": [_Reals(0, 1)],
    "class_weight": [StrOptions({"balanced"}), dict, list, None],
}
REGRESSOR_CONSTRAINTS: dict[str, list[object]] = {
    "loss": [_TableNames(lambda: losses_for("regression"))],
    "huber_delta": [_Reals(0, closed="neither")],
    "quantile": [_Reals(0, 1, closed="neither"), "array-like"],
    "scale_target": ["boolean"],
}


def hidden_sizes(hidden_layer_sizes: int | Sequence[int]) -> tuple[int, ...]:
    """Read hidden_layer_sizes: a tuple of ints >= 1, an int, or () for a linear model."""
    sizes: list[int] = np.atleast_1d(np.asarray(hidden_layer_sizes, dtype=object)).ravel().tolist()
    if not all(isinstance(s, (int, np.integer)) and not isinstance(s, bool) and s >= 1 for s in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be integers >= 1, got {hidden_layer_sizes!r}. Give the width of each "
            "hidden layer, for example (100, 50), or () for a model without hidden layers."
        )
    return tuple(int(s) for s in sizes)


def activation_names(activation: str | Sequence[str], n_hidden: int) -> tuple[str, ...]:
    """Read activation: one name for all hidden layers, or one name each."""
    if isinstance(activation, str):
        return (activation,) * n_hidden
    unknown = [name for name in activation if name not in ACTIVATIONS]
    if unknown or len(activation) != n_hidden:
        raise ValueError(
            f"activation must be one name or one name per hidden layer ({n_hidden} here), each among "
            f"{sorted(ACTIVATIONS)}; got {activation!r}."
        )
    return tuple(activation)


def dropout_rates(dropout: Sequence[float], n_hidden: int) -> tuple[float, ...]:
    """Read several rates: of the input, if given, and of each hidden layer."""
    with within_floats("dropout"):
        rates = tuple(float(p) for p in dropout)
    if len(rates) not in (n_hidden, n_hidden + 1) or not all(0.0 <= p < 1.0 for p in rates):
        raise ValueError(
            f"dropout must be one rate, or one per hidden layer ({n_hidden} here), or these after the rate "
            f"of the inputs ({n_hidden + 1} rates), each in [0, 1); got {dropout!r}."
        )
    return rates if len(rates) == n_hidden + 1 else (0.0, *rates)


def quantiles(quantile: float | Sequence[float]) -> tuple[float, ...]:
    """Read quantile: a number or several, strictly between 0 and 1."""
    with within_floats("quantile"):
        values = tuple(float(q) for q in np.atleast_1d(quantile))
    if not values or not all(0.0 < q < 1.0 for q in values):
        raise ValueError(
            f"quantile must be one number or several, each strictly between 0 and 1 (0.05 for 5 %); got {quantile!r}."
        )
    if sorted(values) != list(values):  # as predictions are sorted
        raise ValueError(f"quantile must be in ascending order: write {sorted(values)}; got {quantile!r}.")
    return values


def fit_spec(estimator: object, *, partial: bool = False) -> FitSpec:
    """Read an estimator's parameters, each of which was checked before."""
    names = (field.name for field in fields(FitSpec))
    params = {name: getattr(estimator, name) for name in names if hasattr(estimator, name)}
    hidden = hidden_sizes(params["hidden_layer_sizes"])
    dropout, scale, quantile = params["dropout"], params["input_scale"], params.get("quantile", 0.5)
    read = {
        "hidden_layer_sizes": hidden,
        "activation": activation_names(params["activation"], len(hidden)),
        "dropout": dropout if isinstance(dropout, str | Real) else dropout_rates(dropout, len(hidden)),
        "input_scale": (INPUT_SCALE_RATE if scale else None) if isinstance(scale, bool | np.bool_) else float(scale),
        "quantile": quantile if np.ndim(quantile) == 0 else quantiles(quantile),
    }
    return FitSpec(**params | read, partial=partial)


def warn_without_effect(estimator: BaseEstimator, spec: FitSpec, *, is_given: bool) -> None:
    """Warn once about changed parameters without effect; is_given: the user gave a validation set."""
    splits = spec.splits and not is_given
    idle = idle_parameters(spec, has_validation=splits or is_given, splits=splits)
    defaults = _defaults_of(estimator.__class__)
    changed = [
        f"{name}={value!r} has no effect {why}"
        for name, why in idle.items()
        if name in defaults and not _same(value := getattr(estimator, name), defaults[name])
    ]
    if changed:
        them = "it at its default" if len(changed) == 1 else "them at their defaults"
        warn(f"{'; '.join(changed)}. Leave {them} to silence this warning.")


def _same(value: object, default: object) -> bool:
    if value is default or value is None or (isinstance(value, str) and value == "auto"):  # which change nothing
        return True
    return type(value) is type(default) and bool(np.all(value == default))


def idle_parameters(spec: FitSpec, *, has_validation: bool, splits: bool = False) -> dict[str, str]:
    """Parameters without effect in this fit or call of partial_fit, and the reason: "has no effect ..."."""
    minibatch, partial, solver = spec.is_minibatch, spec.partial, f"with solver={spec.solver!r}"
    uses = OPTIMIZERS[spec.solver].uses if minibatch else ()
    idle = {name: solver for name in RULES_OWN if name not in uses}
    if minibatch:
        idle["max_fun"] = "without solver='lbfgs'"
    else:
        idle |= dict.fromkeys(STEPS_OWN, solver)
    if minibatch and not spec.is_planned:
        idle["epochs"] = "without a planned schedule, such as learning_rate='onecycle'"
    elif minibatch and spec.epochs != "auto" and spec.epochs > spec.max_iter:
        idle["epochs"] = f"above max_iter={spec.max_iter}, which must be raised too"
    if minibatch and spec.learning_rate != "invscaling":
        idle["power_t"] = "without learning_rate='invscaling'"
    if not spec.is_patient:
        idle["n_iter_no_change"] = "with a planned schedule, without early_stopping=True or a number for tol"
    elif not (minibatch or spec.early_stopping):
        idle["n_iter_no_change"] = f"{solver} and without early_stopping=True"
    # without hidden layers members share nothing and start with the same weights
    if not spec.hidden_layer_sizes and spec.initializer == "auto":
        idle["n_members"] = "without hidden layers"
    if not has_validation:
        idle["scoring"] = "without X_val" if partial else "without early_stopping=True or X_val"
        idle["early_stopping"] = "in partial_fit without X_val"
    if not splits:
        where = "with X_val" if has_validation else "without early_stopping=True"
        idle["validation_fraction"] = "in partial_fit" if partial else where
    if spec.numeric_encoder == "identity":
        idle["n_bins"] = "without numeric_encoder='piecewise_linear'"
    for name, loss in LOSSES_OWN.items():
        if spec.loss != loss:
            idle[name] = f"without loss={loss!r}"
    return idle


def total_of(total_samples: int | None, n_rows: int) -> int | None:
    """Read total_samples of a call of partial_fit with n_rows rows."""
    if total_samples is None:
        return None
    is_count = isinstance(total_samples, Integral) and not isinstance(total_samples, bool)
    if not is_count or not n_rows <= total_samples <= sys.maxsize:
        raise ValueError(
            "total_samples must be the number of rows of the whole training set, a 64-bit integer of at least the "
            f"{n_rows} rows of this call; got {total_samples!r}."
        )
    return int(total_samples)
