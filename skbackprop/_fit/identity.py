"""The identity of a fit: a hash of its data, and its parameters as text, where functions are hashed by their code."""

from __future__ import annotations

import dis
import hashlib
import math
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import partial
from numbers import Complex, Integral, Real
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import scipy.sparse as sp

from skbackprop._engines.encoded_table import EncodedTable, dense
from skbackprop._fit.device import HOST, Device
from skbackprop._types import Array

BLOCK_BYTES = 2**20  # of an array, hashed at a time
LONGEST = 200  # characters of a parameter's text; longer ones are hashed
PACKAGES = {"site-packages", "dist-packages"}  # folders of installed packages, and
STANDARD = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}  # of Python's own

EMPTY = CellType()  # of a variable of an outer function that has no value yet
_new_hash = partial(hashlib.sha256, usedforsecurity=False)  # the fastest on CPUs with instructions for it

# ------------------------------------------------------------------------------------- data ----


def fingerprint(blocks: Iterable[tuple[Array, np.ndarray, np.ndarray | None]], device: Device = HOST) -> str:
    """Hash of all X, y and weights (or None), which are given block by block."""
    hashes, is_weighted = [_new_hash() for _ in range(3)], False
    for block in blocks:
        is_weighted = block[2] is not None
        for known, array in zip(hashes, block, strict=True):
            if array is not None:
                _feed(known, array, device)
    names = [_short(known) for known in hashes]
    return " ".join(names if is_weighted else [*names[:2], "unweighted"])


def digest(*arrays: Any, device: Device = HOST) -> str:
    """Hash of the content of arrays of any kind."""
    known = _new_hash()
    for array in arrays:
        _feed(known, array, device)
    return _short(known)


def _short(known: Any) -> str:
    return str(known.hexdigest()[:32])


def _feed(known: Any, array: Any, device: Device, kind: Any = None) -> None:
    """Hash an array, dense, sparse or encoded, on any device; its numbers with this dtype, if one is given."""
    if sp.issparse(array):
        array = array.tocsr()
        if not array.has_canonical_format:  # the order in which entries of a row are stored must not matter
            array = array.copy()
            array.sum_duplicates()
        known.update(repr(array.shape).encode())
        for part, kind in ((array.data, None), (array.indices, np.int64), (array.indptr, np.int64)):
            _feed(known, part, HOST, kind)
        return
    if isinstance(array, EncodedTable):  # its codes, since dense rows may be very wide
        known.update(repr(array.shape).encode())
        for part in array.rows:
            _feed(known, part, HOST, None)
        return
    shape, dtype = tuple(array.shape), kind or array.dtype
    known.update(f"{shape} {str(dtype).rpartition('.')[2]};".encode())  # torch's names begin with its own
    n_rows, row_size = (shape[0], math.prod(shape[1:])) if shape else (0, 0)
    step = max(1, BLOCK_BYTES // max(1, row_size * getattr(array.dtype, "itemsize", 8)))
    for start in range(0, n_rows, step):
        block = dense(device.fetch(array[start : min(start + step, n_rows), ...]))
        if block.dtype.hasobject:
            known.update("\0".join(map(repr, block.ravel().tolist())).encode(errors="surrogatepass"))
        else:
            known.update((block if kind is None else block.astype(kind)).tobytes())


# ------------------------------------------------------------------------------- parameters ----


def describe(value: Any) -> str:
    """Text of a parameter, the same for equal values also in another process; for functions with a hash of the code."""
    text = _Description().of(value)
    if len(text) <= LONGEST:
        return text
    return f"{type(value).__name__} {_hash(text)}"


class _Description:
    """A description that is being made."""

    def __init__(self) -> None:
        self._open: list[int] = []  # ids of the objects being described, against endless recursion
        self._functions: set[int] = set()  # whose code is already included

    def of(self, value: Any) -> str:
        """Text of anything."""
        if value is None or isinstance(value, (bool, np.bool_)):
            return str(value)
        if isinstance(value, (str, bytes)):
            return repr(str(value) if isinstance(value, str) else value)
        if isinstance(value, (Complex, np.number)):
            return _number(value)
        if id(value) in self._open:
            return "..."
        self._open.append(id(value))
        try:
            return self._nested(value)
        finally:
            self._open.pop()

    def _nested(self, value: Any) -> str:
        if isinstance(value, np.ndarray):
            few = value.size <= LONGEST and not value.dtype.hasobject
            return self.of(value.tolist()) if few or value.ndim == 0 else f"array {digest(value)}"
        if sp.issparse(value):
            return f"sparse {digest(value)}"
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(map(self.of, value))}]"
        if isinstance(value, (set, frozenset)):
            return f"{{{', '.join(sorted(map(self.of, value)))}}}"
        if isinstance(value, dict):
            pairs = sorted((self.of(key), self.of(inner)) for key, inner in value.items())
            return f"{{{', '.join(f'{key}: {inner}' for key, inner in pairs)}}}"
        if isinstance(value, CodeType):
            arguments = value.co_varnames[: value.co_argcount + value.co_kwonlyargcount]
            names = [value.co_names, arguments, value.co_freevars, value.co_flags]
            return self.of([value.co_code, value.co_exceptiontable, value.co_consts, *names])
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, MethodType):
            return f"{self.of(value.__func__)} of {self.of(value.__self__)}"
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, ModuleType):
            return value.__name__
        if hasattr(value, "__qualname__"):  # compiled
            return _name(value)
        return f"{self._class(type(value))} {self._state(value)}"

    def _state(self, value: Any) -> str:
        """Describe the state that a pickle of the object would contain."""
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # a lock, say, has none
            return ""
        if isinstance(reduced, str):
            return reduced
        _, args, *rest = reduced
        return self.of([args, *(list(part) if isinstance(part, Iterator) else part for part in rest)])

    def _class(self, cls: type) -> str:
        """The name of a class, and if it is the user's, the code of its methods, as other attributes may change."""
        if _is_installed(cls.__module__):
            return _name(cls)
        methods = {name: _unwrapped(method) for name, method in vars(cls).items()}
        codes = {name: method for name, method in methods.items() if isinstance(method, FunctionType)}
        bases = [self.of(base) for base in cls.__bases__]
        return f"{cls.__qualname__}#{_hash(self.of([codes, bases]))}"

    def _function(self, function: FunctionType) -> str:
        """The name of a function, and if it is the user's, a hash of its code and of everything it refers to."""
        code = function.__code__
        if _is_installed(function.__module__):
            return _name(function)
        if id(code) in self._functions:
            return function.__qualname__
        self._functions.add(id(code))
        used, rebound = _names(code)
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        closure = {name: cell.cell_contents for name, cell in cells if name not in rebound and cell != EMPTY}
        scope = {name: function.__globals__[name] for name in used if name in function.__globals__}
        parts = [
            code,
            function.__defaults__,
            function.__kwdefaults__,
            closure,
            {name: value for name, value in scope.items() if name not in rebound and _is_fixed(value)},
        ]
        return f"{function.__qualname__}#{_hash(self.of(parts))}"


def _number(value: Any) -> str:
    """Text of a number, the same for equal numbers of any type."""
    if isinstance(value, Integral):
        return repr(int(value))
    if not isinstance(value, Real):
        return repr(value.item() if isinstance(value, np.generic) else value)
    number = float(value)
    return repr(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _hash(text: str) -> str:
    return digest(np.frombuffer(text.encode(errors="surrogatepass"), np.uint8))[:12]


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _is_installed(module: str | None) -> bool:
    """Tell whether the code of this module is identified by its name, as in installed packages."""
    if module in sys.builtin_module_names:
        return True
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    if file is None:
        return False
    path = Path(file)
    return not PACKAGES.isdisjoint(path.parts) or not STANDARD.isdisjoint(path.parents)


def _unwrapped(method: Any) -> Any:
    """The function in a static method, a class method or a property."""
    method = method.fget if isinstance(method, property) else method
    return getattr(method, "__func__", method)


def _names(code: CodeType) -> tuple[list[str], set[str]]:
    """Global names that the code uses, and variables of outer scopes that it sets, which may change."""
    used, rebound = set(), set()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            used.add(step.argval)
        elif step.opname in ("STORE_GLOBAL", "STORE_DEREF"):
            rebound.add(step.argval)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            more, also = _names(inner)
            used.update(more)
            rebound |= also
    return sorted(used), rebound


def _is_fixed(value: Any) -> bool:
    """Tell whether a global value cannot change in place; lists, for example, often record what happens in a fit."""
    if isinstance(value, (tuple, frozenset)):
        return all(map(_is_fixed, value))
    return value is None or isinstance(value, (str, bytes, Complex, np.generic, FunctionType))
