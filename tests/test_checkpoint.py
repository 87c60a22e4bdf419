"""Checkpoints: a fit that was interrupted, or killed, goes on to the same bits."""

import os
import pathlib
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.metrics import accuracy_score, r2_score

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._fit import checkpoint
from skbackprop.data import Shards

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def new_fuse():
    """However the test before ended."""
    Fuse.left = np.inf


@pytest.fixture
def each_epoch(monkeypatch):
    """Write after each epoch, however short it is."""
    monkeypatch.setattr(checkpoint, "SHARE", 0)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 5)).astype(np.float32)
    return X, (X[:, 0] * X[:, 1] > 0).astype(int), rng.integers(1, 4, 600).astype(float)


class Fuse:
    """A scorer that fails when it has been asked so many times."""

    left = np.inf

    @classmethod
    def score(cls, estimator, X, y, sample_weight=None):
        cls.left -= 1
        if cls.left < 0:
            raise RuntimeError("out of memory, or so")
        metric = r2_score if isinstance(estimator, MLPRegressor) else accuracy_score
        return metric(y, estimator.predict(X), sample_weight=sample_weight)


def state(model):
    found = {name: value for name, value in vars(model).items() if name.endswith("_") and name[0] != "_"}
    return {name: found[name] for name in sorted(found)}


def assert_same(one, two):
    ours, theirs = state(one), state(two)
    assert list(ours) == list(theirs)
    for name in ours:
        values = (ours[name], theirs[name])
        if name in ("coefs_", "intercepts_", "member_factors_"):
            for a, b in zip(*values, strict=True):
                for x, z in zip(*((v if isinstance(v, tuple) else (v,)) for v in (a, b)), strict=True):
                    assert_array_equal(x, z)
        else:
            assert_array_equal(*values, err_msg=name)


def interrupted(model, path, after, *args, **kwargs):
    Fuse.left = after
    with pytest.raises(RuntimeError):
        model.fit(*args, **kwargs, checkpoint=path)
    Fuse.left = np.inf


@pytest.mark.parametrize("after", [0, 1, 4])
@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (MLPSoftmaxClassifier, {}),
        (MLPSoftmaxClassifier, {"solver": "nadam", "n_members": 2, "input_scale": True, "dtype": "float64"}),
        (
            MLPSoftmaxClassifier,
            {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
        ),
        (MLPSoftmaxClassifier, {"learning_rate": "constant", "n_iter_no_change": 6, "tol": 0.01}),
        (MLPRegressor, {"solver": "lion", "dropout": 0.2, "engine": "reference"}),
        (MLPRegressor, {"solver": "rmsprop", "loss": "poisson", "random_state": 5, "class": "weights"}),
    ],
)
def test_a_fit_that_failed_goes_on_to_the_same_bits(cls, params, after, rows, tmp_path, each_epoch):
    X, y, w = rows
    weights = w if params.get("class") else None
    params = {"hidden_layer_sizes": (6,), "max_iter": 8, "random_state": 0, "early_stopping": True} | params
    params.pop("class", None)
    model = cls(**params, scoring=Fuse.score)
    straight = cls(**params, scoring=Fuse.score).fit(X, y, weights)
    interrupted(model, tmp_path / "run", after, X, y, weights)
    with np.load(tmp_path / "run") as file:
        assert f'"steps": {after * -(-540 // straight.auto_params_["batch_size"])},' in str(file["text"])
    model.fit(X, y, weights, checkpoint=tmp_path / "run")
    assert_same(model, straight)
    # and again, at once
    assert_same(cls(**params, scoring=Fuse.score).fit(X, y, weights, checkpoint=tmp_path / "run"), straight)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_rows_on_the_disk_go_on_to_the_same_bits(rows, tmp_path, each_epoch):
    X, y, w = rows
    data = Shards(X, y, w, memory=6000)
    params = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0, "early_stopping": True}
    straight = MLPSoftmaxClassifier(**params, scoring=Fuse.score).fit(data)
    model = MLPSoftmaxClassifier(**params, scoring=Fuse.score)
    interrupted(model, tmp_path / "run", 2, data)
    assert_same(model.fit(data, checkpoint=tmp_path / "run"), straight)


def test_a_validation_set_of_ones_own_and_a_warm_start(rows, tmp_path, each_epoch):
    X, y, w = rows
    params = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0, "warm_start": True}
    held_out = {"X_val": X[:99], "y_val": y[:99], "sample_weight_val": w[:99]}
    models = [MLPRegressor(**params).fit(X, y) for _ in range(2)]
    for model in models:
        model.set_params(early_stopping=True, scoring=Fuse.score)
    interrupted(models[0], tmp_path / "run", 3, X, y, **held_out)
    models[0].fit(X, y, **held_out, checkpoint=tmp_path / "run")
    assert_same(models[0], models[1].fit(X, y, **held_out))
    with pytest.raises(ValueError, match=r"is of another fit .*warm start"):
        models[0].fit(X, y, **held_out, checkpoint=tmp_path / "run")  # the weights are others now


@pytest.mark.parametrize("seed", [None, "generator"])
def test_without_a_seed_the_file_has_it(seed, rows, tmp_path, each_epoch):
    """The same rows are held out, the same race counts, the same numbers follow."""
    X, y, _ = rows
    model = MLPSoftmaxClassifier((6,), max_iter=6, early_stopping=True, scoring=Fuse.score)
    model.set_params(random_state=seed and np.random.RandomState(7))
    interrupted(model, tmp_path / "run", 3, X, y)
    file = (tmp_path / "run").read_bytes()
    model.fit(X, y, checkpoint=tmp_path / "run")
    (tmp_path / "run").write_bytes(file)
    other = MLPSoftmaxClassifier((6,), max_iter=6, early_stopping=True, scoring=Fuse.score)
    other.set_params(random_state=seed and np.random.RandomState(8))
    assert_same(other.fit(X, y, checkpoint=tmp_path / "run"), model)


def test_the_race_is_not_run_again(rows, tmp_path, capsys):
    X, y, _ = rows
    model = MLPSoftmaxClassifier((6,), max_iter=3, random_state=0, verbose=1)
    model.fit(X, y, checkpoint=tmp_path / "run")
    assert "race" in capsys.readouterr().out
    before = state(model)
    model.fit(X, y, checkpoint=tmp_path / "run")
    assert capsys.readouterr().out == ""
    assert model.auto_params_ == before["auto_params_"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"params": {"alpha": 0.5}}, r"parameter alpha: 0\.0001 there, 0\.5 here"),
        ({"params": {"random_state": 1}}, "random_state: 0 there, 1 here"),
        ({"X": 1.5}, "training data"),
        ({"y": "flip"}, "training data"),
        ({"w": 2.0}, "training data"),
        ({"validation": True}, "validation data: None there"),
    ],
)
def test_another_fit_is_refused_and_changes_nothing(change, message, rows, tmp_path):
    X, y, w = rows
    params = {"hidden_layer_sizes": (6,), "max_iter": 2, "random_state": 0}
    MLPSoftmaxClassifier(**params).fit(X, y, w, checkpoint=tmp_path / "run")
    file = (tmp_path / "run").read_bytes()
    X, w = X * np.float32(change.get("X", 1)), w * change.get("w", 1)
    y = 1 - y if "y" in change else y
    model = MLPSoftmaxClassifier(**params | change.get("params", {}))
    held_out = {"X_val": X, "y_val": y} if "validation" in change else {}
    with pytest.raises(ValueError, match=f"is of another fit .*{message}.*delete the file"):
        model.fit(X, y, w, **held_out, checkpoint=tmp_path / "run")
    assert not hasattr(model, "coefs_")
    assert (tmp_path / "run").read_bytes() == file


def test_what_changes_no_bit_may_change(rows, tmp_path):
    X, y, _ = rows
    model = MLPSoftmaxClassifier((6,), max_iter=2, random_state=0, n_threads=1)
    model.fit(X, y, checkpoint=str(tmp_path / "run"))
    again = MLPSoftmaxClassifier((6,), max_iter=2, random_state=0, n_threads=2, verbose=1)
    assert_same(again.fit(X, y, checkpoint=str(tmp_path / "run")), model)


class Evil:
    """Unpickled, it leaves a trace."""

    def __reduce__(self):
        return os.mkdir, (str(pathlib.Path(os.environ["TRACE"])),)


def test_other_files_are_refused_and_never_unpickled(rows, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACE", str(tmp_path / "trace"))
    X, y, _ = rows
    model = MLPSoftmaxClassifier((6,), max_iter=2)
    path = tmp_path / "run"
    model.fit(X, y, checkpoint=path)
    half = path.read_bytes()[:700]
    np.savez(tmp_path / "evil.npz", text=np.asarray([Evil()], dtype=object))
    evil = (tmp_path / "evil.npz").read_bytes()
    np.savez(tmp_path / "old.npz", text=np.asarray('{"format": 0}'))
    for content in (b"", b"text", half, evil, pickle.dumps(Evil()), (tmp_path / "old.npz").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is no checkpoint of this version of skbackprop"):
            model.fit(X, y, checkpoint=path)
        assert path.read_bytes() == content
    assert not (tmp_path / "trace").exists()


def test_wrong_calls(rows, tmp_path):
    X, y, _ = rows
    with pytest.raises(ValueError, match="checkpoint needs a minibatch solver"):
        MLPSoftmaxClassifier(solver="lbfgs").fit(X, y, checkpoint=tmp_path / "run")
    with pytest.raises(FileNotFoundError):  # before the first epoch, not after hours
        MLPSoftmaxClassifier(max_iter=10**6, tol=0.0).fit(X, y, checkpoint=tmp_path / "nowhere" / "run")


def test_short_epochs_write_seldom(rows, tmp_path, monkeypatch):
    """Writing takes at most a twentieth of the time: here the first and the last epoch are written."""
    X, y, _ = rows
    times = []
    write = checkpoint._replace
    monkeypatch.setattr(
        checkpoint, "_replace", lambda *args: (times.append(time.perf_counter()), write(*args))
    )
    monkeypatch.setattr(checkpoint, "SHARE", 10**6)
    MLPSoftmaxClassifier((6,), max_iter=5, weight_decay=0.1).fit(X, y, checkpoint=tmp_path / "run")
    assert len(times) == 2


# ------------------------------------------------------------------------------ kill -9 ----

FIT = """
import sys, pathlib, pickle, numpy as np
from skbackprop import MLPSoftmaxClassifier
from skbackprop._fit import checkpoint
from skbackprop.data import Shards
folder, kind, n = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rng = np.random.default_rng(0)
X = rng.normal(size=(n, 20)).astype(np.float32)
y = (X[:, 0] * X[:, 1] > 0).astype(int)
params = {"learning_rate": "onecycle", "max_iter": 20, "early_stopping": True, "random_state": 0, "n_threads": 1}
model = MLPSoftmaxClassifier((64, 64), **params)
args = (Shards(X, y, memory=40 * n),) if kind == "shards" else (X, y)
print("ready", flush=True)
model.fit(*args, checkpoint=folder / "run")
(folder / "model").write_bytes(pickle.dumps([model.coefs_, model.intercepts_, model.loss_curve_]))
"""


def run(folder, kind, n, seconds=None):
    """Fit in a process of its own, killed so long after it is ready; the seconds it took, None if it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", FIT, str(folder), kind, str(n)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        began = time.perf_counter()
        if seconds is not None:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        code = process.wait()
    assert code in (0, -signal.SIGKILL)
    return time.perf_counter() - began if code == 0 else None


def read(folder):
    return pickle.loads((folder / "model").read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arrays", "shards"])
def test_killed_at_random_moments_a_fit_goes_on_to_the_same_bits(kind, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    seconds = run(whole, kind, 40_000)
    moments, kills = random.Random(0), 0
    while True:
        finished = run(parts, kind, 40_000, moments.uniform(0.05, 0.6) * seconds)
        if finished and kills:  # how many there are depends on what else the machine does
            break
        if finished:  # so much faster than the first that nobody killed it: once more
            shutil.rmtree(parts)
            parts.mkdir()
            seconds = finished
        else:
            kills += 1
            assert kills < 100
    for ours, theirs in zip(read(whole)[:2], read(parts)[:2], strict=True):
        for one, two in zip(ours, theirs, strict=True):
            assert_array_equal(one, two)
    assert read(whole)[2] == read(parts)[2]


@pytest.mark.slow
def test_killed_once_a_fit_goes_on(tmp_path):
    """Once the file is there, which is before the first epoch."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", FIT, str(tmp_path), "shards", "2000"],
        stdout=subprocess.DEVNULL,
    )
    with process:
        until = time.perf_counter() + 60
        while not (tmp_path / "run").exists() and time.perf_counter() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "run").exists()
    assert not (tmp_path / "model").exists()
    assert run(tmp_path, "shards", 2000)
    assert len(read(tmp_path)[2]) == 20
