"""The steps of tabular_pipeline: what the table gives to estimators of ours and of others."""

import pickle
import tracemalloc
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.preprocessing import TargetEncoder

from skbackprop import MLPRegressor, tabular_pipeline
from skbackprop._table import Table
from skbackprop._table_encoder import TableEncoder

QUICK = {"random_state": 0, "max_iter": 2, "weight_decay": 0.5, "dropout": 0.1}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    n = 300
    X = pd.DataFrame(
        {
            "age": np.where(rng.random(n) < 0.1, np.nan, rng.uniform(18, 90, n)),
            "income": rng.lognormal(3.0, 2.0, n),
            "count": rng.integers(0, 4, n),
            "even": np.arange(n) % 2,
            "town": rng.choice(["Ulm", "Bonn", None], n),
            "member": rng.random(n) < 0.5,
            "street": [f"street {i % 40}" for i in range(n)],
        }
    )
    return X, X["age"].fillna(50) + 10.0 * X["member"]


def test_the_estimator_encodes_what_the_table_reads(data):
    X, y = data
    model = tabular_pipeline("regressor", max_categories=40, **QUICK).fit(X, y)
    assert [type(step) for _, step in model.steps] == [Table, MLPRegressor]
    plain = X.assign(
        **{name: pd.Categorical(X[name].astype(str).where(X[name].notna())) for name in ("town", "street")},
        member=pd.Categorical(X["member"].astype(int).astype(str)),
    )
    alone = clone(model["mlp"]).fit(plain, y)
    assert_array_equal(model.predict(X), alone.predict(plain))
    assert_array_equal(model["mlp"].predict(plain), alone.predict(plain))  # columns have their names
    read = model[:-1].transform(X)
    assert_array_equal(model["mlp"].predict(read[100:200]), model.predict(X)[100:200])
    assert_array_equal(model["mlp"].predict(read[np.arange(5)]), model.predict(X)[:5])


def test_a_table_is_an_array_to_numpy(data):
    X, y = data
    table = tabular_pipeline()["table"]
    values = np.asarray(table.fit_transform(X, y))
    assert values.shape == table.transform(X).shape == (300, 7)
    assert_array_equal(values[:, 1].astype(float), X["income"])
    assert values[:, 5].tolist() == X["member"].astype(int).astype(str).tolist()
    numbers = tabular_pipeline()["table"].fit_transform(X[["age", "income"]])
    assert np.asarray(numbers).dtype == np.float64
    assert_array_equal(np.asarray(numbers, dtype=np.float32), X[["age", "income"]].astype(np.float32))
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(numbers, copy=False)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output(data, library):
    frames = pytest.importorskip(library)
    X, y = data
    settings = QUICK | {"max_categories": 40}
    expected = tabular_pipeline("regressor", **settings).fit(X, y).predict(X)
    model = tabular_pipeline("regressor", **settings).set_output(transform=library).fit(X, y)
    frame = model[:-1].transform(X)
    assert isinstance(frame, frames.DataFrame)
    assert list(frame.columns) == list(X.columns)
    kinds = [str(dtype).lower() for dtype in frame.dtypes]
    assert kinds == ["float64"] * 4 + ["category" if library == "pandas" else "categorical"] * 3
    assert_array_equal(model.predict(X), expected)
    with sklearn.config_context(transform_output=library):
        assert isinstance(tabular_pipeline()["table"].fit_transform(X, y), frames.DataFrame)
    assert_array_equal(frame["income"].to_numpy(), X["income"])


def test_estimators_of_others_get_numbers(data):
    X, y = data
    for other in (Ridge(), HistGradientBoostingRegressor(max_iter=5), MLPRegressor(**QUICK)):
        model = tabular_pipeline(other, max_categories=50).fit(X, y)
        assert [type(step) for _, step in model.steps] == [Table, TableEncoder, type(other)]
        encoded = model[:-1].transform(X)
        assert encoded.dtype == np.float64
        assert np.isfinite(encoded).all()
        assert encoded.shape[1] == model["mlp"].n_features_in_ == len(model[:-1].get_feature_names_out())
        assert_allclose(model.predict(X), model["mlp"].predict(encoded))
    own = MLPRegressor(**QUICK, numeric_encoder="piecewise_linear")
    assert [name for name, _ in tabular_pipeline(own).steps] == ["table", "mlp"]
    names = model[:-1].get_feature_names_out().tolist()
    column = dict(zip(names, encoded.T, strict=True))
    assert_array_equal(column["age_missing"], X["age"].isna())
    assert_array_equal(column["town_Ulm"], X["town"] == "Ulm")
    assert_array_equal(column["town_missing"], X["town"].isna())
    assert "town_unknown" not in column
    assert_allclose(column["income"], (X["income"] - X["income"].mean()) / X["income"].std(ddof=0))
    towns = [i for i, name in enumerate(names) if name.startswith("town_")]
    with pytest.warns(UserWarning, match="Column 'town' has no category that was known .* now there is 'Rome'"):
        unknown = model[:-1].transform(X.assign(town="Rome"))
    assert_array_equal(unknown[:, towns], 0.0)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize("n_bins", [1, 20])
def test_bins_of_others_can_be_searched(data, n_bins):
    X, y = data
    model = tabular_pipeline(Ridge()).set_params(encoder__n_bins=n_bins).fit(X, y)
    assert f"income_bin{n_bins - 1}" in model[:-1].get_feature_names_out()
    assert f"income_bin{n_bins}" not in model[:-1].get_feature_names_out()


@pytest.mark.parametrize(
    ("rows_per_category", "kind", "n"), [(None, "means", 7), (8, "means", 7), (7, "both", 8), (1, "both", 8)]
)
def test_many_categories(data, rows_per_category, kind, n):
    X, y = data
    whole = y.astype(int)
    table = Table(30, rows_per_category, target_type="continuous", random_state=0)  # 300 rows, 40 streets
    given, known = table.fit_transform(X, whole), table.transform(X)
    assert table.columns_[kind] == ["street"]
    assert given.shape == known.shape == (300, n)
    assert given.is_category.sum() == n - 5
    assert given.names.tolist() == table.get_feature_names_out().tolist()
    assert given.names[-1] == "street_mean"
    assert table.owners.tolist() == [*range(n - 1), 6]
    texts = X[["street"]].to_numpy()
    expected = TargetEncoder(target_type="continuous").fit(texts, whole).transform(texts)[:, 0]
    assert_array_equal(known.numbers[:, -1], expected)
    assert (given.numbers[:, -1] != expected).mean() > 0.9  # of a training row: from the other folds
    assert_allclose(table.transform(X.assign(street="unseen")).numbers[:, -1], whole.mean())
    assert_array_equal(clone(table).fit_transform(X, whole).numbers, given.numbers)  # the folds are seeded


def test_means_of_classes_and_of_several_targets(data):
    X, y = data
    table = Table(rows_per_category=None)
    towns = X["town"].fillna("none")
    assert table.fit_transform(X, towns).shape == (300, 9)
    assert table.get_feature_names_out()[-3:].tolist() == ["street_Bonn_mean", "street_Ulm_mean", "street_none_mean"]
    assert table.owners.tolist() == [*range(6), 6, 6, 6]
    assert table.fit_transform(X.drop(columns="street")).shape == (300, 6)
    with pytest.raises(ValueError, match="need y"):
        table.fit(X)
    Y = np.stack([y, y], axis=1)
    with pytest.raises(ValueError, match="y has 2 columns"):
        table.fit(X, Y)
    assert Table(rows_per_category=7).fit_transform(X, Y).shape == (300, 7)  # without means


def test_a_fit_that_fails_leaves_the_table(data):
    X, y = data
    table = Table().fit(X, y)
    before = dict(vars(table))
    for wrong in (X.assign(age=pd.Timestamp("2026-01-01")), X[:0], np.ones((5, 2))):
        with pytest.raises(ValueError, match=r"Column 'age'|no rows|nothing can be learned"):
            table.fit(wrong)
        assert vars(table) == before
    for wrong in ({"max_categories": 0}, {"rows_per_category": 0}, {"target_type": "binary"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Table(**wrong).fit(X, y)


def test_columns_that_several_targets_make_categories_are_looked_at_in_predict(rng):
    town = rng.integers(0, 40, 2000)
    X, y = pd.DataFrame({"town": [f"t{k}" for k in town], "a": rng.normal(size=2000)}), np.c_[town % 2, town % 3]
    table = Table().fit(X, y)
    assert table.columns_["categories"] == ["town"]
    with pytest.warns(UserWarning, match="no category that was known in training"):
        table.transform(X.assign(town=X["town"].str.upper())[:100])


@pytest.mark.filterwarnings("ignore:Column . has a large scale")
def test_a_table_of_other_columns_is_refused_by_the_estimator(data):
    X, y = data
    model = tabular_pipeline("regressor", max_categories=40, **QUICK).fit(X, y)
    other = Table(40)
    with pytest.raises(ValueError, match="X has 2 features, but MLPRegressor is expecting 7"):
        model["mlp"].predict(other.fit_transform(X[["age", "town"]]))
    with pytest.raises(ValueError, match="categories where fit had numbers"):
        model["mlp"].predict(other.fit_transform(X[["town", *X.columns[1:4], "age", "member", "street"]]))
    numbers = X[["age", "income"]]
    full = numbers.fillna(0.0).to_numpy()
    plain = MLPRegressor(**QUICK).fit(other.fit_transform(full), y)
    assert_array_equal(plain.predict(full), plain.predict(other.transform(full)))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        MLPRegressor(**QUICK).fit(other.fit_transform(numbers), y)


def test_early_stopping_with_a_scorer_takes_rows_of_a_table(data):
    X, y = data
    model = tabular_pipeline("regressor", **QUICK | {"max_iter": 5}, early_stopping=True, scoring="r2").fit(X, y)
    assert len(model["mlp"].validation_scores_) == 5


def test_memory_of_a_fit_and_of_predictions():
    """Hundreds of columns in float64 would be 18 times the data, and the copies that are made of them as much again."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40_000, 20))
    X[::50, 0] = np.nan
    y, peaks = X[:, 1], []
    model = tabular_pipeline("regressor", **QUICK | {"hidden_layer_sizes": (8,), "max_iter": 1})
    model.fit(X[:500], y[:500])  # what is imported is not counted
    for use in (lambda: model.fit(X, y), lambda: model.predict(X)):
        tracemalloc.start()
        use()
        peaks.append(tracemalloc.get_traced_memory()[1] / X.nbytes)
        tracemalloc.stop()
    assert max(peaks) < 5.0  # 3.3 were measured


def rare(n=120):
    """A table with a column of many categories, of which means stand."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=n), "m": [f"c{i}" for i in rng.integers(0, 60, n)]})
    return X, (X["a"] > 0).astype(int)


def test_means_with_metadata_routing():
    X, y = rare()
    expected = Table(target_type="continuous", random_state=0).fit_transform(X, y)
    with sklearn.config_context(enable_metadata_routing=True):
        table = Table(target_type="continuous", random_state=0).fit_transform(X, y)
    assert_array_equal(table.numbers, expected.numbers)


@pytest.mark.parametrize("kind", [int, bool, str, object])
def test_labels_of_any_kind_go_with_means(kind):
    X, y = rare()
    labels = (y == 1).astype(object) if kind is object else y.astype(kind)
    model = tabular_pipeline(**QUICK).fit(X, labels)
    assert "m_mean" in model["mlp"].feature_names_in_
    assert set(model.predict(X)) == set(labels)


@pytest.mark.parametrize(
    ("kind", "y", "message"),
    [
        ("regressor", ["a"] * 120, "y must be numbers"),
        ("classifier", ["a", None] * 60, "y contains NaN"),
        ("classifier", ["a", 1] * 60, "Labels must be all of one kind"),
        ("classifier", [0, 1], "inconsistent numbers of samples"),
    ],
)
def test_bad_targets_are_told_as_without_means(kind, y, message):
    X, _ = rare()
    y = pd.Series(y, dtype=object)
    for table in (X, X[["a"]]):
        with pytest.raises(ValueError, match=message):
            tabular_pipeline(kind, **QUICK).fit(table, y)


def test_fewer_rows_than_folds():
    X, y = pd.DataFrame({"a": ["u", "v", "u", "v"]}), [0, 1, 0, 1]
    assert tabular_pipeline(max_categories=1, **QUICK).fit(X, y).predict(X).shape == (4,)


def test_names_are_distinct(data):
    X, y = data
    odd = X[["age", "town", "street"]].assign(town=["missing", "a", None] * 100, street_mean=X["income"])
    for other in ("regressor", Ridge()):
        model = tabular_pipeline(other, **(QUICK if other == "regressor" else {})).set_output(transform="pandas")
        names = list(model.fit(odd, y)[:-1].transform(odd).columns)
        assert len(set(names)) == len(names)
        assert names[:2] == ["age", "town"] if other == "regressor" else ["age", "street_mean"]
        assert "street_mean_2" in names
    assert names[-3:] == ["town_a", "town_missing", "town_missing_2"]


def test_columns_of_numbers_that_are_categories(data):
    X, y = data
    model = tabular_pipeline("regressor", categorical_features=["count", "even"], **QUICK).fit(X, y)
    assert model["table"].columns_["categories"] == ["count", "even", "town", "member"]
    assert model["mlp"].categories_[2].tolist() == ["0", "1", "2", "3"]
    by_place = tabular_pipeline("regressor", categorical_features=[2, 3], **QUICK).fit(X, y)
    assert_array_equal(by_place.predict(X), model.predict(X))
    other = tabular_pipeline(Ridge(), categorical_features=[False, False, True, False, False, False, False]).fit(X, y)
    assert "count_3" in other[:-1].get_feature_names_out()
    with pytest.raises(ValueError, match=r"holds \['x'\], but the columns of X are"):
        tabular_pipeline(categorical_features=["x"]).fit(X, y)
    own = MLPRegressor(**QUICK, numeric_encoder="piecewise_linear", categorical_features=["count"])
    with pytest.warns(
        UserWarning, match="categorical_features has no effect on a table .* table__categorical_features"
    ):
        tabular_pipeline(own).fit(X, y)


def test_gaps_are_named_where_the_estimator_cannot_take_them(data):
    X, y = data
    model = tabular_pipeline("regressor", **QUICK).set_params(mlp__numeric_encoder="identity")
    with pytest.raises(ValueError, match=r"columns \['age'\] have missing numbers"):
        model.fit(X, y)
    plain = tabular_pipeline("regressor", numeric_encoder="identity", **QUICK).fit(X, y)  # behind an encoder
    assert [name for name, _ in plain.steps] == ["table", "encoder", "mlp"]


def test_tags_and_looks():
    for step in (Table(), TableEncoder()):
        tags = step.__sklearn_tags__().input_tags
        assert tags.allow_nan
        assert tags.categorical
        assert tags.string
    X, y = rare()
    table = Table().fit_transform(X, y)
    assert repr(table).startswith("<RawTable of shape (120, 2), with 0 columns of categories")
    assert table[0].tolist() == np.asarray(table)[0].tolist()
    assert table[3, 1] == np.asarray(table)[3, 1]


def shops():
    """Targets that follow a column of 100 categories, too many for inputs of their own."""
    rng = np.random.default_rng(0)
    shop = rng.integers(0, 100, 600)
    return pd.DataFrame({"a": rng.normal(size=600), "shop": [f"shop{i}" for i in shop]}), shop


NUMERIC = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", ">f8", ">i2", "longdouble", "U", "object"]
AS_NUMBERS = {kind: lambda y, kind=kind: y.astype(kind) for kind in NUMERIC} | {
    "text": lambda y: pd.Series(y).astype(str),
    "Int8": lambda y: pd.Series(y, dtype="Int8"),
    "Float32": lambda y: pd.Series(y, dtype="Float32"),
    "decimals": lambda y: [Decimal(i) for i in y.tolist()],
    "fractions": lambda y: [Fraction(i) for i in y.tolist()],
    "list": lambda y: y.tolist(),
    "column": lambda y: y[:, None],
    "sparse": lambda y: sp.csr_matrix(y[:, None]),
    "polars": lambda y: pl.Series(y),
    "decimals of polars": lambda y: pl.Series([Decimal(i) for i in y.tolist()], dtype=pl.Decimal(9, 2)),
    "Arrow": lambda y: pd.Series(y, dtype="int16[pyarrow]"),
    "decimals of Arrow": lambda y: pa.array([Decimal(i) for i in y.tolist()]),
}
AS_TRUTH = {
    "bool": lambda y: y,
    "object": lambda y: y.astype(object),
    "boolean": lambda y: pd.Series(y, dtype="boolean"),
    "list": lambda y: y.tolist(),
    "polars": lambda y: pl.Series(y),
    "Arrow": lambda y: pd.Series(y, dtype="bool[pyarrow]"),
}


@pytest.mark.parametrize("kinds", [AS_NUMBERS, AS_TRUTH])
def test_numeric_targets_of_any_type_go_with_means(kinds):
    X, shop = shops()
    y = shop % 7 if kinds is AS_NUMBERS else shop % 7 > 3
    model = tabular_pipeline("regressor", **QUICK | {"hidden_layer_sizes": (16,), "max_iter": 10})
    expected = model.fit(X, y.astype(float)).predict(X)
    assert np.corrcoef(expected, y)[0, 1] > 0.9
    assert model["table"].columns_["means"] == ["shop"]
    for name, convert in kinds.items():
        assert_array_equal(np.ravel(model.fit(X, convert(y)).predict(X)), expected, err_msg=name)


AS_LABELS = {
    "dates": lambda y: np.datetime64("2020-01-01") + y,
    "durations": lambda y: pd.Series(pd.to_timedelta(y, "h")),
    "text": lambda y: np.array(list("abcdefg"))[y],
    "text of Arrow": lambda y: pd.Series(np.array(list("abcdefg"))[y]).astype("string[pyarrow]"),
    "categorical": lambda y: pd.Series(np.array(list("abcdefg"))[y], dtype="category"),
    "polars": lambda y: pl.Series(np.array(list("abcdefg"))[y]).cast(pl.Categorical),
    "longdouble": lambda y: y.astype("longdouble"),
    **{kind: AS_NUMBERS[kind] for kind in ("f2", "u1", ">i2", "object", "Int8", "sparse")},
}


@pytest.mark.parametrize("kind", AS_LABELS)
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_labels_of_any_type_go_with_means(kind):
    X, shop = shops()
    model, other = (tabular_pipeline("classifier", **QUICK | {"max_iter": 20}) for _ in range(2))
    expected = model.fit(X, shop % 7).predict_proba(X)
    assert model.score(X, shop % 7) > 0.9
    labels = AS_LABELS[kind](shop % 7)
    assert_array_equal(other.fit(X, labels).predict_proba(X), expected)
    names = [f"shop_{label}_mean" for label in other.classes_]
    assert other["mlp"].feature_names_in_.tolist() == ["a", *names]


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix, sp.csc_array, np.ndarray.tolist, pd.DataFrame])
def test_several_targets_in_any_container(convert):
    X, shop = shops()
    Y = convert(np.stack([shop % 2, shop % 3 == 0], axis=1).astype(int))
    with pytest.raises(ValueError, match=r"Columns \['shop'\] have more than .* y has 2 columns. Raise max_categories"):
        tabular_pipeline("classifier", **QUICK).fit(X, Y)
    model = tabular_pipeline("classifier", max_categories=100, **QUICK | {"max_iter": 20}).fit(X, Y)
    assert model.score(X, Y) > 0.9
    assert model["table"].columns_["categories"] == ["shop"]


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
@pytest.mark.parametrize(
    "y", [np.array([np.inf, 1.0] * 300), np.ones((600, 1, 1)), np.ones(600) * 1j, ["a", 1.5] * 300, np.arange(600) / 7]
)
def test_other_targets_are_told_as_by_the_estimator(kind, y):
    """With means and without; never is a column left out without a word."""
    X, _ = shops()
    found = []
    for table in (X, X[["a"]]):
        try:
            found.append(str(tabular_pipeline(kind, **QUICK).fit(table, y)["table"].columns_["means"]))
        except ValueError as error:
            found.append(str(error).partition(" is required by")[0])  # the name of a step
    assert found == ["['shop']", "[]"] or found[0] == found[1] != "[]"
