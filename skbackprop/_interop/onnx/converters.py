"""Converters for skl2onnx, so that it exports Pipelines with this package's estimators and encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler, TargetEncoder

from skbackprop._interop.onnx.graph import ML_OPSET, OPSET, Graph, require
from skbackprop._interop.onnx.graphs import graph_of
from skbackprop._interop.onnx.inputs import names_of
from skbackprop._interop.onnx.known import CLASSIFIERS, REGRESSORS, SCALERS
from skbackprop._interop.onnx.table import encodes, means_in, means_of, read, used_columns
from skbackprop._table import Table
from skbackprop._table_encoder import TableEncoder
from skbackprop.preprocessing import PiecewiseLinearEncoder

if TYPE_CHECKING:
    from skl2onnx.common._container import ModelComponentContainer as Container
    from skl2onnx.common._topology import Operator, Scope, Variable

CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}
TEXT = 8
# of skl2onnx, by the number of the ONNX type
TYPES = {1: "FloatTensorType", 7: "Int64TensorType", TEXT: "StringTensorType", 11: "DoubleTensorType"}


@dataclass
class Converters:
    """Functions that skl2onnx calls for the steps that are converted here.

    Networks compute in one dtype and scalers output another, whatever the input dtype; None: the input dtype.
    """

    networks: DTypeLike | None = None
    scaled: DTypeLike | None = None

    def overrides(self) -> dict[str, dict[type[BaseEstimator], Callable]]:
        """Arguments of `skl2onnx.convert_sklearn` that replace registered converters and its own by these.

        TargetEncoder becomes exportable for several classes, SimpleImputer and the scalers in float64.
        """
        kinds = [*CLASSIFIERS, *REGRESSORS, Table, TableEncoder, TargetEncoder, SimpleImputer, *SCALERS]
        return {
            "custom_conversion_functions": dict.fromkeys(kinds, self.convert),
            "custom_shape_calculators": dict.fromkeys(kinds, self.set_types),
            "custom_parsers": dict.fromkeys([*REGRESSORS, Table, TableEncoder, *SCALERS], self.parse),
        }

    def parse(
        self, scope: Scope, model: BaseEstimator, inputs: list[Variable], custom_parsers: object = None
    ) -> list[Variable]:
        """Declare a step with the types of its outputs, which later steps need."""
        operator = scope.declare_local_operator(require("skl2onnx").get_model_alias(type(model)), model)
        operator.inputs = inputs
        some_type = require("skl2onnx.common.data_types").FloatTensorType()
        g = self._graph(operator)
        assert g is not None
        operator.outputs.extend(scope.declare_local_variable(described.name, some_type) for described in g.outputs)
        self.set_types(operator)
        return operator.outputs

    def set_types(self, operator: Operator) -> None:
        """Set types and shapes of the outputs."""
        g = self._graph(operator)
        if g is None:
            require("skl2onnx.common._registration").get_shape_calculator("SklearnSimpleImputer")(operator)
            return
        for variable, described in zip(operator.outputs, g.outputs, strict=True):
            tensor = described.type.tensor_type
            shape = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
            variable.type = getattr(require("skl2onnx.common.data_types"), TYPES[tensor.elem_type])(shape)

    def convert(self, scope: Scope, operator: Operator, container: Container) -> None:
        """Add the step's graph to the whole one, with new names, after a node that joins its inputs."""
        if container.target_opset < OPSET:
            raise ValueError(f"target_opset={container.target_opset} is too old: skbackprop needs {OPSET} or later.")
        model = operator.raw_operator
        asks_scores = isinstance(model, CLASSIFIERS)
        g = self._graph(operator, asks_scores and container.get_options(model, {"raw_scores": False})["raw_scores"])
        if g is None:
            convert = require("skl2onnx.common._registration").get_converter("SklearnSimpleImputer")
            convert(scope, operator, container)
            return
        names = {out.name: variable.full_name for out, variable in zip(g.outputs, operator.outputs, strict=True)}
        kinds = {described.name: described.type.tensor_type.elem_type for described in g.inputs}
        if g.takes_matrix:
            names[g.input] = _joined(scope, operator, container, kinds[g.input])
        else:
            names |= zip(kinds, _one_by_one(scope, operator, container, list(kinds.values())), strict=True)
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

    def _graph(self, operator: Operator, raw_scores: bool = False) -> Graph | None:
        """The step's graph, in float64 after float64, else in float32; None for imputers that skl2onnx converts."""
        model, types = operator.raw_operator, {type(variable.type).__name__ for variable in operator.inputs}
        dtype: DTypeLike = np.float64 if "DoubleTensorType" in types else np.float32
        is_text = "StringTensorType" in types
        if isinstance(model, SimpleImputer):
            is_gap = isinstance(model.missing_values, float) and np.isnan(model.missing_values)
            return filled(model, dtype) if is_gap and not model.add_indicator and not is_text else None
        if isinstance(model, TargetEncoder):
            return codes(model, is_text)
        if isinstance(model, SCALERS):
            return scaled(model, self.scaled or dtype, dtype)
        if isinstance(model, Table):
            return read(model, dtype)
        if isinstance(model, PiecewiseLinearEncoder):
            return graph_of(model, dtype)
        if isinstance(model, TableEncoder):
            return encodes(model, self.networks or dtype, dtype, names_of(model, None))
        return graph_of(model, self.networks or dtype, raw_scores, taken=dtype, names=names_of(model, None))


def register() -> None:
    """Register the estimators with skl2onnx; calling it again has no effect."""
    ours = Converters()
    for kind, options, parser in (
        *((kind, CLASSIFIER_OPTIONS, None) for kind in CLASSIFIERS),
        *((kind, None, ours.parse) for kind in REGRESSORS),
        (PiecewiseLinearEncoder, None, None),
        (Table, None, ours.parse),
        (TableEncoder, None, ours.parse),
    ):
        require("skl2onnx").update_registered_converter(
            kind, f"Skbackprop{kind.__name__}", ours.set_types, ours.convert, parser=parser, options=options
        )


def _joined(scope: Scope, operator: Operator, container: Container, kind: int) -> str:
    """One matrix of an ONNX type from the inputs, which may be one per column."""
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


def _one_by_one(scope: Scope, operator: Operator, container: Container, kinds: list[int]) -> list[str]:
    """The inputs in ONNX types, for an operator with one input per column."""
    text, model, given = require("skl2onnx.common.data_types").StringTensorType, operator.raw_operator, operator.inputs
    is_matrix = len(given) == 1 and set(kinds) == {kinds[0]} and isinstance(given[0].type, text) == (kinds[0] == TEXT)
    if isinstance(model, Table) and is_matrix:
        matrix = _joined(scope, operator, container, kinds[0])
        return [_column(scope, container, matrix, i) for i in used_columns(model)]
    if isinstance(model, Table) and len(given) > 1:
        by_name = {variable.raw_name: variable for variable in given}
        given = [given[i] if model.names_ is None else by_name[str(model.names_[i])] for i in used_columns(model)]
    if len(given) != len(kinds):
        raise ValueError(
            f"{type(model).__name__} takes columns of categories, which come out of the step in front of it as one "
            "matrix. Let it take the DataFrame itself, without a step in front of it."
        )
    columns = []
    for variable, kind in zip(given, kinds, strict=True):
        is_text, name = isinstance(variable.type, text), variable.full_name
        if kind == TEXT and not is_text:
            raise ValueError(f"Column {variable.raw_name!r} holds categories, and has to go in as text.")
        columns.append(name if is_text else scope.get_unique_variable_name("cast"))
        if not is_text:
            container.add_node("Cast", [name], [columns[-1]], to=kind, name=scope.get_unique_operator_name("Cast"))
    return columns


def _column(scope: Scope, container: Container, matrix: str, i: int) -> str:
    """Column i of a matrix, as a matrix."""
    found, place = (scope.get_unique_variable_name(name) for name in ("column", "place"))
    container.add_initializer(place, 7, [1], [i])
    container.add_node("Gather", [matrix, place], [found], axis=1, name=scope.get_unique_operator_name("Gather"))
    return found


def affine(scaler: BaseEstimator) -> tuple[ArrayLike, ArrayLike] | None:
    """Scale and shift of a fitted scaler, which computes (x - shift) / scale; None for other transformers."""
    scale = getattr(scaler, "scale_", None)
    scale = 1.0 if scale is None else scale
    if type(scaler) is StandardScaler:
        return scale, scaler.mean_ if scaler.with_mean else 0.0
    if type(scaler) is RobustScaler:
        return scale, 0.0 if scaler.center_ is None else scaler.center_
    if type(scaler) is MaxAbsScaler:
        return scale, 0.0
    if type(scaler) is MinMaxScaler:
        return 1.0 / scale, -scaler.min_ / scale
    return None


def scaled(scaler: BaseEstimator, dtype: DTypeLike, input_dtype: DTypeLike) -> Graph:
    """Graph of a scaler that `affine` knows, computed in the dtype of its input."""
    g = Graph(input_dtype, scaler.n_features_in_)
    scale, shift = affine(scaler) or (1.0, 0.0)
    x = g("Div", g("Sub", g.input, shift), scale)
    if getattr(scaler, "clip", False):
        x = g("Clip", x, *scaler.feature_range)
    g.output("variable", g.cast(x, dtype), [scaler.n_features_in_], dtype)
    return g


def filled(imputer: SimpleImputer, dtype: DTypeLike) -> Graph:
    """Graph of an imputer of numbers, without the columns that had no values in fit."""
    fill = np.asarray(imputer.statistics_, dtype=np.float64)
    g, kept = Graph(dtype, len(fill)), np.flatnonzero(~np.isnan(fill))
    x = g.input if len(kept) == len(fill) else g("Gather", g.input, g.integers(kept), axis=1)
    g.output("variable", g("Where", g("IsNaN", x), fill[kept][None, :], x), [len(kept)])
    return g


def codes(encoder: TargetEncoder, is_text: bool) -> Graph:
    """Graph of a TargetEncoder: the index of the category selects a row of a table; 0 is for unknown ones."""
    g = Graph(np.float32, len(encoder.categories_), input_dtype=object if is_text else np.float64)
    found = []
    for j, known in enumerate(encoder.categories_):
        if is_text:
            found.append(means_of(g, encoder, j, g("Gather", g.input, g.integers([j]), axis=1)))
            continue
        x = g("Gather", g.input, g.integers([j]), axis=1)
        is_it = g("Equal", x, g.constant(known, np.float64))
        number = g.cast(g("MatMul", g.cast(is_it, np.float32), np.arange(1, len(known) + 1)), np.int64)
        found.append(g("Gather", g.constant(means_in(encoder, j)), number, axis=0))
    g.output("variable", g("Concat", *found, axis=1), [len(encoder.encodings_)])
    return g
