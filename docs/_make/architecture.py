"""The picture of the package: its floors, the rooms on each, and the imports between them, from the sources."""

import pathlib
import sys
from collections import Counter
from html import escape

from .files import write

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests"))
import house

WIDTH, ROW, GAP, CHARACTER = 900, 30, 46, 7.2  # pixels
STYLE = """
<style>
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
    bands = [*reversed(house.FACE.items()), *reversed(house.FLOORS.items())]
    bands = [bands[1], bands[0], *bands[2:]]
    where = {}  # room -> number of its band, from the top
    parts, bottoms, y = [], [], 10
    for number, (title, packages) in enumerate(bands):
        rooms = [room for room in house.graph() if _package(room) in packages]
        where |= dict.fromkeys(rooms, number)
        chips, height = _chips(rooms, y + 30)
        parts += [
            f'<rect class="floor" x="10" y="{y}" width="{WIDTH - 20}" height="{height + 38}" rx="8"/>',
            f'<text class="title" x="22" y="{y + 20}">{escape(title)}</text>',
            *chips,
        ]
        bottoms.append((y, y + height + 38))
        y += height + 38 + GAP
    counts = Counter(
        (where[room], where[target])
        for room, targets in house.graph().items()
        for target in targets
        if where[room] != where[target]
    )
    parts += _arrows(counts, bottoms)
    head = '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto"><path d="M0,0 L7,3 L0,6 z"/></marker></defs>'
    label = "Rooms of the package by floor, with the number of imports between the floors; none leads up"
    svg = f'<svg class="architecture" viewBox="0 0 {WIDTH} {y - GAP + 10}" role="img" aria-label="{label}">{head}{"".join(parts)}</svg>'
    write(folder / "architecture.inc", STYLE + svg + "\n")


def _package(room):
    below = room.split(".")[1:]
    return below[0] if below and below[0] in {"_nn", "_engines", "_fit", "_checks", "_interop", "_dask"} else ""


def _chips(rooms, top):
    """A box with the name of each room, in rows; and the height of all."""
    chips, x, y = [], 22, top
    for room in rooms:
        name = room.removeprefix("skbackprop.") if room != "skbackprop" else "__init__"
        width = CHARACTER * len(name) + 16
        if x + width > WIDTH - 22:
            x, y = 22, y + ROW
        chips.append(f'<rect class="room" x="{x}" y="{y}" width="{width:.0f}" height="22" rx="4"/>')
        chips.append(f'<text x="{x + 8}" y="{y + 15}">{escape(name)}</text>')
        x += width + 8
    return chips, y + 22 - top


def _arrows(counts, bottoms):
    """An arrow between each two bands of which one imports the other, with the number of imports."""
    arrows = []
    for place, ((start, stop), n) in enumerate(sorted(counts.items())):
        down = start < stop
        y0 = bottoms[start][1] if down else bottoms[start][0]
        y1 = bottoms[stop][0] if down else bottoms[stop][1]
        x = 60 + place * (WIDTH - 120) / max(1, len(counts) - 1)
        arrows.append(f'<path class="arrow" d="M{x:.0f},{y0} L{x:.0f},{y1 - 3 if down else y1 + 3}"/>')
        arrows.append(f'<text x="{x + 6:.0f}" y="{(y0 + (14 if down else -6)):.0f}">{n}</text>')
    return arrows
