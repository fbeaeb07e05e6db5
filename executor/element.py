"""Elements: what a graph is evaluated for. Requests at the top; below them the children of a scope.

    Request                       a client's call
      Child of a `map`            an item; of a `try`: an attempt; of a `shadow` arm: a copy that answers nobody
        Child ..                  and so on

A layout lists elements, whatever they are. `if`, `match` and `route` open no scope: they hand the elements they got
on to one arm or another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from .cohort import Layout
    from .request import Request
    from .scope import Scope
    from .streaming.pump import Stoppable
    from .wiring import Circuit

Fields: TypeAlias = tuple[str, str, int, int, int, int, int, int]
"""Of `request.Execution`."""
Runs: TypeAlias = dict[int, list[Fields]]
"""What ran for a group, by the identity of its list."""


class Element:
    """`done` turns true once and for all."""

    __slots__ = ("deadline_ns", "done", "layouts", "runs", "scopes", "streams")

    deadline_ns: int | None
    done: bool
    layouts: list[Layout]
    """Every layout it is or was in; emptied when it ends, so that elements do not keep one another."""
    runs: Runs | None
    """What ran for its children that have ended."""
    scopes: list[Scope] | None
    """Those open below it."""
    streams: set[Stoppable] | None
    """What makes elements for it; of a request, or a shadow's copy, also what does so for its children."""

    # What follows is plain data of a request; a child has it from its request.

    @property
    def id(self) -> str:
        raise NotImplementedError

    @property
    def serial(self) -> int:
        raise NotImplementedError

    @property
    def pipeline(self) -> str:
        raise NotImplementedError

    @property
    def level(self) -> int:
        raise NotImplementedError

    @property
    def root(self) -> Request:
        """The request that it is, or is a part of."""
        raise NotImplementedError

    @property
    def circuit(self) -> Circuit:
        """The nodes that it may be at."""
        raise NotImplementedError


class Child(Element):
    """An element of a scope."""

    __slots__ = ("index", "scope")

    def __init__(self, scope: Scope, index: int, deadline_ns: int | None) -> None:
        self.scope = scope
        self.index = index
        """Its number in the scope."""
        self.deadline_ns = deadline_ns
        self.done = False
        self.layouts = []
        self.runs = None
        self.scopes = None
        self.streams = None

    def __repr__(self) -> str:
        return f"Child({self.scope.node.name}[{self.index}] of {self.id!r}{', done' if self.done else ''})"

    @property
    def root(self) -> Request:
        return self.scope.root

    @property
    def id(self) -> str:
        return self.scope.root.id

    @property
    def serial(self) -> int:
        return self.scope.root.serial

    @property
    def pipeline(self) -> str:
        return self.scope.root.pipeline

    @property
    def level(self) -> int:
        return self.scope.root.level

    @property
    def circuit(self) -> Circuit:
        return self.scope.circuit

    def leave(self) -> None:
        """It has ended: its parent gets what ran for it, and nothing it was in is kept by it."""
        layouts, self.layouts = self.layouts, []
        inner, self.runs = self.runs, None
        scope = self.scope
        if scope.silent:
            return
        parent = scope.parent
        runs = parent.runs
        if runs is None:
            runs = parent.runs = {}
        for layout in layouts:
            if (ran := layout.executions) and id(ran) not in runs:
                runs[id(ran)] = ran
        if inner:
            runs.update(inner)
