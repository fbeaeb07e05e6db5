"""A checked program and a machine -> the `Plan` the executor runs. Pure; linear in nodes and edges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline_dsl.ir import Graph, Program
from pipeline_dsl.plan import DeviceOverride, Hardware, PipelinePlan, Plan, StagePlan

from .digest import digest
from .fused import fused_plans
from .notes import notes
from .pipelines import pipeline_plan
from .policies import totals
from .stages import stage_table
from .streams import with_streams
from .threads import spread
from .transfers import transfers


def build(program: Program, hardware: Hardware, device: DeviceOverride = "", *, serial: bool = False) -> Plan:
    """The plan of a program whose graphs have been through the passes.

    `device`: instead of what its profile says of each stage. `serial`: one stream for each device, see `Plan`."""
    graphs: Mapping[str, Graph] = program.pipelines
    calls = [call for graph in graphs.values() for call in graph.calls]
    table = stage_table(program, calls, hardware, device)
    users = Counter(table.of_node.values())
    shared = frozenset(stage for stage, count in users.items() if count > 1)
    wired = {name: pipeline_plan(graph, program, table, shared) for name, graph in graphs.items()}
    stages = spread(table.plans, wired.values(), hardware)
    pipelines = {name: _placed(pipeline, stages, serial) for name, pipeline in wired.items()}
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
        serial=serial,
        digest=digest(program),
    )


def _placed(pipeline: PipelinePlan, stages: Sequence[StagePlan], serial: bool) -> PipelinePlan:
    """The pipeline with streams and copies, where some of it runs on a device."""
    found = with_streams(pipeline, stages, serial=serial)
    copied = tuple(transfers(found, stages))
    return replace(found, transfers=copied) if copied else found
