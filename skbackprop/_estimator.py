"""What both estimators share: fit and partial_fit as readable sequences."""

from __future__ import annotations

import copy
import os
import sys
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if

from skbackprop._documentation import DocLinkMixin
from skbackprop._engines import choose_engine
from skbackprop._fit import validation
from skbackprop._fit.batches import Rows, output_blocks
from skbackprop._fit.callbacks import (
    CallbackSupportMixin,
    Epochs,
    callbacks_of,
    with_callbacks,
    without_callbacks,
)
from skbackprop._fit.checkpoint import Checkpoint
from skbackprop._fit.lbfgs import minimize_lbfgs
from skbackprop._fit.race import run_race
from skbackprop._fit.samples import Sample
from skbackprop._fit.scales import check_alike, root_mean_squares
from skbackprop._fit.scoring import Judge
from skbackprop._fit.settings import Settings, gradient_limit, settle, wants_gradient_limit
from skbackprop._fit.stopping import Best, Monitor, Patience
from skbackprop._fit.streaming import Encode, Part, Stream
from skbackprop._fit.summaries import LabelSummary, NumberSummary, Summary
from skbackprop._fit.targets import constant_loss, row_losses
from skbackprop._fit.training import Diverged, Outcome, Plan, Progress, train
from skbackprop._neighbours import Convertible
from skbackprop._nn.initializers import initialize
from skbackprop._nn.losses import LOSSES, LossArgs
from skbackprop._nn.network import Network, Objective, flatten
from skbackprop._nn.optimizers import OPTIMIZERS, Optimizer
from skbackprop._nn.schedules import SCHEDULES
from skbackprop._out_of_core import Sampled, nameless, read_shards
from skbackprop._prediction import Predicting
from skbackprop._types import Data
from skbackprop.data import Shards


def has_minibatches(estimator):
    """Tell whether partial_fit exists."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit needs a minibatch solver, but solver='lbfgs'.")
    return True


def with_minibatches(method: validation.Method) -> validation.Method:
    """Offer the method with minibatch solvers only."""
    return available_if(has_minibatches)(method)


class BaseMLP(CallbackSupportMixin, Convertible, Predicting, DocLinkMixin, BaseEstimator, ABC):
    """The multi-layer perceptron behind the classifier and the regressor."""

    # ------------------------------------------------------------------- left to the heirs ----

    @abstractmethod
    def _learn_targets(self, sample: Any, classes: Any, first: bool) -> None:
        """Learn what is needed to encode y, or check that y fits what was learned before."""

    @abstractmethod
    def _check_like(self, y: Any, known: Any) -> None:
        """Raise unless y is of the kind, the width and the domain of the targets that are trained on."""

    @abstractmethod
    def _target_summary(self, y: Any) -> LabelSummary | NumberSummary:
        """Make what gathers, block by block, all that is learned from targets; y is the first block's."""

    @abstractmethod
    def _encoder(self, summary: Summary, dtype: Any, progress: Progress) -> Encode:
        """Make the function that turns a block into rows to train on, from what is known of all blocks."""

    @abstractmethod
    def _encode(self, sample: Sample | Part, dtype: Any) -> Any:
        """Y of the engine, for training and validation alike."""

    @abstractmethod
    def _training_rows(self, sample: Sample, dtype: Any, progress: Progress) -> Rows:
        """Rows to train on, with everything that acts in training only."""

    def _warn_first_block(self, y: Any, weights: Any) -> None:
        """Say so if a stream's first rows are none to learn lasting things from."""
        return

    def _weights_like_training(self, sample: Sample, progress: Progress) -> Any:
        """Weights of other rows by what was learned of those trained on; None: all 1."""
        return sample.weights

    @abstractmethod
    def _n_targets(self) -> int:
        """Number of targets, or of classes."""

    @abstractmethod
    def _loss_name(self) -> str:
        """Key of LOSSES."""

    @abstractmethod
    def _loss_args(self) -> LossArgs:
        """Parameters of the loss."""

    def _strata(self, y: Any) -> Any:
        """Class numbers by which the validation split is stratified, or None."""
        return None

    # --------------------------------------------------------------------------------- fit ----

    @with_callbacks
    @validation.fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Data,
        y: Data = None,
        sample_weight: Data = None,
        *,
        X_val: Data = None,
        y_val: Data = None,
        sample_weight_val: Data = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit the model to X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or Shards
            Training inputs. Put a StandardScaler in front: networks learn badly from raw units. A
            :class:`~skbackprop.data.Shards` stands for rows on the disk, with their targets and weights.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets; not given beside Shards.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. A weight of 2 means the same as the row given twice.
        X_val, y_val : array-like, default=None
            A validation set of your own. It is evaluated after each epoch, and decides when to stop and which
            epoch's weights to keep if ``early_stopping=True``. X_val may be Shards, without y_val.
        sample_weight_val : array-like, default=None
            Weights of the validation rows.
        checkpoint : path, default=None
            File in which the state of the training is kept, for minibatch solvers. If it exists, training goes on
            from there, to the same bits as if it had not been interrupted; the file stays, and the same call returns
            the same model at once. It is written before the first epoch and after others such that writing takes at
            most a twentieth of the time, and always after the last.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        DivergenceError
            If the loss or the weights cease to be finite. As with any other error, an earlier fit of this
            estimator stays as it was.
        ValueError
            If X, y, weights or parameters are not what they should be, or the checkpoint is of another fit.
        """
        saved = self._checkpoint(checkpoint)
        trial = copy.copy(self)  # whatever fails below, self stays as it was
        warm = self.warm_start and hasattr(self, "coefs_")
        sample = trial._read(X, y, sample_weight, reset=not warm)
        if warm:
            validation.check_same_place(self, sample.place, "fit")
        rng = check_random_state(self.random_state)
        progress = Progress(rng=rng if saved is None else saved.generator(rng))
        validation.warn_unscaled(sample.some.X, sample.place)
        trial._learn_targets(sample.stand_in, None, first=not warm)
        held_out = trial._read_validation(X_val, y_val, sample_weight_val, sample)
        if saved is not None:
            saved.identify(self, sample, held_out, warm)
        splits = held_out is None and self.early_stopping
        if splits:
            sample, held_out = sample.split(progress.rng, self.validation_fraction, trial._strata)
        validation.warn_without_effect(
            self, validation.idle_parameters(self, has_validation=held_out is not None, splits=splits)
        )
        some = sample.some
        regime = run_race(
            self,
            some,
            trial._strata(some.y),
            progress.rng,
            self._judge,
            len(sample),
            None if saved is None else saved.regime,
        )
        if saved is not None:
            saved.regime = regime
        settings = settle(self, len(sample), regime=regime)
        epochs = self._epochs("fit", settings.max_iter, some)
        trial._train(sample, held_out, progress, epochs, settings, warm=warm, saved=saved)
        progress.forget_run()
        epochs.end_fit(lambda: copy.copy(trial).__dict__)
        return self._commit(trial)

    @with_callbacks
    @validation.fit_context(prefer_skip_nested_validation=True)
    def _partial_fit(
        self, X, y, sample_weight, classes, X_val, y_val, sample_weight_val, total_samples
    ) -> Self:
        """Train one epoch on X and y, going on from where the last call stopped."""
        if isinstance(X, Shards):
            raise ValueError(
                "partial_fit takes rows in memory: pass it block after block (for X, y, w in data.blocks(): "
                "model.partial_fit(X, y, w)), or call fit, which shuffles them."
            )
        trial = copy.copy(self)
        first = not hasattr(self, "coefs_")
        progress = Progress(check_random_state(self.random_state)) if first else self._progress
        if progress.exhausted:
            validation.warn_exhausted()
            return self
        progress = copy.deepcopy(progress)
        progress.rng = check_random_state(progress.rng)
        sample = trial._read(X, y, sample_weight, reset=first)
        if not first:
            validation.check_same_place(self, sample.place, "partial_fit")
        trial._learn_targets(sample, classes, first=first)
        if first:
            trial._warn_first_block(sample.y, sample.weights)
        progress.total_samples = validation.total_of(total_samples, len(sample.y))
        held_out = trial._read_validation(X_val, y_val, sample_weight_val, sample, partial=True)
        validation.warn_without_effect(
            self, validation.idle_parameters(self, has_validation=held_out is not None, partial=True)
        )
        settings = settle(self, len(sample.y), partial=True)
        epochs = self._epochs("partial_fit", 1, sample)
        trial._train(sample, held_out, progress, epochs, settings, warm=not first, partial=True)
        epochs.end_fit(lambda: copy.copy(trial).__dict__)
        return self._commit(trial)

    def _epochs(self, task: str, max_epochs: int, sample: Sample | Sampled) -> Epochs:
        """Make the one that tells the callbacks."""
        return Epochs(self, task, max_epochs, sample)

    def _commit(self, trial: BaseMLP) -> Self:
        """Take over what the trial learned; pass an interrupt on now that nothing is lost."""
        interrupt = trial.__dict__.pop("_interrupt")
        self.__dict__ = without_callbacks(trial.__dict__) | callbacks_of(self.__dict__)
        if interrupt is not None:
            raise interrupt
        return self

    def _checkpoint(self, path: Any) -> Checkpoint | None:
        if path is not None and self.solver == "lbfgs":
            raise ValueError(
                "checkpoint needs a minibatch solver, but solver='lbfgs', whose state SciPy keeps."
            )
        return None if path is None else Checkpoint(path)

    def _read(
        self, X: Any, y: Any, weights: Any, name: str = "sample_weight", *, reset: bool
    ) -> Sample | Sampled:
        if isinstance(X, Shards):
            return self._read_shards(X, y, weights, name, reset)
        place = validation.place_of(X)
        X, y = validation.check_rows(self, X, y, reset=reset, dtypes=place.floats(self.dtype))
        y = validation.to_host(y)
        return Sample(X, y, validation.check_weights(validation.to_host(weights), y, name), place)

    def _read_shards(self, data: Shards, y: Any, weights: Any, name: str, reset: bool) -> Sample | Sampled:
        if y is not None or weights is not None:
            raise ValueError(
                "Shards hold targets and weights: pass these when you make them, and neither here."
            )
        checker = self if reset else nameless(self, data, "fit")
        found = read_shards(checker, data, reset=reset)
        if isinstance(found, tuple):
            sample = checker._read(*found, name, reset=reset)
        else:
            sample = found
            sample.some, sample.stand_in = (Sample(**vars(part)) for part in (sample.some, sample.stand_in))
        if reset and data.feature_names is not None:
            self.feature_names_in_ = np.asarray(data.feature_names, dtype=object)
        return sample

    def _read_validation(
        self, X_val: Any, y_val: Any, weights: Any, training: Sample | Sampled, *, partial: bool = False
    ) -> Sample | Sampled | None:
        holds_targets = isinstance(X_val, Shards)
        if not validation.has_validation_set(X_val, y_val, weights, holds_targets=holds_targets):
            return None
        with validation.in_validation_set():
            held_out = self._read(X_val, y_val, weights, "sample_weight_val", reset=False)
            self._check_like(held_out.stand_in.y, training.stand_in.y)
        if held_out.place != training.place:
            raise ValueError(f"X_val must be where X is: X is {training.place}, X_val is {held_out.place}.")
        # a piece of a stream may well differ from the whole
        check_alike(training.some.X, held_out.some.X, training.place, strict=not partial)
        return held_out

    def _train(
        self,
        sample: Sample | Sampled,
        held_out: Sample | Sampled | None,
        progress: Progress,
        epochs: Epochs | None,
        settings: Settings,
        *,
        warm: bool = False,
        partial: bool = False,
        saved: Checkpoint | None = None,
    ) -> None:
        """From checked rows to fitted attributes."""
        self._settings, place = settings, sample.place
        result_dtype = sample.dtype
        # L-BFGS's line search compares losses that differ by less than float32 can tell
        dtype = np.dtype(np.float64) if self.solver == "lbfgs" else result_dtype
        rows = sample.rows(self, dtype, progress)
        if wants_gradient_limit(self):
            loss, scales = LOSSES[self._loss_name()], lambda: root_mean_squares(rows.known)
            limit = gradient_limit(self.solver, loss, settings, scales)
            self._settings = replace(settings, max_grad_norm=limit)
        if warm:
            self._go_on(rows)
        else:
            self._start(rows, progress.rng)
        theta = place.put(self._theta(), dtype)
        monitor = self._monitor(held_out, rows, progress, dtype)
        rows = rows.together()

        def result(theta):
            return place.put(theta, result_dtype)

        monitor.epochs, monitor.fitted = epochs, lambda theta: self._attributes_with(result(theta))
        try:
            with np.errstate(all="ignore"):  # the epoch loop looks for itself
                if self.solver == "lbfgs":
                    outcome = self._run_lbfgs(rows, theta, monitor)
                else:
                    outcome = self._run_minibatches(rows, theta, monitor, progress, partial, saved)
        except Diverged as error:
            self._finish(Outcome(result(error.theta)), monitor, progress)
            del self._interrupt
            # a copy, which is without the callbacks
            raise validation.divergence(
                error.epoch, error.rate, sample.largest, self._settings.max_grad_norm, copy.copy(self)
            ) from None
        if monitor.early_stopping and monitor.best.theta is not None:
            progress.exhausted = partial and outcome.converged and not monitor.stopped
            if not partial or progress.exhausted:
                outcome.theta = monitor.best.theta
        outcome.theta = result(outcome.theta)
        self._finish(outcome, monitor, progress)
        if not (partial or outcome.converged or outcome.interrupt):
            self._warn_not_converged(outcome, monitor)

    def _judge(self, params: dict, sample: Sample, held_out: Sample) -> float:
        """Train an estimator with these parameters on some rows; the mean loss of the others, class weights included.

        Infinite if training diverges, or if class weights of zero leave nothing to learn from or to judge by.
        """
        runner, dtype = type(self)(**params), sample.place.dtype_of(sample.X)
        progress = Progress(check_random_state(runner.random_state))
        try:
            runner._learn_targets(sample, None, first=True)
            runner._train(sample, None, progress, None, settle(runner, len(sample.y)))
            weights = runner._weights_like_training(held_out, progress)
        except ValueError:
            return np.inf
        if runner._interrupt is not None:
            raise runner._interrupt
        loss, _ = runner._validator(replace(held_out, weights=weights), dtype)(runner._theta())
        return loss if np.isfinite(loss) else np.inf

    def _attributes_with(self, theta: Any) -> dict:
        """What an estimator needs to predict with these parameters, for callbacks."""
        model = copy.copy(self)
        model._take_parameters(theta)
        return model.__dict__

    def _describe(self, n_features: int, seed: int) -> Network:
        """Make the network that the parameters ask for."""
        hidden = validation.hidden_sizes(self.hidden_layer_sizes)
        name, args = self._loss_name(), self._loss_args()
        return Network(
            sizes=(n_features, *hidden, self._n_targets() * LOSSES[name].outputs_per_target(args)),
            activations=validation.activation_names(self.activation, len(hidden)),
            loss=name,
            loss_args=args,
            dropout=validation.dropout_rates(self._settings.dropout, len(hidden)),
            seed=seed,
            n_members=self.n_members,
            input_scale=validation.input_scale_rate(self.input_scale) is not None,
        )

    def _start(self, rows: Rows | Stream, rng: Any) -> None:
        """Describe the network and draw its weights."""
        network = self._describe(rows.n_features, seed=int(rng.randint(2**31)))
        W, b, factors = initialize(network, self.initializer, rng)
        loss = LOSSES[network.loss]
        if loss.link == "exp":  # start at the link of the mean
            known = rows.known
            b[-1][...] = loss.constant(known.Y.astype(float), known.weights, network.loss_args)
        self._network = network
        self._take_parameters(flatten(np, W, b, factors))

    def _go_on(self, rows: Rows | Stream) -> None:
        """Keep the weights, under what the parameters say now."""
        network = self._describe(rows.n_features, seed=self._network.seed)
        validation.check_same_shape(self._network, network)
        self._network = network

    def _engine(self, xp: Any = np) -> Any:
        optimizer = Optimizer(
            name="sgd" if self.solver == "lbfgs" else self.solver,
            momentum=self.momentum,
            nesterov=self.nesterovs_momentum,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            weight_decay=self._settings.weight_decay,
            max_grad_norm=self._settings.max_grad_norm,
            input_scale_rate=validation.input_scale_rate(self.input_scale) or 0.0,
        )
        return choose_engine(self._network, optimizer, self.engine, xp, self.n_threads)

    def _monitor(self, held_out: Any, rows: Rows | Stream, progress: Progress, dtype: Any) -> Monitor:
        network, known = self._network, rows.known
        unit = constant_loss(network.loss, known.Y, known.weights, network.loss_args, self._n_targets())
        if not LOSSES[network.loss].relative_tol or unit <= 0.0:
            unit = 1.0  # the loss has no zero to measure from, or the best constant is perfect
        stops_early = self.early_stopping and held_out is not None
        by_scorer = stops_early and self.scoring is not None
        if progress.patience is None:
            patience = self.n_iter_no_change if self._settings.stops else np.inf
            progress.patience = Patience(patience, self._settings.tol * (1.0 if by_scorer else unit))
            progress.best = Best()
        return Monitor(
            progress.history,
            progress.patience,
            progress.best,
            None if held_out is None else self._validator(held_out, dtype),
            stops_early,
            self.verbose,
        )

    def _validator(self, held_out: Sample | Sampled, dtype: Any):
        """Make the function theta -> validation loss, score."""
        network, place = self._network, held_out.place
        loss, args = LOSSES[network.loss], replace(network.loss_args, label_smoothing=0.0)
        n_outputs = network.sizes[-1] * network.n_members
        engine = self._engine(place.xp)
        with validation.in_validation_set():
            blocks = held_out.encoded(self._encode, dtype)
        judge = None
        if self.scoring is not None:
            classes = validation.to_host(getattr(self, "classes_", None))
            judge = Judge(self.scoring, held_out.y, held_out.weights, classes, place.put)
        candidate = copy.copy(self)
        candidate.__dict__.pop("feature_names_in_", None)  # X below has lost its names

        def validate(theta):
            theta = place.put(theta)
            engine.load(theta)
            losses, totals = [], []
            for X, Y, w in blocks:
                if w is not None and not w.any():  # of a block; all are not
                    continue
                parts = [
                    row_losses(loss, engine.predict(block, link=False), Y[rows, ...], args, place)
                    for rows, block in output_blocks(X, n_outputs)
                ]
                values = np.concatenate(parts)
                values[np.isnan(values)] = np.inf  # of outputs beyond all bounds
                losses.append(float(np.average(values if w is None else np.where(w, values, 0.0), weights=w)))
                totals.append(Y.shape[0] if w is None else w.sum())
            mean = losses[0] if len(losses) == 1 else float(np.average(losses, weights=totals))
            if judge is None:
                return mean, -mean
            candidate._take_parameters(theta)
            score = judge(candidate, held_out.X)
            return mean, judge.check(score) if self.early_stopping else score

        return validate

    def _run_minibatches(
        self,
        rows: Rows | Stream,
        theta: Any,
        monitor: Monitor,
        progress: Progress,
        partial: bool,
        saved: Checkpoint | None,
    ) -> Outcome:
        settings = self._settings
        validation.warn_large_batch(self.batch_size, rows.n)
        progress.prepare_memory(OPTIMIZERS[self.solver], theta)
        progress.n_rows += rows.n
        progress.weight_sum += rows.weight_sum
        n_rows, weight_sum = progress.training_set()
        validation.check_penalty(self.alpha, weight_sum)
        objective = Objective.over(n_rows, weight_sum, self.alpha, settings.batch_size, rows.unit)
        horizon = min(settings.max_iter * objective.n_steps(rows.n), sys.maxsize)
        progress.total_steps = progress.total_steps or horizon
        plan = self._plan(progress, partial)
        before = len(monitor.history.loss_curve)
        if saved is not None:
            theta = saved.resume(theta, plan, monitor, progress)
        engine = self._engine(rows.place.xp)
        engine.load(theta, progress.state, objective)
        outcome = train(engine, rows, objective, plan, monitor, progress.rng, partial, saved)
        progress.state, progress.steps = outcome.state, outcome.steps
        progress.plateau_factor = plan.plateau_factor
        progress.rows_visited += rows.n * (len(monitor.history.loss_curve) - before)
        return outcome

    def _plan(self, progress: Progress, partial: bool) -> Plan:
        settings = self._settings
        return Plan(
            1 if partial else settings.max_iter,
            settings.learning_rate_init,
            settings.learning_rate,
            self.power_t,
            progress.total_steps,
            self.shuffle,
            progress.plateau_factor,
            progress.steps,
        )

    def _run_lbfgs(self, rows: Rows | Stream, theta: Any, monitor: Monitor) -> Outcome:
        settings = self._settings
        options = {"maxiter": settings.max_iter, "maxfun": self.max_fun, "gtol": settings.tol}
        engine = self._engine(rows.place.xp)
        validation.check_penalty(self.alpha, rows.weight_sum)
        return minimize_lbfgs(engine, rows, theta, monitor, alpha=self.alpha, options=options)

    def _warn_not_converged(self, outcome: Outcome, monitor: Monitor) -> None:
        history = monitor.history
        if self.solver == "lbfgs":
            validation.warn_lbfgs(outcome.message, len(history.loss_curve))
        elif self.n_iter_no_change != np.inf and not SCHEDULES[self._settings.learning_rate].horizon:
            # else it was to make max_iter epochs
            watched, curve = "loss", history.loss_curve
            if monitor.early_stopping:
                by_loss = self.scoring is None
                watched = "validation loss" if by_loss else "validation score"
                curve = history.validation_loss_curve if by_loss else history.validation_scores
            margin = monitor.patience.margin
            validation.warn_not_converged(self._settings.max_iter, "epochs", curve, margin, watched)

    def _finish(self, outcome: Outcome, monitor: Monitor, progress: Progress) -> None:
        """Set the fitted attributes."""
        network, history = self._network, monitor.history
        self._take_parameters(outcome.theta)
        self._progress, self._interrupt = progress, outcome.interrupt
        self.auto_params_ = self._settings.found(self)
        self.loss_curve_ = history.loss_curve
        self.validation_loss_curve_ = history.validation_loss_curve or None
        self.validation_scores_ = history.validation_scores or None
        self.learning_rate_curve_ = None if self.solver == "lbfgs" else history.learning_rates
        self.n_iter_ = len(history.loss_curve)
        self.loss_ = history.loss_curve[-1] if history.loss_curve else np.nan
        self.best_loss_ = min(history.loss_curve, default=np.nan)
        self.best_iter_ = monitor.best.epoch
        self.t_ = progress.rows_visited
        self.n_layers_ = network.n_layers + 1
        self.n_outputs_ = network.sizes[-1]
        self.out_activation_ = LOSSES[network.loss].link

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags
