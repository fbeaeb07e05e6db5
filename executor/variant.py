"""The part of a pipeline that one kind of request needs, wired for running.

    PipelinePlan + wanted outputs + present optional inputs -> Variant(nodes, edges, joins)

Steps that only serve outputs nobody asked for are not in it, so they cost nothing at run time. A `Node` is a call
site, a compute step or the egress; an `Edge` says which of a producer's columns go to which side of a consumer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backends.values import Value
from pipeline_dsl.ir import Binding, Constant
from pipeline_dsl.plan import INGRESS, OutputPlan, PipelinePlan, Slot, Source, Step

from .cohort import Cohort, Layout
from .columns import Column, Items, Same
from .compute import compiled
from .join import Columns, Join

if TYPE_CHECKING:
    from .stage import StageRuntime


class Edge:
    """Columns of a producer (by number) that go to one side of `target`; None: all, in order."""

    __slots__ = ("columns", "side", "target")

    def __init__(self, target: Node, side: int, columns: tuple[int, ...] | None) -> None:
        self.target = target
        self.side = side
        self.columns = columns

    def pick(self, produced: Columns) -> Columns:
        return produced if self.columns is None else tuple(produced[i] for i in self.columns)


Argument = tuple[int, int] | Constant | None
"""(side, column of that side), a constant, or an absent optional."""


class Node:
    """One place that cohorts arrive at."""

    __slots__ = (
        "arguments",
        "binding",
        "direct",
        "edges",
        "evaluate",
        "join",
        "name",
        "priority",
        "stage",
        "timeout_ns",
    )

    def __init__(
        self,
        name: str,
        arguments: tuple[Argument, ...],
        sides: int,
        *,
        stage: StageRuntime | None = None,
        binding: Binding = "each",
        evaluate: Callable[[Sequence[Value]], Value] | None = None,
        timeout_ns: int | None = None,
        priority: int | None = None,
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.join = Join(sides) if sides > 1 else None
        self.stage = stage
        """None for compute steps and the egress."""
        self.binding: Binding = binding
        self.evaluate = evaluate
        """Of a compute step: one element's arguments to its value."""
        self.timeout_ns = timeout_ns
        self.priority = priority
        self.edges: tuple[Edge, ...] = ()
        self.direct = arguments == tuple((0, i) for i in range(len(arguments)))

    def __repr__(self) -> str:
        return f"Node({self.name})"

    def cohort(self, layout: Layout, sides: Sequence[Columns]) -> Cohort:
        """The cohort that the columns of all sides make here, constants filled in."""
        if self.direct:
            return Cohort(layout, sides[0])
        return Cohort(layout, tuple(_argument(a, layout, sides) for a in self.arguments))

    def compute(self, cohort: Cohort) -> tuple[Column, dict[int, Exception]]:
        """Values of a compute step for all elements; elements that failed, by index."""
        assert self.evaluate is not None
        values: list[Value] = []
        failed: dict[int, Exception] = {}
        for i in range(len(cohort)):
            try:
                values.append(self.evaluate([None if c is None else c.element(i) for c in cohort.columns]))
            except Exception as error:
                values.append(None)
                failed[i] = error.with_traceback(None)  # or it holds this frame, and so all values, in a cycle
        return Items(values), failed


def _argument(argument: Argument, layout: Layout, sides: Sequence[Columns]) -> Column | None:
    if argument is None:
        return None
    if isinstance(argument, Constant):
        return Same(argument.value, len(layout))
    side, column = argument
    return sides[side][column]


class Variant:
    """Nodes and edges for one set of wanted outputs."""

    __slots__ = ("edges", "egress", "joins", "nodes", "outputs", "pipeline", "stages")

    def __init__(
        self,
        pipeline: PipelinePlan,
        outputs: tuple[OutputPlan, ...],
        nodes: list[Node],
        egress: Node,
        edges: tuple[Edge, ...],
    ) -> None:
        self.pipeline = pipeline
        self.outputs = outputs
        self.nodes = nodes
        self.egress = egress
        self.edges = edges
        """From the pipeline's inputs."""
        self.stages = {n.stage for n in nodes if n.stage is not None}
        self.joins = [n.join for n in (*nodes, egress) if n.join is not None]


def build(
    pipeline: PipelinePlan, wanted: Sequence[str] | None, stages: Mapping[int, StageRuntime] | Sequence[StageRuntime]
) -> Variant:
    """The variant for the wanted outputs (None: all). KeyError for an output the pipeline does not have."""
    by_name = {o.name: o for o in pipeline.outputs}
    outputs = pipeline.outputs if wanted is None else tuple(by_name[n] for n in wanted)
    wiring = _Wiring(pipeline)
    steps = _needed(pipeline, outputs, wiring, stages)
    nodes = {s.index: _node(s, wiring, stages) for s in steps}
    egress_sources = tuple(o.source for o in outputs)
    loose = _loose_ends(steps, outputs, wiring)
    sides = wiring.sides(egress_sources) + loose or [INGRESS]
    egress = Node(pipeline.name, wiring.arguments(egress_sources, sides), len(sides))
    consumers: list[tuple[Node, list[int], Sequence[Source]]] = [
        (nodes[s.index], wiring.sides(s.args), s.args) for s in steps
    ]
    consumers.append((egress, sides, egress_sources))
    edges: dict[int, list[Edge]] = {}
    for node, producers, sources in consumers:
        for side, producer in enumerate(producers):
            edges.setdefault(producer, []).append(wiring.edge(node, side, producer, sources))
    for index, node in nodes.items():
        node.edges = tuple(edges.get(index, ()))
    return Variant(pipeline, outputs, list(nodes.values()), egress, tuple(edges.get(INGRESS, ())))


class _Wiring:
    """Who writes each slot."""

    def __init__(self, pipeline: PipelinePlan) -> None:
        self.slots: dict[int, tuple[int, int]] = {p.slot: (INGRESS, i) for i, p in enumerate(pipeline.inputs)}
        self.width = {INGRESS: len(pipeline.inputs)}
        for step in pipeline.steps:
            self.width[step.index] = len(step.outputs)
            self.slots.update({slot: (step.index, i) for i, slot in enumerate(step.outputs)})

    def sides(self, sources: Sequence[Source]) -> list[int]:
        """The distinct producers of these sources; a step that reads only constants starts with the request."""
        found = dict.fromkeys(self.slots[s.index][0] for s in sources if isinstance(s, Slot))
        return list(found) or [INGRESS]

    def columns(self, producer: int, sources: Sequence[Source]) -> list[int]:
        """The producer's columns that these sources read, each once, in order of use."""
        places = (self.slots[s.index] for s in sources if isinstance(s, Slot))
        return list(dict.fromkeys(column for p, column in places if p == producer))

    def arguments(self, sources: Sequence[Source], sides: list[int]) -> tuple[Argument, ...]:
        found: list[Argument] = []
        for source in sources:
            if isinstance(source, Slot):
                producer, column = self.slots[source.index]
                found.append((sides.index(producer), self.columns(producer, sources).index(column)))
            else:
                found.append(source)
        return tuple(found)

    def edge(self, target: Node, side: int, producer: int, sources: Sequence[Source]) -> Edge:
        columns = self.columns(producer, sources)
        everything = columns == list(range(self.width[producer]))
        return Edge(target, side, None if everything else tuple(columns))


def _needed(pipeline: PipelinePlan, outputs: Sequence[OutputPlan], wiring: _Wiring, stages: Any) -> list[Step]:
    """Steps that the outputs need, and those that must run whoever reads them."""
    wanted = {wiring.slots[o.source.index][0] for o in outputs if isinstance(o.source, Slot)}
    for step in reversed(pipeline.steps):
        once = step.stage >= 0 and stages[step.stage].plan.contract.effects == "once"
        if once or step.index in wanted:
            wanted.add(step.index)
            wanted.update(step.producers)
    return [s for s in pipeline.steps if s.index in wanted]


def _loose_ends(steps: Sequence[Step], outputs: Sequence[OutputPlan], wiring: _Wiring) -> list[int]:
    """Steps that must run though nothing reads them; a request is answered once they did."""
    read = {p for s in steps for p in s.producers}
    read.update(wiring.slots[o.source.index][0] for o in outputs if isinstance(o.source, Slot))
    return [s.index for s in steps if s.index not in read]


def _node(step: Step, wiring: _Wiring, stages: Any) -> Node:
    sides = wiring.sides(step.args)
    return Node(
        step.node,
        wiring.arguments(step.args, sides),
        len(sides),
        stage=stages[step.stage] if step.stage >= 0 else None,
        binding=step.binding,
        evaluate=compiled(step) if step.stage < 0 else None,
        timeout_ns=step.timeout_ns,
        priority=step.priority,
    )
