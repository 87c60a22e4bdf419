"""From the network's raw output to what the estimators predict: a table with one entry for each loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler, TargetEncoder

from skbackprop._estimator import BaseMLP
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.targets import NumberCodec
from skbackprop._interop.onnx.graph import Graph
from skbackprop._interop.onnx.nodes import activate, entry, halves, raw_output
from skbackprop._interop.onnx.text import as_text
from skbackprop._nn.links import LINKS
from skbackprop._nn.losses import LOG_VARIANCE_FLOOR
from skbackprop._nn.network import Parameters
from skbackprop.preprocessing import PiecewiseLinearEncoder


def label_array(classes: ArrayLike) -> np.ndarray:
    """Class labels in a dtype that skl2onnx uses: object for strings, else int64."""
    classes = np.asarray(classes)
    if all(isinstance(label, str) for label in classes.tolist()):
        return classes.astype(object)
    if classes.dtype.kind in "biuf":
        with np.errstate(invalid="ignore"):
            numbers = classes.astype(np.int64)
        if np.array_equal(numbers, classes):
            return numbers
    raise ValueError(
        f"Labels such as {classes[0]!r} (dtype {classes.dtype}) have no type in ONNX. Train on strings, integers "
        "or booleans."
    )


# -------------------------------------------------------------------------- classification ----


def _scores(g: Graph, model: FittedModel, v: str) -> None:
    """Probabilities, or with `raw_scores` the decision function, of two classes that of each."""
    n_classes = model.codec.n_targets
    if not g.raw_scores:
        v = activate(g, LINKS, model.link, v)
    elif n_classes == 2 and model.link == "softmax":
        v = g("MatMul", v, [[1.0, -1.0], [-1.0, 1.0]])
    g.output("probabilities", v, [n_classes])


def _one_label(g: Graph, model: FittedModel, v: str) -> None:
    classes = label_array(cast(np.ndarray, model.codec.classes))
    names = g.constant(classes, classes.dtype, "classes")
    g.output("label", g("Gather", names, g("ArgMax", v, axis=1, keepdims=0)), [], classes.dtype)
    _scores(g, model, v)


def _several_labels(g: Graph, model: FittedModel, v: str) -> None:
    """Labels more probable than 1/2."""
    g.output("label", g.cast(g("Greater", v, 0.0), np.int64), [model.codec.n_targets], np.int64)
    _scores(g, model, v)


# ------------------------------------------------------------------------------ regression ----


def _rescaled(g: Graph, a: str, scale: ArrayLike, shift: ArrayLike) -> str:
    """From a to shift + scale * a, in float64: targets can be large, and need the digits."""
    a = g("Mul", g.cast(a, np.float64), g.constant(scale, np.float64, "target_scale"))
    return g("Add", a, g.constant(shift, np.float64, "target_shift"))


def _targets(g: Graph, model: FittedModel, v: str) -> None:
    codec, a = cast(NumberCodec, model.codec), activate(g, LINKS, model.link, v)
    g.output("variable", _rescaled(g, a, codec.scale, codec.shift), [codec.n_targets], np.float64)


def _quantiles(g: Graph, model: FittedModel, v: str) -> None:
    """Sorted, so that they never cross."""
    codec, n = cast(NumberCodec, model.codec), len(model.network.loss_args.quantiles)
    n_targets = codec.n_targets
    a = g("Reshape", v, g.integers([-1, n_targets, n]))
    a = g("TopK", a, g.integers([n]), largest=0, n_results=2)
    y = _rescaled(g, a, codec.scale[:, None], codec.shift[:, None])
    shape = [n_targets] if codec.quantile_is_scalar else [n] if codec.y_is_1d else [n_targets, n]
    g.output("variable", g("Reshape", y, g.integers([-1, *shape])), shape, np.float64)


def _mean_and_std(g: Graph, model: FittedModel, v: str) -> None:
    codec = cast(NumberCodec, model.codec)
    scale, shift = codec.scale, codec.shift
    m, s = halves(g, v, len(shift))
    g.output("variable", _rescaled(g, m, scale, shift), [len(shift)], np.float64)
    floor = g.constant(LOG_VARIANCE_FLOOR, np.float64, "log_variance_floor")
    above = g("Softplus", g("Sub", g.cast(s, np.float64), floor))
    std = g("Exp", g("Mul", g("Add", above, floor), g.constant(0.5, np.float64)))
    std = g("Mul", std, g.constant(scale, np.float64, "target_scale"))
    g.output("std", std, [len(shift)], np.float64)


OUTPUT_NODES: dict[str, Callable[[Graph, FittedModel, str], None]] = {
    "cross_entropy": _one_label,
    "brier": _one_label,
    "focal": _one_label,
    "binary_cross_entropy": _several_labels,
    "binary_brier": _several_labels,
    "binary_focal": _several_labels,
    "squared_error": _targets,
    "absolute_error": _targets,
    "huber": _targets,
    "quantile": _quantiles,
    "poisson": _targets,
    "gamma": _targets,
    "gaussian": _mean_and_std,
}


# ---------------------------------------------------------------------------- whole graphs ----


def graph_of(
    model: BaseMLP | PiecewiseLinearEncoder, dtype: DTypeLike | None = None, raw_scores: bool = False
) -> Graph:
    """Graph of a fitted estimator or encoder of this package, in the dtype, or in its own."""
    if isinstance(model, PiecewiseLinearEncoder):
        return _codes(model, np.float32 if dtype is None else dtype)
    fitted = model.__fitted_model__(on_host=True)
    g = Graph(fitted.theta.dtype if dtype is None else dtype, fitted.features.n)
    g.raw_scores = raw_scores
    P = Parameters(np, fitted.network, fitted.theta.astype(g.dtype, copy=False))
    entry(OUTPUT_NODES, fitted.network.loss)(g, fitted, raw_output(g, fitted.network, P))
    return g


def _codes(encoder: PiecewiseLinearEncoder, dtype: DTypeLike) -> Graph:
    """The lines of `PiecewiseLinearEncoder.transform`."""
    g = Graph(dtype, encoder.n_features_in_)
    low, high = encoder.code_range
    features = np.repeat(np.arange(encoder.n_features_in_), encoder.n_bins_)
    start = np.concatenate([edges[:-1] for edges in encoder.bin_edges_]).astype(g.dtype)
    stop = np.concatenate([edges[1:] for edges in encoder.bin_edges_]).astype(g.dtype)
    x = g("Gather", g.input, g.integers(features), axis=1)
    passed = g("Div", g("Sub", x, start), stop - start)
    passed = g("Where", g("IsNaN", passed), 0.5, g("Clip", passed, 0.0, 1.0))
    codes = g("Add", g("Mul", passed, float(high - low)), float(low))
    if encoder.passthrough:
        codes = g("Concat", g.input, codes, axis=1)
    g.output("variable", codes, [len(features) + encoder.passthrough * encoder.n_features_in_])
    return g


def affine(scaler: BaseEstimator) -> tuple[ArrayLike, ArrayLike] | None:
    """Scale and shift of a fitted scaler, which makes (x - shift) / scale; None for another transformer."""
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
    """Graph of a scaler that `affine` knows, in the dtype of its input up to the scaled value."""
    g = Graph(input_dtype, scaler.n_features_in_)
    scale, shift = affine(scaler) or (1.0, 0.0)
    x = g("Div", g("Sub", g.input, shift), scale)
    if getattr(scaler, "clip", False):
        x = g("Clip", x, *scaler.feature_range)
    g.output("variable", g.cast(x, dtype), [scaler.n_features_in_], dtype)
    return g


def filled(imputer: SimpleImputer, dtype: DTypeLike) -> Graph:
    """Graph of an imputer of numbers, without the columns that had no value in the fit."""
    fill = np.asarray(imputer.statistics_, dtype=np.float64)
    g, kept = Graph(dtype, len(fill)), np.flatnonzero(~np.isnan(fill))
    x = g.input if len(kept) == len(fill) else g("Gather", g.input, g.integers(kept), axis=1)
    g.output("variable", g("Where", g("IsNaN", x), fill[kept][None, :], x), [len(kept)])
    return g


def codes_of_numbers(encoder: TargetEncoder) -> Graph:
    """Graph of a TargetEncoder of numbers: each category that a number equals adds its code to that of unknown ones."""
    g = Graph(np.float64, len(encoder.categories_))
    unknown, codes = np.atleast_1d(encoder.target_mean_), []
    for j, known in enumerate(encoder.categories_):
        columns = np.stack(encoder.encodings_[j * len(unknown) : (j + 1) * len(unknown)], axis=1)
        x = g("Gather", g.input, g.integers([j]), axis=1)
        is_it = g.cast(g("Equal", x, np.asarray(known, dtype=np.float64)[None, :]), np.float64)
        codes.append(g("Add", g("MatMul", is_it, columns - unknown), unknown[None, :]))
    code = g.cast(g("Concat", *codes, axis=1), np.float32)
    g.output("variable", code, [len(encoder.encodings_)], np.float32)
    return g


def codes_of_text(encoder: TargetEncoder) -> Graph:
    """Graph of a TargetEncoder of text: each column's number of the category picks a row of a table."""
    g = Graph(np.float32, len(encoder.categories_), input_dtype=object)
    unknown, codes = np.atleast_1d(encoder.target_mean_), []
    for j, known in enumerate(encoder.categories_):
        columns = encoder.encodings_[j * len(unknown) : (j + 1) * len(unknown)]
        table = np.vstack([np.stack(columns, axis=1), unknown])
        text = g("Gather", g.input, g.integers(j), axis=1)
        number = g(
            "LabelEncoder",
            text,
            domain="ai.onnx.ml",
            keys_strings=[as_text(category) for category in known],
            values_int64s=range(len(known)),
            default_int64=len(known),
        )
        codes.append(g("Gather", g.constant(table), number, axis=0))
    g.output("variable", g("Concat", *codes, axis=1), [len(encoder.encodings_)])
    return g
