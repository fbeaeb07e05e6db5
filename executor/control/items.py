"""The items of one element of a `map`: which have begun, which have ended, and what they gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from executor.element import Child, Element
from executor.errors import RequestError
from executor.join import Columns, Part
from executor.scope import Aftermath, Placed

if TYPE_CHECKING:
    from .map import Map


class ItemScope(Placed):
    """The items of one element."""

    __slots__ = ("count", "left", "next", "parts", "source")

    node: Map

    def __init__(self, node: Map, parent: Element, place: int, count: int) -> None:
        super().__init__(node, node.inside, parent, place)
        self.count = count
        self.left = count
        """Items that have not ended."""
        self.next = count
        """The first that has not begun."""
        self.parts: dict[int, Part | None] = {}
        """What items gave, in the order they came; None for one that failed."""
        self.source: Columns = ()
        """What they are cut from: items and captures of this element, while some have not begun."""

    def begin(self, count: int) -> list[Child]:
        """The next items."""
        lo, self.next = self.next, self.next + count
        deadline_ns = self.parent.deadline_ns
        children = [Child(self, i, deadline_ns) for i in range(lo, lo + count)]
        self.live.update(children)
        return children

    def take(self, child: Child, part: Part | None) -> bool:
        """An item has ended; whether it was the last."""
        self.live.discard(child)
        self.parts[child.index] = part
        self.left -= 1
        if not self.left:
            self.close()
        return not self.left

    def close(self) -> None:
        super().close()
        self.source = ()

    def lost(self, child: Child, error: RequestError, after: Aftermath) -> None:
        node = self.node
        after.count("map", node.name, "failure")
        if node.on_error == "fail":
            error.message += f" (item {child.index} of `{node.name}`)"
            after.ends.append((self.parent, error))
        elif self.take(child, None):
            after.go(node.fold, self)
        elif self.next < self.count:
            after.go(node.refill, self)
