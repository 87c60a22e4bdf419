"""Rows of an ensemble, networks regularised more and less, and weights with which the mean of their answers is best."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from sklearn.base import clone

from skbackprop._checks.callbacks import MetaCallbacks
from skbackprop._checks.constraints import hidden_sizes
from skbackprop._columns import rows_of
from skbackprop._estimator import BaseMLP
from skbackprop._fit.selection import on_rows
from skbackprop._fit.spec import REGIMES
from skbackprop._fit.targets import exponents
from skbackprop._fit.weights import apply_class_factors

LONGER = 1.25  # plan than the selection asks for
FINER = 4  # times as many bins
NEGLIGIBLE = 0.1  # weight in a mean that is not worth a network


class Rows(NamedTuple):
    """Rows with their targets and weights."""

    X: Any
    y: np.ndarray
    weights: np.ndarray | None
    codes: np.ndarray  # of labels the number of the class, else y
    callbacks: MetaCallbacks  # told of the networks that are trained on them
    factors: np.ndarray | None = None  # of the weights, by class

    @property
    def all_weights(self) -> np.ndarray | None:
        """Weights of the objective, those of the classes included."""
        return apply_class_factors(self.factors, self.codes, self.weights)

    def part(self, numbers: np.ndarray) -> Rows:
        """Some of them."""
        weights = None if self.weights is None else self.weights[numbers]
        some = self._replace(X=rows_of(self.X, numbers), y=self.y[numbers], codes=self.codes[numbers])
        return some._replace(weights=weights)


def blended(found: dict[str, float], n_rows: int, estimator: BaseMLP) -> list[dict[str, float]]:
    """Parameters of networks for so many rows: as a selection found them, and of the regimes beside that.

    Where numbers are encoded in bins, one network has finer ones.
    """
    regimes = [on_rows(regime, n_rows).regularisation(estimator.solver) for regime in REGIMES.values()]
    regimes = [found | {name: value for name, value in some.items() if name in found} for some in regimes]
    distances = [abs(math.log(some["weight_decay"] / found["weight_decay"])) for some in regimes]
    nearest = int(np.argmin(distances))
    regimes[nearest] = found
    regimes = regimes[max(0, nearest - 1) : nearest + 2]
    if estimator.numeric_encoder == "piecewise_linear":
        regimes.append(found | {"n_bins": FINER * estimator.n_bins})
    return regimes


def longer(found: dict[str, float], estimator: BaseMLP) -> dict[str, float]:
    """The same with a plan for a mean of several: what one learns too much of its rows is averaged away."""
    if "epochs" not in found:
        return found
    return found | {"epochs": min(math.ceil(LONGER * found["epochs"]), estimator.max_iter)}


def smaller(estimator: BaseMLP) -> BaseMLP:
    """An unfitted copy with half the width and one member, which tells well enough which regularisation suits."""
    half = tuple(max(1, n // 2) for n in hidden_sizes(estimator.hidden_layer_sizes))
    return clone(estimator).set_params(hidden_layer_sizes=half, n_members=1)


def folds_of(
    targets: np.ndarray, n_folds: int, labels: bool, rng: np.random.RandomState
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to train on and rows that are left out, of each fold; every class has as many rows in each, or nearly.

    Rows of a class that is in one fold only are never left out, as a network knows the classes of its own rows.
    """
    n = len(targets)
    order, numbers = rng.permutation(n), np.empty(n, dtype=np.intp)
    classes = targets if labels and targets.ndim == 1 else np.zeros(n, dtype=np.intp)
    numbers[order[np.argsort(classes[order], kind="stable")]] = np.arange(n) % n_folds
    numbers[np.bincount(classes)[classes] == 1] = -1
    if np.sum(numbers >= 0) < n_folds:
        which = "" if n < n_folds else " in classes of two rows or more"
        raise ValueError(
            f"n_folds={n_folds} needs as many rows{which}, but n_samples={n}. Set n_folds of the ensemble to less."
        )
    return [(np.flatnonzero(numbers != fold), np.flatnonzero(numbers == fold)) for fold in range(n_folds)]


def check_folds(rows: Rows, folds: list[tuple[np.ndarray, np.ndarray]], held_out: str, advice: str) -> None:
    """Raise if no row of positive weight is left to train on beside those of a fold."""
    if rows.weights is not None and not all(rows.weights[train].any() for train, _ in folds):
        raise ValueError(
            f"All rows of positive weight are in {held_out}, so none is left to train on. Give more rows a positive "
            f"weight, or {advice}."
        )


def in_order(answers: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]], n_rows: int) -> np.ndarray:
    """Answers for the rows left out, one fold's after the other's, in the order of all rows; NaN for those never."""
    found = np.full((n_rows, *answers.shape[1:]), np.nan)
    found[np.concatenate([test for _, test in folds])] = answers
    return found


def by_fold(networks: list[BaseMLP], n_folds: int) -> list[list[BaseMLP]]:
    """Those of each fold, which come one fold after the other."""
    n = len(networks) // n_folds
    return [networks[start : start + n] for start in range(0, len(networks), n)]


def blend_weights(answers: np.ndarray, y: np.ndarray | None, weights: np.ndarray | None) -> np.ndarray:
    """Weights of sum 1, none negative, with which the mean of several networks' answers has the least loss.

    Parameters
    ----------
    answers : ndarray of shape (n_networks, n_rows, n_outputs)
        On rows that the networks have not seen. If y is None, probabilities of what was observed.
    y : ndarray of shape (n_rows, n_outputs) or None
        Targets; the loss is the squared error, of each output in units of that of the best network. None: the loss is
        the mean of the negative logarithms.
    weights : ndarray of shape (n_rows,) or None
        Of the rows.

    Returns
    -------
    mix : ndarray of shape (n_networks,)
    """
    n = len(answers)
    w = np.ones(answers.shape[1]) if weights is None or not weights.any() else weights
    w = (w / w.sum())[:, None]
    if y is not None:
        errors = answers - y
        errors = np.ldexp(errors, -exponents(np.abs(errors).max(axis=(0, 1))))
        least = np.sum(w * errors**2, axis=1).min(axis=0)
        errors = errors / np.sqrt(np.where(least > 0.0, least, 1.0))

    def loss(mix: np.ndarray) -> tuple[float, np.ndarray]:
        if y is None:
            p = np.tensordot(mix, answers, 1)
            return float(-np.sum(w * np.log(p))), -np.sum(w * answers / p, axis=(1, 2))
        error = np.tensordot(mix, errors, 1)
        return float(np.sum(w * error**2)), 2.0 * np.sum(w * errors * error, axis=(1, 2))

    equal, constraint = np.full(n, 1.0 / n), {"type": "eq", "fun": lambda mix: mix.sum() - 1.0, "jac": np.ones_like}
    found = minimize(loss, equal, jac=True, method="SLSQP", bounds=[(0.0, 1.0)] * n, constraints=constraint)
    mix: np.ndarray = np.where(found.x < NEGLIGIBLE, 0.0, found.x)
    return mix / mix.sum()
