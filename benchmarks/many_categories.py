"""Columns of many categories in tabular_pipeline: as categories, as mean targets, or as both.

OMP_NUM_THREADS=1 python benchmarks/many_categories.py [--rows 8000] [--draws 2]

Made data: five numbers of which four act, and one column of categories, of which each has about as many rows. A
category has a level of its own, and a slope by which the fifth number counts. The errors are 1 - R2 and the log loss on
4,000 new rows, means over the draws. Seconds are CPU time.
"""

import argparse
import time

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, r2_score

from skbackprop import tabular_pipeline

N_TEST = 4000
WAYS = {  # parameters of the step "table"
    "categories": {"max_categories": 10**9},
    "means": {"rows_per_category": None},
    "both": {"rows_per_category": 1},
}
EFFECTS = (0.0, 0.5, 1.0)  # standard deviations of the levels; all that the other columns add has one of 1.6
ROWS_PER_CATEGORY = (2, 5, 10, 20, 50, 200)


def draw(kind, n, n_categories, effect, seed):
    """A table and its targets."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    numbers = rng.permutation(n) % n_categories
    level, slope = effect * rng.normal(size=(2, n_categories))[:, numbers]
    f = X[:, 0] + np.sin(2 * X[:, 1]) + X[:, 2] * X[:, 3] + level + 0.5 * slope * X[:, 4]
    table = pd.DataFrame(X, columns=list("abcde")).assign(kind=pd.Categorical(np.char.add("k", numbers.astype(str))))
    return table, f + rng.normal(size=n) if kind == "regressor" else rng.random(n) < 1 / (1 + np.exp(-1.5 * f))


def measure(kind, way, X, y, n, seed):
    """CPU seconds of a fit to the first n rows, and the error on the others."""
    model = tabular_pipeline(kind, random_state=seed)
    model["table"].set_params(**WAYS[way])
    start = time.process_time()
    model.fit(X[:n], y[:n])
    seconds = time.process_time() - start
    if kind == "regressor":
        return seconds, 1.0 - r2_score(y[n:], model.predict(X[n:]))
    return seconds, log_loss(y[n:], model.predict_proba(X[n:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=8000, help="of training")
    parser.add_argument("--draws", type=int, default=2)
    args = parser.parse_args()
    n = args.rows
    print("kind, effect, rows per category: seconds and error of", ", ".join(WAYS))
    for kind in ("regressor", "classifier"):
        for effect in EFFECTS:
            for rows in ROWS_PER_CATEGORY:
                found = {way: [] for way in WAYS}
                for seed in range(args.draws):
                    X, y = draw(kind, n + N_TEST, n // rows, effect, seed)
                    for way in WAYS:
                        found[way].append(measure(kind, way, X, y, n, seed))
                means = (np.mean(found[way], axis=0) for way in WAYS)
                told = "   ".join(f"{seconds:5.2f} s {error:.4f}" for seconds, error in means)
                print(f"{kind:10} {effect:3} {rows:3}: {told}", flush=True)


if __name__ == "__main__":
    main()
