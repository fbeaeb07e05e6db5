"""A cohort: elements that travel together along an edge, and their columns.

A `Layout` is the grouping: which elements, in which order. Operations that keep the grouping pass on the same
`Layout` object, so that joins usually compare with `is`. `cut` is memoised: equal cuts are the same object.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from .columns import Column, CopySink
from .element import Element, Fields

NEVER = 1 << 62
"""A time that does not come (ns)."""


class Deaths:
    """Changes whenever an element ends otherwise than by an answer; lets a layout skip looking for them."""

    count = 0
    """Never twice the same, so that engines may set it side by side without a lock."""
    tokens = itertools.count(1)


class Layout:
    """An immutable list of elements."""

    __slots__ = ("_cuts", "_members", "_requests", "_seen", "deadline_ns", "executions", "owners")

    def __init__(self, owners: tuple[Element, ...], requests: int | None = None) -> None:
        """`requests`: how many its elements are, or are parts of, where that is known."""
        self.owners = owners
        self.executions: list[Fields] = []
        """What ran for all of them together: the fields of `request.Execution`."""
        self._cuts: dict[tuple[int, int], Layout] | None = None
        self._members: frozenset[Element] | None = None
        self._requests = requests
        self._seen = -1
        self.deadline_ns = NEVER
        """The earliest of its elements'; NEVER if none has one."""
        for owner in owners:
            owner.layouts.append(self)
            if owner.deadline_ns is not None and owner.deadline_ns < self.deadline_ns:
                self.deadline_ns = owner.deadline_ns

    def __len__(self) -> int:
        return len(self.owners)

    def __iter__(self) -> Iterator[Element]:
        return iter(self.owners)

    def __repr__(self) -> str:
        return f"Layout({', '.join(o.id for o in self.owners)})"

    @property
    def members(self) -> frozenset[Element]:
        if self._members is None:
            self._members = frozenset(self.owners)
        return self._members

    @property
    def requests(self) -> int:
        """How many requests its elements are, or are parts of."""
        if self._requests is None:
            self._requests = len({owner.serial for owner in self.owners})
        return self._requests

    def cut(self, lo: int, hi: int) -> Layout:
        """Elements lo..hi; the whole is the layout itself."""
        if lo == 0 and hi == len(self.owners):
            return self
        if self._cuts is None:
            self._cuts = {}
        found = self._cuts.get((lo, hi))
        if found is None:
            found = self._cuts.setdefault((lo, hi), Layout(self.owners[lo:hi]))
        return found

    def take(self, indices: Sequence[int]) -> Layout:
        """Elements at ascending `indices`; all of them is the layout itself."""
        if len(indices) == len(self.owners):
            return self
        return Layout(tuple(self.owners[i] for i in indices))

    def living(self) -> list[int] | None:
        """Indices of elements that have not ended; None if that is all of them."""
        if self._seen == Deaths.count:
            return None
        seen = Deaths.count
        for owner in self.owners:
            if owner.done:
                return [i for i, o in enumerate(self.owners) if not o.done]
        self._seen = seen
        return None


class Cohort:
    """A layout and one column a port; a column of None is an absent optional."""

    __slots__ = ("__weakref__", "columns", "layout", "served")

    def __init__(self, layout: Layout, columns: tuple[Column | None, ...]) -> None:
        self.layout = layout
        self.columns = columns
        self.served = False
        """The call that it came to has run for it."""

    def __len__(self) -> int:
        return len(self.layout)

    def cut(self, lo: int, hi: int) -> Cohort:
        """Elements lo..hi as views."""
        if lo == 0 and hi == len(self.layout):
            return self
        return Cohort(self.layout.cut(lo, hi), tuple(c if c is None else c.cut(lo, hi) for c in self.columns))

    def take(self, indices: Sequence[int], copies: CopySink, reason: str) -> Cohort:
        """Elements at ascending `indices`: a view if they are one range, else one counted copy a column."""
        if not indices:
            return Cohort(Layout(()), self.columns)
        lo, hi = indices[0], indices[-1] + 1
        if hi - lo == len(indices):
            return self.cut(lo, hi)
        return Cohort(
            self.layout.take(indices), tuple(c if c is None else c.take(indices, copies, reason) for c in self.columns)
        )
