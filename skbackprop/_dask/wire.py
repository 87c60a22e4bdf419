"""Messages between ranks on the connections of Dask's comms; nothing that arrives is ever unpickled.

Dask's own way to read unpickles, even if it is told not to deserialise.
"""

from __future__ import annotations

import math
import struct
from typing import Any, TypeAlias

import msgpack
import numpy as np
from distributed.comm import CommClosedError
from distributed.comm.core import Comm
from distributed.protocol import dumps
from distributed.protocol.utils import pack_frames
from tornado.iostream import IOStream

JOINED_BYTES = 2**17  # of a message that is sent in one piece
PIECE_BYTES = 2**30  # read at a time, since TLS counts in 32 bits

Message: TypeAlias = tuple[Any, list[np.ndarray]]  # values of msgpack, and arrays


def hello_of(token: str, child: int) -> bytes:
    """The first message of a child after the handshake, in the bytes of Dask's comms."""
    return pack_frames(dumps([token, child]))


async def send_sized(comm: Comm, content: bytes) -> None:
    """Send bytes with their number before them, as Dask's comms do."""
    await _stream(comm).write(struct.pack("Q", len(content)) + content)


async def read_sized(comm: Comm, limit: int) -> bytes:
    """Read a message of Dask's comms without decoding it; one of more bytes than the limit is an error."""
    stream = _stream(comm)
    (n_bytes,) = struct.unpack("Q", await stream.read_bytes(8))
    if n_bytes > limit:
        raise CommClosedError(f"a message of {n_bytes} bytes for one of at most {limit}")
    return await stream.read_bytes(n_bytes)


async def send(comm: Comm, message: Message) -> None:
    """Send a head in msgpack, with its length before it, and then the arrays as they lie in memory.

    They must not change until they are sent; to a rank in the same process go the arrays themselves.
    """
    facts, arrays = message
    arrays = [np.ascontiguousarray(array) for array in arrays]
    if comm.local_address.startswith("inproc://"):
        await comm.write([facts, *arrays])
        return
    kinds = [[array.dtype.str, array.shape] for array in arrays]
    head = msgpack.packb([facts, kinds], default=lambda scalar: scalar.item())  # of NumPy
    pieces: list[bytes | memoryview] = [struct.pack("Q", len(head)), head]
    pieces += [array.reshape(-1).view(np.uint8).data for array in arrays if array.size]
    stream = _stream(comm)
    if sum(map(len, pieces)) < JOINED_BYTES:
        pieces = [b"".join(pieces)]
    for piece in pieces:
        sent = stream.write(piece)
    await sent  # wait until everything is sent, since the event loop is blocked while this rank computes


async def receive(comm: Comm) -> Message:
    """Take what the other rank sends."""
    if comm.local_address.startswith("inproc://"):
        facts, *arrays = await comm.read()
        return facts, arrays
    stream = _stream(comm)
    (n_bytes,) = struct.unpack("Q", await stream.read_bytes(8))
    head = await _read(stream, n_bytes)
    facts, kinds = msgpack.unpackb(head.data, use_list=False, strict_map_key=False)
    arrays = []
    for kind, shape in kinds:
        dtype = np.dtype(kind)
        memory = await _read(stream, dtype.itemsize * math.prod(shape))
        arrays.append(memory.view(dtype).reshape(shape))
    return facts, arrays


async def _read(stream: IOStream, n_bytes: int) -> np.ndarray:
    memory = np.empty(n_bytes, dtype=np.uint8)
    for start in range(0, n_bytes, PIECE_BYTES):
        await stream.read_into(memory[start : start + PIECE_BYTES].data)  # type: ignore[arg-type]
    return memory


def _stream(comm: Comm) -> IOStream:
    stream: IOStream | None = getattr(comm, "stream", None)
    if stream is None:
        raise CommClosedError("closed")
    return stream
