"""How noisy are the targets? Three small networks tell, and with that how much regularisation they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.spec import REGIMES, UNKNOWN, FitPlan, FitSpec, Regime
from skbackprop._fit.warn import say

FEWEST_ROWS = 200  # of which a part can be held out and still tell something
MOST_ROWS = 20_000  # that the selection needs
SHARE = 0.2  # of the rows, held out

TrialLoss = Callable[[FitSpec, int, ArrayDataset, ArrayDataset], float]


def select_regime(
    spec: FitSpec,
    sample: ArrayDataset,
    strata: Callable[[np.ndarray], np.ndarray | None],
    rng: np.random.RandomState,
    trial_loss: TrialLoss,
    n_rows: int,
    known: Regime | None = None,
) -> Regime:
    """Find the regime under which a network of half the width does best on rows that it did not see.

    ``trial_loss(spec, seed, rows, held_out)`` trains with these parameters and gives the loss on other rows. No network
    that is trained here is used further: the winner's regime is, on all n_rows rows, of which the sample may be a part.
    A winner that is known already, from a checkpoint, spares the selection. A seed is drawn in any case, and the winner
    is the same whether weight_decay and epochs are "auto" or named: so a fit that is given the values that a
    selection found has the same bits. A dropout that the user named is that of the networks here, too.
    """
    if spec.partial or not spec.is_planned or len(sample) < FEWEST_ROWS:
        return UNKNOWN
    seed = int(rng.randint(2**31))
    if known is not None:
        return known
    if not spec.depends_on_noise(n_rows):
        return UNKNOWN
    seeded = np.random.RandomState(seed)
    if len(sample) > MOST_ROWS:
        sample = sample[np.sort(seeded.choice(len(sample), MOST_ROWS, replace=False))]
    try:
        with np.errstate(over="ignore"):  # what float32, which is enough, cannot hold lets every training diverge
            rows, held_out = (part.in_memory(np.float32) for part in sample.split(seeded, SHARE, strata))
    except ValueError:  # no class can spare a row
        return UNKNOWN
    small = _small(spec, n_rows, len(rows))
    losses = {}
    for name, regime in REGIMES.items():
        # its weight decay, also where the user named one, and its dropout unless the user did
        found: dict[str, Any] = {**regime.regularisation(spec.solver)}
        if spec.dropout != "auto":
            del found["dropout"]
        losses[name] = trial_loss(replace(small, **found), seed, rows, held_out)
    if spec.verbose:
        say("  ".join(["selection", *(f"{name} {loss:.6f}" for name, loss in losses.items())]))
    winner = min(losses, key=lambda name: losses[name])
    return UNKNOWN if losses[winner] == max(losses.values()) else REGIMES[winner]


def _small(spec: FitSpec, n_rows: int, n_selected: int) -> FitSpec:
    """Parameters that make the selection cheap: half the width, one member, float32, and a plan without stretch."""
    plan = FitPlan.settle(spec, n_rows)
    epochs = min(plan.max_iter, spec.natural_length(n_rows))
    return replace(
        spec,
        hidden_layer_sizes=tuple(max(1, n // 2) for n in spec.hidden_layer_sizes),
        n_members=1,
        dtype="float32",
        max_iter=epochs,
        epochs=epochs,
        batch_size=min(plan.batch_size, n_selected),
        early_stopping=False,
        scoring=None,
        verbose=0,
    )
