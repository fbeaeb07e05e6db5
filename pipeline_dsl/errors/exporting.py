"""What a pipeline says and another system's configuration has no words for: E1001."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic
from pipeline_dsl.source import Span

from .base import Mistake


@dataclass(frozen=True)
class NoEqual(Mistake):
    """A construct that an export can not write."""

    code = "E1001"
    title = "no equal in the other system"
    span: Span
    system: str
    """Triton"""
    text: str
    """`map`: an ensemble has one batch size along its steps"""
    help: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, f"{self.system} has no equal of {self.text}", help=self.help)
