"""Lazy predictions for collections of Dask, and scores of them."""

from __future__ import annotations

import copy
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd

from skbackprop._dask.placement import is_collection


def lazily(model: Any, method: str, X: Any, **options: Any) -> Any:
    """What the local model's method gives, for a collection: arrays of Dask, cut as X is.

    options: of the method, those that are asked for True.
    """
    options = {name: True for name, wanted in options.items() if wanted}
    if not is_collection(X):
        return getattr(model, method)(X, **options)
    examples = _as_tuple(_ask(model, method, _example(model, X), options))
    row_axes = [0] * len(examples)
    if options.get("return_members"):
        row_axes[-1] = 1  # behind the members
    ask, pick, model = dask.delayed(_answers), dask.delayed(_pick), dask.delayed(model, pure=True)
    lengths = X.chunks[0] if isinstance(X, da.Array) else (np.nan,) * X.npartitions
    parts = [ask(model, method, part, options, examples, row_axes) for part in np.ravel(X.to_delayed())]
    arrays = []
    for k, (example, axis) in enumerate(zip(examples, row_axes, strict=True)):
        blocks = []
        for n, part in zip(lengths, parts, strict=True):
            shape = (*example.shape[:axis], n, *example.shape[axis + 1 :])
            blocks.append(da.from_delayed(pick(part, k), shape, dtype=example.dtype, meta=example[:0]))
        arrays.append(da.concatenate(blocks, axis=axis, allow_unknown_chunksizes=True))
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def score(model: Any, X: Any, y: Any, sample_weight: Any, client: Any) -> float:
    """The local model's score, from predictions made where X is; these, y and the weights come here."""

    def here(*wanted: Any) -> Any:
        return dask.compute(*wanted) if client is None else client.compute(wanted, sync=True)

    (prediction,) = here(lazily(model, "predict", X))
    y, sample_weight = here(y, sample_weight)
    judge = copy.copy(model)
    judge.predict = lambda X: prediction
    return float(judge.score(None, y, sample_weight))


def _ask(model: Any, method: str, X: Any, options: dict[str, Any]) -> Any:
    return getattr(model, method)(X, **options)


def _as_tuple(answer: Any) -> tuple[Any, ...]:
    return answer if isinstance(answer, tuple) else (answer,)


def _answers(
    model: Any, method: str, X: Any, options: dict[str, Any], examples: Any, row_axes: list[int]
) -> tuple[Any, ...]:
    if len(X):
        return _as_tuple(_ask(model, method, X, options))
    return tuple(example.take([], axis) for example, axis in zip(examples, row_axes, strict=True))


def _pick(answers: tuple[Any, ...], k: int) -> Any:
    return answers[k]


def _example(model: Any, X: Any) -> Any:
    """One row of zeros as X has them: its answer tells shapes and dtypes."""
    if isinstance(X, da.Array):
        return np.zeros((1, *X.shape[1:]), dtype=X.dtype)
    return pd.DataFrame({name: np.zeros(1, dtype=kind) for name, kind in X.dtypes.items()})
