"""Threads that share estimators, also in a Python without a GIL: each answer has the bits that it has alone."""

import pickle
import subprocess
import sys
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop.ensemble import MLPEnsembleRegressor
from skbackprop.preprocessing import PiecewiseLinearEncoder

N_THREADS = 6
MODULES = ("", ".data", ".display", ".ensemble", ".inspection", ".persistence", ".preprocessing", ".tabular")


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_the_gil_stays_off():
    modules = ", ".join("skbackprop" + name for name in MODULES)
    code = f"import sys, {modules}; sys.exit(sys._is_gil_enabled())"
    subprocess.run([sys.executable, "-P", "-W", "error", "-c", code], check=True)


def at_once(work):
    """What work(0), work(1), ... give in threads that begin together."""
    start = threading.Barrier(N_THREADS)

    def waiting(k):
        start.wait()
        return work(k)

    with ThreadPoolExecutor(N_THREADS) as threads:
        return list(threads.map(waiting, range(N_THREADS)))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6))
    X[::7, 2] = np.nan
    return X, X[:, 0] + np.abs(X[:, 1])


QUICK = {"learning_rate": "cosine", "max_iter": 3, "random_state": 0}
KINDS = {
    "classifier": MLPSoftmaxClassifier((300,), n_threads=2, **QUICK),  # wide, so that the kernels' threads take part
    "regressor": MLPRegressor((10,), early_stopping=True, n_members=2, **QUICK),
    "columns": MLPRegressor((10,), numeric_encoder="piecewise_linear", dtype="float32", **QUICK),
    "folds": MLPEnsembleRegressor(
        MLPRegressor((5,), **QUICK | {"random_state": None}), oob_score=True, n_folds=2, random_state=0
    ),
    "table": tabular_pipeline("classifier", hidden_layer_sizes=(10,), **QUICK),
    "encoder": PiecewiseLinearEncoder(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fits_and_answers_at_once_have_the_bits_that_they_have_alone(kind, rows):
    model = KINDS[kind]
    X, y = rows
    if kind not in ("columns", "table"):
        X = np.nan_to_num(X)
    y = (y > 1.0).astype(int) if kind in ("classifier", "table") else y
    shared = clone(model).fit(X, y)

    def ask(model):
        return np.asarray(
            getattr(model, "predict_proba", getattr(model, "predict", getattr(model, "transform", None)))(X)
        )

    alone = ask(shared)

    def work(k):
        own = clone(model).fit(X, y) if k % 2 else pickle.loads(pickle.dumps(shared))
        return [ask(shared), ask(own), ask(shared)]

    for answers in at_once(work):
        for answer in answers:
            assert_array_equal(answer, alone)


def test_of_fits_of_one_estimator_one_stays_whole(rows):
    X, y = np.nan_to_num(rows[0]), rows[1]
    model = MLPRegressor((20,), **QUICK)
    expected = [clone(model).fit(X, y + k).predict(X) for k in range(N_THREADS)]
    at_once(lambda k: model.fit(X, y + k))
    assert any(np.array_equal(model.predict(X), answer) for answer in expected)


def test_threads_take_turns_with_partial_fit(rows):
    """Each call goes on from a whole model; calls that meet may count once."""
    X, y = np.nan_to_num(rows[0]), rows[1]
    model = MLPRegressor((20,), random_state=0).partial_fit(X, y)
    at_once(lambda k: [model.partial_fit(X, y) for _ in range(3)])
    assert 4 <= model.n_iter_ <= 1 + 3 * N_THREADS
    assert len(model.loss_curve_) == model.n_iter_
    assert np.isfinite(model.predict(X)).all()
