"""Ensembles beside prediction: exported, explained and saved like any other model."""

import copy
import io
import pickle
import pickletools
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop._nn.losses import LOSSES, losses_for
from skbackprop.ensemble import MLPEnsembleClassifier, MLPEnsembleRegressor
from skbackprop.inspection import check_gradients, feature_importances, layer_outputs
from skbackprop.persistence import TRUSTED_TYPES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# a few hundred roundings of numbers near 1, and with bins, which are counted in float32, a few more
CLOSE = {"float32": 2e-5, "float64": 1e-6}
SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 3, "learning_rate_init": 0.02}
KINDS = {"classifier": (MLPEnsembleClassifier, MLPSoftmaxClassifier), "regressor": (MLPEnsembleRegressor, MLPRegressor)}


def ensemble(kind="classifier", folds=True, **params):
    """Unfitted: networks of three folds, or of three regularisations."""
    several, one = KINDS[kind]
    options = {"blend": False, "oob_score": True, "n_folds": 3} if folds else {}
    return several(one(**SETTINGS | params), random_state=0, **options)


def table_ensemble(kind="classifier", **params):
    """Unfitted: networks that encode columns themselves."""
    return ensemble(kind, numeric_encoder="piecewise_linear", n_bins=5, **params)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 4))
    v = X @ rng.standard_normal((4, 3))
    return X, np.argmax(v, axis=1), np.exp(0.5 * v[:, :2])


@pytest.fixture(scope="module")
def people():
    """A table with gaps, and with categories of which some networks of folds know one that others do not."""
    rng = np.random.default_rng(0)
    n = 150
    X = pd.DataFrame({"age": rng.uniform(20, 90, n).round(), "town": rng.choice(["Ulm", "Bonn", "Köln"], n)})
    X["size"] = rng.choice(["S", "M", "L"], n)
    X["member"] = rng.random(n) < 0.5
    y = (X["age"] > 50).to_numpy() + (X["town"] == "Ulm").to_numpy().astype(int)
    X.loc[::7, "age"] = np.nan
    X.loc[::11, "town"] = None
    X.loc[[0, 50, 100], "size"] = ["alone", "lonely", "single"]
    return X, y


def unseen(X):
    """The same rows with categories and gaps that no network has met."""
    X = X.copy()
    X["member"] = X["member"].astype(object)
    X.loc[[3, 4], "town"], X.loc[[5, 6], "size"], X.loc[7, "member"] = "Rom", None, None
    return X


# --------------------------------------------------------------------------------------- ONNX ----


@pytest.fixture(scope="module")
def to_onnx():
    pytest.importorskip("onnxruntime")
    return pytest.importorskip("skbackprop.onnx").to_onnx


def answers(onnx_model, X):
    """Outputs of the graph by name."""
    ort, ours = pytest.importorskip("onnxruntime"), pytest.importorskip("skbackprop.onnx")
    session = ort.InferenceSession(onnx_model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, ours.to_inputs(onnx_model, X))
    return dict(zip([out.name for out in session.get_outputs()], found, strict=True))


def assert_agrees(model, onnx_model, X, close=CLOSE["float32"]):
    """The graph answers as predict does."""
    out = answers(onnx_model, X)
    if hasattr(model, "classes_"):
        assert list(out) == ["label", "probabilities"]
        assert_allclose(out["probabilities"], model.predict_proba(X), rtol=0, atol=close)
        assert_array_equal(out["label"], model.predict(X))
        assert len(np.unique(out["label"])) > 1
        return
    expected = model.predict(X)
    assert list(out) == ["variable"]
    assert out["variable"].dtype == np.float64
    assert_allclose(out["variable"].reshape(expected.shape), expected, rtol=close, atol=close)


def test_logits_of_all_classifiers_can_be_averaged():
    pools = pytest.importorskip("skbackprop._interop.onnx.outputs").WEIGHTED_POOLS
    assert set(pools) == {LOSSES[name].link for name in (*losses_for("classification"), "binary_cross_entropy")}


TARGETS = {
    "two classes": lambda y, Y: y > 0,
    "texts": lambda y, Y: np.array(["a", "b", "c"])[y],
    "several labels": lambda y, Y: (Y > 1.0).astype(int),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("folds", [True, False])
def test_classifiers_to_onnx(folds, target, dtype, rows, to_onnx):
    X, y, Y = rows
    X = X.astype(dtype)
    model = ensemble(folds=folds, n_members=2, input_scale=True).fit(X, TARGETS[target](y, Y))
    assert_agrees(model, to_onnx(model), X, CLOSE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson", "gaussian"])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_regressors_to_onnx(n_targets, loss, dtype, rows, to_onnx):
    X, _, Y = rows
    X = X.astype(dtype)
    model = ensemble("regressor", loss=loss).fit(X, 1000.0 * Y[:, 0] if n_targets == 1 else Y)
    assert_agrees(model, to_onnx(model), X, CLOSE[dtype])


@pytest.mark.parametrize("quantile", [0.5, (0.1, 0.9)])
def test_quantiles_to_onnx(quantile, rows, to_onnx):
    X, _, Y = rows
    for y in (Y, Y[:, 0]):
        model = ensemble("regressor", folds=False, loss="quantile", quantile=quantile).fit(X, y)
        assert_agrees(model, to_onnx(model), X, CLOSE["float64"])


def test_networks_without_weight_are_left_out(rows, to_onnx):
    X, y, _ = rows
    model = ensemble().fit(X, y)
    n_nodes = len(to_onnx(model).graph.node)
    model.weights_ = np.array([0.25, 0.0, 0.75])
    onnx_model = to_onnx(model)
    assert len(onnx_model.graph.node) < n_nodes
    assert_agrees(model, onnx_model, X, CLOSE["float64"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tables_to_onnx(dtype, kind, people, to_onnx):
    """The networks of folds know different categories, bins and gaps."""
    X, y = people
    model = table_ensemble(kind, dtype=dtype).fit(X, y)
    assert len({tuple(network.categories_[2]) for network in model.estimators_}) > 1
    onnx_model = to_onnx(model)
    assert [entry.name for entry in onnx_model.graph.input] == list(X)
    assert_agrees(model, onnx_model, X, CLOSE[dtype])
    assert_agrees(model, onnx_model, unseen(X), CLOSE[dtype])


def test_numbers_that_are_encoded_to_onnx(rows, to_onnx):
    """One matrix goes in where all columns are numbers; identifiers keep their digits."""
    X, y, _ = rows
    model = table_ensemble(dtype="float32").fit(X + 2e7, y)
    onnx_model = to_onnx(model)
    assert [entry.name for entry in onnx_model.graph.input] == ["X"]
    assert onnx_model.graph.input[0].type.tensor_type.elem_type == 11  # float64
    assert_agrees(model, onnx_model, X + 2e7)


AROUND = {
    "nothing": lambda inner: inner,
    "scaler": lambda inner: make_pipeline(StandardScaler(), inner),
    "fixed threshold": lambda inner: FixedThresholdClassifier(make_pipeline(StandardScaler(), inner), threshold=0.6),
    "tuned threshold": lambda inner: TunedThresholdClassifierCV(inner, cv=2),
    "threshold inside": lambda inner: make_pipeline(StandardScaler(), FixedThresholdClassifier(inner, threshold=0.6)),
    "calibration": lambda inner: CalibratedClassifierCV(inner, cv=2),
    "calibration of a Pipeline": lambda inner: CalibratedClassifierCV(make_pipeline(StandardScaler(), inner), cv=2),
    "both": lambda inner: FixedThresholdClassifier(CalibratedClassifierCV(inner, cv=2), threshold=0.3),
    "vote": lambda inner: VotingClassifier([("a", inner), ("b", MLPSoftmaxClassifier(**SETTINGS))], voting="soft"),
}


@pytest.mark.parametrize("around", AROUND)
def test_around_a_classifier(around, rows, to_onnx):
    X, y, _ = rows
    model = AROUND[around](ensemble()).fit(X, np.array(["no", "yes"])[(y > 0).astype(int)])
    assert_agrees(model, to_onnx(model, X), X)


def test_a_calibration_of_three_classes(rows, to_onnx):
    X, y, _ = rows
    model = CalibratedClassifierCV(ensemble(), cv=2).fit(X, y)
    assert_agrees(model, to_onnx(model, X), X)
    with pytest.raises(ValueError, match="Calibrate with method='sigmoid'"):
        to_onnx(CalibratedClassifierCV(ensemble(), cv=2, method="isotonic").fit(X, y))


def test_around_a_regressor(rows, to_onnx):
    X, _, Y = rows
    model = make_pipeline(StandardScaler(), ensemble("regressor")).fit(X, Y)
    assert_agrees(model, to_onnx(model), X)
    assert_agrees(model, to_onnx(model, dtype="float64"), X, CLOSE["float64"])
    model = TransformedTargetRegressor(ensemble("regressor"), func=np.log, inverse_func=np.exp).fit(X, Y[:, 0])
    assert_agrees(model, to_onnx(model), X)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"effort": "best"}, {"oob_score": True}])
def test_tabular_pipeline_to_onnx(options, kind, people, to_onnx):
    X, y = people
    y = y if kind == "regressor" else np.array(["a", "b", "c"])[y]
    model = tabular_pipeline(kind, random_state=0, max_categories=4, **options, **SETTINGS | {"max_iter": 10})
    model.set_params(mlp__n_folds=3).fit(X, y)
    onnx_model = to_onnx(model)
    assert_agrees(model, onnx_model, X)
    assert_agrees(model, onnx_model, unseen(X))


def test_tables_inside_thresholds_and_calibrations(people, to_onnx):
    X, y = people
    model = FixedThresholdClassifier(CalibratedClassifierCV(table_ensemble(), cv=2), threshold=0.3).fit(X, y > 0)
    assert_agrees(model, to_onnx(model), X)


def test_skl2onnx_by_itself(rows):
    skl2onnx, ours = pytest.importorskip("skl2onnx"), pytest.importorskip("skbackprop.onnx")
    X, y, Y = rows
    X = X.astype(np.float32)
    ours.register_skl2onnx()
    model = make_pipeline(StandardScaler(), ensemble()).fit(X, y)
    options = {"zipmap": False}
    assert_agrees(model, skl2onnx.to_onnx(model, X[:1], target_opset=18, options=options), X)
    model = ensemble().fit(X, y)
    scores = answers(skl2onnx.to_onnx(model, X[:1], target_opset=18, options=options | {"raw_scores": True}), X)
    assert_allclose(scores["probabilities"], model.predict_log_proba(X), rtol=0, atol=CLOSE["float32"])
    model = make_pipeline(StandardScaler(), ensemble("regressor")).fit(X, Y)
    assert_agrees(model, skl2onnx.to_onnx(model, X[:1], target_opset=18), X)


def test_errors_name_the_ensemble(rows, to_onnx):
    X, y, _ = rows
    beyond = (np.arange(3, dtype=np.uint64) + 2**63)[y]  # int64
    with pytest.raises(ValueError, match=r"Step 'mlpensembleclassifier' \(MLPEnsembleClassifier\) cannot be exported"):
        to_onnx(make_pipeline(StandardScaler(), ensemble()).fit(X, beyond))
    with pytest.raises(sklearn.exceptions.NotFittedError, match="MLPEnsembleClassifier"):
        to_onnx(ensemble())


# -------------------------------------------------------------------------------------- torch ----


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def outputs(torch, model, X):
    with torch.no_grad():
        return model.to_torch()(*model.torch_inputs(X))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", TARGETS)
def test_classifiers_to_torch(target, dtype, rows, torch):
    X, y, Y = rows
    X = X.astype(dtype)
    model = ensemble(n_members=2).fit(X, TARGETS[target](y, Y))
    v = outputs(torch, model, X)
    p = torch.sigmoid(v) if target == "several labels" else torch.softmax(v, dim=1)
    assert_allclose(p, model.predict_proba(X), rtol=0, atol=CLOSE[dtype])
    if target != "several labels":
        assert_allclose(v, model.predict_log_proba(X), rtol=0, atol=CLOSE[dtype])


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "gaussian"])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_regressors_to_torch(n_targets, loss, rows, torch):
    X, _, Y = rows
    model = ensemble("regressor", loss=loss, n_members=2).fit(X, Y[:, 0] if n_targets == 1 else Y)
    found, expected = outputs(torch, model, X), model.predict(X)
    assert found.shape == expected.shape
    assert_allclose(found, expected, rtol=CLOSE["float64"])


def test_quantiles_to_torch(rows, torch):
    X, _, Y = rows
    for y in (Y, Y[:, 0]):
        model = ensemble("regressor", folds=False, loss="quantile", quantile=(0.1, 0.9)).fit(X, y)
        assert_allclose(outputs(torch, model, X), model.predict(X), rtol=CLOSE["float64"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tables_to_torch(dtype, people, torch):
    """All networks of the module take the same numbers of categories."""
    X, y = people
    model = table_ensemble(dtype=dtype, n_members=2).fit(X, y)
    for some in (X, unseen(X)):
        p = torch.softmax(outputs(torch, model, some), dim=1)
        assert_allclose(p, model.predict_proba(some), rtol=0, atol=CLOSE[dtype])
    module, (numbers, categories) = model.to_torch(), model.torch_inputs(X)
    assert numbers.shape == (150, 2)
    assert categories.shape == (150, 2)
    known = sorted({*X["size"]})
    assert categories[:, 1].tolist() == [known.index(size) for size in X["size"]]
    sizes = [network.columns.columns[2].weight for network in module.networks]
    assert {len(weight) for weight in sizes} == {len(known) + 2}


def test_the_last_step_of_a_pipeline_to_torch(people, torch):
    X, y = people
    model = tabular_pipeline("regressor", effort="best", random_state=0, **SETTINGS).fit(X, y)
    found = outputs(torch, model[-1], model[:-1].transform(unseen(X)))
    assert_allclose(found, model.predict(unseen(X)), rtol=CLOSE["float32"], atol=CLOSE["float32"])


def test_a_module_is_exported_pickled_and_trained(people, torch):
    X, y = people
    model = table_ensemble().fit(X, y)
    inputs, module = model.torch_inputs(X), pickle.loads(pickle.dumps(model.to_torch()))
    program = torch.export.export(module, inputs)
    assert_allclose(program.module()(*inputs).detach(), module(*inputs).detach(), rtol=0, atol=CLOSE["float64"])
    torch.nn.functional.cross_entropy(module(*inputs), torch.tensor(y)).backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_torch_is_asked_for(monkeypatch, rows):
    X, y, _ = rows
    model = ensemble().fit(X, y)
    for name in ("torch", "torch_ensembles"):
        monkeypatch.setitem(sys.modules, f"skbackprop._interop.{name}", None)
    for method in (model.to_torch, lambda: model.torch_inputs(X)):
        with pytest.raises(ImportError, match=r"skbackprop\[torch\]"):
            method()


# --------------------------------------------------------------------------------- inspection ----


def test_importances_are_of_the_mean_square(rows):
    X, y, _ = rows
    model = ensemble().fit(X, y)
    model.weights_ = np.array([0.5, 0.2, 0.3])
    squares = [np.sum(network.coefs_[0] ** 2, axis=1) for network in model.estimators_]
    norms = np.sqrt(model.weights_ @ squares)
    assert_allclose(feature_importances(model), norms / norms.sum(), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Columns without values:UserWarning")
def test_importances_are_those_of_the_users_columns(people):
    X, y = people
    model = table_ensemble().fit(X, y)
    model.weights_ = np.array([1.0, 0.0, 0.0])
    assert_allclose(feature_importances(model), feature_importances(model.estimators_[0]), rtol=1e-12)
    pipeline = tabular_pipeline(effort="best", random_state=0, **SETTINGS).fit(X.assign(constant=1.0), y)
    found = feature_importances(pipeline)
    assert found.shape == (5,)
    assert found[4] == 0.0
    assert found.sum() == pytest.approx(1.0)


def test_what_is_of_one_network_says_so(rows):
    X, y, _ = rows
    model = ensemble().fit(X, y)
    for look in (lambda: layer_outputs(model, X), lambda: check_gradients(model, X, y)):
        with pytest.raises(TypeError, match=r"MLPEnsembleClassifier holds several .* model\.estimators_\[0\]"):
            look()
    assert not hasattr(model, "to_sklearn")
    with pytest.raises(AttributeError, match=r"estimators_\[0\]\.to_sklearn"):
        model.to_sklearn()


# -------------------------------------------------------------------------------- persistence ----


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def through_skops(model):
    skops = pytest.importorskip("skops.io")
    data = skops.dumps(model)
    assert set(skops.get_untrusted_types(data=data)) <= set(TRUSTED_TYPES)
    return skops.loads(data, trusted=TRUSTED_TYPES)


WAYS = [lambda model: pickle.loads(pickle.dumps(model)), through_joblib, through_skops, copy.copy, copy.deepcopy]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_saved_ensembles_predict_the_same(kind, way, people):
    X, y = people
    model = tabular_pipeline(kind, oob_score=True, random_state=0, **SETTINGS).set_params(mlp__n_folds=3)
    again = way(model.fit(X, y))
    assert_array_equal(again.predict(X), model.predict(X))
    if kind == "classifier":
        assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        return
    for found, expected in zip(again.predict(X, interval=0.9), model.predict(X, interval=0.9), strict=True):
        assert_array_equal(found, expected)


def test_a_pickle_names_no_more_than_estimators(rows):
    X, _, Y = rows
    data = pickle.dumps(ensemble("regressor").fit(X, Y))
    named = {str(arg) for op, arg, _ in pickletools.genops(data) if op.name in ("SHORT_BINUNICODE", "BINUNICODE")}
    assert {name for name in named if name.startswith("skbackprop.")} == {
        "skbackprop.ensemble", "skbackprop._regressor"
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"weights_": np.ones(2)}, {"estimators_": [1, 2, 3]}, {"_cv_plus": {"fold": 1}}, {"_cv_plus": [{"fold": 1}]}],
)
def test_a_changed_state_says_that_it_was(change, rows):
    X, _, Y = rows
    state = ensemble("regressor").fit(X, Y).__getstate__()
    with pytest.raises(ValueError, match="This state of MLPEnsembleRegressor is damaged"):
        MLPEnsembleRegressor().__setstate__(state | change)


def test_clones_and_texts(rows):
    X, y, _ = rows
    model = ensemble().fit(X, y)
    twin = clone(model)
    assert not hasattr(twin, "estimators_")
    assert_array_equal(twin.fit(X, y).predict_proba(X), model.predict_proba(X))
    assert repr(twin) == repr(model)
    assert "MLPEnsembleClassifier" in model._repr_html_()


def test_outputs_of_transformers_are_none_of_its_concern(people):
    X, y = people
    model = tabular_pipeline(oob_score=True, random_state=0, **SETTINGS).set_params(mlp__n_folds=3)
    expected = clone(model).fit(X, y).predict_proba(X)
    with sklearn.config_context(transform_output="pandas"):
        found = model.fit(X, y).predict_proba(X)
    assert isinstance(found, np.ndarray)
    assert_array_equal(found, expected)
