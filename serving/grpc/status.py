"""Failures as gRPC tells them: a status with its text, and when to try again."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any, NoReturn

import grpc

from serving.errors import RequestError, codes, internal, text
from serving.options import ServerOptions

_log = logging.getLogger("pipectl")

PUSHBACK = "grpc-retry-pushback-ms"
"""Trailer by which clients know when to retry."""
NOT_STARTED = ("pipectl-started", "no")
"""Trailer of a refusal before anything ran: another try repeats nothing, whatever the pipeline does."""


class Status:
    """Ends calls that failed."""

    def __init__(self, options: ServerOptions) -> None:
        self._compat = options.compat
        self._retry_after = options.retry_after

    def told(self, error: Exception) -> RequestError:
        """What the caller hears of a failure; one that is our mistake goes to the log whole."""
        if isinstance(error, RequestError):
            return error
        _log.error("a call failed", exc_info=error)
        return internal(error)

    async def end(self, context: Any, error: Exception) -> NoReturn:
        """Abort a call with the status of its failure. CancelledError where nobody is left to hear of it: the call
        ended meanwhile, as those do that a server gives no more time."""
        told = self.told(error)
        code, _ = codes(told, self._compat)
        seconds = getattr(told, "retry_after", None) or self._retry_after
        trailers: tuple[tuple[str, str], ...] = ((PUSHBACK, str(math.ceil(seconds * 1000))),) if told.retryable else ()
        if not told.started:
            trailers += (NOT_STARTED,)
        try:
            await context.abort(getattr(grpc.StatusCode, code), text(told), trailers)
        except grpc.aio.InternalError as gone:
            raise asyncio.CancelledError from gone
        raise AssertionError("abort raises")
