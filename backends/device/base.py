"""The device interface: memory, streams that order work, events that order streams.

A host device runs everything at once, a CUDA device enqueues it, a simulator runs it at adversarial times
and raises on any access that no stream or event orders. Whoever schedules work says so in these words and
nothing else:

    work on one stream runs in order; `stream.wait(event)` orders it after work of another stream; nothing
    else does.

Memory. `empty` gives an array of the device's own library. It may be freed (by dropping it) only after every
stream that uses it has passed its last use: the owner makes the stream it was allocated on wait for those
events first. Errors. MemoryError if memory is short; everything else is the device library's own exception.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Event(Protocol):
    """A point in a stream. Used by one record at a time; free to record again when nobody waits for it."""

    def ready(self) -> bool:
        """Whether the work before it has ended. Never blocks."""

    def synchronize(self) -> None:
        """Block the calling thread until the work before it has ended; the GIL is released."""


@runtime_checkable
class Stream(Protocol):
    """A queue of work on a device."""

    def launch(self, work: Callable[[], None], reads: Sequence[Any] = (), writes: Sequence[Any] = ()) -> None:
        """Run `work` after what was launched before. `reads` and `writes` are the arrays it touches: a
        simulator checks them, the others ignore them. The arrays must stay alive until the work has
        ended."""

    def record(self) -> Event:
        """An event after everything launched so far."""

    def wait(self, event: Event) -> None:
        """What is launched from here on starts after the event. Does not block the calling thread."""

    def synchronize(self) -> None:
        """Block the calling thread until everything launched has ended."""

    def use(self) -> AbstractContextManager[Any]:
        """Make it the calling thread's current stream in every library that has such a thing."""


@runtime_checkable
class Device(Protocol):
    """One place that holds and computes tensors."""

    name: str
    """`cpu`, `cuda:0`: as in plans, metrics and `InstanceConfig.device`."""
    is_host: bool
    """Arrays are numpy arrays, and work has ended when `launch` returns."""

    def stream(self, high_priority: bool = False) -> Stream:
        """A new stream, never the library's default one."""

    def empty(self, shape: Sequence[int], dtype: Any, stream: Stream | None = None) -> Any:
        """A new C-contiguous array with undefined content, ready on `stream`."""

    def copy(self, target: Any, source: Any, stream: Stream | None = None) -> None:
        """Copy between arrays of equal shape and dtype, of this device or of the host, ordered on `stream`.

        A host array that takes part must stay untouched until the copy has ended."""

    def to_device(self, array: Any, stream: Stream | None = None) -> Any:
        """The array on this device: itself if it is there, else a copy ordered on `stream`."""

    def to_host(self, array: Any, stream: Stream | None = None) -> Any:
        """The array as numpy array: itself if it is on the host, else a copy ordered on `stream`; its
        content is defined once `stream` has passed."""

    def memory(self) -> tuple[int, int]:
        """(bytes in use, bytes in all); zeros where unknown."""
