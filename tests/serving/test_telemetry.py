"""OpenTelemetry: spans of requests, their steps and batches, below the trace a call comes with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from serving.options import ServerOptions
from serving.telemetry import Telemetry

from .http_server import Raw, http_server, request
from .live import live

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def infer(value: float = 1) -> bytes:
    given = [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [value, 2, 3, 4]}]
    return json.dumps({"inputs": given}).encode()


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(exporter: InMemorySpanExporter) -> Telemetry:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Telemetry(provider)


def test_a_request_is_a_span_of_its_callers_trace(
    pipe: Path, telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    serving = http_server(pipe, ServerOptions(telemetry=True), telemetry=telemetry)
    with live(serving) as server, Raw(server.value.url) as raw:
        raw.send(request(infer(), traceparent=f"00-{TRACE}-{PARENT}-01"))
        assert raw.response()[0] == 200
    spans = {s.name: s for s in exporter.get_finished_spans()}
    top = spans["rows"]
    assert (f"{top.context.trace_id:032x}", f"{top.parent.span_id:016x}") == (TRACE, PARENT)
    for node, stage in (("rows.y", "same_rows"), ("rows.z", "same_rows_again")):
        step = spans[node]
        assert (step.context.trace_id, step.parent.span_id) == (top.context.trace_id, top.context.span_id)
        assert top.start_time <= step.start_time <= step.events[0].timestamp <= step.end_time <= top.end_time
        batch = spans[f"batch of {stage}"]
        assert [link.context.span_id for link in step.links] == [batch.context.span_id]
        assert [link.context.span_id for link in batch.links] == [top.context.span_id]
        assert (batch.parent, batch.attributes["pipectl.batch.rows"]) == (None, 1)
        assert batch.context.trace_id != top.context.trace_id


def test_a_failure_names_its_node(pipe: Path, telemetry: Telemetry, exporter: InMemorySpanExporter) -> None:
    serving = http_server(pipe, ServerOptions(telemetry=True), telemetry=telemetry)
    with live(serving) as server, Raw(server.value.url) as raw:
        raw.send(request(infer(13), path="/v2/models/fails/infer"))
        assert raw.response()[0] == 500
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "INTERNAL"
    assert span.attributes["pipectl.node"] == "fails.broken_1"


def test_without_telemetry_no_header_is_read() -> None:
    assert ServerOptions().forwarded() is None
    both = ServerOptions(telemetry=True, header_pattern="x-.*").forwarded()
    assert both is not None
    assert [bool(both.fullmatch(h)) for h in ("traceparent", "X-User", "cookie")] == [True, True, False]
