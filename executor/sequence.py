"""What a request says of its sequence, and the places that stages keep for sequences.

A `Seat` is one place for one sequence at one call site: an instance, a number among its places, and the state that is
kept from one request to the next. What a request makes of the state is pending until it is answered; a request that
fails leaves the state as it was.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.values import InvalidInput, Value

if TYPE_CHECKING:
    from .request import Request

LONGEST_ID = 128
"""Characters of a correlation id."""
LARGEST_ID = 2**64 - 1


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """The correlation id of a request's sequence, and whether this request begins or ends it."""

    id: int | str
    start: bool = False
    end: bool = False

    def check(self) -> None:
        """InvalidInput for an id that no sequence can have: 0, the empty text, or out of range."""
        if isinstance(self.id, bool) or not isinstance(self.id, int | str):
            raise InvalidInput(f"a correlation id is a whole number or a text, not {type(self.id).__name__}")
        if isinstance(self.id, int) and not 0 < self.id <= LARGEST_ID:
            raise InvalidInput(f"correlation id {self.id} is not from 1 to {LARGEST_ID}")
        if isinstance(self.id, str) and not 0 < len(self.id) <= LONGEST_ID:
            raise InvalidInput(f"a correlation id has 1 to {LONGEST_ID} characters, not {len(self.id)}")


class Seat:
    """A place of one sequence at one call site. Used by one request at a time."""

    __slots__ = ("_pending", "fresh", "generation", "index", "instance", "lost", "states")

    def __init__(self, instance: int, index: int) -> None:
        self.instance = instance
        self.index = index
        self.states: tuple[Value, ...] | None = None
        """In the order of the stage's rules; None: those a sequence begins with."""
        self.fresh = True
        """No request of the sequence has run here."""
        self.lost = ""
        """Why what the stage kept of the sequence is gone."""
        self.generation = 0
        """How often the instance's process had been started when the sequence began here."""
        self._pending: tuple[Request, tuple[Value, ...]] | None = None

    def __repr__(self) -> str:
        return f"Seat({self.instance}.{self.index})"

    def made(self, request: Request, states: tuple[Value, ...]) -> None:
        """What a request made of the state; it counts once the request is answered."""
        self._pending = (request, states)

    def undo(self, request: Request) -> None:
        """The request was not answered: what it made does not count."""
        if self._pending is not None and self._pending[0] is request:
            self._pending = None

    def settle(self, request: Request, starts: bool) -> None:
        """The request was answered. One that starts a sequence and did not run here leaves nothing of the last."""
        if self._pending is not None and self._pending[0] is request:
            self.states, self.fresh = self._pending[1], False
        elif starts:
            self.states, self.fresh = None, True
        self._pending = None


class Seats:
    """The places of one stage. Not thread-safe: used with the engine's lock held."""

    def __init__(self, stage: str, instances: int, slots: int) -> None:
        self.stage = stage
        self.slots = slots
        """Of one instance."""
        self._free = [list(range(slots)) for _ in range(instances)]

    @property
    def free(self) -> int:
        return sum(map(len, self._free))

    @property
    def total(self) -> int:
        return self.slots * len(self._free)

    def taken(self, instance: int) -> int:
        """Sequences of one instance."""
        return self.slots - len(self._free[instance])

    def take(self) -> Seat:
        """The lowest free place of the instance that has most of them."""
        instance = max(range(len(self._free)), key=lambda i: len(self._free[i]))
        return Seat(instance, heapq.heappop(self._free[instance]))

    def release(self, seat: Seat) -> None:
        heapq.heappush(self._free[seat.instance], seat.index)


def rows_of(seats: Items[Seat], *, direct: bool) -> list[int]:
    """The row of the batch that each of these seats of one instance has.

    direct: that of its own number, wherever others are missing. Else they stand one after the other."""
    return [seat.index for seat in seats] if direct else list(range(len(seats)))
