"""Mistakes at a call: callee, ports, version, options, operands."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span
from pipeline_dsl.spell import did_you_mean

from .base import Mistake, counted
from .edits import respelled


@dataclass(frozen=True)
class UnknownPort(Mistake):
    """A named argument that the callee has no port for."""

    code = "E0401"
    title = "unknown port"
    span: Span
    callee: str
    """stage `encoder`, pipeline `embed`, built-in `len`"""
    port: str
    ports: tuple[tuple[str, str], ...]
    """Names and types."""

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"{self.callee} has no port `{self.port}`",
            label=did_you_mean(self.port, [name for name, _ in self.ports]),
            notes=(_listed(self.ports),),
            edits=respelled(self.span, self.port, [name for name, _ in self.ports]),
        )


@dataclass(frozen=True)
class UnknownOutput(Mistake):
    """`r.x` where the call behind `r` has no output `x`."""

    code = "E0401"
    title = "unknown port"
    span: Span
    value: str
    port: str
    ports: tuple[tuple[str, str], ...]

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"{self.value} has no output `{self.port}`",
            label=did_you_mean(self.port, [name for name, _ in self.ports]),
            notes=(_listed(self.ports, "outputs"),),
            edits=respelled(self.span, self.port, [name for name, _ in self.ports]),
        )


@dataclass(frozen=True)
class TooManyArguments(Mistake):
    """More positional arguments than ports."""

    code = "E0401"
    title = "unknown port"
    span: Span
    callee: str
    given: int
    ports: tuple[tuple[str, str], ...]

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"{self.callee} takes {counted(len(self.ports), 'argument')}, found {self.given}",
            notes=(_listed(self.ports),),
        )


@dataclass(frozen=True)
class NoSuchArgument(Mistake):
    """A named argument of a built-in."""

    code = "E0401"
    title = "unknown port"
    span: Span
    function: str
    use: str

    def diagnostic(self) -> Diagnostic:
        message = f"built-in `{self.function}` takes its arguments by position"
        return self.at(self.span, message, notes=(self.use,))


@dataclass(frozen=True)
class MissingPorts(Mistake):
    """Ports that need a value and got none."""

    code = "E0402"
    title = "required port not given"
    span: Span
    callee: str
    missing: tuple[str, ...]
    ports: tuple[tuple[str, str], ...]

    def diagnostic(self) -> Diagnostic:
        names = ", ".join(f"`{m}`" for m in self.missing)
        return self.at(
            self.span,
            f"call of {self.callee} lacks {names}",
            help="add " + ", ".join(f"`{m} = ..`" for m in self.missing),
            notes=(_listed(self.ports),),
        )


@dataclass(frozen=True)
class WrongCount(Mistake):
    """Too few or too many operands of a built-in."""

    code = "E0402"
    title = "required port not given"
    span: Span
    problem: str
    use: str

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, self.problem, notes=(self.use,))


@dataclass(frozen=True)
class PortTwice(Mistake):
    """One port, two values."""

    code = "E0403"
    title = "port given twice"
    span: Span
    port: str
    first: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"port `{self.port}` is given twice",
            labels=(Label(self.first, "given here first"),),
            help="remove one of them",
        )


@dataclass(frozen=True)
class FilledPort(Mistake):
    """A value for a port that the runtime fills."""

    code = "E0403"
    title = "port given twice"
    span: Span
    stage: str
    port: str
    by: str
    """its `ragged` rule for `L`"""

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"port `{self.port}` of `{self.stage}` is filled by {self.by}",
            help="remove this argument",
        )


@dataclass(frozen=True)
class PositionalAfterNamed(Mistake):
    """`f(x = a, b)`"""

    code = "E0403"
    title = "port given twice"
    span: Span
    named: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            "an argument without a name stands behind one with a name",
            labels=(Label(self.named, "the first with a name"),),
            help="write `port = ..` here, or put it in front",
        )


@dataclass(frozen=True)
class NoMembers(Mistake):
    """`x.y` where `x` is one value."""

    code = "E0404"
    title = "wrong kind of name"
    span: Span
    value: str
    found: str
    member: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"{self.value} is {self.found} and has no member `{self.member}`",
            help='`.name` takes an output of a call; a field of json is read with `json_get(x, "name")`',
        )


@dataclass(frozen=True)
class UnlistedVersion(Mistake):
    """`f@9` where the stage lists no version 9."""

    code = "E0405"
    title = "version not listed"
    span: Span
    stage: str
    version: int | str
    versions: tuple[int, ...]
    declared: Span | None

    def diagnostic(self) -> Diagnostic:
        listed = ", ".join(map(str, self.versions))
        has = f"has versions {listed}" if listed else "lists no versions"
        wider = ", ".join(map(str, sorted({*self.versions, self.version}, key=str)))
        advice = f"add it to the stage: `versions = [{wider}]`"
        if isinstance(self.version, str):
            advice = "a version is a whole number or `latest`"
        return self.at(
            self.span,
            f"`{self.stage}` {has}; `@{self.version}` is not loaded",
            labels=(Label(self.declared, "declared here"),) if self.declared else (),
            help=advice,
        )


@dataclass(frozen=True)
class AmbiguousHandle(Mistake):
    """A call with several outputs where one value is needed."""

    code = "E0406"
    title = "call with several outputs used as one value"
    span: Span
    value: str
    outputs: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        many = f"has {len(self.outputs)} outputs" if self.outputs else "has no outputs"
        name = self.value.strip("`") if self.value.startswith("`") else "f(..)"
        advice = " or ".join(f"`{name}.{o}`" for o in self.outputs)
        return self.at(
            self.span,
            f"{self.value} {many}, it is not one value",
            help=f"write {advice}, or unpack it" if self.outputs else "",
        )


@dataclass(frozen=True)
class TensorOperand(Mistake):
    """An operand with dims where single values are computed."""

    code = "E0408"
    title = "expression on a tensor"
    span: Span
    problem: str
    advice: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, self.problem, help=self.advice or "use a stage for anything with dims")


def _listed(ports: tuple[tuple[str, str], ...], word: str = "ports") -> str:
    return f"{word}: " + (", ".join(f"{name}: {spelled}" for name, spelled in ports) or "none")
