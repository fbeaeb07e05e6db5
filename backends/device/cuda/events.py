"""Events, recorded again and again, and marks, whose time is taken.

An event is a number that counts: one that went back to the pool can not be used through an old reference any more.
"""

from __future__ import annotations

from collections import deque
from typing import Any

NOT_READY = 600


class CudaEvent:
    """One record of an event."""

    __slots__ = ("captured", "raw")

    def __init__(self, raw: Any, captured: bool) -> None:
        self.raw = raw
        """CuPy's event; None once it went back."""
        self.captured = captured
        """Recorded while a graph was written down: part of the graph, and never past."""

    def held(self) -> Any:
        """CuPy's event. RuntimeError if it may be recorded for something else by now."""
        if self.raw is None:
            raise RuntimeError("an event was used after it went back to its pool")
        return self.raw


class Mark(CudaEvent):
    """A point whose time is taken; it goes back to its pool when nothing refers to it."""

    __slots__ = ("_pool",)

    def __init__(self, raw: Any, captured: bool, pool: deque[Any]) -> None:
        super().__init__(raw, captured)
        self._pool = pool

    def __del__(self) -> None:
        if self.raw is not None:
            self._pool.append(self.raw)


class Events:
    """The events of one device. Threads that wait for one sleep: they are made for blocking."""

    def __init__(self, cupy: Any) -> None:
        self._make = cupy.cuda.Event
        self._runtime = cupy.cuda.runtime
        self._idle: deque[Any] = deque()
        self._idle_marks: deque[Any] = deque()
        self.made = 0
        """So far."""

    def take(self, captured: bool) -> CudaEvent:
        """An event to record. The device must be the calling thread's current one if `lacking`."""
        try:
            raw = self._idle.popleft()  # the one that went back first: the least likely to be waited for still
        except IndexError:
            self.made += 1
            raw = self._make(block=True, disable_timing=True)
        return CudaEvent(raw, captured)

    def take_mark(self, captured: bool) -> Mark:
        """The same, with its time."""
        try:
            raw = self._idle_marks.popleft()
        except IndexError:
            self.made += 1
            raw = self._make(block=True, disable_timing=False)
        return Mark(raw, captured, self._idle_marks)

    @property
    def lacking(self) -> bool:
        """Whether the next `take` makes a new one."""
        return not self._idle

    def passed(self, event: CudaEvent) -> bool:
        """Whether the work before it has ended. What that work failed with is raised, which CuPy's own `done` takes for
        "not yet"."""
        status = self._runtime.eventQuery(event.held().ptr)
        if status in (0, NOT_READY):
            return bool(status == 0)
        raise self._runtime.CUDARuntimeError(status)

    def give_back(self, event: CudaEvent) -> None:
        """Nobody refers to it any more. RuntimeError the second time."""
        raw, event.raw = event.held(), None
        (self._idle_marks if isinstance(event, Mark) else self._idle).append(raw)
