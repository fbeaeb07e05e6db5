"""Callers take turns before a pipeline, whatever protocol they come by: a caller is a token, or a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from executor.admission import Door
from serving.access import ANYONE, GROUPS, Caller
from serving.operations import Operations
from serving.protocol import message
from serving.tensors import InferCall, TensorIn

from .grpc_server import grpc_server
from .http_server import Raw, http_server
from .live import live, until
from .programs import running

SLOW = """pipe 1
stage f(x: f32[*]) -> (y: f32[*]) using null(latency = 50ms)
pipeline p(x: f32[*]) -> (y: f32[*]) { return y = f(x) }
profile one { p { max_inflight = 1 } }
"""
INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    path = tmp_path / "slow.pipe"
    path.write_text(SLOW)
    return path


def door_of(operations: Operations) -> Door:
    return operations.repository.catalog.pipeline("p").deployment.engine.doors["p"]


def tensor() -> TensorIn:
    return TensorIn("x", "FP32", (1,), np.zeros(1, np.float32).tobytes())


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[Any]:
    """Asks `p` over a connection of its own: channels of a process share theirs otherwise."""
    made: Any = message("inference.ModelInferRequest")
    x = {"name": "x", "datatype": "FP32", "shape": [1]}
    data = made(model_name="p", inputs=[x], raw_input_contents=[bytes(4)]).SerializeToString()
    async with grpc.aio.insecure_channel(url, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.unary_unary(INFER)
        yield lambda: call(data, timeout=20)


def test_single_requests_pass_a_flood(slow: Path) -> None:
    async def scenario() -> None:
        async with grpc_server(slow, profile="one") as server, AsyncExitStack() as stack:
            flooder, *others = [await stack.enter_async_context(connection(server.url)) for _ in range(11)]
            flood = [asyncio.ensure_future(flooder()) for _ in range(300)]
            door = door_of(server.operations)
            await until(lambda: len(door.line) > 200)
            await asyncio.gather(*[ask() for ask in others])
            unanswered = sum(not job.done() for job in flood)
            assert unanswered > 150, f"{unanswered} of the flood were left when the last single one was answered"
            await left(flood)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_caller_of_http_is_a_connection(slow: Path) -> None:
    async def scenario() -> None:
        async with http_server(slow, profile="one") as server:
            door = door_of(server.operations)
            held = [asyncio.ensure_future(direct(server.operations, ANYONE, "other")) for _ in range(200)]
            await until(lambda: len(door.line) > 100)
            body = b'{"x": [1]}'
            head = b"POST /v2/models/p/generate HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
            raws = [await asyncio.to_thread(Raw, server.url) for _ in range(2)]
            names = [raw.socket.getsockname() for raw in raws]
            for raw in raws:
                raw.socket.sendall(head + body)
            wanted = {f"{host}:{port}" for host, port in names}
            await until(lambda: wanted <= {request.caller for request in door.line} | served)
            for raw in raws:
                raw.socket.close()
            await left(held)

    served: set[str] = set()
    enter = Door._enter

    def seen(door: Door, request: Any) -> None:
        served.add(request.caller)
        enter(door, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Door, "_enter", seen)
        asyncio.run(asyncio.wait_for(scenario(), 60))


async def left(jobs: list[asyncio.Future[Any]]) -> None:
    """Their callers wait no more."""
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


async def direct(operations: Operations, caller: Caller, peer: str) -> object:
    return await operations.inference.infer(caller, InferCall("p", inputs=[tensor()], peer=peer))


def test_with_tokens_a_caller_is_a_token(slow: Path) -> None:
    """One token is one caller, over however many connections it comes."""
    with live(running(slow, profile="one")) as server:

        async def scenario() -> list[str]:
            ada, bob = (Caller(name, frozenset(GROUPS)) for name in ("ada", "bob"))
            asked = [direct(server.value, ada, f"peer {i}") for i in range(20)] + [direct(server.value, bob, "peer 3")]
            jobs = [asyncio.ensure_future(one) for one in asked]
            await until(lambda: len(door_of(server.value).line) > 10)
            found = [request.caller for request in door_of(server.value).line]
            await asyncio.gather(*jobs)
            return found

        assert set(server.run(scenario())) == {"ada", "bob"}
