"""How a call can fail, as its caller sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PUSHBACK = "grpc-retry-pushback-ms"
STARTED = "pipectl-started"


class ClientError(Exception):
    """What a server answered instead, or a value that does not fit; `code` is gRPC's."""

    def __init__(self, text: str, code: str = "INVALID_ARGUMENT", trailers: Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__(text)
        self.code = code
        self._trailers = dict(trailers)

    @property
    def refused(self) -> bool:
        """It was refused before anything ran."""
        return self._trailers.get(STARTED) == "no"

    @property
    def pushback(self) -> float | None:
        """Seconds after which the server wants to be asked again; below 0: not at all. None: it does not say."""
        found = self._trailers.get(PUSHBACK)
        if found is None:
            return None
        try:
            return int(found) / 1e3
        except ValueError:
            return -1.0


def failure(error: Any) -> ClientError:
    """The error of a call that ended with a `grpc.RpcError`."""
    return ClientError(error.details() or "no answer", error.code().name, error.trailing_metadata() or ())
