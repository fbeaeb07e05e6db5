"""A trace of what ran when, as a file for Perfetto (ui.perfetto.dev) or chrome://tracing.

    workers -> Recorder (bounded rings of records) --chrome--> {"traceEvents": [..]}

One track for each instance with a slice for each batch; one async slice for each request; an arrow for
every edge of the graph that a request crossed from one batch to another. Recording costs one append, and
happens only when asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from pipeline_dsl.plan import INGRESS, Plan, Slot, Source, Step, regions

Event = dict[str, Any]
Tracks = Mapping[tuple[str, int], int]
"""Track number of each (stage, instance)."""

_REQUESTS = 1
_STAGES = 2
"""Process ids of the two groups of tracks."""


class BatchRecord(NamedTuple):
    """One execution of one node's rows."""

    node: str
    stage: str
    instance: int
    start_ns: int
    end_ns: int
    rows: int
    requests: tuple[str, ...]
    """Ids of the requests whose rows it holds."""
    pipeline: str = ""
    serials: tuple[int, ...] = ()
    """Their serial numbers, where ids may not be unique."""


class RequestRecord(NamedTuple):
    """One request from its arrival to its answer."""

    id: str
    pipeline: str
    start_ns: int
    end_ns: int
    outcome: str = "success"
    """Or the reason of its failure."""


class RouteRecord(NamedTuple):
    """Which arm of a `route` an element took, and why: its place among the shares, 0 to 1."""

    request: str
    serial: int
    node: str
    arm: str
    place: float
    lower: float
    upper: float
    """The arm's share is what lies between."""
    key: str | None
    """What the place is the hash of; None where it was drawn."""

    @property
    def why(self) -> str:
        how = "drawn" if self.key is None else f"hash of {self.key}"
        return f"{how}: {self.place:.4f}, in {self.lower:g} to {self.upper:g}"


class Recorder:
    """Keeps the last `limit` batches, requests and choices of routes. Appending is safe from any thread."""

    __slots__ = ("batches", "requests", "routes")

    def __init__(self, limit: int = 100_000) -> None:
        self.batches: deque[BatchRecord] = deque(maxlen=limit)
        self.requests: deque[RequestRecord] = deque(maxlen=limit)
        self.routes: deque[RouteRecord] = deque(maxlen=limit)

    def chrome(self, plan: Plan) -> dict[str, Any]:
        """Everything kept, in the Chrome trace format."""
        return chrome(list(self.batches), list(self.requests), arrows(plan))


def chrome(
    batches: Iterable[BatchRecord], requests: list[RequestRecord], sources: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """The trace as JSON data. `sources`: the nodes each node reads from. Times start at the first record."""
    batches = sorted(batches, key=lambda b: (b.start_ns, b.end_ns))
    origin = min([b.start_ns for b in batches[:1]] + [r.start_ns for r in requests], default=0)
    tracks = _tracks(batches)
    events = [
        *_names(tracks),
        *_slices(batches, tracks, origin),
        *_flows(batches, tracks, sources, origin),
        *_spans(requests, origin),
    ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def arrows(plan: Plan) -> dict[str, tuple[str, ...]]:
    """For each node that is a call: the calls whose results it reads, directly or through expressions."""
    found: dict[str, tuple[str, ...]] = {}
    for pipeline in plan.pipelines.values():
        _arrows(pipeline.steps, {port.slot: () for port in pipeline.inputs}, found, ())
    return found


Nearest = dict[int, tuple[str, ...]]
"""By slot: the calls that made it, or next before it."""


def _arrows(
    steps: Sequence[Step], nearest: Nearest, found: dict[str, tuple[str, ...]], decided: tuple[str, ...]
) -> None:
    """`decided`: the calls that a region's first steps wait for, whether they read them or not."""
    for step in steps:
        before = _before(step.args, nearest)
        after = before
        if step.stage >= 0:
            found[step.node] = tuple(dict.fromkeys((*before, *decided))) if step.producers == (INGRESS,) else before
            after = (step.node,)
        elif inner := regions(step.control):
            read = _before(step.args[:1], nearest)  # the subject, key or first source: captures come later
            for region in inner:
                nearest.update(dict.fromkeys(region.given, before))
                _arrows(region.steps, nearest, found, read)
            ends = _before([source for region in inner for source in region.yields], nearest)
            after = ends or before
        nearest.update(dict.fromkeys(step.outputs, after))


def _before(sources: Iterable[Source], nearest: Nearest) -> tuple[str, ...]:
    slots = (source.index for source in sources if isinstance(source, Slot))
    return tuple(dict.fromkeys(node for slot in slots for node in nearest[slot]))


def _tracks(batches: Iterable[BatchRecord]) -> Tracks:
    used = sorted({(b.stage, b.instance) for b in batches})
    return {key: number for number, key in enumerate(used, start=1)}


def _names(tracks: Tracks) -> Iterator[Event]:
    for pid, name in ((_REQUESTS, "requests"), (_STAGES, "stages")):
        yield {"ph": "M", "pid": pid, "tid": 0, "name": "process_name", "args": {"name": name}}
        yield {"ph": "M", "pid": pid, "tid": 0, "name": "process_sort_index", "args": {"sort_index": pid}}
    for (stage, instance), tid in tracks.items():
        name = f"{stage} #{instance}"
        yield {"ph": "M", "pid": _STAGES, "tid": tid, "name": "thread_name", "args": {"name": name}}


def _slices(batches: Iterable[BatchRecord], tracks: Tracks, origin: int) -> Iterator[Event]:
    for batch in batches:
        yield {
            "ph": "X",
            "pid": _STAGES,
            "tid": tracks[batch.stage, batch.instance],
            "cat": "batch",
            "name": batch.node,
            "ts": _us(batch.start_ns - origin),
            "dur": _us(batch.end_ns - batch.start_ns),
            "args": {"rows": batch.rows, "requests": list(batch.requests)},
        }


def _flows(
    batches: Iterable[BatchRecord], tracks: Tracks, sources: Mapping[str, tuple[str, ...]], origin: int
) -> Iterator[Event]:
    """One arrow for each request and edge, from the batch that made a value to the batch that took it."""
    flows = count(1)
    ran: dict[tuple[str | int, str], list[BatchRecord]] = {}
    for batch in batches:
        keys: tuple[str | int, ...] = batch.serials or batch.requests
        for key, request in zip(keys, batch.requests):
            for source in sources.get(batch.node, ()):
                for before in ran.get((key, source), ()):
                    yield from _arrow(next(flows), request, before, batch, tracks, origin)
            ran.setdefault((key, batch.node), []).append(batch)


def _arrow(
    flow: int, request: str, before: BatchRecord, after: BatchRecord, tracks: Tracks, origin: int
) -> Iterator[Event]:
    """Both ends lie inside their slices, which is how viewers find them."""
    common = {"pid": _STAGES, "cat": "request", "name": request, "id": flow}
    leave = (before.start_ns + before.end_ns) // 2
    start, end = tracks[before.stage, before.instance], tracks[after.stage, after.instance]
    yield {"ph": "s", "tid": start, "ts": _us(leave - origin), **common}
    yield {"ph": "f", "bp": "e", "tid": end, "ts": _us(after.start_ns - origin), **common}


def _spans(requests: Iterable[RequestRecord], origin: int) -> Iterator[Event]:
    for number, r in enumerate(requests, start=1):
        common = {"pid": _REQUESTS, "tid": 0, "cat": r.pipeline, "name": r.id, "id": number}
        args = {"pipeline": r.pipeline, "outcome": r.outcome}
        yield {"ph": "b", "ts": _us(r.start_ns - origin), "args": args, **common}
        yield {"ph": "e", "ts": _us(r.end_ns - origin), **common}


def _us(ns: int) -> float:
    return ns / 1e3
