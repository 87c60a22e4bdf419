"""The epoch loop: engine -> history -> stopping."""

from __future__ import annotations

import copy
import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np

from skbackprop._fit.batches import Rows
from skbackprop._fit.places import map_arrays
from skbackprop._fit.stopping import Best, History, Monitor, Patience
from skbackprop._nn.network import Objective
from skbackprop._nn.optimizers import Rule
from skbackprop._nn.schedules import SCHEDULES

PLATEAU_DIVISOR = 5.0  # of learning_rate="adaptive"
SMALLEST_RATE = 1e-6  # below which "adaptive" gives up


@dataclass
class Plan:
    """How long and how fast to train."""

    max_iter: int
    rate: float
    schedule: str
    power_t: float
    total_steps: int  # the horizon of the schedule
    shuffle: bool
    plateau_factor: float = 1.0
    first_step: int = 0
    done: int = 0  # epochs, if training goes on from a checkpoint, and
    ended: bool = False  # did patience end it already?

    def rates(self, steps: Any) -> Any:
        """Learning rate of each step."""
        factor = SCHEDULES[self.schedule].factor(steps, self.total_steps, self.power_t)
        return self.rate * self.plateau_factor * np.asarray(factor, dtype=np.float64)

    def goes_on_after_plateau(self) -> bool:
        """Divide the rate, if the schedule does that and the rate is not yet negligible."""
        if not SCHEDULES[self.schedule].plateau:
            return False
        if self.rate * self.plateau_factor <= SMALLEST_RATE:
            return False
        self.plateau_factor /= PLATEAU_DIVISOR
        return True


@dataclass
class Progress:
    """What a later partial_fit needs of all training so far."""

    rng: Any  # a RandomState, or its seed
    history: History = field(default_factory=History)
    patience: Patience | None = None  # None: starts with the next call
    best: Best = field(default_factory=Best)
    exhausted: bool = False  # has early stopping ended the stream?
    n_rows: int = 0  # seen so far, and their weights
    weight_sum: float = 0.0
    total_samples: int | None = (
        None  # rows of the whole training set, if the user said how many; else those seen
    )
    class_counts: Any = 0.0  # weighted
    class_total: float = 0.0  # weights of the rows that were counted
    rows_visited: int = 0  # t_
    steps: int = 0
    total_steps: int = 0  # horizon of the schedule, set by the first call
    plateau_factor: float = 1.0
    state: dict | None = None  # the optimizer's memory

    def training_set(self) -> tuple[int, float]:
        """Number of rows of the whole training set, and the sum of their weights, whose mean is that of those seen."""
        if self.total_samples is None:
            return self.n_rows, self.weight_sum
        return self.total_samples, self.total_samples * (self.weight_sum / self.n_rows)

    def forget_run(self) -> None:
        """Drop what only partial_fit's next call could use: a later call starts these anew."""
        self.patience, self.best, self.state = None, Best(), None
        self.steps, self.total_steps, self.plateau_factor = 0, 0, 1.0
        self.rng = int(self.rng.randint(2**31))  # a seed is lighter to keep than a generator

    def prepare_memory(self, rule: Rule, theta: Any) -> None:
        """Keep the optimizer's memory if it is this rule's; after another solver it and the steps begin anew."""
        if self.state is None:
            return
        if self.state.keys() != rule.init(np, np.zeros(1)).keys():
            self.state, self.steps, self.total_steps = None, 0, 0
            return
        for name, value in self.state.items():
            if name in rule.slots:
                is_real = value.dtype.kind == "f" if isinstance(value, np.ndarray) else True  # or a device's
                is_right = is_real and tuple(getattr(value, "shape", ())) == tuple(theta.shape)
            else:
                is_right = isinstance(value, Real)
            if not is_right:
                raise ValueError(
                    f"The optimizer's memory {name!r} is not one of this network's {theta.shape[0]} parameters: the "
                    "state of this estimator is damaged, or was changed. Call fit, or load it from an intact file."
                )

    def converted(self, convert: Any) -> Progress:
        """Copy whose vectors of the size of the network were converted."""
        copied = copy.deepcopy(self)
        best = replace(copied.best, theta=map_arrays(convert, copied.best.theta))
        return replace(copied, best=best, state=map_arrays(convert, copied.state))


@dataclass
class Outcome:
    """What training leaves behind."""

    theta: Any
    converged: bool = False
    message: str = ""
    interrupt: BaseException | None = None
    state: dict | None = None  # the optimizer's memory
    steps: int = 0


class Diverged(Exception):
    """Training left the finite numbers in `epoch`; `theta` was the last finite model."""

    def __init__(self, epoch: int, rate: float | None, theta: Any):
        super().__init__(epoch)
        self.epoch, self.rate, self.theta = epoch, rate, theta


def train(
    engine: Any,
    rows: Any,
    objective: Objective,
    plan: Plan,
    monitor: Monitor,
    rng: Any,
    keep_memory: bool = True,
    checkpoint: Any = None,
) -> Outcome:
    """Train up to max_iter epochs on Rows or a Stream; the engine is loaded, and keeps the last parameters.

    keep_memory: the outcome holds the optimizer's memory, for training that goes on. A checkpoint is written after
    epochs, and before the first.
    Ctrl-C ends training as patience does, with the interrupt noted in the outcome.
    """
    step, n_steps = plan.first_step, objective.n_steps(rows.n)
    finite, _ = engine.dump(memory=False)
    outcome = Outcome(finite)
    try:
        if checkpoint is not None and not plan.done:
            checkpoint.write(engine, plan, monitor, rng, step)
        while plan.done < plan.max_iter and not plan.ended:
            if monitor.epochs is not None:
                monitor.epochs.begin_epoch()
            rates = plan.rates(np.arange(step, step + n_steps))
            parts = rows.epoch(rng, plan.shuffle, objective.batch_size)
            loss = run_epoch(engine, parts, rates, step, objective.batch_size)
            step += n_steps
            theta, _ = engine.dump(memory=False)
            if not (np.isfinite(loss) and rows.place.are_bounded(theta)):
                raise Diverged(len(monitor.history.loss_curve) + 1, float(rates.max()), finite)
            finite = theta
            if monitor.ends_with(loss, theta, rates[-1]):
                plan.ended = monitor.stopped or not plan.goes_on_after_plateau()
                if not plan.ended:
                    monitor.patience.waited = 0
            plan.done += 1
            if checkpoint is not None and checkpoint.is_due(plan.ended or plan.done == plan.max_iter):
                checkpoint.write(engine, plan, monitor, rng, step)
    except KeyboardInterrupt as interrupt:
        outcome.interrupt = interrupt
    outcome.theta, outcome.state = engine.dump(memory=keep_memory)
    outcome.steps, outcome.converged = step, plan.ended
    return outcome


def run_epoch(
    engine: Any, parts: Generator[tuple[Rows, Any]], rates: Any, first_step: int, batch_size: int
) -> float:
    """Visit the parts of all rows once, a slice of steps at a time; weighted mean loss on the way.

    Sums stay where the rows are until the end: only there does the host wait for a device. They go on through
    slices and parts, so that their last bits do not tell where a slice ended.
    """
    done, sums = 0, (0.0, 0.0)
    with closing(parts):
        for rows, order in parts:
            start, n_rows = 0, order.shape[0]
            while start < n_rows:
                last = done + math.ceil((n_rows - start) / batch_size)
                sums, steps = engine.train_steps(
                    rows.X, rows.Y, rows.weights, order[start:], rates[done:last], first_step + done, sums
                )
                done, start = done + steps, start + steps * batch_size
    loss_sum, weight_sum = map(float, sums)
    return loss_sum / weight_sum
