"""When do more machines pay? Seconds of a step on a cluster: measured, modelled, and what follows for large clusters.

    python benchmarks/scaling.py measure FOLDER     measures; needs Linux, and root for the networks
    python benchmarks/scaling.py show FOLDER        measured beside modelled

A step of B rows on P workers takes

    T(P) = t0 + B/P * t_row + edges(P) * (2 L + 2 S / V),    edges(P) from the last worker to the root of the tree

S bytes of weights go down a binary tree and gradients come up; L is the time of an empty message, V the bytes a second
that one worker's line and its copying carry. A worker with two children serves one after the other: an edge to the
second child costs S / V twice. t0 and t_row come from runs on one worker, L and V from runs on two.
"""

import argparse
import itertools
import json
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
from network import Network

HERE = pathlib.Path(__file__).parent
SIZES = {"small": (100,), "middle": (300, 300), "large": (1000, 1000)}
FEATURES, BATCH, STEPS = 100, 1024, 40
NETWORKS = {  # seconds one way, bytes a second out of each host
    "0.1 ms, 10 Gbit/s": (1e-4, 1.25e9),
    "0.1 ms, 1 Gbit/s": (1e-4, 1.25e8),
    "1 ms, 1 Gbit/s": (1e-3, 1.25e8),
}


# ------------------------------------------------------------------------------------ measuring ----


def step_seconds(client, hidden, batch, repeats=3):
    """Median seconds of a step: fits of two lengths, so that what a fit does once cancels out."""
    import dask.array as da
    from skbackprop.dask import DaskMLPRegressor

    n_workers = len(client.scheduler_info(n_workers=-1)["workers"])
    rng, n = np.random.default_rng(0), 4 * batch
    X = rng.normal(size=(n, FEATURES)).astype(np.float32)
    X, y = (client.persist(da.from_array(A, chunks=(-(-n // n_workers), *A.shape[1:]))) for A in (X, X[:, 0]))
    params = {"learning_rate": "constant", "n_iter_no_change": np.inf, "random_state": 0, "batch_size": batch}

    def fit(epochs):
        started = time.perf_counter()
        DaskMLPRegressor(hidden, client=client, max_iter=epochs, n_threads=1, **params).fit(X, y)
        return time.perf_counter() - started

    fit(1)
    few, many = 1, 1 + STEPS // 4
    return statistics.median((fit(many) - fit(few)) / (4 * (many - few)) for _ in range(repeats))


def measure_local(n_workers, works):
    import distributed

    with (
        distributed.LocalCluster(n_workers, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        return [step_seconds(client, SIZES[size], batch) for size, batch in works]


def measure_hosts(n_workers, works, latency, bandwidth):
    """The same on hosts of their own, joined by a network with a latency and a bandwidth."""
    dask = [sys.executable, "-P", "-m", "distributed.cli"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with Network(n_workers + 1, latency, bandwidth) as network:
        scheduler = f"tcp://{network.address(0)}:8786"
        network.run(
            0,
            [*dask[:3], "distributed.cli.dask_scheduler", "--host", network.address(0), "--no-dashboard"],
            **quiet,
        )
        for host in range(1, n_workers + 1):
            where = ["--host", network.address(host), "--nthreads", "1", "--no-nanny", "--no-dashboard"]
            network.run(host, [*dask[:3], "distributed.cli.dask_worker", scheduler, *where], **quiet)
        ask = [sys.executable, "-P", __file__, "client", scheduler, str(n_workers), json.dumps(works)]
        client = network.run(0, ask, stdout=subprocess.PIPE, text=True)
        return json.loads(client.communicate(timeout=400)[0].splitlines()[-1])


def client(arguments):
    """Inside a host: measure on the cluster there."""
    import distributed

    with distributed.Client(arguments.scheduler, timeout=30) as client:
        client.wait_for_workers(arguments.workers, timeout=60)
        print(
            json.dumps(
                [step_seconds(client, SIZES[size], batch) for size, batch in json.loads(arguments.works)]
            )
        )


def measure(arguments):
    arguments.folder.mkdir(parents=True, exist_ok=True)
    works = [(size, batch) for size in SIZES for batch in (64, BATCH)]
    rows = []
    for where, link in {"one machine": None, **NETWORKS}.items():
        for n_workers in (1, 2, 4):
            if link is not None and n_workers == 1:
                continue
            seconds = (
                measure_local(n_workers, works) if link is None else measure_hosts(n_workers, works, *link)
            )
            for (size, batch), s in zip(works, seconds, strict=True):
                rows.append(
                    {"where": where, "workers": n_workers, "size": size, "batch": batch, "seconds": s}
                )
                print(*rows[-1].values(), flush=True)
    (arguments.folder / "scaling.json").write_text(json.dumps(rows, indent=1) + "\n")


# ------------------------------------------------------------------------------------ modelling ----


def n_bytes(size):
    """Of the weights of one of the networks, float32."""
    widths = [FEATURES, *SIZES[size], 1]
    return 4 * sum((a + 1) * b for a, b in itertools.pairwise(widths))


def edges(n_workers):
    """Messages, one after the other, that carry an array from the last worker to the root of a binary tree."""
    longest = [0] * n_workers
    for rank in range(1, n_workers):  # the second child waits until the first has been served
        longest[rank] = longest[(rank - 1) // 2] + (1 if rank % 2 else 2)
    return max(longest)


def fit_model(rows):
    """t0 and t_row of each size, L and V of each network."""
    found = {(r["where"], r["workers"], r["size"], r["batch"]): r["seconds"] for r in rows}
    compute = {}
    for size in SIZES:
        few, many = found["one machine", 1, size, 64], found["one machine", 1, size, BATCH]
        t_row = (many - few) / (BATCH - 64)
        compute[size] = (few - 64 * t_row, t_row)
    links = {}
    for where in dict.fromkeys(r["where"] for r in rows):
        sizes = np.array([n_bytes(size) for size in SIZES])
        rounds = np.array([found[where, 2, size, 64] - step(compute[size], 64, 2) for size in SIZES])
        slope, start = np.polyfit(sizes, rounds, 1, w=1.0 / rounds)
        links[where] = (start / 2, 2.0 / slope)
    return compute, links


def step(compute, batch, n_workers, link=None, size=None):
    """Seconds of a step by the model."""
    t0, t_row = compute
    seconds = t0 + t_row * batch / n_workers
    if link is None or n_workers == 1:
        return seconds
    latency, speed = link
    return seconds + edges(n_workers) * (2 * latency + 2 * n_bytes(size) / speed)


def show(arguments):
    rows = json.loads((arguments.folder / "scaling.json").read_text())
    compute, links = fit_model(rows)
    for size, (t0, t_row) in compute.items():
        print(f"{size}: t0 {1e3 * t0:.2f} ms, t_row {1e6 * t_row:.2f} us, {n_bytes(size) / 1e6:.2f} MB")
    for where, (latency, speed) in links.items():
        print(f"{where}: L {1e3 * latency:.2f} ms, V {speed / 1e6:.0f} MB/s")
    for r in rows:
        link = links[r["where"]]
        said = step(compute[r["size"]], r["batch"], r["workers"], link, r["size"])
        print(
            r["where"],
            r["workers"],
            r["size"],
            r["batch"],
            f"{1e3 * r['seconds']:.2f} ms, model {1e3 * said:.2f} ms",
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = parser.add_subparsers(required=True)
    for task in (measure, show):
        sub = tasks.add_parser(task.__name__)
        sub.add_argument("folder", type=pathlib.Path)
        sub.set_defaults(task=task)
    inside = tasks.add_parser("client")
    inside.add_argument("scheduler")
    inside.add_argument("workers", type=int)
    inside.add_argument("works")
    inside.set_defaults(task=client)
    arguments = parser.parse_args()
    arguments.task(arguments)


if __name__ == "__main__":
    main()
