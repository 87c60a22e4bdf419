"""What a round of distributed training costs, and how well two workers share the work.

Three tables, for a LocalCluster of processes with one thread each:

tree        a bare round without a fit: broadcast and sum of float32 vectors by two ranks.
rounds      milliseconds that a step of a fit on two workers takes beyond one of a local fit, against the number of
            parameters, for minibatches so small that there is next to nothing to compute.
scaling     steps per second of two workers with one thread each, of one process with two threads and of one with
            one thread, when a step has much to compute; efficiency is the first against the second.

Medians of --repeats runs. Other work on the machine shows in all of them: measure when it is quiet.

python benchmarks/clusters.py [--repeats 5] [--steps 3000]
"""

import argparse
import os
import statistics
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import dask.array as da
import distributed
import numpy as np

from skbackprop import MLPRegressor
from skbackprop._dask.comms import Tree
from skbackprop._dask.memory import kept_memory
from skbackprop.dask import DaskMLPRegressor

WIDTHS = 32, 100, 310, 1000  # of two hidden layers, for networks of about 1e3, 1e4, 1e5 and 1e6 parameters
COMMON = {
    "learning_rate": "constant",
    "weight_decay": 0.0,
    "n_iter_no_change": np.inf,
    "random_state": 0,
    "solver": "sgd",
}


def data(n_rows, n_features=16):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    return X, X[:, 0].copy()


def seconds(fit, repeats):
    """Median time of a fit, after one that warms up."""
    fit()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        fit()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def per_step(make, X, y, steps, repeats, batch_size):
    """Seconds a step: of a long fit less a short one, so that starting and placing do not count."""
    epoch = len(X) // batch_size
    short, long = max(1, steps // epoch // 4), max(2, steps // epoch)
    times = [seconds(lambda n=n: make(n).fit(X, y), repeats) for n in (short, long)]
    return (times[1] - times[0]) / ((long - short) * epoch)


def rounds(client, steps, repeats):
    print("| parameters | ms a step, two workers | one process | ms a round |\n|---|---|---|---|")
    X, y = data(512)
    far = da.from_array(X, chunks=(256, -1)), da.from_array(y, chunks=256)
    for width in WIDTHS:
        params = {**COMMON, "hidden_layer_sizes": (width, width), "batch_size": 16}
        n = 16 * width + width * width + 3 * width + 1
        there = per_step(
            lambda k, p=params: DaskMLPRegressor(max_iter=k, client=client, **p),
            *far, steps, repeats, 16,
        )  # fmt: skip
        here = per_step(
            lambda k, p=params: MLPRegressor(max_iter=k, n_threads=1, **p), X, y, steps, repeats, 16
        )
        print(f"| {n:,} | {1e3 * there:.2f} | {1e3 * here:.2f} | {1e3 * (there - here):.2f} |", flush=True)


def exchange(rank, addresses, size, n):
    """Run as a task: rank 1 connects to rank 0 and they exchange vectors n times; seconds of each round."""
    worker = distributed.get_worker()
    tree = Tree(rank, 2, "benchmark", worker, lambda: True)
    mine = tree.open()
    variable = distributed.Variable(addresses)
    if rank == 0:
        variable.set(mine)
    tree.join({0: mine or variable.get(timeout=30)})
    vector, times = np.ones(size, dtype=np.float32), []
    with kept_memory():  # as in a fit
        for _ in range(n):
            started = time.perf_counter()
            theta = tree.broadcast(None, [vector])[1][0]
            tree.reduce([0.0, 0.0], theta + 1)
            times.append(time.perf_counter() - started)
    tree.close()
    return times


def tree(client, repeats):
    print("| float32 numbers | ms a round, median | 90 % |\n|---|---|---|")
    workers, found = sorted(client.nthreads()), []
    for size in (1_000, 10_000, 100_000, 1_000_000):
        times = []
        for k in range(repeats):
            name = f"benchmark-{size}-{k}"
            futures = [
                client.submit(exchange, rank, name, size, 200, workers=[w], pure=False)
                for rank, w in enumerate(workers)
            ]
            times += client.gather(futures)[0][20:]
            distributed.Variable(name, client=client).delete()
        print(
            f"| {size:,} | {1e3 * np.median(times):.2f} | {1e3 * np.quantile(times, 0.9):.2f} |", flush=True
        )
        found.append([size, float(np.median(times))])
    return found


def scaling(client, repeats):
    print("| batch | workers: steps/s | threads: steps/s | one thread | efficiency |\n|---|---|---|---|---|")
    X, y = data(8192, 256)
    far = da.from_array(X, chunks=(4096, -1)), da.from_array(y, chunks=4096)
    for batch_size in (512, 2048, 4096):
        params = {**COMMON, "hidden_layer_sizes": (512, 512), "batch_size": batch_size}
        steps = 120 * 512 // batch_size
        times = [
            per_step(
                lambda k, p=params: DaskMLPRegressor(max_iter=k, client=client, **p),
                *far, steps, repeats, batch_size,
            )
        ]  # fmt: skip
        times += [
            per_step(
                lambda k, p=params, n=n: MLPRegressor(max_iter=k, n_threads=n, **p),
                X, y, steps, repeats, batch_size,
            )
            for n in (2, 1)
        ]  # fmt: skip
        workers, threads, one = (1 / t for t in times)
        print(
            f"| {batch_size} | {workers:.1f} | {threads:.1f} | {one:.1f} | {workers / threads:.2f} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3000, help="of a fit in the first table")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    options = {"processes": True, "n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        tree(client, arguments.repeats)
        rounds(client, arguments.steps, arguments.repeats)
        scaling(client, arguments.repeats)


if __name__ == "__main__":
    main()
