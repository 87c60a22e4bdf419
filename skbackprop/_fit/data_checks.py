"""Checks of data: missing values, numbers, labels of one type, multilabel indicators, valid sparse matrices."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets

from skbackprop._fit.device import HOST, device_of
from skbackprop._fit.warn import warn
from skbackprop._nn.losses import LOSSES

CHECKED_FORMATS = ("csr", "csc", "bsr", "coo")  # of sparse matrices; others are converted to these
FEW = 20  # rows whose labels may all differ
# scikit-learn's warnings, which it does not place at the user's line
A_COLUMN = (
    "A column-vector y was passed when a 1d array was expected. Please change the shape of y to (n_samples, ), for "
    "example using ravel()."
)
MANY_LABELS = (
    "The number of unique classes is greater than 50% of the number of samples. `y` could represent a regression "
    "problem, not a classification problem."
)


@contextmanager
def within_floats(name: str) -> Iterator[None]:
    """Convert the OverflowError of integers too large for floats to a ValueError that names the input."""
    try:
        yield
    except OverflowError as error:
        raise ValueError(f"{name} contains an integer too large for dtype('float64').") from error


def check_range(largest: float, dtype: np.dtype) -> None:
    """Raise if the largest input of an encoded table is beyond what the dtype can hold."""
    if not math.isfinite(largest):
        raise ValueError(
            f"Input X contains a number too large for {dtype.name}. Replace it by a smaller number or a missing value, "
            "or set dtype='float64'."
        )


def complete(y: Any) -> Any:
    """Raise for missing targets; return the others unchanged, but sparse ones dense, and numbers not as objects.

    scikit-learn finds NaN among floats, but not None, NaT or pandas' NA among objects, nor missing values in a list of
    strings or a masked array.
    """
    if sp.issparse(y):
        if y.ndim != 2:
            raise ValueError(f"Sparse y must have two dimensions, rows and columns; it has {y.ndim}.")
        y = sound(y, "y").toarray()
    if y is None or device_of(y) is not HOST:
        return y
    try:
        values = np.asarray(y)
    except ValueError:  # ragged: scikit-learn raises later
        return y
    if values.dtype.kind in "US" and values is not y:
        values = np.asarray(y, dtype=object)
    lacks_some = np.ma.is_masked(y)
    if values.dtype.kind in "fmM":
        lacks_some |= bool((values != values).any())
    elif values.dtype.kind == "O":
        lacks_some |= any(map(is_missing, values.flat))
    if lacks_some:
        raise ValueError("Input y contains NaN. Drop the rows whose target is missing.")
    if values.dtype.kind == "O" and values.size and not isinstance(values.flat[0], str | bytes):
        plain = np.asarray(values.tolist())
        return plain if plain.dtype.kind in "biuf" else y
    return y


def is_missing(value: Any) -> bool:
    """Tell whether a value is missing: None, NaN, NaT, or pandas' NA, whose comparisons give NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return not isinstance(value, str) and isinstance(value, Hashable) and bool(value != value)


def sound(X: Any, name: str) -> Any:
    """Return a sparse matrix; raise if its indices are out of bounds.

    SciPy checks them only when a matrix is created, but its code in C, and ours, would read beyond the memory.
    """
    X = X if X.format in CHECKED_FORMATS else X.tocsr()
    if X.format == "coo":
        lengths, numbers = {len(X.row), len(X.col), len(X.data)}, [(X.row, X.shape[0]), (X.col, X.shape[1])]
        is_sound = len(lengths) == 1
    else:
        block = X.blocksize if X.format == "bsr" else (1, 1)
        n_rows, n_columns = (n // size for n, size in zip(X.shape, block, strict=True))
        n_lines, n_across = (n_columns, n_rows) if X.format == "csc" else (n_rows, n_columns)
        starts, numbers = X.indptr, [(X.indices, n_across)]
        is_sound = (
            starts.dtype.kind in "iu"
            and starts.shape == (n_lines + 1,)
            and len(X.data) == len(X.indices)
            and starts[0] == 0
            and starts[-1] <= len(X.data)
            and not (starts[1:] < starts[:-1]).any()
        )
    for indices, stop in numbers:
        used = indices if X.format == "coo" or not is_sound else indices[: starts[-1]]
        is_sound = is_sound and used.dtype.kind in "iu" and used.ndim == 1
        is_sound = is_sound and not (len(used) and (used.min() < 0 or used.max() >= stop))
    if not is_sound:
        raise ValueError(
            f"Sparse {name} is malformed: its {X.format} arrays have indices of entries, rows or columns that a matrix "
            f"of shape {X.shape} with {len(X.data)} stored numbers does not have. Build it from its coordinates, "
            "scipy.sparse.csr_array((data, (rows, columns)), shape), which checks them."
        )
    return X


def one_column(y: Any) -> Any:
    """Labels in one column become a vector, with scikit-learn's warning; everything else stays unchanged."""
    if not (isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] == 1):
        return y
    warn(A_COLUMN, DataConversionWarning)
    return y.reshape(-1)


def distinct_labels(y: np.ndarray) -> np.ndarray:
    """Distinct labels of a vector, ascending; raise scikit-learn's errors for values that are not labels.

    If more than half of the rows have different labels, there is scikit-learn's warning that they may be numbers.
    """
    with labels_of_one_kind(y):
        check_classification_targets(y[:FEW])
        found = np.unique(y)
        check_classification_targets(np.tile(found, 3))  # so often that it does not warn, as it would here
    if len(y) > FEW and len(found) > round(0.5 * len(y)):
        warn(MANY_LABELS)
    return found


def indicator(y: Any, n_labels: int | None = None) -> Any:
    """Check multilabel targets: only 0 and 1 (or False and True), with n_labels columns if given."""
    y = y.toarray() if sp.issparse(y) else np.asarray(y)
    if n_labels is not None and (y.ndim != 2 or y.shape[1] != n_labels):
        raise ValueError(f"y must be a multilabel indicator with {n_labels} columns, got shape {y.shape}.")
    if y.dtype.kind in "biufO" and np.isin(y, (0, 1)).all():
        return y
    with labels_of_one_kind(y):
        check_classification_targets(y)
    raise ValueError(
        f"y has several columns, but they hold values other than 0 and 1, such as {np.unique(y)[:3].tolist()}. This "
        "classifier learns one label per row, or a multilabel indicator: 1 where a row has the label of the column, "
        "else 0. To learn each column on its own, wrap it in sklearn.multioutput.MultiOutputClassifier."
    )


@contextmanager
def labels_of_one_kind(*labels: Any) -> Iterator[None]:
    """Raise an error of the user's where labels are bytes, or cannot be sorted together."""
    try:
        yield
    except TypeError:
        kinds = sorted({type(label).__name__ for some in labels for label in np.ravel(some).tolist()})
        if "bytes" in kinds:
            said = "Labels cannot be bytes. Decode them: y = numpy.char.decode(numpy.asarray(y, dtype=bytes))."
            raise ValueError(said) from None
        if len(kinds) < 2:
            raise
        raise ValueError(f"Labels must be all of one kind, but there are {' and '.join(kinds)} among them.") from None


def numbers(y: Any) -> Any:
    """Targets of a regression as a float64 array of finite numbers."""
    y = np.asarray(complete(y))
    try:
        if y.dtype.kind in "cmM":  # whose imaginary parts, or units, would be lost
            raise TypeError
        y = y.astype(np.float64, copy=False)
    except OverflowError:  # an int beyond all floats
        y = np.asarray(np.inf)
    except (TypeError, ValueError):
        said = (
            "Unknown label type: y must be numbers. Convert it, with pandas.to_numeric for example. For labels there "
            "is MLPSoftmaxClassifier."
        )
        raise ValueError(said) from None
    assert_all_finite(y, input_name="y")
    if y.ndim not in (1, 2):
        raise ValueError(f"y must have one column, or one for each target, got an array of shape {y.shape}.")
    return y


def check_domain(loss_name: str, y: Any) -> None:
    """Raise if the loss is not defined at some target."""
    loss = LOSSES[loss_name]
    if loss.lower is None:
        return
    relation, bound = loss.lower
    legal = y >= bound if relation == ">=" else y > bound
    if not legal.all():
        raise ValueError(
            f"loss={loss_name!r} needs y {relation} {bound:g}, but the smallest target is {y.min():g}. "
            "Shift or clean the targets, or choose another loss."
        )
