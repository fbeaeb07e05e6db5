"""Exceptions as values: what a child raised is raised again in the parent, under its own name.

`InvalidInput` and `BackendError` stay what they are. Any other becomes a `StageError` subclass of the same name and
text, so that messages read alike with and without isolation. The child's traceback is attached as a note.
"""

from __future__ import annotations

import traceback
from functools import lru_cache

from backends.base import BackendError
from backends.values import InvalidInput

from .messages import Fault

_LONGEST = 1 << 16


class StageError(Exception):
    """An exception that a stage raised in its process. `trace` is the traceback there."""

    trace: str = ""


def to_fault(error: BaseException) -> Fault:
    """The exception as a value; never raises."""
    name, message, trace = type(error).__name__[:200], _message(error), _trace(error)
    if isinstance(error, InvalidInput):
        return Fault("invalid", name, message, trace)
    if isinstance(error, BackendError):
        return Fault("load", name, message, trace, _text(str(error.hint)))
    return Fault("error", name, message, trace)


def to_exception(fault: Fault, place: str) -> Exception:
    """The exception to raise here; `place` says where it was raised: `the process of stage x (12)`."""
    error: Exception
    if fault.kind == "invalid":
        error = InvalidInput(fault.message)
    elif fault.kind == "load":
        error = BackendError(fault.message, fault.hint)
    else:
        error = _named(fault.name)(fault.message)
        error.trace = fault.trace
    if fault.trace:
        error.add_note(f"raised in {place}:\n{fault.trace}")
    return error


@lru_cache(maxsize=256)
def _named(name: str) -> type[StageError]:
    return type(name if name.isidentifier() else "StageError", (StageError,), {"__module__": __name__})


def _message(error: BaseException) -> str:
    try:
        return _text(str(error))
    except Exception as failure:  # user code may raise here too
        return f"(its text can not be shown: {type(failure).__name__})"


def _trace(error: BaseException) -> str:
    try:
        return _text("".join(traceback.format_exception(error)))
    except Exception:  # formatting calls the error's own code
        return ""


def _text(text: str) -> str:
    """Text that can be sent, its middle cut out if it is very long."""
    if len(text) > _LONGEST:
        text = text[: _LONGEST // 2] + "\n...\n" + text[-_LONGEST // 2 :]
    return text.encode("utf-8", "backslashreplace").decode()
