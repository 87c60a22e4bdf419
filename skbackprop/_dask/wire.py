"""What ranks say to each other, on the connections of Dask's comms: nothing that arrives is ever unpickled.

Dask's own way to read does that, even if it is told not to deserialise.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import msgpack
import numpy as np
from distributed.comm import CommClosedError
from distributed.protocol import dumps
from distributed.protocol.utils import pack_frames

JOINED_BYTES = 2**17  # of a message that is sent in one piece
PIECE_BYTES = 2**30  # that are read at a time: TLS counts in 32 bits

Message = tuple[Any, list[Any]]  # what msgpack can hold, and arrays


def hello_of(token: str, child: int) -> bytes:
    """What a child says first, after the handshake: the bytes that Dask's comms would write."""
    return pack_frames(dumps([token, child]))


async def send_sized(comm: Any, content: bytes) -> None:
    """Send bytes with their number before them, as Dask's comms do."""
    await _stream(comm).write(struct.pack("Q", len(content)) + content)


async def read_sized(comm: Any, most: int) -> bytes:
    """Read a message of Dask's comms as it comes, if it is no longer than that."""
    stream = _stream(comm)
    (n_bytes,) = struct.unpack("Q", await stream.read_bytes(8))
    if n_bytes > most:
        raise CommClosedError(f"a message of {n_bytes} bytes for one of at most {most}")
    return bytes(await stream.read_bytes(n_bytes))


async def send(comm: Any, message: Message) -> None:
    """Send a head in msgpack, with its length before it, and then the arrays as they lie in memory.

    They must not change until they are sent; to a rank in the same process go the arrays themselves.
    """
    facts, arrays = message
    arrays = [np.ascontiguousarray(array) for array in arrays]
    if comm.local_address.startswith("inproc://"):
        await comm.write([facts, *arrays])
        return
    head = msgpack.packb([facts, [[array.dtype.str, array.shape] for array in arrays]], default=_plain)
    pieces = [struct.pack("Q", len(head)), head]
    pieces += [memoryview(array.reshape(-1).view(np.uint8)) for array in arrays if array.size]
    stream = _stream(comm)
    if sum(map(len, pieces)) < JOINED_BYTES:
        pieces = [b"".join(pieces)]
    for piece in pieces:
        sent = stream.write(piece)
    await sent  # all of it is on its way: the loop stands still while this rank computes


async def receive(comm: Any) -> Message:
    """Take what the other rank sends."""
    if comm.local_address.startswith("inproc://"):
        facts, *arrays = await comm.read()
        return facts, arrays
    stream = _stream(comm)
    (n_bytes,) = struct.unpack("Q", await stream.read_bytes(8))
    facts, kinds = msgpack.unpackb(await _read(stream, n_bytes), use_list=False, strict_map_key=False)
    arrays = []
    for kind, shape in kinds:
        dtype = np.dtype(kind)
        memory = await _read(stream, dtype.itemsize * math.prod(shape))
        arrays.append(memory.view(dtype).reshape(shape))
    return facts, arrays


async def _read(stream: Any, n_bytes: int) -> Any:
    memory = np.empty(n_bytes, dtype=np.uint8)
    for start in range(0, n_bytes, PIECE_BYTES):
        await stream.read_into(memory[start : start + PIECE_BYTES].data)
    return memory


def _plain(number: Any) -> Any:
    return number.item()


def _stream(comm: Any) -> Any:
    if comm.stream is None:
        raise CommClosedError("closed")
    return comm.stream
