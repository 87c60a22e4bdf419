"""Stopping: what is recorded after an epoch, when patience ends, and which weights are the best."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from skbackprop._fit.warn import say


@dataclass
class History:
    """One entry per epoch; losses are weighted means of the data term, without the penalty."""

    loss_curve: list[float] = field(default_factory=list)
    validation_loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)  # of the last steps; L-BFGS has nan

    def copy(self) -> History:
        """Copy the lists, so that a failing call leaves the old ones alone."""
        return History(*(list(curve) for curve in vars(self).values()))


@dataclass
class Patience:
    """Counts epochs without improvement by more than `margin`."""

    n_iter_no_change: float
    margin: float
    best: float = -np.inf
    waited: int = 0

    def ends_with(self, score: float) -> bool:
        """Take an epoch's score, higher is better; True when patience has run out."""
        if score > self.best + self.margin:
            self.best, self.waited = score, 0
        else:
            self.waited += 1
        return self.waited >= self.n_iter_no_change


@dataclass
class Best:
    """The best epoch so far; of equal ones the latest. The parameters are a copy."""

    score: float = -np.inf
    epoch: int = 0
    theta: Any = None

    def offer(self, score: float, epoch: int, theta: Any, keep: bool) -> None:
        """Remember this epoch if none was better, its parameters too if they will be restored."""
        if score >= self.score:
            self.score, self.epoch = score, epoch
            self.theta = copy.deepcopy(theta) if keep else None


@dataclass
class Monitor:
    """Judges each epoch: by its validation score when stopping early, else by its training loss."""

    history: History
    patience: Patience
    best: Best
    validate: Callable[[Any], tuple[float, float]] | None = None  # theta -> loss, score
    early_stopping: bool = False
    verbose: int = 0
    epochs: Any = None  # Epochs, who tell the callbacks
    fitted: Callable[[Any], dict] | None = None  # theta -> attributes of the model with these parameters
    stopped: bool = False  # did a callback ask to stop?
    started: float = field(default_factory=time.perf_counter)

    def ends_with(self, loss: float, theta: Any, rate: float | None = None) -> bool:
        """Record an epoch; True when patience has run out or a callback asks to stop."""
        history, score = self.history, -loss
        if self.validate is not None:  # first, for an interrupt in it must leave the curves of equal length
            validation_loss, score = self.validate(theta)
            # calls of partial_fit without a validation set leave a gap
            gap = [np.nan] * (len(history.loss_curve) - len(history.validation_loss_curve))
            history.validation_loss_curve += [*gap, validation_loss]
            history.validation_scores += [*gap, score]
        history.loss_curve.append(loss)
        history.learning_rates.append(np.nan if rate is None else float(rate))
        epoch = len(history.loss_curve)
        self.best.offer(score, epoch, theta, keep=self.early_stopping)
        if self.verbose:
            self._print(epoch, rate)
        if self.epochs is not None and self.fitted is not None:
            self.stopped = self.epochs.end_epoch(partial(self.fitted, theta))
        return self.patience.ends_with(score if self.early_stopping else -loss) or self.stopped

    def _print(self, epoch: int, rate: float | None) -> None:
        parts = [f"epoch {epoch:5d}", f"loss {self.history.loss_curve[-1]:.6f}"]
        if self.validate is not None:
            parts += [f"val loss {self.history.validation_loss_curve[-1]:.6f}"]
            parts += [f"val score {self.history.validation_scores[-1]:+.6f}"]
        if rate is not None:
            parts += [f"rate {rate:.2e}"]
        say("  ".join([*parts, f"{time.perf_counter() - self.started:8.2f} s"]))
