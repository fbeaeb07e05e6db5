"""Failures as gRPC tells them: a status with its text, and when to try again."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import grpc

from serving.errors import RequestError, codes, internal, text
from serving.options import ServerOptions

_log = logging.getLogger("pipectl")

PUSHBACK = "grpc-retry-pushback-ms"
"""Trailer by which clients know when to retry."""


class Status:
    """Ends calls that failed."""

    def __init__(self, options: ServerOptions) -> None:
        self._compat = options.compat
        self._retry = ((PUSHBACK, str(round(options.retry_after * 1000))),)

    def told(self, error: Exception) -> RequestError:
        """What the caller hears of a failure; one that is our mistake goes to the log whole."""
        if isinstance(error, RequestError):
            return error
        _log.error("a call failed", exc_info=error)
        return internal(error)

    async def end(self, context: Any, error: Exception) -> NoReturn:
        """Abort a call with the status of its failure."""
        told = self.told(error)
        code, _ = codes(told, self._compat)
        trailers = self._retry if told.retryable else ()
        await context.abort(getattr(grpc.StatusCode, code), text(told), trailers)
        raise AssertionError("abort raises")
