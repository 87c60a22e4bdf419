"""Whether rows were scaled, and validation rows by the same scaler."""

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

UNSCALED = 1e3  # a feature beyond this, or beyond so many times another, was probably never scaled
SCALED = 3.0  # root mean square of features or targets beyond which they were not scaled
ENDLESS = 1e15  # beyond which their squares leave float32, so that nothing can be learned
HIGH_RATE = 10.0  # times the peak of an optimizer: beyond it training may diverge, and say so
SCALE_ROWS = 1000  # that are looked at
UNLIKE = 100.0  # times its spread in X that a column of X_val is away, or spreads itself: nothing honest explains it
ODD = 10.0  # times its spread in X that a column may spread in X_val, or this part of it
NEAR = 2.0  # spreads of X within which the middles of most columns of X_val are, if these were scaled as X was
FEW_ROWS = 10  # whose spread tells nothing
TWO_LINES = (  # what to write in a Pipeline
    "In a Pipeline two lines send X_val through the steps in front of the network:\n"
    "    sklearn.set_config(enable_metadata_routing=True)\n"
    '    make_pipeline(StandardScaler(), mlp, transform_input=["X_val"]).fit(X, y, X_val=X_val, y_val=y_val)'
)

OF_THE_STEPS = (  # signs in scikit-learn's errors that X_val did not go through the steps that X went through
    "features, but",
    "feature names should match",
    "could not convert string to float",
    "Cannot cast str dtype",
    "Input X contains NaN",
    "columns are missing",
)


def some_rows(X: Array, device: Device) -> np.ndarray:
    """About SCALE_ROWS rows on the host; of a table of codes those of its columns that are numbers."""
    rows: Array = X[:: max(1, X.shape[0] // SCALE_ROWS), :]
    some: Array | EncodedTable = rows if sp.issparse(rows) else device.fetch(rows)
    return some.numbers if isinstance(some, EncodedTable) else some


def root_mean_squares(rows: Block) -> tuple[float, float]:
    """Of the inputs and of the targets, by about SCALE_ROWS rows and their weights."""
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
    """Read max_grad_norm="auto": the loss's own limit, or, if it is less, that of a solver for data of these scales.

    Where steps grow with the gradient, scaled data need no limit. With others gradients grow as the data, and the
    curvature as their square: plain steps would diverge. Where a plan lowers the rate to zero in the end, steps of a
    fixed length pass through every scale, and 1 serves all. Where it does not, they must be as much shorter as the
    inputs are larger.
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
    """Raise, or warn, if the validation rows are nowhere near the training rows: one of them was not scaled.

    If a column is beyond UNLIKE, and most are not NEAR or are ODD, it is an error, unless it is not to be strict; if
    one is, or if most are wider than ODD, it is a warning. Columns of two values, which look much alike, do not count.

    columns: numbers that the user knows these by; None: those that they have.
    by_name: X_val has names of columns and X has none, as after steps that make arrays of tables. Then it is an error
    if most columns are not NEAR or are ODD, and a warning in any case.
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
            f"X_val was not transformed as X was: {n_odd} of {n} columns are on another scale; {tell(worst)}. By hand, "
            f"give scaler.transform(X_val). {TWO_LINES}"
        )
    if measure[worst] > UNLIKE or 2 * int((counted & (wider > ODD)).sum()) > n > 0:
        warn(
            f"X_val does not look like X: {tell(worst)}. If it has not gone through the same steps as X, such as a "
            f"scaler, then by hand give scaler.transform(X_val). {TWO_LINES}"
        )
    elif by_name:
        warn(
            "X_val has names of columns, but X has none. If steps such as a scaler made an array of X, X_val must go "
            f"through them too; by hand, give scaler.transform(X_val). {TWO_LINES}"
        )


# of each column: how far away, how much wider, does it count; and what to say of one
Comparison = tuple[np.ndarray, np.ndarray, np.ndarray, Callable[[int], str]]


def _compare_dense(ours: np.ndarray, theirs: np.ndarray, columns: np.ndarray) -> Comparison:
    """Of each column how far X_val is from X, and how much wider it is, in spreads of X; which count; and a text."""
    mean, std, mean_val = ours.mean(axis=0), ours.std(axis=0), theirs.mean(axis=0)
    varies = std > 1e-6 * np.abs(mean)
    counted = varies & ((ours != ours.min(axis=0)) & (ours != ours.max(axis=0))).any(axis=0)
    apart = np.minimum(np.abs(mean_val - mean), np.abs(np.median(theirs, axis=0) - np.median(ours, axis=0)))
    away = apart / np.where(varies, std, np.inf)
    # between the quartiles, for some rows far out may make all of a standard deviation; or, where these coincide
    spread, spread_val = (np.subtract(*np.percentile(A, (75, 25), axis=0)) for A in (ours, theirs))
    coincide = (spread == 0.0) | (spread_val == 0.0)
    spread, spread_val = np.where(coincide, std, spread), np.where(coincide, theirs.std(axis=0), spread_val)
    wider = spread_val / np.where(varies, spread, np.inf)
    if len(theirs) < FEW_ROWS:  # may lie close together
        wider = np.where(wider > 1.0, wider, 0.0)

    def tell(j: int) -> str:
        if away[j] >= wider[j]:
            center = 0.0 if abs(mean[j]) < 1e-6 * std[j] else mean[j]  # roundings
            return f"the mean of column {columns[j]} is {mean_val[j]:.3g} there and {center:.3g} in X"
        return f"column {columns[j]} spreads over {spread_val[j]:.3g} there and {spread[j]:.3g} in X"

    return away, wider, counted, tell


def _compare_sparse(ours: np.ndarray, theirs: np.ndarray) -> Comparison:
    """The same by the sizes of values other than 0, as scaled sparse columns are not centred."""
    sizes, counts = [], []
    for A in (sp.csr_matrix(ours), sp.csr_matrix(theirs)):
        counts.append(np.bincount(A.indices, A.data != 0.0, minlength=A.shape[1]))
        sizes.append(np.sqrt(np.bincount(A.indices, A.data**2, minlength=A.shape[1]) / counts[-1]))
    counted = np.minimum(*counts) >= FEW_ROWS
    wider = np.where(counted, sizes[1] / sizes[0], 0.0)

    def tell(j: int) -> str:
        return f"values of column {j} other than 0 are about {sizes[1][j]:.3g} there and {sizes[0][j]:.3g} in X"

    return np.zeros(len(wider)), wider, counted, tell


@contextmanager
def in_validation_set() -> Iterator[None]:
    """Say of errors that they are about the validation set."""
    try:
        yield
    except ValueError as error:
        text = f"In the validation set (X_val, y_val): {error}"
        if any(sign in text for sign in OF_THE_STEPS) and "must be in the same order" not in text:
            text += f"\nX_val must go through the steps that X goes through. {TWO_LINES}"
        raise ValueError(text) from error


def warn_unscaled(X: Array, device: Device, columns: np.ndarray | None = None) -> None:
    """Say so if a feature is UNSCALED times as far from zero as it spreads, if two differ so much, or all are tiny.

    A sample of the rows tells. Features differ if they do in range and in standard deviation. Either measure alone
    would blame features that are rarely different from zero; sparse inputs, full of these, are not judged.

    columns: numbers that the user knows these by; None: those that they have.
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
        # what spreads over no more than roundings is constant
        spreads = span > 8.0 * np.finfo(device.dtype_of(X)).eps * largest
        if _are_near(span, largest, spreads, len(some)):
            return
        some = some.astype(np.float64)
        mean, std = some.mean(axis=0), some.std(axis=0)
        offset = np.where(spreads & np.isfinite(std), np.abs(mean) / np.where(spreads, std, 1.0), 0.0)
    varies = span > 1e-6 * largest
    far = int(np.argmax(offset))
    small, large = np.argmin(np.where(varies, std, np.inf)), np.argmax(std)
    if offset[far] > UNSCALED:
        warn(
            f"Column {columns[far]} is far from zero for its spread: its mean is {mean[far]:.6g}, its standard "
            f"deviation {std[far]:.3g}. Networks hardly tell such values apart, and digits are lost; put a "
            "StandardScaler in front: make_pipeline(StandardScaler(), ...)."
        )
    elif varies[small] and std[large] > UNSCALED * std[small] and span[large] > UNSCALED * span[small]:
        warn(
            f"Features differ in scale: column {columns[large]} spreads over {span[large]:.3g}, column "
            f"{columns[small]} over {span[small]:.3g}. Networks learn badly from such inputs; put a StandardScaler in "
            "front: make_pipeline(StandardScaler(), ...)."
        )
    elif 0.0 < UNSCALED * span[large] < 1.0:
        warn(
            f"No feature spreads over more than {span[large]:.3g}, so the first weights hardly tell the rows apart and "
            "the network may learn nothing. Put a StandardScaler in front: make_pipeline(StandardScaler(), ...)."
        )


def _are_near(span: np.ndarray, largest: np.ndarray, spreads: np.ndarray, n_rows: int) -> bool:
    """Tell whether the ranges of columns alone rule out what `warn_unscaled` looks for, as they mostly do.

    The standard deviation of n numbers is at least their range / sqrt(2 n), and at most half of it.
    """
    root, wide = math.sqrt(2.0 * n_rows), span[spreads]
    if not wide.size or (root * largest[spreads] > UNSCALED * wide).any():
        return False
    return bool(root <= UNSCALED * span.max() and span.max() <= UNSCALED * wide.min())


def check_validation_set(
    held_out: Dataset,
    data: Dataset,
    codec: TargetCodec,
    *,
    strict: bool = True,
    columns: np.ndarray | None = None,
    by_name: bool = False,
) -> None:
    """Raise, or warn, if the user's validation rows are none to judge a model of these training rows by.

    strict: rows on another scale are an error; a piece of a stream may well differ from the whole.
    by_name: they have names of columns, and the training rows have none.
    """
    with in_validation_set():
        codec.check(held_out.examples)
    if held_out.device != data.device:
        raise ValueError(f"X_val must be where X is: X is {data.device}, X_val is {held_out.device}.")
    check_alike(data.sample.X, held_out.sample.X, data.device, strict=strict, columns=columns, by_name=by_name)
