"""The parameters of a fit (`FitSpec`), and the same with numbers in place of "auto" (`FitPlan`)."""

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
PLANNED_EPOCHS, PLANNED_STEPS = 16, 1024  # minimum of a whole plan
EPOCH_STEPS = 128  # in an epoch with batch_size="auto"
BATCH_SIZES = 16, 128  # its smallest and largest batch
FULL_BATCH = 64  # up to so many rows are one batch
PLATEAU_DIVISOR = 5.0  # of learning_rate="adaptive"
SMALLEST_RATE = 1e-6  # below which "adaptive" gives up


@dataclass(frozen=True)
class Regime:
    """The regularisation for the noise that its key in REGIMES names, and the length of the plan."""

    weight_decay: float  # with the learning rates of Adam
    dropout: float
    length: float = 1.0  # share of a whole plan; may exceed 1

    def regularisation(self, solver: str) -> dict[str, float]:
        """Its parameters for a solver; weights shrink by the same factor per step with every solver."""
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
    """The checked parameters of an estimator, which may still be "auto". It does not depend on data.

    Fields have the names of the parameters. Those that only the other estimator has are at their defaults.
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
    dropout: float | tuple[float, ...] | Auto  # the first of a tuple is the rate of the inputs
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
        """Tell whether the solver uses minibatches, as all except L-BFGS do."""
        return self.solver != "lbfgs"

    @property
    def precision(self) -> str:
        """Precision of products: the line search of L-BFGS compares losses that bfloat16 cannot distinguish."""
        return self.matmul_precision if self.is_minibatch else "highest"

    @property
    def splits(self) -> bool:
        """Tell whether validation rows are held out if the user gives none."""
        return self.early_stopping and not self.partial

    @property
    def schedule(self) -> str:
        """Key of SCHEDULES."""
        if self.learning_rate != "auto":
            return self.learning_rate
        return "constant" if self.partial else "onecycle"  # a stream has no known end

    @property
    def is_planned(self) -> bool:
        """Tell whether the number of epochs is planned, as schedules with a horizon need it."""
        return self.is_minibatch and SCHEDULES[self.schedule].horizon

    @property
    def is_patient(self) -> bool:
        """Tell whether training ends when patience runs out: a plan runs to its end, unless early stopping is asked."""
        return self.early_stopping or not self.is_planned or self.tol != "auto"

    @property
    def seeks_gradient_limit(self) -> bool:
        """Tell whether "auto" needs a value for max_grad_norm, for the solver or for the loss."""
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
        """Epochs of one cycle for a share of a whole plan; other schedules take max_iter epochs."""
        if self.partial or self.schedule != "onecycle":
            return self.max_iter
        steps = math.ceil(n_rows / resolve_batch_size(self.batch_size, n_rows))
        return math.ceil(share * planned_epochs(steps))

    def plan_length(self, n_rows: int, share: float = 1.0) -> int:
        """Epochs of a plan: those given by the user, or else of one cycle, but at most max_iter."""
        asked = self.cycle_length(n_rows, share) if self.epochs == "auto" else self.epochs
        return int(min(self.max_iter, asked))


@dataclass(frozen=True)
class FitPlan:
    """The parameters of a fit with numbers in place of "auto"."""

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
        """Make the plan for a number of rows and the regime of their noise."""
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
            # larger numbers do not fit an index
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
        """Divide the rate and reset patience, if the schedule does so and the rate is not yet negligible."""
        if not SCHEDULES[self.learning_rate].plateau:
            return False
        if self.learning_rate_init * state.plateau_factor <= SMALLEST_RATE:
            return False
        state.plateau_factor /= PLATEAU_DIVISOR
        assert state.patience is not None
        state.patience.waited = 0
        return True

    def found(self, spec: FitSpec) -> dict[str, Any]:
        """The values of the parameters that were "auto" and have an effect.

        A fit with these values in place of "auto" has the same bits.
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
        """The optimizer with its constants; L-BFGS does not use it."""
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
        """The network of these parameters; losses of multilabel targets have their own names."""
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
    """Number of epochs of so many steps: PLANNED_EPOCHS, or more with few rows to make PLANNED_STEPS."""
    return max(PLANNED_EPOCHS, math.ceil(PLANNED_STEPS / steps))


def resolve_batch_size(batch_size: int | Auto, n_rows: int) -> int:
    """Read batch_size: "auto" is n / 128 rounded to a power of two, from 16 to 128, and all rows up to 64."""
    if batch_size == "auto":
        if n_rows <= FULL_BATCH:
            return n_rows
        smallest, largest = BATCH_SIZES
        return int(min(max(2 ** round(math.log2(n_rows / EPOCH_STEPS)), smallest), largest))
    return min(int(batch_size), n_rows)
