"""Speed and accuracy for the landing page, and which tables chose which settings."""

import functools

import accuracy
import draw
import halves
import headlines

from .files import listing, write

SPEED = """\
Time of one fit relative to skbackprop (1), with the same network, batches and epochs, in one process on one thread
({processor}). {times}. The gain is largest for small networks,
where the others spend much of their time between the operations. For wide networks, all are limited by the
multiply-adds of the processor. :doc:`benchmarks` has the method, and results for two threads and for predictions.
"""


def write_headlines(folder):
    """Speed and accuracy for the landing page."""
    processor, times = headlines.speed()
    write(folder / "speed-caption.inc", SPEED.format(processor=processor, times=times))
    crossed = headlines.crossed()
    columns, rows = headlines.table(crossed)
    rows = [[cell.replace("`", "``") for cell in row] for row in rows]
    write(folder / "accuracy-caption.inc", listing(columns, rows))
    write(folder / "halves.inc", choices(crossed) + "\n" + settings())
    pictures = []
    for task, _, scores in crossed:
        title = f"{headlines.WORDS[task].capitalize()}, settings chosen on other tables"
        drawn = functools.partial(accuracy.draw, halves.ranks(scores), title)
        draw.draw_themes(drawn, folder / f"ranks-{task}")
        pictures.append(draw.as_rst(f"made/ranks-{task}", f"Mean ranks. {title}", "wide ranks"))
    write(folder / "ranks.inc", "\n".join(pictures))


def choices(crossed):
    """Which setting each half chose, and the tables of the halves."""
    rows = []
    for _, settings, scores in crossed:
        for setting, names in zip(settings, halves.halves(scores.index), strict=True):
            rows.append([", ".join(names), setting])
    return listing(["tables", "setting with the lowest error"], rows)


def settings():
    """The change by each setting, over all tables."""
    words = headlines.WORDS
    mean, error = (100.0 * found for found in halves.changes(headlines.measured("halves")))
    rows = [
        [name, *(f"{mean[task, name]:+.1f} ± {error[task, name]:.1f} %" for task in words)]
        for name in halves.SETTINGS
        if name != "default"
    ]
    clear = mean.abs() > 2.0 * error
    names = ", ".join(f"{name} ({words[task]})" for task, name in mean.index[clear]) or "none"
    text = "Change of the error relative to the default, averaged over all tables of the task, with its standard "
    text += f"error. Changes of more than two standard errors: {names}."
    return f"{text}\n\n{listing(['setting', *words.values()], rows)}"
