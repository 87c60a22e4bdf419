"""Prediction intervals from residuals of networks on held-out rows: CV+."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

SCALED = 0.25  # share of the members' disagreement in the unit of a row's residual, where it has one
ROUNDING = 1e-12  # of sums of shares
LEVEL = 0.9  # of the intervals that tell whether this helps


class Residuals:
    """Residuals of the networks of one fold, ascending, with the cumulative share of the weight of all folds."""

    def __init__(self, values: np.ndarray, shares: np.ndarray):
        order = np.argsort(values, kind="stable")
        self.values = values[order]
        self.shares = np.concatenate([[0.0], np.cumsum(shares[order])])

    def quantile(self, level: float) -> float:
        """The quantile of the residuals at this share of the fold's weight."""
        found = int(np.searchsorted(self.shares[1:], level * self.shares[-1]))
        return float(self.values[min(found, len(self.values) - 1)])

    def share_up_to(self, limits: np.ndarray) -> np.ndarray:
        """Share of the weight of all folds up to each limit."""
        found: np.ndarray = self.shares[np.searchsorted(self.values, limits, side="right")]
        return found


def upper_bounds(answers: np.ndarray, scales: np.ndarray, residuals: Sequence[Residuals], level: float) -> np.ndarray:
    """For each row the quantile of prediction + scale * residual over all folds, at this share.

    answers, scales: predictions and scales of each fold's networks for each row, (n_folds, n_rows).
    """
    own = answers + scales * np.array([[part.quantile(level)] for part in residuals])
    low, high = own.min(axis=0), own.max(axis=0)  # all folds have their share up to the last, and none below the first
    while True:
        middle = low + (high - low) / 2.0
        if not ((low < middle) & (middle < high)).any():
            return high
        limits = (middle - answers) / scales
        shares = [part.share_up_to(limit) for part, limit in zip(residuals, limits, strict=True)]
        is_enough = np.sum(shares, axis=0) >= level - ROUNDING
        low, high = np.where(is_enough, low, middle), np.where(is_enough, middle, high)


@dataclass(frozen=True)
class CVPlus:
    """The residuals of one target on training rows, by networks for which they were held out."""

    residuals: np.ndarray  # in units of the scale
    fold: np.ndarray  # of each row, by number
    shares: np.ndarray  # of each row in the sum of the weights
    n_folds: int
    mean_spread: float  # of the members, to which a row's spread is relative; 0: all rows have the scale 1

    @classmethod
    def learn(cls, residuals: np.ndarray, spreads: np.ndarray, fold: np.ndarray, weights: np.ndarray | None) -> CVPlus:
        """Scale the residuals by the spread of the members if this improves the interval score."""
        n_folds = int(fold.max()) + 1
        if weights is not None:
            counts = weights > 0.0
            residuals, spreads, fold, weights = residuals[counts], spreads[counts], fold[counts], weights[counts]
        shares = np.full(len(fold), 1.0 / len(fold)) if weights is None else weights / weights.sum()
        mean = float(shares @ spreads)
        plain = cls(residuals, fold, shares, n_folds, 0.0)
        if mean == 0.0:
            return plain
        scaled = cls(residuals / _scales(spreads, mean), fold, shares, n_folds, mean)
        return min(plain, scaled, key=lambda found: found._score(residuals, spreads))

    def _score(self, errors: np.ndarray, spreads: np.ndarray) -> float:
        """Interval score (Gneiting and Raftery, 2007) of symmetric bounds around the predictions of these rows."""
        scales = _scales(spreads, self.mean_spread)
        everything = Residuals(np.abs(self.residuals), self.shares)
        half = scales * everything.quantile(LEVEL)
        beyond = np.maximum(np.abs(errors) - half, 0.0)
        return float(self.shares @ (2.0 * half + 2.0 / (1.0 - LEVEL) * beyond))

    def bounds(self, answers: np.ndarray, spreads: np.ndarray, level: float) -> np.ndarray:
        """Lower and upper bounds of each row, (n_rows, 2); answers (predictions), spreads: (n_folds, n_rows)."""
        n = 1.0 / float(self.shares @ self.shares)  # effective sample size (Kish, 1965)
        one_side = (1.0 + level) / 2.0 * (1.0 + 1.0 / n)
        if one_side > 1.0 + ROUNDING:
            raise ValueError(
                f"interval={level} needs residuals of {math.ceil((1.0 + level) / (1.0 - level) - 1e-9)} rows of equal "
                f"weight or more, but there are {round(n)}. Choose a smaller interval."
            )
        of_rows, below, above = self._sorted
        answers, scales = answers[of_rows], _scales(spreads[of_rows], self.mean_spread)
        lower = -upper_bounds(-answers, scales, below, one_side)
        return np.stack([lower, upper_bounds(answers, scales, above, one_side)], axis=-1)

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, list[Residuals], list[Residuals]]:
        """Numbers of the folds that have rows with weight, and the residuals of each, negated and unchanged."""
        numbers = np.unique(self.fold)
        folds = [self.fold == number for number in numbers]
        below, above = (
            [Residuals(sign * self.residuals[rows], self.shares[rows]) for rows in folds] for sign in (-1.0, 1.0)
        )
        return numbers, below, above


def _scales(spreads: np.ndarray, mean: float) -> np.ndarray:
    """The unit of each row's residual: partly constant, partly proportional to the spread of the members."""
    return np.ones_like(spreads) if mean == 0.0 else 1.0 - SCALED + SCALED * spreads / mean


def learn_residuals(
    y: np.ndarray, members: np.ndarray, mix: np.ndarray, fold: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, list[CVPlus]]:
    """Predictions of networks for held-out rows, and the residuals of each target."""
    answers, spreads = means_and_spreads(members, mix)
    targets = range(y.shape[1])
    return answers, [CVPlus.learn(y[:, t] - answers[:, t], spreads[:, t], fold, weights) for t in targets]


def bounds_of(
    parts: list[CVPlus], members: list[np.ndarray], mix: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """The mean prediction over all folds' networks, and the bounds of each target, (n_rows, n_targets, 2)."""
    answers, spreads = map(np.stack, zip(*(means_and_spreads(some, mix) for some in members), strict=True))
    bounds = [part.bounds(answers[..., t], spreads[..., t], level) for t, part in enumerate(parts)]
    return answers.mean(axis=0), np.stack(bounds, axis=1)


def means_and_spreads(members: np.ndarray, mix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted spread of the members of several networks, (n_networks, n_members, n_rows, n_targets)."""
    weights = (mix / members.shape[1])[:, None, None, None]
    mean = np.sum(weights * members, axis=(0, 1))
    return mean, np.sqrt(np.sum(weights * (members - mean) ** 2, axis=(0, 1)))
