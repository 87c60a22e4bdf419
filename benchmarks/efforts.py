"""What do the efforts of tabular_pipeline cost and bring, and do its intervals hold what they should?

python benchmarks/efforts.py run --data DIR --out FILE.csv             fits, and adds to FILE.csv what is not in it yet
python benchmarks/efforts.py intervals --data DIR --out FILE.csv       the same for intervals at 90 %
python benchmarks/efforts.py report FILE.csv INTERVALS.csv             tables

DIR and splits are those of accuracy.py. Seconds are those of the processor, one thread.
"""

import argparse
import pathlib
import time

import numpy as np
import pandas as pd
from accuracy import add_fits, errors, fill, obey
from sklearn.ensemble import HistGradientBoostingRegressor

from skbackprop import tabular_pipeline

FIELDS = ["set", "split", "effort", "task", "cpu_seconds", "error", "loss"]
INTERVAL_FIELDS = ["set", "split", "model", "rows", "coverage", "score", "cpu_seconds"]
EFFORTS = ["default", "quick", "best"]
MODELS = ["tabular_pipeline", "HistGradientBoosting"]
LEVEL = 0.9


def timed_fit(model, X, y):
    start = time.process_time()
    model.fit(X, y)
    return time.process_time() - start


def measure(parts, seed, efforts):
    """Seconds of a fit, share of wrong labels and log loss; of numbers the mean squared error for both."""
    X, X_test, y, y_test, task = parts
    for effort in efforts:
        model = tabular_pipeline("classifier" if task == "clf" else "regressor", effort=effort, random_state=seed)
        seconds = timed_fit(model, X, y)
        yield effort, {"task": task, "cpu_seconds": seconds} | errors(model, X_test, y_test, task)


def interval_score(low, high, y):
    """Width, and 2 / (1 - level) times the distance of targets that are outside (Gneiting and Raftery, 2007)."""
    beyond = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
    return np.mean(high - low + 2.0 / (1.0 - LEVEL) * beyond)


def measure_intervals(parts, seed, models):
    """Rows, coverage and score in standard deviations of the target, and seconds; nothing for labels."""
    X, X_test, y, y_test, task = parts
    for model in models if task == "reg" else ():
        if model == "tabular_pipeline":
            fitted = tabular_pipeline("regressor", oob_score=True, random_state=seed)
            seconds = timed_fit(fitted, X, y)
            low, high = fitted.predict(X_test, interval=LEVEL)[1].T
        else:
            seconds, bounds = 0.0, []
            for quantile in ((1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0):
                boosted = HistGradientBoostingRegressor(
                    loss="quantile", quantile=quantile, categorical_features="from_dtype", random_state=seed
                )
                seconds += timed_fit(boosted, X, y)
                bounds.append(boosted.predict(X_test))
            low, high = bounds
        covered = np.mean((low <= y_test) & (y_test <= high))
        score = interval_score(low, high, y_test) / np.std(y)
        yield model, {"rows": len(y_test), "coverage": covered, "score": score, "cpu_seconds": seconds}


def run(arguments):
    fill(arguments, FIELDS, "effort", EFFORTS, measure)


def run_intervals(arguments):
    fill(arguments, INTERVAL_FIELDS, "model", MODELS, measure_intervals)


def relative(rows):
    """By task and effort: changes against the default of seconds, error and loss, means over sets; standard errors."""
    columns = ["cpu_seconds", "error", "loss"]
    by_set = np.log(rows.set_index(["task", "set", "split", "effort"])[columns].clip(lower=1e-12))
    default = by_set.xs("default", level="effort")
    changes = by_set.sub(default).groupby(["task", "effort", "set"]).mean()
    grouped = changes.groupby(["task", "effort"])
    return np.exp(grouped.mean()), grouped.std() / np.sqrt(grouped.size().to_numpy()[:, None])


def summarise_intervals(rows):
    """By set and model: coverage and score, means over splits; and for how many splits the coverage is as asked."""
    slack = 3.0 * np.sqrt(LEVEL * (1.0 - LEVEL) / rows["rows"])
    rows = rows.assign(within=(rows["coverage"] - LEVEL).abs() <= slack)
    return rows.groupby(["set", "model"])[["coverage", "within", "score", "cpu_seconds"]].mean().unstack("model")


def report(arguments):
    means, errors = relative(pd.read_csv(arguments.csv))
    print(means.round(3).to_string(), errors.round(3).to_string(), sep="\n\n")
    table = summarise_intervals(pd.read_csv(arguments.intervals))
    print(table.round(3).to_string(), table.mean().round(3).to_string(), sep="\n\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, command in (("run", run), ("intervals", run_intervals)):
        add_fits(commands, command, name)
    summary = commands.add_parser("report")
    summary.add_argument("csv", type=pathlib.Path)
    summary.add_argument("intervals", type=pathlib.Path)
    summary.set_defaults(command=report)
    obey(parser)


if __name__ == "__main__":
    main()
