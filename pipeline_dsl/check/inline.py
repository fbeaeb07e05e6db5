"""A sub-pipeline's graph as part of its caller's: renamed, with the caller's values and types in it.

Takes the graph of a pipeline, typed once for its own signature, and a call that fits that signature; gives the
nodes for the caller and the outputs. A lifted call (one row given to `*`) turns calls over rows into lifted ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipeline_dsl import ir
from pipeline_dsl.types import TensorType

from .substitution import Substitution


@dataclass(slots=True)
class Inlining:
    """One call of a pipeline. `arguments` by input port; None for an absent optional."""

    graph: ir.Graph
    prefix: str
    """Id in front of the nodes: `ask.v`."""
    arguments: Mapping[str, ir.Operand | None]
    names: Substitution
    nodes: list[ir.AnyNode] = field(default_factory=list)
    outputs: dict[str, tuple[ir.Operand, TensorType]] = field(default_factory=dict)
    types: dict[ir.Ref, TensorType] = field(default_factory=dict)
    """Types in the graph as it was, by what produces them."""
    inputs: dict[ir.Ref, ir.Operand | None] = field(default_factory=dict)

    def run(self) -> None:
        """Fills `nodes` and `outputs`, in definition order."""
        for node in self.graph.nodes:
            self._inline(node)

    def _inline(self, node: ir.AnyNode) -> None:
        if isinstance(node, ir.Input):
            ref = ir.Ref(node.id, node.port.name)
            self.inputs[ref] = self.arguments[node.port.name]
            self.types[ref] = node.port.type
        elif isinstance(node, ir.Call):
            self.types.update((ir.Ref(node.id, port), kind) for port, kind in node.results)
            self.nodes.append(self._call(node))
        elif isinstance(node, ir.Compute):
            self.types[ir.Ref(node.id, "value")] = node.type
            self.nodes.append(self._compute(node))
        elif isinstance(node, ir.Output):
            self.outputs[node.port.name] = self._output(node)

    def _call(self, call: ir.Call) -> ir.Call:
        args = tuple((port, None if o is None else self._operand(o)) for port, o in call.args)
        results = tuple((port, self.names.type(kind)) for port, kind in call.results)
        return replace(call, id=self._id(call.id), args=args, results=results, binding=self._binding(call))

    def _binding(self, call: ir.Call) -> ir.Binding:
        """A call over the rows of `*` is a lifted one where `*` is one row; rows of a size stay rows."""
        if call.binding != "rows" or self.names.rows is not None:
            return call.binding
        read = (self.types[o] for _, o in call.args if isinstance(o, ir.Ref))
        over_rows = any(k.has_rows for k in (*read, *(kind for _, kind in call.results)))
        return "lift" if over_rows else "rows"

    def _compute(self, node: ir.Compute) -> ir.Compute:
        expression = self._expression(node.expression)
        return replace(node, id=self._id(node.id), expression=expression, type=self.names.type(node.type))

    def _output(self, node: ir.Output) -> tuple[ir.Operand, TensorType]:
        if isinstance(node.value, ir.Constant):
            return node.value, node.value.type
        operand = self._operand(node.value)
        if isinstance(operand, ir.Constant):
            return operand, operand.type
        if operand is None:
            kind = replace(self.names.type(self.types[node.value]), optional=True)
            return ir.Constant(None, kind), kind
        return operand, self.names.type(self.types[node.value])

    def _expression(self, expression: ir.Expression) -> ir.Expression:
        if isinstance(expression, ir.Apply):
            return ir.Apply(expression.op, tuple(map(self._expression, expression.args)))
        operand = self._operand(expression)
        if operand is None:
            assert isinstance(expression, ir.Ref)
            return ir.Constant(None, self.names.type(self.types[expression]))
        return operand

    def _operand(self, operand: ir.Operand) -> ir.Operand | None:
        if isinstance(operand, ir.Constant):
            return operand
        if operand in self.inputs:
            return self.inputs[operand]
        return ir.Ref(self._id(operand.node), operand.port)

    def _id(self, node: str) -> str:
        return self.prefix + node[len(self.graph.name) :]
