"""A set of steps as one step, and its call site.

A request may want only some of a pipeline's outputs. What is wired for it has the members that those need, and such
cohorts never share a batch with others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from executor.node import Arguments, Call
from pipeline_dsl.plan import Slot, Step

if TYPE_CHECKING:
    from executor.stage import StageRuntime

    from .runtime import FusedRuntime


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedStep(Step):
    """Members of one set; it is called what its first member is."""

    runtime: FusedRuntime
    wanted: tuple[int, ...]
    """Members by their number in the set, ascending."""


class FusedCall(Call):
    """The call site of some members of a set."""

    __slots__ = ("wanted",)

    def __init__(self, step: FusedStep, arguments: Arguments, sides: int, background: bool) -> None:
        super().__init__(step, arguments, sides, step.runtime, background)
        self.wanted = step.wanted


def with_sets(steps: Sequence[Step], stages: Mapping[int, StageRuntime] | Sequence[StageRuntime]) -> list[Step] | None:
    """The steps of a region with one step for each set, where its first member was; None if there is no set."""
    found: dict[FusedRuntime, list[Step]] = {}
    for step in steps:
        within = stages[step.stage].within if step.stage >= 0 else None
        if within is not None:
            found.setdefault(within, []).append(step)
    if not found:
        return None
    joined = {step.index: (runtime, members) for runtime, members in found.items() for step in members}
    made: list[Step] = []
    for step in steps:
        if step.index not in joined:
            made.append(step)
            continue
        runtime, members = joined[step.index]
        if members[0] is step:
            made.append(_one(runtime, members))
    return made


def _one(runtime: FusedRuntime, steps: Sequence[Step]) -> FusedStep:
    plan = runtime.fused
    first = steps[0]
    wanted = tuple(number for number, member in enumerate(plan.members) if any(s.index == member.step for s in steps))
    given = plan.inputs_of(wanted)
    types = {slot: kind for step in steps for slot, kind in zip(step.outputs, step.types)}
    outputs = tuple(plan.slots[i] for i in plan.outputs_of(wanted))
    own = {field.name: getattr(first, field.name) for field in fields(Step)}
    own |= {
        "args": tuple(Slot(slot) if place in given else None for place, slot in enumerate(plan.given)),
        "outputs": outputs,
        "types": tuple(types[slot] for slot in outputs),
    }
    return FusedStep(**own, runtime=runtime, wanted=wanted)
