"""A failure of a call that has ended meanwhile: a real server of gRPC, whose client leaves before it hears."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from executor.errors import Unavailable
from serving.grpc.status import Status
from serving.options import ServerOptions


def test_a_failure_that_nobody_hears_is_no_failure_of_the_server() -> None:
    status, began, told = Status(ServerOptions()), asyncio.Event(), asyncio.Event()
    found: list[BaseException] = []

    async def fails_when_its_client_has_left(_: bytes, context: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        try:
            await status.end(context, Unavailable("the server ends", pipeline="p"))
        except BaseException as error:
            found.append(error)
            raise
        finally:
            told.set()

    async def call_and_leave() -> None:
        method = grpc.unary_unary_rpc_method_handler(fails_when_its_client_has_left)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", {"Call": method})])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/test.Service/Call")(b"")
            await began.wait()
            call.cancel()
            await told.wait()
        await server.stop(0)

    asyncio.run(call_and_leave())
    assert [type(error) for error in found] == [asyncio.CancelledError]
