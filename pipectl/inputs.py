"""Where requests come from: `--input` and `--jsonl`, typed by the pipeline's ports.

    NAME=VALUE | NAME=@file | NAME=@glob    --\\
                                               >--  iterator of Ask(index, id, inputs | error)
    one JSON object a line                  --/

Names, counts and inline values are checked before anything runs (`OptionError`). Files and lines are read one
request at a time, while earlier ones run; one that can not be read fails its own request only.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from executor.sequence import SequenceInfo
from pipeline_dsl.plan import InputPlan, PipelinePlan
from pipeline_dsl.spell import nearest

from .decode import DecodeError, from_file, from_json, from_text
from .errors import OptionError


@dataclass(slots=True)
class Ask:
    """One request to make. With an `error` it is not made, but reported in its place."""

    index: int
    id: str
    inputs: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    sequence: SequenceInfo | None = None
    """Of a pipeline that takes sequences."""


@dataclass(frozen=True, slots=True)
class Item:
    """One value of one port, read when its request is made. `label` is the file's name, "" for inline
    values."""

    label: str
    read: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests in order; `count` is None where it is not known before the end."""

    asks: Iterator[Ask]
    count: int | None


def from_options(pipeline: PipelinePlan, options: Sequence[str]) -> Requests:
    """Requests of `--input` options. Several values for one name are several requests; single ones repeat."""
    columns = _columns(pipeline, options)
    _need_all(pipeline, columns)
    return _zip(columns)


def from_lines(pipeline: PipelinePlan, lines: Iterable[bytes], options: Sequence[str]) -> Requests:
    """One request a line, a JSON object of values by port name; `id` names it, unless a port is called so.

    `"sequence": {"id": 7, "start": true}` says which sequence it belongs to, under the same condition.

    Values given as options hold for every line that does not give them. Empty lines are skipped."""
    columns = _columns(pipeline, options)
    if several := [name for name, items in columns.items() if len(items) > 1]:
        raise OptionError(f"with --jsonl, input `{several[0]}` takes one value, which holds for all lines")
    fixed = {name: items[0].read() for name, items in columns.items()}
    written = ((n, line) for n, line in enumerate(lines, start=1) if line.strip())
    asks = (_from_line(pipeline, index, n, line, fixed) for index, (n, line) in enumerate(written))
    return Requests(asks, None)


# ---- options


def _columns(pipeline: PipelinePlan, options: Sequence[str]) -> dict[str, list[Item]]:
    ports = {port.name: port for port in pipeline.inputs}
    columns: dict[str, list[Item]] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise OptionError(f"`--input {option}` has no value", f"write --input {option}=VALUE")
        if name not in ports:
            raise OptionError(f"pipeline `{pipeline.name}` has no input `{name}`", _guess(name, ports))
        columns.setdefault(name, []).extend(_items(ports[name], value))
    return columns


def _items(port: InputPlan, value: str) -> list[Item]:
    if value.startswith("@") and not value.startswith("@@"):
        return [Item(path, partial(from_file, port, Path(path))) for path in _files(value[1:])]
    try:
        decoded = from_text(port, value[1:] if value.startswith("@@") else value)
    except DecodeError as error:
        raise OptionError(f"input `{port.name}`: {error}", error.hint) from None
    return [Item("", lambda: decoded)]


def _files(pattern: str) -> list[str]:
    if Path(pattern).is_file():
        return [pattern]
    found = sorted(path for path in glob.glob(pattern, recursive=True) if Path(path).is_file())
    if not found:
        what = "no file matches" if glob.has_magic(pattern) else "there is no file"
        raise OptionError(f"{what} `{pattern}`", "to give a text that starts with @, write @@")
    return found


def _need_all(pipeline: PipelinePlan, columns: Mapping[str, Sequence[Item]]) -> None:
    needed = [p for p in pipeline.inputs if not p.has_default and not p.type.optional]
    if missing := [p for p in needed if p.name not in columns]:
        named = ", ".join(f"{p.name}: {p.type}" for p in missing)
        example = " ".join(f"--input {p.name}=.." for p in missing)
        raise OptionError(f"pipeline `{pipeline.name}` needs {named}", f"give {example}, or --jsonl FILE")


def _zip(columns: Mapping[str, Sequence[Item]]) -> Requests:
    count = max((len(items) for items in columns.values()), default=1)
    for name, items in columns.items():
        if len(items) not in (1, count):
            longest = next(n for n, other in columns.items() if len(other) == count)
            raise OptionError(
                f"input `{name}` has {len(items)} values and `{longest}` has {count}",
                "give one value for all requests, or one for each",
            )
    return Requests((_ask(index, columns) for index in range(count)), count)


def _ask(index: int, columns: Mapping[str, Sequence[Item]]) -> Ask:
    picked = {name: items[index if len(items) > 1 else 0] for name, items in columns.items()}
    labels = [item.label for name, item in picked.items() if item.label and len(columns[name]) > 1]
    labels = labels or [item.label for item in picked.values() if item.label]
    ask = Ask(index, labels[0] if labels else str(index))
    for name, item in picked.items():
        try:
            ask.inputs[name] = item.read()
        except DecodeError as error:
            ask.error = f"input `{name}`: {error}"
        except OSError as error:
            ask.error = f"input `{name}`: can not read {error.filename}: {error.strerror}"
    return ask


# ---- lines


def _from_line(pipeline: PipelinePlan, index: int, number: int, line: bytes, fixed: Mapping[str, Any]) -> Ask:
    ask = Ask(index, str(index))
    try:
        values = _object(line)
        ports = {port.name: port for port in pipeline.inputs}
        if "id" in values and "id" not in ports:
            ask.id = str(values.pop("id"))
        if "sequence" in values and "sequence" not in ports:
            ask.sequence = _sequence(values.pop("sequence"))
        ask.inputs = dict(fixed)
        for name, value in values.items():
            if name not in ports:
                guess = _guess(name, ports)
                raise DecodeError(f"no input `{name}`" + (f"; {guess}" if guess else ""))
            ask.inputs[name] = from_json(ports[name], value)
    except DecodeError as error:
        ask.error = f"line {number}: {error}"
    return ask


def _sequence(value: Any) -> SequenceInfo:
    """`{"id": 7, "start": true, "end": false}`"""
    known = {"id", "start", "end"}
    if not isinstance(value, dict) or "id" not in value or not known.issuperset(value):
        raise DecodeError(f'`sequence` is {{"id": .., "start": .., "end": ..}}, not {json.dumps(value)}')
    start, end = value.get("start", False), value.get("end", False)
    if not isinstance(start, bool) or not isinstance(end, bool):
        raise DecodeError("`start` and `end` of `sequence` are true or false")
    return SequenceInfo(value["id"], start, end)


def one_sequence(requests: Requests, sequence: SequenceInfo) -> Requests:
    """The same requests as one sequence: the first begins it and the last ends it, as far as `sequence` says so.

    What a line says itself holds."""
    return Requests(_one_sequence(requests.asks, sequence), requests.count)


def _one_sequence(asks: Iterator[Ask], sequence: SequenceInfo) -> Iterator[Ask]:
    ask, first = next(asks, None), True
    while ask is not None:
        following = next(asks, None)
        if ask.sequence is None:
            last = following is None
            ask.sequence = SequenceInfo(sequence.id, first and sequence.start, last and sequence.end)
        yield ask
        ask, first = following, False


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise DecodeError(f"not JSON: {error}") from None
    except RecursionError:
        raise DecodeError("nested too deeply") from None
    if not isinstance(value, dict):
        raise DecodeError("not a JSON object of inputs by name")
    return value


def _guess(name: str, ports: Iterable[str]) -> str:
    names = list(ports)
    guess = nearest(name, names)
    return f"did you mean `{guess}`?" if guess else f"inputs: {', '.join(names) or 'none'}"
