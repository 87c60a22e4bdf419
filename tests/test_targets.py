"""From y to Y and back."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from skbackprop import MLPRegressor
from skbackprop._checks.constraints import fit_spec
from skbackprop._fit.summaries import NumberSummary
from skbackprop._fit.targets import LabelCodec, NumberCodec, moments_of
from skbackprop.data import Shards


def scaled(y, weights=None, **params):
    spec = fit_spec(MLPRegressor(**params))
    return NumberCodec.learn(y, spec).scaled(lambda: moments_of(y, weights), spec)


@pytest.mark.parametrize(
    "y",
    [
        ["b", "a", "c", "a"],
        [3, -1, 7, -1],
        [True, False, True, True],
        np.array(["x", "yy", "x"], dtype=object),
        [1.0, 2.0, 1.0],
    ],
    ids=["strings", "ints", "bools", "objects", "floats"],
)
def test_codes_of_any_label_and_back(y):
    y = np.asarray(y)
    labels = LabelCodec.learn(y)
    Y = labels.encode(y, np.float64)
    assert Y.dtype == np.int64
    assert_array_equal(labels.classes[Y], y)
    one_hot = np.eye(len(labels.classes))[Y]
    assert_array_equal(labels.decode(one_hot), y)
    assert labels.decode(one_hot).dtype == y.dtype


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, sp.csr_array], ids=["dense", "matrix", "array"])
def test_multilabel_indicators(make):
    y = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1]])
    labels = LabelCodec.learn(make(y))
    assert labels.multilabel
    assert_array_equal(labels.encode(make(y), np.float32), y)
    assert_array_equal(labels.decode(np.where(y > 0, 0.1, -0.1)), y)


def test_unknown_labels_are_named():
    with pytest.raises(ValueError, match=r"\['z'\].*known classes \['a', 'b'\]"):
        LabelCodec.learn(np.array(["a", "b"])).encode(np.array(["a", "z"]), np.float64)


def test_several_multiclass_columns_are_refused_with_advice():
    with pytest.raises(ValueError, match="MultiOutputClassifier"):
        LabelCodec.learn(np.array([[1, 2], [3, 0], [2, 2]]))


def test_codec_standardises_with_weights(rng):
    y, w = rng.normal(3.0, 2.0, (50, 2)), rng.random(50)
    codec = scaled(y, w)
    Y = codec.encode(y, np.float64)
    assert_allclose(np.average(Y, axis=0, weights=w), 0.0, atol=1e-12)
    assert_allclose(np.average(Y**2, axis=0, weights=w), 1.0, rtol=1e-12)
    assert_allclose(codec.decode(Y)[0], y, rtol=1e-12)


def test_codec_of_log_links_divides_by_the_mean_only():
    y = np.array([[1.0], [3.0]])
    codec = scaled(y, np.array([1.0, 3.0]), loss="poisson")
    assert_allclose([codec.shift[0], codec.scale[0]], [0.0, 2.5])


def test_codec_of_a_constant_target_is_one():
    codec = scaled(np.full((5, 1), 0.1))
    assert codec.scale[0] == 1.0
    assert_allclose(codec.encode(np.full((5, 1), 0.1), np.float32), 0.0, atol=1e-7)


def test_codec_keeps_the_digits_of_large_targets_in_float32():
    y = 1e9 + np.arange(10.0)[:, None]
    codec = scaled(y)
    assert_allclose(codec.encode(y, np.float32).std(), 1.0, rtol=1e-5)


TINY = -565  # exponent: 2.0**TINY is 8e-171, whose square underflows


@pytest.mark.parametrize("weighted", [False, True], ids=["no weights", "weights"])
@pytest.mark.parametrize("memory", [None, "1MB", "3KB"], ids=["array", "loaded", "streamed"])
def test_networks_of_tiny_targets_are_those_of_large_ones(rng, memory, weighted):
    X, w = rng.normal(size=(120, 3)), rng.random(120) if weighted else None
    y = np.stack([X[:, 0], 5.0 + X[:, 1]], axis=1)

    def fitted(y):
        model = MLPRegressor((8,), max_iter=4, batch_size=8, early_stopping=True, random_state=0)
        if memory is None:
            return model.fit(X, y, sample_weight=w)
        return model.fit(Shards(X, y, w, memory=memory))

    large, tiny = fitted(y), fitted(np.ldexp(y, TINY))
    assert_array_equal(tiny.coefs_[0], large.coefs_[0])
    assert_array_equal(tiny.target_scale_, np.ldexp(large.target_scale_, TINY))
    assert_array_equal(tiny.predict(X), np.ldexp(large.predict(X), TINY))


def test_means_of_tiny_targets_are_a_scale():
    codec = scaled(np.array([[1e-305], [3e-305]]), loss="poisson")
    assert_allclose(codec.scale, 2e-305, rtol=1e-12)


@pytest.mark.parametrize("value", [0.1, 1e-200, 0.0])
def test_the_rest_of_a_constant_target_is_constant(value):
    summary, y = NumberSummary(), np.full((30, 1), value)
    summary.add(y, np.full(30, 0.1))
    rest = summary.without(y[:7], np.full(7, 0.1))
    spec = fit_spec(MLPRegressor())
    assert NumberCodec.learn(y, spec).scaled(lambda: rest.moments, spec).scale == 1.0


def test_larger_targets_of_weight_zero_change_no_deviation(rng):
    summary, y, w = NumberSummary(), 1e-3 * rng.normal(size=(40, 1)), np.ones(40)
    summary.add(y, w)
    summary.add(1e6 * y, np.zeros(40))
    assert_allclose(summary.moments.deviation, y.std(axis=0), rtol=1e-12)
    assert_allclose(summary.without(y[:10], w[:10]).moments.deviation, y[10:].std(axis=0), rtol=1e-12)


def test_codec_tells_of_overflow():
    with pytest.raises(ValueError, match="too large to be scaled"):
        scaled(np.array([[1e300], [-1e300]]))


def test_decoded_quantiles_do_not_cross():
    codec = NumberCodec("quantile", 1, np.array([1.0]), np.array([2.0]))
    y, _ = codec.decode(np.array([[0.5, 0.1, 0.3]]))
    assert_allclose(y, [[[1.2, 1.6, 2.0]]])


def test_decoded_gaussian():
    codec = NumberCodec("gaussian", 1, np.array([1.0]), np.array([2.0]))
    y, std = codec.decode(np.array([[0.5, np.log(9.0 - 1e-4)]]))
    assert_allclose([y, std], [[[2.0]], [[6.0]]])
