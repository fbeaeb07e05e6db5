"""Our own metrics, `pipe_*`, in base units: seconds, bytes, rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from executor.stats import (
    CacheSnapshot,
    Histogram,
    NodeSnapshot,
    PipelineSnapshot,
    ResourceSnapshot,
    SequenceSnapshot,
    Snapshot,
    StageSnapshot,
)

from .family import Family, Labels, Sample


def _pipelines(
    value: Callable[[PipelineSnapshot], float | Histogram],
) -> Callable[[Snapshot], Iterator[Sample]]:
    return lambda s: (((p.pipeline,), value(p)) for p in s.pipelines)


def _nodes(value: Callable[[NodeSnapshot], float | Histogram]) -> Callable[[Snapshot], Iterator[Sample]]:
    return lambda s: ((_node(n), value(n)) for n in s.nodes)


def _stages(value: Callable[[StageSnapshot], float]) -> Callable[[Snapshot], Iterator[Sample]]:
    return lambda s: (((g.stage, g.version, g.device), value(g)) for g in s.stages)


def _node(n: NodeSnapshot) -> Labels:
    return (n.pipeline, n.node, n.stage, n.version)


def _outcomes(labels: Labels, succeeded: int, failures: Mapping[str, int]) -> Iterator[Sample]:
    yield (*labels, "success", ""), succeeded
    for reason, count in sorted(failures.items()):
        yield (*labels, "failure", reason), count


def _pipeline_outcomes(s: Snapshot) -> Iterator[Sample]:
    for p in s.pipelines:
        yield from _outcomes((p.pipeline,), p.succeeded, p.failures)


def _node_outcomes(s: Snapshot) -> Iterator[Sample]:
    for n in s.nodes:
        yield from _outcomes(_node(n), n.succeeded, n.failures)


def _copies(s: Snapshot) -> Iterator[Sample]:
    places = {n.node: (_node(n), n.copied_bytes) for n in s.nodes}
    places |= {p.pipeline: ((p.pipeline, "", "", ""), {}) for p in s.pipelines}
    for place, (labels, inside) in places.items():
        outside = s.copied_bytes.get(place, {})
        for reason in sorted({*inside, *outside}):
            yield (*labels, reason), inside.get(reason, 0) + outside.get(reason, 0)


def _busy(s: Snapshot) -> Iterator[Sample]:
    for g in s.stages:
        for instance, seconds in enumerate(g.busy):
            yield (g.stage, g.version, g.device, str(instance)), seconds


def _elements(s: Snapshot) -> Iterator[Sample]:
    yield from ((_node(n), n.elements) for n in s.nodes if n.elements)


def _constructs(kind: str) -> Callable[[Snapshot], Iterator[Sample]]:
    """What happened at constructs of one kind; an arm of a shadow has a label of its own."""

    def read(s: Snapshot) -> Iterator[Sample]:
        for (found, place, what), count in s.constructs.items():
            if found == kind:
                node, _, arm = place.partition("/")
                labels = (node.partition(".")[0], node, *([arm] if arm else []), what)
                yield labels, count

    return read


def _caches(value: Callable[[CacheSnapshot], float]) -> Callable[[Snapshot], Iterator[Sample]]:
    return lambda s: (((c.stage, c.version, c.device), value(c)) for c in s.caches)


def _sequences(value: Callable[[SequenceSnapshot], float]) -> Callable[[Snapshot], Iterator[Sample]]:
    return lambda s: (((q.pipeline,), value(q)) for q in s.sequences)


def _resources(value: Callable[[ResourceSnapshot], float]) -> Callable[[Snapshot], Iterator[Sample]]:
    return lambda s: (((r.resource,), value(r)) for r in s.resources)


def _ended_sequences(s: Snapshot) -> Iterator[Sample]:
    for q in s.sequences:
        yield from (((q.pipeline, how), q.ended.get(how, 0)) for how in ("end", "idle", "failed", "lost"))


_PIPELINE = ("pipeline",)
_CONSTRUCT = ("pipeline", "node")
_NODE = ("pipeline", "node", "stage", "version")
_STAGE = ("stage", "version", "device")

PIPE_FAMILIES: tuple[Family, ...] = (
    Family(
        "pipe_requests_total",
        "counter",
        "Requests by outcome; reason is empty for success.",
        (*_PIPELINE, "outcome", "reason"),
        _pipeline_outcomes,
    ),
    Family(
        "pipe_request_seconds",
        "histogram",
        "Time from a request's arrival to its answer, of those that succeeded.",
        _PIPELINE,
        _pipelines(lambda p: p.duration),
    ),
    Family(
        "pipe_requests_inflight",
        "gauge",
        "Requests inside the pipeline.",
        _PIPELINE,
        _pipelines(lambda p: p.inflight),
    ),
    Family(
        "pipe_requests_waiting",
        "gauge",
        "Requests that wait to be let in.",
        _PIPELINE,
        _pipelines(lambda p: p.waiting),
    ),
    Family(
        "pipe_node_requests_total",
        "counter",
        "Requests of a node by outcome; reason is empty for success.",
        (*_NODE, "outcome", "reason"),
        _node_outcomes,
    ),
    Family("pipe_node_rows_total", "counter", "Rows executed.", _NODE, _nodes(lambda n: n.rows)),
    Family("pipe_node_executions_total", "counter", "Batches executed.", _NODE, _nodes(lambda n: n.executions)),
    Family("pipe_node_batch_rows", "histogram", "Rows in a batch.", _NODE, _nodes(lambda n: n.sizes)),
    Family(
        "pipe_node_queue_seconds",
        "histogram",
        "Time a request waited for a node, batching delay included.",
        _NODE,
        _nodes(lambda n: n.queue),
    ),
    Family(
        "pipe_node_compute_seconds",
        "histogram",
        "Time a batch took to execute.",
        _NODE,
        _nodes(lambda n: n.compute),
    ),
    Family(
        "pipe_copied_bytes_total",
        "counter",
        "Bytes of tensor data that were copied on the way into or out of a node.",
        (*_NODE, "reason"),
        _copies,
    ),
    Family(
        "pipe_dead_rows_total",
        "counter",
        "Rows dropped, or computed for nobody, because their request had ended.",
        _NODE,
        _nodes(lambda n: n.dead_rows),
    ),
    Family(
        "pipe_arm_elements_total",
        "counter",
        "Requests, or items inside `map`, that took an arm of `if`, `match` or `route`; `none` where none fits.",
        (*_CONSTRUCT, "arm"),
        _constructs("arm"),
    ),
    Family(
        "pipe_shadow_elements_total",
        "counter",
        "Copies sent into a shadow arm by outcome: success, failure, or dropped because it was late or under load.",
        (*_CONSTRUCT, "arm", "outcome"),
        _constructs("shadow"),
    ),
    Family(
        "pipe_map_items_total",
        "counter",
        "Items of `map` by outcome: success or failure.",
        (*_CONSTRUCT, "outcome"),
        _constructs("map"),
    ),
    Family(
        "pipe_try_total",
        "counter",
        "What happened at `try`: attempt, success, retry, hedge, hedge_won, fallback.",
        (*_CONSTRUCT, "event"),
        _constructs("try"),
    ),
    Family(
        "pipe_elements_total",
        "counter",
        "Elements that a node put into its streams.",
        _NODE,
        _elements,
    ),
    Family(
        "pipe_streams_open",
        "gauge",
        "Stream outputs of requests that have not ended.",
        _PIPELINE,
        lambda s: (((name,), found.open) for name, found in s.streams.items()),
    ),
    Family(
        "pipe_first_element_seconds",
        "histogram",
        "Time from a request's arrival to the first element of a stream output.",
        _PIPELINE,
        lambda s: (((name,), found.first) for name, found in s.streams.items()),
    ),
    Family(
        "pipe_stage_waiting_requests",
        "gauge",
        "Requests in the inbox of a stage.",
        _STAGE,
        _stages(lambda g: g.waiting_requests),
    ),
    Family(
        "pipe_stage_waiting_rows",
        "gauge",
        "Rows in the inbox of a stage.",
        _STAGE,
        _stages(lambda g: g.waiting_rows),
    ),
    Family(
        "pipe_stage_restarts_total",
        "counter",
        "Processes of an isolated stage that were started again.",
        _STAGE,
        _stages(lambda g: g.restarts),
    ),
    Family(
        "pipe_stage_load_seconds",
        "gauge",
        "Time the stage took to load and warm up.",
        _STAGE,
        _stages(lambda g: g.load_seconds),
    ),
    Family(
        "pipe_instance_busy_seconds_total",
        "counter",
        "Time an instance was executing.",
        (*_STAGE, "instance"),
        _busy,
    ),
)


STATE_FAMILIES: tuple[Family, ...] = (
    Family(
        "pipe_cache_hits_total",
        "counter",
        "Rows (calls of a stage without `*`) whose answer was kept, or that equal another in their batch.",
        _STAGE,
        _caches(lambda c: c.hits),
    ),
    Family(
        "pipe_cache_misses_total",
        "counter",
        "Rows (calls of a stage without `*`) of a stage with a cache that had to run.",
        _STAGE,
        _caches(lambda c: c.misses),
    ),
    Family(
        "pipe_cache_evictions_total",
        "counter",
        "Answers that went because the cache was full.",
        _STAGE,
        _caches(lambda c: c.evictions),
    ),
    Family("pipe_cache_bytes", "gauge", "Bytes of kept answers.", _STAGE, _caches(lambda c: c.bytes)),
    Family("pipe_cache_entries", "gauge", "Answers that are kept.", _STAGE, _caches(lambda c: c.entries)),
    Family("pipe_sequences_open", "gauge", "Sequences that are not over.", _PIPELINE, _sequences(lambda q: q.open)),
    Family(
        "pipe_sequences_waiting",
        "gauge",
        "Sequences that wait for a place at a stage.",
        _PIPELINE,
        _sequences(lambda q: q.waiting),
    ),
    Family(
        "pipe_sequences_ended_total",
        "counter",
        "Sequences that are over, by how: `end`, `idle`, `lost` with a process, `failed` with their first request.",
        (*_PIPELINE, "how"),
        _ended_sequences,
    ),
    Family(
        "pipe_resource_units",
        "gauge",
        "Units of a shared resource that there are.",
        ("resource",),
        _resources(lambda r: r.total),
    ),
    Family(
        "pipe_resource_held_units",
        "gauge",
        "Units of a shared resource that executions hold.",
        ("resource",),
        _resources(lambda r: r.held),
    ),
)
