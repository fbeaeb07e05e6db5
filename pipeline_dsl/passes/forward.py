"""Let readers read the source: an expression that is only a ref or a constant is replaced by it everywhere.

`y = x` and `y = 3` then cost no step and no slot at run time. Expressions that compute something stay, those over
constants included: the checker has already folded what it may fold, and says so where it can not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline_dsl.ir import AnyNode, Apply, Call, Compute, Constant, Expression, Graph, Operand, Output, Ref, results
from pipeline_dsl.types import TensorType

from .context import Context

Aliases = dict[Ref, Operand]


def forward(graph: Graph, _: Context) -> Graph:
    """The graph in which no expression is a bare ref or constant; the same object if there was none."""
    aliases: Aliases = {}
    kept: list[AnyNode] = []
    types: dict[Ref, TensorType] = {}
    for node in graph.nodes:
        types.update({Ref(node.id, port): type_ for port, type_ in results(node)})
        target = _stands_for(node, types)
        if target is not None:
            aliases[Ref(node.id, "value")] = _operand(target, aliases)
        else:
            kept.append(_rewritten(node, aliases) if aliases else node)
    if not aliases:
        return graph
    return Graph.of(graph.name, graph.signature, kept, graph.doc, graph.span)


def _stands_for(node: AnyNode, types: Mapping[Ref, TensorType]) -> Operand | None:
    """The value a node only renames. One that changes the dtype is a conversion and stays."""
    if not isinstance(node, Compute) or not isinstance(node.expression, Ref | Constant):
        return None
    source = node.expression
    type_ = source.type if isinstance(source, Constant) else types[source]
    same = (type_.dtype, type_.optional, type_.stream) == (node.type.dtype, node.type.optional, node.type.stream)
    return source if same else None


def _rewritten(node: AnyNode, aliases: Aliases) -> AnyNode:
    if isinstance(node, Call):
        args = tuple((port, None if o is None else _operand(o, aliases)) for port, o in node.args)
        return replace(node, args=args)
    if isinstance(node, Compute):
        return replace(node, expression=_expression(node.expression, aliases))
    if isinstance(node, Output):
        return replace(node, value=_operand(node.value, aliases))
    return node


def _operand(operand: Operand, aliases: Aliases) -> Operand:
    # One look-up is enough: what an alias stands for was itself resolved when it was entered.
    return aliases.get(operand, operand) if isinstance(operand, Ref) else operand


def _expression(expression: Expression, aliases: Aliases) -> Expression:
    if isinstance(expression, Apply):
        return Apply(expression.op, tuple(_expression(arg, aliases) for arg in expression.args))
    return _operand(expression, aliases)
