"""What is written down of a batch of a set: a record for each member, under its own call site.

The time is that of the whole batch, shared out as the members took it when they last ran one by one: the parts of a
graph have no times of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from backends.fused import FusedInstance
from executor.devices.site import Booking, LateLedger
from executor.ledger import Part
from executor.trace import BatchRecord, Recorder

from .call import FusedCall

if TYPE_CHECKING:
    from executor.stage import Slot

    from .runtime import FusedRuntime


class FusedLedger(LateLedger):
    """Books batches of one instance of a set."""

    __slots__ = ("_instance", "_set")

    def __init__(self, stage: FusedRuntime, slot: Slot, recorder: Recorder | None) -> None:
        assert slot.site is not None, "sets are on a device"
        super().__init__(stage, slot.site.books, recorder)
        assert isinstance(slot.instance, FusedInstance), "a set has instances of sets"
        self._set = stage
        self._instance = slot.instance

    def book(self, held: Iterable[Booking], end: int) -> None:
        for parts, gathered, _, start in held:
            call = parts[0][0]
            assert isinstance(call, FusedCall), "nothing else arrives at a set"
            lo = start
            for place, (number, until) in enumerate(self._instance.spans(call.wanted)):
                hi = start + int((end - start) * until)
                self._member(number, parts, gathered.rows, lo, hi, first=place == 0)
                lo = hi

    def _member(self, number: int, parts: list[Part], rows: int, start: int, end: int, *, first: bool) -> None:
        """One member ran from `start` to `end`; only the first one's batch has waited."""
        plan = self._set.fused.members[number]
        stage = self._set.members[number].plan.name
        stats = self._set.stats(plan.node, self.slot)
        requests = sum([call_requests(part) for part in parts])
        elements = 0
        for _, cohort, arrived in parts:
            enqueued = arrived if first else start
            ran = (plan.node, stage, self.index, enqueued, start, end, rows, requests)
            cohort.layout.executions.append(ran)
            stats.waited(len(cohort), start - enqueued)
            elements += len(cohort)
        stats.ran(elements, rows, end - start)
        if self.recorder is not None:
            ids = {o.serial: o.id for _, cohort, _ in parts for o in cohort.layout.owners}
            pipeline = plan.node.partition(".")[0]
            self.recorder.batches.append(
                BatchRecord(plan.node, stage, self.index, start, end, rows, tuple(ids.values()), pipeline, tuple(ids))
            )


def call_requests(part: Part) -> int:
    """Requests that a cohort belongs to."""
    node, cohort, _ = part
    return cohort.layout.requests if node.inner else len(cohort)
