"""Diagnostics for terminals: the message, the lines of source it is about, carets under them.

    error[E0401]: stage `encoder` has no port `ids`
      --> embed.pipe:23:15
       |
    23 |   h = encoder(ids = ids, attention_mask = mask)
       |               ^^^ did you mean `input_ids`?
       |
       = note: ports: input_ids: i64[*, ~L], attention_mask: i64[*, ~L]

`^` is the place at fault, `-` are places it disagrees with. Columns count what a terminal shows: tabs are widened,
East Asian characters take two cells. Control characters of a source never reach the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from pipeline_dsl.diagnostics import LIMIT, Diagnostic, Severity
from pipeline_dsl.source import Source, Span

from .cells import Line, clean

_STYLES = {"error": "1;31", "warning": "1;33", "primary": "1;31", "secondary": "1;34", "gutter": "1;34", "bold": "1"}


@dataclass(frozen=True, slots=True)
class Paint:
    """Puts colour on text, or not."""

    on: bool

    def __call__(self, style: str, text: str) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.on and text else text


@dataclass(frozen=True, slots=True)
class _Mark:
    """A span to underline."""

    span: Span
    text: str
    primary: bool

    @property
    def order(self) -> tuple[int, bool, int]:
        return (self.span.line, not self.primary, self.span.start)


def text(diagnostics: Iterable[Diagnostic], *, colour: bool = False) -> str:
    """All diagnostics, at most `LIMIT` errors of them, and a line that counts them."""
    every = list(diagnostics)
    if not every:
        return ""
    shown = _limited(every)
    blocks = [one(d, Paint(colour)) for d in shown]
    return "\n".join([*blocks, _summary(every, len(every) - len(shown))])


def one(diagnostic: Diagnostic, paint: Paint = Paint(False)) -> str:
    """One diagnostic; ends with a newline."""
    marks = [_Mark(diagnostic.span, diagnostic.label, True)]
    marks += [_Mark(label.span, label.text, False) for label in diagnostic.labels]
    width = max(2, *(len(str(mark.span.line)) for mark in marks))
    head = f"{diagnostic.severity}[{diagnostic.code}]"
    lines = [paint(str(diagnostic.severity), head) + paint("bold", f": {clean(diagnostic.message)}")]
    for number, (source, group) in enumerate(_by_source(marks)):
        lines += _snippet(source, group, number == 0, width, paint)
    lines += _foot(diagnostic, width, paint)
    return "\n".join(lines) + "\n"


def _limited(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    errors = [d for d in diagnostics if d.severity is Severity.ERROR]
    hidden = {id(d) for d in errors[LIMIT:]}
    return [d for d in diagnostics if id(d) not in hidden]


def _summary(diagnostics: Sequence[Diagnostic], hidden: int) -> str:
    errors = sum(d.severity is Severity.ERROR for d in diagnostics)
    counts = [(errors, "error"), (len(diagnostics) - errors, "warning")]
    said = ", ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in counts if n)
    more = f" ({hidden} not shown)" if hidden else ""
    first = min(diagnostics, key=lambda d: d.severity is not Severity.ERROR)
    return f"{said}{more}; `pipectl explain {first.code}` says more\n"


def _by_source(marks: list[_Mark]) -> list[tuple[Source, list[_Mark]]]:
    """The marks of each source, that of the primary one first."""
    first = marks[0].span.source.path
    ordered = sorted(marks, key=lambda m: (m.span.source.path != first, m.span.source.path))
    groups = [list(g) for _, g in groupby(ordered, key=lambda m: m.span.source.path)]
    return [(group[0].span.source, group) for group in groups]


def _snippet(source: Source, marks: list[_Mark], first: bool, width: int, paint: Paint) -> list[str]:
    place = min(marks, key=lambda m: not m.primary).span
    arrow = "-->" if first else ":::"
    lead = " " * width + paint("gutter", arrow)
    if not source.text:
        return [f"{lead} {clean(source.path)}"]
    lines = [f"{lead} {clean(str(place))}"]
    bar = " " * (width + 1) + paint("gutter", "|")
    lines.append(bar)
    shown = 0
    for number, group in groupby(sorted(marks, key=lambda m: m.order), key=lambda m: m.span.line):
        if shown and number == shown + 2:
            lines.append(_source_line(source, shown + 1, width, paint))
        elif shown and number > shown + 1:
            lines.append(bar)
        lines += _marked_line(source, number, list(group), width, paint)
        shown = number
    return lines


def _source_line(source: Source, number: int, width: int, paint: Paint) -> str:
    return _numbered(number, Line(source.line(number)).shown, width, paint)


def _numbered(number: int, shown: str, width: int, paint: Paint) -> str:
    return (paint("gutter", f"{number:<{width}} |") + f" {shown}").rstrip()


def _marked_line(source: Source, number: int, marks: list[_Mark], width: int, paint: Paint) -> list[str]:
    start = source.line_starts[number - 1]
    content = source.line(number)
    line = Line(content, focus=marks[0].span.start - start)
    rows = [_numbered(number, line.shown, width, paint)]
    for mark in marks:
        low = min(mark.span.start - start, len(content))
        high = min(mark.span.end - start, len(content))
        left, right = line.cell(low), line.cell(high)
        style = "primary" if mark.primary else "secondary"
        drawn = ("^" if mark.primary else "-") * max(right - left, 1)
        said = f"{drawn} {clean(mark.text)}" if mark.text else drawn
        rows.append(" " * (width + 1) + paint("gutter", "|") + " " * (left + 1) + paint(style, said))
    return rows


def _foot(diagnostic: Diagnostic, width: int, paint: Paint) -> list[str]:
    if not diagnostic.notes and not diagnostic.help:
        return []
    lines = [" " * (width + 1) + paint("gutter", "|")] if diagnostic.span.source.text else []
    lines += [" " * (width + 1) + paint("gutter", "=") + f" note: {clean(note)}" for note in diagnostic.notes]
    if diagnostic.help:
        lines.append(paint("bold", "help") + f": {clean(diagnostic.help)}")
    return lines
