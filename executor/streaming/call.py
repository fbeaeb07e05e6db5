"""One call of a stage with stream outputs, from its first element to its last.

It is parked, ready to be advanced, or running; `Pump` moves it between these. It makes elements while every stream
that somebody reads has credit and, where it takes a stream itself, that has something for it: so it waits for
elements parked, and not on its instance. After a while it lets others have that.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from backends.base import Elements
from backends.streams import ElementStream, Reader
from backends.values import Value
from executor.cohort import Layout
from executor.columns import size_of
from executor.errors import Cancelled, RequestError, Unavailable
from executor.node import Streaming

if TYPE_CHECKING:
    from executor.element import Element
    from executor.stage import Slot, StageRuntime
    from executor.stats import NodeStats

    from .pump import Pump

TURN_NS = 1_000_000
"""How long a call keeps the instance while others wait for it."""
TURN = 64
"""Elements that it makes at most meanwhile."""


class State(Enum):
    """Changed with the engine's lock held."""

    PARKED = "parked"
    READY = "ready"
    RUNNING = "running"
    ENDED = "ended"


class StreamingCall:
    """Used by the thread that has its slot, but for `cancel`."""

    __slots__ = (
        *("begun_ns", "busy_ns", "cause", "elements", "enqueued_ns", "error", "layout", "made", "node", "pump"),
        *("readers", "rest", "slot", "stage", "state", "streams"),
    )

    def __init__(
        self,
        node: Streaming,
        stage: StageRuntime,
        slot: Slot,
        layout: Layout,
        elements: Elements,
        readers: tuple[Reader, ...],
        enqueued_ns: int,
        begun_ns: int,
        later: Callable[[Callable[[], object]], object],
    ) -> None:
        """`layout` is of the one element it runs for; `readers` are its stream inputs."""
        self.node = node
        self.stage = stage
        self.slot = slot
        self.layout = layout
        self.elements = elements
        self.readers = readers
        self.enqueued_ns = enqueued_ns
        self.begun_ns = begun_ns
        ahead = stage.plan.ahead
        self.streams = tuple(
            ElementStream(ahead.elements, ahead.nbytes, later) for p in stage.plan.outputs if p.type.stream
        )
        self.state = State.PARKED
        self.busy_ns = 0
        self.made = 0
        self.pump: Pump | None = None
        """What advances it, from when it is admitted until it ends."""
        self.error: RequestError | None = None
        """Why it is given up."""
        self.cause: BaseException | None = None
        """What it raised."""
        self.rest: tuple[Value, ...] | None = None
        """Its other outputs, once it has ended well."""

    def __repr__(self) -> str:
        return f"StreamingCall({self.node.name} of {self.owner.id!r}, {self.state.value}, {self.made} elements)"

    @property
    def owner(self) -> Element:
        return self.layout.owners[0]

    @property
    def stats(self) -> NodeStats:
        """Of its call site on its instance."""
        return self.stage.stats(self.node.name, self.slot)

    @property
    def credit(self) -> bool:
        """Whether another element may be made."""
        return all(stream.credit for stream in self.streams)

    @property
    def fed(self) -> bool:
        """Whether a stream that it takes has something for it: an element, or the end."""
        return not self.readers or any(reader.ready for reader in self.readers)

    def wait(self, call: Callable[[], object]) -> None:
        """Call, perhaps at once, when what it lacks may be there."""
        full = next((stream for stream in self.streams if not stream.credit), None)
        if full is not None:
            full.when_credit(call)
        elif not self.fed:
            for reader in self.readers:
                reader.when_ready(call)
            for stream in self.streams:
                if stream.readers:
                    stream.when_unread(call)
        else:
            call()

    @property
    def unwanted(self) -> bool:
        """Nobody reads its elements any more, nor waits for its end."""
        unread = not any(stream.readers for stream in self.streams)
        return unread and (self.owner.done or not self.node.keeps)

    def run(self, now: Callable[[], int], wanted: Callable[[], bool]) -> State:
        """Make elements; what it is then. `wanted` says whether others wait for the instance."""
        start, turn = now(), self.made + TURN
        try:
            while self.error is None and not self.unwanted:
                if not self.credit or not self.fed:
                    return State.PARKED
                for stream, value in zip(self.streams, next(self.elements)):
                    stream.put(value, size_of(value))
                self.made += 1
                if (self.made >= turn or now() - start >= TURN_NS) and wanted():
                    return State.READY
            self.close()
        except StopIteration as stop:
            self.rest = stop.value or ()
        except BaseException as error:  # sys.exit and the like too: it ends the request, not this thread
            self.cause = error
        finally:
            self.busy_ns += now() - start
        return State.ENDED

    def close(self) -> None:
        """Have the stage clean up behind itself; what it raises then is kept as `cause`."""
        self.elements.close()

    def cancel(self, error: RequestError) -> None:
        """Its element has ended: readers get the error, and the stage cleans up."""
        if self.error is None:
            self.error = error
        fail(self.streams, error)
        if (pump := self.pump) is not None:
            pump.offer(self)

    def end(self) -> None:
        """Everything is made."""
        for stream in self.streams:
            stream.end()
        for reader in self.readers:
            reader.close()
        self.readers = ()
        self.pump = None


def fail(streams: tuple[ElementStream, ...], error: RequestError) -> None:
    """End streams with an error; where nobody wants them any more, with what they hold."""
    drop = isinstance(error, Cancelled | Unavailable)
    for stream in streams:
        stream.fail(error, drop=drop)
