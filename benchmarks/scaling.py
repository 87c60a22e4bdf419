"""When do more machines pay? Seconds of a step on a cluster: measured, modelled, and what follows for large clusters.

    python benchmarks/scaling.py measure FOLDER     measures; needs Linux, and root for the networks
    python benchmarks/scaling.py show FOLDER        measured beside modelled

A step of B rows on P workers takes

    T(P) = t0 + B/P * t_row + edges(P) * 2 (L + S (1/V + 1/V_net)),    L = L0 + latency of the network

S bytes of weights go down a binary tree and as many of gradients come up; edges(P) are the messages, one after the
other, from the last worker to the root, where a second child waits for the first. t0 and t_row, of the computation,
come from runs on one worker; L0 and V, of the programs, from two of one machine with few rows. All else is predicted,
with one constant more for this machine: how much faster than one two workers compute together.
"""

import argparse
import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import sys
import warnings

import numpy as np
from network import Network

HERE = "one machine"
SIZES = {"small": (100,), "middle": (300, 300), "large": (1000, 1000)}
FEATURES, FEW, BATCH = 100, 64, 2048
STEPS = 16  # in an epoch
WORKERS = 1, 2, 4
REPEATS = 3
NETWORKS = {  # seconds one way, bytes a second out of each host
    "0.1 ms, 10 Gbit/s": (1e-4, 1.25e9),
    "0.1 ms, 1 Gbit/s": (1e-4, 1.25e8),
    "1 ms, 1 Gbit/s": (1e-3, 1.25e8),
}
FASTEST = 2e8  # bytes a second that the switch of network.py can carry


# ------------------------------------------------------------------------------------ measuring ----


def steps(clients, size, batch):
    """Median seconds of a step on each of some clusters, in turn, with as many rows on each worker."""
    import clusters
    import dask.array as da
    import distributed

    params = {**clusters.COMMON, "solver": "adam", "hidden_layer_sizes": SIZES[size], "batch_size": batch}
    n, fits = STEPS * batch, []
    for client in clients:
        n_workers = len(client.nthreads())
        X = da.random.default_rng(0).normal(size=(n, FEATURES), chunks=(-(-n // n_workers), FEATURES))
        X, y = client.persist([X.astype(np.float32), X[:, 0].astype(np.float32)])
        distributed.wait([X, y])
        fits.append(clusters.there(client, params, (X, y)))
    return clusters.step_seconds(fits, STEPS, REPEATS)


@contextlib.contextmanager
def local_client(n_workers):
    """Client of so many processes, with a thread each, on this machine."""
    import distributed

    with (
        distributed.LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def measure_local(works):
    """For each work the seconds with 1, 2 and 4 workers: three clusters, of which two are idle."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(local_client(n)) for n in WORKERS]
        return [steps(clients, *work) for work in works]


def measure_hosts(n_workers, works, latency, bandwidth):
    """The same on hosts of their own, joined by a network with a latency and a bandwidth."""
    module = [sys.executable, "-P", "-m"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with Network(n_workers + 1, latency, bandwidth) as network:
        scheduler = f"tcp://{network.address(0)}:8786"
        network.run(
            0, [*module, "distributed.cli.dask_scheduler", "--host", network.address(0), "--no-dashboard"], **quiet
        )
        for host in range(1, n_workers + 1):
            where = ["--host", network.address(host), "--nthreads", "1", "--no-nanny", "--no-dashboard"]
            network.run(host, [*module, "distributed.cli.dask_worker", scheduler, *where], **quiet)
        ask = [sys.executable, "-P", __file__, "client", scheduler, str(n_workers), json.dumps(works)]
        here = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent)}  # for the module network
        client = network.run(0, ask, stdout=subprocess.PIPE, text=True, env=here)
        return json.loads(client.communicate(timeout=400)[0].splitlines()[-1])


def client(arguments):
    """Inside a host: measure on the cluster there."""
    import distributed

    warnings.simplefilter("ignore")
    with distributed.Client(arguments.scheduler, timeout=30) as client:
        client.wait_for_workers(arguments.workers, timeout=60)
        print(json.dumps([steps([client], *work) for work in json.loads(arguments.works)]))


def measure(arguments):
    warnings.simplefilter("ignore")  # of graphs that hold data
    arguments.folder.mkdir(parents=True, exist_ok=True)
    works = [(size, batch) for size in SIZES for batch in (FEW, BATCH)]
    rows = []

    def note(where, n_workers, work, seconds):
        size, batch = work
        rows.append({"where": where, "workers": n_workers, "size": size, "batch": batch, "seconds": seconds})
        print(*rows[-1].values(), flush=True)

    for work, seconds in zip(works, measure_local(works), strict=True):
        for n_workers, s in zip(WORKERS, seconds, strict=True):
            note(HERE, n_workers, work, s)
    for where, link in NETWORKS.items():
        for n_workers in WORKERS[1:] if link[1] <= FASTEST else ():
            for work, (s,) in zip(works, measure_hosts(n_workers, works, *link), strict=True):
                note(where, n_workers, work, s)
    (arguments.folder / "scaling.json").write_text(json.dumps(rows, indent=1) + "\n")


# ------------------------------------------------------------------------------------ modelling ----


def n_bytes(size):
    """Of the weights of one of the networks, float32."""
    widths = [FEATURES, *SIZES[size], 1]
    return 4 * sum((a + 1) * b for a, b in itertools.pairwise(widths))


def edges(n_workers):
    """Messages, one after the other, that carry an array from the last worker to the root of a binary tree."""
    longest = [0] * n_workers
    for rank in range(1, n_workers):
        longest[rank] = longest[(rank - 1) // 2] + (1 if rank % 2 else 2)
    return max(longest)


class Model:
    """Seconds of a step: computing as measured on one worker, messages as measured between two of one machine."""

    def __init__(self, found):
        seconds = {(r["workers"], r["size"], r["batch"]): r["seconds"] for r in found if r["where"] == HERE}
        self.compute = {}
        for size in SIZES:
            few, many = (seconds[1, size, batch] for batch in (FEW, BATCH))
            t_row = (many - few) / (BATCH - FEW)
            self.compute[size] = few - FEW * t_row, t_row
        rounds = [seconds[2, size, FEW] - self.computing(size, FEW, 2) for size in SIZES]
        n = [n_bytes(size) for size in SIZES]
        slope, start = np.polyfit(n, rounds, 1, w=1.0 / np.asarray(rounds))  # there and back
        self.latency, self.speed = start / 2.0, 2.0 / slope
        # how much faster than one the workers of this machine compute together: they share its processors
        shared = [
            BATCH * t_row / (seconds[2, size, BATCH] - t0 - self.messages(size, edges(2)))
            for size, (t0, t_row) in self.compute.items()
        ]
        self.machine = float(np.median(shared))

    def computing(self, size, batch, processors):
        t0, t_row = self.compute[size]
        return t0 + t_row * batch / processors

    def messages(self, size, n, latency=0.0, bandwidth=np.inf):
        """Down and up n edges of the tree; latency one way and bandwidth of the network between the workers."""
        message = self.latency + latency + n_bytes(size) * (1.0 / self.speed + 1.0 / bandwidth)
        return 2.0 * n * message

    def step(self, size, batch, n_workers, latency=0.0, bandwidth=np.inf):
        """Seconds of a step on machines of their own."""
        messages = self.messages(size, edges(n_workers), latency, bandwidth)
        return self.computing(size, batch, n_workers) + messages

    def rows_worth(self, size, n_workers, latency=0.0, bandwidth=np.inf):
        """Rows of a minibatch from which on so many workers are half as fast together as so many times one."""
        t0, t_row = self.compute[size]
        messages = self.messages(size, edges(n_workers), latency, bandwidth)
        return ((n_workers - 2) * t0 + n_workers * messages) / t_row  # T(1) = T(P) P / 2, solved for B

    def step_here(self, size, batch, n_workers, latency=0.0, bandwidth=np.inf):
        """Seconds of one on this machine, whose processors all workers share.

        Without a network between them a message keeps both processors busy, and they come one by one.
        """
        n = n_workers - 1 if np.isinf(bandwidth) else edges(n_workers)
        processors = 1.0 if n_workers == 1 else self.machine
        return self.computing(size, batch, processors) + self.messages(size, n, latency, bandwidth)


def beside(found):
    """Steps with what the model says of them."""
    model = Model(found)
    for r in found:
        network = NETWORKS.get(r["where"], (0.0, np.inf))
        yield {**r, "model": model.step_here(r["size"], r["batch"], r["workers"], *network)}


def show(arguments):
    found = json.loads((arguments.folder / "scaling.json").read_text())
    model = Model(found)
    for size, (t0, t_row) in model.compute.items():
        print(f"{size}: t0 {1e3 * t0:.2f} ms, t_row {1e6 * t_row:.2f} us, {n_bytes(size) / 1e6:.2f} MB")
    print(f"L0 {1e3 * model.latency:.2f} ms, V {model.speed / 1e6:.0f} MB/s; this machine {model.machine:.2f} workers")
    for r in beside(found):
        print(
            f"{r['where']}: {r['workers']} workers, {r['size']}, {r['batch']} rows: {1e3 * r['seconds']:.2f} ms, "
            f"model {1e3 * r['model']:.2f} ms"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
