"""What `pipectl plan` says about constructs: whether items share batches and how many there may be, the shares of a
route, the limits of a `try`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline_dsl.literals import duration
from pipeline_dsl.plan import MapPlan, Note, PipelinePlan, RegionPlan, RoutePlan, StagePlan, Step, TryPlan, regions

_ON_ERROR = {
    "fail": "an item that fails ends its {}",
    "mark": "an item that fails is marked in `ok`",
    "drop": "an item that fails is left out",
}


def control_notes(pipeline: PipelinePlan, stages: Sequence[StagePlan]) -> Iterator[Note]:
    """One note for each construct that has something to say, in the order of its steps."""
    yield from _notes(pipeline.steps, stages, "request")


def _notes(steps: Sequence[Step], stages: Sequence[StagePlan], element: str) -> Iterator[Note]:
    for step in steps:
        told = _about(step, stages, element)
        if told:
            yield Note(step.node, "control", told)
        inner = "item" if isinstance(step.control, MapPlan) else element
        for region in regions(step.control):
            yield from _notes(region.steps, stages, inner)


def _about(step: Step, stages: Sequence[StagePlan], element: str) -> str:
    match step.control:
        case MapPlan():
            return _map(step.control, stages, element)
        case RoutePlan():
            return _route(step.control, element)
        case TryPlan():
            return _try(step.control)
    return ""


def _map(plan: MapPlan, stages: Sequence[StagePlan], element: str) -> str:
    parts = [_batches(plan.body, stages)]
    if plan.maximum is not None:
        parts.append(f"at most {plan.maximum} items")
    if plan.in_flight is not None:
        parts.append(f"{plan.in_flight} of one {element} under way at a time")
    if plan.order == "any":
        parts.append("results in any order")
    return ", ".join([*parts, _ON_ERROR[plan.on_error].format(element)])


def _batches(body: RegionPlan, stages: Sequence[StagePlan]) -> str:
    called = {step.stage for step in _calls(body)}
    if not called:
        return "no stage is called for an item"
    if not any(stages[index].has_rows for index in called):
        return "no stage of its body has `*`: each item is called by itself"
    return "items of all requests share batches"


def _calls(region: RegionPlan) -> Iterator[Step]:
    for step in region.steps:
        if step.stage >= 0:
            yield step
        for inner in regions(step.control):
            yield from _calls(inner)


def _route(plan: RoutePlan, element: str) -> str:
    how = "by a hash of the key: one key, one arm" if plan.keyed else f"at random for each {element}"
    shares = ", ".join(f"{arm.name} {_percent(arm.share)}" for arm in plan.arms)
    beside = "".join(f", shadow {arm.name} on {_percent(arm.share)}" for arm in plan.shadows)
    return f"{shares}{beside}, {how}"


def _percent(share: float) -> str:
    return f"{round(share * 100, 4):g}%"


def _try(plan: TryPlan) -> str:
    parts = ["falls back on failure"]
    if plan.timeout_ns is not None:
        parts[0] += f" or after {duration(plan.timeout_ns)}"
    if plan.first_ns is not None:
        parts[0] += f", or without a first element after {duration(plan.first_ns)}"
    if plan.retries:
        parts.append("1 retry" if plan.retries == 1 else f"{plan.retries} retries")
    if plan.hedge_ns is not None:
        parts.append(f"a second attempt after {duration(plan.hedge_ns)}")
    return ", ".join(parts)
