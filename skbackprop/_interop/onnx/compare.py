"""The last net: rows that the user gave go through the graph, which must answer as `predict` does."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from skbackprop._fit.device import to_host
from skbackprop._interop.onnx.graph import require
from skbackprop._interop.onnx.inputs import feeds

if TYPE_CHECKING:
    from onnx import ModelProto

ROWS = 300  # that are compared, or up to twice as many
CLOSE = 1e-3  # far more than rounding in float32 explains, of probabilities, and of a regressor's spread
TIES = 0.01  # share of the labels that rounding may decide


def compare(model: BaseEstimator, onnx_model: ModelProto, X: Any, doubts: list[str]) -> None:
    """Raise if the graph answers otherwise than the model for these rows, or if they are needed and missing.

    doubts: parts that are not known to answer alike.
    """
    if X is not None:
        try:
            runtime = require("onnxruntime")
        except ImportError:
            X = None
    if X is not None:
        outputs = {out.name for out in onnx_model.graph.output}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                some = X[:: max(1, np.shape(X)[0] // ROWS)]
                expected = _answers(model, some)
                if len(outputs) == 1 == len(expected):  # that of a transformer has many names
                    expected = dict(zip(outputs, expected.values(), strict=True))
            except Exception:  # rows that tell names and kinds only
                X = None
    if X is None:
        if doubts:
            raise ValueError(
                f"{doubts[0]} is not known to answer alike in ONNX. Give rows that predict takes as X, by which that "
                "is checked (with onnxruntime installed)."
            )
        return
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    try:
        session = runtime.InferenceSession(onnx_model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = session.run(list(expected), feeds(onnx_model, some))
    except Exception as error:
        raise ValueError(
            f"{type(model).__name__} cannot be exported to ONNX: the graph does not run. {error}"
        ) from error
    for (name, ours), theirs in zip(expected.items(), found, strict=True):
        if not _are_alike(name, ours, theirs):
            raise ValueError(
                f"{type(model).__name__} cannot be exported to ONNX: for some of the rows of X the graph's {name!r} is "
                f"another than predict's{f'; perhaps by {doubts[0]}' if doubts else ''}."
            )


def _answers(model: BaseEstimator, X: Any) -> dict[str, np.ndarray]:
    """What the graph should give, by the names of its outputs."""
    if not hasattr(model, "classes_"):
        answer = model.predict(X) if hasattr(model, "predict") else model.transform(X)
        return {"variable": np.asarray(to_host(answer), dtype=np.float64)}
    answers = {"label": np.asarray(to_host(model.predict(X)))}
    if hasattr(model, "predict_proba"):
        p = to_host(model.predict_proba(X))
        if isinstance(p, np.ndarray) and p.ndim == 2:
            answers["probabilities"] = p
    return answers


def _are_alike(name: str, ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Tell whether answers agree but for rounding, and for labels that it decides."""
    if np.size(theirs) != ours.size:
        return False
    theirs = np.reshape(theirs, ours.shape)
    if name == "label":
        return bool(np.sum(theirs.astype(ours.dtype) != ours) <= 1 + TIES * ours.size)
    scale = 1.0 if name == "probabilities" else np.ptp(ours) if ours.size else 0.0
    digits = 4.0 * np.finfo(np.float32).eps * np.abs(ours)  # that float32 does not have
    return bool((np.isnan(ours) | (np.abs(theirs - ours) <= CLOSE * scale + digits)).all())
