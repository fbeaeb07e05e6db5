"""Every metric family, declared in one table, and the Prometheus text of a `Snapshot`.

    Snapshot --FAMILIES--> prometheus_client families --render--> text

Two groups. `pipe_*` are our own, in base units: seconds, bytes, rows. `nv_*` carry the names, labels and
units that dashboards and autoscalers of a Triton server read; a pipeline and each of its nodes are models
there. Nothing is counted here: a scrape reads what `stats` holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from .stats import (
    CacheSnapshot,
    Histogram,
    NodeSnapshot,
    PipelineSnapshot,
    ResourceSnapshot,
    SequenceSnapshot,
    Snapshot,
    StageSnapshot,
)

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Kind = Literal["counter", "gauge", "histogram", "foreign counter"]
"""A foreign counter keeps a name without `_total`, as the server it comes from spells it."""
Labels = tuple[str, ...]
Sample = tuple[Labels, float | Histogram]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: `read` gives its samples, label values in the order of `labels`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[Snapshot], Iterable[Sample]]


# ---- how samples are read: one value for each pipeline, node or stage, or several


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


# ---- the family of a Triton server

_TRITON_REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")
_MODEL = ("model", "version")


def _models(
    pipeline: Callable[[PipelineSnapshot], float | Histogram],
    node: Callable[[NodeSnapshot], float | Histogram],
) -> Callable[[Snapshot], Iterator[Sample]]:
    def read(s: Snapshot) -> Iterator[Sample]:
        yield from (((p.pipeline, "1"), pipeline(p)) for p in s.pipelines)
        yield from (((n.node, n.version), node(n)) for n in s.nodes)

    return read


def _triton_failures(s: Snapshot) -> Iterator[Sample]:
    models = [((p.pipeline, "1"), p.failures) for p in s.pipelines]
    models += [((n.node, n.version), n.failures) for n in s.nodes]
    for labels, failures in models:
        counts = dict.fromkeys(_TRITON_REASONS, 0)
        for reason, count in failures.items():
            counts[reason if reason in counts else "OTHER"] += count
        yield from (((*labels, reason), count) for reason, count in counts.items())


def _pending(s: Snapshot) -> Iterator[Sample]:
    """A stage's inbox is shared by its call sites, so each shows all that waits for its stage."""
    waiting = {(g.stage, g.version): g.waiting_requests for g in s.stages}
    yield from (((p.pipeline, "1"), p.waiting) for p in s.pipelines)
    yield from (((n.node, n.version), waiting.get((n.stage, n.version), 0)) for n in s.nodes)


def _loads(s: Snapshot) -> Iterator[Sample]:
    loads = {(g.stage, g.version): g.load_seconds for g in s.stages}
    yield from (((n.node, n.version), loads.get((n.stage, n.version), 0.0)) for n in s.nodes)


def _milliseconds(h: Histogram) -> Histogram:
    return Histogram(tuple(b * 1e3 for b in h.bounds), h.counts, h.total * 1e3)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def _nothing(_: object) -> float:
    return 0


TRITON_FAMILIES: tuple[Family, ...] = (
    Family(
        "nv_inference_request_success",
        "foreign counter",
        "Number of successful inference requests, all batch sizes",
        _MODEL,
        _models(lambda p: p.succeeded, lambda n: n.succeeded),
    ),
    Family(
        "nv_inference_request_failure",
        "foreign counter",
        "Number of failed inference requests, all batch sizes",
        (*_MODEL, "reason"),
        _triton_failures,
    ),
    Family(
        "nv_inference_count",
        "foreign counter",
        "Number of inferences performed (does not include cached requests)",
        _MODEL,
        _models(lambda p: p.rows, lambda n: n.rows),
    ),
    Family(
        "nv_inference_exec_count",
        "foreign counter",
        "Number of model executions performed (does not include cached requests)",
        _MODEL,
        _models(lambda p: p.succeeded, lambda n: n.executions),
    ),
    Family(
        "nv_inference_request_duration_us",
        "foreign counter",
        "Cumulative inference request duration in microseconds (includes cached requests)",
        _MODEL,
        _models(lambda p: _us(p.duration.total), lambda n: _us(n.queue.total + n.request_compute)),
    ),
    Family(
        "nv_inference_queue_duration_us",
        "foreign counter",
        "Cumulative inference queuing duration in microseconds (includes cached requests)",
        _MODEL,
        _models(_nothing, lambda n: _us(n.queue.total)),
    ),
    Family(
        "nv_inference_compute_input_duration_us",
        "foreign counter",
        "Cumulative compute input duration in microseconds (does not include cached requests)",
        _MODEL,
        _models(_nothing, _nothing),
    ),
    Family(
        "nv_inference_compute_infer_duration_us",
        "foreign counter",
        "Cumulative compute inference duration in microseconds (does not include cached requests)",
        _MODEL,
        _models(_nothing, lambda n: _us(n.request_compute)),
    ),
    Family(
        "nv_inference_compute_output_duration_us",
        "foreign counter",
        "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        _MODEL,
        _models(_nothing, _nothing),
    ),
    Family(
        "nv_inference_pending_request_count",
        "gauge",
        "Instantaneous number of pending requests awaiting execution per-model",
        _MODEL,
        _pending,
    ),
    Family(
        "nv_cache_num_hits_per_model",
        "foreign counter",
        "Number of cache hits per model",
        _MODEL,
        lambda s: (((c.stage, c.version), c.hits) for c in s.caches),
    ),
    Family(
        "nv_cache_num_misses_per_model",
        "foreign counter",
        "Number of cache misses per model",
        _MODEL,
        lambda s: (((c.stage, c.version), c.misses) for c in s.caches),
    ),
    Family("nv_model_load_duration_secs", "gauge", "Time in seconds that a model took to load", _MODEL, _loads),
    Family(
        "nv_inference_first_response_histogram_ms",
        "histogram",
        "Duration from request to first response in milliseconds",
        _MODEL,
        lambda s: (((p.pipeline, "1"), _milliseconds(p.duration)) for p in s.pipelines),
    ),
)

FAMILIES: tuple[Family, ...] = PIPE_FAMILIES + STATE_FAMILIES + TRITON_FAMILIES


# ---- prometheus_client


class Collector:
    """A prometheus_client collector: `REGISTRY.register(Collector(engine.stats))`."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """All families with their samples; families without one are left out."""
        snapshot = self._snapshot()
        for family in FAMILIES:
            metric = _metric(family, snapshot)
            if metric.samples:
                yield metric

    def describe(self) -> list[Metric]:
        """Names only, so that registering does not take a snapshot."""
        return [_metric(family, Snapshot()) for family in FAMILIES]


def render(snapshot: Snapshot) -> str:
    """The snapshot in the Prometheus text format, version 0.0.4."""
    from prometheus_client.exposition import generate_latest

    text = generate_latest(Collector(lambda: snapshot)).decode("utf-8")
    # The library spells every counter with `_total`. A foreign counter passes through it as untyped, and gets
    # its type back here: some scrapers take the difference of counters only.
    return re.sub(r"^(# TYPE nv_\w+) untyped$", r"\1 counter", text, flags=re.MULTILINE)


def _metric(family: Family, snapshot: Snapshot) -> Metric:
    from prometheus_client.core import Metric

    kind = "unknown" if family.kind == "foreign counter" else family.kind
    # A counter's family is named without `_total`, its samples with it.
    metric = Metric(family.name.removesuffix("_total"), family.help, kind)
    for values, value in family.read(snapshot):
        labels = dict(zip(family.labels, values))
        if isinstance(value, Histogram):
            _add_histogram(metric, labels, value)
        else:
            metric.add_sample(family.name, labels, value)
    return metric


def _add_histogram(metric: Metric, labels: dict[str, str], h: Histogram) -> None:
    for bound, below in zip((*map(_bound, h.bounds), "+Inf"), accumulate(h.counts)):
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, below)
    metric.add_sample(f"{metric.name}_count", labels, h.count)
    metric.add_sample(f"{metric.name}_sum", labels, h.total)


def _bound(value: float) -> str:
    """Without the noise that a change of unit leaves in a float."""
    return str(float(f"{value:.12g}"))
