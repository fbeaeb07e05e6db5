"""How an operation can fail, beside what a request can come to in the executor.

Every failure is a `RequestError`, which carries its gRPC code and HTTP status; `compat` names those that a Triton
server would give where the two differ.
"""

from __future__ import annotations

from executor.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    Overloaded,
    RequestError,
    Unavailable,
)

__all__ = [
    "AlreadyExists",
    "Cancelled",
    "DeadlineExceeded",
    "InvalidArgument",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "RequestError",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "codes",
    "internal",
    "text",
]


class AlreadyExists(RequestError):
    """A region of shared memory has that name."""

    grpc_code = "ALREADY_EXISTS"
    http_status = 409
    reason = "REJECTED"


class Unsupported(RequestError):
    """What is asked for is not offered, here or at all."""

    grpc_code = "UNIMPLEMENTED"
    http_status = 501
    reason = "REJECTED"


class Unauthenticated(RequestError):
    """No token, or one that is not known."""

    grpc_code = "UNAUTHENTICATED"
    http_status = 401
    reason = "REJECTED"


class PermissionDenied(RequestError):
    """A known caller whose token is not for this group of operations."""

    grpc_code = "PERMISSION_DENIED"
    http_status = 403
    reason = "REJECTED"


class TooLarge(RequestError):
    """A message over the limit."""

    grpc_code = "RESOURCE_EXHAUSTED"
    http_status = 413
    reason = "REJECTED"


_TRITON: dict[type[RequestError], tuple[str, int]] = {
    Overloaded: ("UNAVAILABLE", 503),
    DeadlineExceeded: ("UNAVAILABLE", 503),
    AlreadyExists: ("ALREADY_EXISTS", 400),
    Cancelled: ("CANCELLED", 400),
    TooLarge: ("INVALID_ARGUMENT", 400),
}


def codes(error: RequestError, compat: bool = False) -> tuple[str, int]:
    """gRPC code and HTTP status; with `compat` those of a Triton server."""
    if compat:
        found = _TRITON.get(type(error))
        if found is not None:
            return found
    return error.grpc_code, error.http_status


MAX_TEXT = 1500
"""Characters of a message that a caller gets."""


def text(error: RequestError) -> str:
    """The message as a caller gets it: in one printable line, whatever names and values a request held."""
    found = str(error)
    if len(found) > MAX_TEXT:
        found = found[: MAX_TEXT - 3] + "..."
    if found.isprintable():
        return found
    return "".join([c if c.isprintable() else c.encode("unicode_escape").decode() for c in found])


def internal(error: Exception) -> RequestError:
    """What a caller is told of a mistake of ours: that it was one, and no more."""
    return RequestError(f"internal error: {type(error).__name__}; the server's log has the rest")
