"""The streams of a pipeline's steps, put into its plan: once when it is planned, and again when times are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline_dsl.plan import (
    ArmPlan,
    BranchPlan,
    Control,
    DeviceStreams,
    MapPlan,
    PipelinePlan,
    RegionPlan,
    RoutePlan,
    Slot,
    StagePlan,
    Step,
    TryPlan,
)

from .devices import CPU
from .stream_assignment import BUDGET, WORTHWHILE, Work, assign


def with_streams(
    pipeline: PipelinePlan,
    stages: Sequence[StagePlan],
    costs: Mapping[int, float] | None = None,
    *,
    budget: int = BUDGET,
    worthwhile: float = WORTHWHILE,
    serial: bool = False,
) -> PipelinePlan:
    """The pipeline with the streams of its steps and regions; the same where all of it runs on the host.

    `costs`: measured seconds of steps, by their number; those that are missing are unknown. `budget`: streams of a
    device for one pipeline or region. `worthwhile`: seconds of work that a stream of its own is worth. `serial`: one
    stream for each device."""
    if all(not device_of_step(step, stages) for step in pipeline.every_step):
        return pipeline
    given = _Assigning(stages, costs or {}, budget, worthwhile, serial)
    steps, streams = given.of(pipeline.steps)
    return replace(pipeline, steps=steps, device_streams=streams)


def device_of_step(step: Step, stages: Sequence[StagePlan]) -> str:
    """The device whose streams a step runs on; "" for the host: expressions, constructs, and stages on the cpu or in
    processes of their own, which take and give arrays of the host."""
    if step.stage < 0:
        return ""
    stage = stages[step.stage]
    return "" if stage.device == CPU or stage.isolate else stage.device


class _Assigning:
    """What is the same for all regions of a pipeline."""

    def __init__(
        self,
        stages: Sequence[StagePlan],
        costs: Mapping[int, float],
        budget: int,
        worthwhile: float,
        serial: bool,
    ) -> None:
        self._stages = stages
        self._costs = costs
        self._budget = budget
        self._worthwhile = worthwhile
        self._serial = serial

    def of(self, steps: Sequence[Step]) -> tuple[tuple[Step, ...], tuple[DeviceStreams, ...]]:
        """The steps of a pipeline or region with their streams, and those of its devices."""
        at = {step.index: place for place, step in enumerate(steps)}
        streams = {slot for step in steps for slot, kind in zip(step.outputs, step.types) if kind.stream}
        made = {slot: step.index for step in steps for slot in step.outputs if slot not in streams}
        work = [self._work(step, at, made, streams) for step in steps]
        found = assign(work, budget=self._budget, worthwhile=self._worthwhile, serial=self._serial)
        placed = []
        for place, step in enumerate(steps):
            waits = tuple(steps[p].index for p in found.waits[place])
            control = self._control(step.control)
            if found.streams[place] >= 0 or control is not step.control:
                stream, signals = found.streams[place], found.signals[place]
                step = replace(step, stream=stream, signals=signals, waits=waits, control=control)
            placed.append(step)
        return tuple(placed), found.devices

    def _work(self, step: Step, at: Mapping[int, int], made: Mapping[int, int], streams: set[int]) -> Work:
        """An element of a stream is ordered by itself when it goes on: who reads one does not come after the step
        that makes it, and neither orders anything else."""
        reads = {source.index for source in step.args if isinstance(source, Slot)}
        after = sorted({at[made[slot]] for slot in reads if slot in made})
        flows = not streams.isdisjoint((*reads, *step.outputs))
        kept = step.stage >= 0 and self._stages[step.stage].cache is not None
        return Work(
            device_of_step(step, self._stages), tuple(after), self._costs.get(step.index), skippable=flows or kept
        )

    def _control(self, control: Control | None) -> Control | None:
        match control:
            case BranchPlan(arms=arms):
                return replace(control, arms=tuple(ArmPlan(arm.values, self._region(arm.region)) for arm in arms))
            case RoutePlan(arms=routed, shadows=shadows):
                return replace(
                    control,
                    arms=tuple(replace(arm, region=self._region(arm.region)) for arm in routed),
                    shadows=tuple(replace(arm, region=self._region(arm.region)) for arm in shadows),
                )
            case MapPlan(body=body):
                return replace(control, body=self._region(body))
            case TryPlan(body=body, fallback=fallback):
                return replace(control, body=self._region(body), fallback=self._region(fallback))
        return control

    def _region(self, region: RegionPlan) -> RegionPlan:
        steps, streams = self.of(region.steps)
        return replace(region, steps=steps, device_streams=streams)
