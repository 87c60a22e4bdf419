"""The compiled engine against the reference engine, its oracle: one gradient and one step from the same state."""

import dataclasses
import itertools
import os
import pickle
import subprocess
import sys
import threading
import tracemalloc
from contextlib import suppress

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._engines import choose_engine
from skbackprop._engines.compiled import CompiledEngine
from skbackprop._engines.level import _cpu, largest, level
from skbackprop._engines.reference import ReferenceEngine
from skbackprop._engines.threads import default_threads
from skbackprop._nn.activations import ACTIVATIONS, Activation
from skbackprop._nn.losses import LOSSES, LossArgs
from skbackprop._nn.network import Network, Objective
from skbackprop._nn.optimizers import OPTIMIZERS, Optimizer
from skbackprop.data import Shards

# Rounding of sums of up to a hundred terms in another order, relative to the largest number of the result.
TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 2e-5}


def agree(ours, theirs, factor=1.0):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    scale = max(np.abs(theirs).max(initial=0.0), 1.0)  # terms of order one may cancel to less
    assert_allclose(ours, theirs, rtol=0, atol=factor * TOLERANCE[theirs.dtype] * scale)


def problem(rng, loss, sizes, activations, dropout, n, dtype, weighted, sparse, targets=3, members=1, scale=False):
    task = LOSSES[loss].task
    smoothing = 0.0 if task == "regression" else float(rng.choice([0.0, 0.2]))
    args = LossArgs(quantiles=(0.3, 0.8), label_smoothing=smoothing)
    Y = {
        "classification": rng.integers(0, targets, n),
        "multilabel": rng.integers(0, 2, (n, targets)).astype(dtype),
        "regression": (np.abs(rng.normal(size=(n, targets))) + 0.1).astype(dtype),
    }[task]
    outputs = targets * LOSSES[loss].outputs_per_target(args)
    sizes = (*sizes, outputs)
    network = Network(sizes, activations, loss, args, dropout, 77, members, scale)
    X = rng.normal(size=(n, sizes[0])).astype(dtype)
    if sparse:
        X = sp.csr_array(X * (rng.random(X.shape) < 0.4))
    w = rng.choice([0.0, 0.5, 2.0], n).astype(dtype) if weighted else None
    if weighted:
        w[0] = 1.0
    theta = (0.5 * rng.normal(size=network.n_parameters)).astype(dtype)
    return network, X, Y, w, theta


def both(network, optimizer):
    return CompiledEngine(network, optimizer, n_threads=1), ReferenceEngine(network, optimizer)


def compare_gradient(network, X, Y, w, theta, step, factor=1.0):
    results = []
    for engine in both(network, Optimizer()):
        engine.load(theta)
        results.append(engine.loss_and_gradient(X, Y, w, step=step, row_offset=3))
    for ours, theirs in zip(*results, strict=True):
        agree(ours, np.asarray(theirs).astype(theta.dtype), factor)


def compare_steps(network, optimizer, X, Y, w, theta, batch_size, n_steps=3, factor=1.0, rate=0.1):
    order = np.random.default_rng(1).permutation(X.shape[0])
    rates = rate * np.array([1.0, 0.5, 0.2])[:n_steps]
    objective = Objective(batch_size, 0.8, 0.05)
    done, results = 0, []
    for engine in both(network, optimizer):
        engine.load(theta, objective=objective)
        sums = np.zeros(2)
        done = 0
        while done < n_steps:
            part, steps = engine.train_steps(X, Y, w, order[done * batch_size :], rates[done:], 4 + done)
            sums += np.asarray(part, dtype=float)
            done += steps
        new_theta, state = engine.dump()
        results.append((sums.astype(theta.dtype), new_theta, *(state[s] for s in engine.rule.slots)))
    for ours, theirs in zip(*results, strict=True):
        agree(ours, theirs, factor)


@pytest.mark.parametrize("activation", _cpu.ACTIVATIONS)
@pytest.mark.parametrize("loss", _cpu.LOSSES)
def test_gradient_of_every_activation_and_loss(loss, activation, rng):
    for dtype, sparse in itertools.product((np.float64, np.float32), (False, True)):
        case = problem(rng, loss, (7, 17, 5), (activation, "tanh"), (0.0,) * 3, 13, dtype, True, sparse)
        compare_gradient(*case, step=None, factor=10)  # losses with an exponential enlarge rounding
        case = problem(rng, loss, (7, 17, 5), (activation, activation), (0.2, 0.3, 0.5), 13, dtype, False, sparse)
        compare_gradient(*case, step=5, factor=10)


MEMBERS = [(1, True), (3, False), (4, True)]  # how many, and is there an input scale?


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("members", "scale"), MEMBERS)
@pytest.mark.parametrize("loss", _cpu.LOSSES)
def test_gradient_of_members(loss, members, scale, dtype, rng):
    for widths, activations in [((), ()), ((17,), ("softmax",)), ((5, 33), ("gelu", "relu"))]:
        for sparse, weighted in [(False, True), (True, False)]:
            for step, dropout in [(None, (0.0,) * 3), (5, (0.2, 0.3, 0.5))]:
                case = problem(
                    rng,
                    loss,
                    (21, *widths),
                    activations,
                    dropout[: len(widths) + 1],
                    530,  # more than a block, whose gradients add up
                    dtype,
                    weighted,
                    sparse,
                    members=members,
                    scale=scale,
                )
                compare_gradient(*case, step=step, factor=100)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize(("members", "scale"), MEMBERS)
@pytest.mark.parametrize("solver", ["sgd", "adam", "nadam", "rmsprop"])
def test_steps_of_members(solver, members, scale, clip, dtype, rng):
    optimizer = Optimizer(solver, max_grad_norm=clip, weight_decay=0.3, input_scale_rate=6.0)
    for sparse in (False, True):
        case = problem(
            rng,
            "cross_entropy",
            (70, 9, 20),
            ("silu", "relu"),
            (0.1, 0.4, 0.2),
            37,
            dtype,
            True,
            sparse,
            members=members,
            scale=scale,
        )
        compare_steps(case[0], optimizer, *case[1:], batch_size=16, factor=300, rate=0.01)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("clip", [None, 0.01, 1e6])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("solver", _cpu.OPTIMIZERS)
def test_steps_of_every_optimizer(solver, nesterov, clip, dtype, rng):
    optimizer = Optimizer(solver, nesterov=nesterov, max_grad_norm=clip, weight_decay=0.3)
    for sparse in (False, True):
        case = problem(rng, "cross_entropy", (7, 9), ("silu",), (0.1, 0.4), 37, dtype, True, sparse)
        if solver == "lion":  # a sign of rounding is a step of its own: compare where it cannot flip
            network, X, Y, w, theta = case
            compare_lion(network, optimizer, X, Y, w, theta)
        else:
            # dividing by the root of a small second moment enlarges rounding
            compare_steps(case[0], optimizer, *case[1:], batch_size=16, factor=300)


def compare_lion(network, optimizer, X, Y, w, theta):
    results = []
    for engine in both(network, optimizer):
        engine.load(theta, objective=Objective(16, 0.8, 0.05))
        engine.train_steps(X, Y, w, np.arange(16), np.array([0.01]), 0)
        results.append(engine.dump())
    gradient = results[1][1]["m"]  # (1 - beta_2) g after one step
    clear = np.abs(gradient) > 1e-4 * np.abs(gradient).max()
    assert clear.mean() > 0.5
    agree(results[0][0][clear], results[1][0][clear])
    agree(results[0][1]["m"], gradient, 10)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)  # a gate must not depend on the day
@given(
    loss=st.sampled_from(sorted(_cpu.LOSSES)),
    widths=st.lists(st.sampled_from([1, 7, 17, 33, 100]), min_size=0, max_size=3),
    activation=st.sampled_from(sorted(_cpu.ACTIVATIONS)),
    n=st.sampled_from([1, 2, 7, 16, 17, 65]),
    n_in=st.sampled_from([1, 7, 17, 100]),
    targets=st.sampled_from([1, 2, 10, 17, 40]),
    batch=st.sampled_from([1, 3, 8, 100]),
    dtype=st.sampled_from([np.float64, np.float32]),
    weighted=st.booleans(),
    sparse=st.booleans(),
    p=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 10**6),
)
def test_odd_shapes(loss, widths, activation, n, n_in, targets, batch, dtype, weighted, sparse, p, seed):
    rng = np.random.default_rng(seed)
    dropout = (p,) * (len(widths) + 1)
    case = problem(
        rng, loss, (n_in, *widths), (activation,) * len(widths), dropout, n, dtype, weighted, sparse, targets
    )
    network, X, Y, w, theta = case
    theta = theta / np.sqrt(max(network.sizes)).astype(dtype)  # sums of order one
    compare_gradient(network, X, Y, w, theta, step=None, factor=30)
    compare_gradient(network, X, Y, w, theta, step=2, factor=30)
    n_steps = min(3, -(-n // batch))
    sgd = Optimizer("sgd", momentum=0.5)
    # steps that overshoot grow exponentially under a log link, and rounding with them
    rate = 1e-3 if loss in ("poisson", "gamma", "gaussian") else 0.1
    compare_steps(network, sgd, X, Y, w, theta, batch, n_steps, factor=100, rate=rate)
    predictions = []
    for engine in both(network, sgd):
        engine.load(theta)
        predictions.append((engine.predict(X), engine.predict(X, link=False)))
    for ours, theirs in zip(*predictions, strict=True):
        agree(ours, theirs, 30)


def by_hand(loss, v, Y, smoothing):
    """Values of the rows and delta = dE/dv from one-hot rows (D9) or indicators, smoothed, through the link (D8)."""
    if loss.startswith("binary"):
        y, p = (1 - smoothing) * Y + smoothing / 2, 1 / (1 + np.exp(-v))
    else:
        K = v.shape[1]
        y = (1 - smoothing) * (Y[:, None] == np.arange(K)) + smoothing / K
        p = np.exp(v) / np.exp(v).sum(axis=1, keepdims=True)

    def on(p):  # of the focal loss: -(1 - p)^2 ln p, and its derivative
        return -((1 - p) ** 2) * np.log(p), 2 * (1 - p) * np.log(p) - (1 - p) ** 2 / p

    value, slope = {
        "cross_entropy": lambda: (-y * np.log(p), -y / p),
        "brier": lambda: ((p - y) ** 2, 2 * (p - y)),
        "focal": lambda: (y * on(p)[0], y * on(p)[1]),
        "binary_cross_entropy": lambda: (-y * np.log(p) - (1 - y) * np.log(1 - p), (1 - y) / (1 - p) - y / p),
        "binary_brier": lambda: ((p - y) ** 2, 2 * (p - y)),
        "binary_focal": lambda: (y * on(p)[0] + (1 - y) * on(1 - p)[0], y * on(p)[1] - (1 - y) * on(1 - p)[1]),
    }[loss]()
    inner = 0.0 if loss.startswith("binary") else (slope * p).sum(axis=1, keepdims=True)
    jacobian = p * (1 - p) if loss.startswith("binary") else p
    return value.sum(axis=1), jacobian * (slope - inner)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("loss", [name for name in _cpu.LOSSES if LOSSES[name].task != "regression"])
def test_class_codes_and_smoothing_mean_what_the_formulas_say(loss, smoothing, dtype, rng):
    for K in (1, 2, 3, 10, 16, 17, 19, 40):
        Y = rng.integers(0, K, 11)
        if loss.startswith("binary"):
            Y = rng.integers(0, 2, (11, K)).astype(dtype)
        X, w = rng.normal(size=(11, 4)).astype(dtype), rng.random(11).astype(dtype)
        network = Network((4, K), (), loss, LossArgs(label_smoothing=smoothing))
        theta = rng.normal(size=network.n_parameters).astype(dtype)
        W = theta[K:].reshape(4, K).astype(float)
        value, delta = by_hand(loss, X.astype(float) @ W + theta[:K], Y, smoothing)
        delta = delta * w[:, None]
        gradient = np.concatenate([delta.sum(axis=0), (X.T.astype(float) @ delta).ravel()])
        for engine in both(network, Optimizer()):
            engine.load(theta)
            found = engine.loss_and_gradient(X, Y, w)
            agree(found[0], dtype((w * value).sum()), 10)
            agree(found[1], gradient.astype(dtype), 10)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("loss", ["cross_entropy", "brier", "focal"])
def test_many_classes_fit_on_a_small_stack(loss, smoothing):
    """A thread may have 512 KB, fewer bytes than a row of outputs."""
    network = Network((2, 70_000), (), loss, LossArgs(label_smoothing=smoothing))
    X, Y, found = np.array([[0.5, 1.0], [-1.0, 2.0]]), np.array([3, 69_999]), []

    def work():
        engine = CompiledEngine(network, Optimizer(), 1)
        engine.load(np.zeros(network.n_parameters), objective=Objective(2))
        found.append(engine.loss_and_gradient(X, Y, None)[0])
        found.append(engine.train_steps(X, Y, None, np.arange(2), [0.1], 0)[0][0])

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    value, _ = by_hand(loss, np.zeros((1, 70_000)), np.array([3]), smoothing)
    # sums of 70,000 terms, in another order
    assert_allclose(found, 2 * value[0], rtol=1e-9)


@pytest.mark.parametrize("bad", [[0, 3], [-1, 0], [2**40, 0], [0.0, 1.0], [[1, 0, 0], [0, 1, 0]]], ids=str)
def test_what_is_no_class_code_is_refused(bad):
    network = Network((2, 3), (), "cross_entropy")
    engine = CompiledEngine(network, Optimizer(), 1)
    engine.load(np.zeros(network.n_parameters), objective=Objective(2))
    with pytest.raises(ValueError, match="Class codes must be integers"):
        engine.loss_and_gradient(np.ones((2, 2)), np.array(bad), None)
    with pytest.raises(ValueError, match="Class codes must be integers"):
        engine.train_steps(np.ones((2, 2)), np.array(bad), None, np.arange(2), [0.1], 0)


def test_class_codes_of_any_integer_type(rng):
    network, X, Y, w, theta = problem(rng, "cross_entropy", (7, 9), ("tanh",), (0.0, 0.0), 37, np.float64, True, False)
    for kind in (np.int8, np.uint16, np.int32, np.uint64):
        compare_gradient(network, X, Y.astype(kind), w, theta, step=None)


def test_a_whole_trajectory_of_a_smooth_network(digits):
    X, y = digits[0][:400], digits[1][:400]
    params = {"hidden_layer_sizes": (30, 20), "activation": "tanh", "learning_rate": "cosine", "max_iter": 20,
              "random_state": 0, "dropout": 0.1, "class_weight": "balanced", "batch_size": 64}  # fmt: skip
    curves = [MLPSoftmaxClassifier(engine=e, **params).fit(X, y).loss_curve_ for e in ("compiled", "reference")]
    assert_allclose(curves[0], curves[1], rtol=1e-8)


def test_engines_take_over_each_others_state(rng):
    for solver in _cpu.OPTIMIZERS:
        network, X, Y, w, theta = problem(
            rng, "cross_entropy", (7, 9), ("tanh",), (0.0, 0.0), 37, np.float64, True, False
        )
        engines = both(network, Optimizer(solver))
        results = []
        for first, second in (engines, engines[::-1], (engines[1], engines[1])):
            now, state = theta, None
            for k, engine in enumerate((first, second)):
                engine.load(now, state, Objective(37, 1.0, 0.01))
                engine.train_steps(X, Y, w, np.arange(37), np.array([0.01]), k)
                now, state = engine.dump()
            results.append(now)
        agree(results[0], results[2], 1e4)
        agree(results[1], results[2], 1e4)


# ------------------------------------------------------------------------------------- bits ----


def wide_case(rng, dtype=np.float32, **kwargs):
    dropout = (0.2, 0.1, 0.0)
    activations = ("relu", "gelu")
    return problem(rng, "cross_entropy", (300, 257, 130), activations, dropout, 500, dtype, True, False, 10, **kwargs)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_same_bits_for_any_number_of_threads(dtype, members, rng):
    network, X, Y, w, theta = wide_case(rng, dtype, members=members, scale=members > 1)
    results = []
    for n_threads in (1, 2, 3):
        engine = CompiledEngine(network, Optimizer(), n_threads)
        engine.load(theta, objective=Objective(128, 1.0, 0.01))
        done = 0
        order = np.arange(500)
        while done < 4:
            done += engine.train_steps(X, Y, w, order[done * 128 :], np.full(4 - done, 0.01), done)[1]
        results.append((engine.dump()[0], engine.predict(X)))
    for theta_, p in results[1:]:
        assert_array_equal(theta_, results[0][0])
        assert_array_equal(p, results[0][1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("sparse", "members"), [(False, 1), (True, 1), (False, 3), (True, 3)])
def test_a_rows_prediction_does_not_depend_on_its_neighbours(dtype, sparse, members, rng):
    network, X, _, _, theta = wide_case(rng, dtype, members=members, scale=members > 1)
    X = sp.csr_array(X * (rng.random(X.shape) < 0.3)) if sparse else X
    whole = CompiledEngine(network, Optimizer(), 2)
    whole.load(theta)
    together = whole.predict(X)
    for rows in (slice(0, 1), slice(3, 4), slice(5, 12), slice(499, 500), slice(100, 355)):
        alone = CompiledEngine(network, Optimizer(), 1)
        alone.load(theta)
        assert_array_equal(alone.predict(X[rows]), together[rows])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", ["cross_entropy", "brier", "focal"])
def test_a_rows_loss_and_probabilities_do_not_depend_on_its_place(loss, dtype, rng):
    X = rng.normal(size=(19, 4)).astype(dtype)
    for K in range(1, 41):
        Y = rng.integers(0, K, 19)
        network = Network((4, K), (), loss, LossArgs(label_smoothing=0.1 if K % 3 == 0 else 0.0))
        engine = CompiledEngine(network, Optimizer(), 1)
        engine.load(rng.normal(size=network.n_parameters).astype(dtype))
        together = engine.predict(X)
        for i in (0, 7, 15, 16, 18):
            alone, only = slice(i, i + 1), np.where(np.arange(19) == i, dtype(0.3), dtype(0.0))
            for one, of_many in zip(
                engine.loss_and_gradient(X[alone], Y[alone], only[alone]),
                engine.loss_and_gradient(X, Y, only),
                strict=True,
            ):
                assert_array_equal(one, of_many)
            assert_array_equal(engine.predict(X[alone]), together[alone])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_largest_sees_every_number(dtype, rng):
    for n in (*range(1, 70), 1001):
        x = rng.normal(size=n).astype(dtype)
        i, big = rng.integers(n), dtype(30.0)
        for value in (big, -big, np.inf, -np.inf, np.nan, -np.nan):
            x[i] = value
            assert_array_equal(largest(x), abs(value))
    matrix = rng.normal(size=(7, 9)).astype(dtype)
    for view in (matrix, matrix.T, matrix[::2, 1::3], matrix[:0]):
        assert largest(view) == np.abs(view).max(initial=0.0)


def test_predict_accepts_more_rows_than_before(rng):
    network, X, _, _, theta = wide_case(rng)
    engine = CompiledEngine(network, Optimizer())
    engine.load(theta)
    one = engine.predict(X[:1])
    assert_array_equal(engine.predict(X)[:1], one)


# ------------------------------------------------------------------------ safety of the caller ----


def test_nan_and_infinity_go_through_as_in_the_reference(rng):
    for value in (np.nan, np.inf):
        for name in _cpu.ACTIVATIONS:
            network, X, Y, w, theta = problem(
                rng, "cross_entropy", (5, 6), (name,), (0.0, 0.0), 9, np.float64, False, False
            )
            X[4, 2] = value
            outputs = []
            for engine in both(network, Optimizer()):
                engine.load(theta)
                with np.errstate(all="ignore"):
                    outputs.append((engine.predict(X), engine.loss_and_gradient(X, Y, w)[1]))
            for ours, theirs in zip(*outputs, strict=True):
                assert_array_equal(np.isnan(ours), np.isnan(theirs), err_msg=f"{name} {value}")


def test_the_callers_input_is_not_written_and_may_be_a_read_only_map(rng, tmp_path):
    X = rng.normal(size=(100, 8)).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    y = np.arange(100) % 2
    params = {"learning_rate": "cosine", "max_iter": 3, "random_state": 0, "dropout": [0.3, 0.3]}
    one = MLPSoftmaxClassifier(**params).fit(mapped, y)
    two = MLPSoftmaxClassifier(**params).fit(X.copy(), y)
    assert_array_equal(one.predict_proba(mapped), two.predict_proba(X))
    assert_array_equal(mapped, X)


def test_a_map_of_a_file_is_never_copied_into_memory(tmp_path, rng):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (20_000, 500))
    X[:] = rng.random(500, dtype=np.float32)
    X[np.arange(20_000), np.arange(20_000) % 500] += 1.0
    X.flush()
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    y = np.arange(20_000) % 500 // 250
    tracemalloc.start()
    try:
        model = MLPSoftmaxClassifier((8,), max_iter=1, weight_decay=0.0, random_state=0).fit(
            X, y
        )  # a selection copies what it needs
        model.predict_proba(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes / 4


def test_the_floating_point_mode_is_restored(digits):
    tiny = np.array([1e-310])
    MLPSoftmaxClassifier(learning_rate="cosine", max_iter=2, random_state=0).fit(*digits).predict(digits[0])
    assert tiny[0] * 0.5 > 0.0


def test_t15_moments_of_features_that_are_zero_do_not_become_denormal(rng):
    """They decay by 0.9 a step below 1e-38, where arithmetic is many times slower: there they are zero."""
    network, X, Y, _, theta = problem(rng, "cross_entropy", (5, 6), ("tanh",), (0.0, 0.0), 8, np.float32, False, False)
    engine = CompiledEngine(network, Optimizer())
    engine.load(theta, objective=Objective(8, 1.0, 0.0))
    engine.train_steps(X, Y, None, np.arange(8), np.array([1e-3]), 0)
    X[:] = 0.0  # from now on no gradient reaches W[1]
    done = 1
    while done < 2000:
        rates = np.full(2000 - done, 1e-3)
        done += engine.train_steps(X, Y, None, np.tile(np.arange(8), len(rates)), rates, done)[1]
    state = engine.dump()[1]
    tiny = np.finfo(np.float32).tiny
    for moment in state.values():
        assert not ((moment != 0) & (np.abs(moment) < tiny)).any()
    assert (state["m"] == 0).any()


def test_dumps_are_copies(rng):
    network, X, Y, w, theta = wide_case(rng)
    engine = CompiledEngine(network, Optimizer())
    engine.load(theta, objective=Objective(500, 1.0, 0.0))
    before, state = engine.dump()
    m = state["m"].copy()
    engine.train_steps(X, Y, w, np.arange(500), np.array([0.1]), 0)
    assert_array_equal(before, theta)
    assert_array_equal(state["m"], m)


# ------------------------------------------------------------------------------ the choice of it ----


WITHOUT_KERNEL: set[str] = set()  # entries that the reference engine computes until somebody writes theirs


def test_auto_is_compiled_for_everything_in_the_tables_but_what_has_no_kernel_yet():
    in_tables = {*ACTIVATIONS, *LOSSES, *OPTIMIZERS}
    assert {*_cpu.ACTIVATIONS, *_cpu.LOSSES, *_cpu.OPTIMIZERS} == in_tables - WITHOUT_KERNEL
    assert in_tables >= WITHOUT_KERNEL
    assert isinstance(choose_engine(Network((3, 2)), Optimizer()), CompiledEngine)


def test_a_component_without_kernel_runs_on_the_reference_engine(digits, monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "square", Activation(lambda xp, v: v * v, lambda xp, v, a, g: 2.0 * v * g))
    network = Network((3, 4, 2), ("square",))
    assert isinstance(choose_engine(network, Optimizer()), ReferenceEngine)
    with pytest.raises(ValueError, match=r"\['square'\] has no kernel"):
        choose_engine(network, Optimizer(), "compiled")
    with pytest.raises(ValueError, match="has no kernel"):
        MLPSoftmaxClassifier(activation="square", engine="compiled").fit(*digits)


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


LEVEL_CHECK = """
import numpy as np
from sklearn.datasets import load_digits
from skbackprop import MLPSoftmaxClassifier
from skbackprop._engines.level import level
X, y = load_digits(return_X_y=True)
losses = [MLPSoftmaxClassifier((30,), "tanh", learning_rate="cosine", max_iter=4, random_state=0, engine=e, dtype=d)
          .fit(X / 16.0, y).loss_ for e in ("compiled", "reference") for d in ("float32", "float64")]
assert abs(losses[0] - losses[2]) < 1e-4 and abs(losses[1] - losses[3]) < 1e-10, losses
print(level())
"""


@pytest.mark.slow
@pytest.mark.parametrize("level", ["v3", "v4", "baseline"])
def test_every_level_of_the_cpu(level):
    result = run_python(LEVEL_CHECK, SKBACKPROP_CPU=level)
    if level in _cpu.LEVELS:
        assert result.stdout.strip() == level, result.stderr
    else:
        assert "is not available" in result.stderr


@pytest.mark.slow
def test_an_unknown_level_is_refused():
    result = run_python("from skbackprop._engines.level import level; level()", SKBACKPROP_CPU="v9")
    assert "SKBACKPROP_CPU='v9' is not available" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("cls", [MLPSoftmaxClassifier, MLPRegressor])
def test_many_python_threads_and_processes_at_once(cls, digits):
    X, y = digits[0][:300], digits[1][:300]

    params = {"learning_rate": "cosine", "max_iter": 5, "n_threads": 2, "batch_size": 300}
    models = [cls((200, 200), random_state=seed, **params) for seed in range(4)]
    alone = [clone(model).fit(X, y).loss_ for model in models]
    for backend in ("threading", "loky", "multiprocessing"):
        fitted = Parallel(2, backend=backend)(delayed(clone(model).fit)(X, y) for model in models)
        assert [model.loss_ for model in fitted] == alone


# ---------------------------------------------------------------------------------------- threads ----


def test_t16_threadpoolctl_knows_and_limits_the_kernels():
    found = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "skbackprop"]
    assert len(found) == 1
    before = _cpu.get_num_threads()
    with threadpoolctl.threadpool_limits(1):
        assert _cpu.get_num_threads() == 1
    assert _cpu.get_num_threads() == before


CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("2,1", 2),
        ("\u00b2", None),  # a digit, and no number
        ("1", 1),
        (" 1 ", 1),
        ("1000", None),
        ("9" * 5000, None),
        ("junk", None),
        ("", None),
        ("0", None),
        ("-1", None),
        ("1.5", None),
    ],
)
def test_t16_omp_num_threads_is_honoured(variable, expected, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert default_threads() == (CPUS if expected is None else min(expected, CPUS))


@pytest.mark.slow
@pytest.mark.parametrize(("variable", "expected"), [("1", 1), ("junk", CPUS)])
def test_t16_by_the_import(variable, expected):
    code = "from skbackprop._engines.compiled import _cpu; print(_cpu.get_num_threads())"
    assert int(run_python(code, OMP_NUM_THREADS=variable).stdout) == expected


@pytest.mark.slow
def test_t16_joblibs_inner_limit_reaches_the_workers():
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        # by its name, for a worker imports no test module
        ask = "__import__('skbackprop._engines.compiled', fromlist=['_cpu'])._cpu.get_num_threads()"
        assert joblib.Parallel()(joblib.delayed(eval)(ask) for _ in range(2)) == [1, 1]


def test_more_threads_than_anyone_has(digits):
    models = [
        MLPSoftmaxClassifier((300,), learning_rate="cosine", max_iter=2, n_threads=n, random_state=0).fit(*digits)
        for n in (1, 10_000)
    ]
    assert_array_equal(models[0].coefs_[0], models[1].coefs_[0])


@pytest.mark.parametrize("n_threads", [2**31, 2**63, 2**70, 0, -1])
def test_numbers_of_threads_that_are_none_are_refused(n_threads, digits):
    model = MLPSoftmaxClassifier((8,), max_iter=1, learning_rate="cosine", random_state=0)
    with pytest.raises(ValueError, match="n_threads"):
        clone(model).set_params(n_threads=n_threads).fit(*digits)
    fitted = model.fit(*digits).set_params(n_threads=n_threads)
    with pytest.raises(ValueError, match="n_threads must be None or an integer from 1 to 2147483647"):
        fitted.predict(digits[0])
    most = fitted.set_params(n_threads=np.int64(2**31 - 1)).predict(digits[0])
    assert_array_equal(most, fitted.set_params(n_threads=np.int8(1)).predict(digits[0]))


CTRL_C = """
import os, signal, sys
import numpy as np
from skbackprop import MLPRegressor
from skbackprop._engines.compiled import CompiledEngine
signal.signal(signal.SIGINT, signal.default_int_handler)  # which jobs in the background do not have
rng = np.random.default_rng(0)
X, y = rng.normal(size=(200_000, 50)), rng.normal(size=200_000)
model = MLPRegressor((200, 200), max_iter=1, learning_rate="cosine", weight_decay=0.0).fit(X[:100], y[:100])
before = model.coefs_[0].copy()
slices, train_steps = [], CompiledEngine.train_steps
def watched(*args):
    sums, done = train_steps(*args)
    slices.append(done)
    if len(slices) == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return sums, done
CompiledEngine.train_steps = watched
try:
    model.set_params(max_iter=100, n_threads=int(sys.argv[1]) if len(sys.argv) > 1 else 1).fit(X, y)
except KeyboardInterrupt:
    print(len(slices), model.n_iter_, np.isfinite(model.predict(X[:5])).all(), (model.coefs_[0] != before).any())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="os.kill cannot interrupt a process itself there")
def test_ctrl_c_inside_a_long_epoch_is_noticed_after_a_slice_and_loses_nothing():
    """Slices of 0.05 s, of which the first epoch has dozens: it comes after the third, and no other is made."""
    assert run_python(CTRL_C).stdout.split() == ["3", "0", "True", "True"]


LBFGS = """
import numpy as np
from skbackprop import MLPRegressor
X = np.random.default_rng(0).normal(size=(40, 10))
print(MLPRegressor((150, 150), solver="lbfgs", max_iter=20, random_state=0).fit(X, X[:, 0] ** 2).loss_curve_[-1].hex())
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lbfgs_has_the_same_bits_for_any_number_of_threads_of_the_blas_too():
    """SciPy's vectors, long enough here that OpenBLAS would share them out, are summed by one thread."""
    one, two = (run_python(LBFGS, OMP_NUM_THREADS=str(n)).stdout for n in (1, 2))
    assert one == two != ""


# --------------------------------------------------------------- what Python may hand to the kernels ----


def small(dtype=np.float64, **changes):
    """A network of 3 inputs, 4 hidden units and 2 outputs in the kernels' memory, and what its calls want."""
    spec = {
        "level": level(), "dtype": np.dtype(dtype).name, "max_rows": 8, "sizes": (3, 4, 2), "seed": 1,
        "activations": ["tanh"], "dropout": (0.0, 0.0), "loss": "cross_entropy", "n_targets": 2, "focal_gamma": 2.0,
        "huber_delta": 1.0, "label_smoothing": 0.0, "quantiles": (), "n_members": 1, "input_scale": False,
        "input_scale_rate": 1.0, "optimizer": "adam", "nesterov": True, "momentum": 0.9, "beta_1": 0.9,
        "beta_2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0, "max_grad_norm": 0.0,
    }  # fmt: skip
    spec |= changes
    net = _cpu.CpuNet(**spec)
    arrays = {
        "X": np.ones((6, 3), dtype),
        "Y": np.tile(np.arange(2), 3),
        "weights": np.ones(6, dtype),
        "theta": np.ones(26, dtype),
        "flat": np.ones(26, dtype),
        "order": np.arange(6),
        "rates": np.full(2, 0.1),
        "out": np.empty((6, 2), dtype),
        "numbers": np.arange(6),
    }
    return net, arrays


def calls_of(net, a):
    """All calls of a network that take arrays, with the names of these."""
    return {
        "set": (("theta",), lambda: net.set(-1, a["theta"])),
        "set memory": (("theta",), lambda: net.set(1, a["theta"])),
        "get": (("theta",), lambda: net.get(-1, a["theta"])),
        "gradient": (
            ("X", "Y", "weights", "numbers", "theta"),
            lambda: net.gradient(a["X"], a["Y"], a["weights"], 0, 0, a["numbers"], a["theta"]),
        ),
        "apply": (("theta",), lambda: net.apply(a["theta"], 0.1, 1)),
        "train": (
            ("X", "Y", "weights", "order", "rates"),
            lambda: net.train(a["X"], a["Y"], a["weights"], a["order"], a["rates"], 3, 1.0, 0.0, 0, 1.0),
        ),
        "predict": (("X", "out"), lambda: net.predict(a["X"], a["out"], True, True)),
        "predict few": (("X", "flat", "out"), lambda: net.predict(a["X"], a["out"], True, True, a["flat"])),
    }


def misaligned(array):
    return np.frombuffer(b"\0" + array.tobytes(), array.dtype, array.size, 1).reshape(array.shape)


SPOILERS = {
    "shorter": lambda array: array[:-1].copy(),
    "longer": lambda array: np.concatenate([array, array]),
    "empty": lambda array: array[:0].copy(),
    "of halves of the size": lambda array: array.astype(f"{array.dtype.kind}{array.itemsize // 2}"),
    "with gaps": lambda array: np.repeat(array, 2, axis=0)[::2],
    "misaligned": misaligned,
    "None": lambda array: None,
    "a list": lambda array: array.tolist(),
}


HARMLESS = {
    ("weights", "None"),
    ("numbers", "None"),
    ("flat", "None"),  # the parameters that were set
    ("order", "longer"),  # it may be walked through in part
    ("order", "shorter"),  # a last minibatch
    ("rates", "shorter"),
}


@pytest.mark.parametrize("how", SPOILERS)
def test_every_array_is_checked_before_a_kernel_runs(how):
    net, right = small()
    for name, (_, call) in calls_of(net, right).items():
        assert call() is not False, name
    for name in calls_of(net, right):
        for array in calls_of(net, right)[name][0]:
            if (array, how) in HARMLESS:
                continue
            wrong = right | {array: SPOILERS[how](right[array])}
            print(name, array)  # which, if one is let through
            with pytest.raises((ValueError, TypeError, BufferError, AttributeError)):
                calls_of(net, wrong)[name][1]()


def csr(X, dtype=np.int32):
    S = sp.csr_array(X)
    return S.data, S.indices.astype(dtype), S.indptr.astype(dtype), S.shape


def test_every_array_of_sparse_rows_is_checked_before_a_kernel_runs():
    net, right = small()
    for rows in (csr(right["X"], np.int32), csr(right["X"], np.int64)):
        right["X"] = rows
        takers = {name: call for name, (arrays, call) in calls_of(net, right).items() if "X" in arrays}
        with pytest.raises(ValueError, match="dense rows"):
            takers.pop("predict few")()
        for name, call in takers.items():
            assert call() is not False, name
        wrong = [(*rows[:k], SPOILERS[how](rows[k]), *rows[k + 1 :]) for k in range(3) for how in SPOILERS]
        wrong += [(*rows[:3], shape) for shape in ((6, 2), (6, 4), (5, 3), (7, 3), (6, 2**40), (-1, 3))]
        wrong += [(*rows[:3], (n, 3)) for n in (2**61 + 6, 2**62, 2**63 - 1)]  # products of them overflow
        for at, value in ((1, 3), (1, -1), (1, 2**30), (2, -1), (2, 19), (2, 2**30)):
            for place in (0, 3, -1):
                bad = rows[at].copy()
                if at == 2 and place == 3 and value == 19:
                    value = 1  # falls
                bad[place] = value
                wrong.append((*rows[:at], bad, *rows[at + 1 :]))
        for bad in wrong:
            for name in takers:
                print(name, bad)
                with pytest.raises((ValueError, TypeError, BufferError, AttributeError)):
                    calls_of(net, right | {"X": bad})[name][1]()


@pytest.mark.parametrize(
    ("order", "rates", "batch"),
    [
        ((0, 6), 1, 2),
        ((-1, 0), 1, 2),
        ((0, 1), 2, 2),
        ((0, 1), 1, 0),
        ((0, 1), 1, -1),
        ((0, 1), 1, 9),
        ((0, 2**62), 1, 2),
    ],
)
def test_orders_that_name_no_row_and_batches_that_do_not_fit_are_refused(order, rates, batch):
    net, a = small()
    for X in (a["X"], csr(a["X"])):
        with pytest.raises(ValueError, match=r"minibatches|do not exist"):
            net.train(X, a["Y"], None, np.array(order), np.full(rates, 0.1), batch, 1.0, 0.0, 0, 1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"level": "v9"},
        {"dtype": "float16"},
        {"dtype": "int64"},
        {"max_rows": 0},
        {"sizes": (3,), "activations": [], "dropout": ()},
        {"sizes": (3, 0, 2)},
        {"sizes": (3, -4, 2)},
        {"activations": []},
        {"activations": ["tanh", "tanh"]},
        {"activations": ["no such"]},
        {"activations": [""]},
        {"dropout": (0.0,)},
        {"dropout": (0.0, 0.0, 0.0)},
        {"dropout": (0.0, 1.0)},
        {"dropout": (np.nan, 0.0)},
        {"loss": "no such"},
        {"loss": ""},
        {"loss": "gaussian"},  # two outputs for each target
        {"loss": "quantile", "quantiles": ()},
        {"n_targets": 1},
        {"optimizer": "no such"},
        {"optimizer": ""},
        {"n_members": 0},
    ],
)
def test_networks_that_cannot_be_are_refused(change):
    with pytest.raises(ValueError, match=r"No network has|no kernels for"):
        small(**change)


@pytest.mark.parametrize(
    "change", [{"sizes": (3, 2**40, 2)}, {"sizes": (3, 2**70, 2)}, {"max_rows": 2**62}, {"n_members": 2**61}]
)
def test_networks_beyond_any_memory_are_refused_without_an_overflow(change):
    with pytest.raises(MemoryError):
        small(**change)


def test_memory_that_was_never_made_is_not_read():
    net, a = small()
    for slot in (0, 1, 2, 2**30):
        with pytest.raises(ValueError, match="no such memory"):
            net.get(slot, a["theta"])
    with pytest.raises(ValueError, match="no such memory"):
        net.set(2, a["theta"])


# ------------------------------------------------------------------------------- what engines take ----


@pytest.mark.parametrize("solver", _cpu.OPTIMIZERS)
def test_a_network_that_needs_more_room_keeps_what_it_has_learned(solver, rng):
    """Without memory of the optimizer, which is fresh then, and with it."""
    network, X, Y, w, theta = problem(rng, "cross_entropy", (5, 6), ("tanh",), (0.0, 0.0), 40, np.float64, True, False)
    engine = CompiledEngine(network, Optimizer(solver))
    engine.load(theta)
    few, all_rows = engine.predict(X[:5]), engine.predict(X)
    assert_array_equal(few, all_rows[:5])
    now, memory = engine.dump()
    assert_array_equal(now, theta)
    for name, fresh in engine.rule.init(np, theta).items():
        assert_array_equal(memory[name], fresh)
    results = []
    for grows in (False, True):
        engine = CompiledEngine(network, Optimizer(solver))
        engine.load(theta, objective=Objective(4, 1.0, 0.01))
        for k in range(3):
            if grows:
                assert engine.predict(X[: 4 + 10 * k]).shape == (4 + 10 * k, 3)
                engine.dump()
            else:
                engine.predict(X)
            engine.train_steps(X, Y, w, np.arange(4), np.array([0.01]), k)
        results.append(engine.dump())
    assert_array_equal(results[0][0], results[1][0])
    assert results[0][1].keys() == results[1][1].keys()
    for name, value in results[0][1].items():
        assert_array_equal(value, results[1][1][name])


def test_validation_by_blocks_of_different_lengths(rng):
    X = rng.normal(size=(400, 5))
    y = X[:, 0]
    shards = Shards([X[:100], X[100:]], [y[:100], y[100:]], memory=10_000, block_rows=300)
    params = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
    model = MLPRegressor(**params).fit(X[:200], y[:200], X_val=shards)
    whole = MLPRegressor(**params).fit(X[:200], y[:200], X_val=X, y_val=y)
    assert_allclose(model.validation_loss_curve_, whole.validation_loss_curve_, rtol=1e-12)  # sums of blocks


@pytest.mark.parametrize("engine", [CompiledEngine, ReferenceEngine])
@pytest.mark.parametrize("solver", _cpu.OPTIMIZERS)
def test_engines_refuse_parameters_and_memory_of_another_network(solver, engine, rng):
    network, X, Y, w, theta = problem(rng, "cross_entropy", (5, 6), ("tanh",), (0.0, 0.0), 9, np.float64, True, False)
    engine = engine(network, Optimizer(solver))
    for wrong in (theta[:-1], np.r_[theta, 0.0], theta[:0], theta[:, None], np.float64(1.0)):
        with pytest.raises(ValueError, match="parameters in one vector"):
            engine.load(wrong)
    fresh = engine.rule.init(np, theta)
    wrong_states = [{}, [], "no", {"other": theta}]
    wrong_states += [
        fresh | {name: value} for name in fresh for value in (np.zeros(1), np.zeros((2, theta.size)), theta[:-1])
    ]
    for wrong in wrong_states:
        with pytest.raises(ValueError, match="optimizer's memory"):
            engine.load(theta, wrong, Objective(9))
    engine.load(theta, fresh, Objective(9))
    engine.train_steps(X, Y, w, np.arange(9), np.array([0.1]), 0)


def test_the_kernels_take_float32_and_float64_alone(rng):
    network, *_, theta = problem(rng, "cross_entropy", (5, 6), ("tanh",), (0.0, 0.0), 9, np.float64, True, False)
    engine = CompiledEngine(network, Optimizer())
    for dtype in (np.int64, np.float16, np.longdouble, complex, object, theta.dtype.newbyteorder()):
        with pytest.raises(ValueError, match="float32 and float64"):
            engine.load(theta.astype(dtype))


def test_numbers_at_odd_addresses_are_copied(rng):
    """Such as arrays in what came over a network."""
    network, X, Y, w, theta = problem(rng, "cross_entropy", (5, 6), ("tanh",), (0.0, 0.0), 9, np.float64, True, True)
    odd = X.copy()
    odd.data, odd.indices, odd.indptr = map(misaligned, (X.data, X.indices, X.indptr))
    pairs = ((X, odd), (X.toarray(), misaligned(X.toarray())), (X[:1].toarray(), misaligned(X[:1].toarray())))
    for right, wrong in pairs:
        engine, other = (CompiledEngine(network, Optimizer()) for _ in range(2))
        engine.load(theta)
        other.load(misaligned(theta), {"m": misaligned(theta), "v": misaligned(theta**2)})
        assert_array_equal(other.predict(wrong), engine.predict(right))
        n = right.shape[0]
        ours = other.loss_and_gradient(wrong, misaligned(Y[:n]), misaligned(w[:n]))
        theirs = engine.loss_and_gradient(right, Y[:n], w[:n])
        assert_array_equal(ours[1], theirs[1])
        other.apply_gradient(misaligned(theirs[1]), 0.1)
        assert np.isfinite(other.dump()[0]).all()


@pytest.mark.parametrize("loader", [lambda model: model, lambda model: pickle.loads(pickle.dumps(model))])
def test_attributes_that_were_changed_do_not_lead_out_of_the_memory(loader, digits):
    X, y = digits[0][:200], digits[1][:200]
    params = {"learning_rate": "constant", "random_state": 0}
    changes = {
        "n_features_in_": lambda m: setattr(m, "n_features_in_", 3),
        "coefs_ of other shapes": lambda m: m.coefs_.__setitem__(0, m.coefs_[0][:3]),
        "intercepts_ of other shapes": lambda m: m.intercepts_.__setitem__(1, m.intercepts_[1][:3]),
        "sizes": lambda m: setattr(m, "_network", dataclasses.replace(m._network, sizes=(3, 8, 10))),
        "hidden sizes": lambda m: setattr(m, "_network", dataclasses.replace(m._network, sizes=(64, 9, 10))),
        "activations": lambda m: setattr(m, "_network", dataclasses.replace(m._network, activations=())),
        "dropout": lambda m: setattr(m, "_network", dataclasses.replace(m._network, dropout=(0.5,))),
        "members": lambda m: setattr(m, "_network", dataclasses.replace(m._network, n_members=3)),
        "memory": lambda m: m._progress.memory.__setitem__("v", np.zeros(1)),
        "no memory": lambda m: m._progress.memory.clear(),
    }
    for name, change in changes.items():
        model = MLPSoftmaxClassifier((8,), **params).partial_fit(X, y)
        change(model)
        said = r"features|shapes|layers|sizes|memory|n_members|activations|damaged"
        if "memory" not in name:
            for rows in (X[:1, :3], X[:, :3]) if "features" in name else (X[:1], X):
                print(name)
                with pytest.raises(ValueError, match=said):
                    loader(model).predict(rows)
        print(name)
        with suppress(ValueError) if name in ("dropout", "no memory") else pytest.raises(ValueError, match=said):
            loader(model).partial_fit(X[:, :3] if "features" in name else X, y)


OUT_OF_MEMORY = """
import resource, sys
import numpy as np
from skbackprop._engines.compiled import CompiledEngine
from skbackprop._nn.network import Network, Objective
from skbackprop._nn.optimizers import Optimizer
from skbackprop._fit.block import Block
from skbackprop._fit.lbfgs import minimize_lbfgs

network = Network((2000, 1000, 1), ("relu",), "squared_error")  # 8 MB of parameters in float32
X, Y = np.ones((4, 2000), np.float32), np.ones((4, 1), np.float32)
theta = np.full(network.n_parameters, 1e-3, np.float32)
gradient, out = np.empty_like(theta), np.empty((4, 1), np.float32)

def limited(call):
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 2**20, resource.RLIM_INFINITY))
    try:
        call()
    except MemoryError as error:
        return str(error).startswith("not enough memory")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

engine = CompiledEngine(network, Optimizer("adam"), 1)
engine.load(theta)
makes = lambda: engine._create(4)
assert limited(makes), "create"
net = engine._need(4)
calls = {
    "gradient": lambda: net.gradient(X, Y, None, -1, 0, None, gradient),
    "set": lambda: net.set(0, theta),
    "apply": lambda: net.apply(theta, 1e-3, 1),
    "train": lambda: net.train(X, Y, None, np.arange(4), np.full(1, 1e-3), 4, 1.0, 0.0, 0, 1.0),
}
for name, call in calls.items():
    net = engine._create(4)
    net.set(-1, theta)
    assert limited(call), name
    call()  # now there is enough, and it works
    net.predict(X, out, True, True)
    assert np.isfinite(out).all()

class Scarce(CompiledEngine):  # memory runs out in the middle of a fit by L-BFGS
    calls = 0

    def loss_and_gradient(self, *args):
        Scarce.calls += 1
        if Scarce.calls < 2:
            return super().loss_and_gradient(*args)
        self.net = None
        return self._lacking(*args)

    def _lacking(self, *args):
        found = []
        def call():
            found.append(super(Scarce, self).loss_and_gradient(*args))
        if limited(call):
            raise MemoryError("found")
        return found[0]
try:
    minimize_lbfgs(Scarce(network, Optimizer("sgd"), 1), Block(X, Y), theta, None, alpha=0.0, options={"maxiter": 3})
except MemoryError as error:
    assert str(error) == "found"
    print("all of them")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory, and /proc, are Linux's")
def test_out_of_memory_is_a_memory_error_wherever_it_happens():
    result = run_python(OUT_OF_MEMORY)
    assert result.stdout == "all of them\n", result.stderr


def test_numbers_of_other_kinds_and_layouts_become_the_kernels_own(rng):
    network, X, Y, w, theta = problem(rng, "cross_entropy", (5, 6), ("tanh",), (0.3, 0.0), 9, np.float64, True, False)
    X, w = np.rint(4.0 * X), np.rint(2.0 * w)  # whole numbers, which every kind can tell
    engine = CompiledEngine(network, Optimizer())
    results = []
    for change in (
        lambda array: array,
        np.asfortranarray,
        lambda array: np.repeat(array, 2, axis=0)[::2],
        lambda array: array[::-1].copy()[::-1],
        lambda array: array.astype(array.dtype.newbyteorder()),
        lambda array: array.astype(np.int16),
        lambda array: array.astype(np.float16),
        misaligned,
    ):
        order, numbers = change(np.arange(8, -1, -1)), change(np.arange(3, 12))
        codes = change(Y) if change(Y).dtype.kind == "i" else Y  # of classes are never anything else
        engine.load(theta, objective=Objective(4))
        found = engine.loss_and_gradient(change(X), codes, change(w), step=2, row_offset=numbers)
        rates, done = change(np.array([1, 2])), 0
        while done < 2:  # a call may end early, to be interrupted
            done += engine.train_steps(change(X), codes, change(w), order[4 * done :], rates[done:], done)[1]
        results.append([*found, engine.dump()[0], engine.predict(change(X))])
    for others in results[1:]:
        for ours, theirs in zip(others, results[0], strict=True):
            assert_array_equal(ours, theirs)
