"""Output values as JSON data and as short texts for a table."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import numpy as np

from backends.values import Ragged

CELL_ITEMS = 8
"""Items of an array that are shown in a table cell."""
CELL_WIDTH = 60


def to_json(value: Any) -> Any:
    """Lists, numbers, strings; bytes as {"b64": ".."}, rows of a `Ragged` as lists.

    f32 and f16 get their shortest decimal form: 0.3, not 0.30000001192092896; both read back as the same
    f32."""
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, Ragged):
        return [_array(np.asarray(row)) for row in value]
    if isinstance(value, np.generic):
        return _array(np.asarray(value))
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    return value


def to_line(record: Any) -> str:
    """One line of JSON, non-ASCII letters as they are; NaN and infinities are null."""
    try:
        return msgspec.json.encode(record, enc_hook=_plain).decode()
    except UnicodeEncodeError:  # half of a surrogate pair, of a file's name perhaps, which JSON can only escape
        return json.dumps(record, separators=(",", ":"), default=_plain)


def to_cell(value: Any) -> str:
    """A short text: numbers to five digits, small arrays whole, others as their shape and first items."""
    if value is None:
        return "-"
    if isinstance(value, Ragged):
        return f"ragged {value.dtype}, {len(value)} rows"
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.ndarray):
        return _array_cell(value)
    if isinstance(value, float | np.floating):
        return f"{value:.5g}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return _short(printable(value if isinstance(value, str) else to_line(to_json(value))))


def printable(text: str) -> str:
    """Text on one line that can not steer a terminal: what does not print stands escaped, `\\x1b`."""
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode()


def _array_cell(array: np.ndarray[Any, Any]) -> str:
    if array.size <= CELL_ITEMS and array.ndim == 1:
        return _short("[" + ", ".join(to_cell(item) for item in array) + "]")
    first = [to_cell(item) for item in array.ravel()[: CELL_ITEMS // 2]]
    more = [".."] if array.size > len(first) else []
    shape = ", ".join(map(str, array.shape))
    return _short(f"{array.dtype}[{shape}] {', '.join([*first, *more])}".rstrip())


def _short(text: str) -> str:
    return text if len(text) <= CELL_WIDTH else text[: CELL_WIDTH - 2] + ".."


def _plain(value: Any) -> Any:
    """numpy's numbers and text that are Python's as well, and so pass as JSON data."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON data")


def _array(array: np.ndarray[Any, Any]) -> Any:
    if array.dtype == object:
        return _nested(array.tolist())
    if array.dtype.kind in "fV" and array.dtype != np.float64:  # V: ml_dtypes' bfloat16
        array = array.astype(np.float32).astype(str).astype(np.float64)
    return array.tolist()


def _nested(value: Any) -> Any:
    return [_nested(item) for item in value] if isinstance(value, list) else to_json(value)
