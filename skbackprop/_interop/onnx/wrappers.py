"""Estimators around a model: those that only select it are removed; others become nodes after its graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._interop.onnx.converters import affine
from skbackprop._interop.onnx.graph import Graph, require
from skbackprop._interop.onnx.known import CLASSIFIERS, THRESHOLDS, attributes, last_step
from skbackprop._interop.onnx.outputs import label_array
from skbackprop._tabular_pipeline import TabularPipeline

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

HELD = {"FrozenEstimator": "estimator", "SelfTrainingClassifier": "estimator_"}  # with the estimator that predicts
Behind: TypeAlias = "Threshold | Calibration | Inverse"  # wrappers that change a model's outputs
INVERSES: dict[Callable | None, Callable[[Graph, str], str]] = {  # of transformed targets
    None: lambda g, y: y,
    np.exp: lambda g, y: g("Exp", y),
    np.expm1: lambda g, y: g("Sub", g("Exp", y), 1.0),
    np.exp2: lambda g, y: g("Pow", 2.0, y),
    np.log: lambda g, y: g("Log", y),
    np.log1p: lambda g, y: g("Log", g("Add", y, 1.0)),
    np.sqrt: lambda g, y: g("Sqrt", y),
    np.square: lambda g, y: g("Mul", y, y),
    np.sinh: lambda g, y: g("Mul", g("Sub", g("Exp", y), g("Exp", g("Neg", y))), 0.5),
    np.negative: lambda g, y: g("Neg", y),
}


def simplified(model: BaseEstimator) -> BaseEstimator:
    """The fitted model without searches and other wrappers that only hold an estimator; it is changed in place."""
    if isinstance(model, TabularPipeline):
        model = Pipeline(model.steps)
    name = type(model).__name__
    if not type(model).__module__.startswith("sklearn."):
        return model
    held = "best_estimator_" if hasattr(model, "best_estimator_") else HELD.get(name)
    if held is not None:
        return simplified(getattr(model, held))
    for key, value in list(attributes(model).items()):
        setattr(model, key, _simplified_inside(value))
    if name == "Pipeline":  # skl2onnx does not support steps that are left out
        steps = [(key, step) for key, step in model.steps if step is not None and step != "passthrough"]
        model.steps = steps or model.steps
    if name in ("VotingClassifier", "VotingRegressor"):  # the form that skl2onnx needs
        model.flatten_transform = False
        model.weights = None if model.weights is None else np.asarray(model.weights)
    return model


def _simplified_inside(value: object) -> object:
    """An attribute with simplified estimators, also in lists, tuples and dicts."""
    if type(value) is list or type(value) is tuple:  # and no namedtuple
        return type(value)(map(_simplified_inside, value))
    if type(value) is dict:
        return {key: _simplified_inside(entry) for key, entry in value.items()}
    is_part = isinstance(value, BaseEstimator) or type(value).__name__ == "_CalibratedClassifier"
    return simplified(value) if is_part else value


def peeled(model: BaseEstimator) -> tuple[list[BaseEstimator], list[Behind]]:
    """The model without wrappers that change its outputs, and these wrappers, the innermost first.

    In a calibration there are several models, whose outputs are combined.
    """
    name = type(model).__name__
    if isinstance(model, Pipeline):
        name, last = model.steps[-1]
        cores, behind = peeled(last)
        if not behind:
            return [model], []
        return [Pipeline([*model.steps[:-1], (name, core)]) for core in cores], behind
    if name in THRESHOLDS:
        cores, behind = peeled(getattr(model, "estimator_", model.estimator))
        return cores, [*behind, Threshold.of(model, cores[0], behind)]
    if isinstance(model, TransformedTargetRegressor):
        cores, behind = peeled(model.regressor_)
        return cores, [*behind, Inverse(model.transformer_)]
    if isinstance(model, CalibratedClassifierCV) and model.method == "sigmoid":
        members = [(part.estimator, part.calibrators) for part in model.calibrated_classifiers_]
        is_ours = all(isinstance(last_step(part), CLASSIFIERS) for part, _ in members)
        if is_ours and all(len(part.classes_) == len(model.classes_) for part, _ in members):
            of_logits = hasattr(members[0][0], "decision_function")
            calibration = Calibration(model.classes_, [found for _, found in members], of_logits)
            return [part for part, _ in members], [calibration]
    return [model], []


@dataclass
class Threshold:
    """Labels by the threshold of one of THRESHOLDS."""

    classes: np.ndarray
    positive: int  # number of the class whose
    probability: float  # is enough
    other: float | None = None  # or that of the other class at or below this, which has more digits near 0

    @classmethod
    def of(cls, model: BaseEstimator, core: BaseEstimator, behind: list[Behind]) -> Threshold:
        """Read the fitted threshold; core: the classifier, followed by other wrappers."""
        name, method, classes = type(model).__name__, model.response_method, np.asarray(model.classes_)
        # of a tuned threshold only the scorer has it, in a private attribute
        is_fixed = hasattr(model, "pos_label")
        pos_label = model.pos_label if is_fixed else model._curve_scorer._get_pos_label()
        positive = 1 if pos_label is None else int(np.flatnonzero(classes == pos_label)[0])
        if method == "auto":
            method = "predict_proba" if hasattr(core, "predict_proba") else "decision_function"
        threshold = model.threshold if is_fixed else model.best_threshold_
        if isinstance(threshold, str):
            threshold = 0.5 if method == "predict_proba" else 0.0
        if method == "predict_proba":
            return cls(classes, positive, float(threshold))
        last = last_step(core)
        if not isinstance(last, MLPSoftmaxClassifier | LogisticRegression) or any(
            isinstance(part, Calibration) for part in behind
        ):
            raise ValueError(
                f"{name} cannot be exported to ONNX: it has a threshold of the decision_function of "
                f"{type(last).__name__}, which the graph does not output. Set response_method='predict_proba'."
            )
        # p = expit(decision), in whichever of the two probabilities is small
        return cls(classes, positive, float(expit(threshold)), float(expit(-threshold)))

    def add(self, g: Graph, graph: GraphProto) -> None:
        """Add it after the probabilities of the whole graph; it replaces the label."""
        classes = label_array(self.classes)
        _rename(graph, "label", f"{g.prefix}_label")
        columns = [self.positive, 1 - self.positive]
        p, q = (g.cast(g("Gather", "probabilities", g.integers(k), axis=1), np.float64) for k in columns)
        if self.other is not None and self.other < 0.5:
            is_positive = g("LessOrEqual", q, self.other)
        else:
            is_positive = g("GreaterOrEqual", p, self.probability)
        names = g.constant(classes[[1 - self.positive, self.positive]], classes.dtype, "classes")
        g("Gather", names, g.cast(is_positive, np.int64), result="label")


@dataclass
class Calibration:
    """The mean probability of several models, each calibrated by Platt's method on probabilities or logits."""

    classes: np.ndarray
    calibrators: list[list[BaseEstimator]]  # of each model those of each class, or of the second of two
    of_logits: bool

    def add(self, g: Graph, graph: GraphProto) -> None:
        """Add it after the models; it replaces their labels and probabilities."""
        classes, each = label_array(self.classes), []
        n, described = len(classes), [out for out in graph.output if out.name.endswith("probabilities")]
        for out, curves in zip(described, self.calibrators, strict=True):
            v = g.cast(out.name, np.float64)
            if n == 2:
                v = g("Gather", v, g.integers([1]), axis=1)
            a, b = ([getattr(curve, name) for curve in curves] for name in ("a_", "b_"))
            p = g("Sigmoid", g("Neg", g("Add", g("Mul", v, [a]), [b])))
            if n == 2:
                p = g("Concat", g("Sub", 1.0, p), p, axis=1)
            else:
                total = g("ReduceSum", p, g.integers([1]), keepdims=1)
                p = g("Where", g("Equal", total, 0.0), 1.0 / n, g("Div", p, total))
            each.append(p)
        p = each[0] if len(each) == 1 else g("Div", g("Sum", *each), float(len(each)))
        names = g.constant(classes, classes.dtype, "classes")
        g("Gather", names, g("ArgMax", p, axis=1, keepdims=0), result="label")
        g("Cast", p, to=described[0].type.tensor_type.elem_type, result="probabilities")
        for out, name in zip(graph.output, ("label", "probabilities"), strict=False):  # those of the first
            out.name = name
        del graph.output[2:]


@dataclass
class Inverse:
    """The inverse transformation of targets of TransformedTargetRegressor, in float64."""

    transformer: BaseEstimator

    def add(self, g: Graph, graph: GraphProto) -> None:
        """Add it after the predictions of the whole graph, and remove standard deviations, which no longer hold."""
        described = next(out for out in graph.output if out.name == "variable")
        if len(described.type.tensor_type.shape.dim) != 2:
            raise ValueError("TransformedTargetRegressor cannot be exported to ONNX: it predicts matrices.")
        _rename(graph, "variable", f"{g.prefix}_variable")
        y = self._back(g, self.transformer, g.cast(f"{g.prefix}_variable", np.float64))
        g("Identity", y, result="variable")
        described.type.tensor_type.elem_type = require("onnx").TensorProto.DOUBLE
        for other in [out for out in graph.output if out.name != "variable"]:
            graph.output.remove(other)

    def _back(self, g: Graph, transformer: BaseEstimator, y: str) -> str:
        kind = type(transformer)
        if kind is Pipeline:
            for _, step in reversed(transformer.steps):
                y = self._back(g, step, y)
            return y
        if kind is FunctionTransformer and not transformer.inv_kw_args:
            known = [add for function, add in INVERSES.items() if function is transformer.inverse_func]
            if known:
                return known[0](g, y)
        found = affine(transformer)
        if found is None or getattr(transformer, "clip", False):
            function = getattr(transformer, "inverse_func", None)
            what = kind.__name__ if function is None else f"inverse_func={getattr(function, '__name__', function)}"
            raise ValueError(
                f"TransformedTargetRegressor cannot be exported to ONNX: there are no nodes for the inverse, {what}."
                " Use a scaler, or functions such as np.log and np.exp, np.log1p and np.expm1."
            )
        scale, shift = found
        return g("Add", g("Mul", y, scale), shift)


def _rename(graph: GraphProto, old: str, new: str) -> None:
    """Rename a value of the graph."""
    for node in graph.node:
        for ends in (node.input, node.output):
            for k, name in enumerate(ends):
                if name == old:
                    ends[k] = new


def calibration_in(behind: list[Behind]) -> Calibration | None:
    """The wrapper that combines several models; None: there is one model."""
    return behind[0] if behind and isinstance(behind[0], Calibration) else None


def merged(onnx_models: list[ModelProto]) -> ModelProto:
    """One graph of several with the same inputs; their outputs get prefixes."""
    compose = require("onnx.compose")
    first, *others = [
        compose.add_prefix(onnx_model, f"member{k}_", rename_inputs=False) for k, onnx_model in enumerate(onnx_models)
    ]
    graph = first.graph
    for other in others:
        known = {described.name for described in graph.input}
        graph.input.extend(described for described in other.graph.input if described.name not in known)
        for name in ("node", "initializer", "output", "value_info"):
            getattr(graph, name).extend(getattr(other.graph, name))
        domains = {used.domain for used in first.opset_import}
        first.opset_import.extend(used for used in other.opset_import if used.domain not in domains)
    return first


def put_behind(onnx_model: ModelProto, behind: list[Behind]) -> None:
    """Add the nodes of the wrappers, and remove unused nodes."""
    graph = onnx_model.graph
    for k, part in enumerate(behind):
        g = Graph(np.float64, 0, prefix=f"behind{k}")
        part.add(g, graph)
        graph.node.extend(g.nodes)
        graph.initializer.extend(g.constants)
    used = {out.name for out in graph.output}
    for node in reversed(list(graph.node)):  # they are in the order of computation
        if used.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            used |= set(node.input)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    require("onnx.checker").check_model(onnx_model, full_check=True)
