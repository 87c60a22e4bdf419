"""The conformance suite of datasets: rows in memory, on the disk and on a cluster behave alike."""

import contextlib
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._checks.constraints import fit_spec
from skbackprop._checks.rows import Given, read_part, read_rows
from skbackprop._checks.tables import categories_in
from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.out_of_core import DiskDataset
from skbackprop._fit.spec import FitPlan
from skbackprop._fit.targets import LabelCodec, NumberCodec
from skbackprop._fit.training import run_epoch
from skbackprop._fit.weights import class_factors
from skbackprop._nn.network import Objective
from skbackprop.data import Shards

KINDS = ("memory", "disk", "cluster")
N = 240


def in_memory(estimator, X, y, w):
    yield read_rows(estimator, X, Given(y, w), reset=True)[0]


def on_disk(estimator, X, y, w):
    parts = (None if part is None else np.array_split(part, 4) for part in (X, y, w))
    yield read_rows(estimator, Shards(*parts, memory=9000, block_rows=10), Given(None), reset=True)[0]


def on_a_cluster(estimator, X, y, w):
    """One rank that holds all rows, in pieces."""
    pytest.importorskip("distributed")
    pytest.importorskip("dask.array")
    from skbackprop._dask.collectives import Communicator
    from skbackprop._dask.dataset import read_table
    from skbackprop._dask.job import FitRequest, Layout, Shard
    from skbackprop._dask.ranks import Rank

    spec = fit_spec(estimator)
    request = FitRequest(
        spec, None, None, partial(read_part, estimator), partial(categories_in, estimator), None, None, None
    )
    worker = SimpleNamespace(address="inproc://", security=None)
    layout = Layout.of([(0, 100), (100, N)])
    comm = Communicator(0, 1, "token", worker, lambda: True)
    comm.open()
    with contextlib.closing(comm):
        rank = Rank(comm, request, {"train": Shard(layout, X, y, w)}, 1, lambda: None)
        yield read_table(rank, [layout], "train", None)[0]


MAKERS = {"memory": in_memory, "disk": on_disk, "cluster": on_a_cluster}


@pytest.fixture
def problem():
    """X, labels, numbers, and weights of which some are zero."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 5))
    return X, np.where(X[:, 0] > 0.8, "b", "a"), X @ np.arange(5.0) + 3.0, rng.integers(0, 3, N).astype(float)


@pytest.fixture(params=KINDS)
def make(request):
    """Make a dataset of one kind."""
    with contextlib.ExitStack() as stack:
        manager = contextlib.contextmanager(MAKERS[request.param])
        yield lambda *data: stack.enter_context(manager(*data))


def test_the_kinds_are_what_they_are_called(make, problem, request):
    X, _, y, w = problem
    dataset = make(MLPRegressor(), X, y, w)
    kind = request.node.callspec.params["make"]
    assert isinstance(dataset, DiskDataset if kind == "disk" else ArrayDataset)
    assert (type(dataset) is ArrayDataset) == (kind == "memory")


def test_what_is_known_of_the_rows(make, problem):
    X, _, y, w = problem
    dataset = make(MLPRegressor(), X, y, w)
    assert len(dataset) == N
    assert dataset.dtype == np.float64
    assert dataset.largest == np.abs(X).max()
    assert_array_equal(dataset.y, y)
    assert_array_equal(dataset.weights, w)
    mean, deviation, largest = dataset.moments()
    assert_allclose(mean, [np.average(y, weights=w)], rtol=1e-12)
    assert_allclose(deviation**2, [np.average((y - mean) ** 2, weights=w)], rtol=1e-12)
    assert_array_equal(largest, [np.abs(y).max()])


def test_a_sample_stands_for_all(make, problem):
    X, _, y, w = problem
    sample = make(MLPRegressor(), X, y, w).sample.in_memory(np.float32)
    assert sample.dtype == np.float32
    rows = [np.flatnonzero(y == value)[0] for value in sample.y]
    assert len(rows) > 50
    assert_array_equal(sample.X, X[rows].astype(np.float32))
    assert_array_equal(sample.weights, w[rows])


def test_examples_are_of_the_kind_of_all_targets(make, problem):
    X, labels, y, _ = problem
    assert_array_equal(np.unique(make(MLPSoftmaxClassifier(), X, labels, None).examples), ["a", "b"])
    examples = make(MLPRegressor(), X, y, None).examples
    assert (examples.min(), examples.max()) == (y.min(), y.max())


def test_classes_are_counted(make, problem):
    X, labels, _, w = problem
    counts, total = make(MLPSoftmaxClassifier(), X, labels, w).class_totals(LabelCodec(np.array(["a", "b"])))
    assert_allclose(counts, [w[labels == "a"].sum(), w[labels == "b"].sum()])
    assert total == w.sum()


def test_the_split_is_stratified_and_disjoint(make, problem):
    X, labels, _, w = problem
    dataset, codec = make(MLPSoftmaxClassifier(), X, labels, w), LabelCodec(np.array(["a", "b"]))
    train, held_out = dataset.split(np.random.RandomState(0), 0.2, codec.strata)
    assert len(train) + len(held_out) == N
    assert len(held_out) == round(0.2 * np.count_nonzero(w))
    assert (held_out.weights > 0).all()
    share = np.mean(held_out.y == "b") / np.mean(labels[w > 0] == "b")
    assert abs(share - 1.0) < 0.15  # of 35 rows one may be rounded either way
    assert_allclose(train.class_totals(codec)[1] + held_out.weights.sum(), w.sum())
    again = dataset.split(np.random.RandomState(0), 0.2, codec.strata)[1]
    assert_array_equal(again.y, held_out.y)


def trained(dataset, estimator, codec, factors=None):
    """The training set, its sums over all blocks, and the parameters after an epoch in order."""
    spec = fit_spec(estimator)
    plan = FitPlan.settle(spec, len(dataset))
    network = plan.network(spec, codec.loss(spec.loss), 5, codec.n_targets, seed=0)
    rows = dataset.training_set(codec, factors, spec, np.dtype(np.float64)).together()
    engine = dataset.engine(network, spec, plan)
    theta = np.random.default_rng(1).normal(size=network.n_parameters)
    engine.load(theta)
    sums = [engine.loss_and_gradient(block.X, block.Y, block.weights) for block in rows.blocks()]
    loss, gradient, weight = (sum(part) for part in zip(*sums, strict=True))
    objective = Objective.over(rows.n, rows.weight_sum, 0.1, plan.batch_size, rows.unit)
    engine.load(theta, None, objective)
    rates = np.full(objective.n_steps(rows.n), 0.01)
    blocks = rows.epoch(np.random.RandomState(0), False, plan.batch_size)
    mean = run_epoch(engine, blocks, rates, 0, plan.batch_size)
    return rows, (loss * rows.unit, gradient * rows.unit, weight * rows.unit), engine.dump()[0], mean


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("weighted", [False, True])
def test_training_is_that_of_the_rows_in_memory(make, problem, weighted, engine):
    X, labels, y, w = problem
    w = w if weighted else None
    options = {"batch_size": 16, "engine": engine, "dropout": 0.2, "solver": "adam"}
    classifier, regressor = MLPSoftmaxClassifier((7,), **options), MLPRegressor((7,), **options)
    codec = LabelCodec(np.array(["a", "b"]))
    factors = class_factors("balanced", codec, *make(classifier, X, labels, w).class_totals(codec))
    scaled = NumberCodec("squared_error", 1, np.array([3.0]), np.array([5.0]), y_is_1d=True)
    cases = [(classifier, labels, codec, factors), (classifier, labels, codec, None), (regressor, y, scaled, None)]
    for estimator, targets, codec, factors in cases:
        here = next(in_memory(estimator, X, targets, w))
        expected = trained(here, estimator, codec, factors)
        rows, sums, theta, loss = trained(make(estimator, X, targets, w), estimator, codec, factors)
        assert rows.n == N
        assert_allclose(rows.weight_sum, expected[0].weight_sum, rtol=1e-12)
        for found, wanted in zip(sums, expected[1], strict=True):
            assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
        assert_allclose(theta, expected[2], rtol=1e-7, atol=1e-9)  # sums in another order, through Adam
        assert_allclose(loss, expected[3], rtol=1e-9)


@pytest.mark.filterwarnings("ignore:A buffer holds only about")
def test_an_epoch_visits_each_row_once_in_whole_minibatches(make, problem):
    X, _, y, w = problem
    estimator = MLPRegressor(batch_size=16)
    spec, codec = fit_spec(estimator), NumberCodec("squared_error", 1, np.zeros(1), np.ones(1))
    rows = make(estimator, X, y, w).training_set(codec, None, spec, np.dtype(np.float64))
    rng, visited, lengths = np.random.RandomState(0), [], []
    for block, order in rows.epoch(rng, True, 16):
        visited.append(np.array(block.Y)[order, 0])
        lengths.append(len(order))
    assert all(n % 16 == 0 for n in lengths[:-1])
    assert_array_equal(np.sort(np.concatenate(visited)), np.sort(y))
    assert not np.array_equal(np.concatenate(visited), y)


def test_validation_blocks_hold_all_rows_each_time(make, problem):
    X, _, y, w = problem
    dataset = make(MLPRegressor(), X, y, w)
    blocks = dataset.validation_blocks(NumberCodec("squared_error", 1, np.zeros(1), np.ones(1)), np.dtype(np.float64))
    for _ in range(2):
        parts = [(np.array(block.Y), np.array(block.weights)) for block in blocks()]
        assert_array_equal(np.concatenate([Y for Y, _ in parts])[:, 0], y)
        assert_array_equal(np.concatenate([weights for _, weights in parts]), w)


@pytest.mark.parametrize("part", ["X", "y", "w"])
@pytest.mark.parametrize("kind", ["memory", "disk"])  # a cluster's fit has no checkpoints of files
def test_the_fingerprint_is_that_of_the_content(kind, problem, part):
    X, _, y, w = (np.array(array) for array in problem)
    name = next(MAKERS[kind](MLPRegressor(), X, y, w)).fingerprint()
    assert next(MAKERS[kind](MLPRegressor(), X.copy(), y, w)).fingerprint() == name
    {"X": X, "y": y, "w": w}[part][-1] += 1.0
    assert next(MAKERS[kind](MLPRegressor(), X, y, w)).fingerprint() != name
