"""Selection of the regularisation and the number of epochs by training small networks for a short time."""

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

FEWEST_ROWS = 200  # for a selection: with fewer, the held-out part is too small
MOST_ROWS = 20_000  # that the selection uses
SHARE = 0.2  # of the rows, held out
LENGTHS = 0.25, 0.5  # of the trainings, as shares of a whole plan
KEPT = 2  # regimes at most that are trained for the second length: the best, and the second
NEAR = 0.02  # if its loss is above that of the best by at most this share
# length of the plan in the same shares, by the relative decrease of the loss from the first length to the second
PROMISES = (0.1, 1.5), (0.03, 1.0)

TrialLoss = Callable[[FitSpec, int, ArrayDataset, ArrayDataset], float]


def on_rows(regime: Regime, n_rows: int, n_seen: int = MOST_ROWS) -> Regime:
    """The regime for all rows, if a selection used some of them: more rows need less regularisation.

    The weights shrink by the same factor per epoch (Wang and Aitchison, ICML 2025).
    """
    seen = min(1.0, n_seen / n_rows)
    return replace(regime, weight_decay=regime.weight_decay * seen, dropout=regime.dropout * seen)


def select_regime(
    spec: FitSpec,
    sample: ArrayDataset,
    strata: Callable[[np.ndarray], np.ndarray | None],
    rng: np.random.RandomState,
    trial_loss: TrialLoss,
    n_rows: int,
    known: Regime | None = None,
) -> Regime:
    """Find the regularisation and the length with which a network of half the width is best on held-out rows.

    ``trial_loss(spec, seed, rows, held_out)`` trains with these parameters and returns the loss on held-out rows. The
    networks that are trained here are not used further. The best regime is used to train on all n_rows rows, of which
    the selection may use a sample. All regimes are trained for a quarter of a whole plan, and the best of them for half
    of it. If this is not better, a quarter is enough; if it is much better, a whole plan or more will be better still.

    If the regime is known from a checkpoint, there is no selection. A seed is always drawn, and the regimes use their
    own weight decay even if the user gave one. So a fit with the values that a selection found has the same bits. A
    dropout given by the user is also that of the networks here.
    """
    if spec.partial or not spec.is_planned:
        return UNKNOWN
    if len(sample) < FEWEST_ROWS:
        return UNKNOWN if known is not None else _usual(spec, "too few rows to compare others")
    seed = int(rng.randint(2**31))
    if known is not None:
        return known
    lengths = {spec.plan_length(n_rows, share) for share in (LENGTHS[0], PROMISES[0][1])}
    if len(lengths) == 1 and "auto" not in (spec.weight_decay, spec.dropout):
        return UNKNOWN
    seeded = np.random.RandomState(seed)
    if len(sample) > MOST_ROWS:
        sample = sample[np.sort(seeded.choice(len(sample), MOST_ROWS, replace=False))]
    seen = len(sample) / n_rows
    try:
        with np.errstate(over="ignore"):  # with numbers too large for float32, every training diverges
            rows, held_out = (part.in_memory(np.float32) for part in sample.split(seeded, SHARE, strata))
    except ValueError:
        return _usual(spec, "no class can spare a row to compare others")
    small = _small(spec, n_rows, len(rows))

    def losses_of(names: Iterable[str], epochs: int) -> dict[str, float]:
        losses = {}
        for name in names:
            found: dict[str, Any] = {**REGIMES[name].regularisation(spec.solver), "epochs": epochs, "max_iter": epochs}
            if spec.dropout != "auto":
                del found["dropout"]
            losses[name] = trial_loss(replace(small, **found), seed, rows, held_out)
        if spec.verbose:
            what, label = " and ".join(selected) or "epochs", "" if "weight_decay" in selected else "weight_decay "
            each = ", ".join(f"{loss:.6f} for {label}{tried[name]['weight_decay']:g}" for name, loss in losses.items())
            say(f"selection of {what}, {epochs} epochs of small networks: loss {each}")
        return losses

    on_all = {name: on_rows(regime, n_rows, len(sample)) for name, regime in REGIMES.items()}
    selected = [name for name in ("weight_decay", "dropout") if getattr(spec, name) == "auto"]
    tried = {name: regime.regularisation(spec.solver) for name, regime in on_all.items()}

    short, long = (min(spec.plan_length(n_rows), spec.cycle_length(n_rows, share)) for share in LENGTHS)
    shorter = losses_of(REGIMES, short)
    if min(shorter.values()) == max(shorter.values()):
        return _usual(spec, "the losses are equal")
    before = min(shorter.values())
    has_zero = LOSSES[spec.loss].relative_tol
    unit = before if has_zero and before > 0.0 else 1.0
    near = [name for name in sorted(shorter, key=lambda name: shorter[name]) if shorter[name] <= before + NEAR * unit]
    longer = losses_of(near[:KEPT], long) if long > short else shorter
    second = min(longer, key=lambda name: longer[name])
    gain = (before - longer[second]) / unit
    # all rows need more steps than the sample, but not in proportion
    length = (LENGTHS[1] if gain > 0.0 else LENGTHS[0]) * math.sqrt(seen)
    length = next((promised for least, promised in PROMISES if gain > least), length)
    if not has_zero:  # a relative decrease has no meaning
        length = 1.0
    name = second if gain > 0.0 else near[0]
    regime = replace(on_all[name], length=length)
    if spec.verbose:
        for parameter in selected:
            values = ", ".join(f"{value:g}" for value in dict.fromkeys(some[parameter] for some in tried.values()))
            value = tried[name][parameter]
            say(f"{parameter} {value:g} (of {values}): lowest loss on {len(held_out)} held-out rows")
        if len(lengths) > 1:
            fell = f"fell by {gain:.1%}" if gain > 0.0 else "did not fall"
            why = f"the loss {fell} from {short} to {long} epochs" if has_zero else f"always for loss={spec.loss!r}"
            say(f"epochs {spec.plan_length(n_rows, length)}: {why}")
    return regime


def _usual(spec: FitSpec, why: str) -> Regime:
    """The regime that suits most data, where no other can be found; say so."""
    for name, value in UNKNOWN.regularisation(spec.solver).items():
        if spec.verbose and getattr(spec, name) == "auto":
            say(f"{name} {value:g}: suits most data; {why}")
    return UNKNOWN


def _small(spec: FitSpec, n_rows: int, n_selected: int) -> FitSpec:
    """Parameters that make the selection cheap: half the width, one member, float32."""
    return replace(
        spec,
        hidden_layer_sizes=tuple(max(1, n // 2) for n in spec.hidden_layer_sizes),
        n_members=1,
        dtype="float32",
        batch_size=min(resolve_batch_size(spec.batch_size, n_rows), n_selected),
        early_stopping=False,
        scoring=None,
        verbose=0,
    )
