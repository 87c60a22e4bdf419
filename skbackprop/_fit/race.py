"""How noisy are the targets? A race of small networks tells, and with that how much regularisation they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from skbackprop._fit import validation
from skbackprop._fit.batches import validation_split
from skbackprop._fit.settings import (
    REGIMES,
    UNKNOWN,
    Regime,
    follows_plan,
    has_regime,
    is_auto,
    natural_length,
    settle,
)
from skbackprop._fit.warn import say

FEWEST_ROWS = 200  # of which a part can be held out and still tell something
MOST_ROWS = 20_000  # that a race needs
SHARE = 0.2  # of the rows, held out


def run_race(
    estimator: Any,
    sample: Any,
    strata: Any,
    rng: Any,
    judge: Callable[..., float],
    n_rows: int | None = None,
    known: Regime | None = None,
) -> Regime:
    """Find the regime under which a network of half the width does best on rows that it did not see.

    ``judge(params, rows, held_out)`` trains an estimator with these parameters and gives its loss on other rows. No
    network that raced is used further: the winner's regime is, on all rows, of which the sample may be a part (n_rows).
    A winner that is known already, from a checkpoint, spares the race. The race itself does not depend on what of its
    outcome the user has named, and the seed is drawn without one, too: so values that it found can be given back.
    """
    n_rows = n_rows or len(sample.y)
    if not follows_plan(estimator) or len(sample.y) < FEWEST_ROWS:
        return UNKNOWN
    seed = int(rng.randint(2**31))
    if known is not None:
        return known
    if not has_regime(estimator, n_rows):
        return UNKNOWN
    try:
        rows, held_out = _split(sample, strata, np.random.RandomState(seed))
    except ValueError:  # no class can spare a row
        return UNKNOWN
    params = estimator.get_params(deep=False) | _small(estimator, n_rows, len(rows.y), seed)
    losses = {
        name: judge(params | _regularisation(estimator, regime), rows, held_out)
        for name, regime in REGIMES.items()
    }
    if estimator.verbose:
        say("  ".join(["race", *(f"{name} {loss:.6f}" for name, loss in losses.items())]))
    winner = min(losses, key=lambda name: losses[name])
    return UNKNOWN if losses[winner] == max(losses.values()) else REGIMES[winner]


def _split(sample: Any, strata: Any, rng: Any) -> tuple[Any, Any]:
    """Rows to train on and rows to judge by, in float32, which is enough for that."""
    if len(sample.y) > MOST_ROWS:
        some = np.sort(rng.choice(len(sample.y), MOST_ROWS, replace=False))
        sample, strata = sample[some], None if strata is None else strata[some]
    parts = validation_split(rng, len(sample.y), SHARE, sample.weights, strata)
    with np.errstate(over="ignore"):  # what float32 cannot hold lets every runner diverge
        rows, held_out = (
            replace(part, X=part.place.cast(part.X, np.float32)) for part in map(sample.__getitem__, parts)
        )
    return rows, held_out


def _small(estimator: Any, n_rows: int, n_raced: int, seed: int) -> dict[str, Any]:
    """Parameters that make the race cheap: half the width, one member, float32, and a plan without stretch."""
    settings = settle(estimator, n_rows)
    epochs = min(settings.max_iter, natural_length(estimator, n_rows))
    widths = validation.hidden_sizes(estimator.hidden_layer_sizes)
    return {
        "hidden_layer_sizes": tuple(max(1, n // 2) for n in widths),
        "n_members": 1,
        "dtype": "float32",
        "max_iter": epochs,
        "epochs": epochs,
        "batch_size": min(settings.batch_size, n_raced),
        "random_state": seed,
        "early_stopping": False,
        "scoring": None,
        "verbose": False,
    }


def _regularisation(estimator: Any, regime: Regime) -> dict[str, Any]:
    """The regime's decay, also where the user named one, and its dropout unless the user did."""
    values = regime.regularisation(estimator.solver)
    if not is_auto(estimator.dropout):
        del values["dropout"]
    return values
