"""Complete graphs of a network, of an ensemble of networks, and of the encoder of columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from skbackprop._ensemble import BaseEnsemble
from skbackprop._estimator import BaseMLP
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.targets import LabelCodec
from skbackprop._interop.onnx.graph import Graph
from skbackprop._interop.onnx.outputs import OUTPUT_NODES, WEIGHTED_POOLS, predicted, raw_output
from skbackprop._interop.onnx.table import Inputs, bin_codes, taken_in
from skbackprop._nn.network import Parameters
from skbackprop.preprocessing import PiecewiseLinearEncoder


def graph_of(
    model: BaseMLP | BaseEnsemble | PiecewiseLinearEncoder,
    dtype: DTypeLike | None = None,
    raw_scores: bool = False,
    *,
    taken: DTypeLike | None = None,
    names: Sequence[str] | None = None,
) -> Graph:
    """Graph of a fitted estimator or encoder of this package, in the dtype, or in its own.

    Of a model that encodes columns itself these are inputs by their names, or all numbers one matrix where there are no
    names; numbers go in as `taken` then.
    """
    if isinstance(model, PiecewiseLinearEncoder):
        return _codes(model, np.float32 if dtype is None else dtype)
    is_one = isinstance(model, BaseMLP)
    weighted = [(1.0, model.__fitted_model__(on_host=True))] if is_one else model.__weighted_models__()
    weights, models = zip(*weighted, strict=True)
    fitted = models[0]
    g = Graph(fitted.theta.dtype if dtype is None else dtype, fitted.features.n)
    g.raw_scores = raw_scores
    sums = [_sums(g, some, g.dtype if taken is None else np.promote_types(taken, g.dtype), names) for some in models]
    if is_one:
        OUTPUT_NODES[fitted.network.loss](g, fitted, sums[0])
        return g
    if isinstance(fitted.codec, LabelCodec):
        together = g("Concat", *(g("Unsqueeze", v, g.integers([0])) for v in sums), axis=0)
        shares = g.constant(np.reshape(weights, (-1, 1, 1)), name="weights")
        OUTPUT_NODES[fitted.network.loss](g, fitted, WEIGHTED_POOLS[fitted.link](g, together, shares))
        return g
    found = [predicted(g, some, v) for some, v in zip(models, sums, strict=True)]
    parts = [g("Mul", y, g.constant(w, np.float64, "weight")) for w, (y, _) in zip(weights, found, strict=True)]
    g.output("variable", g("Sum", *parts), found[0][1], np.float64)
    return g


def _sums(g: Graph, model: FittedModel, taken: DTypeLike, names: Sequence[str] | None) -> str:
    """Add a network with the same inputs as earlier ones, up to the weighted sums of its output layer."""
    encoding, inputs = model.features.encoding, Inputs(g.input, model.features.n)
    P = Parameters(np, model.network, model.theta.astype(g.dtype, copy=False))
    if encoding is not None:
        inputs = taken_in(g, encoding, taken, names)
    return raw_output(g, model.network, P, inputs)


def _codes(encoder: PiecewiseLinearEncoder, dtype: DTypeLike) -> Graph:
    """The lines of `PiecewiseLinearEncoder.transform`."""
    g, n = Graph(dtype, encoder.n_features_in_), encoder.n_features_in_
    low, high = map(float, encoder.code_range)
    codes = bin_codes(g, g.input, encoder.bin_edges_, (low, high), g.dtype)
    if encoder.passthrough:
        codes = g("Concat", g.input, codes, axis=1)
    g.output("variable", codes, [int(sum(encoder.n_bins_)) + encoder.passthrough * n])
    return g
