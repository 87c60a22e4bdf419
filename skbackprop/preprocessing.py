"""Preprocessing: piecewise linear encoding of numeric features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skbackprop._checks.arrays import check_table, check_weights, feature_names
from skbackprop._checks.constraints import Interval, validated
from skbackprop._checks.rows import copy_of
from skbackprop._documentation import DocLinkMixin
from skbackprop._fit.data_checks import within_floats
from skbackprop._nn.encoders import bin_codes, bin_edges
from skbackprop._prediction import of_one_model
from skbackprop._types import Data
from skbackprop.persistence import Persistent

if TYPE_CHECKING:
    from sklearn.utils import Tags

__all__ = ["PiecewiseLinearEncoder"]

BLOCK_NUMBERS = 2**17  # codes that are made at a time, so that they stay in the cache


class PiecewiseLinearEncoder(TransformerMixin, Persistent, DocLinkMixin, BaseEstimator):
    """Encode each numeric feature piecewise linearly, with one code per bin.

    The range of a feature is divided into bins at quantiles of the training rows. For a bin from `lo` to `hi` the code
    is (x - lo) / (hi - lo), clipped to [0, 1] and scaled to `code_range`: low for values below the bin, high for values
    above it, and linear inside [1]_. The first layer of a network can then learn a piecewise linear function of each
    feature, with kinks at the bin edges. This helps with the irregular, axis-aligned dependencies that are common in
    tables.

    Parameters
    ----------
    n_bins : int, default=8
        Number of bins per feature, of about equal total weight of training rows. A feature has fewer bins if quantiles
        coincide because many rows share a value. A constant feature has none.
    code_range : tuple of two floats, default=(-1, 1)
        Code for values below a bin, and code for values above it.
    passthrough : bool, default=False
        Whether to put the unchanged features in front of their codes.

    Attributes
    ----------
    bin_edges_ : list of n_features ndarray
        Edges of the bins of each feature, in ascending order.
    n_bins_ : ndarray of shape (n_features,)
        Number of bins of each feature.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has any.

    Notes
    -----
    `fit` ignores NaN. `transform` encodes NaN by the middle of `code_range` in all bins. With `passthrough` the NaN
    itself stays, so impute first. Values beyond the smallest and largest training values have the same codes as these.

    References
    ----------
    .. [1] Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep learning", NeurIPS
       2022. In the paper the outermost bins extend beyond their edges.

    Examples
    --------
    >>> import numpy as np
    >>> from skbackprop.preprocessing import PiecewiseLinearEncoder
    >>> X = np.array([[0.0], [1.0], [2.0], [10.0]])
    >>> encoder = PiecewiseLinearEncoder(n_bins=2, code_range=(0, 1)).fit(X)
    >>> encoder.bin_edges_
    [array([ 0.,  1., 10.])]
    >>> encoder.transform([[0.5], [5.5], [99.0]])
    array([[0.5, 0. ],
           [1. , 0.5],
           [1. , 1. ]])
    """

    bin_edges_: list[np.ndarray]
    n_bins_: np.ndarray
    n_features_in_: int
    feature_names_in_: np.ndarray

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "n_bins": [Interval(Integral, 1, None, closed="left")],
        "code_range": [tuple, list],
        "passthrough": ["boolean"],
    }

    def __init__(
        self, n_bins: int = 8, *, code_range: tuple[float, float] = (-1, 1), passthrough: bool = False
    ) -> None:
        self.n_bins = n_bins
        self.code_range = code_range
        self.passthrough = passthrough

    @validated
    def fit(self, X: Data, y: None = None, sample_weight: Data = None) -> Self:
        """Find the edges of the bins.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows. NaN is allowed.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative sample weights. A weight of 2 has the same meaning as the row given twice.

        Returns
        -------
        self : object
            The fitted encoder.
        """
        with within_floats("code_range"):
            ends = [end for end in self.code_range if isinstance(end, Real) and math.isfinite(end)]
        if len(self.code_range) != 2 or len(ends) != 2 or not ends[0] < ends[1]:
            raise ValueError(f"code_range must be two finite numbers, the smaller first; got {self.code_range!r}.")
        seen = copy_of(self)  # whatever fails below, self stays as it was
        rows = check_table(seen, X, reset=True)
        weights = check_weights(sample_weight, rows)
        edges = [bin_edges(x, weights, self.n_bins) for x in rows.T]
        seen.bin_edges_, seen.n_bins_ = edges, np.array([len(ends) - 1 for ends in edges])
        self.__dict__ = vars(seen)  # at once, as another thread may transform meanwhile
        return self

    @of_one_model
    def transform(self, X: Data) -> np.ndarray:
        """Encode rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to encode. NaN is allowed.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_codes)
            Codes, ordered by feature; with `passthrough` after the features. float32 if X is, else float64.
        """
        check_is_fitted(self)
        rows = check_table(self, X, reset=False)
        n_features = rows.shape[1] if self.passthrough else 0
        out = np.empty((len(rows), n_features + int(self.n_bins_.sum())), dtype=rows.dtype)
        out[:, :n_features] = rows[:, :n_features]
        step = max(1, BLOCK_NUMBERS // max(1, out.shape[1]))
        for start in range(0, len(rows), step):
            block = slice(start, start + step)
            self._encode(rows[block], out[block, n_features:])
        return out

    @property
    def owners(self) -> np.ndarray:
        """Index of the feature that each column of `transform` comes from."""
        features = np.arange(self.n_features_in_)
        return np.append(features if self.passthrough else [], np.repeat(features, self.n_bins_)).astype(np.int64)

    def _encode(self, rows: np.ndarray, codes: np.ndarray) -> None:
        """Write the codes of rows."""
        ends = np.cumsum(self.n_bins_)
        for x, edges, end, n in zip(rows.T, self.bin_edges_, ends, self.n_bins_, strict=True):
            codes[:, end - n : end] = bin_codes(np, x, edges, *map(float, self.code_range))

    @of_one_model
    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Return the names of the columns of `transform`: "age_bin0", "age_bin1", ...

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features. By default those seen during `fit`, or "x0", "x1", ...

        Returns
        -------
        names : ndarray of str
            Names, one per column.
        """
        check_is_fitted(self)
        names = feature_names(self, input_features)
        codes = [f"{name}_bin{k}" for name, n in zip(names, self.n_bins_, strict=True) for k in range(n)]
        return np.array([*names, *codes] if self.passthrough else codes, dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
