"""A line of source in terminal cells: what is shown of it and where each character lands."""

from __future__ import annotations

from itertools import accumulate
from unicodedata import category, combining, east_asian_width

TAB = 4
"""Cells up to the next tab stop."""
LONGEST = 160
"""Characters of a line that are shown; of a longer one the part around the focus."""

_BEFORE = 60
_CUT = "..."


def clean(text: str) -> str:
    """Text without characters that would steer a terminal."""
    return text if text.isprintable() else "".join(_visible(c) for c in text)


class Line:
    """One line, cut around the character at `focus` if it is long.

    `shown` is the text to print; `cell(i)` is the 0-based cell where character i of the line starts.
    """

    __slots__ = ("_cells", "_first", "shown")

    def __init__(self, text: str, focus: int = 0) -> None:
        self._first, last = _window(len(text), focus)
        part = text[self._first : last]
        lead = _CUT if self._first else ""
        pieces: list[str] = []
        column = len(lead)
        for c in part:
            piece = " " * (TAB - column % TAB) if c == "\t" else _visible(c)
            pieces.append(piece)
            column += _width(piece)
        self.shown = lead + "".join(pieces) + (_CUT if last < len(text) else "")
        self._cells = list(accumulate(map(_width, pieces), initial=len(lead)))

    def cell(self, index: int) -> int:
        return self._cells[min(max(index - self._first, 0), len(self._cells) - 1)]


def _window(length: int, focus: int) -> tuple[int, int]:
    if length <= LONGEST:
        return 0, length
    first = max(0, min(focus - _BEFORE, length - LONGEST))
    return first, min(first + LONGEST, length)


def _visible(c: str) -> str:
    return "\ufffd" if category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c


def _width(text: str) -> int:
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
