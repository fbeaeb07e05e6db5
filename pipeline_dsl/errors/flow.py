"""Mistakes in the body of a pipeline: names, targets, return, recursion, what can not run yet."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span
from pipeline_dsl.spell import did_you_mean

from .base import Mistake, counted
from .edits import before, written


@dataclass(frozen=True)
class UsedBeforeDefinition(Mistake):
    """A variable above the line that defines it."""

    code = "E0201"
    title = "variable used before its definition"
    span: Span
    name: str
    defined: Span

    def diagnostic(self) -> Diagnostic:
        if self.defined.start < self.span.start:
            return self.at(
                self.span,
                f"`{self.name}` is used in its own definition",
                labels=(Label(self.defined, "defined here"),),
                help="use the value it is made of, or another name",
            )
        return self.at(
            self.span,
            f"`{self.name}` is defined below (line {self.defined.line})",
            labels=(Label(self.defined, "defined here"),),
            help="move the definition up; the order of lines does not change what runs side by side",
        )


@dataclass(frozen=True)
class UsedOutsideArm(Mistake):
    """A name of an arm, below the construct."""

    code = "E0202"
    title = "variable of an arm used outside"
    span: Span
    name: str
    defined: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.name}` exists only inside its arm",
            labels=(Label(self.defined, "defined here"),),
            help=f"`yield {self.name}` in each arm, and take it on the left of `=`",
        )


@dataclass(frozen=True)
class SecondAssignment(Mistake):
    """One name, two definitions."""

    code = "E0203"
    title = "second assignment"
    span: Span
    name: str
    first: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.name}` is already defined",
            labels=(Label(self.first, "defined here first"),),
            help="use another name: each name is assigned once",
        )


@dataclass(frozen=True)
class TargetCount(Mistake):
    """`a, b = f(x)` where `f` has not two outputs."""

    code = "E0204"
    title = "wrong number of targets"
    span: Span
    what: str
    """stage `detect`"""
    outputs: tuple[tuple[str, str], ...]
    targets: int

    def diagnostic(self) -> Diagnostic:
        count, names = len(self.outputs), ", ".join(name for name, _ in self.outputs)
        advice = f"take all of them (`_` discards one): `{names} = ..`" if count else "it gives nothing to take"
        return self.at(
            self.span,
            f"{self.what} has {counted(count, 'output')}, {counted(self.targets, 'target')}",
            help=advice,
            notes=("outputs: " + (", ".join(f"{n}: {t}" for n, t in self.outputs) or "none"),),
        )


@dataclass(frozen=True)
class NotUnpackable(Mistake):
    """`a, b = 1 + 2`"""

    code = "E0204"
    title = "wrong number of targets"
    span: Span
    found: str
    targets: int

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"{counted(self.targets, 'target')} for one value ({self.found})",
            help="only the outputs of a call are unpacked; write one name",
        )


@dataclass(frozen=True)
class MissingOutputs(Mistake):
    """Outputs that `return` does not name."""

    code = "E0205"
    title = "output missing or unknown"
    span: Span
    pipeline: str
    missing: tuple[str, ...]
    declared: Span

    def diagnostic(self) -> Diagnostic:
        names = ", ".join(f"`{m}`" for m in self.missing)
        return self.at(
            self.span,
            f"pipeline `{self.pipeline}` does not return {names}",
            labels=(Label(self.declared, "declared here"),),
            help="add to `return`: " + ", ".join(f"{m} = .." for m in self.missing),
        )


@dataclass(frozen=True)
class UnknownReturn(Mistake):
    """`return x` where `x` is no output."""

    code = "E0205"
    title = "output missing or unknown"
    span: Span
    pipeline: str
    name: str
    outputs: tuple[str, ...]
    wanted: str = ""
    """The first output that nothing returns."""

    def diagnostic(self) -> Diagnostic:
        advice = f"write `{self.wanted} = {self.name}`" if self.wanted else "remove it, or declare it"
        return self.at(
            self.span,
            f"pipeline `{self.pipeline}` has no output `{self.name}`",
            label=did_you_mean(self.name, self.outputs),
            help=advice,
            notes=(f"outputs: {', '.join(self.outputs) or 'none'}",),
            edits=written(self.span, f"{self.wanted} = {self.name}") if self._is_plain else (),
        )

    @property
    def _is_plain(self) -> bool:
        """Whether it is the shorthand `return x` for an output that lacks a value."""
        rest = self.span.source.text[self.span.end :].lstrip(" ")
        return bool(self.wanted) and self.span.text == self.name and not rest.startswith("=")


@dataclass(frozen=True)
class UnnamedReturn(Mistake):
    """`return f(x)`: an expression without the name of its output."""

    code = "E0205"
    title = "output missing or unknown"
    span: Span
    outputs: tuple[str, ...]
    wanted: str = ""
    """The first output that nothing returns."""

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            "each output is returned by name",
            help=f"write `{self.wanted} = {self._written()}`" if self.wanted else "",
            notes=(f"outputs: {', '.join(self.outputs) or 'none'}",),
            edits=before(self.span, f"{self.wanted} = ") if self.wanted else (),
        )

    def _written(self) -> str:
        text = self.span.text
        return text if 0 < len(text) <= 40 and "\n" not in text else ".."


@dataclass(frozen=True)
class ReturnedTwice(Mistake):
    """One output, two values."""

    code = "E0205"
    title = "output missing or unknown"
    span: Span
    name: str
    first: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"output `{self.name}` is returned twice",
            labels=(Label(self.first, "returned here first"),),
            help="remove one of them",
        )


@dataclass(frozen=True)
class NoReturn(Mistake):
    """A pipeline with outputs that ends without `return`."""

    code = "E0206"
    title = "missing or misplaced `return` or `yield`"
    span: Span
    pipeline: str
    outputs: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"pipeline `{self.pipeline}` has no `return`",
            help=f"end its body with `return {', '.join(self.outputs)}`",
        )


@dataclass(frozen=True)
class SecondReturn(Mistake):
    """Two `return`s."""

    code = "E0206"
    title = "missing or misplaced `return` or `yield`"
    span: Span
    first: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            "a pipeline has one `return`",
            labels=(Label(self.first, "the first one"),),
            help="name all outputs in one `return`",
        )


@dataclass(frozen=True)
class ReturnNotLast(Mistake):
    """Statements behind `return`."""

    code = "E0206"
    title = "missing or misplaced `return` or `yield`"
    span: Span
    after: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            "`return` must be the last statement",
            labels=(Label(self.after, "this stands behind it"),),
            help="move `return` to the end of the pipeline",
        )


@dataclass(frozen=True)
class YieldInPipeline(Mistake):
    """`yield` outside of an arm."""

    code = "E0206"
    title = "missing or misplaced `return` or `yield`"
    span: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, "`yield` belongs to the arm of a construct", help="a pipeline ends with `return`")


@dataclass(frozen=True)
class StrayBlock(Mistake):
    """A settings block in a body."""

    code = "E0206"
    title = "missing or misplaced `return` or `yield`"
    span: Span
    name: str
    place: str = "a pipeline's body"
    end: str = "`return`"

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"{self.place} holds assignments and one {self.end}, not a block `{self.name}`",
            help="settings stand in a `profile`",
        )


@dataclass(frozen=True)
class Recursion(Mistake):
    """A pipeline that reaches itself."""

    code = "E0207"
    title = "recursion"
    span: Span
    pipeline: str
    through: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        names = [f"`{name}`" for name in self.through]
        shown = [*names[:3], ".."] if len(names) > 3 else names
        way = f" through {', '.join(shown)}" if shown else ""
        return self.at(
            self.span,
            f"pipeline `{self.pipeline}` calls itself{way}",
            help="write the steps out, or put the loop into a python stage",
        )


@dataclass(frozen=True)
class TooLarge(Mistake):
    """Pipelines that call pipelines that call pipelines."""

    code = "E0209"
    title = "pipeline too large"
    span: Span
    pipeline: str
    limit: int

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"pipeline `{self.pipeline}` has more than {self.limit:,} nodes with this call",
            help="a called pipeline is copied into its caller: call it once for all rows, or serve it by itself",
        )


@dataclass(frozen=True)
class NotExecutable(Mistake):
    """Something the language has and this version can not run."""

    code = "E0599"
    title = "not executable in this version"
    span: Span
    what: str
    """`map`, a stream, .."""
    advice: str

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, f"{self.what} is not executable in this version", help=self.advice)
