"""`grpc.health.v1`: Check and Watch, for the server and for each pipeline by name."""

from __future__ import annotations

from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio

from serving.access import ANYONE
from serving.front import Front
from serving.protocol import SERVICE

_UP = health_pb2.HealthCheckResponse.SERVING
_DOWN = health_pb2.HealthCheckResponse.NOT_SERVING
_GONE = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthService:
    """Says what the operations say; `renew` after everything that may have changed it."""

    def __init__(self, operations: Front) -> None:
        self._of = operations
        self._servicer = aio.HealthServicer()
        self._told: dict[str, Any] = {}

    def add(self, server: Any) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def renew(self) -> None:
        """Tell those who watch what has changed."""
        ready = self._of.health.ready(ANYONE)
        now = {name: _UP if ready else _DOWN for name in ("", SERVICE)}
        for name in self._of.repository.catalog.pipelines:
            now[name] = _UP if self._of.health.model_ready(ANYONE, name) else _DOWN
        for name in self._of.repository.catalog.known.keys() - now.keys():
            now[name] = _DOWN
        for name in self._told.keys() - now.keys():
            now[name] = _GONE
        for name, status in now.items():
            if self._told.get(name) != status:
                await self._servicer.set(name, status)
        self._told = now
