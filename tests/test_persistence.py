"""Saved models: they predict the same, are light, and say when another version made them."""

import copy
import importlib.util
import io
import pathlib
import pickle
import pickletools
import random
import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal, assert_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import skbackprop
from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop.persistence import TRUSTED_TYPES, VersionWarning
from skbackprop.preprocessing import PiecewiseLinearEncoder

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
GOLDEN = pathlib.Path(__file__).parent / "golden"
spec = importlib.util.spec_from_file_location("make_golden", GOLDEN / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

KINDS = ["classifier", "regressor", "members", "multilabel", "quantiles", "stream", "sparse", "intervals", "encoder"]
# beside the weights: the parameters, curves of a few epochs, the network's description
LIGHT = 4096


@pytest.fixture(scope="module")
def models():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: fit(y) for name, (y, _, fit) in make.makers().items() if name in KINDS}


def weight_bytes(model):
    factors = [factor for pair in getattr(model, "member_factors_", []) for factor in pair]
    return sum(np.asarray(w).nbytes for w in [*model.coefs_, *model.intercepts_, *factors])


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def through_skops(model):
    skops = pytest.importorskip("skops.io")
    return skops.loads(skops.dumps(model), trusted=TRUSTED_TYPES)


WAYS = [through_pickle, through_joblib, through_skops, copy.copy, copy.deepcopy]


@pytest.mark.parametrize("way", WAYS)
def test_every_kind_of_model_comes_back_the_same(way, models):
    X = make.problem()[0]
    for name, model in models.items():
        again = way(model)
        assert type(again) is type(model)
        assert set(vars(again)) == set(vars(model)), name
        assert str(clone(again).get_params()) == str(clone(model).get_params())
        assert_equal(make.answers(again, X), make.answers(model, X), name)


@pytest.mark.parametrize("way", WAYS)
def test_training_goes_on_as_if_nothing_had_been(way, models):
    """Fitted or streamed: the next call takes the same steps, and leaves the original alone."""
    X, tree, _, y = make.problem()
    targets = {"classifier": tree, "members": tree, "regressor": y, "stream": y}
    for name, target in targets.items():
        again, model = way(models[name]), copy.deepcopy(models[name])
        for fitted in (again, model):
            fitted.set_params(early_stopping=False, validation_fraction=0.1).partial_fit(X, target)
            fitted.set_params(warm_start=True).fit(X, target)
        assert_array_equal(again.coefs_[0], model.coefs_[0])
        assert_array_equal(again.loss_curve_, model.loss_curve_)
        assert abs(model.coefs_[0] - models[name].coefs_[0]).max() > 0


@pytest.mark.parametrize("way", WAYS[:3])
def test_unfitted_models_too(way):
    model = way(MLPRegressor((3,), quantile=[0.1, 0.2], random_state=3))
    assert model.get_params() == MLPRegressor((3,), quantile=[0.1, 0.2], random_state=3).get_params()
    assert not hasattr(model, "coefs_")


# --------------------------------------------------------------------------------------- size ----


@pytest.mark.parametrize(
    "params",
    [{}, {"early_stopping": True}, {"warm_start": True}, {"solver": "lbfgs"}, {"n_members": 3}, {"dtype": "float32"}],
    ids=str,
)
def test_a_pickle_holds_little_more_than_the_weights(params, digits):
    X, y = digits[0][:400], digits[1][:400]
    model = MLPSoftmaxClassifier((100,), max_iter=10, **params).fit(X, y)
    if "warm_start" in params:
        model.fit(X, y)
    assert weight_bytes(model) < len(pickle.dumps(model)) < weight_bytes(model) + LIGHT


def test_after_partial_fit_it_holds_the_optimizers_memory_and_a_fit_drops_it(digits):
    X, y = digits[0][:400], digits[1][:400]
    model = MLPSoftmaxClassifier((100,), max_iter=10, random_state=0).partial_fit(X, y)
    assert len(pickle.dumps(model)) > 3 * weight_bytes(model)  # Adam has two moments
    model.fit(X, y)
    assert len(pickle.dumps(model)) < weight_bytes(model) + LIGHT


def test_callbacks_make_it_little_heavier(digits):
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 introduced callbacks")
    X, y = digits[0][:400], digits[1][:400]
    model = MLPSoftmaxClassifier((100,), max_iter=5, random_state=0)
    model.set_callbacks(callback.ScoringMonitor(scoring="accuracy")).fit(X, y)
    assert len(pickle.dumps(model)) < weight_bytes(model) + LIGHT + 4096  # the scores of five epochs


@pytest.mark.parametrize("name", ["classifier", "members", "multilabel", "quantiles", "stream", "encoder"])
def test_of_our_classes_a_pickle_names_the_estimator_alone(name, models):
    """So that all else may be renamed while old files still load."""
    found = [
        argument.replace(" ", ".")
        for opcode, argument, _ in pickletools.genops(pickle.dumps(models[name], protocol=2))
        if opcode.name == "GLOBAL"
    ]
    model = type(models[name])
    assert [path for path in found if "skbackprop" in path] == [f"{model.__module__}.{model.__qualname__}"]


# ------------------------------------------------------------------------------------ version ----


@pytest.mark.parametrize("name", ["regressor", "encoder"])
def test_another_version_is_said_once(name, models):
    old = pickle.dumps(models[name]).replace(skbackprop.__version__.encode(), b"0.0.9")
    with pytest.warns(VersionWarning, match=r"saved by skbackprop 0\.0\.9 and is loaded by") as caught:
        model = pickle.loads(old)
    assert len(caught) == 1
    X = make.problem()[0]
    assert_equal(make.answers(model, X), make.answers(models[name], X))
    pickle.loads(pickle.dumps(model))  # saved again, it is of this version
    copy.copy(model)


def test_a_state_without_a_version_is_old(models):
    state = models["regressor"].__getstate__()
    del state["_skbackprop_version"]
    with pytest.warns(VersionWarning, match="a version before"):
        MLPRegressor().__setstate__(state)


def test_fields_that_are_gone_and_fields_that_are_new(models):
    """A part of the state loads if another version knew more, or less, of it."""
    state = copy.deepcopy(models["stream"].__getstate__())
    state["_progress"]["patience"]["gone"] = 1
    state["_network"]["gone"] = 2
    del state["_network"]["input_scale"], state["_progress"]["plateau_factor"]
    model = MLPRegressor()
    model.__setstate__(state)
    X = make.problem()[0]
    y = make.problem()[-1]
    assert_equal(make.after_a_step(model, X, y), make.after_a_step(copy.deepcopy(models["stream"]), X, y))


# ------------------------------------------------------------------------------------ tampered ----

OTHERS = [None, "x", [], {}, (), -1, 10**30, 0.5, float("nan"), True, object(), (1,), (10**9,) * 3, ("a", "b")]
OTHERS += [np.zeros(1), np.zeros((3, 3)), np.array("a"), np.array([1j, 0j]), np.zeros(5, dtype=object)]


def nodes(tree, path=()):
    """Where each value of a state is."""
    if path:
        yield path
    if isinstance(tree, dict):
        for key, inner in tree.items():
            yield from nodes(inner, (*path, key))


def use(model, X, y):
    """In all ways; a ValueError is an answer, anything else none."""
    calls = [
        lambda: model.predict(X),
        lambda: model.partial_fit(X, y),
        lambda: model.set_params(warm_start=True, max_iter=1).fit(X, y),
    ]
    said = []
    for call in calls:
        try:
            call()
        except ValueError as error:
            said.append(str(error))
    return said


@pytest.fixture(scope="module")
def saved():
    """States of fitted models, each with the rows to use it on."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y, label = X[:, 0], (X[:, 0] > 0).astype(int)
    stream = MLPRegressor((5,), solver="nadam", early_stopping=True, random_state=0)
    models = [
        (MLPSoftmaxClassifier((5,), max_iter=2, random_state=0).fit(X, label), label),
        (MLPRegressor((5, 3), loss="quantile", quantile=[0.1, 0.9], max_iter=2, random_state=0).fit(X, y), y),
        (stream.partial_fit(X, y, X_val=X, y_val=y), y),
        (MLPRegressor((5,), n_members=2, input_scale=True, max_iter=2, random_state=0).fit(X, y), y),
    ]
    return [(type(model), model.__getstate__(), X, y) for model, y in models]


@pytest.mark.parametrize("n", [1, pytest.param(len(OTHERS), marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")
def test_a_changed_state_is_a_valueerror_or_works(saved, n):
    """Each value of it is put to others: at the latest when it is used, it is said."""
    draw = random.Random(0)
    for cls, state, X, y in saved:
        parameters = cls().get_params()
        for path in nodes(state):
            for other in draw.sample(OTHERS, n):
                if path[0] in parameters:
                    continue
                changed = copy.deepcopy(state)
                holder = changed
                for key in path[:-1]:
                    holder = holder[key]
                holder[path[-1]] = other
                model = cls.__new__(cls)
                try:
                    model.__setstate__(changed)
                except ValueError as error:
                    refused = str(error)
                    assert refused.startswith(f"This state of {cls.__name__} is damaged")
                else:
                    use(model, X, y)


@pytest.mark.parametrize(
    ("path", "other", "message"),
    [
        (("_network", "sizes"), (4, 7, 2), "coefs_ and intercepts_ must have the shapes"),
        (("_network", "sizes"), (4, 5, -2), "is damaged"),
        (("_network", "activations"), ("relu", "relu"), "is damaged"),
        (("_network", "loss"), "nonsense", "is damaged"),
        (("_labels", "classes"), np.arange(1), "classes must have one entry for each of 2 outputs"),
        (("_progress",), None, "_progress is None"),
        (("coefs_",), [np.zeros((4, 9)), np.zeros((9, 2))], "coefs_ and intercepts_ must have the shapes"),
        (("coefs_",), [np.zeros((4, 5), complex), np.zeros((5, 2))], "real numbers"),
    ],
)
@pytest.mark.parametrize("way", WAYS[:3])
def test_a_file_of_a_changed_model_says_what_is_wrong(saved, way, path, other, message):
    cls, state, X, _ = saved[0]
    changed = copy.deepcopy(state)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = other

    def load():
        model = cls.__new__(cls)
        model.__setstate__(way(changed))
        return model

    with pytest.raises(ValueError, match=message):
        load().predict(X)


@pytest.mark.parametrize("state", [{"m": np.zeros(1), "v": np.zeros(1)}, {"m": np.zeros((1, 31)), "v": np.zeros(31)}])
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_an_optimizers_memory_of_another_length_is_refused(state, engine):
    X = np.random.default_rng(0).normal(size=(60, 4))
    model = MLPRegressor((5,), engine=engine, random_state=0).partial_fit(X, X[:, 0])
    saved = model.__getstate__()
    saved["_progress"]["memory"] = state
    model.__setstate__(saved)
    before = model.predict(X)
    with pytest.raises(ValueError, match="The optimizer's memory 'm' is not one of this network's 31 parameters"):
        model.partial_fit(X, X[:, 0])
    assert_array_equal(model.predict(X), before)


# -------------------------------------------------------------------------------------- skops ----


@pytest.fixture(scope="module")
def table():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(size=120), "town": rng.choice(["Ulm", "Bonn"], 120)})
    X["street"] = [f"street {k % 40}" for k in range(120)]
    return X, np.where(X["town"] == "Ulm", "yes", "no"), X["age"] + (X["town"] == "Ulm")


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_skops_needs_our_list_and_no_more(kind, table):
    skops = pytest.importorskip("skops.io")
    X, label, number = table
    model = tabular_pipeline(kind, random_state=0, max_iter=3).fit(X, label if kind == "classifier" else number)
    data = skops.dumps(model)
    assert set(skops.get_untrusted_types(data=data)) <= set(TRUSTED_TYPES)
    assert_array_equal(skops.loads(data, trusted=TRUSTED_TYPES).predict(X), model.predict(X))


def test_every_trusted_type_is_used(table):
    skops = pytest.importorskip("skops.io")
    X, label, number = table
    used = set()
    of_others = tabular_pipeline(make_pipeline(PiecewiseLinearEncoder(), MLPSoftmaxClassifier(max_iter=3)))
    best = [tabular_pipeline(kind, effort="best", max_iter=3) for kind in ("classifier", "regressor")]
    for model, y in ((best[0], label), (best[1], number), (of_others, label)):
        used |= set(skops.get_untrusted_types(data=skops.dumps(model.fit(X, y))))
    # the folds of the target encoder are objects from scikit-learn 1.9 on
    assert {name for name in TRUSTED_TYPES if name not in used} <= {name for name in TRUSTED_TYPES if "KFold" in name}


def test_skops_refuses_without_the_list(models):
    skops = pytest.importorskip("skops.io")
    with pytest.raises(skops.exceptions.UntrustedTypesFoundException, match="MLPRegressor"):
        skops.loads(skops.dumps(models["regressor"]))


def test_skops_takes_an_ordinary_pipeline(diabetes):
    skops = pytest.importorskip("skops.io")
    X, y = diabetes
    model = make_pipeline(PiecewiseLinearEncoder(), MLPRegressor((4,), max_iter=2, random_state=0)).fit(X, y)
    again = skops.loads(skops.dumps(model), trusted=TRUSTED_TYPES)
    assert_array_equal(again.predict(X), model.predict(X))
