"""The state of an engine at a moment: figures for metrics and reports, and what is left when it should rest.

Both are taken with the engine's lock held where containers change under it, and touch nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .admission import Door
from .figures import caches, resources, sequences
from .resources import Resources
from .sequence_door import SequenceDoor
from .stage import Slot, StageRuntime
from .stats import PipelineStats, Snapshot, StageSnapshot, busy_seconds, sum_nodes
from .wiring import Circuit

if TYPE_CHECKING:
    from .flow import Flow
    from .fused import FusedRuntime


def snapshot(
    doors: Mapping[str, Door],
    pipelines: Mapping[str, PipelineStats],
    stages: Sequence[StageRuntime],
    sets: Sequence[FusedRuntime],
    flow: Flow,
    shared: Resources,
) -> Snapshot:
    """All counters at about this moment. What waits at one of the sets waits at its first member."""
    slots = {s.plan.index: tuple(s.slots) for s in stages}
    parts = [n for held in slots.values() for slot in held for n in slot.stats.values()]
    sites = [slot.site for held in slots.values() for slot in held if slot.site is not None]
    parts += [n for site in sites for n in [*site.books.stats.values()]]
    with flow.lock:
        inside = {n: (len(d.inside), len(d.line)) for n, d in doors.items()}
        copied = {place: dict(c.bytes) for place, c in flow.tally.copies.items()}
        events = dict(flow.tally.events)
        kept = caches(stages), sequences(doors.values()), resources(shared)
        waiting = {s.plan.index: [e for level in s.levels for e in level] for s in stages}
        for one in sets:
            waiting[one.members[0].plan.index] = [e for level in one.levels for e in level]
    return Snapshot(
        pipelines=tuple(p.snapshot(inflight=inside[n][0], waiting=inside[n][1]) for n, p in pipelines.items()),
        nodes=sum_nodes(parts),
        copied_bytes=copied,
        constructs=events,
        streams=flow.streams.snapshot(),
        caches=kept[0],
        sequences=kept[1],
        resources=kept[2],
        stages=tuple(
            StageSnapshot(
                s.plan.name,
                str(s.plan.version or 1),
                s.plan.device,
                busy_seconds(parts, s.plan.name, len(slots[s.plan.index])),
                sum(len(e.cohort) for e in waiting[s.plan.index]),
                sum(e.rows for e in waiting[s.plan.index]),
                sum(getattr(slot.instance, "restarts", 0) for slot in slots[s.plan.index]),
                s.load_seconds,
                flow.gpu_time.seconds(s.plan.name),
            )
            for s in stages
        ),
    )


def _flying(slot: Slot) -> int:
    return 0 if slot.site is None else slot.site.flying


def leftovers(
    doors: Mapping[str, Door],
    stages: Sequence[StageRuntime],
    circuits: Iterable[Circuit],
    flow: Flow,
    shared: Resources,
) -> list[str]:
    """What is left though no request is inside; empty if all is well. (locked)"""
    found = [f"{d.name}: {len(d)} requests" for d in doors.values() if len(d)]
    found += [f"{d.name}: {d.bytes_inside} bytes" for d in doors.values() if d.bytes_inside]
    found += [f"{s.plan.name}: {s.waiting} entries wait" for s in stages if s.waiting or any(s.levels)]
    found += [f"{s.plan.name}: a slot is taken" for s in stages if len(s.free) < len(s.slots)]
    found += [f"{s.plan.name}: a slot has batches under way" for s in stages if any(map(_flying, s.slots))]
    found += [f"{call!r} has not ended" for s in stages for slot in s.slots for call in slot.calls]
    found += [text for d in doors.values() if isinstance(d, SequenceDoor) for text in d.problems()]
    found += [f"{n} units of `{name}` are held" for name, n in shared.held.items() if n]
    found += ["cohorts wait for values on their way to the host"] if flow.arriving else []
    found += [f"{s.plan.name}: {len(s.order)} batches wait for their turn" for s in stages if s.order]
    for circuit in circuits:
        found += [f"{n.name}: its join holds {len(n.join)}" for n in circuit.nodes if n.join]
        found += [f"{s.node.name}: {len(s.live)} children of {s.parent!r}" for s in circuit.scopes]
    return found + [f"{s.node.name}: a shadow of {s.parent!r}" for s in flow.shadows]
