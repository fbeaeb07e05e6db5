"""Reading one setting, and writing it back for people."""

from __future__ import annotations

from typing import Any

from pipeline_dsl.ir import Settings
from pipeline_dsl.literals import duration
from pipeline_dsl.settings import DEFAULTS, KeySpec, Place, tree
from pipeline_dsl.units import bytes_text


def read(settings: Settings, key: str) -> Any:
    """The value set for a key, else its default. KeyError if it has neither."""
    found = settings.get(key)
    return DEFAULTS[key] if found is None else found.value


def value_text(place: Place, key: str, value: Any) -> str:
    """A setting's value in the language's spelling: `2ms`, `256 MiB`, `[4, 8]`."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_text(place, key, item) for item in value) + "]"
    kind = _kind(place, key) if isinstance(value, int | float) else ""
    if kind == "duration":
        return duration(value)
    if kind == "size" or (kind == "share" and isinstance(value, int)):
        return bytes_text(value)
    return f"{value:.0%}" if kind in ("percent", "share") else str(value)


def _kind(place: Place, key: str) -> str:
    spec = tree(place).find(tuple(key.split(".")))
    return spec.kind if isinstance(spec, KeySpec) else ""
