"""The one client of all servers: closed loops that send prepared bytes and read whole answers.

    python -m benchmarks.serving.client grpc|http HOST:PORT CLIENTS SECONDS < requests

Requests come on stdin, each behind its length (u32). Client i sends request i, i + CLIENTS, i + 2 CLIENTS, .. in turn,
so two clients never send the same one at a time if there are enough. Prints `begin` after warming up, then one JSON
object: calls, seconds, latencies in milliseconds. A call that fails ends it.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import grpc
import uvloop

PATH = "/inference.GRPCInferenceService/ModelInfer"
WARM = 0.25
"""Share of the time before anything is counted, at most a second."""
PATIENCE = 60.0
"""Seconds more after which a server that does not answer is given up."""
SIZES = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Send = Callable[[bytes], Awaitable[object]]


class HttpConnection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waits = False
        self._left = -1
        """Bytes of the body that are missing; -1: the head is."""
        self._answer: asyncio.Future[None]
        self.closed: asyncio.Future[None]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a TCP one it is
        self._transport = transport
        self.closed = asyncio.get_running_loop().create_future()

    def send(self, request: bytes) -> asyncio.Future[None]:
        self._answer = asyncio.get_running_loop().create_future()
        self._waits = True
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        if self._left < 0:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
            if not head.startswith(b"http/1.1 200") or not length:
                self._end(RuntimeError(f"not a whole answer of status 200: {bytes(self._buffer[:2000])!r}"))
                return
            self._left = int(length) - (len(self._buffer) - end - 4)
            self._buffer.clear()
        else:
            self._left -= len(data)
        if self._left == 0:
            self._left = -1
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)
        self._end(exc or ConnectionError("the server closed the connection"))

    def _end(self, error: Exception | None) -> None:
        """Give the answer to who waits, if somebody does."""
        if self._waits:
            self._waits = False
            if error is None:
                self._answer.set_result(None)
            else:
                self._answer.set_exception(error)


@asynccontextmanager
async def over_http(address: str, clients: int) -> AsyncIterator[list[Send]]:
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(HttpConnection, host, int(port)) for _ in range(clients)]
    try:
        yield [connection.send for _, connection in made]
    finally:
        for transport, connection in made:
            transport.close()
            await connection.closed


@asynccontextmanager
async def over_grpc(address: str, clients: int) -> AsyncIterator[list[Send]]:
    async with grpc.aio.insecure_channel(address, options=SIZES) as channel:
        yield [channel.unary_unary(PATH)] * clients


async def main(protocol: str, address: str, clients: int, seconds: float, requests: Sequence[bytes]) -> None:
    took: list[float] = []
    begun = time.perf_counter()
    counted = begun + min(1.0, seconds * WARM)
    end = counted + seconds

    async def loop(client: int, send: Send) -> None:
        turn = client
        while (begin := time.perf_counter()) < end:
            await send(requests[turn % len(requests)])
            turn += clients
            if begin >= counted:
                took.append(time.perf_counter() - begin)

    async def say() -> None:
        await asyncio.sleep(counted - time.perf_counter())
        print("begin", flush=True)

    connected = over_http if protocol == "http" else over_grpc
    async with asyncio.timeout(end - begun + PATIENCE), connected(address, clients) as sends:
        await asyncio.gather(say(), *[loop(client, send) for client, send in enumerate(sends)])
    spent = time.perf_counter() - counted
    took.sort()
    quantiles = {f"p{q}_ms": took[min(len(took) - 1, len(took) * q // 100)] * 1e3 for q in (50, 99)}
    print(json.dumps({"calls": len(took), "seconds": spent, "cpu_s": time.process_time(), **quantiles}))


def read_requests(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def written(requests: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(request)) + request for request in requests)


if __name__ == "__main__":
    given = read_requests(sys.stdin.buffer.read())
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), given))
