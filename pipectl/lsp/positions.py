"""Offsets in a text <-> lines and columns of the protocol, in the units that client and server agreed on.

Lines end with `\\n`, `\\r\\n` or `\\r`. A column past the end of its line is its end, a line past the last is the end
of the text, and a column inside of a character is its start.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property, lru_cache

from lsprotocol import types

from pipeline_dsl.source import Span

_END = re.compile(r"\r\n|\n|\r")
_BYTES: dict[str, tuple[str, int]] = {
    types.PositionEncodingKind.Utf8: ("utf-8", 1),
    types.PositionEncodingKind.Utf16: ("utf-16-le", 2),
}
"""Codec of an encoding and the bytes of a unit; in UTF-32 a unit is a character."""


class Lines:
    """One text; counts columns in one encoding."""

    def __init__(self, text: str, encoding: str = types.PositionEncodingKind.Utf16) -> None:
        self.text = text
        self._codec = _BYTES.get(encoding)
        self._plain = text.isascii() or self._codec is None

    @cached_property
    def _lines(self) -> tuple[list[int], list[int]]:
        """Where each line starts, and where it ends without its line break."""
        breaks = list(_END.finditer(self.text))
        return [0, *(b.end() for b in breaks)], [*(b.start() for b in breaks), len(self.text)]

    def offset(self, position: types.Position) -> int:
        """The offset of a position, moved into the text if it is not."""
        starts, ends = self._lines
        if position.line >= len(starts):
            return len(self.text)
        start, end = starts[max(position.line, 0)], ends[max(position.line, 0)]
        return start + self._characters(self.text[start:end], max(position.character, 0))

    def position(self, offset: int) -> types.Position:
        """The position of an offset."""
        starts, _ = self._lines
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(starts, offset) - 1
        return types.Position(line, self._units(self.text[starts[line] : offset]))

    def range(self, start: int, end: int) -> types.Range:
        return types.Range(self.position(start), self.position(end))

    def whole(self) -> types.Range:
        """All of the text."""
        return self.range(0, len(self.text))

    def _units(self, text: str) -> int:
        if self._plain or self._codec is None:
            return len(text)
        codec, width = self._codec
        return len(text.encode(codec, "surrogatepass")) // width

    def _characters(self, line: str, units: int) -> int:
        """Characters of a line that fit into a number of units."""
        if self._plain or line.isascii() or self._codec is None:
            return min(units, len(line))
        for count, character in enumerate(line):
            units -= self._units(character)
            if units < 0:
                return count
        return len(line)


@lru_cache(maxsize=32)
def lines_of(text: str, encoding: str) -> Lines:
    """The lines of a text, kept for the next place in it."""
    return Lines(text, encoding)


def span_range(span: Span, encoding: str) -> types.Range:
    """The range of a span in its own source."""
    return lines_of(span.source.text, encoding).range(span.start, span.end)
