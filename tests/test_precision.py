"""Products of bfloat16: engines against each other, and what matmul_precision does for an estimator.

Most processors have no unit for them. So the same sums in C stand for it here, and a test holds the two together where
there is one.
"""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

import skbackprop
import skbackprop._engines
from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._engines import compiled
from skbackprop._engines.compiled import CompiledEngine
from skbackprop._engines.encoded_table import Bins, EncodedTable, Numbers
from skbackprop._engines.level import _cpu, has_tiles
from skbackprop._engines.precision import PRECISIONS, bfloat16
from skbackprop._engines.reference import ReferenceEngine
from skbackprop._nn.losses import LOSSES, LossArgs
from skbackprop._nn.network import Network, Objective
from skbackprop._nn.optimizers import Optimizer
from skbackprop.preprocessing import PiecewiseLinearEncoder


@pytest.fixture
def tiles(monkeypatch):
    """A processor with a matrix unit: where there is none, its sums in C."""
    monkeypatch.setattr(skbackprop._engines, "has_tiles", lambda: True)


def rounded(x):
    """To bfloat16 by the bits: to nearest, ties to even; a denormal to zero."""
    bits = x.view(np.uint32).astype(np.uint64)
    upper = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    upper = np.where(np.isnan(x), x, upper)
    return np.where(np.abs(x) < np.finfo(np.float32).tiny, np.float32(0), upper)


def distance(ours, theirs):
    """Root mean square of the difference, relative to theirs."""
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    return np.sqrt(np.mean((ours - theirs) ** 2)) / np.sqrt(np.mean(theirs**2))


def test_bfloat16_is_rounding_to_nearest_even(rng):
    every_mantissa = (np.arange(2**23, dtype=np.uint32) | np.uint32(127 << 23)).view(np.float32)
    any_bits = rng.integers(0, 2**32, 100_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    largest, tiny = np.finfo(np.float32).max, np.finfo(np.float32).tiny
    edges = np.array([0, -0.0, np.inf, -np.inf, np.nan, largest, -largest, tiny, tiny / 2, 1e-45], np.float32)
    with np.errstate(all="ignore"):
        for x in (every_mantissa, any_bits, edges):
            assert_array_equal(bfloat16(np, x), rounded(x))


SIZES = [((), ()), ((17,), ("relu",)), ((33, 40), ("relu", "softmax")), ((5, 65), ("gelu", "tanh"))]


def problem(rng, sizes, activations, loss="cross_entropy", n=77, dropout=0.0, members=1, scale=False, sparse=False):
    args = LossArgs(quantiles=(0.3, 0.8))
    outputs = 3 * LOSSES[loss].outputs_per_target(args)
    dropouts = (dropout,) * (len(sizes))
    network = Network((*sizes, outputs), activations, loss, args, dropouts, 7, members, scale)
    X = rng.normal(size=(n, sizes[0])).astype(np.float32)
    if sparse:
        X = sp.csr_array(X * (rng.random(X.shape) < 0.4))
    Y = rng.integers(0, 3, n) if LOSSES[loss].task == "classification" else rng.random((n, 3)).astype(np.float32) + 0.1
    if LOSSES[loss].task == "multilabel":
        Y = (Y > 0.6).astype(np.float32)
    theta = (0.2 * rng.normal(size=network.n_parameters)).astype(np.float32)
    return network, X, Y, rng.choice([0.5, 2.0], n).astype(np.float32), theta


def three(network, optimizer=None):
    """The kernels and the reference engine with rounded factors, and the latter without."""
    optimizer = optimizer or Optimizer()
    rounding = ReferenceEngine(network, optimizer, precision="medium")
    return CompiledEngine(network, optimizer, 1, "medium"), rounding, ReferenceEngine(network, optimizer)


def compare(results):
    """The kernels and the reference with rounded factors are far closer than the reference with and without.

    They are not equal to the last bit of float32: sums in another order make a few numbers fall on the other side of a
    bound between two of bfloat16, which are 2^-8 apart.
    """
    for ours, theirs, exact in zip(*results, strict=True):
        off, rounding = distance(ours, theirs), distance(exact, theirs)
        assert off <= 1e-6 or off <= 0.5 * rounding, (off, rounding)
        assert off < 2e-3


def gradients(case, step=None):
    network, X, Y, w, theta = case
    results = []
    for engine in three(network):
        engine.load(theta)
        loss, gradient, _ = engine.loss_and_gradient(X, Y, w, step=step, row_offset=3)
        results.append((loss, gradient, engine.predict(X, link=False)))
    return results


@pytest.mark.parametrize("activation", _cpu.ACTIVATIONS)
def test_gradient_of_every_activation(activation, rng):
    compare(gradients(problem(rng, (40, 37, 9), (activation, activation))))
    compare(gradients(problem(rng, (40, 37), (activation,), dropout=0.3), step=5))


@pytest.mark.parametrize("loss", _cpu.LOSSES)
def test_gradient_of_every_loss(loss, rng):
    compare(gradients(problem(rng, (40, 37), ("relu",), loss)))


@pytest.mark.parametrize(("members", "scale"), [(1, True), (3, False), (4, True)])
@pytest.mark.parametrize(("widths", "activations"), SIZES)
def test_gradient_of_members(widths, activations, members, scale, rng):
    for sparse, dropout, n in [(False, 0.0, 530), (True, 0.3, 77), (False, 0.3, 33)]:  # 530: more than a block
        case = problem(rng, (50, *widths), activations, "cross_entropy", n, dropout, members, scale, sparse)
        compare(gradients(case, step=5 if dropout else None))


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 15, 16, 17, 31, 32, 33, 64, 65])
def test_gradient_at_every_edge_of_a_tile(n, rng):
    for width in (1, 15, 16, 17, 31, 32, 33, 48, 49, 64, 65):
        compare(gradients(problem(rng, (width, n, width + 1), ("relu", "identity"), n=n)))
        compare(gradients(problem(rng, (n, width), ("logistic",), n=width)))


def test_zeros_and_infinities_go_where_they_go_without_rounding(rng):
    network, X, _, _, theta = problem(rng, (40, 37), ("relu",))
    X[0], X[1], X[2, 0], X[3, 0] = 0.0, 1e-40, np.inf, np.nan
    engine, reference, _ = three(network)
    engine.load(theta)
    reference.load(theta)
    ours, theirs = engine.predict(X, link=False), reference.predict(X, link=False)
    assert_array_equal(ours[0], ours[1])  # denormals are zeros
    assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    assert not np.isfinite(ours[2:4]).any()
    assert np.isfinite(ours[4:]).all()


def train(engine, case, n_steps=6, batch_size=30):
    _, X, Y, w, theta = case
    engine.load(theta, objective=Objective(batch_size, 0.8, 0.05))
    order, rates, done = np.arange(n_steps * batch_size) * 7 % X.shape[0], np.full(n_steps, 1e-3), 0
    while done < n_steps:
        _, steps = engine.train_steps(X, Y, w, order[done * batch_size :], rates[done:], done)
        done += steps
    return engine.dump()[0]


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize(("members", "sparse"), [(1, False), (3, False), (1, True)])
def test_steps(members, sparse, solver, clip, rng):
    case = problem(rng, (50, 37, 21), ("relu", "tanh"), members=members, scale=members > 1, sparse=sparse)
    optimizer = Optimizer(solver, max_grad_norm=clip, weight_decay=0.1)
    moved = [train(engine, case) - case[-1] for engine in three(case[0], optimizer)]
    # Adam divides by the gradient's size: what is nearly 0 has a step of full size, of either sign
    assert distance(moved[0], moved[1]) < (0.05 if solver == "adam" else 2e-3)


@pytest.mark.parametrize("members", [1, 3])
def test_the_same_bits_for_any_number_of_threads(members, rng):
    case = problem(rng, (200, 300, 70), ("relu", "softmax"), members=members, scale=members > 1, n=640)
    found = []
    for n_threads in (1, 2, 5):
        engine = CompiledEngine(case[0], Optimizer("adam"), n_threads, "medium")
        found.append((train(engine, case, 2, 320), engine.predict(case[1]), *engine.loss_and_gradient(*case[1:4])[:2]))
    for others in found[1:]:
        for ours, theirs in zip(found[0], others, strict=True):
            assert_array_equal(ours, theirs)


def test_a_rows_prediction_does_not_depend_on_its_neighbours(rng):
    network, X, _, _, theta = problem(rng, (50, 37), ("relu",), n=600)
    engine = CompiledEngine(network, Optimizer(), 1, "medium")
    engine.load(theta)
    whole = engine.predict(X)
    for rows in (slice(0, 1), slice(5, 8), slice(17, 50), slice(599, 600)):
        assert_array_equal(engine.predict(X[rows]), whole[rows])


@pytest.mark.parametrize("dropout", [0.0, 0.3])  # under which codes are written out
@pytest.mark.parametrize("members", [1, 3])
def test_the_first_layer_of_a_table_is_looked_up_without_rounding(members, dropout, rng):
    rows = rng.normal(size=(77, 4))
    edges = PiecewiseLinearEncoder(n_bins=20).fit(rows).bin_edges_
    table = EncodedTable((Numbers(rows.astype(np.float32)), Bins.of(rows, edges, -1.0, 1.0)))
    network, _, Y, w, theta = problem(
        rng, (table.shape[1], 37), ("relu",), members=members, dropout=dropout, scale=members > 1
    )
    compare(gradients((network, table, Y, w, theta), step=5 if dropout else None))


def fitted_in_both(X, y, **params):
    return [
        MLPSoftmaxClassifier((8,), random_state=0, matmul_precision=precision, **params).fit(X, y)
        for precision in PRECISIONS
    ]


def test_float64_is_always_as_precise_as_its_numbers(tiles):
    X, y = load_digits(return_X_y=True)
    models = fitted_in_both(X / 16, y, epochs=5)
    assert_array_equal(models[0].predict_proba(X / 16), models[1].predict_proba(X / 16))
    assert [model.matmul_precision_ for model in models] == ["highest", "highest"]


@pytest.mark.filterwarnings("ignore:L-BFGS stopped")
def test_lbfgs_trains_and_predicts_in_full_precision_and_says_so(tiles):
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    with pytest.warns(UserWarning, match="matmul_precision='medium' has no effect"):
        models = fitted_in_both(X, y, solver="lbfgs", max_iter=20)
    assert models[0].score(X, y) > 0.8
    assert_array_equal(models[0].predict_proba(X), models[1].predict_proba(X))
    assert [model.matmul_precision_ for model in models] == ["highest", "highest"]


def test_an_estimator_runs_and_tells_it(tiles):
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    highest = MLPSoftmaxClassifier((32,), epochs=10, random_state=0, n_members=2).fit(X[:1000], y[:1000])
    medium = MLPSoftmaxClassifier((32,), epochs=10, random_state=0, n_members=2, matmul_precision="medium")
    medium.fit(X[:1000], y[:1000])
    assert (highest.matmul_precision_, medium.matmul_precision_) == ("highest", "medium")
    assert not np.array_equal(highest.coefs_[0], medium.coefs_[0])
    assert medium.score(X[1000:], y[1000:]) > 0.93
    assert abs(highest.score(X[1000:], y[1000:]) - medium.score(X[1000:], y[1000:])) < 0.02
    p = medium.predict_proba(X)
    assert_array_equal(pickle.loads(pickle.dumps(medium)).predict_proba(X), p)
    exact = medium.set_params(matmul_precision="highest").predict_proba(X)
    assert 0 < np.abs(exact - p).max() < 0.02
    assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    medium.set_params(matmul_precision="medium", epochs="auto").partial_fit(X[:1000], y[:1000])
    assert medium.matmul_precision_ == "medium"


def test_elsewhere_it_is_the_highest(monkeypatch):
    monkeypatch.setattr(skbackprop._engines, "has_tiles", lambda: False)
    X = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    models = [MLPRegressor((8,), epochs=3, random_state=0, matmul_precision=p).fit(X, X[:, 0]) for p in PRECISIONS]
    assert_array_equal(models[0].predict(X), models[1].predict(X))
    assert [model.matmul_precision_ for model in models] == ["highest", "highest"]


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="matmul_precision"):
        MLPRegressor(matmul_precision="low").fit([[0.0], [1.0]], [0.0, 1.0])


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize(("members", "sparse"), [(1, False), (3, False), (1, True)])
def test_packed_weights_are_those_of_now(members, sparse, clip, rng):
    """An engine that has predicted, trained and stepped has the bits of a new one with the same parameters."""
    case = problem(rng, (50, 37, 21), ("relu", "tanh"), members=members, scale=members > 1, sparse=sparse)
    network, X, Y, w, theta = case
    optimizer = Optimizer("adam", max_grad_norm=clip)
    used, new = (CompiledEngine(network, optimizer, 1, "medium") for _ in range(2))
    used.load(theta, objective=Objective(30))

    def agrees():
        new.load(used.dump()[0])
        assert_array_equal(used.predict(X), new.predict(X))
        assert_array_equal(used.loss_and_gradient(X, Y, w)[1], new.loss_and_gradient(X, Y, w)[1])

    used.predict(X)
    agrees()
    for step in range(3):
        done = 0
        while done < 2:
            done += used.train_steps(X, Y, w, np.arange(30 * done, 60), np.full(2 - done, 0.05), 2 * step + done)[1]
        agrees()
    used.apply_gradient(used.loss_and_gradient(X, Y, w)[1], 0.05)
    agrees()


def test_the_kernels_round_ties_to_even(rng):
    """Of one output of one row: the rounded number times 1."""
    network = Network((1, 1), (), "squared_error")
    x = (np.arange(2**15, 2**15 + 2**9, dtype=np.uint32) * 2**15).view(np.float32)[:, None]  # every second one a tie
    engine = CompiledEngine(network, Optimizer(), 1, "medium")
    engine.load(np.array([0.0, 1.0], np.float32))
    assert_array_equal(engine.predict(x), rounded(x))


@pytest.mark.skipif(not has_tiles(), reason="this processor multiplies no tiles")
@pytest.mark.parametrize(("widths", "activations"), SIZES)
def test_the_matrix_unit_has_the_same_bits_as_the_sums_in_c(widths, activations, monkeypatch, rng):
    for members, dropout in [(1, 0.0), (4, 0.3)]:
        case = problem(rng, (50, *widths), activations, members=members, dropout=dropout, scale=members > 1)
        case[1][0] *= 1e-40
        case[1][1] *= 1e20
        found = []
        for name in ("amx", "v4"):
            monkeypatch.setattr(compiled, "level_of_tiles", lambda name=name: name)
            engine = CompiledEngine(case[0], Optimizer("adam"), 1, "medium")
            found.append((train(engine, case), engine.predict(case[1])))
        for ours, theirs in zip(*found, strict=True):
            assert_array_equal(ours, theirs)
