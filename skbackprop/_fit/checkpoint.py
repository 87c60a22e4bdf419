"""Checkpoints: a file that holds a fit as it was after an epoch, so that the same call can go on from it."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from skbackprop._fit.places import HOST, Host
from skbackprop._fit.settings import UNKNOWN, Regime
from skbackprop._fit.stopping import Best, History, Monitor
from skbackprop._fit.training import Plan, Progress

FORMAT = 1  # of the file; others are refused
SHARE = 20  # writing takes at most one part in so many of the time
HASHED_ROWS = 1000  # of X, whose content tells data of the same shape apart
WITHOUT_EFFECT = {"n_threads", "verbose", "random_state"}  # on the bits; the generator's state is in the file


class Checkpoint:
    """The file of one fit: read before it begins, written after its epochs.

    An npz archive of vectors beside a text of JSON, so that reading one runs no code.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.found: dict[str, Any] | None = None
        self.regime: Regime | None = None  # that a race found: it is not run again
        self._start: dict[str, Any] = {}
        self._identity: dict[str, Any] = {}
        self._place = HOST
        self._due = 0.0
        if self.path.exists():
            self.found = self._read()
            self.regime = Regime(**self.found["regime"])

    # ---------------------------------------------------------------------------- before a fit ----

    def generator(self, rng: Any) -> Any:
        """Give the generator to begin with: that of the fit to go on with, or this one."""
        if self.found is not None:
            rng = np.random.RandomState()
            rng.set_state(self.found["start"])
        self._start = rng.get_state(legacy=False)
        return rng

    def identify(self, estimator: Any, sample: Any, held_out: Any, warm: bool) -> None:
        """Note what is fitted to what; raise if the file is of another fit."""
        self._place = sample.place
        self._identity = {
            "estimator": type(estimator).__name__,
            "random_state": _seed(estimator.random_state),
            **{f"parameter {name}": value for name, value in _parameters(estimator).items()},
            "training data": sample.fingerprint(),
            "validation data": None if held_out is None else held_out.fingerprint(),
            "warm start": _digest(estimator._theta(), sample.place) if warm else None,
        }
        if self.found is None:
            return
        theirs = self.found["identity"]
        ours = json.loads(json.dumps(self._identity))
        differ = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
        if differ:
            said = "; ".join(f"{key}: {theirs.get(key)} there, {ours.get(key)} here" for key in differ)
            raise ValueError(
                f"The checkpoint {str(self.path)!r} is of another fit ({said}). Go on with the same parameters and "
                "data, or delete the file or name another one to train anew."
            )

    def resume(self, theta: Any, plan: Plan, monitor: Monitor, progress: Progress) -> Any:
        """Put all of a fit's state back to where it was; the parameters then, or the given ones in a new fit."""
        if self.found is None:
            return theta
        found, put = self.found, self._place.put
        monitor.history = progress.history = History(*found["history"])
        monitor.patience.best, monitor.patience.waited = found["patience"]
        score, epoch = found["best"]
        best_theta = found["best_theta"]
        monitor.best = progress.best = Best(score, epoch, None if best_theta is None else put(best_theta))
        progress.state = {name: _put(value, put) for name, value in found["state"].items()}
        progress.rng.set_state(found["rng"])
        plan.first_step, plan.plateau_factor = found["steps"], found["plateau_factor"]
        plan.done, plan.ended = len(monitor.history.loss_curve), found["ended"]
        self.found = None
        return put(found["theta"])

    # ------------------------------------------------------------------------------ in a fit ----

    def is_due(self, last: bool) -> bool:
        """Tell whether enough time has passed since the file was written, or this is the last chance."""
        return last or time.perf_counter() >= self._due

    def write(self, engine: Any, plan: Plan, monitor: Monitor, rng: Any, steps: int) -> None:
        """Write the state after an epoch: a new file takes the place of the old one when it is safe on the disk."""
        began = time.perf_counter()
        theta, state = engine.dump()
        fetch, best = self._place.fetch, monitor.best
        arrays = {"theta": fetch(theta)}
        if best.theta is not None:
            arrays["best_theta"] = fetch(best.theta)
        arrays |= {f"state.{name}": np.asarray(fetch(value)) for name, value in state.items()}
        rng_state = rng.get_state(legacy=False)
        arrays |= {
            "rng_key": rng_state["state"]["key"],
            "start_key": self._start["state"]["key"],
        }
        text = {
            "format": FORMAT,
            "identity": self._identity,
            "regime": vars(self.regime or UNKNOWN),
            "history": list(vars(monitor.history).values()),
            "patience": [monitor.patience.best, monitor.patience.waited],
            "best": [best.score, best.epoch],
            "steps": steps,
            "plateau_factor": plan.plateau_factor,
            "ended": plan.ended,
            "rng": _without_key(rng_state),
            "start": _without_key(self._start),
        }
        _replace(self.path, {"text": np.asarray(json.dumps(text)), **arrays})
        now = time.perf_counter()
        self._due = now + SHARE * (now - began)

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = dict(archive)
            found: dict[str, Any] = json.loads(str(arrays.pop("text")))
            if found["format"] != FORMAT:
                raise ValueError(f"format {found['format']}")
            for name in ("rng", "start"):
                found[name]["state"]["key"] = arrays.pop(f"{name}_key")
            state = {name[6:]: arrays.pop(name) for name in list(arrays) if name.startswith("state.")}
            return {"best_theta": None, **arrays, **found, "state": state}
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{str(self.path)!r} is no checkpoint of this version of skbackprop ({error}). Delete it, or name "
                "another file."
            ) from error


def _replace(path: Path, arrays: dict[str, Any]) -> None:
    """Write a file such that its name always stands for the whole of the old one or the whole of the new one."""
    new = path.with_name(path.name + ".new")
    with open(new, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    if os.name == "posix":  # the new name, too, must survive a loss of power
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _without_key(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "state": {"pos": state["state"]["pos"]}}


def _put(value: Any, put: Any) -> Any:
    return put(value) if value.ndim else float(value)


def _seed(random_state: Any) -> str:
    return str(random_state) if random_state is None or np.isscalar(random_state) else "a generator"


def _parameters(estimator: Any) -> dict[str, str]:
    """Parameters that act on the result, as text."""
    params = estimator.get_params(deep=False)
    return {name: _text(value) for name, value in params.items() if name not in WITHOUT_EFFECT}


def _text(value: Any) -> str:
    """Text of a value that is the same in another process: not by the address of a function."""
    return f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else repr(value)


def _digest(array: Any, place: Host = HOST) -> str:
    """Short name of an array's content, whatever its kind."""
    array = np.asarray(place.fetch(array))
    if array.dtype.hasobject:
        array = array.astype(str)
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=8).hexdigest()


def fingerprint(X: Any, y: Any, weights: Any, place: Host = HOST) -> str:
    """Shape, kind and content of rows: of X that of up to 1000 rows, of the targets and weights all."""
    some = X[:: max(1, X.shape[0] // HASHED_ROWS), :]
    some = some.toarray() if hasattr(some, "toarray") else some
    y = y.toarray() if hasattr(y, "toarray") else y
    parts = [_digest(some, place), _digest(y), "unweighted" if weights is None else _digest(weights)]
    return f"{tuple(X.shape)} {place.dtype_of(X)} {' '.join(parts)}"
