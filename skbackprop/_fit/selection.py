"""How noisy are the targets, and how much is there to learn? Short trainings of small networks tell the plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.spec import REGIMES, UNKNOWN, FitSpec, Regime, resolve_batch_size
from skbackprop._fit.warn import say
from skbackprop._nn.losses import LOSSES

FEWEST_ROWS = 200  # of which a part can be held out and still tell something
MOST_ROWS = 20_000  # that the selection needs
SHARE = 0.2  # of the rows, held out
LENGTHS = 0.25, 0.5  # of the trainings, in shares of the longest plan
KEPT = 2  # regimes that are trained for the second length, too
# how long the plan is, by the share of its loss that a network loses from the first length to the second
PROMISES = (0.1, 1.5), (0.03, 1.0)

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
    """Find the regularisation and the length with which networks of half the width do best on rows held out.

    ``trial_loss(spec, seed, rows, held_out)`` trains with these parameters and gives the loss on other rows. No network
    that is trained here is used further: what won is, on all n_rows rows, of which the sample may be a part. All
    regimes are trained for a quarter of the longest plan, and the best two for half of it: where that is worse, the
    quarter is enough, and where it is much better, the whole plan is taken. What the user named holds here, too. A
    regime that is known already, from a checkpoint, spares the selection. A seed is drawn in any case: so a fit that is
    given all that a selection found has the same bits.
    """
    if spec.partial or not spec.is_planned or len(sample) < FEWEST_ROWS:
        return UNKNOWN
    seed = int(rng.randint(2**31))
    if known is not None:
        return known
    candidates = _candidates(spec)
    if len(candidates) == 1 and not spec.seeks_length:
        return UNKNOWN
    seeded = np.random.RandomState(seed)
    if len(sample) > MOST_ROWS:
        sample = sample[np.sort(seeded.choice(len(sample), MOST_ROWS, replace=False))]
    part = len(sample) / n_rows
    try:
        with np.errstate(over="ignore"):  # what float32, which is enough, cannot hold lets every training diverge
            rows, held_out = (part.in_memory(np.float32) for part in sample.split(seeded, SHARE, strata))
    except ValueError:  # no class can spare a row
        return UNKNOWN

    def losses_of(names: Iterable[str], share: float) -> dict[str, float]:
        epochs = min(spec.plan_length(n_rows, share), spec.cycle_length(n_rows, share))
        batch_size = min(resolve_batch_size(spec.batch_size, n_rows), len(rows))
        length: dict[str, Any] = {"epochs": epochs, "max_iter": epochs, "batch_size": batch_size}
        losses = {name: trial_loss(replace(candidates[name], **length), seed, rows, held_out) for name in names}
        if spec.verbose:
            say("  ".join(["selection", *(f"{name} {loss:.6f}" for name, loss in losses.items()), f"epochs {epochs}"]))
        return losses

    if not spec.seeks_length:
        losses = losses_of(candidates, 1.0)
        return UNKNOWN if _all_alike(losses) else _of_more_rows(_best(losses), 1.0, part)
    shorter = losses_of(candidates, LENGTHS[0])
    if _all_alike(shorter):
        return UNKNOWN
    longer = losses_of(sorted(shorter, key=lambda name: shorter[name])[:KEPT], LENGTHS[1])
    winner, before, after = _best(longer), min(shorter.values()), min(longer.values())
    gain = (before - after) / (before if LOSSES[spec.loss].relative_tol else 1.0)
    for least, length in PROMISES:
        if gain > least:
            return _of_more_rows(winner, length, part)
    # of rows of which a part has been learned, more need more steps, but not as many more
    if gain > 0.0:
        return _of_more_rows(winner, LENGTHS[1] * math.sqrt(part), part)
    return _of_more_rows(_best(shorter), LENGTHS[0] * math.sqrt(part), part)


def _of_more_rows(name: str, length: float, part: float) -> Regime:
    """Regime of all rows, of which the sample was a part: over an epoch, weights shrink by the same factor [1].

    [1] Wang and Aitchison, "How to set AdamW's weight decay as you scale model and dataset size", ICML 2025.
    """
    regime = REGIMES.get(name, UNKNOWN)
    return replace(regime, weight_decay=regime.weight_decay * part, length=length)


def _candidates(spec: FitSpec) -> dict[str, FitSpec]:
    """Parameters of cheap trainings, by regime: half the width, one member, float32, and what the user named."""
    small = replace(
        spec,
        hidden_layer_sizes=tuple(max(1, n // 2) for n in spec.hidden_layer_sizes),
        n_members=1,
        dtype="float32",
        early_stopping=False,
        scoring=None,
        verbose=0,
    )
    open_ones = [name for name in ("weight_decay", "dropout") if getattr(spec, name) == "auto"]
    if not open_ones:
        return {"as named": small}
    candidates = {}
    for name, regime in REGIMES.items():
        values: dict[str, Any] = regime.regularisation(spec.solver)
        candidates[name] = replace(small, **{key: values[key] for key in open_ones})
    return candidates


def _best(losses: dict[str, float]) -> str:
    return min(losses, key=lambda name: losses[name])


def _all_alike(losses: dict[str, float]) -> bool:
    """Tell whether the losses tell nothing: none is finite, or several are equal."""
    different = set(losses.values())
    return different == {np.inf} or len(different) < min(len(losses), 2)
