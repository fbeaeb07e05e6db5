"""From places of one version of a text to those of another, by what both begin and end with.

An editor asks about the text as it is now; what is known was found in the text of a moment ago. Between them stands one
edit, or a few near one another. Places before and behind it are the same up to a shift; places inside of it are not
known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Shift:
    """An older text and the newer one."""

    old: str
    new: str

    @cached_property
    def kept(self) -> tuple[int, int]:
        """Characters that both begin with, and that both end with."""
        if self.old == self.new:
            return len(self.old), 0
        shorter = min(len(self.old), len(self.new))
        prefix = _common(self.old, self.new, shorter)
        suffix = _common(self.old[::-1], self.new[::-1], shorter - prefix)
        return prefix, suffix

    def to_old(self, offset: int) -> int | None:
        """The place in the older text; None inside of what was changed."""
        return self._moved(offset, len(self.new), len(self.old))

    def to_new(self, offset: int) -> int | None:
        """The place in the newer text; None for what is gone."""
        return self._moved(offset, len(self.old), len(self.new))

    def near_old(self, offset: int) -> int:
        """`to_old`, or the end of what is the same before the change."""
        found = self.to_old(offset)
        return self.kept[0] if found is None else found

    def _moved(self, offset: int, length: int, other: int) -> int | None:
        prefix, suffix = self.kept
        if offset <= prefix:
            return offset
        return offset - length + other if offset >= length - suffix else None


def _common(a: str, b: str, most: int) -> int:
    """Characters that two texts begin with, up to a number of them: by halves, which compare as fast as memory is."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
