"""What a feature costs: fits of W1 of compare.py with and without it, in turn, and of networks of 1 to 8 members.

The tables show ratios of medians.

python benchmarks/costs.py [--data DIR] [--repeats 9] [--epochs 3]
"""

import argparse
import pathlib
import warnings
from functools import partial

import numpy as np
from compare import FOREVER, images, measure, noise

from skbackprop import MLPSoftmaxClassifier

OPTIONS = {
    "plain": {},
    "dropout=0.2": {"dropout": 0.2},
    'class_weight="balanced"': {"class_weight": "balanced"},
    "sample_weight": {},
    "label_smoothing=0.1": {"label_smoothing": 0.1},
    "max_grad_norm=1": {"max_grad_norm": 1.0},
    'learning_rate="cosine"': {"learning_rate": "cosine", "n_iter_no_change": 10},
    "X_val, y_val: a tenth of the rows": {},
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    X, y = images(arguments.data, 60_000)
    w = np.random.default_rng(0).random(len(X))
    extra = {
        "sample_weight": {"sample_weight": w},
        "X_val, y_val: a tenth of the rows": {"X_val": X[:6_000], "y_val": y[:6_000]},
    }
    runs = {}
    for name, params in OPTIONS.items():
        alike = {"learning_rate": "constant", "weight_decay": 0.0, "n_iter_no_change": FOREVER}
        model = MLPSoftmaxClassifier(
            (100,),
            batch_size=200,
            max_iter=arguments.epochs,
            n_threads=1,
            random_state=0,
            **{**alike, **params},
        )
        runs[name] = partial(model.fit, X, y, **extra.get(name, {}))
    show(measure(runs, arguments.repeats))
    X, y = noise(10_000, 100)
    runs = {
        f"{k} members of (128, 128)": partial(
            MLPSoftmaxClassifier(
                (128, 128),
                n_members=k,
                batch_size=128,
                max_iter=arguments.epochs,
                weight_decay=0.5,
                n_threads=1,
            ).fit,
            X,
            y,
        )
        for k in (1, 2, 4, 8)
    }
    show(measure(runs, arguments.repeats))


def show(seconds):
    first = next(iter(seconds.values()))
    print("| | seconds | against the first |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.3f} | {value / first:.3f} |")


if __name__ == "__main__":
    main()
