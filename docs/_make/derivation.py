"""The pictures of the derivation."""

import math
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Circle

from .files import INKS

RADIUS = 0.3


class Colours(NamedTuple):
    """Of a theme."""

    ink: str  # everything else
    ahead: str  # the forward pass
    back: str  # the backward pass


THEMES = {"light": Colours(INKS["light"], "#1f6f8b", "#c8641b"), "dark": Colours(INKS["dark"], "#6fc3df", "#f3a35c")}


# ------------------------------------------------------------------------------- the networks ----


class Sketch:
    """Circles and arrows on an empty figure; one unit of the axes is an inch."""

    def __init__(self, width, height, colours):
        self.ink = colours.ink
        self.figure, self.ax = plt.subplots(figsize=(width, height))
        self.figure.subplots_adjust(0, 0, 1, 1)
        self.ax.set(xlim=(0, width), ylim=(0, height))
        self.ax.set_axis_off()

    def text(self, x, y, words, colour=None, size=11, **options):
        options = {"ha": "center", "va": "center"} | options
        self.ax.text(x, y, words, color=colour or self.ink, fontsize=size, **options)

    def unit(self, x, y, words="", colour=None, split=False, size=11):
        """A unit, or one split into its sum v and its output a."""
        colour = colour or self.ink
        self.ax.add_patch(Circle((x, y), RADIUS, fill=False, ec=colour, lw=1.3))
        if split:
            self.ax.plot([x, x], [y - RADIUS, y + RADIUS], color=colour, lw=0.8)
            for side, word in zip((-1, 1), words, strict=True):
                self.text(x + side * 0.52 * RADIUS, y, word, colour, size - 1)
        else:
            self.text(x, y, words, colour, size)

    def arrow(self, start, stop, colour=None, width=0.7, alpha=0.45, style="-|>", dashed=False):
        """From circle to circle, ending at their rims."""
        (x0, y0), (x1, y1) = start, stop
        length = math.hypot(x1 - x0, y1 - y0)
        dx, dy = (x1 - x0) / length * (RADIUS + 0.04), (y1 - y0) / length * (RADIUS + 0.04)
        arrow = {
            "arrowstyle": style,
            "color": colour or self.ink,
            "lw": width,
            "alpha": alpha,
            "shrinkA": 0,
            "shrinkB": 0,
            "linestyle": "--" if dashed else "-",
            "mutation_scale": 9,
        }
        self.ax.annotate("", (x1 - dx, y1 - dy), (x0 + dx, y0 + dy), arrowprops=arrow)

    def save(self, path):
        self.figure.savefig(path, transparent=True, metadata={"Date": None})
        plt.close(self.figure)


def number(value, form="g"):
    """Its digits, with a true minus."""
    return f"{value:{form}}".replace("-", "\N{MINUS SIGN}")


def column(x, n, middle, gap=0.95):
    """Places of n units one below the other."""
    return [(x, middle + gap * ((n - 1) / 2 - k)) for k in range(n)]


def draw_network(path, colours):
    """The notation: inputs, two layers of split units, the loss."""
    s = Sketch(9.0, 4.5, colours)
    x, hidden, out = column(0.8, 3, 2.35), column(3.7, 3, 2.35), column(6.4, 2, 2.35)
    loss = (8.4, 2.35)
    for left, right in [(x, hidden), (hidden, out)]:
        for start in left:
            for stop in right:
                s.arrow(start, stop)
    for start in out:
        s.arrow(start, loss)
    s.arrow(x[0], hidden[0], colours.ahead, 2.2, 1.0)
    s.text(2.25, 3.58, r"$w_{ij}^{(1)}$", colours.ahead, 13)
    for bias, layer in [((0.8, 0.5), hidden), ((3.7, 0.5), out)]:
        for stop in layer:
            s.arrow(bias, stop, alpha=0.3, dashed=True)
        s.unit(*bias, "1")
    for place, name in zip(x, ("$x_j$", "$x_2$", "$x_3$"), strict=True):
        s.unit(*place, name, colours.ahead if name == "$x_j$" else None)
    for place, k in zip(hidden, "i23", strict=True):
        s.unit(*place, (f"$v_{k}$", f"$a_{k}$"), colours.ahead if k == "i" else None, split=True)
    for place, k in zip(out, "12", strict=True):
        s.unit(*place, (f"$v_{k}$", f"$a_{k}$"), split=True)
    s.unit(*loss, "$E$")
    for where, words in [
        (0.8, "$a^{(0)} = x$"),
        (3.7, r"$v^{(1)} \rightarrow a^{(1)} = \varphi(v^{(1)})$"),
        (6.4, r"$v^{(2)} \rightarrow a^{(2)}$"),
        (8.4, "loss"),
    ]:
        s.text(where, 4.2, words)
    for where, words in [(2.25, "$W^{(1)}, b^{(1)}$"), (5.05, "$W^{(2)}, b^{(2)}$")]:
        s.text(where, 0.22, words)
    s.save(path)


def draw_backward(path, colours):
    """The delta of one unit is a sum over the units of the next layer."""
    s = Sketch(9.0, 4.3, colours)
    j, i, loss = (0.9, 2.0), (3.5, 2.0), (8.4, 2.0)
    above = column(6.3, 3, 2.0, 1.1)
    s.arrow(j, i, colours.ahead, 2.0, 1.0)
    s.text(2.15, 2.32, r"$w_{ij}^{(s)}$", colours.ahead, 13)
    for place, k in zip(above, "123", strict=True):
        s.arrow(place, i, colours.back, 1.8, 0.95)
        s.arrow(loss, place, colours.back, 1.2, 0.6)
        s.unit(*place, rf"$\delta_{k}$", colours.back)
        s.text(4.95, 0.45 * i[1] + 0.55 * place[1] + 0.2, rf"$w_{{{k}i}}$", colours.back, 11)
    s.unit(*j, "$a_j$", colours.ahead)
    s.unit(*i, r"$\delta_i$", colours.back)
    s.unit(*loss, "$E$")
    s.text(3.1, 3.15, r"$\delta_i = \varphi^{\prime}(v_i)\ \sum_k\,\delta_k\, w_{ki}$", colours.back, 13)
    s.text(2.2, 1.2, r"$\partial E / \partial w_{ij} = \delta_i\, a_j$", colours.ahead, 13)
    for where, words in [(0.9, "layer $s-1$"), (3.5, "layer $s$"), (6.3, "layer $s+1$"), (8.4, "loss")]:
        s.text(where, 4.05, words)
    s.text(4.5, 0.2, r"backwards: $\delta = \partial E / \partial v$ of each unit", colours.back)
    s.save(path)


# weights, input and target of the network that is worked by hand
WORKED = {
    "x": np.array([[1.0, 0.5]]),
    "W": [np.array([[0.25, -0.5], [0.5, 0.75]]), np.array([[0.75], [-1.25]])],
    "b": [np.array([0.125, -0.25]), np.array([0.5])],
    "y": 1.0,
}


def draw_worked(path, colours):
    """The 2-2-1 network with its numbers, forward above and delta below each unit."""
    x, (W1, W2), (b1, b2) = WORKED["x"], WORKED["W"], WORKED["b"]
    v1 = x @ W1 + b1
    a1 = 1.0 / (1.0 + np.exp(-v1))
    v2 = a1 @ W2 + b2
    delta2 = v2 - WORKED["y"]
    delta1 = a1 * (1.0 - a1) * (delta2 @ W2.T)
    s = Sketch(9.0, 3.9, colours)
    inputs, hidden, out = column(0.8, 2, 1.95, 1.9), column(4.0, 2, 1.95, 1.9), (7.0, 1.95)
    for j, start in enumerate(inputs):
        for i, stop in enumerate(hidden):
            s.arrow(start, stop, alpha=0.7)
            along = 0.3
            s.text(
                start[0] + along * (stop[0] - start[0]),
                start[1] + along * (stop[1] - start[1]) + 0.17,
                number(W1[j, i]),
                size=10,
            )
        s.unit(*start, f"{x[0, j]:g}", size=10)
        s.text(start[0], start[1] + 0.48, f"$x_{j + 1}$")
    for i, place in enumerate(hidden):
        s.arrow(place, out, alpha=0.7)
        s.text(5.5, 0.5 * (place[1] + out[1]) + (0.2 if i == 0 else -0.2), number(W2[i, 0]), size=10)
        s.unit(*place, f"{a1[0, i]:.3f}", colours.ahead, size=10)
        s.text(place[0], place[1] + 0.48, f"$v = {v1[0, i]:g}$", colours.ahead, 10)
        s.text(place[0], place[1] - 0.48, rf"$\delta = {delta1[0, i]:.4f}$", colours.back, 10)
    s.unit(*out, f"{v2[0, 0]:.3f}", colours.ahead, size=10)
    s.text(out[0], out[1] + 0.48, "$a = v$", colours.ahead, 10)
    s.text(out[0], out[1] - 0.48, rf"$\delta = {delta2[0, 0]:.4f}$", colours.back, 10)
    s.text(7.55, out[1], f"$y = {WORKED['y']:g}$", ha="left")
    s.save(path)


# --------------------------------------------------------------------------------- softmax ----


def draw_softmax(path, colours):
    """Log-sum-exp as a smooth maximum, and the Jacobian of softmax as a picture."""
    ink = colours.ink
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.7), layout="constrained", width_ratios=[1.25, 1])
    v = np.linspace(-5, 5, 201)
    left.plot(v, np.maximum(v, 0), "--", color=ink, lw=1.2, label=r"$\max(v, 0)$")
    left.plot(v, np.logaddexp(v, 0), color=colours.ahead, lw=2.2, label=r"$\ln(e^v + e^0)$")
    left.plot(v, 1 / (1 + np.exp(-v)), color=colours.back, lw=2.2, label=r"its slope, $e^v / (e^v + e^0)$")
    left.set_xlabel("$v$", color=ink)
    left.set_title("log-sum-exp, a smooth maximum, and its slope, softmax", color=ink, fontsize=11)
    left.legend(frameon=False, labelcolor=ink)
    left.tick_params(colors=ink)
    left.spines[:].set_color(ink)
    left.spines[["top", "right"]].set_visible(False)
    a = np.exp([1.0, 0.5, 0.0, -0.5])
    a /= a.sum()
    jacobian = np.diag(a) - np.outer(a, a)
    largest = np.abs(jacobian).max()
    right.imshow(jacobian, cmap="RdBu", vmin=-largest, vmax=largest)
    for (j, i), value in np.ndenumerate(jacobian):
        right.text(
            i, j, number(value, ".2f"), ha="center", va="center", color="white" if value > 0.12 else INKS["light"]
        )
    right.set_xticks(range(4), [rf"$v_{i}$" for i in range(1, 5)])
    right.set_yticks(range(4), [f"$a_{j} = {p:.2f}$" for j, p in enumerate(a, start=1)])
    right.tick_params(colors=ink, length=0)
    right.spines[:].set_visible(False)
    right.set_title(r"$\partial a_j / \partial v_i = a_j\,([i = j] - a_i)$", color=ink, fontsize=11)
    figure.savefig(path, transparent=True, metadata={"Date": None})
    plt.close(figure)


def draw_derivation(folder):
    """All pictures of the chapter, for both themes."""
    for theme, colours in THEMES.items():
        draw_network(folder / f"network-{theme}.svg", colours)
        draw_backward(folder / f"backward-{theme}.svg", colours)
        draw_softmax(folder / f"softmax-{theme}.svg", colours)
        draw_worked(folder / f"worked-{theme}.svg", colours)
