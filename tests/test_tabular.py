"""tabular_pipeline: a table in, predictions out."""

import datetime
import pickle
import random
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, cross_val_score

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop.data import Shards
from skbackprop.persistence import TRUSTED_TYPES

OLD = tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9)
QUICK = {"random_state": 0, "max_iter": 4, "weight_decay": 0.5, "dropout": 0.1}


def people(n=120):
    """Make a table of all kinds of columns, and what its rows are to be told apart by."""
    rng = np.random.default_rng(0)
    age = rng.uniform(18, 90, n)
    town = rng.choice(["Ulm", "Bonn", "Kiel"], n).astype(object)
    table = pd.DataFrame(
        {
            "age": np.where(rng.random(n) < 0.1, np.nan, age),
            "children": pd.array(np.where(np.arange(n) % 7 == 0, None, np.arange(n) % 4), dtype="Int64"),
            "town": np.where(rng.random(n) < 0.1, None, town),
            "size": pd.Categorical(rng.choice(["S", "M", "L"], n)),
            "member": np.arange(n) % 2 == 0,
            "street": [f"street {i % 40}" for i in range(n)],
            "nothing": np.full(n, np.nan),
            "always": np.ones(n),
            "planet": ["Earth"] * n,
        }
    )
    return table, np.where((age > 50) ^ (town == "Ulm"), "yes", "no")


def columns_of(pipeline):
    return pipeline["table"].columns_


def assert_same_table(ours, theirs):
    """Numbers are equal, and categories have the same texts."""
    assert_array_equal(ours.is_category, theirs.is_category)
    assert_array_equal(ours.numbers, theirs.numbers)
    for factor, other in zip(ours.factors, theirs.factors, strict=True):
        assert_array_equal(factor.values, other.values)


def test_each_column_goes_where_its_kind_belongs():
    X, y = people()
    with pytest.warns(UserWarning, match=r"left out: \['nothing', 'always', 'planet'\]"):
        model = tabular_pipeline("classifier", **QUICK).fit(X, y)
    assert columns_of(model) == {
        "numbers": ["age", "children"],
        "categories": ["town", "size", "member"],
        "means": ["street"],
        "both": [],
        "left out": ["nothing", "always", "planet"],
    }
    table = model["table"].transform(X)
    assert table.shape == (120, 6)
    assert table.is_category.tolist() == [False, False, True, True, True, False]
    assert_array_equal(table.numbers[:, 0], X["age"])
    assert np.asarray(table)[:4, 2].tolist() == [None if pd.isna(town) else town for town in X["town"][:4]]
    assert set(model.predict(X)) == {"yes", "no"}
    assert model["mlp"].feature_names_in_.tolist() == ["age", "children", "town", "size", "member", "street_mean"]


def test_max_categories():
    X, y = people()
    model = tabular_pipeline("classifier", max_categories=2, **QUICK)
    with pytest.warns(UserWarning, match="left out"):
        assert columns_of(model.fit(X, y))["both"] == ["town", "size"]


def test_missing_and_unseen_values():
    X, y = people()
    X = X.drop(columns=["nothing", "always", "planet"])
    model = tabular_pipeline("classifier", **QUICK).fit(X, y)
    odd = X.iloc[:3].copy()
    odd["town"], odd["street"] = ["Rome", None, "Bonn"], ["unseen", None, "street 1"]
    odd["size"] = pd.Categorical([None, "XL", "S"])
    odd["age"], odd["children"] = [np.nan, 1e6, -1e6], pd.array([None, 50, 0], dtype="Int64")
    assert np.isfinite(model.predict_proba(odd)).all()
    assert model["mlp"].categories_[2].tolist() == ["Bonn", "Kiel", "Ulm"]


@pytest.mark.skipif(OLD, reason="scikit-learn < 1.9 asks polars' frames for a protocol that polars 2 has dropped")
def test_polars_gives_what_pandas_gives():
    pl = pytest.importorskip("polars")
    X, y = people()
    X = X.drop(columns=["nothing", "always", "planet"])
    theirs = pl.DataFrame({name: [None if pd.isna(value) else value for value in X[name]] for name in X.columns})
    expected = tabular_pipeline("classifier", **QUICK).fit(X, y)
    model = tabular_pipeline("classifier", **QUICK).fit(theirs, y)
    assert columns_of(model)["numbers"] == ["age", "children"]
    assert_allclose(model.predict_proba(theirs), expected.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("max_categories", [1, 30])
@pytest.mark.parametrize("dtype", ["string", "category", object, "boolean", "Int64"])
def test_kinds_of_categories_with_missing_values(dtype, max_categories):
    values = {"boolean": [True, False], "Int64": ["1", "2"]}.get(dtype, ["Ulm", "Bonn"])
    town = pd.Series([values[0], values[1], None, values[1]] * 10, dtype=dtype)
    X = pd.DataFrame({"town": town.astype("category") if dtype == "Int64" else town})
    y = [0, 1, 0, 1] * 10
    model = tabular_pipeline(
        "classifier", learning_rate_init=0.05, max_categories=max_categories, random_state=0, max_iter=50
    )
    assert_array_equal(model.fit(X, y).predict(X), y)


def test_categories_of_several_types():
    X = np.array([["one", 1], [1, 0], [None, 1], [2.5, 0]] * 10, dtype=object)
    model = tabular_pipeline("classifier", **QUICK).fit(X, [0, 1, 0, 1] * 10)
    assert model["mlp"].categories_[0].tolist() == ["1", "2.5", "one"]
    assert model.predict_proba([[1, 1], ["unseen", 0]]).shape == (2, 2)


@pytest.mark.parametrize("max_categories", [2, 30])
def test_a_row_alone_is_predicted_as_among_others(max_categories):
    X = pd.DataFrame({"zip": pd.Series([10115, "W1A", 20095.0, "EC1", True, None] * 20, dtype=object)})
    y = [0, 1, 0, 1, 0, 1] * 20
    model = tabular_pipeline("classifier", max_categories=max_categories, **QUICK).fit(X, y)
    together = model.predict_proba(X.iloc[:6])
    for i in range(6):
        assert_allclose(model.predict_proba(X.iloc[[i]])[0], together[i], rtol=1e-5)  # float32
    same = X.iloc[:3].astype(str).replace("20095.0", "20095")
    assert_allclose(model.predict_proba(same), together[:3], rtol=1e-5)


@pytest.mark.parametrize(
    "numbers",
    [
        pd.Series([1, pd.NA, 2.5] * 20, dtype=object),
        pd.Series([Decimal("1"), None, Decimal("2.5")] * 20, dtype=object),
        pd.arrays.SparseArray([1.0, np.nan, 2.5] * 20),
        pd.Series([1.0, None, 2.5] * 20, dtype="Float64"),
    ],
    ids=["object with NA", "Decimal", "Sparse", "Float64"],
)
def test_kinds_of_numbers_with_missing_values(numbers):
    X = pd.DataFrame({"a": numbers, "b": ["x", "y"] * 30})
    plain = pd.DataFrame({"a": [1.0, np.nan, 2.5] * 20, "b": ["x", "y"] * 30})
    y = [0, 1, 1] * 20
    model = tabular_pipeline("classifier", **QUICK).fit(X, y)
    expected = tabular_pipeline("classifier", **QUICK).fit(plain, y)
    assert columns_of(model)["numbers"] == ["a"]
    assert_allclose(model.predict_proba(X), expected.predict_proba(plain), rtol=1e-5)
    missing = pd.DataFrame({"a": pd.Series([pd.NA], dtype=object), "b": ["x"]})
    assert_allclose(expected.predict_proba(missing), expected.predict_proba(plain.iloc[[4]]), rtol=1e-5)


@pytest.mark.skipif(OLD, reason="scikit-learn < 1.9 has no TargetEncoder whose folds are not stratified")
def test_rare_classes_beside_many_categories():
    X = pd.DataFrame({"street": [f"street {i}" for i in range(60)], "a": np.arange(60.0)})
    y = np.repeat(np.arange(20), 3)
    model = tabular_pipeline("classifier", **QUICK).fit(X, y)
    assert model.predict_proba(X).shape == (60, 20)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["sgd", "lbfgs", "rmsprop", "lion"])
def test_the_settings_bring_no_warning_about_themselves(solver):
    X, y = people()
    X = X.drop(columns=["nothing", "always", "planet"])
    tabular_pipeline("classifier", solver=solver, max_iter=5, random_state=0).fit(X, y)  # warnings are errors


def test_arrays():
    X, y = load_diabetes(return_X_y=True)
    model = tabular_pipeline("regressor", random_state=0).fit(X, y)
    assert columns_of(model)["numbers"] == list(range(10))
    assert columns_of(model).get("categories", []) == []
    assert model.score(X, y) > 0.5
    mixed = np.empty((len(X), 2), dtype=object)
    mixed[:, 0], mixed[:, 1] = X[:, 2], np.where(X[:, 3] > 0, "high", "low")
    assert columns_of(tabular_pipeline("regressor", **QUICK).fit(mixed, y))["categories"] == [1]
    assert columns_of(tabular_pipeline("regressor", **QUICK).fit(mixed.tolist(), y))["numbers"] == [0]


@pytest.mark.slow
def test_many_categories_are_encoded_by_their_mean_target_also_if_that_is_whole(recwarn):
    rng = np.random.default_rng(0)
    street = rng.integers(0, 50, 2000)
    y = np.round(street + rng.normal(0, 5, 2000)).astype(int)
    X = pd.DataFrame({"street": [f"street {i}" for i in street]})
    model = tabular_pipeline("regressor", random_state=0).fit(X[:1500], y[:1500])
    assert model["table"].columns_["both"] == ["street"]  # 30 rows of each
    assert model["table"].transform(X).names.tolist() == ["street", "street_mean"]
    assert model.score(X[1500:], y[1500:]) > 0.85
    again = tabular_pipeline("regressor", random_state=0).fit(X[:1500], y[:1500])
    assert_array_equal(model.predict(X), again.predict(X))  # the folds are seeded too
    assert not recwarn.list


@pytest.mark.slow
def test_it_predicts_better_than_a_linear_model():
    X, y = people(1200)
    X = X.drop(columns=["nothing", "always", "planet"])
    score = cross_val_score(tabular_pipeline("classifier", random_state=0), X, y, cv=3).mean()
    linear = cross_val_score(tabular_pipeline(LogisticRegression(max_iter=1000)), X, y, cv=3).mean()
    assert linear < 0.75
    assert score > 0.85  # a tenth of the ages and towns is missing, so 1.0 cannot be had


def test_weights_reach_the_network():
    X, y = people()
    X = X.drop(columns=["nothing", "always", "planet"])
    weights = np.where(y == "yes", 1.0, 1e-6)
    model = tabular_pipeline("classifier", **QUICK).fit(X, y, mlp__sample_weight=weights)
    assert (model.predict(X) == "yes").all()


def test_every_parameter_can_be_searched():
    X, y = people()
    X = X.drop(columns=["nothing", "always", "planet"])
    grid = {"table__max_categories": [1, 30], "mlp__n_bins": [4, 8]}
    search = GridSearchCV(tabular_pipeline("classifier", **QUICK), grid, cv=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert len(search.best_estimator_["mlp"].bin_edges_[0]) - 1 == search.best_params_["mlp__n_bins"]
    assert clone(search.best_estimator_).get_params()["mlp__n_members"] == 4


def test_parameters_reach_the_estimator():
    model = tabular_pipeline("regressor", hidden_layer_sizes=(16,), random_state=3)
    assert isinstance(model["mlp"], MLPRegressor)
    assert model["mlp"].hidden_layer_sizes == (16,)
    assert model["table"].random_state == 3
    assert isinstance(tabular_pipeline("classifier")["mlp"], MLPSoftmaxClassifier)
    own = LogisticRegression()
    assert tabular_pipeline(own)["mlp"] is own


@pytest.mark.parametrize(
    ("when", "step", "name"),
    [
        (pd.Timestamp("2026-01-01"), pd.Timedelta("1 day"), "datetime64"),
        (pd.Timedelta("1 day"), pd.Timedelta("1 day"), "timedelta64"),
        (pd.Period("2026-01"), 1, "period"),
        (datetime.date(2026, 1, 1), datetime.timedelta(days=1), "object"),
    ],
)
def test_dates_are_refused_with_a_hint(when, step, name):
    X = pd.DataFrame({"size": [1.0, 2.0], "day": [when, when + step]})
    for model in (tabular_pipeline("classifier"), MLPSoftmaxClassifier()):
        with pytest.raises(ValueError, match=rf"'day' holds dates or times \({name}.*\n    make_pipeline\(skrub"):
            model.fit(X, [0, 1])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (sp.eye_array(4).tocsr(), "takes DataFrames and dense arrays"),
        (np.eye(4) + 1j, "complex numbers"),
        (np.arange(4.0), r"its shape is \(4,\)"),
        (pd.Series([1.0, 2.0, 3.0, 4.0]), r"its shape is \(4,\)"),
        (np.ones((4, 2)), "Every column of X is empty or constant"),
        (Shards(np.eye(4), np.arange(4)), "Pass Shards to MLPSoftmaxClassifier or MLPRegressor"),
        (pd.DataFrame({"a": [[1], [2], [3], [4]]}), "neither numbers nor categories"),
    ],
)
def test_other_bad_tables(X, message):
    with pytest.raises(ValueError, match=message):
        tabular_pipeline("classifier").fit(X, [0, 1, 0, 1])


def test_bad_calls():
    with pytest.raises(ValueError, match="'classifier', 'regressor' or an estimator; got 'clf'"):
        tabular_pipeline("clf")
    with pytest.raises(ValueError, match="or an estimator; got <class"):
        tabular_pipeline(LogisticRegression)
    with pytest.raises(ValueError, match=r"comes with its parameters; got also \['alpha'\]"):
        tabular_pipeline(LogisticRegression(), alpha=1.0)
    with pytest.raises(TypeError, match="C"):
        tabular_pipeline("classifier", C=1.0)


# ----------------------------------------------------------------- one value in many dtypes ----


def columns_step(**params):
    """The columns' step alone, which needs no network to be fitted."""
    return tabular_pipeline("classifier", random_state=0, **params)["table"]


YES = np.arange(60) % 3 == 0
Z = np.random.default_rng(0).normal(size=60)
SAME = {
    "bool": YES,
    "int": YES.astype(int),
    "int8": YES.astype(np.int8),
    "float": YES.astype(float),
    "boolean": pd.array(YES, dtype="boolean"),
    "Int64": pd.array(YES.astype(int), dtype="Int64"),
    "Float64": pd.array(YES.astype(float), dtype="Float64"),
    "sparse": pd.arrays.SparseArray(YES),
    "category of booleans": pd.Categorical(YES),
    "category of ints": pd.Categorical(YES.astype(int)),
    "category of floats": pd.Categorical(YES.astype(float)),
    "category of texts": pd.Categorical(YES.astype(int).astype(str)),
    "booleans": YES.astype(object),
    "ints": YES.astype(int).astype(object),
    "Decimal": np.array([Decimal(int(yes)) for yes in YES], dtype=object),
    "mixed": np.array([(yes, int(yes), np.bool_(yes), float(yes))[i % 4] for i, yes in enumerate(YES)], object),
    "True": YES.astype(str),
    "true": np.where(YES, "true", "false"),
    "text": YES.astype(int).astype(str),
    "string": pd.array(YES.astype(int).astype(str), dtype="string"),
    "1.0": YES.astype(float).astype(str),
    "bytes": YES.astype(int).astype("S"),
}


def of_other_libraries():
    """The same in polars and Arrow."""
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    numbers, texts = YES.astype(int), YES.astype(int).astype(str)
    arrow = {
        "arrow bool": pa.table({"v": YES, "z": Z}),
        "arrow int": pa.table({"v": numbers, "z": Z}),
        "arrow dictionary": pa.table({"v": pa.array(texts).dictionary_encode(), "z": Z}),
        "pandas of arrow": pd.DataFrame({"v": pd.array(YES, dtype="bool[pyarrow]"), "z": Z}),
        "pandas of arrow ints": pd.DataFrame({"v": pd.array(numbers, dtype="int64[pyarrow]"), "z": Z}),
    }
    if OLD:  # which cannot take polars'
        return arrow
    series = {
        "polars Boolean": pl.Series(YES),
        "polars Int64": pl.Series(numbers),
        "polars String": pl.Series(YES).cast(pl.String),
        "polars Categorical": pl.Series(texts).cast(pl.Categorical),
        "polars Decimal": pl.Series([Decimal(int(yes)) for yes in YES]),
    }
    return arrow | {name: pl.DataFrame({"v": column, "z": Z}) for name, column in series.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SAME)
def test_a_value_is_the_same_in_every_dtype(kind):
    tables = {name: pd.DataFrame({"v": column, "z": Z}) for name, column in SAME.items()}
    step = columns_step()
    expected = step.fit_transform(tables[kind])
    for table in tables.values():
        assert_same_table(step.transform(table), expected)


@pytest.mark.parametrize("kind", ["arrow bool", "arrow int", "arrow dictionary", "polars Boolean", "polars Int64"])
def test_a_value_is_the_same_in_every_library(kind):
    tables = of_other_libraries()
    if kind not in tables:
        pytest.skip("scikit-learn < 1.9 cannot take polars 2")
    tables |= {name: pd.DataFrame({"v": SAME[name], "z": Z}) for name in ("bool", "int", "category of texts")}
    step = columns_step()
    expected = step.fit_transform(tables[kind])
    for table in tables.values():
        assert_same_table(step.transform(table), expected)


def test_predictions_are_those_of_the_dtype_in_training():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"member": rng.integers(0, 2, 300).astype(bool), "age": rng.normal(size=300)})
    y = X["member"] ^ (X["age"] > 0)
    model = tabular_pipeline(random_state=0).fit(X, y)
    assert model.score(X, y) > 0.95
    for dtype in (int, float, "Int64", "category", object, str):
        assert_array_equal(model.predict(X.astype({"member": dtype})), model.predict(X))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, 1, 0.0, "a"], "categories"),
        ([True, False, 1, 0], "numbers"),
        ([True, 1, 0, Decimal(0), None], "numbers"),
        ([True, np.bool_(False), None], "categories"),
        ([True, 2.5, 1, 0], "numbers"),
        ([False, "0", 1, "yes"], "categories"),
    ],
)
def test_the_kind_of_a_column_does_not_depend_on_the_order(values, kind):
    y = [0, 1] * (len(values) * 2)
    for seed in range(8):
        column = values * 4
        random.Random(seed).shuffle(column)
        table = pd.DataFrame({"a": pd.Series(column, dtype=object), "z": np.arange(len(column)) / 7})
        step = columns_step().fit(table, y)
        assert "a" in step.columns_[kind]
        same = [("1", True), (0, False)] if kind == "numbers" or "a" in values else []
        for one, other in same:
            pair = pd.DataFrame({"a": pd.Series([one, other], dtype=object), "z": [0.0, 0.0]})
            assert_array_equal(*np.asarray(step.transform(pair)))


# ------------------------------------------------------------------------- numbers as texts ----


def with_texts(x, texts, share=0.02):
    """Numbers as texts, some of them replaced; and the same with gaps."""
    rng = np.random.default_rng(1)
    column, gaps = x.astype(str).astype(object), x.copy()
    rows = rng.choice(len(x), max(len(texts), int(share * len(x))), replace=False)
    column[rows], gaps[rows] = np.resize(texts, len(rows)), np.nan
    return column, gaps


@pytest.mark.parametrize(
    ("texts", "share"), [(["?"], 0.02), (["-", "", "NA", "unknown"], 0.3), (["broken", "see notes"], 0.02)]
)
@pytest.mark.parametrize("dtype", [object, "string", "polars", "array"])
def test_numbers_with_a_few_texts_are_numbers(texts, share, dtype):
    rng = np.random.default_rng(0)
    column, gaps = with_texts(rng.normal(size=400).round(3), texts, share)
    z = rng.normal(size=400)
    y = z > 0
    X, plain = pd.DataFrame({"a": column, "z": z}), pd.DataFrame({"a": gaps, "z": z})
    if dtype == "polars":
        if OLD:
            pytest.skip("scikit-learn < 1.9 cannot take polars 2")
        X = pytest.importorskip("polars").DataFrame({"a": column.tolist(), "z": z})
    elif dtype == "array":
        X, plain = X.to_numpy(), plain.to_numpy()
    else:
        X["a"] = X["a"].astype(dtype)
    step, expected = columns_step(), columns_step().fit_transform(plain, y)
    name = "0" if dtype == "array" else "'a'"
    with pytest.warns(
        UserWarning, match=f"Column {name} holds numbers as text.*missing: '{sorted(texts)[0]}'"
    ) as caught:
        assert_same_table(step.fit_transform(X, y), expected)
    assert len(caught) == 1
    assert_same_table(step.transform(X), expected)  # without another
    assert_same_table(step.transform(plain), expected)


def test_numbers_that_are_all_texts_are_numbers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = X[:, 0] > X[:, 1]
    expected = tabular_pipeline(**QUICK).fit(X, y).predict_proba(X)
    texts = np.array([[repr(float(value)) for value in row] for row in X])
    for table in (texts, texts.astype(object), texts.astype("S"), texts.tolist()):
        model = tabular_pipeline(**QUICK).fit(table, y)
        assert columns_of(model)["numbers"] == [0, 1, 2]
        assert_array_equal(model.predict_proba(table), expected)
        assert_array_equal(model.predict_proba(X), expected)
    assert texts.dtype.kind == "U"  # ours to read, not to write


def test_texts_that_were_not_there_in_training():
    column, gaps = with_texts(np.arange(200.0), ["?"])
    texts = columns_step()
    with pytest.warns(UserWarning, match="numbers as text"):
        texts.fit(pd.DataFrame({"a": column}))
    asked = pd.DataFrame({"a": ["3", " 4.0 ", "?", "n/a", None]})
    with pytest.warns(UserWarning, match="Column 'a' holds strings .* were not in the training rows.*missing: 'n/a'"):
        found = texts.transform(asked)
    assert_same_table(found, texts.transform(pd.DataFrame({"a": [3, 4, np.nan, np.nan, np.nan]})))
    numbers = columns_step().fit(pd.DataFrame({"a": gaps}))
    assert_same_table(numbers.transform(asked[:2]), numbers.transform(pd.DataFrame({"a": [3, 4]})))
    with pytest.raises(ValueError, match=r"Column 'a' held numbers in training, but now also '\?', 'n/a'\."):
        numbers.transform(asked)


CODES = [f"{7 * i % 100:05}" for i in range(200)]


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["2", "3", "4", "5more"], "categories"),  # one in four is not few
        ([*map(str, range(20)), "many"], "categories"),  # few texts, but a third of the rows
        (CODES, "means"),
        ([f"{i % 12:02}" for i in range(36)], "categories"),  # months
        ([str(10**16 + i % 50) for i in range(100)], "means"),  # float64 cannot tell them apart
        (["1", "?"], "categories"),
        (["True", "False", "?"], "categories"),
        ([f"Town {i % 300}" for i in range(500)], "means"),
        ([f"{i % 40} {'nsew'[i % 4]}" for i in range(200)], "means"),
        ([f"a choice of many words in a row, number {i % 20}" for i in range(300)], "categories"),
    ],
)
def test_texts_that_are_categories(texts, kind):
    if "many" in texts:
        texts = texts + ["many"] * 10
    n = -(-40 // len(texts)) * len(texts)
    X = pd.DataFrame({"a": np.resize(np.array(texts, dtype=object), n), "z": np.arange(n) / 7})
    step = columns_step().fit(X, np.arange(n) % 2)  # warnings are errors
    assert "a" in step.columns_[kind]


def test_a_column_that_its_user_made_a_category_stays_one():
    X = pd.DataFrame({"a": pd.Categorical([f"2024-01-{i % 28 + 1:02}" for i in range(200)])})
    X["b"] = pd.Categorical([str(i % 20) for i in range(200)])
    X["c"] = pd.Categorical([f"ID {i}" for i in range(200)])
    step = columns_step().fit(X, np.arange(200) % 2)
    assert step.columns_["categories"] == ["a", "b"]
    assert step.columns_["means"] == ["c"]


DAYS = [datetime.datetime(2020, 1, 1, 5, 7) + datetime.timedelta(days=11 * i, minutes=i) for i in range(150)]
RNG = np.random.default_rng(0)
PROSE = ["the was", "not very", "good", "bad and", "soon broke", "after a week", "but", "they sent", "me a new one"]


@pytest.mark.parametrize(
    ("texts", "looks"),
    [
        *(
            ([day.strftime(form) for day in DAYS], "dates or times")
            for form in (
                "%Y-%m-%d",
                "%d.%m.%Y",
                "%m/%d/%y",
                "%Y-%m-%dT%H:%M:%S",
                "%Y-%m-%d %H:%M:%S.%f+00:00",
                "%d %b %Y",
                "%B %d, %Y",
                "%a, %d %b %Y %H:%M:%S GMT",
                "%d-%b-%y",
            )
        ),
        ([day.strftime("%H:%M") for day in DAYS], "times or durations"),
        ([day.strftime("%I:%M %p") for day in DAYS], "times"),
        (["2020-01-01", "2021-01-01", "?", "2022-01-01"] * 30, "dates or times"),
        ([f"{i:,}" for i in RNG.integers(0, 10**7, 150)], "numbers with separators or units"),
        ([f"${x:.2f}" for x in RNG.normal(size=150) ** 2], "numbers with separators or units"),
        ([f"{x:.1f} kg" for x in RNG.normal(size=150) ** 2], "numbers with separators or units"),
        ([f"{x:.3f}".replace(".", ",") for x in RNG.normal(size=150)], "numbers with separators or units"),
        ([str(i) if i % 3 else f"A/{i}" for i in range(150)], "numbers among which there are other texts"),
        ([f"customer {i}" for i in range(150)], "identifiers .150 distinct ones in 150 rows"),
        ([f"{i:05}" for i in range(150)], "identifiers"),
        ([" ".join(RNG.choice(PROSE, 9)) for i in range(150)], "free text"),
    ],
)
def test_texts_that_are_no_categories(texts, looks):
    X = pd.DataFrame({"note": texts, "z": np.arange(len(texts)) / 7})
    with pytest.warns(UserWarning, match=f"Column 'note' looks like {looks}") as caught:
        columns_step().fit(X, np.arange(len(texts)) % 2)
    assert len(caught) == 1


# -------------------------------------------------------------------------- names of columns ----

NAMES = {
    "texts": ["a", "b", "c"],
    "numbers": [0, 1, 2],
    "other numbers": [2, 0, 1],
    "several types": ["a", 1, None],
    "tuples": [("x", 1), ("x", 2), ("y", 1)],
    "several levels": pd.MultiIndex.from_tuples([("x", 1), ("x", 2), ("y", 1)]),
}


@pytest.mark.parametrize("kind", NAMES)
def test_columns_are_found_by_names_of_any_type(kind):
    rng = np.random.default_rng(0)
    x, z, t = rng.normal(size=120), rng.normal(size=120), rng.choice(["u", "v", "w"], 120)
    X = pd.DataFrame({"x": x, "t": t, "z": z}).set_axis(NAMES[kind], axis=1)
    names, model = list(X.columns), tabular_pipeline(**QUICK).fit(X, x > 0)
    expected = model.predict_proba(X)
    for other in ([2, 0, 1], [1, 2, 0], [0, 1, 2, 2]):
        again = X.iloc[:, other]
        if len(other) > 3:
            again = pd.concat([again.iloc[:, :3], X.iloc[:, [0]].set_axis([("more", "of it")], axis=1)], axis=1)
        assert_array_equal(model.predict_proba(again), expected)
        assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(again), expected)
    with pytest.raises(ValueError, match="columns are missing: ") as caught:
        model.predict(X.iloc[:, :2])
    assert str([names[2]]) in str(caught.value)
    with pytest.raises(ValueError, match=r"columns are missing: .* X has .*'q', 'r', 's'"):
        model.predict(X.set_axis(["q", "r", "s"], axis=1))
    twice = X.iloc[:, [0, 1, 2, 1]]
    for call in (lambda: model.predict(twice), lambda: tabular_pipeline(**QUICK).fit(twice, x > 0)):
        with pytest.raises(ValueError, match="Columns of X have the same name: ") as caught:
            call()
        assert str([names[1]]) in str(caught.value)
    assert_array_equal(model.predict_proba(X), expected)


def test_arrays_have_places_only():
    X = np.random.default_rng(0).normal(size=(60, 3))
    model = tabular_pipeline(**QUICK).fit(X, X[:, 0] > 0)
    for table in (pd.DataFrame(X), pd.DataFrame(X, columns=["a", "b", "c"]), pd.DataFrame(X, columns=["a", 1, 2])):
        assert_array_equal(model.predict_proba(table), model.predict_proba(X))
    with pytest.raises(ValueError, match="X has 2 columns, but in fit it had 3"):
        model.predict(X[:, :2])
    named = tabular_pipeline(**QUICK).fit(pd.DataFrame(X, columns=["a", "b", "c"]), X[:, 0] > 0)
    with pytest.raises(ValueError, match=r"X is an array, but in fit its columns had names: \['a', 'b', 'c'\]"):
        named.predict(X)
    numbered = tabular_pipeline(**QUICK).fit(pd.DataFrame(X), X[:, 0] > 0)
    assert_array_equal(numbered.predict_proba(X), model.predict_proba(X))


def test_columns_that_are_left_out_need_not_be_there():
    X, y = people()
    with pytest.warns(UserWarning, match=r"left out: \['nothing', 'always', 'planet'\]"):
        model = tabular_pipeline(**QUICK).fit(X, y)
    expected = model.predict_proba(X)
    assert_array_equal(model.predict_proba(X.drop(columns=["nothing", "planet"])), expected)
    assert_array_equal(model.predict_proba(X.assign(always=np.inf, planet=pd.Timestamp("2026-01-01"))), expected)
    with pytest.warns(UserWarning, match=r"left out: \[6, 7, 8\]"):
        tabular_pipeline(**QUICK).fit(X.set_axis(range(9), axis=1), y)


def test_skops_keeps_names_and_texts():
    skops = pytest.importorskip("skops.io")
    column, _ = with_texts(np.arange(200.0), ["?"])
    X = pd.DataFrame({0: column, ("b", 1): np.arange(200) % 7})
    model = tabular_pipeline(**QUICK)
    with pytest.warns(UserWarning, match="Column 0 holds numbers as text"):
        model.fit(X, np.arange(200) % 2)
    again = skops.loads(skops.dumps(model), trusted=TRUSTED_TYPES)
    assert_array_equal(again.predict_proba(X.iloc[:, ::-1]), model.predict_proba(X))


# ---------------------------------------------------------------------------------- diagrams ----


@pytest.mark.parametrize(
    "table", ["named", pytest.param("numbered", marks=pytest.mark.slow), pytest.param("array", marks=pytest.mark.slow)]
)
def test_diagrams_and_names_of_fitted_pipelines(table):
    X, y = people(60)
    X = X[["age", "town", "size"]]
    if table != "named":
        X = X.set_axis(range(3), axis=1) if table == "numbered" else X.to_numpy()
    model = tabular_pipeline(**QUICK)
    with pytest.raises(NotFittedError):
        model["table"].get_feature_names_out()
    assert "Table" in model._repr_html_()
    assert "Table" in model.fit(X, y)._repr_html_()
    names = ["age", "town", "size"] if table == "named" else ["x0", "x1", "x2"]
    assert model["table"].get_feature_names_out().tolist() == names
    other = tabular_pipeline(LogisticRegression()).fit(X, y)
    names = other[:-1].get_feature_names_out()
    assert len(names) == other[:-1].transform(X).shape[1]
    town = "town" if table == "named" else "x1"
    assert [name for name in names if "Ulm" in name] == [f"{town}_Ulm"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "around",
    [
        lambda model: GridSearchCV(model, {"mlp__max_iter": [1, 2]}, cv=2),
        lambda model: CalibratedClassifierCV(model, cv=2),
        lambda model: TunedThresholdClassifierCV(model, cv=2),
    ],
)
def test_diagrams_of_what_holds_a_pipeline(around):
    X, y = people(60)
    model = around(tabular_pipeline(**QUICK)).fit(X[["age", "town", "size"]], y)
    assert "Table" in model._repr_mimebundle_()["text/html"]


# --------------------------------------------------------------------------- tables of all kinds ----


def test_arrow_tables_give_what_pandas_gives():
    pa = pytest.importorskip("pyarrow")
    X, y = people()
    X = X.drop(columns=["nothing", "always", "planet"])
    table = pa.Table.from_pandas(X)
    expected = tabular_pipeline(**QUICK).fit(X, y)
    model = tabular_pipeline(**QUICK).fit(table, y)
    assert columns_of(model)["numbers"] == ["age", "children"]
    assert_array_equal(model.predict_proba(table), expected.predict_proba(X))
    assert_array_equal(expected.predict_proba(table.to_batches()[0]), expected.predict_proba(X))
    assert model.predict(table.select(["town", *[c for c in X if c != "town"]])).shape == (120,)


@pytest.mark.parametrize("kind", ["list", "struct"])
@pytest.mark.parametrize("library", ["pyarrow", "pandas", "polars"])
def test_nested_columns_are_refused_by_name(kind, library):
    pa = pytest.importorskip("pyarrow")
    values = [[1], [2]] if kind == "list" else [{"x": 1}, {"x": 2}]
    X = pa.table({"size": [1.0, 2.0], "parts": pa.array(values)})
    if library == "pandas":
        X = X.to_pandas(types_mapper=pd.ArrowDtype)
    if library == "polars":
        X = pytest.importorskip("polars").DataFrame({"size": [1.0, 2.0], "parts": values})
    with pytest.raises(ValueError, match="Column 'parts' holds values that are neither numbers nor categories"):
        tabular_pipeline(**QUICK).fit(X, [0, 1])


@pytest.mark.parametrize("infinity", [np.inf, -np.inf, 1e300, 10**400, Decimal("1e60"), "1e999"])
def test_numbers_beyond_all_bounds_name_their_column(infinity):
    X = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0)})
    y = np.arange(20) % 2
    model = tabular_pipeline(**QUICK).fit(X, y)
    before = model.predict_proba(X)
    what = "too large for float32" if infinity in (1e300, Decimal("1e60")) else "infinity"
    odd = pd.DataFrame({"a": X["a"], "b": pd.Series([1, infinity, *range(18)], dtype=object)})
    tables = [odd, odd.to_numpy()] if what == "infinity" else [odd, odd.astype(float), odd.to_numpy(float)]
    for table in tables:
        name = "'b'" if hasattr(table, "columns") else "1"
        fitted = model if hasattr(table, "columns") else tabular_pipeline(**QUICK).fit(X.to_numpy(), y)
        with pytest.raises(ValueError, match=f"Column {name} holds .*{what}"):
            fitted.predict(table)
        with pytest.raises(ValueError, match=f"Column {name} holds .*{what}"):
            tabular_pipeline(**QUICK).fit(table, y)
    assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("a", ["?", "1"], r"held numbers in training, but now also '\?'"),
        ("a", pd.to_datetime(["2026-01-01", None]), "dates or times"),
        ("b", pd.to_datetime(["2026-01-01", None]), "dates or times"),
        ("b", [datetime.date(2026, 1, 1), None], "dates or times"),
        ("b", [[1], [2]], "neither numbers nor categories"),
        ("a", [1j, 2j], "complex"),
    ],
)
def test_what_no_column_of_training_had_is_refused_by_name(name, values, message):
    X = pd.DataFrame({"a": np.arange(40.0), "b": ["u", "v"] * 20})
    model = tabular_pipeline(**QUICK).fit(X, [0, 1] * 20)
    odd = X[:2].assign(**{name: pd.Series(values, dtype=object if isinstance(values, list) else None)})
    with pytest.raises(ValueError, match=f"Column '{name}' .*{message}"):
        model.predict(odd)
    by_place = tabular_pipeline(**QUICK).fit(X.to_numpy(), [0, 1] * 20)
    if isinstance(values, list):
        with pytest.raises(ValueError, match=f"Column {'ab'.index(name)} .*{message}"):
            by_place.predict(odd.to_numpy())


def test_several_targets_and_many_categories():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"street": [f"street {i % 40}" for i in range(120)], "a": rng.normal(size=120)})
    Y = rng.normal(size=(120, 2))
    for y in (Y, pd.DataFrame(Y), Y.tolist()):
        with pytest.raises(ValueError, match=r"Columns \['street'\] .*max_categories=30.* y has 2 columns\. Raise"):
            tabular_pipeline("regressor", **QUICK).fit(X, y)
    with pytest.raises(ValueError, match=r"Columns \['street'\]"):
        tabular_pipeline("classifier", **QUICK).fit(X, (Y > 0).astype(int))
    for estimator in (Ridge(), MLPRegressor(numeric_encoder="piecewise_linear", random_state=0, max_iter=2)):
        assert tabular_pipeline(estimator, max_categories=40).fit(X, Y).predict(X).shape == (120, 2)


def test_few_rows_and_columns_without_values():
    X, y = people()
    X = X.drop(columns=["nothing", "always", "planet"])
    model = tabular_pipeline(**QUICK).fit(X, y)
    expected = model.predict_proba(X)
    assert_allclose(model.predict_proba(X[:1]), expected[:1], rtol=1e-5)
    gaps = model.predict_proba(X.assign(**dict.fromkeys(X.columns, np.nan)))
    assert_allclose(gaps, gaps[[0]].repeat(120, axis=0), rtol=1e-5)
    for nothing in (None, pd.NA):
        empty = pd.DataFrame({name: pd.Series([nothing] * 3, dtype=object) for name in X})
        assert_allclose(model.predict_proba(empty), gaps[:3], rtol=1e-5)
    with pytest.raises(ValueError, match=r"X has no rows: its shape is \(0, 6\)"):
        model.predict(X[:0])
    with pytest.raises(ValueError, match=r"X has no rows: its shape is \(0, 6\)"):
        tabular_pipeline(**QUICK).fit(X[:0], y[:0])
    with pytest.raises(ValueError, match=r"its shape is \(6,\)"):
        model.predict(X.iloc[0])


def test_masked_values_are_missing_and_fields_are_refused():
    rng = np.random.default_rng(0)
    X, hidden = rng.normal(size=(80, 3)), rng.random((80, 3)) < 0.2
    y, gaps = X[:, 0] > 0, np.where(hidden, np.nan, X)
    masked = np.ma.masked_array(np.where(hidden, 1e9, X), hidden)
    model = tabular_pipeline(**QUICK).fit(masked, y)
    assert_array_equal(model.predict_proba(masked), tabular_pipeline(**QUICK).fit(gaps, y).predict_proba(gaps))
    fields = np.zeros(4, dtype=[("a", float), ("b", int)])
    with pytest.raises(ValueError, match=r"structured array of the fields \['a', 'b'\].*pandas\.DataFrame"):
        tabular_pipeline(**QUICK).fit(fields, [0, 1, 0, 1])
    lazy = pytest.importorskip("polars").LazyFrame({"a": [1, 2]})
    with pytest.raises(ValueError, match=r"a lazy LazyFrame\. Pass X\.collect"):
        tabular_pipeline(**QUICK).fit(lazy, [0, 1])


@pytest.mark.parametrize("kind", ["frame", "array"])
def test_the_table_is_never_written_to(kind):
    column, _ = with_texts(np.arange(100.0), ["?"])
    X = pd.DataFrame({"a": column, "b": np.arange(100) % 7, "c": [True, None] * 50})
    X = X if kind == "frame" else X.to_numpy()
    before = X.copy()
    with pytest.warns(UserWarning, match="numbers as text"):
        model = tabular_pipeline(**QUICK).fit(X, np.arange(100) % 2)
    model.predict(X)
    if kind == "frame":
        pd.testing.assert_frame_equal(X, before)
    else:
        assert_array_equal(X, before)
