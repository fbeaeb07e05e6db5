"""Promises that need both protocols and one set of operations: cancelled, reloaded, poisoned, mixed, healthy."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as client
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_client
import tritonclient.http.aio as http_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.utils import InferenceServerException

from serving.access import ANYONE
from serving.deployment import Source
from serving.grpc.server import GrpcOptions, GrpcServer
from serving.http.app import HttpApp
from serving.http.listener import HttpListener, HttpOptions
from serving.operations import Operations
from serving.options import ServerOptions

from .attacks import ROW
from .http_server import Raw, request
from .live import Live, live, until
from .programs import PIPE, running
from .test_grpc import infer_request

SLOW = """pipe 1
stage first(x: f32[*, 4]) -> (x: f32[*, 4]) using null(latency = 3ms)
stage second(x: f32[*, 4]) -> (x: f32[*, 4]) using null(latency = 3ms)
pipeline rows(x: f32[*, 4]) -> (x: f32[*, 4]) { return x = second(first(x)) }
profile one {
  first { batching { max = 1 } }
  second { batching { max = 1 } }
}
"""
PATIENCE = 30.0


@dataclass
class Both:
    """A server of both protocols."""

    operations: Operations
    http: str
    grpc: str

    def counts(self, pipeline: str = "rows") -> tuple[int, Counter[str], dict[str, int]]:
        """Requests answered, failed by reason, and executions by node of one pipeline."""
        stats = self.operations.repository.catalog.pipeline(pipeline).deployment.engine.stats()
        found = next(p for p in stats.pipelines if p.pipeline == pipeline)
        nodes = {n.node: n.executions for n in stats.nodes if n.pipeline == pipeline}
        return found.succeeded, Counter(found.failures), nodes

    async def rests(self) -> None:
        """Nothing is left of any request."""
        for deployment in self.operations.repository.catalog.deployments:
            await asyncio.wait_for(deployment.unused(), PATIENCE)
            await until(lambda engine=deployment.engine: not any(p.inflight for p in engine.stats().pipelines))
            await until(lambda engine=deployment.engine: engine.check_idle() == [])


@asynccontextmanager
async def both(path: Path, options: ServerOptions | None = None, **more: Any) -> AsyncIterator[Both]:
    async with running(path, options, **more) as ops:
        http, rpc = HttpListener(HttpApp(ops), HttpOptions(port=0)), GrpcServer(ops, GrpcOptions(address="127.0.0.1:0"))
        await http.start()
        await rpc.start()
        try:
            yield Both(ops, http.address, rpc.address)
        finally:
            await rpc.stop(0)
            await http.stop(1)


Server = Live[Both]


def serve(folder: Path, text: str, options: ServerOptions | None = None, **more: Any) -> Any:
    path = folder / "null.pipe"
    path.write_text(text)
    return live(both(path, options, **more))


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Server]:
    with serve(tmp_path, SLOW, profile="one") as found:
        yield found


@pytest.fixture
def slower(tmp_path: Path) -> Iterator[Server]:
    """100 requests take 3 s, so most are in line however slow their caller is."""
    with serve(tmp_path, SLOW.replace("3ms", "30ms"), profile="one") as found:
        yield found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serve(tmp_path, PIPE, ServerOptions(model_control=True)) as found:
        yield found


def x(kind: Any, data: Any) -> Any:
    found = kind.InferInput("x", list(data.shape), "FP32")
    found.set_data_from_numpy(data)
    return found


# ---- R11

CALLERS = 100


def test_calls_that_are_cancelled_at_any_time(slow: Server) -> None:
    """gRPC, asyncio: in line, in a batch, between steps. What was not answered was cancelled, and nothing is left."""

    async def scenario() -> None:
        chance, data = random.Random(11), infer_request(raw_input_contents=[ROW]).SerializeToString()
        async with grpc.aio.insecure_channel(slow.value.grpc) as channel:
            method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

            async def one() -> None:
                call = method(data)
                asyncio.get_running_loop().call_later(chance.uniform(0, 0.3), call.cancel)
                await asyncio.gather(call, return_exceptions=True)

            await asyncio.gather(*[one() for _ in range(CALLERS)])

    asyncio.run(scenario())
    slow.run(slow.value.rests())
    answered, failures, ran = slow.value.counts()
    assert set(failures) <= {"CANCELED"}
    assert failures["CANCELED"] > 0
    assert answered + failures["CANCELED"] <= CALLERS, "a call may be cancelled before it comes to the engine"
    assert ran["rows.first_1"] < CALLERS, "what was in line did not run"


def test_futures_that_are_cancelled(slower: Server) -> None:
    """gRPC, threads."""
    data = infer_request(raw_input_contents=[ROW]).SerializeToString()
    with grpc.insecure_channel(slower.value.grpc) as channel:
        method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        futures = [method.future(data) for _ in range(CALLERS)]
        some = threading.Event()  # any of them: they do not come to the server in order
        for future in futures:
            future.add_done_callback(lambda _: some.set())
        assert some.wait(PATIENCE)
        cancelled = [future for future in futures if future.cancel()]
        for future in futures:
            future.exception() if not future.cancelled() else None
    slower.run(slower.value.rests())
    answered, failures, ran = slower.value.counts()
    assert len(cancelled) > CALLERS // 2
    assert set(failures) <= {"CANCELED"}
    assert answered <= CALLERS - len(cancelled) + 2, "one in a batch and one between steps may be done"
    assert ran["rows.second_1"] <= answered + 2


def test_connections_that_close(slow: Server) -> None:
    """HTTP."""
    body = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3]}]}'
    clients = [Raw(slow.value.http) for _ in range(CALLERS)]
    for one in clients:
        one.send(request(body))
    assert clients[0].response()[0] == 200
    for one in clients:
        one.socket.close()
    slow.run(slow.value.rests())
    answered, failures, ran = slow.value.counts()
    assert set(failures) <= {"CANCELED"}
    assert answered < CALLERS // 2
    assert ran["rows.second_1"] <= answered + 2


# ---- R13


def test_a_hundred_reloads_under_load(server: Server) -> None:
    """No request fails; every tenth new file is broken, and the old one serves on."""
    path = server.value.operations.repository.catalog.deployments[0].source.path
    repository = server.value.operations.repository
    outcomes: Counter[str] = Counter()
    done = threading.Event()

    def load(kind: Any, url: str) -> None:
        data = np.arange(4, dtype=np.float32).reshape(1, 4)
        with kind.InferenceServerClient(url) as triton:
            while not done.is_set():
                try:
                    assert (triton.infer("rows", [x(kind, data)]).as_numpy("z") == data).all()
                    outcomes["OK"] += 1
                except (AssertionError, InferenceServerException) as error:
                    outcomes[repr(error)] += 1

    threads = [threading.Thread(target=load, args=(client, server.value.grpc)) for _ in range(3)]
    for thread in threads:
        thread.start()
    sizes = []
    try:
        for n in range(100):
            broken = n % 10 == 9
            path.write_text("pipe 1\nnonsense" if broken else f"{PIPE}# {n}\n")
            server.run(repository.reload(Source(path)))
            assert any(entry.reason for entry in server.value.operations.control.index(ANYONE)) == broken
            sizes.append(resident())
    finally:
        done.set()
        for thread in threads:
            thread.join(PATIENCE)
    (deployment,) = repository.catalog.deployments
    assert deployment.engine.state == "ready"
    assert set(outcomes) == {"OK"}
    assert outcomes["OK"] > 100
    assert sizes[-1] < sizes[20] * 1.1
    assert threading.active_count() < 60


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


# ---- R20


def test_one_bad_request_of_a_batch_fails_alone(server: Server) -> None:
    """`broken` raises for a batch with a row of 13; seven of eight are answered."""

    async def scenario() -> list[Any]:
        async with grpc_aio.InferenceServerClient(server.value.grpc) as triton:
            rows = [np.full((1, 4), 13 if n == 3 else n, np.float32) for n in range(8)]
            asked = [triton.infer("fails", [x(client, row)], request_id=str(n)) for n, row in enumerate(rows)]
            return await asyncio.gather(*asked, return_exceptions=True)

    for _ in range(5):
        found = asyncio.run(scenario())
        for n, one in enumerate(found):
            if n == 3:
                assert isinstance(one, InferenceServerException)
                assert one.status() == "StatusCode.INTERNAL"
                assert "stage `broken`" in str(one)
            else:
                assert (one.as_numpy("x") == n).all()


# ---- R21


@pytest.mark.parametrize("kind", [grpc_aio, http_aio], ids=["gRPC", "HTTP"])
def test_every_answer_belongs_to_its_request(server: Server, kind: Any) -> None:
    """64 clients at a time, payloads that occur once, one to five rows: all bits come back to whom they belong."""
    url = server.value.grpc if kind is grpc_aio else server.value.http
    numbers = iter(range(10**6))
    plain = client if kind is grpc_aio else http_client

    async def one(triton: Any, chance: random.Random) -> int:
        right = 0
        for _ in range(30):
            first, count = next(numbers), chance.randrange(1, 6)
            data = (np.arange(count * 4, dtype=np.float32) + first * 20).reshape(count, 4)
            answer = await triton.infer("rows", [x(plain, data)], request_id=str(first))
            right += (answer.as_numpy("y") == data).all() and (answer.as_numpy("z") == data).all()
        return right

    async def scenario() -> int:
        options = {} if kind is grpc_aio else {"conn_limit": 64}
        async with kind.InferenceServerClient(url, **options) as triton:
            return sum(await asyncio.gather(*[one(triton, random.Random(n)) for n in range(64)]))

    assert asyncio.run(scenario()) == 64 * 30


# ---- R24


def test_health_is_the_same_whoever_asks(server: Server) -> None:
    """Of a pipeline that is unloaded and loaded again: v2 over gRPC and HTTP, Check, and Watch within a second."""
    control, url = server.value.operations.control, f"http://{server.value.http}"

    async def told() -> set[bool]:
        async with http_aio.InferenceServerClient(server.value.http) as triton:
            over_http = await triton.is_model_ready("rows")
        async with grpc_aio.InferenceServerClient(server.value.grpc) as triton:
            return {over_http, await triton.is_model_ready("rows")}

    with grpc.insecure_channel(server.value.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        asked = health_pb2.HealthCheckRequest(service="rows")
        watch = health.Watch(asked, timeout=PATIENCE)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        for act, ready in ((control.unload, False), (control.load, True)):
            server.run(act(ANYONE, "rows", {}))
            assert asyncio.run(told()) == {ready}, url
            status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
            assert health.Check(asked).status == status
            assert next(watch).status == status
        watch.cancel()
