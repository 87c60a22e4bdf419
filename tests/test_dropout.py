"""Dropout: the masks' hash, its statistics, and what dropout does to a network."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from skbackprop import MLPSoftmaxClassifier
from skbackprop._engines import choose_engine
from skbackprop._engines.dropout import BITS32, COLUMN, mask, mix
from skbackprop._engines.reference import ReferenceEngine
from skbackprop._nn.network import Network
from skbackprop._nn.optimizers import Optimizer

# What every engine must compute, bit by bit.
VECTORS = [(0x0, 0x00000000), (0x1, 0x86D2FA73), (0x2, 0x0DA7F4E7), (0xDEADBEEF, 0x2A2ACAF2), (0xFFFFFFFF, 0x99B5E683)]


def mix32(x):
    """The hash again, in wrapping 32-bit arithmetic."""
    with np.errstate(over="ignore"):
        x = np.uint32(x)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x21F0AAAD)
        x ^= x >> np.uint32(15)
        x *= np.uint32(0x735A2D97)
        return int(x ^ (x >> np.uint32(15)))


@pytest.mark.parametrize("x", [0, 1, 2, 12345, 0x7FFFFFFF, 0x80000000, 0xDEADBEEF, 0xFFFFFFFF])
def test_hash_equals_that_of_wrapping_32_bit_arithmetic(x):
    assert mix(x) == mix32(x)
    assert mix(np.array([x], dtype=np.int64))[0] == mix32(x)


@pytest.mark.parametrize(("x", "expected"), VECTORS)
def test_vectors(x, expected):
    assert mix(x) == expected


def test_products_of_the_hash_fit_into_int64():
    assert BITS32 * max(0x21F0AAAD, 0x735A2D97, COLUMN) < 2**63
    assert max(0x21F0AAAD, 0x735A2D97, COLUMN) < 2**31


def draw(p=0.3, layer=1, step=5, seed=7, shape=(400, 300)):
    network = Network((3, 300, 300, 2), ("tanh",) * 2, dropout=(p, p, p), seed=seed)
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    return mask(network, layer, step, rows, columns, np, np.float64)


def test_mask_keeps_the_share_and_the_mean():
    for p in (0.1, 0.5, 0.9):
        factors = draw(p)
        kept = factors > 0
        assert set(np.unique(factors)) == {0.0, 1.0 / (1.0 - p)}
        # 120,000 draws: a standard error is below 0.0015
        assert abs(kept.mean() - (1 - p)) < 0.006
        # and no row or column is an exception (300 draws each: five standard errors)
        spread = 5 * np.sqrt(p * (1 - p) / 300)
        assert abs(kept.mean(axis=0) - (1 - p)).max() < spread
        assert abs(kept.mean(axis=1) - (1 - p)).max() < spread


@pytest.mark.parametrize("other", [{"layer": 2}, {"step": 6}, {"seed": 8}])
def test_masks_of_other_layers_steps_and_seeds_are_unrelated(other):
    a, b = draw(0.5) > 0, draw(0.5, **other) > 0
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.015  # five standard errors


def test_neighbouring_rows_and_columns_are_unrelated():
    a = draw(0.5) > 0
    for b, c in ((a[1:], a[:-1]), (a[:, 1:], a[:, :-1])):
        assert abs(np.corrcoef(b.ravel(), c.ravel())[0, 1]) < 0.015


def test_sparse_and_dense_inputs_are_dropped_alike(rng):
    X = sp.csr_array(sp.random(20, 6, density=0.5, random_state=0))
    network = Network((6, 4, 3), ("tanh",), loss="cross_entropy", dropout=(0.4, 0.3), seed=3)
    engine = ReferenceEngine(network, Optimizer())
    engine.load(rng.normal(size=network.n_parameters))
    Y = rng.integers(0, 3, 20)
    dense = engine.loss_and_gradient(X.toarray(), Y, None, step=2)
    sparse = engine.loss_and_gradient(X, Y, None, step=2)
    assert_allclose(sparse[0], dense[0], rtol=1e-12)
    assert_allclose(sparse[1], dense[1], rtol=1e-10, atol=1e-13)


@pytest.mark.slow
def test_mean_over_many_masks_of_a_linear_network_is_the_network(rng):
    """Inverted dropout leaves the expected output alone."""
    network = Network((5, 2), loss="squared_error", dropout=(0.5,), seed=1)
    engine = ReferenceEngine(network, Optimizer())
    theta = rng.normal(size=network.n_parameters)
    engine.load(theta)
    X, Y = rng.normal(size=(1, 5)), np.zeros((1, 2))
    # the gradient by the biases is v - 0: average v over steps
    outputs = [engine.loss_and_gradient(X, Y, None, step=s)[1][:2] for s in range(4000)]
    error = np.std(outputs, axis=0) / np.sqrt(4000)
    assert (np.abs(np.mean(outputs, axis=0) - engine.predict(X)[0]) < 5 * error).all()


def test_prediction_drops_nothing_and_training_is_reproducible(digits):
    X, y = digits[0][:300], digits[1][:300]
    params = {"dropout": [0.2, 0.5], "max_iter": 5, "learning_rate": "cosine", "random_state": 3}
    one, two = (MLPSoftmaxClassifier((30,), **params).fit(X, y) for _ in range(2))
    assert np.array_equal(one.predict_proba(X), two.predict_proba(X))
    assert one.score(X, y) > 0.5
    without = MLPSoftmaxClassifier((30,), **{**params, "dropout": 0.0}).fit(X, y)
    assert without.loss_ < one.loss_  # dropout makes the training loss larger


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("sparse", [False, True])
def test_rows_take_the_masks_of_their_numbers_wherever_the_others_are(rng, engine, sparse):
    """Rows 4, 0 and 7 of a minibatch, computed apart, add up with the others to the whole."""
    network = Network((6, 5, 3), ("tanh",), "cross_entropy", dropout=(0.3, 0.4), seed=3)
    X, Y = rng.normal(size=(9, 6)), rng.integers(0, 3, 9)
    X = sp.csr_array(X) if sparse else X
    theta = rng.normal(size=network.n_parameters)
    made = choose_engine(network, Optimizer(), engine)
    made.load(theta)
    loss, gradient, _ = made.loss_and_gradient(X, Y, None, step=2)
    some, others = np.array([4, 0, 7]), np.array([1, 2, 3, 5, 6, 8])
    parts = [made.loss_and_gradient(X[rows], Y[rows], None, 2, rows) for rows in (some, others)]
    # sums in another order
    assert_allclose(parts[0][0] + parts[1][0], loss, rtol=1e-13)
    assert_allclose(parts[0][1] + parts[1][1], gradient, rtol=1e-12, atol=1e-13)
    unmasked = made.loss_and_gradient(X[some], Y[some], None, 2)
    assert np.abs(unmasked[1] - parts[0][1]).max() > 1e-3  # masks of other numbers are others
