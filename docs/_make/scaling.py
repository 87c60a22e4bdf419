"""When more machines pay: measured beside modelled, and what the model says of large clusters."""

import json

import matplotlib.pyplot as plt
import numpy as np
import scaling  # of benchmarks, whose folder results.py puts on the path

from .files import INKS, table, write
from .results import RESULTS

LINES = {"0.1 ms, 10 Gbit/s": "-", "0.1 ms, 1 Gbit/s": "--", "1 ms, 1 Gbit/s": ":"}
COLOURS = {"small": "#2a7f9e", "middle": "#f89939", "large": "#7d5ba6"}
LARGEST = 4096  # workers
ROWS = 65_536  # of a minibatch, shared out


def measured(name="scaling"):
    return json.loads((RESULTS / "scaling" / f"{name}.json").read_text())


def write_scaling(folder):
    """The constants, and every measurement beside what the model says."""
    found = measured()
    model = scaling.Model(found)
    constants = [
        [
            size,
            f"{hidden}",
            f"{scaling.n_bytes(size) / 1e6:.2f} MB",
            f"{1e3 * t0:.2f} ms",
            f"{1e6 * t_row:.2f} µs",
        ]
        for (size, hidden), (t0, t_row) in zip(scaling.SIZES.items(), model.compute.values(), strict=True)
    ]
    text = table("Constants", ["network", "hidden layers", "S", "t0", "t_row"], constants)
    text += f"\nL0 is {1e3 * model.latency:.2f} ms, V {model.speed / 1e6:.0f} MB/s, and two workers of this machine "
    text += f"compute {model.machine:.2f} times as fast as one.\n\n"
    beside = list(scaling.beside(found))
    off = np.array([abs(np.log(r["model"] / r["seconds"])) for r in beside])
    text += (
        f"Half of the model's times are within {100 * np.expm1(np.median(off)):.0f} % of the measured ones, "
    )
    text += f"nine tenths within {100 * np.expm1(np.quantile(off, 0.9)):.0f} %.\n\n"
    steps = [
        [
            r["where"],
            str(r["workers"]),
            r["size"],
            f"{r['batch']:,}",
            f"{1e3 * r['seconds']:.2f}",
            f"{1e3 * r['model']:.2f}",
            f"{r['model'] / r['seconds']:.2f}",
        ]
        for r in beside
    ]
    columns = ["network between", "workers", "size", "rows", "measured, ms", "model, ms", "ratio"]
    write(folder / "scaling.inc", text + table("Measured and modelled", columns, steps))
    write(folder / "scaling-best.inc", "\n".join(best_table(model)))


def write_rounds(folder):
    """What clusters.py found: rounds without a fit, rounds of a fit, and how well two workers share the work."""
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
        "Without a fit: an array goes to one other worker, and another comes back.",
        *listing(["float32 numbers", "ms, median", "ms, 90 %"], bare),
        "In a fit, with 16 rows a minibatch, so that there is next to nothing to compute:",
        *listing(
            ["weights", "ms a step, two workers", "one process", "ms a round", "steps a second"], rounds
        ),
        "With much to compute: steps a second of two hidden layers of 512 units on 256 inputs (394,753 weights), by "
        "two workers of one thread each, by one process with two threads, and with one. Efficiency is the first beside "
        "the second.",
        *listing(["rows", "two workers", "two threads", "one thread", "efficiency"], shares),
    ]
    write(folder / "rounds.inc", "\n".join(pieces))


def listing(head, rows):
    """A table without a title, in lines."""
    return ["", *table("", head, rows).splitlines()[4:], ""]


def best_table(model):
    """How many workers are the fastest, and how many still do half of what they could."""
    rows = []
    workers = 2 ** np.arange(int(np.log2(LARGEST)) + 1)
    for size in scaling.SIZES:
        for name, (latency, bandwidth) in scaling.NETWORKS.items():
            seconds = np.array([model.step(size, ROWS, int(P), latency, bandwidth) for P in workers])
            gain = seconds[0] / seconds
            half = workers[gain >= 0.5 * workers].max()
            rows.append([size, name, str(workers[gain.argmax()]), f"{gain.max():.1f}", str(half)])
    head = ["size", "network between", "fastest with", "gain there", "half efficient up to"]
    return listing(head, rows)


def draw_scaling(folder):
    """Gain against the number of workers."""
    model = scaling.Model(measured())
    workers = np.unique(np.geomspace(1, LARGEST, 60).round().astype(int))
    for theme, ink in INKS.items():
        with plt.rc_context(
            {"text.color": ink, "axes.labelcolor": ink, "xtick.color": ink, "ytick.color": ink}
        ):
            figure, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
            for size, colour in COLOURS.items():
                for name, style in LINES.items():
                    link = scaling.NETWORKS[name]
                    gain = [
                        model.step(size, ROWS, 1) / model.step(size, ROWS, int(P), *link) for P in workers
                    ]
                    ax.loglog(workers, gain, style, color=colour, label=f"{size}, {name}", base=2)
            ax.loglog(workers, workers, color=ink, lw=0.7, alpha=0.5, base=2, label="ideal")
            ax.set(xlabel="workers", ylabel="times as fast as one", ylim=(0.5, 256))
            ax.tick_params(colors=ink)
            for spine in ax.spines.values():
                spine.set_color(ink)
            ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), labelcolor=ink)
            figure.savefig(folder / f"scaling-{theme}.svg", transparent=True, metadata={"Date": None})
            plt.close(figure)
