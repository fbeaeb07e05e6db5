"""Streams of the simulator: queues of work that has not run, each with a vector clock.

A stream's clock says, for each stream, up to which tick its next work is ordered behind. `wait` takes over an event's
clock, and work issued after the host waited for an event takes over what the host waited for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from backends.device.driver import DeviceLost

if TYPE_CHECKING:
    from .driver import SimDriver
    from .graph import Capture
    from .memory import Life

Clock = dict[int, int]
"""Numbers of streams to ticks."""


class Op:
    """Something a stream does."""

    __slots__ = ("after", "cost", "done", "end", "fails", "issued", "label", "lives", "number", "run", "stream", "tick")

    def __init__(self, stream: SimStream, label: str) -> None:
        """The next one of its stream; not in the queue yet."""
        self.stream = stream
        self.number = stream.number
        self.tick = stream.tick + 1
        self.label = label
        self.after: list[Op] = []
        """Of other streams, besides the one before it in its own."""
        self.run: Callable[[], None] | None = None
        self.lives: list[Life] = []
        """Memory it uses."""
        self.cost = 0.0
        """Seconds."""
        self.issued = 0.0
        """Not before, in simulated seconds."""
        self.end = 0.0
        self.done = False
        self.fails: DeviceLost | None = None
        """Instead of running."""

    def __repr__(self) -> str:
        return f"`{self.label}` (no. {self.tick} of {self.stream})"


class SimStream:
    """One stream: ops that have not run yet, in order."""

    __slots__ = (
        *("capture", "clock", "driver", "host", "last", "number", "place", "queue", "sms", "tick", "time", "waits"),
    )

    def __init__(self, driver: SimDriver, number: int, sms: int = 0) -> None:
        self.driver = driver
        self.number = number
        """Unique in its simulation, from 1 on."""
        self.place = driver.name
        self.sms = sms
        """Multiprocessors that its work is kept to; 0: all."""
        self.queue: deque[Op] = deque()
        self.clock: Clock = {number: 0}
        self.tick = 0
        self.waits: list[Op] = []
        """What its next op comes after."""
        self.last: Op | None = None
        self.host = 0
        """How much of what the host waited for is in the clock: the number of times that grew."""
        self.time = 0.0
        """End of the last op that has run, in simulated seconds."""
        self.capture: Capture | None = None

    def __repr__(self) -> str:
        return f"stream {self.number} of {self.place}"


class EventSlot:
    """What an event pool recycles."""

    __slots__ = ("free", "generation", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.generation = 0
        self.free = False


class SimEvent:
    """One record of an event."""

    __slots__ = ("capture", "clock", "generation", "op", "slot", "stream")

    def __init__(self, slot: EventSlot, stream: SimStream, op: Op | None, clock: Clock, capture: Any = None) -> None:
        self.slot = slot
        self.generation = slot.generation
        self.stream = stream
        self.op = op
        """What it comes after; None on a stream where nothing was launched."""
        self.clock = clock
        self.capture = capture

    @property
    def passed(self) -> bool:
        return self.op is None or self.op.done

    @property
    def time(self) -> float:
        """Simulated seconds."""
        return self.op.end if self.op is not None else 0.0

    @property
    def stale(self) -> bool:
        """Whether its slot was recycled."""
        return self.slot.free or self.slot.generation != self.generation

    def __repr__(self) -> str:
        return f"event {self.slot.number}.{self.generation} of {self.stream}"


def merge(into: Clock, other: Clock) -> None:
    """Come behind everything that `other` is behind."""
    for number, tick in other.items():
        if into.get(number, 0) < tick:
            into[number] = tick
