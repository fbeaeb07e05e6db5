"""Mistakes in the text itself: characters, brackets, lines, words. Found by `layout` and `parse`."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import BOM, Span

from .base import Mistake
from .edits import Edits, before, line_break, one_blank, written

_INSTEAD = {";": "", "&": "and", "&&": "and", "|": "or", "||": "or", "!": "not ", "\u00a0": " "}
"""What to write for a character of another language."""


@dataclass(frozen=True)
class BadCharacter(Mistake):
    code = "E0001"
    title = "unexpected character"
    span: Span
    character: str
    advice: str = ""

    def diagnostic(self) -> Diagnostic:
        visible, code = self.character.isprintable(), f"U+{ord(self.character):04X}"
        shown = f"`{self.character}`" if visible else code
        if visible and not self.character.isascii():
            shown += f" ({code})"
        return self.at(self.span, f"unexpected character {shown}", help=self.advice, edits=self._edits())

    def _edits(self) -> Edits:
        text = self.span.text
        if text in _INSTEAD:
            return written(self.span, _INSTEAD[text])
        quoted = len(text) > 1 and text[0] == text[-1] == "'" and not set('"\\') & set(text)
        return written(self.span, f'"{text[1:-1]}"') if quoted else ()


@dataclass(frozen=True)
class Unexpected(Mistake):
    code = "E0002"
    title = "unexpected token"
    span: Span
    expected: str
    found: str
    advice: str = ""
    opened: Span | None = None
    """The bracket we are in, if it is on another line."""

    def diagnostic(self) -> Diagnostic:
        labels = (Label(self.opened, "inside this bracket"),) if self.opened else ()
        message = f"expected {self.expected}, found {self.found}"
        return self.at(self.span, message, labels=labels, help=self.advice)


@dataclass(frozen=True)
class Unclosed(Mistake):
    code = "E0003"
    title = "bracket without its partner"
    span: Span
    bracket: str
    noticed: Span
    closer: str

    def diagnostic(self) -> Diagnostic:
        noticed = Label(self.noticed, f"a `{self.closer}` is missing before this")
        return self.at(self.span, f"`{self.bracket}` is never closed", labels=(noticed,))


@dataclass(frozen=True)
class Stray(Mistake):
    code = "E0003"
    title = "bracket without its partner"
    span: Span
    bracket: str

    def diagnostic(self) -> Diagnostic:
        advice = f"remove `{self.bracket}`"
        return self.at(self.span, f"`{self.bracket}` closes nothing", help=advice, edits=written(self.span, ""))


@dataclass(frozen=True)
class WordOnNextLine(Mistake):
    code = "E0004"
    title = "line break in the wrong place"
    span: Span
    word: str
    brace: Span

    def diagnostic(self) -> Diagnostic:
        construct = "`if`" if self.word == "else" else "`try`"
        return self.at(
            self.span,
            f"`{self.word}` must be on the same line as `}}`",
            labels=(Label(self.brace, f"{construct} ends here because of the newline"),),
            help=f"write `}} {self.word} {{`   (pipectl fmt does it)",
            edits=one_blank(self.span, self.brace.end, self.span.start),
        )


@dataclass(frozen=True)
class LineEndsEarly(Mistake):
    code = "E0004"
    title = "line break in the wrong place"
    span: Span
    word: str

    def diagnostic(self) -> Diagnostic:
        message = f"`{self.word}` must be on the same line as what follows it"
        rest = self.span.source.text[self.span.end :]
        end = self.span.end + len(rest) - len(rest.lstrip())
        return self.at(
            self.span,
            message,
            help="remove the line break   (pipectl fmt does it)",
            edits=one_blank(self.span, self.span.end, end),
        )


@dataclass(frozen=True)
class BraceOnNextLine(Mistake):
    code = "E0004"
    title = "line break in the wrong place"
    span: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            "`{` must be on the line of what it belongs to",
            help="move it to the end of the line above   (pipectl fmt does it)",
            edits=one_blank(self.span, len(self.span.source.text[: self.span.start].rstrip()), self.span.start),
        )


@dataclass(frozen=True)
class ArmOnSameLine(Mistake):
    code = "E0004"
    title = "line break in the wrong place"
    span: Span
    word: str

    def diagnostic(self) -> Diagnostic:
        message = f"`{self.word}` of a `match` must start a line"
        advice = "break the line before it   (pipectl fmt does it)"
        return self.at(self.span, message, help=advice, edits=line_break(self.span))


@dataclass(frozen=True)
class OpenString(Mistake):
    code = "E0005"
    title = "string that can not be read"
    span: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            "string is not closed on this line",
            help='end it with `"`, or use `"""` for text of several lines',
        )


@dataclass(frozen=True)
class OpenText(Mistake):
    code = "E0005"
    title = "string that can not be read"
    span: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, 'text block is never closed by `"""`')


@dataclass(frozen=True)
class BadEscape(Mistake):
    code = "E0005"
    title = "string that can not be read"
    span: Span
    escape: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.escape}` is no escape",
            help="write `\\\\` for a backslash",
            notes=('escapes are \\n \\r \\t \\\\ \\" and \\u{1F600}',),
            edits=before(self.span, "\\"),
        )


@dataclass(frozen=True)
class OtherEdition(Mistake):
    code = "E0006"
    title = "edition this pipectl does not know"
    span: Span
    wanted: int
    newest: int

    def diagnostic(self) -> Diagnostic:
        newer = self.wanted > self.newest
        return self.at(
            self.span,
            f"this file needs edition {self.wanted}, pipectl knows {self.newest}",
            help="upgrade pipectl" if newer else f"write `pipe {self.newest}`",
            edits=() if newer else written(self.span, f"pipe {self.newest}"),
        )


@dataclass(frozen=True)
class Reserved(Mistake):
    code = "E0007"
    title = "reserved word as a name"
    span: Span
    word: str
    what: str
    """`a variable`, `a port`, ..."""

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span, f"`{self.word}` can not be the name of {self.what}", help=f"rename it, e.g. `{self.word}_`"
        )


@dataclass(frozen=True)
class Limit(Mistake):
    code = "E0008"
    title = "beyond what the compiler takes"
    span: Span
    what: str
    limit: str
    advice: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, f"{self.what}; the limit is {self.limit}", help=self.advice)


@dataclass(frozen=True)
class Unreadable(Mistake):
    code = "E0009"
    title = "file that can not be read"
    span: Span
    reason: str
    advice: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, f"can not read this file: {self.reason}", help=self.advice)


@dataclass(frozen=True)
class NoEdition(Mistake):
    code = "W0002"
    title = "no edition line"
    span: Span
    newest: int

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"no edition line; read as edition {self.newest}",
            help=f"write `pipe {self.newest}` as the first line",
            edits=self._edits(),
        )

    def _edits(self) -> Edits:
        source = self.span.source
        start = len(BOM) if source.text.startswith(BOM) else 0
        return before(Span(source, start, start), f"pipe {self.newest}\n\n")
