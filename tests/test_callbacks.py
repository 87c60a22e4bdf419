"""scikit-learn's callbacks: what they are told, and that they are obeyed."""

import copy
import pickle

import numpy as np
import pytest
from listeners import Silent
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import DivergenceError, MLPRegressor, MLPSoftmaxClassifier
from skbackprop.ensemble import MLPEnsembleRegressor

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 introduced callbacks")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Listener:
    """Notes what it is told; asks to stop after so many epochs."""

    def __init__(self, stop_after=None):
        self.stop_after, self.notes, self.models = stop_after, [], []

    def setup(self, estimator, context):
        self.notes.append("setup")

    def teardown(self, estimator, context):
        self.notes.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.notes.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.notes.append(f"end {context.task_name}")
        self.models.append((fitted_estimator, X, y, metadata))
        return self.stop_after is not None and self.notes.count("end epoch") >= self.stop_after


class EpochLimit(Silent):
    """Takes no data and no model; asks to stop after so many epochs."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "epoch" and context.task_id + 1 >= self.n_epochs


class PassedOn(EpochLimit):
    """Handed on from a Pipeline to its steps; notes whose fits it hears of."""

    max_propagation_depth, heard = None, []

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "fit":
            self.heard.append(context.estimator_name)


def model(**params):
    schedule = {} if params.get("solver") == "lbfgs" else {"learning_rate": "constant"}
    return MLPSoftmaxClassifier((8,), max_iter=3, tol=0.0, random_state=0, **{**schedule, **params})


def test_the_tasks_of_a_fit_in_their_order(digits):
    listener = Listener()
    model().set_callbacks(listener).fit(digits[0][:200], digits[1][:200])
    epochs = ["begin epoch", "end epoch"] * 3
    assert listener.notes == ["setup", "begin fit", *epochs, "end fit", "teardown"]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_gets_the_model_as_it_is_after_each_epoch(solver, digits):
    X, y = digits[0][:300], digits[1][:300]
    w = np.arange(300) % 3 + 1.0
    listener = Listener()
    fitted = model(solver=solver).set_callbacks(listener).fit(X, y, sample_weight=w)
    for epoch in range(1, 4):
        one, X_seen, y_seen, metadata = listener.models[epoch - 1]
        alone = clone(fitted).set_callbacks().set_params(max_iter=epoch).fit(X, y, sample_weight=w)
        assert_allclose(one.predict_proba(X), alone.predict_proba(X), rtol=1e-9)
    assert_array_equal(X_seen, X)
    assert_array_equal(y_seen, y)
    assert list(metadata) == ["sample_weight"]
    assert_array_equal(metadata["sample_weight"], w)
    assert_array_equal(listener.models[-1][0].coefs_[0], fitted.coefs_[0])


@pytest.mark.parametrize("params", [{}, {"solver": "lbfgs"}])
def test_each_epochs_model_has_the_curves_up_to_it(params, digits):
    X, y = digits[0][:200], digits[1][:200]
    listener = Listener()
    fitted = model(**params).set_callbacks(listener).fit(X, y, X_val=X, y_val=y)
    epochs = [estimator for estimator, *_ in listener.models]
    assert len(epochs) == fitted.n_iter_ + 1 == 4  # and that of the whole fit
    for n, estimator in enumerate(epochs[:-1], 1):
        assert estimator.n_iter_ == n
        for name in ("loss_curve_", "validation_loss_curve_", "validation_scores_"):
            assert getattr(estimator, name) == getattr(fitted, name)[:n]
    fitted.fit(X, y)
    assert listener.models[-2][0].validation_loss_curve_ is None


def test_scoring_monitor_scores_each_epoch_and_partial_fit(digits):
    X, y = digits[0][:300], digits[1][:300]
    monitor = callback.ScoringMonitor(scoring="neg_log_loss")
    fitted = model().set_callbacks(monitor).fit(X, y)
    scores = [row["neg_log_loss"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    expected = [-log_loss(y, model().set_params(max_iter=k).fit(X, y).predict_proba(X)) for k in (1, 2, 3)]
    assert_allclose(scores, expected, rtol=1e-9)
    fitted.partial_fit(X, y)
    last = [row["neg_log_loss"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert_allclose(last, [-log_loss(y, fitted.predict_proba(X))], rtol=1e-9)


@pytest.mark.parametrize("params", [{}, {"solver": "lbfgs"}, {"learning_rate": "adaptive"}, {"warm_start": True}])
def test_a_callback_that_asks_to_stop_is_obeyed(params, digits):
    X, y = digits[0][:200], digits[1][:200]
    stopped = MLPSoftmaxClassifier((8,), max_iter=50, random_state=0, **params).set_callbacks(Listener(2))
    stopped.fit(X, y)
    assert stopped.n_iter_ == 2
    if params.get("warm_start"):
        stopped.set_callbacks(Listener(4)).fit(X, y)
        assert stopped.n_iter_ == 4


def test_a_stop_does_not_end_a_stream(digits):
    X, y = digits[0][:200], digits[1][:200]
    stream = model(early_stopping=True).set_callbacks(Listener(1))
    for _ in range(3):
        stream.partial_fit(X, y, classes=range(10), X_val=X, y_val=y)
    assert stream.n_iter_ == 3


def test_names_of_columns_bring_no_warning(digits):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(digits[0][:200]).add_prefix("pixel ")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    fitted = model().set_callbacks(monitor)
    for _ in range(2):  # the second time the names are known before
        fitted.fit(X, digits[1][:200])
    last = monitor.get_logs().data[-1]["accuracy"]
    assert last == accuracy_score(digits[1][:200], fitted.predict(X))


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_in_a_pipeline_in_a_grid_search(n_jobs, digits):
    X, y = digits[0][:200], digits[1][:200]
    monitor = callback.ScoringMonitor(scoring="accuracy")
    pipeline = make_pipeline(StandardScaler(), model().set_callbacks(monitor))
    search = GridSearchCV(pipeline, {"mlpsoftmaxclassifier__alpha": [0.1, 1.0]}, cv=2, n_jobs=n_jobs).fit(X, y)
    rows = [r for log in monitor.get_logs("all") for r in log.data if r["task_name"] == "epoch"]
    assert len(rows) == (2 * 2 + 1) * 3  # candidates x folds, and the best refitted, three epochs each
    assert search.best_estimator_[-1].n_iter_ == 3


def test_a_progress_bar_is_shown(diabetes, capsys):
    pytest.importorskip("rich")
    MLPRegressor((4,), max_iter=2, random_state=0).set_callbacks(callback.ProgressBar()).fit(*diabetes)
    assert "MLPRegressor" in capsys.readouterr().out


def test_failing_callbacks_and_fits_leave_nothing_behind(digits):
    X, y = digits[0][:200], digits[1][:200]
    fitted = model().fit(X, y)
    before = fitted.predict_proba(X)

    class Failing(Listener):
        def on_fit_task_end(self, estimator, context):
            raise RuntimeError("callback")

    failing = Failing()
    with pytest.raises(RuntimeError, match="callback"):
        fitted.set_callbacks(failing).fit(X, y)
    assert failing.notes[-1] == "teardown"
    assert_array_equal(fitted.predict_proba(X), before)
    assert not {"_callback_fit_ctx", "_skl_callbacks_to_teardown"} & set(vars(fitted))
    listener = Listener()
    diverging = MLPRegressor((8,), "identity", solver="sgd", learning_rate_init=100.0, random_state=0).set_callbacks(
        listener
    )
    with pytest.raises(DivergenceError) as error:
        diverging.fit(X, y)
    assert listener.notes[-1] == "teardown"
    assert not [name for name in vars(error.value.estimator) if "callback" in name]


def test_the_progress_of_lbfgs_and_partial_fit_is_shown(diabetes, capsys):
    pytest.importorskip("rich")
    bar = callback.ProgressBar()
    MLPRegressor((4,), solver="lbfgs", max_iter=2, random_state=0).set_callbacks(bar).fit(*diabetes)
    assert "MLPRegressor - fit" in capsys.readouterr().out
    MLPRegressor((4,), random_state=0).set_callbacks(bar).partial_fit(*diabetes)
    assert "MLPRegressor - partial_fit" in capsys.readouterr().out


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_searchs_progress_bar_reaches_into_it(n_jobs, digits, capsys):
    """It is set on the search, which passes it on to the clones and takes it away again."""
    pytest.importorskip("rich")
    pipeline = make_pipeline(StandardScaler(), model())
    search = GridSearchCV(pipeline, {"mlpsoftmaxclassifier__alpha": [0.1, 1.0]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=2)).fit(digits[0][:200], digits[1][:200])
    # candidates x folds, and the best refitted; long lines end in an ellipsis where a terminal is narrow
    assert capsys.readouterr().out.count("fit-final-estimator | MLP") == 2 * 2 + 1
    assert not [name for name in vars(search.best_estimator_[-1]) if "callback" in name]
    pickle.dumps(search.best_estimator_)


def test_a_stop_is_obeyed_in_a_pipeline_in_a_search(digits):
    X, y = digits[0][:200], digits[1][:200]
    pipeline = make_pipeline(StandardScaler(), model().set_params(max_iter=50).set_callbacks(EpochLimit(2)))
    search = GridSearchCV(pipeline, {"mlpsoftmaxclassifier__alpha": [0.1, 1.0]}, cv=2, return_train_score=True)
    search.fit(X, y)
    assert search.best_estimator_[-1].n_iter_ == 2
    two = make_pipeline(StandardScaler(), model().set_params(max_iter=2))
    alone = GridSearchCV(two, search.param_grid, cv=2, return_train_score=True).fit(X, y)
    assert_array_equal(search.cv_results_["mean_train_score"], alone.cv_results_["mean_train_score"])


def test_the_race_for_weight_decay_is_run_in_silence(digits):
    X, y = digits[0][:300], digits[1][:300]
    listener = Listener()
    fitted = MLPSoftmaxClassifier((8,), max_iter=3, random_state=0).set_callbacks(listener).fit(X, y)
    assert fitted.auto_params_["weight_decay"] in (0.05, 0.5, 2.0)  # there was a selection
    assert listener.notes.count("setup") == listener.notes.count("begin fit") == 1
    assert listener.notes.count("begin epoch") == fitted.n_iter_
    assert {len(X) for _, X, _, _ in listener.models} == {300}  # a selection trains on a part of the rows


def test_models_are_made_for_callbacks_that_take_them_and_are_copies(digits):
    X, y = digits[0][:200], digits[1][:200]

    class Counting(MLPSoftmaxClassifier):
        made = 0

        def _model_attributes(self, model):
            Counting.made += 1
            return super()._model_attributes(model)

    class Vandal(EpochLimit):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            fitted_estimator.coefs_[0][...] = 0.0

    params = model().get_params()
    plain = Counting(**params).set_callbacks(EpochLimit(10)).fit(X, y)
    assert Counting.made == 1  # of the fit itself
    spoilt = Counting(**params).set_callbacks(Vandal(10)).fit(X, y)
    assert Counting.made == 1 + 1 + 3  # and one after each epoch
    assert_array_equal(spoilt.predict_proba(X), plain.predict_proba(X))


def test_the_last_finite_model_in_a_pipeline_has_nothing_of_its_callbacks(digits):
    X, y = digits[0][:200], digits[1][:200]
    diverging = MLPRegressor((8,), "identity", solver="sgd", learning_rate_init=100.0, random_state=0)
    pipeline = make_pipeline(StandardScaler(), diverging).set_callbacks(PassedOn(10))
    with pytest.raises(DivergenceError) as error:
        pipeline.fit(X, y)
    assert PassedOn.heard == ["Pipeline", "StandardScaler", "MLPRegressor"]
    assert not [name for name in vars(error.value.estimator) if "callback" in name]


def test_a_fitted_model_is_copied_without_its_callbacks(digits):
    X, y = digits[0][:100], digits[1][:100]
    listener = Listener()
    listener.cannot_be_pickled = lambda: None
    fitted = model().set_callbacks(listener).fit(X, y)
    for copied in (pickle.loads(pickle.dumps(fitted)), copy.copy(fitted), copy.deepcopy(fitted)):
        assert "_skl_callbacks" not in vars(copied)
        assert_array_equal(copied.predict_proba(X), fitted.predict_proba(X))
    del listener.notes[:]
    fitted.fit(X, y)  # itself it keeps them, as does a clone
    clone(fitted).fit(X, y)
    fitted.partial_fit(X, y)
    assert listener.notes.count("setup") == 3


class Propagated(Listener):
    """Handed on to the networks of an ensemble."""

    max_propagation_depth = None

    def on_fit_task_begin(self, estimator, context):
        self.notes.append(f"{type(estimator).__name__} {context.task_name}")


@pytest.mark.parametrize("params", [{"blend": False, "oob_score": True, "n_folds": 2}, {}])
def test_an_ensemble_hands_callbacks_to_its_networks(params, diabetes):
    X, y = diabetes[0][:240], diabetes[1][:240]
    listener, propagated = Listener(), Propagated()
    monitor = callback.ScoringMonitor(scoring="r2")
    ensemble = MLPEnsembleRegressor(MLPRegressor((8,), max_iter=3), random_state=0, **params)
    expected = clone(ensemble).fit(X, y).predict(X)
    ensemble.set_callbacks(listener, propagated, monitor).fit(X, y)
    assert_array_equal(ensemble.predict(X), expected)
    n = 2 if params else listener.notes.count("begin network")  # of a blend also those that weigh the regimes
    assert n >= len(ensemble.estimators_)
    assert listener.notes == ["setup", "begin fit", *["begin network", "end network"] * n, "end fit", "teardown"]
    assert propagated.notes.count("setup") == propagated.notes.count("teardown") == 1
    fits = [note for note in propagated.notes if note.startswith("MLPRegressor fit")]
    assert len(fits) == n
    assert "MLPRegressor epoch" in propagated.notes
    final, X_seen, y_seen, _ = listener.models[-1]
    assert_array_equal(final.predict(X_seen), ensemble.predict(X))
    assert_array_equal(y_seen, y)
    assert monitor.get_logs().data[-1]["r2"] == ensemble.score(X, y)
    for one in (ensemble, pickle.loads(pickle.dumps(ensemble)), *ensemble.estimators_):
        assert [name for name in vars(one) if "callback" in name] == ["_skl_callbacks"] * (one is ensemble)
    propagated.stop_after = 0  # a network's epoch after which it ends
    assert {network.n_iter_ for network in ensemble.fit(X, y).estimators_} == {1}


def test_the_progress_of_an_ensemble_is_shown(diabetes, capsys):
    pytest.importorskip("rich")
    ensemble = MLPEnsembleRegressor(MLPRegressor((4,), max_iter=2), blend=False, oob_score=True, n_folds=2)
    ensemble.set_callbacks(callback.ProgressBar()).fit(*diabetes)
    assert "MLPEnsembleRegressor - network | MLPRegressor - fit" in capsys.readouterr().out


def test_before_fit_callbacks_go_along_to_worker_processes():
    template = pickle.loads(pickle.dumps(model().set_callbacks(EpochLimit(7))))
    assert [c.n_epochs for c in template._skl_callbacks] == [7]
    assert "_skl_callbacks" not in vars(template.set_callbacks())


def test_a_fit_with_fewer_members_than_the_one_before(rng):
    monitor = pytest.importorskip("sklearn.callback").ScoringMonitor(scoring="r2")
    X = rng.normal(size=(60, 3))
    model = MLPRegressor((4,), n_members=3, input_scale=True, max_iter=2, random_state=0).fit(X, X[:, 0])
    model.set_params(n_members=1, input_scale=False).set_callbacks(monitor).fit(X, X[:, 0])
    assert not hasattr(model, "member_factors_")
    assert model.n_iter_ == 2
