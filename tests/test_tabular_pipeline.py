"""The Pipeline of tabular_pipeline: validation sets, training in pieces, how it is printed."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from listeners import Silent
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression, Ridge, SGDRegressor
from sklearn.model_selection import GridSearchCV, learning_curve
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import has_fit_parameter

from skbackprop import MLPRegressor, tabular_pipeline
from skbackprop._table import Table
from skbackprop._tabular_pipeline import TabularPipeline

SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 4, "weight_decay": 0.5, "dropout": 0.0, "random_state": 0}


@pytest.fixture
def rows(rng):
    """Rows to train on and to validate by, of numbers with gaps, categories and texts of many values."""
    n = 400
    X = pd.DataFrame(
        {
            "area": rng.gamma(4.0, 20.0, n),
            "town": rng.choice(["Bonn", "Köln", "Ulm"], n),
            "street": rng.choice([f"street {i}" for i in range(60)], n),
            "width": rng.choice(["2.5", "3", "?"], n),
        }
    )
    y = 2.0 * X["area"] + 60.0 * (X["town"] == "Köln") + rng.normal(0.0, 10.0, n)
    X.loc[::10, "area"] = np.nan
    return (X[:300], y[:300]), (X[300:], y[300:])


@pytest.mark.filterwarnings("ignore:Column 'width' holds numbers as text")
def test_a_validation_set_goes_through_the_columns(rows):
    (X, y), (X_val, y_val) = rows
    model = tabular_pipeline("regressor", early_stopping=True, **SETTINGS)
    losses = model.fit(X, y, X_val=X_val, y_val=y_val)["mlp"].validation_loss_curve_
    table = clone(model["table"])
    by_hand = clone(model["mlp"]).fit(table.fit_transform(X, y), y, X_val=table.transform(X_val), y_val=y_val)
    assert losses == by_hand.validation_loss_curve_
    assert losses == model.fit(X, y, mlp__X_val=X_val, mlp__y_val=y_val)["mlp"].validation_loss_curve_
    weights = np.arange(len(y)) % 3 + 1.0
    weighted = model.fit(X, y, X_val=X_val, y_val=y_val, sample_weight=weights)["mlp"].validation_loss_curve_
    by_hand.fit(table.fit_transform(X, y), y, weights, X_val=table.transform(X_val), y_val=y_val)
    assert weighted == by_hand.validation_loss_curve_ != losses


class Shuffled(TransformerMixin, BaseEstimator):
    """Puts columns into an order that each fit draws anew."""

    n_fits = 0

    def fit(self, X, y=None):
        Shuffled.n_fits += 1
        self.order_ = np.random.default_rng(Shuffled.n_fits).permutation(X.shape[1])
        return self

    def transform(self, X):
        return X[:, self.order_]


@pytest.mark.parametrize("routes", [False, True])
def test_the_steps_in_front_are_fitted_once(routes, rng, tmp_path):
    """The network sees the validation set through the very steps that its rows went through, though they are random."""
    X = rng.normal(size=(200, 12))
    y = X[:, 0]
    mlp = MLPRegressor((8,), max_iter=3, weight_decay=0.5, random_state=0)
    for memory in (None, str(tmp_path)):
        Shuffled.n_fits = 0
        model = TabularPipeline([("shuffle", Shuffled()), ("again", Shuffled()), ("mlp", clone(mlp))], memory=memory)
        with config_context(enable_metadata_routing=routes):
            model.fit(X, y, X_val=X[:50], y_val=y[:50])
        assert Shuffled.n_fits == 2
        seen, losses = model[:-1].transform(X), model["mlp"].validation_loss_curve_
        by_hand = clone(mlp).fit(seen, y, X_val=seen[:50], y_val=y[:50])
        assert losses == by_hand.validation_loss_curve_
        other = clone(mlp).fit(seen, y, X_val=Shuffled().fit(X).transform(X)[:50], y_val=y[:50])
        assert losses != other.validation_loss_curve_
    Shuffled.n_fits = 0
    stream = TabularPipeline([("shuffle", Shuffled()), ("mlp", clone(mlp))])
    for _ in range(2):
        stream.partial_fit(X, y, X_val=X[:50], y_val=y[:50])
    assert Shuffled.n_fits == 1


@pytest.mark.filterwarnings("ignore:Column 'width' holds numbers as text")
def test_a_validation_set_by_another_name_is_read_too(rows):
    (X, y), (X_val, y_val) = rows
    model = tabular_pipeline("regressor", early_stopping=True, **SETTINGS)
    losses = model.fit(X, y, X_val=X_val, y_val=y_val)["mlp"].validation_loss_curve_
    with config_context(enable_metadata_routing=True):
        model["mlp"].set_fit_request(X_val="held_out")
        assert model.fit(X, y, held_out=X_val, y_val=y_val)["mlp"].validation_loss_curve_ == losses


@pytest.mark.filterwarnings("ignore:Column 'width' holds numbers as text")
def test_with_metadata_routing_it_is_the_same(rows):
    (X, y), (X_val, y_val) = rows
    model = tabular_pipeline("regressor", early_stopping=True, **SETTINGS)
    losses = model.fit(X, y, X_val=X_val, y_val=y_val)["mlp"].validation_loss_curve_
    with config_context(enable_metadata_routing=True):
        assert model.fit(X, y, X_val=X_val, y_val=y_val)["mlp"].validation_loss_curve_ == losses
        told = clone(model).set_params(transform_input=["X_val"])  # by scikit-learn, once and not twice
        assert told.fit(X, y, X_val=X_val, y_val=y_val)["mlp"].validation_loss_curve_ == losses
        search = GridSearchCV(model, {"mlp__n_bins": [8]}, cv=2).fit(X, y, X_val=X_val, y_val=y_val)
        assert search.best_estimator_["mlp"].validation_loss_curve_ == losses


@pytest.mark.filterwarnings("ignore:Column 'width' holds numbers as text")
def test_warnings_come_once_and_errors_say_whose_rows_they_mean(rows):
    (X, y), (X_val, y_val) = rows
    model = tabular_pipeline("regressor", early_stopping=True, **SETTINGS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, X_val=X_val.assign(width="wide"), y_val=y_val)
    told = [str(warning.message) for warning in caught]
    assert len(told) == 2
    assert "holds numbers as text" in told[0]
    assert "'wide'" in told[1]
    with pytest.raises(ValueError, match=r"In the validation set .*columns are missing: \['town'\]"):
        model.fit(X, y, X_val=X_val.drop(columns="town"), y_val=y_val)


@pytest.mark.filterwarnings("ignore:Column 'width' holds numbers as text")
def test_partial_fit_reads_what_the_first_call_found(rows):
    (X, y), (X_val, y_val) = rows
    model = tabular_pipeline("regressor", **SETTINGS)
    table, mlp = clone(model["table"]), clone(model["mlp"])
    for start in (0, 100, 200):
        X_part, y_part = X[start : start + 100], y[start : start + 100]
        read = table.transform(X_part) if start else table.fit_transform(X_part, y_part)
        mlp.partial_fit(read, y_part, X_val=table.transform(X_val), y_val=y_val)
        assert model.partial_fit(X_part, y_part, X_val=X_val, y_val=y_val) is model
    assert_array_equal(model.predict(X_val), mlp.predict(table.transform(X_val)))
    assert model["mlp"].n_iter_ == 3
    assert model["mlp"].validation_loss_curve_ == mlp.validation_loss_curve_
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.partial_fit(X, y).predict(X_val), model.partial_fit(X, y).predict(X_val))


@pytest.mark.filterwarnings("ignore:Column 'width' holds numbers as text")
def test_partial_fit_goes_on_from_fit_and_takes_classes(rows):
    (X, y), _ = rows
    model = tabular_pipeline("classifier", **SETTINGS).partial_fit(X, y > 160.0, classes=[False, True])
    assert model.predict(X).dtype == bool
    fitted = tabular_pipeline("regressor", **SETTINGS).fit(X, y)
    before = fitted["mlp"].n_iter_
    assert fitted.partial_fit(X, y)["mlp"].n_iter_ == before + 1
    towns = {"town": ["Bonn", "Köln", "Rome", "Ulm"]}
    named = tabular_pipeline("regressor", **SETTINGS).partial_fit(X, y, categories=towns)
    assert named["mlp"].categories_[1].tolist() == towns["town"]


def test_partial_fit_is_there_if_the_last_step_has_it(rows):
    (X, y), _ = rows
    numbers = X[["area"]].fillna(80.0)
    assert hasattr(tabular_pipeline("regressor"), "partial_fit")
    assert tabular_pipeline(SGDRegressor(random_state=0)).partial_fit(numbers, y).predict(numbers).shape == y.shape
    reasons = {
        "'Ridge' object has no attribute 'partial_fit'": tabular_pipeline(Ridge()),
        "partial_fit needs a minibatch solver, but solver='lbfgs'": tabular_pipeline(MLPRegressor(solver="lbfgs")),
        r"effort='default'\) without oob_score=True": tabular_pipeline("regressor", effort="best"),
        "MLPEnsembleClassifier has no partial_fit; MLPSoftmaxClassifier has": tabular_pipeline(oob_score=True),
    }
    for reason, model in reasons.items():
        assert not hasattr(model, "partial_fit")
        with pytest.raises(AttributeError, match=reason):
            model.partial_fit(numbers, y)


@pytest.mark.filterwarnings("ignore:Column 'width' holds numbers as text")
def test_a_learning_curve_in_pieces(rows):
    (X, y), _ = rows
    model = tabular_pipeline("regressor", **SETTINGS)
    sizes, *_ = learning_curve(model, X, y, cv=2, train_sizes=[0.5, 1.0], exploit_incremental_learning=True)
    assert sizes.tolist() == [75, 150]


@pytest.mark.filterwarnings("ignore:Column 'width' holds numbers as text")
def test_callbacks_set_on_it_reach_all_steps(rows):
    pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 introduced callbacks")
    (X, y), _ = rows

    class Hearing(Silent):
        max_propagation_depth = None

        def on_fit_task_begin(self, estimator, context):
            heard.append(context.estimator_name)

    heard: list[str] = []
    for other in (None, Ridge()):  # warnings are errors: every step supports them
        model = tabular_pipeline("regressor", **SETTINGS) if other is None else tabular_pipeline(other)[:-1]
        model.set_callbacks(Hearing()).fit(X, y)
        assert not [name for _, step in model.steps for name in vars(step) if "callback" in name]
    assert {"TabularPipeline", "MLPRegressor"} <= set(heard)


@pytest.mark.filterwarnings("ignore:Column 'width' holds numbers as text")
def test_callbacks_hear_of_partial_fit(rows):
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 introduced callbacks")
    (X, y), (X_val, y_val) = rows

    class Noting(Silent):
        max_propagation_depth = None

        def setup(self, estimator, context):
            notes.append("setup")

        def teardown(self, estimator, context):
            notes.append("teardown")

        def on_fit_task_begin(self, estimator, context):
            notes.append(f"{context.estimator_name} {context.task_name}")

        def on_fit_task_end(self, estimator, context, *, X=None):
            sizes.append(len(X))

    notes, sizes = [], []
    expected = tabular_pipeline("regressor", **SETTINGS).partial_fit(X, y).partial_fit(X, y)
    model = tabular_pipeline("regressor", **SETTINGS).set_callbacks(Noting()).partial_fit(X, y)
    last = ["MLPRegressor partial_fit", "MLPRegressor epoch", "teardown"]
    assert notes == ["setup", "TabularPipeline partial_fit", "Pipeline fit-transform", *last]  # that of the steps
    assert set(sizes) == {len(X)}
    del notes[:]
    model.partial_fit(X, y, X_val=X_val, y_val=y_val)
    assert notes == ["setup", "TabularPipeline partial_fit", *last]  # the columns are known
    assert_array_equal(model.predict(X), expected.predict(X))
    del notes[:]
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.partial_fit(X, y[:-1])
    assert notes == ["setup", "TabularPipeline partial_fit", "teardown"]
    assert not [name for step in (model, *model) for name in vars(step) if "callback_" in name]
    monitor = callback.ScoringMonitor(scoring="r2")
    model.set_callbacks()["mlp"].set_callbacks(monitor)
    model.partial_fit(X, y)
    assert monitor.get_logs().data[-1]["r2"] == model.score(X, y)


@pytest.mark.filterwarnings("ignore:Column 'width' holds numbers as text")
def test_partial_fit_gives_the_last_step_what_it_requests(rows):
    (X, y), (X_val, y_val) = rows
    weights = np.arange(len(y)) % 3 + 1.0
    expected = tabular_pipeline("regressor", **SETTINGS).partial_fit(X, y, sample_weight=weights).predict(X)
    with config_context(enable_metadata_routing=True):
        model = tabular_pipeline("regressor", **SETTINGS)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            model.partial_fit(X, y, sample_weight=weights)
        model["mlp"].set_partial_fit_request(sample_weight="w")
        model.partial_fit(X, y, w=weights, X_val=X_val, y_val=y_val, total_samples=len(y))
        assert_array_equal(model.predict(X), expected)
        assert len(model["mlp"].validation_loss_curve_) == 1
        labels = tabular_pipeline("classifier", **SETTINGS)
        labels["mlp"].set_partial_fit_request(sample_weight=True)
        names = {"sample_weight", "classes", "X_val"}  # what a learning curve asks
        assert labels.get_metadata_routing().consumes("partial_fit", names) == names


@pytest.mark.filterwarnings("ignore:Column 'width' holds numbers as text")
def test_partial_fit_takes_names_of_the_step_too(rows):
    (X, y), _ = rows
    weights = np.arange(len(y)) % 3 + 1.0
    one = tabular_pipeline("regressor", **SETTINGS).partial_fit(X, y, sample_weight=weights)
    two = tabular_pipeline("regressor", **SETTINGS).partial_fit(X, y, mlp__sample_weight=weights)
    assert_array_equal(one.predict(X), two.predict(X))
    assert (one.predict(X) != tabular_pipeline("regressor", **SETTINGS).partial_fit(X, y).predict(X)).any()


@pytest.mark.parametrize("options", [{}, {"effort": "best"}, {"oob_score": True}, {"effort": "quick"}])
def test_its_text_fits_a_screen(options):
    lines = str(tabular_pipeline("regressor", random_state=0, **options)).splitlines()
    assert len(lines) <= 8
    assert max(map(len, lines)) <= 80
    assert "numeric_encoder='piecewise_linear'" in " ".join(lines)


def test_a_text_of_many_names_is_cut():
    names = [f"measurement {i}" for i in range(500)]
    lines = str(tabular_pipeline(categorical_features=names)).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_its_texts_are_code(rng):
    """What is printed, alone or in a search, makes the same again; texts in it stay as they are."""
    names = ["a  b", "it's", 'the "new" one', " ", "1\t2", "back\\slash", "a long name of a column of a table, wide"]
    model = tabular_pipeline("regressor", categorical_features=names, hidden_layer_sizes=(8,), n_members=1)
    known = {kind.__name__: kind for kind in (GridSearchCV, MLPRegressor, Table, TabularPipeline)}
    for text in (str(model), repr(model), str(GridSearchCV(model, {"mlp__n_bins": [4, 8]}))):
        again = eval(text, dict(known))
        again = getattr(again, "estimator", again)
        assert again["table"].categorical_features == names
        assert again["mlp"].get_params() == model["mlp"].get_params()
    search = repr(GridSearchCV(tabular_pipeline("regressor"), {"mlp__n_bins": [4, 8]}))
    assert len(search.splitlines()) <= 24  # laid out by scikit-learn
    assert max(map(len, search.splitlines())) < 100


def test_it_is_a_pipeline(rows):
    (X, y), _ = rows
    model = tabular_pipeline("regressor", **SETTINGS)
    assert isinstance(model, Pipeline)
    assert isinstance(model[:-1], Pipeline)
    X = X.drop(columns="width")
    around = make_pipeline("passthrough", model).fit(X, y)
    assert_array_equal(around.predict(X), clone(model).fit(X, y).predict(X))


@pytest.mark.parametrize(
    "wrong", [{"X_val": None, "y_val": [1.0]}, {"sample_weight": [-1.0] * 200}], ids=["y_val alone", "negative weights"]
)
def test_a_fit_that_fails_leaves_the_fitted_pipeline_as_it_was(wrong):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"town": rng.choice(list("abc"), 200), "size": rng.normal(size=200)})
    y = X["size"] + (X["town"] == "a")
    model = tabular_pipeline("regressor", epochs=2, random_state=0).fit(X, y)
    before = model.predict(X)
    other = X[["size"]].rename(columns={"size": "width"})
    with pytest.raises((ValueError, TypeError)):
        model.fit(other, y, **wrong)
    assert_array_equal(model.predict(X), before)


def test_a_last_step_that_fails_half_way_is_put_back_too():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"town": rng.choice(list("abc"), 200), "size": rng.normal(size=200)})
    y = X["town"] == "a"
    model = tabular_pipeline(LogisticRegression()).fit(X, y)
    before, steps = model.predict_proba(X), list(model.steps)
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X.assign(town="d" + X["town"]), y, sample_weight=np.ones(5))  # after scikit-learn set n_features_in_
    assert model.steps == steps
    assert_array_equal(model.predict_proba(X), before)


def test_weights_are_an_argument_that_others_find(rng):
    X, w = rng.normal(size=(120, 3)), rng.uniform(0.5, 2.0, size=120)
    y = (X[:, 0] > 0.0).astype(int)
    model = tabular_pipeline("classifier", epochs=3, random_state=0)
    assert has_fit_parameter(model, "sample_weight")
    assert not any(hasattr(model, f"set_{method}_request") for method in ("fit", "partial_fit"))  # steps request
    expected = clone(model).fit(X, y, mlp__sample_weight=w).predict_proba(X)
    np.testing.assert_array_equal(clone(model).fit(X, y, sample_weight=w).predict_proba(X), expected)
    assert np.abs(clone(model).fit(X, y).predict_proba(X) - expected).max() > 1e-3
    calibrated = CalibratedClassifierCV(model, cv=[(np.arange(60), np.arange(60, 120))], ensemble=True)
    inner = calibrated.fit(X, y, sample_weight=w).calibrated_classifiers_[0].estimator
    alone = clone(model).fit(X[:60], y[:60], sample_weight=w[:60])
    np.testing.assert_array_equal(inner.predict_proba(X), alone.predict_proba(X))


def test_an_interval_without_folds_is_refused_with_what_to_write(rng):
    X = rng.normal(size=(60, 2))
    model = tabular_pipeline("regressor", epochs=2, random_state=0).fit(X, X[:, 0])
    with pytest.raises(
        TypeError, match=r"keyword argument 'interval'. Intervals need tabular_pipeline\('regressor', oob_"
    ):
        model.predict(X, interval=0.9)
    folds = tabular_pipeline("regressor", epochs=2, oob_score=True, random_state=0).fit(X, X[:, 0])
    assert folds.predict(X, interval=0.9)[1].shape == (60, 2)


def test_one_argument_by_two_names():
    X = np.random.default_rng(0).normal(size=(100, 2))
    model, w = tabular_pipeline("regressor", epochs=2, random_state=0), np.ones(100)
    for method in (model.fit, model.partial_fit):
        with pytest.raises(TypeError, match="sample_weight and mlp__sample_weight are the same argument"):
            method(X, X[:, 0], sample_weight=w, mlp__sample_weight=w)


def test_a_network_that_is_fitted_already_sees_what_new_steps_make():
    X = np.random.default_rng(0).normal(size=(100, 2))
    network = MLPRegressor((4,), random_state=0).partial_fit(X, X[:, 0])
    with pytest.raises(ValueError, match="X has 18 features, but MLPRegressor is expecting 2"):
        tabular_pipeline(network).partial_fit(X, X[:, 0])


def test_a_scikit_learn_that_does_not_ask_for_the_parameters_of_a_step(monkeypatch):
    X = np.random.default_rng(0).normal(size=(100, 2))
    monkeypatch.delattr(Pipeline, "_get_metadata_for_step")
    with pytest.raises(RuntimeError, match=r"X_val cannot be given .* Install a newer skbackprop or an older scikit"):
        tabular_pipeline("regressor").fit(X, X[:, 0], X_val=X, y_val=X[:, 0])


def test_an_interrupted_fit_leaves_steps_that_belong_together(monkeypatch):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"town": rng.choice(list("abc"), 200), "size": rng.normal(size=200)})
    y = X["size"] + (X["town"] == "a")
    seen = []

    def scorer(model, X_val, y_val):
        seen.append(model.score(X_val, y_val))
        if len(seen) == 5:  # two of the first fit and two of the second
            raise KeyboardInterrupt
        return seen[-1]

    model = tabular_pipeline("regressor", epochs=2, early_stopping=True, scoring=scorer, random_state=0).fit(X, y)
    before, other = model.predict(X), X[["size"]].rename(columns={"size": "width"})
    with monkeypatch.context() as patched:
        patched.setattr(type(model[-1]), "fit", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.fit(other, y)
    assert_array_equal(model.predict(X), before)
    model.set_params(mlp__epochs=4)
    with pytest.raises(KeyboardInterrupt):
        model.fit(other, y)
    assert model[-1].n_iter_ == 2
    assert np.corrcoef(model.predict(other), y)[0, 1] > 0.5


def _interrupted(*args, **kwargs):
    raise KeyboardInterrupt


def test_a_slice_of_the_last_step_fits_and_goes_on():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    last = tabular_pipeline("regressor", random_state=0)[-1:]
    last.fit(X, X[:, 0], X_val=X[:20], y_val=X[:20, 0]).partial_fit(X, X[:, 0])
    assert last.predict(X).shape == (100,)
