"""Ensembles of networks: blended for accuracy, or trained in folds for out-of-fold predictions and intervals."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, cast

import numpy as np
from scipy.special import logsumexp
from sklearn.utils.validation import check_is_fitted

from skbackprop._blending import Rows, blend_weights, by_fold
from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._ensemble import BaseEnsemble
from skbackprop._estimator import BaseMLP
from skbackprop._fit.device import to_host
from skbackprop._intervals import CVPlus, bounds_of, learn_residuals
from skbackprop._nn.losses import LOSSES
from skbackprop._prediction import of_one_model
from skbackprop._regressor import MLPRegressor
from skbackprop._scores import ScoredClassifier, ScoredRegressor
from skbackprop._types import Attributes, Data

__all__ = ["MLPEnsembleClassifier", "MLPEnsembleRegressor"]


class MLPEnsembleClassifier(ScoredClassifier, BaseEnsemble):
    """Networks for classification whose probabilities are averaged.

    Parameters
    ----------
    estimator : MLPSoftmaxClassifier, default=None
        Network to train several times. None uses one with default parameters. The ensemble sets its `random_state`.
    blend : bool, default=True
        Whether to average networks with several weight decays: the selected `weight_decay` and its neighbours, and one
        network with four times as many bins if `numeric_encoder` makes bins. Each trains a quarter longer than a single
        network. The weights of the average minimise the log loss of networks of half the width on a held-out fifth of
        the rows, and with ``oob_score=True`` that of the out-of-fold predictions. Below 200 rows they are equal.
    oob_score : bool, default=False
        Whether to train the networks once for each of `n_folds` folds, without its rows. Predictions are the average
        over all folds, and every training row has a prediction by networks that have not seen it.
    n_folds : int, default=10
        Number of folds for ``oob_score=True``, stratified by class.
    random_state : int, RandomState instance or None, default=None
        Seed of the networks and the folds.

    Attributes
    ----------
    estimators_ : list of MLPSoftmaxClassifier
        Fitted networks, ordered by fold. Each fold has one network for each regularisation that has a weight.
    weights_ : ndarray of shape (n_networks,)
        Weights of the networks in the average. They are not negative and sum to 1.
    classes_ : ndarray of shape (n_classes,)
        Class labels. For multilabel targets, the column indices.
    n_features_in_ : int
        Number of features (columns of X).
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has any.
    oob_decision_function_ : ndarray of shape (n_samples, n_classes)
        Probabilities of the training rows by the networks that have not seen them. NaN for a row that is the only one
        of its class: no fold leaves it out. Only with ``oob_score=True``.
    oob_score_ : float
        Accuracy of these probabilities. Each row is predicted by one fold's networks, but new rows by those of all
        folds. The weights of a blend are found on the same rows. Only with ``oob_score=True``.

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
    __network__ = MLPSoftmaxClassifier

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
            The most probable class. For multilabel targets, all labels with a probability above 1/2.
        """
        return self._label(self.predict_proba(X))

    @of_one_model
    def predict_proba(self, X: Data) -> np.ndarray:
        """Predict the probability of each class, in the order of `classes_`: the weighted mean over the networks.

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
        p = self._mean([network.predict_proba(X) for network in self.estimators_])
        return np.minimum(p, 1.0)  # rounding may exceed 1

    @of_one_model
    def predict_log_proba(self, X: Data) -> np.ndarray:
        """Predict the logarithms of the class probabilities. They are computed from the networks' logarithms.

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
        log_p: np.ndarray = np.minimum(logsumexp(each, axis=0, b=self.weights_[:, None, None]), 0.0)
        return log_p

    def _label(self, p: np.ndarray) -> np.ndarray:
        """Labels of probabilities."""
        return (p > 0.5).astype(np.int64) if self.estimators_[0]._labels.multilabel else self.classes_[p.argmax(axis=1)]

    def _answer(self, network: BaseMLP, X: Data) -> np.ndarray:
        return np.asarray(network.predict_proba(X))

    def _members(self, network: BaseMLP, X: Data) -> np.ndarray:
        return self._answer(network, X)[None]  # of which no more than the mean is asked

    def _mix(self, answers: np.ndarray, rows: Rows) -> np.ndarray:
        if rows.codes.ndim == 2:
            observed = np.where(rows.codes > 0, answers, 1.0 - answers)
        else:
            observed = answers[:, np.arange(len(rows.codes)), rows.codes, None]
        return blend_weights(observed, None, rows.all_weights)

    def _out_of_fold(self, rows: Rows, fold: np.ndarray, members: np.ndarray, mix: np.ndarray) -> Attributes:
        p = np.minimum(np.tensordot(mix, members.mean(axis=1), 1), 1.0)
        if rows.codes.ndim == 2:
            is_right = ((p > 0.5) == (rows.codes > 0)).all(axis=1)
        else:
            is_right = p.argmax(axis=1) == rows.codes
        w = np.ones(len(p)) if rows.weights is None else rows.weights
        score = float(is_right @ w / w.sum()) if w.any() else math.nan
        return {"oob_decision_function_": p, "oob_score_": score}


class MLPEnsembleRegressor(ScoredRegressor, BaseEnsemble):
    """Networks for regression whose predictions are averaged, with prediction intervals.

    Parameters
    ----------
    estimator : MLPRegressor, default=None
        Network to train several times. None uses one with default parameters. The ensemble sets its `random_state`.
    blend : bool, default=True
        Whether to average networks with several weight decays: the selected `weight_decay` and its neighbours, and one
        network with four times as many bins if `numeric_encoder` makes bins. Each trains a quarter longer than a single
        network. The weights of the average minimise the squared error of networks of half the width on a held-out fifth
        of the rows, and with ``oob_score=True`` that of the out-of-fold predictions. With ``loss="quantile"``, and
        below 200 rows, they are equal.
    oob_score : bool, default=False
        Whether to train the networks once for each of `n_folds` folds, without its rows. Predictions are the average
        over all folds. Every training row has a prediction by networks that have not seen it. `predict` needs these
        out-of-fold predictions for intervals.
    n_folds : int, default=10
        Number of folds for ``oob_score=True``.
    random_state : int, RandomState instance or None, default=None
        Seed of the networks and the folds.

    Attributes
    ----------
    estimators_ : list of MLPRegressor
        Fitted networks, ordered by fold. Each fold has one network for each regularisation that has a weight.
    weights_ : ndarray of shape (n_networks,)
        Weights of the networks in the average. They are not negative and sum to 1.
    n_features_in_ : int
        Number of features (columns of X).
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has any.
    oob_prediction_ : ndarray of the shape of y
        Predictions of the training rows by networks that have not seen them. Only with ``oob_score=True``.
    oob_score_ : float
        R^2 of these predictions. Each row is predicted by one fold's networks, but new rows by those of all folds. The
        weights of a blend are found on the same rows. Only with ``oob_score=True``.

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
    __network__ = MLPRegressor
    _cv_plus: list[CVPlus]

    @of_one_model
    def predict(self, X: Data, interval: float | None = None) -> Any:
        """Predict the target of each row, in the units of y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        interval : float, default=None
            Probability, in (0, 1), of the prediction intervals to return as well. Needs ``oob_score=True``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions, 1-D if y was.
        bounds : ndarray of shape (n_samples, 2) or (n_samples, n_targets, 2)
            Lower and upper bounds. Only with an `interval`.

        Raises
        ------
        ValueError
            If an `interval` is given without ``oob_score=True``, or there are too few rows for it.

        Notes
        -----
        The intervals are those of CV+ [1]_: quantiles of each fold's prediction plus that fold's out-of-fold residuals,
        with equal shares on both sides. If training and new rows are exchangeable, they contain the target with a
        probability of at least ``2 * interval - 1 - sqrt(2 / n_samples)`` for every distribution, and usually of about
        `interval`. This is an average over all rows; where targets are noisier, it is lower. Residuals are therefore
        divided by a scale, a quarter of which follows the disagreement of the members, if this improves the interval
        score [2]_ of the training rows. The proof does not cover this choice, parameters selected once for all folds
        (weight decay, epochs, a blend), or sample weights. Each of several targets has its own intervals. For losses
        whose targets cannot be negative, bounds are at least 0.

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
        return np.asarray(network.predict(X))

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
