"""Captured graphs: what was issued on a stream, and on those that joined it, to be issued again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .queue import SimEvent, SimStream

if TYPE_CHECKING:
    from backends.values import Array

Branch = int
"""A stream of a capture: 0 for the one that it began on."""


class Capture:
    """What is being written down, and later the graph."""

    __slots__ = ("_branches", "_saved", "_streams", "entries", "last", "open", "origin")

    def __init__(self, origin: SimStream) -> None:
        self.origin = origin
        self.open = True
        self.entries: list[tuple[str, Branch, Any]] = []
        """("op", branch, function that issues it on a stream), ("record", branch, number), ("wait", branch, number)"""
        self.last: SimEvent | None = None
        """Behind its latest replay."""
        self._branches: dict[SimStream, Branch] = {origin: 0}
        self._streams: list[SimStream] = []
        """Of replays, for branches from 1 on."""
        self._saved: list[tuple[Array, Array]] = []
        """Bytes of program order, as they were before they were written by what only was captured."""

    def branch(self, stream: SimStream) -> Branch:
        """The number of a stream that takes part."""
        return self._branches.setdefault(stream, len(self._branches))

    def op(self, stream: SimStream, issue: Callable[[SimStream], object]) -> None:
        """Write an op down."""
        self.entries.append(("op", self.branch(stream), issue))

    def record(self, stream: SimStream) -> int:
        """Write an event down; its number."""
        number = len(self.entries)
        self.entries.append(("record", self.branch(stream), number))
        return number

    def wait(self, stream: SimStream, number: int) -> None:
        """Write down that a stream waits for an event."""
        self.entries.append(("wait", self.branch(stream), number))

    def save(self, array: Array) -> None:
        """Remember what the bytes are."""
        self._saved.append((array, array.copy()))

    def end(self) -> None:
        """Nothing more is written down. RuntimeError if a stream that joined was not joined again."""
        self.open = False
        for array, before in reversed(self._saved):
            array[...] = before
        self._saved = []
        for stream in self._branches:
            stream.capture = None
        self.check_joined()

    def check_joined(self) -> None:
        """RuntimeError if the end of the origin is not behind the end of each branch."""
        behind: list[set[int]] = [set() for _ in self._branches]
        events: dict[int, set[int]] = {}
        for i, (kind, branch, what) in enumerate(self.entries):
            if kind == "wait":
                behind[branch] |= events[what]
            elif kind == "record":
                events[what] = set(behind[branch])
            else:
                behind[branch].add(i)
        for ops in behind[1:]:
            if not ops <= behind[0]:
                raise RuntimeError(
                    "the capture ends while a stream that joined it has work that its origin is not behind"
                )

    def replay(self, stream: SimStream, open_stream: Callable[[], SimStream]) -> None:
        """Issue it all, its first branch on `stream`. Replays of one graph run one after the other."""
        while len(self._streams) < len(self._branches) - 1:
            self._streams.append(open_stream())
        simulation = stream.driver.simulation
        if self.last is not None:
            stream.driver.wait(stream, self.last)
            simulation.recycle(self.last)
            self.last = None
        streams = [stream, *self._streams]
        events: dict[int, SimEvent] = {}
        try:
            for kind, branch, what in self.entries:
                if kind == "op":
                    what(streams[branch])
                elif kind == "record":
                    events[what] = simulation.record(streams[branch])
                else:
                    stream.driver.wait(streams[branch], events[what])
        finally:  # a stage may raise where it is called again: what was issued before is joined all the same
            for number, branch_stream in enumerate(streams[1:], -len(streams)):
                events[number] = simulation.record(branch_stream)
                stream.driver.wait(stream, events[number])
            for event in events.values():
                simulation.recycle(event)
            self.last = simulation.record(stream)
