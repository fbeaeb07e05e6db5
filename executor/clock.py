"""Time for the executor: monotonic nanoseconds, and calls at a time.

`SystemClock` runs calls on one timer thread that exists only once something was scheduled. `ManualClock` stands still
until a test advances it and runs what is due on the test's thread.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Protocol

SWEEP = 1024
"""Scheduled calls from which on cancelled ones are dropped early."""

_log = logging.getLogger("pipectl")


class Timer:
    """A scheduled call; `cancel` keeps it from running if it has not begun."""

    __slots__ = ("call", "when_ns")

    def __init__(self, when_ns: int, call: Callable[[], None]) -> None:
        self.when_ns = when_ns
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Clock(Protocol):
    """What the executor needs of time."""

    def now(self) -> int:
        """Monotonic nanoseconds."""

    def call_at(self, when_ns: int, call: Callable[[], None]) -> Timer:
        """Run `call` soon after `when_ns`, on another thread; it must be short and must not raise."""

    def close(self) -> None:
        """Drop what is scheduled and end the timer thread."""


class SystemClock:
    """The machine's monotonic clock."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._ids = count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._sweep_at = SWEEP

    now = staticmethod(time.monotonic_ns)

    def call_at(self, when_ns: int, call: Callable[[], None]) -> Timer:
        timer = Timer(when_ns, call)
        with self._changed:
            if len(self._heap) >= self._sweep_at:
                self._sweep()
            heapq.heappush(self._heap, (when_ns, next(self._ids), timer))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="pipectl-timer", daemon=True)
                self._thread.start()
            elif self._heap[0][2] is timer:
                self._changed.notify()
        return timer

    def _sweep(self) -> None:
        """Drop cancelled calls, which deadlines far ahead would keep."""
        self._heap = [item for item in self._heap if item[2].call is not None]
        heapq.heapify(self._heap)
        self._sweep_at = max(SWEEP, 2 * len(self._heap))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._due():
                    wait = (self._heap[0][0] - self.now()) / 1e9 if self._heap else None
                    self._changed.wait(wait)
                if self._closed:
                    return
                timer = heapq.heappop(self._heap)[2]
            if (call := timer.call) is not None:
                try:
                    call()
                except BaseException:  # the thread is there for all other calls too
                    _log.exception("a timed call raised")

    def _due(self) -> bool:
        return bool(self._heap) and self._heap[0][0] <= self.now()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()


class ManualClock:
    """Stands still; `advance` moves it and runs what became due, in order, on the calling thread."""

    def __init__(self, start_ns: int = 1_000_000_000) -> None:
        self._now = start_ns
        self._heap: list[tuple[int, int, Timer]] = []
        self._ids = count()
        self._lock = threading.Lock()

    def now(self) -> int:
        return self._now

    def call_at(self, when_ns: int, call: Callable[[], None]) -> Timer:
        timer = Timer(when_ns, call)
        with self._lock:
            heapq.heappush(self._heap, (when_ns, next(self._ids), timer))
        return timer

    def advance(self, ns: int) -> None:
        end = self._now + ns
        while True:
            with self._lock:
                if not self._heap or self._heap[0][0] > end:
                    break
                when, _, timer = heapq.heappop(self._heap)
            self._now = max(self._now, when)
            if (call := timer.call) is not None:
                call()
        self._now = end

    def close(self) -> None:
        with self._lock:
            self._heap.clear()
