"""A tree of ranks that add up arrays, over connections of Dask's comms between workers.

Rank 0 is the root; the parent of rank r is (r - 1) // 2. All methods but `open` and `close` are collective: every rank
calls them in the same order, or waits in the next `broadcast` for what the root wants. Sums are made in a fixed order
of ranks, so that the same ranks always get the same bits.

The connections are those that Dask's workers use between themselves, with the cluster's TLS if it has any. What is said
on them is not: Dask's comms unpickle what they read, their handshake too and even if told not to deserialise. Here a
stranger's first bytes are compared with those that a child must send, and nothing that ever arrives is unpickled. Each
rank runs its connections in an event loop of its own, which turns only while the rank waits: a hop to the worker's loop
and back would cost more than the message.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from distributed.comm import CommClosedError, connect, get_address_host, listen, parse_address
from distributed.comm.core import FatalCommClosedError
from distributed.comm.registry import get_backend

from skbackprop._dask.wire import Message, hello_of, read_sized, receive, send, send_sized

WATCH_SECONDS = 0.5  # between two looks whether anybody still wants this fit
JOIN_SECONDS = 30.0  # for the ranks to connect, once all are known to run
HELLO_SECONDS = 5.0  # for one that connected to say who it is
RETRY_SECONDS = 0.1  # between two calls to a parent that does not answer
PARTING_SECONDS = 1.0  # for connections that end with the fit
HELLO_BYTES = 2**16  # that a handshake may have


class RankLost(Exception):
    """A connection to another rank ended before the fit did."""


class Tree:
    """The place of one rank among all.

    Parameters
    ----------
    rank, n_ranks : int
        Which of how many.
    token : str
        Secret of this fit.
    worker : distributed.Worker
        Whose address and security settings to use.
    is_wanted : callable
        Tells whether the fit goes on. While it waits, a rank for which it does not hangs up.
    """

    def __init__(self, rank: int, n_ranks: int, token: str, worker: Any, is_wanted: Callable[[], bool]):
        self.rank, self.n_ranks, self._token, self._is_wanted = rank, n_ranks, token, is_wanted
        self.children = [child for child in (2 * rank + 1, 2 * rank + 2) if child < n_ranks]
        self._address, self._security = worker.address, worker.security
        self._loop = asyncio.new_event_loop()
        self._parent: Any = None
        self._comms: dict[int, Any] = {}
        self._strangers: set[Any] = set()  # connections of whom nothing is known yet, and
        self._admitted: dict[Any, int] = {}  # of children that said who they are
        self._listener: Any = None

    # ------------------------------------------------------------------------ open and close ----

    def open(self) -> str | None:
        """Start to listen where this worker does, if there are children; the address for them."""
        self._watcher = self._loop.create_task(self._watch())
        return self._run(self._listen()) if self.children else None

    def join(self, addresses: dict[int, str]) -> None:
        """Connect to the parent and wait for the children."""
        self._run(asyncio.wait_for(self._join(addresses), JOIN_SECONDS))

    def close(self) -> None:
        """Hang up, which ends the fit on every rank that is still in it."""

        async def close():
            self._watcher.cancel()
            self._stop_listening()
            for comm in self._strangers:
                comm.abort()
            for comm in self._all():
                with suppress(Exception):
                    await comm.close()
            await asyncio.sleep(0)  # for what these have left to do
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if left:  # strangers that hear that they are hung up on, or that wait for TLS
                await asyncio.wait(left, timeout=PARTING_SECONDS)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

        if not self._loop.is_closed():
            self._loop.run_until_complete(close())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.stop()
        self._listener = None

    async def _listen(self) -> str:
        scheme, _ = parse_address(self._address)
        host = get_address_host(self._address)
        self._arrived = asyncio.Event()
        if scheme == "inproc":
            self._listener = await listen("inproc://", self._welcome, deserialize=False)
        else:
            at = f"{'tls' if scheme in ('tls', 'wss') else 'tcp'}://{host}:0"
            options = self._security.get_listen_args("worker")
            listener = listen(at, self._welcome, deserialize=False, **options)
            listener.on_connection = self._examine  # in the place of Dask's handshake
            self._listener = await listener
        return self._listener.contact_address

    async def _examine(self, comm: Any, overrides: Any = None) -> None:
        """Find out which child connected, from bytes alone; hang up on everybody else."""
        self._strangers.add(comm)
        try:
            await comm.write(comm.handshake_info())  # whoever connects waits for it
            self._admitted[comm] = await asyncio.wait_for(self._hear(comm), HELLO_SECONDS)
        except Exception:  # whatever a stranger may send, or not send
            comm.abort()
            raise CommClosedError("a stranger") from None
        finally:
            self._strangers.discard(comm)

    async def _hear(self, comm: Any) -> int:
        """Number of the child that says its hello."""
        await read_sized(comm, HELLO_BYTES)  # its handshake, of which nothing is wanted
        hello = await read_sized(comm, HELLO_BYTES)
        children = [
            child for child in self.children if hmac.compare_digest(hello, hello_of(self._token, child))
        ]
        (child,) = children
        return child

    async def _welcome(self, comm: Any) -> None:
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
        if len(self._comms) == len(self.children):
            self._stop_listening()  # nobody else is awaited
            self._arrived.set()

    async def _join(self, addresses: dict[int, str]) -> None:
        if self.rank > 0:
            self._parent = await self._call(addresses[(self.rank - 1) // 2])
        if self.children:
            await self._arrived.wait()

    async def _call(self, address: str) -> Any:
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

    def _all(self) -> list[Any]:
        return [*self._comms.values(), *([] if self._parent is None else [self._parent])]

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not self._is_wanted():
                for comm in self._all():
                    comm.abort()

    def _run(self, awaitable: Any) -> Any:
        try:
            return self._loop.run_until_complete(awaitable)
        except (CommClosedError, OSError, TimeoutError) as error:
            raise RankLost(f"Rank {self.rank} of {self.n_ranks} lost a connection: {error}") from error

    # -------------------------------------------------------------------------- both ways ----

    def broadcast(self, facts: Any = None, arrays: Sequence[Any] = ()) -> Message:
        """Send the root's message to all; the others give none, and get it."""
        return self._run(self._broadcast((facts, list(arrays))))

    async def _broadcast(self, message: Message) -> Message:
        if self._parent is not None:
            message = await receive(self._parent)
        for child in self.children:  # one by one: the first can pass it on while the second gets it
            await send(self._comms[child], message)
        return message

    def reduce(self, numbers: list[float], array: Any = None) -> tuple[list[float], Any]:
        """Add up some numbers and an array (None: zeros) over all ranks; the root gets the sums.

        The array is lent: the sum may be written into it.
        """
        return self._run(self._reduce(numbers, array))

    async def _reduce(self, numbers: list[float], array: Any) -> tuple[list[float], Any]:
        shares = await asyncio.gather(*(receive(self._comms[child]) for child in self.children))
        is_ours = array is not None
        for theirs, arrays in shares:
            numbers = [a + b for a, b in zip(numbers, theirs, strict=True)]
            if arrays and is_ours:
                np.add(array, arrays[0], out=array)
            elif arrays:  # an array that came may be the sender's own, in the same process
                array, is_ours = (arrays[0], False) if array is None else (array + arrays[0], True)
        if self._parent is not None:
            await send(self._parent, (numbers, [] if array is None else [array]))
        return numbers, array

    def gather(self, facts: Any, arrays: Sequence[Any] = ()) -> list[Message]:
        """Bring every rank's message to the root, in the order of ranks."""
        return self._run(self._gather(facts, list(arrays)))

    async def _gather(self, facts: Any, arrays: list[Any]) -> list[Message]:
        gathered = {self.rank: (facts, arrays)}
        for child in self.children:
            gathered |= _unpack(await receive(self._comms[child]))
        if self._parent is not None:
            await send(self._parent, _pack(gathered))
        return [gathered[rank] for rank in sorted(gathered)]

    def scatter(self, messages: Sequence[Message] = ()) -> Message:
        """Send each rank its own message from the root's list."""
        return self._run(self._scatter(dict(enumerate(messages))))

    async def _scatter(self, messages: dict[int, Message]) -> Message:
        if self._parent is not None:
            messages = _unpack(await receive(self._parent))
        for child in self.children:
            below = {rank: message for rank, message in messages.items() if self._is_below(rank, child)}
            await send(self._comms[child], _pack(below))
        return messages[self.rank]

    @staticmethod
    def _is_below(rank: int, child: int) -> bool:
        while rank > child:
            rank = (rank - 1) // 2
        return rank == child


def _pack(messages: dict[int, Message]) -> Message:
    facts = [[rank, facts, len(arrays)] for rank, (facts, arrays) in messages.items()]
    return facts, [array for _, arrays in messages.values() for array in arrays]


def _unpack(message: Message) -> dict[int, Message]:
    messages, (table, arrays) = {}, message
    for rank, facts, n in table:
        messages[rank], arrays = (facts, arrays[:n]), arrays[n:]
    return messages
