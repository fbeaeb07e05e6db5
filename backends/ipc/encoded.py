"""Values as messages between processes hold them: what they are, and where their data lies.

Tensor data never travels in a message beyond `INLINE` bytes: values name regions of shared memory.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .segments import Region

INLINE = 256
"""Values up to so many bytes travel in the message: cheaper than a region, and they pin no memory."""

Data = Region | bytes


class Dense(msgspec.Struct, array_like=True, tag="dense", frozen=True):
    """An array in C order. `scalar`: a numpy scalar."""

    data: Data
    dtype: str
    shape: tuple[int, ...]
    scalar: bool = False


class Objects(msgspec.Struct, array_like=True, tag="objects", frozen=True):
    """An object array as one list of its items; `shape` None: one Python value."""

    data: Data
    codec: Literal["msgpack", "json"]
    shape: tuple[int, ...] | None


class Blobs(msgspec.Struct, array_like=True, tag="blobs", frozen=True):
    """An object array of bytes, one after the other; `shape` None: one bytes value."""

    data: Data
    lengths: list[int]
    shape: tuple[int, ...] | None


class Packed(msgspec.Struct, array_like=True, tag="packed", frozen=True):
    """A `Ragged` in packed form."""

    values: Encoded
    offsets: Encoded


class Padded(msgspec.Struct, array_like=True, tag="padded", frozen=True):
    """A `Ragged` in padded form."""

    padded: Encoded
    lengths: Encoded
    fill: Any = None


class Flat(msgspec.Struct, array_like=True, tag="flat", frozen=True):
    """A `Ragged` of numeric rows in rows form: their items one after the other, and the shape of each."""

    values: Encoded
    shapes: list[tuple[int, ...]]


class Rows(msgspec.Struct, array_like=True, tag="rows", frozen=True):
    """A `Ragged` of any other rows."""

    rows: list[Encoded]


class Same(msgspec.Struct, array_like=True, tag="same", frozen=True):
    """An output that is an input, handed through."""

    input: int


Encoded = Dense | Objects | Blobs | Packed | Padded | Flat | Rows | Same
