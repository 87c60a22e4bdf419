"""Data: where arrays are, and whether they can be computed with."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils import check_X_y
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import (
    FLOAT_DTYPES,
    _check_feature_names_in,
    _check_sample_weight,
    _get_feature_names,
    validate_data,
)

from skbackprop._checks.calls import check_pair
from skbackprop._checks.tables import encoding_of, read_table, refuse_columns, refuse_dates
from skbackprop._engines.encoded_table import EncodedTable, dense
from skbackprop._fit.data_checks import complete, sound, within_floats
from skbackprop._fit.device import FLOAT64, HOST, Device, device_of, to_host
from skbackprop._fit.scales import UNSCALED
from skbackprop._fit.weights import check_weight_sum
from skbackprop._types import Array, Data

PLAIN = (np.dtype(np.float64), np.dtype(np.float32))
TEXTS = (
    "Networks need numbers. List string columns in categorical_features, encode them, or use "
    "skbackprop.tabular_pipeline."
)
HINTS = {  # what scikit-learn's errors about X do not know
    "could not convert string to float": TEXTS,
    "Cannot cast str dtype": TEXTS,
    "Input X contains NaN": "Or set numeric_encoder='piecewise_linear', which encodes missing numbers, or use "
    "skbackprop.tabular_pipeline, which sets it.",
}


def check_same_device(estimator: BaseEstimator, device: Device, method: str) -> None:
    """Raise unless the model's parameters are on this device."""
    home = device_of(estimator.coefs_[0])
    if home != device:
        raise ValueError(
            f"Inputs passed to {type(estimator).__name__}.{method}() must use the same namespace and the same device "
            f"as those passed to the first fit: the model's weights are each {home}, but X is {device} (with "
            f"array_api_dispatch={get_config()['array_api_dispatch']}). Bring X there, set "
            "sklearn.set_config(array_api_dispatch=True) if it is there, or fit anew."
        )


def check_inputs(estimator: BaseEstimator, X: Data, device: Device, dtype: np.dtype) -> Array:
    """Check X to predict for with scikit-learn's own errors; it comes in the wider of its dtype and the weights'.

    What the model encodes comes in the dtype of the weights.
    """
    encoding = encoding_of(estimator)
    if encoding is not None and isinstance(X, EncodedTable) and X.shape[1] == encoding.n_inputs:  # a scorer's
        return cast(Array, X.astype(dtype))
    if encoding is not None:
        encoded: Any = encoding.encode(read_table(estimator, X, encoding.is_category, reset=False)[0], dtype)
        return encoded
    dtypes = device.floats("float64" if dtype == FLOAT64 else "auto")
    return _validated(estimator, X, reset=False, dtype=dtypes)


def check_rows(
    estimator: BaseEstimator, X: Data, y: Data, *, reset: bool, dtypes: list[np.dtype]
) -> tuple[Array, np.ndarray]:
    """Check X and y with scikit-learn's own errors; sparse X becomes CSR, sparse y dense."""
    return _validated(estimator, X, y=complete(y), multi_output=True, reset=reset, dtype=dtypes)


def _validated(estimator: BaseEstimator, X: Data, **options: Any) -> Any:
    """What `validate_data` gives; its errors get the hints that fit."""
    if isinstance(X, EncodedTable):
        if math.isfinite(X.largest()) or get_config()["assume_finite"]:
            return _validated_codes(estimator, X, **options)
        X = dense(X)
    refuse_dates(X)
    if sp.issparse(X) and getattr(X, "ndim", None) == 2:
        X = sound(X, "X")
    elif type(X) is np.ndarray:  # whether numbers are finite the kernels see sooner; what is wrong is said below
        with suppress(ValueError, TypeError), within_floats("Input X"):
            valid = validate_data(estimator, X, order="C", ensure_all_finite=False, **options)
            if math.isfinite(HOST.largest(valid[0] if isinstance(valid, tuple) else valid)):
                return valid
    try:
        with within_floats("Input X"):
            return validate_data(estimator, X, accept_sparse="csr", order="C", **options)
    except (ValueError, TypeError) as error:
        refuse_columns(X)  # which names the column
        text = str(error)
        hints = [hint for sign, hint in HINTS.items() if sign in text]
        if not hints:
            raise
        raise ValueError(f"{text}\n{hints[0]}") from error


def _validated_codes(estimator: BaseEstimator, X: EncodedTable, **options: Any) -> Any:
    """The same of an encoded table whose numbers are finite, so that only its shape counts: its first row shows it."""
    about_y = {name: options.pop(name) for name in ("y", "multi_output") if name in options}
    checked = X.astype(_validated(estimator, dense(X[:1]), **options).dtype)
    return (checked, check_targets(estimator, about_y["y"], len(X))) if about_y else checked


def check_targets(estimator: BaseEstimator, y: Data, n_rows: int) -> np.ndarray:
    """Check the targets of so many rows with scikit-learn's own errors."""
    checked: np.ndarray = check_X_y(np.zeros((n_rows, 1)), complete(y), estimator=estimator, multi_output=True)[1]
    return checked


def output_of(transformer: BaseEstimator) -> str:
    """Whose DataFrame `set_output` asks for: "pandas" or "polars"; "default": what the transformer makes."""
    return str(_get_output_config("transform", transformer)["dense"])


def has_validation_set(X_val: Data, y_val: Data, weights: Data, *, holds_targets: bool = False) -> bool:
    """Tell whether there is one; raise if there is a part of one. holds_targets: X_val has its own."""
    if X_val is None and y_val is None and weights is None:
        return False
    check_pair(X_val, y_val)
    if X_val is None or (y_val is None and not holds_targets):
        raise ValueError("A validation set needs both X_val and y_val.")
    return True


def check_table(estimator: BaseEstimator, X: Any, *, reset: bool) -> Array:
    """Check a dense X whose numbers may be missing, with scikit-learn's own errors; it comes to the host."""
    with within_floats("Input X"):
        return validate_data(estimator, to_host(X), reset=reset, dtype=FLOAT_DTYPES, ensure_all_finite="allow-nan")


def feature_names(estimator: BaseEstimator, names: Data) -> np.ndarray:
    """Names of the input features: as given, as seen in fit, or x0, x1, ..."""
    return _check_feature_names_in(estimator, names)


def names_of(X: Data) -> np.ndarray | None:
    """Names of the columns of a table; None: X has none."""
    names: np.ndarray | None = _get_feature_names(X)
    return names


def is_plain(estimator: BaseEstimator, X: Data) -> bool:
    """Tell whether X passes all checks of prediction but that its numbers are finite: the common case."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype not in PLAIN or not X.flags.c_contiguous:
        return False
    is_of_fit = X.shape[1] == estimator.n_features_in_ and not hasattr(estimator, "feature_names_in_")
    return is_of_fit and X.shape[0] > 0 and encoding_of(estimator) is None


def check_finite_output(output: Array, device: Device, X: Array | None = None, theta: Array | None = None) -> Array:
    """Give a prediction back; raise if it is not finite, with the likely cause, for X and the weights if given.

    Where scikit-learn's assume_finite is set it passes, as NaN in X does.
    """
    if device.are_finite(output) or get_config()["assume_finite"]:
        return output
    dtype = device.dtype_of(output)
    end = f"the range of {dtype.name}, which ends at {np.finfo(dtype).max:.3g}"
    largest = 0.0 if X is None else device.largest(X)
    if theta is not None and not device.are_finite(theta):
        cause = "coefs_, intercepts_ or factors hold NaN or infinity, which fit never leaves there: fit anew"
    elif largest > UNSCALED:
        cause = (
            f"inputs reach {largest:.3g}, and sums of them leave {end}. Scale them as in training "
            "(make_pipeline(StandardScaler(), ...)), and leave out rows that are no measurements"
        )
    else:
        cause = (
            f"what the network extrapolates leaves {end}; exponentials, which loss='poisson', 'gamma' and 'gaussian' "
            "take, do so early. Ask nearer to the training rows, or fit with scaled features, a lower "
            "learning_rate_init or more epochs"
        )
    raise ValueError(f"Predictions are not finite. Likely cause: {cause}.")


def check_weights(sample_weight: Data, rows: Data, name: str = "sample_weight") -> np.ndarray | None:
    """One non-negative float64 weight per row, not all zero; None stays None."""
    if sample_weight is None:
        return None
    with within_floats(name):
        w = _check_sample_weight(sample_weight, rows, dtype=np.float64, copy=True)
    if (w < 0).any():
        raise ValueError(f"Negative values in data passed to `{name}`. Weights must be >= 0.")
    if not w.any():
        raise ValueError(
            f"All of {name} is zero, so there is nothing to learn from. Give at least one row a positive weight."
        )
    check_weight_sum(w, name)
    return w
