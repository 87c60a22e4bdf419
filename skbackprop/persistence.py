"""Saving models: a state that later versions can load, its version, and trusted types for skops."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache, partial
from inspect import signature
from numbers import Integral, Real
from typing import Any, Self, cast, get_args, get_origin, get_type_hints

import numpy as np

from skbackprop._fit.inputs import InputEncoding
from skbackprop._fit.spec import FitPlan
from skbackprop._fit.state import TrainState
from skbackprop._fit.targets import LabelCodec
from skbackprop._fit.warn import warn
from skbackprop._intervals import CVPlus
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.network import Network
from skbackprop._version import __version__

__all__ = ["TRUSTED_TYPES", "VersionWarning"]

#: Types to pass as `trusted` to `skops.io.load`, to load the estimators and pipelines of this package: its own types,
#: and the only other one that such a pipeline contains, scikit-learn's KFold.
TRUSTED_TYPES = [
    "skbackprop._classifier.MLPSoftmaxClassifier",
    "skbackprop._regressor.MLPRegressor",
    "skbackprop.ensemble.MLPEnsembleClassifier",
    "skbackprop.ensemble.MLPEnsembleRegressor",
    "skbackprop.preprocessing.PiecewiseLinearEncoder",
    "skbackprop._table.Table",
    "skbackprop._table_encoder.TableEncoder",
    "skbackprop._tabular_pipeline.TabularPipeline",
    "sklearn.model_selection._split.KFold",
]

VERSION = "_skbackprop_version"

# by the name of the attribute; parts inside these are known by the types of their fields
PARTS: dict[str, type] = {
    "_network": Network,
    "_labels": LabelCodec,
    "_settings": FitPlan,
    "_progress": TrainState,
    "_inputs": InputEncoding,
    "_cv_plus": CVPlus,
}

SEVERAL = {"_cv_plus"}  # with a list of parts

OLD_NAMES = {"state": "memory"}  # of fields that were renamed, in older models


class VersionWarning(UserWarning):
    """Warning that a model was saved by another version of this package than the one that loads it."""


class Persistent:
    """Makes pickles (joblib, skops) loadable in later versions: of this package they only name the estimator's class.

    The parts of its state are saved as dicts of plain values, so that their classes may move and gain fields.
    """

    def __getstate__(self) -> dict[str, object]:
        state = super().__getstate__().items()  # type: ignore[attr-defined]
        plain = {name: _each(_plain, name, value) if name in PARTS else value for name, value in state}
        return {VERSION: __version__, **plain}

    def __setstate__(self, state: dict[str, object]) -> None:
        saved_by = str(state.get(VERSION, "a version before 0.1.0"))
        if saved_by != __version__:
            warn(
                f"This {type(self).__name__} was saved by skbackprop {saved_by} and is loaded by {__version__}. "
                "Check some predictions before you rely on it, or fit it again.",
                VersionWarning,
            )
        parameters = signature(type(self).__init__).parameters.values()  # which may be new
        defaults = {param.name: param.default for param in parameters if param.default is not param.empty}
        try:
            super().__setstate__(defaults | _restored(state))  # type: ignore[misc]
            self._check_state()
        except (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError) as error:
            raise ValueError(
                f"This state of {type(self).__name__} is damaged, or was changed since it was saved: {error}. Load it "
                "from an intact file, or make a new estimator and fit it."
            ) from error
        self._renew()

    def __copy__(self) -> Self:
        """Copy, also during a fit; nothing is checked, since the parts may not fit together yet."""
        twin = type(self).__new__(type(self))
        super(Persistent, twin).__setstate__(_restored(self.__getstate__()))  # type: ignore[misc]
        twin._renew()
        return twin

    def _check_state(self) -> None:
        """Raise if the parts of a loaded state do not fit together."""

    def _renew(self) -> None:
        """Create attributes that are not saved."""


def _plain(value: object) -> object:
    """Convert a part of the state to a dict, with the parts inside it."""
    if not is_dataclass(value):
        return value
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _restored(state: dict[str, object]) -> dict[str, object]:
    """Attributes of a saved state, with its parts restored."""
    return {
        name: _each(partial(_revived, name, part=PARTS[name]), name, value) if name in PARTS else value
        for name, value in state.items()
        if name != VERSION
    }


def _each(function: Callable[[object], object], name: str, value: object) -> object:
    """Apply the function to a part, or to each of several."""
    return [function(part) for part in value] if name in SEVERAL and isinstance(value, list) else function(value)


def _revived(name: str, value: object, part: type) -> object:
    """Restore the part; fields that no longer exist are dropped, new ones get their defaults."""
    hints = _hints(part)
    if isinstance(value, dict):
        named = {key if key in hints else OLD_NAMES.get(key): inner for key, inner in value.items()}
        known = {key: inner for key, inner in named.items() if key in hints}
        for key, inner in known.items():
            kinds = (hints[key], *get_args(hints[key]))
            inner_part = next((kind for kind in kinds if isinstance(kind, type) and is_dataclass(kind)), None)
            if inner_part is not None and inner is not None:
                known[key] = _revived(f"{name}.{key}", inner, inner_part)
        value = part(**known)
    if not isinstance(value, part):
        raise TypeError(f"{name} is {value!r}")
    for key, hint in hints.items():
        if not _is_a(getattr(value, key), hint):
            raise TypeError(f"{name}.{key} is {getattr(value, key)!r}")
    if isinstance(value, Network):
        _check_network(value)
    return value


@cache
def _hints(part: type) -> dict[str, object]:
    """Types of a part's fields."""
    hints = get_type_hints(part)
    return {field.name: hints[field.name] for field in fields(part)}


def _is_a(value: object, hint: object) -> bool:
    """Tell whether a value has the type of its field; NumPy's numbers are numbers."""
    if hint is Any:
        return True
    kind, args = get_origin(hint), get_args(hint)
    if np.ndarray in (kind, hint):  # it may be an array of a device
        return hasattr(value, "shape") and hasattr(value, "dtype")
    if kind in (list, tuple):
        return isinstance(value, kind) and all(_is_a(item, args[0]) for item in value)
    if kind is dict:
        return isinstance(value, dict)
    if kind is not None:
        return any(_is_a(value, arg) for arg in args)
    if isinstance(value, (bool, np.bool_)):
        return hint is bool
    if hint is int:  # all are counts or seeds
        return isinstance(value, Integral) and 0 <= int(value) <= sys.maxsize
    return isinstance(value, Real if hint is float else cast(type, hint))


def _check_network(network: Network) -> None:
    """Raise if these values are not a valid network."""
    n_layers, args = len(network.sizes) - 1, network.loss_args
    if n_layers < 1 or min(network.sizes) < 1 or network.n_members < 1:
        raise ValueError(f"the network's sizes are {network.sizes}, its members {network.n_members}")
    names = [name for name in network.activations if name not in ACTIVATIONS]
    names += [network.loss] if network.loss not in LOSSES else []
    if names or len(network.activations) != n_layers - 1:
        raise ValueError(f"its activations and loss are {network.activations} and {network.loss!r}")
    if len(network.dropout) != n_layers or not all(0.0 <= rate < 1.0 for rate in network.dropout):
        raise ValueError(f"its dropout is {network.dropout}")
    if not all(map(math.isfinite, (args.focal_gamma, args.huber_delta, *args.quantiles))):
        raise ValueError(f"the parameters of its loss are {args}")
    if not args.quantiles or network.sizes[-1] % LOSSES[network.loss].outputs_per_target(args):
        raise ValueError(f"{network.sizes[-1]} outputs are not those of {network.loss!r} with {args}")
