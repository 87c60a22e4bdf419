"""Classes by the thousand: memory for the weights and a few minibatches, never for rows times classes."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from skbackprop import MLPSoftmaxClassifier
from skbackprop.data import Shards
from skbackprop.inspection import check_gradients

N, K = 6000, 2000
ONE_HOT = N * K * 4  # bytes, in float32
PLAN = {"learning_rate": "cosine", "max_iter": 1, "weight_decay": 0.0, "random_state": 0}
LBFGS = {"solver": "lbfgs", "learning_rate": "auto", "weight_decay": "auto", "max_iter": 2, "tol": 1e9}


@pytest.fixture(scope="module")
def crowd():
    """Inputs, labels that are no class codes, and weights."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 4)).astype(np.float32), np.repeat(np.arange(K), N // K)
    return X, 10 * y[rng.permutation(N)] - 7, rng.random(N) + 0.5


def peak_of(work):
    """Bytes that Python's objects and NumPy's arrays take at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


CASES = {
    "plain": {},
    "in float64": {"dtype": "float64"},
    "with validation rows": {"early_stopping": True},
    "with a selection": {"weight_decay": "auto"},
    "with weighted classes": {"class_weight": "balanced", "label_smoothing": 0.1, "loss": "brier"},
    "with members": {"n_members": 2, "loss": "focal"},
    "by L-BFGS": LBFGS,
    "by the reference engine": {"engine": "reference", "batch_size": 32, "label_smoothing": 0.1},
}


@pytest.mark.parametrize("case", CASES)
def test_fit_and_score_hold_few_outputs_at_a_time(case, crowd):
    X, y, w = crowd
    model = MLPSoftmaxClassifier((2,), **PLAN | CASES[case])
    assert peak_of(lambda: model.fit(X, y, w)) < ONE_HOT / 4
    if case != "by the reference engine":  # whose activations are of 4096 rows at a time
        assert peak_of(lambda: model.score(X, y)) < ONE_HOT / 4
    assert np.isfinite(model.loss_)


def test_so_do_streams_and_shards(crowd):
    X, y, w = crowd
    model = MLPSoftmaxClassifier((2,), learning_rate="constant", batch_size=64, random_state=0)

    def stream():
        for rows in np.array_split(np.argsort(y, kind="stable"), 2):
            model.partial_fit(X[rows], y[rows], w[rows], np.unique(y), X_val=X[:1000], y_val=y[:1000])

    assert peak_of(stream) < ONE_HOT / 4
    data = Shards(X, y, w, memory=N * 32, block_rows=200)
    model = MLPSoftmaxClassifier((2,), class_weight="balanced", early_stopping=True, batch_size=64, **PLAN)
    assert peak_of(lambda: model.fit(data).predict(data)) < ONE_HOT / 4


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", ["dense", "sparse", "on disk", "text"])
def test_answers_do_not_depend_on_how_many_outputs_are_held(kind, members, digits, monkeypatch):
    X, y = digits[0][:300], digits[1][:300]
    y = np.array([f"class {label}" for label in y]) if kind == "text" else y
    wrapped = {"sparse": sp.csr_array, "on disk": lambda X: Shards(X, memory=10_000, block_rows=70)}
    params = PLAN | {"max_iter": 2, "early_stopping": True, "n_members": members, "scoring": "accuracy"}

    def answers():
        model = MLPSoftmaxClassifier((8,), **params).fit(sp.csr_array(X) if kind == "sparse" else X, y)
        rows = wrapped.get(kind, lambda X: X)(X)
        curves = [model.validation_loss_curve_, model.validation_scores_]
        return [model.predict(rows), *model.predict(rows, return_members=True), *curves]

    whole = answers()
    assert whole[2].shape == (members, 300)
    monkeypatch.setattr("skbackprop._fit.block.BLOCK_OUTPUTS", 70 * members)  # seven rows
    for ours, theirs in zip(answers(), whole, strict=True):
        assert_array_equal(ours, theirs)


def test_a_bad_row_far_down_is_named_as_before(digits, monkeypatch):
    X, y = digits
    model = MLPSoftmaxClassifier((8,), **PLAN).fit(X, y)
    monkeypatch.setattr("skbackprop._fit.block.BLOCK_OUTPUTS", 1000)
    X = X.copy()
    X[1500, 3] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.predict(X)


def test_gradients_are_checked_under_what_the_parameters_say_now(digits):
    """Label smoothing that was changed after the fit is part of J."""
    X, y = digits[0][:20], digits[1][:20]
    model = MLPSoftmaxClassifier((3,), "tanh", **PLAN).fit(X, y)
    before = model._network
    assert check_gradients(model.set_params(label_smoothing=0.3), X, y) < 1e-6
    assert model._network is before


PROGRAM = """
import resource, warnings
import numpy as np
from skbackprop import MLPSoftmaxClassifier

warnings.simplefilter("ignore")
n, n_classes = 20_000, 2_000
rng = np.random.default_rng(0)
X, y = rng.normal(size=(n, 8)), np.arange(n) % n_classes
params = {"max_iter": 1, "learning_rate": "cosine", "random_state": 0, "label_smoothing": 0.1}
params |= {"early_stopping": True, "class_weight": "balanced"}
fit = lambda X, y: MLPSoftmaxClassifier((20,), **params).fit(X, y).score(X, y)
fit(X[:300], y[:300] % 7)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fit(X, y)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (n * n_classes * 8))
"""


@pytest.mark.slow  # a process of its own
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units, or not at all")
def test_memory_of_a_whole_fit_kernels_included():
    result = subprocess.run([sys.executable, "-P", "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(result.stdout) < 0.15  # of what one-hot targets would take in X's float64
