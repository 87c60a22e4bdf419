"""What both estimators for clusters share: fit, score, the way back to the local one, and their documentation."""

from __future__ import annotations

import copy
import inspect
import re
from contextlib import suppress
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Literal, NoReturn

import distributed
import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skbackprop._checks.arrays import check_weights, has_validation_set
from skbackprop._checks.callbacks import EstimatorCallbacks, with_callbacks, without_callbacks
from skbackprop._checks.constraints import (
    Interval,
    StrOptions,
    fit_context,
    fit_spec,
    idle_parameters,
    warn_without_effect,
)
from skbackprop._checks.rows import read_part, starting_point
from skbackprop._dask.answers import score
from skbackprop._dask.fitting import Supervisor
from skbackprop._dask.placement import parts_of, place
from skbackprop._dask.request import FitRequest
from skbackprop._fit.dataset import ArrayDataset
from skbackprop._types import Data

CLUSTER_PARAMETERS = ("client", "workers", "sync_every", "on_worker_lost")
DOC = """{summary}

All parameters are those of :class:`~skbackprop.{local}`, which :meth:`to_local` gives; the same ``random_state`` gives
the same model, to rounding, however the rows are cut and wherever they lie. Partitions are computed and spread
evenly; each worker joins those that it then holds, and does its part of every minibatch in one long task. Targets and
weights of all rows, unlike X, also come to one of these workers. ``n_threads=None`` takes as many threads as a worker
has.

Parameters
----------
{parameters}
client : distributed.Client, default=None
    Of the cluster to fit on; None takes the current one. It is not pickled.
workers : list of str, default=None
    Addresses of the workers to train on, such as the keys of ``client.nthreads()``; None means all. Rows are spread
    evenly over them: a few partitions move, also of persisted collections.
sync_every : int, default=1
    1: every step is that of the whole minibatch. k > 1: workers make k steps of their own, each with its rows of the
    minibatches, and then take the mean of their weights, by the rows they saw (local SGD [1]_). That is a k-th of the
    messages, for slow networks, but **not the same training**: a worker's minibatches are smaller, and its optimizer
    keeps its own memory.
on_worker_lost : {{'raise', 'retry'}}, default='raise'
    What to do when a worker with rows dies or leaves: raise `WorkerLostError`, or go on from the last epoch's weights
    and optimizer memory on the workers left, for which Dask computes the lost rows again. L-BFGS goes on without its
    memory. To retry costs a message of the size of the weights (Adam: three times that) to the client in each epoch.

Attributes
----------
{attributes}

See Also
--------
skbackprop.{local} : The local estimator, with all parameters and attributes explained.

References
----------
.. [1] Stich, "Local SGD converges fast and communicates little", 2019.

Examples
--------
{example}
"""


def has_no_stream(estimator: Any) -> NoReturn:
    """Tell that there is no partial_fit."""
    raise AttributeError(
        f"{type(estimator).__name__} has no partial_fit: rows of a cluster are there all at once. to_local() has it."
    )


class DaskMLP:
    """What makes a local estimator one for a cluster; it stands before that estimator's class."""

    _local: ClassVar[Any]
    client: Any
    workers: Any
    sync_every: int
    on_worker_lost: str

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self: Any,
        X: Data,
        y: Data,
        sample_weight: Data = None,
        *,
        X_val: Data = None,
        y_val: Data = None,
        sample_weight_val: Data = None,
    ) -> Any:
        """Fit the model to rows on the cluster.

        Parameters
        ----------
        X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
            Training inputs, cut between rows only. Partitions may differ in size, and be empty.
        y : dask.array.Array, dask.dataframe.Series or DataFrame, of shape (n_samples,) or (n_samples, n_outputs)
            Targets, in the partitions of X. With an X whose chunks are known, other chunks and NumPy arrays will do.
        sample_weight : like y, of shape (n_samples,), default=None
            Non-negative weights.
        X_val, y_val, sample_weight_val : like X, y and sample_weight, default=None
            A validation set of your own.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        WorkerLostError
            If a worker that held rows dies or leaves, and ``on_worker_lost='raise'``.
        DivergenceError
            If the loss or the weights cease to be finite. As with any other error, an earlier fit of this estimator
            stays as it was.
        """
        tables = {"train": parts_of(X, y, sample_weight), "validation": []}
        if has_validation_set(X_val, y_val, sample_weight_val):
            tables["validation"] = parts_of(X_val, y_val, sample_weight_val, "X_val")
        client, local = self._client(), self._with_state()
        workers, parameters = self._workers(client), local.get_params(deep=False)
        spec, warm = fit_spec(parameters), self.warm_start and hasattr(self, "coefs_")
        splits = spec.splits and not tables["validation"]
        has_validation = splits or bool(tables["validation"])
        warn_without_effect(local, idle_parameters(spec, has_validation=has_validation, splits=splits))
        request = FitRequest(
            spec,
            _own_numbers(self.random_state),
            local.__fitted_model__().features if warm else None,
            partial(read_part, local),
            check_weights,
            partial(starting_point, local, again="fit" if warm else None),
            local._scoring,
            self.sync_every,
        )
        retries = self.on_worker_lost == "retry"
        supervisor = Supervisor(client, request, lambda: place(client, tables, workers), retries)
        callbacks = EstimatorCallbacks(self, "fit", self._model_attributes)
        if getattr(self, "_skl_callbacks", None):
            supervisor.callbacks, supervisor.sample = callbacks, ArrayDataset(X, y, sample_weight)
        with local._diverging():
            report = supervisor.run()
        result, interrupt = report.result, KeyboardInterrupt() if report.interrupted else None
        rng = report.rng if result is None else result.state.rng
        if result is not None:
            with suppress(KeyboardInterrupt):  # until random_state is told, too
                self._finish(result._replace(interrupt=interrupt), callbacks)
        if isinstance(self.random_state, np.random.RandomState):  # it was drawn from
            self.random_state.set_state(rng.get_state())
        if interrupt is not None:
            raise interrupt
        return self

    @available_if(has_no_stream)
    def partial_fit(self, *data: Data, **more: Data) -> NoReturn:
        """Not for clusters."""
        has_no_stream(self)

    def score(self, X: Data, y: Data, sample_weight: Data = None) -> float:
        """Score as the local estimator does: predictions are made where X is; these and y come to this process.

        Parameters
        ----------
        X : Dask array or DataFrame, or array-like, of shape (n_samples, n_features)
            Inputs.
        y : Dask array, Series or DataFrame, or array-like
            True targets.
        sample_weight : like y, default=None
            Weights of the rows.

        Returns
        -------
        score : float
            Accuracy, or R^2 (quantiles: 1 - pinball loss / that of the best constant).
        """
        return score(self._fitted(), X, y, sample_weight, self.client)

    def to_local(self) -> Any:
        """Make the ordinary estimator, with this one's parameters and all that it has learned.

        Returns
        -------
        model : MLPSoftmaxClassifier or MLPRegressor
            Independent of Dask; a copy whose weights are its own.
        """
        return copy.deepcopy(self._with_state())

    def _with_state(self) -> Any:
        """The local estimator that shares this one's arrays."""
        local = self._local.__new__(self._local)
        state = without_callbacks(self.__dict__)
        local.__dict__.update({k: v for k, v in state.items() if k not in CLUSTER_PARAMETERS})
        return local

    def _fitted(self) -> Any:
        check_is_fitted(self)
        return self._with_state()

    def _client(self) -> Any:
        client = self.client if self.client is not None else distributed.get_client()
        if client.asynchronous:
            raise ValueError("fit waits, so it needs an ordinary client: Client(..., asynchronous=False).")
        return client

    def _workers(self, client: Any) -> list[str] | None:
        if self.workers is None:
            return None
        there = sorted(client.nthreads())
        if not len(self.workers) or not set(self.workers).issubset(there):
            raise ValueError(
                f"workers must be addresses of workers of the cluster, some of {there}; got {list(self.workers)}."
            )
        return list(self.workers)

    def __getstate__(self) -> Any:
        return super().__getstate__() | {"client": None}

    def __sklearn_clone__(self) -> Any:
        bare = copy.copy(self)  # without the client, which cannot be copied
        twin: Any = super(DaskMLP, bare).__sklearn_clone__()
        twin.client = self.client
        return twin


def _own_numbers(random_state: Any) -> np.random.RandomState:
    """A generator for the fit that starts where random_state is."""
    if random_state is None:
        return np.random.RandomState(check_random_state(None).randint(2**31))
    return copy.deepcopy(check_random_state(random_state))


def on_cluster(cls: Any) -> Any:
    """Give an estimator of this module the local one's parameters and documentation, and the cluster's parameters."""
    local: Any = cls._local
    signature = inspect.signature(local.__init__)
    kind = inspect.Parameter.KEYWORD_ONLY
    more = [
        inspect.Parameter("client", kind, default=None, annotation=Any),
        inspect.Parameter("workers", kind, default=None, annotation=list[str] | None),
        inspect.Parameter("sync_every", kind, default=1, annotation=int),
        inspect.Parameter("on_worker_lost", kind, default="raise", annotation=Literal["raise", "retry"]),
    ]
    own = {parameter.name: parameter.default for parameter in more}

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        cluster = {name: kwargs.pop(name, default) for name, default in own.items()}
        local.__init__(self, *args, **kwargs)
        self.__dict__.update(cluster)

    vars(__init__)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), *more])
    cls.__init__ = __init__
    if local.__doc__ is not None:  # python -OO has none
        text = re.sub(
            r"(?<! ) \[\d\]_|\[\d\]_", "", inspect.cleandoc(local.__doc__)
        )  # its references stay there
        after = text.partition("Parameters\n----------\n")[2]
        parameters, _, after = after.partition("\n\nAttributes\n----------\n")
        attributes = after.partition("\n\nSee Also\n")[0]
        summary, _, example = inspect.cleandoc(cls.__doc__).partition("\n\n")
        cls.__doc__ = DOC.format(
            summary=summary,
            local=local.__name__,
            parameters=parameters,
            attributes=attributes,
            example=example,
        )
    return cls


CLUSTER_CONSTRAINTS: dict[str, Any] = {
    "client": "no_validation",
    "workers": ["array-like", None],
    "sync_every": [Interval(Integral, 1, None, closed="left")],
    "on_worker_lost": [StrOptions({"raise", "retry"})],
}
