"""Prediction by both estimators, from the arrays that a user sees and may change."""

from __future__ import annotations

import copy
import functools
import operator
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, TypeVar, cast

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbackprop._checks.arrays import check_finite_output, check_rows, check_same_device, is_plain
from skbackprop._checks.callbacks import without_callbacks
from skbackprop._checks.constraints import Method
from skbackprop._checks.rows import without_names
from skbackprop._engines import choose_engine
from skbackprop._fit.block import in_blocks
from skbackprop._fit.dataset import RemoteRows
from skbackprop._fit.device import FLOAT64, HOST, Device, compute_device, device_of, map_arrays, to_host
from skbackprop._fit.fitted_model import Features, FittedModel
from skbackprop._fit.out_of_core import predict_blocks
from skbackprop._fit.state import TrainState
from skbackprop._fit.targets import LabelCodec, NumberCodec
from skbackprop._nn.network import Network, Parameters
from skbackprop._nn.optimizers import Optimizer
from skbackprop.data import Shards
from skbackprop.persistence import Persistent

Estimator = TypeVar("Estimator")


class Serving:
    """What prediction keeps between calls: the parameters behind coefs_ and intercepts_, and idle engines."""

    def __init__(self, parameters: Parameters | None = None):
        self.parameters = parameters
        self._idle: list[tuple[tuple, Any]] = []

    def borrow(self, wanted: tuple) -> Any:
        """Lend an engine for network, name, namespace, n_threads: to one at a time, as threads may predict at once."""
        with suppress(IndexError):  # none is idle; to look first would leave a moment for another thread
            made, engine = self._idle.pop()
            if made == wanted:
                return engine
        network, name, xp, n_threads = wanted
        return choose_engine(network, Optimizer(), name, xp, n_threads)

    def give_back(self, wanted: tuple, engine: Any) -> None:
        """After an error it is not, and another one is made."""
        self._idle.append((wanted, engine))


def as_published(model: Estimator) -> Estimator:
    """The model as the last fit left it, whatever other threads do to the estimator from here on.

    `fit` and `partial_fit` assign a new `__dict__` when all is learned, and never change one that predictions read.
    """
    reader = object.__new__(type(model))
    reader.__dict__ = model.__dict__
    return reader


def of_one_model(method: Method) -> Method:
    """Let a method read a single model from its first line to its last, though another thread may fit meanwhile."""

    @functools.wraps(method)
    def reading(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(as_published(self), *args, **kwargs)

    return cast(Method, reading)


def _are_same(some: list[Any], others: list[Any]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _learned(attributes: dict[str, Any]) -> dict[str, Any]:
    """The public attributes that fit set."""
    return {name: value for name, value in attributes.items() if name.endswith("_") and name[0] != "_"}


def _parameter_attributes(network: Network, P: Parameters) -> dict[str, Any]:
    """The arrays that users see, views of one vector."""
    found: dict[str, Any] = {"coefs_": P.W[1:], "intercepts_": P.b[1:], "_serving": Serving(P)}
    if network.n_members > 1:
        found["member_factors_"] = list(zip(P.r[1:], P.s[1:], strict=True))
    return found | ({"input_scale_": P.c} if network.input_scale else {})


class Predicting(Persistent):
    """Parameters and prediction of both estimators."""

    engine: str
    n_threads: int | None
    n_features_in_: int
    _network: Network
    _progress: TrainState

    @abstractmethod
    def _codec(self) -> LabelCodec | NumberCodec:
        """Make the codec of the fitted attributes, which are the truth also after the user changed them."""

    @abstractmethod
    def _codec_attributes(self, codec: Any, device: Device) -> dict[str, Any]:
        """The fitted attributes that tell of the targets, their arrays on a device."""

    def __fitted_model__(self, on_host: bool = False) -> FittedModel:
        """The model as the last fit left it and the user changed it: what other rooms of this package work with."""
        model = as_published(self)
        check_is_fitted(model)
        if on_host and device_of(model.coefs_[0]) is not HOST:
            model = model.__sklearn_array_api_convert__(to_host)
        theta = model._theta()
        features = Features(model._network.sizes[0], getattr(model, "feature_names_in_", None))
        return FittedModel(model._network, theta, model._codec(), features, device_of(theta))

    def _model_attributes(self, model: FittedModel) -> dict[str, Any]:
        """The fitted attributes that predictions need."""
        return (
            {"_network": model.network}
            | model.features.attributes
            | self._codec_attributes(model.codec, model.device)
            | _parameter_attributes(model.network, model.parameters)
        )

    def _arrays(self) -> list[Any]:
        """The fitted parameters, which are the truth also after the user changed them, as in the flat vector."""
        layers = zip(self.intercepts_, self.coefs_, strict=False)
        arrays = [array for pair in layers for array in pair]
        arrays += [factor for pair in getattr(self, "member_factors_", []) for factor in pair]
        return [*arrays, self.input_scale_] if hasattr(self, "input_scale_") else arrays

    def _theta(self) -> Any:
        """The flat vector of the fitted parameters."""
        P, arrays = self._serving.parameters, self._arrays()
        if P is not None and _are_same(arrays, P.arrays):
            return P.theta  # they are its views
        shapes, expected = [np.shape(array) for array in arrays], list(self._network.shapes)
        if shapes != expected or len(self.coefs_) != len(self.intercepts_):
            n = 2 * self._network.n_layers
            raise ValueError(
                f"coefs_ and intercepts_ must have the shapes {expected[1:n:2]} and {expected[0:n:2]}, got "
                f"{[np.shape(W) for W in self.coefs_]} and {[np.shape(b) for b in self.intercepts_]}"
                + (f"; the factors {expected[n:]}, got {shapes[n:]}." if expected[n:] else ".")
            )
        xp = device_of(*arrays).xp
        theta = xp.concat([xp.reshape(xp.asarray(array), (-1,)) for array in arrays])
        if not xp.isdtype(theta.dtype, ("real floating", "integral")):
            raise ValueError(
                f"coefs_ and intercepts_ must hold real numbers, but their dtype is {theta.dtype}."
            )
        return theta

    def _output(
        self,
        X: Any,
        link: bool,
        members: bool = False,
        method: str = "predict",
        answer: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Output of the network for the user's X: the prediction, or v[H] without its link.

        The mean of the members' predictions, or with `members` each one's, (n_members, n_samples, n_outputs).
        Computed in the wider of the dtypes of X and of the weights, as NumPy would. `answer` turns the outputs of
        some rows into what is wanted of them, so that not all outputs are in memory at once.
        """
        if "coefs_" not in self.__dict__:
            check_is_fitted(self)
        if isinstance(X, Shards):
            model: Self = without_names(self, X, method)
            return predict_blocks(
                X, lambda block: model._output(block, link, members, method, answer), int(members)
            )
        if isinstance(X, RemoteRows):
            return X.outputs(self.__fitted_model__(), {"link": link, "members": members}, answer)
        theta, device = self._theta(), compute_device(X)
        check_same_device(self, device, method)
        if self.n_features_in_ != self._network.sizes[0]:
            raise ValueError(
                f"n_features_in_ was changed to {self.n_features_in_!r}, but the weights are for "
                f"{self._network.sizes[0]} features: set it back, or fit anew."
            )
        wide = device.dtype_of(theta) == FLOAT64

        def looked_at(output):
            return check_finite_output(output, device, X, theta)

        def predict(X, checked):
            dtype = FLOAT64 if wide else device.dtype_of(X)
            wanted = self._network, self.engine, device.xp, self.n_threads
            engine = self._serving.borrow(wanted)
            engine.load(device.cast(theta, dtype))
            options = {"link": link, "checked": checked, "members": members}
            with np.errstate(all="ignore"):  # what comes of it is looked at
                if answer is None:
                    output = engine.predict(device.cast(X, dtype), **options)
                    output = None if output is None else looked_at(output)
                else:
                    output = in_blocks(engine, device.cast(X, dtype), options, lambda v: answer(looked_at(v)))
            self._serving.give_back(wanted, engine)
            return output

        output = predict(X, checked=False) if is_plain(self, X) else None
        if (
            output is None
        ):  # scikit-learn's check says what is wrong, or lets it pass where assume_finite is set
            dtypes = device.floats("float64" if wide else "auto")
            X = check_rows(self, X, reset=False, dtypes=dtypes)
            output = predict(X, checked=True)
        return output

    def __getstate__(self):
        """Leave out what the copy makes anew, in memory of its own.

        A model's callbacks have done their work and stay behind; before `fit` they go along, for the worker processes
        of a search have to report.
        """
        state = dict(super().__getstate__())  # at once, as another thread may fit meanwhile
        state.pop("_serving", None)
        if "coefs_" not in state:
            return state
        state = without_callbacks(state)
        home = device_of(self.coefs_[0])
        return state if home is HOST else state | map_arrays(home.compact, _learned(state))

    def _renew_parameters(self) -> None:
        """Make the arrays views of one vector again."""
        theta = self._theta()
        P = Parameters(device_of(theta).xp, self._network, theta)
        self.__dict__ |= _parameter_attributes(self._network, P)

    def _renew(self) -> None:
        self._serving = Serving()
        if "coefs_" in self.__dict__:
            with suppress(ValueError):  # of other shapes, set by the user: prediction will say so
                self._renew_parameters()

    def _check_state(self) -> None:
        super()._check_state()
        if "coefs_" not in self.__dict__:
            return
        network, arrays = self._network, self._arrays()
        lists = self.coefs_, self.intercepts_
        if not all(isinstance(some, (list, tuple)) and len(some) == network.n_layers for some in lists):
            raise TypeError(f"coefs_ and intercepts_ must be lists of {network.n_layers} arrays")
        if any(isinstance(array, np.ndarray) and array.dtype.kind not in "biuf" for array in arrays):
            raise TypeError("coefs_, intercepts_ and factors must be arrays of real numbers")
        n_outputs = network.sizes[-1]
        expected = {"target_shift_": network.n_targets, "target_scale_": network.n_targets}
        given = {name: getattr(self, name) for name in expected if hasattr(self, name)}
        if hasattr(self, "_labels"):
            given["classes"], expected["classes"] = self._labels.classes, n_outputs
        for name, array in given.items():
            if getattr(array, "shape", None) != (expected[name],):
                raise ValueError(
                    f"{name} must have one entry for each of {expected[name]} outputs, got {array!r}"
                )

    def __sklearn_array_api_convert__(self, converter: Callable[..., Any]) -> Self:
        """Copy whose arrays were converted, for `sklearn.utils._array_api.move_estimator_to`."""
        moved = copy.copy(self)
        if "coefs_" in moved.__dict__:
            moved.__dict__ |= map_arrays(converter, _learned(moved.__dict__))
            moved._renew_parameters()
            moved._progress = self._progress.converted(converter)
        return moved
