"""Losses of smoothed labels, and of the best constant."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skbackprop._fit.evaluation import constant_loss
from skbackprop._nn.losses import LOSSES, LossArgs, smooth


def test_smoothing():
    Y = np.eye(4)[[0, 2]]
    assert_allclose(smooth(Y, 0.2, False), 0.8 * Y + 0.05)
    assert_allclose(smooth(np.array([[1.0, 0.0]]), 0.2, True), [[0.9, 0.1]])
    assert smooth(Y, 0.0, False) is Y


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


def test_constant_loss_is_the_entropy_of_the_classes():
    Y, w = np.array([0, 0, 1]), np.array([1.0, 1.0, 2.0])
    assert_allclose(constant_loss("cross_entropy", Y, w, LossArgs()), np.log(2.0))
    assert_allclose(constant_loss("squared_error", np.array([[0.0], [2.0]]), None, LossArgs()), 0.5)
