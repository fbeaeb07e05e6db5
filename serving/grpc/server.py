"""The gRPC server: its port, its limits, its services."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc import aio

from serving.front import Front
from serving.server import BindError
from serving.tls import Tls

from .callers import Callers
from .health import HealthService
from .options import GrpcOptions
from .reflection import Reflection, add_channelz, open_connections
from .service import Ask, handler
from .status import Status
from .typed import TypedHandlers


def credentials(tls: Tls) -> Any:
    """As gRPC takes them. OSError for a file that can not be read."""
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    roots = tls.clients.read_bytes() if tls.clients else None
    return grpc.ssl_server_credentials([pair], roots, require_client_auth=roots is not None)


class GrpcServer:
    """All gRPC services of a set of operations, on one port."""

    name = "gRPC"

    def __init__(self, operations: Front, options: GrpcOptions | None = None, ask: Ask | None = None) -> None:
        """`ask` answers all calls but inference; without it `operations` are `Operations`, which do."""
        self._of = operations
        self._ask = ask
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

    @property
    def connections(self) -> int:
        """Those that are open, as channelz counts them."""
        return 0 if self._server is None else open_connections()

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
        server.add_generic_rpc_handlers((handler(self._of, status, callers, self._ask), typed, *reflection))
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
