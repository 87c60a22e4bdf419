"""Speed and accuracy as measured: tables and pictures from the raw results in benchmarks/results."""

import json
import statistics
import sys

import matplotlib.pyplot as plt
import pandas as pd

from .files import table, write

TITLES = {
    "1-thread": "One thread",
    "2-threads": "Two threads",
    "1-thread-v3": "One thread, AVX2 instructions only",
}
PEERS = ["scikit-learn", "torch", "XLA", "onnxruntime"]
SHOWN = {  # works of the picture, and their names there
    "W5": "digits\n(100,), batches of 32",
    "W6": "digits\n(64, 64), batches of 32",
    "W4": "digits\n(100,), batches of 200",
    "W2": "60,000 images\n(100,), batches of 32",
    "W1": "60,000 images\n(100,), batches of 200",
    "W3": "60,000 images\n(512, 512), batches of 128",
}
COLOURS = {"scikit-learn": "#f89939", "torch": "#7d5ba6", "XLA": "#5b8c85"}
MINE = "#2a7f9e"


def write_results(results, folder):
    """Compare.py's results: peers' seconds divided by skbackprop's."""
    for name, title in TITLES.items():
        found = json.loads((results / name / "compare.json").read_text())
        rows = [
            [
                f"**{r['work']}** {r['what']}",
                f"{r['seconds']['skbackprop']:.3g} s",
                *(f"{r['ratios'][peer]:.2f}" if peer in r["ratios"] else " " for peer in PEERS),
                f"{r['peak']:.2f}" if r["peak"] else " ",
            ]
            for r in found["results"]
        ]
        text = table(title, ["work", "skbackprop", *PEERS, "peak"], rows)
        write(folder / f"results-{name}.inc", f"{text}\n``{found['command']}``: {found['facts']}.\n")


def draw_speed(results, path, ink):
    """Bars of seconds per fit, skbackprop's being 1; `ink` is the colour of everything written."""
    found = json.loads((results / "1-thread" / "compare.json").read_text())
    ratios = {r["work"]: {"skbackprop": 1.0, **r["ratios"]} for r in found["results"]}
    contestants = {"skbackprop": MINE, **COLOURS}
    figure, axes = plt.subplots(2, 3, figsize=(9, 4.2), layout="constrained")
    for ax, (work, title) in zip(axes.flat, SHOWN.items(), strict=True):
        lengths = [ratios[work][name] for name in contestants]
        bars = ax.barh(list(contestants), lengths, color=list(contestants.values()), height=0.72)
        ax.bar_label(bars, [f"{length:.1f}" for length in lengths], padding=3, color=ink, fontsize=9)
        ax.set_title(title, color=ink, fontsize=10)
        ax.set_xlim(0, 1.18 * max(lengths))
        ax.invert_yaxis()
        ax.set_xticks([])
        ax.tick_params(left=False, colors=ink)
        ax.spines[:].set_visible(False)
        ax.label_outer()
    figure.savefig(path, transparent=True, metadata={"Date": None})
    plt.close(figure)


def speed_means(results):
    """Geometric means of the peers' ratios in the works of the picture."""
    found = json.loads((results / "1-thread" / "compare.json").read_text())
    shown = [r["ratios"] for r in found["results"] if r["work"] in SHOWN]
    return {peer: statistics.geometric_mean(r[peer] for r in shown) for peer in COLOURS}


def write_accuracy(results, folder):
    """Accuracy.py's tables and diagrams of ranks."""
    sys.path.insert(0, str(results.parent))
    import accuracy

    rows = pd.read_csv(results / "accuracy" / "accuracy.csv")
    accuracy.write_report(rows, list(dict.fromkeys(rows["model"])), folder)
