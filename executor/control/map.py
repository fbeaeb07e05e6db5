"""`map`: the body runs for each item, and items of all elements share batches.

    parents --unfold--> items (children) --body--> Fold: those whose items are all there go on, in one cohort

Where all items that entered together come back together, folding is a view and the parents go on in the layout they
came in. Else each parent waits for its own items only. A parent with more items than the window allows has no more
than that under way; the next ones are cut as others end.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np

from executor.cohort import NEVER, Cohort, Layout
from executor.columns import Column, Copies, Items, Offsets, Stack, offsets_of
from executor.element import Child, Element
from executor.errors import InvalidArgument
from executor.join import Columns, Part, gather
from executor.node import Arguments, Going, Node
from executor.passage import Passage
from executor.scope import Opening, Scope, leave_together, parents
from executor.wiring import Wirer
from pipeline_dsl.plan import MapPlan, Step

from .folding import empty, filled_up, fold, repeated, unfold, zero_item
from .items import ItemScope

WINDOW = 256
"""Items of one element under way at a time, where the text says nothing: enough for full batches, and a quarter of what
a stage's queue takes."""


class Map(Node):
    """Unfolds."""

    __slots__ = ("_sources", "any_order", "body", "inside", "kinds", "maximum", "on_error", "window")

    def __init__(self, step: Step, arguments: Arguments, sides: int, wirer: Wirer) -> None:
        super().__init__(step.node, arguments, sides)
        plan = step.control
        assert isinstance(plan, MapPlan)
        inner = wirer.inside()
        self.inside = inner.circuit
        self.body = inner.region(step, plan.body, lambda arguments, sides: Fold(self, arguments, sides))
        self.kinds = step.types[: len(plan.body.yields)]
        """Types of the results, without `ok`."""
        self._sources = plan.sources
        self.maximum = plan.maximum
        self.window = plan.in_flight or WINDOW
        self.on_error = plan.on_error
        self.any_order = plan.order == "any"

    # ---- in

    def reads(self) -> Sequence[int]:
        return ()

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        copies = Copies()
        sources, counts = self._unfold(cohort, copies)
        if good := self._refuse(cohort, counts, passage):
            if len(good) < len(cohort):
                cohort = cohort.take(good, copies, "unfold")
                sources, counts = self._unfold(cohort, copies)
            going = self._open(cohort, sources, counts[0], passage, copies)
        else:
            going = []
        passage.flow.tally.copied(self.name, copies)
        return going

    def _unfold(self, cohort: Cohort, copies: Copies) -> tuple[list[Column], list[list[int]]]:
        """Items of each source, and how many each element has."""
        found = [unfold(cast(Column, c), copies) for c in cohort.columns[: self._sources]]
        return [c for c, _ in found], [[b - a for a, b in pairwise(offsets)] for _, offsets in found]

    def _refuse(self, cohort: Cohort, counts: list[list[int]], passage: Passage) -> list[int]:
        """End elements whose sources differ in size, or are too large; the others."""
        most = NEVER if self.maximum is None else self.maximum
        if len(counts) == 1 and max(counts[0]) <= most:
            return list(range(len(cohort)))
        good = []
        for i, sizes in enumerate(zip(*counts)):
            if any(n != sizes[0] for n in sizes):
                text = f"its sources have {', '.join(map(str, sizes))} items; they must have equally many"
            elif self.maximum is not None and sizes[0] > self.maximum:
                text = f"{sizes[0]:,} items are more than `max = {self.maximum}` allows"
            else:
                good.append(i)
                continue
            passage.fail(cohort.layout.owners[i], self, InvalidArgument(text))
        return good

    def _open(
        self, cohort: Cohort, sources: list[Column], counts: list[int], passage: Passage, copies: Copies
    ) -> list[Going]:
        """Let items in: of all elements together, but for those that have none, or more than the window."""
        window = self.window
        kinds = [0 if not n else (1 if n <= window else 2) for n in counts]
        if all(kind == 1 for kind in kinds):
            return [self._together(cohort, sources, counts, passage)]
        going: list[Going] = []
        if none := [i for i, kind in enumerate(kinds) if kind == 0]:
            going.append(self._without_items(cohort.take(none, Copies(), "").layout))
        if some := [i for i, kind in enumerate(kinds) if kind == 1]:
            part = cohort.take(some, copies, "unfold")
            items, sizes = self._unfold(part, copies)
            going.append(self._together(part, items, sizes[0], passage))
        for i in (i for i, kind in enumerate(kinds) if kind == 2):
            going += self._alone(cohort.cut(i, i + 1), counts[i], passage, copies)
        return going

    def _together(self, cohort: Cohort, sources: list[Column], counts: list[int], passage: Passage) -> Going:
        scopes = [ItemScope(self, p, i, n) for i, (p, n) in enumerate(zip(cohort.layout.owners, counts))]
        opening = Opening(cohort.layout, scopes)
        children: list[Child] = []
        for scope in scopes:
            scope.opening = opening
            scope.next = 0
            children += scope.begin(scope.count)
        inner = Layout(tuple(children), cohort.layout.requests)
        with passage.flow.lock:
            opening.enter(inner)
        return self.body.edges, inner, (*sources, *self._captured(cohort.columns, counts))

    def _captured(self, columns: Columns, counts: list[int]) -> list[Column | None]:
        return [repeated(columns[c], counts) for c in self.body.captured]

    def _without_items(self, layout: Layout) -> Going:
        """Elements that have nothing to go over."""
        columns: list[Column] = [Items([empty(kind)] * len(layout)) for kind in self.kinds]
        if self.on_error == "mark":
            columns.append(_marks([0] * (len(layout) + 1), []))
        return self.edges, layout, tuple(columns)

    # ---- more items than the window

    def _alone(self, cohort: Cohort, count: int, passage: Passage, copies: Copies) -> Sequence[Going]:
        scope = ItemScope(self, cohort.layout.owners[0], 0, count)
        scope.opening = Opening(cohort.layout, (scope,))
        sources, _ = self._unfold(cohort, copies)
        scope.next = 0
        scope.source = (*sources, *cohort.columns)
        with passage.flow.lock:
            scope.enter()
        return self.refill([scope], passage)

    def refill(self, scopes: Sequence[Scope], passage: Passage) -> Sequence[Going]:
        """Let in as many items as the window has room for."""
        going = []
        for scope in cast(Sequence[ItemScope], scopes):
            with passage.flow.lock:
                lo, source = scope.next, scope.source
                count = 0 if scope.closed else min(scope.count - lo, self.window - len(scope.live))
                if not count:
                    continue
                children = scope.begin(count)
            items = [cast(Column, c).cut(lo, lo + count) for c in source[: self._sources]]
            columns = (*items, *self._captured(source[self._sources :], [count]))
            going.append((self.body.edges, Layout(tuple(children)), columns))
        return going

    # ---- out

    def fold(self, scopes: Sequence[Scope], passage: Passage) -> Sequence[Going]:
        """Elements all of whose items have ended go on, in one cohort."""
        scopes = cast(Sequence[ItemScope], scopes)
        copies = Copies()
        parts, offsets = self._parts(scopes)
        good = [p for p in parts if p is not None]
        columns: list[Column] = []
        if good:
            columns = [cast(Column, c) for c in gather(good, copies)]
        if len(good) < len(parts):
            indices = [i for i, p in enumerate(parts) if p is not None]
            columns = [
                filled_up(columns[i], indices, len(parts), kind, copies)
                if good
                else Items([zero_item(kind)] * len(parts))
                for i, kind in enumerate(self.kinds)
            ]
        if parts:
            columns = [fold(c, offsets, kind, copies) for c, kind in zip(columns, self.kinds)]
        else:
            columns = [Items([empty(kind)] * len(scopes)) for kind in self.kinds]
        if self.on_error == "mark":
            columns.append(_marks(offsets, [i for i, p in enumerate(parts) if p is None]))
        passage.flow.tally.count("map", self.name, {"success": len(good)}, copies)
        return [(self.edges, parents(scopes), tuple(columns))]

    def _parts(self, scopes: Sequence[ItemScope]) -> tuple[list[Part | None], Offsets]:
        """What the items of all scopes gave, in order; without those that are dropped."""
        rows = []
        for scope in scopes:
            found = scope.parts if self.any_order else sorted(scope.parts)
            row = [scope.parts[k] for k in found]
            rows.append([p for p in row if p is not None] if self.on_error == "drop" else row)
            scope.parts = {}
        return [p for row in rows for p in row], offsets_of([len(row) for row in rows])


class Fold(Node):
    """The end of a map's body."""

    __slots__ = ("construct",)

    def __init__(self, construct: Map, arguments: Arguments, sides: int) -> None:
        super().__init__(construct.name, arguments, sides)
        self.construct = construct

    def reads(self) -> Sequence[int]:
        return ()

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        node, layout = self.construct, cohort.layout
        opening = cast(ItemScope, cast(Child, layout.owners[0]).scope).opening
        complete: Sequence[ItemScope] = []
        hungry: Sequence[ItemScope] = []
        with passage.flow.lock:
            whole = opening.inner is layout and _all_there(opening)
            if whole:
                complete = _settle(cast(Sequence[ItemScope], opening.scopes), layout.owners)
            else:
                complete, hungry = _book(cohort)
        try:
            if whole:
                return [self._as_it_went(opening.outer, complete, cohort, passage)]
            going = node.fold(complete, passage) if complete else ()
            return [*going, *node.refill(hungry, passage)]
        except Exception as error:  # the items have ended: nobody but their elements can be told
            passage.flow.internal_error(node, [s.parent for s in (*complete, *hungry)], error)
            return ()

    def _as_it_went(self, outer: Layout, scopes: Sequence[ItemScope], cohort: Cohort, passage: Passage) -> Going:
        """All that entered together have come back together."""
        node = self.construct
        leave_together(cast(Sequence[Child], cohort.layout.owners), scopes, cohort.layout)
        copies = Copies()
        offsets = offsets_of([s.count for s in scopes])
        columns = [fold(cast(Column, c), offsets, kind, copies) for c, kind in zip(cohort.columns, node.kinds)]
        if node.on_error == "mark":
            columns.append(_marks(offsets, []))
        passage.flow.tally.count("map", node.name, {"success": len(cohort)}, copies)
        return node.edges, outer, tuple(columns)


def _all_there(opening: Opening) -> bool:
    """(locked) Whether no item has failed."""
    return all(len(s.live) == s.count for s in cast(Sequence[ItemScope], opening.scopes))


def _settle(scopes: Sequence[ItemScope], children: Sequence[Element]) -> Sequence[ItemScope]:
    """(locked) All items of all scopes have come to their end."""
    for child in children:
        child.done = True
    for scope in scopes:
        scope.left = 0
        scope.live = set()
        scope.close()
    return scopes


def _book(cohort: Cohort) -> tuple[list[ItemScope], list[ItemScope]]:
    """(locked) Items that have come to their end; scopes that are complete now, and those that have more to begin."""
    complete: list[ItemScope] = []
    hungry: dict[ItemScope, None] = {}
    for i, owner in enumerate(cohort.layout.owners):
        if owner.done:
            continue
        child = cast(Child, owner)
        child.done = True
        child.leave()
        scope = cast(ItemScope, child.scope)
        if scope.take(child, (cohort.layout, cohort.columns, i)):
            complete.append(scope)
        elif scope.next < scope.count:
            hungry[scope] = None
    return complete, [s for s in hungry if s.left]


def _marks(offsets: Offsets, failed: Sequence[int]) -> Stack:
    """`ok` of all items."""
    made = np.ones(offsets[-1], np.bool_)
    made[list(failed)] = False
    made.flags.writeable = False
    return Stack(made, offsets)
