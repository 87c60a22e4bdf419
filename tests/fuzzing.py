"""What test_fuzz.py draws: parameters, and calls with recipes of fuzzing_data.py."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fuzzing_data import (
    CELLS,
    FORMS,
    LABELS,
    NAMES,
    NUMBERS,
    PER_ROW,
    SAME,
    SPARSE,
    TARGETS,
    WEIGHTS,
    Inputs,
    Table,
    Vector,
)
from hypothesis import strategies as st

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._checks.constraints import CLASSIFIER_CONSTRAINTS, REGRESSOR_CONSTRAINTS, SHARED_CONSTRAINTS
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.initializers import INITIALIZERS
from skbackprop._nn.losses import losses_for
from skbackprop._nn.optimizers import OPTIMIZERS
from skbackprop._nn.schedules import SCHEDULES

CONSTRAINTS = {
    MLPSoftmaxClassifier: SHARED_CONSTRAINTS | CLASSIFIER_CONSTRAINTS,
    MLPRegressor: SHARED_CONSTRAINTS | REGRESSOR_CONSTRAINTS,
}


def pick(draw, usual, others, odds):
    """The usual but for one draw in so many; failures shrink to it. One draw, as draws take most of the time."""
    k = draw(st.integers(0, odds * len(others) - 1)) - (odds - 1) * len(others)
    return usual if k < 0 else others[k]


def one_of(draw, values):
    return values[draw(st.integers(0, len(values) - 1))]


# ---------------------------------------------------------------------------------- parameters ----

RATES = [1e-300, 1e-40, 1e-8, 1e-3, 0.1, 1.0, 1e3, 1e38, 1e300]
SHARES = [0.0, 1e-300, 0.1, 0.5, 1.0 - 1e-16]
VALUES: dict[str, list[Any]] = {  # legal ones, the ends of the legal among them
    "hidden_layer_sizes": [(), (1,), 3, (2, 3), [4], np.array([2, 2]), (1,) * 6, (40,), (2**45,)],
    "activation": [*ACTIVATIONS, ["tanh"], ("relu", "softmax")],
    "solver": [*OPTIMIZERS, "lbfgs"],
    "learning_rate": ["auto", *SCHEDULES],
    "learning_rate_init": ["auto", *RATES],
    "power_t": [0.0, 0.5, 3, 1e300],
    "batch_size": ["auto", 1, 2, 5, 2**31, 2**62],
    "max_iter": [1, 2, 3],
    "max_fun": [1, 2, 2**40],
    "shuffle": [True, False, np.False_],
    "random_state": [0, 2**32 - 1, None],
    "alpha": [0, 0.0, *RATES],
    "weight_decay": ["auto", 0, *RATES],
    "dropout": ["auto", *SHARES, [0.5], (0.2, 0.0), np.array([0.9])],
    "max_grad_norm": ["auto", None, *RATES],
    "initializer": ["auto", *INITIALIZERS],
    "momentum": [*SHARES, 1],
    "nesterovs_momentum": [True, False],
    "beta_1": SHARES,
    "beta_2": SHARES,
    "epsilon": RATES,
    "epochs": ["auto", 1, 2, 2**62],
    "early_stopping": [True, False],
    "validation_fraction": [1e-300, 0.1, 0.5, 1.0 - 1e-16],
    "n_iter_no_change": [1, 2, np.inf],
    "tol": ["auto", 0, 1e-300, 1e-4, 1e300],
    "warm_start": [True, False],
    "verbose": [False, True, 2, 10**6],
    "dtype": ["auto", "float32", "float64"],
    "engine": ["auto", "reference", "compiled"],
    "n_threads": [None, 1, 2, 3],
    "matmul_precision": ["highest", "medium"],
    "n_members": [1, 2, 3, 17],
    "input_scale": [False, True, 1e-300, 1.0, 1e300],
    "numeric_encoder": ["identity", "piecewise_linear"],
    "n_bins": [1, 2, 8, 100, 2**16 - 2],
    "categorical_features": ["from_dtype", None, [0], [-1], np.array([0]), [True], ["a"]],
    "focal_gamma": [0, 1e-300, 0.5, 1, 2.0, 1e3, 1e300],
    "label_smoothing": SHARES,
    "class_weight": [None, "balanced", {0: 2.0}, {0: 0.0, 1: 1e300}, {0: 1e-310, "a": 1}, [{0: 1.0, 1: 3.0}] * 2],
    "huber_delta": RATES,
    "quantile": [1e-300, 0.5, [0.5], (0.1, 0.9), np.array([0.25, 0.5, 0.75]), 1.0 - 1e-16],
    "scale_target": [True, False],
}  # fmt: skip


@dataclass(frozen=True)
class Always:
    """A scorer that gives the same each time, and takes no weights."""

    value: Any

    def __call__(self, model, X, y):
        model.predict(X)
        return self.value


SCORERS = [None, *map(Always, [0.5, np.nan, np.inf, np.float32(1.0), np.ones(1), True, "good", None, 1j])]
VALUES_OF: dict[type, dict[str, list[Any]]] = {  # where it depends on the estimator
    MLPSoftmaxClassifier: {
        "loss": losses_for("classification"),
        "scoring": ["accuracy", "neg_log_loss", "roc_auc", "roc_auc_ovr", "neg_brier_score", "f1_macro", *SCORERS],
    },
    MLPRegressor: {
        "loss": losses_for("regression"),
        "scoring": ["r2", "neg_max_error", "neg_mean_poisson_deviance", "d2_pinball_score", *SCORERS],
    },
}  # fmt: skip
WRONG = {  # for one parameter; there are others that none takes
    "hidden_layer_sizes": [(0,), (2.5,), [[2]], "23", (True,), (-1,), np.zeros(2, int), {3}],
    "activation": [["relu"] * 9, ["no such"], [], [["relu"]], ("relu", 1)],
    "dropout": [[1.0], [0.1] * 9, [[0.1]], [np.nan], ["a"], [-0.1], np.array(0.5)],
    "quantile": [[0.9, 0.1], [0.5, 0.5], [], [0.0], [[0.5]], ["a"], [np.nan], 1.0],
    "class_weight": [{0: -1.0}, {7: 1.0}, {0: np.nan}, {0: "a"}, {}, [1.0, 2.0], [None], [], ["balanced"] * 2, "even"],
    "n_threads": [2**31, 2**62, 2**70],
    "scoring": ["no such scorer", len, MLPRegressor],
    "random_state": [2**40, "seed", np.random],
}  # fmt: skip
ILLEGAL = [None, -1, 0, 1.5, np.nan, -np.inf, 2**70, 10**400, "", "no such name", (), [None], {}, b"relu", 1j, object]


# what has kinks, takes signs or searches lines turns rounding into other ways to go
KINKS = ["relu", "leaky_relu", "selu", "absolute_error", "quantile", "lion", "lbfgs", ("relu", "softmax")]
SMOOTH = [
    "hidden_layer_sizes", "activation", "solver", "loss", "learning_rate", "batch_size", "shuffle", "dropout",
    "max_grad_norm", "initializer", "momentum", "nesterovs_momentum", "n_members", "input_scale", "alpha",
    "weight_decay", "label_smoothing", "early_stopping", "validation_fraction", "scale_target",
]  # fmt: skip


def is_calm(value):
    """Tell whether rounding stays rounding: no kinks, and no numbers that make it grow."""
    if isinstance(value, float):
        return value == 0.0 or 1e-3 <= value <= 0.5
    return isinstance(value, (str, int, tuple)) and value not in (*KINKS, (2**45,))


def draw_calm(draw, cls):
    """Legal parameters, under which fits that differ by rounding end close to each other."""
    values = {name: kinds for name, kinds in (VALUES | VALUES_OF[cls]).items() if name in SMOOTH}
    names = [name for name in SMOOTH if name in CONSTRAINTS[cls]]
    changed = [one_of(draw, names) for _ in range(draw(st.integers(0, 5)))]
    usual = {"hidden_layer_sizes": (3, 2), "activation": "tanh", "max_iter": 2, "random_state": 0}
    return usual | {name: one_of(draw, [v for v in values[name] if is_calm(v)]) for name in changed}


def draw_parameters(draw, cls):
    """A few parameters differ from their defaults, one of them perhaps without being legal; fits are short."""
    values, names = VALUES | VALUES_OF[cls], list(CONSTRAINTS[cls])
    changed = [one_of(draw, names) for _ in range(draw(st.integers(0, 7)))]
    usual = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}
    params = usual | {name: one_of(draw, values[name]) for name in changed}
    wrong = pick(draw, None, names, 20)
    return params if wrong is None else params | {wrong: one_of(draw, [*ILLEGAL, *WRONG.get(wrong, [])])}


# --------------------------------------------------------------------------------------- calls ----

FITTING = ("fit", "partial_fit")
REPLACING = ("pickle", "clone", "tamper", "to_sklearn")
TAMPERED = [
    (name, value)
    for name in (
        "coefs_",
        "intercepts_",
        "n_features_in_",
        "target_scale_",
        "classes_",
        "n_outputs_",
        "out_activation_",
    )
    for value in (None, [], 1, 10**9, "text", [np.ones((3, 3))] * 2, [np.zeros(0)], np.ones(1), [[[1j]]], [None, None])
]  # of fitted attributes, as a user might set them
PREDICTING = {
    MLPSoftmaxClassifier: ("predict", "predict_proba", "predict_log_proba", "decision_function"),
    MLPRegressor: ("predict",),
}


@dataclass(frozen=True)
class Call:
    """Recipe of a call of a method."""

    method: str
    args: dict[str, Any] = field(default_factory=dict)
    memory: int | None = None  # for Shards of the data, or none are made

    def make(self):
        return {name: arg.make() if hasattr(arg, "make") else arg for name, arg in self.args.items()}


MEMORY = [1, 100, 1000, 10**9]  # bytes
ROWS, COLUMNS = range(13), range(7)
FORMS_DRAWN, NUMBERS_DRAWN, KINDS_DRAWN = list(FORMS), list(NUMBERS), list(PER_ROW)
LABELS_DRAWN, TARGETS_DRAWN = list(LABELS), [f"numbers: {name}" for name in TARGETS]
CELLS_DRAWN = list(CELLS)
WEIGHTS_DRAWN = [f"weights: {name}" for name in WEIGHTS]


def draw_inputs(draw, rows, columns):
    """An X of these rows and columns, seldom of others."""
    return Inputs(
        pick(draw, rows, ROWS, 20),
        pick(draw, columns, COLUMNS, 20),
        pick(draw, "normal", NUMBERS_DRAWN, 3),
        pick(draw, "array", FORMS_DRAWN, 2),
        draw(st.integers(0, 3)),
    )


def draw_rows(draw, suffix, rows, columns, kind, kinds):
    """X, y and weights of a method, seldom of the wrong length or kind."""
    y = pick(draw, pick(draw, kind, kinds, 8), KINDS_DRAWN, 40)
    weights = pick(draw, pick(draw, "weights: none", WEIGHTS_DRAWN, 3), KINDS_DRAWN, 40)
    return {
        f"X{suffix}": draw_inputs(draw, rows, columns),
        f"y{suffix}": Vector(y, pick(draw, rows, ROWS, 20), draw(st.integers(0, 3))),
        f"sample_weight{suffix}": Vector(weights, pick(draw, rows, ROWS, 20)),
    }


def draw_call(draw, cls, method, rows, columns, kind, kinds):
    """A call of a method."""
    if method == "set_params":
        return Call(method, draw_parameters(draw, cls))
    if method == "layer_outputs":
        return Call(method, {"X": draw_inputs(draw, 3, columns), "layer": draw(st.integers(-3, 3))})
    if method == "tamper":
        name, value = one_of(draw, TAMPERED)
        return Call(method, {"name": name, "value": value})
    if method in PREDICTING[cls]:
        flags = {"return_members": ("predict", "predict_proba"), "return_std": ("predict",)}
        if cls is MLPSoftmaxClassifier:
            del flags["return_std"]
        asked = {flag: draw(st.booleans()) for flag, methods in flags.items() if method in methods}
        rows, memory = draw(st.integers(1, 8)), pick(draw, None, MEMORY, 15)
        return Call(method, {"X": draw_inputs(draw, rows, columns)} | asked, memory)
    if method not in (*FITTING, "score"):
        return Call(method)
    args = draw_rows(draw, "", rows, columns, kind, kinds)
    if method in FITTING and draw(st.integers(0, 3)) == 3:
        args |= draw_rows(draw, "_val", draw(st.integers(1, 6)), columns, kind, kinds)
    if method == "partial_fit" and cls is MLPSoftmaxClassifier:
        args |= one_of(draw, [{}, {}, {"classes": [0, 1, 2]}, {"classes": ["b", "a"]}])
    if method == "partial_fit":
        args["total_samples"] = pick(draw, None, [1, 7, 10**9, 2**70, 0, -1, 1.5, np.nan, "all"], 3)
    return Call(method, args, pick(draw, None, MEMORY, 8))


@st.composite
def sessions(draw):
    """An estimator's class and parameters, and calls of its methods."""
    cls = one_of(draw, [MLPSoftmaxClassifier, MLPRegressor])
    rows = pick(draw, draw(st.integers(1, 12)), [210], 25)  # so many are raced
    columns = draw(st.integers(1, 4))
    kinds = LABELS_DRAWN if cls is MLPSoftmaxClassifier else TARGETS_DRAWN
    kind = pick(draw, one_of(draw, kinds[:6]), kinds, 2)
    methods = [*FITTING, *PREDICTING[cls], "score", "layer_outputs", "set_params", *REPLACING]
    chosen = [one_of(draw, FITTING), *(one_of(draw, methods) for _ in range(draw(st.integers(0, 4))))]
    calls = [draw_call(draw, cls, method, rows, columns, kind, kinds) for method in chosen]
    if draw(st.booleans()):  # most calls are of use to a fitted model only
        calm = {"X": Inputs(rows, columns), "y": Vector(kind, rows)}
        calls.insert(0, Call("fit", calm))
    return cls, draw_parameters(draw, cls), calls


OTHERWISE = [  # the same bits must come of
    *SAME, "y as a list", "y as a Series", "weights as a list", "names for labels",
    "three threads", "a clone", "twice as many weights", "row by row", "shards", "a checkpoint",
]  # fmt: skip
CLOSE = [*SPARSE, "the other engine", "weights of 1e-300", "weights of 1e300"]  # and but for rounding of
OTHERWISE += CLOSE


@st.composite
def relatives(draw):
    """An estimator's class and calm parameters, X, y and weights in order, and one thing that may be done otherwise."""
    cls = one_of(draw, [MLPSoftmaxClassifier, MLPRegressor])
    rows, columns, seed = draw(st.integers(4, 30)), draw(st.integers(1, 5)), draw(st.integers(0, 3))
    numbers = one_of(draw, ["normal", "small integers", "zeros and ones", "mostly zero"])
    kinds = ["two", "three", "texts", "multilabel"] if cls is MLPSoftmaxClassifier else ["positive", "two columns"]
    y = Vector(one_of(draw, kinds) if cls is MLPSoftmaxClassifier else f"numbers: {one_of(draw, kinds)}", rows, seed)
    weights = Vector(f"weights: {one_of(draw, ['none', 'random', 'integers'])}", rows, seed)
    return (
        cls,
        draw_calm(draw, cls),
        Inputs(rows, columns, numbers, "array", seed),
        y,
        weights,
        one_of(draw, OTHERWISE),
    )


@st.composite
def tables(draw):
    """Tables to fit and to ask, and targets."""
    kinds = tuple(one_of(draw, CELLS_DRAWN) for _ in range(draw(st.integers(1, 5))))
    asked = tuple(pick(draw, kind, CELLS_DRAWN, 10) for kind in kinds)
    names, rows = pick(draw, "names", list(NAMES), 4), draw(st.integers(2, 40))
    y = one_of(draw, ["two", "texts", "numbers: normal", "numbers: two columns"])
    return Table(kinds, rows, names), Table(asked, draw(st.integers(1, 9)), names, 1), Vector(y, rows)
