"""`Mistake`: what all classes of the catalogue share. Facts go in as fields, a `Diagnostic` comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pipeline_dsl.diagnostics import Diagnostic, Edit, Label, Severity
from pipeline_dsl.source import Span


def counted(number: int, word: str) -> str:
    """`1 output`, `2 outputs`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


class Mistake(ABC):
    """One way to be wrong. Subclasses are frozen dataclasses that set `code` and `title`."""

    code: ClassVar[str]
    """Stable: `E0301` is an error, `W0201` a warning."""
    title: ClassVar[str]
    """A few words for lists and page heads."""

    @abstractmethod
    def diagnostic(self) -> Diagnostic:
        """This mistake as text with places."""

    @classmethod
    def severity(cls) -> Severity:
        return Severity.WARNING if cls.code.startswith("W") else Severity.ERROR

    def at(
        self,
        span: Span,
        message: str,
        *,
        label: str = "",
        labels: tuple[Label, ...] = (),
        help: str = "",  # noqa: A002 -- the field it fills has this name
        notes: tuple[str, ...] = (),
        edits: tuple[Edit, ...] = (),
    ) -> Diagnostic:
        """A diagnostic of this code and severity."""
        return Diagnostic(self.code, message, span, self.severity(), label, labels, help, notes, edits)
