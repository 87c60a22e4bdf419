"""Estimators on a cluster of Dask: the local fit's weights, whatever the partitions; errors; and what faults do."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from listeners import Silent
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skbackprop import DivergenceError, MLPRegressor, MLPSoftmaxClassifier
from skbackprop._fit import summaries

distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

from skbackprop._dask import client as client_room  # noqa: E402
from skbackprop._dask import placement  # noqa: E402
from skbackprop.dask import DaskMLPRegressor, DaskMLPSoftmaxClassifier, WorkerLostError  # noqa: E402

TOLERANCE = 1e-6  # asked for; sums in another order differ by 1e-15, and ten epochs enlarge that
CUTS = (120, 0, 7, 93, 80)  # rows of the partitions: uneven, and one without any
SIZE = sum(CUTS)
IN_PROCESS = {"processes": False, "threads_per_worker": 1, "dashboard_address": ":0", "protocol": "tcp"}

pytestmark = [
    # of Dask's own, when a cluster goes down
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:L-BFGS stopped"),
    pytest.mark.filterwarnings("ignore:Training stopped at max_iter"),
]
PAIRS = {"classifier": (DaskMLPSoftmaxClassifier, MLPSoftmaxClassifier), "regressor": (DaskMLPRegressor, MLPRegressor)}


@pytest.fixture(scope="module")
def client():
    """Two workers in this process, which nevertheless send bytes."""
    with distributed.LocalCluster(n_workers=2, **IN_PROCESS) as cluster, distributed.Client(cluster) as client:
        yield client


def rows(kind, weights=False, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(SIZE, 6))
    signal = X[:, 0] - X[:, 1] * X[:, 2] + 0.3 * rng.normal(size=SIZE)
    y = np.digitize(signal, [-0.5, 0.5]) if kind == "classifier" else 3.0 + 2.0 * signal
    return X, y, rng.integers(0, 4, SIZE).astype(float) if weights else None


def collection(array, cuts=CUTS):
    return None if array is None else da.from_array(array, chunks=(cuts, *((-1,) * (array.ndim - 1))))


def fit_both(kind, X, y, w=None, cuts=CUTS, val=(), **params):
    """The same fit on the cluster and here."""
    far, near = PAIRS[kind]
    params = {"hidden_layer_sizes": (8,), "max_iter": 10, "random_state": 3, "weight_decay": 0.1} | params
    if params.get("solver") == "lbfgs":
        params.pop("weight_decay")
    names = ("X_val", "y_val", "sample_weight_val")
    there = far(**params).fit(
        collection(X, cuts), collection(y, cuts), collection(w, cuts),
        **{name: da.from_array(array, chunks=(9, -1)[: array.ndim]) for name, array in zip(names, val, strict=False)},
    )  # fmt: skip
    here = near(**params).fit(X, y, w, **dict(zip(names, val, strict=False)))
    return there, here


def assert_close(ours, theirs, name):
    if isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for pair in zip(ours, theirs, strict=True):
            assert_close(*pair, name)
    elif isinstance(theirs, (str, type(None))):
        assert ours == theirs
    else:
        assert_allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


def assert_same(there, here):
    """All that fit learned: names, and numbers to TOLERANCE."""
    learned = {name for name in vars(here) if name.endswith("_") and name[0] != "_"}
    assert learned == {name for name in vars(there) if name.endswith("_") and name[0] != "_"}
    for name in learned - {"auto_params_"}:
        assert_close(vars(there)[name], vars(here)[name], name)
    assert there.auto_params_ == here.auto_params_


# ------------------------------------------------------------------------------ the same model ----


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", PAIRS)
def test_equals_the_local_fit(client, kind, solver):
    assert_same(*fit_both(kind, *rows(kind, weights=True), solver=solver))


VARIANTS = {
    "selection": {"weight_decay": "auto", "dropout": "auto"},
    "split": {"early_stopping": True, "max_iter": 15, "n_iter_no_change": 2, "learning_rate": "adaptive"},
    "scorer": {"early_stopping": True, "scoring": "accuracy"},
    "balanced": {"class_weight": "balanced"},
    "masks": {"dropout": [0.2, 0.3], "batch_size": 50},
    "members": {"n_members": 3, "input_scale": True, "dropout": 0.2},
    "textbook": {"engine": "reference", "dropout": [0.2, 0.3], "max_grad_norm": 0.1},
    "clipped": {"max_grad_norm": 0.1, "alpha": 0.5, "solver": "nadam"},
    "smooth": {"label_smoothing": 0.1, "shuffle": False, "hidden_layer_sizes": ()},
    "split, lbfgs": {"solver": "lbfgs", "early_stopping": True, "class_weight": {1: 3.0}},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_equal_the_local_fit(client, name):
    assert_same(*fit_both("classifier", *rows("classifier", weights=True), **VARIANTS[name]))


@pytest.mark.parametrize(
    "params",
    [{"loss": "quantile", "quantile": [0.2, 0.8]}, {"loss": "poisson"}, {"loss": "gaussian", "early_stopping": True}],
    ids=lambda params: params["loss"],
)
def test_losses_equal_the_local_fit(client, params):
    X, y, w = rows("regressor", weights=True)
    there, here = fit_both("regressor", X, np.abs(y), w, **params)
    assert_same(there, here)
    assert_allclose(there.predict(collection(X)).compute(), here.predict(X), rtol=TOLERANCE)


def test_a_validation_set_of_ones_own(client):
    X, y, w = rows("classifier", weights=True)
    val = rows("classifier", weights=True, seed=1)
    assert_same(*fit_both("classifier", X, y, w, val=val, early_stopping=True, scoring="neg_log_loss"))


def test_float32_stays_float32(client):
    X, y, _ = rows("regressor")
    there, here = fit_both("regressor", X.astype(np.float32), y)
    assert there.coefs_[0].dtype == np.float32
    # sums of float32 in another order differ by 1e-7, which ten epochs enlarge
    assert_allclose(there.coefs_[0], here.coefs_[0], atol=1e-4)


def test_tables_with_names_and_labels(client):
    X, y, w = rows("classifier", weights=True)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    labels = pd.Series(np.array(["low", "mid", "high"])[y])
    there = DaskMLPSoftmaxClassifier((8,), max_iter=5, random_state=0, weight_decay=0.1)
    there.fit(dd.from_pandas(frame, 3), dd.from_pandas(labels, 3), dd.from_pandas(pd.Series(w), 3))
    here = MLPSoftmaxClassifier((8,), max_iter=5, random_state=0, weight_decay=0.1).fit(frame, labels, w)
    assert list(there.feature_names_in_) == list("abcdef")
    assert list(there.classes_) == list(here.classes_)
    assert_allclose(there.coefs_[0], here.coefs_[0], atol=TOLERANCE)
    assert_array_equal(there.predict(dd.from_pandas(frame, 2)).compute(), here.predict(frame))
    assert there.score(dd.from_pandas(frame, 2), dd.from_pandas(labels, 2)) == here.score(frame, labels)


@pytest.mark.parametrize("again", [False, True])
def test_tables_for_validation_and_a_warm_start(again, client):
    """Names of columns go to the ranks, for they must be those of the training set or of the first fit."""
    X, y, _ = rows("regressor")
    X, y = pd.DataFrame(X, columns=list("abcdef")), pd.Series(y)
    there, here = (
        cls((8,), max_iter=3, random_state=0, weight_decay=0.1, warm_start=again)
        for cls in (DaskMLPRegressor, MLPRegressor)
    )
    val = {} if again else {"X_val": X[:90], "y_val": y[:90]}
    for _ in range(1 + again):
        there.fit(
            dd.from_pandas(X, 3), dd.from_pandas(y, 3), **{name: dd.from_pandas(part, 2) for name, part in val.items()}
        )
        here.fit(X, y, **val)
    assert_close(there.coefs_, here.coefs_, "coefs_")
    assert_close(there.validation_scores_, here.validation_scores_, "validation_scores_")
    assert list(there.feature_names_in_) == list("abcdef")
    renamed = {"X_val": dd.from_pandas(X.rename(columns={"a": "g"}), 3), "y_val": dd.from_pandas(y, 3)}
    with pytest.raises(ValueError, match=r"In the validation set .*names should match"):
        there.fit(dd.from_pandas(X, 3), dd.from_pandas(y, 3), **renamed)


def test_multilabel_and_several_targets(client):
    X, y, _ = rows("classifier")
    assert_same(*fit_both("classifier", X, np.column_stack([y > 0, y > 1]).astype(int), class_weight="balanced"))
    assert_same(*fit_both("regressor", X, np.column_stack([y, X[:, 0]])))


def test_warm_start_and_a_generator_of_ones_own(client):
    X, y, _ = rows("regressor")
    models = {}
    for cls, data in ((DaskMLPRegressor, map(collection, (X, y))), (MLPRegressor, (X, y))):
        data = list(data)
        model = cls((8,), max_iter=3, warm_start=True, random_state=np.random.RandomState(5), weight_decay=0.1)
        models[cls] = model.fit(*data).fit(*data)
    assert_same(*models.values())


def test_local_steps_are_near(client):
    X, y, w = rows("regressor", weights=True)
    params = {"hidden_layer_sizes": (8,), "max_iter": 30, "random_state": 0, "batch_size": 20, "weight_decay": 0.0}
    data = collection(X), collection(y), collection(w)
    exact, apart = (DaskMLPRegressor(sync_every=k, **params).fit(*data) for k in (1, 4))
    assert np.abs(exact.coefs_[0] - apart.coefs_[0]).max() > 1e-3  # another training
    assert exact.score(X, y, w) > 0.8  # of R^2, of which the noise leaves 0.96
    assert apart.score(X, y, w) > 0.8


def test_one_local_step_of_sgd_is_the_whole_minibatchs(client):
    """The mean of weights after one plain step, by rows, is the step by the mean gradient (D7)."""
    from skbackprop._dask.engine import ClusterEngine

    X, y, _ = rows("regressor")
    params = {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False, "max_iter": 5, "random_state": 0}
    exact = DaskMLPRegressor((8,), weight_decay=0.0, **params).fit(collection(X), collection(y))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClusterEngine, "_exact_steps", ClusterEngine._local_steps)
        patch.setattr("skbackprop._dask.engine.SLICE_SECONDS", 0.0)  # one step a round
        apart = DaskMLPRegressor((8,), weight_decay=0.0, **params).fit(collection(X), collection(y))
    assert_allclose(apart.coefs_[0], exact.coefs_[0], atol=1e-12)  # rounding


# ------------------------------------------------------------------------------------- tables ----


def people(n=SIZE, seed=0):
    """A table with gaps, categories whose codes differ from part to part, and texts; labels, targets and weights."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({
        "age": rng.normal(40.0, 10.0, n),
        "town": rng.choice(["Ulm", "Bonn", "Rome"], n).astype(object),
        "size": pd.Categorical(rng.choice([2, 3, 5], n)),
        "member": rng.random(n) < 0.5,
        "count": rng.integers(0, 9, n).astype(str),
    })  # fmt: skip
    label = np.where((X["town"] == "Ulm") | (X["age"] > 45), "yes", "no")
    target = X["age"].to_numpy() + 10.0 * (X["size"] == 2)
    X.loc[::7, "age"] = np.nan
    X.loc[::9, "town"] = None
    X.loc[n - 1, "town"] = "Oslo"  # on one worker alone
    return X, pd.Series(label), pd.Series(target), pd.Series(rng.integers(0, 4, n) / 2.0)


def spread(table, cuts=CUTS, per_part=False):
    """A collection of Dask; each part may have categories of its own, so that all of them are not known."""
    bounds = np.cumsum((0, *cuts))
    parts = [table.iloc[start:stop] for start, stop in pairwise(bounds)]
    if per_part:
        parts = [part.assign(size=part["size"].cat.remove_unused_categories()) for part in parts]
    meta = table.iloc[:0]
    if per_part:
        meta = dd.utils.clear_known_categories(meta, cols=["size"])
    return dd.from_map(lambda part: part, parts, meta=meta)


def own_scorer(model, X, y):
    assert np.asarray(X).shape == (len(y), model.coefs_[0].shape[0])
    return model.score(X, y)


TABLES = {
    "piecewise": {"numeric_encoder": "piecewise_linear"},
    "named": {"numeric_encoder": "piecewise_linear", "categorical_features": ["count", "size", "town"], "n_bins": 4},
    "members": {"numeric_encoder": "piecewise_linear", "n_members": 2, "input_scale": True, "dropout": [0.1, 0.2]},
    "split": {"numeric_encoder": "piecewise_linear", "early_stopping": True, "scoring": "accuracy"},
    "selection": {"numeric_encoder": "piecewise_linear", "weight_decay": "auto", "dropout": "auto"},
    "own scorer": {
        "numeric_encoder": "piecewise_linear",
        "solver": "sgd",
        "early_stopping": True,
        "scoring": own_scorer,
    },
    "textbook": {"numeric_encoder": "piecewise_linear", "engine": "reference", "class_weight": "balanced"},
    "lbfgs": {"numeric_encoder": "piecewise_linear", "solver": "lbfgs", "alpha": 0.1},
    "identity": {},
}


IN_QUICK_RUN = {"piecewise", "split", "selection", "textbook"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in IN_QUICK_RUN)) for name in TABLES]
)
def test_tables_equal_the_local_fit(client, name):
    X, label, _, w = people()
    if name == "identity":
        X["age"] = X["age"].fillna(0.0)
    params = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 3, "weight_decay": 0.1} | TABLES[name]
    if name == "lbfgs":
        params.pop("weight_decay")
    there = DaskMLPSoftmaxClassifier(**params).fit(spread(X, per_part=name != "named"), spread(label), spread(w))
    here = MLPSoftmaxClassifier(**params).fit(X, label, w)
    learned = {attribute for attribute in vars(here) if attribute.endswith("_") and attribute[0] != "_"}
    for attribute in learned - {"auto_params_", "categories_", "classes_", "feature_names_in_", "bin_edges_"}:
        assert_close(vars(there)[attribute], vars(here)[attribute], attribute)
    for attribute in ("categories_", "bin_edges_"):
        for ours, theirs in zip(vars(there)[attribute], vars(here)[attribute], strict=True):
            assert_array_equal(ours, theirs)
    assert there.auto_params_ == here.auto_params_
    assert list(there.feature_names_in_) == list(X)
    for collected in (spread(X), spread(X, per_part=True)):
        for method in ("predict", "predict_proba"):
            expected, found = getattr(there.to_local(), method)(X), getattr(there, method)(collected).compute()
            if name == "textbook" and method == "predict_proba":  # a BLAS sums rows of other blocks in another order
                assert_allclose(found, expected, rtol=1e-14)
            else:
                assert_array_equal(found, expected)
    assert there.score(spread(X), spread(label)) == there.to_local().score(X, label)


def test_tables_with_a_validation_set_and_a_warm_start(client):
    X, _, y, _ = people()
    X_val, _, y_val, _ = people(60, seed=1)
    params = {"hidden_layer_sizes": (8,), "max_iter": 4, "random_state": 3, "weight_decay": 0.1}
    params |= {"numeric_encoder": "piecewise_linear", "warm_start": True, "early_stopping": True}
    there, here = DaskMLPRegressor(**params), MLPRegressor(**params)
    for rows in (slice(None), slice(100, 200)):
        val = {"X_val": dd.from_pandas(X_val, 2), "y_val": dd.from_pandas(y_val, 2)}
        there.fit(dd.from_pandas(X[rows], 3), dd.from_pandas(y[rows], 3), **val)
        here.fit(X[rows], y[rows], X_val=X_val, y_val=y_val)
        assert_close(there.coefs_, here.coefs_, "coefs_")
        assert_close(there.validation_loss_curve_, here.validation_loss_curve_, "validation_loss_curve_")
        assert_array_equal(there.bin_edges_[0], here.bin_edges_[0])


def test_arrays_by_numbers_and_their_gaps(client):
    X, y, _ = rows("regressor")
    X[:, 1] = np.digitize(X[:, 1], [-1.0, 0.0, 1.0])
    X[::7, 0] = np.nan
    params = {"numeric_encoder": "piecewise_linear", "categorical_features": [1], "max_iter": 5}
    there, here = fit_both("regressor", X, y, **params)
    assert there.categories_[1].tolist() == ["0", "1", "2", "3"]
    assert_close(there.coefs_, here.coefs_, "coefs_")
    assert_array_equal(there.predict(collection(X)).compute(), there.to_local().predict(X))


def test_edges_of_bins_are_those_of_a_sample_if_there_are_many_rows(client, monkeypatch):
    """The same rows however they are cut; the workers are in this process."""
    monkeypatch.setattr(summaries, "SAMPLE_ROWS", 100)
    X, y, w = rows("regressor", weights=True)
    params = {"hidden_layer_sizes": (4,), "max_iter": 1, "random_state": 0, "numeric_encoder": "piecewise_linear"}
    edges = [
        DaskMLPRegressor(**params).fit(*(collection(part, cuts) for part in (X, y, w))).bin_edges_
        for cuts in (CUTS, (50,) * 6)
    ]
    drawn = np.sort(np.random.default_rng(0).choice(SIZE, 100, replace=False, shuffle=False))
    expected = MLPRegressor(**params).fit(X[drawn], y[drawn], w[drawn]).bin_edges_
    for ours, again, theirs in zip(*edges, expected, strict=True):
        assert_array_equal(ours, theirs)
        assert_array_equal(again, theirs)


def test_tables_that_cannot_be(client):
    X, label, _, w = people()
    model = DaskMLPSoftmaxClassifier((8,), numeric_encoder="piecewise_linear", max_iter=2, random_state=0)
    model.fit(spread(X), spread(label))
    before = dict(vars(model))
    infinite = X.assign(age=np.where(np.arange(SIZE) == 250, np.inf, X["age"]))
    large = X.assign(age=np.where(np.arange(SIZE) == 250, 1e300, 1.0))
    cases = [
        ((spread(infinite), spread(label)), {}, "'age' holds infinity"),
        ((spread(X), spread(label), spread(w - 5.0)), {}, "Negative values"),
        ((spread(large), spread(label)), {"numeric_encoder": "identity", "dtype": "float32"}, "too large for float32"),
        ((spread(X), spread(label)), {"numeric_encoder": "identity"}, r"columns \['age'\] have missing numbers"),
        ((spread(X), spread(label)), {"categorical_features": ["city"]}, r"\['city'\], but the columns of X"),
    ]
    for data, params, text in cases:
        with pytest.raises(ValueError, match=text):
            clone(model).set_params(**params).fit(*data)
        with pytest.raises(ValueError, match=text):
            model.set_params(**params).fit(*data)
        model.set_params(numeric_encoder="piecewise_linear", categorical_features="from_dtype", dtype="auto")
        assert vars(model) == before


# ------------------------------------------------------------------------------------ answers ----


def test_predictions_are_lazy_and_the_local_ones(client):
    X, y, _ = rows("classifier")
    there, here = fit_both("classifier", X, (y > 0).astype(int), n_members=2)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        answer, expected = getattr(there, method)(collection(X)), getattr(there.to_local(), method)(X)
        assert isinstance(answer, da.Array)
        assert answer.dtype == expected.dtype
        assert answer.shape == expected.shape
        assert_array_equal(answer.compute(), expected)
        assert_array_equal(getattr(there, method)(X), expected)
    mean, members = there.predict_proba(collection(X), return_members=True)
    assert members.shape == (2, SIZE, 2)
    assert_array_equal(members.compute(), there.to_local().predict_proba(X, return_members=True)[1])
    assert_array_equal(mean.compute(), there.predict_proba(X))
    assert there.score(collection(X), collection((y > 0).astype(int))) == here.score(X, (y > 0).astype(int))


def test_standard_deviations_are_lazy(client):
    X, y, _ = rows("regressor")
    there, here = fit_both("regressor", X, y, loss="gaussian")
    mean, std = there.predict(collection(X), return_std=True)
    assert_allclose(std.compute(), here.predict(X, return_std=True)[1], rtol=TOLERANCE)
    assert mean.shape == std.shape == (SIZE,)


def test_a_local_copy_a_clone_and_a_pickle(client):
    X, y, _ = rows("regressor")
    model = DaskMLPRegressor((8,), max_iter=2, random_state=0, client=client).fit(collection(X), collection(y))
    local = model.to_local()
    assert type(local) is MLPRegressor
    local.coefs_[0][...] = 0.0
    assert model.coefs_[0].any()
    assert clone(model).client is client
    again = pickle.loads(pickle.dumps(model))
    assert again.client is None
    assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'"):
        model.partial_fit  # noqa: B018
    assert list(model.get_params())[-3:] == sorted(model.get_params())[-3:]


# --------------------------------------------------------------------- errors change nothing ----


def test_errors_say_what_to_do_and_change_nothing(client):
    X, y, _ = rows("classifier")
    model = DaskMLPSoftmaxClassifier((8,), max_iter=2, random_state=0).fit(collection(X), collection(y))
    before = dict(vars(model))
    bad = X.copy()
    bad[200, 3] = np.nan
    wide = da.from_array(X, chunks=(100, 3))
    cases = [
        ((X, y), TypeError, "must be an array or a DataFrame of Dask"),
        ((wide, collection(y)), ValueError, r"X.rechunk\(\{1: -1\}\)"),
        ((collection(bad), collection(y)), ValueError, "Input X contains NaN"),
        ((collection(X), collection(y[:-1], (299,))), ValueError, "X has 300 rows, but y has 299"),
        ((collection(X), collection(y + 0.5)), ValueError, "Unknown label type"),
        ((collection(X), collection(y), collection(0.0 * X[:, 0])), ValueError, "zero"),
        ((collection(X), None), ValueError, "y is None"),
    ]
    for data, error, text in cases:
        with pytest.raises(error, match=text):
            model.fit(*data)
    with pytest.raises(ValueError, match="'on_worker_lost' parameter"):
        clone(model).set_params(on_worker_lost="wait").fit(collection(X), collection(y))
    assert vars(model) == before


def test_divergence_carries_the_local_model(client):
    X, y, _ = rows("regressor")
    model = DaskMLPRegressor((8,), solver="sgd", learning_rate_init=1e6, learning_rate="constant", random_state=0)
    with pytest.raises(DivergenceError) as caught:
        model.fit(collection(X), collection(y))
    assert type(caught.value.estimator) is MLPRegressor
    assert np.isfinite(caught.value.estimator.predict(X)).all()
    assert not hasattr(model, "coefs_")


def test_warnings_and_lines_come_to_the_client(client, capsys):
    X, y, _ = rows("regressor")
    X[:, 0] *= 1e5
    with pytest.warns(UserWarning, match="Features differ in scale") as caught:
        DaskMLPRegressor((8,), max_iter=2, verbose=True, random_state=0).fit(collection(X), collection(y))
    assert caught[0].filename == __file__
    lines = capsys.readouterr().out.splitlines()
    heads = ["selection of", "weight_decay", "auto_params_", "epoch     1 ", "epoch     2 "]
    assert [line[:12] for line in lines] == heads


def test_callbacks_fire_here_and_can_stop(client):
    pytest.importorskip("sklearn.callback")

    class Listener(Silent):
        def __init__(self):
            self.heard, self.models = [], []

        def on_fit_task_begin(self, estimator, context):
            self.heard.append(("begin", context.task_name))

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            self.heard.append(("end", context.task_name))
            self.thread = threading.current_thread()
            self.models.append(fitted_estimator)
            return context.task_name == "epoch" and len(self.models) == 2

    listener = Listener()
    X, y, _ = rows("regressor")
    model = DaskMLPRegressor((8,), max_iter=7, random_state=0).set_callbacks(listener)
    model.fit(collection(X), collection(y))
    epoch = [("begin", "epoch"), ("end", "epoch")]
    assert listener.heard == [("begin", "fit"), *epoch, *epoch, ("end", "fit")]
    assert listener.thread is threading.current_thread()
    assert model.n_iter_ == 2
    assert_array_equal(listener.models[1].coefs_[0], model.coefs_[0])


class Hasty(Silent):
    """Ctrl-C comes in the callback."""

    def on_fit_task_end(self, estimator, context):
        interrupt(f"{context.task_name} {context.task_id}")


def interrupt(task):
    if task.split()[:2] == ["epoch", "2"]:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("in_callback", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ctrl_c_keeps_the_model_so_far(client, in_callback, monkeypatch):
    """It comes when the second epoch is heard of, long before the last."""
    X, y, _ = rows("regressor")
    model = DaskMLPRegressor(
        (8,), max_iter=10**5, learning_rate="constant", n_iter_no_change=np.inf, verbose=1, random_state=0
    )
    if in_callback:
        pytest.importorskip("sklearn.callback")
        model.set_callbacks(Hasty())
    else:
        monkeypatch.setattr(client_room, "say", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(collection(X), collection(y))
    assert 2 <= model.n_iter_ < 10**5
    assert np.isfinite(model.predict(X)).all()


# --------------------------------------------------------------------------------- the cluster ----


def test_two_fits_at_once(client):
    X, y, _ = rows("regressor")
    models = [DaskMLPRegressor((8,), max_iter=20, random_state=k) for k in range(3)]
    threads = [threading.Thread(target=model.fit, args=(collection(X), collection(y))) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [model.n_iter_ for model in models] == [20] * 3


def test_partitions_are_moved_until_workers_are_even():
    workers = ["a", "b", "c"]
    assert placement._evened(["a", "a"], [5, 5], workers) == ["b", "a"]
    assert placement._evened(["a", "b", "c"], [50, 52, 49], workers) == ["a", "b", "c"]  # even enough
    moved = placement._evened(["a"] * 10 + ["b"], [10] * 10 + [0], workers)
    assert sorted(moved[:10].count(worker) for worker in workers) == [3, 3, 4]
    assert placement._evened(["a", "a", "b"], [100, 1, 1], ["a", "b"]) == ["a", "b", "b"]
    # moved from where it must not stay
    assert placement._evened(["gone", "b"], [4, 4], ["b", "c"]) == ["c", "b"]
    assert placement._evened([], [], workers) == []


def test_few_partitions_of_one_array_go_to_all_workers(client):
    X, y, _ = rows("regressor")
    cuts = (SIZE // 2, SIZE - SIZE // 2)
    addresses = sorted(client.nthreads())
    parts = {"train": placement.parts_of(collection(X, cuts), collection(y, cuts), None), "validation": []}
    placed = placement.place(client, parts)
    assert sorted(placed.addresses) == addresses
    assert [layout.n for layout in placed.layouts["train"]] == list(cuts)
    assert placement.place(client, parts, addresses[1:]).addresses == addresses[1:]
    kept = client.persist([collection(X + 1, cuts), collection(y + 1, cuts)], workers=addresses[1:])
    parts["train"] = placement.parts_of(*kept, None)
    assert sorted(placement.place(client, parts).addresses) == addresses
    with pytest.raises(WorkerLostError, match="None of the workers"):
        placement.place(client, parts, ["tcp://gone:1"])


def test_workers_of_ones_choice(client, monkeypatch):
    X, y, _ = rows("regressor")
    placed, address = [], sorted(client.nthreads())[1]
    monkeypatch.setattr(client_room, "place", lambda *args: placed.append(placement.place(*args)) or placed[-1])
    model = DaskMLPRegressor((8,), max_iter=3, workers=[address], random_state=0)
    model.fit(collection(X), collection(y))
    assert [where.addresses for where in placed] == [[address]]
    for wrong in (["tcp://nowhere:1"], []):
        with pytest.raises(ValueError, match="addresses of workers of the cluster, some of"):
            clone(model).set_params(workers=wrong).fit(collection(X), collection(y))


def leftovers(client):
    """What fits left on the cluster; none should."""

    def look(dask_scheduler):
        queues = [name for name in dask_scheduler.extensions["queues"].queues if "skbackprop" in name]
        return [*queues, *(str(key) for key in dask_scheduler.tasks)]

    until = time.monotonic() + 60  # the workers report a moment later
    while (left := client.run_on_scheduler(look)) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def test_nothing_stays_on_the_cluster(client):
    X, y, _ = rows("regressor")
    DaskMLPRegressor((8,), max_iter=2, random_state=0).fit(collection(X), collection(y))
    assert leftovers(client) == []


FAULTS = """
import resource
import numpy as np
from skbackprop._dask.worker import kept_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(250_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
with kept_memory():
    faults()
    inside = faults()
print(first, inside, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library of Linux does it")
def test_memory_is_used_again_in_a_fit_and_given_back_after_it():
    run = subprocess.run(
        [sys.executable, "-P", "-c", FAULTS],
        env={**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"},  # as a nanny sets it
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    before, inside, after = map(int, run.stdout.split())
    assert inside < 50 < 5000 < min(before, after)  # 50 arrays of 2 MB have 24,000 pages of 4 kB


@pytest.mark.parametrize(
    ("kind", "known", "bad", "message"),
    [
        ("classifier", lambda y: (y[:, None] > [0, 1]) * 1, lambda y: 2 * (y[:, None] > [0, 1]), "other than 0 and 1"),
        ("classifier", lambda y: np.where(y, "b", "a"), lambda y: np.where(y, None, "a"), "y contains NaN"),
        ("regressor", lambda y: y, lambda y: np.where(y > 1, pd.NA, y), "y contains NaN"),
        ("regressor", lambda y: y, lambda y: np.stack([y, y], axis=1), "2 targets, but the model was started with 1"),
    ],
    ids=["no indicator", "None", "NA", "other width"],
)  # fmt: skip
def test_targets_that_no_model_can_learn(kind, known, bad, message, client):
    X, y, _ = rows("classifier")
    known, bad = collection(known(y)), collection(bad(y))
    model = PAIRS[kind][0]((4,), max_iter=1, learning_rate="cosine")
    if message[0] != "2":  # two targets are as good as one, to begin with
        with pytest.raises(ValueError, match=message):
            model.fit(collection(X), bad)
    with pytest.raises(ValueError, match=f"In the validation set .*{message}"):
        model.fit(collection(X), known, X_val=collection(X), y_val=bad)


@pytest.mark.parametrize("kind", [complex, "M8[s]"])
def test_weights_that_are_no_numbers(kind, client):
    X, y, _ = rows("regressor")
    weights = collection(np.ones(len(y)).astype(kind))
    with pytest.raises(ValueError, match=r"sample_weight must hold numbers, got an array of (complex|datetime)"):
        PAIRS["regressor"][0]((4,), max_iter=1).fit(collection(X), collection(y), sample_weight=weights)


@pytest.mark.parametrize("size", [1e-43, 1e39])
def test_weights_that_float32_cannot_hold(size, client):
    X, y, w = rows("regressor", weights=True)
    there, here = fit_both("regressor", X.astype(np.float32), y, size * w, alpha=0.0)
    plain = fit_both("regressor", X.astype(np.float32), y, w, alpha=0.0)[1]
    assert_allclose(there.loss_curve_, here.loss_curve_, rtol=1e-4)
    assert_allclose(plain.loss_curve_, here.loss_curve_, rtol=1e-4)
