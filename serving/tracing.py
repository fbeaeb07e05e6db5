"""Traces of single requests, as the trace extension has them: one JSON object a line for each sampled request.

settings + Response --Tracer.record--> lines in `trace_file`, below the folder that the server allows
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from executor.request import Response

from .errors import InvalidArgument

LEVELS = ("OFF", "TIMESTAMPS")
KEYS = ("trace_file", "trace_level", "trace_rate", "trace_count", "log_frequency")


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """What is traced."""

    file: str = ""
    """Name below the trace folder."""
    level: str = "OFF"
    rate: int = 1000
    """One request of this many."""
    count: int = -1
    """How many more; -1: no end."""
    frequency: int = 0
    """Lines after which a further file is begun, `FILE.0`, `FILE.1`; 0: never."""

    def listed(self) -> dict[str, list[str]]:
        """As clients read them."""
        values = (self.file, self.level, self.rate, self.count, self.frequency)
        return {key: [str(value)] for key, value in zip(KEYS, values)}

    def updated(self, given: Mapping[str, Sequence[str]], base: TraceSettings) -> TraceSettings:
        """With some settings changed; an empty list takes that of `base`. InvalidArgument names the setting."""
        changed = self
        for key, values in given.items():
            changed = changed._with(key, list(values), base)
        return changed

    def _with(self, key: str, values: list[str], base: TraceSettings) -> TraceSettings:
        if key not in KEYS:
            raise InvalidArgument(f"there is no trace setting `{key[:80]}`; settings: {', '.join(KEYS)}")
        name = {"trace_file": "file", "log_frequency": "frequency"}.get(key, key.removeprefix("trace_"))
        if not values:
            changes: dict[str, Any] = {name: getattr(base, name)}
            return replace(self, **changes)
        if key == "trace_level":
            return replace(self, level=_level(values))
        if len(values) != 1:
            raise InvalidArgument(f"trace setting `{key}` takes one value, found {len(values)}")
        if key == "trace_file":
            return replace(self, file=values[0])
        least = {"trace_rate": 1, "trace_count": -1, "log_frequency": 0}[key]
        number: dict[str, Any] = {name: _whole(key, values[0], least)}
        return replace(self, **number)


def _level(values: Sequence[str]) -> str:
    unknown = [v for v in values if v not in LEVELS]
    if unknown:
        raise InvalidArgument(f"trace setting `trace_level`: {unknown[0][:80]!r} is none of {', '.join(LEVELS)}")
    return "TIMESTAMPS" if "TIMESTAMPS" in values else "OFF"


def _whole(key: str, text: str, least: int) -> int:
    try:
        found = int(text)
    except ValueError:
        found = least - 1
    if not least <= found <= 2**31 - 1 or len(text) > 12:
        raise InvalidArgument(f"trace setting `{key}` takes a whole number from {least}, found {text[:80]!r}")
    return found


def contained(folder: Path | None, name: str) -> Path:
    """The file to write. InvalidArgument if there is no trace folder, or the name leads out of it."""
    if folder is None:
        raise InvalidArgument("trace setting `trace_file`: traces are off; start the server with --trace-folder")
    if not name or "/" in name or name.startswith(".") or not name.isprintable() or len(name) > 200:
        raise InvalidArgument("trace setting `trace_file` takes the name of a file in the server's trace folder")
    return folder / name


@dataclass(slots=True)
class Tracer:
    """Samples and writes. Belongs to the event loop."""

    folder: Path | None
    settings: TraceSettings
    seen: int = 0
    left: int = -1
    lines: int = 0
    _ids: Any = field(default_factory=lambda: count(1))

    @property
    def active(self) -> bool:
        return self.settings.level != "OFF" and self.left != 0

    def record(self, name: str, version: int, response: Response) -> None:
        """One request that was answered: written if it is its turn."""
        if not self.active:
            return
        self.seen += 1
        if self.seen % self.settings.rate:
            return
        if self.left > 0:
            self.left -= 1
        frequency = self.settings.frequency
        suffix = f".{self.lines // frequency}" if frequency else ""
        path = contained(self.folder, self.settings.file)
        self.lines += 1
        with open(path.with_name(path.name + suffix), "ab") as file:
            file.write(msgspec.json.encode(self._entry(name, version, response)) + b"\n")

    def _entry(self, name: str, version: int, response: Response) -> dict[str, Any]:
        number = next(self._ids)
        steps = [
            {
                "model_name": e.node,
                "timestamps": [
                    {"name": "QUEUE_START", "ns": e.enqueued_ns},
                    {"name": "COMPUTE_START", "ns": e.start_ns},
                    {"name": "COMPUTE_END", "ns": e.end_ns},
                ],
            }
            for e in response.executions
        ]
        ends = (("REQUEST_START", response.arrived_ns), ("REQUEST_END", response.finished_ns))
        return {
            "id": number,
            "model_name": name,
            "model_version": version,
            "request_id": response.id,
            "timestamps": [{"name": event, "ns": ns} for event, ns in ends],
            "steps": steps,
        }
