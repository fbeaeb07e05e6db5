"""Which values go from one device to another: each once for each step, or output, that reads it elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline_dsl.plan import OUTPUT, BranchPlan, PipelinePlan, RoutePlan, Slot, Source, StagePlan, Step, Transfer

from .devices import CPU
from .made import made_values, place_of


def transfers(pipeline: PipelinePlan, stages: Sequence[StagePlan]) -> Iterator[Transfer]:
    """In the order of the steps that read, outputs last. What a construct hands on to its regions is no copy: the
    steps in them read it."""
    if all(step.stage < 0 or stages[step.stage].device == CPU for step in pipeline.every_step):
        return
    made = made_values(pipeline, stages)
    for step in pipeline.every_step:
        wanted = {source.index: target for source, target in _reads(step, stages) if isinstance(source, Slot)}
        for slot, target in wanted.items():
            if made[slot].device != target:
                yield Transfer(slot, step.index, made[slot].device, target)
    for output in pipeline.outputs:
        if isinstance(output.source, Slot) and (source := made[output.source.index].device) != CPU:
            yield Transfer(output.source.index, OUTPUT, source, CPU)


def _reads(step: Step, stages: Sequence[StagePlan]) -> Iterator[tuple[Source, str]]:
    """What a step looks at itself, and the device where it needs it."""
    if step.stage >= 0:
        stage = stages[step.stage]
        given = (port for port in zip(stage.inputs, step.args, strict=True) if not port[0].filled)
        yield from ((source, place_of(port, stage)) for port, source in given)
    elif step.control is None:
        yield from ((source, CPU) for source in step.args)
    elif isinstance(step.control, BranchPlan) or (isinstance(step.control, RoutePlan) and step.control.keyed):
        yield step.args[0], CPU
