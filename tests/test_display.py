"""LossCurveDisplay: what it draws is what the estimators recorded, in the place where it belongs."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop.display import LossCurveDisplay

plt = pytest.importorskip("matplotlib.pyplot", reason="displays need the extra 'plot'")
plt.switch_backend("Agg")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def classifier(digits, **params):
    X, y = digits[0][:400], digits[1][:400]
    params = {"learning_rate": "cosine", "max_iter": 6, "random_state": 0} | params
    return MLPSoftmaxClassifier((16,), **params).fit(X, y)


@pytest.fixture(scope="module")
def scored(digits):
    return classifier(digits, early_stopping=True, scoring="neg_brier_score", label_smoothing=0.1)


def texts(display):
    return [text.get_text() for text in display.ax_.get_legend().texts if text.get_text()]


def test_one_estimator_with_everything(scored):
    display = LossCurveDisplay.from_estimator(scored, learning_rate=True)
    curves = {
        display.lines_[0]: (display.ax_, scored.loss_curve_),
        display.validation_lines_[0]: (display.ax_, scored.validation_loss_curve_),
        display.score_lines_[0]: (display.score_ax_, scored.validation_scores_),
        display.learning_rate_lines_[0]: (display.learning_rate_ax_, scored.learning_rate_curve_),
    }
    assert len({axes for axes, _ in curves.values()}) == 3
    for line, (axes, curve) in curves.items():
        assert line.axes is axes
        assert_array_equal(line.get_xdata(), np.arange(1, 7))
        assert_array_equal(line.get_ydata(), curve)
    best = scored.best_iter_
    marks = [(mark.axes, *mark.get_xydata()[0]) for mark in display.best_]
    assert marks == [
        (display.ax_, best, scored.validation_loss_curve_[best - 1]),
        (display.score_ax_, best, scored.validation_scores_[best - 1]),
    ]
    assert texts(display) == ["training", "validation", "best epoch"]
    assert display.ax_.get_ylabel() == "Cross entropy loss"
    assert display.score_ax_.get_ylabel() == "Negative\nbrier score"
    assert display.learning_rate_ax_.get_xlabel() == "Epoch"
    assert display.figure_ is display.ax_.figure


def test_without_validation_the_best_epoch_is_that_of_the_training_loss(digits):
    model = classifier(digits)
    display = LossCurveDisplay.from_estimator(model)
    assert display.score_ax_ is display.learning_rate_ax_ is None
    assert display.validation_lines_ == display.score_lines_ == display.learning_rate_lines_ == [None]
    assert display.figure_.axes == [display.ax_]
    assert_array_equal(display.best_[0].get_xydata(), [[model.best_iter_, model.best_loss_]])
    assert texts(display) == ["training", "best epoch"]


@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
def test_scores_that_are_the_negative_losses_are_not_drawn_again(scoring, digits):
    display = LossCurveDisplay.from_estimator(classifier(digits, early_stopping=True, scoring=scoring))
    assert display.score_ax_ is None
    assert display.validation_lines_[0] is not None


def test_scores_have_the_names_that_people_say(digits):
    model = classifier(digits, early_stopping=True, scoring="roc_auc_ovr")
    assert LossCurveDisplay.from_estimator(model).score_ax_.get_ylabel() == "ROC AUC OVR"


def test_several_estimators_have_a_colour_each_and_names(digits, diabetes, scored):
    models = {"plain": classifier(digits, max_iter=3), "scored": scored}
    display = LossCurveDisplay.from_estimator(models, learning_rate=True)
    assert texts(display) == ["plain", "training", "scored", "validation", "best epoch"]  # column by column
    assert [len(line.get_xdata()) for line in display.lines_] == [3, 6]
    assert display.validation_lines_[0] is display.score_lines_[0] is None
    colors = [{lines[i].get_color() for lines in (display.lines_, display.learning_rate_lines_)} for i in (0, 1)]
    assert len(colors[0]) == len(colors[1]) == 1
    assert colors[0] != colors[1]
    assert {display.validation_lines_[1].get_color(), display.score_lines_[1].get_color()} == colors[1]
    assert {line.get_linestyle() for line in display.lines_} == {"-"}
    assert display.validation_lines_[1].get_linestyle() == "--"
    regressor = MLPRegressor((5,), learning_rate="cosine", max_iter=2, random_state=0).fit(*diabetes)
    display = LossCurveDisplay.from_estimator([scored, regressor])
    assert display.ax_.get_ylabel() == "Loss"
    assert texts(display)[::2] == ["MLPSoftmaxClassifier 1", "MLPRegressor 2", "best epoch"]
    assert texts(LossCurveDisplay.from_estimator([scored, regressor], name=["a", "b"]))[:3:2] == ["a", "b"]


def test_what_stands_around_the_network_is_looked_through(digits, diabetes):
    X, y = digits[0][:200], digits[1][:200]
    pipeline = make_pipeline(
        StandardScaler(), MLPSoftmaxClassifier((5,), learning_rate="cosine", max_iter=2, random_state=0)
    )
    search = GridSearchCV(pipeline, {"mlpsoftmaxclassifier__alpha": [0.1]}, cv=2).fit(X, y)
    target = TransformedTargetRegressor(MLPRegressor((5,), learning_rate="cosine", max_iter=2, random_state=0)).fit(
        *diabetes
    )
    display = LossCurveDisplay.from_estimator([search, search.best_estimator_, target])
    inside = [search.best_estimator_[-1], search.best_estimator_[-1], target.regressor_]
    for line, model in zip(display.lines_, inside, strict=True):
        assert_array_equal(line.get_ydata(), model.loss_curve_)


@pytest.mark.parametrize("n", [1, 3])
def test_nothing_is_cut_off_or_hidden(n, scored):
    display = LossCurveDisplay.from_estimator({f"model {i}": scored for i in range(n)}, learning_rate=True)
    display.figure_.canvas.draw()
    figure, legend = display.figure_.bbox, display.ax_.get_legend().get_window_extent()
    top, middle, bottom = [
        axes.get_window_extent() for axes in (display.ax_, display.score_ax_, display.learning_rate_ax_)
    ]
    assert legend.ymin >= top.ymax
    assert top.ymin > middle.ymax
    assert middle.ymin > bottom.ymax
    assert top.height > 2 * middle.height
    for box in (legend, display.figure_.get_tightbbox().transformed(display.figure_.dpi_scale_trans)):
        assert figure.xmin <= box.xmin
        assert box.xmax <= figure.xmax
        assert figure.ymin <= box.ymin
        assert box.ymax <= figure.ymax


def test_on_axes_of_ones_own(scored, digits):
    figure, (left, right) = plt.subplots(1, 2)
    place = left.get_position()
    display = LossCurveDisplay.from_estimator(scored, ax=left, name="first")
    assert display.ax_ is left
    assert display.figure_ is figure
    assert_allclose(display.score_ax_.get_position().ymin, place.ymin)  # it is divided, not left
    assert_allclose(display.ax_.get_position().ymax, place.ymax)
    LossCurveDisplay.from_estimator(classifier(digits), ax=right, name="a")
    again = LossCurveDisplay.from_estimator(classifier(digits, alpha=1.0), ax=right, name="b")
    assert texts(again) == ["a, training", "b, training", "best epoch"]
    assert len({line.get_color() for line in right.lines}) == 2
    with pytest.raises(ValueError, match="created by subplots"):
        LossCurveDisplay.from_estimator(scored, ax=figure.add_axes((0, 0, 1, 1)))


def test_the_users_wishes_come_last(scored):
    display = LossCurveDisplay.from_estimator(
        scored, curve_kwargs={"lw": 3.0, "c": "black"}, legend_kwargs={"title": "digits"}
    )
    for line in (display.lines_[0], display.validation_lines_[0]):
        assert (line.get_linewidth(), line.get_color()) == (3.0, "black")
    assert display.ax_.get_legend().get_title().get_text() == "digits"
    display = LossCurveDisplay.from_estimator([scored, scored], name=["a", "b"], legend_kwargs={"ncols": 2})
    assert texts(display) == ["a", "training", "best epoch", "b", "validation"]  # still row by row
    display = LossCurveDisplay.from_estimator([scored, scored], curve_kwargs=[{"alpha": 0.5}, None])
    assert [line.get_alpha() for line in display.lines_] == [0.5, None]


def test_the_axis_of_losses_is_logarithmic_where_that_shows_more():
    for curve, scale in (([1.0, 0.01], "log"), ([1.0, 0.1], "linear"), ([1.0, -0.01], "linear")):
        assert LossCurveDisplay(loss_curve=[curve]).plot().ax_.get_yscale() == scale


def test_one_epoch_is_a_point():
    display = LossCurveDisplay(loss_curve=[[1.0], [1.0, 0.5]], name=["a", "b"]).plot()
    assert [line.get_marker() for line in display.lines_] == [".", "None"]


def test_lbfgs_iterates_without_a_rate(digits):
    model = MLPSoftmaxClassifier((5,), solver="lbfgs", max_iter=4, random_state=0).fit(digits[0][:100], digits[1][:100])
    display = LossCurveDisplay.from_estimator(model, learning_rate=True)
    assert display.ax_.get_xlabel() == "Iteration"
    assert display.learning_rate_ax_ is model.learning_rate_curve_ is None


# -------------------------------------------------------------------- what the estimators record ----


def test_the_recorded_rate_is_that_of_an_epochs_last_step(digits):
    model = classifier(digits, batch_size=100, learning_rate_init=0.01)
    last_steps = 4 * np.arange(1, 7) - 1
    assert_allclose(model.learning_rate_curve_, 0.005 * (1 + np.cos(np.pi * last_steps / 24)), rtol=1e-12)


def test_the_recorded_rate_falls_at_plateaus(digits):
    model = classifier(digits, learning_rate="adaptive", tol=1e9, n_iter_no_change=2, learning_rate_init=0.01)
    assert_allclose(model.learning_rate_curve_, np.repeat([0.01, 0.002, 0.0004], [3, 2, 1]), rtol=1e-12)


def test_validation_curves_keep_step_with_the_epochs_of_partial_fit(digits):
    X, y = digits[0][:200], digits[1][:200]
    model = MLPSoftmaxClassifier((5,), random_state=0)
    for validated in (False, True, False, True, False):
        model.partial_fit(X, y, classes=np.arange(10), **({"X_val": X, "y_val": y} if validated else {}))
    for curve in (model.validation_loss_curve_, model.validation_scores_):
        assert_array_equal(np.isfinite(curve), [False, True, False, True])
    assert len(model.loss_curve_) == len(model.learning_rate_curve_) == 5
    display = LossCurveDisplay.from_estimator(model)
    assert display.score_ax_ is None  # gaps and all, they are the negative losses
    assert_array_equal(display.validation_lines_[0].get_ydata(), model.validation_loss_curve_)


# ------------------------------------------------------------------------------------------ errors ----


def test_without_matplotlib_the_error_names_the_extra(scored, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"pip install 'skbackprop\[plot\]'"):
        LossCurveDisplay.from_estimator(scored)
    with pytest.raises(ImportError, match=r"LossCurveDisplay.plot needs matplotlib"):
        LossCurveDisplay(loss_curve=[[1.0]]).plot()


def test_errors(scored):
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(make_pipeline(StandardScaler(), MLPRegressor()))
    with pytest.raises(TypeError, match="DecisionTreeClassifier"):
        LossCurveDisplay.from_estimator([scored, DecisionTreeClassifier()])
    with pytest.raises(ValueError, match="no estimator"):
        LossCurveDisplay.from_estimator({})
    for wrong in ({"name": ["a", "b"]}, {"curve_kwargs": []}):
        with pytest.raises(ValueError, match=r"an entry for each of the 1 estimators, but it has [02]"):
            LossCurveDisplay.from_estimator(scored, **wrong)
