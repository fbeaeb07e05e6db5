"""Streams that know what they are behind, so that nothing is waited for twice.

Every launch, and every wait, is a tick of its stream. An event stands for a tick, and for all ticks of other streams
that its stream was behind then. A stream that is to come after a tick of another one waits only if it is not behind it
already, on the earliest event that covers it; one is recorded only when somebody asks. So the events that are recorded
are those of the transitive reduction of what really depended on what.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .array import DeviceArray

if TYPE_CHECKING:
    from .accelerator import Accelerator
    from .capture import Hold

Clock = dict["Stream", int]
"""Ticks of streams that something comes after."""

LOCK = threading.RLock()
"""Held while work is enqueued and while blocks and streams are looked at, on any device: copies concern two. Short."""

_here = threading.local()


class Event:
    """A point in a stream."""

    __slots__ = ("_passed", "clock", "handle", "kept", "stream", "tick")

    def __init__(self, stream: Stream, handle: Any, tick: int, clock: Clock, kept: list[Any]) -> None:
        self.stream = stream
        self.handle = handle
        self.tick = tick
        self.clock = clock
        """What it is behind, its own tick included."""
        self.kept = kept
        """What must live until it has passed."""
        self._passed = False

    def ready(self) -> bool:
        """Whether the work before it has ended. Never blocks. DeviceLost, or what the work failed with."""
        if not self._passed and self.stream.device.driver.ready(self.handle):
            self.passed()
        return self._passed

    def synchronize(self) -> None:
        """Block the calling thread until the work before it has ended; the GIL is released."""
        if not self._passed:
            self.stream.device.driver.synchronize(self.handle)
            self.passed()

    def passed(self) -> None:
        """It is known that the work before it has ended: what was kept for it may go."""
        self._passed = True
        self.kept = []

    def __del__(self) -> None:
        handle, self.handle = self.handle, None
        self.stream.device.driver.recycle(handle)


class Stream:
    """A queue of work on an accelerator. Launches on one stream may come from several threads, one at a time."""

    __slots__ = ("_events", "_kept", "clock", "device", "handle", "hold", "lane", "number", "rested", "ticks")

    def __init__(self, device: Accelerator, handle: Any, number: int, lane: int = 0) -> None:
        self.device = device
        self.handle = handle
        self.number = number
        self.lane = lane
        """Streams of one lane serve the chains of one batch at a time."""
        self.hold: Hold | None = None
        """What is launched now is written down instead of run: memory allocated meanwhile is the graph's."""
        self.ticks = 0
        """Launches and waits so far."""
        self.rested = 0
        """Ticks up to here are known to have ended."""
        self.clock: Clock = {self: 0}
        self._events: deque[Event] = deque(maxlen=64)
        """Those recorded last, oldest first."""
        self._kept: list[Any] = []
        """What must live until what was launched so far has ended."""

    def launch(
        self, work: Callable[..., None], writes: Sequence[DeviceArray] = (), reads: Sequence[DeviceArray] = ()
    ) -> None:
        """Enqueue `work(*writes, *reads)`, given the library's own arrays; it computes with `device.xp` and touches
        nothing else. Ordered behind everything that wrote what it reads, or used what it writes."""
        with self.device.lock:
            self.order(writes, reads)
            self.device.driver.launch(self.handle, work, [a.data for a in writes], [a.data for a in reads])
            self.launched(writes, reads)

    def order(self, writes: Sequence[DeviceArray] = (), reads: Sequence[DeviceArray] = ()) -> None:
        """Order what comes next behind the work that made or used these arrays."""
        with self.device.lock:
            for array in reads:
                array.block.order_read(self)
            for array in writes:
                array.block.order_write(self)

    def launched(self, writes: Sequence[DeviceArray] = (), reads: Sequence[DeviceArray] = ()) -> None:
        """Say that work on these arrays was enqueued, by a library that takes the stream itself."""
        with self.device.lock:
            self.ticks += 1
            self.clock[self] = self.ticks
            for array in reads:
                array.block.was_read(self, self.ticks)
            for array in writes:
                array.block.was_written(self, self.ticks)

    def keep(self, *things: Any) -> None:
        """Keep Python objects alive until what was launched so far has ended."""
        with self.device.lock:  # `record`, on another thread, may take the list meanwhile
            self._kept.extend(things)

    def abandon(self) -> None:
        """What is kept alive for what was launched last may go: the device is lost. With the lock held."""
        self._kept = []

    def record(self) -> Event:
        """An event behind everything launched so far; the one there is, if nothing was launched since."""
        with self.device.lock:
            if self._events and self._events[-1].tick == self.ticks and not self._kept:
                return self._events[-1]
            self.device.events += 1
            kept, self._kept = self._kept, []
            if self.hold is not None:  # it would be given up when it has been written down, not when it has run
                self.hold.things += kept
                kept = []
            event = Event(self, self.device.driver.record(self.handle), self.ticks, dict(self.clock), kept)
            self._events.append(event)
            if kept:
                self.device.keeping.append(event)
                self.device.sweep()
            return event

    def wait(self, event: Event) -> None:
        """What is launched from here on starts after the event. Does not block the calling thread."""
        with self.device.lock:
            clock = self.clock
            if event.handle is None or clock.get(event.stream, -1) >= event.tick:
                return  # no handle: it is collected together with its device
            self.device.waits += 1
            self.device.driver.wait(self.handle, event.handle)
            self.ticks += 1  # memory freed behind this wait may be given to who comes after it only
            clock[self] = self.ticks
            for stream, tick in event.clock.items():
                if clock.get(stream, -1) < tick:
                    clock[stream] = tick

    def after(self, other: Stream, tick: int) -> None:
        """What is launched from here on starts after a tick of another stream."""
        if other is self or tick <= other.rested or self.clock.get(other, -1) >= tick:
            return
        self.wait(other.event_after(tick))

    def event_after(self, tick: int) -> Event:
        """The earliest event known that is behind a tick; recorded now if there is none."""
        found = None
        for event in reversed(self._events):  # what is waited for was launched lately
            if event.tick < tick:
                break
            found = event
        return found or self.record()

    def settle(self) -> None:
        """Block the calling thread until everything launched has ended; nobody waits for that any more."""
        event = self.record()
        event.synchronize()
        with self.device.lock:
            self.rested = max(self.rested, event.tick)

    def forget(self) -> None:
        """What was launched was written down only: there is nothing to wait for."""
        with self.device.lock:
            self.rested = self.ticks
            self._events.clear()

    def synchronize(self) -> None:
        """Block the calling thread until everything launched has ended."""
        self.record().synchronize()

    @property
    def address(self) -> int:
        """The stream as libraries that take a number want it."""
        return self.device.driver.address_of(self.handle)

    @contextmanager
    def use(self) -> Iterator[None]:
        """Make it the calling thread's current stream, here and in every library that has such a thing."""
        before = getattr(_here, "stream", None)
        _here.stream = self
        try:
            with self.device.driver.current(self.handle):
                yield
        finally:
            _here.stream = before

    def __repr__(self) -> str:
        return f"Stream({self.number} of {self.device.name}, lane {self.lane})"


def current(device: Accelerator) -> Stream:
    """The stream that the calling thread works on, if it is the device's; else the device's own for odd work."""
    stream: Stream | None = getattr(_here, "stream", None)
    return stream if stream is not None and stream.device is device else device.side


def current_device() -> Accelerator | None:
    """The device of the stream that the calling thread works on, if it does."""
    stream: Stream | None = getattr(_here, "stream", None)
    return None if stream is None else stream.device
