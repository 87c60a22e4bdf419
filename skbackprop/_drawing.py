"""What LossCurveDisplay draws with: panels, curves, marks and a legend; matplotlib is imported when it is needed."""

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

STYLES: Style = {"training": "-", "validation": "--"}  # told apart in black and white too
BEST: Style = {"marker": "o", "markersize": 7.0, "markeredgecolor": "white", "linestyle": "none"}
NEUTRAL = "0.3"  # the colour of what is said of all estimators
LOG_RATIO = 30.0  # of the largest to the smallest loss, beyond which their axis is logarithmic
WRAP = 12  # letters in a line of a panel's label, as panels are low
PANEL = 0.35  # height of a panel, as a share of the axes with the losses


def import_pyplot(caller: str) -> ModuleType:
    """Import matplotlib, or say how to get it."""
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


def next_color(ax: Axes) -> ColorType:
    """Take the next colour of the axes' cycle."""
    (line,) = ax.plot([], [])
    line.remove()
    return line.get_color()


def draw(
    ax: Axes | None, kind: str, curves: Curves | None, colors: list[ColorType], kwargs: Sequence[Style | None]
) -> Lines:
    """Draw a curve for each estimator that has one, and give None for the others."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    lines: Lines = []
    for curve, color, own in zip(curves or [None] * len(kwargs), colors, kwargs, strict=True):
        if curve is None or ax is None:
            lines.append(None)
            continue
        y = np.asarray(curve, dtype=float)
        choices = {"color": color, "linestyle": STYLES[kind]}
        choices |= {"marker": "."} if len(y) == 1 else {}  # which a line would not show
        lines += ax.plot(np.arange(1, len(y) + 1), y, **choices | normalize_kwargs(own or {}, Line2D))
    return lines


def mark_best(epochs: Sequence[int | None], training: Lines, *watched: Lines) -> list[Line2D]:
    """Mark the best epochs where they show: on the curves of the validation, else on the training loss."""
    marks = []
    for epoch, line, *validation in zip(epochs, training, *watched, strict=True):
        known = [one for one in (*validation, line) if one is not None and np.isfinite(_value(one, epoch))]
        for one in [one for one in known if one is not line] or known:
            marks += one.axes.plot([epoch], [_value(one, epoch)], color=one.get_color(), zorder=3, **BEST)
    return marks


def _value(line: Line2D, epoch: int | None) -> float:
    """What the curve says of an epoch; NaN if nothing."""
    y = np.asarray(line.get_ydata(), dtype=float)
    return y[epoch - 1] if epoch and epoch <= len(y) else np.nan


def choose_scales(ax: Axes, lines: Lines, rate_ax: Axes | None) -> None:
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
    ax: Axes, name: list[str] | None, training: Lines, validation: Lines, best: list[Line2D], options: Style
) -> None:
    """Tell estimators by their colours and curves by their styles, after what the legend of the axes told before."""
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
    if len(entries) > n_columns:  # a legend fills its columns one after the other; we want rows
        entries += [blank] * (-len(entries) % n_columns)
        entries = [entry for column in range(n_columns) for entry in entries[column::n_columns]]
    ax.legend(*zip(*entries, strict=True), **place)
