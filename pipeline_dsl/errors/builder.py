"""Mistakes in Python that builds a pipeline: what is asked of a value before there is one, and missing names."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span

from .base import Mistake


@dataclass(frozen=True)
class NoValueYet(Mistake):
    """`if x:`, `len(x)`, `f"{x}"`: Python wants to know a value while the graph is built."""

    code = "E0901"
    title = "truth value of a symbolic value"
    span: Span
    value: str
    wanted: str
    """its truth, its length, .."""
    advice: str

    def diagnostic(self) -> Diagnostic:
        message = f"`{self.value}` has no value while the graph is built, but Python asks for {self.wanted}"
        return self.at(self.span, message, help=self.advice)


@dataclass(frozen=True)
class UnknownCount(Mistake):
    """`a, b = f(x)`, `for x in xs`."""

    code = "E0902"
    title = "unpacking count unknown"
    span: Span
    value: str
    advice: str

    def diagnostic(self) -> Diagnostic:
        message = f"Python can not take `{self.value}` apart: how many parts it has is not known yet"
        return self.at(self.span, message, help=self.advice)


@dataclass(frozen=True)
class ForeignValue(Mistake):
    """A value that the place it is used at can not see."""

    code = "E0903"
    title = "value of another pipeline or arm"
    span: Span
    value: str
    owner: str
    """pipeline `a`, an arm of `if_`, .."""
    made: Span

    def diagnostic(self) -> Diagnostic:
        advice = "return it there, and call that pipeline here"
        if not self.owner.startswith("pipeline"):
            advice = "let the body return it, and use what the construct gives"
        return self.at(
            self.span,
            f"`{self.value}` belongs to {self.owner}, it can not be used here",
            labels=(Label(self.made, "made here"),) if self.made != self.span else (),
            help=advice,
        )


@dataclass(frozen=True)
class OtherScope(Mistake):
    """`p.x = ..` in an inner body, where `p` is the scope of an outer one."""

    code = "E0903"
    title = "value of another pipeline or arm"
    span: Span
    name: str
    owner: str
    here: str

    def diagnostic(self) -> Diagnostic:
        where = f"it can not be set from {self.here}" if self.here else "which is built already"
        return self.at(
            self.span,
            f"`{self.name}` would be a name of {self.owner}, {where}",
            help="each body gets a scope of its own as its first argument: set the name on that one",
        )


@dataclass(frozen=True)
class OutsidePipeline(Mistake):
    """A stage or pipeline called where no graph is built."""

    code = "E0903"
    title = "value of another pipeline or arm"
    span: Span
    callee: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"{self.callee} is called outside of a pipeline",
            help='call it in a function below `@pp.pipeline(..)`; to get answers: `pp.load(pp.module(p))["p"](..)`',
        )


@dataclass(frozen=True)
class LocalCallable(Mistake):
    """A lambda, a closure or a method as a python stage."""

    code = "E0904"
    title = "python code without an importable name"
    span: Span
    what: str
    reason: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.what}` can not be imported by name: {self.reason}",
            help='move it to the top level of a module: `pp.python("module:name")`',
        )


@dataclass(frozen=True)
class UsedTwice(Mistake):
    """One call whose result is used in two places: in text these would be two calls."""

    code = "E0905"
    title = "call that needs a name"
    span: Span
    value: str
    first: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.value}` is used a second time and has no name: it would run twice",
            labels=(Label(self.first, "used here first"),) if self.first != self.span else (),
            help="name it before its first use, `p.x = ..`, and use `p.x`",
        )


@dataclass(frozen=True)
class MovedIntoBody(Mistake):
    """A call made outside of a body and used inside of it."""

    code = "E0905"
    title = "call that needs a name"
    span: Span
    value: str
    owner: str
    made: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.value}` was called in {self.owner} and has no name there",
            labels=(Label(self.made, "called here"),) if self.made != self.span else (),
            help="name it where it is called, `p.x = ..`, or call it in this body",
        )


@dataclass(frozen=True)
class NeverUsed(Mistake):
    """A call or a construct whose result goes nowhere: it would not be in the graph."""

    code = "E0905"
    title = "call that needs a name"
    span: Span
    value: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.value}` is made, but nothing names, uses or returns it",
            help="remove it, or write `p._ = ..` if it is called for what it does",
        )


@dataclass(frozen=True)
class ConstructInside(Mistake):
    """`if_`, `map_`, .. as a part of an expression."""

    code = "E0905"
    title = "call that needs a name"
    span: Span
    word: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"what `{self.word}` gives needs a name before it is used",
            help=f"`p.x = pp.{self.word}(..)`, then use `p.x`",
        )
