"""Where answers go: lines of JSON, a table, or a .jsonl, .npz or .parquet file.

    Answer --Writer.write, in order--> stream or file --close--> complete

Writers hold one answer (a table: the first few, to find its widths; parquet: one row group) and never all
of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from pipeline_dsl.plan import OutputPlan

from .answer import Answer, Writer
from .encode import printable, to_cell, to_json, to_line
from .errors import OptionError

Maker = Callable[[Path, Sequence[OutputPlan]], Writer]


class JsonLines:
    """One object a line: `index`, `id`, then `outputs`, or `error` with code, message and node.

    An answer that comes in parts has a line with a number, `part`, for each of them."""

    def __init__(self, stream: TextIO, *, owned: bool = False) -> None:
        self._stream = stream
        self._owned = owned

    def write(self, answer: Answer) -> None:
        self._stream.write(to_line(record(answer)) + "\n")
        if answer.part is not None:
            self._stream.flush()  # somebody may be looking on

    def close(self) -> None:
        if self._owned:
            self._stream.close()
        else:
            self._stream.flush()


class Table:
    """Columns for people. The first answers settle the widths; later ones that are wider push their row
    out."""

    HELD = 64
    HELD_SECONDS = 0.5
    """How long answers that are there may wait for others."""

    def __init__(
        self, stream: TextIO, head: str, outputs: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._outputs = outputs
        self._clock = clock
        self._first: float | None = None
        """When the first answer came."""
        self._widths: list[int] | None = None
        self._held: list[list[str]] = [[head, *outputs]]

    def write(self, answer: Answer) -> None:
        self._held.append(self._row(answer))
        if self._first is None:
            self._first = self._clock()
        waited = self._clock() - self._first
        if answer.part is not None:
            self._flush()
            self._stream.flush()
        elif self._widths is not None or len(self._held) > self.HELD or waited >= self.HELD_SECONDS:
            self._flush()

    def close(self) -> None:
        if self._first is not None:
            self._flush()
        self._stream.flush()

    def _row(self, answer: Answer) -> list[str]:
        name = printable(answer.id)
        if answer.failure:
            return [name, printable(f"error {answer.failure}")]
        outputs = answer.outputs or {}
        return [name, *(to_cell(outputs.get(port)) for port in self._outputs)]

    def _flush(self) -> None:
        if self._widths is None:
            self._widths = self._settled()
        for row in self._held:
            padded = [cell + " " * (width - _width(cell)) for cell, width in zip(row[:-1], self._widths)]
            self._stream.write("  ".join([*padded, row[-1]]) + "\n")
        self._held = []

    def _settled(self) -> list[int]:
        """Widths of the columns. A failure stands in place of all outputs, and so counts for none of them."""
        answered = [row for row in self._held if len(row) == len(self._outputs) + 1]
        widths = [max(map(_width, column)) for column in zip(*answered)]
        return [max(_width(row[0]) for row in self._held), *widths[1:]]


def _width(text: str) -> int:
    """Places a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def check_folder(path: Path) -> None:
    """OptionError if there is no folder for a file, before anything runs whose answers would be lost."""
    if not path.parent.is_dir():
        raise OptionError(f"can not write `{path}`: there is no folder `{path.parent}`")


def opener(path: Path, outputs: Sequence[OutputPlan]) -> Callable[[], Writer]:
    """What makes the writer for a file, by its ending; the file is not touched before it is called.

    OptionError at once if there is no such writer or no folder for the file, and later if it can not be made."""
    makers = {".jsonl": _jsonl, ".npz": _npz, ".parquet": _parquet}
    make = makers.get(path.suffix.lower())
    if make is None:
        known = ", ".join(makers)
        raise OptionError(f"`{path}` has no ending that says how to write it", f"use one of {known}")
    stream = next((port for port in outputs if port.type.stream), None)
    if stream is not None and path.suffix.lower() != ".jsonl":
        hint = "write to a .jsonl file, or choose others with --outputs"
        raise OptionError(f"`{path}` can not hold `{stream.name}`, which is a stream", hint)
    check_folder(path)
    writer = make()

    def opened() -> Writer:
        try:
            return writer(path, outputs)
        except OSError as error:
            raise OptionError(f"can not write `{path}`: {error.strerror}") from None

    return opened


def record(answer: Answer) -> dict[str, Any]:
    """An answer as JSON data."""
    found: dict[str, Any] = {"index": answer.index, "id": answer.id}
    if answer.part is not None:
        found["part"] = answer.part
    if answer.failure:
        f = answer.failure
        found["error"] = {"code": f.code, "message": f.message, "node": f.node, "retryable": f.retryable}
    else:
        found["outputs"] = {name: to_json(value) for name, value in (answer.outputs or {}).items()}
    if answer.routes:
        found["routes"] = [
            {"node": r.node, "arm": r.arm, "key": r.key, "place": r.place, "share": [r.lower, r.upper]}
            for r in answer.routes
        ]
    return found


def _jsonl() -> Maker:
    return lambda path, _: JsonLines(path.open("w", encoding="utf-8"), owned=True)


def _npz() -> Maker:
    from .archive import Npz

    return lambda path, outputs: Npz(path, [port.name for port in outputs])


def _parquet() -> Maker:
    try:
        from .parquet import Parquet
    except ImportError:
        raise OptionError("writing parquet needs pyarrow", "pip install 'pipectl[parquet]'") from None
    return Parquet
