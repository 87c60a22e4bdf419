"""Estimators for data on a Dask cluster: the same models, trained where the rows are.

Rows are spread evenly over the workers. Each minibatch is the same as in a local fit. Every worker computes the sum of
the gradient over its own rows, and these sums are added (D7). So the weights equal those of a local fit up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Self

try:
    import dask.array
    import dask.dataframe  # noqa: F401
    import distributed
except ImportError as error:
    raise ImportError(
        "skbackprop.dask needs Dask with arrays, DataFrames and its scheduler: pip install 'skbackprop[dask]' "
        f"({error})"
    ) from error

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skbackprop._checks.arrays import check_weights, has_validation_set
from skbackprop._checks.callbacks import CALLBACKS, EstimatorCallbacks
from skbackprop._checks.constraints import fit_spec, validated, warn_without_effect
from skbackprop._checks.rows import copy_of, read_part, starting_point
from skbackprop._checks.tables import categories_in
from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._dask.client import Supervisor
from skbackprop._dask.estimators import PARAMETERS, lazily, on_cluster, score
from skbackprop._dask.job import FitRequest
from skbackprop._dask.placement import WorkerLostError, known_workers, parts_of
from skbackprop._estimator import BaseMLP
from skbackprop._fit.dataset import ArrayDataset
from skbackprop._nn import names
from skbackprop._regressor import MLPRegressor
from skbackprop._types import Data

__all__ = ["DaskMLPRegressor", "DaskMLPSoftmaxClassifier", "WorkerLostError"]


class DaskMLP(BaseMLP):
    """What makes a local estimator one for a cluster; it stands before that estimator's class."""

    _local: ClassVar[type[BaseMLP]]
    client: distributed.Client | None
    workers: Sequence[str] | None
    sync_every: int
    on_worker_lost: Literal["raise", "retry"]
    if TYPE_CHECKING:  # what `on_cluster` makes

        def __init__(
            self,
            hidden_layer_sizes: int | Sequence[int] = (100, 100),
            activation: names.Activation | Sequence[names.Activation] = "relu",
            *,
            client: distributed.Client | None = None,
            workers: Sequence[str] | None = None,
            sync_every: int = 1,
            on_worker_lost: Literal["raise", "retry"] = "raise",
            solver: names.Solver = "adam",
            learning_rate: names.LearningRate = "auto",
            **params: Any,
        ) -> None: ...

    @validated
    def fit(  # type: ignore[override]  # without a checkpoint
        self,
        X: Data,
        y: Data,
        sample_weight: Data = None,
        *,
        X_val: Data = None,
        y_val: Data = None,
        sample_weight_val: Data = None,
    ) -> Self:
        """Fit the model to rows on the cluster.

        Parameters
        ----------
        X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
            Training inputs, with chunks along the rows only. Partitions may differ in size and may be empty. Columns of
            DataFrames may hold categories, see `categorical_features`.
        y : dask.array.Array, dask.dataframe.Series or DataFrame, of shape (n_samples,) or (n_samples, n_outputs)
            Target values, in the same partitions as X. If the chunk sizes of X are known, other chunks and NumPy arrays
            are also accepted.
        sample_weight : like y, of shape (n_samples,), default=None
            Non-negative sample weights.
        X_val, y_val, sample_weight_val : like X, y and sample_weight, default=None
            Validation set and its sample weights.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        WorkerLostError
            If a worker with rows dies or leaves, and ``on_worker_lost='raise'``.
        DivergenceError
            If the loss or the weights become NaN or infinite. As with any other error, the estimator keeps its previous
            fit.
        """
        tables = {"train": parts_of(X, y, sample_weight), "validation": []}
        if has_validation_set(X_val, y_val, sample_weight_val):
            tables["validation"] = parts_of(X_val, y_val, sample_weight_val, "X_val")
        client = distributed.get_client() if self.client is None else self.client
        workers, local = known_workers(client, self.workers), self._as_local()
        spec, warm = fit_spec(local), self.warm_start and hasattr(self, "coefs_")
        warn_without_effect(local, spec, is_given=bool(tables["validation"]))
        rng = check_random_state(self.random_state)  # the fit has its own:
        rng = np.random.RandomState(rng.randint(2**31)) if self.random_state is None else copy.deepcopy(rng)
        request = FitRequest(
            spec,
            rng,
            local.__fitted_model__().features if warm else None,
            partial(read_part, local),
            partial(categories_in, local),
            check_weights,
            partial(starting_point, local, again="fit" if warm else None),
            local._scoring,
            self.sync_every,
            self.warm_start,
        )
        callbacks = EstimatorCallbacks(self, "fit", self._model_attributes)
        listening, retries = callbacks if callbacks.are_set else None, self.on_worker_lost == "retry"
        seen: tuple[Any, ...] = X, y, sample_weight
        supervisor = Supervisor(client, request, tables, workers, retries, listening, ArrayDataset(*seen))
        with local._diverging():
            result, rng = supervisor.run()
        try:
            if result is not None:
                self._finish(result, callbacks)
        finally:
            if isinstance(self.random_state, np.random.RandomState):  # it was drawn from
                self.random_state.set_state(rng.get_state())
        if result is None or supervisor.interrupted:
            raise KeyboardInterrupt
        return self

    @property
    def partial_fit(self) -> NoReturn:  # type: ignore[override]
        """Not available on clusters."""
        raise AttributeError(
            f"This {type(self).__name__} has no attribute 'partial_fit': on a cluster, fit gets all rows at once. "
            "Call partial_fit of to_local() instead."
        )

    def score(self, X: Data, y: Data, sample_weight: Data = None) -> float:
        """Score like the local estimator. Workers make the predictions; these and y are sent to this process.

        Parameters
        ----------
        X : Dask array or DataFrame, or array-like, of shape (n_samples, n_features)
            Inputs.
        y : Dask array, Series or DataFrame, or array-like
            True targets.
        sample_weight : like y, default=None
            Sample weights.

        Returns
        -------
        score : float
            Accuracy, or R^2; for quantiles, 1 - (pinball loss / pinball loss of the best constant).
        """
        return score(self._fitted(), X, y, sample_weight, self.client)

    def to_local(self) -> Any:
        """Convert to the local estimator, with the same parameters and fitted attributes.

        Returns
        -------
        model : MLPSoftmaxClassifier or MLPRegressor
            An independent copy, which does not need Dask.
        """
        return copy.deepcopy(self._as_local())

    def _as_local(self) -> BaseMLP:
        """The local estimator that shares this one's arrays."""
        return copy_of(self, without=[*PARAMETERS, *CALLBACKS], cls=self._local)

    def _fitted(self) -> BaseMLP:
        check_is_fitted(self)
        return self._as_local()

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"client": None}

    def __sklearn_clone__(self) -> Self:
        bare = copy.copy(self)  # without the client, which cannot be copied
        twin: Self = super(DaskMLP, bare).__sklearn_clone__()
        twin.client = self.client
        return twin


@on_cluster
class DaskMLPSoftmaxClassifier(DaskMLP, MLPSoftmaxClassifier):
    """Multi-layer perceptron for classification, trained on a Dask cluster.

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
    predict = lazily(MLPSoftmaxClassifier.predict)
    predict_proba = lazily(MLPSoftmaxClassifier.predict_proba)
    predict_log_proba = lazily(MLPSoftmaxClassifier.predict_log_proba)
    decision_function = lazily(MLPSoftmaxClassifier.decision_function)


@on_cluster
class DaskMLPRegressor(DaskMLP, MLPRegressor):
    """Multi-layer perceptron for regression, trained on a Dask cluster.

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
    predict = lazily(MLPRegressor.predict)
