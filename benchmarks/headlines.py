"""What the README and the landing page say of speed and accuracy, from the files in benchmarks/results.

python benchmarks/headlines.py    draws the README's picture anew and puts what is measured now into its lines

The site's pages are made from the same files whenever they are built. tests/test_figures.py sees a README that is of
older results.
"""

import json
import pathlib
import re

import accuracy
import draw
import halves
import pandas as pd

README = pathlib.Path(__file__).parents[1] / "README.md"
PAIRS = {  # who is compared, and how the line begins
    "Default parameters, against scikit-learn's MLP": ("skbackprop", "sklearn MLP"),
    "`tabular_pipeline` against HistGradientBoosting": ("tabular_pipeline", "HistGradientBoosting"),
    "`tabular_pipeline` against LightGBM": ("tabular_pipeline", "LightGBM"),
    "`tabular_pipeline` against CatBoost": ("tabular_pipeline", "CatBoost"),
}


def measured(name):
    """Rows of accuracy/NAME.csv."""
    return pd.read_csv(draw.RESULTS / "accuracy" / f"{name}.csv")


def crossed():
    """By task: which settings the halves of the tables chose, and the scores with what the other half chose."""
    return list(halves.tasks(measured("halves"), measured("accuracy")))


def speed():
    """The processor, and how many times as long scikit-learn takes, on the pictured works."""
    processor = json.loads((draw.RESULTS / "1-thread" / "compare.json").read_text())["facts"].split(",")[0]
    ratios = [found["scikit-learn"] for found in draw.speed_ratios(draw.RESULTS).values()]
    return processor, f"scikit-learn takes {min(ratios):.1f} to {max(ratios):.1f} times as long"


def table(found):
    """Columns and rows: wins, ties and losses, mean ranks; classification and regression side by side."""
    models = list(dict.fromkeys(name for pair in PAIRS.values() for name in pair if (found["model"] == name).any()))
    pairs = {title: pair for title, pair in PAIRS.items() if set(pair) <= set(models)}
    columns, rows = ["Wins / ties / losses"], [[title] for title in pairs]
    last = [["Mean ranks"], ["Critical distance of mean ranks"], ["Worse than `tabular_pipeline` by more than that"]]
    for word, summary, scores, _ in accuracy.parts_of(found, models):
        columns.append(f"{word}, {len(scores)} tables")
        seconds, mean = summary["fit seconds (geometric mean)"], summary["mean rank"]
        for row, (mine, other) in zip(rows, pairs.values(), strict=True):
            counts = summary.loc[mine, f"against {other}"].replace("/", " / ")
            row.append(f"{counts}; relative fit time {seconds[mine] / seconds[other]:.2f}")
        distance = accuracy.critical_difference(len(mean), len(scores))
        last[0].append(", ".join(f"{name} {rank:.2f}" for name, rank in mean.items()))
        last[1].append(f"{distance:.2f}")
        last[2].append(", ".join(mean.index[mean > mean["tabular_pipeline"] + distance]) or "none")
    return columns, rows + last


def updated(text):
    """The README's text with the lines and numbers of today's results."""
    found = measured("unseen")
    columns, rows = table(found)
    lines = [[r"\| Wins / ties / losses \|.*", columns], *([rf"\| {re.escape(row[0])} \|.*", row] for row in rows)]
    changes = [(pattern, f"| {' | '.join(cells)} |") for pattern, cells in lines]
    changes += [
        (r"scikit-learn takes \S+ to \S+ times as long", speed()[1]),
        (r"On \d+ public tables", f"On {found['set'].nunique()} public tables"),
    ]
    for pattern, now in changes:
        text, n = re.subn(pattern, lambda _, now=now: now, text)
        if n != 1:
            raise ValueError(f"README.md has {n} places like {pattern!r} where {now!r} should stand")
    return text


def main():
    draw.draw_speed(draw.speed_ratios(draw.RESULTS), draw.README_PICTURE)
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
