"""Steps to nodes and edges: the same for a pipeline and for a region of a construct.

    what it is entered with, steps, what is read at the end -> nodes, the edges in, the end node

A `Circuit` holds all nodes that elements of one kind may be at. Arms of `if`, `match` and `route` and the fallback of
`try` belong to the circuit around them, since their elements do; the bodies of `map` and `try` and shadow arms are
circuits of their own, for children.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from pipeline_dsl.ir import Constant
from pipeline_dsl.operations import to_dtype
from pipeline_dsl.plan import INGRESS, DeviceStreams, RegionPlan, Slot, Source, Step, regions

from .fused.call import FusedCall, FusedStep, with_sets
from .join import Join
from .node import Argument, Arguments, Call, Chain, Compute, Edge, Node, Streaming, Yield
from .streaming.edges import late_key, streams, with_forks

if TYPE_CHECKING:
    from .scope import Scope
    from .stage import StageRuntime

Stages = Mapping[int, "StageRuntime"] | Sequence["StageRuntime"]
End = Callable[[Arguments, int], Node]
"""Makes the end node of a region from what it reads and the number of its sides."""


class Circuit:
    """The nodes that elements of one kind pass."""

    __slots__ = ("background", "inner", "inside", "joins", "nodes", "scopes", "stages")

    def __init__(self, inside: bool = False, background: bool = False) -> None:
        self.inside = inside
        """Its elements are children."""
        self.background = background
        """It runs when nothing else does."""
        self.nodes: list[Node] = []
        self.joins: list[Join] = []
        self.stages: set[StageRuntime] = set()
        self.inner: list[Circuit] = []
        """Those of children."""
        self.scopes: set[Scope] = set()
        """Open scopes whose children are here; changed with the engine's lock held."""

    def add(self, node: Node) -> None:
        node.inner = self.inside
        self.nodes.append(node)
        if node.join is not None:
            self.joins.append(node.join)
        if node.stage is not None:
            self.stages.add(node.stage)

    def __iter__(self) -> Iterator[Circuit]:
        """This one and all inside."""
        yield self
        for circuit in self.inner:
            yield from circuit

    @property
    def every_stage(self) -> set[StageRuntime]:
        """Stages that its elements, or their children, may wait at."""
        return set().union(*(c.stages for c in self)) if self.inner else self.stages

    @property
    def repeatable(self) -> bool:
        """Whether everything in it may run twice."""
        return all(stage.repeatable for stage in self.every_stage)


class Entry(NamedTuple):
    """The way into a region."""

    edges: tuple[Edge, ...]
    captured: tuple[int, ...]
    """Columns of the construct that it is entered with, behind what it is given."""


class Wirer:
    """Adds what it wires to one circuit."""

    def __init__(self, stages: Stages, circuit: Circuit, readers: frozenset[int] = frozenset()) -> None:
        """`readers`: the slots that hold streams."""
        self.stages = stages
        self.circuit = circuit
        self.readers = readers
        runtimes = stages.values() if isinstance(stages, Mapping) else stages
        self.accelerated = not all(stage.plan.on_host for stage in runtimes)
        """Whether values may lie elsewhere than on the host."""

    def wire(
        self,
        entered: Sequence[int],
        steps: Sequence[Step],
        sources: Sequence[Source],
        end: End,
        *,
        whole: bool = False,
        early: tuple[Sequence[Source], End] | None = None,
        device_streams: Sequence[DeviceStreams] = (),
    ) -> tuple[tuple[Edge, ...], Node]:
        """Nodes for the steps that `sources` need, those that must run anyway, or, if `whole`, all; the edges in.

        early: what is read at a first end, before all has run."""
        slots = _Slots(entered, steps)
        everything = [*sources, *(early[0] if early else ())]
        steps = steps if whole else self._needed(steps, everything, slots)
        joined = with_sets(steps, self.stages)
        if joined is not None:
            steps, slots = joined, _Slots(entered, joined)
        nodes = {s.index: self._node(s, slots) for s in steps}
        for step in steps:
            node = nodes[step.index]
            if isinstance(node, Call) and step.stream >= 0:
                node.chain = _chain(step, node.stage, device_streams)
        consumers: list[tuple[Node, list[int], Sequence[Source]]] = [
            (nodes[s.index], slots.sides(s.args), s.args) for s in steps
        ]
        if early is not None:
            sides = slots.sides(early[0])
            consumers.append((early[1](slots.arguments(early[0], sides), len(sides)), sides, early[0]))
        sides = slots.sides(sources) + _loose_ends(steps, everything, slots)
        last = end(slots.arguments(sources, sides), len(sides))
        consumers.append((last, sides, sources))
        edges: dict[int, list[Edge]] = {}
        for node, producers, read in consumers:
            self.circuit.add(node)
            if self.accelerated:
                node.lands = tuple(node.reads())
            for side, producer in enumerate(producers):
                edges.setdefault(producer, []).append(slots.edge(node, side, producer, read))
        if self.readers:
            edges = {p: with_forks(found, slots.width[p], slots.holding(p, self.readers)) for p, found in edges.items()}
        for index, node in nodes.items():
            node.lead(edges.get(index, ()))
            if isinstance(node, Streaming):
                node.late = tuple(edges.get(late_key(index), ()))
        return tuple(edges.get(INGRESS, ())), last

    def arm(self, construct: Node, step: Step, region: RegionPlan) -> Entry:
        """A region that the construct's own elements go through, on to its consumers."""
        return self.region(step, region, lambda arguments, sides: Yield(construct, arguments, sides))

    def region(self, step: Step, region: RegionPlan, end: End, *, whole: bool = False) -> Entry:
        """A region of a construct's step."""
        edges, _ = self.wire(
            (*region.given, *region.captured),
            region.steps,
            region.yields,
            end,
            whole=whole,
            device_streams=region.device_streams,
        )
        places = {source.index: i for i, source in reversed([*enumerate(step.args)]) if isinstance(source, Slot)}
        return Entry(edges, tuple(places[slot] for slot in region.captured))

    def inside(self, background: bool = False) -> Wirer:
        """For the children of one of its elements."""
        circuit = Circuit(True, background or self.circuit.background)
        self.circuit.inner.append(circuit)
        return Wirer(self.stages, circuit, self.readers)

    def _node(self, step: Step, slots: _Slots) -> Node:
        sides = slots.sides(step.args)
        arguments = slots.arguments(step.args, sides)
        if streams(step):
            return Streaming(step, arguments, len(sides), self.stages[step.stage], self.circuit.background)
        if isinstance(step, FusedStep):
            return FusedCall(step, arguments, len(sides), self.circuit.background)
        if step.stage >= 0:
            return Call(step, arguments, len(sides), self.stages[step.stage], self.circuit.background)
        if step.control is None:
            return Compute(step, arguments, len(sides))
        from .control import construct

        return construct(step, arguments, len(sides), self)

    def _needed(self, steps: Sequence[Step], sources: Sequence[Source], slots: _Slots) -> list[Step]:
        """Steps that the sources need, and those that must run whoever reads them."""
        wanted = {slots.maker(s) for s in sources if isinstance(s, Slot)}
        for step in reversed(steps):
            if step.index in wanted or self._once(step):
                wanted.add(step.index)
                wanted.update(slots.maker(s) for s in step.args if isinstance(s, Slot))
        return [s for s in steps if s.index in wanted]

    def _once(self, step: Step) -> bool:
        """Whether it is, or holds, a call that must run for every element."""
        if step.stage >= 0:
            return self.stages[step.stage].always
        return any(self._once(inner) for region in regions(step.control) for inner in region.steps)


def _chain(step: Step, stage: StageRuntime, device_streams: Sequence[DeviceStreams]) -> Chain:
    """What the plan says of a step's stream."""
    for found in device_streams:
        if found.device == stage.plan.device:
            critical = found.streams > 1 and found.priority == step.stream
            return Chain(step.stream, max(found.streams, 1), critical)
    return Chain(step.stream)


class _Slots:
    """Who writes each slot of a region: (step, number among its outputs)."""

    def __init__(self, entered: Sequence[int], steps: Iterable[Step]) -> None:
        self.places: dict[int, tuple[int, int]] = {slot: (INGRESS, i) for i, slot in enumerate(entered)}
        self.width = {INGRESS: len(entered)}
        for step in steps:
            if streams(step):
                now = [slot for slot, kind in zip(step.outputs, step.types) if kind.stream]
                self._written(step.index, now)
                self._written(late_key(step.index), [slot for slot in step.outputs if slot not in now])
            else:
                self._written(step.index, step.outputs)

    def _written(self, writer: int, slots: Sequence[int]) -> None:
        self.width[writer] = len(slots)
        self.places.update({slot: (writer, i) for i, slot in enumerate(slots)})

    def writer(self, slot: Slot) -> int:
        return self.places[slot.index][0]

    def maker(self, slot: Slot) -> int:
        """The step that writes it, sooner or later."""
        writer = self.writer(slot)
        return writer if writer >= INGRESS else late_key(writer)

    def holding(self, writer: int, readers: frozenset[int]) -> frozenset[int]:
        """The columns of a writer that hold streams."""
        return frozenset(i for slot, (by, i) in self.places.items() if by == writer and slot in readers)

    def sides(self, sources: Sequence[Source]) -> list[int]:
        """The distinct producers of these sources; what reads only constants starts with the elements."""
        found = dict.fromkeys(self.writer(s) for s in sources if isinstance(s, Slot))
        return list(found) or [INGRESS]

    def columns(self, producer: int, sources: Sequence[Source]) -> list[int]:
        """The producer's columns that these sources read, each once, in order of use."""
        places = (self.places[s.index] for s in sources if isinstance(s, Slot))
        return list(dict.fromkeys(column for p, column in places if p == producer))

    def arguments(self, sources: Sequence[Source], sides: list[int]) -> Arguments:
        found: list[Argument] = []
        for source in sources:
            if isinstance(source, Slot):
                producer, column = self.places[source.index]
                found.append((sides.index(producer), self.columns(producer, sources).index(column)))
            else:
                assert source is None or isinstance(source, Constant)
                found.append(None if source is None else _laid_out(source))
        return tuple(found)

    def edge(self, target: Node, side: int, producer: int, sources: Sequence[Source]) -> Edge:
        columns = self.columns(producer, sources)
        everything = columns == list(range(self.width[producer]))
        return Edge(target, side, None if everything else tuple(columns))


def _laid_out(constant: Constant) -> Constant:
    """A list as the array that goes to stages: read-only, since all requests have the same one."""
    kind = constant.type
    if kind.stream or not kind.dims or constant.value is None:
        return constant
    array = to_dtype(constant.value, kind)
    array.flags.writeable = False
    return replace(constant, value=array)


def _loose_ends(steps: Sequence[Step], sources: Sequence[Source], slots: _Slots) -> list[int]:
    """Steps that run though nothing reads them; an element is through once they did."""
    read = {slots.writer(s) for step in steps for s in step.args if isinstance(s, Slot)}
    read.update(slots.writer(s) for s in sources if isinstance(s, Slot))
    ends = {s.index: late_key(s.index) if streams(s) else s.index for s in steps}
    return [end for step, end in ends.items() if not read & {step, end}]
