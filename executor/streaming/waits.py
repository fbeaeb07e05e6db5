"""Stages whose calls would wait for one another for ever.

A stage that takes a stream holds an instance while it waits for elements. If these are made, at however many removes,
by another call that needs an instance of the same stage, enough requests at a time leave none for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from executor.errors import LoadError
from pipeline_dsl.plan import PipelinePlan, Plan, Slot, Step, regions

Waits = dict[str, dict[str, tuple[str, str]]]
"""Stage -> the stages it waits for -> the two call sites that make it so."""


def check_waits(plan: Plan) -> None:
    """LoadError for stages that wait for themselves."""
    waits: Waits = {}
    for pipeline in plan.pipelines.values():
        _add(pipeline, plan, waits)
    for stage in waits:
        way = _way(stage, stage, waits, set())
        if way is not None:
            reader, maker = waits[stage][way[0]]
            through = "" if len(way) == 1 else f", through {', '.join(f'`{name}`' for name in way[:-1])}"
            raise LoadError(
                stage,
                f"its call `{reader}` holds an instance while it waits for elements of `{maker}`, which needs"
                f" an instance of the same stage{through}: under load both would wait for ever",
                f"give one of them instances of its own in a profile, `{reader} {{ instances = 1 }}`,"
                " or declare the stage twice, the second time with `like`",
            )


def _add(pipeline: PipelinePlan, plan: Plan, waits: Waits) -> None:
    makers = {slot: step for step in pipeline.every_step for slot in step.outputs}
    for step in pipeline.every_step:
        if step.stage < 0:
            continue
        stage = plan.stages[step.stage]
        read = [a for p, a in zip(stage.inputs, step.args) if p.type.stream and isinstance(a, Slot)]
        for maker in _upstream(read, makers, set()):
            other = plan.stages[maker.stage]
            if any(port.type.stream for port in other.inputs):
                waits.setdefault(stage.name, {}).setdefault(other.name, (step.node, maker.node))


def _upstream(read: Iterable[Slot], makers: Mapping[int, Step], seen: set[int]) -> Iterator[Step]:
    """Calls that have a part in making these streams."""
    for slot in read:
        step = makers.get(slot.index)
        if step is None or step.index in seen:
            continue
        seen.add(step.index)
        if step.stage >= 0:
            yield step
            continue
        inside = [s for region in regions(step.control) for s in region.steps]
        yield from (s for s in _every(inside) if s.stage >= 0)
        yield from _upstream([a for a in step.args if isinstance(a, Slot)], makers, seen)


def _every(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        for region in regions(step.control):
            yield from _every(region.steps)


def _way(start: str, goal: str, waits: Waits, seen: set[str]) -> list[str] | None:
    """The stages from `start` to `goal`, which is the last of them."""
    for stage in waits.get(start, {}):
        if stage == goal:
            return [stage]
        if stage not in seen:
            seen.add(stage)
            rest = _way(stage, goal, waits, seen)
            if rest is not None:
                return [stage, *rest]
    return None
