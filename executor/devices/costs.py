"""What stages cost on their devices, measured by their warm-ups, and streams assigned anew by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline_dsl.plan import Plan
from pipeline_dsl.planning.fused import fused_plans
from pipeline_dsl.planning.streams import with_streams

if TYPE_CHECKING:
    from executor.stage import StageRuntime


def replanned(plan: Plan, stages: Sequence[StageRuntime]) -> Plan:
    """The plan with streams by measured seconds; the same where nothing was measured, or all runs in one stream."""
    seconds = {i: cost for i, stage in enumerate(stages) if (cost := _seconds(stage)) is not None}
    if not seconds or plan.serial:
        return plan
    pipelines = {}
    for name, pipeline in plan.pipelines.items():
        costs = {step.index: seconds[step.stage] for step in pipeline.every_step if step.stage in seconds}
        pipelines[name] = with_streams(pipeline, plan.stages, costs)
    return replace(plan, pipelines=pipelines, fused=fused_plans(pipelines.values(), plan.stages))


def _seconds(stage: StageRuntime) -> float | None:
    """Of a batch of its warm-up, on the slowest of its instances."""
    found = [slot.site.seconds for slot in stage.slots if slot.site is not None and slot.site.seconds is not None]
    return max(found, default=None)
