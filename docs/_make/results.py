"""Speed and accuracy as measured: tables and pictures from the raw results in benchmarks/results."""

import functools
import json

import accuracy
import draw
import efforts
import headlines
import numpy as np
import pandas as pd
import precision
import tables
import tuning

from .files import listing, table, write

RESULTS = draw.RESULTS
TITLES = {  # of the folders of compare.py's results
    "1-thread": "One thread",
    "2-threads": "Two threads",
    "1-thread-v4": "One thread, AVX-512",
    "1-thread-medium": "One thread, products of bfloat16",
}


COSTS = """\
``python benchmarks/costs.py`` measures, on one thread, the time of a fit relative to the same fit without the feature
(medians of nine alternating runs). The data are those of W1, with three epochs. Members are measured on 10,000 rows
of 100 features with layers (128, 128) and batches of 128, relative to one member. k members take about as long as k
separate networks, because every member needs its own matrix products. The selection of ``weight_decay`` is measured
in a default fit of W1's rows, with 16 epochs with and without it.
"""


def write_results(folder):
    """Results of compare.py, a section per folder: times of other libraries divided by skbackprop's."""
    texts = []
    for path in sorted(RESULTS.glob("*/compare.json"), key=lambda path: list(TITLES).index(path.parent.name)):
        name, found = path.parent.name, json.loads(path.read_text())
        peers = list(dict.fromkeys(peer for r in found["results"] for peer in r["ratios"]))
        ratios = draw.speed_ratios(RESULTS, name)
        draw.draw_themes(functools.partial(draw.draw_speed, ratios), folder / f"speed-{name}")
        rows = [
            [
                f"**{r['work']}** {r['what']}",
                f"{r['seconds']['skbackprop']:.3g} s",
                *(f"{r['ratios'][peer]:.2f}" if peer in r["ratios"] else " " for peer in peers),
                f"{r['peak']:.2f}" if r["peak"] else " ",
            ]
            for r in found["results"]
        ]
        picture = draw.as_rst(f"made/speed-{name}", draw.as_text(ratios))
        texts.append(table(TITLES[name], ["work", "skbackprop", *peers, "peak"], rows, picture))
        texts.append(f"{faster_peers(found['results'], peers)}``{found['command']}``: {found['facts']}.\n")
    write(folder / "results.inc", "\n".join(texts))


def write_costs(folder):
    """Costs.py's results: seconds of fits with a feature divided by those without."""
    found = json.loads((RESULTS / "costs.json").read_text())
    rows = []
    for seconds in found.values():
        first, *others = seconds
        rows += [[f"``{name}``" if "=" in name else name, f"{seconds[name] / seconds[first]:.2f}"] for name in others]
    text = table("What a feature costs", ["with", "relative fit time"], rows, COSTS)
    write(folder / "costs.inc", text)


def faster_peers(results, peers):
    """Where skbackprop is not the fastest, in words."""
    places = {peer: [r["work"] for r in results if r["ratios"].get(peer, 1.0) < 1.0] for peer in peers}
    found = [f"{peer} in {', '.join(works)}" for peer, works in places.items() if works]
    return f"Faster than skbackprop: {'; '.join(found)}.\n\n" if found else ""


def write_rounding(folder):
    """Rounding.py's differences of models that should be equal, and how long they take."""
    found = json.loads((RESULTS / "rounding.json").read_text())
    rows = [
        [name, *(f"{values[k]:.0e}" for k in ("classifier", "regressor", "another order")), f"{values['seconds']:.2f}"]
        for name, values in found.items()
    ]
    columns = ["computed in", "weights or repeated rows, classifier", "the same, regressor", "rows in another order"]
    write(folder / "rounding.inc", listing([*columns, "seconds of a default fit"], rows))


def write_accuracy(folder):
    """Tables of accuracy.py and its diagrams of ranks: tables that chose no default, and those that did."""
    for name in ("unseen", "accuracy"):
        rows = headlines.measured(name)
        accuracy.write_report(rows, list(dict.fromkeys(rows["model"])), folder, name)


def write_precision(folder):
    """Results of precision.py: times of fits, and changes of errors and losses relative to those between seeds."""
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
    text += f"\nTimes of fits with ``'highest'``, divided by those with ``'medium'``: {ratios}.\n"
    write(folder / "precision.inc", text)


def write_tables(folder):
    """Results of tables.py: a diagram of accuracy against seconds, and tables."""
    tables.write_report(pd.read_csv(RESULTS / "tables" / "tables.csv"), folder)


def write_tuning(folder):
    """Results of tuning.py: seconds and losses of the default, the blend and the search for each data set."""
    rows = []
    for (task, name), mean in tuning.means(pd.read_csv(RESULTS / "tuning" / "tuning.csv")).iterrows():
        loss, seconds = mean["loss"], mean["cpu_seconds"]
        ratios = [f"{loss[model] / loss['default']:.2f}" for model in tuning.MODELS[1:]]
        kind = accuracy.WORDS[task]
        n_rows, times = f"{mean['rows', 'default']:,.0f}", [f"{seconds[model]:.2g}" for model in tuning.MODELS]
        rows.append([name, kind, n_rows, *ratios, *times])
    columns = ["data set", "task", "training rows", "relative loss, blend", "relative loss, search"]
    columns += ["seconds, default", "seconds, blend", "seconds, search"]
    write(folder / "tuning.inc", listing(columns, rows))


def write_efforts(folder):
    """Results of efforts.py and tuning.py: changes relative to the default, intervals, and a search instead."""
    write_tuning(folder)
    means, errors = efforts.relative(headlines.measured("efforts"))
    rows = []
    for effort in ("quick", "best"):
        for task, word in accuracy.WORDS.items():
            mean, error = means.loc[task, effort], errors.loc[task, effort]
            changes = [f"{100 * np.log(mean[k]):+.1f} ± {100 * error[k]:.1f} %" for k in ("error", "loss")]
            rows.append([f"``{effort}``, {word}", f"{mean['cpu_seconds']:.2f}", *changes])
    text = listing(["", "relative fit time", "error, or squared error", "log loss, or squared error"], rows)
    held = efforts.summarise_intervals(headlines.measured("intervals"))
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
    columns = ["table", "coverage", "HistGradientBoosting", "interval score", "HistGradientBoosting", "seconds"]
    write(folder / "efforts.inc", text)
    write(folder / "intervals.inc", listing(columns, rows))
