"""A failed request as a message, and back as the same class of error with the same words."""

from __future__ import annotations

import logging

from executor import errors as requests
from serving import errors
from serving.errors import RequestError, internal

from .messages import Failed

KINDS: dict[str, type[RequestError]] = {
    kind.__name__: kind
    for kind in (
        RequestError,
        requests.InvalidArgument,
        requests.NotFound,
        requests.Overloaded,
        requests.Unavailable,
        requests.DeadlineExceeded,
        requests.Cancelled,
        requests.StageFailed,
        requests.StageUnavailable,
        errors.AlreadyExists,
        errors.Unsupported,
        errors.Unauthenticated,
        errors.PermissionDenied,
        errors.TooLarge,
    )
}
"""What may cross, by name: the classes carry the status of each protocol."""

_log = logging.getLogger("pipectl")


def to_failed(number: int, error: Exception) -> Failed:
    """The message. What is our mistake goes to the log whole, and to the caller as one."""
    if not isinstance(error, RequestError):
        _log.error("a call failed", exc_info=error)
        error = internal(error)
    kind = next(k.__name__ for k in type(error).__mro__ if KINDS.get(k.__name__) is k)
    return Failed(
        number,
        kind,
        error.message.encode("utf-8", "backslashreplace").decode(),
        error.pipeline,
        error.node,
        error.instance,
        error.request_id,
        getattr(error, "retry_after", None),
        error.started,
    )


def to_error(failed: Failed) -> RequestError:
    """The error of a message."""
    error = KINDS.get(failed.kind, RequestError)(
        failed.message,
        pipeline=failed.pipeline,
        node=failed.node,
        instance=failed.instance,
        request_id=failed.request_id,
    )
    if isinstance(error, requests.Overloaded) and failed.retry_after is not None:
        error.retry_after = failed.retry_after
    error.started = failed.started
    return error
