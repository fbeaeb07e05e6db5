"""The static runs of a plan as `FusedPlan`s: which steps may be in one at all, what a set is entered with and gives,
and which graphs are captured of it.

Host stages are in none: there a worker goes on with the next stage by itself, and branches have threads of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pipeline_dsl.ir import Constant
from pipeline_dsl.plan import (
    INGRESS,
    Fed,
    FusedPlan,
    Given,
    Made,
    MemberPlan,
    Note,
    PipelinePlan,
    PortPlan,
    RoutePlan,
    Slot,
    StagePlan,
    Step,
    regions,
)
from pipeline_dsl.types import Rows, Sized

from .devices import CPU
from .static_runs import Joining, static_runs

Region = tuple[Step, ...]


def fused_plans(pipelines: Iterable[PipelinePlan], stages: Sequence[StagePlan]) -> tuple[FusedPlan, ...]:
    """All sets of a plan, in the order of pipelines and steps."""
    if all(stage.device == CPU for stage in stages):
        return ()
    known = list(pipelines)
    shared = _shared(known)
    found: list[FusedPlan] = []
    for pipeline in known:
        read = _read_by_all(pipeline)
        for steps in _regions(pipeline.steps):
            places = {step.index: place for place, step in enumerate(steps)}
            joining = [_joining(step, stages, shared) for step in steps]
            producers = [tuple(places.get(p, INGRESS) for p in step.producers) for step in steps]
            for members in static_runs(joining, producers):
                chosen = [steps[m] for m in members]
                found.append(_fused(pipeline, chosen, stages, read, len(stages) + len(found)))
    return tuple(found)


def fused_notes(
    fused: Sequence[FusedPlan], pipelines: Iterable[PipelinePlan], stages: Sequence[StagePlan]
) -> Iterator[Note]:
    """What runs as one, and why what a profile wants to does not."""
    known = list(pipelines)
    together = {m.stage: one for one in fused for m in one.members}
    shared = _shared(known)
    steps = {step.stage: step for pipeline in known for step in pipeline.every_step if step.stage >= 0}
    for one in fused:
        others = ", ".join(f"`{m.node}`" for m in one.members[1:])
        yield Note(one.members[0].node, "run", f"runs as one with {others}; {_captured(one)}")
    for stage, step in steps.items():
        for name in _only(stages[stage]) or ():
            other = next((s for s in steps if stages[s].name == name), None)
            if other is not None and other != stage and together.get(stage) != together.get(other, stage):
                why = _obstacle(step, stages, shared) or _obstacle(steps[other], stages, shared)
                why = why or "they are not entered with the same values, or take other batches"
                yield Note(step.node, "run", f"does not run as one with `{name}`: {why}")


def _captured(one: FusedPlan) -> str:
    if not one.graphs:
        return "never captured as a graph"
    sizes = ", ".join(map(str, one.graphs))
    return f"graphs of {sizes} rows{' are captured before it is ready' if one.ahead else ' where they pay'}"


# ---- who may be in a set


def _joining(step: Step, stages: Sequence[StagePlan], shared: frozenset[int]) -> Joining | None:
    if _obstacle(step, stages, shared):
        return None
    stage = stages[step.stage]
    only = _only(stage)
    waits = stage.batching.delay_ns != 0 or bool(stage.batching.preferred) or len(stage.queue.levels) > 1
    return Joining(
        stage.name,
        stage.device,
        step.binding,
        stage.batching.max_rows,
        stage.instances,
        waits or stage.batching.in_order,
        None if only is None else frozenset((stage.name, *only)),
    )


def _only(stage: StagePlan) -> tuple[str, ...] | None:
    """The stages that `fuse` names; None where it names none."""
    given = stage.extra.get("fuse")
    return None if given is None or isinstance(given, str) else tuple(given)


def _obstacle(step: Step, stages: Sequence[StagePlan], shared: frozenset[int]) -> str:
    """Why a step is in no set; "" if it may be in one."""
    if step.stage < 0:
        return f"`{step.node}` is no call of a stage"
    stage = stages[step.stage]
    facts = {
        "is on the host": stage.device == CPU,
        "says `fuse = false`": stage.extra.get("fuse") == "false",
        "has other calls, whose batches it shares": step.stage in shared,
        "runs in processes of its own": stage.isolate,
        "is kept to some multiprocessors (`sms`), which no captured graph is known to keep": stage.sms > 0,
        "keeps sequences": stage.contract.sequence is not None,
        "keeps answers": stage.cache is not None,
        "may not run twice (`effects = once`)": stage.contract.effects == "once",
        "holds a shared resource": bool(stage.limits),
        "is called from one thread (`affine`)": bool(stage.extra.get("affine")),
        "has a timeout or a priority": bool(step.timeout_ns) or step.priority is not None,
        "has ports that are not dense": not _dense(step, stage),
    }
    return next((f"`{stage.name}` {why}" for why, holds in facts.items() if holds), "")


def _dense(step: Step, stage: StagePlan) -> bool:
    """Whether values pass its ports as they are: arrays with one row for each row, or one value for all."""
    inputs = all(_plain(port, source, stage) for port, source in zip(stage.inputs, step.args, strict=True))
    return inputs and all(
        p.form == "dense" and not p.type.optional and not p.type.stream and p.type.has_rows == stage.has_rows
        for p in stage.outputs
    )


def _plain(port: PortPlan, source: Slot | Constant | None, stage: StagePlan) -> bool:
    if port.filled or port.type.stream:
        return False
    if not isinstance(source, Slot):
        return not port.type.has_rows and (port.form == "scalar" or source is None)
    return port.form == "dense" and not port.type.optional and port.type.has_rows == stage.has_rows


def _shared(pipelines: Iterable[PipelinePlan]) -> frozenset[int]:
    """Stages with more than one call."""
    calls = Counter(step.stage for pipeline in pipelines for step in pipeline.every_step)
    return frozenset(stage for stage, count in calls.items() if count > 1)


def _regions(steps: Region) -> Iterator[Region]:
    """These steps and those of all regions in them, without what runs in the background."""
    yield steps
    for step in steps:
        inside = regions(step.control)
        if isinstance(step.control, RoutePlan):
            inside = tuple(arm.region for arm in step.control.arms)
        for region in inside:
            yield from _regions(region.steps)


# ---- what a set is


def _fused(
    pipeline: PipelinePlan, steps: Sequence[Step], stages: Sequence[StagePlan], read: Mapping[int, int], index: int
) -> FusedPlan:
    made = {slot: Made(m, i) for m, step in enumerate(steps) for i, slot in enumerate(step.outputs)}
    given: dict[int, PortPlan] = {}
    fed: list[tuple[Fed, ...]] = []
    own = Counter[int]()
    for step in steps:
        inputs: list[Fed] = []
        own.update({source.index for source in step.args if isinstance(source, Slot)})
        for port, source in zip(stages[step.stage].inputs, step.args, strict=True):
            if isinstance(source, Slot) and source.index not in made:
                given.setdefault(source.index, port)
                inputs.append(Given(list(given).index(source.index)))
            else:
                inputs.append(made[source.index] if isinstance(source, Slot) else source)
        fed.append(tuple(inputs))
    slots = tuple(slot for slot in made if read.get(slot, 0) > own[slot])
    members = tuple(
        MemberPlan(step.index, step.node, step.stage, inputs, step.stream)
        for step, inputs in zip(steps, fed, strict=True)
    )
    first = stages[steps[0].stage]
    outputs = (stages[steps[made[s].member].stage].outputs[made[s].output] for s in slots)
    stage = replace(
        first,
        index=index,
        backend="fused",
        arguments={},
        inputs=tuple(replace(port, name=f"{port.name}_{i}") for i, port in enumerate(given.values())),
        outputs=tuple(replace(port, name=f"{port.name}_{i}") for i, port in enumerate(outputs)),
        bounds=(),
        warmup=None,
    )
    graphs, ahead = _graphs(steps, stages, stage)
    return FusedPlan(
        pipeline.name,
        stage,
        steps[0].binding,
        members,
        tuple(given),
        tuple(made[s] for s in slots),
        slots,
        graphs,
        ahead,
    )


def _read_by_all(pipeline: PipelinePlan) -> dict[int, int]:
    """How many steps, ends of regions and outputs read each slot."""
    found = Counter[int]()
    for step in pipeline.every_step:
        found.update({source.index for source in step.args if isinstance(source, Slot)})
        for region in regions(step.control):
            found.update({source.index for source in region.yields if isinstance(source, Slot)})
    found.update(o.source.index for o in pipeline.outputs if isinstance(o.source, Slot))
    return found


def _graphs(steps: Sequence[Step], stages: Sequence[StagePlan], stage: StagePlan) -> tuple[tuple[int, ...], bool]:
    """Rows of the graphs that may be captured, and whether a profile names them.

    None where a size is only known at run time: what is captured does the same work on the same memory each time."""
    own = [stages[step.stage] for step in steps]
    ports = [port for one in own for port in (*one.inputs, *one.outputs)]
    if any(port.form == "dense" and not _static(port) for port in ports):
        return (), False
    wishes = [one.extra["graphs"] for one in own if one.extra.get("graphs") is not None]
    if "off" in wishes:
        return (), False
    if not stage.has_rows:
        return (1,), bool(wishes)
    most = stage.batching.max_rows
    if wishes:
        return tuple(sorted({rows for wish in wishes for rows in wish if rows <= (most or rows)})), True
    return tuple(1 << n for n in range((max(most, 1) - 1).bit_length() + 1)), False


def _static(port: PortPlan) -> bool:
    return all(isinstance(d, Rows) or (isinstance(d, Sized) and d.size.value is not None) for d in port.type.dims)
