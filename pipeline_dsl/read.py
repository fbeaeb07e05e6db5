"""Files to sources: the one place of the compiler that opens a `.pipe` file."""

from __future__ import annotations

from pathlib import Path

from .diagnostics import CompileError
from .errors.syntax import Unreadable
from .parse import MAX_CHARACTERS
from .source import Source, Span

MAX_BYTES = 4 * MAX_CHARACTERS


def read(path: str | Path, shown: str = "") -> Source:
    """The text of a file, called `shown` in messages.

    CompileError (E0009) if there is none: missing, a folder, empty, too large, or not text.
    """
    source = Source(shown or str(path), "")
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(source, (error.strerror or str(error)).lower(), _advice(error)) from error
    if len(data) > MAX_BYTES:
        raise _unreadable(source, "it is larger than 1 MiB", "split it and import the parts")
    if b"\0" in data:
        raise _unreadable(source, "it is no text, it holds NUL bytes", "is this a model file?")
    return Source(source.path, _decoded(source, data))


def _advice(error: OSError) -> str:
    if isinstance(error, IsADirectoryError):
        return "name a .pipe file in it"
    return "check the path" if isinstance(error, FileNotFoundError) else ""


def _decoded(source: Source, data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _unreadable(source, f"byte {error.start} (line {line}) is no UTF-8", "save it as UTF-8") from error
    if not text.strip(" \t\r\n\f\ufeff"):
        raise _unreadable(source, "it is empty", "start with `pipe 1`")
    return text


def _unreadable(source: Source, reason: str, advice: str = "") -> CompileError:
    return CompileError([Unreadable(Span(source, 0, 0), reason, advice).diagnostic()])
