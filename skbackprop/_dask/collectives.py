"""Collective operations of ranks that form a binary tree, over connections of Dask's comms between workers.

Rank 0 is the root; the parent of rank r is (r - 1) // 2. Every rank calls the same operations in the same order, or
waits in the next `broadcast` for the root. Sums are computed in a fixed order of ranks, so that results have the same
bits for the same ranks.

The connections are those that Dask's workers use between themselves, with the cluster's TLS if it has any. What is said
on them is not: Dask's comms unpickle what they read, their handshake too and even if told not to deserialise. Here a
stranger's first bytes are compared with those that a child must send, and nothing that ever arrives is unpickled. Each
rank runs its connections in an event loop of its own, which turns only while the rank waits: a hop to the worker's loop
and back would cost more than the message.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
from distributed import Worker
from distributed.comm import CommClosedError, connect, get_address_host, listen, parse_address
from distributed.comm.core import BaseListener, Comm, FatalCommClosedError, Listener
from distributed.comm.registry import get_backend

from skbackprop._dask.wire import Message, hello_of, read_sized, receive, send, send_sized

WATCH_SECONDS = 0.5  # seconds between checks whether the fit is still wanted
JOIN_SECONDS = 30.0  # seconds for the ranks to connect, when all run
HELLO_SECONDS = 5.0  # seconds for a new connection to identify itself
RETRY_SECONDS = 0.1  # seconds between attempts to connect to a parent
PARTING_SECONDS = 1.0  # seconds to close connections at the end
HELLO_BYTES = 2**16  # largest size of a handshake


class RankLost(Exception):
    """A connection to another rank ended before the fit did."""


Options = ParamSpec("Options")
Result = TypeVar("Result")


def blocking(
    operation: Callable[Concatenate[Communicator, Options], Awaitable[Result]],
) -> Callable[Concatenate[Communicator, Options], Result]:
    """Run an operation in the rank's event loop until it is done."""

    @functools.wraps(operation)
    def call(self: Communicator, *args: Options.args, **kwargs: Options.kwargs) -> Result:
        return self._run(operation(self, *args, **kwargs))

    return call


class Communicator:
    """One rank's connections to its parent and children.

    The token is a secret of the fit. A waiting rank closes its connections if the fit is no longer wanted.
    """

    def __init__(self, rank: int, n_ranks: int, token: str, worker: Worker, is_wanted: Callable[[], bool]):
        self.rank, self.n_ranks, self._token, self._is_wanted = rank, n_ranks, token, is_wanted
        self.children = [child for child in (2 * rank + 1, 2 * rank + 2) if child < n_ranks]
        self._address, self._security = worker.address, worker.security
        self._loop = asyncio.new_event_loop()
        self._parent = (rank - 1) // 2 if rank else None
        self._comms: dict[int, Comm] = {}  # to children and parent
        self._arrived = asyncio.Event()  # all children have
        self._strangers: set[Comm] = set()  # new connections, and
        self._admitted: dict[Comm, int] = {}  # those of identified children
        self._listener: Listener | None = None

    @blocking
    async def open(self) -> str | None:
        """Start to listen where this worker does, if there are children; the address for them."""
        self._watcher = asyncio.create_task(self._watch())
        if not self.children:
            return None
        scheme, _ = parse_address(self._address)
        if scheme == "inproc":
            listener = listen("inproc://", self._welcome, deserialize=False)
        else:
            protocol = "tls" if scheme in ("tls", "wss") else "tcp"
            at = f"{protocol}://{get_address_host(self._address)}:0"
            options = self._security.get_listen_args("worker")
            listener = listen(at, self._welcome, deserialize=False, **options)
            assert isinstance(listener, BaseListener)
            listener.on_connection = self._authenticate  # type: ignore[method-assign]  # not Dask's handshake
        self._listener = await listener
        return str(listener.contact_address)

    @blocking
    async def join(self, addresses: dict[int, str | None]) -> None:
        """Connect to the parent and wait for the children."""
        async with asyncio.timeout(JOIN_SECONDS):
            if self._parent is not None:
                address = addresses[self._parent]
                assert address is not None  # of who has children
                self._comms[self._parent] = await self._connect(address)
            if self.children:
                await self._arrived.wait()

    def close(self) -> None:
        """Close all connections, which ends the fit on every rank."""
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._close())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _close(self) -> None:
        self._watcher.cancel()
        self._stop_listening()
        for comm in self._strangers:
            comm.abort()
        for comm in self._comms.values():
            with suppress(Exception):
                await comm.close()
        await asyncio.sleep(0)  # for their remaining work
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:  # of unidentified connections
            await asyncio.wait(left, timeout=PARTING_SECONDS)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.stop()
        self._listener = None

    async def _authenticate(self, comm: Comm, handshake_overrides: object = None) -> None:
        """Find out which child connected, from bytes alone; hang up on everybody else."""
        self._strangers.add(comm)
        try:
            await comm.write(comm.handshake_info())  # the other side waits for it
            async with asyncio.timeout(HELLO_SECONDS):
                await read_sized(comm, HELLO_BYTES)  # the other side's handshake, which is ignored
                hello = await read_sized(comm, HELLO_BYTES)
            (child,) = (c for c in self.children if hmac.compare_digest(hello, hello_of(self._token, c)))
            self._admitted[comm] = child
        except Exception:  # unidentified connections may send anything
            comm.abort()
            raise CommClosedError("a stranger") from None
        finally:
            self._strangers.discard(comm)

    async def _welcome(self, comm: Comm) -> None:
        """Let a child in that was found to be one; within a process nobody is a stranger."""
        child = self._admitted.pop(comm, None)
        if child is None and comm.local_address.startswith("inproc://"):
            with suppress(Exception):
                token, number = await asyncio.wait_for(comm.read(), HELLO_SECONDS)
                child = number if hmac.compare_digest(token, self._token) else None
        if child not in self.children or child in self._comms:
            comm.abort()
            return
        self._comms[child] = comm
        if self._comms.keys() >= set(self.children):
            self._stop_listening()  # all children are connected
            self._arrived.set()

    async def _connect(self, address: str) -> Comm:
        """Connect to the parent, whose handshake is not looked at either, and say who this is."""
        scheme, device = parse_address(address)
        if scheme == "inproc":
            comm = await connect(address, deserialize=False)
            await comm.write([self._token, self.rank])
            return comm
        options = self._security.get_connection_args("worker")
        while True:
            try:
                comm = await get_backend(scheme).get_connector().connect(device, deserialize=False, **options)
                break
            except FatalCommClosedError:
                raise
            except OSError:
                await asyncio.sleep(RETRY_SECONDS)
        await comm.write(comm.handshake_info())
        await read_sized(comm, HELLO_BYTES)
        await send_sized(comm, hello_of(self._token, self.rank))
        return comm

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not self._is_wanted():
                for comm in self._comms.values():
                    comm.abort()

    def _run(self, awaitable: Awaitable[Result]) -> Result:
        try:
            return self._loop.run_until_complete(awaitable)
        except (CommClosedError, OSError, TimeoutError) as error:
            raise RankLost(f"Rank {self.rank} of {self.n_ranks} lost a connection: {error}") from error

    @blocking
    async def broadcast(self, facts: object = None, arrays: Sequence[np.ndarray] = ()) -> Message:
        """Send the root's message to all; the others give none, and get it."""
        message: Message = facts, list(arrays)
        if self._parent is not None:
            message = await receive(self._comms[self._parent])
        for child in self.children:  # one by one: the first can pass it on while the second gets it
            await send(self._comms[child], message)
        return message

    @blocking
    async def reduce(self, numbers: list[float], array: np.ndarray | None = None) -> tuple[list[float], np.ndarray]:
        """Add up some numbers and an array (None: zeros) over all ranks; the root gets the sums.

        The array is lent: the sum may be written into it.
        """
        shares = await asyncio.gather(*(receive(self._comms[child]) for child in self.children))
        is_ours = array is not None
        for theirs, arrays in shares:
            numbers = [a + b for a, b in zip(numbers, theirs, strict=True)]
            if not arrays:
                continue
            if array is None:  # in the same process it may be the sender's array
                array = arrays[0]
            else:
                array = np.add(array, arrays[0], out=array if is_ours else None)
                is_ours = True
        if self._parent is not None:
            await send(self._comms[self._parent], (numbers, [] if array is None else [array]))
        return numbers, np.zeros(0) if array is None else array

    @blocking
    async def gather(self, facts: object, arrays: Sequence[np.ndarray] = ()) -> list[Message]:
        """Bring every rank's message to the root, in the order of ranks."""
        gathered: dict[int, Message] = {self.rank: (facts, list(arrays))}
        for child in self.children:
            gathered |= _unpack(await receive(self._comms[child]))
        if self._parent is not None:
            await send(self._comms[self._parent], _pack(gathered))
        return [gathered[rank] for rank in sorted(gathered)]

    @blocking
    async def scatter(self, messages: Sequence[Message] = ()) -> Message:
        """Send each rank its own message from the root's list."""
        by_rank = dict(enumerate(messages))
        if self._parent is not None:
            by_rank = _unpack(await receive(self._comms[self._parent]))
        for child in self.children:
            below = {rank: message for rank, message in by_rank.items() if _is_below(rank, child)}
            await send(self._comms[child], _pack(below))
        return by_rank[self.rank]


def _is_below(rank: int, ancestor: int) -> bool:
    """Tell whether a rank is in the subtree of the ancestor."""
    while rank > ancestor:
        rank = (rank - 1) // 2
    return rank == ancestor


def _pack(messages: dict[int, Message]) -> Message:
    """Join messages by rank to one."""
    table = [[rank, facts, len(arrays)] for rank, (facts, arrays) in messages.items()]
    return table, [array for _, arrays in messages.values() for array in arrays]


def _unpack(message: Message) -> dict[int, Message]:
    table, arrays = message
    messages: dict[int, Message] = {}
    for rank, facts, n in table:
        messages[rank], arrays = (facts, arrays[:n]), arrays[n:]
    return messages
