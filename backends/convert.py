"""Python data to values of a declared dtype: lists, scalars and text, from callers and from python stages.

Takes data and a `DType`, gives an ndarray of exactly that dtype (or a Python value for rank 0). Numbers are
converted only where nothing is lost: ints to floats, never floats to ints, never out of range; arrays of
another dtype are not converted at all. Raises `Mismatch`, without a place."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import numpy as np

from pipeline_dsl.dtypes import DType

from .device.array import DeviceArray
from .shapes import Mismatch
from .values import Array, Ragged

TEXT_TYPES: dict[str, type] = {"string": str, "bytes": bytes}
_FLOAT_MAX = {"f16": 65504.0, "bf16": 3.3895313892515355e38, "f32": 3.4028234663852886e38, "f64": math.inf}
_BY_KIND = {"b": "bool", "i": "int", "u": "int", "f": "float", "U": "str", "S": "bytes", "O": "object"}


def describe(value: Any) -> str:
    """A value in a few words: `float32 [2, 3]`, `list of 4`, `str`."""
    if isinstance(value, np.ndarray | DeviceArray):
        return f"{value.dtype} {list(value.shape)}"
    if isinstance(value, Ragged):
        return f"{len(value)} ragged rows of {value.dtype}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    return "None" if value is None else type(value).__name__


def scalar(value: Any, dtype: DType) -> Any:
    """A rank-0 value as Python value: bool, int, float, str, bytes or JSON data."""
    if isinstance(value, np.ndarray):
        if value.ndim:
            raise Mismatch(f"one single {dtype.name} is expected, found {describe(value)}")
        if value.dtype != dtype.numpy:
            raise Mismatch(f"{dtype.name} is expected, found {value.dtype}")
        value = value.item()
    if dtype.kind == "bool":
        return bool(_instance(value, (bool, np.bool_), dtype))
    if dtype.kind in ("int", "uint"):
        return _whole(value, dtype)
    if dtype.kind == "float":
        return _real(value, dtype)
    return text(value, dtype)


def text(value: Any, dtype: DType) -> Any:
    """One item of a text kind. A `string` must be encodable as UTF-8; `json` is taken as it is."""
    if dtype.name == "json":
        return value
    if dtype.name == "bytes":
        return bytes(_instance(value, (bytes,), dtype))
    if type(value) is not str:
        value = str(_instance(value, (str,), dtype))
    if not value.isascii():
        _encodable(value)
    return value


def array(data: Any, dtype: DType, rank: int | None) -> Array:
    """Lists (nested `rank` deep; None: any depth) or an array, as C-contiguous array of `dtype`."""
    if isinstance(data, np.ndarray) and data.dtype != object:
        out = _same_dtype(data, dtype)
    elif dtype.numeric:
        out = _numbers(data, dtype)
    else:
        out = _texts(data, dtype, rank)
    if rank is not None and out.ndim != rank:
        raise Mismatch(f"{rank} dims are expected, found {out.ndim} ({describe(out)})")
    return out if out.flags.c_contiguous else np.ascontiguousarray(out)


def ragged(data: Any, dtype: DType, rank: int | None) -> Ragged:
    """A list of rows (`rank` dims each), an array of equal rows, or a `Ragged`. Short lists are packed at
    once."""
    if isinstance(data, Ragged):
        return data
    if isinstance(data, np.ndarray) and data.dtype != object:
        return _equal_rows(array(data, dtype, None if rank is None else rank + 1))
    if not isinstance(data, list | tuple | np.ndarray):
        raise Mismatch(f"a list of rows is expected, found {describe(data)}")
    if rank == 1 and all(type(row) is list for row in data):
        return _packed(data, dtype)
    rows = []
    for i, row in enumerate(data):
        try:
            rows.append(array(row, dtype, rank))
        except Mismatch as error:
            raise Mismatch(f"row {i}: {error}") from None
    return Ragged(rows) if rows else _packed([], dtype)


def _packed(rows: Any, dtype: DType) -> Ragged:
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return Ragged(values=array(list(chain.from_iterable(rows)), dtype, 1), offsets=offsets)


def _equal_rows(rows: Array) -> Ragged:
    if rows.ndim < 2:
        raise Mismatch(f"a list of rows is expected, found {describe(rows)}")
    count, length = rows.shape[:2]
    offsets = np.arange(count + 1, dtype=np.int64) * length
    return Ragged(values=rows.reshape(count * length, *rows.shape[2:]), offsets=offsets)


def _same_dtype(data: Array, dtype: DType) -> Array:
    if data.dtype == dtype.numpy:
        return data
    if (dtype.name, data.dtype.kind) in (("string", "U"), ("bytes", "S")):
        return data.astype(object)
    if not dtype.numeric:
        raise Mismatch(f"{dtype.name} is expected (an object array or a list), found {describe(data)}")
    raise Mismatch(
        f"an array of {dtype.name} is expected, found {describe(data)}; convert it with .astype({str(dtype.numpy)!r})"
    )


def _numbers(data: Any, dtype: DType) -> Array:
    _refuse_other_arrays(data, dtype)
    try:
        guess = np.array(data)
    except (ValueError, OverflowError, TypeError) as error:
        raise Mismatch(f"the lists are not of equal length: {describe(data)}") from error
    target = dtype.numpy
    if guess.dtype == target:
        return guess
    if not guess.size:
        return guess.astype(target)
    if guess.dtype == object or guess.dtype.kind not in _allowed(dtype):
        items = np.array(data, object) if guess.dtype.kind in "US" else guess  # numbers beside text became text
        raise Mismatch(f"{dtype.name} is expected, found {_odd_one(items, dtype)}")
    _check_range(guess, dtype)
    return guess.astype(target)


def _refuse_other_arrays(data: Any, dtype: DType) -> None:
    first = data[0] if isinstance(data, list | tuple) and data else None
    if isinstance(first, np.ndarray) and first.ndim and first.dtype != object:
        for item in data:
            if isinstance(item, np.ndarray):
                _same_dtype(item, dtype)


def _allowed(dtype: DType) -> str:
    return {"bool": "b", "int": "iu", "uint": "iu"}.get(dtype.kind, "iuf")


def _check_range(values: Array, dtype: DType) -> None:
    if dtype.kind in ("int", "uint"):
        limits = np.iinfo(dtype.numpy_name)
        low, high = int(values.min()), int(values.max())
        for found in (low, high):
            if not limits.min <= found <= limits.max:
                raise Mismatch(f"{found} does not fit {dtype.name} ({limits.min} to {limits.max})")
    elif dtype.kind == "float":
        big = np.abs(values[np.isfinite(values)].astype(np.float64))
        if big.size and float(big.max()) > _FLOAT_MAX[dtype.name]:
            raise Mismatch(f"{float(big.max()):g} does not fit {dtype.name} (at most {_FLOAT_MAX[dtype.name]:g})")


def _odd_one(guess: Array, dtype: DType) -> str:
    """The item at fault, for arrays whose items are no numbers of the wanted kind."""
    for item in guess.ravel().tolist():
        try:
            scalar(item, dtype)
        except Mismatch as error:
            return str(error).partition("found ")[2] or str(error)
    return f"{_BY_KIND.get(guess.dtype.kind, guess.dtype)} values"


def _texts(data: Any, dtype: DType, rank: int | None) -> Array:
    if not isinstance(data, list | tuple | np.ndarray):
        raise Mismatch(f"a list of {dtype.name} is expected, found {describe(data)}")
    shape, flat = _flattened(data, rank if rank is not None else 1)
    if dtype.name != "json":
        wanted = TEXT_TYPES[dtype.name]
        if dtype.name == "string" or not {*map(type, flat)} <= {wanted}:
            flat = [_item(item, i, dtype) for i, item in enumerate(flat)]
    return np.fromiter(flat, object, len(flat)).reshape(shape)


def _item(item: Any, index: int, dtype: DType) -> Any:
    try:
        return text(item, dtype)
    except Mismatch as error:
        raise Mismatch(f"item {index}: {error}") from None


def _flattened(data: Any, rank: int) -> tuple[tuple[int, ...], list[Any]]:
    if isinstance(data, np.ndarray) and data.ndim == rank:
        return data.shape, data.ravel().tolist()
    flat, shape = list(data), [len(data)]
    for _ in range(rank - 1):
        if not all(isinstance(row, list | tuple | np.ndarray) for row in flat):
            raise Mismatch(f"{rank} dims are expected, found {len(shape)}")
        lengths = {len(row) for row in flat}
        if len(lengths) > 1:
            raise Mismatch(f"the lists are not of equal length: {sorted(lengths)}")
        shape.append(lengths.pop() if lengths else 0)
        flat = list(chain.from_iterable(flat))
    return tuple(shape), flat


def _instance(value: Any, types: tuple[type, ...], dtype: DType) -> Any:
    if isinstance(value, types):
        return value
    if dtype.name == "string" and isinstance(value, bytes):
        raise Mismatch("string is expected, found bytes; decode them first")
    if dtype.name == "bytes" and isinstance(value, str):
        raise Mismatch("bytes are expected, found str; encode it first")
    raise Mismatch(f"{dtype.name} is expected, found {_value(value)}")


def _whole(value: Any, dtype: DType) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise Mismatch(f"{dtype.name} is expected, found {_value(value)}")
    limits = np.iinfo(dtype.numpy_name)
    if not limits.min <= value <= limits.max:
        raise Mismatch(f"{value} does not fit {dtype.name} ({limits.min} to {limits.max})")
    return int(value)


def _real(value: Any, dtype: DType) -> float:
    if isinstance(value, bool) or not (
        isinstance(value, int | float | np.integer | np.floating)
        or type(value).__name__ == "bfloat16"  # of ml_dtypes, which need not be installed
    ):
        raise Mismatch(f"{dtype.name} is expected, found {_value(value)}")
    try:
        found = float(value)
    except OverflowError:
        raise Mismatch(f"the number is too large for {dtype.name}") from None
    if math.isfinite(found) and abs(found) > _FLOAT_MAX[dtype.name]:
        raise Mismatch(f"{found:g} does not fit {dtype.name} (at most {_FLOAT_MAX[dtype.name]:g})")
    return found


def _value(value: Any) -> str:
    if isinstance(value, bool | int | float | str | bytes):
        shown = repr(value)
        return f"{type(value).__name__} {shown if len(shown) <= 40 else shown[:37] + '...'}"
    return describe(value)


def _encodable(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Mismatch(f"the string is not valid Unicode at position {error.start}") from None
