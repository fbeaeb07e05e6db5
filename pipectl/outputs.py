"""Where answers go: lines of JSON, a table, or a .jsonl, .npz or .parquet file.

    Answer --Writer.write, in order--> stream or file --close--> complete

Writers hold one answer (a table: the first few, to find its widths; parquet: one row group) and never all
of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from pipeline_dsl.plan import OutputPlan

from .encode import to_cell, to_json, to_line
from .errors import OptionError


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no outputs."""

    message: str
    code: str
    """gRPC code: INVALID_ARGUMENT, INTERNAL, .."""
    node: str = ""
    retryable: bool = False

    def __str__(self) -> str:
        return f"{self.code}: {self.node}: {self.message}" if self.node else f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's outputs, or its failure."""

    index: int
    id: str
    outputs: Mapping[str, Any] | None = None
    failure: Failure | None = None


class Writer(Protocol):
    """Takes answers in the order of their requests."""

    def write(self, answer: Answer) -> None: ...

    def close(self) -> None:
        """Write what is held back. Called after an error as well, and may be called again."""


class JsonLines:
    """One object a line: `index`, `id`, then `outputs`, or `error` with code, message and node."""

    def __init__(self, stream: TextIO, *, owned: bool = False) -> None:
        self._stream = stream
        self._owned = owned

    def write(self, answer: Answer) -> None:
        self._stream.write(to_line(record(answer)) + "\n")

    def close(self) -> None:
        if self._owned:
            self._stream.close()
        else:
            self._stream.flush()


class Table:
    """Columns for people. The first answers settle the widths; later ones that are wider push their row
    out."""

    HELD = 64

    def __init__(self, stream: TextIO, head: str, outputs: Sequence[str]) -> None:
        self._stream = stream
        self._outputs = outputs
        self._widths: list[int] | None = None
        self._held: list[list[str]] = [[head, *outputs]]

    def write(self, answer: Answer) -> None:
        self._held.append(self._row(answer))
        if self._widths is not None or len(self._held) > self.HELD:
            self._flush()

    def close(self) -> None:
        if len(self._held) > 1 or self._widths is not None:
            self._flush()
        self._stream.flush()

    def _row(self, answer: Answer) -> list[str]:
        if answer.failure:
            return [answer.id, f"error {answer.failure}"]
        outputs = answer.outputs or {}
        return [answer.id, *(to_cell(outputs.get(name)) for name in self._outputs)]

    def _flush(self) -> None:
        if self._widths is None:
            full = [row for row in self._held if len(row) == len(self._outputs) + 1]
            self._widths = [max(map(len, column)) for column in zip(*full)]
        for row in self._held:
            cells = [cell.ljust(width) for cell, width in zip(row, self._widths)]
            self._stream.write("  ".join([*cells[:-1], row[-1]]) + "\n" if row else "\n")
        self._held = []


def open_file(path: Path, outputs: Sequence[OutputPlan]) -> Writer:
    """The writer for a file, by its ending. OptionError if there is none, or the file can not be made."""
    makers = {".jsonl": _jsonl, ".npz": _npz, ".parquet": _parquet}
    make = makers.get(path.suffix.lower())
    if make is None:
        known = ", ".join(makers)
        raise OptionError(f"`{path}` has no ending that says how to write it", f"use one of {known}")
    try:
        return make(path, outputs)
    except OSError as error:
        raise OptionError(f"can not write `{path}`: {error.strerror}") from None


def record(answer: Answer) -> dict[str, Any]:
    """An answer as JSON data."""
    found: dict[str, Any] = {"index": answer.index, "id": answer.id}
    if answer.failure:
        f = answer.failure
        found["error"] = {"code": f.code, "message": f.message, "node": f.node, "retryable": f.retryable}
    else:
        found["outputs"] = {name: to_json(value) for name, value in (answer.outputs or {}).items()}
    return found


def _jsonl(path: Path, outputs: Sequence[OutputPlan]) -> Writer:
    return JsonLines(path.open("w", encoding="utf-8"), owned=True)


def _npz(path: Path, outputs: Sequence[OutputPlan]) -> Writer:
    from .archive import Npz

    return Npz(path, [port.name for port in outputs])


def _parquet(path: Path, outputs: Sequence[OutputPlan]) -> Writer:
    try:
        from .parquet import Parquet
    except ImportError:
        raise OptionError("writing parquet needs pyarrow", "pip install 'pipectl[parquet]'") from None
    return Parquet(path, outputs)
