"""Tables of codes: their rows are those that the encoders make, and training on them that on dense rows."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import OneHotEncoder

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._engines import _cpu
from skbackprop._fit import block, dataset
from skbackprop._fit.encoded_table import Bins, Categories, EncodedTable, dense, join
from skbackprop.inspection import check_gradients, layer_outputs
from skbackprop.preprocessing import PiecewiseLinearEncoder


def binned(rows, n_bins=8, code_range=(-1, 1)):
    encoder = PiecewiseLinearEncoder(n_bins, code_range=code_range).fit(rows)
    return encoder, EncodedTable((Bins.of(rows, encoder.bin_edges_, *map(float, code_range)),))


def table(n=150):
    """A table of all kinds of columns."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n, 3))
    numbers = rng.integers(0, 5, (n, 2)).astype(np.uint16)
    categories = Categories(numbers, np.array([4, 5]))  # of the first the last is not known
    return join([rows, binned(rows)[1], EncodedTable((categories,))])


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
    made = Categories(np.array([[0, 0], [1, 1], [0, 2], [2, 3]], dtype=np.uint16), np.array([2, 3]))
    assert_array_equal(np.asarray(EncodedTable((made,))), np.vstack([encoder.transform(rows), np.zeros(5)]))


def test_rows_come_in_any_order():
    made = table()
    full, order = np.asarray(made), np.array([5, 3, 3, 149, 0])
    assert full.dtype == np.float32
    assert full.shape == made.shape
    for dtype in (np.float32, np.float64):
        out = np.empty((5, made.shape[1]), dtype=dtype)
        made.encode(order, out)
        assert_array_equal(out, full[order])
    for key in (order, order.tolist(), slice(3, 90, 4), full[:, 0] > 0, (slice(2, 4), slice(None)), (order, ...)):
        part = made[key]
        assert isinstance(part, EncodedTable)
        assert_array_equal(np.asarray(part), full[key])
    for wrong in (np.array([150]), np.array([-1])):
        for part in made.parts[1:]:
            with pytest.raises(ValueError, match="rows"):
                part.encode(wrong, np.empty((1, 99), dtype=np.float32), 0)


def test_it_behaves_as_an_array():
    made = table()
    full = np.asarray(made)
    assert_array_equal(made[:, 0], full[:, 0])
    assert_array_equal(made[3], full[3])
    assert_array_equal(np.vstack(list(made)), full)
    assert_array_equal(np.isfinite(made), np.isfinite(full))
    assert made.mean() == full.mean()
    assert len(made) == 150
    assert f"{made.shape}" in repr(made)
    assert np.asarray(made, dtype=np.float64).dtype == np.asarray(made.astype(np.float64)).dtype == np.float64
    assert made.largest() == np.abs(full).max()
    assert_array_equal(np.asarray(pickle.loads(pickle.dumps(made))), full)
    assert not hasattr(made, "iloc")
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(made, copy=False)


def test_operators_are_those_of_the_dense_array():
    rows = table(20)
    plain = np.asarray(rows)
    for ours, numpys in (
        (rows + 1, plain + 1),
        (2 * rows, 2 * plain),
        (-rows, -plain),
        (abs(rows), abs(plain)),
        (rows > 0, plain > 0),
        (rows == rows, plain == plain),
        (rows @ np.eye(plain.shape[1], dtype=np.float32), plain),
        (np.exp(rows), np.exp(plain)),
        (np.add.reduce(rows), np.add.reduce(plain)),
        (rows[[]], plain[[]]),
    ):
        assert_array_equal(np.asarray(ours), numpys)


def test_the_kernels_trust_nobody():
    bins = table().parts[1]
    order, out = np.arange(150), np.empty((150, 30), dtype=np.float32)
    levels = np.zeros(2 * 8 + _cpu.USUAL_BINS, dtype=np.float32)
    rest = [0.0, order, out]
    with pytest.raises(ValueError, match="columns from column 10"):
        _cpu.encode_bins(bins.bins, bins.codes, bins.n_bins, levels, *rest, 10)
    with pytest.raises(ValueError, match="levels"):
        _cpu.encode_bins(bins.bins, bins.codes, bins.n_bins, levels[:-2], *rest, 0)
    with pytest.raises(ValueError, match="codes"):
        _cpu.encode_bins(bins.bins, bins.codes[:9], bins.n_bins, levels, *rest, 0)
    with pytest.raises(ValueError, match="no column 3"):
        _cpu.find_bins(np.zeros(150), np.zeros(3), 0.0, 1.0, bins.bins.copy(), bins.codes.copy(), 3)


# ------------------------------------------------------------------------------------- fits ----

SETTINGS = [
    {},
    {"early_stopping": True, "n_iter_no_change": 3},
    {"n_members": 2, "input_scale": True, "dropout": 0.2, "n_threads": 2},
    {"dropout": (0.1, 0.3), "shuffle": False, "batch_size": 7},
    {"solver": "lbfgs", "batch_size": "auto"},
    {"engine": "reference", "dropout": 0.1},
    {"dtype": "float64"},
    {"weight_decay": "auto", "epochs": "auto"},
]


def same(model, expected, X):
    assert model.loss_curve_ == expected.loss_curve_
    assert model.validation_loss_curve_ == expected.validation_loss_curve_
    for ours, theirs in zip(model.coefs_ + model.intercepts_, expected.coefs_ + expected.intercepts_, strict=True):
        assert_array_equal(ours, theirs)
    assert_array_equal(model.predict(X), expected.predict(dense(X)))


@pytest.fixture
def small_buffers(monkeypatch):
    """Let few rows be dense at a time, as of large data."""
    monkeypatch.setattr(dataset, "FEW_NUMBERS", 0)
    monkeypatch.setattr(block, "BUFFER_NUMBERS", 1500)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of L-BFGS after so few steps
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("cls", [MLPSoftmaxClassifier, MLPRegressor])
def test_a_fit_has_the_bits_of_the_dense_one(cls, settings, small_buffers):
    X, rng = table(230), np.random.default_rng(1)
    y = X[:, 0] + 0.1 * rng.standard_normal(230)
    y, weights = (np.digitize(y, [-0.5, 0.5]) if cls is MLPSoftmaxClassifier else y), rng.integers(0, 3, 230)
    for sample_weight in (None, weights):
        made = [cls((9,), random_state=0, max_iter=4, batch_size=16).set_params(**settings) for _ in range(2)]
        for model, rows in zip(made, (X, dense(X)), strict=True):
            model.fit(rows, y, sample_weight)
        same(*made, X)
    assert made[0].score(X, y) == made[1].score(dense(X), y)


def test_what_else_takes_a_table(small_buffers, tmp_path):
    X, y = table(200), np.arange(200) % 3
    X_val, y_val = table(60), np.arange(60) % 3
    new = lambda: MLPSoftmaxClassifier((9,), random_state=0, max_iter=3, n_members=2)  # noqa: E731
    path = tmp_path / "state"
    expected = new().fit(dense(X), y, X_val=dense(X_val), y_val=y_val, checkpoint=path)
    same(new().fit(X, y, X_val=X_val, y_val=y_val), expected, X)
    same(new().fit(X, y, X_val=X_val, y_val=y_val, checkpoint=path), expected, X)  # of the same rows
    again = [new().partial_fit(rows, y, classes=[0, 1, 2]).partial_fit(rows, y) for rows in (X, dense(X))]
    same(*again, X)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        assert_array_equal(getattr(expected, method)(X), getattr(expected, method)(dense(X)))
    for ours, theirs in zip(*(expected.predict(rows, return_members=True) for rows in (X, dense(X))), strict=True):
        assert_array_equal(ours, theirs)
    for layer in (0, 1):
        assert_array_equal(layer_outputs(expected, X, layer), layer_outputs(expected, dense(X), layer))
    assert check_gradients(new(), X, y) < 1e-6


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
