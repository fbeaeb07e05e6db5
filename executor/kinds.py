"""Which kind of runtime, of run and of door a plan asks for: plain ones, or ones with seats, a cache, a rate.

StagePlan -> StageRuntime | SequenceRuntime, and Run | CachedRun | SequenceRun on its instances
PipelinePlan -> Door | SequenceDoor
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline_dsl.ir import SequenceRule
from pipeline_dsl.plan import PipelinePlan, Plan, StagePlan

from .admission import Door
from .cached_run import CachedRun
from .clock import Clock
from .errors import LoadError
from .execute import Run
from .fused import FusedRun, FusedRuntime
from .rate import Rate
from .resources import Claim, Resources
from .sequence import Seats
from .sequence_door import SequenceDoor
from .sequence_run import SequenceRun
from .sequence_stage import SequenceRuntime
from .stage import StageRuntime


def stage_of(plan: StagePlan, clock: Clock, resources: Resources) -> StageRuntime:
    """The runtime of a stage."""
    kind = StageRuntime if plan.contract.sequence is None else SequenceRuntime
    made = kind(plan, clock)
    if plan.limits:
        made.claim = Claim(resources, plan)
    return made


def run_of(stage: StageRuntime) -> type[Run]:
    """What its instances do with groups."""
    if isinstance(stage, SequenceRuntime):
        return SequenceRun
    if isinstance(stage, FusedRuntime):
        return FusedRun
    return Run if stage.cache is None else CachedRun


def doors_of(plan: Plan, stages: Sequence[StageRuntime], clock: Clock) -> dict[str, Door]:
    """The doors of all pipelines. LoadError if a stage can never hold a sequence of one."""
    doors = {name: _door(pipeline, stages, clock) for name, pipeline in plan.pipelines.items()}
    with_seats = [door for door in doors.values() if isinstance(door, SequenceDoor)]
    for door in with_seats:
        door.rivals = [other for other in with_seats if other is not door and door.shares(other)]
    return doors


def _door(pipeline: PipelinePlan, stages: Sequence[StageRuntime], clock: Clock) -> Door:
    door = _sequence_door(pipeline, stages, clock) if pipeline.sequence else Door(pipeline.name, pipeline.admission)
    door.rate = Rate(pipeline.rate) if pipeline.rate is not None else None
    return door


def _sequence_door(pipeline: PipelinePlan, stages: Sequence[StageRuntime], clock: Clock) -> SequenceDoor:
    places: dict[str, Seats] = {}
    idle = []
    for step in pipeline.every_step:
        stage = stages[step.stage] if step.stage >= 0 else None
        if isinstance(stage, SequenceRuntime):
            places[step.node] = stage.seats
            idle.append(stage.rule.idle_ns)
    for seats, count in Counter(places.values()).items():
        if count > seats.total:
            text = f"it has {seats.total} slots in all, and pipeline `{pipeline.name}` calls it {count} times"
            raise LoadError(seats.stage, text, "raise `slots { max = .. }` in the stage, or `instances`")
    return SequenceDoor(pipeline.name, pipeline.admission, places, min(idle, default=SequenceRule().idle_ns), clock.now)
