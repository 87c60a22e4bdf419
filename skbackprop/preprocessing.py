"""Inputs that networks learn well from."""

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
    """Encode each feature by how far it has come through each of its bins.

    The range of a feature is cut at quantiles of the training rows into bins. For a bin from `lo` to `hi` the code is
    (x - lo) / (hi - lo), not less than 0 and not more than 1, stretched to `code_range`: low for values before the
    bin, high for values behind it, and linear inside [1]_. A network's first layer then learns a piecewise linear
    function of each feature, with the kinks where the data are, instead of having to build these from its units. This
    is what lets it follow the uneven, axis-aligned dependencies that are usual in tables.

    Parameters
    ----------
    n_bins : int, default=8
        Bins per feature, each with about the same weight of training rows. Where a quantile repeats, because many rows
        share a value, the feature has fewer; a constant feature has none.
    code_range : tuple of two floats, default=(-1, 1)
        Code of a bin that a value has not reached, and of one that it has left behind.
    passthrough : bool, default=False
        Put the features themselves, as they are, in front of their codes.

    Attributes
    ----------
    bin_edges_ : list of n_features ndarray
        Edges of each feature's bins, in ascending order.
    n_bins_ : ndarray of shape (n_features,)
        Number of bins of each feature.
    n_features_in_ : int
        Number of features seen by `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if X had any.

    Notes
    -----
    NaN is ignored when the bins are made. In `transform` all codes of a NaN are the middle of `code_range`; with
    `passthrough` the NaN itself stays, so impute before. Beyond the outermost edges, the smallest and the largest
    training values, codes stay at their ends.

    References
    ----------
    .. [1] Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep learning", NeurIPS
       2022. There the outermost bins go on beyond their edges.

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
            Training rows; NaN is allowed.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. A weight of 2 means the same as the row given twice.

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
            Rows; NaN is allowed.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_codes)
            The codes, feature by feature; with `passthrough` behind the features. float32 for float32, else float64.
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
        """Number of the feature that each column of `transform` comes from."""
        features = np.arange(self.n_features_in_)
        return np.append(features if self.passthrough else [], np.repeat(features, self.n_bins_)).astype(np.int64)

    def _encode(self, rows: np.ndarray, codes: np.ndarray) -> None:
        """Write the codes of rows."""
        ends = np.cumsum(self.n_bins_)
        for x, edges, end, n in zip(rows.T, self.bin_edges_, ends, self.n_bins_, strict=True):
            codes[:, end - n : end] = bin_codes(np, x, edges, *map(float, self.code_range))

    @of_one_model
    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Name the columns of `transform`: "age_bin0", "age_bin1", ...

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features; by default those seen by `fit`, or "x0", "x1", ...

        Returns
        -------
        names : ndarray of str
            One name per column.
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
