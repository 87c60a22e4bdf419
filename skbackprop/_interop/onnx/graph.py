"""An ONNX graph under construction, and the import of the optional packages."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.special import erfcx

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

ML_OPSET = 3  # of ai.onnx.ml, the part of ONNX that encodes categories
OPSET = 18  # the oldest supported: from it on reductions take their axes as an input
ERFC_DEGREE = 28  # of the polynomial in erfc, whose error is below rounding


def require(package: str) -> ModuleType:
    """Import an optional package; the error says what to install."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"Export to ONNX needs the package {package}, which cannot be imported ({error}). Install it by "
            "pip install 'skbackprop[onnx]'."
        ) from error


class Graph:
    """Nodes and constants in the order in which they were added; values are referred to by name."""

    def __init__(self, dtype: DTypeLike, n_inputs: int, input_dtype: DTypeLike | None = None, prefix: str = ""):
        self.helper = require("onnx.helper")
        self.dtype = np.dtype(dtype)
        self.input = "X"
        self.inputs: list[ValueInfoProto] = []
        self.take({self.input: self.dtype if input_dtype is None else input_dtype}, n_inputs)
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.outputs: list[ValueInfoProto] = []
        self.raw_scores = False  # instead of probabilities
        self.prefix = prefix  # of all names, for nodes that are added to another graph

    def take(self, dtypes: Mapping[str, DTypeLike], n_columns: int | None = None) -> None:
        """Use these inputs instead of earlier ones; no other value may have their names.

        n_columns: of the single matrix; None: each input is one of the user's columns.
        """
        width = 1 if n_columns is None else n_columns
        self.inputs = [self._described(name, np.dtype(dtype), [None, width]) for name, dtype in dtypes.items()]
        self.taken = set(dtypes)
        self.takes_matrix = n_columns is not None

    def __call__(self, op: str, *inputs: ArrayLike, n_results: int = 1, result: str = "", **attributes: object) -> str:
        """Add a node, and return the name of its first result: the given name, or one made from the operator's.

        Inputs are names of values, or numbers and arrays, which become constants of the graph's dtype.
        """
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        name = result or self._new(f"{self.prefix}{op}_{len(self.nodes)}")
        results = [name, *(f"{name}_{i}" for i in range(1, n_results))]
        self.nodes.append(self.helper.make_node(op, names, results, name=name, **attributes))
        return name

    def constant(self, value: ArrayLike, dtype: DTypeLike | None = None, name: str = "constant") -> str:
        """Add a constant of the dtype, by default that of the graph; dtype object is for strings."""
        array = np.asarray(value, dtype=self.dtype if dtype is None else dtype)
        name = self._new(f"{self.prefix}{name}_{len(self.constants)}")
        self.constants.append(require("onnx.numpy_helper").from_array(array, name))
        return name

    def integers(self, values: ArrayLike) -> str:
        """Add a constant of integers: axes, shapes or indices."""
        return self.constant(values, np.int64)

    def cast(self, value: str, dtype: DTypeLike) -> str:
        """Convert a value to the dtype."""
        return self("Cast", value, to=self._kind(np.dtype(dtype)))

    def normal_cdf(self, v: str) -> str:
        """Distribution function of the standard normal; ONNX Runtime has Erf in float32 only."""
        if self.dtype == np.float32:
            return self("Mul", self("Add", self("Erf", self("Mul", v, math.sqrt(0.5))), 1.0), 0.5)
        tail = self("Mul", _erfc(self, self("Mul", self("Abs", v), math.sqrt(0.5))), 0.5)
        return self("Where", self("Greater", v, 0.0), self("Sub", 1.0, tail), tail)

    def output(self, name: str, value: str, shape: list[int], dtype: DTypeLike | None = None) -> None:
        """Make a value an output with the given name; shape: of one row."""
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        self.nodes.append(self.helper.make_node("Identity", [value], [name], name=f"Output_{name}"))
        self.outputs.append(self._described(name, dtype, [None, *shape]))

    def model(self, name: str, opset: int, **documentation: str) -> ModelProto:
        """Make the ModelProto, in the oldest suitable file format, and check it."""
        versions = {"": opset} | ({"ai.onnx.ml": ML_OPSET} if any(node.domain for node in self.nodes) else {})
        opsets = [self.helper.make_opsetid(domain, version) for domain, version in versions.items()]
        graph = self.helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants)
        version = self.helper.find_min_ir_version_for(opsets)
        model = self.helper.make_model(graph, opset_imports=opsets, ir_version=version, **documentation)
        require("onnx.checker").check_model(model, full_check=True)
        return model

    def _new(self, name: str) -> str:
        """A name that differs from those of the inputs."""
        while name in self.taken:
            name += "_"
        return name

    def _kind(self, dtype: np.dtype) -> int:
        return self.helper.np_dtype_to_tensor_dtype(dtype)

    def _described(self, name: str, dtype: np.dtype, shape: list[int | None]) -> ValueInfoProto:
        return self.helper.make_tensor_value_info(name, self._kind(dtype), shape)


def _erfc(g: Graph, z: str) -> str:
    """Complementary error function of z >= 0.

    erfc(z) = t e^(p(2 t - 1) - z^2), t = 2 / (2 + z) (Press et al., Numerical Recipes, 3rd edition, 2007, 6.2.2). The
    polynomial p interpolates at Chebyshev's points and is summed by Clenshaw's recurrence.
    """

    def log_ratio(y):
        t = 0.5 * (y + 1.0)
        return np.log(erfcx(2.0 / t - 2.0) / t)

    first, *others = np.polynomial.chebyshev.chebinterpolate(log_ratio, ERFC_DEGREE)
    t = g("Div", 2.0, g("Add", z, 2.0))
    y = g("Sub", g("Mul", t, 2.0), 1.0)
    twice = g("Mul", y, 2.0)
    total = before = g.constant(0.0)
    for c in reversed(others):
        total, before = g("Sub", g("Add", g("Mul", twice, total), c), before), total
    p = g("Sub", g("Add", g("Mul", y, total), first), before)
    return g("Mul", t, g("Exp", g("Sub", p, g("Mul", z, z))))
