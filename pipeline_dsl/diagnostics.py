"""What the compiler tells people: `Diagnostic` as data. Text, JSON, GitHub and SARIF forms are made in `render`.

A diagnostic is made by a class of the catalogue (`errors`), collected in a `Sink`, and shown once at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from .source import Span


class Severity(StrEnum):
    """How bad it is: only errors stop a compilation."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that matters, drawn with `-`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of the text: what is written in the place of a span."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake, with both places where two places disagree."""

    code: str
    message: str
    span: Span
    severity: Severity = Severity.ERROR
    label: str = ""
    """Drawn beside the `^^^`."""
    labels: tuple[Label, ...] = ()
    help: str = ""
    """A concrete edit where one is possible."""
    notes: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()
    """What `help` or the label asks for, where it is sure what is to be written."""

    @property
    def sort_key(self) -> tuple[str, int, str]:
        return (self.span.source.path, self.span.start, self.code)


LIMIT = 50
"""Errors shown for one run."""


@dataclass(slots=True)
class Sink:
    """Collects diagnostics of one compilation; each place and code once."""

    found: dict[tuple[str, int, int, str], Diagnostic] = field(default_factory=dict)

    def add(self, diagnostic: Diagnostic) -> None:
        span = diagnostic.span
        self.found.setdefault((span.source.path, span.start, span.end, diagnostic.code), diagnostic)

    @property
    def crowded(self) -> bool:
        """It holds more than is shown: what is costly and only helps to read one, a nearest name, may be left out."""
        return len(self.found) > LIMIT

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self.sorted() if d.severity is Severity.ERROR]

    @property
    def has_errors(self) -> bool:
        return any(d.severity is Severity.ERROR for d in self.found.values())

    def sorted(self) -> list[Diagnostic]:
        return sorted(self.found.values(), key=lambda d: d.sort_key)


class CompileError(Exception):
    """A module with mistakes; `diagnostics` holds all of them, sorted by place."""

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        self.diagnostics = diagnostics
        super().__init__("\n".join(f"{d.span}: {d.severity}[{d.code}]: {d.message}" for d in diagnostics))
