"""Speed and accuracy as measured: tables and pictures from the raw results in benchmarks/results."""

import functools
import json
import pathlib

import accuracy
import draw
import efforts
import numpy as np
import pandas as pd
import precision
import tables
import tuning

from .files import listing, table, write

RESULTS = pathlib.Path(__file__).parents[2] / "benchmarks" / "results"

TITLES = {"1-thread": "One thread", "2-threads": "Two threads", "1-thread-v3": "One thread, AVX2 instructions only"}
PEERS = ["scikit-learn", "torch", "XLA", "onnxruntime"]


COSTS = """\
``python benchmarks/costs.py`` measures, on one thread, the time of a fit relative to the same fit without the feature
(medians of nine alternating runs). The data are those of W1, with three epochs. Members are measured on 10,000 rows of
100 features with layers (128, 128) and batches of 128, relative to one member. k members take a little less time than
k separate networks: the matrix products, which every member needs, take four fifths of the time even for one. The
selection of ``weight_decay`` is measured in a default fit of W1's rows, with 16 epochs with and without it.
"""


def write_results(folder):
    """Compare.py's results: peers' seconds divided by skbackprop's, in bars and numbers."""
    for name, title in TITLES.items():
        found = json.loads((RESULTS / name / "compare.json").read_text())
        ratios = draw.speed_ratios(RESULTS, name)
        draw.draw_themes(functools.partial(draw.draw_speed, ratios), folder / f"speed-{name}")
        rows = [
            [
                f"**{r['work']}** {r['what']}",
                f"{r['seconds']['skbackprop']:.3g} s",
                *(f"{r['ratios'][peer]:.2f}" if peer in r["ratios"] else " " for peer in PEERS),
                f"{r['peak']:.2f}" if r["peak"] else " ",
            ]
            for r in found["results"]
        ]
        picture = draw.as_rst(f"made/speed-{name}", draw.as_text(ratios))
        text = table(title, ["work", "skbackprop", *PEERS, "peak"], rows, picture)
        text += f"\n{faster_peers(found['results'])}``{found['command']}``: {found['facts']}.\n"
        write(folder / f"results-{name}.inc", text)
    if draw.as_text(draw.speed_ratios(RESULTS)) not in draw.README_PICTURE.read_text():
        raise RuntimeError("The README's picture is of older measurements: run `python benchmarks/draw.py`.")


def write_costs(folder):
    """Costs.py's results: seconds of fits with a feature divided by those without."""
    found = json.loads((RESULTS / "costs.json").read_text())
    rows = []
    for seconds in found.values():
        first, *others = seconds
        rows += [[f"``{name}``" if "=" in name else name, f"{seconds[name] / seconds[first]:.2f}"] for name in others]
    text = table("What a feature costs", ["with", "relative fit time"], rows, COSTS)
    write(folder / "costs.inc", text)


def faster_peers(results):
    """Where skbackprop is not the fastest, in words, as a reader of ratios likes to be told."""
    places = {peer: [r["work"] for r in results if r["ratios"].get(peer, 1.0) < 1.0] for peer in PEERS}
    found = [f"{peer} in {', '.join(works)}" for peer, works in places.items() if works]
    return f"Faster than skbackprop: {'; '.join(found)}.\n\n" if found else ""


def write_accuracy(folder):
    """Accuracy.py's tables and diagrams of ranks."""
    rows = accuracy_rows()
    accuracy.write_report(rows, list(dict.fromkeys(rows["model"])), folder)


def accuracy_rows():
    return pd.read_csv(RESULTS / "accuracy" / "accuracy.csv")


def write_precision(folder):
    """Precision.py's seconds of fits, and how far errors and losses move, beside the spread over seeds."""
    rows = pd.read_csv(RESULTS / "precision" / "tables.csv")
    changes, seconds = precision.differences(rows), precision.ratios_of_seconds(rows)
    lines = []
    named = ("clf", "error", "wrong labels"), ("clf", "loss", "log loss"), ("reg", "error", "squared error")
    for task, what, word in named:
        part = changes.loc[task]
        mean, largest = 100 * part[what].mean(), part[f"{what}_in_errors"].abs().max()
        lines.append([f"{word}, {len(part)} tables", f"{mean:+.1f} %", f"{largest:.1f}"])
    text = listing(["", "mean change", "largest change of a table, in standard errors"], lines)
    ratios = ", ".join(f"{ratio:.2f} (``{name}``)" for name, ratio in seconds.items())
    text += f"\nSeconds of fits with ``'highest'``, divided by those with ``'medium'``: {ratios}.\n"
    write(folder / "precision.inc", text)


def write_tables(folder):
    """Tables.py's diagram of accuracy against seconds, and its tables."""
    tables.write_report(pd.read_csv(RESULTS / "tables" / "tables.csv"), folder)


def write_tuning(folder):
    """Tuning.py's seconds and losses of the default, the blend and the search, set by set."""
    rows = []
    for (task, name), mean in tuning.means(pd.read_csv(RESULTS / "tuning" / "tuning.csv")).iterrows():
        loss, seconds = mean["loss"], mean["cpu_seconds"]
        ratios = [f"{loss[model] / loss['default']:.2f}" for model in tuning.MODELS[1:]]
        kind = {"clf": "classes", "reg": "numbers"}[task]
        n_rows, times = f"{mean['rows', 'default']:,.0f}", [f"{seconds[model]:.2g}" for model in tuning.MODELS]
        rows.append([name, kind, n_rows, *ratios, *times])
    columns = ["data set", "targets", "training rows", "loss, blend", "loss, search"]
    columns += ["seconds, default", "seconds, blend", "seconds, search"]
    write(folder / "tuning.inc", listing(columns, rows))


def write_efforts(folder):
    """Efforts.py's changes against the default, what its intervals hold, and what a search brings instead."""
    write_tuning(folder)
    means, errors = efforts.relative(pd.read_csv(RESULTS / "accuracy" / "efforts.csv"))
    rows = []
    for effort in ("quick", "best"):
        for task, word in (("clf", "classification"), ("reg", "regression")):
            mean, error = means.loc[task, effort], errors.loc[task, effort]
            changes = [f"{100 * np.log(mean[k]):+.1f} ± {100 * error[k]:.1f} %" for k in ("error", "loss")]
            rows.append([f"``{effort}``, {word}", f"{mean['cpu_seconds']:.2f}", *changes])
    text = listing(["", "seconds", "error, or squared error", "log loss, or squared error"], rows)
    held = efforts.summarise_intervals(pd.read_csv(RESULTS / "accuracy" / "intervals.csv"))
    ours, theirs = efforts.MODELS
    rows = [
        [
            f"``{name}``",
            *(f"{100 * line['coverage', model]:.1f} %" for model in (ours, theirs)),
            *(f"{line['score', model]:.2f}" for model in (ours, theirs)),
            f"{line['cpu_seconds', ours]:.1f}",
        ]
        for name, line in held.iterrows()
    ]
    columns = ["table", "inside", "HistGradientBoosting", "interval score", "HistGradientBoosting", "seconds"]
    write(folder / "efforts.inc", text)
    write(folder / "intervals.inc", listing(columns, rows))
