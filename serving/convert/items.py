"""BYTES tensors as the protocol packs them: each item behind its length, four bytes, little-endian."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

_LENGTH = Struct("<I")


class Packing(ValueError):
    """Bytes that are no packed items; the message says at which item."""


def unpack(data: bytes | memoryview, count: int) -> list[bytes]:
    """Exactly `count` items. Packing if lengths lie or bytes are left over."""
    found: list[bytes] = []
    size, place = len(data), 0
    if count * 4 > size:
        raise Packing(f"{count} items take at least {count * 4} bytes, there are {size}")
    read = _LENGTH.unpack_from
    for index in range(count):
        if place + 4 > size:
            raise Packing(f"item {index} of {count}: its length is cut off, {size} bytes in all")
        end = place + 4 + read(data, place)[0]
        if end > size:
            raise Packing(f"item {index} of {count} claims {end - place - 4} bytes, {size - place - 4} are left")
        found.append(bytes(data[place + 4 : end]))
        place = end
    if place != size:
        raise Packing(f"{size - place} bytes are left over behind {count} items")
    return found


def pack(items: Sequence[bytes]) -> bytes:
    """Items, each behind its length."""
    parts: list[bytes] = []
    for item in items:
        parts += (_LENGTH.pack(len(item)), item)
    return b"".join(parts)
