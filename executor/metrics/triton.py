"""Metrics with the names, labels and units that dashboards and autoscalers of a Triton server read, `nv_*`; a pipeline
and each of its nodes are models there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from executor.stats import Histogram, NodeSnapshot, PipelineSnapshot, Snapshot

from .family import Family, Sample
from .gpu import GPU, gpus

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
    Family("nv_gpu_utilization", "gauge", "GPU utilization rate [0.0 - 1.0)", GPU, gpus(lambda g: g.utilization)),
    Family("nv_gpu_memory_total_bytes", "gauge", "GPU total memory, in bytes", GPU, gpus(lambda g: g.memory_total)),
    Family("nv_gpu_memory_used_bytes", "gauge", "GPU used memory, in bytes", GPU, gpus(lambda g: g.memory_used)),
    Family("nv_gpu_power_usage", "gauge", "GPU power usage in watts", GPU, gpus(lambda g: g.power)),
    Family("nv_gpu_power_limit", "gauge", "GPU power management limit in watts", GPU, gpus(lambda g: g.power_limit)),
    Family(
        "nv_energy_consumption",
        "foreign counter",
        "GPU energy consumption in joules since the server started",
        GPU,
        gpus(lambda g: g.energy),
    ),
)
