"""Counters of a running plan, and the `Snapshot` that metrics and reports read.

    one worker thread -> NodeStats / PipelineStats (plain integers) --at scrape--> Snapshot -> metrics, report

A counter object belongs to one instance (or to one pipeline's door) and is written by one thread at a time,
so it needs no lock and no atomic: a write is a few integer additions. Readers on other threads may see a
batch half counted; the next scrape has it. Nothing here reads a clock. Times are int nanoseconds until a
snapshot is made, which holds float seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from .gpus import GpuSnapshot

_MICROSECOND = 1_000
_STEPS = (1, 2.5, 5)
SECONDS_NS: tuple[int, ...] = tuple(
    int(step * 10**decade) * _MICROSECOND // 10 for decade in range(2, 9) for step in _STEPS
)
"""Upper bounds of the time histograms: 10, 25, 50 us, ... 10, 25, 50 s; in ns."""
ROWS: tuple[int, ...] = tuple(2**n for n in range(11))
"""Upper bounds of the batch size histogram: 1, 2, 4 .. 1024 rows."""


class StreamStats:
    """Stream outputs of requests, by pipeline. Written by several threads."""

    __slots__ = ("_lock", "first", "first_ns", "open")

    def __init__(self) -> None:
        self._lock = Lock()
        self.open: Counter[str] = Counter()
        """Streams that have not ended."""
        self.first: dict[str, list[int]] = {}
        """Histogram of the time from a request to the first element of one of its streams."""
        self.first_ns: Counter[str] = Counter()

    def declare(self, pipeline: str) -> None:
        """A pipeline has stream outputs."""
        self.open[pipeline] = 0
        self.first[pipeline] = [0] * (len(SECONDS_NS) + 1)

    def opened(self, pipeline: str) -> None:
        """A request's stream exists."""
        with self._lock:
            self.open[pipeline] += 1

    def closed(self, pipeline: str) -> None:
        """It has ended, or failed."""
        with self._lock:
            self.open[pipeline] -= 1

    def begun(self, pipeline: str, ns: int) -> None:
        """The first element of a stream came after `ns`."""
        with self._lock:
            self.first[pipeline][bisect_left(SECONDS_NS, ns)] += 1
            self.first_ns[pipeline] += ns

    def snapshot(self) -> dict[str, StreamSnapshot]:
        """The values now, by pipeline."""
        with self._lock:
            return {
                name: StreamSnapshot(self.open[name], _seconds(counts, self.first_ns[name]))
                for name, counts in self.first.items()
            }


class NodeStats:
    """Counters of one call site on one instance; summed over instances when read.

    `requests` below is how many requests a batch or cohort holds, `rows` their rows."""

    __slots__ = (
        "compute",
        "compute_ns",
        "copied_bytes",
        "dead_rows",
        "device",
        "elements",
        "executions",
        "failures",
        "instance",
        "node",
        "pipeline",
        "queue",
        "queue_ns",
        "request_compute_ns",
        "rows",
        "sizes",
        "stage",
        "succeeded",
        "version",
    )

    def __init__(
        self,
        pipeline: str,
        node: str,
        stage: str,
        *,
        version: str = "1",
        device: str = "cpu",
        instance: int = 0,
    ) -> None:
        self.pipeline = pipeline
        self.node = node
        self.stage = stage
        self.version = version
        self.device = device
        self.instance = instance
        self.succeeded = 0
        self.rows = 0
        self.executions = 0
        self.dead_rows = 0
        self.elements = 0
        """Of its streams."""
        self.queue_ns = 0
        self.compute_ns = 0
        """Time the instance was busy: each execution counts once."""
        self.request_compute_ns = 0
        """The same, each execution counted once for every request in it."""
        self.queue = [0] * (len(SECONDS_NS) + 1)
        self.compute = [0] * (len(SECONDS_NS) + 1)
        self.sizes = [0] * (len(ROWS) + 1)
        self.failures: dict[str, int] = {}
        self.copied_bytes: dict[str, int] = {}

    def waited(self, requests: int, ns: int) -> None:
        """A cohort left the queue after `ns`; 0 where a worker ran on without a queue."""
        self.queue_ns += ns * requests
        self.queue[bisect_left(SECONDS_NS, ns)] += requests

    def ran(self, requests: int, rows: int, ns: int) -> None:
        """One execution ended after `ns`; `requests` counts those it answered, not those it failed."""
        self.succeeded += requests
        self.rows += rows
        self.executions += 1
        self.compute_ns += ns
        self.request_compute_ns += ns * requests
        self.compute[bisect_left(SECONDS_NS, ns)] += 1
        self.sizes[bisect_left(ROWS, rows)] += 1

    def record(self, requests: int, rows: int, queue_ns: int, compute_ns: int) -> None:
        """`waited` and `ran` in one call, for a batch whose requests all waited for the same time."""
        self.queue_ns += queue_ns * requests
        self.queue[bisect_left(SECONDS_NS, queue_ns)] += requests
        self.succeeded += requests
        self.rows += rows
        self.executions += 1
        self.compute_ns += compute_ns
        self.request_compute_ns += compute_ns * requests
        self.compute[bisect_left(SECONDS_NS, compute_ns)] += 1
        self.sizes[bisect_left(ROWS, rows)] += 1

    def rode(self, requests: int, rows: int, ns: int) -> None:
        """As `ran`, for rows that ran in another call site's batch: the instance was busy for that one."""
        self.succeeded += requests
        self.rows += rows
        self.executions += 1
        self.request_compute_ns += ns * requests
        self.sizes[bisect_left(ROWS, rows)] += 1

    def failed(self, reason: str, requests: int = 1) -> None:
        """Requests ended here without an answer; `reason` as `RequestError.reason` has it."""
        self.failures[reason] = self.failures.get(reason, 0) + requests

    def copied(self, size: int, reason: str) -> None:
        """`size` bytes of tensor data were copied: `gather`, `pad`, `pack`, `convert`, .."""
        self.copied_bytes[reason] = self.copied_bytes.get(reason, 0) + size

    def dropped(self, rows: int) -> None:
        """Rows whose request had ended were dropped, or ran for nobody."""
        self.dead_rows += rows


class PipelineStats:
    """Counters of one pipeline's door; written where requests are completed, under the engine's lock."""

    __slots__ = ("duration", "duration_ns", "failures", "pipeline", "rows", "succeeded")

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.succeeded = 0
        self.rows = 0
        self.duration_ns = 0
        self.duration = [0] * (len(SECONDS_NS) + 1)
        self.failures: dict[str, int] = {}

    def finished(self, ns: int, rows: int = 1) -> None:
        """A request was answered `ns` after it came in; `rows` along `*`, 1 without."""
        self.succeeded += 1
        self.rows += rows
        self.duration_ns += ns
        self.duration[bisect_left(SECONDS_NS, ns)] += 1

    def failed(self, reason: str) -> None:
        """A request ended without an answer; `reason` as `RequestError.reason` has it."""
        self.failures[reason] = self.failures.get(reason, 0) + 1

    def snapshot(self, *, inflight: int = 0, waiting: int = 0) -> PipelineSnapshot:
        """The values now; `inflight` and `waiting` are the sizes of the containers of those requests."""
        return PipelineSnapshot(
            self.pipeline,
            self.succeeded,
            dict(self.failures),
            self.rows,
            inflight,
            waiting,
            _seconds(self.duration, self.duration_ns),
        )


# ---- what readers get


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts[i]` observations were at most `bounds[i]` and above the bound before; the last has no bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    """Sum of all observations, in the unit of the bounds."""

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """0 where nothing was observed."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, q: float) -> float:
        """The value below which a share `q` of the observations lies, interpolated inside its bucket.

        0 where nothing was observed; the last bound where it lies above all bounds."""
        wanted = q * self.count
        if not wanted:
            return 0.0
        lower = 0.0
        for bound, count in zip(self.bounds, self.counts):
            if count >= wanted:
                return lower + (bound - lower) * wanted / count
            wanted -= count
            lower = bound
        return self.bounds[-1]


@dataclass(frozen=True, slots=True)
class NodeSnapshot:
    """One call site, summed over its instances."""

    pipeline: str
    node: str
    stage: str
    version: str
    succeeded: int
    failures: Mapping[str, int]
    rows: int
    executions: int
    dead_rows: int
    queue: Histogram
    """Seconds, one observation for each request."""
    compute: Histogram
    """Seconds, one observation for each execution."""
    sizes: Histogram
    """Rows, one observation for each execution."""
    request_compute: float
    """Seconds, each execution counted for every request in it."""
    copied_bytes: Mapping[str, int] = field(default_factory=dict)
    elements: int = 0
    """Of its streams."""


@dataclass(frozen=True, slots=True)
class StageSnapshot:
    """One stage: what waits for it, and its instances."""

    stage: str
    version: str
    device: str
    busy: Sequence[float] = ()
    """Seconds each instance was executing, by instance index."""
    waiting_requests: int = 0
    waiting_rows: int = 0
    restarts: int = 0
    """Processes of an isolated stage that were started again."""
    load_seconds: float = 0.0
    gpu_seconds: float | None = None
    """GPU time of its executions; None where nothing measures it."""


@dataclass(frozen=True, slots=True)
class CacheSnapshot:
    """The kept answers of one stage."""

    stage: str
    version: str
    device: str
    hits: int
    """Rows (calls without `*`) that were found, or equal to one in the same batch."""
    misses: int
    evictions: int
    bytes: int
    entries: int


@dataclass(frozen=True, slots=True)
class SequenceSnapshot:
    """The sequences of one pipeline."""

    pipeline: str
    open: int
    """That began and are not over."""
    waiting: int
    """That wait for a place."""
    ended: Mapping[str, int]
    """That are over, by how: `end`, `idle`, `failed`, `lost`."""


@dataclass(frozen=True, slots=True)
class ResourceSnapshot:
    """One shared resource."""

    resource: str
    total: int
    held: int


@dataclass(frozen=True, slots=True)
class PipelineSnapshot:
    """One pipeline at its door."""

    pipeline: str
    succeeded: int
    failures: Mapping[str, int]
    rows: int
    inflight: int
    """Requests inside."""
    waiting: int
    """Requests before the door."""
    duration: Histogram
    """Seconds from coming in to the answer, of those that were answered."""


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """The stream outputs of one pipeline."""

    open: int
    first: Histogram
    """Seconds from coming in to the first element of a stream."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All counters at about one moment, in plan order."""

    pipelines: tuple[PipelineSnapshot, ...] = ()
    nodes: tuple[NodeSnapshot, ...] = ()
    stages: tuple[StageSnapshot, ...] = ()
    copied_bytes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Bytes copied outside of executions, by reason: at a node's join or inbox, or at a pipeline's end."""
    constructs: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """What happened at constructs: counts by kind (`arm`, `shadow`, `map`, `try`), node and what."""
    streams: Mapping[str, StreamSnapshot] = field(default_factory=dict)
    """Of pipelines with stream outputs."""
    caches: tuple[CacheSnapshot, ...] = ()
    sequences: tuple[SequenceSnapshot, ...] = ()
    resources: tuple[ResourceSnapshot, ...] = ()
    gpus: tuple[GpuSnapshot, ...] = ()
    """Of the machine: filled in where metrics are read, since they are no engine's."""


def sum_nodes(parts: Iterable[NodeStats]) -> tuple[NodeSnapshot, ...]:
    """One snapshot for each call site, in order of first appearance, summed over instances."""
    by_node: dict[str, list[NodeStats]] = {}
    for part in parts:
        by_node.setdefault(part.node, []).append(part)
    return tuple(map(_sum_node, by_node.values()))


def busy_seconds(parts: Iterable[NodeStats], stage: str, instances: int) -> tuple[float, ...]:
    """Seconds each instance of a stage was executing, by instance index."""
    busy = [0] * instances
    for part in parts:
        if part.stage == stage:
            busy[part.instance] += part.compute_ns
    return tuple(ns / 1e9 for ns in busy)


def _sum_node(parts: list[NodeStats]) -> NodeSnapshot:
    first = parts[0]
    rows = sum(p.rows for p in parts)
    return NodeSnapshot(
        pipeline=first.pipeline,
        node=first.node,
        stage=first.stage,
        version=first.version,
        succeeded=sum(p.succeeded for p in parts),
        failures=_add(p.failures for p in parts),
        rows=rows,
        executions=sum(p.executions for p in parts),
        dead_rows=sum(p.dead_rows for p in parts),
        queue=_seconds(_columns([p.queue for p in parts]), sum(p.queue_ns for p in parts)),
        compute=_seconds(_columns([p.compute for p in parts]), sum(p.compute_ns for p in parts)),
        sizes=Histogram(_ROW_BOUNDS, tuple(_columns([p.sizes for p in parts])), rows),
        request_compute=sum(p.request_compute_ns for p in parts) / 1e9,
        copied_bytes=_add(p.copied_bytes for p in parts),
        elements=sum(p.elements for p in parts),
    )


_SECOND_BOUNDS = tuple(ns / 1e9 for ns in SECONDS_NS)
_ROW_BOUNDS = tuple(map(float, ROWS))


def _seconds(counts: Sequence[int], total_ns: int) -> Histogram:
    return Histogram(_SECOND_BOUNDS, tuple(counts), total_ns / 1e9)


def _columns(rows: list[list[int]]) -> list[int]:
    return [sum(column) for column in zip(*rows)]


def _add(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for key, value in dict(part).items():  # a copy: the writer may add a key meanwhile
            total[key] = total.get(key, 0) + value
    return total
