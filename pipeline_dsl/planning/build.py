"""A checked program and a machine -> the `Plan` the executor runs. Pure; linear in nodes and edges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pipeline_dsl.ir import Graph, Program
from pipeline_dsl.plan import Hardware, Plan

from .digest import digest
from .fused import fused_plans
from .notes import notes
from .pipelines import pipeline_plan
from .policies import totals
from .stages import stage_table
from .threads import spread


def build(program: Program, hardware: Hardware) -> Plan:
    """The plan of a program whose graphs have been through the passes."""
    graphs: Mapping[str, Graph] = program.pipelines
    calls = [call for graph in graphs.values() for call in graph.calls]
    table = stage_table(program, calls, hardware)
    users = Counter(table.of_node.values())
    shared = frozenset(stage for stage, count in users.items() if count > 1)
    pipelines = {name: pipeline_plan(graph, program, table, shared) for name, graph in graphs.items()}
    stages = spread(table.plans, pipelines.values(), hardware)
    fused = fused_plans(pipelines.values(), stages)
    return Plan(
        stages=stages,
        pipelines=pipelines,
        hardware=hardware,
        path=program.path,
        profile=program.schedule.profile,
        params=program.params,
        resources=totals(table.settings),
        notes=notes(program, stages, pipelines, calls, fused),
        fused=fused,
        digest=digest(program),
    )
