"""Lines, brackets and declarations: lexemes to chunks of leaves, one chunk for each declaration.

Takes a source, gives chunks in order. Here newlines that mean nothing are dropped, brackets are matched, literals
are decoded, `##` lines are attached to the token below them, and limits are kept. Mistakes go to the sink; what is
left can be parsed chunk by chunk, so that one broken declaration hides no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from pipeline_dsl import literals
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors import Mistake
from pipeline_dsl.errors import syntax as mistakes
from pipeline_dsl.source import Source, Span

from . import tables
from .leaves import CLOSERS, NEWLINE, OPENERS, Leaf
from .lexer import Lexeme, lexemes
from .nesting import MAX_DEPTH, MAX_OPERATORS, Nesting

DECLARATIONS = frozenset(
    ("import", "from", "const", "param", "type", "stage", "private", "pipeline", "profile", "pipe")
)
"""Words a declaration starts with."""

MAX_NAME = 255
"""Characters of a name."""

_MANY_MISTAKES = 100

_GOES_ON = frozenset(
    ("LBRACE", "COMMA", "EQUAL", "PLUS", "MINUS", "BATCH", "SLASH", "CMP", "%", "??", "->", "and", "or")
)
_AFTER_NAME = frozenset(("and", "or", "in", "as", "with"))
_ADVICE = {
    ";": "a statement ends with its line",
    "'": 'strings stand in `"`',
    "`": 'strings stand in `"`',
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`, or `!=`",
    "$": 'constants go into strings as `"${NAME}"`',
    "\u201c": 'strings stand in `"`',
    "\u201d": 'strings stand in `"`',
    "\u00a0": "this is a no-break space; write a plain one",
}


@dataclass(slots=True)
class Chunk:
    """The tokens of one declaration, or of what stands before the first."""

    leaves: list[Leaf] = field(default_factory=list)
    broken: bool = False
    """Brackets do not match, and that has been reported."""
    reported: set[int] = field(default_factory=set)
    """Lines with a mistake that may cause others."""


class _Stop(Exception):
    """Ends the reading of a text that is no program."""


def chunks(source: Source, sink: Sink) -> list[Chunk]:
    """The declarations of a text as tokens; where a limit is passed, those before it."""
    layout = _Layout(source, sink)
    try:
        for lexeme in lexemes(source.text):
            layout.take(lexeme)
        layout.close()
    except _Stop:
        layout.chunks.pop()
    return [chunk for chunk in layout.chunks if chunk.leaves]


class _Layout:
    """The state of one reading."""

    def __init__(self, source: Source, sink: Sink) -> None:
        self.source = source
        self.sink = sink
        self.chunks = [Chunk()]
        self.nesting = Nesting()
        self.newline: Leaf | None = None  # seen, not yet known to mean something
        self.line_start = True
        self.previous: Leaf | None = None
        self.candidate: Leaf | None = None  # may start a declaration, if what follows is a name
        self.doc: list[str] = []
        self.blank = True

    # ---- lexemes

    def take(self, lexeme: Lexeme) -> None:
        """One lexeme."""
        kind = lexeme.kind
        if kind == "NEWLINE":
            self._newline(lexeme)
        elif kind == "COMMENT":
            self._comment(lexeme)
        elif kind.startswith("BAD"):
            self._bad(lexeme)
            self._stop_if_hopeless()
        else:
            self._token(lexeme)

    def _newline(self, lexeme: Lexeme) -> None:
        if self.line_start and self.blank:
            self.doc.clear()
        self.line_start = self.blank = True
        if self.newline is None and self.previous is not None and self._means_something(self.previous):
            self.newline = Leaf(NEWLINE, "\n", Span(self.source, lexeme.start, lexeme.end))

    def _means_something(self, previous: Leaf) -> bool:
        innermost = self.nesting.innermost
        if innermost is not None and innermost.type != "LBRACE":
            return False
        return not (previous.type in _GOES_ON or previous.text in _GOES_ON)

    def _comment(self, lexeme: Lexeme) -> None:
        if not self.line_start:
            return
        self.blank = False
        if lexeme.text.startswith("##"):
            self.doc.append(lexeme.text[2:].removeprefix(" ").rstrip())
        else:
            self.doc.clear()

    def _bad(self, lexeme: Lexeme) -> None:
        span = Span(self.source, lexeme.start, lexeme.end)
        self.sink.add(_bad_lexeme(lexeme, span).diagnostic())
        if lexeme.kind != "BAD":
            self._leaf(Leaf("STRING", lexeme.text, span, ""))
        self.chunks[-1].reported.add(span.line)

    def _token(self, lexeme: Lexeme) -> None:
        kind, text, start, end = lexeme
        span = Span(self.source, start, end)
        if kind == "NAME":
            if len(text) > MAX_NAME:
                self._stop(span, "this name is too long", f"{MAX_NAME} characters", "choose a shorter one")
            self._leaf(Leaf("NAME", text, span, None, tables.words().get(text, "")))
        elif kind == "OP":
            self._leaf(Leaf(tables.operators()[text], text, span))
        else:
            self._check_literal(kind, text, span)
            self._leaf(Leaf(kind, text, span, literals.value_of(kind, text)))

    def _check_literal(self, kind: str, text: str, span: Span) -> None:
        if kind in ("STRING", "TEXT"):
            for offset, escape in literals.bad_escapes(text):
                start = span.start + offset
                place = Span(self.source, start, start + len(escape))
                self.sink.add(mistakes.BadEscape(place, escape).diagnostic())
        elif not literals.fits(kind, text):
            self.sink.add(mistakes.Limit(span, "this number is too large", "64 bits").diagnostic())

    # ---- leaves

    def _leaf(self, leaf: Leaf) -> None:
        self._settle_candidate(leaf)
        if self.line_start:
            self._first_of_line(leaf)
        if self.newline is not None:
            if self.chunks[-1].leaves:
                self.chunks[-1].leaves.append(self.newline)
            self.newline = None
            self.nesting.separate()
        self.nesting.count(leaf, self.previous)
        if self.nesting.operators > MAX_OPERATORS:
            self._stop(leaf.span, "this expression has too many operators in a row", str(MAX_OPERATORS))
        if leaf.type in OPENERS:
            self._open(leaf)
        elif leaf.type in CLOSERS and not self._shut(leaf):
            return
        self.chunks[-1].leaves.append(leaf)
        self.previous = leaf

    def _first_of_line(self, leaf: Leaf) -> None:
        self.line_start = False
        if self.doc:
            leaf.doc = "\n".join(self.doc)
            self.doc.clear()
        if leaf.text not in DECLARATIONS or leaf.type != "NAME":
            return
        if not self.nesting.stack and (self.newline is not None or self.previous is None):
            self._start_chunk()
        else:
            self.candidate = leaf

    def _settle_candidate(self, leaf: Leaf) -> None:
        """The first words of a declaration where a line goes on: something above it was not finished."""
        candidate, self.candidate = self.candidate, None
        if candidate is None or self.line_start:
            return
        if leaf.type not in ("NAME", "STRING") or leaf.text in _AFTER_NAME:
            return
        self.chunks[-1].leaves.pop()
        if self.nesting.stack:
            self._unclosed(candidate.span)
        self._start_chunk()
        self.chunks[-1].leaves.append(candidate)

    def _start_chunk(self) -> None:
        self.newline = None
        self.nesting.separate()
        if self.chunks[-1].leaves:
            self.chunks.append(Chunk())

    def _stop(self, span: Span, what: str, limit: str, advice: str = "give parts of it names of their own") -> NoReturn:
        self.sink.add(mistakes.Limit(span, what, limit, advice).diagnostic())
        raise _Stop

    def _stop_if_hopeless(self) -> None:
        """More is never shown."""
        if len(self.sink.found) > _MANY_MISTAKES:
            raise _Stop

    # ---- brackets

    def _open(self, leaf: Leaf) -> None:
        if len(self.nesting.stack) >= MAX_DEPTH:
            self._stop(leaf.span, "brackets are nested too deeply", str(MAX_DEPTH))
        self.nesting.open(leaf)

    def _shut(self, leaf: Leaf) -> bool:
        """Whether the closing bracket has an opening one."""
        opener = CLOSERS[leaf.type]
        if all(opened.leaf.type != opener for opened in self.nesting.stack):
            self.chunks[-1].broken = True
            self.sink.add(mistakes.Stray(leaf.span, leaf.text).diagnostic())
            self._stop_if_hopeless()
            return False
        innermost = self.nesting.stack[-1].leaf
        if innermost.type != opener:
            self._report(innermost, leaf.span)
        while self.nesting.stack[-1].leaf.type != opener:
            self._supply()
        self.nesting.close()
        return True

    def _supply(self) -> None:
        """Closes the innermost bracket in place of its author."""
        opened = self.nesting.close()
        closer = OPENERS[opened.type]
        end = (self.previous or opened).span.end
        here = Span(self.source, end, end)
        self.chunks[-1].leaves.append(Leaf(closer, tables.spellings()[closer], here))

    def _unclosed(self, noticed: Span) -> None:
        guilty = _misindented(self.chunks[-1].leaves) or self.nesting.stack[-1].leaf
        self._report(guilty, noticed)
        while self.nesting.stack:
            self._supply()

    def _report(self, leaf: Leaf, noticed: Span) -> None:
        self.chunks[-1].broken = True
        closer = tables.spellings()[OPENERS[leaf.type]]
        self.sink.add(mistakes.Unclosed(leaf.span, leaf.text, noticed, closer).diagnostic())

    def close(self) -> None:
        """The end of the text."""
        if self.nesting.stack and self.previous is not None:
            end = self.previous.span.end
            self._unclosed(Span(self.source, end, end))


def _bad_lexeme(lexeme: Lexeme, span: Span) -> Mistake:
    if lexeme.kind == "BAD_TEXT":
        return mistakes.OpenText(Span(span.source, span.start, span.start + 3))
    if lexeme.kind == "BAD_STRING":
        return mistakes.OpenString(span)
    character = lexeme.text[0]
    return mistakes.BadCharacter(span, character, _ADVICE.get(character, ""))


def _misindented(leaves: list[Leaf]) -> Leaf | None:
    """The first `{` whose `}` starts a line that is indented less than the line of the `{`: not its own one."""
    stack: list[Leaf] = []
    for i, leaf in enumerate(leaves):
        if leaf.type == "LBRACE":
            stack.append(leaf)
        elif leaf.type == "RBRACE" and stack:
            opener = stack.pop()
            starts_line = i > 0 and leaves[i - 1].span.line < leaf.span.line
            if starts_line and _indent(leaf) < _indent(opener):
                return opener
    return None


def _indent(leaf: Leaf) -> int:
    line = leaf.span.source.line(leaf.span.line)
    return len(line) - len(line.lstrip())
