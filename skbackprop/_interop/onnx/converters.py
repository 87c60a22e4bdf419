"""Converters for skl2onnx, so that it exports Pipelines with our estimators and our encoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._estimator import BaseMLP
from skbackprop._interop.onnx.graph import ML_OPSET, OPSET, Graph, require
from skbackprop._interop.onnx.outputs import codes_of_numbers, codes_of_text, graph_of, scaled
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


_dtypes: ContextVar[tuple[Any, Any]] = ContextVar("dtypes", default=(None, None))


@contextmanager
def computing_in(networks: Any, scaled: Any) -> Iterator[None]:
    """Inside, networks compute in one dtype, and scalers give another, whatever comes in."""
    token = _dtypes.set((networks, scaled))
    try:
        yield
    finally:
        _dtypes.reset(token)


def _is_double(operator: Any) -> bool:
    types = require("skl2onnx.common.data_types")
    return any(isinstance(variable.type, types.DoubleTensorType) for variable in operator.inputs)


def _graph(operator: Any, raw_scores: bool = False) -> Graph:
    """The step's graph: in float64 behind float64, else in float32, unless a dtype was asked for."""
    dtype = np.float64 if _is_double(operator) else np.float32
    if isinstance(operator.raw_operator, BaseMLP):
        dtype = _dtypes.get()[0] or dtype
    return graph_of(operator.raw_operator, dtype, raw_scores)


def _parse_regressor(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare the outputs: one, or with loss='gaussian' two."""
    operator = scope.declare_local_operator(require("skl2onnx").get_model_alias(type(model)), model)
    operator.inputs = inputs
    for name in ("variable", "std") if model.__fitted_model__().network.loss == "gaussian" else ("variable",):
        kind = require("skl2onnx.common.data_types").guess_tensor_type(inputs[0].type)  # until `_set_types`
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
    strings = require("skl2onnx.common.data_types").StringTensorType
    is_text = any(isinstance(variable.type, strings) for variable in operator.inputs)
    g = (codes_of_text if is_text else codes_of_numbers)(operator.raw_operator)
    names = {
        g.input: _joined(scope, operator, container, g.kind),
        g.outputs[0].name: operator.outputs[0].full_name,
    }
    _add(scope, container, g, names)


def set_types_of_target_encoder(operator: Any) -> None:
    """Tell type and shape of its output."""
    types = require("skl2onnx.common.data_types")
    operator.outputs[0].type = types.FloatTensorType([None, len(operator.raw_operator.encodings_)])


def _is_plain(operator: Any) -> bool:
    """Tell whether an imputer fills in numbers where they are missing."""
    strings = require("skl2onnx.common.data_types").StringTensorType
    model = operator.raw_operator
    is_gap = isinstance(model.missing_values, float) and np.isnan(model.missing_values)
    return is_gap and not model.add_indicator and not isinstance(operator.inputs[0].type, strings)


def convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    """Put sklearn.impute.SimpleImputer into the graph, in float64 too, which skl2onnx does not."""
    if not _is_plain(operator):
        require("skl2onnx.common._registration").get_converter("SklearnSimpleImputer")(
            scope, operator, container
        )
        return
    fill = np.asarray(operator.raw_operator.statistics_, dtype=np.float64)
    g = Graph(np.float64 if _is_double(operator) else np.float32, len(fill))
    x, kept = g.input, np.flatnonzero(~np.isnan(fill))
    if len(kept) < len(fill):  # columns without any value
        x = g("Gather", x, g.integers(kept), axis=1)
    g.output("variable", g("Where", g("IsNaN", x), fill[kept][None, :], x), [len(kept)])
    names = {g.input: _joined(scope, operator, container, g.kind)}
    _add(scope, container, g, names | {g.outputs[0].name: operator.outputs[0].full_name})


def set_types_of_imputer(operator: Any) -> None:
    """Tell type and shape of its output."""
    types = require("skl2onnx.common.data_types")
    if not _is_plain(operator):
        require("skl2onnx.common._registration").get_shape_calculator("SklearnSimpleImputer")(operator)
        return
    kind = types.DoubleTensorType if _is_double(operator) else types.FloatTensorType
    operator.outputs[0].type = kind([None, int(np.sum(~np.isnan(operator.raw_operator.statistics_)))])


def _scaled(operator: Any) -> Graph:
    taken = np.float64 if _is_double(operator) else np.float32
    return scaled(operator.raw_operator, _dtypes.get()[1] or taken, taken)


def convert_scaler(scope: Any, operator: Any, container: Any) -> None:
    """Put a scaler into the graph, in float64 up to the scaled value where that comes in."""
    g = _scaled(operator)
    names = {g.input: _joined(scope, operator, container, g.kind)}
    _add(scope, container, g, names | {g.outputs[0].name: operator.outputs[0].full_name})


def set_types_of_scaler(operator: Any) -> None:
    """Tell type and shape of its output."""
    types, tensor = require("skl2onnx.common.data_types"), _scaled(operator).outputs[0].type.tensor_type
    kind = getattr(types, TYPES[tensor.elem_type])
    operator.outputs[0].type = kind([None, operator.raw_operator.n_features_in_])


def parse_scaler(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare its output with the type that it will have, for what stands behind it to see."""
    types, skl2onnx = require("skl2onnx.common.data_types"), require("skl2onnx")
    operator = scope.declare_local_operator(skl2onnx.get_model_alias(type(model)), model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("variable", types.FloatTensorType()))
    set_types_of_scaler(operator)
    return operator.outputs
