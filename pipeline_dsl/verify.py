"""What must hold in every graph, after the checker and after each pass.

Ids are unique and start with the pipeline's name; refs name an output of an earlier node (so there is no cycle);
operands fit the ports they are given to, under the row rules of the call; all outputs of the pipeline are there.
Takes a graph and the stages it calls. A problem here is a mistake of ours, never of a user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .check.rowrules import BoundCall, bind
from .ir import AnyNode, Call, Compute, Constant, Graph, Input, Operand, Output, Ref, Stage, references
from .types import TensorType


class InvalidGraph(Exception):
    """A graph that breaks a rule; `problems` holds all of them."""

    def __init__(self, name: str, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(f"graph `{name}` is not valid:\n" + "\n".join(f"  {p}" for p in problems))


def verify(graph: Graph, stages: Mapping[str, Stage]) -> None:
    """Raises `InvalidGraph` if the graph has problems."""
    found = problems(graph, stages)
    if found:
        raise InvalidGraph(graph.name, found)


def problems(graph: Graph, stages: Mapping[str, Stage]) -> list[str]:
    """Everything that is wrong, in definition order."""
    check = _Verifier(graph, stages)
    found = [f"{node.id}: {problem}" for node in graph.nodes for problem in check.problems(node)]
    return [*found, *check.interface()]


@dataclass(slots=True)
class _Verifier:
    """One walk over a graph. `types` holds the outputs of the nodes so far."""

    graph: Graph
    stages: Mapping[str, Stage]
    types: dict[Ref, TensorType] = field(default_factory=dict)
    ports: dict[str, set[str]] = field(default_factory=lambda: {"input": set(), "output": set()})

    def problems(self, node: AnyNode) -> Iterator[str]:
        if not node.id.startswith(f"{self.graph.name}."):
            yield f"the id does not start with `{self.graph.name}.`"
        missing = [ref for ref in references(node) if ref not in self.types]
        for ref in missing:
            yield f"reads `{ref.port}` of `{ref.node}`, which is not defined before it"
        if isinstance(node, Input):
            self.ports["input"].add(node.port.name)
            self.types[Ref(node.id, node.port.name)] = node.port.type
        elif isinstance(node, Compute):
            self.types[Ref(node.id, "value")] = node.type
        elif isinstance(node, Call):
            yield from () if missing else self._call(node)
            self.types.update((Ref(node.id, port), kind) for port, kind in node.results)
        elif isinstance(node, Output):
            self.ports["output"].add(node.port.name)
            if not missing and (wrong := self._kind(node.value, node.port.type)):
                yield wrong

    def _kind(self, value: Operand, wanted: TensorType) -> str:
        have = value.type if isinstance(value, Constant) else self.types[value]
        absent = have.optional and not wanted.optional
        if have.dtype is wanted.dtype and have.stream == wanted.stream and not absent:
            return ""
        return f"returns {have}, declared {wanted}"

    def _call(self, node: Call) -> Iterator[str]:
        stage = self.stages.get(node.stage)
        if stage is None:
            yield f"calls `{node.stage}`, which is no stage of the program"
            return
        signature = stage.signature
        wanted = tuple(p.name for p in signature.inputs), tuple(p.name for p in signature.outputs)
        found = tuple(port for port, _ in node.args), tuple(port for port, _ in node.results)
        if wanted != found:
            yield f"has ports {found}, `{stage.name}` has {wanted}"
            return
        arguments = [
            self._argument(operand, port.type) for port, (_, operand) in zip(signature.inputs, node.args, strict=True)
        ]
        bound = bind(signature, arguments)
        if not isinstance(bound, BoundCall):
            yield from (f"port `{signature.inputs[c.port].name}`: {c.code} {c.expected}, {c.found}" for c in bound)
        elif bound.binding != node.binding:
            yield f"is bound as `{node.binding}`, its arguments say `{bound.binding}`"
        else:
            yield from _results(node, bound)

    def _argument(self, operand: Operand | None, port: TensorType) -> TensorType | None:
        """As the row rules want it: nothing for what brings no rows."""
        if operand is None:
            return None
        if isinstance(operand, Ref):
            return self.types[operand]
        single = not operand.type.dims and port.has_rows
        return None if single or operand.value is None else operand.type

    def interface(self) -> Iterator[str]:
        signature = self.graph.signature
        for what, ports in (("input", signature.inputs), ("output", signature.outputs)):
            for name in sorted({p.name for p in ports} ^ self.ports[what]):
                yield f"{what} `{name}` stands in only one of signature and nodes"


def _results(node: Call, bound: BoundCall) -> Iterator[str]:
    for (port, kind), expected in zip(node.results, bound.results, strict=True):
        if kind.dtype is not expected.dtype or len(kind.dims) != len(expected.dims):
            yield f"output `{port}` is {kind}, the stage gives {expected}"
