"""A block: device memory, which stream wrote it last, and which streams read it since.

Arrays are views of blocks. When the last view is dropped the block is *retired*: the stream it was allocated on is
ordered behind every other stream that used it, and only then may the pool give the memory out again. So memory lives
until its last consumer without anybody waiting for anything, and without help from the library's allocator. A block
is retired by whoever next wants memory of its device, or sweeps it (`Accelerator.dropped`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from .driver import DeviceLost

if TYPE_CHECKING:
    from .accelerator import Accelerator
    from .stream import Stream


class Block:
    """Memory of one device. Changed by whoever launches work on it, under the device's lock."""

    __slots__ = (
        "__weakref__",
        "allocated",
        "device",
        "hold",
        "memory",
        "nbytes",
        "owner",
        "reads",
        "stream",
        "writer",
        "written",
    )

    def __init__(self, device: Accelerator, memory: Any, nbytes: int, stream: Stream, owner: Any = None) -> None:
        """`owner`: what keeps the memory alive, where another library allocated it (then `memory` is None)."""
        self.device = device
        self.memory = memory
        self.nbytes = nbytes
        self.stream = stream
        """It was allocated on, or handed over on."""
        self.allocated = stream.ticks
        """Tick of that stream behind which the memory is free to use."""
        self.owner = owner
        self.hold = stream.hold
        """Of the graph that uses it each time it is replayed."""
        self.writer = stream
        self.written = stream.ticks if owner is not None else 0
        """Tick of the last write on `writer`; 0 where nothing was written."""
        self.reads: dict[Stream, int] = {}
        """Ticks of the last read by each stream since the last write."""

    def order_read(self, stream: Stream) -> None:
        """Order what `stream` launches next behind the last write."""
        if self.written:
            stream.after(self.writer, self.written)
        else:
            stream.after(self.stream, self.allocated)

    def order_write(self, stream: Stream) -> None:
        """Order what `stream` launches next behind every use."""
        self.order_read(stream)
        for other, tick in self.reads.items():
            stream.after(other, tick)

    def was_read(self, stream: Stream, tick: int) -> None:
        self.reads[stream] = tick

    def was_written(self, stream: Stream, tick: int) -> None:
        self.writer = stream
        self.written = tick
        self.reads = {}

    def retire(self) -> None:
        """Order the stream it was allocated on behind every use, and give the memory back."""
        home = self.stream
        with self.device.lock, contextlib.suppress(DeviceLost):  # memory of a lost device is nobody's
            if self.hold is None:
                self.device.held_bytes -= self.nbytes
            # a stream that is captured waits for nothing outside
            if not any(hold is not None and hold.take(self) for hold in (self.hold, home.hold)):
                for stream, tick in ((self.writer, self.written), *self.reads.items()):
                    with contextlib.suppress(DeviceLost):  # another device that is lost uses it no more
                        home.after(stream, tick)
                if self.memory is not None:
                    self.device.driver.free(self.memory, home.handle)
        self.memory = self.owner = None

    def __del__(self) -> None:
        # A collector runs this anywhere, in the middle of a launch and with any lock held: so nothing is done here.
        if self.memory is not None or self.owner is not None:
            self.device.dropped.append(self)
