"""One tensor of a request as a flat array: raw bytes without a copy, or items one by one.

Every length that a client claims is compared with what is there first. Raises `Mismatch` without a place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from backends.convert import array
from backends.inputs import check_json
from backends.shapes import Mismatch
from backends.values import Array
from pipeline_dsl.dtypes import DType

from .items import Packing, unpack

MAX_DEPTH = 64
"""Levels of nested lists in a tensor that comes as items."""


def numbers(data: bytes | memoryview, dtype: np.dtype[Any], items: int) -> Array:
    """Flat, read-only, in the memory it came in unless that is not aligned."""
    size, wanted = len(data), items * dtype.itemsize
    if size != wanted:
        raise Mismatch(f"its shape needs {wanted} bytes ({items} items of {dtype.itemsize}), there are {size}")
    if not items:
        return np.empty(0, dtype)
    if dtype.kind == "b":
        return _booleans(data)
    found = np.frombuffer(data, dtype)
    if type(data) is not bytes and not found.flags.aligned:
        found = found.copy()
    return found


def _booleans(data: bytes | memoryview) -> Array:
    raw = np.frombuffer(data, np.uint8)
    if int(raw.max()) > 1:
        place = int(np.argmax(raw > 1))
        raise Mismatch(f"item {place} is the byte {int(raw[place])}; BOOL is 0 or 1")
    return raw.view(np.bool_)


def texts(data: bytes | memoryview, dtype: DType, items: int) -> list[Any]:
    """Items of a text kind from packed bytes."""
    try:
        found = unpack(data, items)
    except Packing as error:
        raise Mismatch(str(error)) from None
    return decoded(found, dtype)


def decoded(found: Sequence[bytes], dtype: DType) -> list[Any]:
    """Items as the language has them: `str`, `bytes` or JSON data."""
    if dtype.name == "bytes":
        return list(found)
    decode = _DECODE[dtype.name]
    values = []
    for index, item in enumerate(found):
        try:
            values.append(decode(item))
        except (ValueError, RecursionError, Mismatch) as error:
            raise Mismatch(f"item {index} is no valid {dtype.name}: {error or 'nested too deep'}") from None
    return values


def _json(item: bytes) -> Any:
    value = msgspec.json.decode(item)
    check_json(value)
    return value


_DECODE: dict[str, Callable[[bytes], Any]] = {"string": lambda item: item.decode(), "json": _json}


def listed(data: Sequence[Any], dtype: DType, items: int) -> Array | list[Any]:
    """A flat array, or for text kinds a list, from items that came one by one: flat, or nested as the shape is."""
    flat = _flat(data, items)
    if len(flat) != items:
        raise Mismatch(f"its shape needs {items} items, there are {len(flat)}")
    if dtype.numeric:
        return array(flat, dtype, 1)
    raw = []
    for index, item in enumerate(flat):
        if isinstance(item, str):
            try:
                item = item.encode()
            except UnicodeEncodeError as error:
                raise Mismatch(f"item {index} is no valid Unicode at position {error.start}") from None
        if not isinstance(item, bytes):
            raise Mismatch(f"item {index} of a BYTES tensor is {type(item).__name__}, no string")
        raw.append(item)
    return decoded(raw, dtype)


def _flat(data: Sequence[Any], items: int) -> list[Any]:
    """All levels of nested lists as one; stops early where there are more items than wanted."""
    flat = list(data)
    for _ in range(MAX_DEPTH):
        if not any(isinstance(item, list) for item in flat):
            return flat
        if not all(isinstance(item, list) for item in flat):
            raise Mismatch("lists and items stand side by side in its data")
        if len({len(item) for item in flat}) > 1:
            raise Mismatch("the lists in its data are not of equal length")
        flat = list(islice((inner for item in flat for inner in item), items + 1))
        if len(flat) > items:
            return flat
    raise Mismatch(f"its data is nested deeper than {MAX_DEPTH} levels")
