"""Shards with categories, texts and gaps: the fits of a DataFrame in memory, whether the rows are loaded or not."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._checks.shards import TableShards
from skbackprop._fit import summaries
from skbackprop._fit.inputs import InputEncoding, RawTable
from skbackprop._fit.out_of_core import learn_encoding
from skbackprop.data import Shards

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),  # after so few epochs
    pytest.mark.filterwarnings("ignore:A buffer holds only about"),
    pytest.mark.filterwarnings("ignore:.*Features differ in scale"),
]
N = 2400
SMALL = "60KB"  # 2400 rows of 6 features in float64 take 115 kB; of a fourth so many that a selection draws its seed
FAST = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0, "weight_decay": 0.1, "shuffle": False}
PIECEWISE = FAST | {"numeric_encoder": "piecewise_linear"}


@pytest.fixture(scope="module")
def frame():
    """A table with gaps, categories, texts, texts that are numbers, labels, targets and weights."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({
        "age": rng.normal(40.0, 10.0, N),
        "town": rng.choice(["Ulm", "Bonn", "Rome"], N).astype(object),
        "size": pd.Categorical(rng.choice(["s", "m", "l"], N)),
        "member": rng.random(N) < 0.5,
        "count": rng.integers(0, 9, N).astype(str),
        "income": rng.lognormal(8.0, 1.0, N),
    })  # fmt: skip
    label = np.where((X["town"] == "Ulm") | (X["age"] > 45), "yes", "no")
    target = X["age"] + 10.0 * (X["size"] == "s")
    X.loc[::7, "age"] = np.nan
    X.loc[::9, "town"] = None
    X.loc[N - 1, "town"] = "Oslo"  # in the last block alone
    return X.assign(label=label, target=target, w=rng.integers(0, 5, N) / 4.0)


def save(folder, frame, n_files=3, row_group=80):
    for k, part in enumerate(np.array_split(np.arange(len(frame)), n_files)):
        table = pa.Table.from_pandas(frame.iloc[part])
        pq.write_table(table, folder / f"{k}.parquet", row_group_size=row_group)
    return folder


def inputs(frame):
    return frame.drop(columns=["label", "target", "w"])


def shards(folder, y="label", w="w", **options):
    features = ["age", "town", "size", "member", "count", "income"]
    return Shards(folder, y, w, features=features, **options)


@pytest.fixture(scope="module")
def folder(frame, tmp_path_factory):
    return save(tmp_path_factory.mktemp("shards"), frame)


def assert_close(one, two, rtol=1e-6, atol=1e-9):
    """Means and deviations are sums in another order, so that codes of numbers differ in the last bits."""
    for ours, theirs in zip(one.coefs_ + one.intercepts_, two.coefs_ + two.intercepts_, strict=True):
        assert_allclose(ours, theirs, rtol=rtol, atol=atol)
    assert_allclose(one.loss_curve_, two.loss_curve_, rtol=rtol)
    for ours, theirs in zip(one.categories_, two.categories_, strict=True):
        assert_array_equal(ours, theirs)
    for ours, theirs in zip(one.bin_edges_, two.bin_edges_, strict=True):
        assert_array_equal(ours, theirs)
    assert one.feature_names_in_.tolist() == two.feature_names_in_.tolist()
    assert one.n_features_in_ == two.n_features_in_


def test_what_is_read(folder, frame):
    data = shards(folder, memory=SMALL)
    assert data.kinds == ["number", "text", "category", "number", "text", "number"]
    assert (data.shape, data.dtype) == ((N, 6), np.float64)
    X, y, w = data.load()
    blocks = list(data.blocks())
    for rows in (X, pd.concat([block[0] for block in blocks])):
        for name in X:
            assert rows[name].astype(object).fillna("gap").tolist() == frame[name].astype(object).fillna("gap").tolist()
    assert X["size"].dtype == "category"
    assert_array_equal(np.concatenate([block[1] for block in blocks]), y)
    assert_array_equal(w, frame["w"])


def test_data_that_fit_into_memory_give_the_bits_of_a_data_frame(folder, frame):
    params = PIECEWISE | {"weight_decay": "auto", "early_stopping": True}
    one = MLPSoftmaxClassifier(**params).fit(shards(folder))
    two = MLPSoftmaxClassifier(**params).fit(inputs(frame), frame["label"], frame["w"])
    assert_close(one, two, rtol=0, atol=0)
    assert one.validation_loss_curve_ == two.validation_loss_curve_


SETTINGS = [
    {},
    {"numeric_encoder": "identity"},
    {"class_weight": "balanced", "n_members": 2, "input_scale": True},
    {"dropout": (0.1, 0.2), "batch_size": 37, "dtype": "float32"},
    {"engine": "reference", "max_iter": 1},
    {"categorical_features": ["town", "size", "member", "count"], "n_bins": 4},
    {"categorical_features": [1, 2]},
    {"early_stopping": True, "scoring": "accuracy"},
    {"solver": "lbfgs", "alpha": 0.1},
]


# the first ones in the quick run
@pytest.mark.parametrize("settings", [*SETTINGS[:3], *(pytest.param(s, marks=pytest.mark.slow) for s in SETTINGS[3:])])
def test_rows_read_in_order_are_those_of_a_data_frame(settings, folder, frame, tmp_path):
    params = PIECEWISE | settings
    if "identity" in settings.values():
        frame = frame.assign(age=frame["age"].fillna(0.0))
        folder = save(tmp_path, frame)
    if "solver" in settings:
        params = {name: value for name, value in params.items() if name not in ("shuffle", "weight_decay")}
    held_out = {}, {}
    if "early_stopping" in settings:
        X_val, y_val = inputs(frame[:300]), frame["label"][:300]
        held_out = {"X_val": X_val, "y_val": y_val}, {"X_val": X_val, "y_val": y_val}
    one = MLPSoftmaxClassifier(**params).fit(shards(folder, memory=SMALL), **held_out[0])
    two = MLPSoftmaxClassifier(**params).fit(inputs(frame), frame["label"], frame["w"], **held_out[1])
    rtol = 1e-4 if "dtype" in settings or "solver" in settings else 1e-6  # roundings of float32, or that L-BFGS grows
    assert_close(one, two, rtol, atol=1e-5 if rtol > 1e-6 else 1e-9)
    data = shards(folder, memory=SMALL)
    for method in ("predict_proba", "decision_function"):
        assert_array_equal(getattr(two, method)(data), getattr(two, method)(inputs(frame)))
    assert two.score(data, data.y) == two.score(inputs(frame), frame["label"])


def test_targets_and_several_members(folder, frame):
    one = MLPRegressor(**PIECEWISE, n_members=2).fit(shards(folder, "target", memory=SMALL))
    two = MLPRegressor(**PIECEWISE, n_members=2).fit(inputs(frame), frame["target"], frame["w"])
    assert_close(one, two)
    data = shards(folder, "target", memory=SMALL)
    for ours, theirs in zip(
        two.predict(data, return_members=True), two.predict(inputs(frame), return_members=True), strict=True
    ):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize("memory", [SMALL, "1MB"])
def test_columns_of_arrays_by_numbers_or_a_mask(memory):
    rng = np.random.default_rng(0)
    X = np.stack([rng.normal(size=N), rng.integers(0, 5, N), rng.normal(size=N)], axis=1).astype(np.float32)
    X[::7, 0] = X[::11, 1] = np.nan
    y, parts = X[:, 2].astype(float), np.array_split(np.arange(N), 3)
    data = Shards([X[rows] for rows in parts], [y[rows] for rows in parts], memory=memory, block_rows=20)
    for asked in ([1], [False, True, False]):
        two = MLPRegressor(**PIECEWISE, categorical_features=asked).fit(X.astype(float), y)
        one = MLPRegressor(**PIECEWISE, categorical_features=asked).fit(data)
        assert one.coefs_[0].dtype == np.float32
        assert_array_equal(one.categories_[1], ["0", "1", "2", "3", "4"])
        assert_allclose(one.predict(data), two.predict(X), rtol=1e-4, atol=1e-4)  # float32
    assert MLPRegressor(**PIECEWISE).fit(data).categories_ == [None] * 3


@pytest.mark.slow
def test_shuffled_fits_learn_as_much(folder, frame):
    params = PIECEWISE | {"shuffle": True, "max_iter": 8}
    one, again = (MLPSoftmaxClassifier(**params).fit(shards(folder, memory=SMALL)) for _ in range(2))
    assert one.loss_curve_ == again.loss_curve_
    assert one.score(inputs(frame), frame["label"]) > 0.9


def test_a_validation_set_on_the_disk_is_one_in_memory(folder, frame):
    params = PIECEWISE | {"early_stopping": True, "scoring": "accuracy"}
    rows = inputs(frame), frame["label"]
    one = MLPSoftmaxClassifier(**params).fit(*rows, X_val=shards(folder, memory=SMALL))
    two = MLPSoftmaxClassifier(**params).fit(*rows, X_val=rows[0], y_val=rows[1], sample_weight_val=frame["w"])
    assert one.validation_scores_ == two.validation_scores_
    assert_allclose(one.validation_loss_curve_, two.validation_loss_curve_, rtol=1e-6)


def test_rows_held_out_are_not_learned_from(tmp_path):
    frame = pd.DataFrame({"t": pd.Categorical([f"c{i:03d}" for i in range(600)]), "y": np.arange(600) % 2})
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=5)
    params = {"batch_size": 8, "early_stopping": True, "validation_fraction": 0.2, "max_iter": 2, "random_state": 0}
    model = MLPSoftmaxClassifier((10,), **params).fit(Shards(tmp_path, "y", memory="4.5KB"))
    assert len(model.categories_[0]) == 600
    n_rows = 2 * 600 - model.t_ // 1  # two epochs
    norms = np.linalg.norm(model.coefs_[0], axis=1)
    assert (norms == 0.0).sum() == n_rows // 2


def test_a_warm_start_keeps_what_was_learned(folder, frame):
    for memory in (SMALL, "1MB"):
        model = MLPSoftmaxClassifier(**PIECEWISE, warm_start=True).fit(inputs(frame[:300]), frame["label"][:300])
        edges, known = model.bin_edges_[0], model.categories_[1].tolist()
        model.fit(shards(folder, memory=memory))
        assert_array_equal(model.bin_edges_[0], edges)
        assert model.categories_[1].tolist() == known == ["Bonn", "Rome", "Ulm"]
        assert np.abs(model.coefs_[0]).sum(axis=1)[-6] > 0  # of unknown towns: it met Oslo


def test_blocks_are_a_stream(folder, frame):
    data, model = shards(folder, memory=SMALL), MLPSoftmaxClassifier(**PIECEWISE)
    towns = {"town": ["Bonn", "Oslo", "Rome", "Ulm"]}
    for X, y, w in data.blocks():
        model.partial_fit(X, y, w, classes=["no", "yes"], categories=towns)
    assert model.categories_[1].tolist() == towns["town"]
    assert model.predict(data).shape == (N,)


# -------------------------------------------------------------------------------- learning ----


def test_what_is_learned_is_that_of_all_rows(frame, tmp_path, monkeypatch):
    """Edges of bins are quantiles of a sample, if there are more rows."""
    frame = frame.assign(extra=pd.Categorical(["rare" if i == 7 else "often" for i in range(N)]))
    frame.loc[7, "w"] = 0.0
    save(tmp_path, frame)
    data = Shards(tmp_path, "target", "w", features=["age", "income", "extra"], memory=SMALL)
    is_category = np.array([False, False, True])
    table = TableShards(data, is_category, "piecewise_linear", reset=True)
    parts = [table.read_table(k) for k in range(len(data.bounds) - 1)]
    whole, weights = RawTable.join([part[0] for part in parts]), frame["w"].to_numpy()
    expected = InputEncoding.learn(whole, "piecewise_linear", 8, weights)

    def learned():
        return learn_encoding(table, is_category, "piecewise_linear", 8)

    found = learned()
    assert_allclose(found.means, expected.means, rtol=1e-12)
    assert_allclose(found.scales, expected.scales, rtol=1e-12)
    assert found.has_gaps == expected.has_gaps == [True, False]
    assert found.categories[0].tolist() == ["often"]
    for ours, theirs in zip(found.bin_edges, expected.bin_edges, strict=True):
        assert_array_equal(ours, theirs)
    monkeypatch.setattr(summaries, "FEWEST_ROWS", 400)
    sampled = learned()
    assert sampled.means == found.means
    rows = np.sort(np.random.default_rng(0).choice(N, 60_000 // 2 // 16, replace=False, shuffle=False))
    few = RawTable(whole.numbers[rows], [], np.zeros(2, dtype=bool))
    of_sample = InputEncoding.learn(few, "piecewise_linear", 8, weights[rows])
    for ours, theirs, all_of_it in zip(sampled.bin_edges, of_sample.bin_edges, found.bin_edges, strict=True):
        assert_array_equal(ours, theirs)
        assert len(ours) == len(all_of_it)
        assert (ours != all_of_it).any()


def test_one_text_makes_a_column_of_categories(frame, tmp_path):
    """Whatever the other blocks hold; and a file may have texts where others have dictionaries."""
    counts = frame["count"].to_numpy(dtype=object, copy=True)
    counts[-1] = "many"
    frame = frame.assign(count=counts)
    save(tmp_path, frame)
    pq.write_table(
        pa.Table.from_pandas(frame[-20:].assign(town=frame["town"][-20:].astype("category"))), tmp_path / "9.parquet"
    )
    for memory in (SMALL, "1MB"):
        data = shards(tmp_path, memory=memory)
        assert data.kinds[1] == "category"
        model = MLPSoftmaxClassifier(**PIECEWISE).fit(data)
        assert model.categories_[4].tolist() == [*map(str, range(9)), "many"]
        assert model.categories_[1].tolist() == ["Bonn", "Oslo", "Rome", "Ulm"]


def test_texts_that_are_numbers_are_numbers(frame, tmp_path):
    save(tmp_path, frame, row_group=40)
    for memory in ("13KB", "1MB"):
        data = Shards(tmp_path, "target", features=["count", "income"], memory=memory)
        model = MLPRegressor(**FAST).fit(data)
        assert not hasattr(model, "categories_")
        X = frame[["count", "income"]].astype(float)
        assert_array_equal(model.predict(data), model.predict(X))


def test_truth_values_some_of_which_are_missing(tmp_path):
    table = pa.table({"a": pa.array([True, None, False, True] * 30), "y": np.arange(120.0)})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=5)
    frame = pd.DataFrame({"a": [1.0, np.nan, 0.0, 1.0] * 30})
    for memory in ("1KB", "1MB"):
        data = Shards(tmp_path, "y", memory=memory)
        with pytest.raises(ValueError, match="contains NaN"):
            MLPRegressor(**FAST).fit(data)
    model = MLPRegressor(**PIECEWISE).fit(data)
    assert_array_equal(model.predict(data), model.predict(frame))


def written(folder, *columns):
    """A file for each of these columns, with another one of texts and targets."""
    rng = np.random.default_rng(0)
    for k, column in enumerate(columns):
        table = pa.table({"t": column, "w": rng.choice(["u", "v"], len(column)), "y": rng.normal(size=len(column))})
        pq.write_table(table, folder / f"{k}.parquet")
    return Shards(folder, "y")


TEXTS = pa.array(["a", "b", None, "1"] * 15)
WHOLE = pa.array([1, 2, None, 0] * 15)
OF_ONE_COLUMN = {
    "texts": (TEXTS, "text"),
    "large texts": (TEXTS.cast(pa.large_string()), "text"),
    "dictionary": (TEXTS.dictionary_encode(), "category"),
    "ordered": (pa.DictionaryArray.from_arrays(pa.array([0, 1] * 30, pa.int8()), ["b", "c"], ordered=True), "category"),
    "whole": (WHOLE, "number"),
    "floats": (pa.array([0.1, 1e16, np.nan, 1.0] * 15), "number"),
    "booleans": (pa.array([True, False, None, True] * 15), "number"),
}


@pytest.mark.parametrize("first", OF_ONE_COLUMN)
@pytest.mark.parametrize("second", OF_ONE_COLUMN)
def test_files_may_hold_a_column_in_different_types(first, second, tmp_path):
    """What is loaded is of one type, which is the same in each block, and what a fit makes of the files."""
    (one, kind), (other, other_kind) = OF_ONE_COLUMN[first], OF_ONE_COLUMN[second]
    data = written(tmp_path, one, other)
    assert data.kinds[0] == max(kind, other_kind, key=["number", "text", "category"].index)
    X, y, _ = data.load()
    assert len(X) == 120
    kinds = {str(block["t"].dtype) for block, _, _ in data.blocks()}
    assert kinds == {str(X["t"].dtype)} or data.kinds[0] != "text"
    assert all(
        isinstance(block["t"].dtype, pd.CategoricalDtype) for block, _, _ in data.blocks() if "category" in kinds
    )
    on_disk, loaded = MLPRegressor(**PIECEWISE).fit(data), MLPRegressor(**PIECEWISE).fit(X, y)
    for ours, theirs in zip(on_disk.categories_, loaded.categories_, strict=True):
        assert_array_equal([] if ours is None else ours, [] if theirs is None else theirs)
    assert_array_equal(on_disk.predict(data), loaded.predict(X))


# ---------------------------------------------------------------------------------- errors ----


@pytest.fixture(scope="module")
def fitted(frame):
    return MLPRegressor(**PIECEWISE).fit(inputs(frame), frame["target"])


@pytest.mark.parametrize("memory", [SMALL, "1MB"])
@pytest.mark.parametrize(
    ("change", "params", "message"),
    [
        ({}, {"numeric_encoder": "identity"}, r"columns \['age'\] have missing numbers"),
        ({}, {"categorical_features": None}, "'town' holds .* but is not in categorical_features"),
        ({}, {"categorical_features": ["city"]}, r"\['city'\], but the columns of X are \['age'"),
        ({"income": np.inf}, {}, "'income' holds infinity"),
        ({"w": -1.0}, {}, "Negative values in data passed to `sample_weight`"),
        ({"w": np.nan}, {}, "sample_weight contains NaN"),
        ({"target": np.nan}, {}, "Input y contains NaN"),
    ],
)
def test_wrong_rows_are_found_wherever_they_are(change, params, message, memory, frame, fitted, tmp_path):
    bad = frame.copy()
    for name, value in change.items():
        bad.loc[N - 2, name] = value
    data = shards(save(tmp_path, bad), "target", memory=memory)
    model = copy.copy(fitted).set_params(**params)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(data)
    assert vars(model) == before


@pytest.mark.filterwarnings("ignore:Column . has a large scale")
def test_what_cannot_be_predicted_for(folder, frame):
    model = MLPSoftmaxClassifier(**PIECEWISE).fit(shards(folder, memory=SMALL))
    for features, text in (
        (["town", "age", "size", "member", "count", "income"], "in the same order: fit had"),
        (["age", "town"], "in the same order: fit had"),
    ):
        with pytest.raises(ValueError, match=text):
            model.predict(Shards(folder, features=features, memory=SMALL))
    nameless = MLPSoftmaxClassifier(**PIECEWISE).fit(np.eye(3), [0, 1, 1])
    with pytest.raises(ValueError, match="X has 2 features, but MLPSoftmaxClassifier is expecting 3"):
        nameless.predict(Shards(np.zeros((30, 2))))
    plain = MLPRegressor(**FAST).fit(frame[["income"]], frame["target"])
    with pytest.raises(ValueError, match="'town' holds"):
        MLPRegressor(**FAST).fit(np.eye(6), np.arange(6.0)).predict(shards(folder, memory=SMALL))
    assert plain.predict(Shards(folder, features=["income"], memory=SMALL)).shape == (N,)


# ----------------------------------------------------------------- interrupted and resumed ----


def interrupting(model, X, y):
    """A scorer at whose second call Ctrl-C is pressed."""
    interrupting.n_calls += 1
    if interrupting.n_calls == 2:
        raise KeyboardInterrupt
    return model.score(X, y)


def test_ctrl_c_keeps_the_model_so_far(folder):
    data = shards(folder, memory=SMALL)
    model = MLPSoftmaxClassifier(**PIECEWISE | {"max_iter": 9}, early_stopping=True, scoring=interrupting)
    interrupting.n_calls = 0
    with pytest.raises(KeyboardInterrupt):
        model.fit(data)
    assert 1 <= model.n_iter_ < 9
    assert model.predict(data).shape == (N,)


@pytest.mark.slow
def test_a_checkpoint_goes_on_to_the_same_bits(folder, frame, tmp_path):
    params = PIECEWISE | {"max_iter": 5, "epochs": 5, "shuffle": True, "early_stopping": True}
    data = shards(folder, memory=SMALL)
    straight = MLPSoftmaxClassifier(**params).fit(data)
    interrupting.n_calls = 0
    with pytest.raises(KeyboardInterrupt):
        MLPSoftmaxClassifier(**params, scoring=interrupting).fit(data, checkpoint=tmp_path / "run")
    resumed = MLPSoftmaxClassifier(**params, scoring=interrupting).fit(data, checkpoint=tmp_path / "run")
    assert resumed.n_iter_ == straight.n_iter_
    for ours, theirs in zip(resumed.loss_curve_, straight.loss_curve_, strict=True):
        assert ours == theirs
    other = save(tmp_path, frame.assign(town=frame["town"].where(frame["town"] != "Ulm", "Bonn")))
    with pytest.raises(ValueError, match="is of another fit"):
        MLPSoftmaxClassifier(**params, scoring=interrupting).fit(
            shards(other, memory=SMALL), checkpoint=tmp_path / "run"
        )


@pytest.mark.parametrize("memory", ["3KB", "1MB"])
def test_numbers_that_only_float64_holds(memory, tmp_path):
    table = pd.DataFrame({"a": [1.0, 2.0] * 99 + [1e300] * 2, "s": ["u", "v"] * 100, "y": np.arange(200.0)})
    table.to_parquet(tmp_path / "rows.parquet", row_group_size=5)
    data = Shards(tmp_path, "y", memory=memory)
    with pytest.raises(ValueError, match=r"too large for float32.*dtype='float64'"):
        MLPRegressor(**FAST, dtype="float32", batch_size=4).fit(data)


def test_weights_with_an_infinite_sum_are_an_error():
    X, w = np.random.default_rng(0).normal(size=(200, 2)), np.full(200, 1.7e308)
    with pytest.raises(ValueError, match="sample_weight"):
        MLPSoftmaxClassifier((3,), max_iter=2, random_state=0).fit(Shards(X, (X[:, 0] > 0).astype(int), w, memory=2000))
