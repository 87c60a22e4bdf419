"""Whole models: what skl2onnx needs to be told of them, and errors that name the step at fault."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, TargetEncoder

from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._estimator import BaseMLP
from skbackprop._fit.places import HOST
from skbackprop._fit.validation import home_of
from skbackprop._onnx.converters import convert_target_encoder, register, set_types_of_target_encoder
from skbackprop._onnx.graph import ML_OPSET, require
from skbackprop._onnx.inputs import input_types
from skbackprop._onnx.text import parts, plain_columns, take_text
from skbackprop._table import Table


def convert(model: Any, X: Any, dtype: Any, opset: int, name: str) -> Any:
    """Export any fitted model of scikit-learn that skl2onnx has converters for."""
    skl2onnx = require("skl2onnx")
    register()
    if hasattr(X, "columns"):
        X = _in_order(model, X)
    types = input_types(model, X, dtype, plain_columns(model))
    model = copy.deepcopy(model)
    take_text(model)
    _check_steps(model, ())
    options = _options(model)

    def export(part: Any) -> Any:
        return skl2onnx.convert_sklearn(
            part,
            name=name,
            initial_types=types,
            target_opset={"": opset, "ai.onnx.ml": ML_OPSET},
            custom_conversion_functions={TargetEncoder: convert_target_encoder},
            custom_shape_calculators={TargetEncoder: set_types_of_target_encoder},
            options=options if part is model else None,
        )

    try:
        onnx_model = export(model)
    except Exception as error:
        step = _first_that_fails(model, export)
        raise ValueError(f"{step} cannot be exported to ONNX. skl2onnx says: {error}") from error
    for used in onnx_model.opset_import:
        if used.domain == "":
            used.version = opset
    _drop_idle_inputs(onnx_model.graph)
    require("onnx.checker").check_model(onnx_model, full_check=True)
    return onnx_model


def _in_order(model: Any, X: Any) -> Any:
    """X with its columns as in the fit, if names that are no texts say which these are: skl2onnx takes their places."""
    for part in parts(model):
        names = getattr(part, "names_", None) if isinstance(part, Table) else None
        if names and not all(isinstance(name, str) for name in names):
            X, _ = part.arranged(X)
    return X


def _options(model: Any) -> dict[int, dict[str, bool]]:
    """Options of skl2onnx: probabilities as a matrix; and logits where these are what is calibrated.

    skl2onnx asks a Pipeline for them, which does not pass it on.
    """
    options = {id(_last(model)): {"zipmap": False}} if is_classifier(model) else {}
    for part in parts(model):
        if isinstance(part, CalibratedClassifierCV) and part.method != "sigmoid":
            raise ValueError(
                f"CalibratedClassifierCV(method={part.method!r}) cannot be exported to ONNX: skl2onnx rounds its curve "
                "to steps. Calibrate with method='sigmoid'."
            )
        for calibrated in getattr(part, "calibrated_classifiers_", ()):
            if isinstance(last := _last(calibrated.estimator), MLPSoftmaxClassifier):
                options[id(last)] = {"zipmap": False, "raw_scores": True}
    return options


def _last(model: Any) -> Any:
    """What stands at the end of Pipelines and searches."""
    while isinstance(model, Pipeline) or hasattr(model, "best_estimator_"):
        model = model.steps[-1][1] if isinstance(model, Pipeline) else model.best_estimator_
    return model


def _first_that_fails(model: Any, export: Any) -> str:
    """Name the first step of a Pipeline with which it cannot be exported, or the model."""
    if not isinstance(model, Pipeline):
        return _named("", model)
    for n in range(1, len(model.steps)):
        try:
            export(Pipeline(model.steps[:n]))
        except Exception:
            return _named(*model.steps[n - 1])
    return _named(*model.steps[-1])


def _children(model: Any) -> Iterator[tuple[str, Any]]:
    """Names and fitted parts of a Pipeline, FeatureUnion or ColumnTransformer."""
    parts = getattr(model, "transformers_", None) or getattr(model, "transformer_list", None)
    for name, part, *_ in parts or getattr(model, "steps", None) or ():
        if hasattr(part, "get_params"):
            yield name, part


def _check_steps(model: Any, path: tuple[str, ...]) -> None:
    """Raise for a step without a converter, naming it."""
    children = list(_children(model))
    for name, part in children:
        _check_steps(part, (*path, name))
    if children:
        return
    reason = ""
    try:
        require("skl2onnx").get_model_alias(type(model))
    except RuntimeError:
        reason = "skl2onnx has no converter for it. Register one by skl2onnx.update_registered_converter"
    if not isinstance(model, BaseMLP) and any(home_of(value) is not HOST for value in vars(model).values()):
        reason = "it was fitted to other arrays than NumPy's"
    if isinstance(model, FunctionTransformer) and model.func is not None:
        reason = "it calls a Python function"
    if reason:
        raise ValueError(f"{_named(' > '.join(path), model)} cannot be exported to ONNX: {reason}.")


def _named(path: str, model: Any) -> str:
    kind = type(model).__name__
    return f"Step {path!r} ({kind})" if path else kind


def _drop_idle_inputs(graph: Any) -> None:
    """Remove inputs that no node takes: columns that the model leaves out."""
    used = {name for node in graph.node for name in node.input}
    for described in [described for described in graph.input if described.name not in used]:
        graph.input.remove(described)
