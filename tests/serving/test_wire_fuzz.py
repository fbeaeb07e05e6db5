"""R1: broken requests to listening servers, over HTTP and gRPC: an answer or a documented code, never anything else.

PIPECTL_FUZZ sets how many cases there are; seeds are fixed, so that a case that failed once is met again.
`test_fuzz.py` has the same below the wire, where more of them fit into a second.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httptools
import pytest

from serving.grpc.server import GrpcOptions, GrpcServer
from serving.http.app import HttpApp
from serving.http.limits import HttpLimits
from serving.http.listener import HttpListener, HttpOptions
from serving.operations import Operations
from serving.protocol import message, pool

from .mutations import Sent, case
from .programs import PIPE, running
from .test_fuzz import case as grpc_case

CASES = int(os.environ.get("PIPECTL_FUZZ", "20000"))
SEEDS = 2
HTTP = CASES // 3 // SEEDS
GRPC = CASES // SEEDS - HTTP
"""Cases of each seed."""
SIDE_BY_SIDE = 16
PATIENCE = 20.0
STATUSES = {200, 400, 404, 405, 408, 413, 415, 431, 501, 503, 504}
"""Of the table in docs/serving.md: all but what these cases can not cause (401, 403, 409, 429, 499, 500)."""
CODES = {
    *("OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE", "UNIMPLEMENTED", "DEADLINE_EXCEEDED"),
    "RESOURCE_EXHAUSTED",
}
LIMITS = HttpLimits(header_seconds=0.2, body_seconds=0.2, keep_alive_seconds=1.0)


class Servers(NamedTuple):
    operations: Operations
    http: HttpListener
    grpc: GrpcServer


@asynccontextmanager
async def servers(path: Path) -> AsyncIterator[Servers]:
    """Both protocols around one set of operations; nothing is inside when they are left."""
    async with running(path) as ops:
        http = HttpListener(HttpApp(ops), HttpOptions(port=0, limits=LIMITS))
        rpc = GrpcServer(ops, GrpcOptions(address="127.0.0.1:0"))
        await http.start()
        await rpc.start()
        try:
            yield Servers(ops, http, rpc)
            (deployment,) = ops.repository.catalog.deployments
            await asyncio.wait_for(deployment.unused(), PATIENCE)
            assert deployment.engine.drain(PATIENCE)
            assert deployment.engine.check_idle() == []
        finally:
            await rpc.stop(0)
            await http.stop(1)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "null.pipe"
    path.write_text(PIPE)
    return path


# ---- HTTP


class Reply:
    """What a parser finds of one response."""

    def __init__(self) -> None:
        self.body = b""
        self.kind = b""
        self.done = False
        self.last = False
        """Of its connection."""

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self.kind = value
        self.last |= name.lower() == b"connection" and value.lower() == b"close"

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.done = True


class Connection:
    """Sends requests one after the other, over a new connection where the last one was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, sent: Sent) -> tuple[int, bytes]:
        """Status and body; (0, b"") for one that the server closed without a word, which only a broken one may get."""
        for _ in range(2):
            fresh = self._streams is None
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            self._streams[1].write(sent.data())
            found = await asyncio.wait_for(self._response(self._streams[0], sent.method), PATIENCE)
            if found is None or not sent.framed:
                await self.close()
            if found is not None:
                return found
            if fresh:
                break  # else it was an old connection whose time was over: it is asked once more
        return 0, b""

    async def _response(self, reader: asyncio.StreamReader, method: str) -> tuple[int, bytes] | None:
        reply = Reply()
        parser = httptools.HttpResponseParser(reply)
        while not reply.done:
            try:
                data = await reader.read(65536)
            except ConnectionError:
                data = b""
            if not data:
                await self.close()
                return (parser.get_status_code(), reply.body) if reply.kind else None
            if data.startswith(b"HTTP/1.1 100 "):
                data = data.partition(b"\r\n\r\n")[2]
            parser.feed_data(data)
            if method == "HEAD" and b"\r\n\r\n" in data:
                await self.close()  # it has a length, but no body
                break
        if reply.last:
            await self.close()
        return parser.get_status_code(), reply.body

    async def close(self) -> None:
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass


def check(sent: Sent, status: int, body: bytes) -> None:
    """One answer: a status of the table, an error as the protocol has it."""
    if status == 0:
        assert not sent.framed
        return
    assert status in STATUSES
    if status != 200 and body:
        error = json.loads(body)
        assert list(error) == ["error"]
        assert isinstance(error["error"], str)
        assert error["error"].isprintable()
        assert len(error["error"]) < 2000
    if status != 200 and sent.framed and sent.method not in ("HEAD", "OPTIONS") and "/ready" not in sent.path:
        assert body


async def http_client(port: int, cases: Iterator[Sent], found: Counter[int]) -> None:
    connection = Connection(port)
    for sent in cases:
        status, body = 0, b""
        try:
            status, body = await connection.ask(sent)
            check(sent, status, body)
        except Exception as error:
            raise AssertionError(f"{status} {body[:500]!r} to {sent.data()[:3000]!r}") from error
        found[status] += 1
    await connection.close()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_http(pipe: Path, seed: int) -> None:
    found: Counter[int] = Counter()

    async def scenario() -> None:
        chance = random.Random(seed)
        cases = (case(chance) for _ in range(HTTP))
        async with servers(pipe) as server:
            await asyncio.gather(*[http_client(server.http.port, cases, found) for _ in range(SIDE_BY_SIDE)])

    asyncio.run(scenario())
    assert found.total() == HTTP
    assert found[200] > found.total() // 20
    assert found[400] > found.total() // 5
    assert {404, 405, 415} <= set(found) or found.total() < 1000


ONCE_WRONG = [
    Sent(body=b'{"inputs": [{"name": "x", "da\xf0type": "FP32", "shape": [2]}, {}]}'),  # was 500
    Sent(body=rb'{"inputs": [{"name": "\u0000", "datatype": "FP32", "shape": ["a"]}]}'),  # was told with the NUL in it
]


@pytest.mark.parametrize("sent", ONCE_WRONG, ids=["no UTF-8 in a key", "NUL in a name"])
def test_what_was_wrong_once(pipe: Path, sent: Sent) -> None:
    async def scenario() -> None:
        async with servers(pipe) as server:
            connection = Connection(server.http.port)
            status, body = await connection.ask(sent)
            await connection.close()
            assert status == 400
            check(sent, status, body)

    asyncio.run(scenario())


# ---- gRPC

SERVICE = "inference.GRPCInferenceService"
NAMES = [m.name for m in pool().FindServiceByName(SERVICE).methods if m.name not in ("ModelInfer", "ModelStreamInfer")]
TYPED = ["/pipectl.rows.Rows/Run", "/pipectl.texts.Texts/Run", "/pipectl.single.Single/Run", "/pipectl.none.None/Run"]


def path_and_data(chance: random.Random) -> tuple[str, bytes]:
    """A call of any method, mostly of the one that infers."""
    data = grpc_case(chance)
    where = chance.random()
    if where < 0.6:
        return f"/{SERVICE}/ModelInfer", data
    if where < 0.75:
        return f"/{SERVICE}/ModelStreamInfer", data
    if where < 0.9:
        name = chance.choice(NAMES)
        request: Any = message(f"inference.{name}Request")() if chance.random() < 0.5 else None
        if request is None:
            return f"/{SERVICE}/{name}", chance.randbytes(chance.randrange(60))
        for known in request.DESCRIPTOR.fields:
            if known.cpp_type == known.CPPTYPE_STRING and known.type == known.TYPE_STRING and not _repeated(known):
                setattr(request, known.name, chance.choice(["rows", "", "x" * 300, "../..", "rows.y", "1", "é\n"]))
        return f"/{SERVICE}/{name}", request.SerializeToString()
    return chance.choice(TYPED), chance.choice([data, chance.randbytes(chance.randrange(60)), b"\x0a\x01a"])


def _repeated(known: Any) -> bool:
    return bool(known.is_repeated)


async def grpc_client(channel: Any, cases: Iterator[tuple[str, bytes]], found: Counter[str]) -> None:
    for path, data in cases:
        try:
            if path.endswith("StreamInfer"):
                answers = [a async for a in channel.stream_stream(path)(iter([data]), timeout=PATIENCE)]
                assert len(answers) == 1
                code, said = "OK", ""
            else:
                await channel.unary_unary(path)(data, timeout=PATIENCE)
                code, said = "OK", ""
        except grpc.aio.AioRpcError as error:
            code, said = error.code().name, error.details() or ""
        assert code in CODES, f"{code} {said} to {path} {data.hex()[:3000]}"
        assert len(said) < 2000
        found[code] += 1


@pytest.mark.parametrize("seed", range(SEEDS))
def test_grpc(pipe: Path, seed: int) -> None:
    found: Counter[str] = Counter()

    async def scenario() -> None:
        chance = random.Random(seed)
        cases = (path_and_data(chance) for _ in range(GRPC))
        async with servers(pipe) as server, grpc.aio.insecure_channel(server.grpc.address) as channel:
            await asyncio.gather(*[grpc_client(channel, cases, found) for _ in range(SIDE_BY_SIDE)])

    asyncio.run(scenario())
    assert found.total() == GRPC
    assert found["OK"] > found.total() // 20
    assert found["INVALID_ARGUMENT"] > found.total() // 5


@pytest.mark.parametrize("name", NAMES)
def test_a_message_that_is_none_is_the_callers_mistake(pipe: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with servers(pipe) as server, grpc.aio.insecure_channel(server.grpc.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="the message is no") as caught:
                await channel.unary_unary(f"/{SERVICE}/{name}")(b"\xff\xff")
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    asyncio.run(scenario())
    assert "Traceback" not in caplog.text
