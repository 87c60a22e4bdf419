"""The parts of a fitted scikit-learn model, and which of them have the same results in the graph.

Other parts raise an error, or are compared on rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from skbackprop._checks.tables import encoding_of
from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._ensemble import BaseEnsemble
from skbackprop._estimator import BaseMLP
from skbackprop._fit.device import HOST, device_of
from skbackprop._fit.inputs import InputEncoding
from skbackprop._interop.onnx.graph import require
from skbackprop._regressor import MLPRegressor
from skbackprop._table import Table
from skbackprop._table_encoder import TableEncoder
from skbackprop.ensemble import MLPEnsembleClassifier, MLPEnsembleRegressor
from skbackprop.preprocessing import PiecewiseLinearEncoder

CLASSIFIERS, REGRESSORS = (MLPSoftmaxClassifier, MLPEnsembleClassifier), (MLPRegressor, MLPEnsembleRegressor)
SCALERS = (StandardScaler, RobustScaler, MinMaxScaler)  # whose results fit float32
LOSS = 2e-5  # largest change of a scaled value by rounding to float32
EPS = 2.0**-24  # relative error of that rounding
STRUCTURE = {"Pipeline", "ColumnTransformer", "FeatureUnion"}
TRANSFORMERS = (
    {"MaxAbsScaler", "MinMaxScaler", "Normalizer", "PowerTransformer", "QuantileTransformer", "RobustScaler"}
    | {"StandardScaler", "Binarizer", "FunctionTransformer", "KBinsDiscretizer", "PolynomialFeatures"}
    | {"KNNImputer", "SimpleImputer", "OneHotEncoder", "OrdinalEncoder", "TargetEncoder"}
    | {"GaussianRandomProjection", "IncrementalPCA", "PCA", "TruncatedSVD", "VarianceThreshold"}
    | {"SelectFdr", "SelectFpr", "SelectFromModel", "SelectFwe", "SelectKBest", "SelectPercentile"}
)
PREDICTORS = (  # of other estimators in an ensemble
    {"DecisionTreeClassifier", "ExtraTreesClassifier", "GradientBoostingClassifier", "GaussianNB"}
    | {"DecisionTreeRegressor", "ExtraTreesRegressor", "GradientBoostingRegressor", "_ConstantPredictor"}
    | {"RandomForestClassifier", "RandomForestRegressor", "KNeighborsClassifier", "KNeighborsRegressor"}
    | {"ElasticNet", "Lasso", "LinearRegression", "LogisticRegression", "LogisticRegressionCV", "Ridge"}
    | {"MLPClassifier", "MLPRegressor", "RidgeCV"}
)
CALIBRATED = PREDICTORS | {"AdaBoostClassifier", "LinearSVC", "RidgeClassifier", "SGDClassifier"}
CALIBRATED -= {"ExtraTreesClassifier"}
FITTED = ("estimators_", "estimator_", "final_estimator_", "calibrated_classifiers_")  # parts of an ensemble
TAKES_NAN = {"SimpleImputer", "KNNImputer", "IterativeImputer", "PiecewiseLinearEncoder"}
THRESHOLDS = {"FixedThresholdClassifier", "TunedThresholdClassifierCV"}


def attributes(estimator: BaseEstimator) -> dict[str, object]:
    """Parameters and fitted attributes."""
    return vars(estimator)  # of unknown classes, for which scikit-learn has no list


def parts(value: object) -> Iterator[BaseEstimator]:
    """Estimators inside a value, in their lists, tuples, dicts and attributes, itself included."""
    inside: list[object] = []
    if isinstance(value, dict):
        inside = list(value.values())
    elif isinstance(value, list | tuple):
        inside = list(value)
    elif hasattr(value, "__dict__") and type(value).__module__.startswith(("sklearn.", "skbackprop.")):
        yield value
        inside = [] if isinstance(value, BaseMLP) else list(attributes(value).values())
    for part in inside:
        yield from parts(part)


def last_step(model: BaseEstimator) -> BaseEstimator:
    """The last step of nested Pipelines."""
    while isinstance(model, Pipeline):
        model = model.steps[-1][1]
    return model


def encoding_in(model: BaseEstimator) -> InputEncoding | None:
    """The encoding of a fitted estimator, or of the first network of an ensemble; None: there is none."""
    return encoding_of(model.estimators_[0] if isinstance(model, BaseEnsemble) else model)


@np.errstate(all="ignore")
def is_lossy(part: BaseEstimator) -> bool:
    """Tell whether inputs such as identifiers and Unix times would lose needed digits in float32."""
    ratios: list[np.ndarray | float] = []  # ratio of numbers to the differences that matter
    if isinstance(part, StandardScaler | RobustScaler):
        center = getattr(part, "mean_" if isinstance(part, StandardScaler) else "center_", None)
        scale = getattr(part, "scale_", None)
        if center is not None:
            ratios.append(np.abs(center) / (1.0 if scale is None else scale))
    elif isinstance(part, MinMaxScaler) and hasattr(part, "data_range_"):
        ratios.append(np.maximum(np.abs(part.data_min_), np.abs(part.data_max_)) * part.scale_)
    encoding = encoding_of(part)
    binned = getattr(part, "bin_edges_", ()) if encoding is None else encoding.bin_edges
    ratios += [np.maximum(np.abs(edges[:-1]), np.abs(edges[1:])) / np.diff(edges) for edges in binned]
    if encoding is not None:
        ratios.append(np.abs(encoding.means) / np.array(encoding.scales))
    if hasattr(part, "quantiles_"):
        ratios.append(np.abs(part.quantiles_).max(axis=0) / np.ptp(part.quantiles_, axis=0))
    if hasattr(part, "explained_variance_") and getattr(part, "mean_", None) is not None:
        variances = part.explained_variance_
        smallest = variances.min() if getattr(part, "whiten", False) else variances.max()
        ratios.append(np.abs(part.mean_).max() / np.sqrt(smallest))
    for known in getattr(part, "categories_", ()):
        if getattr(known, "dtype", np.dtype(object)).kind in "iuf" and len(known):
            numbers = np.asarray(known, dtype=np.float64)
            if (numbers.astype(np.float32) != numbers).any():
                ratios.append(np.inf)
    return any(EPS * np.max(ratio, initial=0.0, where=~np.isnan(ratio)) > LOSS for ratio in ratios)


def _of_calibration(model: BaseEstimator) -> str:
    if model.method != "sigmoid":
        return "skl2onnx rounds its curve to steps. Calibrate with method='sigmoid'"
    for calibrated in model.calibrated_classifiers_:
        base = last_step(calibrated.estimator)
        if not isinstance(base, BaseMLP) and type(base).__name__ not in CALIBRATED:
            return f"skl2onnx calibrates another output of {type(base).__name__} than scikit-learn does"
    return ""


def _of_stacking(model: BaseEstimator) -> str:
    methods = set(getattr(model, "stack_method_", ()))
    if methods - {"predict_proba"}:
        return f"skl2onnx stacks probabilities, not {sorted(methods)[0]}. Set stack_method='predict_proba'"
    return ""


def _of_one_hot(model: BaseEstimator) -> str:
    if model.handle_unknown in ("warn", "infrequent_if_exist") and any(
        categories is not None for categories in getattr(model, "infrequent_categories_", [])
    ):
        return "unknown categories would not count as infrequent. Set handle_unknown='ignore'"
    return _of_categories(model)


def _of_categories(model: BaseEstimator) -> str:
    """The reason if skl2onnx would convert fractions to integers."""
    for known in model.categories_:
        numbers = np.asarray(known)
        if numbers.dtype.kind == "f" and not (numbers == np.round(numbers)).all():
            return "skl2onnx rounds categories that are numbers. Make texts of them"
    if type(model).__name__ == "OrdinalEncoder" and is_lossy(model):
        return "skl2onnx rounds large numbers. Make texts of them"
    return ""


def _of_pipeline(model: BaseEstimator) -> str:
    names = [type(part).__name__ for _, part in model.steps]
    behind = names[names.index("PowerTransformer") :] if "PowerTransformer" in names else []
    if TAKES_NAN.intersection(behind):
        return "PowerTransformer in the graph does not let missing values pass. Impute before it"
    return ""


NO_INDICATORS = "skl2onnx leaves the indicators out"
ROUNDED = "skl2onnx rounds large numbers, so that they fall into other bins. Put a StandardScaler in front"
TIED = "skl2onnx has another place for values that occur often"
REASONS: dict[str, Callable[[BaseEstimator], str]] = {  # why an estimator cannot be exported, or an empty text
    "CalibratedClassifierCV": _of_calibration,
    "FunctionTransformer": lambda model: "" if model.func is None else "it calls a Python function",
    "KNNImputer": lambda model: NO_INDICATORS if model.add_indicator else "",
    "KBinsDiscretizer": lambda model: ROUNDED if is_lossy(model) else "",
    "Normalizer": lambda model: "skl2onnx divides by another maximum" if model.norm == "max" else "",
    "OneHotEncoder": _of_one_hot,
    "OrdinalEncoder": _of_categories,
    "Pipeline": _of_pipeline,
    "QuantileTransformer": lambda model: TIED if (np.diff(model.quantiles_, axis=0) == 0.0).any() else "",
    "SimpleImputer": lambda model: (
        NO_INDICATORS if model.add_indicator and model.missing_values != model.missing_values else ""
    ),
    "StackingClassifier": _of_stacking,
}
ENSEMBLES = (
    {"AdaBoostClassifier", "BaggingClassifier", "StackingClassifier", "VotingClassifier"}
    | {"AdaBoostRegressor", "BaggingRegressor", "StackingRegressor", "VotingRegressor", "RANSACRegressor"}
    | {"CalibratedClassifierCV", "MultiOutputClassifier", "MultiOutputRegressor", "OneVsRestClassifier"}
)


def children(model: BaseEstimator) -> Iterator[tuple[str, BaseEstimator]]:
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


def check_steps(model: BaseEstimator, path: tuple[str, ...] = ()) -> list[str]:
    """Raise for a step that cannot be exported; return those that need a comparison on rows."""
    doubts = [doubt for name, part in children(model) for doubt in check_steps(part, (*path, name))]
    name, is_theirs = type(model).__name__, type(model).__module__.startswith("sklearn.")
    is_ours, reason = isinstance(model, BaseMLP | BaseEnsemble | PiecewiseLinearEncoder | Table | TableEncoder), ""
    if name not in STRUCTURE:
        try:
            require("skl2onnx").get_model_alias(type(model))
        except RuntimeError:
            reason = "skl2onnx has no converter for it. Register one by skl2onnx.update_registered_converter"
    if name in THRESHOLDS and is_theirs:
        reason = "inside another estimator its threshold would be lost. Put it around the whole model"
    elif not is_ours and any(device_of(value) is not HOST for value in attributes(model).values()):
        reason = "it was fitted to other arrays than NumPy's"
    elif is_theirs and name in REASONS:
        reason = REASONS[name](model)
    if reason:
        raise ValueError(f"{named(' > '.join(path), model)} cannot be exported to ONNX: {reason}.")
    known = STRUCTURE | TRANSFORMERS | PREDICTORS | ENSEMBLES
    return doubts if is_ours or not is_theirs or name in known else [*doubts, named(" > ".join(path), model)]


def named(path: str, model: BaseEstimator) -> str:
    """An estimator, for messages."""
    kind = type(model).__name__
    if kind == "CalibratedClassifierCV" and model.method != "sigmoid":
        kind += f"(method={model.method!r})"
    return f"Step {path!r} ({kind})" if path else kind
