"""Scores of networks and ensembles, with the checks of targets that fit has."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin

from skbackprop._checks.calls import spelled
from skbackprop._fit.data_checks import complete, indicator, labels_of_one_kind, numbers, within_floats
from skbackprop._fit.device import HOST, device_of, to_host
from skbackprop._prediction import of_one_model
from skbackprop._types import Data


def _network_of(model: Any) -> Any:
    """The model, or the first network of an ensemble; its attributes say what was learned."""
    return getattr(model, "estimators_", [model])[0]


class ScoredClassifier(ClassifierMixin):
    """`score` of classifiers."""

    @of_one_model
    @spelled
    def score(self, X: Data, y: Data, sample_weight: Data = None) -> float:
        """Return the accuracy of the predictions. For multilabel targets all labels of a row must be right.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        score : float
            Accuracy, at most 1.
        """
        y, labels = complete(y), getattr(_network_of(self), "_labels", None)
        if labels is not None and labels.multilabel and device_of(y) is HOST:
            y = indicator(y, labels.n_targets).astype(np.int64)
        with labels_of_one_kind(y), within_floats("sample_weight"):
            return float(super().score(X, y, sample_weight))


class ScoredRegressor(RegressorMixin):
    """`score` of regressors."""

    @of_one_model
    @spelled
    def score(self, X: Data, y: Any, sample_weight: Any = None) -> float:
        """Return R^2 of the predictions; for quantiles, 1 - (pinball loss / pinball loss of the best constant).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        score : float
            Score, at most 1. For several quantiles, the mean over them.
        """
        network = _network_of(self)
        if device_of(y) is HOST:  # else R^2 is computed where y is
            y = numbers(y)
            if hasattr(network, "target_shift_"):
                network._codec().check_width(y)
        if not hasattr(network, "_network") or network._network.loss != "quantile":
            with within_floats("sample_weight"):
                return float(super().score(X, y, sample_weight))
        # here, as its import takes longer than that of this package
        from sklearn.metrics import d2_pinball_score

        levels, y, sample_weight = network._network.loss_args.quantiles, to_host(y), to_host(sample_weight)
        prediction = to_host(self.predict(X)).reshape(len(y), -1, len(levels))
        y = np.reshape(y, (len(y), -1))
        scores = [
            d2_pinball_score(y, prediction[:, :, k], alpha=q, sample_weight=sample_weight) for k, q in enumerate(levels)
        ]
        return float(np.mean(scores))
