"""What do the efforts of tabular_pipeline cost and bring, and do its intervals hold what they should?

python benchmarks/efforts.py run --data DIR --out FILE.csv            fits, and adds to FILE.csv what is not in it yet
python benchmarks/efforts.py intervals --data DIR --out FILE.csv      the same for intervals at 90 %
python benchmarks/efforts.py report FILE.csv INTERVALS.csv            tables

DIR and splits are those of accuracy.py. Seconds are those of the processor, one thread.
"""

import argparse
import csv
import pathlib
import time
import warnings

import numpy as np
import pandas as pd
import threadpoolctl
from accuracy import data_sets, split
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error

from skbackprop import tabular_pipeline

FIELDS = ["set", "task", "effort", "split", "cpu_seconds", "error", "loss"]
INTERVAL_FIELDS = ["set", "model", "split", "rows", "coverage", "score", "cpu_seconds"]
EFFORTS = ["default", "quick", "best"]
LEVEL = 0.9


def timed_fit(model, X, y):
    start = time.process_time()
    model.fit(X, y)
    return time.process_time() - start


def measure(data, effort, seed, max_train):
    """Seconds of a fit, and share of wrong labels and log loss, or twice the mean squared error."""
    X, X_test, y, y_test, task = split(data, seed, max_train)
    name = "classifier" if task == "clf" else "regressor"
    model = tabular_pipeline(name, effort=effort, random_state=seed)
    seconds = timed_fit(model, X, y)
    if task == "reg":
        error = mean_squared_error(y_test, model.predict(X_test))
        return task, seconds, error, error
    p = model.predict_proba(X_test)
    wrong = 1.0 - accuracy_score(y_test, model.classes_[p.argmax(axis=1)])
    return task, seconds, wrong, log_loss(y_test, p, labels=model.classes_)


def interval_score(low, high, y):
    """Width, and 2 / (1 - level) times the distance of targets that are outside (Gneiting and Raftery, 2007)."""
    beyond = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
    return np.mean(high - low + 2.0 / (1.0 - LEVEL) * beyond)


def measure_intervals(data, model, seed, max_train):
    """Rows, coverage and score in standard deviations of the target, and seconds."""
    X, X_test, y, y_test, _ = split(data, seed, max_train)
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
    return len(y_test), covered, interval_score(low, high, y_test) / np.std(y), seconds


def run(arguments, fields, names, task_of, one):
    """Add a line for each set, split and name that the file lacks."""
    done = set()
    if arguments.out.exists():
        with arguments.out.open() as file:
            done = {(row[fields[0]], row[names[0]], row["split"]) for row in csv.DictReader(file)}
    with arguments.out.open("a", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow(fields)
        for name, load in data_sets(arguments):
            data = load()
            if task_of is not None and data[2] != task_of:
                continue
            for seed in arguments.splits.split(","):
                for value in names[1]:
                    if (name, value, seed) not in done:
                        writer.writerow(one(name, data, value, int(seed)))
                        file.flush()
