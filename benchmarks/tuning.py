"""What does a search bring over the defaults of tabular_pipeline, and what does it cost?

python benchmarks/tuning.py run --data DIR --only concrete,segment --out FILE.csv     adds what is not in FILE.csv yet
python benchmarks/tuning.py report FILE.csv                                           a table

DIR and splits are those of accuracy.py; the search sees the training rows alone. Seconds are those of the processor,
one thread.
"""

import argparse
import pathlib
import time

import pandas as pd
from accuracy import errors, fill, obey
from scipy.stats import loguniform
from sklearn.model_selection import RandomizedSearchCV

from skbackprop import tabular_pipeline

FIELDS = ["set", "split", "model", "task", "rows", "cpu_seconds", "error", "loss"]
RANGES = {  # docs/user_guide/tuning.rst has the same
    "mlp__weight_decay": loguniform(0.02, 3.0),
    "mlp__learning_rate_init": loguniform(0.003, 0.03),
    "mlp__epochs": [12, 24, 40],
    "mlp__hidden_layer_sizes": [(64, 64), (128, 128), (256, 256)],
    "mlp__n_bins": [4, 16, 48],
    "mlp__dropout": [0.0, 0.1, 0.2],
}
MODELS = ["default", "best", "search"]


def make(model, task, seed, n_iter):
    kind = "classifier" if task == "clf" else "regressor"
    pipeline = tabular_pipeline(kind, effort="best" if model == "best" else "default", random_state=seed)
    if model != "search":
        return pipeline
    scoring = "neg_log_loss" if task == "clf" else "neg_mean_squared_error"
    return RandomizedSearchCV(pipeline, RANGES, n_iter=n_iter, cv=3, scoring=scoring, random_state=seed)


def run(arguments):
    def measure(parts, seed, models):
        X, X_test, y, y_test, task = parts
        for model in models:
            fitted = make(model, task, seed, arguments.n_iter)
            start = time.process_time()
            fitted.fit(X, y)
            found = {"task": task, "rows": len(y), "cpu_seconds": time.process_time() - start}
            yield model, found | errors(fitted, X_test, y_test, task)

    fill(arguments, FIELDS, "model", MODELS, measure)


def means(rows):
    """Of the splits, for each set and model."""
    return rows.groupby(["task", "set", "model"])[["rows", "cpu_seconds", "error", "loss"]].mean().unstack()


def report(arguments):
    """For each set seconds of each model, and errors and losses relative to the default's."""
    found = means(pd.read_csv(arguments.csv))
    table = found["cpu_seconds"][MODELS].round(1)
    for column in ("error", "loss"):
        for model in MODELS[1:]:
            table[f"{column} {model}"] = (found[column][model] / found[column]["default"]).round(3)
    print(table.to_string())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    fits, summary = commands.add_parser("run"), commands.add_parser("report")
    source = fits.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=pathlib.Path, help="folder of .npz files")
    source.add_argument("--openml", help="names of data sets, with commas between")
    fits.add_argument("--only", required=True, help="names, with commas between")
    fits.add_argument("--splits", default="0,1,2", help="seeds, with commas between")
    fits.add_argument("--max-train", type=int, default=10_000, help="most rows to train on")
    fits.add_argument("--n-iter", type=int, default=12, help="candidates of a search")
    fits.add_argument("--out", type=pathlib.Path, required=True, help="CSV file to add to")
    fits.set_defaults(command=run)
    summary.add_argument("csv", type=pathlib.Path)
    summary.set_defaults(command=report)
    obey(parser)


if __name__ == "__main__":
    main()
