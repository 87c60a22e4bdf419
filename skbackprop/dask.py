"""Estimators for data on a cluster of Dask: the same models, trained where the rows are.

Rows lie on the workers, evenly. Each minibatch is that of the local fit; every worker computes the gradient's
sum over its own rows of it, and sums add up (D7), so that the weights are those of the local fit, but for rounding.
"""

from __future__ import annotations

from typing import Any, ClassVar

try:
    import dask.array
    import dask.dataframe  # noqa: F401
    import distributed  # noqa: F401
except ImportError as error:
    raise ImportError(
        "skbackprop.dask needs Dask with arrays, DataFrames and its scheduler: pip install 'skbackprop[dask]' "
        f"({error})"
    ) from error

from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._dask.answers import lazily
from skbackprop._dask.client import CLUSTER_CONSTRAINTS, DaskMLP, on_cluster
from skbackprop._dask.placement import WorkerLostError
from skbackprop._regressor import MLPRegressor
from skbackprop._types import Data

__all__ = ["DaskMLPRegressor", "DaskMLPSoftmaxClassifier", "WorkerLostError"]


@on_cluster
class DaskMLPSoftmaxClassifier(DaskMLP, MLPSoftmaxClassifier):
    """Multi-layer perceptron for classification, trained on a cluster of Dask.

    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import load_digits
    >>> from skbackprop.dask import DaskMLPSoftmaxClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y = da.from_array(X / 16, chunks=(600, -1)), da.from_array(y, chunks=600)
    >>> with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
    ...     model = DaskMLPSoftmaxClassifier(max_iter=10, random_state=0).fit(X, y)
    ...     labels = model.predict(X)  # still to be computed
    ...     print(round(model.score(X, y), 1), labels.compute()[:3])
    1.0 [0 1 2]
    """

    _local = MLPSoftmaxClassifier
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MLPSoftmaxClassifier._parameter_constraints,
        **CLUSTER_CONSTRAINTS,
    }

    def predict(self, X: Data, return_members: bool = False) -> Any:
        """Predict as the local estimator does; of a collection of Dask lazily, in its partitions.

        Parameters
        ----------
        X : Dask array or DataFrame, or array-like, of shape (n_samples, n_features)
            Inputs.
        return_members : bool, default=False
            As in the local estimator.

        Returns
        -------
        y : Dask array, or ndarray, of shape (n_samples,) or (n_samples, n_outputs)
            Predictions, and behind them what else was asked for. Of a DataFrame their number is not known before they
            are computed.
        """
        return lazily(self._fitted(), "predict", X, return_members=return_members)

    def predict_proba(self, X: Data, return_members: bool = False) -> Any:
        """Probability of each class, in the order of `classes_`; of a collection of Dask lazily.

        Parameters
        ----------
        X : Dask array or DataFrame, or array-like, of shape (n_samples, n_features)
            Inputs.
        return_members : bool, default=False
            As in the local estimator.

        Returns
        -------
        p : Dask array, or ndarray, of shape (n_samples, n_classes)
            As the local estimator's.
        """
        return lazily(self._fitted(), "predict_proba", X, return_members=return_members)

    def predict_log_proba(self, X: Data) -> Any:
        """Logarithm of `predict_proba`; of a collection of Dask lazily.

        Parameters
        ----------
        X : Dask array or DataFrame, or array-like, of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        log_p : Dask array, or ndarray, of shape (n_samples, n_classes)
            As the local estimator's.
        """
        return lazily(self._fitted(), "predict_log_proba", X)

    def decision_function(self, X: Data) -> Any:
        """Logits; of a collection of Dask lazily.

        Parameters
        ----------
        X : Dask array or DataFrame, or array-like, of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        v : Dask array, or ndarray, of shape (n_samples,) or (n_samples, n_classes)
            As the local estimator's.
        """
        return lazily(self._fitted(), "decision_function", X)


@on_cluster
class DaskMLPRegressor(DaskMLP, MLPRegressor):
    """Multi-layer perceptron for regression, trained on a cluster of Dask.

    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skbackprop.dask import DaskMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X = da.from_array(StandardScaler().fit_transform(X), chunks=(150, -1))
    >>> y = da.from_array(y, chunks=150)
    >>> with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
    ...     model = DaskMLPRegressor(max_iter=10, random_state=0).fit(X, y)
    ...     print(model.score(X, y) > 0.4)
    True
    >>> model.to_local()
    MLPRegressor(max_iter=10, random_state=0)
    """

    _local = MLPRegressor
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MLPRegressor._parameter_constraints,
        **CLUSTER_CONSTRAINTS,
    }

    def predict(self, X: Data, return_std: bool = False, return_members: bool = False) -> Any:
        """Predict as the local estimator does; of a collection of Dask lazily, in its partitions.

        Parameters
        ----------
        X : Dask array or DataFrame, or array-like, of shape (n_samples, n_features)
            Inputs.
        return_std, return_members : bool, default=False
            As in the local estimator.

        Returns
        -------
        y : Dask array, or ndarray, of shape (n_samples,) or (n_samples, n_outputs)
            Predictions, and behind them what else was asked for. Of a DataFrame their number is not known before they
            are computed.
        """
        return lazily(self._fitted(), "predict", X, return_std=return_std, return_members=return_members)
