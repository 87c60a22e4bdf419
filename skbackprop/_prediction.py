"""Predictions of both estimators, from the arrays that users see and may change."""

from __future__ import annotations

import copy
import functools
import operator
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Any, Self, cast

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbackprop._checks.arrays import check_finite_output, check_inputs, check_same_device, is_plain
from skbackprop._checks.callbacks import CALLBACKS
from skbackprop._checks.constraints import Method
from skbackprop._checks.rows import copy_of, without_names
from skbackprop._checks.shards import encoded_shards
from skbackprop._checks.tables import encoding_of
from skbackprop._engines import choose_engine
from skbackprop._engines.encoded_table import EncodedTable
from skbackprop._engines.engine import LocalEngine
from skbackprop._fit.block import in_blocks
from skbackprop._fit.dataset import RemoteRows
from skbackprop._fit.device import FLOAT64, HOST, Device, compute_device, device_of, map_arrays, to_host
from skbackprop._fit.fitted_model import Features, FittedModel
from skbackprop._fit.out_of_core import predict_blocks
from skbackprop._fit.state import TrainState
from skbackprop._fit.targets import LabelCodec, TargetCodec
from skbackprop._nn.network import Network, Parameters
from skbackprop._nn.optimizers import Optimizer
from skbackprop._types import Array, Attributes, Namespace
from skbackprop.data import Shards
from skbackprop.persistence import Persistent

Wanted = tuple[Network, str, Namespace, int | None, str]  # an engine's network, name, namespace, threads, precision


class Serving:
    """Cache for predictions: the parameters of which coefs_ and intercepts_ are views, and idle engines."""

    def __init__(self, parameters: Parameters | None = None):
        self.parameters = parameters
        self.idle: list[tuple[Wanted, LocalEngine]] = []

    def borrow(self, wanted: Wanted) -> LocalEngine:
        """Lend an engine to one call at a time, since several threads may predict."""
        try:
            made, engine = self.idle.pop()
            if made == wanted:
                return engine
        except IndexError:  # none is idle; checking first would not be safe with threads
            pass
        network, name, xp, n_threads, precision = wanted
        return choose_engine(network, Optimizer(), name, xp, n_threads, precision)

    def give_back(self, wanted: Wanted, engine: LocalEngine) -> None:
        """Return an engine for later calls; one that raised an error is not returned."""
        self.idle.append((wanted, engine))


def of_one_model(method: Method) -> Method:
    """Let a method use a single model throughout, even if another thread fits meanwhile.

    It uses the attributes at the time of the call: `fit` and `partial_fit` assign a new `__dict__` at the end, and
    never change one that predictions use.
    """

    @functools.wraps(method)
    def reading(self: Any, *args: object, **kwargs: object) -> object:
        reader = object.__new__(type(self))
        reader.__dict__ = self.__dict__
        return method(reader, *args, **kwargs)

    return cast(Method, reading)


def _learned(attributes: Attributes) -> Attributes:
    """The public attributes of the last fit."""
    return {name: value for name, value in attributes.items() if name.endswith("_") and name[0] != "_"}


def _parameter_attributes(network: Network, P: Parameters) -> Attributes:
    """The public arrays, which are views of one vector."""
    found: Attributes = {"coefs_": P.W[1:], "intercepts_": P.b[1:], "_serving": Serving(P)}
    if network.n_members > 1:
        found["member_factors_"] = list(zip(P.r[1:], P.s[1:], strict=True))
    return found | ({"input_scale_": P.c} if network.input_scale else {})


class Predicting(Persistent):
    """Parameters and prediction of both estimators."""

    engine: str
    n_threads: int | None
    matmul_precision: str
    solver: str
    n_features_in_: int
    feature_names_in_: np.ndarray
    categories_: list[np.ndarray | None]
    bin_edges_: list[np.ndarray | None]
    coefs_: list[Array]
    intercepts_: list[Array]
    member_factors_: list[tuple[Array, Array]]
    input_scale_: Array
    _network: Network
    _progress: TrainState
    _serving: Serving

    @abstractmethod
    def _codec(self) -> TargetCodec:
        """Make the codec from the fitted attributes, which count even if the user changed them."""

    @abstractmethod
    def _codec_attributes(self, codec: Any, device: Device) -> Attributes:
        """The fitted attributes for targets, with arrays on a device."""

    @of_one_model
    def __fitted_model__(self, on_host: bool = False) -> FittedModel:
        """The fitted model, with the user's changes of its arrays, for other modules."""
        check_is_fitted(self)
        if on_host and device_of(self.coefs_[0]) is not HOST:
            return self.__sklearn_array_api_convert__(to_host).__fitted_model__()
        theta = self._theta()
        encoding = encoding_of(self)
        n = self._network.sizes[0] if encoding is None else self.n_features_in_
        features = Features(n, getattr(self, "feature_names_in_", None), encoding)
        return FittedModel(self._network, theta, self._codec(), features, device_of(theta))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coefs_")

    def _model_attributes(self, model: FittedModel) -> Attributes:
        """The fitted attributes that predictions need."""
        return (
            {"_network": model.network}
            | model.features.attributes
            | self._codec_attributes(model.codec, model.device)
            | _parameter_attributes(model.network, model.parameters)
        )

    def _arrays(self) -> list[Array]:
        """The fitted parameters, with the user's changes, in the order of the flat vector."""
        arrays = list(chain.from_iterable(zip(self.intercepts_, self.coefs_, strict=False)))
        if self._network.n_members > 1:
            arrays += chain.from_iterable(getattr(self, "member_factors_", []))
        if self._network.input_scale and hasattr(self, "input_scale_"):
            arrays.append(self.input_scale_)
        return arrays

    def _theta(self) -> Array:
        """The flat vector of the fitted parameters."""
        P, arrays = self._serving.parameters, self._arrays()
        if P is not None and len(arrays) == len(P.arrays) and all(map(operator.is_, arrays, P.arrays)):
            return P.theta  # if they are its views
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
            raise ValueError(f"coefs_ and intercepts_ must hold real numbers, but their dtype is {theta.dtype}.")
        return theta

    def _output(
        self,
        X: Any,
        link: bool,
        members: bool = False,
        method: str = "predict",
        answer: Callable[[Array], Array] | None = None,
    ) -> Array:
        """Output of the network for the user's X: the prediction, or v[H] without its link.

        The mean prediction of the members, or with `members` those of each, (n_members, n_samples, n_outputs).
        `answer` converts the outputs of some rows, so that not all outputs are in memory at once.
        """
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        options = {"link": link, "members": members}
        if isinstance(X, RemoteRows):
            return X.outputs(self.__fitted_model__(), options, answer)
        if isinstance(X, Shards):
            model = without_names(self, X, method)
            source = encoded_shards(model, X)
            return predict_blocks(
                source, lambda block: model._output_here(block, options, method, answer), int(members)
            )
        return self._output_here(X, options, method, answer)

    def _output_here(
        self, X: Any, options: dict[str, bool], method: str, answer: Callable[[Array], Array] | None
    ) -> Array:
        """Output for an X in this process, computed in the wider of the dtypes of X and of the weights."""
        theta, device = self._theta(), compute_device(X)
        check_same_device(self, device, method)
        encoding = encoding_of(self)
        n_features = self._network.sizes[0] if encoding is None else len(encoding.is_category)
        if self.n_features_in_ != n_features:
            raise ValueError(
                f"n_features_in_ was changed to {self.n_features_in_!r}, but the weights are for "
                f"{n_features} features. Set it back, or fit again."
            )
        if is_plain(self, X):
            output = self._computed(X, theta, device, {"checked": False, **options}, answer)
            if output is not None:
                return output
        # scikit-learn's check raises the error, except with assume_finite
        X = check_inputs(self, X, device, device.dtype_of(theta))
        output = self._computed(X, theta, device, {"checked": True, **options}, answer)
        assert output is not None
        return output

    def _computed(
        self, X: Array, theta: Array, device: Device, options: dict[str, bool], answer: Callable[[Array], Array] | None
    ) -> Array | None:
        """Output for an X on a device, by a cached engine; None if the engine refuses X."""
        dtype = device.dtype_of(X)
        if dtype != FLOAT64 and device.dtype_of(theta) == FLOAT64:
            dtype = FLOAT64
        precision = "highest" if self.solver == "lbfgs" else self.matmul_precision  # as it was trained
        wanted = self._network, self.engine, device.xp, self.n_threads, precision
        engine = self._serving.borrow(wanted)
        engine.load(device.cast(theta, dtype))
        X = device.cast(X, dtype)

        def looked_at(v: Array) -> Array:
            v = check_finite_output(v, device, X, theta)
            return v if answer is None else answer(v)

        if answer is None and not isinstance(X, EncodedTable):
            output = engine.predict(X, **options)
            output = None if output is None else looked_at(output)
        else:
            output = in_blocks(engine, X, options, looked_at)
        self._serving.give_back(wanted, engine)
        return output

    def __getstate__(self) -> Attributes:
        """Leave out what the copy creates again.

        Callbacks of a fitted model are left out; before `fit` they are included, since the worker processes of a search
        call them.
        """
        state: Attributes = dict(super().__getstate__())  # in one step, since another thread may fit
        is_fitted = "coefs_" in state
        for name in ["_serving", *(CALLBACKS if is_fitted else [])]:
            state.pop(name, None)
        home = device_of(state["coefs_"][0]) if is_fitted else HOST
        if home is HOST:
            return state
        # copies, since a pickled view of torch contains the whole base
        return state | map_arrays(lambda array: home.xp.asarray(array, copy=True), _learned(state))

    def _renew(self) -> None:
        self._serving = Serving()
        if hasattr(self, "coefs_"):
            with suppress(ValueError):  # of other shapes, set by the user: predictions raise the error
                theta = self._theta()
                P = Parameters(device_of(theta).xp, self._network, theta)  # the arrays are views of one vector again
                self.__dict__ |= _parameter_attributes(self._network, P)

    def _check_state(self) -> None:
        if not hasattr(self, "coefs_"):
            return
        network, arrays, codec = self._network, self._arrays(), self._codec()
        lists = self.coefs_, self.intercepts_
        if not all(isinstance(some, (list, tuple)) and len(some) == network.n_layers for some in lists):
            raise TypeError(f"coefs_ and intercepts_ must be lists of {network.n_layers} arrays")
        if any(isinstance(array, np.ndarray) and array.dtype.kind not in "biuf" for array in arrays):
            raise TypeError("coefs_, intercepts_ and factors must be arrays of real numbers")
        n = network.sizes[-1]
        if isinstance(codec, LabelCodec) and codec.classes.shape != (n,):
            raise ValueError(f"classes must have one entry for each of {n} outputs, got {codec.classes!r}")

    def __sklearn_array_api_convert__(self, converter: Callable[[Array], Array]) -> Self:
        """Copy whose arrays were converted, for `sklearn.utils._array_api.move_estimator_to`."""
        if not hasattr(self, "coefs_"):
            return copy.copy(self)
        moved = map_arrays(converter, _learned(self.__dict__))
        return copy.copy(copy_of(self, moved | {"_progress": self._progress.converted(converter)}))
