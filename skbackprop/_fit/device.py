"""Devices: NumPy arrays on the host, or arrays of another array-API namespace on its device.

The device of X is determined once per call (`compute_device`), and all arithmetic with X is done there. Labels, the
validation split, the order of rows and the initial weights are made with NumPy on the host, so they are the same for
every device, and are then moved to the device of X.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike
from sklearn import get_config
from sklearn.externals import array_api_compat
from sklearn.utils._array_api import _convert_to_numpy  # from any device

from skbackprop._engines.encoded_table import EncodedTable
from skbackprop._engines.level import largest
from skbackprop._types import Array, Namespace

FLOATS: dict[str, tuple[str, ...]] = {"auto": ("float64", "float32"), "float32": ("float32",), "float64": ("float64",)}
FLOAT64: np.dtype = np.dtype(np.float64)  # not np.float64, with which comparisons take longer
BOUND = 1e18  # of weights: far below the largest float32, and far above weights of any trained network
FEW = 1000  # numbers, for which BLAS uses no threads
NUMPYS = (np.ndarray, np.generic, type)  # types of scalars look like arrays, too
NUMBERS = "biuf"  # kinds of NumPy dtypes that other namespaces have too


class Device:
    """NumPy arrays and SciPy's sparse matrices, on the host."""

    xp: Namespace = np

    def __repr__(self) -> str:
        return "a NumPy array"

    def floats(self, dtype: str) -> list[np.dtype]:
        """Dtypes that the parameter `dtype` allows; numbers of other dtypes are converted to the first."""
        return [np.dtype(name) for name in FLOATS[dtype]]

    def dtype_of(self, array: Array) -> np.dtype:
        """NumPy's name for the dtype."""
        return array.dtype

    def cast(self, array: Array, dtype: DTypeLike) -> Array:
        """Cast an array on this device to a NumPy dtype."""
        return array.astype(dtype, copy=False)

    def put(self, array: np.ndarray, dtype: DTypeLike | None = None) -> Array:
        """Move an array to this device, unchanged or as a copy with this NumPy dtype."""
        return array if dtype is None else array.astype(dtype)

    def fetch(self, array: Array) -> Array:
        """Copy an array to the host."""
        return array

    def take(self, array: Array, rows: np.ndarray) -> Array:
        """Rows of an array by their numbers."""
        taken: Array = array[rows]
        return taken

    def are_bounded(self, theta: Array) -> bool:
        """Tell whether all numbers are finite and below BOUND."""
        return self.largest(theta) < BOUND

    def has_any(self, mask: np.ndarray) -> bool:
        """Tell whether any is True."""
        return bool(np.count_nonzero(mask))  # in half the time of mask.any(), which matters for a single row

    def are_finite(self, array: Array) -> bool:
        """Tell whether no number is NaN or infinite."""
        if array.size < FEW and math.isfinite(np.vdot(array, array)):  # in a third of the time
            return True
        return bool(np.isfinite(array).all())

    def largest(self, X: Array) -> float:
        """Largest absolute value."""
        if isinstance(X, EncodedTable):
            return X.largest()
        numbers: Any = X.data if sp.issparse(X) else X  # for X.max() would merge duplicates in the user's matrix
        return largest(numbers)


HOST = Device()


@dataclass(frozen=True)
class NamespaceDevice(Device):
    """Arrays of another namespace on one of its devices; reading a number on the host waits for the device."""

    xp: Namespace = field()
    device: object = field()
    to_numpy: Callable[[Array], np.ndarray] = field(compare=False, repr=False)

    def __repr__(self) -> str:
        return f"an array of {str(self.xp.__name__).rpartition('array_api_compat.')[2]} on {self.device}"

    def floats(self, dtype: str) -> list[np.dtype]:
        """Some devices have no float64."""
        info: Any = self.xp.__array_namespace_info__()
        known = info.dtypes(kind="real floating", device=self.device)
        return [known[name] for name in FLOATS[dtype] if name in known] or [known["float32"]]

    def dtype_of(self, array: Array) -> np.dtype:
        return np.dtype("float64" if array.dtype == self.xp.float64 else "float32")

    def cast(self, array: Array, dtype: DTypeLike) -> Array:
        return self.xp.astype(array, getattr(self.xp, np.dtype(dtype).name), copy=False)

    def put(self, array: np.ndarray, dtype: DTypeLike | None = None) -> Array:
        """Labels that are not numbers stay on the host, as do sparse matrices."""
        if isinstance(array, np.ndarray):
            if array.dtype.kind not in NUMBERS:
                return array
            wanted: Any = np.dtype(array.dtype if dtype is None else dtype)
            if wanted == np.float64 and self.floats("float64")[0] != self.xp.float64:
                wanted = np.dtype(np.float32)
            # a copy, which must not change with the user's array and must be writable
            return self.xp.asarray(np.array(array, dtype=wanted, order="C"), device=self.device)
        return array if dtype is None else self.cast(array, dtype)

    def fetch(self, array: Array) -> Array:
        return array if isinstance(array, np.ndarray) else self.to_numpy(array)

    def take(self, array: Array, rows: np.ndarray) -> Array:
        """The dtype of an array on this device, or of one that stayed on the host."""
        if isinstance(array, np.ndarray):
            return super().take(array, self.fetch(rows))
        return self.xp.take(array, self.put(rows), axis=0)

    def has_any(self, mask: np.ndarray) -> bool:
        return bool(self.xp.any(mask))

    def are_finite(self, array: Array) -> bool:
        return bool(self.xp.all(self.xp.isfinite(array)))

    def largest(self, X: Array) -> float:
        return float(self.xp.max(self.xp.abs(X)))


def map_arrays(convert: Callable[[Any], Any], nest: Any) -> Any:
    """Convert each array of numbers in nested dicts, lists and tuples; the rest stays unchanged."""
    if isinstance(nest, dict):
        return {key: map_arrays(convert, value) for key, value in nest.items()}
    if isinstance(nest, (list, tuple)):
        return type(nest)(map_arrays(convert, value) for value in nest)
    is_array = hasattr(nest, "__dlpack__") and not (isinstance(nest, np.ndarray) and nest.dtype.kind not in NUMBERS)
    return convert(nest) if is_array else nest


def device_of(*arrays: object) -> Device:
    """The device of arrays that are all on one. Values that are not array-API arrays count as NumPy's."""
    if isinstance(arrays[0], NUMPYS) or not array_api_compat.is_array_api_obj(arrays[0]):
        return HOST
    xp = array_api_compat.array_namespace(*arrays)
    return NamespaceDevice(xp, array_api_compat.device(arrays[0]), partial(_convert_to_numpy, xp=xp))


def compute_device(X: Array) -> Device:
    """The device to compute on: that of X if scikit-learn's array_api_dispatch is set, else the host."""
    if isinstance(X, np.ndarray) or not get_config()["array_api_dispatch"]:
        return HOST
    if getattr(X, "requires_grad", False):
        raise ValueError("X requires its gradient, which no estimator computes: pass X.detach().")
    return device_of(X)


def to_host(array: Any) -> Any:
    """Convert an array of any namespace to NumPy; everything else stays unchanged."""
    return device_of(array).fetch(array)
