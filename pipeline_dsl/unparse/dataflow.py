"""Bodies of pipelines to text."""

from __future__ import annotations

from pipeline_dsl import syntax

from .expressions import expression, options_text
from .settings import braces, nested_text
from .types import type_text


def body_text(body: syntax.Body) -> str:
    """A body with its braces."""
    return braces(map(_statement, body.statements))


def _statement(statement: syntax.Statement) -> str:
    match statement:
        case syntax.Assign(targets=targets, value=value):
            return ", ".join(map(_target, targets)) + " = " + _rhs(value)
        case syntax.Return(outs=outs):
            return "return " + ", ".join(map(_out, outs))
        case syntax.Yield(outs=outs):
            return "yield " + ", ".join(map(_out, outs))
        case syntax.Nested():
            return nested_text(statement)


def _target(target: syntax.Target) -> str:
    return f"{target.name}: {type_text(target.type)}" if target.type else str(target.name)


def _out(out: syntax.Out) -> str:
    return f"{out.name} = {expression(out.value)}" if out.name else expression(out.value)


def _rhs(value: syntax.Rhs) -> str:
    match value:
        case syntax.If():
            return _if(value)
        case syntax.Match(subject=subject, cases=cases, default=default):
            arms = [f"case {', '.join(map(expression, c.values))} {body_text(c.body)}" for c in cases]
            if default is not None:
                arms.append(f"else {body_text(default)}")
            return f"match {expression(subject)} {braces(arms)}"
        case syntax.Map(iters=iters, body=body):
            sources = ", ".join(f"{i.name} in {expression(i.source)}" for i in iters)
            return f"map {options_text(value.options)}{sources} {body_text(body)}"
        case syntax.Route(key=key, arms=arms_):
            by = f"by {expression(key)} " if key is not None else ""
            return f"route {by}{braces(map(_arm, arms_))}"
        case syntax.Try(body=body, error=error, fallback=fallback):
            named = f"{error} " if error else ""
            return f"try {options_text(value.options)}{body_text(body)} fallback {named}{body_text(fallback)}"
        case _:
            return expression(value)


def _if(value: syntax.If) -> str:
    text = f"if {expression(value.condition)} {body_text(value.body)}"
    if value.orelse is None:
        return text
    other = _if(value.orelse) if isinstance(value.orelse, syntax.If) else body_text(value.orelse)
    return f"{text} else {other}"


def _arm(arm: syntax.RouteArm | syntax.ShadowArm) -> str:
    if isinstance(arm, syntax.RouteArm):
        return f"to {arm.name} weight {expression(arm.weight)} {body_text(arm.body)}"
    sample = f"sample {expression(arm.sample)} " if arm.sample is not None else ""
    return f"shadow {arm.name} {sample}{body_text(arm.body)}"
