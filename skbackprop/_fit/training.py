"""The loop over epochs."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from skbackprop._engines.engine import Engine, Sums
from skbackprop._fit.block import Block
from skbackprop._fit.dataset import TrainingSet
from skbackprop._fit.early_stopping import Monitor
from skbackprop._fit.spec import FitPlan
from skbackprop._fit.state import TrainState
from skbackprop._types import Array


@dataclass
class Outcome:
    """How training ended."""

    theta: Array
    converged: bool = False
    message: str = ""
    interrupt: BaseException | None = None


class Diverged(Exception):
    """Raised when the loss or weights become NaN or infinite in `epoch`; `theta` holds the last finite ones."""

    def __init__(self, epoch: int, rate: float | None, theta: Array):
        super().__init__(epoch, rate, theta)
        self.epoch, self.rate, self.theta = epoch, rate, theta


class Checkpoint(Protocol):
    """Saves the state of training, so that it can continue from there."""

    def resume(self, theta: Array, state: TrainState, plan: FitPlan) -> Array:
        """Restore the saved state and return its parameters, or the given ones in a new training."""

    def is_due(self, last: bool) -> bool:
        """Tell whether to save after this epoch."""

    def write(self, engine: Engine, state: TrainState) -> None:
        """Save the state after an epoch, or before the first."""


def train(
    engine: Engine,
    rows: TrainingSet,
    plan: FitPlan,
    state: TrainState,
    monitor: Monitor,
    last_epoch: int,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Train up to an epoch; the engine is loaded before, and keeps the last parameters and the optimizer's memory.

    Ctrl-C ends training as early stopping does, and the outcome records the interrupt.
    """
    n_steps = math.ceil(rows.n / plan.batch_size)
    finite, _ = engine.dump(memory=False)
    outcome = Outcome(finite)
    try:
        if checkpoint is not None and not state.epoch:
            checkpoint.write(engine, state)
        while state.epoch < last_epoch and not state.ended:
            monitor.callbacks.begin_epoch()
            rates = plan.rates(np.arange(state.steps, state.steps + n_steps), state)
            parts = rows.epoch(state.rng, plan.shuffle, plan.batch_size)
            loss = run_epoch(engine, parts, rates, state.steps, plan.batch_size)
            state.steps += n_steps
            theta, _ = engine.dump(memory=False)
            if not (math.isfinite(loss) and rows.device.are_bounded(theta)):
                raise Diverged(state.epoch + 1, float(rates.max()), finite)
            finite = theta
            if monitor.ends_with(loss, theta, rates[-1]):
                state.ended = monitor.stopped or not plan.goes_on_after_plateau(state)
            if checkpoint is not None and checkpoint.is_due(state.ended or state.epoch == last_epoch):
                checkpoint.write(engine, state)
    except KeyboardInterrupt as interrupt:
        outcome.interrupt = interrupt
    outcome.theta, _ = engine.dump(memory=False)
    outcome.converged = state.ended
    return outcome


def run_epoch(
    engine: Engine, parts: Generator[tuple[Block, np.ndarray]], rates: np.ndarray, first_step: int, batch_size: int
) -> float:
    """Visit all rows once, in slices of steps; return the weighted mean loss during the epoch.

    Sums stay on the device of the rows until the end, so that the host waits only once. They continue over slices and
    parts, so that their last bits do not depend on where a slice ends.
    """
    done = 0
    sums: Sums = (0.0, 0.0)
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
