"""A declaration made in Python: its tree, and the other declarations it needs.

Handles (a stage, a param, a profile) carry one; `module` follows `uses` from what it is given and so finds
everything a program consists of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from itertools import count

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Diagnostic

_ORDER = count()


class Declared(ABC):
    """One declaration. `order` counts declarations as they are made."""

    __slots__ = ("order",)

    def __init__(self) -> None:
        self.order = next(_ORDER)

    @abstractmethod
    def tree(self) -> syntax.Decl:
        """The declaration as it is now."""

    @abstractmethod
    def uses(self) -> Uses:
        """The declarations it needs by name."""

    def unfit(self) -> tuple[Diagnostic, ...]:
        """What keeps it from being text."""
        return ()


Uses = tuple[Declared, ...]


class Fixed(Declared):
    """A declaration that is complete when it is made."""

    __slots__ = ("_tree", "_unfit", "_uses")

    def __init__(self, tree: syntax.Decl, uses: Uses = (), unfit: tuple[Diagnostic, ...] = ()) -> None:
        super().__init__()
        self._tree = tree
        self._uses = uses
        self._unfit = unfit

    def tree(self) -> syntax.Decl:
        return self._tree

    def uses(self) -> Uses:
        return self._uses

    def unfit(self) -> tuple[Diagnostic, ...]:
        return self._unfit


def merged(parts: Iterable[Uses]) -> Uses:
    """Each of them once, in order."""
    return tuple(dict.fromkeys(used for part in parts for used in part))
