"""Scopes: where children of an element live, and what becomes of it when they end.

Everything here happens with the engine's lock held and is short. What ends a child asks its scope (`lost`): it may
end the parent, go on without the child, or have something started once the lock is free (`Aftermath.going`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from .cohort import Deaths, Layout
from .element import Child, Element
from .errors import Cancelled, RequestError
from .tally import Event

if TYPE_CHECKING:
    from .node import Going, Node
    from .passage import Passage
    from .request import Outcome, Request
    from .stage import StageRuntime
    from .streaming.pump import Stoppable
    from .wiring import Circuit

Continue = Callable[[list["Scope"], "Passage"], Sequence["Going"]]
"""How scopes go on; it may move tensors."""


class Aftermath:
    """What follows from ends: further ends, stages whose inboxes may hold what died, and what goes on."""

    __slots__ = ("bereft", "counts", "ends", "going", "now", "stopped")

    def __init__(self, ends: Iterable[tuple[Element, Outcome]], now: Callable[[], int]) -> None:
        self.ends = list(ends)
        self.now = now
        self.bereft: set[StageRuntime] = set()
        self.stopped: list[tuple[Stoppable, RequestError]] = []
        self.going: dict[Continue, list[Scope]] = {}
        self.counts: dict[Event, int] = {}
        """Events at constructs."""

    def count(self, kind: str, node: str, what: str) -> None:
        event = kind, node, what
        self.counts[event] = self.counts.get(event, 0) + 1

    def stop(self, element: Element, outcome: Outcome | None = None) -> None:
        """What still makes elements for an element that has ended makes no more."""
        makers, element.streams = element.streams or (), None
        for maker in makers:
            error = outcome if isinstance(outcome, RequestError) else None
            self.stopped.append((maker, error or Cancelled("its request has ended", request_id=element.id)))

    def stop_makers(self) -> None:
        """Once the lock is free: readers are woken."""
        for maker, error in self.stopped:
            maker.cancel(error)

    def go(self, how: Continue, scope: Scope) -> None:
        self.going.setdefault(how, []).append(scope)


class Scope:
    """Children of one element at one construct. (locked), but for making it."""

    __slots__ = ("circuit", "closed", "live", "node", "parent", "root")

    silent: ClassVar[bool] = False
    """Whether what ran for its children is no part of what ran for their parent."""

    def __init__(self, node: Node, circuit: Circuit, parent: Element) -> None:
        self.node = node
        self.circuit = circuit
        """Where its children are."""
        self.parent = parent
        self.root: Request = parent.root
        self.live: set[Child] = set()
        self.closed = False

    def enter(self) -> None:
        """It has children from now on. If its parent has ended meanwhile, so have they."""
        if self.parent.done:
            self.closed = True
            for child in self.live:
                child.done = True
            self.live = set()
            return
        if self.parent.scopes is None:
            self.parent.scopes = []
        self.parent.scopes.append(self)
        self.circuit.scopes.add(self)

    def close(self) -> None:
        """Nothing more comes of it: what is still live ends unseen."""
        self.closed = True
        self.circuit.scopes.discard(self)
        if self.parent.scopes:
            self.parent.scopes.remove(self)

    def abandon(self, after: Aftermath) -> None:
        """Its parent has ended, and so do all below."""
        self.close()
        self.end_children(after)

    def end_children(self, after: Aftermath) -> None:
        """End all that live, though they neither failed nor came to their end."""
        live, self.live = self.live, set()
        for child in live:
            if not child.done:
                child.done = True
                forget(child, after)
                child.leave()
        if live:
            after.bereft |= self.circuit.every_stage

    def lost(self, child: Child, error: RequestError, after: Aftermath) -> None:
        """A child has failed; it is marked done and forgotten already."""
        raise NotImplementedError


def forget(element: Element, after: Aftermath) -> None:
    """Nothing of an element that has ended may wait anywhere, nor may its children."""
    Deaths.count = next(Deaths.tokens)
    if element.streams:
        after.stop(element)
    for join in element.circuit.joins:
        join.purge(element)
    for scope in tuple(element.scopes or ()):
        scope.abandon(after)
    element.scopes = None


def leave_together(children: Sequence[Child], scopes: Sequence[Scope], layout: Layout) -> None:
    """All children of scopes have ended, in a layout that most of them were in from their beginning, and in no other.

    What ran for those is told to each parent once, not by each child."""
    for child in children:
        if len(child.layouts) == 1 and child.runs is None:
            child.layouts = []
        else:
            child.leave()
    ran = layout.executions
    for scope in scopes:
        if ran and not scope.silent:
            if scope.parent.runs is None:
                scope.parent.runs = {}
            scope.parent.runs[id(ran)] = ran


class Opening:
    """A layout of parents, and the layout of all their children that entered together.

    Where that comes back as it went, so does the layout of the parents, the very object."""

    __slots__ = ("inner", "outer", "scopes")

    def __init__(self, outer: Layout, scopes: Sequence[Placed]) -> None:
        self.outer = outer
        self.inner: Layout | None = None
        self.scopes = scopes

    def enter(self, inner: Layout) -> None:
        """(locked)"""
        self.inner = inner
        for scope in self.scopes:
            scope.enter()
        if any(scope.closed for scope in self.scopes):
            self.forget()

    def forget(self) -> None:
        """One scope has ended by itself; or, all have: they hold one another no longer."""
        self.inner = None
        self.scopes = ()


class Placed(Scope):
    """A scope that was opened with others."""

    __slots__ = ("opening", "place")

    def __init__(self, node: Node, circuit: Circuit, parent: Element, place: int) -> None:
        super().__init__(node, circuit, parent)
        self.place = place
        """Its parent's index in the layout of the opening."""
        self.opening: Opening

    def close(self) -> None:
        super().close()
        self.opening.forget()


def parents(scopes: Sequence[Placed]) -> Layout:
    """The layout of the scopes' parents: that in which they came, or a cut of it, where it is one."""
    opening = scopes[0].opening
    first = scopes[0].place
    if all(s.opening is opening and s.place == first + i for i, s in enumerate(scopes)):
        return opening.outer.cut(first, first + len(scopes))
    return Layout(tuple(s.parent for s in scopes))
