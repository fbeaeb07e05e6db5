"""A plan as text, for `pipectl plan` and golden files: stages and how they batch, then each pipeline by levels with
runs, devices and copies, the regions of a construct below it, then what each key of the profile changed. Same plan,
same text.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .expression_text import expression_text, source_text, value_text
from .literals import duration
from .plan import (
    BranchPlan,
    CollectPlan,
    ContextPlan,
    Control,
    DeviceStreams,
    MapPlan,
    Note,
    PipelinePlan,
    Plan,
    RegionPlan,
    RoutePlan,
    StagePlan,
    Step,
    StreamOfPlan,
    TryPlan,
    place_text,
    regions,
)
from .units import bytes_text

Row = tuple[str, ...]


def plan_text(plan: Plan) -> str:
    """The whole plan; ends with a newline."""
    lines = [headline(plan)]
    lines += _section("params", [(f"{k} = {value_text(v.value, v.type)}", v.origin) for k, v in plan.params.items()])
    lines += _section("stages", stage_rows(plan))
    for pipeline in plan.pipelines.values():
        lines += ["", *_pipeline_lines(pipeline, plan)]
    settings = [note for note in plan.notes if note.kind == "setting"]
    lines += _section(f"profile {plan.profile}".rstrip(), setting_rows(settings))
    return "\n".join(lines) + "\n"


def headline(plan: Plan) -> str:
    """The file, its profile and the machine."""
    hardware = plan.hardware
    machine = f"{_count(hardware.cores, 'core')}"
    if hardware.memory:
        machine += f", {bytes_text(hardware.memory)}"
    machine += "".join(f", {gpu.name}" for gpu in hardware.gpus)
    profile = f"profile {plan.profile}" if plan.profile else "no profile"
    serial = ", serial" if plan.serial else ""
    return f"{plan.path or '<text>'}, {profile}, planned for {machine}{serial}"


def stage_rows(plan: Plan) -> list[Row]:
    """Name, backend, device, instances and what is said about batching; further notes in rows of their own."""
    rows: list[Row] = []
    for stage in plan.stages:
        told = [n.text for n in plan.notes if n.place == stage.name and n.kind in ("batching", "artifact")]
        rows.append((stage.name, stage.backend, stage.device, _instances(stage), told[0] if told else ""))
        rows += [("", "", "", "", text) for text in told[1:]]
    return rows


def _instances(stage: StagePlan) -> str:
    text = _count(stage.instances, "process" if stage.isolate else "instance")
    return f"{text}, {_count(stage.threads, 'thread')}" if stage.threads and stage.device == "cpu" else text


def _pipeline_lines(pipeline: PipelinePlan, plan: Plan) -> Iterator[str]:
    inputs = ", ".join(f"{p.name}: {p.type}" for p in pipeline.inputs)
    outputs = ", ".join(f"{p.name}: {p.type}" for p in pipeline.outputs)
    yield f"pipeline {pipeline.name}({inputs}) -> ({outputs})"
    yield f"  {door_text(pipeline)}"
    if streams := streams_text(pipeline):
        yield f"  {streams}"
    names = slot_names(pipeline, plan)
    yield from _indented(list(step_rows(pipeline.steps, plan, names)))
    for port in pipeline.outputs:
        labels = f", labels {port.labels}" if port.labels else ""
        yield f"  return {port.name} = {source_text(port.source, names)}{labels}"
    nodes = {pipeline.name, *(step.node for step in pipeline.every_step)}
    yield from _indented([(n.kind, n.place, n.text) for n in notes_at(nodes, plan)])


def notes_at(nodes: Collection[str], plan: Plan) -> list[Note]:
    """What is said about nodes, kind by kind."""
    return [n for kind in ("run", "control", "copy") for n in plan.notes if n.kind == kind and n.place in nodes]


def door_text(pipeline: PipelinePlan) -> str:
    """How many requests may be inside and wait."""
    door = pipeline.admission
    parts = [f"{_limit(door.max_inflight)} in flight", f"{_limit(door.queue_max)} may wait"]
    if door.max_bytes:
        parts.insert(1, f"{bytes_text(door.max_bytes)} of inputs")
    if door.queue_timeout_ns:
        parts[-1] += f" for {duration(door.queue_timeout_ns)}"
    parts += [f"timeout {duration(pipeline.timeout_ns)}"] if pipeline.timeout_ns else []
    if (rate := pipeline.rate) is not None:
        each = f" for each `{rate.by}`" if rate.by else ""
        parts.append(f"{rate.rate:g} in {duration(rate.per_ns)}{each}, {rate.burst} at once")
    return ("requests of sequences: " if pipeline.sequence else "requests: ") + ", ".join(parts)


def streams_text(pipeline: PipelinePlan) -> str:
    """The streams of each device, events and waits beside the number of edges, and copies; "" if all is on the host."""
    parts = [f"streams: {'; '.join(map(_streams, pipeline.device_streams))}"] if pipeline.device_streams else []
    parts += [f"{_count(len(pipeline.transfers), 'copy')} between devices"] if pipeline.transfers else []
    return "; ".join(parts)


def _streams(streams: DeviceStreams) -> str:
    text = f"{streams.streams} on {streams.device}"
    if streams.streams > 1:
        text += f" ({streams.priority} first)"
    if streams.edges:
        events = f"{_count(streams.events, 'event')} and {_count(streams.waits, 'wait')}"
        text += f", {events} for {_count(streams.edges, 'edge')}"
    return text


def step_rows(
    steps: Sequence[Step], plan: Plan, names: Sequence[str], depth: int = 0, element: str = "request"
) -> Iterator[Row]:
    """The steps of a pipeline or region by levels, each construct followed by what is in it."""
    margin = "  " * depth
    level = 0
    called = {step.index: step.node for step in steps}
    for step in sorted(steps, key=lambda s: (s.level, s.index)):
        head = f"{margin}level {step.level}" if step.level != level else ""
        level = step.level
        yield head, f"run {step.run + 1}", step.node, *_work(step, plan, names, element), _options(step, called)
        inner = "item" if isinstance(step.control, MapPlan) else element
        for title, region in _titled(step):
            streams = "; ".join(map(_streams, region.device_streams))
            yield f"{margin}  {title}", "", "", f"streams: {streams}" if streams else "", "", "", ""
            yield from step_rows(region.steps, plan, names, depth + 2, inner)
            if region.yields:
                given = ", ".join(source_text(source, names) for source in region.yields)
                yield f"{margin}    yield", "", "", given, "", "", ""


def _titled(step: Step) -> Iterator[tuple[str, RegionPlan]]:
    """The regions of a construct and what each is for."""
    match step.control:
        case BranchPlan(arms=arms):
            for arm in arms:
                values = "else" if arm.values is None else "case " + ", ".join(map(_plain, arm.values))
                yield values, arm.region
        case RoutePlan(arms=routed, shadows=shadows):
            yield from ((f"to {arm.name}", arm.region) for arm in routed)
            yield from ((f"shadow {arm.name}", arm.region) for arm in shadows)
        case _:
            yield from ((region.name, region) for region in regions(step.control))


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _work(step: Step, plan: Plan, names: Sequence[str], element: str) -> Row:
    """What a step does, where, and how often."""
    once = f"once per {element}"
    if step.control is not None:
        return _construct(step, step.control, names), "", once
    if step.stage < 0:
        return expression_text(step.expression, names), "cpu", once
    stage = plan.stages[step.stage]
    args = zip(stage.inputs, step.args, strict=True)
    given = [f"{port.name} = {source_text(source, names)}" for port, source in args if source is not None]
    how = {"rows": "all rows", "lift": "as one row", "each": once}[step.binding]
    return f"{stage.name}({', '.join(given)})", place_text(stage, step.stream), how


def _construct(step: Step, control: Control, names: Sequence[str]) -> str:
    """A construct's word and what it reads itself."""
    args = [source_text(source, names) for source in step.args]
    match control:
        case BranchPlan(arms=arms):
            return f"{'if' if arms[0].values == (True,) else 'match'} {args[0]}"
        case RoutePlan(keyed=keyed):
            return f"route by {args[0]}" if keyed else "route"
        case MapPlan(sources=sources, body=body):
            given = (names[slot].rpartition(".")[2] for slot in body.given)
            return "map " + ", ".join(f"{item} in {source}" for item, source in zip(given, args[:sources]))
        case TryPlan():
            return "try"
        case CollectPlan():
            return f"collect({args[0]})"
        case StreamOfPlan():
            return f"stream_of({', '.join(args)})"
        case ContextPlan(what=what, argument=argument):
            return f"{what}({_plain(argument) if argument else ''})"


def _options(step: Step, called: Mapping[int, str]) -> str:
    """Which steps on other streams it waits for, then what is set for this call."""
    parts = [f"after {', '.join(called[other] for other in step.waits)}"] if step.waits else []
    parts += [f"timeout {duration(step.timeout_ns)}"] if step.timeout_ns else []
    parts += [f"priority {step.priority}"] if step.priority is not None else []
    return ", ".join(parts)


def slot_names(pipeline: PipelinePlan, plan: Plan) -> list[str]:
    """What each slot is called in text: an input, a node, or `node.port` where it has several outputs."""
    names = [""] * pipeline.slots
    for port in pipeline.inputs:
        names[port.slot] = port.name
    for step in pipeline.every_step:
        short = step.node.removeprefix(f"{pipeline.name}.")
        ports = step.ports
        if step.stage >= 0 and len(step.outputs) > 1:
            ports = tuple(port.name for port in plan.stages[step.stage].outputs)
        for i, slot in enumerate(step.outputs):
            bare = not ports or (step.control is not None and ports[i] == short.rpartition(".")[2])
            names[slot] = short if bare else f"{short}.{ports[i]}"
        for region in regions(step.control):
            for slot, node in zip(region.given, region.names):
                names[slot] = node.removeprefix(f"{pipeline.name}.")
    return names


def setting_rows(notes: Iterable[Note]) -> list[Row]:
    """Place and text of each note; the place once for those that follow one another."""
    rows: list[Row] = []
    place = ""
    for note in notes:
        rows.append((note.place if note.place != place else "", note.text))
        place = note.place
    return rows


def _section(title: str, rows: Sequence[Row]) -> list[str]:
    return ["", title, *_indented(rows)] if rows else []


def _indented(rows: Sequence[Row]) -> list[str]:
    """Rows as lines with aligned columns; the last column is as wide as it is."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows)][:-1]
    return ["  " + "  ".join([*(c.ljust(w) for c, w in zip(row, widths)), row[-1]]).rstrip() for row in rows]


def _count(number: int, noun: str) -> str:
    plural = {"process": "processes", "copy": "copies"}.get(noun, f"{noun}s")
    return f"{number} {noun if number == 1 else plural}"


def _limit(number: int) -> str:
    return str(number) if number else "any number"
