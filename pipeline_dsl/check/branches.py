"""`if` and `match`: E0501 to E0503, W0502. Each element takes one arm, by a bool or by one of the listed values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline_dsl import ir, syntax
from pipeline_dsl.errors.control import CaseTwice, KnownBranch, NotExhaustive, NotOneValue
from pipeline_dsl.errors.names import NotComputable
from pipeline_dsl.errors.signatures import DeclaredMismatch
from pipeline_dsl.errors.types import OperandMayBeAbsent
from pipeline_dsl.literals import spelled
from pipeline_dsl.operations import Problem, fit
from pipeline_dsl.source import Span
from pipeline_dsl.types import TensorType

from .arms import below
from .body import Body
from .construct import Arm, Construct
from .flow_exprs import value_of
from .narrowing import narrow
from .regions import Outcome, Value
from .scope import ValueBinding
from .yields import Yielded


def if_(construct: Construct, control: syntax.If) -> list[Outcome]:
    """Types `if` with its `else`; without one the results are optional."""
    node, kinds = _if(construct, control)
    if node is not None:
        construct.body.nodes.append(node)
    return construct.outcomes(kinds)


def _if(construct: Construct, control: syntax.If) -> tuple[ir.Branch | None, list[TensorType] | None]:
    """The node of an `if`, and the types of its results."""
    condition = value_of(construct.body, control.condition)
    subject = _decision(construct, condition, control.condition.span, "bool", ("bool",))
    _warn_of_known(construct, condition, control.condition)
    arms = [_then(construct, control)]
    if control.orelse is not None:
        arms.append(_else(construct, control, control.orelse))
    kinds = construct.joined(arms)
    if kinds is None or subject is None:
        return None, None
    if control.orelse is None:
        kinds = [replace(kind, optional=True) for kind in kinds]
    values: list[tuple[bool] | None] = [(True,), None]
    found = tuple(ir.Arm(v, arm.region(kinds)) for v, arm in zip(values, arms, strict=False))
    return _branch(construct, subject, found, kinds), kinds


def _then(construct: Construct, control: syntax.If) -> Arm:
    body = construct.enter("then", control.body)
    narrow(body, control.condition, holds=True)
    return construct.arm("then", control.body, body)


def _else(construct: Construct, control: syntax.If, orelse: syntax.Body | syntax.If) -> Arm:
    if isinstance(orelse, syntax.Body):
        body = construct.enter("else", orelse)
        narrow(body, control.condition, holds=False)
        return construct.arm("else", orelse, body)
    empty = syntax.Body(span=orelse.span)
    body = construct.enter("else", empty)
    narrow(body, control.condition, holds=False)
    chained = replace(construct.nested("else", orelse), body=body)
    node, kinds = _if(chained, orelse)
    if node is not None:
        body.nodes.append(node)
    outcomes = chained.outcomes(kinds)
    construct.body.failed = construct.body.failed or body.failed
    values = tuple(Yielded(o if isinstance(o, Value) else None, chained.span) for o in outcomes)
    return Arm("else", body, (), values)


def match(construct: Construct, control: syntax.Match) -> list[Outcome]:
    """Types `match`, which lists values or has an `else`."""
    value = value_of(construct.body, control.subject)
    subject = _decision(construct, value, control.subject.span, "string, whole number or bool", _MATCHED)
    _warn_of_known(construct, value, control.subject)
    cases = _cases(construct, control, value)
    arms = [construct.arm(f"case_{at}", case.body) for at, case in enumerate(control.cases, 1)]
    values: list[tuple[object, ...] | None] = [*cases]
    if control.default is not None:
        arms.append(construct.arm("else", control.default))
        values.append(None)
    elif value is not None:
        _exhaustive(construct, value, cases)
    kinds = construct.joined(arms) if arms else None
    if kinds is not None and subject is not None and not construct.body.failed:
        found = tuple(ir.Arm(v, arm.region(kinds)) for v, arm in zip(values, arms, strict=True))
        construct.body.nodes.append(_branch(construct, subject, found, kinds))
    return construct.outcomes(kinds)


_MATCHED = ("string", "bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")


def _branch(
    construct: Construct, subject: ir.Operand, arms: tuple[ir.Arm, ...], kinds: Sequence[TensorType]
) -> ir.Branch:
    results = tuple(zip(construct.ports, kinds, strict=True))
    return ir.Branch(id=construct.node, span=construct.span, results=results, subject=subject, arms=arms)


def _decision(
    construct: Construct, value: Value | None, span: Span, needs: str, dtypes: Sequence[str]
) -> ir.Operand | None:
    """What decides, as a node's operand; None after E0309 or E0502."""
    body = construct.body
    if value is None:
        body.failed = True
        return None
    kind = value.type
    if kind.optional and not kind.dims:
        advice = f"give a value for that case: `x ?? {'false' if needs == 'bool' else '..'}`"
        body.report(OperandMayBeAbsent(span, f"what `{construct.word}` decides by may be absent ({kind})", advice))
    elif kind.dims or kind.stream or kind.dtype.name not in dtypes:
        body.report(NotOneValue(span, construct.word, needs, body.element, str(kind), bool(kind.dims)))
    else:
        return body.operand(value, node=f"{construct.node}.{construct.word}")
    return None


def _warn_of_known(construct: Construct, value: Value | None, expr: syntax.Expr) -> None:
    """W0502; a param is a switch, whose value may be another one next time."""
    if value is None or not value.typed.known or value.type.dims:
        return
    scope = construct.body.scope
    for node in below(expr):
        if isinstance(node, syntax.Name) and construct.body.region.find(node.text) is None:
            found = scope.lookup(node.text)
            if not isinstance(found, ValueBinding) or found.is_param:
                return
    text = spelled(value.typed.value, value.type)
    construct.body.report(KnownBranch(expr.span, construct.word, text))


def _cases(construct: Construct, control: syntax.Match, subject: Value | None) -> list[tuple[object, ...]]:
    """The values of each case in the subject's dtype."""
    body = construct.body
    seen: dict[object, Span] = {}
    found: list[tuple[object, ...]] = []
    for case in control.cases:
        values = [_case(body, expr, subject) for expr in case.values]
        good = [(value[0], expr.span) for value, expr in zip(values, case.values, strict=True) if value is not None]
        for value, span in good:
            first = seen.setdefault(value, span)
            if first is not span:
                body.report(CaseTwice(span, span.text or str(value), first))
        found.append(tuple(value for value, _ in good))
    return found


def _case(body: Body, expr: syntax.Expr, subject: Value | None) -> tuple[object] | None:
    """One value in a tuple; None after reporting."""
    value = value_of(body, expr)
    if value is None or subject is None:
        return None
    if not value.typed.known:
        advice = "compare it with `if`, which takes any expression"
        body.report(NotComputable(expr.span, "a case is a value that is known now", advice))
        return None
    fitted = fit(value.typed, TensorType(subject.type.dtype))
    if isinstance(fitted, Problem) or fitted.value is None:
        text = fitted.text if isinstance(fitted, Problem) else f"needs {subject.type.dtype}, found null"
        body.report(DeclaredMismatch(expr.span, f"a case of this `match`: {text}", subject.span))
        return None
    return (fitted.value,)


def _exhaustive(construct: Construct, subject: Value, cases: Sequence[tuple[object, ...]]) -> None:
    found = {value for values in cases for value in values}
    if subject.type.dtype.name != "bool":
        construct.body.report(NotExhaustive(construct.span, str(subject.type.dtype)))
    elif len(missing := {True, False} - found) > 0:
        word = "true" if True in missing else "false"
        construct.body.report(NotExhaustive(construct.span, "bool", word if len(missing) == 1 else ""))
