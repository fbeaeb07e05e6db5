"""An HTTP server on a free port of this machine, and raw sockets to it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.access import Access
from serving.http.app import HttpApp
from serving.http.limits import HttpLimits
from serving.http.listener import HttpListener
from serving.http.options import HttpOptions
from serving.operations import Operations
from serving.options import ServerOptions

from .programs import running

PATIENCE = 20.0


@dataclass
class Running:
    """A server, and what it serves."""

    operations: Operations
    listener: HttpListener

    @property
    def url(self) -> str:
        return self.listener.address


@asynccontextmanager
async def http_server(
    path: Path,
    options: ServerOptions | None = None,
    access: Access | None = None,
    limits: HttpLimits | None = None,
    **more: Any,
) -> AsyncIterator[Running]:
    """All pipelines of a file over HTTP."""
    async with running(path, options, access, **more) as ops:
        listener = HttpListener(HttpApp(ops), HttpOptions(port=0, limits=limits or HttpLimits()))
        await listener.start()
        try:
            yield Running(ops, listener)
        finally:
            await listener.stop(1)


class Raw:
    """A connection of bytes."""

    def __init__(self, url: str) -> None:
        host, _, port = url.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), PATIENCE)
        self._rest = b""
        """Of what was read, what belongs to the next response."""

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        """What the server does not take any more is not sent."""
        try:
            for piece in pieces:
                self.socket.sendall(piece)
        except OSError:
            pass

    def response(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, body."""
        data = self._rest
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict((name.lower(), value) for name, _, value in (line.partition(": ") for line in lines[1:]))
        length = int(headers.get("content-length", "0"))
        while len(body) < length:
            body += self._more()
        self._rest = body[length:]
        return int(lines[0].split()[1]), headers, body[:length]

    def ended(self) -> bool:
        """Whether the server closes the connection, now or soon."""
        try:
            return self.socket.recv(1) == b""
        except OSError:
            return True

    def _more(self) -> bytes:
        got = self.socket.recv(65536)
        assert got, "the server closed the connection"
        return got


def request(body: bytes = b"", method: str = "POST", path: str = "/v2/models/rows/infer", **headers: str) -> bytes:
    """One request; underscores in header names are dashes."""
    given = {"host": "test", "content-length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    return "\r\n".join(lines).encode() + body
