"""What becomes of a fit on a cluster when workers die, clients leave, schedulers go down, and strangers call."""

import asyncio
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from listeners import Silent
from numpy.testing import assert_allclose

from skbackprop import MLPRegressor, MLPSoftmaxClassifier

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
psutil = pytest.importorskip("psutil")  # of distributed

from distributed.comm import connect  # noqa: E402
from distributed.comm.addressing import parse_host_port  # noqa: E402
from distributed.protocol import dumps  # noqa: E402
from distributed.protocol.serialize import ToPickle  # noqa: E402
from distributed.protocol.utils import pack_frames  # noqa: E402

from skbackprop._dask import client as client_room  # noqa: E402
from skbackprop._dask import collectives, placement  # noqa: E402
from skbackprop.dask import DaskMLPRegressor, DaskMLPSoftmaxClassifier, WorkerLostError  # noqa: E402

PATIENCE = 120.0  # seconds after which what has not happened never will
LEASE = 5.0  # seconds after which the locks of a client that died run out (Dask's default: 30)
TOLERANCE = 1e-6  # as in test_dask.py
# hours, if nothing ends it
ENDLESS = {"max_iter": 10**6, "learning_rate": "constant", "n_iter_no_change": np.inf, "random_state": 0}
PROCESSES = {"processes": True, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of Dask's own, when a cluster goes down
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:L-BFGS stopped"),
    pytest.mark.filterwarnings("ignore:Training stopped at max_iter"),
]


def rows(n=600):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 6))
    return X, X[:, 0] - X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=n)


def collections(n=600, chunk=60):
    X, y = rows(n)
    return da.from_array(X, chunks=(chunk, -1)), da.from_array(y, chunks=chunk)


@pytest.fixture
def cluster():
    """Three worker processes, which a nanny starts anew when they die."""
    with distributed.LocalCluster(n_workers=3, **PROCESSES) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


def pids(client):
    return list(client.run(os.getpid).values())


def ranks(client):
    """Workers that run a part of a fit."""
    busy = client.processing()
    return [worker for worker, keys in busy.items() if any("skbackprop" in str(key) for key in keys)]


def kill_rank(client, number):
    """Kill the worker that runs one of the ranks."""
    victims = ranks(client)
    (pid,) = client.run(os.getpid, workers=[victims[number % len(victims)]]).values()
    os.kill(pid, signal.SIGKILL)


def kill_rank_after(seconds, client, number):
    """So long after the ranks run: at any moment of a fit."""

    def kill():
        wait_until(lambda: ranks(client))  # the first fit imports things
        time.sleep(seconds)
        kill_rank(client, number)

    threading.Thread(target=kill, daemon=True).start()


def wait_until(is_so):
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, "it never was"
        time.sleep(0.05)


class At(Silent):
    """Does something at the end of an epoch, once, while all ranks wait for it."""

    def __init__(self, number, deed):
        self.number, self.deed, self.n_epochs = number, deed, 0

    def on_fit_task_end(self, estimator, context):
        self.n_epochs += context.task_name == "epoch"
        if context.task_name == "epoch" and self.n_epochs == self.number:
            self.deed()


def at_epoch(model, number, deed):
    """The model, with such a callback."""
    pytest.importorskip("sklearn.callback")
    return model.set_callbacks(At(number, deed))


def is_quiet(client, within=PATIENCE):
    """No task of a fit is left on scheduler or workers, and no queue of it."""

    def on_scheduler(dask_scheduler):
        queues = dask_scheduler.extensions["queues"].queues
        return [str(name) for name in [*queues, *dask_scheduler.tasks] if "skbackprop" in str(name)]

    def on_worker(dask_worker):
        return [str(key) for key, task in dask_worker.state.tasks.items() if task.state != "forgotten"] + [
            *map(str, dask_worker.active_keys if hasattr(dask_worker, "active_keys") else [])
        ]

    until = time.monotonic() + within
    while time.monotonic() < until:
        left = [client.run_on_scheduler(on_scheduler), *client.run(on_worker).values()]
        if not any(left):
            return True
        time.sleep(0.1)
    print(left)
    return False


# -------------------------------------------------------------------------------- strangers ----


class _Worker:
    """As much of a worker as a tree of ranks looks at."""

    def __init__(self, address, security):
        self.address, self.security = address, security


@pytest.mark.parametrize("hello", [["wrong", 1], ["token", 5], ["token"], 7, "token", None])
def test_a_listener_turns_strangers_away(hello):
    tree = collectives.Communicator(0, 2, "token", _Worker("tcp://127.0.0.1:1", distributed.Security()), lambda: True)
    address = tree.open()
    assert address.startswith("tcp://127.0.0.1:")  # where the worker is, and nowhere else

    async def call():
        comm = await connect(address, deserialize=False)
        await comm.write(hello)
        with pytest.raises(collectives.CommClosedError):
            await comm.read()
        return True

    try:
        assert tree._run(asyncio.wait_for(call(), PATIENCE))
        assert not tree._comms
    finally:
        tree.close()


class Bomb:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def sized(message):
    """A message as Dask's comms write it: a bomb in it is pickled, and unpickled by whoever reads it with them."""
    content = pack_frames(dumps(message))
    return struct.pack("Q", len(content)) + content


HANDSHAKE = sized({"compression": None, "python": (3, 11, 0), "pickle-protocol": 5})
HUGE = struct.pack("Q", 2**62)
STRANGERS = {  # what they send first
    "a bomb": lambda bomb: sized(bomb),
    "a bomb in the handshake": lambda bomb: sized({"compression": bomb, "pickle-protocol": 5}),
    "a bomb in the hello": lambda bomb: HANDSHAKE + sized([bomb, 1]),
    "a bomb beside the token": lambda bomb: HANDSHAKE + sized(["token", bomb]),
    "a bomb behind the hello": lambda bomb: HANDSHAKE + sized(["token", 1, bomb]),
    "another token": lambda bomb: HANDSHAKE + sized(["nekot", 1]),
    "a short token": lambda bomb: HANDSHAKE + sized(["", 1]),
    "a long token": lambda bomb: HANDSHAKE + sized(["token" * 1000, 1]),
    "the number of nobody's child": lambda bomb: HANDSHAKE + sized(["token", 7]),
    "more bytes than a hello has": lambda bomb: HANDSHAKE + HUGE + sized(["token", 1]),
    "more bytes than a handshake has": lambda bomb: HUGE + HANDSHAKE,
    "more frames than there are": lambda bomb: struct.pack("QQ", 8, 2**62),
    "noise": lambda bomb: random.Random(0).randbytes(5000),
    "text": lambda bomb: b"GET / HTTP/1.1\r\n\r\n",
    "a part": lambda bomb: HANDSHAKE[:-3],
    "a handshake alone": lambda bomb: HANDSHAKE,
    "nothing": lambda bomb: b"",
}


def security():
    return _Worker("tcp://127.0.0.1:1", distributed.Security())


@pytest.mark.parametrize("name", STRANGERS)
def test_nothing_that_a_stranger_sends_is_unpickled(name, tmp_path, monkeypatch):
    """It is hung up on, at the latest when it should have said who it is."""
    monkeypatch.setattr(collectives, "HELLO_SECONDS", 0.2)
    tree = collectives.Communicator(0, 2, "token", security(), lambda: True)
    host, port = parse_host_port(tree.open().removeprefix("tcp://"))

    async def call():
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(STRANGERS[name](ToPickle(Bomb(tmp_path / "trace"))))
        with suppress(ConnectionError):  # it may be hung up on while it still talks
            await reader.read()  # to the end
        writer.close()
        return True

    try:
        assert tree._run(asyncio.wait_for(call(), PATIENCE))
        assert not tree._comms
        assert not (tmp_path / "trace").exists()
    finally:
        tree.close()


def test_nothing_that_a_false_parent_sends_is_unpickled(tmp_path):
    """Neither a handshake, nor what comes after it."""
    bomb = ToPickle(Bomb(tmp_path / "trace"))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.sendall(sized({"compression": bomb, "pickle-protocol": 5}) + sized([bomb, bomb]))
                while connection.recv(1000):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        tree = collectives.Communicator(1, 2, "token", security(), lambda: True)
        try:
            tree.open()
            tree.join({0: f"tcp://127.0.0.1:{server.getsockname()[1]}"})
            with pytest.raises(ValueError, match="extra data"):  # msgpack, of what it takes for a head
                tree.broadcast()
        finally:
            tree.close()
        thread.join()
    assert not (tmp_path / "trace").exists()


def besiege(address, trace, opened):
    """Call like all strangers at once, and stay on the line."""
    host, port = parse_host_port(address.removeprefix("tcp://"))
    for send in STRANGERS.values():
        with suppress(OSError):  # nobody listens there any more
            caller = socket.create_connection((host, port))
            opened.append(caller)
            caller.sendall(send(ToPickle(Bomb(trace))))


@pytest.mark.parametrize("besieged", [False, True])
def test_a_tree_of_ranks_adds_up_gathers_and_scatters(besieged, tmp_path):
    """Five ranks, three of them two levels down; nothing of them is in one place. Strangers change nothing."""
    n, results, opened = 5, {}, []
    trees = [collectives.Communicator(k, n, "token", security(), lambda: True) for k in range(n)]
    addresses = {k: tree.open() for k, tree in enumerate(trees)}
    if besieged:
        for k in (0, 1):
            besiege(addresses[k], tmp_path / "trace", opened)

    def act(k):
        tree = trees[k]
        tree.join(addresses)
        facts, (theta,) = tree.broadcast("hello", [np.arange(3.0)]) if k == 0 else tree.broadcast()
        sums = tree.reduce([1.0, float(k)], None if k == 1 else theta + k)
        gathered = tree.gather(k, [np.full(k, k)])
        mine = tree.scatter([(str(j), [np.array(["é"] * j)]) for j in range(n)] if k == 0 else ())
        results[k] = facts, sums, gathered, mine
        tree.close()

    threads = [threading.Thread(target=act, args=(k,)) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    for caller in opened:
        caller.close()
    assert [results[k][0] for k in range(n)] == ["hello"] * n
    numbers, total = results[0][1]
    assert numbers == [5.0, 10.0]
    assert_allclose(total, 4 * np.arange(3.0) + 9, rtol=0)
    assert [(k, len(arrays[0])) for k, arrays in results[0][2]] == [(k, k) for k in range(n)]
    assert [(results[k][3][0], results[k][3][1][0].tolist()) for k in range(n)] == [
        (str(k), ["é"] * k) for k in range(n)
    ]
    assert not (tmp_path / "trace").exists()


def test_what_crosses_the_wire_is_the_same_there():
    """Arrays of all kinds and sizes, also none, and numbers of NumPy among the facts."""
    trees = [collectives.Communicator(k, 2, "token", security(), lambda: True) for k in range(2)]
    addresses, heard = {k: tree.open() for k, tree in enumerate(trees)}, []
    arrays = [np.arange(100_000), np.zeros((3, 0)), np.ones((2, 3, 4), np.float32)[:, ::2], np.array(["é", "ab"])]
    arrays += [np.array([True, False]), np.array([1j]), np.array(["2026-01-01"], "M8[D]"), np.arange(4.0)[::-1]]
    facts = {"a": [1, 2.5, None, "é", (True, [])], "b": [np.float64(0.5), np.int64(7), np.bool_(True)]}

    def act():
        trees[1].join(addresses)
        heard.append(trees[1].broadcast())
        trees[1].close()

    thread = threading.Thread(target=act)
    thread.start()
    trees[0].join(addresses)
    trees[0].broadcast(facts, arrays)
    thread.join(PATIENCE)
    trees[0].close()
    ((told, received),) = heard
    assert told == {"a": (1, 2.5, None, "é", (True, ())), "b": (0.5, 7, True)}
    for ours, theirs in zip(arrays, received, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_a_fit_under_siege_learns_the_same(tmp_path, monkeypatch):
    """Strangers call each rank as soon as it listens, and stay on the line."""
    opened, listening = [], collectives.Communicator.open

    def under_siege(tree):
        address = listening(tree)
        if address is not None:
            besiege(address, tmp_path / "trace", opened)
        return address

    monkeypatch.setattr(collectives.Communicator, "open", under_siege)
    X, y = rows()
    options = {**PROCESSES, "processes": False, "protocol": "tcp"}
    params = {"max_iter": 10, "random_state": 0}
    with distributed.LocalCluster(n_workers=2, **options) as cluster, distributed.Client(cluster):
        there = DaskMLPRegressor((8,), **params).fit(*collections())
    assert len(opened) == len(STRANGERS)
    for caller in opened:
        caller.close()
    assert_allclose(there.coefs_[0], MLPRegressor((8,), **params).fit(X, y).coefs_[0], atol=TOLERANCE)
    assert not (tmp_path / "trace").exists()


# ----------------------------------------------------------------------------------- workers ----


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_any_number_of_workers_fits_the_local_model(n_workers):
    X, y = rows()
    far = collections(chunk=70)
    with distributed.LocalCluster(n_workers=n_workers, **PROCESSES) as cluster, distributed.Client(cluster):
        for solver in ("adam", "sgd", "lbfgs"):
            params = {"solver": solver, "max_iter": 10, "random_state": 0}
            there = DaskMLPRegressor((16, 8), **params).fit(*far)
            here = MLPRegressor((16, 8), **params).fit(X, y)
            assert_allclose(there.coefs_[0], here.coefs_[0], atol=TOLERANCE)
            assert_allclose(there.loss_curve_, here.loss_curve_, rtol=TOLERANCE)


@pytest.mark.slow
def test_tables_from_several_processes(client):
    X, y = rows()
    table, labels = pd.DataFrame(X, columns=list("abcdef")), pd.Series(np.where(y > 0, "much", "little"))
    far = [dd.from_pandas(part, npartitions=6) for part in (table, labels)]
    params = {"max_iter": 5, "random_state": 0, "early_stopping": True}
    there = DaskMLPSoftmaxClassifier((8,), **params).fit(*far)
    here = MLPSoftmaxClassifier((8,), **params).fit(table, labels)
    assert there.feature_names_in_.tolist() == list("abcdef")
    assert there.classes_.tolist() == ["little", "much"]
    assert_allclose(there.coefs_[0], here.coefs_[0], atol=TOLERANCE)
    assert there.score(*far) == here.score(table, labels)


@pytest.mark.slow
def test_the_client_of_ones_choice_fits_and_scores(client):
    X, y = rows()
    with (
        distributed.LocalCluster(n_workers=1, **PROCESSES) as cluster,
        distributed.Client(cluster, set_as_default=False) as other,
    ):
        far = other.persist(collections())
        model = DaskMLPRegressor((8,), max_iter=2, client=other, random_state=0).fit(*far)
        assert_allclose(model.score(*far), model.to_local().score(X, y))


@pytest.mark.slow
def test_a_killed_worker_is_an_error_and_the_next_fit_works(client):
    rng = np.random.default_rng(1)
    data, model = collections(), DaskMLPRegressor((16,), **ENDLESS)
    for victim in (0, 1, 2, 0, 1):
        client.wait_for_workers(2, timeout=PATIENCE)
        kill_rank_after(rng.uniform(0.0, 2.0), client, victim)
        with pytest.raises(WorkerLostError, match="on_worker_lost='retry'"):
            model.fit(*data)
        assert not hasattr(model, "coefs_")
        after = DaskMLPRegressor((16,), max_iter=5, random_state=0).fit(*data)
        assert after.n_iter_ == 5
    assert is_quiet(client)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_retry_goes_on_from_the_last_epoch(client, solver):
    X, y = rows(6000)
    params = {"solver": solver, "random_state": 0, "tol": 0.0}
    params |= (
        {"max_iter": 60, "learning_rate": "cosine", "n_iter_no_change": 1000} if solver == "adam" else {"max_iter": 100}
    )
    model = DaskMLPRegressor((64, 64), on_worker_lost="retry", verbose=1, **params)
    pytest.importorskip("sklearn.callback")
    listener = At(5, lambda: kill_rank(client, 1))
    model.set_callbacks(listener).fit(*collections(6000, 500))
    assert listener.n_epochs == model.n_iter_  # of the epoch that was made again it heard once
    assert len(model.loss_curve_) == model.n_iter_
    if solver == "adam":  # L-BFGS starts a new memory
        here = MLPRegressor((64, 64), **params).fit(X, y)
        assert model.n_iter_ == 60
        assert model.t_ == here.t_
        assert_allclose(model.loss_curve_, here.loss_curve_, rtol=1e-3)  # 60 epochs enlarge rounding
    assert model.score(X, y) > 0.95
    assert is_quiet(client)


@pytest.mark.slow
def test_the_only_worker_dies():
    with distributed.LocalCluster(n_workers=1, **PROCESSES) as cluster, distributed.Client(cluster) as client:
        kill_rank_after(0.5, client, 0)
        with pytest.raises(WorkerLostError):
            DaskMLPRegressor((16,), **ENDLESS).fit(*collections())


@pytest.mark.slow
def test_the_only_worker_dies_and_comes_back():
    with distributed.LocalCluster(n_workers=1, **PROCESSES) as cluster, distributed.Client(cluster) as client:
        model = DaskMLPRegressor((16,), **{**ENDLESS, "max_iter": 60}, on_worker_lost="retry")
        at_epoch(model, 5, lambda: kill_rank(client, 0))
        assert model.fit(*collections()).n_iter_ == 60


@pytest.mark.slow
def test_no_worker_yet():
    options = {**PROCESSES, "n_workers": 0}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        threading.Timer(1.0, cluster.scale, args=(1,)).start()
        assert DaskMLPRegressor((16,), max_iter=2, random_state=0).fit(*collections()).n_iter_ == 2


@pytest.mark.slow
def test_errors_of_partitions_leave_no_rows_behind(client):
    def fail(block, block_info):
        if block_info[0]["chunk-location"][0] == 9:
            raise OSError("the disk is gone")
        return block

    X, y = collections()
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            DaskMLPRegressor((16,)).fit(X.map_blocks(fail, dtype=X.dtype, meta=np.empty((0, 0))), y)
    assert is_quiet(client)


@pytest.mark.slow
def test_ctrl_c_before_the_ranks_run(client, monkeypatch):
    """The rows are placed, but all threads of the workers are busy when it comes, until it has been heard."""
    data, release, looks = collections(), distributed.Event("release", client=client), []
    DaskMLPRegressor((16,), max_iter=2, random_state=0).fit(*data)  # imports things

    def occupy(name):  # within the test: workers cannot import its module
        distributed.Event(f"{name}-{distributed.get_worker().address}").set()
        distributed.Event(name).wait()

    def occupied(*args):
        placed = placement.place(*args)
        distributed.wait(placed.shards)
        where = [{"workers": [address], "priority": 100, "pure": False} for address in placed.addresses]
        busy.extend(client.submit(occupy, "release", **there) for there in where)
        for address in placed.addresses:
            assert distributed.Event(f"release-{address}", client=client).wait(PATIENCE)
        return placed

    def look(inbox, timeout):
        looks.append(timeout)
        if len(looks) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        if len(looks) == 2:
            release.set()
        return listen(inbox, timeout)

    busy, listen = [], client_room.ClientChannel.receive
    monkeypatch.setattr(client_room, "place", occupied)
    monkeypatch.setattr(client_room.ClientChannel, "receive", look)
    with pytest.raises(KeyboardInterrupt):
        DaskMLPRegressor((16,), **ENDLESS).fit(*data)
    assert len(looks) > 2  # it waited for the ranks, who had to be told


@pytest.mark.slow
def test_a_cluster_that_grows_and_shrinks(client, cluster):
    data, model = collections(), DaskMLPRegressor((16,), **{**ENDLESS, "max_iter": 60})
    at_epoch(model, 5, lambda: cluster.scale(4))
    assert model.fit(*data).n_iter_ == 60  # a new worker is left alone
    client.wait_for_workers(4, timeout=PATIENCE)
    shrinking = DaskMLPRegressor((16,), **{**ENDLESS, "max_iter": 60}, on_worker_lost="retry")
    at_epoch(shrinking, 5, lambda: cluster.scale(1))
    assert shrinking.fit(*data).n_iter_ == 60
    wait_until(lambda: len(client.nthreads()) == 1)


# ------------------------------------------------------------------------ schedulers, clients ----


LOCKS = "DASK_DISTRIBUTED__SCHEDULER__LOCKS__"
LEASES = {f"{LOCKS}LEASE_TIMEOUT": f"{LEASE:.0f}s", f"{LOCKS}LEASE_VALIDATION_INTERVAL": "1s"}


def start(*command):
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "distributed.cli." + command[0], *command[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **LEASES},
    )


@pytest.fixture
def by_hand(tmp_path):
    """A scheduler and two workers in processes of their own."""
    file = str(tmp_path / "scheduler.json")
    processes = [start("dask_scheduler", "--scheduler-file", file, "--no-dashboard", "--port", "0")]
    processes += [
        start("dask_worker", "--scheduler-file", file, "--nthreads", "1", "--no-dashboard", "--no-nanny")
        for _ in range(2)
    ]
    try:
        yield file, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_the_scheduler_goes_down(by_hand):
    file, processes = by_hand
    with distributed.Client(scheduler_file=file, timeout=PATIENCE) as client:
        client.wait_for_workers(2, timeout=PATIENCE)
        DaskMLPRegressor((16,), max_iter=2, random_state=0).fit(*collections())  # imports things
        with pytest.raises(ConnectionError, match="scheduler was lost"):
            at_epoch(DaskMLPRegressor((16,), **ENDLESS), 5, processes[0].kill).fit(*collections())


LEAVING = """
import dask.array as da, distributed, numpy as np, sys
from skbackprop.dask import DaskMLPRegressor
client = distributed.Client(scheduler_file=sys.argv[1])
X = np.random.default_rng(0).normal(size=(600, 6))
X, y = da.from_array(X, chunks=(60, -1)), da.from_array(X[:, 0], chunks=60)
print("fit", flush=True)
DaskMLPRegressor((16,), max_iter=10**6, learning_rate="constant", n_iter_no_change=np.inf).fit(X, y)
"""


@pytest.mark.slow
def test_a_client_that_dies_leaves_nothing_behind(by_hand):
    file, _ = by_hand
    lease = {"distributed.scheduler.locks.lease-timeout": f"{LEASE:.0f}s"}  # the first client's counts
    with dask.config.set(lease), distributed.Client(scheduler_file=file, timeout=PATIENCE) as client:
        client.wait_for_workers(2, timeout=PATIENCE)
        DaskMLPRegressor((16,), max_iter=2, random_state=0).fit(*collections())  # what a first fit imports stays
        memory = [psutil.Process(pid).memory_info().rss for pid in pids(client)]
        leaving = subprocess.Popen(
            [sys.executable, "-P", "-c", LEAVING, file], stdout=subprocess.PIPE, env={**os.environ, **LEASES}
        )
        assert leaving.stdout.readline() == b"fit\n"
        wait_until(lambda: len(ranks(client)) == 2)
        leaving.kill()
        leaving.wait()
        leaving.stdout.close()
        assert is_quiet(client)
        # no rank goes on computing
        wait_until(lambda: max(psutil.Process(pid).cpu_percent(0.5) for pid in pids(client)) < 30)
        for pid, before in zip(pids(client), memory, strict=True):
            assert psutil.Process(pid).memory_info().rss < before + 30e6
        assert (
            DaskMLPRegressor((16,), max_iter=2, random_state=0).fit(*collections()).n_iter_ == 2
        )  # when the locks have run out


@pytest.mark.slow
def test_restart_of_the_cluster_is_an_error(client):
    DaskMLPRegressor((16,), max_iter=2, random_state=0).fit(*collections())  # imports things
    restart = threading.Thread(target=client.restart)
    with pytest.raises((ConnectionError, WorkerLostError)):
        at_epoch(DaskMLPRegressor((16,), **ENDLESS), 5, restart.start).fit(*collections())
    restart.join(PATIENCE)
    client.wait_for_workers(2, timeout=PATIENCE)
    assert DaskMLPRegressor((16,), max_iter=2, random_state=0).fit(*collections()).n_iter_ == 2


# ---------------------------------------------------------------------------------------- TLS ----


@pytest.mark.slow
def test_tls(monkeypatch):
    pytest.importorskip("cryptography")
    security = distributed.Security.temporary()
    params = {"hidden_layer_sizes": (16,), "max_iter": 10, "random_state": 0}
    X, y = rows()
    with (
        distributed.LocalCluster(n_workers=2, security=security, protocol="tls", **PROCESSES) as cluster,
        distributed.Client(cluster, security=security) as client,
    ):
        assert client.scheduler.address.startswith("tls://")
        there = DaskMLPRegressor(**params).fit(*collections())
        assert_allclose(there.coefs_[0], MLPRegressor(**params).fit(X, y).coefs_[0], atol=TOLERANCE)


@pytest.mark.slow
def test_without_the_certificate_nobody_reaches_the_listener():
    pytest.importorskip("cryptography")
    security, stranger = distributed.Security.temporary(), distributed.Security.temporary()
    tree = collectives.Communicator(0, 2, "token", _Worker("tls://127.0.0.1:1", security), lambda: True)
    address = tree.open()
    assert address.startswith("tls://")

    async def call(address, **options):
        comm = await connect(address, timeout=2, deserialize=False, **options)
        await comm.write(["token", 1])  # even who knows it
        await comm.read()

    try:
        for at, options in (
            (address, stranger.get_connection_args("worker")),
            (address.replace("tls://", "tcp://"), {}),
        ):
            with pytest.raises(collectives.RankLost):
                tree._run(asyncio.wait_for(call(at, **options), 6))
            assert not tree._comms

        async def let_in():  # this one is, and waits in vain
            caller = asyncio.create_task(call(address, **security.get_connection_args("worker")))
            await tree._arrived.wait()
            caller.cancel()

        tree._run(asyncio.wait_for(let_in(), PATIENCE))
        assert list(tree._comms) == [1]
    finally:
        tree.close()
