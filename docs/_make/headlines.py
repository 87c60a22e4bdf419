"""Numbers in the README and on the landing page, as measured, and which tables chose which settings."""

import functools
import json

import accuracy
import draw
import halves
import pandas as pd
from scipy.stats import gmean

from .files import listing, write
from .results import RESULTS, accuracy_rows

SPEED = """\
Time of one fit relative to skbackprop (1), with the same network, batches and epochs, in one process on one thread
({processor}). scikit-learn takes {least:.1f} to {most:.1f} times as long. The gain is largest for small networks,
where the others spend much of their time between the operations. For wide networks, all are limited by the
multiply-adds of the processor. :doc:`benchmarks` has the method, and results for two threads and for predictions.
"""
PAIRS = {  # who is compared, and how the line begins
    "Default parameters, against scikit-learn's MLP": ("skbackprop", "sklearn MLP"),
    "``tabular_pipeline`` against HistGradientBoosting": ("tabular_pipeline", "HistGradientBoosting"),
}
WORDS = {"clf": "classification", "reg": "regression"}
CROSSED = "The same, with settings chosen on the other half of the tables"
RANKS = "Mean ranks with these settings; critical distance"
BEHIND = "Worse than ``tabular_pipeline`` by more than the critical distance"


def write_headlines(folder):
    """Speed and accuracy for the landing page; the README has the same lines, or the build fails."""
    processor = json.loads((RESULTS / "1-thread" / "compare.json").read_text())["facts"].split(",")[0]
    ratios = [found["scikit-learn"] for found in draw.speed_ratios(RESULTS).values()]
    text = SPEED.format(processor=processor, least=min(ratios), most=max(ratios))
    write(folder / "speed-caption.inc", text)
    chosen = pd.read_csv(RESULTS / "accuracy" / "halves.csv")
    crossed = list(halves.tasks(chosen, accuracy_rows()))
    table = headlines(crossed)
    write(folder / "accuracy-caption.inc", listing(*table))
    write(folder / "halves.inc", choices(crossed) + "\n" + settings(chosen))
    pictures = []
    for task, _, scores in crossed:
        title = f"{WORDS[task].capitalize()}, settings chosen on other tables"
        drawn = functools.partial(accuracy.draw, halves.ranks(scores), title)
        draw.draw_themes(drawn, folder / f"ranks-{task}")
        pictures.append(draw.as_rst(f"made/ranks-{task}", f"Mean ranks. {title}", "wide ranks"))
    write(folder / "ranks.inc", "\n".join(pictures))
    claims = [f"scikit-learn takes {min(ratios):.1f} to {max(ratios):.1f} times as long"]
    claims += [f"On {chosen['set'].nunique()} public tables, three", f"chooses one of {len(halves.SETTINGS)} settings"]
    claims += [f"| {' | '.join(row)} |".replace("``", "`") for row in [table[0], *table[1]]]
    readme = " ".join((RESULTS.parents[1] / "README.md").read_text(encoding="utf-8").split())
    missing = "\n".join(claim for claim in claims if claim not in readme)
    if missing:
        raise RuntimeError(f"README.md is of older measurements; now it should say:\n{missing}")


def headlines(crossed):
    """Columns and rows: wins, ties and losses, classification and regression side by side."""
    columns, rows = ["Wins / ties / losses"], []
    for title, (mine, other) in PAIRS.items():
        row = [title]
        for _, _, scores, _ in accuracy.parts_of(accuracy_rows(), [mine, other]):
            fits = accuracy_rows().groupby(["model", "set"])["fit_seconds"].mean().unstack("set")[scores.index]
            ratio = gmean(fits.loc[mine] / fits.loc[other])
            row.append(f"{slashed(halves.record(scores, mine, other))}; relative fit time {ratio:.2f}")
        rows.append(row)
    rows += [[CROSSED], [RANKS], [BEHIND]]
    for task, _, scores in crossed:
        columns.append(f"{WORDS[task]}, {len(scores)} tables")
        rows[-3].append(slashed(halves.record(scores, halves.OURS, "HistGradientBoosting")))
        ranks = halves.ranks(scores).mean().sort_values()
        distance = accuracy.critical_difference(len(ranks), len(scores))
        rows[-2].append(", ".join(f"{name} {rank:.2f}" for name, rank in ranks.items()) + f"; {distance:.2f}")
        rows[-1].append(", ".join(ranks.index[ranks > ranks[halves.OURS] + distance]) or "none")
    return columns, rows


def choices(crossed):
    """Which setting each half chose, and the sets of the halves."""
    rows = []
    for _, settings, scores in crossed:
        for setting, names in zip(settings, halves.halves(scores.index), strict=True):
            rows.append([", ".join(names), setting])
    return listing(["tables", "setting with the lowest error"], rows)


def settings(chosen):
    """What each setting changes on all tables."""
    mean, error = (100.0 * found for found in halves.changes(chosen))
    rows = [
        [name, *(f"{mean[task, name]:+.1f} ± {error[task, name]:.1f} %" for task in WORDS)]
        for name in halves.SETTINGS
        if name != "default"
    ]
    clear = mean.abs() > 2.0 * error
    names = ", ".join(f"{name} ({WORDS[task]})" for task, name in mean.index[clear]) or "none"
    text = "Change of the error relative to the default, averaged over all tables of the task, with its standard "
    text += f"error. Changes of more than two standard errors: {names}."
    return f"{text}\n\n{listing(['setting', *WORDS.values()], rows)}"


def slashed(counts):
    return " / ".join(map(str, counts))
