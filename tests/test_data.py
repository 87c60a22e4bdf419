"""Rows on the disk: what is read, how it is shuffled, what stays in memory, and that fits are those of arrays."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import accuracy_score, make_scorer

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._engines.compiled import CompiledEngine
from skbackprop._fit.block import Block
from skbackprop._fit.source import hold_out
from skbackprop._fit.spec import REGIMES
from skbackprop._fit.split import validation_shares
from skbackprop._fit.streaming import DiskTrainingSet
from skbackprop._fit.summaries import LabelSummary, NumberSummary
from skbackprop._fit.training import run_epoch
from skbackprop._nn.network import Network, Objective
from skbackprop._nn.optimizers import Optimizer
from skbackprop.data import Shards, parse_bytes

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N, WIDTH = 3000, 6
SMALL = {"memory": "40KB", "block_rows": 10}  # 3000 rows of 6 features in float32 take 72 kB
FAST = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0, "weight_decay": 0.1}


@pytest.fixture(scope="module")
def rows():
    """Inputs in float32, three classes, a target, and weights whose sums have no rounding."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, WIDTH)).astype(np.float32)
    v = X[:, :3] + 0.2 * rng.normal(size=(N, 3))
    return X, np.argmax(v, axis=1), 100.0 + 7.0 * v[:, 0], rng.integers(0, 9, N) / 4.0


def parameters(model):
    return [*model.coefs_, *model.intercepts_]


def assert_same_bits(one, two):
    for ours, theirs in zip(parameters(one), parameters(two), strict=True):
        assert_array_equal(ours, theirs)
    assert one.loss_curve_ == two.loss_curve_
    assert one.validation_loss_curve_ == two.validation_loss_curve_


def save_npy(folder, X, y, w, n_files=4):
    for k, part in enumerate(np.array_split(np.arange(len(X)), n_files)):
        np.save(folder / f"X-{k}.npy", X[part])
        np.save(folder / f"y-{k}.npy", y[part])
        if w is not None:
            np.save(folder / f"sample_weight-{k}.npy", w[part])
    return folder


def save_parquet(folder, X, y, w, n_files=3, row_group=100):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    for k, part in enumerate(np.array_split(np.arange(len(X)), n_files)):
        columns = {f"x{j}": X[part, j] for j in range(X.shape[1])} | {"target": y[part]}
        columns |= {} if w is None else {"w": w[part]}
        pq.write_table(pa.table(columns), folder / f"part-{k}.parquet", row_group_size=row_group)
    return folder


def sources(kind, folder, X, y, w):
    """The same rows in each of the ways in which they can be stored: what Shards takes."""
    if kind == "folder":
        return {"X": save_npy(folder, X, y, w)}
    if kind == "parquet":
        names = {"y": "target"} | ({} if w is None else {"sample_weight": "w"})
        return {"X": save_parquet(folder, X, y, w), **names}
    if kind == "files":
        save_npy(folder, X, y, w, 1)
        paths = {"X": str(folder / "X-0.npy"), "y": folder / "y-0.npy"}
        return paths | ({} if w is None else {"sample_weight": folder / "sample_weight-0.npy"})
    if kind == "maps":
        np.save(folder / "X.npy", X)
        return {"X": np.load(folder / "X.npy", mmap_mode="r"), "y": y, "sample_weight": w}
    return {"X": [X[:1000], X[1000:]], "y": [y[:1000], y[1000:]]} | (
        {} if w is None else {"sample_weight": [w[:1000], w[1000:]]}
    )


KINDS = ["folder", "parquet", "files", "maps", "arrays"]

# -------------------------------------------------------------------------- what is read ----


@pytest.mark.parametrize("kind", KINDS)
def test_all_rows_are_read_in_order(kind, tmp_path, rows):
    X, y, _, w = rows
    data = Shards(**sources(kind, tmp_path, X, y, w), **SMALL)
    assert (data.shape, data.dtype, len(data)) == ((N, WIDTH), np.float32, N)
    for ours, theirs in zip(data.load(), (X, y, w), strict=True):
        assert_array_equal(ours, theirs)
    blocks = list(data.blocks())
    assert len(blocks) > 8
    assert_array_equal(np.concatenate([block[0] for block in blocks]), X)
    assert_array_equal(np.concatenate([block[1] for block in blocks]), data.y)
    assert_array_equal(np.concatenate([block[2] for block in blocks]), data.sample_weight)


def test_other_dtypes_and_orders_of_arrays(tmp_path, rng):
    X = rng.integers(-5, 5, (50, 3))
    np.save(tmp_path / "X.npy", np.asfortranarray(X))
    big = X.astype(">f8")
    np.save(tmp_path / "big.npy", big)
    for given_, dtype in ((tmp_path / "X.npy", np.int64), (tmp_path / "big.npy", np.float64), (X[::-1], np.int64)):
        data = Shards(given_, block_rows=7)
        assert data.dtype == dtype
        assert_array_equal(data.load()[0], X[::-1] if given_ is not tmp_path and isinstance(given_, np.ndarray) else X)
        out = np.empty((7, 3), np.float32)
        data.read(1, out)
        assert_array_equal(out, data.load()[0][7:14])
        assert data.y is None


def test_maps_keep_what_was_written_to_them(tmp_path, rng):
    """Their pages are dropped once they are read: that must not drop changes."""
    np.save(tmp_path / "X.npy", rng.normal(size=(5000, 4)))
    for mode, value in (("r+", 7.0), ("c", 8.0)):
        X = np.load(tmp_path / "X.npy", mmap_mode=mode)
        X[::2] = value
        data = Shards(X[10:4000], block_rows=100)
        for _ in range(2):
            assert (data.load()[0][::2] == value).all()
        assert (X[::2] == value).all()


@pytest.mark.parametrize(
    ("text", "n_bytes"), [(10, 10), ("7", 7), ("256MB", 256 * 10**6), ("1.5 GiB", 3 * 2**29), ("2kb", 2000)]
)
def test_memory_in_words(text, n_bytes):
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["much", "-1", "1.2.3MB", "0", "3 I", None])
def test_memory_in_wrong_words(text):
    with pytest.raises(ValueError, match="memory must be"):
        parse_bytes(text)


def test_parquet_labels_names_and_chosen_columns(tmp_path, rows):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    X, codes, target, _ = rows
    names = np.asarray(["ash", "elm", "oak"])[codes]
    table = pa.table({
        "tree": pa.array(names).dictionary_encode(), "a": X[:, 0], "b": X[:, 1], "n": codes, "yes": codes > 1,
        "text": names, "t1": target, "t2": -target,
    })  # fmt: skip
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=20)
    data = Shards(tmp_path / "rows.parquet", "tree", features=["b", "a", "yes"], memory="64KB")
    assert (data.feature_names, data.dtype) == (["b", "a", "yes"], np.float64)
    assert_array_equal(data.load()[0], np.stack([X[:, 1], X[:, 0], codes > 1], axis=1))
    model = MLPSoftmaxClassifier(**FAST).fit(data)
    assert list(model.classes_) == ["ash", "elm", "oak"]
    assert list(model.feature_names_in_) == ["b", "a", "yes"]
    assert set(model.predict(data)) <= set(model.classes_)
    other = Shards(tmp_path / "rows.parquet", "tree", features=["a", "b", "yes"], **SMALL)
    with pytest.raises(ValueError, match=r"in the same order: fit had \['b', 'a', 'yes'\]"):
        model.predict(other)
    two = Shards(tmp_path / "rows.parquet", ["t1", "t2"], features=["a", "b"], **SMALL)
    assert two.y.shape == (N, 2)
    assert MLPRegressor(**FAST).fit(two).predict(two).shape == (N, 2)
    both = Shards(tmp_path / "rows.parquet", "t1", **SMALL)
    assert both.kinds == ["category", "number", "number", "number", "number", "text", "number"]
    days = table.append_column("day", pa.array(codes.astype("datetime64[D]")))
    pq.write_table(days, tmp_path / "days.parquet")
    with pytest.raises(ValueError, match=r"neither numbers nor categories or texts: day \(date32.*\)\. Encode"):
        Shards(tmp_path / "days.parquet", "t1")
    with pytest.raises(ValueError, match="'tree' holds 'ash', 'elm', 'oak', but is not in categorical_features"):
        MLPRegressor(**FAST, categorical_features=None).fit(both)
    with pytest.raises(ValueError, match=r"no columns \['c'\]; it has \['tree', 'a'"):
        Shards(tmp_path / "rows.parquet", "tree", features=["c"])


def indexed(kind, table):
    """A DataFrame with an index of this kind."""
    n = len(table)
    return {
        "counted": lambda: table,
        "unnamed": lambda: table.set_axis(np.arange(n) * 3 % n, axis=0),
        "named": lambda: table.set_axis(np.arange(n) * 3 % n, axis=0).rename_axis("id"),
        "texts": lambda: table.set_axis([f"row {i}" for i in range(n)], axis=0),
        "multi": lambda: table.set_axis([np.arange(n) // 7, np.arange(n) % 7], axis=0).rename_axis(["a", None]),
        "sorted": lambda: table.sort_values("target"),
    }[kind]()


@pytest.mark.parametrize("kind", ["counted", "unnamed", "named", "texts", "multi", "sorted"])
def test_the_index_of_a_data_frame_is_no_feature(kind, tmp_path, rows):
    pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    X, _, target, _ = rows
    table = pd.DataFrame(X[:200], columns=[f"x{j}" for j in range(WIDTH)]).assign(target=target[:200])
    written = indexed(kind, table)
    written.to_parquet(tmp_path / "rows.parquet")
    data = Shards(tmp_path / "rows.parquet", "target")
    assert (data.feature_names, data.dtype) == ([f"x{j}" for j in range(WIDTH)], np.float32)
    assert_array_equal(data.load()[0], written.drop(columns="target"))
    assert_array_equal(data.y, written["target"])


def test_an_index_that_is_asked_for_is_read(tmp_path, rows):
    pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    X = rows[0][:50]
    table = pd.DataFrame(X[:, :2], columns=["a", "b"], index=pd.Index(X[:, 2], name="c"))
    table.to_parquet(tmp_path / "rows.parquet")
    assert_array_equal(Shards(tmp_path / "rows.parquet", "a", features=["b", "c"]).load()[0], X[:, 1:3])
    data = Shards(tmp_path / "rows.parquet", "c", "c")
    assert data.feature_names == ["a", "b"]
    assert_array_equal(data.y, X[:, 2])
    assert_array_equal(data.sample_weight, X[:, 2])
    table[[]].to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=r"no columns of features beside \['c'\]; features=\[...\] names"):
        Shards(tmp_path / "rows.parquet")


def test_files_that_say_different_things_of_the_index(tmp_path, rows):
    """One was written by pandas with an index, one without, and one by a program that dropped pandas' notes."""
    pa = pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    import pyarrow.parquet as pq

    X = rows[0][:60]
    for k, part in enumerate(np.array_split(X, 4)):
        table = pd.DataFrame(part[:, :2], columns=["a", "b"])
        if k == 1:
            table.index = part[:, 2]  # __index_level_0__
        if k == 2:
            table.index = pd.Index(part[:, 2], name="id")
        table.to_parquet(tmp_path / f"part-{k}.parquet")
        if k == 3:
            bare = pa.table({"a": part[:, 0], "b": part[:, 1], "id": part[:, 2], "__index_level_0__": part[:, 3]})
            pq.write_table(bare, tmp_path / "part-3.parquet")
    data = Shards(tmp_path)
    assert data.feature_names == ["a", "b"]
    assert_array_equal(data.load()[0], X[:, :2])


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # Dask's
def test_the_index_that_dask_writes_is_no_feature(tmp_path, rows):
    pd = pytest.importorskip("pandas")
    dd = pytest.importorskip("dask.dataframe")
    pytest.importorskip("pyarrow")
    X = rows[0][:60]
    table = dd.from_pandas(pd.DataFrame(X[:, :2], columns=["a", "b"]), npartitions=2)
    for write_index in (True, False):
        table.to_parquet(tmp_path, write_index=write_index, overwrite=True)
        data = Shards(tmp_path)
        assert data.feature_names == ["a", "b"]
        assert_array_equal(data.load()[0], X[:, :2])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        *(({"features": names}, "features must be a list of names of columns, got") for names in ("ab", 3, [0], [])),
        ({"features": ["a", "a"]}, r"features names a column twice: \['a', 'a'\]"),
        ({"features": "a", "y": ["t", "t"]}, "y names a column twice"),
        *(({"y": y}, "y must be the name of a column, or a list of names, got") for y in (3, [], np.zeros(4))),
        *(({"y": "a", "sample_weight": w}, "sample_weight must be the name of a col") for w in (3, ["a"], np.ones(4))),
    ],
)
def test_wrong_names_of_columns(args, message, tmp_path):
    pytest.importorskip("pyarrow")
    table = pytest.importorskip("pandas").DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "t": ["u", "v"]})
    table.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=message):
        Shards(tmp_path / "rows.parquet", **args)
    with pytest.raises(ValueError, match="sample_weight must hold numbers"):
        _ = Shards(tmp_path / "rows.parquet", "a", "t").sample_weight
    (tmp_path / "rows.parquet").write_bytes(b"no table at all")
    for features in (None, ["a"]):
        with pytest.raises(ValueError, match=r"rows\.parquet' is not a Parquet file"):
            Shards(tmp_path / "rows.parquet", features=features)


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"pip install 'skbackprop\[parquet\]'"):
        Shards(tmp_path / "rows.parquet", "y")


A = np.zeros((4, 2))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"X": np.zeros(3)}, r"rows and columns, got an array of shape \(3,\)"),
        ({"X": np.asarray([["a", "b"]])}, "must hold numbers"),
        ({"X": A, "y": np.zeros(3)}, r"y of shape \(3,\) does not fit X of shape \(4, 2\)"),
        ({"X": [A, np.zeros((4, 3))]}, "same columns: the first has 2, another 3"),
        ({"X": [A, A], "y": [np.zeros(4)]}, "y must have as many files or arrays as X, which has 2; got 1"),
        ({"X": []}, "empty list"),
        ({"X": A[:0]}, "no rows"),
        ({"X": A, "features": ["a"]}, "features names columns of Parquet"),
        *(({"X": A, "block_rows": n}, f"block_rows must be an integer.*; got {n!r}") for n in (0, 1.5, "3", True)),
        ({"X": A, "memory": [1]}, r"memory must be a number of bytes.*; got \[1\]"),
        ({"X": A[:, :0]}, r"rows and columns, got an array of shape \(4, 0\)"),
        *(({"X": X}, f"X must be an array or the path.*, got {type(X).__name__}") for X in (None, 3, {}, sp.eye(3))),
        ({"X": A, "y": 3.0}, "y must be an array or the path.*, got float"),
        ({"X": A * 1j}, "X must hold numbers, got an array of complex128"),
        ({"X": A, "y": A[:, 0] * 1j}, "y must hold numbers or labels, got an array of complex128"),
        ({"X": A, "sample_weight": A[:, 0] * 1j}, "sample_weight must hold numbers, got an array of complex128"),
        ({"X": A, "sample_weight": A[:, 0].astype("M8[s]")}, "sample_weight must hold numbers, got an array of date"),
    ],
)
def test_wrong_data(args, message):
    with pytest.raises(ValueError, match=message):
        Shards(**args)


def test_wrong_folders_and_files(tmp_path):
    with pytest.raises(ValueError, match=r"holds neither files X\*\.npy nor \*\.parquet"):
        Shards(tmp_path)
    np.savez(tmp_path / "rows.npz", A)
    (tmp_path / "rows.npz").rename(tmp_path / "rows.npy")
    for paths in ([tmp_path / "rows.npy"], [A, tmp_path / "rows.npy"]):
        with pytest.raises(ValueError, match=r"rows.npy' is an archive \(\.npz\) of arrays"):
            Shards(*paths)
    np.save(tmp_path / "complex.npy", np.full(4, 1j))
    with pytest.raises(ValueError, match="sample_weight must hold numbers, got an array of complex128"):
        Shards(A, A[:, 0], tmp_path / "complex.npy")
    (tmp_path / "X.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"is not a \.npy file"):
        Shards(tmp_path)
    np.save(tmp_path / "X.npy", A)
    with pytest.raises(ValueError, match="In a folder"):
        Shards(tmp_path, y=np.zeros(4))
    with pytest.raises(FileNotFoundError):
        Shards(tmp_path / "Y.npy")


# ------------------------------------------------------------------------------- fits ----


@pytest.mark.parametrize("kind", KINDS)
def test_data_that_fit_into_memory_give_the_bits_of_an_ordinary_fit(kind, tmp_path, rows):
    X, y, _, w = rows
    data = Shards(**sources(kind, tmp_path, X, y, w))
    params = FAST | {"weight_decay": "auto", "early_stopping": True}
    assert_same_bits(MLPSoftmaxClassifier(**params).fit(data), MLPSoftmaxClassifier(**params).fit(X, y, w))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"class_weight": "balanced", "label_smoothing": 0.1, "n_members": 2},
        {"dropout": 0.2, "early_stopping": True, "batch_size": 37, "learning_rate": "adaptive"},
        {"dtype": "float64", "solver": "sgd", "scoring": "accuracy", "early_stopping": True},
        {"engine": "reference", "max_iter": 1},
    ],
)
def test_rows_read_in_order_give_the_bits_of_an_ordinary_fit(params, tmp_path, rows):
    X, y, _, w = rows
    params = FAST | {"shuffle": False} | params
    args = [save_npy(tmp_path, X, y, w)]
    held_out = {"X_val": X[:500], "y_val": y[:500]} if "early_stopping" in params else {}
    one = MLPSoftmaxClassifier(**params).fit(Shards(*args, **SMALL), **held_out)
    two = MLPSoftmaxClassifier(**params).fit(X, y, w, **held_out)
    assert_same_bits(one, two)
    assert one.t_ == two.t_
    assert one.auto_params_ == two.auto_params_


def test_multilabel_targets(tmp_path, rows):
    X, _, _, w = rows
    Y = (X[:, :3] > 0.3).astype(int)
    data = Shards(save_npy(tmp_path, X, Y, w), **SMALL)
    params = FAST | {"shuffle": False, "class_weight": [{0: 1, 1: 2}, "balanced", {0: 0.5}]}
    one, two = MLPSoftmaxClassifier(**params).fit(data), MLPSoftmaxClassifier(**params).fit(X, Y, w)
    # "balanced" divides sums that are added up in another order: to rounding, 3 epochs long
    for ours, theirs in zip(parameters(one), parameters(two), strict=True):
        assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "gaussian"])
def test_targets_are_scaled_by_all_rows(loss, tmp_path, rows):
    X, _, y, w = rows
    params = FAST | {"shuffle": False, "loss": loss, "max_iter": 1}
    data = Shards(save_npy(tmp_path, X, y, w), **SMALL)
    one, two = MLPRegressor(**params).fit(data), MLPRegressor(**params).fit(X, y, w)
    assert_allclose(one.target_shift_, two.target_shift_, rtol=1e-13)  # float64, the sums in another order
    assert_allclose(one.target_scale_, two.target_scale_, rtol=1e-12)
    # scaled targets differ by a rounding of float32 now and then; poisson starts at the mean of a sample of 250 rows
    assert_allclose(one.predict(X), two.predict(X), rtol=0.01 if loss == "poisson" else 1e-4)


@pytest.mark.slow
def test_shuffled_fits_learn_as_much_and_are_seeded(tmp_path, rows):
    X, y, _, _ = rows
    data = Shards(save_npy(tmp_path, X, y, None), **SMALL)
    params = {"random_state": 0, "weight_decay": 0.1, "max_iter": 10, "hidden_layer_sizes": (8,)}
    one, two = (MLPSoftmaxClassifier(**params).fit(data) for _ in range(2))
    assert_same_bits(one, two)
    other = MLPSoftmaxClassifier(**params | {"random_state": 1}).fit(data)
    assert other.loss_curve_ != one.loss_curve_
    inside = MLPSoftmaxClassifier(**params).fit(X, y)
    # 3000 rows: a standard deviation of 0.004, and both see the same rows
    assert abs(one.score(data, data.y) - inside.score(X, y)) < 0.01


def test_lbfgs_adds_blocks_up(tmp_path, rows):
    X, _, y, w = rows
    data = Shards(save_npy(tmp_path, X, y, w), **SMALL)
    params = {"solver": "lbfgs", "hidden_layer_sizes": (4,), "max_iter": 10, "random_state": 0}
    one, two = MLPRegressor(**params).fit(data), MLPRegressor(**params).fit(X, y, w)
    assert_allclose(one.loss_curve_[:10], two.loss_curve_[:10], rtol=1e-8)  # float64, and rounding grows by iterations


def test_early_stopping_holds_rows_out(tmp_path, rows):
    X, y, _, w = rows
    data = Shards(save_npy(tmp_path, X, y, w), memory="40KB")
    model = MLPSoftmaxClassifier(**FAST | {"early_stopping": True, "scoring": "accuracy"}).fit(data)
    n_most = 40_000 // 4 // (4 * WIDTH)  # a quarter of the memory
    eligible = np.count_nonzero(w)
    assert model.t_ == 3 * (N - min(n_most, round(0.1 * eligible)))
    scores = np.asarray(model.validation_scores_) * min(n_most, round(0.1 * eligible))
    assert scores.max() > 0.6 * min(n_most, round(0.1 * eligible))


def test_rows_held_out_are_not_learned_from(tmp_path, rows):
    """Not by the scaler either."""
    X, _, y, w = rows
    data = Shards(save_npy(tmp_path, X, y, w), **SMALL)
    model = MLPRegressor(**FAST | {"early_stopping": True, "max_iter": 1}).fit(data)
    targets = NumberSummary()
    targets.add(y, w)
    rng = np.random.RandomState(FAST["random_state"])  # which makes the split first
    out, _ = hold_out(data, np.float32, rng, targets, 0.1, data.memory)
    rest = np.setdiff1d(np.arange(N), out)
    assert_allclose(model.target_shift_, np.average(y[rest], weights=w[rest]), rtol=1e-12)  # sums in another order


def test_a_validation_set_on_the_disk_gives_the_bits_of_one_in_memory(tmp_path, rows):
    X, y, _, w = rows
    data = Shards(save_npy(tmp_path, X, y, w), **SMALL)
    scoring = make_scorer(accuracy_score)
    model = MLPSoftmaxClassifier(**FAST, early_stopping=True, scoring=scoring)
    one = MLPSoftmaxClassifier(**FAST, early_stopping=True, scoring=scoring).fit(X, y, X_val=data)
    two = model.fit(X, y, X_val=X, y_val=y, sample_weight_val=w)
    assert one.validation_scores_ == two.validation_scores_
    # a mean of means of blocks, in double precision, of losses in float32
    assert_allclose(one.validation_loss_curve_, two.validation_loss_curve_, rtol=1e-6)
    for ours, theirs in zip(parameters(one), parameters(two), strict=True):
        assert_array_equal(ours, theirs)


def test_the_race_takes_a_sample(tmp_path, rows, capsys):
    X, _, y, _ = rows
    data = Shards(save_npy(tmp_path, X, y, None), **SMALL)
    model = MLPRegressor((8,), max_iter=2, random_state=0, verbose=1).fit(data)
    rows_seen = [N * model.auto_params_["weight_decay"] / regime.weight_decay for regime in REGIMES.values()]
    assert any(n < N and np.isclose(n, round(n)) for n in rows_seen)  # the decay is that of a part of the rows
    assert model.auto_params_["batch_size"] == 2 ** round(np.log2(N / 128))  # of all rows, not of the sample
    out = capsys.readouterr().out
    assert "selection of weight_decay, 2 epochs of small networks: loss " in out
    assert f"streaming {N} rows in {len(data.bounds) - 1} blocks" in out


def test_predictions_block_by_block_have_the_same_bits(tmp_path, rows):
    X, y, target, _ = rows
    data = Shards(save_npy(tmp_path, X, y, None), **SMALL)
    model = MLPSoftmaxClassifier(**FAST, n_members=2).fit(X, y)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert_array_equal(getattr(model, method)(data), getattr(model, method)(X))
    for ours, theirs in zip(model.predict_proba(data, True), model.predict_proba(X, True), strict=True):
        assert_array_equal(ours, theirs)
    assert model.score(data, data.y) == model.score(X, y)
    model = MLPRegressor(**FAST, loss="gaussian").fit(X, target)
    for ours, theirs in zip(model.predict(data, return_std=True), model.predict(X, return_std=True), strict=True):
        assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match=f"has {WIDTH - 1} features"):
        model.predict(Shards(X[:, 1:], block_rows=100))


# ------------------------------------------------------------------------------ errors ----


def spoilt(rows, what):
    X, y, target, w = (part.copy() for part in rows)
    if what == "X":
        X[-1, 2] = np.nan
    elif what == "infinite":
        X[7, 0] = -np.inf
    elif what == "y":
        target[2500] = np.nan
    elif what == "negative":
        w[-2] = -1.0
    elif what == "no weight":
        w[:] = 0.0
    return X, y, target, w


@pytest.mark.parametrize("memory", ["24KB", "1MB"])
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("X", "Input X contains NaN"),
        ("infinite", "Input X contains infinity"),
        ("y", "Input y contains NaN"),
        ("negative", "Negative values in data passed to `sample_weight`"),
        ("no weight", "All values of sample_weight are zero|Sample weights must contain at least one non-zero"),
    ],
)
def test_wrong_rows_are_found_wherever_they_are(what, message, memory, tmp_path, rows):
    X, _, target, w = spoilt(rows, what)
    data = Shards(save_npy(tmp_path, X, target, w), memory=memory)
    model = MLPRegressor(**FAST).fit(rows[0], rows[2])
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(data)
    assert vars(model) == before


def test_wrong_calls(tmp_path, rows):
    X, y, target, w = rows
    data, model = Shards(save_npy(tmp_path, X, y, w), **SMALL), MLPSoftmaxClassifier(**FAST)
    with pytest.raises(ValueError, match="not to fit"):
        model.fit(data, y)
    with pytest.raises(ValueError, match="hold no targets"):
        model.fit(Shards(X, **SMALL))
    with pytest.raises(ValueError, match="hold no targets"):
        model.fit(Shards(X))
    with pytest.raises(ValueError, match=r"Set memory=[\d,]+ or more, or use smaller blocks"):
        model.fit(Shards(X, y, memory="24KB", block_rows=1000))
    with pytest.raises(ValueError, match=r"for X, y, w in data\.blocks"):
        model.partial_fit(data, None)
    with pytest.raises(ValueError, match="Unknown label type"):
        model.fit(Shards(X, target, **SMALL))
    with pytest.raises(ValueError, match="Unknown label type: y must be numbers"):
        MLPRegressor(**FAST).fit(Shards(X, np.asarray(["a", "b", "c"])[y], **SMALL))
    with pytest.raises(ValueError, match="needs y > 0"):
        MLPRegressor(**FAST, loss="gamma").fit(Shards(X, target - 100.0, **SMALL))
    with pytest.raises(ValueError, match=r"labels \[7\]"):
        model.fit(X, y, X_val=Shards(X, np.where(np.arange(N) == 2222, 7, y), **SMALL))
    with pytest.raises(ValueError, match="no row has a positive weight"):
        MLPSoftmaxClassifier(**FAST, class_weight={0: 0, 1: 0, 2: 0}).fit(data)


def test_few_blocks_bring_a_warning(rows):
    X, y, _, _ = rows
    with pytest.warns(UserWarning, match="hardly shuffled"):
        MLPSoftmaxClassifier(**FAST).fit(Shards(X, y, memory="60KB", block_rows=100))


def test_a_file_that_is_cut_off_ends_the_fit_and_its_thread(tmp_path, rows):
    X, y, _, _ = rows
    save_npy(tmp_path, X, y, None)
    data = Shards(tmp_path, **SMALL)
    whole = (tmp_path / "X-2.npy").read_bytes()
    (tmp_path / "X-2.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"X-2\.npy' ends too early"):
        MLPSoftmaxClassifier(**FAST).fit(data)
    assert not [t for t in threading.enumerate() if t.name.startswith("skbackprop")]


# --------------------------------------------------------------------------- shuffling ----


ROW_BYTES = 56  # of one feature and a class code, twice as it is encoded; the order, y, w


def make_stream(n, block_rows, memory, held_out=(), width=1):
    """A stream whose only feature is the number of the row."""
    X = np.repeat(np.arange(n, dtype=np.float64)[:, None], width, axis=1)
    source = Shards(X, np.arange(n) % 2, memory=memory, block_rows=block_rows)
    known = Block(X[:1], np.zeros(1, dtype=int))
    return DiskTrainingSet(
        source, lambda part: Block(part.X, part.y), known, float(n), source.memory, np.asarray(held_out, dtype=int)
    )


def visited(stream, rng, batch_size, shuffle=True):
    """Numbers of the rows in the order of an epoch, one array for each part."""
    return [rows.X[order, 0].astype(int) for rows, order in stream.epoch(rng, shuffle, batch_size)]


@pytest.mark.filterwarnings("ignore:A buffer holds only about")
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    n=st.integers(2, 400),
    block_rows=st.integers(1, 40),
    batch_size=st.integers(1, 60),
    room=st.integers(0, 200),
    shuffle=st.booleans(),
    data=st.data(),
)
def test_an_epoch_visits_each_row_once_in_whole_minibatches(n, block_rows, batch_size, room, shuffle, data):
    held_out = np.sort(data.draw(st.lists(st.integers(0, n - 1), max_size=n // 2, unique=True)))
    rows = 2 * min(block_rows, n) + batch_size + room
    stream = make_stream(n, block_rows, 2 * rows * ROW_BYTES, held_out)
    parts = visited(stream, np.random.RandomState(0), batch_size, shuffle)
    assert [len(part) % batch_size for part in parts[:-1]] == [0] * (len(parts) - 1)
    assert max(map(len, parts)) <= rows
    everything = np.concatenate(parts)
    kept = np.setdiff1d(np.arange(n), held_out)
    assert_array_equal(np.sort(everything) if shuffle else everything, kept)
    assert stream.n == len(kept)


def test_steps_over_buffers_have_the_bits_of_steps_over_arrays():
    """The same order of rows, from buffers and from one array."""
    stream = make_stream(1000, 10, 500 * ROW_BYTES)
    X, Y = np.arange(1000.0)[:, None], np.arange(1000) % 2
    order = np.concatenate(visited(stream, np.random.RandomState(3), 32))
    network, rates = Network((1, 4, 2), ("tanh",), loss="cross_entropy"), np.full(32, 1e-3)

    def whole():
        yield Block(X, Y), order

    results = []
    for parts in (stream.epoch(np.random.RandomState(3), True, 32), whole()):
        engine = CompiledEngine(network, Optimizer())
        engine.load(np.linspace(-1, 1, network.n_parameters), objective=Objective.over(1000, 1000.0, 0.1, 32))
        results.append((run_epoch(engine, parts, rates, 0, 32), engine.dump()[0]))
    assert results[0][0] == results[1][0]
    assert_array_equal(results[0][1], results[1][1])


class Gated(Shards):
    """A disk that stops to read after so many blocks, until it is told to go on."""

    def __init__(self, *args, most, **kwargs):
        super().__init__(*args, **kwargs)
        self.most, self.n_reads = most, 0
        self.waits, self.gate = threading.Event(), threading.Event()

    def read(self, block, out):
        self.n_reads += 1
        if self.n_reads == self.most:
            self.waits.set()
            self.gate.wait()
        return super().read(block, out)


def test_an_epoch_that_is_left_early_reads_no_further():
    """So that Ctrl-C need not wait for a buffer to be full."""
    stream = make_stream(2000, 1, 2 * 1000 * ROW_BYTES)
    stream.source = Gated(np.arange(2000.0)[:, None], np.arange(2000) % 2, block_rows=1, most=1000)
    parts = stream.epoch(np.random.RandomState(0), True, 8)
    next(parts)
    assert stream.source.waits.wait(60)  # the second buffer is half full
    stop = parts.gi_frame.f_locals["stop"]
    leaving = threading.Thread(target=parts.close)
    leaving.start()
    assert stop.wait(60)
    stream.source.gate.set()
    leaving.join(60)
    assert stream.source.n_reads == 1000
    assert not [t for t in threading.enumerate() if t.name.startswith("skbackprop")]


@pytest.mark.slow
def test_quality_of_shuffling_rows_come_anywhere_but_blocks_stay_together():
    n, block_rows, epochs = 1200, 10, 200
    stream = make_stream(n, block_rows, 2 * (2 * 100 + 8) * ROW_BYTES)
    room, n_buffers = stream.plan(8)
    assert n_buffers > 4
    rng = np.random.RandomState(0)
    positions = np.argsort([np.concatenate(visited(stream, rng, 8)) for _ in range(epochs)], axis=1)
    # each row's position is uniform: its mean over 200 epochs has the standard error n / sqrt(12 * 200), and the
    # largest of 1200 such deviations is within 4.5 of them but for one run in a hundred thousand
    error = n / np.sqrt(12 * epochs)
    assert np.abs(positions.mean(axis=0) - (n - 1) / 2).max() < 4.5 * error
    assert_allclose(positions.std(), n / np.sqrt(12), rtol=0.01)
    # how far rows move: a full shuffle moves them by n / 3 on average
    moved = np.abs(positions - np.arange(n)).mean()
    assert_allclose(moved, n / 3, rtol=0.02)
    # rows of one block come within a buffer (and the minibatch that it may leave to the next)
    spread = np.ptp(positions.reshape(epochs, -1, block_rows), axis=2)
    assert spread.max() < room + 8
    # and neighbours are a third of that buffer apart on average (a third of what it holds, which is less than its room)
    apart = np.abs(np.diff(positions.reshape(epochs, -1, block_rows), axis=2)).mean()
    assert_allclose(apart, n / n_buffers / 3, rtol=0.1)
    # rows of different blocks are as far apart as in a full shuffle, n / 3
    assert_allclose(np.abs(positions[:, 5] - positions[:, 705]).mean(), n / 3, rtol=0.1)


@pytest.mark.slow
def test_quality_of_shuffling_sorted_labels():
    """A buffer's share of a class varies as that of so many blocks drawn without replacement (Cochran, 1977, 9.2)."""
    n, block_rows = 4000, 10
    stream = make_stream(n, block_rows, 2 * (2 * 200 + 10) * ROW_BYTES)
    rng, shares, sizes = np.random.RandomState(0), [], []
    for _ in range(100):
        for part in visited(stream, rng, 1):
            shares.append(np.mean(part < n // 2))  # the labels are sorted: 0 first
            sizes.append(len(part))
    m, M = np.mean(sizes) / block_rows, n / block_rows
    expected = np.sqrt(0.25 / m * (M - m) / (M - 1))
    # 100 epochs of some twenty buffers: the deviation is known to about 2 %
    assert_allclose(np.std(shares), expected, rtol=0.08)


# ----------------------------------------------------------------------- what is learned ----


@pytest.mark.slow
def test_rows_held_out_are_stratified_and_each_as_likely(rng):
    y = np.asarray(["a"] * 70 + ["b"] * 29 + ["c"])
    w = np.ones(100)
    w[::10] = 0.0
    source = Shards(np.arange(100.0)[:, None], y, w, block_rows=7, memory=10**6)
    targets = LabelSummary()
    targets.add(y, w)
    shares = validation_shares(targets.eligible, 0.2, 100)
    times = np.zeros(100)
    for seed in range(600):
        numbers, part = hold_out(source, np.float64, np.random.RandomState(seed), targets, 0.2, 10**6)
        assert_array_equal(part.X[:, 0], numbers)
        assert_array_equal(part.y, y[numbers])
        assert_array_equal([np.sum(part.y == label) for label in "abc"], shares)
        times[numbers] += 1
    assert (times[w == 0] == 0).all()
    assert times[-1] == 0  # the only row of its class
    for stratum, label in enumerate("ab"):
        of = (y == label) & (w > 0)
        p = shares[stratum] / of.sum()
        # binomial over 600 seeds; 4.5 deviations are met by 90 rows but for one run in a thousand
        assert np.abs(times[of] - 600 * p).max() < 4.5 * np.sqrt(600 * p * (1 - p))
    assert len(hold_out(source, np.float64, np.random.RandomState(0), targets, 0.2, 4 * 8 * 3)[0]) == 3


def test_summaries_are_those_of_all_rows(rows):
    _, labels, target, w = rows
    y = np.stack([target, 1e6 + target], axis=1)
    numbers, names = NumberSummary(), LabelSummary()
    for cut in np.array_split(np.arange(N), 17):
        numbers.add(y[cut], w[cut])
        names.add(labels[cut] * 2 - 1, w[cut])
    out = np.arange(0, N, 7)
    rest = np.setdiff1d(np.arange(N), out)
    for summary, kept in ((numbers, slice(None)), (numbers.without(y[out], w[out]), rest)):
        mean = np.average(y[kept], axis=0, weights=w[kept])
        assert_allclose(summary.mean, mean, rtol=1e-13)
        variance = np.average((y[kept] - mean) ** 2, axis=0, weights=w[kept])
        assert_allclose(summary.moments.deviation**2, variance, rtol=1e-9)  # of numbers around a million
    assert_array_equal(numbers.stand_in(), [y.min(axis=0), y.max(axis=0)])
    assert_array_equal(names.values, [-1, 1, 3])
    assert_array_equal(names.counts, np.bincount(labels, w))
    assert_array_equal(names.eligible, np.bincount(labels, w > 0))
    left = names.without(labels[out] * 2 - 1, w[out])
    assert_array_equal(left.counts, np.bincount(labels[rest], w[rest]))


# ------------------------------------------------------------------------------- memory ----

MEASURE = """
import pathlib, sys, numpy as np
from skbackprop import MLPSoftmaxClassifier
from skbackprop.data import Shards
folder, how = sys.argv[1:]
def peak():  # not ru_maxrss, which begins with that of the process that started this one
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1e3
some = np.random.default_rng(0).normal(size=(2000, 128)).astype(np.float32)
MLPSoftmaxClassifier((32,), max_iter=1, random_state=0).fit(some, np.arange(2000) % 2)
before = peak()
if how == "files":
    data = Shards(folder, memory="200MB")
else:
    data = Shards(np.load(folder + "/X.npy", mmap_mode="r"), np.load(folder + "/y.npy", mmap_mode="r"), memory="200MB")
model = MLPSoftmaxClassifier((32,), max_iter=1, random_state=0, early_stopping=True).fit(data)
print(peak() - before)
assert model.predict(data).shape == (len(data),)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", ["files", "maps"])
def test_memory_stays_within_its_bound(how, tmp_path):
    """1.5 GB of rows, all but a few of them holes of a sparse file, which are read as zeros."""
    n, width = 3_000_000, 128
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (n, width))
    X[:: n // 1000] = np.random.default_rng(0).normal(size=X[:: n // 1000].shape)
    del X
    np.save(tmp_path / "y.npy", (np.arange(n) % 2).astype(np.int8))
    result = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", MEASURE, str(tmp_path), how],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    fitted, predicted = map(float, result.stdout.split())
    assert fitted < 275  # MB; 200 MB of rows, and the sample of the selection (10 MB, copied a few times)
    assert predicted < 400  # and 3 million outputs of two numbers, labels and what they are made of: 24 MB each


def test_shards_without_rows_beside_others():
    X, y = np.arange(3.0)[:, None], np.array(["a", "b", "a"], dtype=object)
    data = Shards([X[:0], X], [y[:0], y])
    assert MLPSoftmaxClassifier(max_iter=1, random_state=0).fit(data).classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize("memory", [10**6, 3000])
def test_a_warm_start_on_shards_keeps_the_names_of_the_features(memory, rng, tmp_path):
    X = rng.normal(size=(120, 3))
    pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=X[:, 0])
    frame.to_parquet(tmp_path / "1.parquet", row_group_size=4)
    model = MLPRegressor((4,), warm_start=True, max_iter=2, batch_size=8, random_state=0)
    for _ in range(2):
        model.fit(Shards(tmp_path, "y", memory=memory))
        assert model.feature_names_in_.tolist() == ["a", "b", "c"]
        assert model.n_iter_ == 2
