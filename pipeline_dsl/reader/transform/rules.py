"""What the functions for grammar rules share: how they are registered, and how they look at children.

The children of a rule are leaves (all tokens are kept, so spans are exact) and nodes made before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

from pipeline_dsl import syntax
from pipeline_dsl.reader.leaves import Leaf
from pipeline_dsl.source import Span

Children = list[Any]
Rule = Callable[[Children], object]
Rules = SimpleNamespace

RULES: Rules = SimpleNamespace()
SHAPE = "shape"
"""Value given to the `[` of a type, which the formatter spaces in its own way."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group:
    """Children of a rule that makes no node of its own."""

    items: tuple[Any, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Edition:
    """`pipe 1`"""

    number: int
    span: Span


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one run of the parser gives."""

    edition: Edition | None
    decls: tuple[syntax.Decl, ...]


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a function for rules or alternatives of the grammar."""

    def register(function: Rule) -> Rule:
        for name in names:
            setattr(RULES, name, function)
        return function

    return register


def over(children: Children) -> Span:
    """From the first child to the last."""
    first = children[0].span
    return Span(first.source, first.start, children[-1].span.end)


def ident(leaf: Leaf) -> syntax.Ident:
    """The name a leaf spells."""
    return syntax.Ident(leaf.text, span=leaf.span)


def nodes(children: Iterable[Any]) -> tuple[Any, ...]:
    """The children that are no tokens."""
    return tuple(c for c in children if not isinstance(c, Leaf))


def names(children: Iterable[Any]) -> tuple[syntax.Ident, ...]:
    """The names among the tokens."""
    return tuple(ident(c) for c in children if isinstance(c, Leaf) and c.type == "NAME")


def first(children: Children, kind: type[T]) -> T | None:
    """The first child of a class."""
    return next((c for c in children if isinstance(c, kind)), None)


def after(children: Children, terminal: str) -> Any:
    """The child behind a token, or None without that token."""
    for i, child in enumerate(children):
        if isinstance(child, Leaf) and child.type == terminal:
            return children[i + 1]
    return None


def items(group: Group | None) -> tuple[Any, ...]:
    """What a group holds; nothing without one."""
    return group.items if group is not None else ()


@rule("ports", "where", "profile_body", "targets", "outs", "args", "options")
def _as_group(c: Children) -> Group:
    return Group(nodes(c), over(c))
