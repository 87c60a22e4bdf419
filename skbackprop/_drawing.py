"""What LossCurveDisplay draws with: panels, curves, marks and a legend; matplotlib is imported when it is needed."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np

STYLES: dict[str, Any] = {"training": "-", "validation": "--"}  # told apart in black and white too
BEST: dict[str, Any] = {"marker": "o", "markersize": 7.0, "markeredgecolor": "white", "linestyle": "none"}
NEUTRAL = "0.3"  # the colour of what is said of all estimators
LOG_RATIO = 30.0  # of the largest to the smallest loss, beyond which their axis is logarithmic
WRAP = 12  # letters in a line of a panel's label, as panels are low
PANEL = 0.35  # height of a panel, as a share of the axes with the losses


def import_pyplot(caller: str) -> Any:
    """Import matplotlib, or say how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which is not installed: pip install 'skbackprop[plot]'"
        ) from error
    return plt


def exist(curves: list[Any] | None) -> bool:
    """Tell whether there is a curve among them."""
    return curves is not None and any(curve is not None for curve in curves)


def divide(ax: Any, labels: list[str]) -> list[Any]:
    """Give the lower part of the axes' place to panels that share its horizontal axis."""
    if not labels:
        return []
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError(
            "To make room for scores and learning rates, ax must have been made by subplots or add_subplot."
        )
    grid = place.subgridspec(1 + len(labels), 1, height_ratios=[1.0] + [PANEL] * len(labels))
    ax.set_subplotspec(grid[0])
    panels = [ax.figure.add_subplot(grid[i + 1], sharex=ax) for i in range(len(labels))]
    for panel, text in zip(panels, labels, strict=True):
        panel.set_ylabel(fill(text, WRAP))
    for upper in [ax, *panels[:-1]]:
        upper.tick_params(labelbottom=False)
    return panels


def next_color(ax: Any) -> Any:
    """Take the next colour of the axes' cycle."""
    (line,) = ax.plot([], [])
    line.remove()
    return line.get_color()


def draw(ax: Any, kind: str, curves: Any, colors: list[Any], kwargs: list[Any]) -> list[Any]:
    """Draw a curve for each estimator that has one, and give None for the others."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    lines: list[Any] = []
    for curve, color, own in zip(curves or [None] * len(kwargs), colors, kwargs, strict=True):
        if curve is None or ax is None:
            lines.append(None)
            continue
        choices = {"color": color, "linestyle": STYLES[kind]}
        choices |= {"marker": "."} if len(curve) == 1 else {}  # which a line would not show
        choices |= normalize_kwargs(own, Line2D)
        lines += ax.plot(np.arange(1, len(curve) + 1), np.asarray(curve, dtype=float), **choices)
    return lines


def mark_best(epochs: list[int | None], training: list[Any], *watched: list[Any]) -> list[Any]:
    """Mark the best epochs where they show: on the curves of the validation, else on the training loss."""
    marks = []
    for epoch, line, *validation in zip(epochs, training, *watched, strict=True):
        for one in [one for one in validation if _has(one, epoch)] or [line]:
            if epoch is not None and _has(one, epoch):
                point = [epoch], [one.get_ydata()[epoch - 1]]
                marks += one.axes.plot(*point, color=one.get_color(), zorder=3, **BEST)
    return marks


def _has(line: Any, epoch: int | None) -> bool:
    """Tell whether the curve has a point at that epoch."""
    if line is None or epoch is None:
        return False
    y = line.get_ydata()
    return 0 < epoch <= len(y) and bool(np.isfinite(y[epoch - 1]))


def choose_scales(ax: Any, lines: list[Any], rate_ax: Any) -> None:
    """Ticks at whole epochs, decades for losses that span them, and rates from 0 on."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    losses = np.concatenate([line.get_ydata() for line in lines if line is not None])
    losses = losses[np.isfinite(losses)]
    if losses.size and 0.0 < losses.min() * LOG_RATIO < losses.max():
        ax.set_yscale("log")
    if rate_ax is not None:
        rate_ax.set_ylim(bottom=-0.05 * rate_ax.get_ylim()[1])


def add_legend(
    ax: Any,
    name: list[str] | None,
    training: list[Any],
    validation: list[Any],
    best: list[Any],
    legend_kwargs: dict[str, Any],
) -> None:
    """Tell estimators by their colours and curves by their styles, after what the legend of the axes told before."""
    from matplotlib.lines import Line2D

    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "frameon": False}
    place |= {"ncols": 3, "columnspacing": 1.5} | legend_kwargs
    n_columns = place["ncols"]
    kinds = [("training", training[0])]
    kinds += [("validation", line) for line in validation if line is not None][:1]
    blank, entries, before = (Line2D([], [], linestyle="none"), ""), [], ax.get_legend()
    if before is not None:
        told = zip(before.legend_handles, [text.get_text() for text in before.texts], strict=True)
        entries = [(line, text) for line, text in told if text not in ("", "best epoch")]
    if len(training) == 1:
        prefix = "" if name is None else f"{name[0]}, "
        entries += [(line, prefix + kind) for kind, line in kinds]
    else:
        entries += zip(training, name or [""] * len(training), strict=True)
        entries += [blank] * (-len(entries) % n_columns)
        entries += [(Line2D([], [], color=NEUTRAL, linestyle=STYLES[kind]), kind) for kind, _ in kinds]
    if best:
        color = best[0].get_color() if len(training) == 1 and before is None else NEUTRAL
        entries.append((Line2D([], [], color=color, **BEST), "best epoch"))
    if len(entries) > n_columns:  # a legend fills its columns one after the other; we want rows
        entries += [blank] * (-len(entries) % n_columns)
        entries = [entry for column in range(n_columns) for entry in entries[column::n_columns]]
    ax.legend(*zip(*entries, strict=True), **place)
