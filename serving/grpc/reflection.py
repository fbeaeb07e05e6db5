"""Server reflection and channelz: what is here, for those whose token is for it.

Reflection describes what is served at the moment of asking, under both names it is known by (v1 and v1alpha, whose
messages are the same).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from grpc_channelz.v1 import channelz, channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from executor.errors import RequestError
from serving.protocol import SERVICE

from .callers import Callers
from .status import Status
from .typed import TypedHandlers

V1, V1ALPHA = "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
CHANNELZ = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name


class Pools:
    """Descriptor pools, asked one after the other; the last one has what libraries brought."""

    def __init__(self, pools: Sequence[Any]) -> None:
        self._pools = pools

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def find(*args: Any) -> Any:
            for pool in self._pools[:-1]:
                try:
                    return getattr(pool, name)(*args)
                except KeyError:
                    continue
            return getattr(self._pools[-1], name)(*args)

        return find


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc]  # gRPC ships no types
    """The library's servicer on the catalog of the moment."""

    def __init__(self, typed: TypedHandlers, status: Status, callers: Callers) -> None:
        super().__init__(())
        self._typed = typed
        self._status = status
        self._callers = callers

    async def ServerReflectionInfo(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        try:
            self._callers.caller(context).require("reflection")
        except RequestError as error:
            await self._status.end(context, error)
        catalog = self._typed.catalog
        self._pool = Pools((catalog.pool, descriptor_pool.Default()))
        self._service_names = (SERVICE, HEALTH, CHANNELZ, V1ALPHA, *catalog.services)
        async for response in super().ServerReflectionInfo(request_iterator, context):
            yield response

    def handlers(self) -> list[Any]:
        """For a server to add."""
        method = grpc.stream_stream_rpc_method_handler(
            self.ServerReflectionInfo,
            reflection_pb2.ServerReflectionRequest.FromString,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        return [grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": method}) for name in (V1, V1ALPHA)]


def add_channelz(server: Any, status: Status, callers: Callers) -> None:
    """The library's channelz for those whose token is for statistics."""
    servicer = channelz.aio.ChannelzServicer()
    for method in channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].methods:
        setattr(servicer, method.name, _guarded(getattr(servicer, method.name), status, callers))
    channelz_pb2_grpc.add_ChannelzServicer_to_server(servicer, server)


def open_connections() -> int:
    """Connections of all servers of this process that clients hold open."""
    found = 0
    servicer = channelz.ChannelzServicer
    for server in servicer.GetServers(channelz_pb2.GetServersRequest(), None).server:
        start, more = 0, True
        while more:
            asked = channelz_pb2.GetServerSocketsRequest(server_id=server.ref.server_id, start_socket_id=start)
            answer = servicer.GetServerSockets(asked, None)
            found += len(answer.socket_ref)
            more = not answer.end and bool(answer.socket_ref)
            start = answer.socket_ref[-1].socket_id + 1 if more else 0
    return found


def _guarded(call: Callable[..., Any], status: Status, callers: Callers) -> Callable[..., Any]:
    async def checked(request: Any, context: Any) -> Any:
        try:
            callers.caller(context).require("statistics")
        except RequestError as error:
            await status.end(context, error)
        return await call(request, context)

    return checked
