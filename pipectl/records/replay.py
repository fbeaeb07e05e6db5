"""A record against a program as it is now: the whole request again, or single calls with what they were given then.

Record + Plan --whole / alone--> Deviation(place, text), first in the order of the record first
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from executor.errors import RequestError
from executor.tap import Tap
from pipectl.compare import Tolerance, difference
from pipeline_dsl.plan import INGRESS, InputPlan, OutputPlan, PipelinePlan, Plan, Slot, StagePlan
from pipeline_dsl.plan import Step as PlanStep

from .record import Record, Step, error_text, step_of

if TYPE_CHECKING:
    from pipectl.app import App

REQUEST = "replay"


@dataclass(frozen=True, slots=True)
class Deviation:
    """Where a value is not what it was, and how."""

    place: str
    """`hello.greet: greeting`"""
    text: str


# ---- the whole request


def whole(record: Record, app: App, tap: Tap, tolerance: Tolerance) -> Iterator[Deviation]:
    """Run the request again and compare every call, then the answer."""
    inputs = {name: value for name, value in record.inputs.items() if value is not None}
    error, outputs = "", {}
    try:
        outputs = app[record.pipeline].whole(inputs, id=REQUEST)
    except RequestError as failed:
        error = error_text(failed)
    now = _by_node([step_of(visit) for visit in tap.visits(REQUEST)])
    for node, before in _by_node(record.steps).items():
        after = now.pop(node, [])
        if len(before) != len(after):
            yield Deviation(node, f"it ran for {_times(before)} then, and for {_times(after)} now")
            continue
        for was, found in zip(before, after):
            yield from _step(was, found, tolerance)
    for node in now:
        yield Deviation(node, "it did not run then")
    yield from _compared(record.pipeline, record.outputs, outputs, record.error, error, tolerance)


def _by_node(steps: Sequence[Step]) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.node, []).append(step)
    return found


def _times(steps: Sequence[Step]) -> str:
    return f"{len(steps)} item{'' if len(steps) == 1 else 's'}"


def _step(was: Step, found: Step, tolerance: Tolerance) -> Iterator[Deviation]:
    given = _compared(was.node, was.inputs, found.inputs, "", "", tolerance)
    for deviation in given:
        yield replace(deviation, place=f"{deviation.place} (input)")
    yield from _compared(was.node, was.outputs, found.outputs, was.error, found.error, tolerance)


def _compared(
    place: str, was: Mapping[str, Any], found: Mapping[str, Any], error: str, now: str, tolerance: Tolerance
) -> Iterator[Deviation]:
    if error != now:
        yield Deviation(place, f"expected {error or 'an answer'}, found {now or 'an answer'}")
        return
    for name in (*was, *(n for n in found if n not in was)):
        if name not in was or name not in found:
            yield Deviation(
                f"{place}: {name}", "there was no such value then" if name in found else "it is missing now"
            )
        elif text := difference(found[name], was[name], tolerance):
            yield Deviation(f"{place}: {name}", text)


# ---- single calls


def alone(step: Step, app: App, tolerance: Tolerance) -> Iterator[Deviation]:
    """Run one call with the inputs it had and compare what it makes. `app` runs `plan_of` its stage."""
    stage = next(s for s in app.plan.stages if s.name == step.stage)
    error, outputs = "", {}
    try:
        outputs = dict(app[step.stage](_rows(step, stage)))
    except RequestError as failed:
        error = error_text(failed)
    if step.binding == "lift":
        outputs = {name: _row(value) for name, value in outputs.items()}
    yield from _compared(step.node, step.outputs, outputs, step.error, error, tolerance)


def plan_of(plan: Plan, stages: Sequence[str]) -> Plan:
    """A plan with a pipeline for each of these stages: its own ports, and one call."""
    found = {stage.name: stage for stage in plan.stages}
    kept = [replace(found[name], index=i) for i, name in enumerate(dict.fromkeys(stages))]
    return replace(plan, stages=tuple(kept), pipelines={stage.name: _pipeline(stage) for stage in kept})


def _pipeline(stage: StagePlan) -> PipelinePlan:
    given = [port for port in stage.inputs if not port.filled]
    slots = {port.name: i for i, port in enumerate(given)}
    inputs = tuple(InputPlan(p.name, p.type, slots[p.name], p.has_default, p.default) for p in given)
    first = len(given)
    step = PlanStep(
        index=0,
        node=f"{stage.name}.call",
        stage=stage.index,
        binding="rows" if stage.has_rows else "each",
        args=tuple(None if port.filled else Slot(slots[port.name]) for port in stage.inputs),
        outputs=tuple(range(first, first + len(stage.outputs))),
        types=tuple(port.type for port in stage.outputs),
        producers=(INGRESS,),
        consumers=(),
        level=1,
        run=0,
    )
    outputs = tuple(OutputPlan(p.name, p.type, Slot(first + i)) for i, p in enumerate(stage.outputs))
    return PipelinePlan(stage.name, inputs, outputs, (step,), first + len(stage.outputs), stage.bounds)


def _rows(step: Step, stage: StagePlan) -> dict[str, Any]:
    """The inputs of one element as what its stage takes: a lifted element is one row."""
    given = {name: value for name, value in step.inputs.items() if value is not None}
    if step.binding != "lift":
        return given
    lifted = {port.name for port in stage.inputs if port.type.has_rows}
    return {name: _as_rows(value) if name in lifted else value for name, value in given.items()}


def _as_rows(value: Any) -> Any:
    return value[None] if isinstance(value, np.ndarray) else [value]


def _row(value: Any) -> Any:
    """The only row, as a caller gets a single value."""
    row = value[0]
    return row.item() if isinstance(row, np.generic) else row
