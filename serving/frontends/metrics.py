"""Figures of frontends as Prometheus text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry


@dataclass(frozen=True, slots=True)
class FrontendFigures:
    """One place among the frontends, since the server started."""

    index: int
    requests: int
    connections: int
    restarts: int


class _Collector(Collector):
    def __init__(self, figures: Sequence[FrontendFigures]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "pipe_frontend_requests", "Requests for pipelines that a frontend took in.", labels=["frontend"]
        )
        connections = GaugeMetricFamily(
            "pipe_frontend_connections", "Connections that clients hold open to a frontend.", labels=["frontend"]
        )
        restarts = CounterMetricFamily(
            "pipe_frontend_restarts", "Times a frontend was started again after it died.", labels=["frontend"]
        )
        for one in self._figures:
            labels = [str(one.index)]
            requests.add_metric(labels, one.requests)
            connections.add_metric(labels, one.connections)
            restarts.add_metric(labels, one.restarts)
        yield from (requests, connections, restarts)


def rendered(figures: Iterable[FrontendFigures]) -> str:
    """In the text format, version 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(list(figures)))
    return generate_latest(registry).decode()
