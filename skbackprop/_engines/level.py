"""The levels of instructions of the built kernels and of this CPU."""

from __future__ import annotations

import os
from functools import cache
from importlib import metadata

import numpy as np

try:
    import skbackprop._engines._cpu as _cpu
except ImportError as error:
    raise ImportError(
        "skbackprop's kernels are not built. You may be importing from a source checkout: install it first "
        "(pip install .), and run Python from another folder; or install it editable, see CONTRIBUTING.md."
    ) from error

__all__ = ["FLOATS", "_cpu", "has_tiles", "largest", "level", "show_config"]
FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


@cache
def level() -> str:
    """Best level of instructions that this CPU has, or the one that SKBACKPROP_CPU forces."""
    forced = os.environ.get("SKBACKPROP_CPU")
    if forced is None:
        return _cpu.LEVELS[0]
    if forced not in _cpu.LEVELS:
        raise ImportError(
            f"SKBACKPROP_CPU={forced!r} is not available: this build has {list(_cpu.BUILT_LEVELS)}, this CPU has "
            f"{list(_cpu.LEVELS)}."
        )
    return forced


@cache
def has_tiles() -> bool:
    """Whether this processor multiplies tiles of bfloat16, and the system lets this process do so."""
    return level() == "amx" and _cpu.ask_for_tiles()


def show_config() -> None:
    """Print the versions of this package and its dependencies, the CPU instruction level, and the number of threads.

    Examples
    --------
    >>> import skbackprop
    >>> skbackprop.show_config()  # doctest: +ELLIPSIS
    version: ...
    CPU level: ...
    """
    facts = {
        "version": metadata.version("skbackprop"),
        "CPU level": level(),
        "levels of this build": ", ".join(_cpu.BUILT_LEVELS),
        "matmul_precision='medium'": "products of bfloat16" if has_tiles() else "as 'highest'",
        "threads": _cpu.get_num_threads(),
        "compiler": _cpu.compiler(),
        **{name: metadata.version(name) for name in ("numpy", "scipy", "scikit-learn")},
    }
    for name, value in facts.items():
        print(f"{name}: {value}")


def largest(array: np.ndarray) -> float:
    """Largest absolute value of contiguous floats in a single pass; not finite if one of them is not."""
    numbers = array.T if array.flags.f_contiguous else array
    if array.dtype in FLOATS and numbers.flags.c_contiguous and numbers.flags.aligned:
        return _cpu.largest(level(), numbers)
    return float(max(array.max(initial=0.0), -array.min(initial=0.0)))
