"""A server's life: alive before it is ready, not ready before it refuses, gone when all is answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from executor.errors import LoadError
from pipeline_dsl.plan import Plan
from serving.access import ANYONE
from serving.deployment import Source
from serving.grpc.options import GrpcOptions
from serving.grpc.server import GrpcServer
from serving.operations import operations
from serving.options import ServerOptions
from serving.repository import Repository
from serving.server import Server

from .attacks import ROW
from .live import until
from .programs import compiled
from .test_grpc import infer_request

SLOW = """pipe 1
stage wait(x: f32[*, 4]) -> (x: f32[*, 4]) using null(latency = 50ms)
pipeline rows(x: f32[*, 4]) -> (x: f32[*, 4]) { return x = wait(x) }
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    path = tmp_path / "slow.pipe"
    path.write_text(SLOW)
    return path


def server(path: Path, compile: Callable[[Source], Plan] = compiled, **options: Any) -> Server:  # noqa: A002 - as there
    ops = operations(Repository([Source(path)], compile), ServerOptions(**{"drain_delay": 0.0, **options}))
    return Server(ops, [GrpcServer(ops, GrpcOptions(address="127.0.0.1:0"))])


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(scenario(), 30)

    asyncio.run(limited())


class Channel:
    """Calls of bytes to a server."""

    def __init__(self, found: Server) -> None:
        self._channel = grpc.aio.insecure_channel(found.listeners[0].address)
        self._request = infer_request(raw_input_contents=[ROW]).SerializeToString()

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def ready(self) -> bool:
        answer = await self._channel.unary_unary("/inference.GRPCInferenceService/ServerReady")(b"")
        return bool(answer)

    async def infer(self) -> str:
        """OK or the code of the failure."""
        try:
            await self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(self._request)
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
        return "OK"


def test_it_is_alive_and_says_so_while_it_loads(slow: Path) -> None:
    async def scenario() -> None:
        go = threading.Event()

        def compile_later(source: Source) -> Plan:
            go.wait(20)
            return compiled(source)

        found = server(slow, compile_later)
        starting = asyncio.create_task(found.start())
        await until(lambda: found.operations.repository.catalog.known)
        async with Channel(found) as channel:
            assert not await channel.ready()
            assert await channel.infer() == "UNAVAILABLE"
            (entry,) = found.operations.control.index(ANYONE)
            assert (entry.name, entry.state) == ("slow", "LOADING")
            go.set()
            await starting
            assert await channel.ready()
            assert await channel.infer() == "OK"
        found.ask_to_stop()
        assert await found.serve()

    run(scenario)


def test_what_does_not_load_leaves_nothing_open(slow: Path) -> None:
    async def scenario() -> None:
        slow_text = SLOW.replace("latency = 50ms", 'fail = "load"')
        await asyncio.to_thread(slow.write_text, slow_text)
        found = server(slow)
        with pytest.raises(LoadError):
            await found.start()
        host, _, port = found.listeners[0].address.rpartition(":")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, int(port))

    run(scenario)


def test_every_request_before_the_end_is_answered(slow: Path) -> None:
    """Steady load over a stop: whatever the engine was given has its answer."""

    async def scenario() -> None:
        found = server(slow)
        await found.start()
        outcomes: list[str] = []

        async def client(channel: Channel) -> None:
            while (outcome := await channel.infer()) == "OK":
                outcomes.append(outcome)
            outcomes.append(outcome)

        async with Channel(found) as channel:
            clients = [asyncio.create_task(client(channel)) for _ in range(20)]
            serving = asyncio.create_task(found.serve())
            await until(lambda: len(outcomes) >= 40)
            found.ask_to_stop()
            assert await serving
            await asyncio.gather(*clients)
        answered = outcomes.count("OK")
        assert len(outcomes) == answered + 20
        assert set(outcomes) <= {"OK", "UNAVAILABLE", "CANCELLED"}  # the last from a connection that just closed
        (deployment,) = found.operations.repository.catalog.deployments
        assert deployment.engine.state == "stopped"
        (counted,) = deployment.engine.stats().pipelines
        assert (counted.succeeded, dict(counted.failures)) == (answered, {})

    run(scenario)


def test_it_answers_while_it_is_no_longer_ready(slow: Path) -> None:
    async def scenario() -> None:
        found = server(slow, drain_delay=0.5)
        await found.start()
        serving = asyncio.create_task(found.serve())
        async with Channel(found) as channel:
            assert await channel.ready()
            found.ask_to_stop()
            await asyncio.sleep(0)
            assert not await channel.ready()
            assert await channel.infer() == "OK"
            assert await serving

    run(scenario)


def test_a_second_request_to_stop_ends_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "slow.pipe"
    path.write_text(SLOW.replace("50ms", "2s"))

    async def scenario() -> None:
        found = server(path)
        await found.start()
        serving = asyncio.create_task(found.serve())
        async with Channel(found) as channel:
            asking = asyncio.create_task(channel.infer())
            (deployment,) = found.operations.repository.catalog.deployments
            await until(lambda: deployment.active)
            found.ask_to_stop()
            found.ask_to_stop()
            assert not await serving
            assert await asking in ("UNAVAILABLE", "CANCELLED")

    run(scenario)


def test_what_takes_too_long_is_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "slow.pipe"
    path.write_text(SLOW.replace("50ms", "2s"))

    async def scenario() -> None:
        found = server(path, exit_timeout=0.1)
        await found.start()
        serving = asyncio.create_task(found.serve())
        async with Channel(found) as channel:
            asking = asyncio.create_task(channel.infer())
            (deployment,) = found.operations.repository.catalog.deployments
            await until(lambda: deployment.active)
            found.ask_to_stop()
            assert not await serving
            assert await asking in ("UNAVAILABLE", "CANCELLED")
        assert "still under way after 0.1 s" in caplog.text

    run(scenario)
