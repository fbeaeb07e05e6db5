"""The top level of a protobuf message, without parsing what is inside its fields."""

from __future__ import annotations

from typing import NamedTuple


class Split(NamedTuple):
    """A message apart from one of its fields."""

    head: bytes
    """The message without that field."""
    fields: list[memoryview]
    """Contents of that field, in order; views of the message."""


def split(data: bytes, number: int) -> Split | None:
    """Takes a length-delimited field out of a message. None where it is no plain message: let a parser say why."""
    view = memoryview(data)
    size, place = len(data), 0
    head: list[memoryview] = []
    fields: list[memoryview] = []
    kept = 0
    """Where the part that stays in the head began."""
    while place < size:
        start = place
        tag, place = _varint(data, place)
        if tag & 7 != 2 or place < 0:
            return None
        length, place = _varint(data, place)
        if place < 0 or place + length > size:
            return None
        if tag >> 3 == number:
            head.append(view[kept:start])
            fields.append(view[place : place + length])
            kept = place + length
        place += length
    head.append(view[kept:])
    return Split(b"".join(head), fields)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number and the place behind it; the place is -1 where there is none."""
    number, shift, size = 0, 0, len(data)
    while place < size and shift < 64:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
    return 0, -1
