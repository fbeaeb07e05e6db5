"""Walking syntax trees without knowing their classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from pipeline_dsl.syntax import Node


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below a node, in order of their fields."""
    for field in fields(node):
        yield from _nodes(getattr(node, field.name))


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def _nodes(value: object) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)
