"""Simulated memory: chunks of bytes, their lives, and who used which bytes when.

    Chunk    bytes that are there, twice: `actual` (work runs on them when its time comes) and `ideal` (work runs on
             them when it is issued, in program order)
    Life     a chunk from allocate to free; what a driver's handle of memory is
    Segment  a range of bytes, who wrote it last and who read it since

An access is ordered behind another one if the clock of its stream has reached the other's tick.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.values import Array

from .errors import RaceError

if TYPE_CHECKING:
    from .queue import Op, SimStream

POISON = 0xFF
"""What undefined memory holds: NaN as a float, -1 as an integer."""
GRANULE = 256
"""Chunks are multiples of so many bytes."""
REUSE = 4
"""A free chunk serves what is at least this fraction of it."""

_addresses = count(1)


class Chunk:
    """Bytes, in both planes."""

    __slots__ = ("actual", "capacity", "ideal", "start", "used")

    def __init__(self, nbytes: int) -> None:
        self.capacity = max(GRANULE, -(-nbytes // GRANULE) * GRANULE)
        self.actual: Array = np.full(self.capacity, POISON, np.uint8)
        self.ideal: Array = np.full(self.capacity, POISON, np.uint8)
        self.start: int = self.actual.ctypes.data
        self.used: dict[int, Op] = {}
        """The last use in earlier lives by each stream."""


class Segment:
    """Bytes `low` to `high` of a life."""

    __slots__ = ("high", "low", "readers", "writer", "written")

    def __init__(self, low: int, high: int, writer: Op | None, readers: dict[int, Op], written: bool) -> None:
        self.low = low
        self.high = high
        self.writer = writer
        self.readers = readers
        self.written = written


class Life:
    """Memory from the time it is given out to the time it is given back."""

    __slots__ = ("chunk", "freed", "nbytes", "number", "pending", "place", "segments", "stream")

    def __init__(
        self, place: str, chunk: Chunk, nbytes: int, stream: SimStream | None, number: int, written: bool = False
    ) -> None:
        """`written`: its content is defined from the beginning, as that of host memory is."""
        self.place = place
        """Name of the device."""
        self.chunk = chunk
        self.nbytes = nbytes
        self.stream = stream
        """It belongs to the pool of this stream; None for host memory."""
        self.number = number
        self.segments = [Segment(0, chunk.capacity, None, dict(chunk.used), written)]
        self.freed = ""
        """Who gave it back."""
        self.pending = 0
        """Uses that were issued and have not run."""

    def __repr__(self) -> str:
        return f"memory {self.number} ({self.nbytes} bytes) of {self.place}"

    # ---- accesses

    def read(self, low: int, high: int, op: Op, note: bool = True) -> None:
        """Note a read by `op`. RaceError if the bytes are not written, or their writer is not ordered before it."""
        if self.freed:
            raise RaceError(f"{op} reads {self} after it was freed by {self.freed}")
        clock = op.stream.clock
        for segment in self._at(low, high):
            if not segment.written:
                where = f"bytes {segment.low} to {segment.high} of {self}"
                raise RaceError(f"{op} reads {where}, which nobody wrote; write them, or read fewer rows")
            writer = segment.writer
            if writer is not None and not _behind(clock, writer):
                raise _unordered(op, "reads", self, segment, writer, "wrote")
            if note:
                segment.readers[op.number] = op

    def write(self, low: int, high: int, op: Op) -> None:
        """Note a write by `op`. RaceError if an earlier use of the bytes is not ordered before it."""
        if self.freed:
            raise RaceError(f"{op} writes {self} after it was freed by {self.freed}")
        clock = op.stream.clock
        touched = self._at(low, high)
        for segment in touched:
            writer = segment.writer
            if writer is not None and not _behind(clock, writer):
                raise _unordered(op, "writes", self, segment, writer, "wrote")
            for reader in segment.readers.values():
                if not _behind(clock, reader):
                    raise _unordered(op, "writes", self, segment, reader, "reads" if segment.written else "used")
        if not touched:
            return
        whole = Segment(touched[0].low, touched[-1].high, op, {}, True)
        if len(touched) == len(self.segments):
            self.segments = [whole]
        else:
            first = self.segments.index(touched[0])
            self.segments[first : first + len(touched)] = [whole]

    def uses(self) -> dict[int, Op]:
        """The last use by each stream, earlier lives included where nothing has overwritten them."""
        found: dict[int, Op] = {}
        for segment in self.segments:
            for op in (*segment.readers.values(), *([segment.writer] if segment.writer else [])):
                if op.number not in found or found[op.number].tick < op.tick:
                    found[op.number] = op
        return found

    def unordered(self, clock: dict[int, int]) -> Op | None:
        """A use that `clock` is not behind."""
        return next((op for op in self.uses().values() if not _behind(clock, op)), None)

    def _at(self, low: int, high: int) -> list[Segment]:
        """The segments of these bytes, cut where the range begins and ends."""
        segments = self.segments
        if low >= high:
            return []
        if len(segments) == 1 and low == 0 and high >= self.nbytes:
            return segments
        if high >= self.nbytes:
            high = self.chunk.capacity
        made: list[Segment] = []
        for s in segments:
            cuts = [c for c in (low, high) if s.low < c < s.high]
            for a, b in zip((s.low, *cuts), (*cuts, s.high)):
                made.append(s if not cuts else Segment(a, b, s.writer, dict(s.readers), s.written))
        self.segments = made
        return [s for s in made if s.low < high and low < s.high]

    # ---- the end

    def free(self, who: str) -> None:
        """Nobody uses it from here on."""
        self.freed = who
        self.chunk.used = self.uses()
        if not any(segment.written for segment in self.segments):
            return  # nothing was done with it, and earlier lives may still be in use
        self.chunk.ideal.fill(POISON)
        if not self.pending:
            self.poison()

    def done(self) -> None:
        """One use of it has run."""
        self.pending -= 1
        if self.freed and not self.pending:
            self.poison()

    def poison(self) -> None:
        """Make the content undefined: what still needs it is wrong from here on."""
        self.chunk.actual.fill(POISON)


def _behind(clock: dict[int, int], use: Op) -> bool:
    """Whether nothing that comes behind a clock can meet a use: it has ended by then, or never will, as what was under
    way on a device that is lost."""
    return clock.get(use.number, 0) >= use.tick or use.stream.driver.lost is not None


def _unordered(op: Op, does: str, life: Life, segment: Segment, other: Op, did: str) -> RaceError:
    what = f"bytes {segment.low} to {segment.high} of {life}"
    if did == "used":
        return RaceError(
            f"{op} {does} {what}, which {other} used before it was freed: nothing orders the two; "
            "order the stream of its pool behind every use before the memory is given back"
        )
    return RaceError(f"{op} {does} {what}, which {other} {did}: no stream, event or wait of the host orders the two")


def same_bytes(a: Array, b: Any) -> bool:
    """Whether two arrays of one dtype and shape hold the same bytes; NaN is equal to itself."""
    return bool(a.tobytes() == b.tobytes()) if a.nbytes < 4096 else bool(np.array_equal(_raw(a), _raw(b)))


def _raw(a: Array) -> Array:
    return np.ascontiguousarray(a).reshape(-1).view(np.uint8)
