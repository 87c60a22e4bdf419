"""LossCurveDisplay: plots of losses, scores and learning rates with matplotlib (the extra "plot")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skbackprop import _drawing as drawing
from skbackprop._drawing import Curves, Style
from skbackprop._estimator import BaseMLP

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LossCurveDisplay"]

INITIALS = ("roc", "auc", "r2", "ovo", "ovr")  # words of scorers' names


@dataclass(kw_only=True, eq=False, repr=False)
class LossCurveDisplay:
    """Plot of the losses, validation scores and learning rates per epoch, for one or several estimators.

    Create it with `from_estimator`. All parameters are stored as attributes. scikit-learn's user guide on
    visualizations explains display objects. It needs matplotlib: ``pip install 'skbackprop[plot]'``.

    Parameters
    ----------
    loss_curve : list of array-like of shape (n_epochs,)
        Training losses: the `loss_curve_` of each estimator. All lists have one entry per estimator.
    validation_loss_curve : list of (array-like or None), default=None
        Validation losses.
    validation_scores : list of (array-like or None), default=None
        Validation scores, drawn in a separate panel.
    learning_rate_curve : list of (array-like or None), default=None
        Learning rates, drawn in a separate panel if `plot` is called with ``learning_rate=True``.
    best_iter : list of (int or None), default=None
        Number of the best epoch, counted from 1.
    name : list of str, default=None
        Names of the estimators in the legend. A single one needs no name.
    loss_name, score_name, epoch_name : str, default='Loss', 'Score', 'Epoch'
        Labels of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the losses.
    score_ax_, learning_rate_ax_ : matplotlib Axes or None
        Panels below it, with the scores and the learning rates.
    figure_ : matplotlib Figure
        Figure that contains the axes.
    lines_ : list of matplotlib Line2D
        Lines of the training losses, one per estimator.
    validation_lines_, score_lines_, learning_rate_lines_ : list of matplotlib Line2D or None
        Lines of the other curves. None for estimators without them.
    best_ : list of matplotlib Line2D
        Markers of the best epochs, on the validation losses and scores if there are any, else on the training losses.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Scores by the number of training rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skbackprop import MLPSoftmaxClassifier
    >>> from skbackprop.display import LossCurveDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPSoftmaxClassifier(early_stopping=True, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(model)
    >>> display.ax_.get_ylabel()
    'Cross entropy loss'
    >>> display.figure_.savefig("loss.pdf")  # doctest: +SKIP
    """

    loss_curve: Curves
    validation_loss_curve: Curves | None = None
    validation_scores: Curves | None = None
    learning_rate_curve: Curves | None = None
    best_iter: list[int | None] | None = None
    name: list[str] | None = None
    loss_name: str = "Loss"
    score_name: str = "Score"
    epoch_name: str = "Epoch"

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator | Sequence[BaseEstimator] | Mapping[str, BaseEstimator],
        *,
        name: str | list[str] | None = None,
        ax: Axes | None = None,
        learning_rate: bool = False,
        curve_kwargs: Style | list[Style] | None = None,
        legend_kwargs: Style | None = None,
    ) -> Self:
        """Plot the training of one or several fitted estimators.

        Validation scores are drawn only if `scoring` was set; otherwise they are the negative losses.

        Parameters
        ----------
        estimator : estimator, list of estimators or dict of str to estimator
            Fitted :class:`~skbackprop.MLPSoftmaxClassifier` or :class:`~skbackprop.MLPRegressor`, or a Pipeline that
            ends in one, a search over one, or a TransformedTargetRegressor of one.
        name : str or list of str, default=None
            Names in the legend. By default the keys of the dict, or the class names.
        ax, learning_rate, curve_kwargs, legend_kwargs : optional
            See `plot`.

        Returns
        -------
        display : LossCurveDisplay
            The display, already drawn.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        NotFittedError
            If an estimator is not fitted.
        TypeError
            If an estimator is not of this package.
        """
        drawing.import_pyplot(f"{cls.__name__}.from_estimator")
        if isinstance(estimator, Mapping):
            name = list(estimator) if name is None else name
            estimator = list(estimator.values())
        models = [_unwrap(one) for one in (estimator if isinstance(estimator, (list, tuple)) else [estimator])]
        if name is None and len(models) > 1:
            name = [f"{type(model).__name__} {i}" for i, model in enumerate(models, start=1)]
        display = cls(
            loss_curve=[model.loss_curve_ for model in models],
            validation_loss_curve=[model.validation_loss_curve_ for model in models],
            validation_scores=[_scores(model) for model in models],
            learning_rate_curve=[model.learning_rate_curve_ for model in models],
            best_iter=[model.best_iter_ for model in models],
            name=[name] if isinstance(name, str) else name,
            loss_name=_common([f"{_words(model.loss)} loss" for model in models], "Loss"),
            score_name=_common([_score_name(model.scoring) for model in models if _scores(model) is not None], "Score"),
            epoch_name=_common(["Iteration" if m.solver == "lbfgs" else "Epoch" for m in models], "Epoch"),
        )
        return display.plot(ax, learning_rate=learning_rate, curve_kwargs=curve_kwargs, legend_kwargs=legend_kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | list[str] | None = None,
        learning_rate: bool = False,
        curve_kwargs: Style | list[Style] | None = None,
        legend_kwargs: Style | None = None,
    ) -> Self:
        """Draw the curves.

        Scores and learning rates are in panels below the losses, inside the area of `ax`. The loss axis is logarithmic
        if the losses are positive and span more than a factor of 30; ``display.ax_.set_yscale("linear")`` changes this.
        The legend is above the axes. Set a title with ``display.figure_.suptitle``.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. None makes a new figure.
        name : str or list of str, default=None
            Names of the estimators in the legend. By default the `name` of the display.
        learning_rate : bool, default=False
            Whether to draw the learning rates too.
        curve_kwargs : dict or list of dict, default=None
            Keyword arguments for matplotlib's ``plot``: one dict for all lines, or one per estimator.
        legend_kwargs : dict, default=None
            Keyword arguments for matplotlib's ``legend``. They replace the defaults.

        Returns
        -------
        display : LossCurveDisplay
            The display itself.
        """
        plt = drawing.import_pyplot(f"{type(self).__name__}.plot")
        n = len(self.loss_curve)
        if n == 0:
            raise ValueError("There is no estimator to draw.")
        name = self.name if name is None else [name] if isinstance(name, str) else name
        kwargs = curve_kwargs if isinstance(curve_kwargs, list) else [curve_kwargs] * n
        for key, value in (vars(self) | {"name": name, "curve_kwargs": kwargs}).items():
            if isinstance(value, list) and not key.endswith("_") and len(value) != n:
                raise ValueError(f"{key} must have an entry for each of the {n} estimators, but it has {len(value)}.")
        rates = self.learning_rate_curve if learning_rate else None
        labels = [("score", self.score_name)] if drawing.exist(self.validation_scores) else []
        labels += [("learning rate", "Learning rate")] if drawing.exist(rates) else []
        if ax is None:
            width, height = plt.rcParams["figure.figsize"]
            _, ax = plt.subplots(figsize=(width, height * (1.0 + drawing.PANEL * len(labels))), layout="constrained")
        panels = dict(zip([key for key, _ in labels], drawing.divide(ax, [text for _, text in labels]), strict=True))
        self.ax_, self.figure_ = ax, ax.figure
        self.score_ax_, self.learning_rate_ax_ = panels.get("score"), panels.get("learning rate")

        colors = [drawing.next_color(ax) for _ in range(n)]
        watched = [drawing.next_color(ax)] if n == 1 and drawing.exist(self.validation_loss_curve) else colors
        self.lines_ = drawing.draw(ax, "training", self.loss_curve, colors, kwargs)
        self.validation_lines_ = drawing.draw(ax, "validation", self.validation_loss_curve, watched, kwargs)
        self.score_lines_ = drawing.draw(self.score_ax_, "validation", self.validation_scores, watched, kwargs)
        self.learning_rate_lines_ = drawing.draw(self.learning_rate_ax_, "training", rates, colors, kwargs)
        self.best_ = drawing.mark_best(
            self.best_iter or [None] * n, self.lines_, self.validation_lines_, self.score_lines_
        )
        ax.set_ylabel(self.loss_name)
        [ax, *panels.values()][-1].set_xlabel(self.epoch_name)
        drawing.choose_scales(ax, [*self.lines_, *self.validation_lines_], self.learning_rate_ax_)
        self.figure_.align_ylabels([ax, *panels.values()])
        drawing.add_legend(ax, name, self.lines_, self.validation_lines_, self.best_, legend_kwargs or {})
        return self


def _unwrap(estimator: BaseEstimator) -> BaseMLP:
    """Find the fitted network in a Pipeline, a search or a TransformedTargetRegressor."""
    while not isinstance(estimator, BaseMLP):
        if hasattr(estimator, "steps"):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "regressor_"):
            estimator = estimator.regressor_
        else:
            raise TypeError(
                "LossCurveDisplay draws a fitted MLPSoftmaxClassifier or MLPRegressor, or a Pipeline that ends in one; "
                f"got {estimator!r}."
            )
    check_is_fitted(estimator)
    return estimator


def _scores(model: BaseMLP) -> list[float] | None:
    """Validation scores, unless they equal the losses up to rounding, since scorers compute in float64."""
    scores, losses = model.validation_scores_, model.validation_loss_curve_
    if scores is None or losses is None:
        return scores
    same = np.allclose(scores, np.negative(losses), rtol=1e-5, atol=1e-6, equal_nan=True)
    return None if same else scores


def _words(name: str) -> str:
    """Label made of a name such as "neg_log_loss"."""
    words = " ".join(word.upper() if word in INITIALS else word for word in name.split("_"))
    return words[:1].upper() + words[1:]


def _score_name(scoring: str | Callable[..., float] | None) -> str:
    """Label of a scorer, as in scikit-learn's displays."""
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    return _words("negative_" + name.removeprefix("neg_") if name.startswith("neg_") else name)


def _common(names: list[str], otherwise: str) -> str:
    """The common name, or another if names differ."""
    return names[0] if len(set(names)) == 1 else otherwise
