"""Extends local estimators for clusters: parameters, documentation, and lazy predictions."""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Callable
from numbers import Integral
from typing import Any, Literal, TypeVar

import dask
import dask.array as da
import numpy as np
import pandas as pd
from distributed import Client

from skbackprop._checks.constraints import Interval, StrOptions
from skbackprop._dask.placement import is_collection

DOC = """{summary}

The parameters are those of :class:`~skbackprop.{local}`, and four more. :meth:`to_local` converts to that class. The
same ``random_state`` gives the same model, up to rounding, for all partitions and numbers of workers. Partitions are
computed and spread evenly over the workers. Each worker concatenates its partitions and computes its part of every
minibatch in one long task. Targets and weights of all rows, but not X, are also sent to one of the workers. With
``n_threads=None`` each worker uses all of its threads.

Parameters
----------
{parameters}
client : distributed.Client, default=None
    Client of the cluster to fit on. None uses the current client. It is not pickled.
workers : list of str, default=None
    Addresses of the workers to train on, such as the keys of ``client.nthreads()``. None uses all workers. Rows are
    spread evenly over them, so a few partitions are moved, even if the collection is persisted.
sync_every : int, default=1
    Number of steps between synchronisations of the workers. With 1 every step uses the gradient of the whole minibatch.
    With k > 1 each worker makes k steps on its own rows of the minibatches; then the weights are averaged, in
    proportion to the rows used (local SGD [1]_). This sends a k-th of the messages, for slow networks, but is **not the
    same training**: the minibatches of a worker are smaller, and each optimizer has its own state.
on_worker_lost : {{'raise', 'retry'}}, default='raise'
    What to do if a worker with rows dies or leaves. 'raise' raises `WorkerLostError`. 'retry' continues on the
    remaining workers from the weights and optimizer state of the last epoch, and Dask recomputes the lost rows; 'lbfgs'
    continues without its state. 'retry' sends the weights (for Adam, three times their size) to the client in each
    epoch.

Attributes
----------
{attributes}

See Also
--------
skbackprop.{local} : The local estimator.

References
----------
.. [1] Stich, "Local SGD converges fast and communicates little", 2019.

Examples
--------
{example}
"""
NOTE = """

For a Dask collection this is lazy: instead of an ndarray it returns a Dask array with the same partitions. For a
DataFrame the number of its rows is unknown until it is computed."""
PARAMETERS: dict[str, tuple[object, object, object]] = {  # defaults, types and constraints
    "client": (None, Client | None, "no_validation"),
    "workers": (None, list[str] | None, ["array-like", None]),
    "sync_every": (1, int, [Interval(Integral, 1, None, closed="left")]),
    "on_worker_lost": ("raise", Literal["raise", "retry"], [StrOptions({"raise", "retry"})]),
}
Estimator = TypeVar("Estimator", bound=Any)


def on_cluster(cls: Estimator) -> Estimator:
    """Give an estimator the parameters and documentation of its local class, and the cluster's parameters."""
    local: Any = cls._local
    cls._parameter_constraints = cls._parameter_constraints | {name: row[2] for name, row in PARAMETERS.items()}
    signature = inspect.signature(local.__init__)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (default, kind, _) in PARAMETERS.items()
    ]

    def __init__(self: object, *args: object, **kwargs: object) -> None:
        own = {name: kwargs.pop(name, default) for name, (default, *_) in PARAMETERS.items()}
        local.__init__(self, *args, **kwargs)
        self.__dict__.update(own)

    init: Any = __init__
    init.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])
    cls.__init__ = init
    if cls.__doc__ is not None:  # python -OO has none
        # its references stay there
        text = re.sub(r"(?<! ) \[\d\]_|\[\d\]_", "", inspect.cleandoc(local.__doc__))
        _, parameters, attributes, *_ = re.split(r"\n\n(?:Parameters|Attributes|See Also)\n-+\n", text)
        summary, _, example = inspect.cleandoc(cls.__doc__).partition("\n\n")
        cls.__doc__ = DOC.format(
            summary=summary, local=local.__name__, parameters=parameters, attributes=attributes, example=example
        )
    return cls


def lazily(method: Callable[..., Any]) -> Any:
    """Extend a method of a local estimator, and its documentation, to Dask collections."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def predict(self: Any, *args: object, **kwargs: object) -> Any:
        given = signature.bind(self, *args, **kwargs).arguments
        options = {name: True for name, value in given.items() if name not in ("self", "X") and value}
        return predict_lazily(self._fitted(), method.__name__, given["X"], options)

    if method.__doc__ is not None:  # python -OO has none
        summary, newline, rest = inspect.cleandoc(method.__doc__).partition("\n")
        kinds = rest.replace("{array-like, sparse matrix}", "Dask array or DataFrame, or array-like,")
        predict.__doc__ = summary + NOTE + newline + kinds
    return predict


def predict_lazily(model: object, method: str, X: Any, options: dict[str, bool]) -> Any:
    """Results of a local model's method for a collection: Dask arrays with the chunks of X."""
    if not is_collection(X):
        return getattr(model, method)(X, **options)
    if isinstance(X, da.Array):  # predictions for a row of zeros give shapes and dtypes
        row, lengths = np.zeros((1, *X.shape[1:]), dtype=X.dtype), X.chunks[0]
    else:
        row = pd.DataFrame({name: _example(kind) for name, kind in X.dtypes.items()})
        lengths = (np.nan,) * X.npartitions
    examples = _predict(model, method, row, options, (), ())
    axes = [0] * len(examples)  # of the rows
    if options.get("return_members"):
        axes[-1] = 1  # behind the members
    predict, model = dask.delayed(_predict), dask.delayed(model, pure=True)
    parts = [predict(model, method, part, options, examples, axes) for part in np.ravel(X.to_delayed())]
    arrays = []
    for k, (example, axis) in enumerate(zip(examples, axes, strict=True)):
        blocks = []
        for n, part in zip(lengths, parts, strict=True):
            shape = (*example.shape[:axis], n, *example.shape[axis + 1 :])
            blocks.append(da.from_delayed(part[k], shape, dtype=example.dtype, meta=example[:0]))
        arrays.append(da.concatenate(blocks, axis=axis, allow_unknown_chunksizes=True))
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def _example(dtype: Any) -> pd.Series:
    """A column with one row: 0, possibly as text, or one of the categories if they are known."""
    if isinstance(dtype, pd.CategoricalDtype):
        return pd.Series(pd.Categorical(dtype.categories[:1] if len(dtype.categories) else [None], dtype=dtype))
    return pd.Series(["0" if pd.api.types.is_string_dtype(dtype) else 0]).astype(dtype)


def _predict(
    model: object,
    method: str,
    X: Any,
    options: dict[str, bool],
    examples: tuple[np.ndarray, ...],
    axes: tuple[int, ...],
) -> tuple[np.ndarray, ...]:
    """Predictions for a partition; the examples give shape and dtype for an empty one."""
    if not len(X):
        return tuple(example.take([], axis) for example, axis in zip(examples, axes, strict=True))
    prediction = getattr(model, method)(X, **options)
    return prediction if isinstance(prediction, tuple) else (prediction,)


def score(model: Any, X: object, y: object, sample_weight: object, client: Client | None) -> float:
    """The local model's score, from predictions on the workers; these, y and the weights are copied here."""
    compute = functools.partial(dask.compute, scheduler=client)
    (prediction,) = compute(predict_lazily(model, "predict", X, {}))  # Dask warns of DataFrames beside arrays
    y, sample_weight = compute(y, sample_weight)
    judge = copy.copy(model)
    judge.predict = lambda X: prediction
    return float(judge.score(None, y, sample_weight))
