"""What names of a pipeline's body stand for while it is typed.

A `Value` is one typed value with the expression that makes it; `Results` are the outputs of a call, which
`r.port`, unpacking and (if there is one) plain use take apart. None stands for something whose mistake has been
told: whatever is made of it is None as well. Each body, and later each arm, is one `Region` of names.
"""

from __future__ import annotations

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


@dataclass(slots=True)
class Region:
    """Names of one body. `later` holds all names its statements define, `inner` those of arms below it."""

    later: dict[str, Span] = field(default_factory=dict)
    inner: dict[str, Span] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)

    def use(self, name: str) -> Variable | None:
        """The variable, counted as used; None if there is none yet."""
        found = self.variables.get(name)
        if found is not None:
            found.used = True
        return found
