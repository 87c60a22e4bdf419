"""What a fit is asked to do (`FitSpec`), and what it does (`FitPlan`): numbers in place of every "auto"."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from skbackprop._fit.state import TrainState
from skbackprop._nn.losses import LOSSES, LossArgs
from skbackprop._nn.network import Network
from skbackprop._nn.optimizers import OPTIMIZERS, Optimizer
from skbackprop._nn.schedules import SCHEDULES
from skbackprop._types import Auto

TOL = 1e-4  # scikit-learn's
PLANNED_EPOCHS, PLANNED_STEPS = 16, 1024  # fewest of a whole plan
EPOCH_STEPS = 128  # of an epoch with batch_size="auto"
BATCH_SIZES = 16, 128  # fewest and most rows of its batches
FULL_BATCH = 64  # so few rows are one batch
PLATEAU_DIVISOR = 5.0  # of learning_rate="adaptive"
SMALLEST_RATE = 1e-6  # below which "adaptive" gives up


@dataclass(frozen=True)
class Regime:
    """The regularisation that suits targets with so much noise as the key in REGIMES says, and the plan's length."""

    weight_decay: float  # at Adam's rates
    dropout: float
    length: float = 1.0  # share of a whole plan, which it may exceed

    def regularisation(self, solver: str) -> dict[str, float]:
        """The parameters for it; weights shrink as much per step whatever rate suits the solver."""
        pace = OPTIMIZERS["adam"].peak / OPTIMIZERS[solver].peak
        return {"weight_decay": self.weight_decay * pace, "dropout": self.dropout}


REGIMES = {
    "clean": Regime(weight_decay=0.05, dropout=0.0),
    "mixed": Regime(weight_decay=0.5, dropout=0.1),
    "noisy": Regime(weight_decay=2.0, dropout=0.1),
}
UNKNOWN = REGIMES["mixed"]


@dataclass(frozen=True)
class FitSpec:
    """The checked parameters of an estimator, with "auto" still open. It knows nothing of the data.

    The fields have the names of the parameters; those that only the other estimator has are at their defaults.
    """

    hidden_layer_sizes: tuple[int, ...]
    activation: tuple[str, ...]  # one per hidden layer
    loss: str
    solver: str
    learning_rate: str
    learning_rate_init: float | Auto
    power_t: float
    batch_size: int | Auto
    epochs: int | Auto
    max_iter: int
    max_fun: int
    shuffle: bool
    alpha: float
    weight_decay: float | Auto
    dropout: float | tuple[float, ...] | Auto  # a tuple begins with the input's rate
    max_grad_norm: float | Auto | None
    initializer: str
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: float
    tol: float | Auto
    scoring: Any  # a scorer, its name, or None
    verbose: int
    dtype: str
    engine: str
    n_threads: int | None
    n_members: int
    input_scale: float | None  # factor of its learning rate; None: no scale
    focal_gamma: float = 2.0
    label_smoothing: float = 0.0
    class_weight: Any = None  # the user's dict, list, "balanced" or None
    huber_delta: float = 1.35
    quantile: float | tuple[float, ...] = 0.5
    scale_target: bool = True
    numeric_encoder: str = "identity"
    n_bins: int = 8
    matmul_precision: str = "highest"
    partial: bool = False  # is this one call of partial_fit?

    @property
    def is_minibatch(self) -> bool:
        """Tell whether the solver walks through minibatches, as all but L-BFGS do."""
        return self.solver != "lbfgs"

    @property
    def precision(self) -> str:
        """Of products: the line search of L-BFGS compares losses that differ by less than rounding to bfloat16."""
        return self.matmul_precision if self.is_minibatch else "highest"

    @property
    def splits(self) -> bool:
        """Tell whether rows are held out for validation where none are given."""
        return self.early_stopping and not self.partial

    @property
    def schedule(self) -> str:
        """Key of SCHEDULES."""
        if self.learning_rate != "auto":
            return self.learning_rate
        return "constant" if self.partial else "onecycle"  # a stream has no known end

    @property
    def is_planned(self) -> bool:
        """Tell whether the training is planned to its end, as schedules with a horizon need it."""
        return self.is_minibatch and SCHEDULES[self.schedule].horizon

    @property
    def is_patient(self) -> bool:
        """Tell whether training ends when patience runs out: a plan goes on to its end, unless asked to stop."""
        return self.early_stopping or not self.is_planned or self.tol != "auto"

    @property
    def seeks_gradient_limit(self) -> bool:
        """Tell whether max_grad_norm is to be found, for the solver or for the loss."""
        if self.max_grad_norm != "auto" or not self.is_minibatch:
            return False
        return OPTIMIZERS[self.solver].unbounded or LOSSES[self.loss].max_grad_norm is not None

    @property
    def loss_args(self) -> LossArgs:
        """The parameters of the loss."""
        return LossArgs(
            focal_gamma=self.focal_gamma,
            huber_delta=self.huber_delta,
            quantiles=self.quantile if isinstance(self.quantile, tuple) else (self.quantile,),
            label_smoothing=float(self.label_smoothing),
        )

    def cycle_length(self, n_rows: int, share: float = 1.0) -> int:
        """Epochs that one cycle takes for a share of a whole plan; other schedules take all of max_iter."""
        if self.partial or self.schedule != "onecycle":
            return self.max_iter
        steps = math.ceil(n_rows / resolve_batch_size(self.batch_size, n_rows))
        return math.ceil(share * planned_epochs(steps))

    def plan_length(self, n_rows: int, share: float = 1.0) -> int:
        """Epochs of a plan: as many as asked for, or else as one cycle takes, and never more than max_iter."""
        asked = self.cycle_length(n_rows, share) if self.epochs == "auto" else self.epochs
        return int(min(self.max_iter, asked))


@dataclass(frozen=True)
class FitPlan:
    """What a fit does: the parameters with numbers in place of "auto"."""

    learning_rate: str  # key of SCHEDULES
    learning_rate_init: float
    batch_size: int
    max_iter: int  # epochs
    weight_decay: float
    dropout: Any  # float or tuple of floats
    tol: float
    stops: bool  # does patience end the training?
    max_grad_norm: float | None = None
    power_t: float = 0.5
    shuffle: bool = True

    @classmethod
    def settle(cls, spec: FitSpec, n_rows: int, regime: Regime = UNKNOWN) -> Self:
        """Find the plan for so many rows, whose targets are as noisy as the regime says."""
        auto: dict[str, Any] = {
            "learning_rate": spec.schedule,
            "learning_rate_init": 0.0,
            "weight_decay": 0.0,
            "dropout": 0.0,
            "tol": TOL,
            "max_grad_norm": None,  # see scales.gradient_limit
        }
        if spec.is_minibatch:
            rule = OPTIMIZERS[spec.solver]
            auto["learning_rate_init"] = rule.peak if spec.is_planned else rule.rate
        if spec.is_planned:
            auto |= regime.regularisation(spec.solver)
        given = {name: value for name in auto if (value := getattr(spec, name)) != "auto"}
        return cls(
            **(auto | given),
            batch_size=resolve_batch_size(spec.batch_size, n_rows) if spec.is_minibatch else n_rows,
            # more than a computer counts to is no limit
            max_iter=min(spec.plan_length(n_rows, regime.length) if spec.is_planned else spec.max_iter, sys.maxsize),
            stops=spec.is_patient,
            power_t=spec.power_t,
            shuffle=spec.shuffle,
        )

    def rates(self, steps: np.ndarray, state: TrainState) -> np.ndarray:
        """Learning rate of each step."""
        factor = SCHEDULES[self.learning_rate].factor(steps, state.total_steps, self.power_t)
        return self.learning_rate_init * state.plateau_factor * np.asarray(factor, dtype=np.float64)

    def goes_on_after_plateau(self, state: TrainState) -> bool:
        """Divide the rate and be patient again, if the schedule does that and the rate is not yet negligible."""
        if not SCHEDULES[self.learning_rate].plateau:
            return False
        if self.learning_rate_init * state.plateau_factor <= SMALLEST_RATE:
            return False
        state.plateau_factor /= PLATEAU_DIVISOR
        assert state.patience is not None
        state.patience.waited = 0
        return True

    def found(self, spec: FitSpec) -> dict[str, Any]:
        """What "auto" stood for, by the names of the parameters that were left to it and act.

        The same fit with these values in place of "auto" is the same to the last bit.
        """
        acting: dict[str, Any] = {"tol": self.tol}
        if spec.is_minibatch:
            acting = {"epochs" if name == "max_iter" else name: value for name, value in asdict(self).items()}
            if not self.stops:
                del acting["tol"]
            if not SCHEDULES[self.learning_rate].horizon:
                del acting["epochs"]
            if not spec.seeks_gradient_limit:
                del acting["max_grad_norm"]
        return {name: value for name, value in acting.items() if getattr(spec, name, None) == "auto"}

    def optimizer(self, spec: FitSpec) -> Optimizer:
        """The rule of the steps with its constants; L-BFGS makes no use of it."""
        return Optimizer(
            name=spec.solver if spec.is_minibatch else "sgd",
            momentum=spec.momentum,
            nesterov=spec.nesterovs_momentum,
            beta_1=spec.beta_1,
            beta_2=spec.beta_2,
            epsilon=spec.epsilon,
            weight_decay=self.weight_decay,
            max_grad_norm=self.max_grad_norm,
            input_scale_rate=spec.input_scale or 0.0,
        )

    def network(self, spec: FitSpec, loss: str, n_features: int, n_targets: int, seed: int) -> Network:
        """The network that the parameters ask for; the loss of multilabel targets has a name of its own."""
        hidden = spec.hidden_layer_sizes
        rates = self.dropout
        return Network(
            sizes=(n_features, *hidden, n_targets * LOSSES[loss].outputs_per_target(spec.loss_args)),
            activations=spec.activation,
            loss=loss,
            loss_args=spec.loss_args,
            dropout=rates if isinstance(rates, tuple) else (0.0, *(float(rates),) * len(hidden)),
            seed=seed,
            n_members=spec.n_members,
            input_scale=spec.input_scale is not None,
        )


def planned_epochs(steps: int) -> int:
    """Epochs of so many steps that are enough: PLANNED_EPOCHS, or more to make PLANNED_STEPS on few rows."""
    return max(PLANNED_EPOCHS, math.ceil(PLANNED_STEPS / steps))


def resolve_batch_size(batch_size: int | Auto, n_rows: int) -> int:
    """Read batch_size: "auto" is n / 128 rounded to a power of two, within 16 and 128, and all rows up to 64."""
    if batch_size == "auto":
        if n_rows <= FULL_BATCH:
            return n_rows
        smallest, largest = BATCH_SIZES
        return int(min(max(2 ** round(math.log2(n_rows / EPOCH_STEPS)), smallest), largest))
    return min(int(batch_size), n_rows)
