"""What a feature costs: fits of W1 of compare.py with and without it, in turn; and several members, and a selection.

The tables show ratios of medians.

python benchmarks/costs.py [--data DIR] [--repeats 9] [--epochs 3] [--out benchmarks/results/costs.json]
"""

import argparse
import json
import pathlib
import warnings
from functools import partial

import numpy as np
from compare import FOREVER, images, measure, noise

from skbackprop import MLPSoftmaxClassifier

VALIDATION, DOUBLE = "X_val, y_val: a tenth of the rows", "float64 in place of float32"
OPTIONS = {
    "plain": {},
    "dropout=0.2": {"dropout": 0.2},
    "class_weight='balanced'": {"class_weight": "balanced"},
    "sample_weight": {},
    "label_smoothing=0.1": {"label_smoothing": 0.1},
    "max_grad_norm=1": {"max_grad_norm": 1.0},
    "learning_rate='cosine'": {"learning_rate": "cosine", "n_iter_no_change": 10},
    VALIDATION: {},
    DOUBLE: {},
}
MEMBERS = 1, 2, 4, 8


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path, help="a JSON file for the seconds")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = images(arguments.data, 60_000)
    works = {
        "features": features(*rows, arguments.epochs),
        "members": members(arguments.epochs),
        "selection": selection(*rows),
    }
    found = {name: measure(runs, arguments.repeats) for name, runs in works.items()}
    for seconds in found.values():
        show(seconds)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def features(X, y, epochs):
    """Fits of W1, each with one more feature than the first."""
    w = np.random.default_rng(0).random(len(X))
    extra = {"sample_weight": {"sample_weight": w}, VALIDATION: {"X_val": X[:6_000], "y_val": y[:6_000]}}
    alike = {"learning_rate": "constant", "weight_decay": 0.0, "n_iter_no_change": FOREVER}
    alike |= {"batch_size": 200, "max_iter": epochs, "n_threads": 1, "random_state": 0}
    runs = {}
    for name, params in OPTIONS.items():
        model = MLPSoftmaxClassifier((100,), **{**alike, **params})
        rows = X.astype(np.float64) if name == DOUBLE else X
        runs[name] = partial(model.fit, rows, y, **extra.get(name, {}))
    return runs


def members(epochs):
    """Fits of so many members."""
    X, y = noise(10_000, 100)
    alike = {"batch_size": 128, "max_iter": epochs, "weight_decay": 0.5, "n_threads": 1}
    models = {f"n_members={k}": MLPSoftmaxClassifier((128, 128), n_members=k, **alike) for k in MEMBERS}
    return {name: partial(model.fit, X, y) for name, model in models.items()}


def selection(X, y):
    """Default fits without and with a selection for the decay, of as many epochs (by itself "auto" may choose more)."""
    models = {
        f"weight_decay={decay!r}": MLPSoftmaxClassifier((100,), weight_decay=decay, epochs=16, n_threads=1)
        for decay in (0.5, "auto")
    }
    return {name: partial(model.fit, X, y) for name, model in models.items()}


def show(seconds):
    first = next(iter(seconds.values()))
    print("| | seconds | against the first |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.3f} | {value / first:.3f} |")


if __name__ == "__main__":
    main()
