"""The threads that run groups: a shared pool, and one thread of its own for each thread-affine instance.

A worker takes a call from its queue and runs it; what the call returns is the next call to run on the same thread,
without a queue (run on), or None.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

_log = logging.getLogger("pipectl")

Task = Callable[[], Any]
"""Returns the next task to run on, or None."""


class Worker:
    """Threads that serve one queue."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._name = name
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self.put = self._queue.put
        """Run a task as soon as a thread is free."""
        self._threads: list[threading.Thread] = []
        self.grow(threads)

    def grow(self, threads: int) -> None:
        """Start further threads."""
        for _ in range(threads):
            name = f"{self._name}-{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
            self._threads[-1].start()

    def _serve(self) -> None:
        get = self._queue.get
        while (task := get()) is not None:
            try:
                while task is not None:
                    task = task()
            except BaseException:
                _log.exception("a task raised")

    def call(self, task: Callable[[], Any], timeout: float | None = None) -> Any:
        """Run something on one of the threads and wait for what it returns or raises.

        TimeoutError if it has not ended after `timeout` seconds; it runs nevertheless once the thread is free."""
        if threading.current_thread() in self._threads:
            return task()
        done: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        def run() -> None:
            try:
                done.put((task(), None))
            except BaseException as error:
                done.put((None, error))

        self.put(run)
        try:
            value, error = done.get(timeout=timeout)
        except Empty:
            raise TimeoutError(f"it was still busy after {timeout} s") from None
        if error is not None:
            raise error
        return value

    def drop(self) -> None:
        """Forget the tasks that came after its threads had ended."""
        with contextlib.suppress(Empty):
            while True:
                self._queue.get_nowait()

    def stop(self, timeout: float) -> bool:
        """End all threads once the queue is empty; False if one still runs after `timeout` seconds."""
        for _ in self._threads:
            self.put(None)
        end = time.monotonic() + timeout
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))
        return not any(t.is_alive() for t in self._threads)
