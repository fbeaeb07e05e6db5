"""Sequences and the state that stages keep between their requests: E0801 to E0804."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span

from .base import Mistake


@dataclass(frozen=True)
class PlainPipeline(Mistake):
    """Something of a sequence in a pipeline that takes requests one by one."""

    code = "E0801"
    title = "sequence in a plain pipeline"
    span: Span
    what: str
    """`vad` keeps state per sequence"""
    pipeline: str
    declared: Span | None = None

    def diagnostic(self) -> Diagnostic:
        labels = (Label(self.declared, "declared here"),) if self.declared else ()
        return self.at(
            self.span,
            f"{self.what}; `{self.pipeline}` has no `sequence {{}}`",
            labels=labels,
            help=f"add `sequence {{ id = correlation_id }}` to `{self.pipeline}`",
        )


@dataclass(frozen=True)
class SharedState(Mistake):
    """A sequence stage where one request would run it several times."""

    code = "E0802"
    title = "several runs would share a state"
    span: Span
    stage: str
    where: str
    """`map`, a `try` with `hedge`"""
    why: str
    advice: str

    def diagnostic(self) -> Diagnostic:
        text = f"`{self.stage}` keeps state per sequence and can not stand inside {self.where}: {self.why}"
        return self.at(self.span, text, help=self.advice)


@dataclass(frozen=True)
class UnpinnedSequence(Mistake):
    """A sequence stage in an arm that not all requests of a sequence go through."""

    code = "E0803"
    title = "sequence stage in an arm chosen at random"
    span: Span
    stage: str
    why: str
    """a sequence must stay on one arm"""
    route: Span | None
    advice: str

    def diagnostic(self) -> Diagnostic:
        labels = (Label(self.route, "each request is sent its own way here"),) if self.route else ()
        return self.at(
            self.span, f"`{self.stage}` keeps state per sequence: {self.why}", labels=labels, help=self.advice
        )


@dataclass(frozen=True)
class BadState(Mistake):
    """A state that can not be kept."""

    code = "E0804"
    title = "state can not be kept"
    span: Span
    state: str
    why: str
    advice: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, f"state `{self.state}` {self.why}", help=self.advice)
