"""How a request or a start can fail. Each class carries its wire status and whether trying again helps.

    caller's data -> InvalidArgument | NotFound        the door, line -> Overloaded | Unavailable
    time          -> DeadlineExceeded | Cancelled      a stage        -> StageFailed | StageUnavailable

Status codes follow the table in docs (gRPC code, HTTP status). Messages name pipeline, node, instance and request.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import ClassVar


class RequestError(Exception):
    """One request's failure. `__cause__` keeps what a stage raised."""

    grpc_code: ClassVar[str] = "INTERNAL"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    reason: ClassVar[str] = "OTHER"
    """Label of the failure counters: REJECTED, CANCELED, BACKEND or OTHER."""

    def __init__(
        self,
        message: str,
        *,
        pipeline: str = "",
        node: str = "",
        instance: int | None = None,
        request_id: str = "",
    ) -> None:
        self.message = message
        self.pipeline = pipeline
        self.node = node
        self.instance = instance
        self.request_id = request_id
        super().__init__(message)

    def __str__(self) -> str:
        where = self.node or self.pipeline
        if self.instance is not None:
            where += f"[{self.instance}]"
        who = f" (request {self.request_id})" if self.request_id else ""
        return f"{where}: {self.message}{who}" if where else f"{self.message}{who}"


class InvalidArgument(RequestError):
    """The caller's data is at fault; the same request fails again."""

    grpc_code = "INVALID_ARGUMENT"
    http_status = 400
    reason = "REJECTED"


class NotFound(RequestError):
    """No such pipeline or output."""

    grpc_code = "NOT_FOUND"
    http_status = 404
    reason = "REJECTED"


class Overloaded(RequestError):
    """Refused at once: a line is full, or requests come faster than they may."""

    retry_after: float | None = None
    """Seconds after which another try may succeed, where that is known."""
    grpc_code = "RESOURCE_EXHAUSTED"
    http_status = 429
    retryable = True
    reason = "REJECTED"


class Unavailable(RequestError):
    """Not accepting work: starting, draining or stopped."""

    grpc_code = "UNAVAILABLE"
    http_status = 503
    retryable = True
    reason = "REJECTED"


class DeadlineExceeded(RequestError):
    """The request's or a call's time ran out."""

    grpc_code = "DEADLINE_EXCEEDED"
    http_status = 504
    reason = "OTHER"


class Cancelled(RequestError, CancelledError):
    """The caller gave up; also a `concurrent.futures.CancelledError`."""

    grpc_code = "CANCELLED"
    http_status = 499
    reason = "CANCELED"


class StageFailed(RequestError):
    """A stage raised or returned something it must not; `__cause__` is what it raised."""

    reason = "BACKEND"


class StageUnavailable(RequestError):
    """A stage's process died and the work could not, or must not, be run again."""

    grpc_code = "UNAVAILABLE"
    http_status = 503
    retryable = True
    reason = "BACKEND"


class LoadError(Exception):
    """A stage that could not be loaded or warmed up; nothing is left running."""

    def __init__(self, stage: str, message: str, hint: str = "") -> None:
        self.stage = stage
        self.message = message
        self.hint = hint
        super().__init__(f"stage `{stage}`: {message}" + (f"\nhelp: {hint}" if hint else ""))
