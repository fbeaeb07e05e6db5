"""Places inside of nodes that have but one span: the parts of a key, the name of `f@4`, `${N}` in a string."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline_dsl import syntax
from pipeline_dsl.check.walk import PLACE
from pipeline_dsl.source import Span

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def part(span: Span, start: int, end: int) -> Span:
    """A piece of a span, by offsets in its text."""
    return Span(span.source, span.start + start, span.start + end)


def key_parts(key: syntax.Key) -> Iterator[Span]:
    """The place of each part of a key. A quoted key is one part, without its quotes."""
    text = key.span.text
    if text.startswith('"'):
        yield part(key.span, 1, max(len(text) - 1, 1))
        return
    found = [part(key.span, *match.span()) for match in _NAME.finditer(text)]
    yield from found if len(found) == len(key.parts) else [key.span] * len(key.parts)


def versioned_name(expr: syntax.Versioned) -> Span:
    """`f` of `f@4`."""
    return part(expr.span, 0, len(expr.name))


def placeholders(literal: syntax.Literal) -> Iterator[list[Span]]:
    """The parts of each `${emb.NAME}` in a string, as it is written."""
    if not isinstance(literal.value, str) or "${" not in literal.value:
        return
    for match in PLACE.finditer(literal.span.text):
        inside = part(literal.span, *match.span(1))
        parts = [part(inside, *name.span()) for name in _NAME.finditer(inside.text)]
        if ".".join(p.text for p in parts) == inside.text:
            yield parts


def head(node: syntax.Node) -> Span:
    """The first line of a node."""
    line = node.span.text.split("\n", 1)[0]
    return part(node.span, 0, len(line.rstrip()))
