"""Messages between client and ranks: to them a mailbox in the worker's process, back through a queue of Dask's."""

from __future__ import annotations

import asyncio
import pickle
from concurrent import futures
from queue import Empty, SimpleQueue
from typing import Any

from distributed import Queue, Status, get_client, get_worker

POLL_SECONDS = 0.5

_boxes: dict[tuple[str, str], Mailbox] = {}  # by fit and worker


class Abandoned(Exception):
    """Nobody waits for this fit any more."""


class Mailbox:
    """A rank's: what the client sends it, by `deliver`, and what it sends the client."""

    def __init__(self, fit: str):
        self._worker = get_worker()
        self._name = fit, self._worker.address
        self._key = self._worker.get_current_task()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._fit = fit
        self._client: Any = get_client()
        self.interrupted = False

    def __enter__(self) -> Mailbox:
        _boxes[self._name] = self
        return self

    def __exit__(self, *error: Any) -> None:
        del _boxes[self._name]
        if not self.is_wanted() and self._worker.status == Status.running:
            # the client may have died, with a share in the queue that only a second `close` gives back
            queue = Queue(self._fit, client=self._client)
            queue.close()
            queue.close()

    def is_wanted(self) -> bool:
        """Tell whether the client still wants this task, and the worker goes on."""
        task = self._worker.state.tasks.get(self._key)
        runs = self._worker.status in (Status.running, Status.paused)
        return runs and task is not None and task.state in ("executing", "long-running")

    def tell(self, kind: str, *content: Any) -> None:
        """Send the client a message."""
        if not self.is_wanted():
            raise Abandoned
        # no Queue here: the scheduler would keep it for a worker that dies
        self._client.sync(
            self._client.scheduler.queue_put,
            name=self._fit,
            data=pickle.dumps((kind, *content)),
            timeout=None,
        )

    def wait(self, interruptible: bool = False) -> Any:
        """The client's next answer."""
        while True:
            try:
                return self._answers.get(timeout=POLL_SECONDS)
            except Empty:
                if interruptible:
                    self.check()
                elif not self.is_wanted():
                    raise Abandoned from None

    def check(self) -> None:
        """Raise if the user interrupts the fit, or has left."""
        if self.interrupted:
            raise KeyboardInterrupt
        if not self.is_wanted():
            raise Abandoned

    def receive(self, answer: Any) -> None:
        """Take what the client sends; None interrupts."""
        if answer is None:
            self.interrupted = True
        else:
            self._answers.put(answer)


def is_connected(client: Any) -> bool:
    """Tell whether its scheduler hears a client: without one each call would wait for it to come back."""
    return client.status == "running"


class Inbox:
    """The client's: it waits for messages in the client's loop, so that no call to the scheduler times out."""

    def __init__(self, fit: str, client: Any):
        self._queue, self._client = Queue(fit, client=client), client
        self._arrived: SimpleQueue[Any] = SimpleQueue()
        self._pump = asyncio.run_coroutine_threadsafe(self._fetch(), client.loop.asyncio_loop)

    async def _fetch(self) -> None:
        try:
            while (message := await self._queue.get(asynchronous=True)) is not None:
                self._arrived.put(pickle.loads(message))
        except Exception as error:  # of the connection
            self._arrived.put(("lost", error))

    def next(self, timeout: float) -> Any:
        """The next message, or None if there is none for so many seconds."""
        try:
            return self._arrived.get(timeout=timeout)
        except Empty:
            return None

    def rest(self) -> list[Any]:
        """All messages that were sent before this call, however long they are on their way."""
        self._queue.put(None)
        while is_connected(self._client) and not self._pump.done():
            futures.wait([self._pump], POLL_SECONDS)
        messages = []
        while not self._arrived.empty():
            messages.append(self._arrived.get())
        return messages

    def close(self) -> None:
        """Leave nothing behind on the scheduler."""
        if is_connected(self._client) and not self._pump.done():
            self._queue.put(None)
            futures.wait([self._pump], POLL_SECONDS)
        self._pump.cancel()
        if is_connected(self._client):
            self._queue.close()


def deliver(fit: str, answer: Any, dask_worker: Any) -> None:
    """Put an answer into a worker's mailbox; the client has the worker run this."""
    box = _boxes.get((fit, dask_worker.address))
    if box is not None:
        box.receive(answer)
