"""What is written down of a batch of a set: a record for each member, under its own call site.

The time is that of the whole batch, shared out as the members took it when they last ran one by one: the parts of a
graph have no times of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from backends.fused import FusedInstance
from executor.devices.site import Booking, LateLedger
from executor.ledger import Part
from executor.trace import BatchRecord, Recorder

from .call import FusedCall

if TYPE_CHECKING:
    from executor.stage import Slot

    from .runtime import FusedRuntime

Span = tuple[int, int, int]
"""A member by its number, and when it ran (ns)."""


class FusedLedger(LateLedger):
    """Books batches of one instance of a set."""

    __slots__ = ("_instance", "_set")

    def __init__(self, stage: FusedRuntime, slot: Slot, recorder: Recorder | None) -> None:
        assert slot.site is not None, "sets are on a device"
        super().__init__(stage, slot.site.books, recorder)
        assert isinstance(slot.instance, FusedInstance), "a set has instances of sets"
        self._set = stage
        self._instance = slot.instance

    def note(self, parts: list[Part], rows: int, start: int, end: int) -> None:
        """One note for each member; the last one's stands last."""
        requests = sum(map(_requests, parts))
        for place, (number, lo, hi) in enumerate(self._spans(parts, start, end)):
            node, stage = self._names(number)
            for _, cohort, arrived in parts:
                enqueued = lo if place else arrived
                cohort.layout.executions.append((node, stage, self.index, enqueued, lo, hi, rows, requests))

    def book(self, held: Iterable[Booking], end: int) -> None:
        for parts, gathered, _, start, places in held:
            spans = list(self._spans(parts, start, end))
            for (_, cohort, _), last in zip(parts, places, strict=True):
                noted = cohort.layout.executions
                first = last - len(spans) + 1
                for place, (_, lo, hi) in enumerate(spans, first):
                    name, stage, index, arrived, _, _, rows, requests = noted[place]
                    enqueued = arrived if place == first else lo
                    noted[place] = (name, stage, index, enqueued, lo, hi, rows, requests)
            for span in spans:
                self._member(span, parts, gathered.rows, first=span is spans[0])

    def _spans(self, parts: list[Part], start: int, end: int) -> Iterator[Span]:
        """When each member that runs for these ran, of a batch that ran from `start` to `end`."""
        call = parts[0][0]
        assert isinstance(call, FusedCall), "nothing else arrives at a set"
        lo = start
        for number, until in self._instance.spans(call.wanted):
            hi = start + int((end - start) * until)
            yield number, lo, hi
            lo = hi

    def _names(self, number: int) -> tuple[str, str]:
        """The call site of a member, and its stage."""
        return self._set.fused.members[number].node, self._set.members[number].plan.name

    def _member(self, span: Span, parts: list[Part], rows: int, *, first: bool) -> None:
        """Count what one member ran; only the first one's batch has waited."""
        number, start, end = span
        node, stage = self._names(number)
        stats = self._set.stats(node, self.slot)
        for _, cohort, enqueued in parts:
            stats.waited(len(cohort.layout), start - enqueued if first else 0)
        stats.ran(sum(len(cohort.layout) for _, cohort, _ in parts), rows, end - start)
        if self.recorder is not None:
            ids = {o.serial: o.id for _, cohort, _ in parts for o in cohort.layout.owners}
            pipeline = node.partition(".")[0]
            record = BatchRecord(node, stage, self.index, start, end, rows, tuple(ids.values()), pipeline, tuple(ids))
            self.recorder.batches.append(record)


def _requests(part: Part) -> int:
    """How many requests a cohort belongs to."""
    node, cohort, _ = part
    return cohort.layout.requests if node.inner else len(cohort.layout)
