"""Checks whether rows are scaled, and validation rows by the same scaler."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import scipy.sparse as sp

from skbackprop._engines.encoded_table import EncodedTable, dense
from skbackprop._fit.block import Block
from skbackprop._fit.dataset import Dataset
from skbackprop._fit.device import Device
from skbackprop._fit.spec import FitPlan, FitSpec
from skbackprop._fit.targets import TargetCodec
from skbackprop._fit.warn import warn
from skbackprop._nn.losses import Loss
from skbackprop._nn.optimizers import OPTIMIZERS
from skbackprop._nn.schedules import SCHEDULES
from skbackprop._types import Array

UNSCALED = 1e3  # a feature above this, or by this factor above another, was probably not scaled
LARGE = 128.0  # standard deviations above this make networks learn less; those of pixels in 0..255 are below
FAR = 8.0  # standard deviations from zero: with all features there, a network learns nothing
SCALED = 3.0  # features or targets with a larger root mean square were not scaled
ENDLESS = 1e15  # above this, squares overflow in float32, so that nothing can be learned
HIGH_RATE = 10.0  # times the peak rate of an optimizer: above it training may diverge
SCALE_ROWS = 1000  # that are checked
UNLIKE = 100.0  # a column of X_val is this many spreads of X away or wide: it was not scaled as X was
ODD = 10.0  # a column of X_val is this many times wider or narrower than in X: suspicious
NEAR = 2.0  # spreads of X: the centres of most columns of X_val are nearer, if they were scaled as X was
FEW_ROWS = 10  # with fewer, the spread is not reliable
TWO_LINES = (  # what to write in a Pipeline
    "In a Pipeline, two lines transform X_val by the steps before the network:\n"
    "    sklearn.set_config(enable_metadata_routing=True)\n"
    '    make_pipeline(StandardScaler(), mlp, transform_input=["X_val"]).fit(X, y, X_val=X_val, y_val=y_val)'
)

OF_THE_STEPS = (  # parts of scikit-learn's errors if X_val did not go through the same steps as X
    "features, but",
    "feature names should match",
    "could not convert string to float",
    "Cannot cast str dtype",
    "Input X contains NaN",
    "columns are missing",
)


def some_rows(X: Array, device: Device) -> np.ndarray:
    """About SCALE_ROWS rows on the host; of an encoded table only the columns of numbers."""
    rows: Array = X[:: max(1, X.shape[0] // SCALE_ROWS), :]
    some: Array | EncodedTable = rows if sp.issparse(rows) else device.fetch(rows)
    return some.numbers if isinstance(some, EncodedTable) else some


def root_mean_squares(rows: Block) -> tuple[float, float]:
    """Root mean squares of inputs and targets, from about SCALE_ROWS rows and their weights."""
    step = max(1, rows.n // SCALE_ROWS)
    X = dense(rows.device.fetch(rows.X[::step, :])).astype(np.float64)
    if sp.issparse(X):
        X = sp.csr_array(X).toarray()
    Y = rows.Y[::step].astype(np.float64).reshape(len(X), -1)
    weights = None if rows.weights is None else rows.weights[::step]
    if weights is not None and not weights.any():
        weights = None
    with np.errstate(over="ignore"):
        inputs, targets = (np.average(np.mean(part**2, axis=1), weights=weights) for part in (X, Y))
    return float(np.sqrt(inputs)), float(np.sqrt(targets))


def gradient_limit(spec: FitSpec, loss: Loss, plan: FitPlan, scales: Callable[[], tuple[float, float]]) -> float | None:
    """Read max_grad_norm="auto": the smaller of the limit of the loss, and that of the solver for data of these scales.

    If steps grow with the gradient, scaled data need no limit. With unscaled data, gradients grow in proportion to the
    data and the curvature with their square, so plain steps would diverge. If the schedule lowers the rate to zero, a
    limit of 1 works for all scales. Otherwise it must be smaller in proportion to the inputs.
    """
    rule, own = OPTIMIZERS[spec.solver], loss.max_grad_norm
    if not rule.unbounded or plan.learning_rate_init > HIGH_RATE * rule.peak:
        return own
    inputs, targets = scales()
    if not SCALED < max(inputs, targets if loss.task == "regression" else 0.0) < ENDLESS:
        return own
    planned = SCHEDULES[plan.learning_rate].horizon
    limit = 1.0 if planned or inputs <= SCALED else 2.0 ** -math.floor(math.log2(inputs / SCALED))
    return limit if own is None else min(own, limit)


def check_alike(
    X: Array,
    X_val: Array,
    device: Device,
    *,
    strict: bool = True,
    columns: np.ndarray | None = None,
    by_name: bool = False,
) -> None:
    """Raise, or warn, if the validation rows are on another scale than the training rows.

    If one column is UNLIKE, and most columns are not NEAR or are ODD, it is an error if strict. If one is UNLIKE, or
    most are wider than ODD, it is a warning. Columns with only two values do not count.

    columns: the user's numbers of the columns; None: their positions.
    by_name: X_val has column names and X has none, as after steps that make arrays of tables. Then it is an error if
    most columns are not NEAR or are ODD, and a warning in any case.
    """
    ours, theirs = (some_rows(rows, device).astype(np.float64) for rows in (X, X_val))
    columns = np.arange(ours.shape[1]) if columns is None else columns
    if not len(columns):
        return
    with np.errstate(all="ignore"):
        if sp.issparse(ours) or sp.issparse(theirs):
            away, wider, counted, tell = _compare_sparse(ours, theirs)
        else:
            away, wider, counted, tell = _compare_dense(ours, theirs, columns)
        measure = np.maximum(away, wider)
        odd = counted & ((away > NEAR) | (wider > ODD) | ((wider > 0.0) & (wider < 1.0 / ODD)))
    worst, n_odd, n = int(np.argmax(measure)), int(odd.sum()), int(counted.sum())
    if strict and (by_name or measure[worst] > UNLIKE) and ours.shape[0] >= FEW_ROWS and 2 * n_odd > n:
        raise ValueError(
            f"X_val was not transformed as X was: {n_odd} of {n} columns are on another scale; {tell(worst)}. Without "
            f"a Pipeline, pass scaler.transform(X_val). {TWO_LINES}"
        )
    if measure[worst] > UNLIKE or 2 * int((counted & (wider > ODD)).sum()) > n > 0:
        warn(
            f"X_val does not look like X: {tell(worst)}. If it was not transformed by the same steps as X, such as a "
            f"scaler, pass scaler.transform(X_val). {TWO_LINES}"
        )
    elif by_name:
        warn(
            "X_val has column names, but X has none. If steps such as a scaler made an array of X, transform X_val by "
            f"the same steps: without a Pipeline, pass scaler.transform(X_val). {TWO_LINES}"
        )


# for each column: distance, relative width, whether it counts; and a function that describes a column
Comparison = tuple[np.ndarray, np.ndarray, np.ndarray, Callable[[int], str]]


def _compare_dense(ours: np.ndarray, theirs: np.ndarray, columns: np.ndarray) -> Comparison:
    """Distance of X_val from X and its width, in spreads of X, for each column; see Comparison."""
    mean, std, mean_val = ours.mean(axis=0), ours.std(axis=0), theirs.mean(axis=0)
    varies = std > 1e-6 * np.abs(mean)
    counted = varies & ((ours != ours.min(axis=0)) & (ours != ours.max(axis=0))).any(axis=0)
    apart = np.minimum(np.abs(mean_val - mean), np.abs(np.median(theirs, axis=0) - np.median(ours, axis=0)))
    away = apart / np.where(varies, std, np.inf)
    # interquartile ranges, since outliers may dominate standard deviations, which are used where quartiles coincide
    spread, spread_val = (np.subtract(*np.percentile(A, (75, 25), axis=0)) for A in (ours, theirs))
    coincide = (spread == 0.0) | (spread_val == 0.0)
    spread, spread_val = np.where(coincide, std, spread), np.where(coincide, theirs.std(axis=0), spread_val)
    wider = spread_val / np.where(varies, spread, np.inf)
    if len(theirs) < FEW_ROWS:  # which may be close together
        wider = np.where(wider > 1.0, wider, 0.0)

    def tell(j: int) -> str:
        if away[j] >= wider[j]:
            center = 0.0 if abs(mean[j]) < 1e-6 * std[j] else mean[j]  # rounding
            return f"the mean of column {columns[j]} is {mean_val[j]:.3g} in X_val and {center:.3g} in X"
        return f"the spread of column {columns[j]} is {spread_val[j]:.3g} in X_val and {spread[j]:.3g} in X"

    return away, wider, counted, tell


def _compare_sparse(ours: np.ndarray, theirs: np.ndarray) -> Comparison:
    """The same from the sizes of nonzero values, since scaled sparse columns are not centred."""
    sizes, counts = [], []
    for A in (sp.csr_matrix(ours), sp.csr_matrix(theirs)):
        counts.append(np.bincount(A.indices, A.data != 0.0, minlength=A.shape[1]))
        sizes.append(np.sqrt(np.bincount(A.indices, A.data**2, minlength=A.shape[1]) / counts[-1]))
    counted = np.minimum(*counts) >= FEW_ROWS
    wider = np.where(counted, sizes[1] / sizes[0], 0.0)

    def tell(j: int) -> str:
        return f"nonzero values of column {j} are about {sizes[1][j]:.3g} in X_val and {sizes[0][j]:.3g} in X"

    return np.zeros(len(wider)), wider, counted, tell


@contextmanager
def in_validation_set(steps: bool = True) -> Iterator[None]:
    """Add to errors that they are about the validation set and, if `steps`, that X_val may lack some."""
    try:
        yield
    except ValueError as error:
        text = f"In the validation set (X_val, y_val): {error}"
        if steps and any(sign in text for sign in OF_THE_STEPS) and "must be in the same order" not in text:
            text += f"\nX_val must be transformed by the same steps as X. {TWO_LINES}"
        raise ValueError(text) from error


def warn_unscaled(X: Array, device: Device, columns: np.ndarray | None = None) -> None:
    """Warn if a feature is far from zero, if two scales differ, or if all features are tiny or one is large.

    A sample of the rows is checked. A feature is far if its mean is FAR times its standard deviation; UNSCALED times if
    zero is within half of its range, or if it has two values, as an indicator which is rarely 0. Scales differ if both
    ranges and standard deviations do: either alone would flag features that are rarely nonzero. Sparse inputs, which
    are full of these, are not checked.

    columns: the user's numbers of the columns; None: their positions.
    """
    if sp.issparse(X):
        return
    some = some_rows(X, device)
    columns = np.arange(some.shape[1]) if columns is None else columns
    if not len(columns):
        return
    with np.errstate(all="ignore"):
        low, high = (end.astype(np.float64) for end in (some.min(axis=0), some.max(axis=0)))
        span, largest = high - low, np.maximum(high, -low)
        # columns that vary only by rounding are constant
        spreads = span > 8.0 * np.finfo(device.dtype_of(X)).eps * largest
        limits = np.full(len(span), UNSCALED)
        apart = np.flatnonzero(np.maximum(low, -high) > 0.5 * span)
        between = (some[:, apart] != low[apart]) & (some[:, apart] != high[apart])
        limits[apart[between.any(axis=0)]] = FAR
        if _are_near(span, largest, spreads, limits, len(some)):
            return
        some = some.astype(np.float64)
        mean, std = some.mean(axis=0), some.std(axis=0)
        offset = np.where(spreads & np.isfinite(std), np.abs(mean) / np.where(spreads, std, 1.0), 0.0)
    varies = span > 1e-6 * largest
    far = int(np.argmax(offset / limits))
    small, large = np.argmin(np.where(varies, std, np.inf)), np.argmax(std)
    if offset[far] > limits[far]:
        warn(
            f"Column {columns[far]} is far from zero compared with its spread: its mean is {mean[far]:.6g}, its "
            f"standard deviation {std[far]:.3g}. Networks hardly distinguish such values. Put a StandardScaler in "
            "front: make_pipeline(StandardScaler(), ...)."
        )
    elif varies[small] and std[large] > UNSCALED * std[small] and span[large] > UNSCALED * span[small]:
        warn(
            f"Features differ in scale: column {columns[large]} has a range of {span[large]:.3g}, column "
            f"{columns[small]} of {span[small]:.3g}. Networks learn badly from such inputs. Put a StandardScaler in "
            "front: make_pipeline(StandardScaler(), ...)."
        )
    elif 0.0 < UNSCALED * span[large] < 1.0:
        warn(
            f"No feature has a range above {span[large]:.3g}, so the network hardly distinguishes the rows and may "
            "learn nothing. Put a StandardScaler in front: make_pipeline(StandardScaler(), ...)."
        )
    elif varies[large] and std[large] > LARGE:
        warn(
            f"Column {columns[large]} has a large scale: its standard deviation is {std[large]:.3g}. Networks learn "
            "badly from such inputs. Put a StandardScaler in front: make_pipeline(StandardScaler(), ...)."
        )


def _are_near(span: np.ndarray, largest: np.ndarray, spreads: np.ndarray, limits: np.ndarray, n_rows: int) -> bool:
    """Tell whether the ranges of columns alone show that there is nothing to warn of, as for scaled data.

    limits: of the mean of each column, in standard deviations.

    The standard deviation of n numbers is at least their range / sqrt(2 n), and at most half of it.
    """
    root, wide = math.sqrt(2.0 * n_rows), span[spreads]
    if not wide.size or (root * largest[spreads] > limits[spreads] * wide).any():
        return False
    return bool(root <= UNSCALED * span.max() and span.max() <= min(UNSCALED * wide.min(), 2.0 * LARGE))


def check_validation_set(
    held_out: Dataset,
    data: Dataset,
    codec: TargetCodec,
    *,
    strict: bool = True,
    columns: np.ndarray | None = None,
    by_name: bool = False,
) -> None:
    """Raise, or warn, if the user's validation rows do not fit these training rows.

    strict: rows on another scale are an error; but a part of a stream may differ from the whole.
    by_name: they have column names, and the training rows have none.
    """
    with in_validation_set():
        codec.check(held_out.examples)
    if held_out.device != data.device:
        raise ValueError(f"X_val must be of the same kind as X: X is {data.device}, X_val is {held_out.device}.")
    check_alike(data.sample.X, held_out.sample.X, data.device, strict=strict, columns=columns, by_name=by_name)
    if held_out.dtype.itemsize > data.dtype.itemsize and held_out.largest > float(np.finfo(data.dtype).max):
        raise ValueError(f"X_val has values that {data.dtype}, the dtype of X, cannot hold. Pass both as float64.")
