"""Encoded tables: from the user's columns to the weighted sums of the first layer.

Numbers are standardised and encoded in bins; a category selects its row of W[1], without columns of ones and zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike
from sklearn.preprocessing import TargetEncoder

from skbackprop._checks.tables import encoding_of
from skbackprop._fit.inputs import InputEncoding
from skbackprop._interop.onnx.graph import Graph
from skbackprop._interop.onnx.inputs import texts
from skbackprop._nn.encoders import CODE_RANGE, ENCODERS
from skbackprop._nn.network import Network, Parameters
from skbackprop._table import GIVEN, LEFT_OUT, WITH_MEANS, Table
from skbackprop._table_encoder import TableEncoder


class Choice(NamedTuple):
    """A group of inputs of which one is 1 and the others are 0."""

    number: str  # value (rows,): the index of the input that is 1; after the last: none
    inputs: slice


@dataclass(frozen=True)
class Inputs:
    """Inputs of a network as values of the graph; those of the matrix are the first in W[1]."""

    matrix: str | None  # (rows, width)
    width: int = 0
    choices: Sequence[Choice] = ()


def first_layer(g: Graph, network: Network, P: Parameters, inputs: Inputs) -> str:
    """a[0] W[1], (rows, units) or (members, rows, units), with the input scale and the members' factors r."""
    W, n, v = P.W[1], inputs.width, ""
    r = P.r[1] if network.n_members > 1 and network.n_layers > 1 else None
    if inputs.matrix is not None:
        a = inputs.matrix
        if network.input_scale:
            a = g("Mul", a, g.constant(P.c[:n], name="c"))
        if r is not None:
            a = g("Mul", a, g.constant(r[:, None, :n], name="r1"))
        v = g("MatMul", a, g.constant(W[..., :n, :], name="W1"))
    for number, rows in inputs.choices:
        table = W[..., rows, :] * P.c[rows, None] if network.input_scale else W[..., rows, :]
        table = np.concatenate([table, np.zeros_like(table[..., :1, :])], axis=-2)
        found = g("Gather", g.constant(table, name="W1"), number, axis=table.ndim - 2)
        if r is not None:
            factor = g("Gather", g.constant(np.pad(r[:, rows], ((0, 0), (0, 1))), name="r1"), number, axis=1)
            found = g("Mul", g("Unsqueeze", factor, g.integers([2])), found)
        v = g("Add", v, found) if v else found
    return v


def taken_in(g: Graph, encoding: InputEncoding, dtype: DTypeLike, names: Sequence[str] | None) -> Inputs:
    """Add the user's columns as inputs of the graph, by name or as one matrix of numbers, and encode them."""
    if names is None:
        g.take({g.input: dtype}, len(encoding.is_category))
        return encoded(g, encoding, g.input, [], dtype)
    check_texts(encoding, names)
    g.take({name: object if is_one else dtype for name, is_one in zip(names, encoding.is_category, strict=True)})
    numbers = [name for name, is_one in zip(names, encoding.is_category, strict=True) if not is_one]
    others = [name for name, is_one in zip(names, encoding.is_category, strict=True) if is_one]
    return encoded(g, encoding, g("Concat", *numbers, axis=1) if numbers else "", others, dtype)


def encoded(g: Graph, encoding: InputEncoding, numbers: str, others: Sequence[str], dtype: DTypeLike) -> Inputs:
    """Encode columns as `InputEncoding.encode` does.

    numbers: all of the columns of numbers, (rows, columns) in the dtype; others: texts of each, (rows, 1).
    """
    parts = []
    takes_nan = ENCODERS[encoding.encoder].takes_nan
    if encoding.means:
        z = g("Sub", numbers, g.constant(encoding.means, dtype, "means"))
        z = g("Div", z, g.constant(encoding.scales, dtype, "scales"))
        if takes_nan:
            z = g("Where", g("IsNaN", z), g.constant(0.0, dtype), z)
        parts.append(g.cast(z, g.dtype))
    if sum(len(edges) - 1 for edges in encoding.bin_edges):
        # predict keeps codes as float32
        parts.append(g.cast(g.cast(bin_codes(g, numbers, encoding.bin_edges, CODE_RANGE, dtype), np.float32), g.dtype))
    gaps = np.flatnonzero(encoding.has_gaps)
    if len(gaps):
        parts.append(g.cast(g("IsNaN", g("Gather", numbers, g.integers(gaps), axis=1)), g.dtype))
    at = width = encoding.n_inputs - sum(encoding.sizes)
    choices = []
    for text, known, size in zip(others, encoding.categories, encoding.sizes, strict=True):
        keys = [*known.tolist(), ""]  # a missing text is empty, and all others are unknown
        *values, last = (min(i, size) for i in range(len(keys) + 1))
        number = g(
            "LabelEncoder", text, domain="ai.onnx.ml", keys_strings=keys, values_int64s=values, default_int64=last
        )
        choices.append(Choice(g("Squeeze", number, g.integers([1])), slice(at, at + size)))
        at += size
    matrix = None if not parts else parts[0] if len(parts) == 1 else g("Concat", *parts, axis=1)
    return Inputs(matrix, width, choices)


def written_out(g: Graph, inputs: Inputs) -> str:
    """The inputs as one matrix, with ones and zeros for categories."""
    parts = [] if inputs.matrix is None else [inputs.matrix]
    for number, rows in inputs.choices:  # ONNX Runtime makes them in float32 only
        ends = g.constant([0.0, 1.0], np.float32)
        parts.append(g.cast(g("OneHot", number, g.integers(rows.stop - rows.start), ends), g.dtype))
    return g("Concat", *parts, axis=1)


def encodes(encoder: TableEncoder, dtype: DTypeLike, taken: DTypeLike, names: Sequence[str] | None) -> Graph:
    """Graph of a fitted TableEncoder, which takes columns by name or one matrix."""
    encoding = encoding_of(encoder)
    assert encoding is not None
    g = Graph(dtype, encoder.n_features_in_)
    g.output("variable", written_out(g, taken_in(g, encoding, taken, names)), [encoding.n_inputs])
    return g


def used_columns(table: Table) -> list[int]:
    """Indices of the columns that a fitted Table does not leave out."""
    return [i for i, kind in enumerate(table.kinds_) if kind != LEFT_OUT]


def read(table: Table, dtype: DTypeLike) -> Graph:
    """Graph of a fitted Table: unchanged numbers and texts, one by one, followed by the mean targets."""
    g, target, used = Graph(dtype, 0), table.targets_, used_columns(table)
    kinds = {f"x{i}": table.kinds_[i] for i in used}
    g.take({name: dtype if kind == "numbers" else object for name, kind in kinds.items()})
    for name, kind in kinds.items():
        if kind in GIVEN:
            g.output(f"{name}_read", name, [1], dtype if kind == "numbers" else object)
    for j, name in enumerate(name for name, kind in kinds.items() if kind in WITH_MEANS and target is not None):
        means = means_of(g, target, j, name)
        for k in range(means_in(target, j).shape[1]):
            g.output(f"{name}_mean{k}", g("Gather", means, g.integers([k]), axis=1), [1])
    return g


def means_of(g: Graph, encoder: TargetEncoder, j: int, text: str) -> str:
    """Mean targets for the texts (rows, 1) of column j of a fitted encoder, (rows, targets)."""
    keys = texts(encoder.categories_[j]).tolist()
    numbers = list(range(1, len(keys) + 1))
    number = g("LabelEncoder", text, domain="ai.onnx.ml", keys_strings=keys, values_int64s=numbers, default_int64=0)
    return g("Gather", g.constant(means_in(encoder, j)), g("Squeeze", number, g.integers([1])), axis=0)


def means_in(encoder: TargetEncoder, j: int) -> np.ndarray:
    """Mean targets for column j of a fitted encoder, (1 + categories, targets), the first for unknown categories."""
    unknown = np.atleast_1d(encoder.target_mean_)
    columns = encoder.encodings_[j * len(unknown) : (j + 1) * len(unknown)]
    return np.vstack([unknown, np.stack(columns, axis=1)])


def bin_codes(g: Graph, x: str, edges: Sequence[np.ndarray], code_range: tuple[float, float], dtype: DTypeLike) -> str:
    """Positions of numbers (rows, columns) in each of their bins, (rows, bins)."""
    low, high = code_range
    features = np.repeat(np.arange(len(edges)), [len(ends) - 1 for ends in edges])
    start, stop = (np.concatenate(ends) for ends in zip(*((e[:-1], e[1:]) for e in edges), strict=True))
    x = g("Gather", x, g.integers(features), axis=1)
    if np.abs([start, stop]).max(initial=0.0) > np.finfo(dtype).max / 2:  # their differences would overflow
        x, start, stop = g("Mul", x, g.constant(0.5, dtype)), start / 2, stop / 2
    start, stop = start.astype(dtype), stop.astype(dtype)
    passed = g("Div", g("Sub", x, g.constant(start, dtype)), g.constant(stop - start, dtype))
    zero, half, one = (g.constant(value, dtype) for value in (0.0, 0.5, 1.0))
    passed = g("Where", g("IsNaN", passed), half, g("Clip", passed, zero, one))
    return g("Add", g("Mul", passed, g.constant(high - low, dtype)), g.constant(low, dtype))


def check_texts(encoding: InputEncoding, names: Sequence[str]) -> None:
    """Raise if a category is the empty text, which means a missing value in the graph."""
    others = [name for name, is_one in zip(names, encoding.is_category, strict=True) if is_one]
    empty = [name for name, known in zip(others, encoding.categories, strict=True) if "" in known.tolist()]
    if empty:
        raise ValueError(
            f"The categories of {empty} cannot be told apart as text: one is the empty text, by which missing ones go "
            "into the graph. Make missing values (None, NaN) of it, or rename it."
        )
