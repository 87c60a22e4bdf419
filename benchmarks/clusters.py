"""What a round of distributed training costs, and how well two workers share the work.

Three tables, for a LocalCluster of processes with one thread each:

tree        a bare round without a fit: broadcast and sum of float32 vectors by two ranks.
rounds      milliseconds that a step of a fit on two workers takes beyond one of a local fit, against the number of
            parameters, for minibatches so small that there is next to nothing to compute.
scaling     steps per second of two workers with one thread each, of one process with two threads and of one with
            one thread, when a step has much to compute; efficiency is the first against the second.

Medians of --repeats runs. Other work on the machine shows in all of them: measure when it is quiet.

python -P benchmarks/clusters.py [--repeats 5] [--out benchmarks/results/scaling/clusters.json]
"""

import argparse
import json
import os
import pathlib
import statistics
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import dask.array as da
import distributed
import numpy as np

from skbackprop import MLPRegressor
from skbackprop._dask.collectives import Communicator
from skbackprop._dask.worker import kept_memory
from skbackprop.dask import DaskMLPRegressor

WIDTHS = 32, 100, 310, 1000  # of two hidden layers, for networks of about 1e3, 1e4, 1e5 and 1e6 parameters
BATCHES = 512, 2048, 4096
LONG = 2.0  # seconds by which a long fit takes longer than a short one
COMMON = {
    "learning_rate": "constant",
    "weight_decay": 0.0,
    "n_iter_no_change": np.inf,
    "random_state": 0,
    "solver": "sgd",
}


def data(n_rows, n_features=16):
    """Rows of this process, and the same in two partitions."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    y, chunk = X[:, 0].copy(), n_rows // 2
    return (X, y), (da.from_array(X, chunks=(chunk, -1)), da.from_array(y, chunks=chunk))


def seconds(fit, epochs):
    started = time.perf_counter()
    fit(epochs)
    return time.perf_counter() - started


def long_enough(fit):
    """Epochs of a fit that takes LONG seconds more than one of a single epoch."""
    seconds(fit, 1)  # warms up
    short, epochs = seconds(fit, 1), 2
    while (longer := seconds(fit, epochs) - short) < LONG:
        epochs = min(8 * epochs, 1 + int(1.3 * LONG * (epochs - 1) / max(longer, LONG / 20)))
    return epochs


def step_seconds(fits, epoch, repeats):
    """Median seconds of a step of several fits, in turn; of long ones less short ones: what is done once cancels out.

    Each is a function of the number of epochs, of `epoch` steps each.
    """
    times, longs = {fit: [] for fit in fits}, {fit: long_enough(fit) for fit in fits}
    for _ in range(repeats):
        for fit, n in longs.items():
            times[fit].append((seconds(fit, n) - seconds(fit, 1)) / (epoch * (n - 1)))
    return [statistics.median(found) for found in times.values()]


def there(client, params, rows):
    """A fit on the cluster, of so many epochs."""
    return lambda n: DaskMLPRegressor(max_iter=n, client=client, n_threads=1, **params).fit(*rows)


def here(n_threads, params, rows):
    """One in this process."""
    return lambda n: MLPRegressor(max_iter=n, n_threads=n_threads, **params).fit(*rows)


def rounds(client, repeats):
    print("| parameters | ms a step, two workers | one process | ms a round |\n|---|---|---|---|")
    (near, far), found = data(512), []
    for width in WIDTHS:
        params = {**COMMON, "hidden_layer_sizes": (width, width), "batch_size": 16}
        n = 16 * width + width * width + 3 * width + 1
        both = step_seconds([there(client, params, far), here(1, params, near)], 512 // 16, repeats)
        found.append([n, *both])
        two, one = (1e3 * step for step in both)
        print(f"| {n:,} | {two:.2f} | {one:.2f} | {two - one:.2f} |", flush=True)
    return found


def exchange(rank, addresses, size, n):
    """Run as a task: rank 1 connects to rank 0 and they exchange vectors n times; seconds of each round."""
    worker = distributed.get_worker()
    comm = Communicator(rank, 2, "benchmark", worker, lambda: True)
    mine = comm.open()
    variable = distributed.Variable(addresses)
    if rank == 0:
        variable.set(mine)
    comm.join({0: mine or variable.get(timeout=30)})
    vector, times = np.ones(size, dtype=np.float32), []
    with kept_memory():  # as in a fit
        for _ in range(n):
            started = time.perf_counter()
            theta = comm.broadcast(None, [vector])[1][0]
            comm.reduce([0.0, 0.0], theta + 1)
            times.append(time.perf_counter() - started)
    comm.close()
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
        print(f"| {size:,} | {1e3 * np.median(times):.2f} | {1e3 * np.quantile(times, 0.9):.2f} |", flush=True)
        found.append([size, float(np.median(times)), float(np.quantile(times, 0.9))])
    return found


def scaling(client, repeats):
    print("| batch | workers: steps/s | threads: steps/s | one thread | efficiency |\n|---|---|---|---|---|")
    (near, far), found = data(8192, 256), []
    for batch_size in BATCHES:
        params = {**COMMON, "hidden_layer_sizes": (512, 512), "batch_size": batch_size}
        fits = [there(client, params, far), *(here(n, params, near) for n in (2, 1))]
        found.append([batch_size, *step_seconds(fits, 8192 // batch_size, repeats)])
        workers, threads, one = (1 / step for step in found[-1][1:])
        efficiency = workers / threads
        print(f"| {batch_size} | {workers:.1f} | {threads:.1f} | {one:.1f} | {efficiency:.2f} |", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, help="a JSON file for the seconds")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    options = {"processes": True, "n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options, silence_logs=50) as cluster, distributed.Client(cluster) as client:
        found = {table.__name__: table(client, arguments.repeats) for table in (tree, rounds, scaling)}
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
