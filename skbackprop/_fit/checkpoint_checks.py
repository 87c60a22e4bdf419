"""Validation of a checkpoint's file: it must be complete, and each part must be valid for this fit.

Everything else raises; `FileCheckpoint` converts all errors to one message.
"""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from skbackprop._fit.identity import digest
from skbackprop._fit.spec import FitPlan, Regime
from skbackprop._fit.state import TrainState
from skbackprop._nn.optimizers import OPTIMIZERS
from skbackprop._types import Array

FORMAT = 3  # of the file; others are refused
GENERATOR = "MT19937"  # whose state a file can hold: NumPy's RandomState(seed) is one


def digest_of(arrays: dict[str, Any]) -> str:
    """Digest of everything else in a file."""
    return digest(np.asarray(sorted(arrays)), *(np.atleast_1d(arrays[name]) for name in sorted(arrays)))


def parse(file: Any) -> dict[str, Any]:
    """Read a file; raise ValueError, or another error, if `write` did not make it."""
    with zipfile.ZipFile(file) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("it is compressed")  # a small file could expand to more than the memory
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        arrays = dict(archive)
    _require(str(arrays.pop("digest", "")) == digest_of(arrays), "digest")
    found: dict[str, Any] = json.loads(str(arrays.pop("text")))
    _require(isinstance(found, dict) and found.get("format") == FORMAT, "format")
    for name in ("rng", "start"):
        found[name] = _generator_state(found[name])
    _require(isinstance(found["identity"], dict), "identity")
    found["regime"] = Regime(**found["regime"])
    for value in asdict(found["regime"]).values():
        _require(_is_float(value) and 0.0 <= value < math.inf, "regime")
    found["state"] = {name[6:]: arrays.pop(name) for name in list(arrays) if name.startswith("state.")}
    found["theta"], found["best_theta"] = arrays.pop("theta"), arrays.pop("best_theta", None)
    _require(not arrays, "list of arrays")
    return found


def _generator_state(state: dict[str, Any]) -> dict[str, Any]:
    """Check a state that RandomState.set_state does not check: a wrong position would read beyond its memory."""
    inner = state["state"]
    _require(state["bit_generator"] == GENERATOR, "generator")
    _require(_is_count(inner["pos"], 624), "generator's position")
    is_float = _is_float(state["gauss"]) and math.isfinite(state["gauss"])
    _require(state["has_gauss"] in (0, 1) and is_float, "generator's last number")
    key = np.asarray(inner["key"])
    _require(key.shape == (624,) and key.dtype.kind in "iu", "generator's key")
    _require(bool(((key >= 0) & (key < 2**32)).all()), "generator's key")
    return {
        "bit_generator": GENERATOR,
        "state": {"key": key.astype(np.uint32), "pos": inner["pos"]},
        "has_gauss": int(state["has_gauss"]),
        "gauss": state["gauss"],
    }


def check_course(found: dict[str, Any], plan: FitPlan, state: TrainState, *, judges: bool, keeps_best: bool) -> None:
    """Check that epochs, curves and patience are possible in this fit.

    judges: whether there are validation rows; keeps_best: whether the parameters of the best epoch are kept.
    """
    curves, waits, best = found["history"], found["patience"], found["best"]
    _require(isinstance(curves, list) and len(curves) == len(fields(state.history)), "history")
    _require(all(isinstance(curve, list) and all(map(_is_float, curve)) for curve in curves), "history")
    n_epochs = len(curves[0])
    n_judged = n_epochs if judges else 0
    _require([len(curve) for curve in curves] == [n_epochs, n_judged, n_judged, n_epochs], "history")
    _require(n_epochs <= plan.max_iter and all(map(math.isfinite, curves[0] + curves[3])), "history")
    for name, pair in (("patience", waits), ("best", best)):
        _require(isinstance(pair, list) and len(pair) == 2, name)
        _require(_is_float(pair[0]) and not math.isnan(pair[0]) and _is_count(pair[1], n_epochs), name)
    _require(type(found["steps"]) is int, "steps")
    _require(found["steps"] * plan.max_iter == n_epochs * state.total_steps, "steps")
    factor = found["plateau_factor"]
    _require(_is_float(factor) and 0.0 < factor <= 1.0, "plateau_factor")
    _require(type(found["ended"]) is bool and found["ended"] <= n_epochs, "ended")
    _require((found["best_theta"] is not None) == (keeps_best and best[1] > 0), "best_theta")


def check_arrays(found: dict[str, Any], theta: Array, solver: str) -> None:
    """Check that the vectors belong to this network and this solver."""
    expected = OPTIMIZERS[solver].init(np, theta)
    _require(found["state"].keys() == expected.keys(), "optimizer's memory")
    for name in ("theta", "best_theta"):
        array = found[name]
        _require(array is None or (_is_like(array, theta) and bool(np.isfinite(array).all())), name)
    for name, value in expected.items():
        array = found["state"][name]
        _require(_is_like(array, np.asarray(value)) and not np.isnan(array).any(), name)


def _is_like(array: Array, like: np.ndarray) -> bool:
    return bool(array.shape == like.shape and array.dtype == like.dtype)


def _is_float(value: object) -> bool:
    return type(value) is float


def _is_count(value: object, largest: int) -> bool:
    return type(value) is int and 0 <= value <= largest


def _require(is_right: bool, what: str) -> None:
    if not is_right:
        raise ValueError(f"its {what} is not valid")
