"""What both estimators share: the parameters are checked, rows are read, a model is trained below, and published."""

from __future__ import annotations

import copy
import os
from abc import ABC
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state

from skbackprop._checks.callbacks import CALLBACKS, CallbackSupportMixin, EstimatorCallbacks, curves_of
from skbackprop._checks.calls import offered_if, spelled, value_hint
from skbackprop._checks.constraints import Method, fit_spec, keeps_constraints, total_of, validated
from skbackprop._checks.messages import divergence, warn_constant_block
from skbackprop._checks.rows import Given, copy_of, read_rows, read_validation, starting_point
from skbackprop._checks.scoring import Judge
from skbackprop._checks.tables import ENCODING
from skbackprop._documentation import DocLinkMixin
from skbackprop._fit.checkpoint import FileCheckpoint, seed_of
from skbackprop._fit.data_checks import complete
from skbackprop._fit.dataset import Dataset
from skbackprop._fit.device import to_host
from skbackprop._fit.fit import FitDiverged, FitResult, Prepared, fit_model, prepare
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.scales import warn_unscaled
from skbackprop._fit.state import TrainState
from skbackprop._fit.warn import warn
from skbackprop._interop.conversions import Convertible
from skbackprop._nn.encoders import ENCODERS
from skbackprop._nn.losses import LOSSES
from skbackprop._prediction import Predicting
from skbackprop._types import Attributes, Data
from skbackprop.data import Shards

# fitted attributes that not all models have
SOMETIMES = ("feature_names_in_", "bin_edges_", "categories_", ENCODING, "member_factors_", "input_scale_")


def check_has_minibatches(estimator: BaseEstimator) -> None:
    """Raise if there is no partial_fit."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit needs a minibatch solver, but solver='lbfgs'.")


def with_minibatches(method: Method) -> Method:
    """Offer the method with minibatch solvers only."""
    return offered_if(check_has_minibatches, spelled(method))


class BaseMLP(CallbackSupportMixin, Convertible, Predicting, DocLinkMixin, BaseEstimator, ABC):
    """The multi-layer perceptron behind the classifier and the regressor."""

    auto_params_: dict[str, Any]
    loss_curve_: list[float]
    validation_loss_curve_: list[float] | None
    validation_scores_: list[float] | None
    learning_rate_curve_: list[float] | None
    loss_: float
    best_loss_: float
    n_iter_: int
    best_iter_: int
    t_: int
    n_layers_: int
    n_outputs_: int
    out_activation_: str
    matmul_precision_: str
    if TYPE_CHECKING:  # what scikit-learn makes of the signatures of the methods

        def set_fit_request(self, **requests: bool | str | None) -> Self: ...
        def set_partial_fit_request(self, **requests: bool | str | None) -> Self: ...
        def set_score_request(self, **requests: bool | str | None) -> Self: ...

    # metadata that a Pipeline passes on without a request of the user's
    __metadata_request__fit: ClassVar = {"X_val": True, "y_val": True, "sample_weight_val": True}
    __metadata_request__partial_fit: ClassVar = dict.fromkeys(
        ("X_val", "y_val", "sample_weight_val", "total_samples", "categories"), True
    )

    @validated
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
            Training inputs. Scale them with a StandardScaler, or set `numeric_encoder`: networks learn badly from
            unscaled data. Columns of a DataFrame may hold categories, see `categorical_features`.
            :class:`~skbackprop.data.Shards` are rows on disk, with their targets and weights.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target values. Not given if X is Shards.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative sample weights. A weight of 2 has the same meaning as the row given twice.
        X_val, y_val : array-like, default=None
            Validation set, with the same columns as X; they are encoded like those of X. It is evaluated after each
            epoch. With ``early_stopping=True`` it decides when to stop and which epoch's weights to keep. If X_val is
            Shards, y_val is not given.
        sample_weight_val : array-like, default=None
            Sample weights of the validation set.
        checkpoint : path, default=None
            File to save the state of training in, for minibatch solvers. If it exists, training continues from there,
            with bitwise the same result as without the interruption. The file is not deleted: the same call then
            returns the same model at once. It is written before the first epoch, after the last one, and between them
            so often that writing takes at most a twentieth of the time.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        DivergenceError
            If the loss or the weights become NaN or infinite. As with any other error, the estimator keeps its
            previous fit.
        ValueError
            If X, y, the weights or a parameter are invalid, or the checkpoint belongs to another fit.
        """
        spec = fit_spec(self)
        saved = None if checkpoint is None else FileCheckpoint(checkpoint, spec)
        warm = self.warm_start and hasattr(self, "coefs_")
        data, features = read_rows(self, X, Given(y, sample_weight, goes_on=self.warm_start), reset=not warm)
        start = starting_point(self, spec, data, features, "fit" if warm else None)
        held_out = read_validation(self, (X_val, y_val, sample_weight_val), spec, data, start)
        rng = check_random_state(self.random_state)
        if saved is not None:
            rng = saved.generator(rng)
            who = {"estimator": type(self).__name__, "random_state": seed_of(self.random_state)}
            saved.identify(who, data, held_out, start.theta if isinstance(start, FittedModel) else None)
        warn_unscaled(data.sample.X, data.device, features.numeric)
        known = None if saved is None else saved.regime
        prepared = prepare(spec, data, held_out, start, TrainState(rng), known)
        if saved is not None:
            saved.regime = prepared.regime
        return self._train(prepared, "fit", saved)

    @validated
    def _partial_fit(
        self,
        rows: tuple[Data, Data, Data],
        validation: tuple[Data, Data, Data],
        total_samples: int | None,
        categories: Any = None,
        classes: Any = None,
    ) -> Self:
        """Train one epoch on X, y and weights, going on from where the last call stopped."""
        if isinstance(rows[0], Shards):
            raise ValueError(
                "partial_fit takes rows in memory: pass it block after block (for X, y, w in data.blocks(): "
                "model.partial_fit(X, y, w)), or call fit, which shuffles them."
            )
        spec, first = fit_spec(self, partial=True), not hasattr(self, "coefs_")
        state = TrainState(check_random_state(self.random_state)) if first else self._progress
        if state.exhausted:
            warn(
                "Early stopping has ended this model's training: its best weights are restored and this call of "
                "partial_fit changed nothing. Call fit, or partial_fit on a clone, to train anew."
            )
            return self
        state = copy.deepcopy(state)
        state.renew_generator()
        given = Given(*rows[1:], categories=categories, goes_on=True)
        data, features = read_rows(self, rows[0], given, reset=first)
        classes = None if classes is None else np.asarray(complete(to_host(classes)))
        start = starting_point(self, spec, data, features, None if first else "partial_fit", classes)
        if first and spec.scale_target and LOSSES[spec.loss].scaling == "standardize":
            warn_constant_block(data)
        state.total_samples = total_of(total_samples, len(data))
        held_out = read_validation(self, validation, spec, data, start)
        return self._train(prepare(spec, data, held_out, start, state), "partial_fit")

    def _train(self, prepared: Prepared, task: str, saved: FileCheckpoint | None = None) -> Self:
        """Train below, and publish what came of it."""
        callbacks = EstimatorCallbacks(self, task, self._model_attributes)
        with self._diverging():
            result = fit_model(prepared, self._scoring, callbacks, saved)
        return self._finish(result, callbacks)

    @contextmanager
    def _diverging(self) -> Iterator[None]:
        """Turn a divergence into the error that holds an estimator with the last finite model."""
        try:
            yield
        except FitDiverged as error:
            model = self._with(self._attributes(error.result))
            limit = error.result.plan.max_grad_norm
            raise divergence(error.epoch, error.rate, error.largest, limit, model) from None

    def _finish(self, result: FitResult, callbacks: EstimatorCallbacks) -> Self:
        """Publish a fit, and keep of its state what a later call can use."""
        attributes = self._attributes(result)
        if not result.spec.partial:
            result.state.forget_run()
        callbacks.end_fit(lambda: dict(vars(copy.copy(self._with(attributes)))))
        return self._publish(attributes, result.interrupt)

    def _publish(self, attributes: Attributes, interrupt: BaseException | None = None) -> Self:
        """Take over all that was learned by one assignment; pass an interrupt on now that nothing is lost."""
        callbacks = {name: value for name, value in self.__dict__.items() if name in CALLBACKS}
        self.__dict__ = vars(self._with(attributes)) | callbacks
        if interrupt is not None:
            raise interrupt
        return self

    def _with(self, attributes: Attributes) -> Self:
        """An estimator with these parameters and other fitted attributes, and without callbacks."""
        return copy_of(self, attributes, without=[*SOMETIMES, *CALLBACKS])

    def _validate_params(self) -> None:
        """Check the parameters before a fit; scikit-learn says what is wrong with one."""
        if keeps_constraints(self):
            return
        try:
            super()._validate_params()
        except ValueError as error:
            name = str(error).partition("'")[2].partition("'")[0]  # The 'alpha' parameter of MLPRegressor must be ...
            raise type(error)(f"{error}{value_hint(name, getattr(self, name, None))}") from None

    def _scoring(self, held_out: Dataset, model: FittedModel) -> Callable[[FittedModel], float]:
        """Make the function that scores a model on the validation rows."""
        judge = Judge(self.scoring, held_out.y, held_out.weights, model.codec.classes, held_out.device.put)

        def score(model: FittedModel) -> float:
            nameless = replace(model, features=replace(model.features, names=None))  # as X below
            value = judge(self._with(self._model_attributes(nameless)), held_out.X)
            return judge.check(value) if self.early_stopping else value

        return score

    def _attributes(self, result: FitResult) -> Attributes:
        """All fitted attributes."""
        model, spec, plan, state = result[:4]
        history, network = state.history, model.network
        return (
            self._model_attributes(model)
            | curves_of(history)
            | {
                "_progress": state,
                "_settings": plan,
                "auto_params_": plan.found(spec),
                "matmul_precision_": result.precision,
                "learning_rate_curve_": history.learning_rates if spec.is_minibatch else None,
                "loss_": history.loss_curve[-1] if history.loss_curve else np.nan,
                "best_loss_": min(history.loss_curve, default=np.nan),
                "best_iter_": state.best.epoch,
                "t_": state.rows_visited,
                "n_layers_": network.n_layers + 1,
                "n_outputs_": network.sizes[-1],
                "out_activation_": LOSSES[network.loss].link,
            }
        )

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.numeric_encoder == "identity"
        encoder = ENCODERS.get(self.numeric_encoder)  # None: a name that fit will refuse
        tags.input_tags.allow_nan = encoder is not None and encoder.takes_nan
        tags.array_api_support = True
        return tags
