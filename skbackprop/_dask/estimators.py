"""What makes a local estimator one for a cluster: parameters, documentation, and methods that predict lazily."""

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
NOTE = """

For a collection of Dask lazily, in its partitions: what is an ndarray below is an array of Dask then. The number of
rows of a DataFrame is not known before they are computed."""
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
    """Make of a local estimator's method one that predicts for collections of Dask, too, and says so."""
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
    """What a method of the local model gives, for a collection: arrays of Dask, cut as X is."""
    if not is_collection(X):
        return getattr(model, method)(X, **options)
    if isinstance(X, da.Array):  # predictions for a row of zeros tell shapes and dtypes
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
    """A column of one row: 0, as a text too, or one of the categories if they are known."""
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
    """Predictions for a partition; the examples tell what those of an empty one look like."""
    if not len(X):
        return tuple(example.take([], axis) for example, axis in zip(examples, axes, strict=True))
    prediction = getattr(model, method)(X, **options)
    return prediction if isinstance(prediction, tuple) else (prediction,)


def score(model: Any, X: object, y: object, sample_weight: object, client: Client | None) -> float:
    """The local model's score, from predictions made where X is; these, y and the weights come here."""
    compute = functools.partial(dask.compute, scheduler=client)
    (prediction,) = compute(predict_lazily(model, "predict", X, {}))  # alone: Dask's DataFrames warn beside arrays
    y, sample_weight = compute(y, sample_weight)
    judge = copy.copy(model)
    judge.predict = lambda X: prediction
    return float(judge.score(None, y, sample_weight))
