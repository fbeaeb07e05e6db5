"""Work written down once as a graph, to be launched as a whole as often as wanted.

A captured graph works on the memory that it was captured with. So what was allocated meanwhile belongs to the graph
and lives as long as it does, whoever drops the arrays. It is captured on streams that are for nothing else: their
events exist inside of the graph only, and nobody outside may wait for them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from .driver import DeviceLost, Handle

if TYPE_CHECKING:
    from .accelerator import Accelerator
    from .block import Block
    from .stream import Stream

T = TypeVar("T")

_ONE = threading.RLock()
"""Held while the streams for capture are used: they are shared."""
_streams: WeakKeyDictionary[Accelerator, list[Stream]] = WeakKeyDictionary()


class Hold:
    """Memory and objects of one graph."""

    __slots__ = ("_behind", "_memory", "open", "things")

    def __init__(self) -> None:
        self.open = True
        self.things: list[Any] = []
        """What must live as long as the graph."""
        self._memory: list[tuple[Any, Stream]] = []
        self._behind: tuple[Stream, int] | None = None
        """A tick behind the last launch of the graph."""

    def take(self, block: Block) -> bool:
        """Keep the memory of a block that nobody else refers to any more; False if the graph is gone, and the block's
        stream behind its last launch."""
        with block.device.lock:
            if self.open:
                self._memory.append((block.memory, block.stream))
                self.things.append(block.owner)
            elif self._behind is not None and block.stream.hold is None:
                block.stream.after(*self._behind)
            return self.open

    def close(self, behind: Stream | None = None) -> None:
        """The graph is gone: give the memory back. `behind`: the stream that is behind its last launch, if any."""
        self.open = False
        self._behind = None if behind is None else (behind, behind.ticks)
        self.things = []
        with _ONE:
            for memory, stream in self._memory:
                with stream.device.lock, contextlib.suppress(DeviceLost):  # memory of a lost device is nobody's
                    if self._behind is not None:
                        stream.after(*self._behind)
                    if memory is not None:
                        stream.device.driver.free(memory, stream.handle)
            self._memory = []


@contextmanager
def capture_streams(device: Accelerator, count: int) -> Iterator[list[Stream]]:
    """The streams of a device that work is captured on, for one thread at a time. All has ended on them before and
    after; what is launched on them outside of `captured` runs as on any other stream."""
    with _ONE:
        found = _streams.setdefault(device, [])
        while len(found) < count:
            found.append(device.stream())
        try:
            yield found[:count]
        finally:
            for stream in found[:count]:
                with contextlib.suppress(DeviceLost):
                    stream.settle()


def captured(streams: Sequence[Stream], work: Callable[[], T]) -> tuple[Handle, Hold, T]:
    """What `work` launches on these streams, as a graph that is launched on one: the handle, what belongs to it, and
    what `work` returned.

    The streams are forked from the first and joined to it again. They are behind everything that `work` reads: it ran
    on them before, as waiting for events from outside is not allowed meanwhile. Raises what `work` or the device's
    library raises; then nothing is left of it."""
    first, *others = streams
    driver = first.device.driver
    hold = Hold()
    for stream in streams:
        stream.settle()
    try:
        with first.device.lock:  # whoever gives memory back meanwhile sees that the streams are captured, or not yet
            first.device.retire_dropped()  # or it would be the graph's
            driver.begin_capture(first.handle)
            for stream in streams:
                stream.hold = hold
        try:
            first.launched()
            fork = first.record()
            for other in others:
                other.wait(fork)
            made = work()
            for other in others:
                first.wait(other.record())
        except BaseException:
            with contextlib.suppress(Exception):  # what is wrong was said already; this only ends it
                _ended(streams)
            raise
        handle = _ended(streams)
    except BaseException:
        hold.close()
        raise
    return handle, hold, made


def _ended(streams: Sequence[Stream]) -> Handle:
    """End the capture; the streams are as any other again."""
    first = streams[0]
    with first.device.lock:
        try:
            return first.device.driver.end_capture(first.handle)
        finally:
            for stream in streams:
                stream.hold = None
                stream.forget()
