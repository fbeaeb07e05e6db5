"""One client's connection: uvicorn's protocol with limits on headers, bodies, time and number.

A body is handed on whole, when its last byte has come or it went over a limit: inference needs all of it anyway, and
so is woken once. A client that leaves ends the task that answers it.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .limits import HttpLimits
from .replies import Scope
from .together import Together

TASK = "pipectl.task"
"""Key of a scope: the task to cancel when the client leaves."""
GONE = "pipectl.gone"
"""Key of a scope: the client has left."""
OVER = "pipectl.over"
"""Key of a scope: (status, text) of a body that went over a limit."""


Phase = Literal["idle", "headers", "body"]
"""What the connection waits for: a request, the rest of its headers, the rest of its body."""


class Refused(Exception):
    """Raised into the parser to stop it; what the client is told is in the connection."""


class Connection(HttpToolsProtocol):
    """Made by `connections`, once for each client."""

    limits = HttpLimits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refusal: tuple[int, str] = (400, "the request is no valid HTTP/1.1")
        self._header_bytes = 0
        self._chunks = 0
        self._phase: Phase = "idle"
        self._waits_for: Phase = "idle"
        self._clock: asyncio.TimerHandle | None = None

    # ---- life

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._together = Together(transport, self.loop)
        if len(self.connections) > self.limits.connections:
            self._refuse(503, f"there are {self.limits.connections} connections, which is all this server takes")
            return
        self._wait(self.limits.keep_alive_seconds, self._late_headers)

    def data_received(self, data: bytes) -> None:
        """A request that comes in one piece starts no timer."""
        super().data_received(data)
        phase = self._phase
        if phase == "headers":
            if self._clock is None or self._waits_for != "headers":  # counted from its first byte
                self._wait(self.limits.header_seconds, self._late_headers)
        elif phase == "body":
            self._wait(self.limits.body_seconds, self._late_body)
        elif self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._clock is None and not self.transport.is_closing():  # empty lines are no request
            self._wait(self.limits.keep_alive_seconds, self._late_headers)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            scope: Scope = cycle.scope  # type: ignore[assignment]  # with keys of ours
            scope[GONE] = True
            task = scope.get(TASK)
            if isinstance(task, asyncio.Task):
                task.cancel()
        super().connection_lost(exc)

    # ---- headers

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._phase = "headers"
        self._header_bytes = self._chunks = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value) + 4)
        if len(self.headers) > self.limits.headers:
            self._stop(431, f"there are more than {self.limits.headers} headers")

    def on_headers_complete(self) -> None:
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts != 1 and self.parser.get_http_version() == "1.1":
            self._stop(400, "a request has one Host header")
        super().on_headers_complete()
        self.cycle.transport = self._together  # type: ignore[assignment]  # all that a response needs of one
        length = next((value for name, value in self.headers if name == b"content-length"), b"0")
        if int(length) > self.limits.body:
            self._over(413, f"the body has {int(length)} bytes; the limit is {self.limits.body}")
        else:
            self._phase = "body"

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self.limits.header_bytes:
            self._stop(431, f"the headers are larger than {self.limits.header_bytes} bytes")

    # ---- body

    def on_chunk_header(self) -> None:
        self._chunks += 1
        if self._chunks > self.limits.chunks:
            self._over(413, f"the body comes in more than {self.limits.chunks} chunks")

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if cycle.response_complete or OVER in cycle.scope:
            return
        cycle.body += body
        if len(cycle.body) > self.limits.body:
            self._over(413, f"the body is larger than {self.limits.body} bytes")

    def on_message_complete(self) -> None:
        self._phase = "idle"
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._together.flush()
        super().on_response_complete()

    def _over(self, status: int, text: str) -> None:
        """The request in hand is answered with an error, and the connection ends behind it."""
        self._phase = "idle"
        cycle = self.cycle
        scope: Scope = cycle.scope  # type: ignore[assignment]  # with keys of ours
        scope[OVER] = (status, text)
        cycle.body = bytearray()
        cycle.keep_alive = False
        cycle.message_event.set()

    # ---- refusals

    def _stop(self, status: int, text: str) -> None:
        """End the parsing of a request that has no task yet."""
        self._refusal = (status, text)
        raise Refused

    def send_400_response(self, msg: str) -> None:
        """What the parser did not take, as this server tells errors."""
        self._refuse(*self._refusal)

    def _refuse(self, status: int, text: str) -> None:
        self._phase = "idle"
        self._stop_waiting()
        body = msgspec.json.encode({"error": text})
        phrase = http.HTTPStatus(status).phrase
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        if not self.transport.is_closing():
            self._together.flush()
            self.transport.write(head.encode() + body)
            self.transport.close()

    # ---- time

    def _wait(self, seconds: float, call: Callable[[], None]) -> None:
        self._stop_waiting()
        self._waits_for = self._phase
        self._clock = self.loop.call_later(seconds, call)

    def _stop_waiting(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _late_headers(self) -> None:
        self._clock = None
        self._refuse(408, f"no complete headers came in {self.limits.header_seconds:g} s")

    def _late_body(self) -> None:
        self._clock = None
        self._over(408, f"no byte of the body came in {self.limits.body_seconds:g} s")


def connections(limits: HttpLimits) -> type[Connection]:
    """The protocol class for a server with these limits."""
    return type("Connection", (Connection,), {"limits": limits})
