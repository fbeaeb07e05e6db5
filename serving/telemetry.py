"""OpenTelemetry: a span for each request, one for each step of it, and one for each batch, linked to its requests.

    call with `traceparent` + Response -> spans -> OTLP

Spans are made once a request has ended, from the times that the engine kept anyway: a request that is not traced
costs nothing, and one that is costs nothing while it runs. A batch has a span of its own in a trace of its own; the
steps of all requests that were in it link to it, and it links to the first of them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from executor.errors import RequestError
from executor.request import Execution, Response

from .deployment import Served
from .tensors import InferCall

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import SpanContext

KEPT_BATCHES = 4096
"""Batches whose span is remembered for further requests in them."""


class Telemetry:
    """Makes spans; belongs to one event loop."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("pipectl")
        self._batches: OrderedDict[tuple[str, int, int], SpanContext] = OrderedDict()
        self._epoch_ns = time.time_ns() - time.monotonic_ns()
        """From the engine's clock to wall time."""

    def answered(self, served: Served, call: InferCall, response: Response) -> None:
        """A request that has its answer."""
        span = self._request(served, call, response.arrived_ns, response.id)
        if span.is_recording():
            for execution in response.executions:
                self._step(span, execution)
        span.end(response.finished_ns + self._epoch_ns)

    def failed(self, served: Served, call: InferCall, began_ns: int, error: RequestError) -> None:
        """A request that has none. `began_ns`: monotonic."""
        from opentelemetry.trace import Status, StatusCode

        span = self._request(served, call, began_ns, error.request_id)
        span.set_status(Status(StatusCode.ERROR, error.message))
        span.set_attribute("error.type", error.grpc_code)
        if error.node:
            span.set_attribute("pipectl.node", error.node)
        span.end(time.monotonic_ns() + self._epoch_ns)

    def close(self) -> None:
        """Send what is left, and stop."""
        self._provider.shutdown()

    def _request(self, served: Served, call: InferCall, began_ns: int, id: str) -> Any:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(dict(call.headers)) if call.headers else None
        return self._tracer.start_span(
            served.name,
            parent,
            SpanKind.SERVER,
            {"pipectl.pipeline": served.name, "pipectl.version": served.version, "pipectl.request": id},
            start_time=began_ns + self._epoch_ns,
        )

    def _step(self, request: Any, ran: Execution) -> None:
        from opentelemetry.trace import Link, set_span_in_context

        span = self._tracer.start_span(
            ran.node,
            set_span_in_context(request),
            attributes={"pipectl.stage": ran.stage, "pipectl.instance": ran.instance},
            links=[Link(self._batch(request, ran))],
            start_time=ran.enqueued_ns + self._epoch_ns,
        )
        span.add_event("started", timestamp=ran.start_ns + self._epoch_ns)
        span.end(ran.end_ns + self._epoch_ns)

    def _batch(self, request: Any, ran: Execution) -> SpanContext:
        """The batch's span, made for the first of its requests that ends."""
        from opentelemetry.context import Context
        from opentelemetry.trace import Link

        key = (ran.stage, ran.instance, ran.start_ns)
        found = self._batches.get(key)
        if found is not None:
            return found
        span = self._tracer.start_span(
            f"batch of {ran.stage}",
            Context(),
            attributes={
                "pipectl.stage": ran.stage,
                "pipectl.instance": ran.instance,
                "pipectl.batch.rows": ran.rows,
                "pipectl.batch.requests": ran.requests,
            },
            links=[Link(request.get_span_context())],
            start_time=ran.start_ns + self._epoch_ns,
        )
        span.end(ran.end_ns + self._epoch_ns)
        made: SpanContext = span.get_span_context()
        self._batches[key] = made
        while len(self._batches) > KEPT_BATCHES:
            self._batches.popitem(last=False)
        return made


def exporting(url: str, service: str, share: float) -> Telemetry:
    """Spans to an OTLP collector over HTTP: `share` (0 to 1) of requests without a trace of their own, and those whose
    caller traces. ImportError where OpenTelemetry is not installed."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(share)), resource=Resource.create({"service.name": service})
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    return Telemetry(provider)
