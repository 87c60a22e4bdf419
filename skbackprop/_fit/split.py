"""The validation split: which rows are held out."""

from __future__ import annotations

import numpy as np


def validation_split(
    rng: np.random.RandomState, n_rows: int, fraction: float, weights: np.ndarray | None, codes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and for validation.

    Validation rows have positive weight; with class codes (single labels) they are stratified. A class's
    last row, and so a class with one row, stays in training. At least one row goes to validation.
    """
    eligible = np.arange(n_rows) if weights is None else np.flatnonzero(weights > 0)
    strata = np.zeros(len(eligible), dtype=int) if codes is None else codes[eligible]
    _, strata, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    take = validation_shares(sizes, fraction, n_rows)
    shuffled = rng.permutation(len(eligible))
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    place_in_stratum = np.arange(len(eligible)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = by_stratum[place_in_stratum < np.repeat(take, sizes)]
    validation = np.sort(eligible[chosen])
    return np.setdiff1d(np.arange(n_rows), validation, assume_unique=True), validation


def validation_shares(sizes: np.ndarray, fraction: float, n_rows: int, most_rows: float = np.inf) -> np.ndarray:
    """Number of validation rows from strata of these sizes; at most `most_rows` in total."""
    most = sizes - 1  # one row of each stratum stays
    n_validation = int(min(max(1, round(fraction * sizes.sum())), most.sum(), most_rows))
    if n_validation == 0:
        raise ValueError(
            f"early_stopping=True needs a validation row, but none of n_samples={n_rows} can be held out: every "
            "class has only one row with positive weight, which is needed for training. "
            "Use more rows, pass X_val and y_val, or set early_stopping=False."
        )
    share = np.minimum(n_validation * sizes / sizes.sum(), most)
    take: np.ndarray = np.floor(share).astype(int)
    while (left := n_validation - take.sum()) > 0:  # largest remainders first
        open_ = np.flatnonzero(take < most)
        take[open_[np.argsort(take[open_] - share[open_], kind="stable")[:left]]] += 1
    return take
