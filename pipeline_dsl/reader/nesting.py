"""How deep a text nests: brackets that are open, and operators that build on one another inside of them.

Everything that reads the tree recurses over it, so its height is bounded here, before there is a tree.
"""

from __future__ import annotations

from dataclasses import dataclass

from .leaves import Leaf

MAX_DEPTH = 64
"""Brackets in brackets."""
MAX_OPERATORS = 128
"""Operators, members and calls that nest in one expression."""

_OPERATORS = frozenset(
    ("+", "-", "*", "/", "%", "==", "!=", "<=", ">=", "<", ">", "??", ".", "and", "or", "not", "else")
)
_SEPARATORS = frozenset((",", "=", ":"))
_ENDS_VALUE = frozenset(("NAME", "RPAR", "RSQB"))


@dataclass(slots=True)
class Open:
    """A bracket that is open, with the operators seen in it since its last separator."""

    leaf: Leaf
    operators: int = 0


class Nesting:
    """The open brackets. `operators` is the sum over all of them and what is outside of any."""

    __slots__ = ("operators", "stack")

    def __init__(self) -> None:
        self.stack: list[Open] = []
        self.operators = 0

    @property
    def innermost(self) -> Leaf | None:
        """The last bracket that was opened and is still open."""
        return self.stack[-1].leaf if self.stack else None

    def count(self, leaf: Leaf, previous: Leaf | None) -> None:
        """Takes note of an operator or a separator."""
        if leaf.text in _SEPARATORS:
            self.separate()
        elif leaf.text in _OPERATORS or (leaf.type in ("LPAR", "LSQB") and _ends_value(previous)):
            self.operators += 1
            if self.stack:
                self.stack[-1].operators += 1

    def separate(self) -> None:
        """What was counted in the innermost bracket does not nest with what follows."""
        if self.stack:
            self.operators -= self.stack[-1].operators
            self.stack[-1].operators = 0
        else:
            self.operators = 0

    def open(self, leaf: Leaf) -> None:
        """An opening bracket."""
        self.stack.append(Open(leaf))

    def close(self) -> Leaf:
        """Forgets the innermost bracket, and gives it."""
        opened = self.stack.pop()
        self.operators -= opened.operators
        return opened.leaf


def _ends_value(leaf: Leaf | None) -> bool:
    return leaf is not None and leaf.type in _ENDS_VALUE
