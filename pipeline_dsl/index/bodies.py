"""Bodies of pipelines -> occurrences and regions: what is defined in an arm is a name of that arm only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pipeline_dsl import syntax
from pipeline_dsl.settings import MAP, TRY

from .blocks import block_values
from .definitions import Definition
from .expressions import expression, options, type_
from .found import Found
from .names import Names

_MAP = {spec.name: spec for spec in MAP}
_TRY = {spec.name: spec for spec in TRY}


@dataclass(frozen=True, slots=True)
class Around:
    """What statements that give values may name."""

    outputs: Mapping[str, Definition]
    """Of the pipeline, for `return`."""
    targets: Mapping[str, Definition]
    """Left of the construct that an arm belongs to, for `yield`."""


def body(tree: syntax.Body, region: Names, around: Around, found: Found) -> None:
    """The statements of one body; `region` is its own."""
    found.regions.append(region)
    for statement in tree.statements:
        if isinstance(statement, syntax.Assign):
            _targets(statement, region, found)
    for statement in tree.statements:
        match statement:
            case syntax.Assign(targets=targets, value=value):
                named = {t.name.text: region.local[t.name.text] for t in targets if t.name.text in region.local}
                _right(value, region, replace(around, targets=named), found)
            case syntax.Return(outs=outs):
                for out in outs:
                    _returned(out, region, around.outputs, found)
            case syntax.Yield(outs=outs):
                for out in outs:
                    if out.name is not None:
                        found.refer(out.name.span, around.targets.get(out.name.text))
                    expression(out.value, region, found)
            case syntax.Nested(block=block):
                block_values(block, region, found)


def _targets(assign: syntax.Assign, region: Names, found: Found) -> None:
    for target in assign.targets:
        name = target.name
        if target.type is not None:
            type_(target.type, region, found)
        if name.text == "_":
            continue
        if name.text in region.local:
            found.refer(name.span, region.local[name.text])
            continue
        variable = Definition("variable", name.text, name.span, assign.span, target, region.owner)
        region.local[name.text] = found.define(variable)
        if len(assign.targets) == 1:
            found.values[variable] = assign.value
        if target is assign.targets[0] and isinstance(assign.value, syntax.Call):
            found.nodes[variable] = assign.value


def _returned(out: syntax.Out, region: Names, outputs: Mapping[str, Definition], found: Found) -> None:
    """`return a` names the output and the variable at once."""
    output = outputs.get(out.name.text) if out.name is not None else None
    if out.name is not None:
        found.refer(out.name.span, output)
        if output is not None and isinstance(out.value, syntax.Call):
            found.nodes[output] = out.value
    elif isinstance(out.value, syntax.Name) and out.value.text in outputs:
        text, span = out.value.text, out.value.span
        found.refer(span, region.definition(text), form=f"{text} = {{}}")
        found.refer(span, outputs[text], form=f"{{}} = {text}")
        return
    expression(out.value, region, found)


def _right(value: syntax.Rhs, region: Names, around: Around, found: Found) -> None:
    match value:
        case syntax.If():
            _if(value, region, around, found)
        case syntax.Match(subject=subject, cases=cases, default=default):
            expression(subject, region, found)
            for case in cases:
                _all(case.values, region, found)
                body(case.body, region.inner(case.body.span), around, found)
            if default is not None:
                body(default, region.inner(default.span), around, found)
        case syntax.Map():
            _map(value, region, around, found)
        case syntax.Route(key=key, arms=arms):
            _all([] if key is None else [key], region, found)
            for arm in arms:
                share = arm.weight if isinstance(arm, syntax.RouteArm) else arm.sample
                _all([] if share is None else [share], region, found)
                body(arm.body, region.inner(arm.body.span), around, found)
        case syntax.Try():
            _try(value, region, around, found)
        case _:
            expression(value, region, found)


def _all(exprs: Iterable[syntax.Expr], region: Names, found: Found) -> None:
    for expr in exprs:
        expression(expr, region, found)


def _if(tree: syntax.If, region: Names, around: Around, found: Found) -> None:
    part: syntax.Body | syntax.If | None = tree
    while isinstance(part, syntax.If):
        expression(part.condition, region, found)
        body(part.body, region.inner(part.body.span), around, found)
        part = part.orelse
    if part is not None:
        body(part, region.inner(part.span), around, found)


def _map(tree: syntax.Map, region: Names, around: Around, found: Found) -> None:
    options(tree.options, _MAP, region, found)
    inner = region.inner(tree.body.span)
    for item in tree.iters:
        expression(item.source, region, found)
        _local(item.name, item, inner, found)
    body(tree.body, inner, around, found)


def _try(tree: syntax.Try, region: Names, around: Around, found: Found) -> None:
    options(tree.options, _TRY, region, found)
    body(tree.body, region.inner(tree.body.span), around, found)
    inner = region.inner(tree.fallback.span)
    if tree.error is not None:
        _local(tree.error, tree, inner, found)
    body(tree.fallback, inner, around, found)


def _local(name: syntax.Ident, node: syntax.Node, region: Names, found: Found) -> None:
    """A name that a construct gives its arm."""
    variable = Definition("variable", name.text, name.span, node.span, node, region.owner)
    region.local[name.text] = found.define(variable)
