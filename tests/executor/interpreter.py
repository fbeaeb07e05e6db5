"""A naive interpreter of the IR: one request, one node after the other, no batching, no columns.

Stages are plain functions of whole values; what it computes is what the executor must answer. It shares nothing with
the executor but the operations table and the hash of a route's key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from executor.control.route import share_of
from pipeline_dsl import ir
from pipeline_dsl.operations import OPERATIONS
from pipeline_dsl.operations.convert import to_dtype
from pipeline_dsl.types import Sized, TensorType

Function = Callable[..., Any]
"""Takes the stage's inputs by position (rows for `*` ports) and gives a tuple of outputs. May raise."""
Values = dict[ir.Ref, Any]


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
    return Interpreter(functions, once).run(graph, inputs, wanted)


class Interpreter:
    """Evaluates one request at a time, and counts what it does."""

    def __init__(self, functions: Mapping[str, Function], once: Collection[str] = ()) -> None:
        self.functions = functions
        self.once = once
        self.calls: Counter[str] = Counter()
        """Calls of each stage."""
        self.failures = 0

    def run(self, graph: ir.Graph, inputs: Mapping[str, Any], wanted: Collection[str] | None = None) -> dict[str, Any]:
        values: Values = {}
        outputs: dict[str, Any] = {}
        needed = self._needed(graph.nodes, (), wanted)
        for node in graph.nodes:
            if node.id not in needed:
                continue
            if isinstance(node, ir.Input):
                values[ir.Ref(node.id, node.port.name)] = inputs.get(node.port.name)
            elif isinstance(node, ir.Output):
                outputs[node.port.name] = _value(node.value, values)
            else:
                self._node(node, values)
        return outputs

    def _needed(
        self, nodes: Sequence[ir.AnyNode], yields: Iterable[ir.Operand], outputs: Collection[str] | None
    ) -> set[str]:
        wanted = {o.node for o in yields if isinstance(o, ir.Ref)}
        for node in reversed(nodes):
            if isinstance(node, ir.Output):
                needed = outputs is None or node.port.name in outputs
            else:
                needed = isinstance(node, ir.Input) or node.id in wanted
            if needed or any(isinstance(n, ir.Call) and n.stage in self.once for n in ir.walk([node])):
                wanted.add(node.id)
                wanted.update(ref.node for ref in ir.references(node))
        return wanted

    def _node(self, node: ir.AnyNode, values: Values) -> None:
        match node:
            case ir.Call():
                results: Sequence[Any] = self._call(node, [_value(o, values) for _, o in node.args])
            case ir.Compute():
                results = [to_dtype(_evaluate(node.expression, values), node.type)]
            case ir.Branch():
                results = self._branch(node, values)
            case ir.Route():
                results = self._route(node, values)
            case ir.Map():
                results = self._map(node, values)
            case ir.Try():
                results = self._try(node, values)
        names = [name for name, _ in ir.results(node)]
        values.update({ir.Ref(node.id, name): r for name, r in zip(names, results, strict=True)})

    def _region(self, region: ir.Region, values: Values, given: Sequence[Any] = ()) -> list[Any]:
        inside = {**values, **{ir.Ref(g.id, "value"): v for g, v in zip(region.given, given, strict=True)}}
        needed = self._needed(region.nodes, region.yields, ())
        for node in region.nodes:
            if node.id in needed:
                self._node(node, inside)
        return [_value(o, inside) for o in region.yields]

    def _call(self, node: ir.Call, args: list[Any]) -> tuple[Any, ...]:
        function = self.functions[node.stage]
        self.calls[node.stage] += 1
        try:
            if node.binding != "lift":
                return tuple(function(*args))
            return tuple(_only_row(result) for result in function(*map(_one_row, args)))
        except Failure:
            self.failures += 1
            raise

    def _branch(self, node: ir.Branch, values: Values) -> list[Any]:
        subject = _value(node.subject, values)
        for arm in node.arms:
            if arm.values is None or subject in arm.values:
                return self._region(arm.region, values)
        return [None] * len(node.results)

    def _route(self, node: ir.Route, values: Values) -> list[Any]:
        assert node.key is not None
        place = share_of(node.id, _value(node.key, values))
        for arm in node.arms[:-1]:
            place -= arm.share
            if place < 0:
                return self._region(arm.region, values)
        return self._region(node.arms[-1].region, values)

    def _try(self, node: ir.Try, values: Values) -> list[Any]:
        try:
            return self._region(node.body, values)
        except Failure:
            return self._region(node.fallback, values, [None] * len(node.fallback.given))

    def _map(self, node: ir.Map, values: Values) -> list[Any]:
        sources = [list(_value(o, values)) for o in node.sources]
        made: list[list[Any] | None] = []
        failure: Failure | None = None
        for items in zip(*sources, strict=True):
            try:
                made.append(self._region(node.body, values, [_python(i) for i in items]))
            except Failure as error:
                made.append(None)
                failure = error
        if failure and node.on_error == "fail":
            raise failure
        kinds = [kind for _, kind in node.results]
        if node.on_error == "drop":
            made = [m for m in made if m is not None]
        if node.on_error != "mark":
            return [_together([m[i] for m in made if m], kind) for i, kind in enumerate(kinds)]
        columns = [[None if m is None else m[i] for m in made] for i in range(len(kinds) - 1)]
        marks = np.array([m is not None for m in made], np.bool_)
        return [*(_together(_filled(c, k), k) for c, k in zip(columns, kinds)), marks]


def _together(items: list[Any], kind: TensorType) -> Any:
    """The values of all items as one value of type `kind`."""
    if kind.is_ragged:
        return items
    if len(kind.dims) == 1 or not items:
        sizes = [d.size.value or 0 if isinstance(d, Sized) else 0 for d in kind.dims[1:]]
        made = np.empty((len(items), *sizes), kind.dtype.numpy)
        for i, item in enumerate(items):
            made[i] = item
        return made
    return np.stack(items)


def _filled(items: list[Any], kind: TensorType) -> list[Any]:
    """With zeros for the items that failed, of the shape of another one."""
    there = next((i for i in items if i is not None), None)
    if len(kind.dims) == 1:
        zero: Any = kind.dtype.numpy.type(0) if kind.dtype.numeric else ""
    elif kind.is_ragged:
        zero = np.zeros(0, kind.dtype.numpy)
    else:
        sizes = [d.size.value or 0 for d in kind.dims[1:] if isinstance(d, Sized)]
        zero = np.zeros(sizes if there is None else there.shape, kind.dtype.numpy)
    return [zero if i is None else i for i in items]


def _python(item: Any) -> Any:
    return item.item() if isinstance(item, np.generic) else item


def _one_row(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        return value[None]
    return np.asarray([value], object if isinstance(value, str) else np.float32 if isinstance(value, float) else None)


def _only_row(result: Any) -> Any:
    return _python(result[0])


def _value(operand: ir.Operand | None, values: Mapping[ir.Ref, Any]) -> Any:
    if operand is None:
        return None
    return operand.value if isinstance(operand, ir.Constant) else values[operand]


def _evaluate(expression: ir.Expression, values: Mapping[ir.Ref, Any]) -> Any:
    if isinstance(expression, ir.Apply):
        return OPERATIONS[expression.op].compute(*[_evaluate(a, values) for a in expression.args])
    return _value(expression, values)
