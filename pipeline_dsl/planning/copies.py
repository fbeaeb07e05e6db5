"""Where a plan copies data, as notes with bytes per row.

Three reasons show before run time: a value changes device, it changes form (a ragged value is padded or packed), or
rows that arrive one request at a time are gathered into a batch. A value that is handed on in the form and on the
device it was made in is not copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline_dsl.ir import Binding
from pipeline_dsl.operations import scalar
from pipeline_dsl.plan import (
    Form,
    MapPlan,
    Note,
    PipelinePlan,
    PortPlan,
    Slot,
    Source,
    StagePlan,
    Step,
    TryPlan,
    regions,
)
from pipeline_dsl.row_bytes import row_bytes, row_bytes_text
from pipeline_dsl.types import TensorType

from .call_facts import item_type
from .devices import CPU


@dataclass(frozen=True, slots=True)
class _Made:
    """A value where it is made."""

    by: str
    """`text`, `embed.encoder.hidden`."""
    type: TensorType
    device: str
    form: Form
    buckets: tuple[int, ...]
    binding: Binding | None
    """None for an input of the pipeline."""


def copy_notes(pipeline: PipelinePlan, stages: Sequence[StagePlan]) -> Iterator[Note]:
    """The copies of one pipeline in the order of its steps."""
    made = _made(pipeline, stages)
    for step in pipeline.every_step:
        if step.stage < 0:
            continue
        stage = stages[step.stage]
        for port, source in zip(stage.inputs, step.args, strict=True):
            if isinstance(source, Slot) and not port.filled:
                yield from _notes(step, stage, port, made[source.index])


def _made(pipeline: PipelinePlan, stages: Sequence[StagePlan]) -> dict[int, _Made]:
    made: dict[int, _Made] = {}
    for port in pipeline.inputs:
        form: Form = "ragged" if port.type.is_ragged else "dense"
        made[port.slot] = _Made(port.name, port.type, CPU, form, (), None)
    _add(pipeline.steps, stages, made)
    return made


def _add(steps: Iterable[Step], stages: Sequence[StagePlan], made: dict[int, _Made]) -> None:
    """What steps make, those in regions before the construct that hands their values on."""
    for step in steps:
        for slot, source in _items(step):
            made[slot] = _item(step, source, made)
        for region in regions(step.control):
            made.update((slot, _Made(step.node, scalar("json"), CPU, "scalar", (), "each")) for slot in _errors(step))
            _add(region.steps, stages, made)
        for i, (slot, type_) in enumerate(zip(step.outputs, step.types, strict=True)):
            made[slot] = _result(step, i, type_, stages) if step.control is None else _handed_on(step, i, type_, made)


def _items(step: Step) -> Iterator[tuple[int, Source]]:
    """The slot of each item of a `map`, and what it is an item of."""
    if isinstance(step.control, MapPlan):
        yield from zip(step.control.body.given, step.args, strict=False)


def _errors(step: Step) -> tuple[int, ...]:
    return step.control.fallback.given if isinstance(step.control, TryPlan) else ()


def _item(step: Step, source: Source, made: Mapping[int, _Made]) -> _Made:
    """An item is where its source is."""
    if not isinstance(source, Slot):
        kind = item_type(source.type) if source is not None else scalar("json")
        return _Made(f"an item of {step.node}", kind, CPU, "dense", (), "each")
    whole = made[source.index]
    form: Form = "dense" if whole.form in ("ragged", "padded", "packed") else whole.form
    return _Made(f"an item of {whole.by}", item_type(whole.type), whole.device, form, (), "each")


def _handed_on(step: Step, index: int, type_: TensorType, made: Mapping[int, _Made]) -> _Made:
    """A result of a construct is where its regions make it, if that is one place."""
    yields = [region.yields[index] for region in regions(step.control) if index < len(region.yields)]
    devices = {made[source.index].device if isinstance(source, Slot) else CPU for source in yields}
    form: Form = "ragged" if type_.is_ragged else "dense"
    return _Made(step.node, type_, devices.pop() if len(devices) == 1 else CPU, form, (), "each")


def _result(step: Step, index: int, type_: TensorType, stages: Sequence[StagePlan]) -> _Made:
    if step.stage < 0:
        return _Made(step.node, type_, CPU, "scalar", (), "each")
    stage = stages[step.stage]
    port = stage.outputs[index]
    return _Made(f"{step.node}.{port.name}", type_, stage.device, port.form, port.buckets, step.binding)


def _notes(step: Step, stage: StagePlan, port: PortPlan, value: _Made) -> Iterator[Note]:
    size = row_bytes(value.type, step.binding)
    for reason in _reasons(step, stage, port, value):
        yield Note(step.node, "copy", f"{reason}, {row_bytes_text(value.type, step.binding)}", size)


def _reasons(step: Step, stage: StagePlan, port: PortPlan, value: _Made) -> Iterator[str]:
    if value.device != stage.device:
        yield f"`{value.by}` goes from {value.device} to {stage.device}"
    if _changes_form(port, value):
        verb = {"padded": "padded", "packed": "packed"}.get(port.form, "taken apart")
        yield f"`{value.by}` is {verb} for `{port.name}`"
    elif _gathers(step, stage, port, value):
        yield f"`{value.by}` of several requests is gathered into a batch"


def _changes_form(port: PortPlan, value: _Made) -> bool:
    """`ragged` takes whatever form there is; what is padded already serves again unless other buckets are asked."""
    if port.form in ("padded", "packed"):
        return port.form != value.form or (bool(port.buckets) and port.buckets != value.buckets)
    return port.form in ("dense", "object") and value.form in ("padded", "packed", "ragged")


def _gathers(step: Step, stage: StagePlan, port: PortPlan, value: _Made) -> bool:
    single = value.binding in (None, "each")
    return single and port.type.has_rows and stage.has_rows and stage.batching.max_rows != 1
