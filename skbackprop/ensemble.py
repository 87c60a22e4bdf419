"""Several networks as one estimator: blended for accuracy, or each without a fold of the rows, for honest answers."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, cast

import numpy as np
from scipy.special import logsumexp
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from skbackprop._blending import blend_weights, by_fold
from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._ensemble import BaseEnsemble, Rows
from skbackprop._estimator import BaseMLP
from skbackprop._fit.device import to_host
from skbackprop._intervals import CVPlus, bounds_of, learn_residuals
from skbackprop._nn.losses import LOSSES
from skbackprop._prediction import of_one_model
from skbackprop._regressor import MLPRegressor
from skbackprop._types import Attributes, Data

__all__ = ["MLPEnsembleClassifier", "MLPEnsembleRegressor"]


class MLPEnsembleClassifier(ClassifierMixin, BaseEnsemble):
    """Networks for classification whose probabilities are averaged.

    Parameters
    ----------
    estimator : MLPSoftmaxClassifier, default=None
        The network to train several times; None: one at its defaults. Its `random_state` is set by the ensemble.
    blend : bool, default=True
        Train networks of several weight decays, the one that the selection of `weight_decay` finds and those beside it,
        and where `numeric_encoder` makes bins one with four times as many, a quarter longer than one alone. Their
        probabilities are weighed so that the log loss is least on a fifth of the rows, for which networks of half the
        width answer that are trained on the others; with ``oob_score=True`` then anew on the rows that are left out.
        For fewer than 200 rows the weights are equal.
    oob_score : bool, default=False
        Train the networks once for each of `n_folds` folds, without its rows, and average over all. Then there are
        answers for every training row by networks that have not seen it.
    n_folds : int, default=10
        Of ``oob_score=True``; every class has as many rows in each, or nearly.
    random_state : int, RandomState instance or None, default=None
        Seeds the networks and the folds.

    Attributes
    ----------
    estimators_ : list of MLPSoftmaxClassifier
        The networks: of the first fold one of each regularisation that has a weight, then those of the second fold, and
        so on.
    weights_ : ndarray of shape (n_networks,)
        Of their probabilities in the mean; none is negative, and their sum is 1.
    classes_ : ndarray of shape (n_classes,)
        Class labels; for multilabel targets the column numbers.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if X had some.
    oob_decision_function_ : ndarray of shape (n_samples, n_classes)
        With ``oob_score=True``: probabilities for the training rows, of the networks that have not seen them. NaN for
        rows that are alone in their class, which no fold leaves out.
    oob_score_ : float
        With ``oob_score=True``: their accuracy, each row's by one fold's networks, while all folds' answer later. The
        weights of a blend are found by the same rows.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skbackprop import MLPSoftmaxClassifier
    >>> from skbackprop.ensemble import MLPEnsembleClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = MLPEnsembleClassifier(MLPSoftmaxClassifier((20,)), blend=False, oob_score=True, random_state=0)
    >>> model.fit(scale(X), y).oob_score_ > 0.95
    True
    """

    classes_: np.ndarray
    oob_decision_function_: np.ndarray
    _default = MLPSoftmaxClassifier

    @of_one_model
    def predict(self, X: Data) -> np.ndarray:
        """Predict the label of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            The most probable class; for multilabel targets the labels more probable than 1/2.
        """
        return self._label(self.predict_proba(X))

    @of_one_model
    def predict_proba(self, X: Data) -> np.ndarray:
        """Probability of each class, in the order of `classes_`: the weighted mean of the networks'.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Rows sum to 1; for multilabel targets each column is the probability of its label.
        """
        check_is_fitted(self)
        X = to_host(cast(Any, X))
        return self._mean([network.predict_proba(X) for network in self.estimators_])

    @of_one_model
    def predict_log_proba(self, X: Data) -> np.ndarray:
        """Logarithm of `predict_proba`, from the networks' own logarithms.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            Natural logarithms.
        """
        check_is_fitted(self)
        each = np.stack([network.predict_log_proba(to_host(cast(Any, X))) for network in self.estimators_])
        log_p: np.ndarray = logsumexp(each, axis=0, b=self.weights_[:, None, None])
        return log_p

    def _label(self, p: np.ndarray) -> np.ndarray:
        """Labels of probabilities."""
        return (p > 0.5).astype(np.int64) if self.estimators_[0]._labels.multilabel else self.classes_[p.argmax(axis=1)]

    def _answer(self, network: BaseMLP, X: Data) -> np.ndarray:
        p: np.ndarray = network.predict_proba(X)
        return p

    def _members(self, network: BaseMLP, X: Data) -> np.ndarray:
        return self._answer(network, X)[None]  # of which no more than the mean is asked

    def _mix(self, answers: np.ndarray, rows: Rows) -> np.ndarray:
        if rows.codes.ndim == 2:
            observed = np.where(rows.codes > 0, answers, 1.0 - answers)
        else:
            observed = answers[:, np.arange(len(rows.codes)), rows.codes, None]
        return blend_weights(observed, None, rows.all_weights)

    def _out_of_fold(self, rows: Rows, fold: np.ndarray, members: np.ndarray, mix: np.ndarray) -> Attributes:
        p = np.tensordot(mix, members.mean(axis=1), 1)
        if rows.codes.ndim == 2:
            is_right = ((p > 0.5) == (rows.codes > 0)).all(axis=1)
        else:
            is_right = p.argmax(axis=1) == rows.codes
        w = np.ones(len(p)) if rows.weights is None else rows.weights
        score = float(is_right @ w / w.sum()) if w.any() else math.nan
        return {"oob_decision_function_": p, "oob_score_": score}


class MLPEnsembleRegressor(RegressorMixin, BaseEnsemble):
    """Networks for regression whose predictions are averaged, with prediction intervals.

    Parameters
    ----------
    estimator : MLPRegressor, default=None
        The network to train several times; None: one at its defaults. Its `random_state` is set by the ensemble.
    blend : bool, default=True
        Train networks of several weight decays, the one that the selection of `weight_decay` finds and those beside it,
        and where `numeric_encoder` makes bins one with four times as many, a quarter longer than one alone. Their
        predictions are weighed so that the squared error is least on a fifth of the rows, for which networks of half
        the width answer that are trained on the others; with ``oob_score=True`` then anew on the rows that are left
        out. With ``loss="quantile"`` and for fewer than 200 rows the weights are equal.
    oob_score : bool, default=False
        Train the networks once for each of `n_folds` folds, without its rows, and average over all. Then there are
        predictions of every training row by networks that have not seen it, and of those `predict` makes intervals.
    n_folds : int, default=10
        Of ``oob_score=True``.
    random_state : int, RandomState instance or None, default=None
        Seeds the networks and the folds.

    Attributes
    ----------
    estimators_ : list of MLPRegressor
        The networks: of the first fold one of each regularisation that has a weight, then those of the second fold, and
        so on.
    weights_ : ndarray of shape (n_networks,)
        Of their predictions in the mean; none is negative, and their sum is 1.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if X had some.
    oob_prediction_ : ndarray of the shape of y
        With ``oob_score=True``: predictions of the training rows by networks that have not seen them.
    oob_score_ : float
        With ``oob_score=True``: their R^2, each row's by one fold's networks, while all folds' answer later. The
        weights of a blend are found by the same rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skbackprop.ensemble import MLPEnsembleRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-2, 2, (1000, 1))
    >>> y = X[:, 0] ** 2 + rng.normal(0, 0.3, 1000)
    >>> model = MLPEnsembleRegressor(blend=False, oob_score=True, random_state=0).fit(X, y)
    >>> y_new, bounds = model.predict([[0.0], [1.0]], interval=0.9)
    >>> bounds.round(1)
    array([[-0.5,  0.5],
           [ 0.5,  1.5]])
    """

    oob_prediction_: np.ndarray
    _default = MLPRegressor
    _cv_plus: list[CVPlus]

    @of_one_model
    def predict(self, X: Data, interval: float | None = None) -> Any:
        """Predict the target of each row, in the units of y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        interval : float, default=None
            Also return bounds between which the target lies with about this probability, in (0, 1).

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions, 1-D if y was.
        bounds : ndarray of shape (n_samples, 2) or (n_samples, n_targets, 2)
            Only with an `interval`: lower and upper bounds.

        Raises
        ------
        ValueError
            If an interval is asked for without ``oob_score=True``, or one for which there are too few rows.

        Notes
        -----
        Intervals are those of CV+ [1]_: quantiles of the answers of all folds' networks plus the residuals of the rows
        that these had not seen, as many beyond either side. If training rows and new ones are exchangeable, they hold
        the target with a probability of ``2 * interval - 1 - sqrt(2 / n_samples)`` at least, whatever its distribution,
        and of about `interval` usually. That is over all rows: where targets are noisier than elsewhere, less. So
        residuals are measured by a unit of which a quarter follows the disagreement of the members of a fold's
        networks, if the interval score [2]_ of the training rows is better for it. Outside of the proof are this
        choice, what was selected for all networks at once (weight decay, epochs, a blend), and weights of rows. Each of
        several targets has intervals of its own. Losses of targets that cannot be negative have bounds from 0 on.

        References
        ----------
        .. [1] Barber, Candès, Ramdas and Tibshirani, "Predictive inference with the jackknife+", Annals of
           Statistics, 2021.
        .. [2] Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007.
        """
        check_is_fitted(self)
        X = to_host(cast(Any, X))
        if interval is None:
            return self._mean([network.predict(X) for network in self.estimators_])
        if not hasattr(self, "_cv_plus"):
            raise ValueError("An interval needs networks that have not seen some of the rows: fit with oob_score=True.")
        if not (isinstance(interval, Real) and 0.0 < interval < 1.0):
            raise ValueError(f"interval must be a number above 0 and below 1, such as 0.9; got {interval!r}.")
        n_folds = self._cv_plus[0].n_folds
        mix = self.weights_[: len(self.weights_) // n_folds] * n_folds
        folds = by_fold(self.estimators_, n_folds)
        members = [np.stack([self._members(network, X) for network in fold]) for fold in folds]
        y, bounds = bounds_of(self._cv_plus, members, mix, float(interval))
        domain = LOSSES[self._checked_base().loss].lower
        bounds = bounds if domain is None else np.maximum(bounds, domain[1])
        return (y[:, 0], bounds[:, 0]) if self.oob_prediction_.ndim == 1 else (y, bounds)

    def _answer(self, network: BaseMLP, X: Data) -> np.ndarray:
        y: np.ndarray = network.predict(X)
        return y

    def _members(self, network: BaseMLP, X: Data) -> np.ndarray:
        members: np.ndarray = network.predict(X, return_members=True)[1]
        return members if members.ndim == 3 else members[..., None]

    def _mix(self, answers: np.ndarray, rows: Rows) -> np.ndarray:
        if self._checked_base().loss == "quantile":
            return np.full(len(answers), 1.0 / len(answers))
        shape = len(rows.y), -1
        return blend_weights(answers.reshape(len(answers), *shape), rows.y.reshape(shape), rows.weights)

    def _out_of_fold(self, rows: Rows, fold: np.ndarray, members: np.ndarray, mix: np.ndarray) -> Attributes:
        from sklearn.metrics import r2_score  # here, as its import takes longer than that of this package

        y = rows.y.reshape(len(rows.y), -1)
        answers, parts = learn_residuals(y, members, mix, fold, rows.weights)
        score = float(r2_score(y, answers, sample_weight=rows.weights))
        return {"oob_prediction_": answers.reshape(rows.y.shape), "oob_score_": score, "_cv_plus": parts}
