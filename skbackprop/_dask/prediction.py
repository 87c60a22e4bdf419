"""Lazy predictions for collections of Dask, and scores of them."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
from distributed import Client

from skbackprop._dask.placement import is_collection

NOTE = """

For a collection of Dask lazily, in its partitions: what is an ndarray below is an array of Dask then. The number of
rows of a DataFrame is not known before they are computed."""


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
    """What a method of the local model gives, for a collection: arrays of Dask, cut as X is.

    options: of the method, that are True.
    """
    if not is_collection(X):
        return getattr(model, method)(X, **options)
    if isinstance(X, da.Array):  # predictions for a row of zeros tell shapes and dtypes
        row, lengths = np.zeros((1, *X.shape[1:]), dtype=X.dtype), X.chunks[0]
    else:
        row = pd.DataFrame({name: np.zeros(1, dtype=kind) for name, kind in X.dtypes.items()})
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
