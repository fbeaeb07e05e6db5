import re

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_text
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from executor.gpus import GpuSnapshot
from executor.metrics import FAMILIES, GPU_FAMILIES, PIPE_FAMILIES, Collector, render
from executor.stats import (
    CacheSnapshot,
    NodeStats,
    PipelineStats,
    ResourceSnapshot,
    SequenceSnapshot,
    Snapshot,
    StageSnapshot,
    StreamStats,
    sum_nodes,
)


@pytest.fixture
def snapshot() -> Snapshot:
    node = NodeStats("embed", "embed.encoder", "encoder", version="4")
    node.waited(3, 2_000_000)
    node.ran(3, 8, 5_000_000)
    node.waited(2, 0)
    node.ran(2, 4, 7_000_000)
    node.failed("BACKEND", 2)
    node.copied(4096, "pad")
    pipeline = PipelineStats("embed")
    pipeline.finished(9_000_000, rows=8)
    pipeline.failed("REJECTED")
    pipeline.failed("novel")
    stage = StageSnapshot(
        "encoder", "4", "cpu", (0.012, 0.0), waiting_requests=6, waiting_rows=9, load_seconds=1.5, gpu_seconds=0.75
    )
    outside = {"embed.encoder": {"pad": 4, "gather": 8}, "embed": {"egress": 16}}
    constructs = {
        ("arm", "embed.tier", "then"): 5,
        ("shadow", "embed.arm/next", "dropped"): 3,
        ("map", "embed.boxes", "failure"): 2,
        ("try", "embed.best", "hedge_won"): 1,
    }
    streams = StreamStats()
    streams.declare("embed")
    streams.opened("embed")
    streams.begun("embed", 3_000_000)
    node.elements = 7
    pipelines = (pipeline.snapshot(inflight=1, waiting=2),)
    return Snapshot(
        pipelines,
        sum_nodes([node]),
        (stage,),
        outside,
        constructs,
        streams.snapshot(),
        caches=(CacheSnapshot("encoder", "4", "cpu", hits=5, misses=3, evictions=1, bytes=900, entries=2),),
        sequences=(SequenceSnapshot("embed", open=3, waiting=1, ended={"end": 4, "idle": 2}),),
        resources=(ResourceSnapshot("bus", total=4, held=3),),
        gpus=(GpuSnapshot("GPU-1", 0.25, 8000, 3000, 120.5, 700.0, 42.0), GpuSnapshot("GPU-2", memory_total=9000)),
    )


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(spelt(s.name), tuple(sorted(s.labels.items()))): s.value for family in parse(text) for s in family.samples}


def spelt(name: str) -> str:
    """As in the text: the parser adds `_total` to a counter that lacks it."""
    return name.removesuffix("_total") if name.startswith("nv_") else name


def value(text: str, name: str, **labels: str) -> float:
    return samples(text)[name, tuple(sorted(labels.items()))]


NODE = {"pipeline": "embed", "node": "embed.encoder", "stage": "encoder", "version": "4"}


def test_caches_sequences_and_resources(snapshot: Snapshot):
    text = render(snapshot)
    stage = {"stage": "encoder", "version": "4", "device": "cpu"}
    assert value(text, "pipe_cache_hits_total", **stage) == 5
    assert value(text, "pipe_cache_bytes", **stage) == 900
    assert value(text, "nv_cache_num_hits_per_model", model="encoder", version="4") == 5
    assert value(text, "nv_cache_num_misses_per_model", model="encoder", version="4") == 3
    assert value(text, "pipe_sequences_open", pipeline="embed") == 3
    assert value(text, "pipe_sequences_ended_total", pipeline="embed", how="idle") == 2
    assert value(text, "pipe_sequences_ended_total", pipeline="embed", how="lost") == 0
    assert value(text, "pipe_resource_held_units", resource="bus") == 3


def test_gpus_under_both_names(snapshot: Snapshot):
    text = render(snapshot)
    one, two = {"gpu_uuid": "GPU-1"}, {"gpu_uuid": "GPU-2"}
    assert value(text, "pipe_gpu_utilization_ratio", **one) == value(text, "nv_gpu_utilization", **one) == 0.25
    assert value(text, "pipe_gpu_memory_bytes", **two) == value(text, "nv_gpu_memory_total_bytes", **two) == 9000
    assert value(text, "pipe_gpu_memory_used_bytes", **one) == value(text, "nv_gpu_memory_used_bytes", **one) == 3000
    assert value(text, "pipe_gpu_power_watts", **one) == value(text, "nv_gpu_power_usage", **one) == 120.5
    assert value(text, "pipe_gpu_power_limit_watts", **one) == value(text, "nv_gpu_power_limit", **one) == 700
    assert value(text, "pipe_gpu_energy_joules_total", **one) == value(text, "nv_energy_consumption", **one) == 42
    assert ("nv_gpu_power_usage", (("gpu_uuid", "GPU-2"),)) not in samples(text), "what it does not say is left out"
    assert value(text, "pipe_gpu_seconds_total", stage="encoder", version="4", device="cpu") == 0.75


def test_our_own_family(snapshot: Snapshot):
    text = render(snapshot)
    assert value(text, "pipe_requests_total", pipeline="embed", outcome="success", reason="") == 1
    assert value(text, "pipe_requests_total", pipeline="embed", outcome="failure", reason="REJECTED") == 1
    assert value(text, "pipe_requests_inflight", pipeline="embed") == 1
    assert value(text, "pipe_requests_waiting", pipeline="embed") == 2
    assert value(text, "pipe_node_rows_total", **NODE) == 12
    assert value(text, "pipe_node_executions_total", **NODE) == 2
    assert value(text, "pipe_node_compute_seconds_sum", **NODE) == 0.012
    assert value(text, "pipe_node_compute_seconds_bucket", **NODE, le="0.005") == 1
    assert value(text, "pipe_node_compute_seconds_bucket", **NODE, le="+Inf") == 2
    assert value(text, "pipe_node_batch_rows_bucket", **NODE, le="4.0") == 1
    assert value(text, "pipe_node_queue_seconds_count", **NODE) == 5
    assert value(text, "pipe_copied_bytes_total", **NODE, reason="pad") == 4100
    assert value(text, "pipe_copied_bytes_total", **NODE, reason="gather") == 8
    whole = {"pipeline": "embed", "node": "", "stage": "", "version": ""}
    assert value(text, "pipe_copied_bytes_total", **whole, reason="egress") == 16
    assert value(text, "pipe_stage_waiting_rows", stage="encoder", version="4", device="cpu") == 9
    busy = {"stage": "encoder", "version": "4", "device": "cpu"}
    assert value(text, "pipe_instance_busy_seconds_total", **busy, instance="0") == 0.012


def test_the_triton_family_shows_pipelines_and_nodes_as_models(snapshot: Snapshot):
    text = render(snapshot)
    node = {"model": "embed.encoder", "version": "4"}
    assert value(text, "nv_inference_request_success", model="embed", version="1") == 1
    assert value(text, "nv_inference_request_success", **node) == 5
    assert value(text, "nv_inference_request_failure", **node, reason="BACKEND") == 2
    assert value(text, "nv_inference_request_failure", model="embed", version="1", reason="OTHER") == 1
    assert value(text, "nv_inference_count", **node) == 12
    assert value(text, "nv_inference_exec_count", **node) == 2
    assert value(text, "nv_inference_queue_duration_us", **node) == 6000
    assert value(text, "nv_inference_compute_infer_duration_us", **node) == 29000
    assert value(text, "nv_inference_request_duration_us", model="embed", version="1") == 9000
    assert value(text, "nv_inference_pending_request_count", **node) == 6
    assert value(text, "nv_model_load_duration_secs", **node) == 1.5
    first = {"model": "embed", "version": "1"}
    assert value(text, "nv_inference_first_response_histogram_ms_bucket", **first, le="10.0") == 1


def test_constructs(snapshot: Snapshot):
    text = render(snapshot)
    place = {"pipeline": "embed"}
    assert value(text, "pipe_arm_elements_total", **place, node="embed.tier", arm="then") == 5
    assert value(text, "pipe_shadow_elements_total", **place, node="embed.arm", arm="next", outcome="dropped") == 3
    assert value(text, "pipe_map_items_total", **place, node="embed.boxes", outcome="failure") == 2
    assert value(text, "pipe_try_total", **place, node="embed.best", event="hedge_won") == 1


def test_streams(snapshot: Snapshot):
    text = render(snapshot)
    assert value(text, "pipe_elements_total", **NODE) == 7
    assert value(text, "pipe_streams_open", pipeline="embed") == 1
    assert value(text, "pipe_first_element_seconds_sum", pipeline="embed") == 0.003
    assert value(text, "pipe_first_element_seconds_bucket", pipeline="embed", le="0.0025") == 0


def test_types_of_foreign_counters(snapshot: Snapshot):
    text = render(snapshot)
    assert "# TYPE nv_inference_count counter\n" in text
    assert "# TYPE nv_inference_pending_request_count gauge\n" in text
    assert "untyped" not in text


def test_every_family_appears_once_with_help_and_its_labels(snapshot: Snapshot):
    text = render(snapshot)
    for family in FAMILIES:
        assert text.count(f"# HELP {family.name} ") == 1, family.name
        assert text.count(f"# TYPE {family.name} ") == 1, family.name
    names = {s.name for family in parse(text) for s in family.samples}
    assert all(any(name.startswith(family.name) for family in FAMILIES) for name in names)


def test_our_names_follow_the_conventions():
    for family in PIPE_FAMILIES + GPU_FAMILIES:
        assert re.fullmatch(r"pipe_[a-z_]+", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert not re.search(r"_(us|ms|ns|kb)(_|$)", family.name), "base units only"
        assert family.help.endswith(".")


def test_histograms_are_cumulative(snapshot: Snapshot):
    buckets: dict[tuple[str, tuple[tuple[str, str], ...]], list[float]] = {}
    for (name, labels), count in samples(render(snapshot)).items():
        if name.endswith("_bucket"):
            rest = tuple(pair for pair in labels if pair[0] != "le")
            buckets.setdefault((name, rest), []).append(count)
    assert buckets
    for counts in buckets.values():
        assert counts == sorted(counts)


def test_openmetrics_accepts_it(snapshot: Snapshot):
    registry = CollectorRegistry()
    registry.register(Collector(lambda: snapshot))
    names = {family.name for family in parse_openmetrics(openmetrics_text(registry).decode())}
    assert {"pipe_requests", "pipe_node_compute_seconds", "nv_inference_count"} <= names


def test_label_values_are_escaped():
    odd = 'a"b\\c\nd'
    text = render(Snapshot((PipelineStats(odd).snapshot(),)))
    assert value(text, "pipe_requests_inflight", pipeline=odd) == 0


def test_nothing_running_is_no_text():
    assert render(Snapshot()) == ""
