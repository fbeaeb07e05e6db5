"""Compute threads for each instance: the cores, shared by the instances that can be at work beside each other.

Steps of one level may run at the same moment, so a stage shares the cores with the stages of its fullest level. Stages
of different levels do too when requests overlap, but then batches grow; giving one step few threads would make a
single request slow for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipeline_dsl.plan import Hardware, PipelinePlan, StagePlan, Step, regions

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


def _levels(pipeline: PipelinePlan) -> list[set[int]]:
    """The runtimes that may be at work at the same moment, level by level."""
    return _busy(pipeline.steps)


def _busy(steps: Iterable[Step]) -> list[set[int]]:
    """Levels of one region. Each level of a construct in it is a moment of its own; its arms are at work side by side,
    for different elements."""
    levels: dict[int, list[Step]] = {}
    for step in steps:
        levels.setdefault(step.level, []).append(step)
    found: list[set[int]] = []
    for level in levels.values():
        beside = [[{step.stage for step in level if step.stage >= 0}]]
        beside += [_busy(region.steps) for step in level for region in regions(step.control)]
        own, *inner = beside
        moments = range(max(map(len, beside)))
        found += [own[0].union(*(one[moment] for one in inner if moment < len(one))) for moment in moments]
    return found
