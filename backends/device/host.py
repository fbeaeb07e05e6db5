"""The host as a device: numpy arrays, and streams on which everything has ended before it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from .base import Event, Stream


class HostEvent:
    """Always past."""

    __slots__ = ()

    def ready(self) -> bool:
        return True

    def synchronize(self) -> None:
        """Return at once."""


class HostStream:
    """Runs work when it is launched, on the calling thread."""

    __slots__ = ()

    def launch(self, work: Callable[[], None], reads: Sequence[Any] = (), writes: Sequence[Any] = ()) -> None:
        work()

    def record(self) -> Event:
        return EVENT

    def wait(self, event: Event) -> None:
        """Nothing to order: the event's work may be another device's, so its end is awaited here."""
        event.synchronize()

    def synchronize(self) -> None:
        """Return at once."""

    def use(self) -> AbstractContextManager[Any]:
        return nullcontext()


EVENT = HostEvent()
STREAM = HostStream()


class HostDevice:
    """Main memory and the calling thread."""

    name = "cpu"
    is_host = True

    def stream(self, high_priority: bool = False) -> Stream:
        return STREAM

    def empty(self, shape: Sequence[int], dtype: Any, stream: Stream | None = None) -> Any:
        return np.empty(tuple(shape), dtype)

    def copy(self, target: Any, source: Any, stream: Stream | None = None) -> None:
        """ValueError if the arrays differ in shape, TypeError if they differ in dtype."""
        if target.shape != source.shape:
            raise ValueError(f"copy from shape {source.shape} to {target.shape}")
        np.copyto(target, source, casting="no")

    def to_device(self, array: Any, stream: Stream | None = None) -> Any:
        return array

    def to_host(self, array: Any, stream: Stream | None = None) -> Any:
        return array

    def memory(self) -> tuple[int, int]:
        return 0, 0
