"""Whatever is given to the public methods: a documented error or a sound model, and nothing else is touched.

The quick run draws a few cases, CI thousands, and always the same; CONTRIBUTING.md says how to draw others.
"""

import contextlib
import copy
import dataclasses
import io
import os
import pickle
import tempfile
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from fuzzing import CLOSE, CONSTRAINTS, FITTING, PREDICTING, VALUES, VALUES_OF, relatives, sessions, tables
from fuzzing_data import FORMS
from hypothesis import HealthCheck, given, settings
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

import skbackprop._engines
from skbackprop import DivergenceError, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop.data import Shards
from skbackprop.inspection import layer_outputs

ERRORS = (ValueError, TypeError, MemoryError)  # DivergenceError and NotFittedError are among them
COUNT = os.environ.get("SKBACKPROP_FUZZ")  # of cases, other ones in each run
ALWAYS_THE_SAME = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def tiles(monkeypatch):
    """Products of bfloat16 on every processor: where there is no matrix unit, by the same sums in C."""
    monkeypatch.setattr(skbackprop._engines, "has_tiles", lambda: True)


def fuzz(*strategies, quick, slow):
    """Draw the test's arguments: so many in the quick run, and so many in a slow test of its own."""
    many = settings(ALWAYS_THE_SAME, max_examples=int(COUNT or slow), derandomize=COUNT is None)
    few = settings(ALWAYS_THE_SAME, max_examples=quick)

    def decorate(check):
        runs = [few(given(*strategies)(check)), many(given(*strategies)(check))]
        marks = [pytest.param(runs[0], id="few"), pytest.param(runs[1], id="many", marks=pytest.mark.slow)]

        @pytest.mark.parametrize("run", marks)
        def test(run):
            run()

        return test

    return decorate


# ----------------------------------------------------------------------------- what is compared ----


def same(a, b):
    """Tell whether two values are equal to the last bit; what is only kept to be quick does not count."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return same(a.tolist(), b.tolist()) if a.dtype == object else a.tobytes() == b.tobytes()
    if sp.issparse(a):
        return same(kept(a), kept(b))
    if isinstance(a, (pd.DataFrame, pd.Series)):
        return a.equals(b) and a.index.equals(b.index) and same(np.asarray(a.dtypes), np.asarray(b.dtypes))
    if isinstance(a, (pl.DataFrame, pl.Series)):
        return a.equals(b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.random.RandomState):
        return same(a.get_state(), b.get_state())
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, part.name), getattr(b, part.name)) for part in dataclasses.fields(a))
    if hasattr(a, "__dict__"):
        return same(kept(a), kept(b))
    return repr(a) == repr(b)  # NaN too


def kept(thing):
    """Attributes, without caches: an estimator's engines, and whether indices of a sparse matrix are in order."""
    caches = {"_serving", "_has_sorted_indices", "_has_canonical_format", "has_canonical_format"}
    return {name: value for name, value in vars(thing).items() if name not in caches}


def probe(model):
    """A few rows that a fitted model knows how to read."""
    X = np.linspace(-2.0, 3.0, 3 * model.n_features_in_).reshape(3, -1)
    return pd.DataFrame(X, columns=model.feature_names_in_) if hasattr(model, "feature_names_in_") else X


def answers(model, X=None):
    """What a fitted model says of X, or of a few usual rows: arrays, or errors."""
    if not hasattr(model, "coefs_"):
        return None
    X = probe(model) if X is None else X
    found = {}
    for method in PREDICTING[type(model)]:
        try:
            found[method] = getattr(model, method)(X)
        except ERRORS as error:
            found[method] = type(error), str(error)
    return found


# --------------------------------------------------------------------------- what must hold of it ----


def check_finite(model, method, answer, n_rows):
    """An answer is finite, of the right length, and probabilities sum to 1."""
    for part in answer if isinstance(answer, tuple) else (answer,):
        assert n_rows in part.shape[:2], f"{method}: {part.shape} for {n_rows} rows"
        if part.dtype.kind == "f" and not (method == "predict" and isinstance(model, MLPSoftmaxClassifier)):
            assert np.isfinite(part).all(), f"{method} is not finite: {part}"
        if method == "predict_proba":
            assert ((part >= 0.0) & (part <= 1.0)).all()
            if not model._labels.multilabel:
                assert_allclose(part.sum(axis=-1), 1.0, rtol=100 * np.finfo(part.dtype).eps)


def check_fitted(model):
    """A fitted model is finite, survives pickling and gives both engines the same answers."""
    arrays = [*model.coefs_, *model.intercepts_]
    assert all(np.isfinite(array).all() for array in arrays)
    assert np.isfinite(model.loss_curve_).all()
    assert len(model.loss_curve_) == model.n_iter_ >= 1
    found = answers(model)
    for method, answer in found.items():
        if not isinstance(answer[0], type):
            check_finite(model, method, answer, 3)
    twin = pickle.loads(pickle.dumps(model))
    assert same(kept(twin), kept(model)), "a pickled copy differs"
    assert same(answers(twin), found), "a pickled copy gives other answers"
    if max(np.abs(array).max() for array in arrays) < 10.0:
        found = answers(twin.set_params(matmul_precision="highest"))
        for engine in ("compiled", "reference"):
            check_close(model, answers(twin.set_params(engine=engine)), found)


def check_close(model, found, expected):
    """Answers agree but for rounding."""
    for method, answer in found.items():
        if isinstance(answer[0], type) or answer.dtype.kind != "f" or method == "predict_log_proba":
            assert isinstance(expected[method][0], type) == isinstance(answer[0], type)
            continue
        unit = max(1.0, np.abs(answer).max(), np.max(getattr(model, "target_scale_", 0.0)))
        eps = np.finfo(model.coefs_[0].dtype).eps
        assert_allclose(answer, expected[method], rtol=0, atol=1e4 * eps * unit, err_msg=method)


def play(model, call):
    """Make one call; give the model to go on with."""
    if call.method == "pickle":
        return pickle.loads(pickle.dumps(model))
    if call.method == "clone":
        return clone(model)
    if call.method == "set_params":
        return model.set_params(**call.args)
    if call.method == "partial_fit" and not hasattr(model, "partial_fit"):  # L-BFGS
        return model
    args = call.make()
    args_before, before, found = copy.deepcopy(args), copy.deepcopy(kept(model)), answers(model)
    error = answer = None
    try:
        given = args if call.memory is None else in_shards(call, args)
        answer = FUNCTIONS.get(call.method, getattr(type(model), call.method, None))(model, **given)
    except ERRORS as raised:
        error = raised
    if error is None and call.method in FITTING:
        assert answer is model
        check_fitted(model)
        if call.method == "fit" and model.validation_loss_curve_:
            assert not np.isnan(model.validation_loss_curve_).any()
    else:
        assert same(kept(model), before), f"{call.method} changed the model: {error!r}"
        assert same(answers(model), found), f"{call.method} changed the answers: {error!r}"
    if error is not None:
        assert str(error), f"{error!r} does not say what is wrong"
        if isinstance(error, DivergenceError):
            assert all(np.isfinite(array).all() for array in error.estimator.coefs_)
    elif call.method in PREDICTING[type(model)]:
        check_finite(model, call.method, answer, n_rows(args["X"]))
    for name, value in args.items():
        assert same(value, args_before[name]), f"{call.method} changed {name}"
    return model


def tamper(model, name, value):
    """Set a fitted attribute of a copy, and ask that: any answer or a documented error."""
    check_is_fitted(model)
    twin = pickle.loads(pickle.dumps(model))
    setattr(twin, name, value)
    answers(twin, probe(model))
    layer_outputs(twin, probe(model))


def as_sklearn(model):
    """The same predictions by scikit-learn's network."""
    theirs, ours = model.to_sklearn().predict(np.asarray(probe(model))), answers(model)["predict"]
    if ours.dtype.kind == "f" and max(np.abs(W).max() for W in model.coefs_) < 10.0:
        unit = max(1.0, np.abs(ours).max(), np.max(getattr(model, "target_scale_", 0.0)))
        assert_allclose(theirs, ours.reshape(theirs.shape), rtol=0, atol=1e-3 * unit)


FUNCTIONS = {"layer_outputs": layer_outputs, "tamper": tamper, "to_sklearn": as_sklearn}


def in_shards(call, args):
    """The same data in two Shards each, which for a fit hold targets and weights too."""
    given = dict(args)
    for suffix in ("", "_val"):
        if f"X{suffix}" in args:
            names = [f"{name}{suffix}" for name in ("X", "y", "sample_weight")]
            parts = [given.pop(name, None) for name in (names if call.method in FITTING else names[:1])]
            given[names[0]] = Shards(*map(halves, parts), memory=call.memory, block_rows=3)
    return given


def halves(rows):
    return [*np.array_split(rows, 2)] if isinstance(rows, np.ndarray) and rows.ndim else rows


def n_rows(X):
    return X.shape[0] if hasattr(X, "shape") else len(X)


# ------------------------------------------------------------------------------------- properties ----


def test_every_parameter_is_drawn():
    for cls, constraints in CONSTRAINTS.items():
        assert constraints.keys() == VALUES.keys() & constraints.keys() | VALUES_OF[cls].keys()


@fuzz(sessions(), quick=60, slow=5000)
def test_any_calls_fail_as_documented_or_leave_a_sound_model(session):
    cls, params, calls = session
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # of verbose
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=RuntimeWarning, module="skbackprop")  # numpy's, of overflow
        model = cls(**params)
        for call in calls:
            model = play(model, call)


def fitted(cls, params, X, y, weights, asked, checkpoint=None):
    """A short fit and its answers, or the type of the error."""
    try:
        model = cls(**params).fit(X, y, weights, checkpoint=checkpoint)
        return {name: np.asarray(answer) for name, answer in answers(model, asked).items()}, model
    except ERRORS as error:
        return type(error), None


FACTORS = {"twice as many weights": 2.0, "weights of 1e-300": 1e-300, "weights of 1e300": 1e300}


def otherwise(cls, params, X, y, weights, change):
    """The same fit in other words."""
    asked = X
    if change in FORMS:
        X = asked = FORMS[change](X)
    elif change == "y as a list":
        y = y.tolist()
    elif change == "y as a Series":
        y = pd.Series(y) if y.ndim == 1 else pd.DataFrame(y)
    elif change == "weights as a list":
        weights = None if weights is None else weights.tolist()
    elif change == "names for labels" and cls is MLPSoftmaxClassifier and y.ndim == 1:
        y = np.array(["p", "q", "r", "s"], object)[np.unique(y, return_inverse=True)[1]]
    elif change == "shards":
        X, y, weights = Shards(halves(X), halves(y), halves(weights)), None, None
    elif change == "three threads":
        params = params | {"n_threads": 3}
    elif change == "the other engine":
        params = params | {"engine": "reference"}
    elif change in FACTORS and params["alpha"] == 0:
        weights = FACTORS[change] * (np.ones(len(X)) if weights is None else weights)
    if change == "a checkpoint":
        with tempfile.TemporaryDirectory() as folder:
            fitted(cls, params, X, y, weights, asked, f"{folder}/a")
            return fitted(cls, params, X, y, weights, asked, f"{folder}/a")
    return fitted(cls, params, X, y, weights, asked)


@fuzz(relatives(), quick=30, slow=2000)
def test_the_same_rows_in_other_words_give_the_same_model(case):
    cls, params, X, y, weights, change = case
    params = {"alpha": 0.0} | params | {"dtype": "float64"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X, y, weights = X.make(), y.make(), weights.make()
        expected, model = fitted(cls, params, X, y, weights, X)
        found, other = otherwise(cls, params, X, y, weights, change)
        if model is None or other is None:
            assert expected == found or (change in FACTORS and found is ValueError)
            return
        if change == "row by row":
            found = {name: np.concatenate([answers(model, X[[i]])[name] for i in range(len(X))]) for name in expected}
    for name, answer in expected.items():
        if change == "names for labels" and name == "predict":
            answer, found[name] = (np.unique(part, return_inverse=True)[1] for part in (answer, found[name]))
        if change in CLOSE and answer.dtype.kind == "f":
            # 1e-7: Adam divides the rounding errors of a gradient that vanishes by epsilon, 1e-8
            atol = 1e-7 + 1e-6 * np.abs(answer).max()
            assert_allclose(found[name], answer, rtol=1e-6, atol=atol, err_msg=name)
        elif change not in CLOSE:
            assert_array_equal(found[name], answer, err_msg=name)


@fuzz(tables(), quick=10, slow=500)
def test_any_table_is_refused_or_learned(case):
    rows, asked, y = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table, other, y = rows.make(), asked.make(), y.make()
        before = copy.deepcopy((table, other, y))
        kind = "regressor" if y.dtype == float else "classifier"
        model = tabular_pipeline(kind, hidden_layer_sizes=(3,), max_iter=1, random_state=0)
        try:
            model.fit(table, y)
        except ERRORS as error:
            told = str(error)
        else:
            told = "fitted"
            assert len(model.predict(table)) == len(table)
            try:
                answer = model.predict(other)
            except ERRORS as error:
                told = str(error)
            else:
                assert len(answer) == len(other)
                assert_array_equal(model.predict(other.astype(object)), answer)
    assert told
    assert same((table, other, y), before)
