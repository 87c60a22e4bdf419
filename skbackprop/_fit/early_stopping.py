"""Early stopping: records each epoch, and decides whether training ends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.state import History, TrainState
from skbackprop._fit.warn import say, warn
from skbackprop._types import Array


class FitCallbacks:
    """Callbacks of a fit and its epochs; this class does nothing."""

    def begin_fit(self, max_epochs: int, sample: ArrayDataset) -> None:
        """Called before training; callbacks get the sample as data."""

    def begin_epoch(self) -> None:
        """Called at the start of an epoch, except with L-BFGS, where `end_epoch` does it."""

    def end_epoch(self, model: Callable[[], FittedModel], history: History) -> bool:
        """Called after an epoch, with its model and curves; True asks training to stop."""
        return False


@dataclass
class Monitor:
    """Judges each epoch by its validation score with early stopping, else by its training loss."""

    state: TrainState
    validate: Callable[[Array], tuple[float, float]] | None = None  # theta -> loss, score
    early_stopping: bool = False
    verbose: int = 0
    callbacks: FitCallbacks = field(default_factory=FitCallbacks)
    model: Callable[[Any], Any] = field(default=lambda theta: theta)  # with these parameters, for callbacks
    scorer: str = ""  # name of the score that `validate` returns; empty: the negative loss
    stopped: bool = False  # did a callback ask to stop?
    started: float = field(default_factory=time.perf_counter)

    def ends_with(self, loss: float, theta: Array, rate: float | None = None) -> bool:
        """Record an epoch; True when patience has run out or a callback asks to stop."""
        state, score = self.state, -loss
        history = state.history
        if self.validate is not None:  # first, so that curves have equal lengths after an interrupt in it
            validation_loss, score = self.validate(theta)
            # calls of partial_fit without a validation set leave a gap
            gap = [np.nan] * (state.epoch - len(history.validation_loss_curve))
            history.validation_loss_curve += [*gap, validation_loss]
            history.validation_scores += [*gap, score]
        history.loss_curve.append(loss)
        history.learning_rates.append(np.nan if rate is None else float(rate))
        state.best.offer(score, state.epoch, theta, keep=self.early_stopping)
        if self.verbose:
            self._print(rate)
        self.stopped = self.callbacks.end_epoch(lambda: self.model(theta), history)
        assert state.patience is not None
        return state.patience.ends_with(score if self.early_stopping else -loss) or self.stopped

    def describe_best(self) -> str:
        """Describe the best epoch by its score or loss."""
        index = self.state.best.epoch - 1
        history = self.state.history
        if self.scorer:
            return f"highest val {self.scorer}, {history.validation_scores[index]:.6f}"
        return f"lowest val loss, {history.validation_loss_curve[index]:.6f}"

    def _print(self, rate: float | None) -> None:
        history = self.state.history
        parts = [f"epoch {self.state.epoch:5d}", f"loss {history.loss_curve[-1]:.6f}"]
        if self.validate is not None:
            parts += [f"val loss {history.validation_loss_curve[-1]:.6f}"]
            parts += [f"val {self.scorer} {history.validation_scores[-1]:.6f}"] if self.scorer else []
        if rate is not None:
            parts += [f"rate {rate:.2e}"]
        say("  ".join([*parts, f"{time.perf_counter() - self.started:8.2f} s"]))


def scorer_name(scoring: Any) -> str:
    """The name of a scorer for messages: that of its function, with scikit-learn's "neg_" for negated ones."""
    if scoring is None or isinstance(scoring, str):
        return scoring or ""
    try:
        text = str(scoring)  # of a scorer made by make_scorer: its function, and whether it is negated
    except AttributeError:  # scikit-learn 1.7 asks a functools.partial for its name
        return "score"
    made = re.match(r"make_scorer\((\w+)", text)
    if made is None:
        return str(getattr(scoring, "__name__", "score"))
    return f"neg_{made[1]}" if "greater_is_better=False" in text else made[1]


def warn_not_converged(max_iter: int, curve: list[float], margin: float, watched: str = "loss") -> None:
    """Warn that training did not converge, and say which parameter to change.

    curve: the curve that patience used; watched: its name, "loss", or with early stopping "validation loss" or
    "validation score", where higher is better.
    """
    sign = 1.0 if watched == "validation score" else -1.0
    gain = sign * (curve[-1] - curve[-2]) if len(curve) > 1 else np.nan
    advice = "Raise max_iter or learning_rate_init, raise tol"
    if np.isnan(gain):
        change = f"left the {watched} at"
    elif gain < 0.0:
        change = f"{'lowered' if sign > 0.0 else 'raised'} the {watched} by {-gain:.3g} to"
        advice = "Lower learning_rate_init, raise max_iter or tol"
    else:
        change = f"still {'raised' if sign > 0.0 else 'lowered'} the {watched} by {gain:.3g} to"
    advice += (
        ", or stop early on purpose with early_stopping=True" if watched == "loss" else ", or lower n_iter_no_change"
    )
    warn(
        f"Training stopped at max_iter={max_iter} epochs before it converged: the last one {change} {curve[-1]:.4g}; "
        f"less than {margin:.3g} counts as no improvement. {advice}.",
        ConvergenceWarning,
    )
