"""Converters for skl2onnx, so that it exports Pipelines with our estimators and our encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import TargetEncoder

from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._estimator import BaseMLP
from skbackprop._interop.onnx.graph import ML_OPSET, OPSET, Graph, require
from skbackprop._interop.onnx.outputs import codes_of_numbers, codes_of_text, filled, graph_of, scaled
from skbackprop._interop.onnx.parts import SCALERS
from skbackprop._regressor import MLPRegressor
from skbackprop.preprocessing import PiecewiseLinearEncoder

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer as Container
    from skl2onnx.common._topology import Operator, Scope, Variable
    from skl2onnx.common.data_types import DataType

CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}
# of skl2onnx, by ONNX's number
TYPES = {1: "FloatTensorType", 7: "Int64TensorType", 8: "StringTensorType", 11: "DoubleTensorType"}


def register() -> None:
    """Make our estimators known to skl2onnx; again does no harm."""
    for kind, options, parser in (
        (MLPSoftmaxClassifier, CLASSIFIER_OPTIONS, None),
        (MLPRegressor, None, _parse_regressor),
        (PiecewiseLinearEncoder, None, None),
    ):
        require("skl2onnx").update_registered_converter(
            kind, f"Skbackprop{kind.__name__}", _set_types, _convert, parser=parser, options=options
        )


def overrides() -> dict[str, dict[type[BaseEstimator], Callable]]:
    """Arguments of `skl2onnx.convert_sklearn` that put our converters in the place of some of its own.

    TargetEncoder becomes exportable for several classes, SimpleImputer and the scalers in float64.
    """
    kinds = [TargetEncoder, SimpleImputer, *SCALERS]
    return {
        "custom_conversion_functions": dict.fromkeys(kinds, _convert),
        "custom_shape_calculators": dict.fromkeys(kinds, _set_types),
        "custom_parsers": dict.fromkeys(SCALERS, _parse_scaler),
    }


_dtypes: ContextVar[tuple[DTypeLike | None, DTypeLike | None]] = ContextVar("dtypes", default=(None, None))


@contextmanager
def computing_in(networks: DTypeLike, scaled: DTypeLike) -> Iterator[None]:
    """Inside, networks compute in one dtype, and scalers give another, whatever comes in."""
    token = _dtypes.set((networks, scaled))
    try:
        yield
    finally:
        _dtypes.reset(token)


def _takes(operator: Operator, kind: str) -> bool:
    """Tell whether one of a step's inputs is of this type of skl2onnx."""
    wanted = getattr(require("skl2onnx.common.data_types"), kind)
    return any(isinstance(variable.type, wanted) for variable in operator.inputs)


def _graph(operator: Operator, raw_scores: bool = False) -> Graph | None:
    """The step's graph: in float64 behind float64, else in float32, unless a dtype was asked for.

    None for imputers that skl2onnx itself converts.
    """
    model, is_text = operator.raw_operator, _takes(operator, "StringTensorType")
    dtype: DTypeLike = np.float64 if _takes(operator, "DoubleTensorType") else np.float32
    networks, scalers = _dtypes.get()
    if isinstance(model, SimpleImputer):
        is_gap = isinstance(model.missing_values, float) and np.isnan(model.missing_values)
        return filled(model, dtype) if is_gap and not model.add_indicator and not is_text else None
    if isinstance(model, TargetEncoder):
        return codes_of_text(model) if is_text else codes_of_numbers(model)
    if isinstance(model, SCALERS):
        return scaled(model, scalers or dtype, dtype)
    return graph_of(model, networks or dtype if isinstance(model, BaseMLP) else dtype, raw_scores)


def _set_types(operator: Operator) -> None:
    """Tell types and shapes of the outputs."""
    g = _graph(operator)
    if g is None:
        require("skl2onnx.common._registration").get_shape_calculator("SklearnSimpleImputer")(operator)
        return
    for variable, described in zip(operator.outputs, g.outputs, strict=True):
        tensor = described.type.tensor_type
        shape = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
        variable.type = getattr(require("skl2onnx.common.data_types"), TYPES[tensor.elem_type])(shape)


def _declare(scope: Scope, model: BaseEstimator, inputs: list[Variable], outputs: dict[str, DataType]) -> Operator:
    """Declare a step with outputs of these names and types."""
    operator = scope.declare_local_operator(require("skl2onnx").get_model_alias(type(model)), model)
    operator.inputs = inputs
    operator.outputs.extend(scope.declare_local_variable(name, kind) for name, kind in outputs.items())
    return operator


def _parse_regressor(
    scope: Scope, model: MLPRegressor, inputs: list[Variable], custom_parsers: object = None
) -> list[Variable]:
    """Declare the outputs: one, or with loss='gaussian' two."""
    names = ("variable", "std") if model.__fitted_model__().network.loss == "gaussian" else ("variable",)
    kind = require("skl2onnx.common.data_types").guess_tensor_type(inputs[0].type)  # until `_set_types`
    return _declare(scope, model, inputs, dict.fromkeys(names, kind)).outputs


def _parse_scaler(
    scope: Scope, model: BaseEstimator, inputs: list[Variable], custom_parsers: object = None
) -> list[Variable]:
    """Declare a scaler's output with the type that it will have, for what stands behind it to see."""
    kind = require("skl2onnx.common.data_types").FloatTensorType()
    operator = _declare(scope, model, inputs, {"variable": kind})
    _set_types(operator)
    return operator.outputs


def _convert(scope: Scope, operator: Operator, container: Container) -> None:
    """Put the step's graph into the whole one, under new names, behind a node that joins its inputs."""
    if container.target_opset < OPSET:
        raise ValueError(f"target_opset={container.target_opset} is too old: skbackprop needs {OPSET} or later.")
    model = operator.raw_operator
    asks_scores = isinstance(model, MLPSoftmaxClassifier)
    g = _graph(operator, asks_scores and container.get_options(model, {"raw_scores": False})["raw_scores"])
    if g is None:
        convert = require("skl2onnx.common._registration").get_converter("SklearnSimpleImputer")
        convert(scope, operator, container)
        return
    names = {out.name: variable.full_name for out, variable in zip(g.outputs, operator.outputs, strict=True)}
    names[g.input] = _joined(scope, operator, container, g.kind)
    for tensor in g.constants:
        names[tensor.name] = scope.get_unique_variable_name(tensor.name)
        tensor.name = names[tensor.name]
        container.initializers.append(tensor)
    for node in g.nodes:
        for result in node.output:
            names.setdefault(result, scope.get_unique_variable_name(result))
        node.name = scope.get_unique_operator_name(node.op_type)
        node.input[:], node.output[:] = ([names[value] for value in ends] for ends in (node.input, node.output))
        container.nodes.append(node)
    container.node_domain_version_pair_sets |= {("", OPSET), ("ai.onnx.ml", ML_OPSET)}


def _joined(scope: Scope, operator: Operator, container: Container, kind: int) -> str:
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
