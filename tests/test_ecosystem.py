"""At home in scikit-learn: what its tools make of our estimators is what one would work out by hand."""

import inspect
import os
import pathlib
import re
import subprocess
import sys
from importlib.metadata import metadata

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import AdaBoostClassifier, BaggingRegressor, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFECV
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import HalvingGridSearchCV, StratifiedKFold, cross_val_predict, learning_curve
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from sklearn.utils.fixes import parse_version

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop._documentation import doc_link_template
from skbackprop.inspection import check_gradients
from skbackprop.preprocessing import PiecewiseLinearEncoder

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
FOLDS = StratifiedKFold(3)
SKLEARN = parse_version(sklearn.__version__)


def classifier(**params):
    return MLPSoftmaxClassifier((8,), learning_rate="constant", random_state=0, **{"max_iter": 5, **params})


def regressor(**params):
    return MLPRegressor((8,), learning_rate="constant", random_state=0, **{"max_iter": 5, **params})


@pytest.fixture
def images(digits):
    """A few digits."""
    return digits[0][:240], digits[1][:240]


@pytest.fixture
def two(digits):
    """Fours and nines, each fifth one with the other's label, so that probabilities are not just 0 and 1."""
    X, y = digits[0], digits[1]
    kept = np.flatnonzero((y == 4) | (y == 9))[:200]
    y = np.where(np.arange(200) % 5 == 0, 13 - y[kept], y[kept])
    return X[kept], y


# ------------------------------------------------------------------------------ on the screen ----


def shown(page):
    """The table of parameters in a diagram: name -> (kind, value)."""
    rows = [row.split("</tr>")[0] for row in page.split('<tr class="')[1:]]
    row = r'(user-set|default)">.*class="param">\s*(?:<a[^>]*>)?\s*(\w+).*class="value">(.*?)</td>'
    found = [match.groups() for match in (re.match(row, text, flags=re.DOTALL) for text in rows) if match]
    return {name: (kind, value) for kind, name, value in found}


def test_the_diagram_shows_the_parameters_and_which_were_set(images):
    model = classifier(dropout=0.25)
    with sklearn.config_context(display="diagram"):
        page = model._repr_mimebundle_()["text/html"]
    assert "<span>Not fitted</span>" in page
    page = estimator_html_repr(Pipeline([("scale", StandardScaler()), ("mlp", model)]).fit(*images))
    assert "<span>Fitted</span>" in page
    assert "MLPSoftmaxClassifier" in page
    assert shown(page)["dropout"] == ("user-set", "0.25")
    assert shown(page)["random_state"] == ("user-set", "0")
    assert shown(page)["alpha"] == ("default", "0.0001")
    assert shown(page)["with_mean"] == ("default", "True")
    with sklearn.config_context(display="text"):
        assert list(model._repr_mimebundle_()) == ["text/plain"]


@pytest.mark.parametrize("kind", [MLPSoftmaxClassifier, MLPRegressor, PiecewiseLinearEncoder])
def test_the_diagram_links_to_the_documentation_that_is_declared(kind):
    """Never to scikit-learn's, and to none as long as the package's metadata name none."""
    declared = doc_link_template(metadata("skbackprop").get_all("Project-URL") or ())
    module = kind.__module__.split("._")[0]
    page = declared.format(estimator_module=module, estimator_name=kind.__name__)
    assert kind()._get_doc_link() == page
    links = set(re.findall(r'href="([^"#]+)', estimator_html_repr(kind())))
    assert links == ({page} if page else set())
    assert (
        doc_link_template(["Source, https://a.example", "Documentation, https://b.example/docs/"]).format(
            estimator_module=module, estimator_name=kind.__name__
        )
        == f"https://b.example/docs/generated/{module}.{kind.__name__}.html"
    )  # as autosummary names its pages


# ------------------------------------------------------------------------- copies and settings ----


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_clone_is_new_and_learns_the_same(make, images):
    fitted = make(dropout=[0.1], activation=["tanh"]).fit(*images)
    copied = clone(fitted)
    assert not hasattr(copied, "coefs_")
    assert copied.get_params() == fitted.get_params()
    assert_array_equal(copied.fit(*images).coefs_[0], fitted.coefs_[0])


def test_parameters_are_set_through_nested_pipelines(images):
    X, y = images
    inner = Pipeline([("bins", PiecewiseLinearEncoder()), ("mlp", classifier())])
    outer = Pipeline([("scale", StandardScaler()), ("rest", inner)])
    outer.set_params(rest__mlp__alpha=2.0, rest__mlp__hidden_layer_sizes=(5,), rest__bins__n_bins=3).fit(X, y)
    codes = PiecewiseLinearEncoder(n_bins=3).fit_transform(StandardScaler().fit_transform(X))
    alone = classifier(alpha=2.0).set_params(hidden_layer_sizes=(5,)).fit(codes, y)
    assert_array_equal(outer.predict_proba(X), alone.predict_proba(codes))


# ------------------------------------------------------------------------------- several at once ----


def test_calibration(two):
    X, y = two
    calibrated = CalibratedClassifierCV(classifier(), method="sigmoid", cv=FOLDS).fit(X, y)
    expected = []
    for (train, _), pair in zip(FOLDS.split(X, y), calibrated.calibrated_classifiers_, strict=True):
        model = classifier().fit(X[train], y[train])
        sigmoid = pair.calibrators[0]
        expected.append(expit(-(sigmoid.a_ * model.decision_function(X) + sigmoid.b_)))
    # sums of three, in another order
    assert_allclose(calibrated.predict_proba(X)[:, 1], np.mean(expected, axis=0), rtol=1e-12)


def test_stacking(two):
    X, y = two
    final = LogisticRegression()
    stack = StackingClassifier(
        [("wide", classifier()), ("linear", classifier().set_params(hidden_layer_sizes=()))], final, cv=FOLDS
    ).fit(X, y)
    columns = [
        cross_val_predict(clone(model), X, y, cv=FOLDS, method="predict_proba")[:, 1] for _, model in stack.estimators
    ]
    assert_allclose(stack.final_estimator_.coef_, LogisticRegression().fit(np.transpose(columns), y).coef_, rtol=1e-12)
    fitted = [clone(model).fit(X, y).predict_proba(X)[:, 1] for _, model in stack.estimators]
    assert_array_equal(stack.transform(X), np.transpose(fitted))


def test_voting(images):
    X, y = images
    models = [("one", classifier()), ("other", classifier(activation="tanh"))]
    vote = VotingClassifier(models, voting="soft", weights=[1, 3]).fit(X, y)
    p = [model.fit(X, y).predict_proba(X) for _, model in models]
    assert_allclose(vote.predict_proba(X), (p[0] + 3 * p[1]) / 4, rtol=1e-12)  # sums in another order


def test_boosting_weighs_rows(two):
    """AdaBoost gives the rows that a network got wrong more weight for the next one (SAMME, Hastie et al., 2009)."""
    X, y = two
    boost = AdaBoostClassifier(classifier(), n_estimators=2, random_state=0).fit(X, y)
    first, second = boost.estimators_
    wrong = first.predict(X) != y
    error = wrong.mean()
    assert 0.0 < error < 0.5
    assert boost.estimator_errors_[0] == pytest.approx(error)
    assert boost.estimator_weights_[0] == pytest.approx(np.log((1 - error) / error))
    w = np.where(wrong, (1 - error) / error, 1.0)
    again = clone(second).fit(X, y, sample_weight=w / w.sum())
    # weights that were summed in another order move each of the few steps by rounding
    assert_allclose(again.predict_proba(X), second.predict_proba(X), rtol=1e-9)
    unweighted = clone(second).fit(X, y)
    assert np.abs(unweighted.predict_proba(X) - second.predict_proba(X)).max() > 0.01


def test_bagging(diabetes):
    X, y = diabetes
    bag = BaggingRegressor(regressor(), n_estimators=3, max_features=4, random_state=0).fit(X, y)
    some = [m.predict(X[:, f]) for m, f in zip(bag.estimators_, bag.estimators_features_, strict=True)]
    assert {m.n_features_in_ for m in bag.estimators_} == {4}
    assert len({p[0] for p in some}) == 3  # each has rows and weights of its own
    assert_allclose(bag.predict(X), np.mean(some, axis=0), rtol=1e-12)  # sums in another order


def test_several_targets_of_different_kinds(images):
    X, y = images
    Y = np.column_stack([np.array(["even", "odd"])[y % 2], y.astype(str)])
    models = MultiOutputClassifier(classifier()).fit(X, Y)
    prediction = models.predict(X)
    for j, p in enumerate(models.predict_proba(X)):
        alone = classifier().fit(X, Y[:, j])
        assert_array_equal(p, alone.predict_proba(X))
        assert_array_equal(prediction[:, j], alone.predict(X))


def test_transformed_targets(diabetes):
    X, y = diabetes
    model = TransformedTargetRegressor(regressor(), func=np.log, inverse_func=np.exp).fit(X, y)
    alone = regressor().fit(X, np.log(y))
    assert_array_equal(model.predict(X), np.exp(alone.predict(X)))


# ------------------------------------------------------------------------- selection and searches ----


def input_weights(model):
    """How much of a feature passes the first layer."""
    return np.abs(model.coefs_[0]).sum(axis=1)


@pytest.mark.parametrize("getter", ["input_scale_", input_weights])
def test_features_are_eliminated_by_importance(getter, rng):
    """Networks have no coef_: RFECV is told where the importance of a feature is."""
    X = rng.standard_normal((200, 6))
    y = X[:, 1] - 2.0 * np.abs(X[:, 4])
    model = regressor(max_iter=40, learning_rate_init=0.02, input_scale=getter == "input_scale_")
    selection = RFECV(model, importance_getter=getter, cv=2, min_features_to_select=2).fit(X, y)
    assert selection.support_[[1, 4]].all()
    assert selection.estimator_.n_features_in_ == selection.n_features_
    full = clone(model).fit(X, y)
    importance = getter(full) if callable(getter) else getattr(full, getter)
    assert np.argmax(selection.ranking_) == np.argmin(np.abs(importance))  # the first to go


def test_halving_by_epochs(images):
    X, y = images
    model = classifier(tol=0.0, n_iter_no_change=np.inf)  # else a candidate could end before its epochs do
    grid = {"alpha": [0.1, 1.0, 10.0, 1e6]}
    search = HalvingGridSearchCV(
        model, grid, resource="max_iter", min_resources=2, max_resources=8, factor=2, cv=2, random_state=0
    )
    search.fit(X, y)
    assert search.n_resources_ == [2, 4, 8]
    assert search.n_candidates_ == [4, 2, 1]
    assert search.best_estimator_.n_iter_ == 8
    alone = clone(model).set_params(**{"max_iter": 8, **search.best_params_}).fit(X, y)
    assert_array_equal(search.best_estimator_.coefs_[0], alone.coefs_[0])
    assert search.best_params_["alpha"] != 1e6


def test_halving_by_rows(images):
    X, y = images
    search = HalvingGridSearchCV(
        classifier(max_iter=10), {"alpha": [0.1, 1e6]}, min_resources=100, factor=2, cv=2, random_state=0
    ).fit(X, y)
    assert search.n_resources_ == [100, 200]
    assert search.best_params_ == {"alpha": 0.1}
    assert_array_equal(search.predict(X), classifier(max_iter=10, alpha=0.1).fit(X, y).predict(X))


def test_probabilities_of_rows_left_out(images):
    X, y = images
    p = cross_val_predict(classifier(), X, y, cv=FOLDS, method="predict_proba")
    for train, test in FOLDS.split(X, y):
        assert_array_equal(p[test], classifier().fit(X[train], y[train]).predict_proba(X[test]))


def test_learning_curves(images):
    X, y = images
    sizes, train_scores, test_scores = learning_curve(classifier(), X, y, train_sizes=[60, 120], cv=FOLDS)
    assert_array_equal(sizes, [60, 120])
    for k, (train, test) in enumerate(FOLDS.split(X, y)):
        for i, n in enumerate(sizes):
            model = classifier().fit(X[train[:n]], y[train[:n]])
            assert train_scores[i, k] == accuracy_score(y[train[:n]], model.predict(X[train[:n]]))
            assert test_scores[i, k] == accuracy_score(y[test], model.predict(X[test]))


# ------------------------------------------------------------------------------------- DataFrames ----


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_are_taken_as_they_are(library, images):
    frames = pytest.importorskip(library)
    X, y = images[0][:, :20], np.array([f"digit {k}" for k in images[1]])
    names = [f"pixel {j}" for j in range(20)]
    frame, labels = frames.DataFrame(dict(zip(names, X.T, strict=True))), frames.Series(y)
    fitted, alone = classifier().fit(frame, labels), classifier().fit(X, y)
    # before 1.9 scikit-learn read names by an interchange protocol, which polars has given up
    has_names = parse_version("1.9") <= SKLEARN or hasattr(frame, "__dataframe__")
    assert list(getattr(fitted, "feature_names_in_", [])) == (names if has_names else [])
    assert fitted.classes_.tolist() == alone.classes_.tolist()
    assert_array_equal(fitted.predict(frame), alone.predict(X))
    assert_array_equal(fitted.predict_proba(frame), alone.predict_proba(X))
    assert fitted.score(frame, labels) == alone.score(X, y)
    target = regressor().fit(frame, frames.Series(images[1]))
    assert_array_equal(target.predict(frame), regressor().fit(X, images[1]).predict(X))
    if has_names:
        with pytest.raises(ValueError, match="feature names should match"):
            fitted.predict(frame[names[::-1]])


def test_callbacks_exist_where_scikit_learn_has_them():
    assert hasattr(MLPRegressor, "set_callbacks") == (parse_version("1.9") <= SKLEARN)


def without_types(function):
    """The parameters, and the return value, whose type a signature leaves open."""
    signature = inspect.signature(function)
    untyped = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name != "self"]
    return untyped + ["return"] * (signature.return_annotation is signature.empty)


def test_every_public_signature_is_typed():
    """For readers and editors; mypy checks that the types are true."""
    functions = {"tabular_pipeline": tabular_pipeline, "check_gradients": check_gradients}
    for kind in (MLPSoftmaxClassifier, MLPRegressor, PiecewiseLinearEncoder):
        for owner in kind.__mro__:
            if owner.__module__.startswith("skbackprop"):
                public = [name for name in vars(owner) if name == "__init__" or not name.startswith("_")]
                functions |= {f"{kind.__name__}.{name}": getattr(kind, name) for name in public}
    untyped = {name: without_types(f) for name, f in functions.items() if callable(f)}
    assert {"MLPRegressor.fit", "MLPRegressor.partial_fit", "MLPSoftmaxClassifier.__init__"} <= set(untyped)
    assert {name: missing for name, missing in untyped.items() if missing} == {}


@pytest.mark.slow
def test_the_example_of_a_whole_workflow():
    """The threshold that is tuned costs far less than the likelier class, and the exported graph decides the same."""
    for package in ("matplotlib", "pandas"):
        pytest.importorskip(package)
    script = pathlib.Path(__file__).parents[1] / "examples" / "applications" / "plot_whole_workflow.py"
    run = subprocess.run(
        [sys.executable, "-P", "-W", "error", script],
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONWARNINGS": ""},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    likelier, tuned = (float(cost) for cost in re.findall(r"costs ([0-9.]+) per customer", run.stdout))
    assert tuned < 0.6 * likelier
    assert float(re.search(r"network: ROC AUC ([0-9.]+)", run.stdout)[1]) > 0.88
    assert "ONNX Runtime decides the same: False" not in run.stdout
