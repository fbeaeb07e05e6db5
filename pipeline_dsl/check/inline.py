"""A sub-pipeline's graph as part of its caller's: renamed, with the caller's values and types in it.

Takes the graph of a pipeline, typed once for its own signature, and a call that fits that signature; gives the
nodes for the caller and the outputs. Regions of constructs are gone through like the graph itself. A lifted call (one
row given to `*`) turns calls over rows into lifted ones, and a `map` over rows into one over a list of that one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pipeline_dsl import ir
from pipeline_dsl.operations import scalar
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Ragged, Sized, TensorType

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
    first: dict[ir.Ref, ir.Ref] = field(default_factory=dict)
    """Results of a `map` over one row, and what takes that row out of each."""

    def run(self) -> None:
        """Fills `nodes` and `outputs`, in definition order."""
        for node in ir.walk(self.graph.nodes):
            self.types.update((ir.Ref(node.id, port), kind) for port, kind in ir.results(node))
        for node in self.graph.nodes:
            if isinstance(node, ir.Input):
                self.inputs[ir.Ref(node.id, node.port.name)] = self.arguments[node.port.name]
        self.nodes += self._inlined(self.graph.nodes)
        for node in self.graph.nodes:
            if isinstance(node, ir.Output):
                self.outputs[node.port.name] = self._output(node)

    def _inlined(self, nodes: Iterable[ir.AnyNode]) -> Iterator[ir.AnyNode]:
        for node in nodes:
            if isinstance(node, ir.Call):
                yield self._call(node)
            elif isinstance(node, ir.Map) and self._over_one_row(node):
                yield from self._map_of_one(node)
            elif not isinstance(node, ir.Input | ir.Output):
                yield self._typed(ir.with_regions(ir.with_operands(node, self._operand), self._region))

    def _typed(self, node: ir.AnyNode) -> ir.AnyNode:
        """A node under its id here, with the types it has here."""
        found = replace(node, id=self._id(node.id))
        if isinstance(found, ir.Call | ir.Control):
            return replace(found, results=tuple((port, self.names.type(kind)) for port, kind in found.results))
        if isinstance(found, ir.Given | ir.Context | ir.Compute | ir.Collect | ir.StreamOf):
            return replace(found, type=self.names.type(found.type))
        return found

    def _region(self, region: ir.Region) -> ir.Region:
        given = tuple(replace(one, id=self._id(one.id), type=self.names.type(one.type)) for one in region.given)
        return ir.Region(
            region.name, given, tuple(self._inlined(region.nodes)), tuple(map(self._operand, region.yields))
        )

    def _call(self, call: ir.Call) -> ir.AnyNode:
        args = tuple((port, None if o is None else self._argument(o)) for port, o in call.args)
        return self._typed(replace(call, args=args, binding=self._binding(call)))

    def _binding(self, call: ir.Call) -> ir.Binding:
        """A call over the rows of `*` is a lifted one where `*` is one row; rows of a size stay rows."""
        if call.binding != "rows" or self.names.rows is not None:
            return call.binding
        read = (self.types[o] for _, o in call.args if isinstance(o, ir.Ref))
        over_rows = any(k.has_rows for k in (*read, *(kind for _, kind in call.results)))
        return "lift" if over_rows else "rows"

    def _output(self, node: ir.Output) -> tuple[ir.Operand, TensorType]:
        if isinstance(node.value, ir.Constant):
            return node.value, node.value.type
        operand = self._operand(node.value)
        if isinstance(operand, ir.Constant):
            return operand, operand.type
        return operand, self.names.type(self.types[node.value])

    # ---- operands

    def _operand(self, operand: ir.Operand) -> ir.Operand:
        found = self._argument(operand)
        if found is not None:
            return found
        assert isinstance(operand, ir.Ref), "only an input can be absent"
        return ir.Constant(None, replace(self.names.type(self.types[operand]), optional=True))

    def _argument(self, operand: ir.Operand) -> ir.Operand | None:
        """What an operand is here; None for an input that the call leaves absent."""
        if isinstance(operand, ir.Constant):
            return operand
        if operand in self.inputs:
            return self.inputs[operand]
        return self.first.get(operand, ir.Ref(self._id(operand.node), operand.port))

    def _id(self, node: str) -> str:
        return self.prefix + node[len(self.graph.name) :]

    # ---- `map` over the rows of a lifted call

    def _over_one_row(self, node: ir.Map) -> bool:
        types = (o.type if isinstance(o, ir.Constant) else self.types[o] for o in node.sources)
        return self.names.rows is None and any(kind.has_rows for kind in types)

    def _map_of_one(self, node: ir.Map) -> Iterator[ir.AnyNode]:
        """The row in a list, the `map` over it, and its results without that list again."""
        sources: list[ir.Operand] = []
        for source, given in zip(node.sources, node.body.given, strict=True):
            listed = ir.Compute(
                id=f"{self._id(given.id)}.row",
                span=node.span,
                expression=ir.Apply("stack", (self._operand(source),)),
                type=_in_a_list(self.names.type(given.type)),
            )
            yield listed
            sources.append(ir.Ref(listed.id, "value"))
        kinds = {port: self.names.type(kind) for port, kind in node.results}
        rows = {port for port, kind in node.results if kind.has_rows}
        results = tuple((port, _in_a_list(kind) if port in rows else kind) for port, kind in kinds.items())
        yield replace(node, id=self._id(node.id), sources=tuple(sources), results=results, body=self._region(node.body))
        for port in sorted(rows):
            taken = f"{self._id(node.id)}.{port}.row"
            made = ir.Ref(self._id(node.id), port)
            index = ir.Apply("index", (made, ir.Constant(0, scalar("i64"))))
            yield ir.Compute(id=taken, span=node.span, expression=index, type=kinds[port])
            self.first[ir.Ref(node.id, port)] = ir.Ref(taken, "value")


def _in_a_list(kind: TensorType) -> TensorType:
    dims = tuple(Sized(d.size) if isinstance(d, Ragged) else d for d in kind.dims)
    return kind.with_dims((Sized(Size.of(1)), *dims))
