"""The picture of the package: its layers, the modules of each, and the imports between layers."""

import pathlib
import sys
from html import escape

from .files import write

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests"))
import house

WIDTH, ROW, GAP, CHARACTER = 900, 30, 46, 7.9  # pixels
LABEL = "Modules of the package by layer, with the number of imports between layers"
HEAD = (  # of the arrows
    '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto">'
    '<path d="M0,0 L7,3 L0,6 z"/></marker></defs>'
)
STYLE = """<style>
.architecture text { font: 13px ui-monospace, monospace; fill: currentColor; }
.architecture .floor { fill: currentColor; fill-opacity: .06; stroke: currentColor; stroke-opacity: .35; }
.architecture .room { fill: currentColor; fill-opacity: .08; }
.architecture .title { font: 600 14px sans-serif; }
.architecture .arrow { stroke: currentColor; stroke-opacity: .7; fill: none; marker-end: url(#head); }
.architecture marker path { fill: currentColor; fill-opacity: .7; }
</style>
"""


def draw_architecture(folder):
    """One picture for light and dark pages: it takes the colour of the text."""
    graph, bands = house.graph(), [*house.FACE.items(), *reversed(house.FLOORS.items())]
    packages = {package: number for number, (_, names) in enumerate(bands) for package in names}
    where = {room: packages.get(f"{room}.".split(".")[1], 0) for room in graph}
    crossings = [(where[room], where[target]) for room, targets in graph.items() for target in targets]
    parts, y = [], 10
    for number, (title, names) in enumerate(bands):
        chips, height = _chips([room for room in graph if where[room] == number], y + 30)
        title = " ".join([title, *(f"({', '.join(names)})" for _ in names[:1] if names[0])])
        parts += [
            f'<rect class="floor" x="10" y="{y}" width="{WIDTH - 20}" height="{height + 38}" rx="8"/>',
            f'<text class="title" x="22" y="{y + 20}">{escape(title)}</text>',
            *chips,
        ]
        y += height + 38
        if number + 1 < len(bands):
            down = sum(start <= number < stop for start, stop in crossings)
            up = sum(stop <= number < start for start, stop in crossings)
            parts += _arrow(WIDTH / 3, y, y + GAP - 3, down) if down else []
            parts += _arrow(2 * WIDTH / 3, y + GAP, y + 3, up) if up else []
            y += GAP
    box = f'viewBox="0 0 {WIDTH} {y + 10}"'
    svg = f'<svg class="architecture" {box} role="img" aria-label="{LABEL}">{HEAD}{chr(10).join(parts)}</svg>'
    lines = "".join(f"   {line}\n" for line in (STYLE + svg).splitlines())
    write(folder / "architecture.inc", f".. raw:: html\n\n{lines}")


def _chips(rooms, top):
    """A box with the name of each room, in rows; and the height of all."""
    chips, x, y = [], 22, top
    for room in rooms:
        name = ".".join(room.split(".")[2:]) if room.count(".") > 1 else room.split(".")[-1]
        width = CHARACTER * len(name) + 16
        if x + width > WIDTH - 22:
            x, y = 22, y + ROW
        chips.append(f'<rect class="room" x="{x:.0f}" y="{y}" width="{width:.0f}" height="22" rx="4"/>')
        chips.append(f'<text x="{x + 8:.0f}" y="{y + 15}">{escape(name)}</text>')
        x += width + 8
    return chips, y + 22 - top


def _arrow(x, start, stop, n):
    """An arrow with the number of imports that it stands for."""
    return [
        f'<path class="arrow" d="M{x:.0f},{start} L{x:.0f},{stop}"/>',
        f'<text x="{x + 8:.0f}" y="{(start + stop) / 2 + 4:.0f}">{n} imports</text>',
    ]
