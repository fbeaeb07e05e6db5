"""Types and signatures as declared: E0302 for constants, E0308, E0312 to E0315."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span

from .base import Mistake


@dataclass(frozen=True)
class DeclaredMismatch(Mistake):
    """A compile-time value that does not have the declared or needed dtype."""

    code = "E0302"
    title = "dtypes differ"
    span: Span
    text: str
    declared: Span | None = None
    help: str = ""

    def diagnostic(self) -> Diagnostic:
        labels = (Label(self.declared, "declared here"),) if self.declared else ()
        return self.at(self.span, self.text, labels=labels, help=self.help)


@dataclass(frozen=True)
class DimMisplaced(Mistake):
    """`*` that is not first or has no meaning here, or a second `...`."""

    code = "E0308"
    title = "dim out of place"
    span: Span
    text: str
    help: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, self.text, help=self.help)


@dataclass(frozen=True)
class RaggedFirst(Mistake):
    """`~L` with no element in front that it could be the size of."""

    code = "E0312"
    title = "ragged size without an element"
    span: Span
    dim: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.dim}` is the first dim: a ragged size is one per element of a dim before it",
            help=f"write `{self.dim.lstrip('~')}` for one size of the whole value, or `*, {self.dim}`",
        )


@dataclass(frozen=True)
class RowsNotKept(Mistake):
    """A signature whose rows would not be independent of one another."""

    code = "E0313"
    title = "rows are not independent"
    span: Span
    text: str
    rows: Span | None
    """A port that has `*`."""
    help: str

    def diagnostic(self) -> Diagnostic:
        labels = (Label(self.rows, "has rows"),) if self.rows else ()
        return self.at(self.span, self.text, labels=labels, help=self.help)


@dataclass(frozen=True)
class SizeOfBatch(Mistake):
    """A size that only outputs have, one for the whole batch."""

    code = "E0314"
    title = "size depends on the batch"
    span: Span
    port: str
    size: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.size}` of output `{self.port}` is one size for all rows of a batch, and no input fixes it",
            help=f"write `~{self.size}`: one size per row",
            notes=("answers would depend on which requests share a batch",),
        )


@dataclass(frozen=True)
class NoSignature(Mistake):
    """A stage that says neither ports nor `like`."""

    code = "E0315"
    title = "stage without signature"
    span: Span
    name: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"stage `{self.name}` has no signature",
            help=f"write its ports: `stage {self.name}(x: f32[*, 3]) -> (y: f32[*])`, or run `pipectl lock`",
        )
