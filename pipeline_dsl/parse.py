"""Text to tree: `parse(source, sink)` gives a `syntax.Module`, whatever the text is.

    Source -> lexemes (lexer) -> chunks of leaves (layout) -> LALR tables (tables) -> nodes (transform)

Mistakes go to the sink, up to `MAX_ERRORS` of them; the module then holds what could be read. Each declaration is
parsed on its own, and inside of one the statement at fault is left out and the rest parsed again (recover).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import grammar

from .diagnostics import Diagnostic, Severity, Sink
from .errors import Mistake
from .errors import syntax as mistakes
from .reader import advice, linebreaks, phrases
from .reader.layout import Chunk, chunks
from .reader.leaves import NEWLINE, OPENERS, Leaf
from .reader.recover import without_statement
from .reader.reserved import reserved_names
from .reader.stepper import Stepper
from .reader.transform import SHAPE, Edition, Parsed
from .source import Source, Span
from .syntax import Decl, Module

MAX_ERRORS = 20
"""Syntax errors shown for one file."""
DIMS = "DIMS"
"""Type of the `[` of a type in `Reading.types`."""
MAX_CHARACTERS = 1 << 20
"""Longest text that is parsed."""

_NOTHING = Parsed(None, ())


@dataclass(slots=True)
class Reading:
    """What a text turned out to be: the tree, and what the formatter has to know about its tokens."""

    module: Module
    types: dict[int, str] = field(default_factory=dict)
    """Terminal of the token at an offset: whether a word was read as a keyword."""
    breaks: dict[int, bool] = field(default_factory=dict)
    """Tokens whose line break was repaired: by offset, whether one belongs before it."""


def parse(source: Source, sink: Sink) -> Module:
    """The module of a text; mistakes are added to the sink. Never raises on bad text."""
    return read_text(source, sink).module


def read_text(source: Source, sink: Sink) -> Reading:
    """Like `parse`, with what the formatter needs."""
    found = Sink()
    reading = Reading(Module(source, None, (), span=Span(source, 0, 0)))
    if len(source.text) > MAX_CHARACTERS:
        found.add(mistakes.Limit(Span(source, 0, 0), "this text is too long", "1 MiB").diagnostic())
    else:
        reading.module = _module(source, found, reading)
    if reading.module.edition not in (None, grammar.EDITION):
        found.found = {key: d for key, d in found.found.items() if d.code == mistakes.OtherEdition.code}
    for diagnostic in _limited(found):
        sink.add(diagnostic)
    return reading


def _limited(found: Sink) -> list[Diagnostic]:
    warnings = [d for d in found.sorted() if d.severity is Severity.WARNING]
    return found.errors[:MAX_ERRORS] + warnings


def _module(source: Source, sink: Sink, reading: Reading) -> Module:
    whole = Span(source, 0, len(source.text))
    edition: Edition | None = None
    decls: list[Decl] = []
    parts = chunks(source, sink)
    for i, chunk in enumerate(parts):
        parsed = _chunk(chunk, sink, reading, last=i == len(parts) - 1)
        reading.types |= {leaf.span.start: _type(leaf) for leaf in chunk.leaves}
        if parsed.edition is not None and i > 0:
            sink.add(_late_edition(parsed.edition).diagnostic())
        elif parsed.edition is not None:
            edition = parsed.edition
            if edition.number != grammar.EDITION:
                sink.add(mistakes.OtherEdition(edition.span, edition.number, grammar.EDITION).diagnostic())
                return Module(source, edition.number, (), span=whole)
        decls += parsed.decls
        if len(sink.found) > MAX_ERRORS:
            break
    if edition is None and decls:
        start = decls[0].span.start
        word = Span(source, start, start + len(decls[0].span.text.split(None, 1)[0]))
        sink.add(mistakes.NoEdition(word, grammar.EDITION).diagnostic())
    for mistake in reserved_names(decls):
        sink.add(mistake.diagnostic())
    return Module(source, edition.number if edition else None, tuple(decls), span=whole)


def _late_edition(edition: Edition) -> Mistake:
    advice = "the edition is the first line of a file"
    return mistakes.Unexpected(edition.span, "a declaration", f"`{edition.span.text}`", advice)


def _type(leaf: Leaf) -> str:
    return DIMS if leaf.type == "LSQB" and leaf.value == SHAPE else leaf.type


def _chunk(chunk: Chunk, sink: Sink, reading: Reading, last: bool) -> Parsed:
    """The tree of one declaration without its statements at fault."""
    quiet = Sink()
    report = quiet if chunk.broken else sink
    leaves = chunk.leaves
    touched: set[int] = set()
    for _ in range(MAX_ERRORS):
        try:
            return _run(leaves, report, reading.breaks)
        except _Fault as fault:
            if not _follows(leaves, fault.at, touched, chunk.reported):
                report.add(_describe(leaves, fault, last).diagnostic())
            shorter = without_statement(leaves, fault.at)
            if shorter is None:
                break
            leaves, start = shorter
            touched |= {id(leaf) for leaf in leaves[max(start - 1, 0) : start + 1]}
    return _NOTHING


def _follows(leaves: list[Leaf], at: int, touched: set[int], reported: set[int]) -> bool:
    """Whether a fault is one more effect of a mistake that is known already."""
    near = leaves[max(at - 1, 0) : at + 1]
    return any(leaf.span.line in reported for leaf in near) or (at < len(leaves) and id(leaves[at]) in touched)


@dataclass(eq=False)
class _Fault(Exception):
    """The parser did not take the leaf at an index."""

    at: int
    accepted: set[str]


def _run(leaves: list[Leaf], sink: Sink, breaks: dict[int, bool]) -> Parsed:
    """Feeds all leaves. Raises `_Fault` at the first that does not fit."""
    parser = Stepper()
    for i, leaf in enumerate(leaves):
        if leaf.type == NEWLINE and i + 1 < len(leaves):
            mistake = linebreaks.wrong_break(parser, leaves, i)
            if mistake is not None:
                sink.add(mistake.diagnostic())
                breaks[leaves[i + 1].span.start] = False
                continue
        elif leaf.word:
            mistake = linebreaks.missing_break(parser, leaves, i)
            if mistake is not None:
                sink.add(mistake.diagnostic())
                breaks[leaf.span.start] = True
                parser.feed(linebreaks.newline(leaf))
            parser.settle(leaf)
        if not parser.feed(leaf):
            raise _Fault(i, parser.accepted())
    parsed = parser.finish()
    if parsed is None:
        raise _Fault(len(leaves), parser.accepted())
    return parsed


def _describe(leaves: list[Leaf], fault: _Fault, last: bool) -> Mistake:
    at, accepted = fault.at, fault.accepted
    if advice.is_misplaced_word(leaves, at - 1):
        word = leaves[at - 1]
        return mistakes.Unexpected(word.span, "an expression", phrases.found(word, last), advice.construct(word))
    leaf = leaves[at] if at < len(leaves) else None
    reserved = advice.reserved_word(leaves, at)
    if reserved is not None:
        return reserved
    span = leaf.span if leaf is not None and leaf.type != NEWLINE else _behind(leaves[at - 1])
    return mistakes.Unexpected(
        span,
        phrases.expected(accepted, at_end=leaf is None),
        phrases.found(leaf, last),
        advice.advice(leaves, at, accepted),
        _opened(leaves, at, span),
    )


def _behind(leaf: Leaf) -> Span:
    end = leaf.span.end
    return Span(leaf.span.source, end, end + 1 if end < len(leaf.span.source.text) else end)


def _opened(leaves: list[Leaf], at: int, span: Span) -> Span | None:
    """The bracket around the fault, if it is round or square and on an earlier line."""
    depth = 0
    for leaf in reversed(leaves[:at]):
        if leaf.text in (")", "]", "}"):
            depth += 1
        elif leaf.type in OPENERS:
            if depth == 0:
                outside = leaf.type != "LBRACE" and leaf.span.line < span.line
                return leaf.span if outside else None
            depth -= 1
    return None
