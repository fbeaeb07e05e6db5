"""What a change of a `.pipe` file breaks for those who call its pipelines: E1002."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span

from .base import Mistake


@dataclass(frozen=True)
class Breaks(Mistake):
    """A promise of the old file that the new one does not keep."""

    code = "E1002"
    title = "breaks those who call it"
    span: Span
    pipeline: str
    text: str
    before: Span | None = None
    """Where the old file promises it."""
    was: str = ""
    help: str = ""

    def diagnostic(self) -> Diagnostic:
        labels = (Label(self.before, self.was),) if self.before is not None else ()
        return self.at(self.span, f"pipeline `{self.pipeline}`: {self.text}", labels=labels, help=self.help)
