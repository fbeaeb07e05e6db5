"""Values to shared memory and back.

    value --ValueWriter--> Encoded + regions of an arena --ValueReader--> value

The writer copies each value once, straight into its region, whatever its strides. The reader gives read-only views of
the region; text, bytes and JSON become Python objects again. Arrays keep their dtype, right or wrong: whoever checks a
stage's outputs sees what the stage returned.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from backends.values import Array, Ragged, Value
from pipeline_dsl.dtypes import DTYPES

from .encoded import INLINE, Blobs, Data, Dense, Encoded, Flat, Objects, Packed, Padded, Rows, Same
from .segments import Arena, Attached, Region

_BFLOAT16 = "bfloat16"  # numpy's own spelling of it, <V2, would lose the type


class ValueWriter:
    """Writes the values of one message. `regions` are what it reserved, `written` the bytes it copied."""

    def __init__(self, arena: Arena, inputs: Sequence[Value] = (), inline: int = INLINE) -> None:
        """Values that are one of `inputs` are sent as a reference to it; up to `inline` bytes go into the message."""
        self._arena = arena
        self._inline = inline
        self._inputs = {id(value): i for i, value in enumerate(inputs) if isinstance(value, np.ndarray | Ragged)}
        self.regions: list[Region] = []
        self.written = 0

    def write(self, value: Value) -> Encoded:
        """TypeError if the value is nothing that can cross."""
        if id(value) in self._inputs:
            return Same(self._inputs[id(value)])
        if isinstance(value, np.ndarray):
            return self._objects(value) if value.dtype.hasobject else self._dense(value)
        if isinstance(value, Ragged):
            return self._ragged(value)
        if isinstance(value, np.generic):
            return self._dense(np.asarray(value), scalar=True)
        if isinstance(value, bytes):
            return self._blobs([value], None)
        return self._packed_objects([value], None)

    def release(self) -> None:
        """Take back every region of the message."""
        for region in self.regions:
            self._arena.release(region)
        self.regions.clear()

    def _reserve(self, size: int) -> tuple[Region, Array]:
        region, target = self._arena.reserve(size)
        self.regions.append(region)
        self.written += size
        return region, target

    def _dense(self, value: Array, scalar: bool = False) -> Dense:
        name = _BFLOAT16 if value.dtype.name == _BFLOAT16 else value.dtype.str
        if value.nbytes <= self._inline:
            return Dense(value.tobytes(), name, value.shape, scalar)
        region, target = self._reserve(value.nbytes)
        np.copyto(target.view(value.dtype).reshape(value.shape), value)
        return Dense(region, name, value.shape, scalar)

    def _objects(self, value: Array) -> Objects | Blobs:
        items = value.ravel().tolist()
        if items and all(type(item) is bytes for item in items):
            return self._blobs(items, value.shape)
        return self._packed_objects(items, value.shape)

    def _packed_objects(self, items: list[Any], shape: tuple[int, ...] | None) -> Objects:
        codec, data = pack_objects(items)
        return Objects(self._place([data], len(data)), codec, shape)

    def _blobs(self, items: list[bytes], shape: tuple[int, ...] | None) -> Blobs:
        lengths = [len(item) for item in items]
        return Blobs(self._place(items, sum(lengths)), lengths, shape)

    def _place(self, parts: list[bytes], size: int) -> Data:
        if size <= self._inline:
            return b"".join(parts)
        region, target = self._reserve(size)
        view = target.data
        at = 0
        for part in parts:
            view[at : at + len(part)] = part
            at += len(part)
        return region

    def _ragged(self, value: Ragged) -> Encoded:
        if value.is_packed:
            values, offsets = value.packed()
            return Packed(self.write(values), self.write(offsets))
        if value.padded_form is not None:
            return Padded(self.write(value.padded_form), self.write(value.lengths()), value.fill)
        rows = list(value)
        if rows and _uniform(rows):
            return self._flat(rows)
        return Rows([self.write(row) for row in rows])

    def _flat(self, rows: list[Array]) -> Flat:
        """Rows straight into one region, without joining them first."""
        dtype = rows[0].dtype
        count = sum(row.size for row in rows)
        name = _BFLOAT16 if dtype.name == _BFLOAT16 else dtype.str
        if count * dtype.itemsize <= self._inline:
            values = Dense(b"".join(row.tobytes() for row in rows), name, (count,))
        else:
            region, target = self._reserve(count * dtype.itemsize)
            items = target.view(dtype)
            at = 0
            for row in rows:
                np.copyto(items[at : at + row.size].reshape(row.shape), row)
                at += row.size
            values = Dense(region, name, (count,))
        return Flat(values, [row.shape for row in rows])


def _uniform(rows: list[Any]) -> bool:
    """Whether all rows are numeric arrays of one dtype."""
    first = rows[0]
    if not isinstance(first, np.ndarray) or first.dtype.hasobject:
        return False
    return all(isinstance(row, np.ndarray) and row.dtype == first.dtype and row.ndim for row in rows)


class ValueReader:
    """Reads the values of a message."""

    def __init__(self, attached: Attached, inputs: Sequence[Value] = ()) -> None:
        self._attached = attached
        self._inputs = inputs

    def read(self, value: Encoded) -> Value:
        """The value. ValueError or SegmentError if it is not consistent in itself."""
        match value:
            case Dense():
                return self._dense(value)
            case Objects(data, codec, shape):
                items = unpack_objects(codec, self._bytes(data))
                return _shaped(items, shape)
            case Blobs(data, lengths, shape):
                return _shaped(_cut(self._bytes(data), lengths), shape)
            case Packed(values, offsets):
                return Ragged(values=self.read(values), offsets=self.read(offsets))
            case Padded(padded, lengths, fill):
                return Ragged(padded=self.read(padded), lengths=self.read(lengths), fill=fill)
            case Flat(values, shapes):
                return self._flat(self.read(values), shapes)
            case Rows(rows):
                return Ragged([self.read(row) for row in rows])
            case Same(index):
                return self._inputs[index]

    def _dense(self, value: Dense) -> Any:
        dtype = _dtype(value.dtype)
        raw = self._raw(value.data)
        if min(value.shape, default=0) < 0 or math.prod(value.shape) * dtype.itemsize != raw.size:
            raise ValueError("an array's shape does not match its bytes")
        array = raw.view(dtype).reshape(value.shape) if raw.size else _empty(value.shape, dtype)
        return array[()] if value.scalar else array

    def _flat(self, values: Array, shapes: list[tuple[int, ...]]) -> Ragged:
        rows = []
        at = 0
        for shape in shapes:
            size = math.prod(shape)
            rows.append(values[at : at + size].reshape(shape))
            at += size
        return Ragged(rows)

    def _raw(self, data: Data) -> Array:
        if isinstance(data, Region):
            return self._attached.read(data)
        return np.frombuffer(data, np.uint8)

    def _bytes(self, data: Data) -> memoryview:
        return self._raw(data).data if isinstance(data, Region) else memoryview(data)


def _dtype(name: str) -> np.dtype[Any]:
    if name == _BFLOAT16:
        return DTYPES["bf16"].numpy
    dtype = np.dtype(name)
    if dtype.hasobject:
        raise ValueError("an array of objects was sent as bytes")
    return dtype


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    array: Array = np.empty(shape, dtype)
    array.flags.writeable = False
    return array


def _shaped(items: list[Any], shape: tuple[int, ...] | None) -> Value:
    if shape is None:
        return items[0]
    array: Array = np.fromiter(items, object, len(items)).reshape(shape)
    array.flags.writeable = False
    return array


def _cut(data: memoryview, lengths: list[int]) -> list[bytes]:
    if min(lengths, default=0) < 0 or sum(lengths) != len(data):
        raise ValueError("a bytes column's lengths do not match its bytes")
    items = []
    at = 0
    for length in lengths:
        items.append(bytes(data[at : at + length]))
        at += length
    return items


# ---- Python objects


def pack_objects(items: list[Any]) -> tuple[Literal["msgpack", "json"], bytes]:
    """The items as bytes. msgpack unless a whole number or text is beyond it; JSON text then.

    TypeError if an item is neither text, bytes, a JSON value nor a numpy number."""
    try:
        return "msgpack", msgspec.msgpack.encode(items, enc_hook=_plain)
    except (OverflowError, UnicodeEncodeError):
        return "json", json.dumps(items, default=_plain).encode()


def unpack_objects(codec: str, data: memoryview) -> list[Any]:
    """The items that `pack_objects` made bytes of. ValueError or msgspec.DecodeError if they are none."""
    items = msgspec.msgpack.decode(data) if codec == "msgpack" else json.loads(bytes(data))
    if not isinstance(items, list):
        raise ValueError("an object column is not a list")
    return items


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Exception):
        return None  # stands in a failed row, whose content nobody reads
    raise TypeError(f"a value of type {type(value).__name__} can not be sent to another process")
