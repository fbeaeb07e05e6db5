"""A naive interpreter of the IR: one request, one node after the other, no batching, no columns.

Stages are plain functions of whole values; what it computes is what the executor must answer. It shares nothing with
the executor but the operations table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from pipeline_dsl import ir
from pipeline_dsl.operations import OPERATIONS

Function = Callable[..., Any]
"""Takes the stage's inputs by position (rows for `*` ports) and gives a tuple of outputs. May raise."""


class Failure(Exception):
    """The injected failure of one request."""


def interpret(
    graph: ir.Graph,
    functions: Mapping[str, Function],
    inputs: Mapping[str, Any],
    wanted: Collection[str] | None = None,
    once: Collection[str] = (),
) -> dict[str, Any]:
    """The wanted outputs (None: all) of one request. Raises what a stage raises.

    Nodes that none of them needs do not run, but for calls of the stages in `once`."""
    values: dict[ir.Ref, Any] = {}
    outputs: dict[str, Any] = {}
    needed = _needed(graph, wanted, once)
    for node in graph.nodes:
        if node.id not in needed:
            continue
        if isinstance(node, ir.Input):
            values[ir.Ref(node.id, node.port.name)] = inputs.get(node.port.name)
        elif isinstance(node, ir.Call):
            results = _call(node, functions[node.stage], [_value(o, values) for _, o in node.args])
            values.update({ir.Ref(node.id, name): r for (name, _), r in zip(node.results, results, strict=True)})
        elif isinstance(node, ir.Compute):
            values[ir.Ref(node.id, "value")] = np.float32(_evaluate(node.expression, values)).item()
        else:
            outputs[node.port.name] = _value(node.value, values)
    return outputs


def _needed(graph: ir.Graph, outputs: Collection[str] | None, once: Collection[str]) -> set[str]:
    wanted: set[str] = set()
    for node in reversed(graph.nodes):
        if isinstance(node, ir.Output):
            needed = outputs is None or node.port.name in outputs
        else:
            needed = isinstance(node, ir.Input) or node.id in wanted
        if needed or (isinstance(node, ir.Call) and node.stage in once):
            wanted.add(node.id)
            wanted.update(ref.node for ref in ir.references(node))
    return wanted


def _call(node: ir.Call, function: Function, args: list[Any]) -> tuple[Any, ...]:
    if node.binding != "lift":
        return tuple(function(*args))
    return tuple(_only_row(result) for result in function(*map(_one_row, args)))


def _one_row(value: Any) -> Any:
    if value is None:
        return None
    return value[None] if isinstance(value, np.ndarray) else np.asarray([value], np.float32)


def _only_row(result: Any) -> Any:
    return result[0].item() if isinstance(result, np.ndarray) and result.ndim == 1 else result[0]


def _value(operand: ir.Operand | None, values: Mapping[ir.Ref, Any]) -> Any:
    if operand is None:
        return None
    return operand.value if isinstance(operand, ir.Constant) else values[operand]


def _evaluate(expression: ir.Expression, values: Mapping[ir.Ref, Any]) -> Any:
    if isinstance(expression, ir.Apply):
        return OPERATIONS[expression.op].compute(*[_evaluate(a, values) for a in expression.args])
    return _value(expression, values)
