"""Ctrl-C and SIGTERM while requests run: the first asks to finish what is under way, the second stops at
once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .console import Exit


class Interrupt:
    """`with Interrupt() as interrupt:` takes the two signals over, on the main thread only.

    While `reading` is entered nothing is under way on this thread but a read that may never end, so the first
    signal raises KeyboardInterrupt there."""

    def __init__(self) -> None:
        self.received: int | None = None
        """The first signal."""
        self._reading = False
        self._before: dict[int, object] = {}

    @property
    def code(self) -> Exit:
        return Exit.TERMINATED if self.received == signal.SIGTERM else Exit.INTERRUPTED

    def __bool__(self) -> bool:
        return self.received is not None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave

    def _handle(self, number: int, _: FrameType | None) -> None:
        again = self.received is not None
        self.received = self.received or number
        if again or self._reading:
            raise KeyboardInterrupt

    @contextmanager
    def reading(self) -> Iterator[None]:
        self._reading = True
        try:
            yield
        finally:
            self._reading = False
