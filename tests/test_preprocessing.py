"""PiecewiseLinearEncoder: its bins, its codes, and its manners."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skbackprop.preprocessing import PiecewiseLinearEncoder


@parametrize_with_checks([PiecewiseLinearEncoder(), PiecewiseLinearEncoder(3, code_range=(0, 2), passthrough=True)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_bins_hold_equal_shares_of_the_rows(rng):
    x = rng.exponential(size=800)
    (edges,) = PiecewiseLinearEncoder(8).fit(x[:, None]).bin_edges_
    assert_array_equal(np.histogram(x, edges)[0][1:-1], [100] * 6)
    assert edges[0] == x.min()
    assert edges[-1] == x.max()


def test_codes_by_hand():
    X = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    encoder = PiecewiseLinearEncoder(2).fit(X)  # the median is 1, the second feature is constant
    assert_array_equal(encoder.n_bins_, [2, 0])
    codes = encoder.transform([[-9.0, 0.0], [0.25, 0.0], [2.5, 0.0], [9.0, 0.0], [np.nan, 0.0]])
    assert_allclose(codes, [[-1, -1], [-0.5, -1], [1, 0], [1, 1], [0, 0]])


def test_repeated_quantiles_are_one_edge(rng):
    x = np.where(rng.random(100) < 0.7, 0.0, rng.random(100))
    (edges,) = PiecewiseLinearEncoder(10).fit(x[:, None]).bin_edges_
    assert edges[0] == 0.0
    assert (np.diff(edges) > 0).all()
    assert len(edges) < 6


@pytest.mark.parametrize("n_bins", [3, 7, 8])
def test_weights_mean_repeated_rows_and_zero_means_absent(n_bins, rng):
    X, w = rng.normal(size=(50, 2)), rng.integers(0, 4, 50)
    weighted = PiecewiseLinearEncoder(n_bins).fit(X, sample_weight=w).bin_edges_
    repeated = PiecewiseLinearEncoder(n_bins).fit(np.repeat(X, w, axis=0)).bin_edges_
    for a, b in zip(weighted, repeated, strict=True):
        assert_array_equal(a, b)


def test_missing_values_make_no_bins(rng):
    X = rng.normal(size=(40, 2))
    X[::2, 0] = np.nan
    X[:, 1] = np.nan
    encoder = PiecewiseLinearEncoder(4, passthrough=True).fit(X)
    assert_array_equal(encoder.bin_edges_[0], PiecewiseLinearEncoder(4).fit(X[1::2, :1]).bin_edges_[0])
    assert_array_equal(encoder.n_bins_, [4, 0])
    assert_array_equal(encoder.transform(X)[0], [np.nan, np.nan, 0, 0, 0, 0])


def test_a_linear_model_on_codes_is_piecewise_linear_with_kinks_at_the_edges(rng):
    x = np.sort(rng.uniform(-3, 3, 400))[:, None]
    encoder = PiecewiseLinearEncoder(4).fit(x)
    y = np.interp(x[:, 0], encoder.bin_edges_[0], [0.0, 2.0, -1.0, 0.5, 3.0])
    assert make_pipeline(encoder, LinearRegression()).fit(x, y).score(x, y) > 1 - 1e-12


def test_names_frames_and_dtypes(rng):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(rng.normal(size=(20, 2)).astype(np.float32), columns=["age", "height"])
    encoder = PiecewiseLinearEncoder(2, passthrough=True).set_output(transform="pandas")
    out = encoder.fit_transform(frame)
    assert list(out) == ["age", "height", "age_bin0", "age_bin1", "height_bin0", "height_bin1"]
    assert set(out.dtypes) == {np.dtype(np.float32)}
    assert list(encoder.get_feature_names_out()) == list(out)
    assert PiecewiseLinearEncoder(1).fit(frame.to_numpy()).get_feature_names_out().tolist() == ["x0_bin0", "x1_bin0"]


def test_features_without_bins_have_no_codes():
    X = np.column_stack([np.ones(10), np.full(10, np.nan)])
    assert PiecewiseLinearEncoder().fit_transform(X).shape == (10, 0)
    assert_array_equal(PiecewiseLinearEncoder(passthrough=True).fit_transform(X), X)


def test_edges_that_float32_cannot_tell_apart(rng):
    X = 1e8 + rng.random((50, 1))
    encoder = PiecewiseLinearEncoder(4).fit(X)
    codes = encoder.transform(X.astype(np.float32))
    assert np.isfinite(codes).all()
    assert (np.abs(codes) <= 1).all()


@pytest.mark.parametrize("code_range", [(1, 0), (0,), (0, 1, 2), (0, np.inf), ("a", "b")])
def test_a_wrong_range_is_refused(code_range, rng):
    with pytest.raises(ValueError, match="code_range must be two finite numbers"):
        PiecewiseLinearEncoder(code_range=code_range).fit(rng.normal(size=(5, 1)))
