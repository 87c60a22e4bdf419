"""The codes that tabular_pipeline gives its estimator: what they stand for, when there are none, and what they save."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.preprocessing import OneHotEncoder, RobustScaler, StandardScaler

from skbackprop import MLPRegressor, tabular_pipeline
from skbackprop._engines.encoded_table import EncodedTable, Numbers
from skbackprop._table import CompactTable, Table

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


def tables(**changes):
    """A table that gives codes, and one of the same transformers that gives an array."""
    compact = tabular_pipeline("regressor", **QUICK)["table"].set_params(**changes)
    return compact, Table(clone(compact).transformers, n_jobs=compact.n_jobs)


@pytest.mark.filterwarnings("ignore:Found unknown categories")  # where the first one is dropped
@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"n_jobs": 2}, marks=pytest.mark.slow),  # starts processes
        {"numeric__bins__passthrough": False},
        {"numeric__bins__n_bins": 20},
        {"numeric__scale": RobustScaler()},
        {"numeric__scale": "passthrough"},
        {"numeric__scale": None},
        {"numeric__bins": None},
        {"numeric__impute__strategy": "mean"},
        {"numeric__impute__add_indicator": True},
        {"numeric__verbose": True},
        {"categories__one_hot__drop": "first"},
        {"categories__one_hot": OneHotEncoder(handle_unknown="ignore")},
        {"categories__one_hot": OneHotEncoder(handle_unknown="ignore", max_categories=2, sparse_output=False)},
        {"numeric__bins": StandardScaler()},
        {"numeric": "drop"},
    ],
)
def test_codes_stand_for_what_the_steps_make(data, changes):
    X, y = data
    compact, other = tables(**changes)
    encoded, expected = compact.fit_transform(X, y), other.fit_transform(X, y)
    assert isinstance(encoded, EncodedTable)
    assert_array_equal(np.asarray(encoded), np.asarray(expected, dtype=np.float32))
    new = X.iloc[::3].assign(town="Rome", age=np.nan, income=-1e3)
    assert_array_equal(np.asarray(compact.transform(new)), other.transform(new).astype(np.float32))
    assert_array_equal(compact.get_feature_names_out(), other.get_feature_names_out())
    for (name, part, columns), (their_name, their_part, theirs) in zip(
        compact.transformers_, other.transformers_, strict=True
    ):
        assert (name, type(part), columns) == (their_name, type(their_part), theirs)
    if not isinstance(compact["numeric"], str):
        assert_array_equal(compact["numeric"]["impute"].statistics_, other["numeric"]["impute"].statistics_)


def test_codes_are_few_bytes(data):
    X, y = data
    encoded = tables()[0].fit_transform(X, y)
    kept = sum(array.nbytes for part in encoded.parts for array in vars(part).values() if np.shape(array)[:1] == (300,))
    assert kept == len(X) * (4 * 10 + 2 * 4 + 4)  # of four columns of numbers, two of categories, and a target's mean
    assert encoded.shape[1] == 30


def test_arrays_where_codes_cannot_be(data):
    X, y = data
    table = tables()[0].set_output(transform="pandas")
    assert isinstance(table.fit_transform(X, y), pd.DataFrame)
    assert isinstance(table.transform(X), pd.DataFrame)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(tables()[0].fit_transform(X, y), pd.DataFrame)
    table = tables(remainder="passthrough")[0]
    assert type(table.fit_transform(X, y)) is np.ndarray
    table = tables(transformer_weights={"numeric": 2.0})[0]
    assert type(table.fit_transform(X, y)) is np.ndarray


def test_only_our_estimators_get_codes(data):
    X, y = data
    assert type(tabular_pipeline("regressor")["table"]) is CompactTable
    assert type(tabular_pipeline(MLPRegressor(dtype="float32"))["table"]) is CompactTable
    for other in (Ridge(), MLPRegressor(dtype="float64"), MLPRegressor()):
        model = tabular_pipeline(other)
        assert type(model["table"]) is Table
        assert model["table"].fit_transform(X, y).dtype == np.float64
    # one that was put in later takes them for an array
    model = tabular_pipeline("regressor", **QUICK).set_params(mlp=Ridge()).fit(X, y)
    assert model.score(X, y) > 0.9


def test_a_fit_on_codes_has_the_bits_of_one_on_an_array(data):
    X, y = data
    model = tabular_pipeline("regressor", **QUICK).fit(X, y)
    encoded = Table(model["table"].transformers).fit_transform(X, y).astype(np.float32)
    alone = clone(model["mlp"]).fit(encoded, y)
    for ours, theirs in zip(model["mlp"].coefs_, alone.coefs_, strict=True):
        assert_array_equal(ours, theirs)
    assert_array_equal(model.predict(X), alone.predict(np.asarray(model[:-1].transform(X))))


def test_a_single_column_of_numbers():
    X = np.arange(100.0)[:, None]
    model = tabular_pipeline("regressor", **QUICK).fit(X, X[:, 0])
    assert type(model["table"].transform(X).parts[0]) is Numbers
    assert np.isfinite(model.predict(X[:1])).all()


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
