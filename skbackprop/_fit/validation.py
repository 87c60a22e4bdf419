"""Parameter constraints, data checks, and the texts of errors and warnings.

The only file that imports private names of scikit-learn.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from sklearn._config import get_config
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.externals import array_api_compat
from sklearn.utils._array_api import _convert_to_numpy
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils._param_validation import validate_parameter_constraints as check_constraints
from sklearn.utils.validation import (
    FLOAT_DTYPES,
    _check_feature_names_in,
    _check_sample_weight,
    assert_all_finite,
    column_or_1d,
    validate_data,
)

from skbackprop._engines.threads import MOST_THREADS
from skbackprop._fit.places import BOUND, HOST, Device, Host
from skbackprop._fit.scales import ROUTING, some_rows
from skbackprop._fit.settings import follows_plan, is_auto, is_patient
from skbackprop._fit.warn import warn
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.initializers import INITIALIZERS
from skbackprop._nn.losses import LOSSES, losses_for
from skbackprop._nn.network import Network
from skbackprop._nn.optimizers import OPTIMIZERS
from skbackprop._nn.schedules import SCHEDULES

__all__ = ["Interval", "Method", "check_constraints", "fit_context"]


PLAIN = (np.dtype(np.float64), np.dtype(np.float32))
CHECKED_FORMATS = ("csr", "csc", "bsr", "coo")  # of sparse matrices: the others are made of these
UNSCALED = 1e3  # a feature beyond this, or beyond so many times another, was probably never scaled
HINTS = {  # what scikit-learn's errors about X do not know
    "could not convert string to float": "Networks want numbers: encode texts, or use skbackprop.tabular_pipeline.",
    "Cannot cast str dtype": "Networks want numbers: encode texts, or use skbackprop.tabular_pipeline.",
    "Input X contains NaN": "Or use skbackprop.tabular_pipeline, which imputes missing values.",
}
OF_THE_STEPS = (  # signs in scikit-learn's errors that X_val did not go through the steps that X went through
    "features, but",
    "feature names should match",
    "could not convert string to float",
    "Cannot cast str dtype",
    "Input X contains NaN",
)
RULES_OWN = ("momentum", "nesterovs_momentum", "beta_1", "beta_2", "epsilon")  # parameters of some optimizers
STEPS_OWN = (  # parameters of all of them, and not of L-BFGS
    "learning_rate",
    "learning_rate_init",
    "power_t",
    "batch_size",
    "epochs",
    "shuffle",
    "weight_decay",
    "dropout",
    "max_grad_norm",
)
LOSSES_OWN = {"focal_gamma": "focal", "huber_delta": "huber", "quantile": "quantile"}
NUMPYS = (np.ndarray, np.generic, type)  # types of scalars look like arrays, too
NO_WEIGHT = "sample_weight and class_weight together leave no row with a positive weight."
NO_NUMBERS = "Unknown label type: y must be numbers. For labels there is MLPSoftmaxClassifier."
WEIGHT_SUMS = 1e-100, 1e100  # that leave room for products with targets, losses and factors
INPUT_SCALE_RATE = 6.0  # of input_scale=True

Method = TypeVar("Method", bound=Callable[..., Any])


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Method], Method]:
    """scikit-learn's decorator of fit, which checks the parameters; the method keeps its type."""
    return _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)


class DivergenceError(ValueError):
    """Training left the finite numbers.

    Parameters
    ----------
    message : str
        The epoch, the learning rate, the likely cause, and what to do.
    estimator : estimator, default=None
        A copy of the estimator with the last finite model, ready to predict; an attribute of the error.
    """

    def __init__(self, message: str, estimator: Any = None):
        super().__init__(message)
        self.estimator = estimator


DivergenceError.__module__ = "skbackprop"  # where users find it, and tracebacks name it


class _TableNames(StrOptions):
    """One of a table's names, read when the parameter is checked, so that a new entry counts at once."""

    def __init__(self, names: Callable[[], Iterable[str]]):
        self._names = names
        self.deprecated: set[str] = set()
        self.hidden = False
        self.type = str

    @property
    def options(self):
        return list(self._names())

    def is_satisfied_by(self, val):
        return isinstance(val, str) and val in self.options


class _Reals(Interval):
    """Numbers that a float can be, as an integer of a thousand digits cannot."""

    def is_satisfied_by(self, val):
        return super().is_satisfied_by(val) and (
            not isinstance(val, Integral) or abs(int(val)) <= sys.float_info.max
        )


def _real(low, high=None, closed="left"):
    return _Reals(Real, low, high, closed=closed)


def _integer(low):
    return Interval(Integral, low, None, closed="left")


SHARED_CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", _integer(1)],
    "activation": [_TableNames(lambda: ACTIVATIONS), list, tuple],
    "solver": [_TableNames(lambda: [*OPTIMIZERS, "lbfgs"])],
    "learning_rate": [_TableNames(lambda: ["auto", *SCHEDULES])],
    "learning_rate_init": [StrOptions({"auto"}), _real(0, closed="neither")],
    "power_t": [_real(0)],
    "batch_size": [StrOptions({"auto"}), _integer(1)],
    "epochs": [StrOptions({"auto"}), _integer(1)],
    "max_iter": [_integer(1)],
    "max_fun": [_integer(1)],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "alpha": [_real(0)],
    "weight_decay": [StrOptions({"auto"}), _real(0)],
    "dropout": [StrOptions({"auto"}), _real(0, 1), "array-like"],
    "max_grad_norm": [StrOptions({"auto"}), _real(0, closed="neither"), None],
    "initializer": [_TableNames(lambda: ["auto", *INITIALIZERS])],
    "momentum": [_real(0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "beta_1": [_real(0, 1)],
    "beta_2": [_real(0, 1)],
    "epsilon": [_real(0, closed="neither")],
    "early_stopping": ["boolean"],
    "validation_fraction": [_real(0, 1, closed="neither")],
    "n_iter_no_change": [_integer(1), Options(Real, {np.inf})],
    "tol": [StrOptions({"auto"}), _real(0)],
    "scoring": [str, callable, None],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
    "dtype": [StrOptions({"auto", "float32", "float64"})],
    "engine": [StrOptions({"auto", "reference", "compiled"})],
    "n_threads": [Interval(Integral, 1, MOST_THREADS, closed="both"), None],
    "n_members": [_integer(1)],
    "input_scale": ["boolean", _real(0, closed="neither")],
}
CLASSIFIER_CONSTRAINTS: dict[str, list[Any]] = {
    "loss": [_TableNames(lambda: losses_for("classification"))],
    "focal_gamma": [_real(0)],
    "label_smoothing": [_real(0, 1)],
    "class_weight": [StrOptions({"balanced"}), dict, list, None],
}
REGRESSOR_CONSTRAINTS: dict[str, list[Any]] = {
    "loss": [_TableNames(lambda: losses_for("regression"))],
    "huber_delta": [_real(0, closed="neither")],
    "quantile": [_real(0, 1, closed="neither"), "array-like"],
    "scale_target": ["boolean"],
}


# ---------------------------------------------------------------------- parameters, resolved ----


def hidden_sizes(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """Read hidden_layer_sizes: a tuple of ints >= 1, an int, or () for a linear model."""
    sizes: list[Any] = np.atleast_1d(np.asarray(hidden_layer_sizes, dtype=object)).ravel().tolist()
    if not all(isinstance(s, (int, np.integer)) and not isinstance(s, bool) and s >= 1 for s in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be integers >= 1, got {hidden_layer_sizes!r}. Give the width of each "
            "hidden layer, for example (100, 50), or () for a model without hidden layers."
        )
    return tuple(int(s) for s in sizes)


def activation_names(activation: Any, n_hidden: int) -> tuple[str, ...]:
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


def dropout_rates(dropout: Any, n_hidden: int) -> tuple[float, ...]:
    """Read dropout: rates of the input and of each hidden layer."""
    if isinstance(dropout, Real):
        return (0.0,) + (float(dropout),) * n_hidden
    with within_floats("dropout"):
        rates = tuple(float(p) for p in dropout)
    if len(rates) not in (n_hidden, n_hidden + 1) or not all(0.0 <= p < 1.0 for p in rates):
        raise ValueError(
            f"dropout must be one rate, or one per hidden layer ({n_hidden} here), or these with the input's "
            f"rate in front ({n_hidden + 1}), each in [0, 1); got {dropout!r}."
        )
    return rates if len(rates) == n_hidden + 1 else (0.0, *rates)


def input_scale_rate(input_scale: Any) -> float | None:
    """Read input_scale: the factor of its learning rate, or None for no scale."""
    if isinstance(input_scale, bool | np.bool_):
        return INPUT_SCALE_RATE if input_scale else None
    return float(input_scale)


def quantiles(quantile: Any) -> tuple[float, ...]:
    """Read quantile: a number or several, strictly between 0 and 1."""
    with within_floats("quantile"):
        values = tuple(float(q) for q in np.atleast_1d(quantile))
    if not values or not all(0.0 < q < 1.0 for q in values):
        raise ValueError(
            f"quantile must be one number or several, each strictly between 0 and 1 (0.05 for 5 %); got {quantile!r}."
        )
    if sorted(values) != list(values):  # as predictions are, so that they never cross
        raise ValueError(f"quantile must be in ascending order: write {sorted(values)}; got {quantile!r}.")
    return values


def check_same_shape(fitted: Network, asked: Network) -> None:
    """Raise unless the weights of the fitted network serve the one now asked for."""
    old, new = LOSSES[fitted.loss], LOSSES[asked.loss]
    if fitted.sizes != asked.sizes:
        raise ValueError(
            f"The weights kept (warm_start=True or partial_fit) have layers of the sizes {fitted.sizes}, but "
            f"hidden_layer_sizes and the data now ask for {asked.sizes}. Go on with the same "
            "hidden_layer_sizes and kind of loss, or start anew with fit and warm_start=False."
        )
    if fitted.shapes != asked.shapes:
        raise ValueError(
            "The weights kept (warm_start=True or partial_fit) belong to other values of n_members and input_scale. "
            "Go on with the same, or start anew with fit and warm_start=False."
        )
    if (old.link, old.scaling) != (new.link, new.scaling):
        raise ValueError(
            f"The weights kept (warm_start=True or partial_fit) were trained with loss={fitted.loss!r}, whose "
            f"outputs mean something else than those of loss={asked.loss!r}. Start anew with fit and "
            "warm_start=False."
        )


# -------------------------------------------------------------------------------------- data ----


def home_of(*arrays: Any) -> Host:
    """Where arrays, all in one place, are. What is no array of the array-API standard counts as NumPy's."""
    if isinstance(arrays[0], NUMPYS) or not array_api_compat.is_array_api_obj(arrays[0]):
        return HOST
    xp = array_api_compat.array_namespace(*arrays)
    return Device(xp, array_api_compat.device(arrays[0]), partial(_convert_to_numpy, xp=xp))


def place_of(X: Any) -> Host:
    """Where to compute with X: where it is, if scikit-learn's array_api_dispatch is set, else on the host."""
    if isinstance(X, np.ndarray) or not get_config()["array_api_dispatch"]:
        return HOST
    if getattr(X, "requires_grad", False):
        raise ValueError("X requires its gradient, which no estimator computes: pass X.detach().")
    return home_of(X)


def to_host(array: Any) -> Any:
    """NumPy array of any namespace's; everything else as it is."""
    return home_of(array).fetch(array)


def check_same_place(estimator: Any, place: Host, method: str) -> None:
    """Raise unless the model's parameters are in this place."""
    home = home_of(estimator.coefs_[0])
    if home != place:
        raise ValueError(
            f"Inputs passed to {type(estimator).__name__}.{method}() must use the same namespace and the same device "
            f"as those passed to the first fit: the model's weights are each {home}, but X is {place} (with "
            f"array_api_dispatch={get_config()['array_api_dispatch']}). Bring X there, set "
            "sklearn.set_config(array_api_dispatch=True) if it is there, or fit anew."
        )


def check_rows(estimator: Any, X: Any, y: Any = "no_validation", *, reset: bool, dtypes: Any) -> Any:
    """Check X, and y if it is given, with scikit-learn's own errors; sparse X becomes CSR, sparse y dense."""
    if not (isinstance(y, str) and y == "no_validation"):
        y_options: dict[str, Any] = {"multi_output": True}
    else:
        y_options = {}
    if sp.issparse(X) and X.ndim == 2:
        X = sound(X, "X")
    try:
        y = complete(y)
        with within_floats("Input X"):
            return validate_data(
                estimator, X, y, reset=reset, accept_sparse="csr", dtype=dtypes, order="C", **y_options
            )
    except ValueError as error:
        text = str(error)
        hints = [hint for sign, hint in HINTS.items() if sign in text]
        if not hints:
            raise
        raise ValueError(f"{text}\n{hints[0]}") from error


@contextmanager
def within_floats(name: str) -> Iterator[None]:
    """Turn the OverflowError of integers that no float can be into a ValueError that says where they are."""
    try:
        yield
    except OverflowError as error:
        raise ValueError(f"{name} contains an integer too large for dtype('float64').") from error


def sound(X: Any, name: str) -> Any:
    """Give a sparse matrix back; raise if it points at entries, rows or columns that it does not have.

    SciPy looks when it makes one and not again, but its code in C, as ours, would follow them out of the memory.
    """
    X = X if X.format in CHECKED_FORMATS else X.tocsr()
    if X.format == "coo":
        lengths, numbers = {len(X.row), len(X.col), len(X.data)}, [(X.row, X.shape[0]), (X.col, X.shape[1])]
        is_sound = len(lengths) == 1
    else:
        block = X.blocksize if X.format == "bsr" else (1, 1)
        n_rows, n_columns = (n // size for n, size in zip(X.shape, block, strict=True))
        n_lines, n_across = (n_columns, n_rows) if X.format == "csc" else (n_rows, n_columns)
        starts, numbers = X.indptr, [(X.indices, n_across)]
        is_sound = (
            starts.dtype.kind in "iu"
            and starts.shape == (n_lines + 1,)
            and len(X.data) == len(X.indices)
            and starts[0] == 0
            and starts[-1] <= len(X.data)
            and not (starts[1:] < starts[:-1]).any()
        )
    for indices, stop in numbers:
        used = indices if X.format == "coo" or not is_sound else indices[: starts[-1]]
        is_sound = is_sound and used.dtype.kind in "iu" and used.ndim == 1
        is_sound = is_sound and not (len(used) and (used.min() < 0 or used.max() >= stop))
    if not is_sound:
        raise ValueError(
            f"Sparse {name} is malformed: its {X.format} arrays point at entries, rows or columns that a matrix of "
            f"shape {X.shape} with {len(X.data)} stored numbers does not have. Build it anew from its coordinates, "
            "scipy.sparse.csr_array((data, (rows, columns)), shape), which checks them."
        )
    return X


def complete(y: Any) -> Any:
    """Targets none of which is missing: as they were given, but sparse ones dense, and numbers not as objects.

    scikit-learn itself finds NaN among floats, but not None, NaT or pandas' NA among objects, nor what a list of texts
    or a mask hides.
    """
    if sp.issparse(y):
        if y.ndim != 2:
            raise ValueError(f"Sparse y must have two dimensions, rows and columns; it has {y.ndim}.")
        y = sound(y, "y").toarray()
    if y is None or home_of(y) is not HOST:
        return y
    try:
        values = np.asarray(y)
    except ValueError:  # ragged, as scikit-learn will say
        return y
    if values.dtype.kind in "US" and values is not y:
        values = np.asarray(y, dtype=object)
    lacks_some = np.ma.is_masked(y)
    if values.dtype.kind in "fmM":
        lacks_some |= bool((values != values).any())
    elif values.dtype.kind == "O":
        lacks_some |= any(map(is_missing, values.flat))
    if lacks_some:
        raise ValueError("Input y contains NaN. Leave out the rows whose target is missing.")
    if values.dtype.kind == "O" and values.size and not isinstance(values.flat[0], str):
        plain = np.asarray(values.tolist())
        return plain if plain.dtype.kind in "biuf" else y
    return y


def is_missing(value: Any) -> bool:
    """Tell whether a value stands for none: None, NaN, NaT, or pandas' NA, which differs from nothing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return not isinstance(value, str) and isinstance(value, Hashable) and bool(value != value)


def one_column(y: Any) -> Any:
    """Labels in a column become a vector, with scikit-learn's warning; all else stays as it is."""
    is_column = isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] == 1
    return column_or_1d(y, warn=True) if is_column else y


def has_validation_set(X_val: Any, y_val: Any, weights: Any, *, holds_targets: bool = False) -> bool:
    """Tell whether there is one; raise if there is a part of one. holds_targets: X_val has its own."""
    if X_val is None and y_val is None and weights is None:
        return False
    if X_val is None or (y_val is None and not holds_targets):
        raise ValueError("A validation set needs both X_val and y_val.")
    return True


@contextmanager
def in_validation_set() -> Iterator[None]:
    """Say of errors that they are about the validation set."""
    try:
        yield
    except ValueError as error:
        text = f"In the validation set (X_val, y_val): {error}"
        if any(sign in text for sign in OF_THE_STEPS):
            text += f"\nX_val must go through the steps that X goes through. In a Pipeline write {ROUTING}."
        raise ValueError(text) from error


def check_table(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Check a dense X whose numbers may be missing, with scikit-learn's own errors; it comes to the host."""
    with within_floats("Input X"):
        return validate_data(
            estimator, to_host(X), reset=reset, dtype=FLOAT_DTYPES, ensure_all_finite="allow-nan"
        )


def feature_names(estimator: Any, names: Any) -> Any:
    """Names of the input features: as given, as seen in fit, or x0, x1, ..."""
    return _check_feature_names_in(estimator, names)


def is_plain(estimator: Any, X: Any) -> bool:
    """Tell whether X passes all checks of prediction but that its numbers are finite: the common case."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype not in PLAIN or not X.flags.c_contiguous:
        return False
    return (
        X.shape[0] > 0
        and X.shape[1] == estimator.n_features_in_
        and not hasattr(estimator, "feature_names_in_")
    )


def check_finite_output(output: Any, place: Host, X: Any = None, theta: Any = None) -> Any:
    """Give a prediction back; raise if it is not finite, with the likely cause, for X and the weights if given.

    Where scikit-learn's assume_finite is set it passes, as NaN in X does.
    """
    if place.are_finite(output) or get_config()["assume_finite"]:
        return output
    dtype = place.dtype_of(output)
    end = f"the range of {dtype.name}, which ends at {np.finfo(dtype).max:.3g}"
    largest = 0.0 if X is None else place.largest(X)
    if theta is not None and not place.are_finite(theta):
        cause = "coefs_, intercepts_ or factors hold NaN or infinity, which fit never leaves there: fit anew"
    elif largest > UNSCALED:
        cause = (
            f"inputs reach {largest:.3g}, and sums of them leave {end}. Scale them as in training "
            "(make_pipeline(StandardScaler(), ...)), and leave out rows that are no measurements"
        )
    else:
        cause = (
            f"what the network extrapolates leaves {end}; exponentials, which loss='poisson', 'gamma' and 'gaussian' "
            "take, do so early. Ask nearer to the training rows, or fit with scaled features, a lower "
            "learning_rate_init or more epochs"
        )
    raise ValueError(f"Predictions are not finite. Likely cause: {cause}.")


def check_weights(sample_weight: Any, rows: Any, name: str = "sample_weight") -> Any:
    """One non-negative float64 weight per row, not all zero; None stays None."""
    if sample_weight is None:
        return None
    with within_floats(name):
        w = _check_sample_weight(sample_weight, rows, dtype=np.float64, copy=True)
    if (w < 0).any():
        raise ValueError(f"Negative values in data passed to `{name}`. Weights must be >= 0.")
    if not w.any():
        raise ValueError(
            f"All of {name} is zero, so there is nothing to learn from: give at least one row a positive weight."
        )
    check_weight_sum(w, name)
    return w


def check_weight_sum(weights: Any, name: str = "sample_weight and class_weight together") -> float:
    """Sum of weights, or of sums of weights, which must leave room for products with other numbers."""
    with np.errstate(over="ignore"):
        total = float(np.sum(weights, dtype=np.float64))
    low, high = WEIGHT_SUMS
    if total == 0.0:
        raise ValueError(NO_WEIGHT)
    if not low <= total <= high:
        raise ValueError(
            f"The weights ({name}) sum to {total:.3g}, but numbers are computed with only from {low:g} to {high:g}. "
            "Divide them by their mean, and alpha too if the penalty is to stay as strong."
        )
    return total


def check_penalty(alpha: float, weight_sum: float) -> None:
    """Raise if beside the penalty nothing is left of the loss, and float32 cannot hold it."""
    if alpha / weight_sum > BOUND:
        raise ValueError(
            f"The weights sum to {weight_sum:.3g}, beside which the penalty of alpha={alpha:g} leaves nothing of the "
            "loss: divide sample_weight by its mean, or set alpha=0."
        )


def warn_without_effect(estimator: Any, idle: dict[str, str]) -> None:
    """Warn once about parameters that were changed from their default but do nothing here.

    idle: of each parameter that does nothing why, in words that follow "has no effect".
    """
    defaults = inspect.signature(type(estimator).__init__).parameters
    changed = [
        f"{name}={value!r} has no effect {why}"
        for name, why in idle.items()
        if not _same(value := getattr(estimator, name), defaults[name].default)
    ]
    if changed:
        them = "it at its default" if len(changed) == 1 else "them at their defaults"
        warn(f"{'; '.join(changed)}. Leave {them} to silence this warning.")


def _same(value: Any, default: Any) -> bool:
    if value is None or is_auto(value):  # asks for nothing
        return True
    return type(value) is type(default) and bool(np.all(value == default))


def idle_parameters(
    estimator: Any, *, has_validation: bool, splits: bool = False, partial: bool = False
) -> dict[str, str]:
    """Which parameters do nothing in this fit, or in this call of partial_fit, and why."""
    minibatch, solver = estimator.solver != "lbfgs", f"with solver={estimator.solver!r}"
    uses = OPTIMIZERS[estimator.solver].uses if minibatch else ()
    idle = {name: solver for name in RULES_OWN if name not in uses}
    if minibatch:
        idle["max_fun"] = "without solver='lbfgs'"
    else:
        idle |= dict.fromkeys(STEPS_OWN, solver)
    if minibatch and not follows_plan(estimator, partial):
        idle["epochs"] = "without a schedule that ends, such as learning_rate='onecycle'"
    elif minibatch and not is_auto(estimator.epochs) and estimator.epochs > estimator.max_iter:
        idle["epochs"] = f"beyond max_iter={estimator.max_iter}, which has to be raised too"
    if minibatch and estimator.learning_rate != "invscaling":
        idle["power_t"] = "without learning_rate='invscaling'"
    if not is_patient(estimator, partial):
        idle["n_iter_no_change"] = "on a plan that goes to its end, without early_stopping=True or a tol"
    elif not (minibatch or estimator.early_stopping):
        idle["n_iter_no_change"] = f"{solver} and without early_stopping=True"
    # without hidden layers members have nothing to share, and start alike
    if not hidden_sizes(estimator.hidden_layer_sizes) and estimator.initializer == "auto":
        idle["n_members"] = "without hidden layers"
    if not has_validation:
        idle["scoring"] = "without X_val" if partial else "without early_stopping=True or X_val"
        idle["early_stopping"] = "in partial_fit without X_val"
    if not splits:
        idle["validation_fraction"] = "beside X_val" if has_validation else "without early_stopping=True"
        if partial:
            idle["validation_fraction"] = "in partial_fit"
    for name, loss in LOSSES_OWN.items():
        if hasattr(estimator, name) and estimator.loss != loss:
            idle[name] = f"without loss={loss!r}"
    return idle


def numbers(y: Any) -> Any:
    """Targets of a regression, as a float64 array of finite numbers."""
    y = np.asarray(complete(y))
    try:
        if y.dtype.kind in "cmM":  # whose imaginary parts, or units, would be lost
            raise TypeError
        y = y.astype(np.float64, copy=False)
    except OverflowError:  # an int beyond all floats
        y = np.asarray(np.inf)
    except (TypeError, ValueError):
        raise ValueError(NO_NUMBERS) from None
    assert_all_finite(y, input_name="y")
    if y.ndim not in (1, 2):
        raise ValueError(f"y must have one column, or one for each target, got an array of shape {y.shape}.")
    return y


def check_domain(loss_name: str, y: Any) -> None:
    """Raise if the loss is not defined at some target."""
    loss = LOSSES[loss_name]
    if loss.lower is None:
        return
    relation, bound = loss.lower
    legal = y >= bound if relation == ">=" else y > bound
    if not legal.all():
        raise ValueError(
            f"loss={loss_name!r} needs y {relation} {bound:g}, but the smallest target is {y.min():g}. "
            "Shift or clean the targets, or choose another loss."
        )


# ------------------------------------------------------------------------------------- texts ----


def warn_not_converged(
    max_iter: int, unit: str, curve: list[float], margin: float, watched: str = "loss"
) -> None:
    """Say how far from converged training was, and which knob to turn.

    curve: of what patience watched, by its name: "loss", or with early stopping "validation loss" or "validation
    score". Of scores higher is better.
    """
    sign = 1.0 if watched == "validation score" else -1.0
    gain = sign * (curve[-1] - curve[-2]) if len(curve) > 1 else np.nan
    advice = "Raise max_iter or learning_rate_init, raise tol"
    if np.isnan(gain):
        change = f"left the {watched} at"
    elif gain < 0.0:
        change = f"{'lowered' if sign > 0.0 else 'raised'} the {watched} by {-gain:.3g} to"
        advice = "Lower learning_rate_init, raise max_iter or tol"
    else:
        change = f"still {'raised' if sign > 0.0 else 'lowered'} the {watched} by {gain:.3g} to"
    advice += (
        ", or stop early on purpose with early_stopping=True"
        if watched == "loss"
        else ", or lower n_iter_no_change"
    )
    warn(
        f"Training stopped at max_iter={max_iter} {unit} before it converged: the last one {change} {curve[-1]:.4g}; "
        f"less than {margin:.3g} counts as no improvement. {advice}.",
        ConvergenceWarning,
    )


def warn_large_batch(batch_size: Any, n_rows: int) -> None:
    """Say so if there are fewer rows than a batch takes."""
    if not is_auto(batch_size) and batch_size > n_rows:
        warn(
            f"batch_size={batch_size} is larger than the {n_rows} training rows: every step takes all of them."
        )


def warn_lbfgs(message: str, n_iter: int) -> None:
    """Pass on why SciPy's L-BFGS-B gave up."""
    warn(
        f"L-BFGS stopped after {n_iter} iterations before it converged: {message}. Raise max_iter or max_fun, "
        "scale the features, or raise tol.",
        ConvergenceWarning,
    )


def warn_unscaled(X: Any, place: Host) -> None:
    """Say so if a feature is UNSCALED times as far from zero as it spreads, if two differ so much, or all are tiny.

    A sample of the rows tells. Features differ if they do in range and in standard deviation. Either measure alone
    would blame features that are rarely different from zero; sparse inputs, full of these, are not judged.
    """
    if sp.issparse(X):
        return
    some = some_rows(X, place)
    with np.errstate(all="ignore"):
        mean, std, span, largest = (
            some.mean(axis=0),
            some.std(axis=0),
            np.ptp(some, axis=0),
            np.abs(some).max(axis=0),
        )
        # what spreads over no more than roundings is constant
        spreads = span > 8.0 * np.finfo(place.dtype_of(X)).eps * largest
        offset = np.where(spreads & np.isfinite(std), np.abs(mean) / np.where(spreads, std, 1.0), 0.0)
    varies = span > 1e-6 * largest
    far = int(np.argmax(offset))
    small, large = np.argmin(np.where(varies, std, np.inf)), np.argmax(std)
    if offset[far] > UNSCALED:
        warn(
            f"Column {far} is far from zero for its spread: its mean is {mean[far]:.6g}, its standard deviation "
            f"{std[far]:.3g}. Networks hardly tell such values apart, and digits are lost; put a StandardScaler in "
            "front: make_pipeline(StandardScaler(), ...).",
        )
    elif varies[small] and std[large] > UNSCALED * std[small] and span[large] > UNSCALED * span[small]:
        warn(
            f"Features differ in scale: column {large} spreads over {span[large]:.3g}, column {small} over "
            f"{span[small]:.3g}. Networks learn badly from such inputs; put a StandardScaler in front: "
            "make_pipeline(StandardScaler(), ...).",
        )
    elif 0.0 < UNSCALED * span[large] < 1.0:
        warn(
            f"No feature spreads over more than {span[large]:.3g}, so the first weights hardly tell the rows apart and "
            "the network may learn nothing. Put a StandardScaler in front: make_pipeline(StandardScaler(), ...).",
        )


def divergence(
    epoch: int, rate: float | None, largest: float, max_grad_norm: float | None, estimator: Any
) -> DivergenceError:
    """Name the epoch, the rate and the likely cause; the estimator holds the last finite model.

    largest: of the features' absolute values. What is recommended has not been done already.
    """
    if largest > UNSCALED:
        scaler = "put a StandardScaler in front (make_pipeline(StandardScaler(), ...))"
        cause = f"the features reach {largest:.3g}: {scaler}"
    elif rate is None:
        cause = "L-BFGS stepped too far: raise alpha, or take a minibatch solver such as 'adam'"
    else:
        clip = "set max_grad_norm=1.0" if max_grad_norm is None else f"max_grad_norm (now {max_grad_norm:g})"
        cause = f"the learning rate is too high: lower learning_rate_init or {clip}"
    pace = "" if rate is None else f" at learning rate {rate:.3g}"
    return DivergenceError(
        f"Training diverged in epoch {epoch}{pace}: loss or weights grew beyond all bounds. Likely cause: "
        f"{cause}. Its `estimator` attribute holds the last finite model.",
        estimator,
    )


def total_of(total_samples: Any, n_rows: int) -> int | None:
    """Read total_samples of a call of partial_fit on so many rows."""
    if total_samples is None:
        return None
    is_count = isinstance(total_samples, Integral) and not isinstance(total_samples, bool)
    if not is_count or not n_rows <= total_samples <= sys.maxsize:
        raise ValueError(
            "total_samples must be the number of rows of the whole training set, an integer not below the "
            f"{n_rows} of this call, and of 64 bits; got {total_samples!r}."
        )
    return int(total_samples)


def warn_constant_block(columns: list[int], n_rows: int) -> None:
    """Say so if partial_fit's first rows tell nothing of the scale of their targets."""
    rows = "is a single row" if n_rows == 1 else f"has {n_rows} rows of equal targets"
    which = "" if columns == [0] else f" (of the targets {columns})"
    warn(
        f"The first call of partial_fit, from which the target's scale is learned once for all, {rows}{which}, so the "
        "scale stays 1. Make the first call with rows that stand for all, or scale y yourself and set "
        "scale_target=False."
    )


def warn_exhausted() -> None:
    """Say that partial_fit does nothing any more."""
    warn(
        "Early stopping has ended this model's training: its best weights are restored and this call of "
        "partial_fit changed nothing. Call fit, or partial_fit on a clone, to train anew.",
    )
