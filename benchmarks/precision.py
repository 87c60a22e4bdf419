"""Could float64 tables be learned from in float32? How far predictions part where only the order of sums differs.

    python benchmarks/precision.py

"weighted": 15 rows of 30 numbers with weights 0..4, and the same rows repeated as often, which is what scikit-learn's
check_sample_weight_equivalence compares, to 1e-7: the largest relative difference of predictions, over five draws.
"another order": 10,000 rows of 30 numbers given in two orders, 200 steps on all rows at once: the largest difference of
probabilities. Both in float64, in float32, and, by the reference engine, in float64 but for matrix products in float32:
all of them, or only those of the forward pass.
"""

import contextlib
import time
import warnings
from unittest import mock

import numpy as np
from sklearn.datasets import make_classification

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._engines import reference

DRAWS, STEPS = 5, 200
WAYS = {
    "float64": {"dtype": "float64"},
    "float32": {"dtype": "float32"},
    "float64, all products float32": {"dtype": "float64", "engine": "reference"},
    "float64, forward products float32": {"dtype": "float64", "engine": "reference"},
}


class Single(np.ndarray):
    """Numbers of float64 whose matrix products are computed in float32."""

    def __matmul__(self, other):
        return single(np.asarray(self, np.float32) @ np.asarray(other, np.float32))

    def __rmatmul__(self, other):
        return single(np.asarray(other, np.float32) @ np.asarray(self, np.float32))


def single(array):
    return np.asarray(array, dtype=np.float64).view(Single)


def in_single(name):
    """Let the reference engine's `forward` or `backward` compute its products in float32."""
    function = getattr(reference, name)

    def rounded(xp, network, P, rows, *more):
        if name == "forward":
            layers = function(xp, network, P, single(rows), *more)
            return tuple([np.asarray(array) for array in part] for part in layers)
        layers = tuple([single(array) for array in part] for part in rows)
        return tuple([np.asarray(array) for array in part] for part in function(xp, network, P, layers, *more))

    return mock.patch.object(reference, name, rounded)


def computing(way):
    stack = contextlib.ExitStack()
    for name in ("forward", "backward"):
        if "products" in way and (name in way or "all" in way):
            stack.enter_context(in_single(name))
    return stack


def weighted(kind, params):
    """Largest relative difference of a model of weighted rows and one of repeated rows."""
    found = []
    for seed in range(DRAWS):
        rng = np.random.RandomState(seed)
        X, y, w = rng.rand(15, 30), rng.randint(0, 3, 15), rng.randint(0, 5, 15)
        order = rng.permutation(w.sum())
        one = kind(random_state=0, **params).fit(X, y, sample_weight=w)
        other = kind(random_state=0, **params).fit(X.repeat(w, axis=0)[order], y.repeat(w)[order])
        p, q = (np.asarray(getattr(m, "predict_proba", m.predict)(X), dtype=np.float64) for m in (one, other))
        found.append(np.abs((p - q) / q).max())
    return max(found)


def another_order(X, y, params):
    """Largest difference of probabilities of models of the same rows in two orders, and the CPU seconds of one fit."""
    settings = {"batch_size": len(y), "epochs": STEPS, "shuffle": False, "weight_decay": 0.5, "random_state": 0}
    order = np.random.RandomState(0).permutation(len(y))
    one, other = (MLPSoftmaxClassifier(**settings, **params).fit(X[rows], y[rows]) for rows in (slice(None), order))
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
    warnings.simplefilter("ignore")
    X, y = make_classification(10_000, 30, n_informative=15, n_classes=4, random_state=0)
    print("computed in: weighted, classifier; weighted, regressor; another order")
    for way, params in WAYS.items():
        with computing(way):
            found = [weighted(kind, params) for kind in (MLPSoftmaxClassifier, MLPRegressor)]
            found.append(another_order(X, y, params))
        print(f"{way}: " + "; ".join(f"{value:.0e}" for value in found), flush=True)
    double, single_ = (seconds_of(X, y, dtype) for dtype in ("float64", "float32"))
    print(f"a default fit of 10,000 rows: {double:.2f} s in float64, {single_:.2f} s in float32")


if __name__ == "__main__":
    main()
