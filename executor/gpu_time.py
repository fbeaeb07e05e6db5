"""GPU time of stages, from some of their executions: taking the time costs two events.

span = times.begin("encode", driver, stream)      None for most executions
... what the stage enqueues ...
span.end()
... once the work has ended ...
span.passed()
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Lock
from typing import Any

from backends.device import Driver

EVERY = 64
"""Executions of a stage, of which one is measured."""


class Span:
    """One execution whose time is taken. It holds its device's events until `passed`, or until it is dropped."""

    __slots__ = ("_driver", "_end", "_of", "_stage", "_start", "_stream", "_weight")

    def __init__(self, of: GpuTime, stage: str, weight: int, driver: Driver, stream: Any) -> None:
        self._of = of
        self._stage = stage
        self._weight = weight
        self._driver = driver
        self._stream = stream
        self._start = driver.mark(stream)
        self._end: Any = None

    def end(self) -> None:
        """All its work is enqueued."""
        self._end = self._driver.mark(self._stream)

    def passed(self) -> None:
        """All of it has ended."""
        self._of.add(self._stage, self._weight * self._driver.elapsed(self._start, self._end))


class GpuTime:
    """Seconds by stage. A measured execution stands for those since the one before it."""

    def __init__(self, every: int = EVERY) -> None:
        self._every = every
        self._lock = Lock()
        self._calls: Counter[str] = Counter()
        """Executions since the last one that was measured, by stage."""
        self._seconds: dict[str, float] = {}

    def begin(self, stage: str, driver: Driver, stream: Any, order: Callable[[], object] = lambda: None) -> Span | None:
        """Take the time of what is enqueued from here on, if it is this execution's turn; a stage's first one is.

        `order` is called then, before the time begins: what the stream waits for is no time of the stage."""
        with self._lock:
            first = stage not in self._calls
            self._calls[stage] += 1
            weight = self._calls[stage]
            if not first and weight < self._every:
                return None
            self._calls[stage] = 0
        order()
        return Span(self, stage, weight, driver, stream)

    def add(self, stage: str, seconds: float) -> None:
        """Count GPU time of a stage."""
        with self._lock:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def seconds(self, stage: str) -> float | None:
        """So far; None if none was measured."""
        with self._lock:
            return self._seconds.get(stage)
