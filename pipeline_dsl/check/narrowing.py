"""What a condition says of optional values: in the arm of `if present(x)` the value of `x` is there.

`present(x) and y > 0` says so for its arm, `not present(x)` for the other one; `or` says nothing where it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pipeline_dsl import syntax

from .body import Body
from .regions import Outcome, Results, Value

Path = tuple[str, str]
"""A variable, and a port of it or ""."""


def narrow(arm: Body, condition: syntax.Expr, *, holds: bool) -> None:
    """In an arm, outer names are what the condition says of them where it holds, or where it does not."""
    region = arm.region
    if arm.scope.lookup("present") is not None:
        return  # a stage of that name
    for name, port in present(condition, holds):
        outcome = _required(region.outcome(name), port)
        if name not in region.variables and outcome is not None:
            region.narrowed[name] = outcome


def present(condition: syntax.Expr, holds: bool) -> Iterator[Path]:
    """Values that are there if the condition is `holds`."""
    match condition:
        case syntax.Unary(op="not", operand=operand):
            yield from present(operand, not holds)
        case syntax.Binary(op=("and" | "or") as op, left=left, right=right) if (op == "and") is holds:
            yield from present(left, holds)
            yield from present(right, holds)
        case syntax.Call(callee=syntax.Name("present"), args=[syntax.Argument(name=None, value=value)]) if holds:
            if isinstance(value, syntax.Name):
                yield value.text, ""
            elif isinstance(value, syntax.Member) and isinstance(value.value, syntax.Name):
                yield value.value.text, value.name.text


def _required(outcome: Outcome, port: str) -> Outcome:
    """The same value, which is there."""
    if isinstance(outcome, Results):
        single = len(outcome.values) == 1
        values = tuple((name, _value(v) if single or name == port else v) for name, v in outcome.values)
        return replace(outcome, values=values)
    return None if outcome is None else _value(outcome)


def _value(value: Value) -> Value:
    return value if value.typed.known else replace(value, typed=replace(value.typed, type=value.type.required()))
