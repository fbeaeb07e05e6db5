"""`route`: weights to shares (E0505), the key, shadow arms (E0506, E0507)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_dsl import ir, syntax
from pipeline_dsl.errors.control import BadWeights, NotOneValue
from pipeline_dsl.errors.names import DuplicateName
from pipeline_dsl.errors.types import OperandMayBeAbsent
from pipeline_dsl.literals import spelled
from pipeline_dsl.source import Span

from .construct import Construct
from .flow_exprs import value_of
from .once import check_once
from .regions import Outcome
from .values import evaluate

_KEYS = ("string", "bytes", "bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")


def route(construct: Construct, control: syntax.Route) -> list[Outcome]:
    """Types the arms, which agree, and the shadows, which nobody sees."""
    body = construct.body
    key = _key(construct, control.key)
    _unique(construct, control.arms)
    taken = [arm for arm in control.arms if isinstance(arm, syntax.RouteArm)]
    shares = _shares(construct, taken)
    arms = [construct.arm(arm.name.text, arm.body) for arm in taken]
    shadows = [_shadow(construct, arm) for arm in control.arms if isinstance(arm, syntax.ShadowArm)]
    kinds = construct.joined(arms) if arms else None
    if kinds is None or shares is None or body.failed:
        return construct.outcomes(None if shares is None else kinds)
    found = zip(arms, shares, strict=True)
    body.nodes.append(
        ir.Route(
            id=construct.node,
            span=construct.span,
            results=tuple(zip(construct.ports, kinds, strict=True)),
            key=key,
            arms=tuple(ir.RouteArm(arm.name, share, arm.region(kinds)) for arm, share in found),
            shadows=tuple(shadow for shadow in shadows if shadow is not None),
        )
    )
    return construct.outcomes(kinds)


def _key(construct: Construct, expr: syntax.Expr | None) -> ir.Operand | None:
    if expr is None:
        return None
    value = value_of(construct.body, expr)
    if value is None:
        return None
    kind, body = value.type, construct.body
    if kind.optional and not kind.dims:
        advice = "give a value for that case: `x ?? ..`"
        body.report(OperandMayBeAbsent(expr.span, f"the key of `route` may be absent ({kind})", advice))
    elif kind.dims or kind.stream or kind.dtype.name not in _KEYS:
        needs = "string, whole number or bool"
        body.report(NotOneValue(expr.span, "route by", needs, body.element, str(kind), bool(kind.dims)))
    else:
        return body.operand(value, node=f"{construct.node}.by")
    return None


def _unique(construct: Construct, arms: Sequence[syntax.RouteArm | syntax.ShadowArm]) -> None:
    seen: dict[str, Span] = {}
    for arm in arms:
        first = seen.setdefault(arm.name.text, arm.name.span)
        if first is not arm.name.span:
            construct.body.report(DuplicateName(arm.name.span, arm.name.text, first))


def _shadow(construct: Construct, written: syntax.ShadowArm) -> ir.ShadowArm | None:
    sample = 1.0 if written.sample is None else _sample(construct, written.sample)
    arm = construct.arm(written.name.text, written.body, shadow=True)
    advice = "leave it out of the shadow: that runs beside the arm that answers"
    check_once(arm.body, f"`shadow {written.name}`", written.name.span, advice)
    construct.body.failed = construct.body.failed or arm.body.failed
    if sample is None or not arm.is_good:
        return None
    return ir.ShadowArm(arm.name, sample, arm.region(()))


def _sample(construct: Construct, expr: syntax.Expr) -> float | None:
    found = _weight(construct, expr)
    if found is None:
        return None
    if not found.percent or not 0 <= found.value <= 1:
        text = f"`sample` is a share from 0% to 100%, found {found.text}"
        construct.body.report(BadWeights(expr.span, text, "write `sample 5%`"))
        return None
    return found.value


# ---- weights


@dataclass(frozen=True, slots=True)
class _Weight:
    value: float
    percent: bool
    span: Span
    text: str
    """As it is now."""


def _shares(construct: Construct, arms: Sequence[syntax.RouteArm]) -> list[float] | None:
    """The share of each arm; None after E0505."""
    weights = [_weight(construct, arm.weight) for arm in arms]
    given = [w for w in weights if w is not None]
    if len(given) < len(weights):
        return None
    problem = _problem(given)
    if problem is not None:
        span = construct.span if len(given) != 1 else given[0].span
        construct.body.report(BadWeights(span, *problem, tuple((w.span, w.text) for w in given)))
        return None
    total = math.fsum(w.value for w in given)
    return [w.value / total for w in given]


def _problem(weights: Sequence[_Weight]) -> tuple[str, str] | None:
    """What is wrong, and what to do."""
    if not weights:
        return "`route` has no arm that answers", "add one: `to main weight 100% { .. }`"
    if len({w.percent for w in weights}) > 1:
        return "some weights are percentages and others are not", "write all as percentages, or all as numbers"
    if any(w.value < 0 for w in weights):
        return "a weight is negative", "a weight is 0 or more"
    total = math.fsum(w.value for w in weights)
    if weights[0].percent and not math.isclose(total, 1, abs_tol=1e-9):
        sum_ = f"{round(total * 100, 6):g}%"
        return f"weights sum to {sum_}, must be 100%", "change one of them, or write plain numbers, which are relative"
    return None if total > 0 else ("all weights are 0", "give an arm more than 0")


def _weight(construct: Construct, expr: syntax.Expr) -> _Weight | None:
    body = construct.body
    typed = evaluate(expr, body.scope, body.sink)
    if typed is None:
        body.failed = True
        return None
    percent = typed.type.dtype.name == "percent"
    if typed.type.dims or typed.value is None or not (percent or typed.type.dtype.kind in ("int", "uint", "float")):
        text = f"a weight is a percentage or a number, found {typed.type}"
        body.report(BadWeights(expr.span, text, "write `weight 90%`"))
        return None
    return _Weight(float(typed.value), percent, expr.span, spelled(typed.value, typed.type))
