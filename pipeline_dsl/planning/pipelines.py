"""One graph -> one `PipelinePlan`: wiring, the runtimes of its calls and the pipeline's own settings put together."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.ir import (
    AnyNode,
    Call,
    Compute,
    Constant,
    Control,
    Graph,
    Input,
    Output,
    Program,
    Ref,
    Region,
    Settings,
    captures,
    operands,
    references,
    regions,
    results,
)
from pipeline_dsl.plan import INGRESS, InputPlan, OutputPlan, PipelinePlan, RegionPlan, Slot, Source, Step

from .constructs import control_plan
from .policies import admission_policy, rate_policy
from .reading import read
from .runs import COMPUTE, CONTROL, Place, place_of, runs
from .stages import StageTable, labels_path
from .wiring import Wired, Wiring, expression_of, wire


def pipeline_plan(graph: Graph, program: Program, table: StageTable, shared: frozenset[int]) -> PipelinePlan:
    """`shared`: runtimes that more than one call site of the program uses."""
    wiring = wire(graph)
    settings = program.schedule.pipelines.get(graph.name, {})
    return PipelinePlan(
        name=graph.name,
        inputs=_inputs(graph, wiring),
        outputs=_outputs(graph, program, wiring),
        steps=_Steps(wiring, program, table, shared).of(wiring.top),
        slots=len(wiring.slot_types),
        bounds=graph.signature.bounds,
        timeout_ns=read(settings, "timeout"),
        admission=admission_policy(settings),
        rate=rate_policy(settings),
        sequence=graph.sequence,
        doc=graph.doc,
        graph=graph,
    )


def _inputs(graph: Graph, wiring: Wiring) -> tuple[InputPlan, ...]:
    ports = [(node.port, wiring.slots[Ref(node.id, node.port.name)]) for node in graph.nodes if isinstance(node, Input)]
    return tuple(InputPlan(p.name, p.type, slot, p.has_default, p.default, p.doc) for p, slot in ports)


def _outputs(graph: Graph, program: Program, wiring: Wiring) -> tuple[OutputPlan, ...]:
    found = []
    for node in (n for n in graph.nodes if isinstance(n, Output)):
        source = node.value if isinstance(node.value, Constant) else wiring.slot(node.value)
        labels = _labels(graph, program, node)
        found.append(OutputPlan(node.port.name, node.port.type, source, labels, node.port.doc))
    return tuple(found)


def _labels(graph: Graph, program: Program, output: Output) -> str:
    if not isinstance(output.value, Ref):
        return ""
    maker = graph.node(output.value.node)
    return labels_path(program.stages[maker.stage], output.value.port) if isinstance(maker, Call) else ""


@dataclass(slots=True)
class _Steps:
    """The steps of one pipeline, region by region."""

    wiring: Wiring
    program: Program
    table: StageTable
    shared: frozenset[int]
    runs: int = 0
    """Numbers of runs that are taken."""

    def of(self, wired: Wired) -> tuple[Step, ...]:
        """The steps of the pipeline itself or of one region."""
        places = [_place(node, self.table, self.shared) for node in wired.nodes]
        at = {number: place for place, number in enumerate(wired.numbers)}
        producers = [tuple(at.get(p, INGRESS) for p in reads) for reads in wired.producers]
        consumers = [tuple(at[c] for c in readers) for readers in wired.consumers]
        first = self.runs
        numbers = [first + number for number in runs(places, producers, consumers)]
        self.runs = max(numbers, default=first - 1) + 1
        return tuple(self._step(wired, index, numbers[index]) for index in range(len(wired.nodes)))

    def _step(self, wired: Wired, index: int, run: int) -> Step:
        node, wiring = wired.nodes[index], self.wiring
        call = node if isinstance(node, Call) else None
        settings = _call_settings(call, self.program, self.table) if call else {}
        args = _args(node, wiring)
        return Step(
            index=wired.numbers[index],
            node=node.id,
            stage=self.table.of_node[node.id] if call else -1,
            binding=call.binding if call else "each",
            args=args,
            outputs=tuple(wiring.slots[Ref(node.id, port)] for port, _ in results(node)),
            types=tuple(type_ for _, type_ in results(node)),
            producers=wired.producers[index],
            consumers=wired.consumers[index],
            level=wired.levels[index],
            run=run,
            expression=expression_of(node.expression, wiring) if isinstance(node, Compute) else None,
            timeout_ns=_timeout(call, settings),
            priority=_priority(call, settings),
            control=control_plan(node, lambda region: self._region(node, region, args)),
            ports=tuple(port for port, _ in results(node)) if isinstance(node, Control) else (),
        )

    def _region(self, node: AnyNode, region: Region, args: tuple[Source, ...]) -> RegionPlan:
        wiring = self.wiring
        captured = {wiring.slots[ref] for ref in captures(region)}
        return RegionPlan(
            name=region.name,
            given=tuple(wiring.slots[Ref(given.id, "value")] for given in region.given),
            captured=tuple(dict.fromkeys(s.index for s in args if isinstance(s, Slot) and s.index in captured)),
            steps=self.of(wiring.inside[node.id, region.name]),
            yields=tuple(map(wiring.source, region.yields)),
            names=tuple(given.id for given in region.given),
        )


def _place(node: AnyNode, table: StageTable, shared: frozenset[int]) -> Place:
    if isinstance(node, Compute):
        return COMPUTE
    if not isinstance(node, Call):
        return CONTROL
    stage = table.of_node[node.id]
    return place_of(table.plans[stage], node.binding, stage in shared)


def _call_settings(call: Call, program: Program, table: StageTable) -> Settings:
    """What holds for this call: its stage's settings, then its own."""
    return {**table.settings[table.of_node[call.id]], **program.schedule.nodes.get(call.id, {})}


def _args(node: AnyNode, wiring: Wiring) -> tuple[Source, ...]:
    """What a step reads: of a call each port, of a construct its own operands, then what its regions capture and it
    does not read itself; each slot once, but for the sources of a `map`, which are told by their place."""
    if isinstance(node, Call):
        return tuple(wiring.source(operand) for _, operand in node.args)
    if isinstance(node, Compute):
        return tuple(wiring.slot(ref) for ref in dict.fromkeys(references(node)))
    own = tuple(map(wiring.source, operands(node)))
    captured = (wiring.slot(ref) for region in regions(node) for ref in captures(region))
    return (*own, *(slot for slot in dict.fromkeys(captured) if slot not in own))


def _timeout(call: Call | None, settings: Settings) -> int | None:
    """The shorter of what the text promises (`with (timeout = ..)`) and what the profile allows."""
    limits = [call.timeout_ns if call else None, settings["timeout"].value if "timeout" in settings else None]
    return min((limit for limit in limits if limit), default=None)


def _priority(call: Call | None, settings: Settings) -> int | None:
    """What the profile says, else what the text says."""
    if "priority" in settings:
        priority: int = settings["priority"].value
        return priority
    return call.priority if call else None
