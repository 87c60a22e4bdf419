"""Speed and accuracy for the landing page, and which tables chose which settings."""

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
    for name in ("unseen", "accuracy"):
        columns, rows = headlines.table(headlines.measured(name))
        rows = [[cell.replace("`", "``") for cell in row] for row in rows]
        write(folder / f"{name}-caption.inc", listing(columns, rows))
    pictures = [
        draw.as_rst(f"made/unseen-{word}", f"Mean ranks of the models, {word}", "wide ranks")  # of write_accuracy
        for word in accuracy.WORDS.values()
    ]
    write(folder / "ranks.inc", "\n".join(pictures))
    crossed = headlines.crossed()
    texts = [*(listing(*make(crossed)) for make in (halves.choices, halves.records)), settings()]
    write(folder / "halves.inc", "\n".join(texts))


def settings():
    """The change by each setting, over all tables."""
    words = accuracy.WORDS
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
