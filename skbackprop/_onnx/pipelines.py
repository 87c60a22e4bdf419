"""Whole models: what skl2onnx needs to be told of them, and errors that name the step at fault."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skbackprop._onnx.converters import register
from skbackprop._onnx.graph import require
from skbackprop._onnx.inputs import as_text, input_types
from skbackprop.tabular import plain_categories


def convert(model: Any, X: Any, dtype: Any, opset: int, name: str) -> Any:
    """Export any fitted model of scikit-learn that skl2onnx has converters for."""
    skl2onnx = require("skl2onnx")
    register()
    model, text = _with_text(model)
    types = input_types(model, X, dtype, text)
    _check_steps(model, type(model).__name__)
    final = model
    while isinstance(final, Pipeline):
        final = final.steps[-1][1]

    def export(part: Any) -> Any:
        options = {id(final): {"zipmap": False}} if part is model and is_classifier(final) else None
        opsets = {"": opset, "ai.onnx.ml": ML_OPSET}
        return skl2onnx.to_onnx(part, initial_types=types, target_opset=opsets, options=options, name=name)

    try:
        onnx_model = export(model)
    except Exception as error:
        step = _first_that_fails(model, export)
        raise ValueError(f"{step} cannot be exported to ONNX. skl2onnx says: {error}") from error
    _drop_idle_inputs(onnx_model.graph)
    require("onnx.checker").check_model(onnx_model, full_check=True)
    return onnx_model


ML_OPSET = 3  # of ai.onnx.ml, the part of ONNX that encodes categories


def _first_that_fails(model: Any, export: Any) -> str:
    """Name the first step of a Pipeline with which it cannot be exported, or the model."""
    if isinstance(model, Pipeline):
        for n, (name, step) in enumerate(model.steps[:-1], start=1):
            try:
                export(Pipeline(model.steps[:n]))
            except Exception:
                return f"Step {name!r} ({type(step).__name__})"
        name, step = model.steps[-1]
        return f"Step {name!r} ({type(step).__name__})"
    return type(model).__name__


def _children(model: Any) -> Iterator[tuple[str, Any]]:
    """Names and fitted parts of a Pipeline, FeatureUnion or ColumnTransformer."""
    parts = getattr(model, "transformers_", None) or getattr(model, "transformer_list", None)
    for name, part, *_ in parts or getattr(model, "steps", None) or ():
        if hasattr(part, "get_params"):
            yield name, part


def _check_steps(model: Any, path: str) -> None:
    """Raise for a step without a converter, naming it."""
    skl2onnx, has_children = require("skl2onnx"), False
    for name, part in _children(model):
        has_children = True
        _check_steps(part, f"{path} > {name}")
    if has_children:
        return
    try:
        skl2onnx.get_model_alias(type(model))
    except RuntimeError:
        reason = "skl2onnx has no converter for it; register one by skl2onnx.update_registered_converter"
    else:
        if not isinstance(model, FunctionTransformer) or model.func is None:
            return
        reason = "it calls a Python function"
    raise ValueError(f"Step {path} ({type(model).__name__}) cannot be exported to ONNX: {reason}.")


def _drop_idle_inputs(graph: Any) -> None:
    """Remove inputs that no node takes: columns that the model leaves out."""
    used = {name for node in graph.node for name in node.input}
    for described in [described for described in graph.input if described.name not in used]:
        graph.input.remove(described)


def _with_text(model: Any) -> tuple[Any, set[Any]]:
    """Put encoders of text in place of `plain_categories` and the encoders behind it; tell their columns."""
    if isinstance(model, Pipeline):
        steps, text = [(name, *_with_text(step)) for name, step in model.steps], set()
        for _, _, columns in steps:
            text |= columns
        model = copy.copy(model)
        model.steps = [(name, step) for name, step, _ in steps]
        first = model.steps[0][1]
        if isinstance(first, FunctionTransformer) and first.func is plain_categories:
            name, encoder = model.steps[1]
            model.steps = [(name, _text_encoder(encoder)), *model.steps[2:]]
            text = {ALL}
    elif isinstance(model, ColumnTransformer):
        text, transformers = set(), []
        for name, part, columns in model.transformers_:
            part, inside = _with_text(part)
            text |= set(columns) if inside else set()
            transformers.append((name, part, columns))
        model = copy.copy(model)
        model.transformers_ = transformers
    else:
        text = set()
    return model, text


ALL = object()  # columns that a step gets


def _text_encoder(encoder: Any) -> Any:
    encoder = copy.copy(encoder)
    encoder.categories_ = [
        np.array([as_text(c) for c in known], dtype=object) for known in encoder.categories_
    ]
    return encoder
