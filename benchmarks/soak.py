"""Does anything grow, leak or differ when fits of all kinds follow each other for a long time?

python -P benchmarks/soak.py [--minutes 20] [--seed 0] [--kinds fit stream ...] [--out benchmarks/results/soak.json]

Rounds of random kinds in one process: fits with random parameters, predictions by several threads while another fits,
a fit in another process that is killed and goes on from its checkpoint, a fit of Shards, partial_fit of a pickled
model, and a fit on a cluster of two workers. Every kind has few variants, and each variant must bring the same bits
whenever it comes again (on the cluster: those of a local fit, to rounding). Memory, open files and threads of the
process, which is also the cluster's scheduler, are counted ten times. It ends at the first difference.
"""

import argparse
import collections
import hashlib
import json
import pathlib
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import dask.array as da
import distributed
import numpy as np

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.optimizers import OPTIMIZERS
from skbackprop.dask import DaskMLPRegressor
from skbackprop.data import Shards

VARIANTS = 12  # of each kind
KILLED = """
import sys, numpy as np
from skbackprop import MLPRegressor
rng = np.random.default_rng(int(sys.argv[1]))
X = rng.normal(size=(4000, 20)).astype(np.float32)
MLPRegressor((64, 64), epochs=12, weight_decay=0.1, random_state=0).fit(X, X[:, 0] * X[:, 1], checkpoint=sys.argv[2])
print("done")
"""


def rows(variant, n=1500):
    rng = np.random.default_rng(variant)
    X = rng.normal(size=(n, 12)).astype(rng.choice(["float32", "float64"]))
    return X, X[:, 0] * X[:, 1] + 0.1 * rng.normal(size=n)


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def model_of(variant, **params):
    """An estimator with parameters that follow from the variant."""
    choose = random.Random(variant)
    drawn = {
        "hidden_layer_sizes": choose.choice([(), (16,), (64, 64), (100, 30)]),
        "activation": choose.choice(sorted(ACTIVATIONS)),
        "solver": choose.choice([*OPTIMIZERS, "lbfgs"]),
        "dropout": choose.choice([0.0, 0.2]),
        "n_threads": choose.choice([1, 2]),
        "random_state": variant,
    }
    return MLPRegressor(**(drawn | params))


def fit(variant, _):
    X, y = rows(variant)
    return digest(*model_of(variant, max_iter=20).fit(X, y).coefs_)


def table(variant, _):
    X, y = rows(variant)
    pipeline = tabular_pipeline("classifier", random_state=variant, n_members=2, epochs=3).fit(X, y > 0)
    return digest(pipeline.predict_proba(X))


def predict_while_fitting(variant, _):
    X, y = rows(variant)
    model = MLPSoftmaxClassifier((32,), epochs=4, random_state=variant).fit(X, y > 0)
    found = [None] * 4

    def predict(k):
        found[k] = digest(model.predict_proba(X))

    threads = [threading.Thread(target=predict, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    other = MLPSoftmaxClassifier((32,), epochs=4, random_state=variant + 1).fit(X, y > 0)
    for thread in threads:
        thread.join()
    if len(set(found)) > 1:
        raise AssertionError(f"threads predicted different bits: {found}")
    return digest(model.predict_proba(X), other.predict_proba(X))


def stream(variant, _):
    X, y = rows(variant)
    model = MLPRegressor((24,), random_state=variant)
    for start in range(0, len(X), 300):
        model = pickle.loads(pickle.dumps(model)).partial_fit(X[start : start + 300], y[start : start + 300])
    return digest(*model.coefs_)


def shards(variant, _):
    X, y = rows(variant)
    blocks = Shards(X, y, memory=20_000)
    return digest(*MLPRegressor((24,), epochs=3, weight_decay=0.1, random_state=variant).fit(blocks).coefs_)


def killed(variant, _):
    """A fit that is killed at any moment and begun again brings the same file as one that nobody killed."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "run"
        command = [sys.executable, "-P", "-W", "ignore", "-c", KILLED, str(variant), str(path)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                process.wait(random.uniform(0.5, 4.0))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        X = np.random.default_rng(variant).normal(size=(4000, 20)).astype(np.float32)
        model = MLPRegressor((64, 64), epochs=12, weight_decay=0.1, random_state=0)
        return digest(*model.fit(X, X[:, 0] * X[:, 1], checkpoint=path).coefs_)


def on_cluster(variant, client):
    """The model of a local fit, to rounding: sums are in the order in which the workers have the blocks."""
    X, y = rows(variant)
    params = {"hidden_layer_sizes": (16,), "epochs": 3, "weight_decay": 0.1, "random_state": variant}
    with client.as_current():
        there = DaskMLPRegressor(**params).fit(da.from_array(X, (400, -1)), da.from_array(y, 400)).to_local()
    here = MLPRegressor(**params).fit(X, y)
    np.testing.assert_allclose(there.predict(X), here.predict(X), rtol=0, atol=1e-3)
    return digest(here.predict(X))


KINDS = {fit: 8, table: 3, predict_while_fitting: 3, stream: 3, shards: 3, killed: 1, on_cluster: 2}  # how often


def counts():
    """Resident megabytes, open files and threads of this process."""
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    files = len(list(pathlib.Path("/proc/self/fd").iterdir()))
    return {"megabytes": int(status["VmRSS"].split()[0]) // 1024, "files": files, "threads": int(status["Threads"])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=[kind.__name__ for kind in KINDS], help="all unless given")
    parser.add_argument("--out", type=pathlib.Path, help="file of JSON")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    random.seed(arguments.seed)
    kinds = {kind: often for kind, often in KINDS.items() if kind.__name__ in (arguments.kinds or kind.__name__)}
    seen, rounds, counted = {}, collections.Counter(), []
    started = time.monotonic()
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        while (passed := (time.monotonic() - started) / 60.0) < arguments.minutes:
            kind, variant = random.choices(list(kinds), list(kinds.values()))[0], random.randrange(VARIANTS)
            found = kind(variant, client)
            if seen.setdefault((kind.__name__, variant), found) != found:
                raise AssertionError(f"{kind.__name__}, variant {variant}: other bits than before")
            rounds[kind.__name__] += 1
            if passed > (len(counted) + 1) * arguments.minutes / 10.0:
                counted.append(counts())
        counted.append(counts())
    result = {"minutes": arguments.minutes, "rounds": dict(rounds), "counts": counted}
    print(json.dumps(result, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
