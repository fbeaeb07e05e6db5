"""Work written down once as a graph, to be launched as a whole as often as wanted.

A captured graph works on the memory that it was captured with. So what was allocated meanwhile belongs to the graph
and lives as long as it does, whoever drops the arrays; and the streams it was written down on are for nothing else, or
their events, which exist inside the graph only, would be waited for outside.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .driver import DeviceLost, Handle

if TYPE_CHECKING:
    from .accelerator import Accelerator
    from .block import Block
    from .stream import Stream

_ONE = threading.Lock()
"""Held while something is captured: the streams for that are shared."""
_streams: WeakKeyDictionary[Accelerator, list[Stream]] = WeakKeyDictionary()


class Hold:
    """Memory and objects of one graph."""

    __slots__ = ("_memory", "open", "things")

    def __init__(self) -> None:
        self.open = True
        self.things: list[Any] = []
        """What must live as long as the graph."""
        self._memory: list[tuple[Any, int, Stream]] = []

    def take(self, block: Block) -> bool:
        """Keep the memory of a block that nobody else refers to any more; False if the graph is gone."""
        with block.device.lock:
            if not self.open:
                return False
            self._memory.append((block.memory, block.nbytes, block.stream))
            self.things.append(block.owner)
            return True

    def close(self) -> None:
        """The graph is gone: give the memory back. The stream it was captured on is behind its last launch."""
        self.open = False
        self.things = []
        for memory, nbytes, stream in self._memory:
            with contextlib.suppress(DeviceLost), stream.device.lock:
                stream.device.live_bytes -= nbytes
                if memory is not None:
                    stream.device.driver.free(memory, stream.handle)
        self._memory = []


def streams_for_capture(device: Accelerator, count: int) -> list[Stream]:
    """The streams of a device that work is written down on, `count` of them; to be used inside of `one_at_a_time`."""
    found = _streams.setdefault(device, [])
    while len(found) < count:
        found.append(device.stream())
    return found[:count]


def one_at_a_time() -> threading.Lock:
    """Held by who uses `streams_for_capture`."""
    return _ONE


def captured(streams: Sequence[Stream], work: Callable[[], Any]) -> tuple[Handle, Hold, Any]:
    """What `work` launches on these streams, as a graph that is launched on one: the handle, what belongs to it, and
    what `work` returned.

    The streams are forked from the first and joined to it again. They are at rest, and behind everything that `work`
    reads, since waiting for events from outside is not allowed while it is written down. Raises what `work` or the
    device's library raises; then nothing is left of it."""
    first, *others = streams
    driver = first.device.driver
    hold = Hold()
    for stream in streams:
        stream.hold = hold
    try:
        driver.begin_capture(first.handle)
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
                driver.end_capture(first.handle)
            raise
        handle = driver.end_capture(first.handle)
    except BaseException:
        hold.close()
        raise
    finally:
        for stream in streams:
            stream.hold = None
            stream.forget()
    return handle, hold, made
