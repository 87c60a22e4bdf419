"""What of scikit-learn is known to answer alike in the graph; the rest is refused, or compared on rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from skbackprop._estimator import BaseMLP
from skbackprop._fit.device import HOST, device_of
from skbackprop._interop.onnx.graph import require
from skbackprop._interop.onnx.precision import is_lossy
from skbackprop._interop.onnx.wrappers import THRESHOLDS
from skbackprop.preprocessing import PiecewiseLinearEncoder

STRUCTURE = {"Pipeline", "ColumnTransformer", "FeatureUnion"}
TRANSFORMERS = {
    "Binarizer",
    "FunctionTransformer",
    "GaussianRandomProjection",
    "IncrementalPCA",
    "KBinsDiscretizer",
    "KNNImputer",
    "MaxAbsScaler",
    "MinMaxScaler",
    "Normalizer",
    "OneHotEncoder",
    "OrdinalEncoder",
    "PCA",
    "PolynomialFeatures",
    "PowerTransformer",
    "QuantileTransformer",
    "RobustScaler",
    "SelectFdr",
    "SelectFpr",
    "SelectFromModel",
    "SelectFwe",
    "SelectKBest",
    "SelectPercentile",
    "SimpleImputer",
    "StandardScaler",
    "TargetEncoder",
    "TruncatedSVD",
    "VarianceThreshold",
}
# beside ours in an ensemble
PREDICTORS = {
    "DecisionTreeClassifier",
    "DecisionTreeRegressor",
    "ElasticNet",
    "ExtraTreesClassifier",
    "ExtraTreesRegressor",
    "GaussianNB",
    "GradientBoostingClassifier",
    "GradientBoostingRegressor",
    "KNeighborsClassifier",
    "KNeighborsRegressor",
    "Lasso",
    "LinearRegression",
    "LogisticRegression",
    "LogisticRegressionCV",
    "MLPClassifier",
    "MLPRegressor",
    "RandomForestClassifier",
    "RandomForestRegressor",
    "Ridge",
    "RidgeCV",
    "_ConstantPredictor",
}
CALIBRATED = PREDICTORS | {"AdaBoostClassifier", "LinearSVC", "RidgeClassifier", "SGDClassifier"}
CALIBRATED -= {"ExtraTreesClassifier"}
FITTED = ("estimators_", "estimator_", "final_estimator_", "calibrated_classifiers_")  # parts of an ensemble
TAKES_NAN = ("SimpleImputer", "KNNImputer", "IterativeImputer", "PiecewiseLinearEncoder")


def _of_calibration(model: Any) -> str:
    if model.method != "sigmoid":
        return "skl2onnx rounds its curve to steps. Calibrate with method='sigmoid'"
    for calibrated in model.calibrated_classifiers_:
        base = calibrated.estimator
        base = base.steps[-1][1] if isinstance(base, Pipeline) else base
        if not isinstance(base, BaseMLP) and type(base).__name__ not in CALIBRATED:
            return f"skl2onnx calibrates another answer of {type(base).__name__} than scikit-learn does"
    return ""


def _of_stacking(model: Any) -> str:
    methods = set(getattr(model, "stack_method_", ()))
    if methods - {"predict_proba"}:
        return f"skl2onnx stacks probabilities, not {sorted(methods)[0]}. Set stack_method='predict_proba'"
    return ""


def _of_one_hot(model: Any) -> str:
    if model.handle_unknown in ("warn", "infrequent_if_exist") and any(
        categories is not None for categories in getattr(model, "infrequent_categories_", [])
    ):
        return "unknown categories would not count as infrequent. Set handle_unknown='ignore'"
    return _of_categories(model)


def _of_categories(model: Any) -> str:
    """skl2onnx makes integers of numbers."""
    for known in model.categories_:
        numbers = np.asarray(known)
        if numbers.dtype.kind == "f" and not (numbers == np.round(numbers)).all():
            return "skl2onnx rounds categories that are numbers. Make texts of them"
    if type(model).__name__ == "OrdinalEncoder" and is_lossy(model):
        return "skl2onnx rounds large numbers. Make texts of them"
    return ""


def _of_bins(model: Any) -> str:
    if is_lossy(model):
        return (
            "skl2onnx rounds large numbers, so that they fall into other bins. Put a StandardScaler in front"
        )
    return ""


def _of_quantiles(model: Any) -> str:
    if (np.diff(model.quantiles_, axis=0) == 0.0).any():
        return "skl2onnx has another place for values that occur often"
    return ""


REASONS: dict[str, Callable[[Any], str]] = {  # why an estimator cannot be exported, or nothing
    "CalibratedClassifierCV": _of_calibration,
    "FunctionTransformer": lambda model: "" if model.func is None else "it calls a Python function",
    "KNNImputer": lambda model: "skl2onnx leaves the indicators out" if model.add_indicator else "",
    "KBinsDiscretizer": _of_bins,
    "Normalizer": lambda model: "skl2onnx divides by another maximum" if model.norm == "max" else "",
    "OneHotEncoder": _of_one_hot,
    "OrdinalEncoder": _of_categories,
    "QuantileTransformer": _of_quantiles,
    "SimpleImputer": lambda model: (
        "skl2onnx leaves the indicators out"
        if model.add_indicator and model.missing_values != model.missing_values
        else ""
    ),
    "StackingClassifier": _of_stacking,
}
ENSEMBLES = {
    "AdaBoostClassifier",
    "AdaBoostRegressor",
    "BaggingClassifier",
    "BaggingRegressor",
    "CalibratedClassifierCV",
    "MultiOutputClassifier",
    "MultiOutputRegressor",
    "OneVsRestClassifier",
    "RANSACRegressor",
    "StackingClassifier",
    "StackingRegressor",
    "VotingClassifier",
    "VotingRegressor",
}


def children(model: Any) -> Iterator[tuple[str, Any]]:
    """Names and fitted parts of a Pipeline, FeatureUnion, ColumnTransformer or ensemble."""
    parts = getattr(model, "transformers_", None) or getattr(model, "transformer_list", None)
    for name, part, *columns in parts or getattr(model, "steps", None) or ():
        is_idle = bool(columns) and np.size(columns[0]) == 0  # and not fitted
        if hasattr(part, "get_params") and not is_idle:
            yield name, part
    if type(model).__name__ in ENSEMBLES:
        for name in FITTED:
            found = getattr(model, name, None)
            for part in found if isinstance(found, list) else [found]:
                if part is not None and not isinstance(part, str):
                    yield name, part.estimator if name == "calibrated_classifiers_" else part


def check_steps(model: Any, path: tuple[str, ...] = ()) -> list[str]:
    """Raise for a step that cannot be exported, naming it; name those that rows must be compared for."""
    doubts = [doubt for name, part in children(model) for doubt in check_steps(part, (*path, name))]
    name, is_theirs = type(model).__name__, type(model).__module__.startswith("sklearn.")
    reason = ""
    if name not in STRUCTURE:
        try:
            require("skl2onnx").get_model_alias(type(model))
        except RuntimeError:
            reason = "skl2onnx has no converter for it. Register one by skl2onnx.update_registered_converter"
    if name in THRESHOLDS and is_theirs:
        reason = "inside another estimator its threshold would be lost. Put it around the whole model"
    elif not isinstance(model, BaseMLP) and any(
        device_of(value) is not HOST for value in vars(model).values()
    ):
        reason = "it was fitted to other arrays than NumPy's"
    elif is_theirs and name in REASONS:
        reason = REASONS[name](model)
    if name == "Pipeline":
        reason = _of_order([type(part).__name__ for _, part in model.steps])
    if reason:
        raise ValueError(f"{named(' > '.join(path), model)} cannot be exported to ONNX: {reason}.")
    known = STRUCTURE | TRANSFORMERS | PREDICTORS | ENSEMBLES
    is_ours = isinstance(model, BaseMLP | PiecewiseLinearEncoder)
    return doubts if is_ours or not is_theirs or name in known else [*doubts, named(" > ".join(path), model)]


def _of_order(names: list[str]) -> str:
    if "PowerTransformer" in names:
        behind = set(names[names.index("PowerTransformer") + 1 :]).intersection(TAKES_NAN)
        if behind:
            return "PowerTransformer in the graph does not let missing values pass. Impute before it"
    return ""


def named(path: str, model: Any) -> str:
    """An estimator, for messages."""
    kind = type(model).__name__
    if kind == "CalibratedClassifierCV" and model.method != "sigmoid":
        kind += f"(method={model.method!r})"
    return f"Step {path!r} ({kind})" if path else kind
