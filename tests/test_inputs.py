"""Tables that estimators encode themselves: what is learned, what the network sees, and what is refused."""

import copy
import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop._fit.inputs import InputEncoding
from skbackprop._nn.encoders import ENCODERS
from skbackprop.data import Shards
from skbackprop.ensemble import MLPEnsembleRegressor
from skbackprop.inspection import check_gradients, feature_importances, layer_outputs
from skbackprop.preprocessing import PiecewiseLinearEncoder

pytestmark = pytest.mark.filterwarnings("ignore:.*Features differ in scale")


def people(n=240, seed=0):
    """A table as people have it: gaps, categories of several types, unscaled numbers, a boolean."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40.0, 10.0, n),
            "town": rng.choice(["Ulm", "Bonn", "Rome"], n).astype(object),
            "size": pd.Categorical(rng.choice(["s", "m", "l"], n)),
            "member": rng.random(n) < 0.5,
            "income": rng.lognormal(8.0, 1.0, n),
        }
    )
    y = ((frame["town"] == "Ulm") | (frame["age"] > 45)).to_numpy().astype(int)
    frame.loc[::7, "age"] = np.nan
    frame.loc[::11, "income"] = np.nan
    frame.loc[::9, "town"] = None
    return frame, y


def model(cls=MLPSoftmaxClassifier, **params):
    settings = {"hidden_layer_sizes": (20,), "numeric_encoder": "piecewise_linear", "random_state": 0}
    return cls(**settings | params)


def by_hand(fitted, X):
    """The inputs of a frame's rows, each column as its attributes say."""
    z, bins, gaps, categories = [], [], [], []
    for name, edges, known in zip(X.columns, fitted.bin_edges_, fitted.categories_, strict=True):
        if known is None:
            i = len(z)
            encoding = fitted._inputs.columns[i]
            made = ENCODERS[fitted.numeric_encoder].forward(np, X[name].to_numpy(float), encoding)
            z.append(made[:, :1])
            bins.append(made[:, 1 : len(edges)])
            gaps.append(made[:, len(edges) :])
        else:
            texts = [None if pd.isna(value) else str(value) for value in X[name]]
            place = {text: i for i, text in enumerate(known)} | {None: len(known)}
            n = len(known) + fitted._inputs.n_others[len(categories)]
            categories.append(np.eye(len(known) + 2)[[place.get(text, len(known) + 1) for text in texts], :n])
    return np.hstack([*z, *bins, *gaps, *categories])


def test_what_is_learned_is_told():
    X, y = people()
    fitted = model().fit(X, y)
    assert [None if known is None else known.tolist() for known in fitted.categories_] == [
        None, ["Bonn", "Rome", "Ulm"], ["l", "m", "s"], None, None,
    ]  # fmt: skip
    assert [None if edges is None else len(edges) for edges in fitted.bin_edges_] == [9, None, None, 2, 9]
    assert fitted.n_features_in_ == 5
    assert fitted.feature_names_in_.tolist() == list(X.columns)
    assert fitted.coefs_[0].shape == (3 + 17 + 2 + 4 + 3, 20)  # of the categories some towns are missing
    plain = model().fit(X[["age"]].dropna(), y[X["age"].notna()])
    assert plain.categories_ == [None]
    again = plain.fit(np.ones((5, 2)) * np.arange(5)[:, None], y[:5])
    assert not hasattr(clone(again).set_params(numeric_encoder="identity").fit(np.eye(5), y[:5]), "categories_")


SETTINGS = [
    {},
    {"n_members": 2, "input_scale": True},
    {"dropout": 0.2, "n_members": 2},
    {"dropout": (0.1, 0.2), "input_scale": True},
    {"engine": "reference"},
    {"solver": "lbfgs", "alpha": 0.1},
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # after so few steps
@pytest.mark.parametrize("settings", SETTINGS)
def test_it_is_the_same_network_on_the_columns_written_out(settings):
    X, y = people()
    settings = {"max_iter": 4, "batch_size": 32, "weight_decay": 0.1, "epochs": 4, **settings}
    if settings.get("solver") == "lbfgs":
        settings = {"max_iter": 4, "solver": "lbfgs", "alpha": 0.1}
    y = np.where(y > 0, X["income"].fillna(0.0), 0.0)
    ours = model(MLPRegressor, **settings).fit(X, y)
    Z = by_hand(ours, X)
    theirs = model(MLPRegressor, **settings, numeric_encoder="identity").fit(Z, y)
    assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-5)  # codes are float32
    assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-4, atol=1e-6)
    assert_allclose(ours.predict(X), theirs.predict(Z), rtol=1e-4, atol=1e-5 * y.max())


def test_what_no_row_has_says_nothing():
    X, y = people()
    X["town"] = X["town"].fillna("Ulm")
    names = ["Bonn", "Rome", "Ulm", "missing", "unknown", "l", "m", "s", "missing", "unknown"]
    silent = [i for i, name in enumerate(names) if name in ("missing", "unknown")]
    new = X.head(4).assign(town=["Oslo", None, "Oslo", None])
    other = X.head(4).assign(town="Lima")
    for goes_on in (True, False):
        fitted = model(warm_start=goes_on).fit(X, y)
        rows = fitted.coefs_[0][-len(names) :] if goes_on else fitted.coefs_[0]
        assert_array_equal(np.flatnonzero(np.abs(rows).sum(axis=1) == 0.0), silent if goes_on else [])
        assert len(fitted.coefs_[0]) == 3 + 17 + 2 + (len(names) if goes_on else len(names) - len(silent))
        assert_array_equal(fitted.predict_proba(new), fitted.predict_proba(other))


def parameters(fitted):
    """All that is trained; inputs first."""
    factors = [r_or_s.T for pair in getattr(fitted, "member_factors_", ()) for r_or_s in pair]
    return [*fitted.coefs_, *fitted.intercepts_, *factors, *np.atleast_2d(getattr(fitted, "input_scale_", [[]]))]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # after so few steps
@pytest.mark.parametrize("settings", [one for one in SETTINGS if not isinstance(one.get("dropout"), tuple)])
def test_inputs_that_no_row_has_change_nothing(settings):
    X, y = people()
    settings = {"max_iter": 3, "warm_start": True, **settings}
    with_all = model(**settings).fit(X, y)
    alone = model(**settings | {"warm_start": False}).fit(X, y).set_params(warm_start=True)
    place = dict(zip(with_all._inputs.names(X.columns), range(len(with_all.coefs_[0])), strict=True))
    common = [place[name] for name in alone._inputs.names(X.columns)]
    assert len(place) == len(common) + 3
    for ours, theirs in zip(parameters(alone), parameters(with_all), strict=True):  # the same start
        ours[...] = theirs if ours.shape == theirs.shape else theirs[common]
    alone.fit(X, y)
    with_all.fit(X, y)
    new = X.assign(town=X["town"].where(X.index % 3 > 0, "Oslo"), size=X["size"].astype(object).where(X.index % 2 > 0))
    for rows in (X, new):
        assert_allclose(alone.predict_proba(rows), with_all.predict_proba(rows), rtol=1e-8)
    assert_allclose(feature_importances(alone), feature_importances(with_all), rtol=1e-8)


def test_a_warning_tells_of_categories_that_fit_did_not_see():
    X, y = people()
    X["town"], X["size"] = X["town"].fillna("Ulm"), X["size"].fillna("m")
    new = X.head(20).copy()
    new.loc[3, "town"], new.loc[5, "size"] = "Oslo", None
    weights = np.where(np.arange(20) == 3, 0.0, 1.0)
    fitted = model(max_iter=2).fit(X, y)
    for w, columns in ((None, r"\['town', 'size'\]"), (weights, r"\['size'\]")):
        with pytest.warns(UserWarning, match=f"The columns {columns} hold categories"):
            copy.deepcopy(fitted).partial_fit(new, y[:20], w)
    with pytest.warns(UserWarning, match="'town', 'size'"):
        copy.deepcopy(fitted).set_params(warm_start=True, max_iter=4).fit(new, y[:20])
    fitted.partial_fit(X, y, X_val=new, y_val=y[:20])  # no row to learn from: nothing is said


def test_missing_categories_are_learned():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"town": rng.choice(["Ulm", "Bonn", None], 300)})
    y = np.where(X["town"].isna(), 3.0, np.where(X["town"] == "Ulm", 1.0, 2.0))
    fitted = MLPRegressor((20,), random_state=0).fit(X, y)
    found = fitted.predict(pd.DataFrame({"town": ["Ulm", "Bonn", None, np.nan]}))
    assert_allclose(found, [1.0, 2.0, 3.0, 3.0], atol=0.05)


def test_rows_of_weight_zero_are_absent():
    X, y = people()
    X.loc[0, "town"] = "Oslo"
    weights = np.where(X["town"] == "Oslo", 0.0, 1.0)
    fitted = model(max_iter=3).fit(X, y, weights)
    assert "Oslo" not in fitted.categories_[1]
    for ours, theirs in zip(fitted.bin_edges_, model(max_iter=3).fit(X[1:], y[1:]).bin_edges_, strict=True):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("asked", "places"),
    [
        (None, []),
        ("from_dtype", []),
        ([0], [0]),
        ([-1], [2]),
        ([True, False, True], [0, 2]),
        (np.array([1]), [1]),
        (np.array([False, True, False]), [1]),
    ],
)
def test_columns_of_arrays_are_named_by_numbers_or_a_mask(asked, places):
    X = np.random.default_rng(0).integers(0, 3, (60, 3)).astype(float)
    X[::5, places] = np.nan
    fitted = model(categorical_features=asked, max_iter=2).fit(X, np.arange(60) % 2)
    assert [i for i, known in enumerate(fitted.categories_) if known is not None] == places
    assert all(fitted.categories_[i].tolist() == ["0", "1", "2"] for i in places)


def test_one_category_however_it_is_written():
    X = pd.DataFrame({"a": pd.Categorical([1, 0, 1, 0] * 10), "b": [True, "no", True, "no"] * 10})
    fitted = MLPRegressor((5,), random_state=0, max_iter=2).fit(X, [1.0, 2.0, 1.0, 2.0] * 10)
    assert [known.tolist() for known in fitted.categories_] == [["0", "1"], ["1", "no"]]
    other = pd.DataFrame({"a": ["1", "0", 1.0, False], "b": ["true", "no", "1", "no"]})
    assert_array_equal(fitted.predict(X[:4]), fitted.predict(other))


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_of_other_libraries(library):
    pytest.importorskip(library)
    X, y = people()
    X["town"], X["size"] = X["town"].fillna("Ulm"), X["size"].astype(str)
    expected = model(max_iter=3).fit(X, y)
    if library == "polars":
        import polars

        other = polars.DataFrame({name: X[name].tolist() for name in X})
        other = other.with_columns(polars.col("age").fill_nan(None), polars.col("size").cast(polars.Categorical))
    else:
        import pyarrow

        other = pyarrow.Table.from_pandas(X).append_column("more", pyarrow.array(X["size"]).dictionary_encode())
        other = other.drop_columns(["more"])
    fitted = model(max_iter=3).fit(other, y)
    assert_allclose(fitted.predict_proba(other), expected.predict_proba(X), rtol=1e-12)


def test_it_lives_where_estimators_live(tmp_path):
    X, y = people()
    fitted = model(max_iter=5).fit(X, y)
    expected = fitted.predict_proba(X)
    for twin in (pickle.loads(pickle.dumps(fitted)), copy.copy(fitted), copy.deepcopy(fitted)):
        assert_array_equal(twin.predict_proba(X), expected)
    assert_array_equal(fitted.predict_proba(X.iloc[7:8]), expected[7:8])  # whatever its neighbours
    assert cross_val_score(model(), X, y, cv=3).min() > 0.85
    search = GridSearchCV(model(max_iter=3), {"n_bins": [2, 8], "numeric_encoder": ["piecewise_linear"]}, cv=2)
    assert search.fit(X, y).predict(X).shape == y.shape
    parts = model().partial_fit(X[:120], y[:120], classes=[0, 1]).partial_fit(X[120:], y[120:])
    assert_array_equal(parts.bin_edges_[0], model(max_iter=1).fit(X[:120], y[:120]).bin_edges_[0])
    held_out = model(early_stopping=True, max_iter=10).fit(X, y, X_val=X[::3], y_val=y[::3])
    assert len(held_out.validation_loss_curve_) == held_out.n_iter_
    saved = tmp_path / "state"
    once = model(max_iter=4).fit(X, y, checkpoint=saved)
    assert_array_equal(model(max_iter=4).fit(X, y, checkpoint=saved).predict_proba(X), once.predict_proba(X))
    warm = model(max_iter=3, warm_start=True).fit(X, y)
    assert_array_equal(warm.fit(X[:50], y[:50]).bin_edges_[0], fitted.bin_edges_[0])
    importances = feature_importances(fitted)
    assert importances.shape == (5,)
    assert_allclose(importances.sum(), 1.0)
    assert layer_outputs(fitted, X, 1).shape == (240, 20)
    assert_allclose(layer_outputs(fitted, X, 0), by_hand(fitted, X), atol=1e-6)
    assert check_gradients(model(n_members=2, input_scale=True), X[:60], y[:60]) < 1e-6


def test_no_scaler_is_needed():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3)) * [1e-3, 1.0, 1e6] + [0.0, 0.0, 1e8]
    y = np.sin(X[:, 0] * 2e3) + X[:, 1]
    ours = model(MLPRegressor).fit(X, y)
    scaled = make_pipeline(StandardScaler(), model(MLPRegressor)).fit(X, y)
    assert_allclose(ours.predict(X), scaled.predict(X), rtol=1e-5, atol=1e-5)
    assert ours.score(X, y) > 0.9


def frame(**columns):
    return people()[0].assign(**columns)


BAD = [
    ({"numeric_encoder": "identity"}, frame(), r"columns \['age', 'income'\] have missing numbers"),
    ({"categorical_features": ["nothing"]}, frame(), r"\['nothing'\], but the columns of X"),
    ({"categorical_features": ["age"]}, np.ones((240, 2)), "X is an array. Use numbers"),
    ({"categorical_features": [5]}, frame(), r"\[5\], but X has 5 columns"),
    ({"categorical_features": [True]}, frame(), "mask of 1 columns, but X has 5"),
    ({"categorical_features": [0.5]}, frame(), "must be 'from_dtype', None"),
    ({}, frame(day=pd.Timestamp("2026-01-01")), "'day' holds dates"),
    ({}, frame(lists=[[1]] * 240), "'lists' holds values that are neither"),
    ({}, frame(age=np.inf), "'age' holds infinity"),
    ({}, frame(age=1j), "'age' holds complex"),
    ({"categorical_features": None}, frame(), "'town' holds 'Bonn', 'Rome', 'Ulm', but is not in categorical_features"),
    ({}, frame().iloc[:0], "0 sample|no rows"),
    ({}, frame().iloc[:9], "inconsistent numbers of samples"),
]


@pytest.mark.parametrize(("params", "X", "text"), BAD)
def test_mistakes_are_named_and_nothing_is_lost(params, X, text):
    good, y = people()
    fitted = model(max_iter=2).fit(good, y)
    expected = fitted.predict_proba(good)
    with pytest.raises(ValueError, match=text):
        fitted.set_params(**params).fit(X, y)
    assert_array_equal(fitted.predict_proba(good), expected)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")  # scikit-learn's, of the array
def test_what_cannot_be_predicted_for():
    X, y = people()
    fitted = model(max_iter=2).fit(X, y)
    for wrong, text in (
        (X[["town", "age", "size", "member", "income"]], "same order"),
        (X.drop(columns="age"), "now missing"),
        (X.assign(age="old"), "'age' held numbers in training, but now also 'old'"),
        (X.to_numpy()[:, :3], "3 features, but MLPSoftmaxClassifier is expecting 5"),
    ):
        with pytest.raises(ValueError, match=text):
            fitted.predict(wrong)
    with pytest.raises(ValueError, match=r"No MLP of scikit-learn .*encodes the columns of a table itself"):
        fitted.to_sklearn()


def test_rows_that_nobody_can_encode():
    import scipy.sparse as sp

    with pytest.raises(ValueError, match="X is a sparse matrix, whose columns cannot be encoded"):
        model().fit(sp.eye(8).tocsr(), np.arange(8) % 2)
    assert model().__sklearn_tags__().input_tags.allow_nan
    assert not model().__sklearn_tags__().input_tags.sparse
    assert MLPRegressor().__sklearn_tags__().input_tags.sparse


def test_a_damaged_state_is_refused():
    X, y = people()
    state = model(max_iter=2).fit(X, y).__getstate__()
    for wrong in (
        {"means": [1.0]},
        {"encoder": "none"},
        {"is_category": np.zeros(9, dtype=bool)},
        {"scales": [None] * 3},
        {"n_others": [0]},
        {"n_others": [0, 3]},
    ):
        with pytest.raises(ValueError, match="is damaged"):
            MLPSoftmaxClassifier().__setstate__(state | {"_inputs": state["_inputs"] | wrong})


def test_an_encoding_without_columns_of_a_kind():
    known = [np.array(["a"], dtype=object)]
    table_of_none = InputEncoding("identity", np.array([True]), categories=known, n_others=[0])
    assert table_of_none.n_inputs == 1
    assert table_of_none.open.owners.tolist() == [0, 0, 0]


# ------------------------------------------------------------------------------ in company ----


@pytest.mark.parametrize("scoring", ["accuracy", lambda fitted, X, y: fitted.score(X, y)])
def test_scorers_see_the_rows_held_out(scoring):
    X, y = people()
    for held_out in ({}, {"X_val": X[:60], "y_val": y[:60]}):
        fitted = model(early_stopping=True, scoring=scoring, max_iter=5).fit(X, y, **held_out)
        assert max(fitted.validation_scores_) > 0.6
    again = model(scoring=scoring).partial_fit(X, y, classes=[0, 1], X_val=X, y_val=y)
    assert_allclose(again.validation_scores_, [again.score(X, y)])


def test_a_fit_does_not_depend_on_the_one_before():
    X, y = people()
    A, rows = np.random.default_rng(0).standard_normal((240, 2)), np.arange(240) % 2
    fitted = model(max_iter=2, numeric_encoder="identity").fit(X[["town"]], y)
    fitted.fit(A, rows, X_val=A, y_val=rows)
    assert_array_equal(fitted.coefs_[0], model(max_iter=2, numeric_encoder="identity").fit(A, rows).coefs_[0])
    fitted.fit(X[["town"]], y)
    large = Shards(np.vstack([A] * 90), np.tile(rows, 90), memory=100_000)
    assert fitted.fit(large).coefs_[0].shape == (2, 20)
    assert not hasattr(fitted, "categories_")


def test_texts_that_are_numbers_are_numbers():
    x = np.random.default_rng(0).standard_normal(300).round(2)
    for values in (x.astype(str), x.astype(str).astype(object), x.astype(object), pd.array(x.astype(str), "string")):
        fitted = MLPRegressor((20,), random_state=0).fit(pd.DataFrame({"x": values}), x)
        assert fitted.coefs_[0].shape == (1, 20)
        assert not hasattr(fitted, "categories_")
    texts = pd.DataFrame({"x": x.astype(str), "town": ["Ulm", "Bonn"] * 150})
    assert MLPRegressor((20,), random_state=0).fit(texts, x).coefs_[0].shape == (1 + 2, 20)


@pytest.mark.filterwarnings("ignore:Column .* looks like identifiers")
def test_what_only_held_out_rows_have_says_nothing():
    X = pd.DataFrame({"t": [f"c{i:03d}" for i in range(200)]})
    fitted = MLPSoftmaxClassifier((10,), early_stopping=True, validation_fraction=0.2, random_state=0, max_iter=3)
    norms = np.linalg.norm(fitted.fit(X, np.arange(200) % 2).coefs_[0], axis=1)
    assert (norms == 0.0).sum() == 40


def test_gaps_of_rows_of_weight_zero_are_absent():
    X, weights = pd.DataFrame({"a": np.random.default_rng(0).standard_normal(300)}), np.ones(300)
    y = (X["a"] > 0).to_numpy().astype(int)
    X.iloc[:5, 0], weights[:5] = np.nan, 0.0
    assert model(max_iter=2).fit(X, y, weights).coefs_[0].shape == model(max_iter=2).fit(X[5:], y[5:]).coefs_[0].shape


@pytest.mark.filterwarnings("ignore:Column .* looks like identifiers")
def test_texts_of_any_length_and_number():
    texts = ["x" * 100_000, "a", "a\0"] + [f"k{i}" for i in range(997)]
    X, y = pd.DataFrame({"t": texts}), np.arange(1000.0)
    tracemalloc.start()
    fitted = MLPRegressor((2,), max_iter=1, random_state=0).fit(X, y)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert len(fitted.categories_[0]) == 1000
    assert len(pickle.dumps(fitted)) < 1e6


def test_categories_of_numbers_have_the_text_of_their_type():
    X = pd.DataFrame({"a": np.array([0.1, 0.2] * 50, dtype=np.float32)})
    fitted = MLPRegressor((20,), categorical_features=["a"], random_state=0).fit(X, [0.0, 1.0] * 50)
    assert fitted.categories_[0].tolist() == ["0.1", "0.2"]
    assert_allclose(fitted.predict(pd.DataFrame({"a": [0.1, 0.2]})), [0.0, 1.0], atol=0.05)


def in_libraries(values):
    """The same column of numbers as pandas, Arrow and, if there is one that fits, polars hold it."""
    pa = pytest.importorskip("pyarrow")
    arrow = pa.table({"a": values})
    found = {"pandas of arrow": arrow.to_pandas(types_mapper=pd.ArrowDtype), "arrow": arrow}
    if tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 9):  # older ones cannot take that of polars
        found["polars"] = pytest.importorskip("polars").from_arrow(arrow)
    return found


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_a_float_is_the_same_category_in_every_library(kind):
    values = np.resize([0.1, 0.2, 0.3], 60).astype(kind)
    tables = in_libraries(values) if kind != "float16" else {}
    tables |= {"pandas": pd.DataFrame({"a": values}), "nullable": pd.DataFrame({"a": pd.array(values)})}
    tables |= {"objects": pd.DataFrame({"a": values.astype(object)})} if kind == "float64" else {}
    for name, X in tables.items():
        fitted = MLPRegressor((5,), max_iter=1, categorical_features=["a"], random_state=0).fit(X, np.arange(60.0))
        assert fitted.categories_[0].tolist() == ["0.1", "0.2", "0.3"], name


def test_large_whole_numbers_beside_gaps_are_the_same_categories_in_every_library():
    pa = pytest.importorskip("pyarrow")
    values = [2**53, 2**53 + 1, None] * 20
    tables = in_libraries(pa.array(values)) | {"pandas": pd.DataFrame({"a": pd.array(values, dtype="Int64")})}
    for name, X in tables.items():
        fitted = MLPRegressor((5,), max_iter=1, categorical_features=["a"], random_state=0).fit(X, np.arange(60.0))
        assert fitted.categories_[0].tolist() == [str(2**53), str(2**53 + 1)], name


def test_attributes_are_copies():
    X, y = people()
    fitted = model(max_iter=2).fit(X, y)
    expected = fitted.predict_proba(X)
    fitted.bin_edges_[0][:] = 0.0
    fitted.categories_[1][:] = "x"
    assert_array_equal(fitted.predict_proba(X), expected)
    assert MLPRegressor((5,), max_iter=1).fit(X[["town", "member"]], y).bin_edges_ == [None, None]


@pytest.mark.parametrize("asked", [[], [False, False]])
def test_no_column_of_categories_means_none(asked):
    import scipy.sparse as sp

    fitted = MLPRegressor((5,), max_iter=1, categorical_features=asked).fit(sp.random(50, 2, 0.5).tocsr(), np.ones(50))
    assert not hasattr(fitted, "categories_")


# ------------------------------------------------------------------------------- streams ----


def stream(**params):
    return MLPRegressor((20,), random_state=0, learning_rate_init=0.01, **params)


TOWNS = {"Bonn": 0.0, "Oslo": 3.0, "Rome": -1.0, "Ulm": 1.0}


def arrivals(towns, seed, n=64):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"town": rng.choice(towns, n), "x": rng.standard_normal(n)})
    return X, X["x"] + X["town"].map(TOWNS)


NAMED = [[["Ulm", "Rome", "Oslo", "Bonn"], None], {"town": np.array(["Ulm", "Rome", "Oslo", "Bonn"])}]


@pytest.mark.parametrize("categories", [NAMED[0], pytest.param(NAMED[1], marks=pytest.mark.slow)], ids=["list", "dict"])
def test_a_category_that_comes_later_is_learned(categories):
    fitted = stream().partial_fit(*arrivals(["Bonn", "Ulm"], 0), categories=categories)
    assert [None if known is None else known.tolist() for known in fitted.categories_] == [sorted(TOWNS), None]
    assert_array_equal(np.abs(fitted.coefs_[0][1:]).sum(axis=1) > 0, [True, False, False, True, False, False])
    other = pd.DataFrame({"town": ["Oslo", "Rome", "Lima", None], "x": 0.0})
    assert len(set(fitted.predict(other).tolist())) == 1  # nothing is known of these yet
    for seed in range(1, 60):
        fitted.partial_fit(*arrivals(["Bonn", "Ulm"], seed), categories=categories)
    for seed in range(60, 180):
        fitted.partial_fit(*arrivals(list(TOWNS), seed))
    X, y = arrivals(["Oslo", "Rome"], 400)
    assert np.sqrt(np.mean((fitted.predict(X) - y) ** 2)) < 0.3


def test_categories_that_were_not_named_are_unknown():
    X, y = arrivals(list(TOWNS), 0)
    first = stream().partial_fit(X, y, categories={"town": ["Bonn", "Ulm"]})
    by_hand = X.assign(town=X["town"].where(X["town"].isin(["Bonn", "Ulm"]), "other"))
    assert_array_equal(first.predict(X), first.predict(by_hand))
    assert np.abs(first.coefs_[0][-1]).sum() > 0  # of unknown ones, that it met
    later = stream().partial_fit(*arrivals(["Bonn", "Ulm"], 0))
    assert later.partial_fit(X, y).categories_[0].tolist() == ["Bonn", "Ulm"]
    begun_by_fit = stream(max_iter=2).fit(*arrivals(["Bonn", "Ulm"], 0))
    with pytest.warns(UserWarning, match=r"The columns \['town'\] hold categories, or missing values.*Fit anew"):
        assert begun_by_fit.partial_fit(X, y).coefs_[0].shape == (1 + 2, 20)
    odd = X.assign(town=X["town"].where(X.index % 2 > 0))
    assert_array_equal(begun_by_fit.predict(odd.assign(town="Lima")), begun_by_fit.predict(odd.assign(town=None)))


def test_categories_are_compared_as_texts():
    X, y = pd.DataFrame({"a": [1, 0] * 20, "b": pd.Categorical(["u", "v"] * 20)}), np.arange(40.0)
    fitted = stream(categorical_features=["a", "b"]).partial_fit(X, y, categories=[[True, 0.0, "2", None], None])
    assert [known.tolist() for known in fitted.categories_] == [["0", "1", "2"], ["u", "v"]]
    fitted.partial_fit(X, y, categories=fitted.categories_)
    array = stream(categorical_features=[1]).partial_fit(X[["a", "a"]].to_numpy(), y, categories={1: [0, 1, 2]})
    assert array.categories_[1].tolist() == ["0", "1", "2"]
    assert stream().partial_fit(np.eye(4), np.arange(4.0), categories=[None] * 4).n_features_in_ == 4


WRONG_CATEGORIES = [
    ([None], "one entry for each of the 2 columns of X"),
    ("Bonn", "must be a list with one entry for each column"),
    ({"city": ["Ulm"]}, r"\['city'\], but the columns of X are \['town', 'x'\]"),
    ([["Ulm"], ["1"]], "given for column 'x', which is numeric"),
    ([["1", "Ulm", 1.0, True], None], "column 'town' hold '1' more than once"),
    (["Ulm", None], "column 'town' must be a list of its values, got 'Ulm'"),
    ({"town": ["Ulm", "Bonn"]}, "column 'town' differ from those of the first call: now 'Bonn', 'Ulm'"),
]


@pytest.mark.parametrize(("categories", "text"), WRONG_CATEGORIES)
def test_categories_that_cannot_be(categories, text):
    X, y = arrivals(list(TOWNS), 0)
    fitted = stream().partial_fit(X, y)
    before = fitted.predict(X)
    if "first call" not in text:
        with pytest.raises(ValueError, match=text):
            stream().partial_fit(X, y, categories=categories)
    with pytest.raises(ValueError, match=text):
        fitted.partial_fit(X, y, categories=categories)
    assert_array_equal(fitted.predict(X), before)
    with pytest.raises(ValueError, match="given for column 0, which is numeric"):
        stream().partial_fit(np.eye(2), [1.0, 2.0], categories=[["a"], None])


@pytest.mark.parametrize("asked", [[("b", 1), ("b", 2)], [1, 2], [False, True, True]])
def test_names_of_any_type_may_be_categorical_features(asked):
    X = pd.DataFrame({("a", 1): np.arange(40.0), ("b", 1): np.arange(40) % 3, ("b", 2): ["u", "v"] * 20})
    model = MLPRegressor(max_iter=1, random_state=0, categorical_features=asked).fit(X, X["a", 1])
    assert [None if known is None else known.tolist() for known in model.categories_] == [
        None, ["0", "1", "2"], ["u", "v"],
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"holds \[\('c', 1\)\], but the columns of X are \[\('a', 1\), "):
        model.set_params(categorical_features=[("c", 1)]).fit(X, X["a", 1])


@pytest.mark.filterwarnings("ignore:Column . has a large scale")
def test_numbers_that_only_float64_holds():
    X = pd.DataFrame({"a": [1e300, 1.0] * 20, "s": ["u", "v"] * 20})
    y = np.arange(40.0)
    model = MLPRegressor((4,), max_iter=1, random_state=0)
    for dtype in ("auto", "float64"):
        assert np.isfinite(model.set_params(dtype=dtype).fit(X, y).predict(X)).all()
    model.set_params(dtype="float32")
    with pytest.raises(ValueError, match=r"too large for float32.*dtype='float64'"):
        model.fit(X, y)
    with pytest.raises(ValueError, match=r"Column 'a' holds 1e\+300, which is too large for float32"):
        model.set_params(numeric_encoder="piecewise_linear", dtype="auto").fit(X, y)
    with pytest.raises(ValueError, match="Column 'a' holds infinity"):
        model.fit(X.assign(a=np.inf), y)


@pytest.mark.parametrize("first", [["1", "2"], [None, None], [1, 2]])
@pytest.mark.parametrize("given", [{"t": ["1", "2", "Ulm"]}, [["1", "2", "Ulm"], None]])
def test_a_column_whose_categories_are_given_holds_such(first, given):
    X, y = pd.DataFrame({"t": pd.Series(first * 10, dtype=object), "a": np.arange(20.0)}), np.arange(20.0)
    fitted = MLPRegressor((5,), random_state=0).partial_fit(X, y, categories=given)
    assert fitted.categories_[0].tolist() == ["1", "2", "Ulm"]
    assert fitted.categories_[1] is None
    if None not in first:
        with pytest.raises(ValueError, match="column 't', which is numeric"):
            MLPRegressor((5,), categorical_features=["a"]).partial_fit(X, y, categories=given)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("encoder", ["identity", "piecewise_linear"])
@pytest.mark.parametrize("named", [False, True])
def test_lazy_tables_of_polars_are_refused_by_all(encoder, named):
    pl = pytest.importorskip("polars")
    if named and tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9):
        pytest.skip("needs scikit-learn 1.9 for polars")
    X = pl.DataFrame({"a": np.linspace(0.0, 1.0, 20), "b": np.arange(20) % 3 / 3.0})
    first, y = X if named else X.to_numpy(), X["a"].to_numpy()
    new = MLPRegressor(max_iter=1, numeric_encoder=encoder, random_state=0)
    model = clone(new).fit(first, y)
    calls = [
        lambda lazy: clone(new).fit(lazy, y),
        lambda lazy: clone(new).partial_fit(lazy, y),
        lambda lazy: clone(new).set_params(categorical_features=["b"]).fit(lazy, y),
        lambda lazy: clone(new).fit(first, y, X_val=lazy, y_val=y),
        lambda lazy: model.predict(lazy),
        lambda lazy: model.score(lazy, y),
        lambda lazy: MLPEnsembleRegressor(new).fit(lazy, y),
        lambda lazy: tabular_pipeline("regressor").fit(lazy, y),
        lambda lazy: PiecewiseLinearEncoder().fit(lazy),
        lambda lazy: PiecewiseLinearEncoder().fit(first).transform(lazy),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"X is a lazy LazyFrame\. Pass X\.collect\(\)\."):
            call(X.lazy())


@pytest.mark.parametrize("kind", ["Int128", "UInt128"])
@pytest.mark.parametrize(
    "model",
    [
        MLPRegressor(max_iter=2, random_state=0, numeric_encoder="piecewise_linear"),
        tabular_pipeline("regressor", max_iter=2, random_state=0),
        tabular_pipeline("regressor", max_iter=2, random_state=0, categorical_features=["a"]),
    ],
)
def test_integers_of_polars_with_128_bits(kind, model):
    pl = pytest.importorskip("polars")
    if not hasattr(pl, kind):
        pytest.skip("older polars")
    X, y = pd.DataFrame({"a": np.arange(20), "b": np.arange(20) % 3}), np.arange(20.0)
    wide = pl.DataFrame({"a": pl.Series(X["a"].to_numpy()).cast(getattr(pl, kind)), "b": X["b"].to_numpy()})
    ours, theirs = clone(model).fit(wide, y), clone(model).fit(X, y)
    assert_array_equal(ours.predict(wide), theirs.predict(X))
    gaps = wide.with_columns(a=pl.lit(None, getattr(pl, kind)))
    assert_array_equal(ours.predict(gaps), theirs.predict(X.assign(a=np.nan)))
