"""From a dataset to a fitted model: `prepare` makes the plan, `fit_model` trains."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, cast

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skbackprop._engines.engine import Engine
from skbackprop._fit.dataset import ArrayDataset, Dataset, TrainingSet
from skbackprop._fit.early_stopping import FitCallbacks, Monitor, scorer_name, warn_not_converged
from skbackprop._fit.evaluation import constant_loss, validation_loss
from skbackprop._fit.fitted_model import Features, FittedModel, Untrained
from skbackprop._fit.lbfgs import minimize_lbfgs
from skbackprop._fit.scales import gradient_limit, in_validation_set, root_mean_squares
from skbackprop._fit.selection import select_regime
from skbackprop._fit.spec import UNKNOWN, FitPlan, FitSpec, Regime
from skbackprop._fit.state import Best, Patience, TrainState
from skbackprop._fit.targets import LabelCodec, TargetCodec
from skbackprop._fit.training import Checkpoint, Diverged, Outcome, train
from skbackprop._fit.warn import say, warn
from skbackprop._fit.weights import check_penalty, check_weight_sum, class_factors
from skbackprop._nn.initializers import initialize
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.network import Objective, flatten
from skbackprop._nn.optimizers import OPTIMIZERS
from skbackprop._types import Array

# makes the function from a model to its score on held-out rows, by the scorer of the user
MakeScore = Callable[[Dataset, FittedModel], Callable[[FittedModel], float]]


@dataclass
class Prepared:
    """Everything that is known before the first step."""

    spec: FitSpec
    plan: FitPlan
    model: FittedModel  # with the initial weights
    data: Dataset  # to train on
    training_set: TrainingSet  # the encoded rows of `data`
    factors: np.ndarray | None  # class weights, by which the rows' weights are multiplied
    held_out: Dataset | None
    state: TrainState
    regime: Regime
    dtype: np.dtype  # of the arithmetic; the model has the dtype of the data
    engine: Engine


class FitResult(NamedTuple):
    """The result of a fit."""

    model: FittedModel
    spec: FitSpec
    plan: FitPlan
    state: TrainState
    interrupt: BaseException | None = None
    precision: str = "highest"  # of products, as used


class FitDiverged(Exception):
    """Raised when the loss or weights become NaN or infinite; the result holds the last finite model."""

    def __init__(self, epoch: int, rate: float | None, largest: float, result: FitResult):
        super().__init__(epoch, rate, largest, result)  # for pickle
        self.epoch, self.rate, self.largest, self.result = epoch, rate, largest, result

    def __str__(self) -> str:
        return f"training diverged in epoch {self.epoch}"


def prepare(
    spec: FitSpec,
    data: Dataset,
    held_out: Dataset | None,
    start: FittedModel | Untrained,
    state: TrainState,
    known: Regime | None = None,
) -> Prepared:
    """Hold out validation rows if needed, run the selection, and make the plan.

    known: the result of the selection, if a checkpoint has it.
    """
    if held_out is None and spec.splits:
        data, held_out = data.split(state.rng, spec.validation_fraction, start.codec.strata)
    trial_loss = partial(_loss_on_others, type(start.codec))
    regime = select_regime(spec, data.sample, start.codec.strata, state.rng, trial_loss, len(data), known)
    prepared = settle(spec, data, held_out, start, state, regime)
    if spec.verbose and known is None and not spec.partial:
        found = ", ".join(f"{name}={value!r}" for name, value in prepared.plan.found(spec).items())
        say(f"auto_params_: {found}")
    return prepared


def settle(
    spec: FitSpec,
    data: Dataset,
    held_out: Dataset | None,
    start: FittedModel | Untrained,
    state: TrainState,
    regime: Regime = UNKNOWN,
) -> Prepared:
    """Make the plan, encode the training set, and draw the initial weights or keep those of a model."""
    plan = FitPlan.settle(spec, len(data), regime)
    # the line search of L-BFGS compares losses that differ by less than the precision of float32
    dtype = data.dtype if spec.is_minibatch else np.dtype(np.float64)
    features, codec = start.features, start.codec.scaled(data.moments, spec)
    factors = None
    if isinstance(codec, LabelCodec) and spec.class_weight is not None:
        counts, total = data.class_totals(codec)
        state.class_counts, state.class_total = state.class_counts + counts, state.class_total + total
        factors = class_factors(spec.class_weight, codec, np.asarray(state.class_counts), state.class_total)
    rows = data.training_set(codec, factors, spec, dtype)
    loss = codec.loss(spec.loss)
    if spec.seeks_gradient_limit:
        limit = gradient_limit(spec, LOSSES[loss], plan, lambda: root_mean_squares(rows.sample))
        plan = replace(plan, max_grad_norm=limit)
    if isinstance(start, FittedModel):
        network = plan.network(spec, loss, features.n_inputs, codec.n_targets, start.network.seed)
        start.check_goes_on_as(network)
        model = replace(start, network=network, codec=codec)
    else:
        network = plan.network(spec, loss, features.n_inputs, codec.n_targets, int(state.rng.randint(2**31)))
        W, b, more = initialize(network, spec.initializer, state.rng)
        if features.encoding is not None and features.encoding.has_categories:  # inputs without rows have no effect
            W[1][..., rows.never_met(), :] = 0.0
        if LOSSES[loss].link == "exp":  # start at the link of the mean
            some = rows.sample
            b[-1][...] = LOSSES[loss].constant(some.Y.astype(float), some.weights, network.loss_args)
        model = FittedModel(network, flatten(np, W, b, more), codec, features)
    engine = data.engine(network, spec, plan)
    return Prepared(spec, plan, model, data, rows, factors, held_out, state, regime, dtype, engine)


def fit_model(
    prepared: Prepared,
    make_score: MakeScore | None = None,
    callbacks: FitCallbacks | None = None,
    checkpoint: Checkpoint | None = None,
) -> FitResult:
    """Train; return the model, and the state from which a later call can continue."""
    spec, plan, state, device = prepared.spec, prepared.plan, prepared.state, prepared.training_set.device
    callbacks = FitCallbacks() if callbacks is None else callbacks
    callbacks.begin_fit(1 if spec.partial else plan.max_iter, prepared.data.sample)
    theta = device.put(prepared.model.theta, prepared.dtype)

    def result(theta: Array, interrupt: BaseException | None = None) -> FitResult:
        model = replace(prepared.model, theta=device.put(theta, prepared.data.dtype), device=device)
        return FitResult(model, spec, plan, state, interrupt, prepared.engine.precision)

    monitor = _monitor(prepared, make_score, callbacks, lambda theta: result(theta).model)
    rows = prepared.training_set.together()
    state.ended = False
    try:
        with np.errstate(all="ignore"):  # the epoch loop checks
            run = _run_minibatches if spec.is_minibatch else _run_lbfgs
            outcome = run(prepared, rows, theta, monitor, checkpoint)
    except Diverged as error:
        raise FitDiverged(error.epoch, error.rate, prepared.data.largest, result(error.theta)) from None
    if monitor.early_stopping and state.best.theta is not None:
        state.exhausted = spec.partial and outcome.converged and not monitor.stopped
        if not spec.partial or state.exhausted:
            outcome.theta = state.best.theta
            if spec.verbose:
                say(f"the weights of epoch {state.best.epoch} are restored: {monitor.describe_best()}")
    if not (spec.partial or outcome.converged or outcome.interrupt):
        _warn_not_converged(prepared, outcome, monitor)
    return result(outcome.theta, outcome.interrupt)


def _monitor(
    prepared: Prepared, make_score: MakeScore | None, callbacks: FitCallbacks, model: Callable[[Array], FittedModel]
) -> Monitor:
    """Make the monitor of the epochs; patience is relative to the loss of the best constant."""
    spec, plan, state, network = prepared.spec, prepared.plan, prepared.state, prepared.model.network
    held_out = prepared.held_out
    stops_early = spec.early_stopping and held_out is not None
    by_scorer = stops_early and spec.scoring is not None
    if state.patience is None:
        some, codec = prepared.training_set.sample, prepared.model.codec
        unit = constant_loss(network.loss, some.Y, some.weights, network.loss_args, codec.n_targets)
        if by_scorer or not LOSSES[network.loss].relative_tol or unit <= 0.0:
            unit = 1.0  # for scores, losses whose smallest value is not zero, and a best constant without error
        state.patience = Patience(spec.n_iter_no_change if plan.stops else np.inf, plan.tol * unit)
        state.best = Best()
    validate = None if held_out is None else _validator(prepared, held_out, make_score)
    return Monitor(state, validate, stops_early, spec.verbose, callbacks, model, scorer_name(spec.scoring))


def _validator(
    prepared: Prepared, held_out: Dataset, make_score: MakeScore | None
) -> Callable[[Array], tuple[float, float]]:
    """Make the function from parameters to validation loss and score."""
    spec, model, device = prepared.spec, prepared.model, held_out.device
    engine = held_out.engine(model.network, spec, prepared.plan)
    with in_validation_set():
        loss_of = validation_loss(engine, held_out, model.codec, prepared.dtype)
    score_of = None if spec.scoring is None or make_score is None else make_score(held_out, model)

    def validate(theta: Array) -> tuple[float, float]:
        theta = device.put(theta)
        loss = loss_of(theta)
        return loss, -loss if score_of is None else score_of(replace(model, theta=theta, device=device))

    return validate


def _run_minibatches(
    prepared: Prepared, rows: TrainingSet, theta: Array, monitor: Monitor, checkpoint: Checkpoint | None
) -> Outcome:
    """Train with minibatches; after partial_fit the state keeps the optimizer's memory."""
    spec, plan, state, engine = prepared.spec, prepared.plan, prepared.state, prepared.engine
    if spec.batch_size != "auto" and spec.batch_size > rows.n:
        warn(f"batch_size={spec.batch_size} is larger than the {rows.n} training rows. Every step uses all of them.")
    state.forget_memory_of_others(OPTIMIZERS[spec.solver])
    state.n_rows += rows.n
    state.weight_sum += rows.weight_sum
    n_rows, weight_sum = state.totals()
    check_penalty(spec.alpha, weight_sum)
    objective = Objective.over(n_rows, weight_sum, spec.alpha, plan.batch_size, rows.unit)
    state.total_steps = state.total_steps or min(plan.max_iter * objective.n_steps(rows.n), sys.maxsize)
    before = state.epoch
    if checkpoint is not None:
        theta = checkpoint.resume(theta, state, plan)
    engine.load(theta, state.memory, objective)
    last_epoch = before + 1 if spec.partial else plan.max_iter
    outcome = train(engine, rows, plan, state, monitor, last_epoch, checkpoint)
    state.memory = engine.dump()[1] if spec.partial else None
    state.rows_visited += rows.n * (state.epoch - before)
    return outcome


def _run_lbfgs(
    prepared: Prepared, rows: TrainingSet, theta: Array, monitor: Monitor, checkpoint: Checkpoint | None
) -> Outcome:
    """Train with L-BFGS on the full batch."""
    spec, plan, state = prepared.spec, prepared.plan, prepared.state
    check_penalty(spec.alpha, rows.weight_sum)
    if checkpoint is not None:
        theta = checkpoint.resume(theta, state, plan)
    options = {"maxiter": plan.max_iter - state.epoch, "maxfun": spec.max_fun, "gtol": plan.tol}
    return minimize_lbfgs(prepared.engine, rows, theta, monitor, spec.alpha, options, checkpoint)


def _warn_not_converged(prepared: Prepared, outcome: Outcome, monitor: Monitor) -> None:
    spec, history, patience = prepared.spec, prepared.state.history, prepared.state.patience
    if not spec.is_minibatch:
        warn(
            f"L-BFGS stopped after {prepared.state.epoch} iterations before it converged: {outcome.message}. Raise "
            "max_iter or max_fun, scale the features, or raise tol.",
            ConvergenceWarning,
        )
    elif spec.n_iter_no_change != np.inf and not spec.is_planned:  # otherwise all max_iter epochs were wanted
        watched, curve = "loss", history.loss_curve
        if monitor.early_stopping:
            watched, curve = "validation loss", history.validation_loss_curve
            if spec.scoring is not None:
                watched, curve = "validation score", history.validation_scores
        assert patience is not None
        warn_not_converged(prepared.plan.max_iter, curve, patience.margin, watched)


def _loss_on_others(
    codec_class: type[TargetCodec], spec: FitSpec, seed: int, rows: ArrayDataset, others: ArrayDataset
) -> float:
    """Train on some rows; return the mean loss on the others, with class weights.

    It is infinite if training diverges, or if class weights of zero leave no training or no held-out rows.
    """
    state = TrainState(np.random.RandomState(seed))
    try:
        start = Untrained(codec_class.learn(rows.y, spec), Features(int(rows.X.shape[1])))
        prepared = settle(spec, rows, None, start, state)
        result = fit_model(prepared)
        codec = prepared.model.codec
        if prepared.factors is not None:
            others = replace(others, weights=others.encoded(codec, prepared.factors, rows.dtype).weights)
            check_weight_sum(cast(np.ndarray, others.weights))
    except (ValueError, FitDiverged):
        return np.inf
    if result.interrupt is not None:
        raise result.interrupt
    loss = validation_loss(prepared.engine, others, codec, rows.dtype)(result.model.theta)
    return loss if np.isfinite(loss) else np.inf
