"""When more machines pay: measured beside modelled, and what the model says of large clusters."""

import json

import matplotlib.pyplot as plt
import numpy as np
import scaling  # of benchmarks, whose folder results.py puts on the path

from .files import table, write
from .results import RESULTS

LINES = {"0.1 ms, 10 Gbit/s": "-", "0.1 ms, 1 Gbit/s": "--", "1 ms, 1 Gbit/s": ":"}
COLOURS = {"small": "#2a7f9e", "middle": "#f89939", "large": "#7d5ba6"}
LARGEST = 4096  # workers
ROWS = 65_536  # of a minibatch, shared out


def measured():
    return json.loads((RESULTS / "scaling" / "scaling.json").read_text())


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
        for r in scaling.beside(found)
    ]
    columns = ["network between", "workers", "size", "rows", "measured, ms", "model, ms", "ratio"]
    write(folder / "scaling.inc", text + table("Measured and modelled", columns, steps))
    write(folder / "scaling-best.inc", "\n".join(best_table(model)))


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
    return table("", head, rows).splitlines()[2:]


def draw_scaling(folder, ink_by_theme):
    """Gain against the number of workers."""
    model = scaling.Model(measured())
    workers = np.unique(np.geomspace(1, LARGEST, 60).round().astype(int))
    for theme, ink in ink_by_theme.items():
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
