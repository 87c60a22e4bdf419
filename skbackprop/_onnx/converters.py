"""Converters for skl2onnx, so that it exports Pipelines with our estimators and our encoder."""

from __future__ import annotations

from typing import Any

import numpy as np

from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._onnx.graph import ML_OPSET, OPSET, Graph, require
from skbackprop._onnx.outputs import codes_of_text, graph_of
from skbackprop._regressor import MLPRegressor
from skbackprop.preprocessing import PiecewiseLinearEncoder

CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}
TYPES = {  # of skl2onnx, by ONNX's number
    1: "FloatTensorType",
    7: "Int64TensorType",
    8: "StringTensorType",
    11: "DoubleTensorType",
}


def register() -> None:
    """Make our estimators known to skl2onnx; again does no harm."""
    update = require("skl2onnx").update_registered_converter
    update(
        MLPSoftmaxClassifier,
        "SkbackpropMLPSoftmaxClassifier",
        _set_types,
        _convert,
        options=CLASSIFIER_OPTIONS,
    )
    update(MLPRegressor, "SkbackpropMLPRegressor", _set_types, _convert, parser=_parse_regressor)
    update(PiecewiseLinearEncoder, "SkbackpropPiecewiseLinearEncoder", _set_types, _convert)


def _graph(operator: Any, raw_scores: bool = False) -> Graph:
    """The step's graph: in float64 behind float64, else in float32."""
    is_double = isinstance(operator.inputs[0].type, require("skl2onnx.common.data_types").DoubleTensorType)
    return graph_of(operator.raw_operator, np.float64 if is_double else np.float32, raw_scores)


def _parse_regressor(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare the outputs: one, or with loss='gaussian' two."""
    operator = scope.declare_local_operator(require("skl2onnx").get_model_alias(type(model)), model)
    operator.inputs = inputs
    for name in ("variable", "std") if model._network.loss == "gaussian" else ("variable",):
        kind = require("skl2onnx.common.data_types").guess_tensor_type(inputs[0].type)
        operator.outputs.append(scope.declare_local_variable(name, kind))
    return operator.outputs


def _set_types(operator: Any) -> None:
    """Tell types and shapes of the outputs."""
    types = require("skl2onnx.common.data_types")
    for variable, described in zip(operator.outputs, _graph(operator).outputs, strict=True):
        tensor = described.type.tensor_type
        shape = [dim.dim_value or None for dim in tensor.shape.dim]
        variable.type = getattr(types, TYPES[tensor.elem_type])(shape)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Put the step's graph into the whole one, behind a node that joins its inputs."""
    if container.target_opset < OPSET:
        raise ValueError(
            f"target_opset={container.target_opset} is too old: skbackprop needs {OPSET} or later."
        )
    model, is_mlp = operator.raw_operator, isinstance(operator.raw_operator, MLPSoftmaxClassifier)
    g = _graph(operator, is_mlp and container.get_options(model, {"raw_scores": False})["raw_scores"])
    names = {out.name: variable.full_name for out, variable in zip(g.outputs, operator.outputs, strict=True)}
    names[g.input] = _joined(scope, operator, container, g.kind)
    _add(scope, container, g, names)


def _add(scope: Any, container: Any, g: Graph, names: dict[str, str]) -> None:
    """Put a graph's constants and nodes into the whole one, under new names but for those given."""
    for tensor in g.constants:
        names[tensor.name] = scope.get_unique_variable_name(tensor.name)
        tensor.name = names[tensor.name]
        container.initializers.append(tensor)
    for node in g.nodes:
        for result in node.output:
            names.setdefault(result, scope.get_unique_variable_name(result))
        node.name = scope.get_unique_operator_name(node.op_type)
        node.input[:], node.output[:] = (
            [names[value] for value in ends] for ends in (node.input, node.output)
        )
        container.nodes.append(node)
    container.node_domain_version_pair_sets |= {("", OPSET), ("ai.onnx.ml", ML_OPSET)}


def _joined(scope: Any, operator: Any, container: Any, kind: int) -> str:
    """One matrix of ONNX's type kind from the inputs, which may be one per column."""
    columns = []
    for variable in operator.inputs:
        columns.append(scope.get_unique_variable_name("cast"))
        name = scope.get_unique_operator_name("Cast")
        container.add_node("Cast", [variable.full_name], [columns[-1]], to=kind, name=name)
    if len(columns) == 1:
        return columns[0]
    joined, name = scope.get_unique_variable_name("joined"), scope.get_unique_operator_name("Concat")
    container.add_node("Concat", columns, [joined], axis=1, name=name)
    return joined


def convert_target_encoder(scope: Any, operator: Any, container: Any) -> None:
    """Put sklearn.preprocessing.TargetEncoder into the graph, also for several classes, which skl2onnx does not."""
    g = codes_of_text(operator.raw_operator)
    names = {
        g.input: _joined(scope, operator, container, g.kind),
        g.outputs[0].name: operator.outputs[0].full_name,
    }
    _add(scope, container, g, names)


def set_types_of_target_encoder(operator: Any) -> None:
    """Tell type and shape of its output."""
    types = require("skl2onnx.common.data_types")
    operator.outputs[0].type = types.FloatTensorType([None, len(operator.raw_operator.encodings_)])
