"""The spelling of literals: text to values and back.

`value_of` never fails on what the lexer let through; `bad_escapes` and `fits` say what has to be reported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .types import TensorType

DURATIONS = {"us": 1_000, "ms": 1_000_000, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
"""Nanoseconds of each unit."""
SIZES = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
"""Bytes of each unit."""
LARGEST = 2**64 - 1
"""The largest whole number that some dtype holds."""

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"'}
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|(.))", re.DOTALL)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_MANY_DIGITS = 400


def value_of(kind: str, text: str) -> int | float | str:
    """The value of a literal token, in the units of `syntax.Literal`."""
    if kind == "STRING":
        return _unescape(text[1:-1])
    if kind == "TEXT":
        return _unescape(_dedent(text[3:-3].replace("\r\n", "\n")))
    if not fits(kind, text):
        return 0
    if kind == "INT":
        return int(text)
    if kind == "FLOAT":
        return float(text)
    if kind == "PERCENT":
        return float(Fraction(text[:-1]) / 100)
    return _in_units(text, DURATIONS if kind == "DURATION" else SIZES)


def fits(kind: str, text: str) -> bool:
    """Whether a number is one that a value can hold: 64 bits, or finite."""
    if len(text) > _MANY_DIGITS:
        return False
    if kind == "INT":
        return int(text) <= LARGEST
    if kind == "FLOAT":
        return float(text) != float("inf")
    if kind in ("DURATION", "BYTES"):
        return _in_units(text, DURATIONS if kind == "DURATION" else SIZES) <= LARGEST
    return True


def bad_escapes(text: str) -> Iterator[tuple[int, str]]:
    """Offset and spelling of each escape that means nothing in a string or text block."""
    if "\\" in text:
        for match in _ESCAPE.finditer(text):
            if _replacement(match) is None:
                yield match.start(), match.group()


def is_name(text: str) -> bool:
    """Whether a text can stand as a name, without quotes."""
    return text.isascii() and text.isidentifier()


def duration(ns: int) -> str:
    """A duration in the largest unit that keeps it whole; parts of a microsecond as decimals."""
    for unit, size in reversed(DURATIONS.items()):
        if ns and ns % size == 0:
            return f"{ns // size}{unit}"
    return f"{ns // 1000}.{ns % 1000:03d}".rstrip("0") + "us" if ns else "0s"


def size(count: int) -> str:
    """Bytes in the largest unit of 1024 that keeps them whole."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count and count % SIZES[unit] == 0:
            return f"{count // SIZES[unit]}{unit}"
    return f"{count}B"


def percent(fraction: float) -> str:
    """A fraction as a percentage that reads back as the same fraction."""
    exact = Decimal(fraction) * 100
    spellings = (f"{exact:.{digits}f}" for digits in range(30))
    return next((t for t in spellings if float(Fraction(t) / 100) == fraction), f"{exact:f}") + "%"


def spelled(value: Any, kind: TensorType) -> str:
    """A value of a type as the language writes it: `75%`, `5ms`, `"a"`, `[1, 2]`."""
    name = kind.dtype.name
    if value is None:
        return "null"
    if kind.dims:
        return "[" + ", ".join(spelled(v, kind.with_dims(kind.dims[1:])) for v in value) + "]"
    if name in _SPELLINGS:
        return _SPELLINGS[name](value)
    if kind.dtype.kind == "float" and kind.dtype.itemsize < 8:
        return f"{value:.7g}"
    return json.dumps(value, ensure_ascii=False) if name != "bytes" else repr(value)


def quoted(value: str) -> str:
    """A string as the language writes it on one line."""
    return '"' + "".join(_escaped(c) for c in value) + '"'


_SPELLINGS: dict[str, Callable[[Any], str]] = {
    "percent": lambda fraction: f"{fraction * 100:.6g}%",
    "duration": duration,
    "size": size,
    "string": quoted,
}


def text_block(value: str) -> str | None:
    '''A text of several lines between `"""`, or None where only the one-line form keeps it.'''
    plain = value.replace("\n", "").replace("\t", "")
    if not value.endswith("\n") or value.count("\n") < 2 or not plain.isprintable():
        return None
    if any(line.isspace() for line in value.split("\n")):
        return None
    body = value.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""\n{body}"""'


def _escaped(c: str) -> str:
    if c in '"\\':
        return "\\" + c
    if c.isprintable():
        return c
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(c) or f"\\u{{{ord(c):x}}}"


def _unescape(body: str) -> str:
    if "\\" not in body:
        return body
    return _ESCAPE.sub(lambda m: found if (found := _replacement(m)) is not None else m.group(), body)


def _replacement(match: re.Match[str]) -> str | None:
    digits, letter = match.groups()
    if digits is None:
        return _ESCAPES.get(letter)
    code = int(digits, 16)
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else None


def _in_units(text: str, units: dict[str, int]) -> int:
    match = _NUMBER.match(text)
    assert match is not None, text
    return round(Fraction(match.group()) * units[text[match.end() :]])


def _dedent(body: str) -> str:
    """Drops a first line break and the indentation that all other lines share, the closing one included."""
    first, *lines = body.split("\n")
    if not lines:
        return body
    counted = [line for line in lines[:-1] if line.strip()] + [lines[-1]]
    indents = [line[: len(line) - len(line.lstrip(" \t"))] for line in counted]
    shared = _common_prefix(indents)
    lines = [line[len(shared) :] if line.strip() else "" for line in lines]
    return "\n".join([first, *lines] if first.strip() else lines)


def _common_prefix(texts: list[str]) -> str:
    low, high = min(texts), max(texts)
    for i, c in enumerate(low):
        if i >= len(high) or high[i] != c:
            return low[:i]
    return low
