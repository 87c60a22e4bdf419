"""The state of training: what a checkpoint saves, and from which a later `partial_fit` continues."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from sklearn.utils import check_random_state

from skbackprop._fit.device import map_arrays
from skbackprop._nn.optimizers import Rule
from skbackprop._types import Array


@dataclass
class History:
    """One entry per epoch; losses are weighted means of the data term, without the penalty."""

    loss_curve: list[float] = field(default_factory=list)
    validation_loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)  # of the last steps; L-BFGS has nan

    def __deepcopy__(self, memo: object) -> Self:
        """Copy the lists, but not each number in them, since every call of partial_fit copies all curves."""
        return replace(self, **{name: curve.copy() for name, curve in vars(self).items()})


@dataclass
class Patience:
    """Counts epochs without improvement by more than `margin`."""

    n_iter_no_change: float
    margin: float
    best: float = -np.inf
    waited: int = 0

    def ends_with(self, score: float) -> bool:
        """Record the score of an epoch, where higher is better; True when patience has run out."""
        if score > self.best + self.margin:
            self.best, self.waited = score, 0
        else:
            self.waited += 1
        return self.waited >= self.n_iter_no_change


@dataclass
class Best:
    """The best epoch so far, the latest of equal ones. The parameters are a copy."""

    score: float = -np.inf
    epoch: int = 0
    theta: Array | None = None

    def offer(self, score: float, epoch: int, theta: Array, keep: bool) -> None:
        """Remember this epoch if none was better, and its parameters if they will be restored."""
        if score >= self.score:
            self.score, self.epoch = score, epoch
            self.theta = copy.deepcopy(theta) if keep else None


@dataclass
class TrainState:
    """Everything that training changes, except the parameters, which the engine holds during training."""

    rng: Any  # a RandomState while training, then the seed of the next one
    history: History = field(default_factory=History)
    patience: Patience | None = None  # None: starts with the next call
    best: Best = field(default_factory=Best)
    exhausted: bool = False  # has early stopping ended the stream of partial_fit?
    n_rows: int = 0  # rows seen so far
    weight_sum: float = 0.0  # sum of their weights
    total_samples: int | None = None  # rows of the whole training set, if given by the user
    class_counts: np.ndarray | float = 0.0  # weighted number of rows of each class, for class_weight
    class_total: float = 0.0  # sum of the weights of these rows
    rows_visited: int = 0  # in all epochs, which is t_
    steps: int = 0  # of the optimizer
    total_steps: int = 0  # horizon of the schedule, set by the first call
    plateau_factor: float = 1.0  # of the learning rate, for learning_rate="adaptive"
    memory: dict[str, Any] | None = None  # of the optimizer
    ended: bool = False  # did patience or a callback end this run?

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history.loss_curve)

    def totals(self) -> tuple[int, float]:
        """Number of rows of the whole training set, and the sum of their weights, estimated from the rows seen."""
        if self.total_samples is None:
            return self.n_rows, self.weight_sum
        return self.total_samples, self.total_samples * (self.weight_sum / self.n_rows)

    def forget_run(self) -> None:
        """Drop what only the next call of partial_fit could use; a later call starts it again."""
        self.patience, self.best, self.memory = None, Best(), None
        self.steps, self.total_steps, self.plateau_factor, self.ended = 0, 0, 1.0, False
        self.rng = int(self.rng.randint(2**31))  # a seed is smaller than a generator

    def renew_generator(self) -> None:
        """Make a generator of the seed, or of a value that a user set instead."""
        if not isinstance(self.rng, int | np.integer | np.random.RandomState):
            raise ValueError(f"{self.rng!r} cannot seed the rest of the training")
        self.rng = check_random_state(self.rng)

    def forget_memory_of_others(self, rule: Rule) -> None:
        """After a change of the solver, the optimizer's memory and the steps start again."""
        if self.memory is not None and self.memory.keys() != rule.init(np, np.zeros(1)).keys():
            self.memory, self.steps, self.total_steps = None, 0, 0

    def converted(self, convert: Callable[[Any], Any]) -> TrainState:
        """Copy with all vectors of the size of the network converted."""
        copied = copy.deepcopy(self)
        best = replace(copied.best, theta=map_arrays(convert, copied.best.theta))
        return replace(copied, best=best, memory=map_arrays(convert, copied.memory))
