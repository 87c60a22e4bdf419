"""Predicting: one whole model at a time, and attributes that the user changed."""

import copy
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_array_equal

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop.inspection import layer_outputs
from skbackprop.preprocessing import PiecewiseLinearEncoder

X = np.random.default_rng(0).normal(size=(40, 5))
QUICK = {"learning_rate": "cosine", "max_iter": 1, "random_state": 0}


@pytest.fixture
def eager_threads():
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def labels(n_classes):
    return np.resize([f"label {k}" for k in range(n_classes)], len(X))


ASKED = {
    "predict": (MLPRegressor(**QUICK), lambda model: model.predict(X)),
    "score": (MLPRegressor(**QUICK), lambda model: model.score(X, X[:, 0])),
    "quantiles": (MLPRegressor(loss="quantile", quantile=[0.2, 0.8], **QUICK), lambda model: model.predict(X)),
    "members": (MLPRegressor(n_members=2, **QUICK), lambda model: model.predict(X, return_members=True)[1]),
    "to_sklearn": (MLPRegressor(**QUICK), lambda model: model.to_sklearn().predict(X)),
    "layer_outputs": (MLPRegressor(**QUICK), lambda model: layer_outputs(model, X)),
    "labels": (MLPSoftmaxClassifier(**QUICK), lambda model: model.predict(X)),
    "predict_proba": (MLPSoftmaxClassifier(**QUICK), lambda model: model.predict_proba(X)),
    "encoder": (PiecewiseLinearEncoder(), lambda model: model.transform(X)),
}


@pytest.mark.parametrize("asked", ASKED)
def test_an_answer_is_the_old_models_or_the_new_ones(asked, eager_threads):
    """One thread fits the same estimator anew, again and again, while others ask it."""
    model, ask = ASKED[asked]
    if isinstance(model, MLPSoftmaxClassifier):
        versions = [({"hidden_layer_sizes": n}, labels(k)) for n, k in ((3, 2), (70, 4))]
    elif isinstance(model, MLPRegressor):
        versions = [({"hidden_layer_sizes": n}, scale * X[:, 0]) for n, scale in ((3, 1.0), (70, 1e6))]
    else:
        versions = [({"n_bins": n}, None) for n in (2, 20)]

    def fit(version):
        params, y = versions[version]
        return model.set_params(**params).fit(X, y)

    expected = [np.array(ask(fit(version))) for version in (0, 1)]
    going_on = True

    def answers():
        found = []
        while going_on:
            found.append(np.array(ask(model)))
        return found

    with ThreadPoolExecutor(2) as threads:
        others = [threads.submit(answers) for _ in range(2)]
        for k in range(8):
            fit(k % 2)
        going_on = False
        found = [answer for other in others for answer in other.result()]
    assert found
    for answer in found:
        assert any(np.array_equal(answer, right) for right in expected)


def test_a_failing_fit_of_the_encoder_changes_nothing():
    encoder = PiecewiseLinearEncoder().fit(X)
    before = encoder.transform(X)
    with pytest.raises(ValueError, match="Negative values"):
        encoder.fit(X[:, :2], sample_weight=-np.ones(len(X)))
    assert encoder.n_features_in_ == 5
    assert_array_equal(encoder.transform(X), before)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_another_number_of_features_is_no_way_into_foreign_memory(method):
    model = MLPSoftmaxClassifier((3,), **QUICK).fit(X, labels(2))
    model.n_features_in_ = 3
    with pytest.raises(ValueError, match=r"n_features_in_ was changed to 3.*for 5 features"):
        getattr(model, method)(X[:, :3])


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.full((5, 3), 1j), "real numbers.*complex"),
        (np.full((5, 3), "w"), "real numbers"),
        (np.ones((3, 3)), "shapes"),
    ],
)
def test_weights_that_are_no_weights(weights, said):
    model = MLPRegressor((3,), **QUICK).fit(X, X[:, 0])
    model.coefs_[0] = weights
    with pytest.raises(ValueError, match=said):
        model.predict(X)


def test_whole_numbers_are_weights():
    model = MLPRegressor((), scale_target=False, **QUICK).fit(X, X[:, 0])
    model.coefs_[0], model.intercepts_[0] = np.array([[1], [0], [0], [2], [0]]), np.array([3])
    assert_array_equal(model.predict(X), 3.0 + X[:, 0] + 2.0 * X[:, 3])


# --- predictions that are no numbers


EXTREMES = {  # X, what the message says
    "float32": (np.full((2, 3), 3e38, np.float32), r"inputs are up to 3e\+38.*range of float32"),
    "float64": (np.full((6, 3), 1.7e308), r"inputs are up to 1.7e\+308.*range of float64"),
    "one row of CSR": (sp.csr_array([[0.0, 1.7e308, -1.7e308]]), r"inputs are up to 1.7e\+308"),
}


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize(("X", "message"), EXTREMES.values(), ids=EXTREMES)
def test_inputs_beyond_all_sums_are_an_error(X, message, members, engine, rng):
    rows = rng.normal(size=(30, 3)).astype(X.dtype)
    params = {"learning_rate": "constant", "engine": engine, "n_members": members, "random_state": 0}
    for model in (MLPSoftmaxClassifier((4,), "identity", **params), MLPRegressor((4,), "identity", **params)):
        for _ in range(3):
            model.partial_fit(rows, (rows[:, 0] > 0).astype(float))
        model.coefs_[0][...], model.coefs_[1][...] = 3.0, 1.0
        model.coefs_[1][..., :1] *= -2.0
        names = ["predict", "predict_proba", "predict_log_proba", "decision_function"]
        for method in names if isinstance(model, MLPSoftmaxClassifier) else ["predict"]:
            with pytest.raises(ValueError, match=message):
                getattr(model, method)(X)
        with sklearn.config_context(assume_finite=True):
            assert len(model.predict(X)) == X.shape[0]


def test_exponentials_beyond_all_numbers_are_an_error(rng):
    X = rng.normal(size=(30, 1))
    for loss, asks in (("poisson", {}), ("gamma", {}), ("gaussian", {"return_std": True})):
        model = MLPRegressor((), loss=loss, random_state=0, learning_rate="constant").partial_fit(X, np.exp(X[:, 0]))
        model.coefs_[0][...] = 100.0
        assert np.isfinite(model.predict(np.ones((1, 1)))).all()
        with pytest.raises(ValueError, match=r"With loss='poisson', .* exponentials"):
            model.predict(np.full((1, 1), 20.0), **asks)


def test_units_of_y_beyond_all_numbers_are_an_error(rng):
    X = rng.normal(size=(30, 1))
    model = MLPRegressor((), random_state=0, learning_rate="constant").partial_fit(X, 1e150 * X[:, 0])
    model.coefs_[0][...] = 1e160
    with pytest.raises(ValueError, match=r"not finite.*range of float64"):
        model.predict(X)


def test_differences_of_logits_beyond_all_numbers_are_an_error(rng):
    X = rng.normal(size=(30, 1))
    model = MLPSoftmaxClassifier((), random_state=0, learning_rate="constant").partial_fit(X, X[:, 0] > 0)
    model.coefs_[0][...] = [[-1.7e308, 1.7e308]]
    X = np.ones((2, 1))
    assert model.predict(X).tolist() == [True, True]
    for method in (model.decision_function, model.predict_log_proba):
        with pytest.raises(ValueError, match="not finite"):
            method(X)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_an_error(value, rng):
    X = rng.normal(size=(30, 2))
    model = MLPRegressor((3,), random_state=0, learning_rate="constant").partial_fit(X, X[:, 0])
    model.intercepts_[-1][0] = value
    with pytest.raises(ValueError, match="coefs_, intercepts_ or factors were changed to NaN or infinity"):
        model.predict(X)


@pytest.mark.parametrize("value", [np.ones(2), np.zeros(0), np.ones((1, 1)), [1.0], None])
def test_target_scales_of_another_shape_are_an_error(value):
    model = MLPRegressor((3,), **QUICK).fit(X, X[:, 0])
    for name in ("target_scale_", "target_shift_"):
        changed = copy.copy(model)
        setattr(changed, name, value)
        with pytest.raises(ValueError, match=r"target_shift_ and target_scale_ must be arrays of shape \(1,\)"):
            changed.predict(X)
    model.target_scale_ = np.array([2.0]) * model.target_scale_
    assert len(model.predict(X)) == len(X)
