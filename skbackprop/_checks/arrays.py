"""Checks of arrays: their device, dtype, shape and values."""

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
from skbackprop._columns import refuse_lazy
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
HINTS = {  # added to scikit-learn's errors about X
    "could not convert string to float": TEXTS,
    "Cannot cast str dtype": TEXTS,
    "Input X contains NaN": "Or set numeric_encoder='piecewise_linear', which encodes missing numbers, or use "
    "skbackprop.tabular_pipeline, which sets it.",
}


def check_same_device(estimator: BaseEstimator, device: Device, method: str) -> None:
    """Raise unless the parameters of the model are on this device."""
    home = device_of(estimator.coefs_[0])
    if home != device:
        raise ValueError(
            f"Inputs passed to {type(estimator).__name__}.{method}() must use the same namespace and the same device "
            f"as those passed to the first fit: the model's weights are each {home}, but X is {device} (with "
            f"array_api_dispatch={get_config()['array_api_dispatch']}). Move X there, set "
            "sklearn.set_config(array_api_dispatch=True) if it is there, or fit again."
        )


def check_inputs(estimator: BaseEstimator, X: Data, device: Device, dtype: np.dtype) -> Array:
    """Check X for a prediction with scikit-learn's errors; its dtype becomes the wider of its own and the weights'.

    Encoded inputs have the dtype of the weights.
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
    """Check X and y with scikit-learn's errors; sparse X becomes CSR, sparse y dense."""
    return _validated(estimator, X, y=complete(y), multi_output=True, reset=reset, dtype=dtypes)


def _validated(estimator: BaseEstimator, X: Data, **options: Any) -> Any:
    """The result of `validate_data`, with hints added to its errors."""
    if isinstance(X, EncodedTable):
        if math.isfinite(X.largest()) or get_config()["assume_finite"]:
            return _validated_codes(estimator, X, **options)
        X = dense(X)
    refuse_dates(X)
    if sp.issparse(X) and getattr(X, "ndim", None) == 2:
        X = sound(X, "X")
    elif type(X) is np.ndarray:  # the kernels check faster whether numbers are finite; errors are raised below
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
    """The same for an encoded table, whose numbers are finite: only its shape is checked, on the first row."""
    about_y = {name: options.pop(name) for name in ("y", "multi_output") if name in options}
    checked = X.astype(_validated(estimator, dense(X[:1]), **options).dtype)
    return (checked, check_targets(estimator, about_y["y"], len(X))) if about_y else checked


def check_targets(estimator: BaseEstimator, y: Data, n_rows: int) -> np.ndarray:
    """Check the targets of n rows with scikit-learn's errors."""
    checked: np.ndarray = check_X_y(np.zeros((n_rows, 1)), complete(y), estimator=estimator, multi_output=True)[1]
    return checked


def output_of(transformer: BaseEstimator) -> str:
    """The container that `set_output` asks for: "pandas", "polars" or "default"."""
    return str(_get_output_config("transform", transformer)["dense"])


def has_validation_set(X_val: Data, y_val: Data, weights: Data, *, holds_targets: bool = False) -> bool:
    """Tell whether there is a validation set; raise if a part is missing. holds_targets: X_val contains targets."""
    if X_val is None and y_val is None and weights is None:
        return False
    check_pair(X_val, y_val)
    if X_val is None or (y_val is None and not holds_targets):
        raise ValueError("A validation set needs both X_val and y_val.")
    return True


def check_table(estimator: BaseEstimator, X: Any, *, reset: bool) -> Array:
    """Check a dense X whose numbers may be missing, with scikit-learn's errors, and copy it to the host."""
    refuse_lazy(X, "collect")
    with within_floats("Input X"):
        return validate_data(estimator, to_host(X), reset=reset, dtype=FLOAT_DTYPES, ensure_all_finite="allow-nan")


def feature_names(estimator: BaseEstimator, names: Data) -> np.ndarray:
    """Names of the input features: those given, those of fit, or x0, x1, ..."""
    return _check_feature_names_in(estimator, names)


def names_of(X: Data) -> np.ndarray | None:
    """Names of the columns of a table; None: X has none."""
    names: np.ndarray | None = _get_feature_names(X)
    return names


def is_plain(estimator: BaseEstimator, X: Data) -> bool:
    """Tell whether X passes all checks of a prediction, except that its numbers may not be finite: the common case."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype not in PLAIN or not X.flags.c_contiguous:
        return False
    is_of_fit = X.shape[1] == estimator.n_features_in_ and not hasattr(estimator, "feature_names_in_")
    return is_of_fit and X.shape[0] > 0 and encoding_of(estimator) is None


def check_finite_output(output: Array, device: Device, X: Array | None = None, theta: Array | None = None) -> Array:
    """Return a prediction; raise if it is not finite, with the likely cause, from X and the weights if given.

    With scikit-learn's assume_finite it is not checked, as NaN in X is not.
    """
    if device.are_finite(output) or get_config()["assume_finite"]:
        return output
    dtype = device.dtype_of(output)
    end = f"the range of {dtype.name} (up to {np.finfo(dtype).max:.3g})"
    largest = 0.0 if X is None else device.largest(X)
    if theta is not None and not device.are_finite(theta):
        cause = "coefs_, intercepts_ or factors were changed to NaN or infinity. Fit again"
    elif largest > UNSCALED:
        cause = (
            f"inputs are up to {largest:.3g}, and their sums exceed {end}. Scale them as in training "
            "(make_pipeline(StandardScaler(), ...)), and remove rows with invalid values"
        )
    else:
        cause = (
            f"the network extrapolates beyond {end}. With loss='poisson', 'gamma' and 'gaussian' outputs are "
            "exponentials, which grow fast. Predict nearer to the training rows, or fit with scaled features, a lower "
            "learning_rate_init or more epochs"
        )
    raise ValueError(f"Predictions are not finite. Likely cause: {cause}.")


def check_weights(sample_weight: Data, rows: Data, name: str = "sample_weight") -> np.ndarray | None:
    """Check weights: one non-negative number per row, not all zero, as float64; None stays None."""
    if sample_weight is None:
        return None
    with within_floats(name):
        w = _check_sample_weight(sample_weight, rows, dtype=np.float64, copy=True)
    if (w < 0).any():
        raise ValueError(f"Negative values in data passed to `{name}`. Weights must be >= 0.")
    if not w.any():
        raise ValueError(f"All values of {name} are zero, so no row counts. Give at least one row a positive weight.")
    check_weight_sum(w, name)
    return w
