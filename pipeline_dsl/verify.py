"""What must hold in every graph, after the checker and after each pass.

Ids are unique and start with the pipeline's name; refs name an output of an earlier node of the same region or of one
around it (so there is no cycle); operands fit the ports they are given to, under the row rules of the call; what a
region yields fits the results of its construct, and what it is given fits what is handed to it; all outputs of the
pipeline are there. Takes a graph and the stages it calls. A problem here is a mistake of ours, never of a user.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from .check.rowrules import BoundCall, bind
from .ir import (
    AnyNode,
    Apply,
    Branch,
    Call,
    Compute,
    Constant,
    Control,
    Expression,
    Graph,
    Input,
    Map,
    Operand,
    Output,
    Ref,
    Region,
    Route,
    Stage,
    Try,
    operands,
    results,
    walk,
)
from .types import TensorType

_DECIDES = ("bool", "int", "uint")


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
    return [*check.ids(), *check.nodes(graph.nodes, top=True), *check.interface()]


@dataclass(slots=True)
class _Verifier:
    """One walk over a graph. `types` holds the outputs that can be read at the node at hand."""

    graph: Graph
    stages: Mapping[str, Stage]
    types: dict[Ref, TensorType] = field(default_factory=dict)
    made_by: dict[Ref, Expression] = field(default_factory=dict)
    """What expressions compute: a condition says what is there in its arm."""
    ports: dict[str, set[str]] = field(default_factory=lambda: {"input": set(), "output": set()})

    def ids(self) -> Iterator[str]:
        seen: set[str] = set()
        for node in walk(self.graph.nodes):
            if not node.id.startswith(f"{self.graph.name}."):
                yield f"{node.id}: the id does not start with `{self.graph.name}.`"
            if node.id in seen:
                yield f"{node.id}: two nodes have this id"
            seen.add(node.id)

    def nodes(self, nodes: Iterable[AnyNode], *, top: bool = False) -> Iterator[str]:
        for node in nodes:
            yield from (f"{node.id}: {problem}" for problem in self._node(node, top))
            if isinstance(node, Control):
                yield from self._inside(node)
            self.types.update((Ref(node.id, port), kind) for port, kind in results(node))

    def _node(self, node: AnyNode, top: bool) -> Iterator[str]:
        missing = [o for o in operands(node) if isinstance(o, Ref) and o not in self.types]
        for ref in missing:
            yield f"reads `{ref.port}` of `{ref.node}`, which is not defined before it"
        if isinstance(node, Input | Output):
            if not top:
                yield "stands inside a construct"
            side = "input" if isinstance(node, Input) else "output"
            self.ports[side].add(node.port.name)
        elif isinstance(node, Compute):
            self.made_by[Ref(node.id, "value")] = node.expression
        if not missing:
            yield from self._operands(node)

    def _operands(self, node: AnyNode) -> Iterator[str]:
        match node:
            case Call():
                yield from self._call(node)
            case Output(value=value, port=port):
                yield from self._fits("returns", value, port.type)
            case Branch():
                yield from self._branch(node)
            case Route():
                yield from self._route(node)
            case Map():
                yield from self._map(node)

    def type_of(self, value: Operand) -> TensorType:
        return value.type if isinstance(value, Constant) else self.types[value]

    def _fits(self, verb: str, value: Operand, wanted: TensorType) -> Iterator[str]:
        have = self.type_of(value)
        absent = have.optional and not wanted.optional
        if have.dtype is not wanted.dtype or have.stream != wanted.stream or absent:
            yield f"{verb} {have}, declared {wanted}"

    # ---- calls

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

    # ---- constructs

    def _branch(self, node: Branch) -> Iterator[str]:
        kind = self.type_of(node.subject)
        if kind.dims or kind.optional or (kind.dtype.kind not in _DECIDES and kind.dtype.name != "string"):
            yield f"decides by {kind}"
        values = [value for arm in node.arms for value in arm.values or ()]
        if len(set(values)) < len(values):
            yield "lists a value twice"
        others = [at for at, arm in enumerate(node.arms) if arm.values is None]
        if others not in ([], [len(node.arms) - 1]):
            yield "has an arm behind the one for everything else"
        if not others and not (kind.dtype.kind == "bool" and set(values) == {True, False}):
            yield from (f"result `{p}` may be absent, and is {k}" for p, k in node.results if not k.optional)

    def _route(self, node: Route) -> Iterator[str]:
        if not math.isclose(sum(arm.share for arm in node.arms), 1, abs_tol=1e-6):
            yield "has shares that do not sum to 1"
        if node.key is not None and (self.type_of(node.key).dims or self.type_of(node.key).optional):
            yield f"has a key of type {self.type_of(node.key)}"

    def _map(self, node: Map) -> Iterator[str]:
        if len(node.sources) != len(node.body.given):
            yield f"has {len(node.sources)} sources and {len(node.body.given)} items"
            return
        for source, given in zip(node.sources, node.body.given, strict=True):
            kind = self.type_of(source)
            if kind.stream or node.over_stream:
                if kind.stream != node.over_stream or replace(kind, stream=False) != given.type:
                    yield f"gives items {given.type} of {kind}"
            elif not kind.dims or kind.optional:
                yield f"goes over {kind}"
            elif len(kind.dims) != len(given.type.dims) + 1 or kind.dtype is not given.type.dtype:
                yield f"gives items {given.type} of {kind}"
        if node.on_error == "mark" and (not node.results or str(node.results[-1][1].dtype) != "bool"):
            yield "marks items, and has no `ok`"

    def _inside(self, node: AnyNode) -> Iterator[str]:
        """The regions of a construct. What they name is gone behind them."""
        assert isinstance(node, Control)
        for region, there in self._regions(node):
            before = dict(self.types)
            self.types |= {ref: kind.required() for ref, kind in self.types.items() if ref in there}
            self.types.update((Ref(given.id, "value"), given.type) for given in region.given)
            yield from self.nodes(region.nodes)
            yield from (f"{node.id}: arm `{region.name}` {problem}" for problem in self._yields(node, region))
            self.types = before

    def _regions(self, node: AnyNode) -> Iterator[tuple[Region, set[Ref]]]:
        """Each region, and the optional values that are there in it."""
        match node:
            case Branch(subject=subject, arms=arms):
                for arm in arms:
                    first = arm is arms[0] and arm.values == (True,)
                    other = arm.values is None and len(arms) == 2 and arms[0].values == (True,)
                    if not (first or other):
                        yield arm.region, set()
                    elif self._says(subject) is not (not first):
                        yield arm.region, set(self._there(subject, first))
            case Route(arms=routed, shadows=shadows):
                yield from ((arm.region, set()) for arm in routed)
                yield from ((shadow.region, set()) for shadow in shadows)
            case Map(body=body):
                yield body, set()
            case Try(body=body, fallback=fallback):
                yield from ((body, set()), (fallback, set()))

    def _there(self, condition: Expression, holds: bool) -> Iterator[Ref]:
        """Values that are there where a condition holds, or where it does not; see `check.narrowing`."""
        if isinstance(condition, Ref) and condition in self.made_by:
            yield from self._there(self.made_by[condition], holds)
        elif isinstance(condition, Apply) and condition.op == "not":
            yield from self._there(condition.args[0], not holds)
        elif isinstance(condition, Apply) and condition.op in ("and", "or") and (condition.op == "and") is holds:
            for part in condition.args:
                yield from self._there(part, holds)
        elif isinstance(condition, Apply) and condition.op == "present" and holds:
            yield from (arg for arg in condition.args if isinstance(arg, Ref))

    def _says(self, condition: Expression) -> bool | None:
        """What a condition is whatever comes, because a called pipeline's input is absent; None if that is open.

        An arm that is never taken need not fit: `passes.choose` drops it."""
        if isinstance(condition, Ref):
            return self._says(self.made_by[condition]) if condition in self.made_by else None
        if isinstance(condition, Constant):
            return condition.value if isinstance(condition.value, bool) else None
        if condition.op == "present":
            value = condition.args[0]
            return False if isinstance(value, Constant) and value.value is None else None
        if condition.op not in ("not", "and", "or"):
            return None
        sides = [self._says(arg) for arg in condition.args]
        if condition.op == "not":
            return None if sides[0] is None else not sides[0]
        decides = condition.op == "or"
        if decides in sides:
            return decides
        return None if None in sides else not decides

    def _yields(self, node: Control, region: Region) -> Iterator[str]:
        wanted = [kind for _, kind in node.results]
        if isinstance(node, Map):
            wanted = [
                replace(kind, stream=False) if node.over_stream else kind.with_dims(kind.dims[1:]) for kind in wanted
            ]
            wanted = wanted[:-1] if node.on_error == "mark" else wanted
        if isinstance(node, Route) and any(shadow.region is region for shadow in node.shadows):
            wanted = []
        if len(wanted) != len(region.yields):
            yield f"yields {len(region.yields)} values for {len(wanted)} results"
            return
        for value, kind in zip(region.yields, wanted, strict=True):
            if isinstance(value, Ref) and value not in self.types:
                yield f"yields `{value.port}` of `{value.node}`, which is not defined in it or before it"
                continue
            yield from self._fits("yields", value, kind)
            have = self.type_of(value)
            if not have.has_rest and not kind.has_rest and len(have.dims) != len(kind.dims):
                yield f"yields {have}, declared {kind}"

    # ---- the pipeline

    def interface(self) -> Iterator[str]:
        signature = self.graph.signature
        for what, ports in (("input", signature.inputs), ("output", signature.outputs)):
            for name in sorted({p.name for p in ports} ^ self.ports[what]):
                yield f"{what} `{name}` stands in only one of signature and nodes"


def _results(node: Call, bound: BoundCall) -> Iterator[str]:
    for (port, kind), expected in zip(node.results, bound.results, strict=True):
        if kind.dtype is not expected.dtype or len(kind.dims) != len(expected.dims):
            yield f"output `{port}` is {kind}, the stage gives {expected}"
