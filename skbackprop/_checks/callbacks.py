"""scikit-learn's callbacks (`sklearn.callback`, experimental, since 1.9)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.base import BaseEstimator

from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.early_stopping import FitCallbacks
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.state import History
from skbackprop._types import Attributes

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # an older scikit-learn without callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""


# attributes of scikit-learn for callbacks: those set, and during a fit its context and that of an outer fit
CALLBACKS = ("_skl_callbacks", "_callback_fit_ctx", "_skl_callbacks_to_teardown", "_parent_callback_ctx")


def curves_of(history: History) -> Attributes:
    """Fitted attributes with an entry per epoch."""
    return {
        "loss_curve_": history.loss_curve,
        "validation_loss_curve_": history.validation_loss_curve or None,
        "validation_scores_": history.validation_scores or None,
        "n_iter_": len(history.loss_curve),
    }


class EstimatorCallbacks(FitCallbacks):
    """Calls the estimator's callbacks at the start and end of the fit and of each epoch; does nothing without any.

    attributes: function from a model to fitted attributes, from which callbacks get the estimator at that moment.
    """

    def __init__(self, estimator: BaseEstimator, task: str, attributes: Callable[[FittedModel], Attributes]):
        self._estimator, self._task, self._attributes = estimator, task, attributes
        self._fit: Any = None
        self._epoch: Any = None

    @property
    def are_set(self) -> bool:
        """Tell whether the estimator has callbacks."""
        return bool(getattr(self._estimator, "_skl_callbacks", None))

    def begin_fit(self, max_epochs: int, sample: ArrayDataset) -> None:
        """Call before training; callbacks get the sample as data."""
        if not self.are_set:
            return
        put = sample.device.put
        metadata = {} if sample.weights is None else {"sample_weight": put(sample.weights)}
        self._about = {"estimator": self._estimator, "X": sample.X, "y": put(sample.y), "metadata": metadata}
        self._fit = self._estimator._init_callback_context(task_name=self._task, max_subtasks=max_epochs)
        self._fit.call_on_fit_task_begin(**self._about)

    def begin_epoch(self) -> None:
        """Call at the start of an epoch, except with L-BFGS, where `end_epoch` does it."""
        if self._fit is not None:
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._about)

    def end_epoch(self, model: Callable[[], FittedModel], history: History) -> bool:
        """Call at the end of an epoch; True if a callback asks to stop."""
        if self._fit is None:
            return False
        if self._epoch is None:
            self.begin_epoch()
        epoch, self._epoch = self._epoch, None
        return self._end(epoch, lambda: self._attributes(model()) | curves_of(copy.deepcopy(history)))

    def end_fit(self, attributes: Callable[[], Attributes]) -> None:
        """Call when the new attributes are ready, with a function that returns a copy of them."""
        if self._fit is not None:
            self._end(self._fit, attributes)

    def _end(self, task: Any, attributes: Callable[[], Attributes]) -> bool:
        nameless = {"feature_names_in_": None}  # callbacks get rows without names
        stops = task.call_on_fit_task_end(**self._about, reconstruction_attributes=lambda: attributes() | nameless)
        return bool(stops)


class MetaCallbacks:
    """Calls an estimator's callbacks for its fit and for that of each part, and passes them to the parts if asked."""

    def __init__(self, estimator: BaseEstimator, X: Any, y: Any, weights: Any = None, task: str = "fit"):
        metadata = {} if weights is None else {"sample_weight": weights}
        self._about = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._fit: Any = None
        if getattr(estimator, "_skl_callbacks", None):  # the number of networks of a blend is not known yet
            self._fit = estimator._init_callback_context(task_name=task, max_subtasks=None)
            self._fit.call_on_fit_task_begin(**self._about)

    @contextmanager
    def training(self, part: BaseEstimator, task: str = "network") -> Iterator[None]:
        """Train a part inside."""
        if self._fit is None:
            yield
            return
        context = self._fit.subcontext(task_name=task)
        with context.propagate_callback_context(part):
            context.call_on_fit_task_begin(**self._about)
            yield
            context.call_on_fit_task_end(**self._about)

    def end(self, attributes: Attributes | None = None) -> None:
        """Call when the estimator is fitted."""
        if self._fit is not None:
            self._fit.call_on_fit_task_end(**self._about, reconstruction_attributes=attributes)
