"""The same node with other operands or other regions: what inlining and passes are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .control import Branch, Map, Region, Route, Try
from .graph import AnyNode
from .nodes import Apply, Call, Collect, Compute, Expression, Operand, Output, StreamOf

Rewrite = Callable[[Operand], Operand]


def with_operands(node: AnyNode, operand: Rewrite) -> AnyNode:
    """A node that reads `operand(o)` for each `o` it reads itself; its regions stay as they are."""
    match node:
        case Call(args=args):
            return replace(node, args=tuple((port, None if o is None else operand(o)) for port, o in args))
        case Compute(expression=expression):
            return replace(node, expression=with_leaves(expression, operand))
        case Collect(source=source):
            return replace(node, source=operand(source))
        case StreamOf(elements=elements):
            return replace(node, elements=tuple(map(operand, elements)))
        case Branch(subject=subject):
            return replace(node, subject=operand(subject))
        case Route(key=key):
            return replace(node, key=None if key is None else operand(key))
        case Map(sources=sources):
            return replace(node, sources=tuple(map(operand, sources)))
        case Output(value=value):
            return replace(node, value=operand(value))
    return node


def with_leaves(expression: Expression, operand: Rewrite) -> Expression:
    """An expression over `operand(o)` for each operand `o`."""
    if isinstance(expression, Apply):
        return Apply(expression.op, tuple(with_leaves(arg, operand) for arg in expression.args))
    return operand(expression)


def with_regions(node: AnyNode, region: Callable[[Region], Region]) -> AnyNode:
    """A construct with `region(r)` in place of each of its regions, in the order of the text; other nodes as they
    are."""
    match node:
        case Branch(arms=arms):
            return replace(node, arms=tuple(replace(arm, region=region(arm.region)) for arm in arms))
        case Route(arms=arms, shadows=shadows):
            taken = tuple(replace(arm, region=region(arm.region)) for arm in arms)
            return replace(node, arms=taken, shadows=tuple(replace(s, region=region(s.region)) for s in shadows))
        case Map(body=body):
            return replace(node, body=region(body))
        case Try(body=body, fallback=fallback):
            return replace(node, body=region(body), fallback=region(fallback))
    return node
