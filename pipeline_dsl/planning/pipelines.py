"""One graph -> one `PipelinePlan`: wiring, the runtimes of its calls and the pipeline's own settings put together."""

from __future__ import annotations

from pipeline_dsl.ir import Call, Compute, Constant, Graph, Input, Output, Program, Ref, Settings, references, results
from pipeline_dsl.plan import InputPlan, OutputPlan, PipelinePlan, Source, Step

from .policies import admission_policy, rate_policy
from .reading import read
from .runs import COMPUTE, Place, place_of, runs
from .stages import StageTable, labels_path
from .wiring import Wiring, expression_of, wire


def pipeline_plan(graph: Graph, program: Program, table: StageTable, shared: frozenset[int]) -> PipelinePlan:
    """`shared`: runtimes that more than one call site of the program uses."""
    wiring = wire(graph)
    settings = program.schedule.pipelines.get(graph.name, {})
    return PipelinePlan(
        name=graph.name,
        inputs=_inputs(graph, wiring),
        outputs=_outputs(graph, program, wiring),
        steps=_steps(wiring, program, table, shared),
        slots=len(wiring.slot_types),
        bounds=graph.signature.bounds,
        timeout_ns=read(settings, "timeout"),
        admission=admission_policy(settings),
        rate=rate_policy(settings),
        sequence=graph.sequence,
        doc=graph.doc,
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


def _steps(wiring: Wiring, program: Program, table: StageTable, shared: frozenset[int]) -> tuple[Step, ...]:
    places = [_place(node, table, shared) for node in wiring.nodes]
    numbers = runs(places, wiring.producers, wiring.consumers)
    return tuple(_step(index, numbers[index], wiring, program, table) for index in range(len(wiring.nodes)))


def _place(node: Call | Compute, table: StageTable, shared: frozenset[int]) -> Place:
    if isinstance(node, Compute):
        return COMPUTE
    stage = table.of_node[node.id]
    return place_of(table.plans[stage], node.binding, stage in shared)


def _step(index: int, run: int, wiring: Wiring, program: Program, table: StageTable) -> Step:
    node = wiring.nodes[index]
    call = node if isinstance(node, Call) else None
    settings = _call_settings(call, program, table) if call else {}
    return Step(
        index=index,
        node=node.id,
        stage=table.of_node[node.id] if call else -1,
        binding=call.binding if call else "each",
        args=_args(node, wiring),
        outputs=tuple(wiring.slots[Ref(node.id, port)] for port, _ in results(node)),
        types=tuple(type_ for _, type_ in results(node)),
        producers=wiring.producers[index],
        consumers=wiring.consumers[index],
        level=wiring.levels[index],
        run=run,
        expression=expression_of(node.expression, wiring) if isinstance(node, Compute) else None,
        timeout_ns=_timeout(call, settings),
        priority=_priority(call, settings),
    )


def _call_settings(call: Call, program: Program, table: StageTable) -> Settings:
    """What holds for this call: its stage's settings, then its own."""
    return {**table.settings[table.of_node[call.id]], **program.schedule.nodes.get(call.id, {})}


def _args(node: Call | Compute, wiring: Wiring) -> tuple[Source, ...]:
    if isinstance(node, Call):
        return tuple(wiring.source(operand) for _, operand in node.args)
    return tuple(wiring.slot(ref) for ref in dict.fromkeys(references(node)))


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
