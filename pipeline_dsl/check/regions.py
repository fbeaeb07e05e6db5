"""What names of a pipeline's body stand for while it is typed.

A `Value` is one typed value with the expression that makes it; `Results` are the outputs of a call, which
`r.port`, unpacking and (if there is one) plain use take apart. None stands for something whose mistake has been
told: whatever is made of it is None as well. Each body and each arm is one `Region` of names; an arm's sees those
around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from pipeline_dsl import ir
from pipeline_dsl.operations import Typed
from pipeline_dsl.source import Span
from pipeline_dsl.types import TensorType


@dataclass(frozen=True, slots=True)
class Value:
    """One value. `expression` is a `Constant` where the value is known."""

    typed: Typed
    expression: ir.Expression
    span: Span
    """Where it was produced."""
    name: str = ""
    """Its variable, or "" for an expression."""

    @property
    def type(self) -> TensorType:
        return self.typed.type

    @property
    def shown(self) -> str:
        """For messages."""
        return f"`{self.name}`" if self.name else "this value"

    def named(self, name: str, span: Span) -> Value:
        """The same value under a name."""
        return replace(self, name=name, span=span)


@dataclass(frozen=True, slots=True)
class Results:
    """The outputs of one call in port order."""

    callee: str
    """stage `detect`"""
    values: tuple[tuple[str, Value], ...]
    span: Span
    name: str = ""

    @property
    def shown(self) -> str:
        """For messages."""
        return f"`{self.name}`" if self.name else f"the call of {self.callee}"

    def named(self, name: str, span: Span) -> Results:
        """The same outputs under a name; a single output is the value of that name."""
        single = len(self.values) == 1
        values = tuple((port, v.named(name if single else f"{name}.{port}", span)) for port, v in self.values)
        return Results(self.callee, values, span, name)

    @property
    def ports(self) -> tuple[tuple[str, str], ...]:
        """Names and types, for notes."""
        return tuple((port, str(value.type)) for port, value in self.values)


Outcome = Value | Results | None


@dataclass(slots=True)
class Variable:
    """A name, what it stands for, where it is defined, and whether anything reads it."""

    outcome: Outcome
    span: Span
    kind: str = "variable"
    used: bool = False


@dataclass(frozen=True, slots=True)
class Inner:
    """A name of an arm, as seen from outside of it."""

    span: Span
    shadow: bool = False
    """It is in a shadow arm."""


@dataclass(slots=True)
class Region:
    """Names of one body or arm. `later` holds all names its statements define, `inner` those of arms below it."""

    later: dict[str, Span] = field(default_factory=dict)
    inner: dict[str, Inner] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    outer: Region | None = None
    narrowed: dict[str, Outcome] = field(default_factory=dict)
    """What outer names stand for here, where more is known of them: `x` in the arm of `if present(x)`."""

    @property
    def chain(self) -> Iterator[Region]:
        """This region and those around it, from the inside."""
        region: Region | None = self
        while region is not None:
            yield region
            region = region.outer

    def find(self, name: str) -> Variable | None:
        """The variable as it is here, in this region or one around it; None if there is none yet."""
        for region in self.chain:
            if name in region.variables:
                return region.variables[name]
        return None

    def use(self, name: str) -> Outcome | Missing:
        """What a name stands for, which counts as a use; `MISSING` if there is no such variable yet."""
        found = self.find(name)
        if found is None:
            return MISSING
        found.used = True
        return self.outcome(name)

    def outcome(self, name: str) -> Outcome:
        """What a variable stands for here."""
        for region in self.chain:
            if name in region.narrowed:
                return region.narrowed[name]
            if name in region.variables:
                return region.variables[name].outcome
        return None

    def defined_later(self, name: str) -> Span | None:
        """Where a name is defined below the statement at hand."""
        return next((r.later[name] for r in self.chain if name in r.later and name not in r.variables), None)

    def inside_an_arm(self, name: str) -> Inner | None:
        """Where a name is defined that only an arm has."""
        return next((r.inner[name] for r in self.chain if name in r.inner), None)

    @property
    def visible(self) -> tuple[str, ...]:
        """All names that can be read here."""
        return tuple(name for region in self.chain for name in region.variables)


class Missing:
    """Says that there is no such variable, where None says that it has mistakes."""


MISSING = Missing()
