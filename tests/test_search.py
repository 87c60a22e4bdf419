"""Searches on joblib's backends: read-only maps as inputs, the results of one process, no more threads than CPUs."""

import contextlib
import os
import tempfile

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPSoftmaxClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

# What a fit there takes for n_threads=None. Made so that it is pickled by value, as workers import no test module
THREADS = eval(
    "lambda model, X, y: __import__('skbackprop._engines.compiled', fromlist=['_cpu'])._cpu.get_num_threads()",
    {"__name__": "__main__"},
)


@pytest.fixture(autouse=True)
def no_wish(monkeypatch):
    """The user has not said how many threads to take, which joblib would pass on."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """Rows in a file, mapped read-only, and their labels."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 40)).astype(np.float32)
    path = tmp_path_factory.mktemp("rows") / "X.npy"
    np.save(path, X)
    return np.load(path, mmap_mode="r"), (X[:, 0] + X[:, 1] > 0).astype(int)


@contextlib.contextmanager
def loky():
    with joblib.parallel_config("loky", n_jobs=2):
        yield


@contextlib.contextmanager
def dask():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster), joblib.parallel_config("dask"):
        yield


@contextlib.contextmanager
def ray():
    cluster = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    register_ray()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # else workers import from the checkout
        cluster.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        try:
            with joblib.parallel_config("ray", n_jobs=2):
                yield
        finally:
            cluster.shutdown()


BACKENDS = [loky, dask, ray]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # what the clusters warn of is theirs
@pytest.mark.parametrize("backend", BACKENDS)
def test_searches_in_processes_find_what_one_process_finds(backend, mapped):
    X, y = mapped
    network = MLPSoftmaxClassifier(learning_rate="constant", max_iter=4, random_state=0)
    model = make_pipeline(StandardScaler(), network)
    grid = {f"{network.__class__.__name__.lower()}__{name}": values for name, values in {
        "hidden_layer_sizes": [(4,), (16,)], "alpha": [1e-4, 1.0],
    }.items()}  # fmt: skip
    halving = {"resource": "mlpsoftmaxclassifier__max_iter", "min_resources": 2, "max_resources": 8, "random_state": 0}
    searches = [lambda: GridSearchCV(model, grid, cv=3), lambda: HalvingGridSearchCV(model, grid, cv=3, **halving)]
    alone = [make().fit(X, y) for make in searches]
    with backend():
        together = [make().fit(X, y) for make in searches]
    for one, many in zip(alone, together, strict=True):
        assert one.best_params_ == many.best_params_
        assert_array_equal(one.cv_results_["mean_test_score"], many.cv_results_["mean_test_score"])
        assert_array_equal(one.predict_proba(X), many.predict_proba(X))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("backend", BACKENDS)
def test_workers_do_not_take_more_threads_than_there_are_cpus(backend, mapped):
    scoring = {"threads": THREADS}
    network = MLPSoftmaxClassifier((4,), max_iter=1, weight_decay=0.1, random_state=0)
    with backend():
        search = GridSearchCV(network, {"alpha": [0.1, 0.2]}, cv=2, scoring=scoring, refit=False).fit(*mapped)
    threads = search.cv_results_["mean_test_threads"].max()
    assert 1 <= threads <= max(1, CPUS // 2)


@pytest.mark.slow
def test_rows_that_joblib_maps_for_its_workers_are_taken_as_they_are(mapped, rng):
    """Arrays above joblib's max_nbytes reach the workers as read-only maps of one file."""
    X, y = np.array(mapped[0]), mapped[1]
    fit = eval(
        "lambda model, X, y: (X.flags.writeable, type(X).__name__, model.fit(X, y).predict_proba(X))",
        {"__name__": "__main__"},
    )
    model = MLPSoftmaxClassifier((8,), max_iter=2, random_state=0)
    with joblib.parallel_config("loky", n_jobs=2, max_nbytes=10_000):
        results = joblib.Parallel()(joblib.delayed(fit)(model, X, y) for _ in range(2))
    expected = model.fit(X, y).predict_proba(X)
    for writeable, kind, probabilities in results:
        assert (writeable, kind) == (False, "memmap")
        assert_array_equal(probabilities, expected)
