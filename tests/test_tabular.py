"""tabular_pipeline: a table in, predictions out."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline

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
    return {name: list(columns) for name, _, columns in pipeline["table"].transformers_}


def test_each_column_goes_where_its_kind_belongs():
    X, y = people()
    with pytest.warns(UserWarning, match=r"left out: \['nothing', 'always', 'planet'\]"):
        model = tabular_pipeline("classifier", **QUICK).fit(X, y)
    assert columns_of(model) == {
        "numeric": ["age", "children"],
        "categories": ["town", "size", "member"],
        "many": ["street"],
        "remainder": [6, 7, 8],
    }
    encoded = model["table"].transform(X)
    assert np.isfinite(encoded).all()
    assert_allclose(encoded[:, 0].mean(), 0.0, atol=0.1)  # standardised; missing ages are the median
    assert set(model.predict(X)) == {"yes", "no"}
    assert model["mlp"].coefs_[0].shape[0] == encoded.shape[1]


def test_max_categories():
    X, y = people()
    model = tabular_pipeline("classifier", max_categories=2, **QUICK)
    with pytest.warns(UserWarning, match="left out"):
        assert columns_of(model.fit(X, y))["many"] == ["town", "size", "street"]


def test_missing_and_unseen_values():
    X, y = people()
    X = X.drop(columns=["nothing", "always", "planet"])
    model = tabular_pipeline("classifier", **QUICK).fit(X, y)
    odd = X.iloc[:3].copy()
    odd["town"], odd["street"] = ["Rome", None, "Bonn"], ["unseen", None, "street 1"]
    odd["size"] = pd.Categorical([None, "XL", "S"])
    odd["age"], odd["children"] = [np.nan, 1e6, -1e6], pd.array([None, 50, 0], dtype="Int64")
    assert np.isfinite(model.predict_proba(odd)).all()
    names = model["table"]["categories"].get_feature_names_out()
    assert [name for name in names if name.startswith("town")] == [
        "town_Bonn",
        "town_Kiel",
        "town_Ulm",
        "town_None",
    ]


@pytest.mark.skipif(
    OLD, reason="scikit-learn < 1.9 asks polars' frames for a protocol that polars 2 has dropped"
)
def test_polars_gives_what_pandas_gives():
    pl = pytest.importorskip("polars")
    X, y = people()
    X = X.drop(columns=["nothing", "always", "planet"])
    theirs = pl.DataFrame(
        {name: [None if pd.isna(value) else value for value in X[name]] for name in X.columns}
    )
    expected = tabular_pipeline("classifier", **QUICK).fit(X, y)
    model = tabular_pipeline("classifier", **QUICK).fit(theirs, y)
    assert columns_of(model)["numeric"] == ["age", "children"]
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
    assert model["table"]["categories"]["one_hot"].categories_[0].tolist() == ["1", "2.5", "one", None]
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
    assert columns_of(model)["numeric"] == ["a"]
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
    assert columns_of(model)["numeric"] == list(range(10))
    assert columns_of(model).get("categories", []) == []
    assert model.score(X, y) > 0.5
    mixed = np.empty((len(X), 2), dtype=object)
    mixed[:, 0], mixed[:, 1] = X[:, 2], np.where(X[:, 3] > 0, "high", "low")
    assert columns_of(tabular_pipeline("regressor", **QUICK).fit(mixed, y))["categories"] == [1]
    assert columns_of(tabular_pipeline("regressor", **QUICK).fit(mixed.tolist(), y))["numeric"] == [0]


def test_many_categories_are_encoded_by_their_mean_target_also_if_that_is_whole(recwarn):
    rng = np.random.default_rng(0)
    street = rng.integers(0, 50, 2000)
    y = np.round(street + rng.normal(0, 5, 2000)).astype(int)
    X = pd.DataFrame({"street": [f"street {i}" for i in street]})
    model = tabular_pipeline("regressor", random_state=0).fit(X[:1500], y[:1500])
    assert model["table"].transform(X).shape == (2000, 1)
    assert model.score(X[1500:], y[1500:]) > 0.85
    again = tabular_pipeline("regressor", random_state=0).fit(X[:1500], y[:1500])
    assert_array_equal(model.predict(X), again.predict(X))  # the folds are seeded too
    assert not recwarn.list


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
    grid = {"mlp__weight_decay": [0.1, 1.0], "table__numeric__bins__n_bins": [4, 8]}
    search = GridSearchCV(tabular_pipeline("classifier", **QUICK), grid, cv=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    n_bins = search.best_params_["table__numeric__bins__n_bins"]
    assert search.best_estimator_["table"]["numeric"]["bins"].n_bins_.max() == n_bins
    assert clone(search.best_estimator_).get_params()["mlp__n_members"] == 4


def test_parameters_reach_the_estimator():
    model = tabular_pipeline("regressor", hidden_layer_sizes=(16,), random_state=3)
    assert isinstance(model["mlp"], MLPRegressor)
    assert model["mlp"].hidden_layer_sizes == (16,)
    assert "random_state=3" in repr(model["table"].transformers[2][1]["target"])
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
    with pytest.raises(ValueError, match=rf"'day' holds dates or times \({name}.*days since the first"):
        tabular_pipeline("classifier").fit(X, [0, 1])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (sp.eye_array(4).tocsr(), "takes DataFrames and dense arrays"),
        (np.eye(4) + 1j, "complex numbers"),
        (np.arange(4.0), r"its shape is \(4,\)"),
        (pd.Series([1.0, 2.0, 3.0, 4.0]), r"its shape is \(4,\)"),
        (np.ones((4, 2)), "Every column of X is without values or constant"),
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
