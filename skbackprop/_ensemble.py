"""What ensembles share: networks that are regularised more and less, or each trained without a fold of the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any, ClassVar, NoReturn, Self, cast

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.utils import Tags, check_random_state, get_tags

from skbackprop._blending import Rows, blended, by_fold, check_folds, folds_of, in_order, longer, smaller
from skbackprop._checks.arrays import check_targets, check_weights
from skbackprop._checks.callbacks import CALLBACKS, CallbackSupportMixin, MetaCallbacks
from skbackprop._checks.calls import spelled
from skbackprop._checks.constraints import Interval, check_parameters, fit_spec, validated
from skbackprop._checks.rows import Given, read_rows, starting_point
from skbackprop._columns import refuse_lazy, rows_of
from skbackprop._documentation import DocLinkMixin
from skbackprop._estimator import BaseMLP
from skbackprop._fit.data_checks import numbers, one_column
from skbackprop._fit.device import to_host
from skbackprop._fit.fit import prepare
from skbackprop._fit.inputs import RawTable
from skbackprop._fit.selection import FEWEST_ROWS, SHARE
from skbackprop._fit.state import TrainState
from skbackprop._fit.warn import named, warned_once
from skbackprop._interop.ensembles import ConvertibleEnsemble
from skbackprop._types import Attributes, Data
from skbackprop.data import Shards
from skbackprop.persistence import Persistent

SELECTED = ("weight_decay", "dropout", "epochs")  # parameters that a selection finds
PARTS = round(1.0 / SHARE)  # one of which is held out
IN_ORDER = {"oob_decision_function_", "oob_prediction_"}  # an answer for each row


class BaseEnsemble(
    CallbackSupportMixin, ConvertibleEnsemble, Persistent, MetaEstimatorMixin, DocLinkMixin, BaseEstimator, ABC
):
    """What the ensembles for labels and for numbers share."""

    estimators_: list[Any]
    weights_: np.ndarray
    n_features_in_: int
    feature_names_in_: np.ndarray
    oob_score_: float
    __network__: ClassVar[type[BaseMLP]]
    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "blend": ["boolean"],
        "oob_score": ["boolean"],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }

    @spelled
    def __init__(
        self,
        estimator: Any = None,
        *,
        blend: bool = True,
        oob_score: bool = False,
        n_folds: int = 10,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.blend = blend
        self.oob_score = oob_score
        self.n_folds = n_folds
        self.random_state = random_state

    @validated
    def fit(self, X: Data, y: Data, sample_weight: Data = None) -> Self:
        """Fit the networks.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training inputs, in memory, as `estimator` takes them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : object
            The fitted ensemble. After Ctrl-C it consists of the networks that were trained by then, equally weighted.

        Raises
        ------
        ValueError
            If X, y, weights or parameters are not what they should be. As with any other error, an earlier fit stays
            as it was.
        """
        base, rng = self._checked_base(), check_random_state(self.random_state)
        rows = self._read(X, y, sample_weight)
        networks: list[BaseMLP] = []
        try:
            with warned_once():
                learned = self._learned(base, rows, rng, networks)
        except KeyboardInterrupt:
            trained = [network for network in networks if hasattr(network, "coefs_")]
            trained = trained[:-1] or trained  # the last one was not finished
            if trained:
                learned = {"estimators_": trained, "weights_": np.full(len(trained), 1.0 / len(trained))}
                self._publish(learned | self._described(trained[0]))
            raise
        learned |= {"estimators_": networks} | self._described(networks[0])
        rows.callbacks.end(learned)
        return self._publish(learned)

    @property
    def partial_fit(self) -> NoReturn:
        """Missing, as what the networks are is found from all rows."""
        network = self.__network__.__name__
        raise AttributeError(
            f"{type(self).__name__} has no partial_fit; {network} has, and so has tabular_pipeline(effort='default') "
            "without oob_score=True."
        )

    def _learned(self, base: BaseMLP, rows: Rows, rng: np.random.RandomState, networks: list[BaseMLP]) -> Attributes:
        """Train the networks, which are put into the list, and find their weights and out-of-fold answers."""
        base, rows, found, n_rows = _settled(base, rows, rng)
        regimes, mix = [found], np.ones(1)
        if self.blend:
            regimes = blended(found, n_rows, base)
            mix = self._weigh(base, rows, rng, regimes)
            regimes = [longer(found, base) for found, weight in zip(regimes, mix, strict=True) if weight > 0.0]
            mix = mix[mix > 0.0]
        if not self.oob_score:
            self._train(base, rows, rng, regimes, networks)
            return {"weights_": mix}
        folds = folds_of(rows.codes, self.n_folds, is_classifier(self), rng)
        check_folds(rows, folds, f"one fold of n_folds={self.n_folds}", "set oob_score=False")
        for number, (train, _) in enumerate(folds, 1):
            self._train(base, rows.part(train), rng, regimes, networks, f"fold {number} of {len(folds)}, ")
        members = [
            np.stack([self._members(network, rows_of(rows.X, test)) for network in some])
            for some, (_, test) in zip(by_fold(networks, len(folds)), folds, strict=True)
        ]
        judged, answers = rows.part(np.concatenate([test for _, test in folds])), np.concatenate(members, axis=2)
        if self.blend:
            mix = self._mix(answers.mean(axis=1), judged)
            answers, weighs = answers[mix > 0.0], np.tile(mix > 0.0, len(folds))
            networks[:] = [network for network, counts in zip(networks, weighs, strict=True) if counts]
            mix = mix[mix > 0.0]
        fold = np.repeat(np.arange(len(folds)), [len(test) for _, test in folds])
        learned = self._out_of_fold(judged, fold, answers, mix)
        for name in IN_ORDER & set(learned):
            learned[name] = in_order(learned[name], folds, len(rows.y))
        return learned | {"weights_": np.tile(mix, len(folds)) / len(folds)}

    def _train(
        self,
        base: BaseMLP,
        rows: Rows,
        rng: np.random.RandomState,
        regimes: list[dict[str, float]],
        networks: list[BaseMLP],
        name: str = "",
    ) -> None:
        """Train a network of each regime on these rows."""
        for number, found in enumerate(regimes, 1):
            networks.append(clone(base).set_params(random_state=int(rng.randint(2**31)), **found))
            with rows.callbacks.training(networks[-1]), named(f"{name}network {number} of {len(regimes)}"):
                networks[-1].fit(rows.X, rows.y, rows.weights)

    def _weigh(
        self, base: BaseMLP, rows: Rows, rng: np.random.RandomState, regimes: list[dict[str, float]]
    ) -> np.ndarray:
        """Weights of the regimes, by what small networks answer for rows that are held out."""
        if len(rows.y) < FEWEST_ROWS:
            return np.full(len(regimes), 1.0 / len(regimes))
        folds = folds_of(rows.codes, PARTS, is_classifier(self), rng)[:1]
        part = f"the part of the rows (one of {PARTS}) held out to weigh the networks of a blend"
        check_folds(rows, folds, part, "fit the estimator itself")
        ((train, test),) = folds
        judges: list[BaseMLP] = []
        self._train(smaller(base), rows.part(train), rng, regimes, judges, "small ")
        held_out = rows.part(test)
        return self._mix(np.stack([self._answer(judge, held_out.X) for judge in judges]), held_out)

    def _checked_base(self) -> BaseMLP:
        """The estimator to clone, if it is one that can be."""
        base = self.__network__() if self.estimator is None else self.estimator
        if not isinstance(base, self.__network__):
            hint = f" Write {base.__name__}(), with parentheses." if isinstance(base, type) else ""
            raise TypeError(f"{type(self).__name__} takes an {self.__network__.__name__}; got {base!r}.{hint}")
        check_parameters(base)
        if self.blend and not (base.weight_decay == "auto" and fit_spec(base).is_planned):
            raise ValueError(
                "blend=True trains networks of several weight decays: leave the estimator's weight_decay='auto' and a "
                "schedule with a plan (learning_rate='auto'), or set blend=False (tabular_pipeline: effort='default')."
            )
        if self.oob_score and base.loss == "quantile":
            raise ValueError("oob_score=True needs one prediction for each target; loss='quantile' may give several.")
        if not (self.blend or self.oob_score):
            raise ValueError("With blend=False and oob_score=False there is one network: fit the estimator itself.")
        return base

    def _read(self, X: Data, y: Data, sample_weight: Data) -> Rows:
        """Check targets and weights; X is checked by each network."""
        if isinstance(X, Shards):
            raise ValueError(f"{type(self).__name__} takes rows in memory. Give Shards to its estimator itself.")
        refuse_lazy(X, "collect")
        X = to_host(cast(Any, X))
        rows: Any = X if hasattr(X, "shape") else np.asarray(X)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        y = check_targets(self, to_host(cast(Any, y)), rows.shape[0] if len(rows.shape) else 0)
        y = one_column(y) if is_classifier(self) else np.asarray(numbers(y), dtype=np.float64)
        has_labels = is_classifier(self) and y.ndim == 1
        codes = np.unique(y, return_inverse=True)[1] if has_labels else y
        weights = check_weights(to_host(cast(Any, sample_weight)), y)
        return Rows(rows, y, weights, codes, MetaCallbacks(self, rows, y, weights))

    def _publish(self, learned: Attributes) -> Self:
        """Take over all that was learned by one assignment."""
        kept = {name: value for name, value in vars(self).items() if not (name.endswith("_") or name == "_cv_plus")}
        self.__dict__ = kept | learned
        return self

    def _described(self, network: BaseMLP) -> Attributes:
        """Attributes of the whole that are those of each network."""
        names = ("n_features_in_", "feature_names_in_", "classes_")
        return {name: getattr(network, name) for name in names if hasattr(network, name)}

    def _mean(self, answers: list[np.ndarray]) -> np.ndarray:
        """The mean of the networks' answers by their weights."""
        mean: np.ndarray = sum(weight * answer for weight, answer in zip(self.weights_, answers, strict=True))
        return mean

    def __getstate__(self) -> dict[str, object]:
        state = super().__getstate__()
        dropped = CALLBACKS if "estimators_" in state else ()  # as of the networks, those of a fit stay behind
        return {name: value for name, value in state.items() if name not in dropped}

    def _check_state(self) -> None:
        if not hasattr(self, "estimators_"):
            return
        if not all(isinstance(network, self.__network__) for network in self.estimators_):
            raise TypeError(f"estimators_ must be fitted {self.__network__.__name__}s")
        if np.shape(self.weights_) != (len(self.estimators_),):
            raise ValueError(f"weights_ must be one for each of {len(self.estimators_)} networks")
        if vars(self).get("_cv_plus", True) == []:
            raise TypeError("_cv_plus must have the residuals of each target")

    @abstractmethod
    def _answer(self, network: BaseMLP, X: Data) -> np.ndarray:
        """What a network answers, of which means are taken."""

    @abstractmethod
    def _members(self, network: BaseMLP, X: Data) -> np.ndarray:
        """What each of its members does, (n_members, n_rows, n_outputs)."""

    @abstractmethod
    def _mix(self, answers: np.ndarray, rows: Rows) -> np.ndarray:
        """Weights with which the mean of the networks' answers for rows that they have not seen is best."""

    @abstractmethod
    def _out_of_fold(self, rows: Rows, fold: np.ndarray, members: np.ndarray, mix: np.ndarray) -> Attributes:
        """What is known of the rows left out, by the answers of their fold's networks, which have these weights.

        members: (n_networks_of_a_fold, n_members, n_rows, n_outputs).
        """

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        of_one = get_tags(self.estimator if isinstance(self.estimator, self.__network__) else self.__network__())
        tags.input_tags.sparse, tags.input_tags.allow_nan = of_one.input_tags.sparse, of_one.input_tags.allow_nan
        tags.classifier_tags, tags.regressor_tags = of_one.classifier_tags, of_one.regressor_tags
        tags.target_tags = of_one.target_tags
        return tags


def _settled(base: BaseMLP, rows: Rows, rng: np.random.RandomState) -> tuple[BaseMLP, Rows, dict[str, float], int]:
    """The estimator with the kinds of the columns, the rows with factors of the classes, and what a selection finds.

    The number is that of the rows to train on.
    """
    spec = fit_spec(base)
    data, features = read_rows(base, rows.X, Given(rows.y, rows.weights), reset=True)
    start = starting_point(base, spec, data, features, None)
    prepared = prepare(spec, data, None, start, TrainState(rng))
    found = prepared.plan.found(spec)
    if features.encoding is not None and not isinstance(rows.X, RawTable):
        base = clone(base).set_params(categorical_features=np.flatnonzero(features.encoding.is_category).tolist())
    rows = rows._replace(factors=prepared.factors)
    return base, rows, {name: found[name] for name in SELECTED if name in found}, len(prepared.data)
