"""Speed-up by several workers: measured, modelled, and predicted for large clusters."""

import functools
import itertools
import json

import draw
import matplotlib.pyplot as plt
import numpy as np
import scaling

from .files import listing, table, write
from .results import RESULTS

LINES = dict(zip(scaling.NETWORKS, ("-", "--", ":"), strict=True))
COLOURS = dict(zip(scaling.SIZES, ("#2a7f9e", "#f89939", "#7d5ba6"), strict=True))
LARGEST = 4096  # workers
CLUSTERS = 2, 8, 64, 1024
ROWS = 65_536  # of a minibatch, shared out


def measured(name="scaling"):
    return json.loads((RESULTS / "scaling" / f"{name}.json").read_text())


def write_scaling(folder):
    """The constants, and every measured time with that of the model."""
    found = measured()
    model = scaling.Model(found)
    constants = [
        [size, f"{hidden}", f"{scaling.n_bytes(size) / 1e6:.2f} MB", f"{1e3 * t0:.2f} ms", f"{1e6 * t_row:.2f} µs"]
        for (size, hidden), (t0, t_row) in zip(scaling.SIZES.items(), model.compute.values(), strict=True)
    ]
    text = table("Constants", ["network", "hidden layers", "S", "t0", "t_row"], constants)
    text += f"\nL0 is {1e3 * model.latency:.2f} ms, V {model.speed / 1e6:.0f} MB/s, and two workers of this machine "
    text += f"compute {model.machine:.2f} times as fast as one.\n\n"
    beside = list(scaling.beside(found))
    predicted = [r for r in beside if r["where"] != scaling.HERE or r["workers"] > 2]
    off = np.array([abs(np.log(r["model"] / r["seconds"])) for r in predicted])
    text += f"The model predicts {len(off)} times. Half of them are within {percent(np.median(off))} of the measured "
    text += f"times, and nine tenths within {percent(np.quantile(off, 0.9))}.\n\n"
    cells = {}
    for r in beside:
        row = cells.setdefault((r["where"], r["size"], f"{r['batch']:,}"), {})
        row[r["workers"]] = f"{1e3 * r['seconds']:.2f} / {1e3 * r['model']:.2f}"
    steps = [[*names, *(row.get(n, "") for n in scaling.WORKERS)] for names, row in cells.items()]
    columns = ["connection", "network", "rows", *(f"{n} worker{'s' if n > 1 else ''}" for n in scaling.WORKERS)]
    above = "Milliseconds per step, measured / modelled."
    write(folder / "scaling.inc", text + table("Measured and modelled", columns, steps, above))
    write(folder / "scaling-best.inc", best_table(model))
    write(folder / "scaling-worth.inc", worth_table(model))


def percent(logarithm):
    return f"{100 * np.expm1(logarithm):.0f} %"


def write_rounds(folder):
    """Results of clusters.py: rounds without a fit, rounds of a fit, and the speed-up by two workers."""
    found = measured("clusters")
    bare = [[f"{n:,}", f"{1e3 * median:.2f}", f"{1e3 * high:.2f}"] for n, median, high in found["tree"]]
    rounds = [
        [f"{n:,}", f"{1e3 * two:.2f}", f"{1e3 * one:.2f}", f"{1e3 * (two - one):.2f}", f"{1 / two:,.0f}"]
        for n, two, one in found["rounds"]
    ]
    shares = [
        [f"{batch:,}", *(f"{1 / s:.1f}" for s in (workers, threads, one)), f"{threads / workers:.2f}"]
        for batch, workers, threads, one in found["scaling"]
    ]
    pieces = [
        "Without a fit: an array is sent to one other worker, and another array is sent back.",
        listing(["float32 numbers", "ms, median", "ms, 90 %"], bare),
        "In a fit with 16 rows per minibatch, which need almost no computing:",
        listing(["weights", "ms per step, two workers", "one process", "ms per round", "steps per second"], rounds),
        "In a fit with much computing: steps per second of a network with 256 inputs and two hidden layers of 512 "
        "units (394,753 weights), on two workers with one thread each, in one process with two threads, and in one "
        "process with one thread. Efficiency is the speed of two workers divided by that of two threads.",
        listing(["rows", "two workers", "two threads", "one thread", "efficiency"], shares),
    ]
    write(folder / "rounds.inc", "\n\n".join(pieces))


def best_table(model):
    """How many workers are the fastest with ROWS."""
    rows = []
    workers = 2 ** np.arange(int(np.log2(LARGEST)) + 1)
    for size, name in itertools.product(scaling.SIZES, scaling.NETWORKS):
        seconds = [model.step(size, ROWS, int(P), *scaling.NETWORKS[name]) for P in workers]
        best = int(np.argmin(seconds))
        rows.append([size, name, f"{workers[best]:,}", f"{seconds[0] / seconds[best]:.1f}"])
    return listing(["network", "connection", "fastest number of workers", "speed-up"], rows)


def worth_table(model):
    """Rows of a minibatch from which on the efficiency is 50 %."""
    rows = []
    for size, name in itertools.product(scaling.SIZES, scaling.NETWORKS):
        needed = [model.rows_worth(size, P, *scaling.NETWORKS[name]) for P in CLUSTERS]
        rows.append([size, name, *(f"{float(f'{n:.2g}'):,.0f}" for n in needed)])
    return listing(["network", "connection", *(f"{P:,} workers" for P in CLUSTERS)], rows)


def draw_scaling(folder):
    """Speed-up against the number of workers."""
    draw.draw_themes(functools.partial(draw_gain, scaling.Model(measured())), folder / "scaling")


def draw_gain(model, path):
    workers = np.unique(np.geomspace(1, LARGEST, 60).round().astype(int))
    ink = plt.rcParams["text.color"]
    figure, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for size, name in itertools.product(COLOURS, LINES):
        link = scaling.NETWORKS[name]
        gain = [model.step(size, ROWS, 1) / model.step(size, ROWS, int(P), *link) for P in workers]
        ax.loglog(workers, gain, LINES[name], color=COLOURS[size], base=2)
    ax.loglog(workers, workers, color=ink, lw=0.7, alpha=0.5, base=2)
    ax.set(xlabel="workers", ylabel="speed-up", ylim=(0.5, 64))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter("{x:g}")
    keys = [plt.Line2D([], [], color=colour, label=size) for size, colour in COLOURS.items()]
    keys += [plt.Line2D([], [], color=ink, ls=style, label=name) for name, style in LINES.items()]
    keys += [plt.Line2D([], [], color=ink, lw=0.7, alpha=0.5, label="ideal")]
    figure.legend(handles=keys, frameon=False, loc="outside right center")
    draw.save(figure, path)
