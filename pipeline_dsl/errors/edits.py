"""What `help` or a label asks for, as a change of the text: only where it is sure what is to be written."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline_dsl.diagnostics import Edit
from pipeline_dsl.source import Span
from pipeline_dsl.spell import nearest

Edits = tuple[Edit, ...]


def respelled(span: Span, name: str, candidates: Iterable[str]) -> Edits:
    """The nearest candidate in the place of a name; nothing where the span holds it not exactly once."""
    guess = nearest(name, candidates)
    text = span.text
    if guess is None or text.count(name) != 1:
        return ()
    start = span.start + text.index(name)
    return (Edit(Span(span.source, start, start + len(name)), guess),)


def written(span: Span, text: str) -> Edits:
    """A text in the place of a span."""
    return (Edit(span, text),)


def before(span: Span, text: str) -> Edits:
    """A text in front of a span."""
    return (Edit(Span(span.source, span.start, span.start), text),)


def one_blank(source_span: Span, start: int, end: int) -> Edits:
    """One blank in the place of the blanks and line breaks between two offsets; nothing if more stands there."""
    between = Span(source_span.source, start, end)
    return (Edit(between, " "),) if between.text.isspace() else ()


def line_break(span: Span) -> Edits:
    """A line break in front of a span, with the indentation of its line."""
    line = span.source.line(span.line)
    return before(span, "\n" + line[: len(line) - len(line.lstrip())])
