"""Values given as text, from `--set` or the environment, read as the type of their param."""

from __future__ import annotations

import json
import re
from typing import Any

from pipeline_dsl.literals import fits, value_of
from pipeline_dsl.operations import Problem, Typed, fit, scalar
from pipeline_dsl.types import TensorType

_UNITS = {
    "duration": (re.compile(r"\d+(\.\d+)?(us|ms|s|min|h)"), "DURATION", "a duration such as 5ms"),
    "size": (re.compile(r"\d+(\.\d+)?(KiB|MiB|GiB|TiB|KB|MB|GB|TB|B)"), "BYTES", "a size such as 256MiB"),
    "percent": (re.compile(r"\d+(\.\d+)?%"), "PERCENT", "a percentage such as 10%"),
}


def read_text(text: str, kind: TensorType) -> Any:
    """The value of a text in a type, or a `Problem`. Strings are taken as they are; dims need a JSON list."""
    if kind.dims or kind.dtype.name == "json":
        return _from_json(text, kind)
    name = kind.dtype.name
    if name in ("string", "bytes"):
        return text if name == "string" else text.encode()
    if name in _UNITS:
        return _with_unit(text.strip(), name)
    if name == "bool":
        return _bool(text.strip().lower())
    return _number(text.strip(), kind)


def _from_json(text: str, kind: TensorType) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return Problem(f"is not JSON, and {kind} is given as JSON")
    result = fit(Typed(scalar("json"), value), kind)
    return result.value if isinstance(result, Typed) else result


def _with_unit(text: str, name: str) -> Any:
    pattern, token, example = _UNITS[name]
    if not pattern.fullmatch(text) or not fits(token, text):
        return Problem(f"is not {example}")
    return value_of(token, text)


def _bool(text: str) -> bool | Problem:
    if text in ("true", "1"):
        return True
    return False if text in ("false", "0") else Problem("is not true or false")


def _number(text: str, kind: TensorType) -> Any:
    whole = kind.dtype.kind in ("int", "uint")
    try:
        value: int | float = int(text) if whole else float(text)
    except ValueError:
        return Problem(f"is not a {'whole ' if whole else ''}number")
    result = fit(Typed(scalar("i64" if whole else "f64"), value, weak=True), kind)
    return result.value if isinstance(result, Typed) else Problem(f"does not fit {kind.dtype}")
