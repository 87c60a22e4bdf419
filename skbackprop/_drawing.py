"""Panels, curves, marks and legend of LossCurveDisplay; matplotlib is imported when needed."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.typing import ColorType

Curves: TypeAlias = Sequence[ArrayLike | None]  # one for each estimator
Lines: TypeAlias = "list[Line2D | None]"
Style: TypeAlias = dict[str, Any]  # arguments for matplotlib

STYLES: Style = {"training": "-", "validation": "--"}  # distinct in black and white, too
BEST: Style = {"marker": "o", "markersize": 7.0, "markeredgecolor": "white", "linestyle": "none"}
NEUTRAL = "0.3"  # colour of entries for all estimators
LOG_RATIO = 30.0  # of the largest to the smallest loss, above which the axis is logarithmic
WRAP = 12  # letters in a line of a panel's label, as panels are low
PANEL = 0.35  # height of a panel, as a share of the axes with the losses


def import_pyplot(caller: str) -> ModuleType:
    """Import matplotlib, or raise an error that says how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which is not installed: pip install 'skbackprop[plot]'"
        ) from error
    return plt


def exist(curves: Curves | None) -> bool:
    """Tell whether there is a curve among them."""
    return curves is not None and any(curve is not None for curve in curves)


def divide(ax: Axes, labels: list[str]) -> list[Axes]:
    """Add panels below the axes, in a part of their space and with the same horizontal axis."""
    if not labels:
        return []
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError("For panels of scores and learning rates, ax must be created by subplots or add_subplot.")
    grid = place.subgridspec(1 + len(labels), 1, height_ratios=[1.0] + [PANEL] * len(labels))
    ax.set_subplotspec(grid[0])
    panels = [ax.figure.add_subplot(grid[i + 1], sharex=ax) for i in range(len(labels))]
    for panel, text in zip(panels, labels, strict=True):
        panel.set_ylabel(fill(text, WRAP))
    for upper in [ax, *panels[:-1]]:
        upper.tick_params(labelbottom=False)
    return panels


def next_color(ax: Axes) -> ColorType:
    """Take the next colour of the axes' cycle."""
    (line,) = ax.plot([], [])
    line.remove()
    return line.get_color()


def draw(
    ax: Axes | None, kind: str, curves: Curves | None, colors: list[ColorType], kwargs: Sequence[Style | None]
) -> Lines:
    """Draw the curve of each estimator that has one; return None for the others."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    lines: Lines = []
    for curve, color, own in zip(curves or [None] * len(kwargs), colors, kwargs, strict=True):
        if curve is None or ax is None:
            lines.append(None)
            continue
        y = np.asarray(curve, dtype=float)
        choices = {"color": color, "linestyle": STYLES[kind]}
        choices |= {"marker": "."} if len(y) == 1 else {}  # a line with one point is invisible
        lines += ax.plot(np.arange(1, len(y) + 1), y, **choices | normalize_kwargs(own or {}, Line2D))
    return lines


def mark_best(epochs: Sequence[int | None], training: Lines, *watched: Lines) -> list[Line2D]:
    """Mark the best epochs on the validation curves, or else on the training loss."""
    marks = []
    for epoch, line, *validation in zip(epochs, training, *watched, strict=True):
        known = [one for one in (*validation, line) if one is not None and np.isfinite(_value(one, epoch))]
        for one in [one for one in known if one is not line] or known:
            marks += one.axes.plot([epoch], [_value(one, epoch)], color=one.get_color(), zorder=3, **BEST)
    return marks


def _value(line: Line2D, epoch: int | None) -> float:
    """Value of the curve in an epoch; NaN if there is none."""
    y = np.asarray(line.get_ydata(), dtype=float)
    return y[epoch - 1] if epoch and epoch <= len(y) else np.nan


def choose_scales(ax: Axes, lines: Lines, rate_ax: Axes | None) -> None:
    """Ticks at whole epochs, logarithmic losses if they span decades, and learning rates from 0 on."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    losses = np.concatenate([line.get_ydata() for line in lines if line is not None])
    losses = losses[np.isfinite(losses)]
    if losses.size and 0.0 < losses.min() * LOG_RATIO < losses.max():
        ax.set_yscale("log")
    if rate_ax is not None:
        rate_ax.set_ylim(bottom=-0.05 * rate_ax.get_ylim()[1])


def add_legend(
    ax: Axes, name: list[str] | None, training: Lines, validation: Lines, best: list[Line2D], options: Style
) -> None:
    """Legend of estimators by colour and curves by style, after existing entries."""
    from matplotlib.lines import Line2D

    place: Style = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "frameon": False}
    place |= {"ncols": 3, "columnspacing": 1.5} | options
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
    if len(entries) > n_columns:  # a legend fills columns first; we want rows
        entries += [blank] * (-len(entries) % n_columns)
        entries = [entry for column in range(n_columns) for entry in entries[column::n_columns]]
    ax.legend(*zip(*entries, strict=True), **place)
