"""Mistakes at the end of an arm: E0204 to E0206 for `yield`."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span
from pipeline_dsl.spell import did_you_mean

from .base import Mistake, counted


@dataclass(frozen=True)
class YieldCount(Mistake):
    """An arm that yields more or fewer values than there are targets."""

    code = "E0204"
    title = "wrong number of targets"
    span: Span
    arm: str
    """the arm `then` of `if`"""
    values: int
    targets: int
    """Those that the arm gives a value to."""
    left: Span
    extra: str = ""
    """`ok`, which has a target of its own and is not yielded."""

    def diagnostic(self) -> Diagnostic:
        beside = f" beside `{self.extra}`" if self.extra else ""
        return self.at(
            self.span,
            f"{self.arm} yields {counted(self.values, 'value')}, {counted(self.targets, 'target')}{beside}",
            labels=(Label(self.left, f"{counted(self.targets, 'value')} wanted here{beside}"),),
            help="each arm yields one value for each name on the left, in order; `_` takes one that is not needed",
        )


@dataclass(frozen=True)
class YieldName(Mistake):
    """`yield x = 1` where nothing on the left is called `x`, or where some values have names and others not."""

    code = "E0205"
    title = "output missing or unknown"
    span: Span
    text: str
    name: str = ""
    targets: tuple[str, ...] = ()

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            self.text,
            label=did_you_mean(self.name, self.targets) if self.name else "",
            help="yield values in the order of the names on the left, or give each its name",
            notes=(f"on the left: {', '.join(self.targets)}",),
        )


@dataclass(frozen=True)
class NoYield(Mistake):
    """An arm that ends without `yield`."""

    code = "E0206"
    title = "missing or misplaced `return` or `yield`"
    span: Span
    arm: str
    targets: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"{self.arm} has no `yield`",
            help=f"end it with a value for each name on the left: `yield {', '.join(self.targets)}`",
        )


@dataclass(frozen=True)
class YieldNotLast(Mistake):
    """Statements behind `yield`, or a second one."""

    code = "E0206"
    title = "missing or misplaced `return` or `yield`"
    span: Span
    after: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            "`yield` must be the last statement of its arm",
            labels=(Label(self.after, "this stands behind it"),),
            help="move it to the end; an arm has one `yield`, with all values",
        )


@dataclass(frozen=True)
class ReturnInArm(Mistake):
    """`return` in an arm."""

    code = "E0206"
    title = "missing or misplaced `return` or `yield`"
    span: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            "`return` ends a pipeline, and this is the arm of a construct",
            help="write `yield`, and `return` what the construct gives at the end of the pipeline",
        )
