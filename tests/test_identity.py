"""What tells fits apart: all rows of their data, and all that acts in their parameters, code included."""

import functools
import math
import operator
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import f1_score, fbeta_score, make_scorer

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._fit.identity import describe, digest, fingerprint
from skbackprop.data import Shards

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# ------------------------------------------------------------------------------------- data ----


def changed(array, row):
    """A copy with another value in one row: of labels another label that there is."""
    array = array.copy()
    array[row] = array[row] + 1 if array.dtype.kind == "f" else (array[row] + 1) % 2
    return array


def in_memory(X, y, w):
    return X, y, w


def sparse(X, y, w):
    return sp.csr_array(np.where(X > 0, X, 0)), y, w


def on_disk(X, y, w):
    return Shards(X, y, w, memory=40_000), None, None


@pytest.mark.slow
@pytest.mark.parametrize("kind", [in_memory, sparse, on_disk])
@pytest.mark.parametrize("validates", [False, True])
def test_a_fit_to_rows_of_which_one_is_another_is_another_fit(kind, validates, tmp_path):
    """Of X, y and weights, of training and of validation."""
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(4000, 5)))
    data = [X, (X[:, 0] > 1).astype(int), rng.uniform(1, 2, 4000)]
    own = [X[:30], (X[:30, 0] > 1).astype(int), np.ones(30)]
    path = tmp_path / "run"

    def fit(train, held_out):
        model = MLPSoftmaxClassifier((3,), max_iter=1, weight_decay=0.1, random_state=0)
        X, y, w = kind(*(train if not validates else held_out))
        if validates:
            model.fit(*own, X_val=X, y_val=y, sample_weight_val=w, checkpoint=path)
        else:
            model.fit(X, y, w, checkpoint=path)

    fit(data, data)
    fit(data, data)
    for k in range(3):
        others = [changed(array, 3999) if j == k else array for j, array in enumerate(data)]
        with pytest.raises(ValueError, match=r"another fit .*(training|validation) data"):
            fit(others, others)


def test_the_memory_by_which_rows_are_shuffled_counts(tmp_path):
    X = np.random.default_rng(0).normal(size=(4000, 5))
    model = MLPRegressor((3,), max_iter=1, weight_decay=0.1, random_state=0)
    model.fit(Shards(X, X[:, 0], memory=40_000), checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match=r"memory 40000 there, .*memory 80000 here"):
        model.fit(Shards(X, X[:, 0], memory=80_000), checkpoint=tmp_path / "run")


def test_how_rows_are_stored_does_not_count():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30_000, 7)), rng.choice(["a", "bé"], 30_000)
    name = fingerprint([(X, y, None)])
    assert name == fingerprint([(np.asfortranarray(X), y.copy(), None)])
    assert name == fingerprint([(np.repeat(X, 2, axis=0)[::2], y, None)])
    assert name != fingerprint([(X, y, np.ones(30_000))])
    assert name != fingerprint([(X.astype(np.float32), y, None)])
    assert name != fingerprint([(X.reshape(-1, 14), y, None)])
    assert digest(y.astype(object)) != digest(y[::-1].astype(object))
    assert digest(np.zeros((0, 3))) != digest(np.zeros((0, 4)))


def test_sparse_rows_are_known_by_their_numbers_and_never_written():
    rng = np.random.default_rng(0)
    X = sp.csr_array(np.where(rng.random((500, 9)) < 0.3, rng.random((500, 9)), 0.0))
    twisted = X.copy()
    for start, stop in zip(X.indptr, X.indptr[1:], strict=False):
        twisted.indices[start:stop] = X.indices[start:stop][::-1]
        twisted.data[start:stop] = X.data[start:stop][::-1]
    twisted.has_sorted_indices = False
    wide = X.copy()
    wide.indices, wide.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    before = [part.copy() for part in (twisted.data, twisted.indices, twisted.indptr)]
    assert digest(twisted) == digest(X) == digest(wide) == digest(X.tocsc())
    for part, copy in zip((twisted.data, twisted.indices, twisted.indptr), before, strict=True):
        np.testing.assert_array_equal(part, copy)
    other = X.copy()
    other.data[7] += 1
    assert digest(other) != digest(X)


def test_rows_on_a_device_are_known_by_their_numbers():
    xp = pytest.importorskip("array_api_strict")
    from skbackprop._fit.device import NamespaceDevice

    X = np.random.default_rng(0).normal(size=(500, 3))
    device = NamespaceDevice(xp, xp.Device("CPU_DEVICE"), np.asarray)
    assert digest(xp.asarray(X), device=device) == digest(X)


# ------------------------------------------------------------------------------- parameters ----


class Judge:
    """A scorer with parameters; what it does with its class's attributes is its own affair."""

    calls = 0

    def __init__(self, weight, seen=()):
        self.weight, self.seen = weight, seen
        self.lock = threading.Lock()

    def __call__(self, estimator, X, y):
        Judge.calls += 1
        return self.weight * estimator.score(X, y)

    def by_name(self, estimator, X, y):
        return self.weight

    @classmethod
    def of_all(cls, estimator, X, y):
        cls.calls += 1
        return 0.0


def raised(power, counts=True):
    n = 0

    def score(estimator, X, y, *, offset=0.0):
        nonlocal n
        n += counts
        return offset + math.sqrt(n) ** power

    return score


OFFSET = 1.0
LOG = []


def with_global(estimator, X, y):
    LOG.append(y)
    return helper(y) + OFFSET


def helper(y):
    return len(y)


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


circle = [1]
circle.append(circle)

VALUES = {  # of which no two are the same
    "a name": "accuracy",
    "bytes": b"accuracy",
    "nothing": None,
    "true": True,
    "one": 1,
    "a tenth": 0.1,
    "a tenth of float32": np.float32(0.1),
    "infinite": math.inf,
    "complex": 1j,
    "a list": [0.1, 0.2],
    "the other order": [0.2, 0.1],
    "a nest": [[0.1], 0.2],
    "weights": {0: 1.0, 1: 2.0},
    "weights of others": {0: 2.0, 1: 1.0},
    "named weights": {"0": 1.0, "1": 2.0},
    "two dicts": [{0: 0.1}, {1: 0.2}],
    "a set": {"a", "b", "c", "d"},
    "a long array": np.arange(10_000),
    "another long array": np.arange(1, 10_001),
    "objects": np.array(["a", 1, None], dtype=object),
    "sparse": sp.csr_array(np.eye(3)),
    "a lambda": lambda estimator, X, y: estimator.score(X, y),
    "a lambda of another method": lambda estimator, X, y: estimator.accuracy(X, y),
    "a lambda of another constant": lambda estimator, X, y: estimator.score(X, y) + 1.0,
    "a lambda of a close constant": lambda estimator, X, y: estimator.score(X, y) + 2.0,
    "a lambda of arguments": lambda estimator, X, y=None: estimator.score(X, y),
    "a lambda of another default": lambda estimator, X, y=0: estimator.score(X, y),
    "a lambda of a set": lambda estimator, X, y: y in {"a", "b", "c", "d", "e"},
    "a lambda of an inner one": lambda estimator, X, y: max(y, key=lambda v: v + 1),
    "a lambda of another inner one": lambda estimator, X, y: max(y, key=lambda v: v + 2),
    "closed over 2": raised(2),
    "closed over 3": raised(3),
    "closed over an array": raised(np.arange(3)),
    "closed over another array": raised(np.arange(3.5)),
    "partial": functools.partial(raised(2), offset=1.0),
    "partial of more": functools.partial(raised(2), offset=2.0),
    "partial of another": functools.partial(raised(3), offset=1.0),
    "an object": Judge(1.0),
    "an object of another state": Judge(2.0),
    "an object that holds one": Judge(1.0, Judge(1.0)),
    "a method": Judge(1.0).by_name,
    "a method of another state": Judge(2.0).by_name,
    "a class's method": Judge.of_all,
    "a class": Judge,
    "slots": Slotted(1),
    "other slots": Slotted(2),
    "with a global": with_global,
    "a function of a package": f1_score,
    "a function in C": operator.add,
    "a scorer": make_scorer(f1_score),
    "a loss": make_scorer(f1_score, greater_is_better=False),
    "a scorer's arguments": make_scorer(fbeta_score, beta=2.0),
    "a scorer's other arguments": make_scorer(fbeta_score, beta=3.0),
    "a scorer of a lambda": make_scorer(lambda y, p: (y == p).mean()),
    "a scorer of another lambda": make_scorer(lambda y, p: (y != p).mean()),
    "a scorer of probabilities": make_scorer(f1_score, response_method="predict_proba"),
    "a type": float,
    "a module": math,
    "a circle": circle,
}


def texts():
    return [describe(value) for value in VALUES.values()]


def test_each_value_has_a_text_of_its_own():
    found = dict(zip(VALUES, texts(), strict=True))
    owners = {}
    for name, text in found.items():
        owners.setdefault(text, []).append(name)
    assert [names for names in owners.values() if len(names) > 1] == []
    assert max(map(len, found.values())) <= 200  # they are shown
    assert found["a tenth"] == "0.1"
    assert found["weights"] == "{0: 1, 1: 2}"


def test_equal_values_have_equal_texts():
    groups = [
        [0.1, np.float64(0.1)],
        [1, 1.0, np.int64(1), np.float32(1.0), np.array(1)],
        [True, np.True_],
        ["a", np.str_("a")],
        [(100, 50), [100, 50], np.array([100, 50]), [np.int32(100), 50.0]],
        [{1: 0.5, "a": 2}, {"a": 2, np.int64(1): np.float64(0.5)}],
        [{"a", "b"}, frozenset({"b", "a"})],
        [raised(2), raised(2.0)],
        [Judge(0.1), Judge(np.float64(0.1))],
        [make_scorer(f1_score, average="macro", pos_label=1), make_scorer(f1_score, pos_label=1, average="macro")],
    ]
    for group in groups:
        assert len({describe(value) for value in group}) == 1, group


def test_what_a_scorer_does_to_its_own_state_does_not_make_it_another():
    """Counters of a class, a closure or a module, and lists that gather what happens."""
    score, before = raised(2), texts()
    first = describe(score)
    score(None, None, None)
    Judge.of_all(None, None, [1])
    with_global(None, None, [1])
    assert describe(score) == first
    assert texts() == before


def test_globals_that_a_scorer_uses_count(monkeypatch):
    before = describe(with_global)
    monkeypatch.setitem(globals(), "OFFSET", 2.0)
    changed = describe(with_global)
    assert changed != before
    monkeypatch.setitem(globals(), "helper", lambda y: 1.0)
    assert describe(with_global) not in (before, changed)


@pytest.mark.slow
def test_texts_are_the_same_in_another_process():
    """With another order of sets, and other addresses."""
    run = subprocess.run(
        [sys.executable, "-c", "import test_identity; print(repr(test_identity.texts()))"],
        cwd=pathlib.Path(__file__).parent,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == repr(texts())


def test_a_fit_with_another_lambda_is_another_fit(tmp_path):
    X = np.random.default_rng(0).normal(size=(100, 3))
    fits = [
        MLPRegressor((3,), max_iter=2, early_stopping=True, weight_decay=0.1, random_state=0, scoring=scoring)
        for scoring in (lambda e, X, y: -1.0, lambda e, X, y: -2.0)
    ]
    fits[0].fit(X, X[:, 0], checkpoint=tmp_path / "run")
    fits[0].fit(X, X[:, 0], checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match=r"is of another fit \(parameter scoring: .*<lambda>#"):
        fits[1].fit(X, X[:, 0], checkpoint=tmp_path / "run")
