"""Messages between the client and the ranks of a fit: to the client through a Dask queue, to a rank by `Client.run`."""

from __future__ import annotations

import asyncio
import pickle
from concurrent import futures
from queue import Empty, SimpleQueue
from typing import Any

from distributed import Client, Queue, Status, Worker, get_client, get_worker

POLL_SECONDS = 0.5

_channels: dict[tuple[str, str], WorkerChannel] = {}  # open in this process, by fit and worker


class Abandoned(Exception):
    """Raised when the client no longer waits for this fit."""


class WorkerChannel:
    """The side of a rank."""

    def __init__(self, fit: str):
        self._worker: Worker = get_worker()
        self._client: Client = get_client()
        self._fit, self._name = fit, (fit, self._worker.address)
        self._key = self._worker.get_current_task()
        self.answers: SimpleQueue[object] = SimpleQueue()
        self.interrupted = False
        _channels[self._name] = self

    def close(self) -> None:
        """Accept no more answers."""
        del _channels[self._name]
        if not self.is_wanted() and self._worker.status == Status.running:
            # if the client died, only a second `close` releases its reference to the queue
            queue = Queue(self._fit, client=self._client)
            queue.close()
            queue.close()

    def is_wanted(self) -> bool:
        """Tell whether the client still wants this task, and the worker is running."""
        task = self._worker.state.tasks.get(self._key)
        runs = self._worker.status in (Status.running, Status.paused)
        return runs and task is not None and task.state in ("executing", "long-running")

    def send(self, kind: str, *content: object) -> None:
        """Send the client a message."""
        if not self.is_wanted():
            raise Abandoned
        data = pickle.dumps((kind, *content))
        # not by a Queue object, to which the scheduler would keep a reference if this worker died
        put = self._client.scheduler.queue_put  # type: ignore[union-attr]  # a running worker has one
        self._client.sync(put, name=self._fit, data=data, timeout=None)

    def receive(self, interruptible: bool = False) -> Any:
        """Wait for the next answer of the client."""
        while True:
            try:
                return self.answers.get(timeout=POLL_SECONDS)
            except Empty:
                if interruptible:
                    self.check()
                elif not self.is_wanted():
                    raise Abandoned from None

    def check(self) -> None:
        """Raise if the user interrupted the fit, or the client is gone."""
        if self.interrupted:
            raise KeyboardInterrupt
        if not self.is_wanted():
            raise Abandoned


def deliver(fit: str, answer: object, dask_worker: Worker) -> None:
    """Pass an answer to the rank on this worker, where the client runs this; None interrupts the fit."""
    channel = _channels.get((fit, dask_worker.address))
    if channel is not None and answer is None:
        channel.interrupted = True
    elif channel is not None:
        channel.answers.put(answer)


def is_connected(client: Client) -> bool:
    """Tell whether the client's scheduler answers; otherwise each call would wait for it."""
    return bool(client.status == "running")


class ClientChannel:
    """The side of the client, which reads the queue in its event loop, so that no call to the scheduler times out."""

    def __init__(self, fit: str, client: Client):
        self._fit, self._client, self._queue = fit, client, Queue(fit, client=client)
        self._arrived: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        loop = client.loop.asyncio_loop  # type: ignore[union-attr]  # a connected client has one
        self._reader = asyncio.run_coroutine_threadsafe(self._read(), loop)

    async def _read(self) -> None:
        try:
            while (message := await self._queue.get(asynchronous=True)) is not None:
                self._arrived.put(pickle.loads(message))
        except Exception as error:  # of the connection
            self._arrived.put(("disconnected", error))

    def send(self, answer: object, addresses: list[str]) -> None:
        """Send the ranks on these workers an answer; None interrupts them."""
        self._client.run(deliver, self._fit, answer, workers=addresses, on_error="ignore")

    def receive(self, timeout: float) -> tuple[Any, ...] | None:
        """The next message, or None after a timeout in seconds."""
        try:
            return self._arrived.get(timeout=timeout)
        except Empty:
            return None

    def receive_rest(self) -> list[tuple[Any, ...]]:
        """All messages that were sent before this call, even if they are still being transferred."""
        self._queue.put(None)
        while is_connected(self._client) and not self._reader.done():
            futures.wait([self._reader], POLL_SECONDS)
        return [self._arrived.get() for _ in range(self._arrived.qsize())]

    def close(self) -> None:
        """Release the queue on the scheduler."""
        if is_connected(self._client) and not self._reader.done():
            self._queue.put(None)
            futures.wait([self._reader], POLL_SECONDS)
        self._reader.cancel()
        if is_connected(self._client):
            self._queue.close()
