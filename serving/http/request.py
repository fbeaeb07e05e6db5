"""A request as ASGI brings it: the headers that mean something here, and its whole body."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.access import Access, Caller
from serving.errors import Cancelled, InvalidArgument, RequestError, TooLarge

from .connection import GONE, OVER
from .encoding import decompressed
from .replies import Receive, Scope

OFF_LOOP = 256 * 2**10
"""Bytes of a compressed body from which on it is decompressed on a thread."""
NO_HEADERS: Mapping[str, str] = {}


class Late(RequestError):
    """The client stopped sending."""

    grpc_code = "DEADLINE_EXCEEDED"
    http_status = 408
    reason = "REJECTED"


@dataclass(slots=True)
class Head:
    """Headers by what they are for; those that are not there are "" or None."""

    authorization: str | None = None
    content_encoding: str = ""
    accept_encoding: str = ""
    json_length: str | None = None
    """`Inference-Header-Content-Length`."""
    timeout: float | None = None
    """Seconds that the client's proxy still waits."""
    id: str = ""
    """`X-Request-Id`, for a request that brings none itself."""
    forwarded: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    peer: str = ""
    """The connection, as `InferCall` has it."""


def head_of(scope: Scope, forward: re.Pattern[str] | None) -> Head:
    """One pass over the headers. InvalidArgument for one that says what can not be."""
    client = scope.get("client")
    head = Head(peer=f"{client[0]}:{client[1]}" if client else "")
    for name, value in scope["headers"]:
        field = _FIELDS.get(name)
        if field is not None:
            setattr(head, field, value.decode("latin-1"))
        elif name == b"x-envoy-expected-rq-timeout-ms":
            head.timeout = _milliseconds(value)
        if forward is not None and forward.fullmatch(name.decode("latin-1")):
            head.forwarded = {**head.forwarded, name.decode("latin-1"): value.decode("latin-1")}
    return head


_FIELDS = {
    b"authorization": "authorization",
    b"content-encoding": "content_encoding",
    b"accept-encoding": "accept_encoding",
    b"inference-header-content-length": "json_length",
    b"x-request-id": "id",
}


def _milliseconds(value: bytes) -> float:
    if not value.isdigit() or len(value) > 12:
        raise InvalidArgument("header `x-envoy-expected-rq-timeout-ms` takes whole milliseconds")
    return int(value) / 1e3


def caller_of(head: Head, access: Access) -> Caller:
    """Who asks. Unauthenticated for a token that is not known."""
    return access.caller(head.authorization)


async def body_of(scope: Scope, receive: Receive, head: Head, limit: int) -> bytes:
    """All of the body, decompressed. Cancelled if the client left, TooLarge or Late over a limit."""
    pieces: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if OVER in scope:
            status, text = scope[OVER]
            raise Late(text) if status == 408 else TooLarge(text)
        if message["type"] != "http.request" or GONE in scope:
            raise Cancelled("the client left")
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if not head.content_encoding:
        return body
    if len(body) > OFF_LOOP:
        return await asyncio.to_thread(decompressed, body, head.content_encoding, limit)
    return decompressed(body, head.content_encoding, limit)
