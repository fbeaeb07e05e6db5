"""Where branches meet: holds what has arrived on each side until every side of an element is there.

Sides that come with the same `Layout` object match at once. Otherwise the layouts that overlap are taken apart into
elements, and whatever is complete goes on as one cohort, in the order of the layout that completed it. `match` only
decides (call it under the engine's lock); `Match.assemble` moves tensors (call it outside).
"""

from __future__ import annotations

from collections.abc import Sequence

from .cohort import Layout
from .columns import Column, CopySink, Items, chosen, merge
from .element import Element

Columns = tuple[Column | None, ...]
Part = tuple[Layout, Columns, int]
"""An element of one side: the layout it came in, that layout's columns, its index there."""

FEW = 8
"""Pending layouts that are looked through one by one."""


class _Pending:
    __slots__ = ("missing", "sides")

    def __init__(self, sides: int) -> None:
        self.sides: list[Columns | None] = [None] * sides
        self.missing = sides


class Match:
    """Elements that are complete on all sides."""

    __slots__ = ("layout", "parts", "sides")

    def __init__(self, layout: Layout, sides: list[Columns] | None, parts: list[list[Part]] | None) -> None:
        self.layout = layout
        self.sides = sides
        """Where all sides came in the same layout: their columns."""
        self.parts = parts
        """Else for each side its parts, in the layout's order."""

    def assemble(self, copies: CopySink) -> list[Columns]:
        """The columns of each side in the match's layout: views where the parts are ranges, else one gather each."""
        if self.sides is not None:
            return self.sides
        assert self.parts is not None
        return [gather(side, copies) for side in self.parts]


class Join:
    """One per node with several producers. Empty when nothing is in flight."""

    __slots__ = ("_owners", "_pending", "sides")

    def __init__(self, sides: int) -> None:
        self.sides = sides
        self._pending: dict[Layout, _Pending] = {}
        self._owners: dict[Element, list[Part | None]] = {}

    def __len__(self) -> int:
        return len(self._pending) + len(self._owners)

    def match(self, side: int, layout: Layout, columns: Columns) -> Match | None:
        """Take in one side of a cohort; what it completes, if anything."""
        pending = self._pending.get(layout)
        if pending is not None:
            return self._same(pending, side, layout, columns)
        others = self._overlapping(layout) if self._pending else []
        if others or not self._owners.keys().isdisjoint(layout.owners):
            return self._by_owner(others, side, layout, columns)
        if layout.living() == []:
            return None
        pending = self._pending[layout] = _Pending(self.sides)
        return self._same(pending, side, layout, columns)

    def _same(self, pending: _Pending, side: int, layout: Layout, columns: Columns) -> Match | None:
        pending.sides[side] = columns
        pending.missing -= 1
        if pending.missing:
            return None
        del self._pending[layout]
        return Match(layout, pending.sides, None)  # type: ignore[arg-type]  # none is missing

    def _overlapping(self, layout: Layout) -> list[Layout]:
        """What is pending of its elements. Where much is pending, an arrival costs by its own size only."""
        pending = self._pending
        if len(pending) <= FEW:
            return [p for p in pending if not layout.members.isdisjoint(p.owners)]
        return list(dict.fromkeys(p for owner in layout.owners for p in owner.layouts if p in pending))

    def _by_owner(self, others: list[Layout], side: int, layout: Layout, columns: Columns) -> Match | None:
        for other in others:
            for s, held in enumerate(self._pending.pop(other).sides):
                if held is not None:
                    self._spread(s, other, held)
        self._spread(side, layout, columns)
        ready = [o for o in layout.owners if None not in self._owners.get(o, (None,))]
        if not ready:
            return None
        rows = [self._owners.pop(o) for o in ready]
        parts: list[list[Part]] = [list(p) for p in zip(*rows)]
        return Match(_common_layout(ready, layout, parts), None, parts)

    def _spread(self, side: int, layout: Layout, columns: Columns) -> None:
        for i, owner in enumerate(layout.owners):
            if not owner.done:
                self._owners.setdefault(owner, [None] * self.sides)[side] = (layout, columns, i)

    def purge(self, element: Element) -> None:
        """Forget an element that has ended."""
        self._owners.pop(element, None)
        for layout in element.layouts:
            if layout in self._pending and layout.living() == []:
                del self._pending[layout]


def _common_layout(ready: list[Element], arrived: Layout, parts: list[list[Part]]) -> Layout:
    """A layout object that already stands for exactly these elements in this order, else a new one."""
    for layout in (arrived, *(side[0][0] for side in parts)):
        if len(layout) == len(ready) and all(a is b for a, b in zip(layout.owners, ready)):
            return layout
    return Layout(tuple(ready))


def gather(parts: list[Part], copies: CopySink) -> Columns:
    """The columns of one side for parts in order."""
    first = parts[0]
    if all(p[1] is first[1] for p in parts):
        return chosen(first[1], [p[2] for p in parts], copies, "join")
    runs = _runs(parts)
    pieces = [tuple(c if c is None else c.cut(lo, hi) for c in columns) for columns, lo, hi in runs]
    counts = [hi - lo for _, lo, hi in runs]
    return tuple(_merged(p, counts, copies) for p in zip(*pieces))


def _merged(pieces: Sequence[Column | None], counts: Sequence[int], copies: CopySink) -> Column | None:
    """One column from the pieces of several; where only some are there, the others' elements are None."""
    there = [p for p in pieces if p is not None]
    if not there:
        return None
    if len(there) == len(pieces):
        return merge(there, copies, "join")
    items = [None if p is None else p.element(i) for p, n in zip(pieces, counts) for i in range(n)]
    return Items(items)


def _runs(parts: Sequence[Part]) -> list[tuple[Columns, int, int]]:
    """Maximal ranges of parts that lie one after the other in one layout."""
    runs: list[tuple[Layout, Columns, int, int]] = []
    for layout, columns, index in parts:
        if runs and runs[-1][0] is layout and runs[-1][3] == index:
            runs[-1] = (layout, runs[-1][1], runs[-1][2], index + 1)
        else:
            runs.append((layout, columns, index, index + 1))
    return [(columns, lo, hi) for _, columns, lo, hi in runs]
