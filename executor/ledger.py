"""What is written down of a batch that ran: counters of its call sites, timings of its requests, trace records.

One `Ledger` belongs to one instance and is used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from .assemble import Gathered
from .cohort import Cohort
from .node import Call
from .stage import Slot, StageRuntime
from .stats import NodeStats
from .streaming.call import StreamingCall
from .trace import BatchRecord, Recorder

Part = tuple[Call, Cohort, int]
"""A call site, its cohort, and when that was enqueued (ns)."""


class Ledger:
    """Books batches of one instance."""

    __slots__ = ("index", "name", "recorder", "slot", "stage")

    def __init__(self, stage: StageRuntime, slot: Slot, recorder: Recorder | None) -> None:
        self.stage = stage
        self.slot = slot
        self.name = stage.plan.name
        self.index = slot.index
        self.recorder = recorder

    def batch(self, parts: list[Part], gathered: Gathered, stats: NodeStats, start: int, end: int) -> None:
        """A batch that ran from `start` to `end`; `stats` are those of its first call site."""
        self.note(parts, gathered.rows, start, end)
        self.count(parts, gathered, stats, start, end)

    def note(self, parts: list[Part], rows: int, start: int, end: int) -> None:
        """Write it down where the requests in it are answered from."""
        if len(parts) == 1:
            node, cohort, enqueued = parts[0]
            layout = cohort.layout
            requests = layout.requests if node.inner else len(layout.owners)
            layout.executions.append((node.name, self.name, self.index, enqueued, start, end, rows, requests))
            return
        requests = sum([c.layout.requests for _, c, _ in parts])
        for node, cohort, enqueued in parts:
            execution = (node.name, self.name, self.index, enqueued, start, end, rows, requests)
            cohort.layout.executions.append(execution)

    def count(self, parts: list[Part], gathered: Gathered, stats: NodeStats, start: int, end: int) -> None:
        """Count it, and record it where a trace is made."""
        rows = gathered.rows
        if len(parts) == 1:
            _, cohort, enqueued = parts[0]
            stats.record(len(cohort.layout.owners), rows, start - enqueued, end - start)
        else:
            self._parts(parts, gathered, start, end)
        if self.recorder is not None:
            self._trace(self.recorder, parts, rows, start, end)

    def streamed(self, call: StreamingCall) -> None:
        """A call that gave streams has ended: it counts as one execution, as long as it kept its instance busy."""
        layout, end = call.layout, call.begun_ns + call.busy_ns
        layout.executions.append((call.node.name, self.name, self.index, call.enqueued_ns, call.begun_ns, end, 1, 1))
        if call.rest is not None:
            call.stats.record(1, 1, call.begun_ns - call.enqueued_ns, call.busy_ns)
        if self.recorder is not None:
            name, owner = call.node.name, call.owner
            pipeline = name.partition(".")[0]
            record = BatchRecord(
                name, self.name, self.index, call.begun_ns, end, 1, (owner.id,), pipeline, (owner.serial,)
            )
            self.recorder.batches.append(record)

    def _parts(self, parts: list[Part], gathered: Gathered, start: int, end: int) -> None:
        lo = 0
        for node, cohorts in by_node(parts):
            n = sum(map(len, cohorts))
            rows = gathered.offsets[lo + n] - gathered.offsets[lo]
            stats = self.stage.stats(node.name, self.slot)
            stats.ran(n, rows, end - start) if lo == 0 else stats.rode(n, rows, end - start)
            lo += n
        for node, cohort, enqueued in parts:
            self.stage.stats(node.name, self.slot).waited(len(cohort), start - enqueued)

    def _trace(self, recorder: Recorder, parts: list[Part], rows: int, start: int, end: int) -> None:
        """One record for each call site in the batch."""
        for node, cohorts in by_node(parts):
            ids = {o.serial: o.id for c in cohorts for o in c.layout.owners}  # each request once, however many items
            recorder.batches.append(
                BatchRecord(
                    node.name,
                    self.name,
                    self.index,
                    start,
                    end,
                    rows,
                    tuple(ids.values()),
                    node.name.partition(".")[0],
                    tuple(ids),
                )
            )


def by_node(parts: Sequence[Part]) -> list[tuple[Call, list[Cohort]]]:
    """The cohorts of each call site; those of one stand side by side."""
    found: list[tuple[Call, list[Cohort]]] = []
    for node, cohort, _ in parts:
        if found and found[-1][0] is node:
            found[-1][1].append(cohort)
        else:
            found.append((node, [cohort]))
    return found
