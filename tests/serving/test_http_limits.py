"""What one client may cost: bodies, headers, chunks, time and connections; and what a client that leaves ends."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from serving.http.limits import HttpLimits
from serving.options import ServerOptions

from .http_server import Raw, Running, http_server, request
from .live import Live, live
from .programs import PIPE

Server = Live[Running]
MIB = 2**20
LIMITS = HttpLimits(body=MIB, chunks=100, header_seconds=0.2, body_seconds=0.2, keep_alive_seconds=30, connections=50)
SLOW = """
stage slow(x: f32[*, 4]) -> (x: f32[*, 4]) using null(latency = 20s)
stage brief(x: f32[*, 4]) -> (x: f32[*, 4]) using null(latency = 1ms)

pipeline late(x: f32[*, 4]) -> (x: f32[*, 4]) {
  return x = brief(slow(x))
}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path: Path = tmp_path_factory.mktemp("serving") / "null.pipe"
    path.write_text(PIPE + SLOW)
    with live(http_server(path, ServerOptions(max_message=MIB), limits=LIMITS)) as found:
        yield found


def infer(model: str = "rows") -> bytes:
    data = [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]
    return request(json.dumps({"inputs": data}).encode(), path=f"/v2/models/{model}/infer")


def refused(server: Server, *pieces: bytes) -> tuple[int, str]:
    """Status and error of a request that is not taken; the connection ends, and others go on."""
    with Raw(server.value.url) as raw:
        raw.send(*pieces)
        status, headers, body = raw.response()
        assert headers["content-type"] == "application/json"
        if status != 415:
            assert raw.ended()
    with Raw(server.value.url) as other:
        other.send(infer())
        assert other.response()[0] == 200
    return status, json.loads(body)["error"]


def peak() -> int:
    """Bytes of this process at most, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# ---- bodies


def test_a_body_over_the_limit_is_refused_by_its_length(server: Server) -> None:
    head = request(path="/v2/models/rows/infer", content_length=str(2 * MIB))
    assert refused(server, head) == (413, f"the body has {2 * MIB} bytes; the limit is {MIB}")


def test_a_body_without_a_length_is_refused_while_it_comes(server: Server) -> None:
    before = peak()
    head = b"POST /v2/models/rows/infer HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n" % 65536 + bytes(65536) + b"\r\n"
    status, text = refused(server, head, *[chunk] * 400)
    assert (status, text) == (413, f"the body is larger than {MIB} bytes")
    assert peak() - before < 8 * MIB


def test_too_many_chunks(server: Server) -> None:
    head = b"POST /v2/models/rows/infer HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    assert refused(server, head + b"1\r\nx\r\n" * 5000) == (413, "the body comes in more than 100 chunks")


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_a_small_body_does_not_become_a_large_one(server: Server, kind: str) -> None:
    """R4: decompression stops at the limit."""
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}[kind]
    bomb = pack(bytes(512 * MIB), 9)
    assert len(bomb) < MIB
    before = peak()
    with Raw(server.value.url) as raw:
        raw.send(request(bomb, content_encoding=kind))
        status, _, body = raw.response()
    assert (status, b"once it is decompressed" in body) == (413, True)
    assert peak() - before < 32 * MIB


def test_a_bomb_in_a_bomb_stays_one(server: Server) -> None:
    inner = gzip.compress(bytes(MIB), 9)
    with Raw(server.value.url) as raw:
        raw.send(request(gzip.compress(inner), content_encoding="gzip"))
        assert raw.response()[0] == 400


@pytest.mark.parametrize("kind", ["br", "zstd", "gzip, gzip", "compress"])
def test_other_encodings_are_not_known(server: Server, kind: str) -> None:
    status, text = refused(server, request(b"x", content_encoding=kind))
    assert (status, "gzip, deflate" in text) == (415, True)


# ---- framing


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n-1\r\nx\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nx\r\n", 400),
        (b"GET / HTTP/1.1\nhost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx y: 1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 200_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: a\r\n" * 2000 + b"\r\n", 431),
    ],
)
def test_framing_attacks(server: Server, data: bytes, status: int) -> None:
    assert refused(server, data)[0] == status


# ---- time


def test_headers_that_do_not_end(server: Server) -> None:
    status, text = refused(server, b"POST /v2/models/rows/infer HTTP/1.1\r\nhost")
    assert (status, text) == (408, "no complete headers came in 0.2 s")


def test_a_body_that_does_not_end(server: Server) -> None:
    status, text = refused(server, request(b"{", content_length="100"))
    assert (status, text) == (408, "no byte of the body came in 0.2 s")


def test_slow_clients_do_not_disturb_others(server: Server) -> None:
    with ExitStack() as held:
        for _ in range(30):
            held.enter_context(Raw(server.value.url)).send(b"GET /v2 HTTP/1.1\r\nho")
        other = held.enter_context(Raw(server.value.url))
        for _ in range(20):
            other.send(infer())
            assert other.response()[0] == 200


def test_connections_over_the_limit_are_refused(server: Server) -> None:
    with ExitStack() as held:
        clients = [held.enter_context(Raw(server.value.url)) for _ in range(60)]
        statuses = []
        for one in clients:
            one.send(infer())
            statuses.append(one.response()[0])
        assert statuses.count(200) >= 40
        assert 503 in statuses
    with Raw(server.value.url) as raw:
        raw.send(infer())
        assert raw.response()[0] == 200


# ---- clients that leave


def test_a_client_that_leaves_ends_its_work(server: Server) -> None:
    """R11: what waits is dropped, what runs is not waited for, and what would come next does not run."""

    async def nothing_waits() -> list[int]:
        engine = server.value.operations.repository.catalog.pipeline("late").deployment.engine
        for _ in range(2000):
            found = next(p for p in engine.stats().pipelines if p.pipeline == "late")
            if found.inflight == 0 and found.failures.get("CANCELED", 0) == 5:
                break
            await asyncio.sleep(0.005)
        ran = [n.executions for n in engine.stats().nodes if n.node == "late.brief_1"]
        return [found.inflight, found.failures.get("CANCELED", 0), *ran]

    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(Raw(server.value.url)).send(infer("late"))
        with Raw(server.value.url) as other:  # they were taken in before this one was answered
            other.send(infer())
            assert other.response()[0] == 200
    assert server.run(nothing_waits()) == [0, 5, 0]


def test_large_tensors_pass(tmp_path: Path) -> None:
    path = tmp_path / "null.pipe"
    path.write_text(PIPE)
    rows = np.random.default_rng(0).random((200_000, 4), np.float32)
    given = [{"name": "x", "datatype": "FP32", "shape": [200_000, 4], "parameters": {"binary_data_size": rows.nbytes}}]
    head = json.dumps({"inputs": given, "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
    with live(http_server(path)) as server, Raw(server.value.url) as raw:
        raw.send(request(head + rows.tobytes(), inference_header_content_length=str(len(head))))
        status, headers, body = raw.response()
        assert status == 200
        split = int(headers["inference-header-content-length"])
        assert body[split:] == rows.tobytes()
