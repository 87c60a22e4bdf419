"""Checkpoints: a fit that was interrupted, or killed, goes on to the same bits."""

import io
import itertools
import json
import os
import pathlib
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.metrics import accuracy_score, r2_score

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._fit import checkpoint
from skbackprop._fit.checkpoint_checks import digest_of
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


@pytest.mark.parametrize("after", [0, 4, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (MLPSoftmaxClassifier, {}),
        (MLPSoftmaxClassifier, {"solver": "nadam", "n_members": 2, "input_scale": True, "dtype": "float64"}),
        (MLPSoftmaxClassifier, {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1}),
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
    """The same rows are held out, the same selection counts, the same numbers follow."""
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
    assert "selection" in capsys.readouterr().out
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
    model = MLPSoftmaxClassifier((6,), max_iter=2, random_state=0)
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


# ------------------------------------------------------------------------ files that are broken ----


class Broken:
    """A fit whose file, from after its second epoch, is broken in some way and then gone on from."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.X, self.path = rng.normal(size=(40, 3)), folder / "run"
        self.y, self.straight = (self.X[:, 0] > 0).astype(int), self.model()
        self.straight.fit(self.X, self.y)
        interrupted(self.model(), self.path, 2, self.X, self.y)
        self.whole = self.path.read_bytes()

    def model(self):
        params = {"solver": "nadam", "max_iter": 3, "early_stopping": True, "scoring": Fuse.score}
        return MLPSoftmaxClassifier((3,), random_state=0, **params)

    def arrays(self):
        with np.load(io.BytesIO(self.whole)) as file:
            return dict(file)

    def go_on(self, content):
        """Whether the file was taken; then the model is the right one, else all stays as it was."""
        self.path.write_bytes(content)
        model, said = self.model(), None
        try:
            model.fit(self.X, self.y, checkpoint=self.path)
        except ValueError as error:
            said = str(error)
        if said is None:
            assert_same(model, self.straight)
        else:
            assert f"{str(self.path)!r} is no checkpoint of this version of skbackprop (" in said
            assert not hasattr(model, "coefs_")
            assert self.path.read_bytes() == content
        return said is None


def test_a_file_for_which_memory_is_short_is_not_called_broken(rows, tmp_path, monkeypatch, each_epoch):
    def fail(*args, **kwargs):
        raise MemoryError

    model = MLPSoftmaxClassifier((4,), max_iter=2, learning_rate="cosine", random_state=0)
    model.fit(*rows[:2], checkpoint=tmp_path / "run")
    monkeypatch.setattr(checkpoint, "check_arrays", fail)
    with pytest.raises(MemoryError):
        model.fit(*rows[:2], checkpoint=tmp_path / "run")


@pytest.fixture
def broken(tmp_path, each_epoch):
    return Broken(tmp_path)


def packed(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def sealed(arrays):
    """As somebody would pack them who knows how the digest is made."""
    arrays = {name: np.asanyarray(array) for name, array in arrays.items() if name != "digest"}
    return packed({**arrays, "digest": np.asarray(digest_of(arrays))})


@pytest.mark.parametrize("n", [1, pytest.param(40, marks=pytest.mark.slow)])
def test_a_broken_file_is_said_in_one_way_whatever_its_readers_say(broken, n):
    """Bits flipped, most of them where the archive describes itself; cut; other bytes; members under other names."""
    draw, whole = random.Random(0), broken.whole
    assert broken.go_on(whole)
    for _ in range(15 * n):
        for first in (0, len(whole) - 1000):
            content = bytearray(whole)
            content[draw.randrange(first, len(whole))] ^= 1 << draw.randrange(8)
            broken.go_on(bytes(content))
    for k in range(0, len(whole), 9000 // n):
        assert not broken.go_on(whole[:k])
        assert not broken.go_on(whole[k:]) or not k
    for start in (b"", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\x00v\x00{", b"\x80\x04"):
        for _ in range(n):
            assert not broken.go_on(start + draw.randbytes(draw.randrange(300)))
    arrays = broken.arrays()
    names = [name for name in arrays if name.startswith(("state", "theta", "best"))]
    for one, two in itertools.combinations(names, 2):  # the second epoch was the best so far
        swapped = arrays | {one: arrays[two], two: arrays[one]}
        assert np.array_equal(arrays[one], arrays[two]) or not broken.go_on(packed(swapped))
    for name in arrays:
        assert not broken.go_on(packed(arrays | {name: np.zeros(1)}))
        assert not broken.go_on(packed({other: array for other, array in arrays.items() if other != name}))
    assert not broken.go_on(packed(arrays | {"more": np.zeros(1)}))


def test_a_small_file_that_stands_for_a_huge_one_is_not_unpacked(broken):
    file = io.BytesIO()
    np.savez_compressed(file, **broken.arrays())
    assert not broken.go_on(file.getvalue())
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1)) | {"shape": (10**14,)}
    np.lib.format.write_array_header_1_0(member := io.BytesIO(), header)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("theta.npy", member.getvalue())
    assert not broken.go_on(file.getvalue())


N_PARAMETERS = 4 * 3 + 4 * 2
WRONG = {
    "one": np.zeros(1),
    "none": np.zeros(0),
    "a scalar": np.zeros(()),
    "longer": np.zeros(10_000),
    "a matrix": np.zeros((N_PARAMETERS, 1)),
    "text": np.full(N_PARAMETERS, "0.0"),
    "complex": np.zeros(N_PARAMETERS, complex),
    "whole": np.zeros(N_PARAMETERS, np.int64),
    "half": np.zeros(N_PARAMETERS, np.float32),
    "swapped": np.zeros(N_PARAMETERS, ">f8"),
    "nan": np.full(N_PARAMETERS, np.nan),
    "a record": np.zeros(N_PARAMETERS, [("a", float)]),
}


OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("best_theta", "state.v", "state.mu_product", "text")]


@pytest.mark.parametrize("name", ["theta", "state.m", *OTHERS])
def test_no_vector_is_taken_that_is_not_of_this_network(broken, name):
    """Even if the digest is right; memory that is not ours would be read."""
    arrays = broken.arrays()
    assert broken.go_on(sealed(arrays))
    for kind, array in WRONG.items():
        if not (name == "state.mu_product" and kind == "a scalar"):
            assert not broken.go_on(sealed(arrays | {name: array})), kind
    for infinite in {"theta", "best_theta"} & {name}:
        assert not broken.go_on(sealed(arrays | {infinite: np.full(N_PARAMETERS, np.inf)}))
    assert not broken.go_on(sealed({other: array for other, array in arrays.items() if other != name}))
    assert not broken.go_on(sealed(arrays | {"state.w": arrays["state.m"]}))


def nodes(tree, path=()):
    """Where each value in a nest of dicts and lists is; of long lists some."""
    if path:
        yield path
    if isinstance(tree, (dict, list)) and path[:1] != ("identity",):
        keys = list(tree) if isinstance(tree, dict) else range(min(2, len(tree)))
        for key in keys:
            yield from nodes(tree[key], (*path, key))


@pytest.mark.parametrize("n", [1, pytest.param(11, marks=pytest.mark.slow)])
def test_no_number_is_taken_that_this_fit_cannot_have_come_to(broken, n):
    """Even if the digest is right: each value of the text is put to others; and no other error is raised than one."""
    draw = random.Random(0)
    arrays = broken.arrays()
    places = list(nodes(json.loads(str(arrays["text"]))))
    assert len(places) == 40
    others = [None, "x", [], {}, [[[]]], -1, 10**30, 10**400, float("nan"), {"a": 1}, [1] * 700]
    for path in places:
        for other in draw.sample(others, n):
            text = json.loads(str(arrays["text"]))
            holder = text
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = other
            if path[0] == "identity":
                broken.path.write_bytes(sealed(arrays | {"text": json.dumps(text)}))
                with pytest.raises(ValueError, match=r"is (of another fit|no checkpoint of this version)"):
                    broken.model().fit(broken.X, broken.y, checkpoint=broken.path)
            elif path[:2] not in {("history", 1), ("history", 2)} or other == other:  # a score may be nan
                assert not broken.go_on(sealed(arrays | {"text": json.dumps(text)})), (path, other)


def test_wrong_calls(rows, tmp_path):
    X, y, _ = rows
    with pytest.raises(ValueError, match="checkpoint needs a minibatch solver"):
        MLPSoftmaxClassifier(solver="lbfgs").fit(X, y, checkpoint=tmp_path / "run")
    with pytest.raises(FileNotFoundError):  # before the first epoch, not after hours
        MLPSoftmaxClassifier(max_iter=10**6, tol=0.0).fit(X, y, checkpoint=tmp_path / "nowhere" / "run")


# ------------------------------------------------------------------ a file that cannot be written ----


def test_no_file_but_a_regular_one_is_taken(rows, tmp_path):
    X, y, _ = rows
    with pytest.raises(OSError, match="must name a file"):
        MLPSoftmaxClassifier((3,)).fit(X, y, checkpoint=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="links need a right of their own there")
@pytest.mark.parametrize("is_there", [False, True])
def test_a_link_stays_one(is_there, rows, tmp_path, each_epoch):
    X, y, _ = rows
    disk, link = tmp_path / "disk", tmp_path / "run"
    disk.mkdir()
    link.symlink_to(disk / "file")
    params = {"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 0, "early_stopping": True}
    model = MLPSoftmaxClassifier(**params, scoring=Fuse.score)
    if is_there:
        interrupted(model, disk / "file", 1, X, y)
    interrupted(model, link, 1, X, y)
    assert link.is_symlink()
    assert [path.name for path in disk.iterdir()] == ["file"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "run"]
    straight = MLPSoftmaxClassifier(**params, scoring=Fuse.score).fit(X, y)
    assert_same(model.fit(X, y, checkpoint=disk / "file"), straight)


def test_a_generator_whose_state_the_file_cannot_hold_is_refused_before_the_fit(rows, tmp_path):
    X, y, _ = rows
    model = MLPSoftmaxClassifier((3,), random_state=np.random.RandomState(np.random.PCG64(0)))
    with pytest.raises(ValueError, match="random_state with the generator MT19937"):
        model.fit(X, y, checkpoint=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


FULL = """
import pathlib, resource, sys
import numpy as np
from skbackprop import MLPSoftmaxClassifier
from skbackprop._checks.constraints import fit_spec
from skbackprop._fit import checkpoint
checkpoint.SHARE = 0  # write after each epoch
X = np.random.default_rng(0).normal(size=(200, 5))
y = (X[:, 0] > 0).astype(int)
largest = resource.RLIM_INFINITY
def score(estimator, X, y):
    global epochs
    epochs += 1
    if epochs == 3:  # from here on no file can grow larger
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, largest))
    return 0.0
for n_bytes in (0, 1000, 30_000):
    folder, epochs = pathlib.Path(sys.argv[1]) / str(n_bytes), 0
    folder.mkdir()
    model = MLPSoftmaxClassifier((60,), max_iter=4, early_stopping=True, scoring=score, random_state=0)
    try:
        model.fit(X, y, checkpoint=folder / "run")
    except OSError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        print(error)
        print(hasattr(model, "coefs_"), [path.name for path in folder.iterdir()])
        spec = fit_spec(model)
        print(len(checkpoint.FileCheckpoint(folder / "run", spec).found["history"][0]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="resource limits are those of POSIX")
def test_on_a_full_disk_the_earlier_file_is_left_and_no_other(tmp_path):
    """However much of the new one could be written."""
    command = [sys.executable, "-P", "-W", "ignore", "-c", FULL, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.stderr == ""
    lines = run.stdout.splitlines()
    for k, n_bytes in enumerate((0, 1000, 30_000)):
        said, state, n_epochs = lines[3 * k : 3 * k + 3]
        assert "The checkpoint could not be written (File too large); an earlier one is unchanged" in said
        assert said.endswith(repr(str(tmp_path / str(n_bytes) / "run")))
        assert state == "False ['run']"
        assert n_epochs == "2"


def test_ctrl_c_while_the_file_is_written_leaves_the_earlier_one(rows, tmp_path, each_epoch, monkeypatch):
    X, y, _ = rows
    save, calls = np.savez, []

    def interrupt(file, **arrays):
        calls.append(arrays)
        if len(calls) == 3:
            file.write(b"half")
            raise KeyboardInterrupt
        save(file, **arrays)

    monkeypatch.setattr(np, "savez", interrupt)
    model = MLPSoftmaxClassifier((6,), max_iter=5, weight_decay=0.1, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y, checkpoint=tmp_path / "run")
    assert model.n_iter_ == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    monkeypatch.undo()
    straight = clone(model).fit(X, y)
    assert_same(model.fit(X, y, checkpoint=tmp_path / "run"), straight)


SHARED = """
import pathlib, sys
import numpy as np
from skbackprop import MLPSoftmaxClassifier
from skbackprop._fit import checkpoint
checkpoint.SHARE = 0
path = pathlib.Path(sys.argv[1])
X = np.random.default_rng(0).normal(size=(100, 5))
y = (X[:, 0] > 0).astype(int)
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
for k in range(10):
    model = MLPSoftmaxClassifier((4,), max_iter=8, weight_decay=0.1, random_state=0).fit(X, y, checkpoint=path)
    print(repr(model.loss_curve_))
    path.unlink(missing_ok=True)
"""


def test_threads_may_write_one_file_at_once(rows, tmp_path, each_epoch):
    """Each fit succeeds, though the file is now the one's and now the other's."""
    X, y, _ = rows
    models = [MLPSoftmaxClassifier((4,), max_iter=12, weight_decay=0.1, random_state=0) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for model in pool.map(lambda model: model.fit(X, y, checkpoint=tmp_path / "run"), models):
            assert_same(model, models[0])
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_processes_may_write_one_file_at_once(tmp_path):
    """Each reads a whole file or none, and ends with the same model; no other file is left."""
    command = [sys.executable, "-P", "-W", "ignore", "-c", SHARED, str(tmp_path / "run")]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    curves = [process.communicate()[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [len(lines) for lines in curves] == [10, 10]
    assert len({line for lines in curves for line in lines}) == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"run"}


def test_short_epochs_write_seldom(rows, tmp_path, monkeypatch):
    """Writing takes at most a twentieth of the time: here the first and the last epoch are written."""
    X, y, _ = rows
    times = []
    write = checkpoint._replace
    monkeypatch.setattr(checkpoint, "_replace", lambda *args: (times.append(time.perf_counter()), write(*args)))
    monkeypatch.setattr(checkpoint, "SHARE", 10**6)
    MLPSoftmaxClassifier((6,), max_iter=5, weight_decay=0.1, random_state=0).fit(X, y, checkpoint=tmp_path / "run")
    assert len(times) == 2


# ------------------------------------------------------------------------------ kill -9 ----

FIT = """
import sys, pathlib, pickle, numpy as np
from skbackprop import MLPSoftmaxClassifier
from skbackprop._fit import checkpoint
from skbackprop._fit.checkpoint_checks import digest_of
from skbackprop.data import Shards
folder, kind, n = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rng = np.random.default_rng(0)
X = rng.normal(size=(n, 20)).astype(np.float32)
y = (X[:, 0] * X[:, 1] > 0).astype(int)
params = {"learning_rate": "onecycle", "epochs": 20, "early_stopping": True, "random_state": 0, "n_threads": 1}
epochs = 0
def score(model, X, y):
    global epochs
    epochs += 1
    if epochs == int(sys.argv[4]):
        print("waits", flush=True)
        sys.stdin.readline()
    return float(epochs)
if len(sys.argv) > 4:
    params["scoring"] = score
model = MLPSoftmaxClassifier((64, 64), **params)
args = (Shards(X, y, memory=40 * n),) if kind == "shards" else (X, y)
print("ready", flush=True)
model.fit(*args, checkpoint=folder / "run")
(folder / "model").write_bytes(pickle.dumps([model.coefs_, model.intercepts_, model.loss_curve_]))
"""


def run(folder, kind, n, seconds=None, *more):
    """Fit in a process of its own, killed so long after it is ready; the seconds it took, None if it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", FIT, str(folder), kind, str(n), *more],
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
    """In its third epoch."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", FIT, str(tmp_path), "shards", "2000", "3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "run").exists()
    assert not (tmp_path / "model").exists()
    assert run(tmp_path, "shards", 2000, None, "0")
    assert len(read(tmp_path)[2]) == 20
