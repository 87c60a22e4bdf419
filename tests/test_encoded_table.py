"""Tables of codes: their rows are those that the encoders make, and training on them that on dense rows."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import OneHotEncoder

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._engines import _cpu
from skbackprop._engines.compiled import CompiledEngine
from skbackprop._engines.encoded_table import Bins, Categories, EncodedTable, Numbers, dense
from skbackprop._engines.level import level
from skbackprop._engines.reference import ReferenceEngine
from skbackprop._nn.network import Network, Objective
from skbackprop._nn.optimizers import Optimizer
from skbackprop.inspection import check_gradients, layer_outputs
from skbackprop.preprocessing import PiecewiseLinearEncoder


def binned(rows, n_bins=8, code_range=(-1, 1)):
    encoder = PiecewiseLinearEncoder(n_bins, code_range=code_range).fit(rows)
    return encoder, EncodedTable((Bins.of(rows, encoder.bin_edges_, *map(float, code_range)),))


def join(tables):
    """One table of several side by side; arrays are tables of numbers."""
    with np.errstate(over="ignore"):
        numbers = [
            [Numbers(np.ascontiguousarray(X, dtype=np.float32))] if isinstance(X, np.ndarray) else X.parts
            for X in tables
        ]
    return EncodedTable(tuple(part for parts in numbers for part in parts))


def table(n=150):
    """A table of all kinds of columns: few of a feature, which are written out, and many, which are looked up."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n, 3))
    categories = [
        EncodedTable((Categories(rng.integers(0, size, (n, 2)).astype(np.int32), np.array([size - 1, size])),))
        for size in (4, 9)  # of the first feature the last category is not known
    ]
    gaps = np.where(rng.random((n, 2)) < 0.1, np.nan, rows[:, :2])
    return join([rows, binned(rows)[1], categories[1], binned(gaps, 20, (-1, 0.5))[1], *categories])


@pytest.mark.parametrize("n_bins", [1, 3, 8, 20])
@pytest.mark.parametrize("code_range", [(-1, 1), (0.1, 0.7)])
def test_bins_are_those_of_the_encoder(n_bins, code_range):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, 5))
    rows[:, 1] = rng.integers(0, 3, 200)  # with fewer bins
    rows[:, 2] = 1.0  # with none
    rows[::9, 3] = np.nan
    rows[:, 4] += 1e9  # where float32 could not tell them apart
    encoder, _ = binned(rows, n_bins, code_range)
    asked = np.vstack([rows, 10.0 * rows, [[ends[-1] for ends in encoder.bin_edges_]]])
    made = EncodedTable((Bins.of(asked, encoder.bin_edges_, *map(float, code_range)),))
    expected = encoder.transform(asked).astype(np.float32)
    assert made.shape == expected.shape
    # the same bits, where the compiler does not contract the multiplication and the addition
    assert_allclose(np.asarray(made), expected, rtol=1e-6, atol=1e-7)
    assert len(np.unique(np.asarray(made)[:200, -1])) > 5


def test_categories_are_those_of_the_encoder():
    rows = np.array([["a", "x"], ["b", "y"], ["a", "z"]], dtype=object)
    encoder = OneHotEncoder(sparse_output=False).fit(rows)
    made = Categories(np.array([[0, 0], [1, 1], [0, 2], [2, 3]], dtype=np.int32), np.array([2, 3]))
    assert_array_equal(np.asarray(EncodedTable((made,))), np.vstack([encoder.transform(rows), np.zeros(5)]))


def test_rows_come_in_any_order():
    made = table()
    full, order = np.asarray(made), np.array([5, 3, 3, 149, 0])
    assert full.dtype == np.float32
    assert full.shape == made.shape
    for dtype in (np.float32, np.float64):
        out = np.empty((5, made.shape[1]), dtype=dtype)
        made.astype(dtype).table().encode(level(), order, out)
        assert_array_equal(out, full[order])
    for key in (order, order.tolist(), slice(3, 90, 4), full[:, 0] > 0, (slice(2, 4), slice(None)), (order, ...)):
        part = made[key]
        assert isinstance(part, EncodedTable)
        assert_array_equal(np.asarray(part), full[key])
    for wrong in (np.array([150]), np.array([-1])):
        with pytest.raises(ValueError, match="rows"):
            made.table().encode(level(), wrong, np.empty((1, made.shape[1]), np.float32))


def test_it_behaves_as_an_array():
    made = table()
    full = np.asarray(made)
    assert_array_equal(made[:, 0], full[:, 0])
    assert_array_equal(made[3], full[3])
    assert_array_equal(made[[2, 5]], full[[2, 5]])
    assert_array_equal(made[[]], full[:0])
    assert_array_equal(made[2:9, ...], full[2:9])
    assert len(made) == 150
    assert f"{made.shape}" in repr(made)
    assert np.asarray(made, dtype=np.float64).dtype == np.asarray(made.astype(np.float64)).dtype == np.float64
    assert made.largest() == np.abs(full).max()
    assert_array_equal(np.asarray(pickle.loads(pickle.dumps(made))), full)
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(made, copy=False)


def test_the_kernels_trust_nobody():
    X = table()
    bins, categories = X.parts[1].arrays(), X.parts[2].arrays()
    wrong = (
        ("bins", bins | {"bins": bins["bins"][:9]}),
        ("codes", bins | {"codes": bins["codes"].astype(float)}),
        ("categories", categories | {"sizes": categories["sizes"][:1]}),
        ("sizes", categories | {"sizes": categories["sizes"].astype(np.int32)}),
        ("fewer columns than none", categories | {"sizes": -categories["sizes"]}),
        ("values", {"values": np.zeros((149, 3), dtype=np.float32)}),
    )
    for text, part in wrong:
        with pytest.raises(ValueError, match=text):
            _cpu.Table(150, 4, [part])
    with pytest.raises(ValueError, match="at most"):
        _cpu.Table(150, 4, [{**categories, "sizes": np.array([2**62, 2**62])}])
    with pytest.raises(ValueError, match="at most"):
        _cpu.Table(0, 4, [{"values": np.zeros((0, 2**31), dtype=np.float32)}])
    for n_rows in (2**61 + 150, 2**62, 2**63 - 1):  # products of them overflow
        with pytest.raises(ValueError, match="values"):
            _cpu.Table(n_rows, 4, [{"values": np.zeros((150, 4), dtype=np.float32)}])
    with pytest.raises(ValueError, match="values"):
        _cpu.Table(-1, 4, [{"values": np.zeros((1, 3), dtype=np.float32)}])
    sizes, parts = categories["sizes"].copy(), [dict(categories)]
    parts[0]["sizes"] = sizes
    held = _cpu.Table(150, 4, parts)
    sizes[:] = 10**9
    parts[0].clear()
    out = np.empty((150, held.shape[1]), dtype=np.float32)
    held.encode(level(), np.arange(150), out)
    assert_array_equal(out, np.asarray(EncodedTable((X.parts[2],))))
    assert_array_equal(np.asarray(join([np.empty((5, 0)), np.ones((5, 2))])), np.ones((5, 2)))
    with pytest.raises(ValueError, match="out must be"):
        X.table().encode(level(), np.arange(150), np.empty((150, 3), np.float32))
    with pytest.raises(ValueError, match="no column 3"):
        _cpu.find_bins(np.zeros(150), np.zeros(3), 0.0, 1.0, bins["bins"].copy(), bins["codes"].copy(), 3)


def test_a_number_beyond_all_is_one_that_is_not_known():
    bins, categories = binned(np.linspace(-1, 1, 150)[:, None], 20)[1].parts[0], table().parts[2]
    strange = [
        replace(bins, bins=np.full_like(bins.bins, 2**16 - 1)),
        replace(categories, numbers=np.full_like(categories.numbers, 2**31 - 1)),
        replace(categories, numbers=np.full_like(categories.numbers, -1)),
    ]
    for part, expected in zip(strange, (0.0, 0.0, 0.0), strict=True):
        X = EncodedTable((part,))
        assert_array_equal(np.asarray(X), np.full(X.shape, expected))
        assert_allclose(
            *(
                MLPRegressor((5,), random_state=0, max_iter=1).fit(rows, np.arange(150.0)).predict(rows)
                for rows in (X, dense(X))
            ),
            rtol=1e-5,
        )


# ------------------------------------------------------------------------------------- engines ----

NETWORKS = [
    {},
    {"n_members": 2},
    {"n_members": 3, "input_scale": True},
    {"dropout": (0.0, 0.3)},
    {"dropout": (0.2, 0.3), "n_members": 2, "input_scale": True},
    {"activations": ("softmax",)},
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("settings", NETWORKS)
def test_looking_up_is_the_product_with_the_columns_written_out(settings, dtype):
    X, rng = table(700).astype(dtype), np.random.default_rng(0)  # more rows than a block of the kernels has
    network = Network((X.shape[1], 37, 2), **{"activations": ("tanh",), "seed": 3} | settings)
    theta = (0.3 * rng.standard_normal(network.n_parameters)).astype(dtype)
    Y, weights = rng.standard_normal((700, 2)).astype(dtype), rng.random(700).astype(dtype)
    found = []
    for cls, rows in ((CompiledEngine, X), (ReferenceEngine, X), (CompiledEngine, dense(X))):
        engine = cls(network, Optimizer("adam"))
        engine.load(theta)
        found.append([*engine.loss_and_gradient(rows, Y, weights, step=5), engine.predict(rows)])
    tol = 1e-6 if dtype == np.float64 else 2e-4
    for other in found[1:]:
        for ours, theirs in zip(found[0], other, strict=True):
            assert_allclose(ours, theirs, rtol=tol, atol=tol * np.abs(theirs).max())


@pytest.mark.parametrize("settings", NETWORKS)
def test_the_same_bits_for_any_number_of_threads_and_any_company(settings):
    X, rng = table(600).astype(np.float64), np.random.default_rng(0)
    network = Network((X.shape[1], 96, 1), **{"activations": ("relu",)} | settings)
    theta, Y = rng.standard_normal(network.n_parameters), rng.standard_normal((600, 1))
    made = []
    for n_threads in (1, 2, 5):
        engine = CompiledEngine(network, Optimizer("adam"), n_threads)
        engine.load(theta, objective=Objective(512))
        done = 0
        while done < 2:  # a call may end early, to be interrupted
            done += engine.train_steps(X, Y, None, np.arange(done * 512, 600), np.full(2 - done, 0.01), done)[1]
        made.append((engine.dump()[0], engine.predict(X)))
        assert_array_equal(engine.predict(X[7:8]), engine.predict(X)[7:8])
    for theirs in made[1:]:
        for a, b in zip(made[0], theirs, strict=True):
            assert_array_equal(a, b)


# ------------------------------------------------------------------------------------- fits ----

SETTINGS = [
    {},
    {"early_stopping": True, "n_iter_no_change": 3},
    {"n_members": 2, "input_scale": True, "dropout": 0.2, "n_threads": 2},
    {"dropout": (0.1, 0.3), "shuffle": False, "batch_size": 7},
    {"solver": "lbfgs", "batch_size": "auto"},
    {"engine": "reference", "dropout": 0.1},
    {"weight_decay": "auto", "epochs": "auto"},
]


def same(model, expected, X, rtol):
    """Models that were trained alike, one of them on columns that were written out."""
    assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=rtol)
    if expected.validation_loss_curve_ is not None:
        assert_allclose(model.validation_loss_curve_, expected.validation_loss_curve_, rtol=rtol)
    for ours, theirs in zip(model.coefs_ + model.intercepts_, expected.coefs_ + expected.intercepts_, strict=True):
        assert_allclose(ours, theirs, rtol=rtol, atol=rtol)
    ours, theirs = (getattr(m, "decision_function", m.predict)(rows) for m, rows in ((model, X), (expected, dense(X))))
    assert_allclose(ours, theirs, rtol=rtol, atol=rtol)


# rounding, which some steps of Adam make up to a thousand times as large where a gradient is near 0
RTOL = {"float64": 1e-9, "float32": 3e-3}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of L-BFGS after so few steps
@pytest.mark.parametrize(
    ("settings", "dtype"),
    [
        pytest.param(some, dtype, marks=[pytest.mark.slow] * (dtype == "float32" and some is not SETTINGS[0]))
        for some in SETTINGS
        for dtype in RTOL
    ],
)
@pytest.mark.parametrize("cls", [MLPSoftmaxClassifier, MLPRegressor])
def test_a_fit_is_that_on_columns_written_out(cls, settings, dtype):
    X, rng = table(230), np.random.default_rng(1)
    y = X[:, 0] + 0.1 * rng.standard_normal(230)
    y, weights = (np.digitize(y, [-0.5, 0.5]) if cls is MLPSoftmaxClassifier else y), rng.integers(0, 3, 230)
    for sample_weight in (None, weights):
        made = [
            cls((9,), random_state=0, max_iter=4, batch_size=16, dtype=dtype).set_params(**settings) for _ in range(2)
        ]
        for model, rows in zip(made, (X, dense(X)), strict=True):
            model.fit(rows, y, sample_weight)
        same(*made, X, RTOL[dtype])


def test_what_else_takes_a_table(tmp_path):
    X, y = table(200), np.arange(200) % 3
    X_val, y_val = table(60), np.arange(60) % 3
    rtol = RTOL["float64"]
    new = lambda: MLPSoftmaxClassifier((9,), random_state=0, max_iter=3, n_members=2, dtype="float64")  # noqa: E731
    path = tmp_path / "state"
    expected = new().fit(dense(X), y, X_val=dense(X_val), y_val=y_val)
    for _ in range(2):  # the second takes up what the first has left
        same(new().fit(X, y, X_val=X_val, y_val=y_val, checkpoint=path), expected, X, rtol)
    for other, other_val in ((X[::-1], X_val), (dense(X), dense(X_val))):  # other rows, and rows in another form
        with pytest.raises(ValueError, match="is of another fit"):
            new().fit(other, y, X_val=other_val, y_val=y_val, checkpoint=path)
    again = [new().partial_fit(rows, y, classes=[0, 1, 2]).partial_fit(rows, y) for rows in (X, dense(X))]
    same(*again, X, rtol)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        assert_allclose(getattr(expected, method)(X), getattr(expected, method)(dense(X)), rtol=rtol)
    assert_array_equal(expected.predict(X), expected.predict(dense(X)))
    for ours, theirs in zip(
        *(expected.predict_proba(rows, return_members=True) for rows in (X, dense(X))), strict=True
    ):
        assert_allclose(ours, theirs, rtol=rtol)
    for layer in (0, 1):
        assert_array_equal(layer_outputs(expected, X, layer), layer_outputs(expected, dense(X), layer))
    # of all weights the gradient is compared above, engine with engine
    assert check_gradients(new(), X, y, max_parameters=200) < 1e-6


def test_errors_are_those_of_arrays():
    X, y = table(50), np.arange(50.0)
    model = MLPRegressor((5,), random_state=0, max_iter=2)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:9])
    with pytest.raises(ValueError, match="y contains NaN"):
        model.fit(X, np.where(y > 3, y, np.nan))
    broken = join([np.where(np.arange(50)[:, None] == 3, np.nan, 1.0), X])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.fit(broken, y)
    with pytest.raises(ValueError, match="Input X contains infinity"):
        model.fit(join([np.full((50, 1), 1e300), X]), y)
    model.fit(X, y)
    with pytest.raises(ValueError, match="features, but MLPRegressor is expecting"):
        model.predict(join([X, np.ones((50, 1))]))
