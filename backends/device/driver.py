"""What an accelerator's library must be able to do: raw streams, events, memory, copies, captured graphs.

A `Driver` is one device as its library sees it (CUDA through CuPy, or the simulator). It does as it is told and keeps
no books; which work waits for which, how long memory lives and what may be reused is decided once, in `Stream`, `Block`
and `Accelerator`, for all of them.

    handle    a library's own stream, event, memory or graph: passed back, never looked into
    data      an array of the library's own (`cupy.ndarray`, numpy over simulated memory), of the storage dtype

Work on one stream runs in order; `wait` orders it after an event; nothing else does. Errors: MemoryError where memory
is short, `DeviceLost` where the device can not be used any more, everything else is the library's own exception.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from backends.base import BackendError
from backends.values import Array

Handle = Any
Data = Any


class DeviceLost(Exception):
    """A device that can not be used any more: an illegal address in a kernel, a driver that is gone.

    Sticky: every later call on the device raises it too, and only a new process can use the device again."""


class CurrentChanged(Exception):
    """A stage left another device or stream current than it was called with. They were set back."""


def partition_refused(device: str, sms: int, there: int) -> BackendError:
    """A device that does not have as many multiprocessors as a partition is to have."""
    text = f"`sms = {sms}`: {device} has {there} multiprocessors"
    return BackendError(text, f"write a number from 1 to {there}, or leave `sms` out")


class Driver(Protocol):
    """One device."""

    name: str
    """`cuda:0`, `sim:1`."""
    index: int
    xp: Any
    """The module that computes on its data: cupy, or numpy."""

    @property
    def lost(self) -> DeviceLost | None:
        """Why it can not be used any more; None while it can."""

    def translated(self, error: Exception) -> Exception:
        """What an exception of a stage's code means: MemoryError, DeviceLost, or itself."""

    # ---- streams

    def open_stream(self, high_priority: bool) -> Handle:
        """A new stream, never the library's default one."""

    def open_partition_stream(self, sms: int) -> Handle:
        """A new stream whose work is kept to `sms` of the multiprocessors, more where the device splits by larger
        steps; streams of one size share theirs. BackendError where that can not be, with what to do."""

    def current(self, stream: Handle) -> AbstractContextManager[Any]:
        """Make device and stream the calling thread's current ones in every library that has such a thing."""

    def address_of(self, stream: Handle) -> int:
        """The stream as libraries that take a number want it; never 0."""

    def check_current(self, stream: Handle, stage: str) -> None:
        """CurrentChanged if a stage left another device or stream current than `stream`; they are set back then."""

    def launch(self, stream: Handle, work: Callable[..., None], writes: Sequence[Data], reads: Sequence[Data]) -> None:
        """Enqueue `work(*writes, *reads)`, which computes with `xp` and touches nothing else."""

    # ---- events

    def record(self, stream: Handle) -> Handle:
        """An event behind everything launched so far."""

    def wait(self, stream: Handle, event: Handle) -> None:
        """What is launched on `stream` from here on starts after the event. Does not block the caller."""

    def ready(self, event: Handle) -> bool:
        """Whether the work before it has ended. Never blocks."""

    def synchronize(self, event: Handle) -> None:
        """Block the calling thread until the work before it has ended; the GIL is released."""

    def recycle(self, event: Handle) -> None:
        """Nobody refers to it any more: `record` may use it again."""

    def mark(self, stream: Handle) -> Handle:
        """A point in a stream whose time is taken."""

    def elapsed(self, start: Handle, end: Handle) -> float:
        """Seconds between two marks that were passed."""

    # ---- memory

    def allocate(self, nbytes: int, stream: Handle) -> Handle:
        """Memory that work on `stream` may use at once. MemoryError where there is none."""

    def free(self, memory: Handle, stream: Handle) -> None:
        """Later work on `stream` may use it for something else: the caller has ordered `stream` behind every use."""

    def view(self, memory: Handle, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Data:
        """A C-contiguous array at the beginning of the memory."""

    def address(self, data: Data) -> int:
        """Where its first item lies."""

    def holds(self, value: Any) -> bool:
        """Whether a library's array lies in this device's memory."""

    def adopt(self, value: Any) -> Data:
        """An array of another library that `holds` is true of, as data over the same memory."""

    def pinned(self, nbytes: int) -> Any:
        """Host memory that copies to and from the device may use while the caller goes on; it has the buffer protocol
        and goes back to its pool when nothing refers to it any more."""

    def upload(self, stream: Handle, target: Data, source: Array) -> None:
        """Enqueue a copy of a host array, which must not change or die until the stream has passed it."""

    def download(self, stream: Handle, target: Array, source: Data) -> None:
        """Enqueue a copy to a host array, defined once the stream has passed it."""

    def transfer(self, stream: Handle, target: Data, source: Data, other: Driver) -> bool:
        """Enqueue a copy from another device's memory, on a stream of this one; False where the two can not."""

    def memory(self) -> tuple[int, int]:
        """(bytes in use, bytes in all)."""

    def trim(self) -> None:
        """Give back memory that is kept for later use."""

    # ---- graphs

    def begin_capture(self, stream: Handle) -> None:
        """Write down what is launched on the stream, and on those that wait for its events, instead of running it."""

    def end_capture(self, stream: Handle) -> Handle:
        """What was written down, ready to be launched as often as wanted."""

    def replay(self, graph: Handle, stream: Handle) -> None:
        """Launch all of it."""

    def close(self) -> None:
        """Release what it holds; nothing is running."""
