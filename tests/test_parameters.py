"""No parameter is silent: under every solver each one changes the model, or a warning says that it does not."""

import inspect
import warnings

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._nn.optimizers import OPTIMIZERS

SOLVERS = [*OPTIMIZERS, "lbfgs"]
SECOND = {
    "hidden_layer_sizes": (5,),
    "activation": "tanh",
    "focal_gamma": 1.0,
    "huber_delta": 0.1,
    "quantile": 0.2,
    "learning_rate": "cosine",
    "learning_rate_init": 0.02,
    "power_t": 0.9,
    "batch_size": 7,
    "epochs": 3,
    "max_iter": 2,
    "max_fun": 2,
    "shuffle": False,
    "n_members": 2,
    "input_scale": True,
    "random_state": 5,
    "alpha": 50.0,
    "weight_decay": 0.7,
    "dropout": 0.5,
    "max_grad_norm": 1e-3,
    "initializer": "orthogonal",
    "momentum": 0.2,
    "nesterovs_momentum": False,
    "beta_1": 0.5,
    "beta_2": 0.5,
    "epsilon": 0.1,
    "early_stopping": True,
    "validation_fraction": 0.4,
    "n_iter_no_change": 1,
    "tol": 0.5,
    "scoring": lambda model, X, y: -float(np.abs(model.coefs_[-1]).sum()),  # starts at zero
    "warm_start": True,
    "dtype": "float32",
    "label_smoothing": 0.3,
    "class_weight": {0: 5.0},
    "scale_target": False,
    "numeric_encoder": "piecewise_linear",
    "n_bins": 3,
    "categorical_features": [0],
}
# Both engines and any number of threads give the same result by design, matmul_precision acts on few processors, and
# verbose prints (tests of their own).
SAME_RESULT = {"engine", "n_threads", "matmul_precision", "verbose"}
# These act only together with another parameter: with it they must change the model.
TOGETHER = {
    "focal_gamma": {"loss": "focal"},
    "huber_delta": {"loss": "huber"},
    "quantile": {"loss": "quantile"},
    "power_t": {"learning_rate": "invscaling"},
    "validation_fraction": {"early_stopping": True},
    "scoring": {"early_stopping": True, "n_iter_no_change": 3},
    "n_iter_no_change": {"tol": 0.5},
    "tol": {"n_iter_no_change": 1},
    "n_bins": {"numeric_encoder": "piecewise_linear"},
}


def names(cls):
    found = [n for n in inspect.signature(cls.__init__).parameters if n != "self"]
    return [n for n in found if n not in SAME_RESULT | {"solver", "loss"}]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4))
    return X, (X[:, 0] + 0.3 * rng.normal(size=80) > 0).astype(int)


def fit(cls, data, **params):
    """The fitted model, and the texts of the warnings that name parameters without effect."""
    params = {"max_iter": 6, "random_state": 0, "batch_size": 20, "hidden_layer_sizes": (8,), **params}
    if params.get("solver") == "lbfgs" and params["batch_size"] == 20:
        del params["batch_size"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = cls(**params).fit(*data)
        if model.warm_start:
            model.fit(*data)
    return model, [str(w.message) for w in caught if "no effect" in str(w.message)]


def same(one, two):
    return (
        len(one.coefs_) == len(two.coefs_)
        and all(a.shape == b.shape for a, b in zip(one.coefs_, two.coefs_, strict=True))
        and all(np.array_equal(a, b) for a, b in zip(one.coefs_, two.coefs_, strict=True))
        and np.array_equal(one.predict(np.eye(4)), two.predict(np.eye(4)))
    )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("cls", [MLPSoftmaxClassifier, MLPRegressor])
def test_every_parameter_acts_or_is_named(cls, solver, data):
    default, _ = fit(cls, data, solver=solver)
    for name in names(cls):
        together = TOGETHER.get(name, {})
        if name == "power_t" and solver == "lbfgs":
            together = {}
        plain = fit(cls, data, solver=solver, **together)[0] if together else default
        changed, silent = fit(cls, data, solver=solver, **together, **{name: SECOND[name]})
        named = any(f"{name}=" in text for text in silent)
        assert same(plain, changed) == named, name


@pytest.mark.parametrize("name", list(TOGETHER))
def test_what_acts_only_with_another_parameter_is_named_without_it(name, data):
    for cls in (MLPSoftmaxClassifier, MLPRegressor):
        if name in names(cls) and name not in ("n_iter_no_change", "tol"):  # other values of these would act
            _, silent = fit(cls, data, **{name: SECOND[name]})
            assert any(f"{name}=" in text for text in silent)


def test_the_warning_names_what_is_missing(data):
    model = MLPRegressor(
        quantile=[0.1, 0.9], scoring="r2", power_t=0.1, learning_rate="cosine", max_iter=1, random_state=0
    )
    with pytest.warns(UserWarning, match="no effect") as caught:
        model.fit(*data)
    assert str(caught[0].message) == (
        "power_t=0.1 has no effect without learning_rate='invscaling'; scoring='r2' has no effect without "
        "early_stopping=True or X_val; quantile=[0.1, 0.9] has no effect without loss='quantile'. Leave them at their "
        "defaults to silence this warning."
    )


def test_validation_fraction_is_idle_beside_a_validation_set(data):
    with pytest.warns(UserWarning, match="validation_fraction=0.4 has no effect with X_val"):
        MLPRegressor(
            early_stopping=True, validation_fraction=0.4, max_iter=2, learning_rate="cosine", random_state=0
        ).fit(*data, X_val=data[0], y_val=data[1])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:learning_rate_init=0.01 has no effect with solver='lbfgs'")
def test_a_grid_search_over_the_solvers(digits):
    X, y = digits[0][:400], digits[1][:400]
    model = MLPSoftmaxClassifier((20,), learning_rate_init=0.01, max_iter=30, random_state=0)
    search = GridSearchCV(model, {"solver": SOLVERS}, cv=2).fit(X, y)
    assert search.cv_results_["param_solver"].tolist() == list(SOLVERS)
    assert (search.cv_results_["mean_test_score"] > 0.7).all()  # chance: 0.1


def test_a_stream_warns_in_its_first_call(rng):
    X = rng.normal(size=(20, 2))
    model = MLPRegressor((4,), momentum=0.5, random_state=0)
    with pytest.warns(UserWarning, match=r"momentum=0\.5 has no effect"):
        model.partial_fit(X, X[:, 0])
    before = model.coefs_[0].copy()
    model.partial_fit(X, X[:, 0])  # warnings are errors
    assert (model.coefs_[0] != before).any()
