"""A stage whose calls of one sequence belong together: an inbox for each instance, and states beside the inputs.

    entry of one request -> the instance of its seat -> batch of at most one row a sequence -> states back to the seats

`direct`: each sequence has a row of the batch of its own as long as it lasts; rows that have nothing to run are filled
with zeros (`ready` is false there). `oldest`: whatever waits, the oldest first. In both, a batch goes as soon as every
sequence of the instance is in it, and its delay waits for the others. The stage never runs on.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from backends.device.ops import on_device, placed, stack
from backends.states import initial
from backends.values import Array, Value
from pipeline_dsl.plan import StagePlan

from .batcher import Entry, Group, Wait, decide
from .clock import Clock
from .cohort import NEVER, Cohort
from .columns import CopySink
from .node import Call
from .request import Request, sequence_of
from .sequence import Seat, Seats
from .stage import Slot, StageRuntime


class SeatedEntry(Entry):
    """One request that waits for the instance of its seat."""

    __slots__ = ("seat",)
    seat: Seat


class SequenceRuntime(StageRuntime):
    """Inboxes, seats and instances of one sequence stage."""

    def __init__(self, plan: StagePlan, clock: Clock) -> None:
        super().__init__(plan, clock)
        rule = plan.contract.sequence
        assert rule is not None, "only sequence stages have seats"
        self.rule = rule
        self.seats = Seats(plan.name, plan.instances, slots_of(plan))
        self.direct = rule.strategy == "direct" and plan.has_rows
        self.initial: tuple[Value, ...] = tuple(map(initial, plan.contract.states))
        self.keeps_its_own = not plan.contract.states
        """What it keeps lives in the instance: it may not run twice, and is gone with the instance's process."""
        self.repeatable = self.repeatable and not self.keeps_its_own
        self._uniform = False

    def states(self, seat: Seat, request: Request) -> tuple[Value, ...]:
        """What a request finds."""
        return self.initial if sequence_of(request).start or seat.states is None else seat.states

    # ---- in

    def entries(self, node: Call, cohort: Cohort, now: int, copies: CopySink) -> list[Entry]:
        """One entry for each element: each has a seat of its own."""
        limit = now + node.timeout_ns if node.timeout_ns else NEVER
        made: list[Entry] = []
        for part, key in [g for c in self.grouping.present(cohort, copies) for g in self._groups(c, node, copies)]:
            for i, owner in enumerate(part.layout.owners):
                one = part.cut(i, i + 1)
                request = owner.root
                seat = request.seats[node.name]
                shapes = _shapes(self.states(seat, request)) if self.plan.has_rows else ()
                deadline = min(limit, one.layout.deadline_ns)
                entry = SeatedEntry(node, one, 1, (key, shapes), self._level(node, owner), now, deadline)
                entry.seat = seat
                made.append(entry)
        return made

    # ---- out

    def take(self, now: int) -> tuple[Slot, list[Entry]] | None:
        for place in range(len(self.free) - 1, -1, -1):
            decision = self._decide(self.free[place], now)
            if isinstance(decision, Group):
                if self.claim is not None and not self.claim.take(self):
                    return None
                self._remove(decision.entries)
                return self._taken(self.free.pop(place)), decision.entries
        if self.claim is not None:
            self.claim.leave()
        return None

    def _looks(self, now: int) -> int:
        decisions = (self._decide(slot, now) for slot in self.free)
        return min((d.until_ns for d in decisions if isinstance(d, Wait)), default=NEVER)

    def _decide(self, slot: Slot, now: int) -> Group | Wait | None:
        """What an instance shall run: its batch is full when all its sequences are in it."""
        levels = [[e for e in entries if _seat(e).instance == slot.index] for entries in self.levels]
        if not any(levels):
            return None
        return decide(levels, self.plan.batching, now, self.rhythm, max(1, self.seats.taken(slot.index)))

    def idle_slot(self, rows: int) -> Slot | None:
        return None


def slots_of(plan: StagePlan) -> int:
    """Sequences of one instance at a time."""
    rule = plan.contract.sequence
    if rule is not None and rule.slots:
        return rule.slots
    return plan.batching.max_rows or 1 if plan.has_rows else 1


def _seat(entry: Entry) -> Seat:
    assert isinstance(entry, SeatedEntry)
    return entry.seat


def _shapes(states: tuple[Value, ...]) -> Hashable:
    return tuple(getattr(s, "shape", ()) for s in states)


def spread(values: list[Value], rows: list[int], total: int, fill: Value, dtype: Any) -> Any:
    """One array with a value at each of `rows`, and the filler elsewhere."""
    first = values[0]
    if any(map(on_device, values)):
        together = stack([v if on_device(v) else np.asarray(v, dtype) for v in values])
        return placed(together, rows, total, 0 if np.ndim(fill) else fill)
    if total == len(values) == 1:
        made: Array = np.empty((1, *np.shape(first)) if isinstance(first, np.ndarray) else 1, dtype)
    elif isinstance(first, np.ndarray):
        made = np.zeros((total, *first.shape), dtype)
    else:
        made = np.full(total, fill, dtype)
    for row, value in zip(rows, values, strict=True):
        made[row] = value
    made.flags.writeable = False
    return made
