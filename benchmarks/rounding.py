"""Could float64 tables be learned from in float32? How far predictions part where only the order of sums differs.

    python benchmarks/rounding.py [--out benchmarks/results/rounding.json]

"weighted": 15 rows of 30 numbers with weights 0..4, and the same rows repeated as often, which is what scikit-learn's
check_sample_weight_equivalence compares, to 1e-7: the largest relative difference of predictions, over five draws.
"another order": 10,000 rows of 30 numbers given in two orders, 200 steps on all rows at once: the largest difference of
probabilities. Seconds are those of the processor for a default fit of such rows.
"""

import argparse
import json
import pathlib
import time
import warnings

import numpy as np
from sklearn.datasets import make_classification

from skbackprop import MLPRegressor, MLPSoftmaxClassifier

DRAWS, STEPS = 5, 200


def weighted(kind, dtype):
    """Largest relative difference of a model of weighted rows and one of repeated rows."""
    found = []
    for seed in range(DRAWS):
        rng = np.random.RandomState(seed)
        X, y, w = rng.rand(15, 30), rng.randint(0, 3, 15), rng.randint(0, 5, 15)
        order = rng.permutation(w.sum())
        one = kind(random_state=0, dtype=dtype).fit(X, y, sample_weight=w)
        other = kind(random_state=0, dtype=dtype).fit(X.repeat(w, axis=0)[order], y.repeat(w)[order])
        p, q = (np.asarray(getattr(m, "predict_proba", m.predict)(X), dtype=np.float64) for m in (one, other))
        found.append(np.abs((p - q) / q).max())
    return max(found)


def another_order(X, y, dtype):
    """Largest difference of probabilities of models of the same rows in two orders."""
    settings = {"batch_size": len(y), "epochs": STEPS, "shuffle": False, "weight_decay": 0.5}
    order = np.random.RandomState(0).permutation(len(y))
    one, other = (
        MLPSoftmaxClassifier(**settings, random_state=0, dtype=dtype).fit(X[rows], y[rows])
        for rows in (slice(None), order)
    )
    return np.abs(one.predict_proba(X) - other.predict_proba(X)).max()


def seconds_of(X, y, dtype):
    """CPU seconds of a default fit, the least of three."""
    found = []
    for _ in range(3):
        start = time.process_time()
        MLPSoftmaxClassifier(random_state=0, dtype=dtype).fit(X, y)
        found.append(time.process_time() - start)
    return min(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, help="file of JSON")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    X, y = make_classification(10_000, 30, n_informative=15, n_classes=4, random_state=0)
    found = {
        dtype: {
            "classifier": weighted(MLPSoftmaxClassifier, dtype),
            "regressor": weighted(MLPRegressor, dtype),
            "another order": another_order(X, y, dtype),
            "seconds": seconds_of(X, y, dtype),
        }
        for dtype in ("float64", "float32")
    }
    text = json.dumps(found, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
