"""The gRPC server: its port, its limits, its services."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
from grpc import aio

from serving.operations import Operations
from serving.server import BindError
from serving.tls import Tls

from .callers import Callers
from .health import HealthService
from .reflection import Reflection, add_channelz
from .service import handler
from .status import Status
from .typed import TypedHandlers

SPARE = 64 * 1024
"""Bytes a message may have beside its tensors."""


def credentials(tls: Tls) -> Any:
    """As gRPC takes them. OSError for a file that can not be read."""
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    roots = tls.clients.read_bytes() if tls.clients else None
    return grpc.ssl_server_credentials([pair], roots, require_client_auth=roots is not None)


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """How the gRPC port is set. Times in milliseconds, as gRPC counts them."""

    address: str = "127.0.0.1:8001"
    tls: Tls | None = None
    max_concurrent: int | None = None
    """Calls under way at a time; further ones are refused at once."""
    keepalive_ms: int = 7_200_000
    keepalive_timeout_ms: int = 20_000
    keepalive_without_calls: bool = False
    max_connection_age_ms: int | None = None
    max_connection_grace_ms: int | None = None
    reuse_port: bool = False

    def arguments(self, max_message: int) -> list[tuple[str, int]]:
        """As arguments of the server's channels."""
        found = [
            ("grpc.max_receive_message_length", max_message + SPARE if max_message else -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", int(self.reuse_port)),
            ("grpc.keepalive_time_ms", self.keepalive_ms),
            ("grpc.keepalive_timeout_ms", self.keepalive_timeout_ms),
            ("grpc.keepalive_permit_without_calls", int(self.keepalive_without_calls)),
            ("grpc.enable_channelz", 1),
        ]
        if self.max_connection_age_ms is not None:
            found.append(("grpc.max_connection_age_ms", self.max_connection_age_ms))
        if self.max_connection_grace_ms is not None:
            found.append(("grpc.max_connection_age_grace_ms", self.max_connection_grace_ms))
        return found


class GrpcServer:
    """All gRPC services of a set of operations, on one port."""

    name = "gRPC"

    def __init__(self, operations: Operations, options: GrpcOptions | None = None) -> None:
        self._of = operations
        self._options = options or GrpcOptions()
        self._server: Any = None
        self._health = HealthService(operations)
        self._typed: TypedHandlers | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.port = 0
        """Of the address, once it was started."""

    @property
    def address(self) -> str:
        host, _, port = self._options.address.rpartition(":")
        return f"{host}:{self.port or port}"

    async def start(self) -> None:
        """Listen. BindError if the address is taken or none."""
        options = self._options
        self._server = server = aio.server(
            options=options.arguments(self._of.options.max_message), maximum_concurrent_rpcs=options.max_concurrent
        )
        status = Status(self._of.options)
        callers = Callers(self._of.access, self._of.options)
        self._typed = typed = TypedHandlers(self._of, status, callers)
        reflection = Reflection(typed, status, callers).handlers()
        server.add_generic_rpc_handlers((handler(self._of, status, callers), typed, *reflection))
        self._health.add(server)
        add_channelz(server, status, callers)
        try:
            self.port = self._listen()
        except RuntimeError as error:
            raise BindError(f"gRPC can not listen at {options.address}: {error}") from None
        typed.renew()
        await self._health.renew()
        self._of.repository.on_change.append(self._changed)
        await server.start()

    def _listen(self) -> int:
        if self._options.tls is None:
            port: int = self._server.add_insecure_port(self._options.address)
        else:
            port = self._server.add_secure_port(self._options.address, credentials(self._options.tls))
        return port

    def _changed(self) -> None:
        """What is served has changed, or whether."""
        assert self._typed is not None
        self._typed.renew()
        self._renewal = asyncio.get_running_loop().create_task(self._renew(self._renewal))

    async def _renew(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        await self._health.renew()

    async def stop(self, grace: float = 0.0) -> None:
        """Take no new calls; those under way get `grace` seconds."""
        if self._changed in self._of.repository.on_change:
            self._of.repository.on_change.remove(self._changed)
        if self._renewal is not None:
            await asyncio.wait([self._renewal])
        if self._server is not None:
            await self._server.stop(grace)
