"""Programs with constructs, made by hand: `Nest` adds them to a `Build`, `plan` plans them.

A region is a function that adds nodes, is given refs to what the region is given, and returns what it yields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_dsl import ir
from pipeline_dsl.ir import Constant, Given, Operand, Ref
from pipeline_dsl.plan import (
    INGRESS,
    ArmPlan,
    BranchPlan,
    Control,
    Hardware,
    InputPlan,
    MapPlan,
    OutputPlan,
    PipelinePlan,
    Plan,
    RegionPlan,
    RouteArmPlan,
    RoutePlan,
    Slot,
    Source,
    Step,
    TryPlan,
)
from pipeline_dsl.planning import build
from pipeline_dsl.planning.policies import admission_policy
from pipeline_dsl.planning.reading import read
from pipeline_dsl.planning.stages import StageTable, stage_table
from pipeline_dsl.planning.threads import spread
from tests.pipeline_dsl.graphs import Build, type_of

Body = Callable[..., Sequence[Operand]]


@dataclass
class Nest(Build):
    """Every construct takes the types of its results by name, and gives a ref for each."""

    def branch(
        self, name: str, subject: Operand, arms: Mapping[Any, Body], results: Mapping[str, str]
    ) -> tuple[Ref, ...]:
        """`arms`: by a value, a tuple of values, or None for anything else."""
        made = []
        for i, (values, body) in enumerate(arms.items()):
            held = values if isinstance(values, tuple) or values is None else (values,)
            made.append(ir.Arm(held, self._region(name, "else" if held is None else f"case_{i + 1}", {}, body)))
        return self._add(ir.Branch, name, results, subject=subject, arms=tuple(made))

    def route(
        self,
        name: str,
        key: Operand | None,
        arms: Mapping[str, tuple[float, Body]],
        results: Mapping[str, str],
        shadows: Mapping[str, tuple[float, Body]] | None = None,
    ) -> tuple[Ref, ...]:
        made = tuple(ir.RouteArm(arm, share, self._region(name, arm, {}, body)) for arm, (share, body) in arms.items())
        shadow = tuple(
            ir.ShadowArm(arm, share, self._region(name, arm, {}, body))
            for arm, (share, body) in (shadows or {}).items()
        )
        return self._add(ir.Route, name, results, key=key, arms=made, shadows=shadow)

    def map(
        self,
        name: str,
        sources: Mapping[str, tuple[Operand, str]],
        body: Body,
        results: Mapping[str, str],
        **options: Any,
    ) -> tuple[Ref, ...]:
        """`sources`: by the item's name, the source and the item's type."""
        region = self._region(name, "body", {item: type_ for item, (_, type_) in sources.items()}, body)
        operands = tuple(source for source, _ in sources.values())
        return self._add(ir.Map, name, results, sources=operands, body=region, **options)

    def attempt(
        self, name: str, body: Body, fallback: Body, results: Mapping[str, str], err: str = "", **options: Any
    ) -> tuple[Ref, ...]:
        region = self._region(name, "body", {}, body)
        other = self._region(name, "fallback", {err: "json"} if err else {}, fallback)
        return self._add(ir.Try, name, results, body=region, fallback=other, **options)

    def _region(self, construct: str, name: str, given: Mapping[str, str], body: Body) -> ir.Region:
        outer, self.nodes = self.nodes, []
        held = tuple(Given(id=f"{self.name}.{construct}.{name}.{g}", type=type_of(t)) for g, t in given.items())
        yields = tuple(body(*[Ref(g.id, "value") for g in held]))
        nodes, self.nodes = tuple(self.nodes), outer
        return ir.Region(name, held, nodes, yields)

    def _add(self, kind: Any, name: str, results: Mapping[str, str], **fields: Any) -> tuple[Ref, ...]:
        id = f"{self.name}.{name}"
        self.nodes.append(kind(id=id, results=tuple((n, type_of(t)) for n, t in results.items()), **fields))
        return tuple(Ref(id, n) for n in results)


# ---- planning


def plan(program: ir.Program, hardware: Hardware) -> Plan:
    """As `planning.build`, which it is for programs without constructs."""
    graphs = program.pipelines
    if not any(isinstance(n, ir.Control) for g in graphs.values() for n in g.nodes):
        return build(program, hardware)
    table = stage_table(program, [c for g in graphs.values() for c in g.calls], hardware)
    pipelines = {name: _Planner(graph, table).pipeline(program) for name, graph in graphs.items()}
    return Plan(spread(table.plans, pipelines.values(), hardware), pipelines, hardware)


class _Planner:
    def __init__(self, graph: ir.Graph, table: StageTable) -> None:
        self.graph = graph
        self.table = table
        self.slots: dict[Ref, int] = {}
        self.writers: dict[int, int] = {}
        self.steps = 0

    def pipeline(self, program: ir.Program) -> PipelinePlan:
        settings = program.schedule.pipelines.get(self.graph.name, {})
        inputs = [n for n in self.graph.nodes if isinstance(n, ir.Input)]
        held = tuple(
            InputPlan(n.port.name, n.port.type, self._slot(Ref(n.id, n.port.name)), n.port.has_default, n.port.default)
            for n in inputs
        )
        steps = self._steps([n for n in self.graph.nodes if not isinstance(n, ir.Input | ir.Output)])
        outputs = tuple(
            OutputPlan(n.port.name, n.port.type, self._required(n.value))
            for n in self.graph.nodes
            if isinstance(n, ir.Output)
        )
        return PipelinePlan(
            self.graph.name,
            held,
            outputs,
            steps,
            len(self.slots),
            self.graph.signature.bounds,
            read(settings, "timeout"),
            admission_policy(settings),
        )

    def _slot(self, ref: Ref, writer: int = INGRESS) -> int:
        slot = self.slots[ref] = len(self.slots)
        self.writers[slot] = writer
        return slot

    def _source(self, operand: Operand | None) -> Source:
        return Slot(self.slots[operand]) if isinstance(operand, Ref) else operand

    def _required(self, operand: Operand) -> Slot | Constant:
        found = self._source(operand)
        assert found is not None
        return found

    def _steps(self, nodes: Sequence[ir.AnyNode]) -> tuple[Step, ...]:
        return tuple(self._step(node) for node in nodes)

    def _step(self, node: ir.AnyNode) -> Step:
        index, self.steps = self.steps, self.steps + 1
        refs = list(dict.fromkeys(ir.references(node)))
        args: tuple[Source, ...] = tuple(Slot(self.slots[r]) for r in refs)
        control: Control | None = None
        if isinstance(node, ir.Call):
            args = tuple(self._source(o) for _, o in node.args)
        elif isinstance(node, ir.Control):
            own = ir.operands(node)
            inner = dict.fromkeys(r for region in ir.regions(node) for r in ir.captures(region))
            args = (*map(self._source, own), *(Slot(self.slots[r]) for r in inner))
            control = self._control(node)
        results = ir.results(node)
        outputs = tuple(self._slot(Ref(node.id, port), index) for port, _ in results)
        call = node if isinstance(node, ir.Call) else None
        return Step(
            index=index,
            node=node.id,
            stage=self.table.of_node[node.id] if call else -1,
            binding=call.binding if call else "each",
            args=args,
            outputs=outputs,
            types=tuple(t for _, t in results),
            producers=(),
            consumers=(),
            level=1,
            run=index,
            expression=self._expression(node.expression) if isinstance(node, ir.Compute) else None,
            timeout_ns=call.timeout_ns if call else None,
            priority=call.priority if call else None,
            control=control,
        )

    def _expression(self, expression: ir.Expression) -> Any:
        if isinstance(expression, ir.Apply):
            return ir.Apply(expression.op, tuple(self._expression(a) for a in expression.args))
        return self._source(expression)

    def _region(self, region: ir.Region) -> RegionPlan:
        captured = tuple(self.slots[ref] for ref in ir.captures(region))
        given = tuple(self._slot(Ref(g.id, "value")) for g in region.given)
        steps = self._steps(region.nodes)
        return RegionPlan(region.name, given, captured, steps, tuple(map(self._source, region.yields)))

    def _control(self, node: ir.Control) -> Control:
        if isinstance(node, ir.Branch):
            return BranchPlan(tuple(ArmPlan(a.values, self._region(a.region)) for a in node.arms))
        if isinstance(node, ir.Route):
            arms = tuple(RouteArmPlan(a.name, a.share, self._region(a.region)) for a in node.arms)
            shadows = tuple(RouteArmPlan(a.name, a.sample, self._region(a.region)) for a in node.shadows)
            return RoutePlan(node.key is not None, arms, shadows)
        if isinstance(node, ir.Map):
            body = self._region(node.body)
            options = (node.maximum, node.order, node.on_error, node.in_flight, node.over_stream)
            return MapPlan(len(node.sources), body, *options)
        assert isinstance(node, ir.Try)
        body, fallback = self._region(node.body), self._region(node.fallback)
        return TryPlan(body, fallback, node.timeout_ns, node.retries, node.hedge_ns, node.first_ns)
