"""Mistakes with streams: E0701, E0702, E0703, E0707."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span

from .base import Mistake
from .types import Edge


@dataclass(frozen=True)
class StreamToPlain(Mistake):
    """A stream where one value is needed."""

    code = "E0701"
    title = "stream where a value is needed"
    edge: Edge

    def diagnostic(self) -> Diagnostic:
        edge = self.edge
        return self.at(
            edge.span,
            f"{edge.value} is a stream ({edge.found}), {edge.needs} needs one value ({edge.expected})",
            label=edge.here,
            labels=edge.labels(),
            help=f"wait for its end with `collect({_source(edge)})`, or take its elements one by one with `map`",
        )


@dataclass(frozen=True)
class PlainToStream(Mistake):
    """One value where a stream is needed."""

    code = "E0702"
    title = "value where a stream is needed"
    edge: Edge

    def diagnostic(self) -> Diagnostic:
        edge = self.edge
        return self.at(
            edge.span,
            f"{edge.value} is no stream ({edge.found}), {edge.needs} needs one ({edge.expected})",
            label=edge.here,
            labels=edge.labels(),
            help=f"make it a stream of one element: `stream_of({_source(edge)})`",
        )


def _source(edge: Edge) -> str:
    return edge.value.strip("`") if edge.value.startswith("`") else ".."


@dataclass(frozen=True)
class NoStream(Mistake):
    """`collect` of one value."""

    code = "E0702"
    title = "value where a stream is needed"
    span: Span
    value: str
    found: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`collect` takes a stream, {self.value} is none ({self.found})",
            help="use the value itself",
        )


@dataclass(frozen=True)
class StreamsJoined(Mistake):
    """Streams of different makers that are to be taken element by element."""

    code = "E0703"
    title = "streams joined element by element"
    span: Span
    what: str
    """stage `zip`; `map`"""
    streams: tuple[tuple[str, Span | None], ...]
    """What makes each of them, and where."""

    def diagnostic(self) -> Diagnostic:
        names = " and ".join(f"`{name}`" for name, _ in self.streams)
        if len(self.streams) == 1:
            return self.at(
                self.span,
                f"{self.what} takes the stream of {names} twice",
                help="take it once: an element can be used more than once where it is read",
            )
        labels = tuple(Label(span, f"made by `{name}`") for name, span in self.streams if span is not None)
        return self.at(
            self.span,
            f"{self.what} takes streams of {names} together: one may have more elements than the other",
            labels=labels,
            help="take one stream, and the others as values: `collect(..)`",
        )


@dataclass(frozen=True)
class ReadAgain(Mistake):
    """Elements of an outer stream taken where they may be wanted again: a block that is repeated, or copied."""

    code = "E0707"
    title = "stream read where it may be read again"
    span: Span
    reader: str
    """`collect`; stage `speak`; `map`"""
    stream: str
    made: Span | None
    block: Literal["try", "map", "shadow"]

    def diagnostic(self) -> Diagnostic:
        labels = (Label(self.made, f"`{self.stream}` makes it, outside of the `{self.block}`"),) if self.made else ()
        why, advice = _WHY[self.block]
        return self.at(
            self.span,
            f"{self.reader} reads a stream of `{self.stream}` inside `{self.block}`: {why}",
            labels=labels,
            help=advice,
        )


_WHY = {
    "try": (
        "what it has read is gone for the fallback",
        "make the stream inside the `try`, with `try (first = ..)` if it leaves it, or `collect` it before",
    ),
    "map": ("each item would need all of it", "`collect` it before the `map`, and use the value inside"),
    "shadow": ("a slow shadow would hold the request back", "`collect` it before, and use the value in the arm"),
}
