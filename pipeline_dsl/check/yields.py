"""The statements of an arm, and what its `yield` gives to each target: E0204, E0205, E0206.

Values go to the targets in order, or each to the one it names. A call that stands alone yields all of its outputs, as
it would give them to several targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline_dsl import syntax
from pipeline_dsl.errors.yields import NoYield, YieldCount, YieldName, YieldNotLast
from pipeline_dsl.source import Span

from .body import Body
from .flow_calls import single
from .flow_exprs import outcome_of
from .regions import Results, Value

Inside = Callable[[Body, syntax.Statement], None]
"""Types a statement of an arm other than `yield`. It comes as a value, because statements hold constructs again."""


@dataclass(frozen=True, slots=True)
class Yielded:
    """One value; None after its mistake has been told."""

    value: Value | None
    span: Span
    name: syntax.Ident | None = None
    """`yield x = ..`"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an arm has to yield."""

    arm: str
    """the arm `else` of `if`"""
    ports: tuple[str, ...]
    """What its values are called on the left."""
    left: Span
    extra: str = ""
    """A target that it has no value for: `ok`."""
    discarded: bool = False
    """Nobody sees what it yields: anything will do, also nothing."""


def yielded(body: Body, written: syntax.Body, wanted: Wanted, inside: Inside) -> list[Yielded] | None:
    """Types an arm's statements; what it yields for each of the wanted names, or None after reporting."""
    found: syntax.Yield | None = None
    for at, statement in enumerate(written.statements):
        if not isinstance(statement, syntax.Yield):
            inside(body, statement)
        elif found is not None:
            _values(body, statement)
        else:
            found = statement
            if at + 1 < len(written.statements):
                body.report(YieldNotLast(statement.span, written.statements[at + 1].span))
    if found is not None:
        values = _values(body, found)
        return values if wanted.discarded else _fitted(body, found, values, wanted)
    if wanted.discarded:
        return []
    body.report(NoYield(_end(written), wanted.arm, wanted.ports))
    return None


def _values(body: Body, statement: syntax.Yield) -> list[Yielded]:
    outs = statement.outs
    if len(outs) == 1 and outs[0].name is None:
        outcome = outcome_of(body, outs[0].value)
        span = outs[0].value.span
        if isinstance(outcome, Results) and len(outcome.values) > 1:
            return [Yielded(value, span) for _, value in outcome.values]
        return [Yielded(single(body, outcome, span), span)]
    values = [(single(body, outcome_of(body, out.value), out.value.span), out) for out in outs]
    return [Yielded(value, out.value.span, out.name) for value, out in values]


def _fitted(body: Body, statement: syntax.Yield, values: Sequence[Yielded], wanted: Wanted) -> list[Yielded] | None:
    """One value for each wanted name, in their order."""
    if len(values) != len(wanted.ports):
        span = statement.outs[0].span.to(statement.outs[-1].span)
        count = len(wanted.ports)
        body.report(YieldCount(span, wanted.arm, len(values), count, wanted.left, wanted.extra))
        return None
    if all(one.name is None for one in values):
        return list(values)
    found: dict[str, Yielded] = {}
    for one in values:
        name = one.name.text if one.name is not None else ""
        if one.name is None:
            text = "some values have a name here, and this one has none"
            body.report(YieldName(one.span, text, "", wanted.ports))
        elif name not in wanted.ports:
            body.report(YieldName(one.name.span, f"nothing on the left is called `{name}`", name, wanted.ports))
        elif name in found:
            body.report(YieldName(one.name.span, f"`{name}` is yielded twice", "", wanted.ports))
        else:
            found[name] = one
    return [found[port] for port in wanted.ports] if len(found) == len(wanted.ports) else None


def _end(written: syntax.Body) -> Span:
    """The end of a body, where `yield` is missing."""
    span = written.span
    return Span(span.source, max(span.end - 1, span.start), span.end)
