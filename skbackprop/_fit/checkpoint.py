"""Checkpoints: a file with the state of a fit after an epoch, from which the same call can continue."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from skbackprop._engines.engine import Engine
from skbackprop._fit.checkpoint_checks import FORMAT, GENERATOR, check_arrays, check_course, digest_of, parse
from skbackprop._fit.dataset import Dataset
from skbackprop._fit.device import HOST
from skbackprop._fit.identity import describe, digest
from skbackprop._fit.spec import UNKNOWN, FitPlan, FitSpec, Regime
from skbackprop._fit.state import Best, History, TrainState
from skbackprop._types import Array

SHARE = 20  # writing takes at most 1 / SHARE of the time
WITHOUT_EFFECT = {"n_threads", "verbose", "partial"}  # on the bits
# parameters that files of before do not name: they have their defaults there
NAMELESS = {
    f"parameter {field.name}": describe(field.default)
    for field in fields(FitSpec)
    if field.name in ("numeric_encoder", "n_bins", "matmul_precision")
}
TRIES, PAUSE_SECONDS = 20, 0.05  # to replace a file that another process reads on Windows


class FileCheckpoint:
    """The file of one fit: read before it begins, written after its epochs.

    It is an npz archive of vectors and a JSON text, so that reading it runs no code. It is only accepted if its digest
    is correct and each part is valid for this fit.
    """

    def __init__(self, path: str | os.PathLike[str], spec: FitSpec):
        if not spec.is_minibatch:
            raise ValueError("checkpoint needs a minibatch solver, but solver='lbfgs', whose state SciPy keeps.")
        self.path, self._spec = Path(path), spec
        self.found: dict[str, Any] | None = None
        self.regime: Regime | None = None  # that the selection found: it is not run again
        self._start: dict[str, Any] = {}
        self._identity: dict[str, Any] = {}
        self._judges = False  # are there validation rows?
        self._device = HOST
        self._due = 0.0
        if self.path.exists():
            if not self.path.is_file():
                kind = IsADirectoryError if self.path.is_dir() else OSError
                raise kind(f"checkpoint={str(self.path)!r} must name a file, but is something else.")
            with open(self.path, "rb") as file, self._refusing(Exception):  # whatever zipfile, NumPy and json say
                self.found = parse(file)
                self.regime = self.found["regime"]

    # ---------------------------------------------------------------------------- before a fit ----

    def generator(self, rng: np.random.RandomState) -> np.random.RandomState:
        """Return the generator at the start of the saved fit, or this one in a new fit."""
        if self.found is not None:
            rng = np.random.RandomState()
            rng.set_state(self.found["start"])
        self._start = rng.get_state(legacy=False)
        if self._start["bit_generator"] != GENERATOR:
            raise ValueError(
                f"checkpoint needs a random_state with the generator {GENERATOR}: None, an integer, or "
                f"numpy.random.RandomState(seed). This one has {self._start['bit_generator']}."
            )
        return rng

    def identify(
        self, who: dict[str, str], data: Dataset, held_out: Dataset | None, theta: Array | None = None
    ) -> None:
        """Note what is fitted to what; raise if the file is of another fit.

        who: the estimator's name and random_state; theta: the parameters of a warm start.
        """
        self._device, self._judges = data.device, self._spec.early_stopping or held_out is not None
        self._identity = {
            **who,
            **{
                f"parameter {field.name}": describe(getattr(self._spec, field.name))
                for field in fields(FitSpec)
                if field.name not in WITHOUT_EFFECT
            },
            "training data": data.fingerprint(),
            "validation data": None if held_out is None else held_out.fingerprint(),
            "warm start": None if theta is None else digest(theta, device=data.device),
        }
        if self.found is None:
            return
        ours, theirs = self._identity, NAMELESS | self.found["identity"]
        differ = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
        if differ:
            said = "; ".join(f"{key}: {theirs.get(key)} there, {ours.get(key)} here" for key in differ)
            raise ValueError(
                f"The checkpoint {str(self.path)!r} is of another fit ({said}). Continue with the same parameters and "
                "data. To start again, delete the file or choose another name."
            )

    def resume(self, theta: Array, state: TrainState, plan: FitPlan) -> Array:
        if self.found is None:
            return theta
        found, put = self.found, self._device.put
        with self._refusing(ValueError):
            check_course(found, plan, state, judges=self._judges, keeps_best=self._spec.early_stopping)
            check_arrays(found, self._device.fetch(theta), self._spec.solver)
        assert state.patience is not None
        state.history = History(*found["history"])
        state.patience.best, state.patience.waited = found["patience"]
        (score, epoch), best = found["best"], found["best_theta"]
        state.best = Best(score, epoch, None if best is None else put(best))
        state.memory = {name: put(value) if value.ndim else float(value) for name, value in found["state"].items()}
        state.rng.set_state(found["rng"])
        state.steps, state.plateau_factor = found["steps"], found["plateau_factor"]
        state.ended = found["ended"]
        self.found = None
        return put(found["theta"])

    # ------------------------------------------------------------------------------ in a fit ----

    def is_due(self, last: bool) -> bool:
        """Tell whether enough time has passed since the file was written, or this is the last chance."""
        return last or time.perf_counter() >= self._due

    def write(self, engine: Engine, state: TrainState) -> None:
        """Write the state after an epoch: a new file takes the place of the old one when it is safe on the disk."""
        began = time.perf_counter()
        theta, memory = engine.dump()
        fetch, best, patience = self._device.fetch, state.best, state.patience
        assert patience is not None
        arrays = {"theta": fetch(theta)}
        if best.theta is not None:
            arrays["best_theta"] = fetch(best.theta)
        for name, value in (memory or {}).items():
            arrays[f"state.{name}"] = np.asarray(value if isinstance(value, float) else fetch(value))
        text = {
            "format": FORMAT,
            "identity": self._identity,
            "regime": asdict(self.regime or UNKNOWN),
            "history": list(asdict(state.history).values()),
            "patience": [patience.best, patience.waited],
            "best": [best.score, best.epoch],
            "steps": state.steps,
            "plateau_factor": state.plateau_factor,
            "ended": state.ended,
            "rng": state.rng.get_state(legacy=False),
            "start": self._start,
        }
        arrays["text"] = np.asarray(json.dumps(text, default=np.ndarray.tolist))
        _replace(self.path, {**arrays, "digest": np.asarray(digest_of(arrays))})
        now = time.perf_counter()
        self._due = now + SHARE * (now - began)

    @contextmanager
    def _refusing(self, errors: type[Exception]) -> Iterator[None]:
        """Convert errors of a broken file to one that names the file."""
        try:
            yield
        except errors as error:
            raise ValueError(
                f"{str(self.path)!r} is no checkpoint of this version of skbackprop ({error or type(error).__name__}). "
                "Delete it, or choose another name."
            ) from error


def _replace(path: Path, arrays: dict[str, Any]) -> None:
    """Replace a file atomically, so that its name always refers to the complete old or the complete new one."""
    target = Path(os.path.realpath(path))  # a link stays one
    # a unique name, since another process may write the same checkpoint
    new = target.with_name(f"{target.name[:200]}.{secrets.token_hex(8)}.new")
    try:
        with open(new, "xb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        _rename(new, target)
        if os.name == "posix":  # so that the new name survives a power failure
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        said = f"The checkpoint could not be written ({error.strerror or error}); an earlier one is unchanged"
        raise OSError(error.errno or 0, said, str(path)) from error
    finally:
        with suppress(OSError):  # if it was renamed, or could not be created
            new.unlink()


def _rename(new: Path, path: Path) -> None:
    for left in reversed(range(TRIES)):
        try:
            return os.replace(new, path)
        except PermissionError:
            if os.name == "posix" or not left:
                raise
            time.sleep(PAUSE_SECONDS)


def seed_of(random_state: object) -> str:
    """Text of an estimator's random_state; the state of a generator is in the file."""
    return str(random_state) if random_state is None or np.isscalar(random_state) else "a generator"
