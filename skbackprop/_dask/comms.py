"""A tree of ranks that add up arrays, over Dask's own comms between workers.

Rank 0 is the root; the parent of rank r is (r - 1) // 2. All methods but `open` and `close` are collective: every rank
calls them in the same order, or waits in the next `broadcast` for what the root wants. Sums are made in a fixed order
of ranks, so that the same ranks always get the same bits.

The comms are those that Dask's workers use between themselves: they carry the cluster's TLS if it has any, and what
arrives on a listener without this fit's token is turned away. Each rank runs them in an event loop of its own, which
turns only while the rank waits: a hop to the worker's loop and back would cost more than the message. Arrays travel as
they lie in memory, and nothing of ours is pickled.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from distributed.comm import CommClosedError, connect, get_address_host, listen, parse_address
from distributed.protocol.serialize import Serialized

WATCH_SECONDS = 0.5  # between two looks whether anybody still wants this fit
JOIN_SECONDS = 30.0  # for the ranks to connect, once all are known to run
HELLO_SECONDS = 5.0  # for one that connected to say who it is

Message = tuple[Any, list[Any]]  # what msgpack can hold, and arrays


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
            if self._listener is not None:
                self._listener.stop()
            for comm in self._all():
                with suppress(Exception):
                    await comm.close()
            await asyncio.sleep(0)  # for what these have left to do

        if not self._loop.is_closed():
            self._loop.run_until_complete(close())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _listen(self) -> str:
        scheme, _ = parse_address(self._address)
        at = "inproc://" if scheme == "inproc" else f"{scheme}://{get_address_host(self._address)}:0"
        self._arrived = asyncio.Event()
        options = {} if scheme == "inproc" else self._security.get_listen_args("worker")
        self._listener = await listen(at, self._welcome, deserialize=False, **options)
        return self._listener.contact_address

    async def _welcome(self, comm: Any) -> None:
        """Let a child in if it knows the token; hang up on everybody else."""
        try:
            token, child = await asyncio.wait_for(comm.read(), HELLO_SECONDS)
            known = hmac.compare_digest(token, self._token)
            is_awaited = known and child in self.children and child not in self._comms
        except Exception:  # whatever a stranger may send
            is_awaited = False
        if not is_awaited:
            comm.abort()
            return
        self._comms[child] = comm
        if len(self._comms) == len(self.children):
            self._arrived.set()

    async def _join(self, addresses: dict[int, str]) -> None:
        if self.rank > 0:
            address = addresses[(self.rank - 1) // 2]
            is_local = address.startswith("inproc://")
            options = {} if is_local else self._security.get_connection_args("worker")
            self._parent = await connect(address, deserialize=False, **options)
            await self._parent.write([self._token, self.rank])
        if self.children:
            await self._arrived.wait()

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
            message = await _receive(self._parent)
        for child in self.children:  # one by one: the first can pass it on while the second gets it
            await _send(self._comms[child], message)
        return message

    def reduce(self, numbers: list[float], array: Any = None) -> tuple[list[float], Any]:
        """Add up some numbers and an array (None: zeros) over all ranks; the root gets the sums.

        The array is lent: the sum may be written into it.
        """
        return self._run(self._reduce(numbers, array))

    async def _reduce(self, numbers: list[float], array: Any) -> tuple[list[float], Any]:
        shares = await asyncio.gather(*(_receive(self._comms[child]) for child in self.children))
        is_ours = array is not None
        for theirs, arrays in shares:
            numbers = [a + b for a, b in zip(numbers, theirs, strict=True)]
            if arrays and is_ours:
                np.add(array, arrays[0], out=array)
            elif arrays:  # an array that came may be the sender's own, in the same process
                array, is_ours = (arrays[0], False) if array is None else (array + arrays[0], True)
        if self._parent is not None:
            await _send(self._parent, (numbers, [] if array is None else [array]))
        return numbers, array

    def gather(self, facts: Any, arrays: Sequence[Any] = ()) -> list[Message]:
        """Bring every rank's message to the root, in the order of ranks."""
        return self._run(self._gather(facts, list(arrays)))

    async def _gather(self, facts: Any, arrays: list[Any]) -> list[Message]:
        gathered = {self.rank: (facts, arrays)}
        for child in self.children:
            gathered |= _unpack(await _receive(self._comms[child]))
        if self._parent is not None:
            await _send(self._parent, _pack(gathered))
        return [gathered[rank] for rank in sorted(gathered)]

    def scatter(self, messages: Sequence[Message] = ()) -> Message:
        """Send each rank its own message from the root's list."""
        return self._run(self._scatter(dict(enumerate(messages))))

    async def _scatter(self, messages: dict[int, Message]) -> Message:
        if self._parent is not None:
            messages = _unpack(await _receive(self._parent))
        for child in self.children:
            below = {rank: message for rank, message in messages.items() if self._is_below(rank, child)}
            await _send(self._comms[child], _pack(below))
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


async def _send(comm: Any, message: Message) -> None:
    facts, arrays = message
    await comm.write([facts, *map(_to_wire, arrays)])
    stream = getattr(comm, "stream", None)  # of TCP and TLS
    if stream is not None and stream.writing():
        await stream.write(b"")  # all of it is on its way: the loop stands still while this rank computes


async def _receive(comm: Any) -> Message:
    facts, *arrays = await comm.read()
    return facts, list(map(_from_wire, arrays))


def _to_wire(array: Any) -> Serialized:
    """An array as its memory, which must not change until it is sent."""
    array = np.ascontiguousarray(array)
    frames = [memoryview(array.reshape(-1).view(np.uint8))] if array.size else []
    return Serialized({"dtype": array.dtype.str, "shape": array.shape}, frames)


def _from_wire(wire: Serialized) -> Any:
    dtype, shape = np.dtype(wire.header["dtype"]), tuple(wire.header["shape"])
    return np.frombuffer(wire.frames[0], dtype).reshape(shape) if wire.frames else np.empty(shape, dtype)
