"""A plan as text, for `pipectl plan` and golden files: stages and how they batch, then each pipeline by levels with
runs, devices and copies, then what each key of the profile changed. Same plan, same text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .expression_text import expression_text, source_text, value_text
from .literals import duration
from .plan import Note, PipelinePlan, Plan, StagePlan, Step
from .units import bytes_text

Row = tuple[str, ...]


def plan_text(plan: Plan) -> str:
    """The whole plan; ends with a newline."""
    lines = [_headline(plan)]
    lines += _section("params", [(f"{k} = {value_text(v.value, v.type)}", v.origin) for k, v in plan.params.items()])
    lines += _section("stages", _stage_rows(plan))
    for pipeline in plan.pipelines.values():
        lines += ["", *_pipeline_lines(pipeline, plan)]
    settings = [note for note in plan.notes if note.kind == "setting"]
    lines += _section(f"profile {plan.profile}".rstrip(), _setting_rows(settings))
    return "\n".join(lines) + "\n"


def _headline(plan: Plan) -> str:
    hardware = plan.hardware
    machine = f"{_count(hardware.cores, 'core')}"
    if hardware.memory:
        machine += f", {bytes_text(hardware.memory)}"
    machine += "".join(f", {gpu.name}" for gpu in hardware.gpus)
    profile = f"profile {plan.profile}" if plan.profile else "no profile"
    return f"{plan.path or '<text>'}, {profile}, planned for {machine}"


def _stage_rows(plan: Plan) -> list[Row]:
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
    yield f"  {_door(pipeline)}"
    names = slot_names(pipeline, plan)
    yield from _indented(_step_rows(pipeline, plan, names))
    for port in pipeline.outputs:
        labels = f", labels {port.labels}" if port.labels else ""
        yield f"  return {port.name} = {source_text(port.source, names)}{labels}"
    nodes = {step.node for step in pipeline.steps}
    copies = [note for note in plan.notes if note.kind == "copy" and note.place in nodes]
    yield from _indented([("copy", note.place, note.text) for note in copies])


def _door(pipeline: PipelinePlan) -> str:
    door = pipeline.admission
    parts = [f"{_limit(door.max_inflight)} in flight", f"{_limit(door.queue_max)} may wait"]
    if door.max_bytes:
        parts.insert(1, f"{bytes_text(door.max_bytes)} of inputs")
    if door.queue_timeout_ns:
        parts[-1] += f" for {duration(door.queue_timeout_ns)}"
    parts += [f"timeout {duration(pipeline.timeout_ns)}"] if pipeline.timeout_ns else []
    return "requests: " + ", ".join(parts)


def _step_rows(pipeline: PipelinePlan, plan: Plan, names: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    level = run = 0
    for step in sorted(pipeline.steps, key=lambda s: (s.level, s.index)):
        head = f"level {step.level}" if step.level != level else ""
        level, run = step.level, step.run + 1
        rows.append((head, f"run {run}", step.node, *_work(step, plan, names), _options(step)))
    return rows


def _work(step: Step, plan: Plan, names: Sequence[str]) -> Row:
    if step.stage < 0:
        return expression_text(step.expression, names), "cpu", "once per request"
    stage = plan.stages[step.stage]
    args = zip(stage.inputs, step.args, strict=True)
    given = [f"{port.name} = {source_text(source, names)}" for port, source in args if source is not None]
    how = {"rows": "all rows", "lift": "as one row", "each": "once per request"}[step.binding]
    return f"{stage.name}({', '.join(given)})", stage.device, how


def _options(step: Step) -> str:
    parts = [f"timeout {duration(step.timeout_ns)}"] if step.timeout_ns else []
    parts += [f"priority {step.priority}"] if step.priority is not None else []
    return ", ".join(parts)


def slot_names(pipeline: PipelinePlan, plan: Plan) -> list[str]:
    """What each slot is called in text: an input, a node, or `node.port` where it has several outputs."""
    names = [""] * pipeline.slots
    for port in pipeline.inputs:
        names[port.slot] = port.name
    for step in pipeline.steps:
        short = step.node.removeprefix(f"{pipeline.name}.")
        ports = plan.stages[step.stage].outputs if len(step.outputs) > 1 else ()
        for i, slot in enumerate(step.outputs):
            names[slot] = f"{short}.{ports[i].name}" if ports else short
    return names


def _setting_rows(notes: Iterable[Note]) -> list[Row]:
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
    plural = {"process": "processes"}.get(noun, f"{noun}s")
    return f"{number} {noun if number == 1 else plural}"


def _limit(number: int) -> str:
    return str(number) if number else "any number"
