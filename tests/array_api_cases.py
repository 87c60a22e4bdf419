"""What test_array_api.py runs, with SCIPY_ARRAY_API=1; by hand: SCIPY_ARRAY_API=1 pytest tests/array_api_cases.py."""

import copy
import pickle
import unittest
import warnings
from dataclasses import replace

import array_api_strict
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.externals import array_api_compat
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils import estimator_checks
from sklearn.utils._array_api import _convert_to_numpy
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from skbackprop import DivergenceError, MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop._engines.dropout import mask
from skbackprop._engines.reference import ReferenceEngine
from skbackprop._fit.device import HOST, device_of
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.losses import LOSSES, LossArgs
from skbackprop._nn.network import Network, Objective
from skbackprop._nn.optimizers import OPTIMIZERS, Optimizer
from skbackprop.inspection import check_gradients, feature_importances, layer_outputs
from skbackprop.onnx import to_onnx
from skbackprop.preprocessing import PiecewiseLinearEncoder

torch.set_num_threads(1)  # more would wait for each other between such small products
DEVICES = {
    "torch": (torch, "cpu"),
    "strict": (array_api_strict, array_api_strict.Device("device1")),  # as a GPU, refuses to become NumPy's
}
if torch.cuda.is_available():
    DEVICES["cuda"] = (torch, "cuda")
# one machine adds in another order than the other: a few roundings per step, over some hundred steps
RTOL = {"float64": 1e-7, "float32": 2e-3}
OLD = tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8)
QUICK = {"max_iter": 5, "batch_size": 32, "learning_rate": "cosine", "random_state": 0}


@pytest.fixture(autouse=True)
def dispatch():
    with sklearn.config_context(array_api_dispatch=True):
        yield


@pytest.fixture(params=DEVICES)
def device(request):
    """Function that brings NumPy arrays to a device."""
    module, name = DEVICES[request.param]

    def bring(*arrays):
        brought = [module.asarray(np.array(array), device=name) for array in arrays]
        return brought[0] if len(brought) == 1 else brought

    return bring


@pytest.fixture(params=["float64", "float32"])
def dtype(request):
    return request.param


def to_numpy(array):
    if isinstance(array, np.ndarray):
        return array
    return _convert_to_numpy(array, array_api_compat.array_namespace(array))


def parameters(model):
    factors = [factor for pair in getattr(model, "member_factors_", []) for factor in pair]
    scales = [
        getattr(model, name) for name in ("input_scale_", "target_shift_", "target_scale_") if hasattr(model, name)
    ]
    return [*model.coefs_, *model.intercepts_, *factors, *scales]


def compare(ours, theirs, X, rtol, like):
    """Models fitted on NumPy and on other arrays: they know and predict the same, each on its own device."""
    methods = ["predict", "predict_proba", "predict_log_proba", "decision_function"]
    pairs = [(getattr(ours, m)(X), getattr(theirs, m)(like(X))) for m in methods if hasattr(ours, m)]
    pairs += zip(parameters(ours), parameters(theirs), strict=True)
    for a, b in pairs:
        assert device_of(b) == device_of(like(X))
        assert str(b.dtype).endswith(str(a.dtype))
        assert_allclose(to_numpy(b), a, rtol=rtol, atol=rtol * max(1.0, np.abs(a).max()))
    assert_allclose(theirs.loss_curve_, ours.loss_curve_, rtol=rtol)
    if ours.validation_loss_curve_:
        assert_allclose(theirs.validation_loss_curve_, ours.validation_loss_curve_, rtol=rtol)
        assert_allclose(theirs.validation_scores_, ours.validation_scores_, rtol=rtol)
    assert theirs.best_iter_ == ours.best_iter_
    assert all(type(loss) is float for loss in theirs.loss_curve_)


@pytest.fixture
def few_digits(digits):
    return digits[0][:300], digits[1][:300]


@pytest.fixture
def few_patients(diabetes):
    return diabetes[0][:200], diabetes[1][:200]


# ------------------------------------------------------------------ scikit-learn's own checks ----


MODELS = [
    MLPSoftmaxClassifier(random_state=0),
    MLPRegressor(random_state=0),
    MLPSoftmaxClassifier((9,), early_stopping=True, class_weight="balanced", n_members=2, max_iter=5, random_state=0),
    MLPRegressor((9,), solver="lbfgs", loss="quantile", max_iter=20, random_state=0),
]
ELSEWHERE = ("cuda", "xpu", "XPU", "MPS", "mps", "cupy", "dpnp")  # devices and libraries that are not here


@pytest.mark.filterwarnings("ignore::UserWarning")  # the checks' data are tiny
@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_scikit_learns_checks(model):
    """None is skipped but for a device or a library that is not here."""
    done = 0
    for instance, check in estimator_checks.estimator_checks_generator(model):
        if "array_api" not in str(check):
            continue
        try:
            check(instance)
            done += 1
        except unittest.SkipTest as skip:
            assert any(name in str(skip) for name in ELSEWHERE), skip  # noqa: PT017
    assert done >= 5


@pytest.mark.filterwarnings("ignore::UserWarning")
# but the third: scikit-learn's accuracy of torch's booleans is a float32, and differs from NumPy's where it is not 1
@pytest.mark.parametrize("model", [*MODELS[:2], MODELS[3]], ids=repr)
@pytest.mark.parametrize("namespace", ["numpy", "torch", "array_api_strict"])
def test_scikit_learns_checks_of_values(model, namespace):
    model = clone(model).set_params(engine="reference")
    estimator_checks.check_array_api_input_and_values(type(model).__name__, model, namespace)


# ------------------------------------------------------------------------- as the oracle does ----


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_classifier(solver, device, dtype, few_digits):
    X, y = few_digits[0].astype(dtype), few_digits[1]
    model = MLPSoftmaxClassifier((20,), "tanh", solver=solver, engine="reference", **QUICK)
    compare(clone(model).fit(X, y), clone(model).fit(*device(X, y)), X, RTOL[dtype], device)


@pytest.mark.parametrize(
    "params",
    [
        {"dropout": [0.1, 0.3], "class_weight": "balanced", "label_smoothing": 0.1, "weight_decay": 0.1},
        {"n_members": 3, "input_scale": True, "max_grad_norm": 0.5},
        {"early_stopping": True, "n_iter_no_change": 2},
        {"early_stopping": True, "scoring": "accuracy"},
        {"early_stopping": True, "scoring": make_scorer(accuracy_score)},
        {"loss": "focal"},
        {"activation": "gelu"},
        {"learning_rate": "auto", "weight_decay": "auto"},  # with a selection
        {"hidden_layer_sizes": ()},
    ],
    ids=str,
)
def test_classifier_with(params, device, few_digits):
    X, y = few_digits
    w = np.linspace(0.0, 2.0, len(y))
    model = MLPSoftmaxClassifier(
        **{"hidden_layer_sizes": (20,), "activation": "tanh", "engine": "reference"} | QUICK | params
    )
    compare(clone(model).fit(X, y, w), clone(model).fit(*device(X, y, w)), X, RTOL["float64"], device)


@pytest.mark.parametrize("loss", [name for name, entry in LOSSES.items() if entry.task == "regression"])
def test_regressor(loss, device, dtype, few_patients):
    X, y = few_patients[0].astype(dtype), few_patients[1]
    model = MLPRegressor((20,), "tanh", loss=loss, engine="reference", **QUICK)
    compare(clone(model).fit(X, y), clone(model).fit(*device(X, y)), X, RTOL[dtype], device)


def test_multilabel(device, few_digits):
    X, y = few_digits[0], (few_digits[1][:, None] > [2, 5, 7]).astype(int)
    model = MLPSoftmaxClassifier((20,), "tanh", engine="reference", **QUICK)
    ours, theirs = clone(model).fit(X, y), clone(model).fit(*device(X, y))
    compare(ours, theirs, X, RTOL["float64"], device)
    assert theirs.score(*device(X, y)) == pytest.approx(ours.score(X, y))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_several_targets_and_quantiles(solver, device, few_patients):
    X, y = few_patients
    Y = np.stack([y, y**2], axis=1)
    params = QUICK if solver == "adam" else {"max_iter": 5, "random_state": 0}
    model = MLPRegressor((10,), "tanh", loss="quantile", quantile=[0.2, 0.5, 0.9], solver=solver, engine="reference")
    model.set_params(**params)
    with warnings.catch_warnings(action="ignore"):  # L-BFGS does not converge so soon
        ours, theirs = clone(model).fit(X, Y), clone(model).fit(*device(X, Y))
    compare(ours, theirs, X, RTOL["float64"], device)
    assert theirs.predict(device(X)).shape == (len(X), 2, 3)
    assert theirs.score(*device(X, Y)) == pytest.approx(ours.score(X, Y))


def test_what_members_and_standard_deviations_are(device, few_patients):
    X, y = few_patients
    model = MLPRegressor((10,), loss="gaussian", n_members=2, engine="reference", **QUICK)
    ours, theirs = clone(model).fit(X, y), clone(model).fit(*device(X, y))
    expected = ours.predict(X, return_std=True, return_members=True)
    found = theirs.predict(device(X), return_std=True, return_members=True)
    for a, b in zip(expected, found, strict=True):
        assert device_of(b) == device_of(device(X))
        assert_allclose(to_numpy(b), a, rtol=RTOL["float64"])


def test_members_of_a_classifier(device, few_digits):
    X, y = few_digits
    model = MLPSoftmaxClassifier((10,), n_members=2, **QUICK).fit(*device(X, y))
    labels, each = model.predict(device(X), return_members=True)
    p, each_p = model.predict_proba(device(X), return_members=True)
    assert each.shape == (2, 300)
    assert_allclose(to_numpy(each_p).mean(axis=0), to_numpy(p), rtol=1e-12)  # rounding
    assert_array_equal(to_numpy(labels), to_numpy(p).argmax(axis=1))


# ------------------------------------------------------------------------- other ways to fit ----


def test_y_may_be_anywhere(device, few_digits):
    X, y = few_digits
    model = MLPSoftmaxClassifier((10,), **QUICK)
    together, apart = clone(model).fit(*device(X, y)), clone(model).fit(device(X), y)
    assert_array_equal(to_numpy(together.coefs_[0]), to_numpy(apart.coefs_[0]))
    on_host = clone(model).fit(X, device(y), device(np.ones(len(y))))  # everything follows X
    assert isinstance(on_host.coefs_[0], np.ndarray)
    assert isinstance(on_host.predict(X), np.ndarray)


def test_answers_in_blocks(device, few_digits, monkeypatch):
    """However few outputs are held at a time, answers are where X is, or, for text, on the host."""
    X, y = few_digits
    for labels in (y, np.array(list("abcdefghij"))[y]):
        like = device(y) if labels is y else labels
        model = MLPSoftmaxClassifier((9,), n_members=2, **QUICK).fit(device(X), like, X_val=device(X), y_val=like)
        validation_loss = model.validation_loss_curve_
        whole = model.predict(device(X), return_members=True)
        with monkeypatch.context() as patch:
            patch.setattr("skbackprop._fit.block.BLOCK_OUTPUTS", 1400)
            for ours, theirs in zip(model.predict(device(X), return_members=True), whole, strict=True):
                assert type(ours) is type(theirs)
                assert_array_equal(to_numpy(ours), to_numpy(theirs))
            model.fit(device(X), like, X_val=device(X), y_val=like)
            # matrix products of other shapes round otherwise
            assert_allclose(model.validation_loss_curve_, validation_loss, rtol=1e-12)


def test_string_labels_stay_on_the_host(device, few_digits):
    X, names = few_digits[0], np.array(["even", "odd"])[few_digits[1] % 2]
    model = MLPSoftmaxClassifier((10,), early_stopping=True, scoring="accuracy", **QUICK)
    model.fit(device(X), names)
    prediction = model.predict(device(X))
    assert prediction.dtype == names.dtype
    assert model.score(device(X), names) == np.mean(prediction == names) > 0.7
    assert device_of(model.predict_proba(device(X))) == device_of(device(X))


def test_partial_fit_and_warm_start(device, few_digits):
    X, y = few_digits
    model = MLPSoftmaxClassifier((10,), "tanh", engine="reference", random_state=0)
    ours, theirs = clone(model), clone(model)
    for rows in (slice(0, 150), slice(150, 300)):
        ours.partial_fit(X[rows], y[rows], classes=np.arange(10))
        theirs.partial_fit(*device(X[rows], y[rows]), classes=device(np.arange(10)))
    compare(ours, theirs, X, RTOL["float64"], device)
    warm = {"warm_start": True, "max_iter": 2, "learning_rate": "cosine"}
    for fitted, bring in ((ours, lambda X, y: (X, y)), (theirs, device)):
        with warnings.catch_warnings(action="ignore"):  # two epochs are few
            fitted.set_params(**warm).fit(*bring(X, y))
    compare(ours, theirs, X, RTOL["float64"], device)


def test_own_validation_set(device, few_digits):
    X, y = few_digits
    model = MLPSoftmaxClassifier((10,), "tanh", early_stopping=True, engine="reference", **QUICK)
    w = np.ones(100)
    ours = clone(model).fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:], sample_weight_val=w)
    X_val, y_val, w_val = device(X[200:], y[200:], w)
    theirs = clone(model).fit(*device(X[:200], y[:200]), X_val=X_val, y_val=y_val, sample_weight_val=w_val)
    compare(ours, theirs, X, RTOL["float64"], device)
    with pytest.raises(ValueError, match="X_val must be of the same kind as X"):
        model.fit(*device(X, y), X_val=X, y_val=y)


@pytest.mark.parametrize("solver", ["adam", "nadam"])  # a part of nadam's memory is a number
def test_checkpoints_of_a_device(solver, device, few_digits, tmp_path, monkeypatch):
    """What was saved comes back to where the model is, and training goes on to the same bits."""
    monkeypatch.setattr("skbackprop._fit.checkpoint.SHARE", 0)  # after each epoch

    class Failure(Exception):
        pass

    def score(model, X, y):
        score.left -= 1
        if score.left < 0:
            raise Failure
        return 0.5

    X, y = device(*few_digits)
    params = {"max_iter": 4, "learning_rate": "onecycle", "random_state": 0, "early_stopping": True, "solver": solver}
    model = MLPSoftmaxClassifier((5,), **params, scoring=score)
    score.left = 2
    with pytest.raises(Failure):
        model.fit(X, y, checkpoint=tmp_path / "run")
    score.left = 100
    model.fit(X, y, checkpoint=tmp_path / "run")
    straight = MLPSoftmaxClassifier((5,), **params, scoring=score).fit(X, y)
    assert type(model.coefs_[0]) is type(X)
    for ours, theirs in zip(model.coefs_, straight.coefs_, strict=True):
        assert_array_equal(to_numpy(ours), to_numpy(theirs))
    assert model.loss_curve_ == straight.loss_curve_


def test_gradients(device, few_digits):
    X, y = device(few_digits[0][:20], few_digits[1][:20])
    assert check_gradients(MLPSoftmaxClassifier((5,), "tanh"), X, y, max_parameters=50) < 1e-6


def test_divergence_leaves_a_model_on_the_device(device, few_patients):
    X, y = device(*few_patients)
    model = MLPRegressor((10,), solver="sgd", learning_rate_init=1e6, learning_rate="constant", random_state=0)
    with pytest.raises(DivergenceError, match="learning rate is too high") as caught:
        model.fit(X, y)
    assert device_of(caught.value.estimator.predict(X)) == device_of(X)


def test_callbacks_get_arrays_of_the_device(device, few_digits):
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 brought callbacks")
    X, y = device(*few_digits)
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = MLPSoftmaxClassifier((10,), **QUICK | {"max_iter": 3}).set_callbacks(monitor).fit(X, y)
    scores = [row["accuracy"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(scores) == 3
    assert scores[-1] == model.score(X, y)


def test_sparse_input_is_computed_on_the_host(few_digits):
    X, y = sp.csr_array(few_digits[0]), few_digits[1]
    model = MLPSoftmaxClassifier((10,), **QUICK).fit(X, y)
    assert isinstance(model.predict_proba(X), np.ndarray)


def test_numpy_arrays_are_as_without_dispatch(few_digits):
    X, y = few_digits
    model = MLPSoftmaxClassifier((10,), **QUICK)
    with sklearn.config_context(array_api_dispatch=False):
        expected = clone(model).fit(X, y).predict_proba(X)
    assert_array_equal(model.fit(X, y).predict_proba(X), expected)
    assert device_of(np.float64(1.0)) is device_of(X) is HOST  # NumPy's scalars, too


# -------------------------------------------------------------------------------- clear errors ----


def test_predictions_elsewhere_are_refused(few_digits):
    X, y = few_digits
    model = MLPSoftmaxClassifier((10,), **QUICK).fit(torch.asarray(X), torch.asarray(y))
    message = r"MLPSoftmaxClassifier.predict_proba\(\) must use the same namespace .* an array of torch on cpu"
    with pytest.raises(ValueError, match=message):
        model.predict_proba(X)
    with sklearn.config_context(array_api_dispatch=False), pytest.raises(ValueError, match="array_api_dispatch=False"):
        model.predict(torch.asarray(X))
    with pytest.raises(ValueError, match=r"partial_fit\(\) must use the same namespace"):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match=r"fit\(\) must use the same namespace"):
        clone(model).set_params(warm_start=True).fit(X, y).fit(torch.asarray(X), y)


def test_the_compiled_engine_is_refused(few_digits):
    X, y = map(torch.asarray, few_digits)
    with pytest.raises(ValueError, match=r"it takes NumPy arrays only, not .*torch's"):
        MLPSoftmaxClassifier(engine="compiled").fit(X, y)


def test_an_input_with_a_gradient_is_refused(few_digits):
    X, y = map(torch.asarray, few_digits)
    with pytest.raises(ValueError, match=r"X.detach\(\)"):
        MLPSoftmaxClassifier().fit(X.requires_grad_(), y)


# --------------------------------------------------------------------------- copies and pickles ----


def test_pickles_are_small_and_equal(device, few_digits):
    X, y = device(*few_digits)
    model = MLPSoftmaxClassifier((200,), **QUICK).fit(X, y)
    text = pickle.dumps(model)
    n_bytes = 8 * sum(to_numpy(array).size for array in parameters(model))
    assert len(text) < 1.2 * n_bytes + 20_000  # the rest is names and numbers
    for copied in (pickle.loads(text), copy.deepcopy(model), copy.copy(model)):
        assert_array_equal(to_numpy(copied.predict_proba(X)), to_numpy(model.predict_proba(X)))
        assert device_of(copied.coefs_[0]) == device_of(X)


def test_what_the_user_assigns_takes_effect(device, few_digits):
    X, y = device(*few_digits)
    model = MLPSoftmaxClassifier((10,), **QUICK).fit(X, y)
    model.coefs_[-1] = 0.0 * model.coefs_[-1]
    model.intercepts_[-1] = 0.0 * model.intercepts_[-1]
    assert_allclose(to_numpy(model.predict_proba(X)), 0.1, rtol=1e-12)


def test_models_move(device, few_digits):
    api = pytest.importorskip("sklearn.utils._array_api")
    if not hasattr(api, "move_estimator_to"):
        pytest.skip("scikit-learn 1.9 brought move_estimator_to")
    X, y = few_digits
    model = MLPSoftmaxClassifier((10,), "tanh", n_members=2, engine="reference", random_state=0).partial_fit(X, y)
    xp, _, name = api.get_namespace_and_device(device(X))
    moved = api.move_estimator_to(model, xp, name)
    compare(model, moved, X, RTOL["float64"], device)
    back = api.move_estimator_to(moved, np, "cpu")
    assert_array_equal(back.predict_proba(X), model.predict_proba(X))
    model.partial_fit(X, y)  # with Adam's memory, which moved along
    compare(model, moved.partial_fit(*device(X, y)), X, RTOL["float64"], device)


# ------------------------------------------------------- neighbours, exports and looking inside ----


def both(estimator, device, X, y):
    """The same model, fitted on NumPy's arrays and on the device."""
    return clone(estimator).fit(X, y), clone(estimator).fit(*device(X, y))


EXPORTED = [
    MLPSoftmaxClassifier((10,), "tanh", engine="reference", **QUICK),
    MLPRegressor((10,), "tanh", n_members=2, input_scale=True, engine="reference", **QUICK),
]


@pytest.mark.parametrize("estimator", EXPORTED, ids=repr)
def test_to_scikit_learn(estimator, device, few_digits):
    X, y = few_digits
    ours, theirs = both(estimator, device, X, y)
    method = "predict_proba" if hasattr(ours, "predict_proba") else "predict"
    converted = theirs.to_sklearn()
    assert all(isinstance(W, np.ndarray) for W in converted.coefs_)
    assert_allclose(getattr(converted, method)(X), getattr(ours, method)(X), rtol=RTOL["float64"], atol=1e-12)
    assert device_of(theirs.coefs_[0]) == device_of(device(X))  # which stayed where it was


@pytest.mark.parametrize("estimator", EXPORTED, ids=repr)
def test_to_torch_is_on_the_cpu(estimator, device, few_digits):
    X, y = few_digits
    ours, theirs = both(estimator, device, X, y)
    expected, found = ours.to_torch()(torch.tensor(X)), theirs.to_torch()(torch.tensor(X))
    assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=RTOL["float64"], atol=1e-10)


@pytest.mark.parametrize("estimator", EXPORTED, ids=repr)
def test_to_onnx(estimator, device, few_digits):
    onnx = pytest.importorskip("onnx")
    X, y = few_digits
    ours, theirs = both(estimator, device, X, y)
    constants = [
        [onnx.numpy_helper.to_array(tensor) for tensor in to_onnx(model).graph.initializer] for model in (ours, theirs)
    ]
    for a, b in zip(*constants, strict=True):
        assert a.dtype == b.dtype
        assert_allclose(b, a, rtol=RTOL["float64"], atol=RTOL["float64"])


def test_onnx_names_the_step_that_is_elsewhere(device, few_digits):
    pytest.importorskip("skl2onnx")
    X, y = device(*few_digits)
    model = make_pipeline(MaxAbsScaler(), MLPSoftmaxClassifier((10,), **QUICK)).fit(X, y)
    with pytest.raises(ValueError, match=r"'maxabsscaler' .* was fitted to other arrays than NumPy's"):
        to_onnx(model)


@pytest.mark.parametrize("n_members", [1, 2])
def test_layers_are_looked_into_where_they_are(n_members, device, dtype, few_digits):
    X, y = few_digits[0].astype(dtype), few_digits[1]
    estimator = MLPSoftmaxClassifier(
        (10, 5), "tanh", n_members=n_members, input_scale=True, engine="reference", **QUICK
    )
    ours, theirs = both(estimator, device, X, y)
    for layer in range(4):
        found = layer_outputs(theirs, device(X), layer)
        assert device_of(found) == device_of(device(X))
        assert str(found.dtype).endswith(dtype)
        assert_allclose(to_numpy(found), layer_outputs(ours, X, layer), rtol=RTOL[dtype], atol=RTOL[dtype])
    importances = feature_importances(theirs)
    assert isinstance(importances, np.ndarray)
    assert_allclose(importances, feature_importances(ours), rtol=RTOL[dtype])
    with pytest.raises(ValueError, match="must use the same namespace"):
        layer_outputs(theirs, X)


def test_the_encoder_computes_on_the_host(device, few_digits):
    X = few_digits[0]
    encoder = PiecewiseLinearEncoder().fit(device(X))
    assert_array_equal(encoder.transform(device(X)), PiecewiseLinearEncoder().fit(X).transform(X))


@pytest.mark.skipif(OLD, reason="scikit-learn < 1.8 cannot choose several columns of such an array")
def test_tables_come_to_the_host(device, few_digits):
    """And what stands behind the columns follows."""
    X, y = few_digits[0][:, 1:7], few_digits[1]
    model = tabular_pipeline(max_iter=2, random_state=0)
    found = model.fit(*device(X, y)).predict_proba(device(X))
    assert_array_equal(found, clone(model).fit(X, y).predict_proba(X))


# ------------------------------------------------------------------------- no waiting in epochs ----


class NoTransfers(TorchDispatchMode):
    """Refuses operations that bring numbers from one device to another."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        places = {a.device.type for a in (*args, out) if isinstance(a, torch.Tensor)}
        assert len(places) <= 1, f"{func} moves numbers between {places}"
        return out


class NoPythonNumbers(TorchFunctionMode):
    """Refuses tensors made of Python's numbers, which are made on the host and then brought to the device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        makes = func in (torch.tensor, torch.asarray, torch.as_tensor, torch.from_numpy)
        assert not makes or isinstance(args[0], torch.Tensor), f"{func.__name__} of {args[0]}"
        return func(*args, **(kwargs or {}))


def small_network(loss="cross_entropy", activation="relu", **params):
    args = LossArgs(quantiles=(0.3, 0.8), label_smoothing=0.1)
    outputs = 3 * LOSSES[loss].outputs_per_target(args)
    return Network((4, 5, outputs), (activation,), loss, args, dropout=(0.1, 0.2), **params)


@pytest.mark.parametrize(
    ("network", "optimizer"),
    [
        *((small_network(loss), Optimizer()) for loss in LOSSES),
        *((small_network(activation=name), Optimizer()) for name in ACTIVATIONS),
        *((small_network(), Optimizer(name, weight_decay=0.1, max_grad_norm=1.0)) for name in OPTIMIZERS),
        (small_network(n_members=3, input_scale=True), Optimizer()),
    ],
    ids=str,
)
def test_the_host_never_waits_for_the_device(network, optimizer, monkeypatch):
    """On torch's meta device, where numbers do not exist, reading one is an error, as is any transfer."""
    monkeypatch.setattr("skbackprop._engines.reference.SLICE_SECONDS", 1e9)  # all steps in one go
    n, meta = 20, {"device": "meta", "dtype": torch.float32}
    xp = array_api_compat.array_namespace(torch.ones(1))
    theta, X, Y = torch.ones(network.n_parameters, **meta), torch.ones(n, 4, **meta), torch.ones(n, 3, **meta)
    order = torch.empty(n, device="meta", dtype=torch.int64)
    if LOSSES[network.loss].task == "classification":
        Y = torch.zeros(n, device="meta", dtype=torch.int64)
    engine = ReferenceEngine(network, optimizer, xp)
    engine.load(theta, objective=Objective(5, 1.0, 0.1))
    with NoTransfers(), NoPythonNumbers():
        sums, done = engine.train_steps(X, Y, torch.ones(n, **meta), order, [0.1] * 4, 0)
    assert 1 <= done <= 4  # a call may end early, to be interrupted
    assert all(total.device.type == "meta" for total in sums)
    with pytest.raises((RuntimeError, NotImplementedError)):
        float(sums[0])  # which shows that the test can fail


def test_masks_are_the_same_everywhere(device):
    network = replace(small_network(), seed=123)
    rows, columns = np.arange(50)[:, None], np.arange(5)[None, :]
    expected = mask(network, 1, 7, rows, columns, np, np.float64)
    xp = array_api_compat.array_namespace(device(rows))
    assert_array_equal(to_numpy(mask(network, 1, 7, *device(rows, columns), xp, xp.float64)), expected)
