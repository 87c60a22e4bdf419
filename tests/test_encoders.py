"""The table of input encodings: what they learn of weighted rows, and their forward in array operations."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor
from skbackprop._nn.encoders import ENCODERS, Column, bin_codes, bin_edges
from skbackprop.preprocessing import PiecewiseLinearEncoder


def test_the_identity_changes_nothing():
    x = np.array([1.0, -3.0, 7.0])
    encoder = ENCODERS["identity"]
    assert_array_equal(encoder.forward(np, x, encoder.learn(x, None, 8)), x[:, None])
    assert not encoder.takes_nan


def test_piecewise_linear_is_the_scaled_number_beside_its_codes():
    rng = np.random.default_rng(0)
    x = rng.lognormal(size=300)
    encoder = ENCODERS["piecewise_linear"]
    column = encoder.learn(x, None, 8)
    made = encoder.forward(np, x, column)
    assert_allclose(made[:, :1], StandardScaler().fit_transform(x[:, None]), rtol=1e-12)
    assert_allclose(made[:, 1:], PiecewiseLinearEncoder().fit_transform(x[:, None]), rtol=1e-12)
    assert not column.has_gaps


def test_a_missing_number_has_an_input_of_its_own_if_there_were_some():
    x = np.array([1.0, 2.0, np.nan, 4.0])
    encoder = ENCODERS["piecewise_linear"]
    column = encoder.learn(x, None, 2)
    assert_allclose(column.mean, 7 / 3)
    assert_array_equal(column.edges, [1.0, 2.0, 4.0])
    made = encoder.forward(np, x, column)
    assert_array_equal(made[2], [0.0, 0.0, 0.0, 1.0])
    assert_array_equal(made[:, -1], [0.0, 0.0, 1.0, 0.0])
    without = encoder.learn(x[:2], None, 2)
    assert_array_equal(encoder.forward(np, x[2:3], without), [[0.0] * (1 + len(without.edges) - 1)])


def test_weights_count_as_repeated_rows_and_zero_as_absent():
    rng = np.random.default_rng(0)
    x, weights = rng.standard_normal(100), rng.integers(0, 4, 100)
    x[::7] = np.nan
    encoder = ENCODERS["piecewise_linear"]
    ours, theirs = encoder.learn(x, weights.astype(float), 8), encoder.learn(np.repeat(x, weights), None, 8)
    assert_allclose([ours.mean, ours.scale], [theirs.mean, theirs.scale], rtol=1e-12)
    assert_array_equal(ours.edges, theirs.edges)
    assert_array_equal(encoder.learn(np.array([1.0, 5.0]), np.array([1.0, 0.0]), 8).edges, [1.0])


@pytest.mark.parametrize("x", [np.full(5, 0.1), np.full(5, np.nan), np.full(5, 1e300)])
def test_columns_without_spread(x):
    encoder = ENCODERS["piecewise_linear"]
    column = encoder.learn(x, None, 8)
    assert column.scale == 1.0
    assert len(column.edges) == 1
    assert np.isfinite(encoder.forward(np, x, column)).all()


def test_codes_of_edges_that_float32_cannot_tell_apart():
    x = np.array([0.0, 1.0], dtype=np.float32)
    codes = bin_codes(np, x, np.array([1e-9, 2e-9]), -1.0, 1.0)
    assert codes.dtype == np.float32
    assert_array_equal(codes, [[-1.0], [1.0]])
    assert_array_equal(bin_edges(np.array([np.nan]), None, 8), [0.0])
    assert Column().edges.shape == (1,)


def test_the_forward_runs_on_any_array():
    xp = pytest.importorskip("array_api_strict")
    x = np.array([0.5, np.nan, 3.0])
    for name, encoder in ENCODERS.items():
        column = encoder.learn(x, None, 2)
        made = encoder.forward(xp, xp.asarray(x), column)
        assert_allclose(np.asarray(made), encoder.forward(np, x, column), err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [1.0, 0.95, 0.5, 0.25, 1e-5])
@pytest.mark.filterwarnings("error")
def test_codes_up_to_the_largest_numbers(dtype, share):
    largest = dtype(share * np.finfo(dtype).max)
    x = np.array([-largest, 0.0, largest / 2, largest, np.nan], dtype)
    expected = np.array([[-1.0], [0.0], [0.5], [1.0], [0.0]])
    assert_allclose(PiecewiseLinearEncoder(1).fit(x[:, None]).transform(x[:, None]), expected, rtol=1e-6)
    assert_allclose(bin_codes(np, x, bin_edges(x, None, 1), 0.0, 1.0), (expected + 1) / 2, rtol=1e-6)
    halves = PiecewiseLinearEncoder(2).fit(x[[0, 1, 3], None]).transform(x[:4, None])
    assert_allclose(halves, [[-1.0, -1.0], [1.0, -1.0], [1.0, 0.0], [1.0, 1.0]], rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_codes_of_new_numbers_far_from_the_edges():
    """Their distance from an edge overflows; and edges of float64 are beyond float32."""
    edges = np.array([-8e307, 8e307])
    assert_array_equal(bin_codes(np, np.array([-1.7e308, 1.7e308]), edges, -1.0, 1.0), [[-1.0], [1.0]])
    x = np.array([-1e38, 0.0, 1e38], np.float32)
    for edges, expected in (([-1e300, 0.0], [1, 1, 1]), ([-1e300, 1e300], [0, 0, 0]), ([1.0, 1e300], [-1, -1, -1])):
        codes = bin_codes(np, x, np.array(edges), -1.0, 1.0)
        assert codes.dtype == np.float32
        assert_array_equal(codes[:, 0], expected)


@pytest.mark.filterwarnings("error")
def test_the_estimator_encodes_the_largest_numbers_it_takes():
    x = np.linspace(-1.875, 1.875, 31)[:, None]  # multiples of 1/8
    settings = {"numeric_encoder": "piecewise_linear", "n_bins": 4, "max_iter": 5, "random_state": 0}
    for dtype in (np.float32, np.float64):
        small, largest = x.astype(dtype), (x * 2.0**127).astype(dtype)
        expected = MLPRegressor(**settings).fit(small, x[:, 0]).predict(small)
        assert_array_equal(MLPRegressor(**settings).fit(largest, x[:, 0]).predict(largest), expected)
