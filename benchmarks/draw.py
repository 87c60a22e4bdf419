"""How pictures are drawn and saved, and the one of compare.py's results."""

import json
import math
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RESULTS = pathlib.Path(__file__).parent / "results"
README_PICTURE = RESULTS / "speed.svg"
SHOWN = {  # works of the picture, and their names there
    "W5": "digits, (100,)\nbatches of 32",
    "W6": "digits, (64, 64)\nbatches of 32",
    "W4": "digits, (100,)\nbatches of 200",
    "W9": "sparse texts, (100,)\nbatches of 200",
    "W2": "60,000 images, (100,)\nbatches of 32",
    "W1": "60,000 images, (100,)\nbatches of 200",
    "W3": "60,000 images, (512, 512)\nbatches of 128",
    "W7": "noise, (1024, 1024)\nbatches of 1024",
}
INKS = {"light": "#222832", "dark": "#ced6dd"}  # of what is written, in the themes of the site
INKED = "text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "legend.labelcolor"
MINE = "#2a7f9e"
COLOURS = {"skbackprop": MINE, "scikit-learn": "#f89939", "torch": "#7d5ba6", "XLA": "#5b8c85"}  # of libraries


def draw_themes(draw, stem):
    """One picture for light pages and one for dark ones, whose backgrounds show through: calls draw(path) twice."""
    for theme, ink in INKS.items():
        with plt.rc_context(dict.fromkeys(INKED, ink) | {"axes.facecolor": "none", "savefig.facecolor": "none"}):
            draw(f"{stem}-{theme}.svg")


def as_rst(stem, text, container="wide"):
    """Both of them on a page of the site, which shows the one of its theme."""
    images = [
        f"   .. image:: {stem}-{theme}.svg\n      :class: only-{theme}\n      :width: 100%\n      :alt: {text}\n"
        for theme in INKS
    ]
    return f".. container:: {container}\n\n" + "\n".join(images)


def save(figure, path, **metadata):
    """Write a figure and close it; the same figure is the same file."""
    with plt.rc_context({"svg.hashsalt": "skbackprop"}):
        figure.savefig(path, metadata={"Date": None} | metadata)
    plt.close(figure)


def speed_ratios(results, folder="1-thread"):
    """Seconds of each contestant divided by skbackprop's, by work."""
    found = json.loads((results / folder / "compare.json").read_text())
    return {r["work"]: {"skbackprop": 1.0, **r["ratios"]} for r in found["results"] if r["work"] in SHOWN}


def as_text(ratios):
    """What the picture says, for its description: tells old pictures from new ones."""
    return "; ".join(
        f"{work}: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in found.items())
        for work, found in ratios.items()
    )


def draw_speed(ratios, path):
    """Bars of seconds per fit, skbackprop's being 1."""
    contestants = list(dict.fromkeys(name for found in ratios.values() for name in found))
    colours = [COLOURS[name.split(",")[0]] for name in contestants]
    works = [work for work in SHOWN if work in ratios]
    height = 0.4 + 0.4 * len(contestants)
    figure, axes = plt.subplots(2, math.ceil(len(works) / 2), figsize=(11, 2 * height), layout="constrained")
    for ax in axes.flat[len(works) :]:
        ax.set_axis_off()
    for ax, work in zip(axes.flat, works, strict=False):
        lengths = [ratios[work].get(name, 0.0) for name in contestants]
        bars = ax.barh(contestants, lengths, color=colours, height=0.72)
        labels = [f"{length:.1f}" if length else "not run" for length in lengths]
        ax.bar_label(bars, labels, padding=3, fontsize=9)
        ax.set_title(SHOWN[work], fontsize=10)
        ax.set_xlim(0, 1.2 * max(lengths))
        ax.invert_yaxis()
        ax.set_xticks([])
        ax.tick_params(left=False)
        ax.spines[:].set_visible(False)
        ax.label_outer()
    save(figure, path, Description=as_text(ratios))
