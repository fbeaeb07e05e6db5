"""R17: what a quick client sees while others send no headers, or read no answers."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, closing
from http.client import HTTPConnection

from benchmarks.serving.trees import cpu_seconds

from .server import Server, quantile, running

BODY = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3]}]}'


def _connected(server: Server, data: bytes) -> socket.socket:
    host, _, port = server.http.rpartition(":")
    found = socket.create_connection((host, int(port)), 30)
    found.sendall(data)
    return found


def _request(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def _quick(server: Server, times: int) -> list[float]:
    """How long each of some requests took over one connection."""
    took = []
    with closing(HTTPConnection(server.http, timeout=30)) as client:
        for _ in range(times):
            begun = time.perf_counter()
            client.request("POST", "/v2/models/quick/infer", BODY)
            with client.getresponse() as reply:
                assert reply.status == 200, reply.read()
                reply.read()
            took.append(time.perf_counter() - begun)
    return took


def _settle(server: Server) -> None:
    """Wait until it does nothing more for those that do not read, a minute at most."""
    for _ in range(60):
        before = cpu_seconds(server.pid)
        time.sleep(1)
        if cpu_seconds(server.pid) - before < 0.1:
            return


def slow(scale: float) -> dict[str, object]:
    """The quick client alone, beside slow headers, beside streams that nobody reads, and alone again."""
    times = max(500, int(10_000 * scale))
    found: dict[str, object] = {}
    with running() as server:
        _quick(server, 500)

        def measured(name: str) -> None:
            took = _quick(server, times)
            p50, p99 = quantile(took, 0.5), quantile(took, 0.99)
            found[name] = {"p50_ms": p50, "p99_ms": p99, "memory_mib": server.memory() / 2**20}

        measured("alone")
        with ExitStack() as held:
            for _ in range(500):
                held.enter_context(_connected(server, b"POST /v2/models/quick/infer HTTP/1.1\r\nho"))
            measured("500 without headers")
        with ExitStack() as held:
            for _ in range(200):
                held.enter_context(_connected(server, _request("/v2/models/endless/generate_stream", b"{}")))
            measured("200 that do not read")
            _settle(server)
            measured("their sockets full")
        time.sleep(1)
        measured("alone again")
    return found
