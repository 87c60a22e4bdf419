"""Export to ONNX: ONNX Runtime computes what the estimators predict."""

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, KFold, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OutputCodeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC, LinearSVC

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.losses import LINKS, LOSSES, losses_for
from skbackprop.preprocessing import PiecewiseLinearEncoder

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from skbackprop._interop.onnx.outputs import OUTPUT_NODES, POOL_NODES  # noqa: E402
from skbackprop.onnx import register_skl2onnx, to_inputs, to_onnx  # noqa: E402

# a few hundred roundings of numbers near 1: 1e-5 is 80 units of the last place in float32, 1e-12 is 4500 in float64
ATOL = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}
DTYPES = ["float32", "float64"]


def run(onnx_model, X):
    """Outputs by name, after a check and through the file's bytes."""
    onnx.checker.check_model(onnx_model, full_check=True)
    session = ort.InferenceSession(onnx_model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = X if isinstance(X, dict) else {"X": X}
    return dict(zip([out.name for out in session.get_outputs()], session.run(None, inputs), strict=True))


def rows(dtype, n=150):
    """Rows, three classes, two labels and two positive targets, all learnable."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 4)).astype(dtype)
    v = X @ rng.standard_normal((4, 3))
    return X, np.argmax(v, axis=1), (v[:, :2] > 0).astype(int), np.exp(0.5 * v[:, :2])


def fitted(model, X, y):
    return model.set_params(max_iter=3, random_state=0, learning_rate_init=0.01).fit(X, y)


def assert_classifies(model, X):
    out = run(to_onnx(model), X)
    assert list(out) == ["label", "probabilities"]
    assert_array_equal(out["label"], model.predict(X))
    assert out["probabilities"].dtype == X.dtype
    assert_allclose(out["probabilities"], model.predict_proba(X), rtol=0, atol=ATOL[X.dtype])
    return out


def test_every_entry_of_the_tables_has_nodes():
    assert [name for name, entry in {**ACTIVATIONS, **LINKS}.items() if entry.onnx is None] == []
    assert list(OUTPUT_NODES) == list(LOSSES)
    assert set(POOL_NODES) == set(LINKS) | {name for name, loss in LOSSES.items() if loss.pool}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, dtype):
    """A linear model puts v as it is into the hidden layer, also far out, and reads it again."""
    v = np.concatenate([np.linspace(-8, 8, 401), [-80.0, -30.0, 30.0, 80.0]]).astype(dtype)[:, None]
    model = MLPRegressor((2,), name, scale_target=False, random_state=0)
    model = fitted(model, v[:200], v[:200, 0])
    model.coefs_ = [np.array([[1.0, -0.5]], dtype), np.array([[1.0], [-2.0]], dtype)]
    model.intercepts_ = [np.zeros(2, dtype), np.zeros(1, dtype)]
    y = run(to_onnx(model), v)["variable"]
    # relative to the largest of the terms summed, 80
    assert_allclose(y[:, 0], model.predict(v), rtol=ATOL[v.dtype], atol=ATOL[v.dtype])
    assert np.ptp(y) > 0.1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("loss", losses_for("classification"))
def test_classifiers(loss, n_members, dtype):
    X, y, Y, _ = rows(dtype)
    for target in (y, y > 0, Y):
        model = MLPSoftmaxClassifier(
            (8, 6), "tanh", loss=loss, n_members=n_members, input_scale=n_members > 1, random_state=0
        )
        out = assert_classifies(fitted(model, X, target), X)
        assert len(np.unique(out["label"])) > 1


@pytest.mark.parametrize("hidden", [(), (5,)])
def test_members_and_input_scale_of_shallow_networks(hidden):
    X, y, _, _ = rows("float64")
    for members, scale in [(1, True), (3, False), (3, True)]:
        estimator = MLPSoftmaxClassifier(
            hidden, n_members=members, input_scale=scale, initializer="he_normal", random_state=0
        )
        model = fitted(estimator, X, y)
        if scale:
            model.input_scale_ = np.array([2.0, 0.5, -1.0, 3.0])
        assert_classifies(model, X)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["no", "yes", "perhaps"], object),
        (np.array(["no", "yes", "naïve"], dtype=object), object),
        ([-5, 7, 2**60], np.int64),
        (np.array([1, 2, 200], np.uint8), np.int64),
        ([False, True, True], np.int64),
        ([1.0, 2.0, 3.0], np.int64),
    ],
)
def test_labels_of_any_type(labels, kind):
    X, y, _, _ = rows("float64")
    model = MLPSoftmaxClassifier((5,), max_iter=2, random_state=0).fit(X, np.asarray(labels)[y])
    assert assert_classifies(model, X)["label"].dtype == kind


def test_labels_without_a_type_in_onnx():
    X, y, _, _ = rows("float64")
    labels = np.arange(3, dtype=np.uint64) + 2**63  # beyond int64
    model = MLPSoftmaxClassifier((5,), max_iter=2, random_state=0).fit(X, labels[y])
    with pytest.raises(ValueError, match=r"Labels such as .*9223372036854775808.* have no type in ONNX"):
        to_onnx(model)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("loss", losses_for("regression"))
def test_regressors(loss, n_members, dtype):
    X, _, _, Y = rows(dtype)
    for y in (Y, Y[:, 0]):
        model = fitted(MLPRegressor((8,), "tanh", loss=loss, n_members=n_members), X, y)
        out = run(to_onnx(model), X)
        assert list(out) == (["variable", "std"] if loss == "gaussian" else ["variable"])
        expected = model.predict(X, return_std=True) if loss == "gaussian" else (model.predict(X),)
        for found, want in zip(out.values(), expected, strict=True):
            assert found.dtype == want.dtype == np.float64  # also of float32 X: scaled back in float64
            assert found.shape == (len(X), 1 if y.ndim == 1 else 2)
            # targets are around 1
            assert_allclose(found, want.reshape(found.shape), rtol=ATOL[X.dtype], atol=ATOL[X.dtype])
        assert np.ptp(out["variable"]) > 0.1


@pytest.mark.parametrize("quantile", [0.3, [0.3], [0.1, 0.5, 0.9]])
def test_quantiles(quantile):
    X, _, _, Y = rows("float64")
    for y in (Y, Y[:, 0]):
        model = MLPRegressor((8,), loss="quantile", quantile=quantile, max_iter=1, random_state=0).fit(X, y)
        model.intercepts_[-1] = -np.arange(len(model.intercepts_[-1]))  # crossing, but for sorting
        found, want = run(to_onnx(model), X)["variable"], model.predict(X)
        assert found.shape == (want.shape if want.ndim > 1 else (len(X), 1))
        assert_allclose(found, want.reshape(found.shape), rtol=1e-12, atol=1e-12)


def test_large_targets_keep_their_digits():
    X, _, _, Y = rows("float32")
    model = fitted(MLPRegressor((8,)), X, 1e6 + Y)
    # 1e-5 of the targets' scale, which is about 1, where float32 tells no numbers around 1e6 apart by less than 0.06
    assert_allclose(run(to_onnx(model), X)["variable"][:, 0], model.predict(X)[:, 0], rtol=0, atol=1e-5)


def test_a_float64_model_in_float32_and_back():
    X, y, _, _ = rows("float64")
    model = fitted(MLPSoftmaxClassifier((8,)), X, y)
    out = run(to_onnx(model, dtype="float32"), X.astype(np.float32))
    assert out["probabilities"].dtype == np.float32
    assert_allclose(out["probabilities"], model.predict_proba(X), rtol=0, atol=ATOL[np.dtype(np.float32)])
    model = fitted(MLPSoftmaxClassifier((8,)), X.astype(np.float32), y)
    out = run(to_onnx(model, dtype="float64"), X)  # float32 weights, float64 arithmetic, as predict does
    assert_allclose(out["probabilities"], model.predict_proba(X), rtol=0, atol=ATOL[np.dtype(np.float32)])


def test_changed_weights_are_exported():
    X, y, _, _ = rows("float64")
    model = fitted(MLPSoftmaxClassifier((8,)), X, y)
    before = run(to_onnx(model), X)["probabilities"]
    model.intercepts_[-1] = np.array([5.0, 0.0, 0.0])
    assert assert_classifies(model, X)["probabilities"][:, 0].min() > before[:, 0].min()


def test_newer_operators_and_the_name():
    X, y, _, _ = rows("float32")
    model = fitted(MLPSoftmaxClassifier((8,), "gelu", n_members=2), X, y)
    onnx_model = to_onnx(model, target_opset=21, name="triage")
    assert onnx_model.graph.name == "triage"
    assert [(opset.domain, opset.version) for opset in onnx_model.opset_import] == [("", 21)]
    assert_array_equal(run(onnx_model, X)["label"], model.predict(X))
    assert to_onnx(model).graph.name == "MLPSoftmaxClassifier"
    assert to_onnx(model).producer_name == "skbackprop"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("passthrough", [False, True])
def test_piecewise_linear_encoder(dtype, passthrough):
    X, _, _, _ = rows(dtype)
    X[:, 2] = 7.0  # has no bins
    encoder = PiecewiseLinearEncoder(5, code_range=(-1, 2), passthrough=passthrough).fit(X)
    X[0, 0], X[1, 1], X[2, 3] = np.nan, 1e30, -1e30
    codes = run(to_onnx(encoder, dtype=dtype), X)["variable"]
    assert_allclose(codes, encoder.transform(X), rtol=0, atol=ATOL[X.dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_bins_of_the_largest_numbers(dtype):
    X = np.array([[-1.0], [0.0], [0.5], [1.0], [np.nan]], dtype) * np.finfo(dtype).max
    encoder = PiecewiseLinearEncoder(2).fit(X[[0, 1, 3]])
    codes = run(to_onnx(encoder, dtype=dtype), X)["variable"]
    assert_allclose(codes, [[-1.0, -1.0], [1.0, -1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], rtol=0, atol=1e-6)


def test_errors_say_what_to_do(monkeypatch):
    X, y, _, _ = rows("float64")
    with pytest.raises(NotFittedError, match="MLPSoftmaxClassifier"):
        to_onnx(MLPSoftmaxClassifier())
    model = fitted(MLPSoftmaxClassifier((8,)), X, y)
    with pytest.raises(ValueError, match="target_opset must be 18 or later, got 11"):
        to_onnx(model, target_opset=11)
    with pytest.raises(ValueError, match="dtype must be 'float32', 'float64' or None, got 'float16'"):
        to_onnx(model, dtype="float16")
    with monkeypatch.context() as patch:
        patch.setitem(ACTIVATIONS, "new", dataclasses.replace(ACTIVATIONS["tanh"], onnx=None))
        new = fitted(MLPSoftmaxClassifier((8,), "new"), X, y)
        with pytest.raises(ValueError, match="'new' cannot be exported to ONNX"):
            to_onnx(new)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnx", None)
        with pytest.raises(ImportError, match=r"pip install 'skbackprop\[onnx\]'"):
            to_onnx(model)


# ------------------------------------------------------------------------------- pipelines ----


def small(**params):
    return MLPSoftmaxClassifier((6,), max_iter=10, learning_rate_init=0.05, random_state=0, **params)


def assert_agrees(model, X, X_test=None, **options):
    """Export and run; the answers are predict's. Returns the names of the inputs."""
    pytest.importorskip("skl2onnx")
    onnx_model = to_onnx(model, X, **options)
    X = X if X_test is None else X_test
    out, dtype = run(onnx_model, to_inputs(onnx_model, X)), np.dtype(options.get("dtype", "float32"))
    # standardised features are a few units large, and so are targets
    close = {"rtol": ATOL[dtype], "atol": ATOL[dtype]}
    if hasattr(model, "predict_proba"):
        assert list(out) == ["label", "probabilities"]
        assert_array_equal(out["label"], model.predict(X))
        assert_allclose(out["probabilities"], model.predict_proba(X), **close)
        assert len(np.unique(out["label"])) > 1
    else:
        assert next(iter(out)) == "variable"
        assert_allclose(out["variable"].ravel(), model.predict(X).ravel(), **close)
    return [described.name for described in onnx_model.graph.input]


@pytest.mark.parametrize("dtype", DTYPES)
def test_pipelines_of_numbers(dtype):
    X, y, Y, t = rows(dtype)
    for target in (y, np.array(["a", "b", "c"])[y], y > 0, Y):
        assert assert_agrees(make_pipeline(StandardScaler(), small()).fit(X, target), X, dtype=dtype) == ["X"]
    for loss in ("huber", "poisson", "gaussian"):
        regressor = MLPRegressor((6,), loss=loss, max_iter=3, random_state=0)
        assert_agrees(make_pipeline(StandardScaler(), regressor).fit(X, t), X, dtype=dtype)
    regressor = MLPRegressor((6,), loss="quantile", quantile=[0.2, 0.8], max_iter=3, random_state=0)
    assert_agrees(make_pipeline(StandardScaler(), regressor).fit(X, t), X, dtype=dtype)
    encoder = PiecewiseLinearEncoder(4, passthrough=True)
    assert_agrees(make_pipeline(StandardScaler(), make_pipeline(encoder, small())).fit(X, y), X, dtype=dtype)
    parts = ColumnTransformer([("as it is", "passthrough", [0, 2]), ("codes", encoder, [1, 3])])
    assert_agrees(make_pipeline(parts, small()).fit(X, y), X, dtype=dtype)


def test_inputs_are_known_without_rows():
    X, y, _, _ = rows("float32")
    assert_agrees(make_pipeline(StandardScaler(), small()).fit(X, y), None, X_test=X, target_opset=20)


def test_around_our_estimators():
    X, y, _, _ = rows("float32")
    pipeline = make_pipeline(StandardScaler(), small())
    for target in (y, np.array(["no", "yes", "yes"])[y]):
        assert_agrees(GridSearchCV(pipeline, {"mlpsoftmaxclassifier__alpha": [0, 1]}, cv=2).fit(X, target), X)
        for inner in (small(), pipeline, GridSearchCV(small(), {"alpha": [0, 1]}, cv=2)):
            assert_agrees(CalibratedClassifierCV(inner, cv=2).fit(X, target), X)
        linear = LogisticRegression()
        assert_agrees(StackingClassifier([("ours", small()), ("linear", linear)], cv=2).fit(X, target), X)
        assert_agrees(BaggingClassifier(small(), n_estimators=2, random_state=0).fit(X, target), X)
    with pytest.raises(ValueError, match=r"method='isotonic'\) cannot be exported .* method='sigmoid'"):
        to_onnx(CalibratedClassifierCV(small(), method="isotonic", cv=2).fit(X, y))


def table(n=160):
    """All kinds of columns, with values missing."""
    rng = np.random.default_rng(0)
    town = rng.choice(["Ulm", "Bonn", "Köln"], n).astype(object)
    X = pd.DataFrame(
        {
            "age": np.where(rng.random(n) < 0.1, np.nan, rng.uniform(18, 90, n)),
            "children": pd.array(np.where(np.arange(n) % 7 == 0, None, np.arange(n) % 4), dtype="Int64"),
            "income": np.array([None if i % 9 == 0 else float(i % 5) for i in range(n)], dtype=object),
            "town": np.where(rng.random(n) < 0.1, None, town),
            "size": pd.Categorical(rng.choice(["S", "M", "L"], n)),
            "member": np.arange(n) % 2 == 0,
            "mixed": [("x", 1, None)[i % 3] for i in range(n)],
            "street": [None if i % 40 == 0 else f"street {i % 40}" for i in range(n)],
        }
    )
    return X, np.where(X["age"] > 50, "old", np.where(town == "Ulm", "ulm", "else"))


def unseen(X):
    """The same rows, some of them with categories that were not there before."""
    X = X.copy()
    X.loc[3, "town"] = "Rom"
    X.loc[4, "street"] = "elsewhere"
    X.loc[5, "mixed"] = 2
    return X


def test_a_column_transformer_with_categories():
    X, y = table()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    fills = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer(
        [
            ("numbers", numbers, ["age", "member"]),
            ("one hot", OneHotEncoder(handle_unknown="ignore"), ["town", "size", "member"]),
            ("filled", fills, ["town", "street"]),
        ]
    )
    X["town"] = X["town"].where(X["town"].notna(), np.nan)  # what SimpleImputer takes for missing
    X["street"] = X["street"].where(X["street"].notna(), np.nan)
    model = make_pipeline(columns, small()).fit(X, y)
    assert assert_agrees(model, X, unseen(X)) == ["age", "town", "size", "member", "street"]
    with pytest.raises(ValueError, match=r"table with named columns\. Give some rows of it as X"):
        to_onnx(model)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tabular_pipeline(dtype):
    X, y = table()
    settings = {"random_state": 0, "max_iter": 3, "weight_decay": 0.5, "dropout": 0.1, "dtype": dtype}
    three = tabular_pipeline(max_categories=9, **settings).fit(X, y)
    two = tabular_pipeline(max_categories=9, **settings).fit(X, y == "old")
    few = tabular_pipeline(max_categories=40, **settings).fit(X, y)
    before = three.predict_proba(unseen(X))
    for model in (three, two, few):
        # float32 also where the pipeline computes in float64: skl2onnx imputes and encodes categories in float32
        assert assert_agrees(model, X, unseen(X)) == list(X.columns)
    assert_array_equal(three.predict_proba(unseen(X)), before)  # the export worked on a copy
    regressor = tabular_pipeline("regressor", max_categories=9, **settings).fit(X, np.arange(len(X)))
    assert_agrees(regressor, X, unseen(X))


def test_polars():
    pytest.importorskip("skl2onnx")
    pl = pytest.importorskip("polars")
    X, y = table()
    X = X[["age", "town", "member", "street"]]
    theirs = pl.DataFrame({name: [None if pd.isna(value) else value for value in X[name]] for name in X})
    model = tabular_pipeline(max_categories=9, random_state=0, max_iter=2, weight_decay=0.5, dropout=0.0)
    onnx_model = to_onnx(model.fit(X, y), theirs)
    assert onnx_model == to_onnx(model, X)
    assert_array_equal(run(onnx_model, to_inputs(onnx_model, theirs))["label"], model.predict(X))


def test_booleans_are_ones_and_zeros_in_the_graph_too():
    pytest.importorskip("skl2onnx")
    X, y = table()
    model = tabular_pipeline(random_state=0, max_iter=2, weight_decay=0.5, dropout=0.0).fit(X, y)
    onnx_model = to_onnx(model, X)
    expected = run(onnx_model, to_inputs(onnx_model, X))["probabilities"]
    for dtype in (int, float, str, "boolean", "category"):
        inputs = to_inputs(onnx_model, X.astype({"member": dtype}))
        assert_array_equal(run(onnx_model, inputs)["probabilities"], expected)
    assert_array_equal(run(to_onnx(model, X.astype({"member": int})), inputs)["probabilities"], expected)


def test_numbers_that_come_as_texts():
    pytest.importorskip("skl2onnx")
    X, y = table()
    X = X[["age", "member"]].assign(height=np.arange(len(X)).astype(str))
    model = tabular_pipeline(random_state=0, max_iter=2, weight_decay=0.5, dropout=0.0).fit(X, y)
    assert assert_agrees(model, X, X) == list(X.columns)
    onnx_model = to_onnx(model, X)
    with pytest.raises(ValueError, match=r"Column 'height' held numbers in training, but now also 'tall'"):
        to_inputs(onnx_model, X.assign(height="tall"))
    X.loc[3, "height"] = "?"
    with pytest.warns(UserWarning, match="numbers as text"):
        model.fit(X, y)
    with pytest.raises(ValueError, match=r"Column 'height' held texts among its numbers \('\?'\).* cannot read"):
        to_onnx(model, X)


@pytest.mark.parametrize("names", [[7, 3, 0, 1], ["how old", "town", "is-member", "4"], ["a", ("b", 1), 1, None]])
def test_columns_with_names_that_are_no_identifiers(names):
    pytest.importorskip("skl2onnx")
    X, y = table()
    X = X[["age", "town", "member", "children"]].set_axis(names, axis=1)
    model = tabular_pipeline(random_state=0, max_iter=2, weight_decay=0.5, dropout=0.0).fit(X, y)
    onnx_model = to_onnx(model, X.iloc[:, [2, 3, 1, 0]])
    found = run(onnx_model, to_inputs(onnx_model, X))["probabilities"]
    assert_allclose(found, model.predict_proba(X), atol=ATOL[np.dtype(np.float32)])


class Odd(TransformerMixin, BaseEstimator):
    """Nothing that skl2onnx knows."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X


def test_errors_name_the_step():
    pytest.importorskip("skl2onnx")
    X, y, _, _ = rows("float32")
    columns = ColumnTransformer([("rest", make_pipeline(StandardScaler(), Odd()), [0, 1])])
    with pytest.raises(ValueError, match=r"'columntransformer > rest > odd' \(Odd\) .* has no converter"):
        to_onnx(make_pipeline(columns, small()).fit(X, y))
    with pytest.raises(ValueError, match=r"Step 'functiontransformer' .* it calls a Python function"):
        to_onnx(make_pipeline(FunctionTransformer(np.tanh), small()).fit(X, y))
    table = make_pipeline(SimpleImputer(add_indicator=True, missing_values=7), small()).fit(X, y)
    with pytest.raises(ValueError, match=r"Step 'simpleimputer' \(SimpleImputer\) .*skl2onnx says"):
        to_onnx(table)
    with pytest.raises(NotFittedError):
        to_onnx(make_pipeline(StandardScaler(), small()))


# ------------------------------------------------------------------------------ around models ----


@pytest.fixture(scope="module")
def noisy():
    """300 rows, two classes that overlap, so that many probabilities are near any threshold."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4)).astype(np.float32)
    return X, (X[:, 0] + rng.standard_normal(300) > 0.7).astype(int)


def scaled(last):
    return make_pipeline(StandardScaler(), last)


THRESHOLDS = {
    "tuned": lambda inner: TunedThresholdClassifierCV(inner, cv=2, random_state=0),
    "tuned by f1 of the first": lambda inner: TunedThresholdClassifierCV(
        inner, scoring=make_scorer(f1_score, pos_label="no"), cv=2, random_state=0
    ),
    "tuned decision": lambda inner: TunedThresholdClassifierCV(
        inner, response_method="decision_function", cv=2, random_state=0
    ),
    "fixed": lambda inner: FixedThresholdClassifier(inner, threshold=0.25),
    "fixed first": lambda inner: FixedThresholdClassifier(inner, threshold=0.6, pos_label="no"),
    "fixed decision": lambda inner: FixedThresholdClassifier(
        inner, threshold=-1.0, response_method="decision_function"
    ),
    "fixed first decision": lambda inner: FixedThresholdClassifier(
        inner, threshold=0.7, pos_label="no", response_method="decision_function"
    ),
    "auto": lambda inner: FixedThresholdClassifier(inner),
}
PLACES = {
    "alone": lambda around: around(small()),
    "outside": lambda around: around(scaled(small())),
    "inside": lambda around: scaled(around(small())),
    "of a search": lambda around: GridSearchCV(around(small()), {"estimator__alpha": [0, 1]}, cv=2),
}


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        *((name, "alone") for name in THRESHOLDS if not name.startswith("tuned")),
        *(("fixed first", place) for place in ("inside", "outside")),
        ("tuned", "outside"),
        slow("fixed first", "of a search"),
        *(slow(name, place) for name in THRESHOLDS if name.startswith("tuned") for place in ("alone", "inside")),
    ],
)
def test_thresholds_are_in_the_graph(name, place, noisy):
    X, y = noisy
    model = PLACES[place](THRESHOLDS[name]).fit(X, np.array(["no", "yes"])[y])
    assert_agrees(model, X)
    assert_agrees(model, None, X)
    if name != "auto":  # it decides
        most_probable = model.classes_[np.argmax(model.predict_proba(X), axis=1)]
        assert (most_probable != model.predict(X)).any()


def test_a_threshold_around_a_calibration(noisy):
    X, y = noisy
    calibrated = CalibratedClassifierCV(small(), cv=2)
    assert_agrees(FixedThresholdClassifier(calibrated, threshold=0.2).fit(X, y), X)
    by_decision = FixedThresholdClassifier(LinearSVC(), response_method="decision_function").fit(X, y)
    with pytest.raises(ValueError, match=r"decision_function of LinearSVC, .* response_method='predict_proba'"):
        to_onnx(by_decision)


def test_what_only_holds_or_picks_a_model(noisy):
    X, y = noisy
    inner = small().fit(X, y)
    for model in (
        FrozenEstimator(inner),
        FixedThresholdClassifier(FrozenEstimator(inner), threshold=0.2),
        CalibratedClassifierCV(FrozenEstimator(inner)).fit(X, y),
        SelfTrainingClassifier(small()).fit(X, np.where(np.arange(300) % 3, y, -1)),
        scaled(GridSearchCV(small(), {"alpha": [0, 1]}, cv=2)).fit(X, y),
        scaled(CalibratedClassifierCV(small(), cv=2)).fit(X, y),
        CalibratedClassifierCV(scaled(small()), cv=2, ensemble=False).fit(X, y),
    ):
        assert_agrees(model, X)


def test_votes(noisy):
    X, y = noisy
    voters = [("ours", small()), ("linear", LogisticRegression()), ("other", small(alpha=30.0))]
    for options in ({"voting": "soft"}, {"voting": "soft", "weights": [1, 5, 2]}, {"weights": [1, 5, 2]}):
        model = VotingClassifier(voters, **options).fit(X, np.array(["no", "yes"])[y])
        onnx_model = to_onnx(model, X)
        out = run(onnx_model, to_inputs(onnx_model, X))
        assert_array_equal(out["label"], model.predict(X))
        if options.get("voting") == "soft":
            assert_allclose(out["probabilities"], model.predict_proba(X), rtol=0, atol=1e-5)
    networks = [("a", MLPRegressor((4,), max_iter=3, random_state=0)), ("b", LinearRegression())]
    assert_agrees(VotingRegressor(networks, weights=[1, 3]).fit(X, X[:, 0]), X)


@pytest.mark.parametrize(
    "around",
    [
        slow(lambda inner: TunedThresholdClassifierCV(inner, cv=2)),
        lambda inner: FixedThresholdClassifier(inner, threshold=0.3),
        slow(lambda inner: CalibratedClassifierCV(inner, cv=2)),
        slow(lambda inner: CalibratedClassifierCV(inner, cv=2, ensemble=False)),
        lambda inner: FixedThresholdClassifier(CalibratedClassifierCV(inner, cv=2), threshold=0.3),
    ],
)
def test_tables_inside_thresholds_and_calibrations(around):
    X, y = table()
    settings = {"random_state": 0, "max_iter": 3, "weight_decay": 0.5, "dropout": 0.1}
    model = around(tabular_pipeline(max_categories=9, **settings)).fit(X, np.where(y == "old", "old", "young"))
    assert assert_agrees(model, X, unseen(X)) == list(X.columns)


TARGETS = {
    "standardised": {"transformer": StandardScaler()},
    "minmax": {"transformer": MinMaxScaler((1, 3))},
    "robust": {"transformer": RobustScaler()},
    "log": {"func": np.log, "inverse_func": np.exp},
    "log1p": {"func": np.log1p, "inverse_func": np.expm1},
    "root": {"func": np.sqrt, "inverse_func": np.square},
    "both": {"transformer": make_pipeline(FunctionTransformer(np.log, np.exp), StandardScaler())},
}


@pytest.mark.parametrize("name", TARGETS)
def test_transformed_targets(name):
    X, _, _, Y = rows("float64")
    inner = MLPRegressor((6,), max_iter=3, random_state=0)
    for y in (Y, Y[:, 0]):
        model = TransformedTargetRegressor(inner, **TARGETS[name]).fit(X, y)
        found = run(to_onnx(model), X.astype(np.float32))["variable"]
        assert_allclose(found, model.predict(X).reshape(found.shape), rtol=1e-5, atol=1e-5)
        assert np.ptp(found) > 0.1
    gaussian = TransformedTargetRegressor(
        MLPRegressor((6,), loss="gaussian", max_iter=3, random_state=0), **TARGETS[name]
    )
    assert list(run(to_onnx(scaled(gaussian).fit(X, Y)), X.astype(np.float32))) == ["variable"]


REFUSED = {
    r"the inverse, inverse_func=arctanh": lambda: TransformedTargetRegressor(
        MLPRegressor((2,), max_iter=1), func=np.tanh, inverse_func=np.arctanh, check_inverse=False
    ),
    r"the inverse, QuantileTransformer": lambda: TransformedTargetRegressor(
        MLPRegressor((2,), max_iter=1), transformer=QuantileTransformer(n_quantiles=9)
    ),
    r"Step 'estimators_' \(FixedThresholdClassifier\) .* threshold would be lost": lambda: StackingClassifier(
        [("a", FixedThresholdClassifier(small(), threshold=0.3))], cv=2
    ),
    r"Step 'calibrated_classifiers_' \(TunedThreshold.* threshold would be lost": lambda: CalibratedClassifierCV(
        TunedThresholdClassifierCV(small(), cv=2), cv=2
    ),
    r"stacks probabilities, not predict\.": lambda: StackingClassifier([("a", small())], stack_method="predict", cv=2),
    r"stacks probabilities, not decision_function": lambda: StackingClassifier([("a", LinearSVC())], cv=2),
    r"calibrates another output of SVC": lambda: StackingClassifier(
        [("a", small()), ("b", CalibratedClassifierCV(SVC(), cv=2))], cv=2
    ),
    r"Step 'normalizer' .* another maximum": lambda: make_pipeline(Normalizer("max"), small()),
    r"PowerTransformer .* missing values": lambda: make_pipeline(PowerTransformer(), SimpleImputer(), small()),
    r"Step 'simpleimputer' .* indicators": lambda: make_pipeline(SimpleImputer(add_indicator=True), small()),
    r"Step 'quantiletransformer' .* occur often": lambda: make_pipeline(
        FunctionTransformer(),
        ColumnTransformer([("t", Binarizer(), [0, 1])]),
        QuantileTransformer(n_quantiles=9),
        small(),
    ),
    r"OneVsOneClassifier .*skl2onnx says": lambda: OneVsOneClassifier(small()),
    r"OutputCodeClassifier .* no converter": lambda: OutputCodeClassifier(small(), random_state=0),
    r"KernelPCA\) is not known to answer alike .*Give rows": lambda: make_pipeline(KernelPCA(2), small()),
    r"graph's 'probabilities' is another than predict's; perhaps by .*LinearDiscriminantAnalysis": lambda: (
        StackingClassifier([("a", small()), ("b", LinearDiscriminantAnalysis())], cv=2)
    ),
}


@pytest.mark.parametrize("message", [slow(text) if "Tuned" in text else text for text in REFUSED])
def test_what_the_graph_could_not_answer_alike_is_refused(message, noisy):
    X, y = noisy
    model = REFUSED[message]().fit(X, y)
    with pytest.raises(ValueError, match=message):
        to_onnx(model, X if "another than" in message else None)


def test_unknown_parts_are_exported_when_rows_show_that_they_agree(noisy):
    X, y = noisy
    assert_agrees(make_pipeline(KernelPCA(4), small()).fit(X, y), X)


def test_transformers_alone_and_rows_that_only_tell_the_columns(noisy):
    X, y = noisy
    for transformer in (StandardScaler(), ColumnTransformer([("a", MinMaxScaler(), [0, 1])], remainder="passthrough")):
        (codes,) = run(to_onnx(transformer.fit(X), X), X).values()
        assert_allclose(codes, transformer.transform(X), rtol=1e-5, atol=1e-5)
    model = scaled(small()).fit(X, y)
    nothing = np.full((2, 4), np.nan, np.float32)  # predict refuses them
    assert to_onnx(model, nothing) == to_onnx(model, X) == to_onnx(model, X[:0])


# ------------------------------------------------------------------------------ many digits ----


def identified(n=300):
    """Identifiers near 2e7, Unix seconds of an hour, a small number, and what tells them apart."""
    rng = np.random.default_rng(1)
    ids, small_number = 20_000_000 + rng.permutation(n), rng.standard_normal(n)
    seconds = 1.7e9 + np.round(3600 * rng.random(n))
    y = (ids > 20_000_000 + n // 2).astype(int) + (seconds > 1.7e9 + 1800)
    return np.stack([ids, seconds, small_number], axis=1), y


def sharp():
    return MLPSoftmaxClassifier(
        (20,), max_iter=20, learning_rate="cosine", learning_rate_init=0.03, weight_decay=0.0, random_state=0
    )


FINE = {
    "standardised": lambda: make_pipeline(StandardScaler(), sharp()),
    "minmax": lambda: make_pipeline(MinMaxScaler(clip=True), sharp()),
    "robust": lambda: make_pipeline(RobustScaler(), sharp()),
    "bins": lambda: make_pipeline(PiecewiseLinearEncoder(), sharp()),
    "scaled bins": lambda: make_pipeline(StandardScaler(), PiecewiseLinearEncoder(passthrough=True), sharp()),
    "imputed": lambda: make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), sharp()),
    "polynomials": lambda: make_pipeline(StandardScaler(), PolynomialFeatures(), sharp()),
    "components": lambda: make_pipeline(StandardScaler(), PCA(2), sharp()),
    "columns": lambda: make_pipeline(
        ColumnTransformer([("a", StandardScaler(), [0, 1])], remainder="passthrough"), sharp()
    ),
    "bagging": lambda: make_pipeline(StandardScaler(), BaggingClassifier(sharp(), n_estimators=2, random_state=0)),
    "calibrated": lambda: CalibratedClassifierCV(make_pipeline(StandardScaler(), sharp()), cv=2),
}


QUICK = {"standardised", "scaled bins", "imputed", "columns"}


@pytest.mark.parametrize("name", [name if name in QUICK else slow(name) for name in FINE])
def test_numbers_that_float32_cannot_hold_go_in_as_float64(name):
    X, y = identified()
    model = FINE[name]().fit(X, y)
    onnx_model = to_onnx(model, X)
    (described,) = onnx_model.graph.input
    assert described.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE
    out = run(onnx_model, X)
    assert_array_equal(out["label"], model.predict(X))
    assert_allclose(out["probabilities"], model.predict_proba(X), rtol=0, atol=1e-5)
    assert out["probabilities"].dtype == np.float32
    assert np.abs(model.predict_proba(X.astype(np.float32)) - model.predict_proba(X)).max() > 1e-3
    with pytest.raises(ValueError, match=r"dtype='float32' cannot hold .* Leave dtype out"):
        to_onnx(model, X, dtype="float32")


def test_tables_of_identifiers_and_seconds():
    X, y = identified()
    X = pd.DataFrame({"id": X[:, 0].astype(int), "at": X[:, 1], "kind": np.array(["a", "b"])[(X[:, 2] > 0) * 1]})
    X.loc[::9, "at"] = np.nan
    settings = {"random_state": 0, "max_iter": 4, "weight_decay": 0.1, "dropout": 0.0}
    assert_agrees(tabular_pipeline(**settings).fit(X, y), X)
    assert_agrees(CalibratedClassifierCV(tabular_pipeline(**settings), cv=2).fit(X, y), X)
    assert_agrees(tabular_pipeline("regressor", **settings).fit(X, y), X)


def test_categories_that_are_large_numbers():
    X, y = identified()
    X = np.stack([20_000_000.0 + y, X[:, 2]], axis=1)
    for encoder in (OneHotEncoder(sparse_output=False), TargetEncoder(cv=KFold(3))):
        columns = ColumnTransformer([("codes", encoder, [0]), ("scaled", StandardScaler(), [1])])
        assert_agrees(make_pipeline(columns, sharp()).fit(X, y > 0), X)
    columns = ColumnTransformer([("codes", OrdinalEncoder(), [0]), ("scaled", StandardScaler(), [1])])
    with pytest.raises(ValueError, match=r"'columntransformer > codes' \(OrdinalEncoder\) .* large numbers"):
        to_onnx(make_pipeline(columns, sharp()).fit(X, y))
    model = make_pipeline(OneHotEncoder(sparse_output=False), sharp()).fit(y[:, None] / 2, y)
    with pytest.raises(ValueError, match="rounds categories that are numbers"):
        to_onnx(model)
    with pytest.raises(ValueError, match=r"KBinsDiscretizer\) .* other bins"):
        to_onnx(make_pipeline(KBinsDiscretizer(20, encode="ordinal"), sharp()).fit(identified()[0], y))


def test_target_encoder_of_numbers():
    _, y, _, _ = rows("float64")
    numbers = np.stack([y / 2.0, np.arange(150) % 4], axis=1)
    model = make_pipeline(TargetEncoder(cv=KFold(3)), small()).fit(numbers, y)
    assert_agrees(model, numbers, np.vstack([numbers, [[7.0, 1.0], [0.5, 9.0]]]))


def test_a_column_without_any_value_is_left_out():
    X, y, _, _ = rows("float32")
    X[:, 1], X[::5, 0] = np.nan, np.nan
    with pytest.warns(UserWarning, match="without any observed values"):
        model = make_pipeline(SimpleImputer(), StandardScaler(), small()).fit(X, y)
    onnx_model = to_onnx(model)
    with pytest.warns(UserWarning, match="without any observed values"):
        expected = model.predict_proba(X)
    assert_allclose(run(onnx_model, X)["probabilities"], expected, rtol=0, atol=1e-5)


def test_categories_that_text_cannot_tell_apart():
    pytest.importorskip("skl2onnx")
    X = pd.DataFrame({"town": ["", None, "Ulm"] * 20})
    model = tabular_pipeline(random_state=0, max_iter=1, weight_decay=0.5, dropout=0.0).fit(X, [0, 1, 1] * 20)
    with pytest.raises(ValueError, match="cannot be told apart as text"):
        to_onnx(model, X)
    X = np.array([["Ulm", "a"], ["Bonn", "b"]] * 20, dtype=object)
    model = tabular_pipeline(random_state=0, max_iter=1, weight_decay=0.5, dropout=0.0).fit(X, [0, 1] * 20)
    with pytest.raises(ValueError, match="Strings and numbers cannot be one matrix"):
        to_onnx(model, X)


def test_rows_that_do_not_fit_the_inputs():
    pytest.importorskip("skl2onnx")
    X, y = table()
    model = make_pipeline(StandardScaler(), small()).fit(X[["age", "member"]].fillna(0), y)
    onnx_model = to_onnx(model, X[["age", "member"]])
    with pytest.raises(ValueError, match=r"must be a DataFrame: .* columns \['age', 'member'\]"):
        to_inputs(onnx_model, np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"no columns \['member'\]"):
        to_inputs(onnx_model, X[["age"]])


def test_skl2onnx_by_itself(monkeypatch):
    skl2onnx = pytest.importorskip("skl2onnx")
    X, y, _, _ = rows("float32")
    model = make_pipeline(StandardScaler(), small()).fit(X, np.array(["a", "b", "c"])[y])
    register_skl2onnx()
    register_skl2onnx()  # again does no harm
    session = ort.InferenceSession(skl2onnx.to_onnx(model, X[:1], target_opset=18).SerializeToString())
    label, probability = session.run(None, {"X": X})
    assert_array_equal(label, model.predict(X))
    for name, p in zip("abc", model.predict_proba(X).T, strict=True):  # its default: one dict per row
        assert_allclose([row[name] for row in probability], p, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="target_opset=15 is too old: skbackprop needs 18 or later"):
        skl2onnx.to_onnx(model, X[:1], target_opset=15)
    two = small().fit(X, y > 0)
    options = {"zipmap": False, "raw_scores": True}
    scores = run(skl2onnx.to_onnx(two, X[:1], target_opset=18, options=options), X)["probabilities"]
    decision = two.decision_function(X)
    assert_allclose(scores, np.stack([-decision, decision], axis=1), rtol=1e-5, atol=1e-5)
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"skbackprop\[onnx\]"):
        to_onnx(model, X)


# --------------------------------------------------------- tables that our estimators encode ----


def people(n=240):
    """A table as people have it: gaps, categories of several types, unscaled numbers, booleans; and three classes."""
    X, y = table(n)
    X["kind"] = pd.array(np.arange(n) % 3, dtype="category")
    X["grade"] = np.array([0.1, 0.2, 0.3, np.nan] * (n // 4), dtype=np.float32)
    return X.drop(columns="street"), y


def encoding(cls=MLPSoftmaxClassifier, **params):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 5, "learning_rate_init": 0.02, "random_state": 0}
    return cls(**settings | {"numeric_encoder": "piecewise_linear", "n_bins": 5} | params)


def rare(X):
    """The same rows, some of them with gaps and categories where there were none, and numbers beyond all."""
    X = X.copy()
    X.loc[3, ["town", "mixed"]] = ["Rom", 2]
    X["kind"] = X["kind"].astype(object)
    X.loc[[4, 5], "kind"] = [7, None]
    X["size"] = X["size"].cat.add_categories("XL").where(X.index != 6, "XL").where(X.index != 7)
    X.loc[[8, 9, 10], "age"] = [-200.0, 300.0, 0.0]
    X["member"] = X["member"].astype(object).where(X.index != 11)
    return X


# bins are counted in float32 by predict, and by the graph's input: eight digits, of numbers whose largest are 90
CLOSE = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-12}


def assert_encodes(model, X, X_test=None, **options):
    """Export and run: answers as predict's, from the user's columns. Returns the exported model."""
    onnx_model = to_onnx(model, X, **options)
    X_test = X if X_test is None else X_test
    out = run(onnx_model, to_inputs(onnx_model, X_test))
    close = {"rtol": CLOSE[model.coefs_[0].dtype], "atol": CLOSE[model.coefs_[0].dtype]}
    if hasattr(model, "predict_proba"):
        assert_array_equal(out["label"], model.predict(X_test))
        assert_allclose(out["probabilities"], model.predict_proba(X_test), **close)
        assert len(np.unique(out["label"])) > 1
        return onnx_model
    expected = model.predict(X_test)
    assert_allclose(out["variable"].reshape(expected.shape), expected, **close)
    if "std" in out:
        assert_allclose(out["std"].ravel(), model.predict(X_test, return_std=True)[1].ravel(), **close)
    return onnx_model


SHAPES = [
    {},
    {"hidden_layer_sizes": ()},
    {"hidden_layer_sizes": (), "n_members": 3, "input_scale": True, "initializer": "he_normal"},
    {"n_members": 3},
    {"hidden_layer_sizes": (8, 6), "n_members": 2, "input_scale": True, "dropout": 0.1},
    {"input_scale": True},
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_columns_go_in_as_the_user_has_them(shape, dtype):
    X, y = people()
    model = encoding(dtype=dtype, **shape).fit(X, y)
    onnx_model = assert_encodes(model, X, rare(X))
    assert_array_equal([described.name for described in onnx_model.graph.input], X.columns)
    kinds = [described.type.tensor_type.elem_type for described in onnx_model.graph.input]
    is_text = [kind == onnx.TensorProto.STRING for kind in kinds]
    assert is_text == [known is not None for known in model.categories_]
    assert "OneHotEncoder" not in {node.op_type for node in onnx_model.graph.node}
    assert to_onnx(model) == onnx_model  # the model knows its columns
    stream = encoding(dtype=dtype, **shape).partial_fit(X, y, classes=np.unique(y)).partial_fit(rare(X), y)
    assert stream.coefs_[0].shape[-2] > model.coefs_[0].shape[-2]
    assert_encodes(stream, X, rare(X))  # with weights of their own for what was not there at first


def test_a_table_in_another_dtype_and_with_newer_operators():
    X, y = people()
    X = X.drop(columns="grade")
    for fitted_in, asked in (("float64", "float32"), ("float32", "float64")):
        model = encoding(dtype=fitted_in).fit(X, y)
        onnx_model = to_onnx(model, dtype=asked, target_opset=21)
        age = onnx_model.graph.input[0].type.tensor_type.elem_type
        assert age == (onnx.TensorProto.FLOAT if asked == "float32" else onnx.TensorProto.DOUBLE)
        out = run(onnx_model, to_inputs(onnx_model, rare(X)))
        assert out["probabilities"].dtype == asked
        expected = model.predict_proba(rare(X))
        assert_allclose(out["probabilities"], expected, rtol=0, atol=CLOSE[np.dtype("float32")])


@pytest.mark.parametrize("loss", losses_for("regression"))
def test_every_loss_of_a_table(loss):
    X, y = people()
    target = np.exp((y == "old") + 0.1 * (X["town"] == "Ulm"))
    for targets in (target, np.stack([target, 5.0 * target], axis=1)):
        for n_members in (1, 2):
            model = encoding(MLPRegressor, loss=loss, n_members=n_members, dtype="float64")
            assert_encodes(model.fit(X, targets), X, rare(X))


def test_a_table_of_several_labels():
    X, y = people()
    labels = np.stack([y == "old", X["town"] == "Ulm"], axis=1).astype(int)
    assert_encodes(encoding(dtype="float64", n_members=2).fit(X, labels), X, rare(X))


def test_tables_of_one_kind_of_columns():
    X, y = people()
    categories, numbers = X[["town", "mixed"]], X[["age", "children"]]
    for frame in (categories, categories[["town"]], numbers, numbers[["age"]]):
        assert_encodes(encoding(dtype="float64").fit(frame, y), frame)
    plain = encoding(numeric_encoder="identity", n_bins=8, dtype="float64")
    few = X[["town", "member"]].assign(height=np.linspace(-1.0, 1.0, len(X)))
    assert_encodes(plain.fit(few, y), few)
    constant = X[["age"]].assign(one=7.0, gap=np.nan, none=np.array([None] * len(X), dtype=object))
    constant["none"] = constant["none"].astype("category")
    assert_encodes(encoding(dtype="float64").fit(constant, y), constant)


def test_arrays_that_are_encoded():
    X, y, _, _ = rows("float64")
    X[:, 1] = np.arange(len(X)) % 3
    X[::7, 2] = np.nan
    matrix = encoding().fit(X, y)
    onnx_model = assert_encodes(matrix, X)
    assert [described.name for described in onnx_model.graph.input] == ["X"]
    assert assert_encodes(matrix, None, X) == onnx_model
    by_name, frame = to_onnx(matrix, pd.DataFrame(X, columns=list("abcd"))), pd.DataFrame(X, columns=list("abcd"))
    assert [described.name for described in by_name.graph.input] == list("abcd")
    assert_array_equal(run(by_name, to_inputs(by_name, frame))["label"], matrix.predict(X))
    nullable = pd.DataFrame({"a": pd.array([1, 2, None, 4] * 10, dtype="Int64"), "b": [True, False] * 20})
    of_frame = encoding(dtype="float64").fit(nullable, np.arange(40) % 2)
    assert [described.name for described in to_onnx(of_frame).graph.input] == ["X"]
    assert_encodes(of_frame, None, nullable)
    columns = encoding(categorical_features=[1]).fit(X, y)
    X_new = np.vstack([X, [[0.0, 9.0, np.nan, 1.0], [0.0, np.nan, 0.0, 0.0]]])
    onnx_model = assert_encodes(columns, X, X_new)
    assert [described.name for described in onnx_model.graph.input] == ["x0", "x1", "x2", "x3"]
    frame = pd.DataFrame(X)
    assert_encodes(encoding(categorical_features=[1]).fit(frame, y), frame)


def test_large_numbers_of_a_table_keep_their_digits():
    X, y = identified()
    X = pd.DataFrame({"id": X[:, 0].astype(int), "at": X[:, 1], "kind": np.array(["a", "b"])[(X[:, 2] > 0) * 1]})
    X.loc[::9, "at"] = np.nan
    model = encoding(max_iter=20, dtype="float32", n_bins=16).fit(X, y)
    onnx_model = assert_encodes(model, X)
    kinds = [described.type.tensor_type.elem_type for described in onnx_model.graph.input]
    assert kinds == [onnx.TensorProto.DOUBLE, onnx.TensorProto.DOUBLE, onnx.TensorProto.STRING]
    assert run(onnx_model, to_inputs(onnx_model, X))["probabilities"].dtype == np.float32
    rounded = model.predict_proba(X.assign(at=X["at"].astype(np.float32).astype(float)))
    assert np.abs(rounded - model.predict_proba(X)).max() > 1e-3
    with pytest.raises(ValueError, match=r"dtype='float32' cannot hold .* MLPSoftmaxClassifier.* Leave dtype out"):
        to_onnx(model, X, dtype="float32")
    numbers = X[["id", "at"]].to_numpy(float)
    (described,) = assert_encodes(encoding(dtype="float32").fit(numbers, y), numbers).graph.input
    assert described.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE


@pytest.mark.filterwarnings("ignore:Column 'code' looks like identifiers")
def test_many_categories_are_looked_up():
    n = 20_000
    X = pd.DataFrame({"code": [f"code {i}" for i in range(n)], "x": np.linspace(0.0, 1.0, n)})
    model = MLPRegressor((4,), max_iter=1, dtype="float32", n_members=2, random_state=0).fit(X, np.arange(n) % 7)
    onnx_model = to_onnx(model)
    weights = sum(array.nbytes for array in model.coefs_)
    assert onnx_model.ByteSize() < 2 * weights + 25 * n + 10_000  # 25: the texts and their numbers
    assert_encodes(model, X.iloc[::50])


@pytest.mark.parametrize(
    "names", [["label", "probabilities", "variable", "Add_3"], ["a b", "a_b", "7", "W1_0"], ["X", "c_1", "Mul_2", "é"]]
)
def test_any_names_of_columns(names):
    X, y = people()
    X = X[["age", "town", "member", "mixed"]].set_axis(names, axis=1)
    assert_encodes(encoding(dtype="float64", input_scale=True).fit(X, y), X)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_rows_of_other_libraries(library):
    other = pytest.importorskip(library)
    X, y = people()
    X = X[["age", "town", "size"]]
    model = encoding(dtype="float64").fit(X, y)
    onnx_model = to_onnx(model, X)
    values = {name: [None if pd.isna(value) else value for value in X[name]] for name in X}
    theirs = other.DataFrame(values) if library == "polars" else other.Table.from_pydict(values)
    assert to_onnx(model, theirs) == onnx_model
    ours = to_inputs(onnx_model, X)
    for name, values in to_inputs(onnx_model, theirs).items():
        assert_array_equal(values, ours[name])


@pytest.mark.parametrize(
    "around",
    [
        lambda inner: FixedThresholdClassifier(inner, threshold=0.3),
        lambda inner: CalibratedClassifierCV(inner, cv=2),
        lambda inner: FixedThresholdClassifier(CalibratedClassifierCV(inner, cv=2, ensemble=False), threshold=0.3),
        lambda inner: make_pipeline(FixedThresholdClassifier(inner, threshold=0.3)),
        lambda inner: make_pipeline("passthrough", inner),
        lambda inner: make_pipeline(CalibratedClassifierCV(inner, cv=2)),
        lambda inner: VotingClassifier([("a", inner), ("b", clone(inner).set_params(alpha=3.0))], voting="soft"),
        lambda inner: GridSearchCV(inner, {"n_bins": [2, 4]}, cv=2),
    ],
)
def test_around_a_model_of_tables(around):
    X, y = people()
    model = around(encoding(dtype="float32")).fit(X, np.where(y == "old", "old", "young"))
    assert assert_agrees(model, X, rare(X)) == list(X.columns)


def test_transformed_targets_of_a_table():
    X, y = people()
    model = TransformedTargetRegressor(encoding(MLPRegressor), func=np.log, inverse_func=np.exp)
    assert_agrees(model.fit(X, np.where(y == "old", 3.0, 1.0)), X, rare(X))


def test_scaled_numbers_that_are_encoded():
    X, y, _, _ = rows("float64")
    model = make_pipeline(StandardScaler(), encoding(dtype="float32"))
    assert assert_agrees(model.fit(X, y), X) == ["X"]
    X, y = identified()
    model = make_pipeline(StandardScaler(), encoding(dtype="float32"))
    assert assert_agrees(model.fit(X, y), X) == ["X"]


def test_what_a_graph_cannot_read_of_a_table():
    X, y = people()
    model = encoding().fit(X.assign(town=X["town"].fillna("")), y)
    with pytest.raises(ValueError, match=r"categories of \['town'\] cannot be told apart as text.*missing ones"):
        to_onnx(model)
    frames = ColumnTransformer([("a", FunctionTransformer(), list(X))]).set_output(transform="pandas")
    behind = make_pipeline(frames, encoding()).fit(X, y)
    with pytest.raises(ValueError, match=r"takes columns of categories, which come out of the step in front"):
        to_onnx(behind, X)
    with pytest.raises(ValueError, match="X has 2 columns, but the model was fitted to 3"):
        to_onnx(encoding().fit(X[["town", "age", "size"]].set_axis([0, 1, 2], axis=1), y), X[["town", "age"]])
    onnx_model = to_onnx(encoding().fit(X, y))
    with pytest.raises(ValueError, match="'age' held numbers in training, but now also 'old'"):
        to_inputs(onnx_model, X.assign(age="old"))
    with pytest.raises(ValueError, match=r"X has no columns \['town'\]"):
        to_inputs(onnx_model, X.drop(columns="town"))
    with pytest.raises(ValueError, match="X must be a DataFrame"):
        to_inputs(onnx_model, X.to_numpy())


def settings(**params):
    return {"random_state": 0, "max_iter": 4, "weight_decay": 0.5, "dropout": 0.1, "hidden_layer_sizes": (16,)} | params


@pytest.mark.parametrize("rows_per_category", [None, 1])
def test_many_categories_of_a_pipeline(rows_per_category):
    X, y = table()
    for target in (y, y == "old"):
        model = tabular_pipeline(max_categories=9, **settings())
        model.set_params(table__rows_per_category=rows_per_category).fit(X, target)
        assert assert_agrees(model, X, unseen(X)) == list(X.columns)
    regressor = tabular_pipeline("regressor", max_categories=9, **settings())
    regressor.set_params(table__rows_per_category=rows_per_category)
    targets = np.stack([np.arange(len(X)), np.arange(len(X)) % 5], axis=1)[:, : 2 if rows_per_category else 1]
    assert_agrees(regressor.fit(X, targets), X, unseen(X))


def test_columns_of_a_pipeline_are_found_by_name():
    X, y = table()
    X = X.assign(constant=1, nothing=None)
    with pytest.warns(UserWarning, match="left out"):
        model = tabular_pipeline(**settings()).fit(X, y)
    used = [name for name in X if name not in ("constant", "nothing")]
    other = X[X.columns[::-1]].drop(columns=["constant", "nothing"]).assign(more="text")
    by_name = to_onnx(model, other)
    assert {described.name for described in by_name.graph.input} == set(used)
    for onnx_model in (by_name, to_onnx(model, X), to_onnx(model)):
        out = run(onnx_model, to_inputs(onnx_model, X))
        assert_allclose(out["probabilities"], model.predict_proba(X), rtol=0, atol=1e-5)
    assert [described.name for described in to_onnx(model).graph.input] == used
    numbers = X[["age", "children"]].to_numpy(float)
    assert assert_agrees(tabular_pipeline(**settings()).fit(numbers, y), numbers) == ["X"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_other_estimators_behind_a_table(dtype):
    X, y = table()
    for estimator in (LogisticRegression(), MLPSoftmaxClassifier((8,), max_iter=5, random_state=0)):
        model = tabular_pipeline(estimator, max_categories=9).set_params(table__random_state=0).fit(X, y)
        assert assert_agrees(model, X, unseen(X), dtype=dtype) == list(X.columns)
    linear = tabular_pipeline(LinearRegression(), max_categories=9).set_params(table__random_state=0)
    codes = linear.fit(X, np.arange(len(X)))[:-1]
    onnx_model = to_onnx(codes, X, dtype=dtype)
    (found,) = run(onnx_model, to_inputs(onnx_model, unseen(X))).values()
    assert_allclose(found, codes.transform(unseen(X)), rtol=0, atol=ATOL[np.dtype("float32")])


def test_a_table_behind_another_step():
    X, y = table()
    same = FunctionTransformer().set_output(transform="pandas")
    model = make_pipeline(same, *tabular_pipeline(**settings()).named_steps.values()).fit(X[["age", "town"]], y)
    with pytest.raises(ValueError, match=r"Table takes columns of categories, .* Let it take the DataFrame itself"):
        to_onnx(model, X[["age", "town"]])


NAMES = [["label", "label1", "t"], ["t", "std1", "std"], ["X", "b", "t"], ["a b", "a_b", "a-b"], ["t", "X", "label"]]


@pytest.mark.parametrize("names", NAMES)
def test_each_column_has_its_own_input(names):
    pytest.importorskip("skl2onnx")
    X, y = table()
    X = X[["age", "children", "town"]].set_axis(names, axis=1)
    for model in (encoding(), tabular_pipeline(**settings())):
        assert len(set(assert_agrees(model.fit(X, y), X))) == 3
        assert_agrees(model, None, X)
        onnx_model = to_onnx(model)
        with pytest.raises(ValueError, match="X has no columns"):
            to_inputs(onnx_model, X.drop(columns=names[1]))
        with pytest.raises(ValueError, match="the empty name"):
            to_onnx(model.fit(X.rename(columns={names[0]: ""}), y), X.rename(columns={names[0]: ""}))


@pytest.mark.parametrize(
    "around",
    [lambda p: VotingClassifier([("a", p), ("b", p)], voting="soft"), lambda p: VotingClassifier([("a", p), ("b", p)])],
)
def test_ensembles_of_pipelines(around):
    X, y = table()
    model = around(tabular_pipeline(**settings())).fit(X, y == "old")
    onnx_model = to_onnx(model, X)
    found = run(onnx_model, to_inputs(onnx_model, X))["label"]
    assert_array_equal(found, model.predict(X))


@pytest.mark.parametrize("cls", [BaggingClassifier, StackingClassifier])
def test_ensembles_of_pipelines_that_take_one_matrix(cls):
    X, y, _, _ = rows("float32")
    pipeline = tabular_pipeline(**settings())
    model = cls(pipeline, n_estimators=2) if cls is BaggingClassifier else cls([("a", pipeline)], cv=2)
    assert assert_agrees(model.fit(X, y), X) == ["X"]


def test_an_empty_text_is_no_missing_one():
    pytest.importorskip("skl2onnx")
    X, y = table()
    X = X[["age", "town", "size"]]
    for model in (encoding(), tabular_pipeline(**settings())):
        onnx_model = to_onnx(model.fit(X, y), X)
        to_inputs(onnx_model, X)
        with pytest.raises(ValueError, match="Column 'town' holds the empty text, by which missing ones go"):
            to_inputs(onnx_model, X.assign(town=X["town"].fillna("")))
    X["street"] = X.index.map(lambda i: "" if i % 40 == 0 else f"street {i % 40}")
    with pytest.raises(ValueError, match="one is the empty text, by which missing ones go into the graph"):
        to_onnx(tabular_pipeline(**settings()).fit(X, y), X)
