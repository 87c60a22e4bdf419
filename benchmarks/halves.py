"""How good is tabular_pipeline on tables that had no part in choosing its settings?

python benchmarks/halves.py run --data DIR --out FILE.csv            fits, and adds to FILE.csv what is not in it yet
python benchmarks/halves.py report FILE.csv ACCURACY.csv             what one half of the sets chooses, on the other

DIR, splits and ACCURACY.csv are those of accuracy.py. Every second set, by name, is in the first half; classification
and regression are taken apart. Each half chooses the setting with the lowest error, and the other half reports it: the
geometric mean over sets of the share of wrong labels, or of the squared error.
"""

import argparse
import pathlib

import accuracy
import numpy as np
import pandas as pd
from sklearn.metrics import r2_score

from skbackprop import tabular_pipeline

FIELDS = ["set", "task", "setting", "split", "accuracy", "log_loss", "r2"]
SETTINGS = {  # what could have been the default; the first one is
    "default": {},
    "4 bins": {"n_bins": 4},
    "16 bins": {"n_bins": 16},
    "decay 0.05": {"weight_decay": 0.05},
    "decay 0.5": {"weight_decay": 0.5},
    "decay 2": {"weight_decay": 2.0},
    "no dropout": {"dropout": 0.0},
    "dropout 0.2": {"dropout": 0.2},
    "one network": {"n_members": 1},
    "layers of 64": {"hidden_layer_sizes": (64, 64)},
    "half the rate": {"learning_rate_init": 0.0025},
    "twice the rate": {"learning_rate_init": 0.01},
    "beta_2 0.999": {"beta_2": 0.999},
    "no input scale": {"input_scale": False},
}
OURS = "tabular_pipeline"  # with what the other half chose
PEERS = ["HistGradientBoosting", "sklearn MLP", "RealMLP-TD-S"]


# ------------------------------------------------------------------------------------- fits ----


def measure(parts, seed, settings):
    """Accuracy and log loss, or R²."""
    X, X_test, y, y_test, task = parts
    kind = "classifier" if task == "clf" else "regressor"
    for setting in settings:
        model = tabular_pipeline(kind, **SETTINGS[setting], random_state=seed).fit(X, y)
        if task == "reg":
            yield setting, {"task": task, "r2": r2_score(y_test, model.predict(X_test))}
        else:
            found = accuracy.errors(model, X_test, y_test, task)
            yield setting, {"task": task, "accuracy": 1.0 - found["error"], "log_loss": found["loss"]}


def run(arguments):
    accuracy.fill(arguments, FIELDS, "setting", list(SETTINGS), measure)


# ----------------------------------------------------------------------------------- report ----


def halves(names):
    """Every second one, and the others."""
    names = sorted(names)
    return names[::2], names[1::2]


def choose(scores, names):
    """The setting with the lowest mean logarithm of the error on these sets; `scores` has sets by settings."""
    return np.log((1.0 - scores.loc[names]).clip(lower=1e-6)).mean().idxmin()


def cross(scores):
    """The choice of each half, by half; and for every set the score of what the other half chose."""
    first, second = halves(scores.index)
    choices = choose(scores, first), choose(scores, second)
    return choices, pd.concat([scores.loc[second, choices[0]], scores.loc[first, choices[1]]]).sort_index()


def changes(settings):
    """Logarithms of the errors beside the default's, by task and setting: means over the sets, and standard errors."""
    error = (1.0 - settings["accuracy"].fillna(settings["r2"])).clip(lower=1e-6)
    by_set = np.log(settings.assign(error=error).groupby(["task", "setting", "set"])["error"].mean())
    gaps = (by_set - by_set.xs("default", level="setting")).groupby(["task", "setting"])
    return gaps.mean(), gaps.sem()


def tasks(settings, peers):
    """By task: what each half chose, and sets by models of scores on splits that all have."""
    settings = settings.rename(columns={"setting": "model"})
    for task, score in (("clf", "accuracy"), ("reg", "r2")):
        ours, theirs = (
            rows[rows["task"] == task].pivot_table(score, ["set", "split"], "model") for rows in (settings, peers)
        )
        ours = ours[list(SETTINGS)].dropna()
        both = ours.index.intersection(theirs[PEERS].dropna().index)
        ours, theirs = (table.loc[both].groupby("set").mean() for table in (ours, theirs[PEERS]))
        choices, chosen = cross(ours)
        yield task, choices, theirs.assign(default=ours["default"], **{OURS: chosen})


def record(table, model, other):
    """Wins / ties / losses of one model against another."""
    gap = table[model] - table[other]
    counts = (gap > accuracy.TIE).sum(), (gap.abs() <= accuracy.TIE).sum(), (gap < -accuracy.TIE).sum()
    return " / ".join(map(str, counts))


def choices(crossed):
    """The tables of each half, and the setting that they chose, from the list of `tasks`."""
    rows = [
        [", ".join(names), setting]
        for _, settings, table in crossed
        for setting, names in zip(settings, halves(table.index), strict=True)
    ]
    return ["tables", "setting with the lowest error"], rows


def records(crossed):
    """Wins / ties / losses of what the other half chose, and mean ranks, from the list of `tasks`."""
    rows = []
    for task, _, table in crossed:
        ranks = table[[OURS, *PEERS]].round(4).rank(axis=1, ascending=False).mean().sort_values()
        text = ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.items())
        distance = accuracy.critical_difference(len(ranks), len(table))
        rows.append([accuracy.WORDS[task], *(record(table, OURS, peer) for peer in PEERS), text, f"{distance:.2f}"])
    columns = ["wins / ties / losses", *(f"against {peer}" for peer in PEERS), "mean ranks", "critical distance"]
    return columns, rows


def report(arguments):
    settings = pd.read_csv(arguments.csv)
    mean, error = changes(settings)
    print(pd.DataFrame({"change of the error": mean, "standard error": error}).round(3).to_string())
    crossed = list(tasks(settings, pd.read_csv(arguments.accuracy)))
    for columns, rows in (choices(crossed), records(crossed)):
        print(f"\n{pd.DataFrame(rows, columns=columns).T.to_string(header=False)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    accuracy.add_fits(commands, run)
    summary = commands.add_parser("report", help="choices and what they are worth")
    summary.add_argument("csv", type=pathlib.Path)
    summary.add_argument("accuracy", type=pathlib.Path)
    summary.set_defaults(command=report)
    accuracy.obey(parser)


if __name__ == "__main__":
    main()
