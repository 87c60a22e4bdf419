"""Saving models: a state that files can hold for years, the version in it, and what skops may trust."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from inspect import signature
from typing import Any

from skbackprop._fit.settings import Settings
from skbackprop._fit.stopping import Best, History, Patience
from skbackprop._fit.targets import Labels
from skbackprop._fit.training import Progress
from skbackprop._fit.warn import warn
from skbackprop._nn.losses import LossArgs
from skbackprop._nn.network import Network
from skbackprop._version import __version__

__all__ = ["TRUSTED_TYPES", "VersionWarning"]

#: What `skops.io.load` must be told to trust to load our estimators and `tabular_pipeline`: our own types, and those of
#: NumPy and scikit-learn that such a pipeline contains.
TRUSTED_TYPES = [
    "skbackprop._classifier.MLPSoftmaxClassifier",
    "skbackprop._regressor.MLPRegressor",
    "skbackprop.preprocessing.PiecewiseLinearEncoder",
    "skbackprop._table.Table",
    "skbackprop.tabular.Columns",
    "skbackprop.tabular.plain_categories",
    "skbackprop.tabular.plain_numbers",
    "skbackprop.tabular.same_names",
    "numpy.dtype",
    "sklearn.model_selection._split.KFold",
]

VERSION = "_skbackprop_version"

# by the name of the attribute that holds one
PARTS: dict[str, Any] = {
    "_network": Network,
    "loss_args": LossArgs,
    "_labels": Labels,
    "_settings": Settings,
    "_progress": Progress,
    "history": History,
    "patience": Patience,
    "best": Best,
}


class VersionWarning(UserWarning):
    """A model was saved by another version of this package than the one that loads it."""


class Persistent:
    """What makes a pickle (joblib, skops) last: of our classes it names the estimator alone.

    The parts of its state are saved as dicts of plain values, so that their classes may move and gain fields.
    """

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        plain = {name: _plain(value) if name in PARTS else value for name, value in state.items()}
        return {VERSION: __version__, **plain}

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved_by = state.get(VERSION, "a version before 0.1.0")
        if saved_by != __version__:
            warn(
                f"This {type(self).__name__} was saved by skbackprop {saved_by} and is loaded by {__version__}. "
                "Compare some predictions before you rely on it, or fit it anew.",
                VersionWarning,
            )
        parts = {name: _revived(name, value) for name, value in state.items() if name != VERSION}
        parameters = signature(type(self).__init__).parameters.values()  # some may be new
        defaults = {param.name: param.default for param in parameters if param.default is not param.empty}
        super().__setstate__(defaults | parts)  # type: ignore[misc]


def _plain(value: Any) -> Any:
    """Turn one of our parts into a dict, with the parts inside it."""
    if not is_dataclass(value):
        return value
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _revived(name: str, value: Any) -> Any:
    """Make the part again; fields that it no longer has are left out, new ones have their default."""
    if name not in PARTS or not isinstance(value, dict):
        return value
    known = {field.name for field in fields(PARTS[name])}
    return PARTS[name](**{key: _revived(key, inner) for key, inner in value.items() if key in known})
