"""A gRPC server on a free port of this machine, for real clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from serving.access import Access
from serving.grpc.options import GrpcOptions
from serving.grpc.server import GrpcServer
from serving.operations import Operations
from serving.options import ServerOptions

from .programs import running


@dataclass
class Running:
    """A server, and what it serves."""

    operations: Operations
    server: GrpcServer

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.server.port}"


@asynccontextmanager
async def grpc_server(
    path: Path,
    options: ServerOptions | None = None,
    access: Access | None = None,
    grpc: GrpcOptions | None = None,
    **more: Any,
) -> AsyncIterator[Running]:
    """All pipelines of a file over gRPC."""
    async with running(path, options, access, **more) as ops:
        server = GrpcServer(ops, replace(grpc or GrpcOptions(), address="127.0.0.1:0"))
        await server.start()
        try:
            yield Running(ops, server)
        finally:
            await server.stop(0)
