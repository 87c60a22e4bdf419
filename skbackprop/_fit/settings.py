"""What "auto" stands for: settings that suit the solver, the schedule, the number of rows and their noise."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skbackprop._nn.losses import LOSSES, Loss
from skbackprop._nn.optimizers import OPTIMIZERS
from skbackprop._nn.schedules import SCHEDULES

TOL = 1e-4  # scikit-learn's
PLANNED_EPOCHS = 16  # at least, and
PLANNED_STEPS = 1024  # at least
EPOCH_STEPS = 64  # that batch_size="auto" gives an epoch, with batches of
BATCH_SIZES = 16, 256  # rows
SCALED = 3.0  # root mean square of features or targets beyond which they were not scaled
ENDLESS = 1e15  # beyond which their squares leave float32, so that nothing can be learned
HIGH_RATE = 10.0  # times the peak of an optimizer: beyond it training may diverge, and say so


@dataclass(frozen=True)
class Regime:
    """What suits targets of some noisiness."""

    weight_decay: float  # at Adam's rates
    dropout: float
    stretch: float = 1.0  # of the plan

    def regularisation(self, solver: str) -> dict[str, float]:
        """The parameters for it; weights shrink as much per step whatever rate suits the solver."""
        pace = OPTIMIZERS["adam"].peak / OPTIMIZERS[solver].peak
        return {"weight_decay": self.weight_decay * pace, "dropout": self.dropout}


REGIMES = {
    "clean": Regime(weight_decay=0.05, dropout=0.0, stretch=1.5),
    "mixed": Regime(weight_decay=0.5, dropout=0.1),
    "noisy": Regime(weight_decay=2.0, dropout=0.1),
}
UNKNOWN = REGIMES["mixed"]


@dataclass(frozen=True)
class Settings:
    """An estimator's parameters with numbers in place of "auto"."""

    learning_rate: str
    learning_rate_init: float
    batch_size: int
    max_iter: int
    weight_decay: float
    dropout: Any
    tol: float
    stops: bool  # does patience end the training?
    max_grad_norm: float | None = None

    def found(self, estimator: Any) -> dict[str, Any]:
        """What "auto" stood for, by the names of the parameters that were left to it and act.

        The same fit with these values in place of "auto" is the same to the last bit.
        """
        acting: dict[str, Any] = {"tol": self.tol}
        if estimator.solver != "lbfgs":
            acting = {"epochs" if name == "max_iter" else name: value for name, value in vars(self).items()}
            if not self.stops:
                del acting["tol"]
            if not SCHEDULES[self.learning_rate].horizon:
                del acting["epochs"]
            if not wants_gradient_limit(estimator):
                del acting["max_grad_norm"]
        return {name: value for name, value in acting.items() if is_auto(getattr(estimator, name, None))}


def follows_plan(estimator: Any, partial: bool = False) -> bool:
    """Tell whether the training is planned to its end, as schedules with a horizon need it."""
    return estimator.solver != "lbfgs" and SCHEDULES[_schedule(estimator, partial)].horizon


def has_regime(estimator: Any, n_rows: int) -> bool:
    """Tell whether the training depends on how noisy the targets are."""
    if not follows_plan(estimator):
        return False
    lengths = {plan_length(estimator, n_rows, regime) for regime in REGIMES.values()}
    return len(lengths) > 1 or is_auto(estimator.weight_decay) or is_auto(estimator.dropout)


def is_patient(estimator: Any, partial: bool = False) -> bool:
    """Tell whether training ends when patience runs out: a plan goes on to its end, unless asked to stop."""
    return estimator.early_stopping or not follows_plan(estimator, partial) or not is_auto(estimator.tol)


def settle(estimator: Any, n_rows: int, *, regime: Regime = UNKNOWN, partial: bool = False) -> Settings:
    """Read the parameters of a fit, or of a call of partial_fit, on so many rows."""
    planned, minibatch = follows_plan(estimator, partial), estimator.solver != "lbfgs"
    batch_size = resolve_batch_size(estimator.batch_size, n_rows) if minibatch else n_rows
    auto: dict[str, Any] = {
        "learning_rate": _schedule(estimator, partial),
        "learning_rate_init": 0.0,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "tol": TOL,
        "max_grad_norm": None,  # see gradient_limit
    }
    if minibatch:
        rule = OPTIMIZERS[estimator.solver]
        auto["learning_rate_init"] = rule.peak if planned else rule.rate
    if planned:
        auto |= regime.regularisation(estimator.solver)
    given = {name: value for name in auto if not is_auto(value := getattr(estimator, name))}
    epochs = plan_length(estimator, n_rows, regime, partial=partial) if planned else estimator.max_iter
    epochs = min(epochs, sys.maxsize)  # which no training reaches
    return Settings(
        **(auto | given), batch_size=batch_size, max_iter=epochs, stops=is_patient(estimator, partial)
    )


def wants_gradient_limit(estimator: Any) -> bool:
    """Tell whether max_grad_norm is to be found, for the solver or for the loss."""
    if not is_auto(estimator.max_grad_norm) or estimator.solver == "lbfgs":
        return False
    return OPTIMIZERS[estimator.solver].unbounded or LOSSES[estimator.loss].max_grad_norm is not None


def gradient_limit(
    solver: str, loss: Loss, settings: Settings, scales: Callable[[], tuple[float, float]]
) -> float | None:
    """Read max_grad_norm="auto": the loss's own limit, or, if it is less, that of a solver for data of these scales.

    Where steps grow with the gradient, scaled data need no limit. With others gradients grow as the data, and the
    curvature as their square: plain steps would diverge. Where a plan lowers the rate to zero in the end, steps of a
    fixed length pass through every scale, and 1 serves all. Where it does not, they must be as much shorter as the
    inputs are larger.
    """
    rule, own = OPTIMIZERS[solver], loss.max_grad_norm
    if not rule.unbounded or settings.learning_rate_init > HIGH_RATE * rule.peak:
        return own
    inputs, targets = scales()
    if not SCALED < max(inputs, targets if loss.task == "regression" else 0.0) < ENDLESS:
        return own
    planned = SCHEDULES[settings.learning_rate].horizon
    limit = 1.0 if planned or inputs <= SCALED else 2.0 ** -math.floor(math.log2(inputs / SCALED))
    return limit if own is None else min(own, limit)


def plan_length(estimator: Any, n_rows: int, regime: Regime = UNKNOWN, *, partial: bool = False) -> int:
    """Epochs of a plan: as many as asked for, or else as one cycle needs, and never more than max_iter."""
    if is_auto(estimator.epochs):
        return min(estimator.max_iter, natural_length(estimator, n_rows, regime.stretch, partial=partial))
    return int(min(estimator.max_iter, estimator.epochs))


def natural_length(estimator: Any, n_rows: int, stretch: float = 1.0, *, partial: bool = False) -> int:
    """Epochs that one cycle needs for these rows and their noise; other schedules take all of max_iter."""
    if partial or _schedule(estimator, partial) != "onecycle":
        return int(estimator.max_iter)
    steps = math.ceil(n_rows / resolve_batch_size(estimator.batch_size, n_rows))
    return math.ceil(stretch * planned_epochs(steps))


def planned_epochs(steps: int) -> int:
    """Epochs of so many steps that are enough: PLANNED_EPOCHS, or more to make PLANNED_STEPS on few rows."""
    return max(PLANNED_EPOCHS, math.ceil(PLANNED_STEPS / steps))


def resolve_batch_size(batch_size: Any, n_rows: int) -> int:
    """Read batch_size: "auto" is n / 64 rounded to a power of two, within 16 and 256, and all rows up to 64."""
    if is_auto(batch_size):
        if n_rows <= EPOCH_STEPS:
            return n_rows
        smallest, largest = BATCH_SIZES
        return min(max(2 ** round(math.log2(n_rows / EPOCH_STEPS)), smallest), largest)
    return min(int(batch_size), n_rows)


def _schedule(estimator: Any, partial: bool) -> str:
    if estimator.learning_rate != "auto":
        return estimator.learning_rate
    return "constant" if partial else "onecycle"  # a stream has no known end


def is_auto(value: Any) -> bool:
    """Tell whether it is the word, and not an array that would be compared element by element."""
    return isinstance(value, str) and value == "auto"
