"""Compute threads for each instance: the cores, shared by the instances that can be at work beside each other.

Steps of one level may run at the same moment, so a stage shares the cores with the stages of its fullest level. Stages
of different levels do too when requests overlap, but then batches grow; giving one step few threads would make a
single request slow for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipeline_dsl.plan import Hardware, PipelinePlan, StagePlan

from .devices import CPU


def spread(stages: Sequence[StagePlan], pipelines: Iterable[PipelinePlan], hardware: Hardware) -> tuple[StagePlan, ...]:
    """The stages with `threads` filled in where no profile set it; at least 1."""
    beside = [stage.instances for stage in stages]
    for pipeline in pipelines:
        for level in _levels(pipeline):
            busy = sum(stages[i].instances for i in level if stages[i].device == CPU)
            for i in level:
                beside[i] = max(beside[i], busy)
    return tuple(
        stage if stage.threads else replace(stage, threads=max(1, hardware.cores // beside[stage.index]))
        for stage in stages
    )


def _levels(pipeline: PipelinePlan) -> Iterable[set[int]]:
    """The runtimes at work on each level."""
    levels: dict[int, set[int]] = {}
    for step in pipeline.steps:
        if step.stage >= 0:
            levels.setdefault(step.level, set()).add(step.stage)
    return levels.values()
