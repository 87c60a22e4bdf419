"""Export of whole models with skl2onnx, and comparison of predictions on the user's rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, is_classifier
from sklearn.pipeline import Pipeline

from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._fit.device import to_host
from skbackprop._interop.onnx.converters import Converters, register
from skbackprop._interop.onnx.graph import ML_OPSET, require
from skbackprop._interop.onnx.inputs import feeds, input_types, name_columns, plain_columns, take_text
from skbackprop._interop.onnx.known import ENSEMBLES, SCALERS, check_steps, is_lossy, last_step, named, parts
from skbackprop._regressor import MLPRegressor

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto
    from pandas import DataFrame

ROWS = 300  # rows to compare, or up to twice as many
CLOSE = 1e-3  # tolerance for probabilities, and for a regressor's spread: far above rounding in float32
TIES = 0.01  # share of the labels that may differ by rounding


@dataclass
class Dtypes:
    """The dtypes of numeric inputs, of the outputs of scalers, and of the arithmetic of networks."""

    taken: np.dtype
    scaled: np.dtype
    networks: np.dtype

    @classmethod
    def of(cls, models: list[BaseEstimator], dtype: str | None) -> Dtypes:
        """Float32, unless float64 is asked for, or the models need digits that float32 has not.

        These go in as float64 then, up to the scaled value, or up to the networks if more than scalers need them.
        """
        lossy = [part for part in parts(models) if is_lossy(part)]
        if lossy and dtype == "float32":
            raise ValueError(
                f"dtype='float32' cannot hold the numbers that go into {type(lossy[0]).__name__}: the graph would "
                "answer otherwise than predict. Leave dtype out: then it takes them as float64."
            )
        wide, networks = np.dtype(np.float64), np.dtype(dtype or "float32")
        beyond_scalers = not all(isinstance(part, SCALERS) for part in lossy)
        ensembles = [part for part in parts(models) if type(part).__name__ in ENSEMBLES]
        has_regressors = any(isinstance(part, MLPRegressor) for part in parts(ensembles))
        if has_regressors and dtype == "float32":
            raise ValueError(
                "dtype='float32' cannot hold what regressors inside an ensemble predict, which is float64. Leave dtype "
                "out: then the graph takes and gives float64."
            )
        if ensembles and (beyond_scalers or has_regressors or any(map(is_lossy, parts(ensembles)))):
            return cls(wide, wide, wide)  # skl2onnx takes the inputs of an ensemble for its outputs
        return cls(wide if lossy else networks, wide if beyond_scalers else networks, networks)


def convert(
    model: BaseEstimator,
    X: DataFrame | ArrayLike | None,
    dtypes: Dtypes,
    opset: int,
    name: str,
    logits: bool,
    doubts: list[str],
) -> ModelProto:
    """Export a fitted model of scikit-learn for which skl2onnx has converters; the model is changed.

    A classifier of ours at the end may give logits in the place of probabilities. To the doubts are added parts that
    are not known to answer alike.
    """
    skl2onnx = require("skl2onnx")
    register()
    types = input_types(model, X, dtypes.taken, plain_columns(model))
    take_text(model)
    doubts += check_steps(model)
    if dtypes.taken == np.float64:  # which some of skl2onnx's ensembles ignore
        doubts += [named("", part) for part in parts(model) if type(part).__name__ in ENSEMBLES]
    options = _options(model, logits)

    def export(part: BaseEstimator) -> ModelProto:
        return skl2onnx.convert_sklearn(
            part,
            name=name,
            initial_types=types,
            target_opset={"": opset, "ai.onnx.ml": ML_OPSET},
            options=options if part is model else None,
            **Converters(dtypes.networks, dtypes.scaled).overrides(),
        )

    try:
        onnx_model = export(model)
        name_columns(onnx_model, [given for given, _ in types])
        _drop_idle_inputs(onnx_model.graph)
        for used in onnx_model.opset_import:
            if used.domain == "":
                used.version = opset
        require("onnx.checker").check_model(onnx_model, full_check=True)
    except Exception as error:
        step = _first_that_fails(model, export)
        raise ValueError(f"{step} cannot be exported to ONNX. skl2onnx says: {error}") from error
    return onnx_model


def _options(model: BaseEstimator, logits: bool) -> dict[int, dict[str, bool]]:
    """Options of skl2onnx: probabilities as a matrix; and logits where these are what is calibrated.

    skl2onnx asks a Pipeline for them, which does not pass it on.
    """
    options = {id(last_step(model)): {"zipmap": False}} if is_classifier(model) else {}
    if logits:
        options[id(last_step(model))]["raw_scores"] = True
    for part in parts(model):
        for calibrated in getattr(part, "calibrated_classifiers_", ()):
            if isinstance(last := last_step(calibrated.estimator), MLPSoftmaxClassifier):
                options[id(last)] = {"zipmap": False, "raw_scores": True}
    return options


def _first_that_fails(model: BaseEstimator, export: Callable[[BaseEstimator], ModelProto]) -> str:
    """Name the first step of a Pipeline that prevents the export, or the model."""
    steps = model.steps if isinstance(model, Pipeline) else [("", model)]
    for n in range(1, len(steps)):
        try:
            export(Pipeline(steps[:n]))
        except Exception:
            return named(*steps[n - 1])
    return named(*steps[-1])


def _drop_idle_inputs(graph: GraphProto) -> None:
    """Remove inputs that no node uses: columns that the model leaves out."""
    used = {name for node in graph.node for name in node.input}
    for described in [described for described in graph.input if described.name not in used]:
        graph.input.remove(described)


def compare(model: BaseEstimator, onnx_model: ModelProto, X: Any, doubts: list[str]) -> None:
    """Raise if the graph and `predict` differ on these rows, or if rows are needed and missing.

    doubts: parts that may have other results in the graph.
    """
    expected = None
    with suppress(Exception), warnings.catch_warnings():  # of no rows, and of rows that tell names and kinds only
        warnings.simplefilter("ignore")
        some = X[:: max(1, np.shape(X)[0] // ROWS)]
        expected = _answers(model, some)
    try:
        runtime = require("onnxruntime")
    except ImportError:
        expected = None
    if expected is None:
        if doubts:
            raise ValueError(
                f"{doubts[0]} is not known to answer alike in ONNX. Give rows that predict takes as X, by which that "
                "is checked (with onnxruntime installed)."
            )
        return
    outputs = [out.name for out in onnx_model.graph.output]
    if len(outputs) == 1 == len(expected):  # that of a transformer has many names
        expected = dict(zip(outputs, expected.values(), strict=True))
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # errors are raised
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
    """The expected outputs of the graph, by name."""
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
    """Tell whether outputs agree, except for rounding and labels that depend on it."""
    if np.size(theirs) != ours.size:
        return False
    theirs = np.reshape(theirs, ours.shape)
    if name == "label":
        return bool(np.sum(theirs.astype(ours.dtype) != ours) <= 1 + TIES * ours.size)
    scale = 1.0 if name == "probabilities" else np.ptp(ours) if ours.size else 0.0
    digits = 4.0 * np.finfo(np.float32).eps * np.abs(ours)  # that float32 does not have
    return bool((np.isnan(ours) | (np.abs(theirs - ours) <= CLOSE * scale + digits)).all())
