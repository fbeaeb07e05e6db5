"""What goes back: a status, headers, and a body in one or more pieces.

Every error is a JSON object with one key, `error`; nothing of the server's inside is in it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from executor.errors import Overloaded, RequestError, Unavailable
from serving.errors import Unauthenticated, codes, internal
from serving.options import ServerOptions

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json"
_log = logging.getLogger("pipectl")


@dataclass(slots=True)
class Reply:
    """One response, whole."""

    status: int
    body: Sequence[bytes | memoryview]
    type: bytes = JSON
    headers: Sequence[Header] = ()

    @property
    def length(self) -> int:
        return sum(map(len, self.body))

    async def send(self, send: Send) -> None:
        """Start and body; pieces go out one after the other, not copied together."""
        headers = [(b"content-type", self.type), (b"content-length", b"%d" % self.length), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for piece in self.body[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        last = self.body[-1] if self.body else b""
        await send({"type": "http.response.body", "body": last, "more_body": False})


def json_reply(value: Any, status: int = 200, headers: Sequence[Header] = ()) -> Reply:
    """JSON data as a reply."""
    return Reply(status, (msgspec.json.encode(value),), headers=headers)


def error_reply(error: Exception, options: ServerOptions) -> Reply:
    """What a caller is told of a failure. One that is ours is logged, and told without its inside."""
    if not isinstance(error, RequestError):
        _log.error("an HTTP request failed", exc_info=error)
        error = internal(error)
    _, status = codes(error, options.compat)
    headers: list[Header] = []
    if isinstance(error, Overloaded | Unavailable):
        seconds = getattr(error, "retry_after", None) or options.retry_after
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(seconds))))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    return json_reply({"error": str(error)}, status, headers)


def plain_error(status: int, text: str, headers: Sequence[Header] = ()) -> Reply:
    """An error of HTTP itself."""
    return json_reply({"error": text}, status, headers)
