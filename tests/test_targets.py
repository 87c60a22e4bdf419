"""From y to Y and back, class factors, scalers and mean losses."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.class_weight import compute_class_weight

from skbackprop._fit.targets import (
    Labels,
    Scaler,
    apply_class_factors,
    class_counts,
    class_factors,
    constant_loss,
)
from skbackprop._nn.losses import LOSSES, LossArgs, smooth


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
    labels = Labels.of(y)
    Y = labels.encode(y, np.float64)
    assert Y.dtype == np.int64
    assert_array_equal(labels.classes[Y], y)
    one_hot = np.eye(len(labels.classes))[Y]
    assert_array_equal(labels.decode(one_hot), y)
    assert labels.decode(one_hot).dtype == y.dtype


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, sp.csr_array], ids=["dense", "matrix", "array"])
def test_multilabel_indicators(make):
    y = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1]])
    labels = Labels.of(make(y))
    assert labels.multilabel
    assert_array_equal(labels.encode(make(y), np.float32), y)
    assert_array_equal(labels.decode(np.where(y > 0, 0.1, -0.1)), y)


def test_unknown_labels_are_named():
    with pytest.raises(ValueError, match=r"\['z'\].*known classes \['a', 'b'\]"):
        Labels.of(np.array(["a", "b"])).encode(np.array(["a", "z"]), np.float64)


def test_several_multiclass_columns_are_refused_with_advice():
    with pytest.raises(ValueError, match="MultiOutputClassifier"):
        Labels.of(np.array([[1, 2], [3, 0], [2, 2]]))


def test_smoothing():
    Y = np.eye(4)[[0, 2]]
    assert_allclose(smooth(Y, 0.2, False), 0.8 * Y + 0.05)
    assert_allclose(smooth(np.array([[1.0, 0.0]]), 0.2, True), [[0.9, 0.1]])
    assert smooth(Y, 0.0, False) is Y


def test_balanced_factors_are_scikit_learns_and_use_the_weights():
    y = np.array([0, 0, 0, 1, 2, 2])
    labels = Labels.of(y)
    Y = labels.encode(y, np.float64)
    ours = class_factors("balanced", labels, class_counts(Y, None), len(y))
    assert_allclose(ours, compute_class_weight("balanced", classes=labels.classes, y=y))
    w = np.array([1.0, 2.0, 0.0, 1.0, 3.0, 1.0])
    balanced = apply_class_factors(class_factors("balanced", labels, class_counts(Y, w), len(y)), Y, w)
    assert_allclose([balanced[y == c].sum() for c in range(3)], 8 / 3)
    w = np.array([1.0, 2.0, 0.0, 0.0, 3.0, 1.0])
    assert class_factors("balanced", labels, class_counts(Y, w), len(y))[1] == 0.0  # no weight, no factor


def test_class_weight_dicts():
    labels = Labels.of(np.array(["a", "b", "c"]))
    assert_array_equal(class_factors({"b": 5.0}, labels, np.ones(3), 3), [1.0, 5.0, 1.0])
    assert_array_equal(class_factors({"b": 5.0, "z": 2.0}, labels, np.ones(3), 3), [1.0, 5.0, 1.0])
    assert_array_equal(class_factors({}, labels, np.ones(3), 3), 1.0)
    with pytest.raises(
        ValueError, match=r"\['y', 'z'\], none of which is among the classes \['a', 'b', 'c'\]"
    ):
        class_factors({"y": 1.0, "z": 1.0}, labels, np.ones(3), 3)
    with pytest.raises(ValueError, match="finite number >= 0"):
        class_factors({"a": -1.0}, labels, np.ones(3), 3)


def test_multilabel_class_weight_lists():
    y = np.array([[1, 0], [1, 1], [0, 0], [1, 0]])
    labels = Labels.of(y)
    counts = class_counts(y, None)
    factors = class_factors([{1: 3.0}, "balanced"], labels, counts, 4)
    assert_allclose(factors, [[1.0, 4 / (2 * 3)], [3.0, 4 / (2 * 1)]])
    assert_allclose(apply_class_factors(factors, y, None), [3 * 2 / 3, 3 * 2.0, 2 / 3, 3 * 2 / 3])
    with pytest.raises(ValueError, match=r"one entry per label \(2\)"):
        class_factors(["balanced"], labels, counts, 4)
    for wrong in ({1: 2.0, 7: 1.0}, "equal", None):
        with pytest.raises(ValueError, match="must be 'balanced' or a dict with factors of 0 and 1"):
            class_factors(["balanced", wrong], labels, counts, 4)


def test_scaler_standardises_with_weights(rng):
    y, w = rng.normal(3.0, 2.0, (50, 2)), rng.random(50)
    scaler = Scaler.learn(y, w, LOSSES["squared_error"], True)
    Y = scaler.encode(y, np.float64, LOSSES["squared_error"])
    assert_allclose(np.average(Y, axis=0, weights=w), 0.0, atol=1e-12)
    assert_allclose(np.average(Y**2, axis=0, weights=w), 1.0, rtol=1e-12)
    assert_allclose(scaler.decode(Y, "squared_error")[0], y, rtol=1e-12)


def test_scaler_of_log_links_divides_by_the_mean_only():
    y = np.array([[1.0], [3.0]])
    scaler = Scaler.learn(y, np.array([1.0, 3.0]), LOSSES["poisson"], True)
    assert_allclose([scaler.shift[0], scaler.scale[0]], [0.0, 2.5])


def test_scaler_of_a_constant_target_is_one():
    scaler = Scaler.learn(np.full((5, 1), 0.1), None, LOSSES["squared_error"], True)
    assert scaler.scale[0] == 1.0
    assert_allclose(scaler.encode(np.full((5, 1), 0.1), np.float32, LOSSES["squared_error"]), 0.0, atol=1e-7)


def test_scaler_keeps_the_digits_of_large_targets_in_float32():
    y = 1e9 + np.arange(10.0)[:, None]
    scaler = Scaler.learn(y, None, LOSSES["squared_error"], True)
    assert_allclose(scaler.encode(y, np.float32, LOSSES["squared_error"]).std(), 1.0, rtol=1e-5)


def test_scaler_tells_of_overflow():
    with pytest.raises(ValueError, match="too large to be scaled"):
        Scaler.learn(np.array([[1e300], [-1e300]]), None, LOSSES["squared_error"], True)


def test_decoded_quantiles_do_not_cross():
    scaler = Scaler(np.array([1.0]), np.array([2.0]))
    y, _ = scaler.decode(np.array([[0.5, 0.1, 0.3]]), "quantile")
    assert_allclose(y, [[[1.2, 1.6, 2.0]]])


def test_decoded_gaussian():
    scaler = Scaler(np.array([1.0]), np.array([2.0]))
    y, std = scaler.decode(np.array([[0.5, np.log(9.0 - 1e-4)]]), "gaussian")
    assert_allclose([y, std], [[[2.0]], [[6.0]]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.task != "regression"])
def test_constant_loss_is_the_mean_over_the_rows(name, smoothing, rng, monkeypatch):
    """From the shares of the labels alone, or from each class once, it is what all rows give."""
    loss, args = LOSSES[name], LossArgs(label_smoothing=smoothing)
    w = rng.random(40)
    Y = rng.integers(1, 4, 40)  # one of five classes is never met
    rows = np.eye(5)[Y]
    if loss.task == "multilabel":
        Y = rows = rng.integers(0, 2, (40, 3)).astype(float)
    y = smooth(rows, smoothing, loss.task == "multilabel")
    v = loss.constant(y, w, args)
    expected = np.average(loss.value(np, np.broadcast_to(v, (40, len(v))), y, args), weights=w)
    assert_allclose(constant_loss(name, Y, w, args, 5), expected, rtol=1e-12)
    monkeypatch.setitem(LOSSES, name, replace(loss, quadratic=None))
    assert_allclose(constant_loss(name, Y, w, args, 5), expected, rtol=1e-12)


def test_class_counts():
    w = np.array([0.5, 2.0, 0.0])
    assert_array_equal(class_counts(np.array([0, 2, 2]), None, 4), [1.0, 0.0, 2.0, 0.0])
    assert_array_equal(class_counts(np.array([0, 2, 2]), w, 4), [0.5, 0.0, 2.0, 0.0])
    assert_array_equal(class_counts(np.array([[1, 0], [1, 1], [0, 1]]), w), [2.5, 2.0])


def test_constant_loss_is_the_entropy_of_the_classes():
    Y, w = np.array([0, 0, 1]), np.array([1.0, 1.0, 2.0])
    assert_allclose(constant_loss("cross_entropy", Y, w, LossArgs()), np.log(2.0))
    assert_allclose(constant_loss("squared_error", np.array([[0.0], [2.0]]), None, LossArgs()), 0.5)
