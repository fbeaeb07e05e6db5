"""Where a plan copies data, as notes with bytes per row.

Three reasons show before run time: a value changes device, it changes form (a ragged value is padded or packed), or
rows that arrive one request at a time are gathered into a batch. A value that is handed on in the form and on the
device it was made in is not copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline_dsl.plan import OUTPUT, Note, PipelinePlan, PortPlan, Slot, StagePlan, Step, Transfer
from pipeline_dsl.row_bytes import row_bytes, row_bytes_text

from .made import Made, made_values, place_of


def copy_notes(pipeline: PipelinePlan, stages: Sequence[StagePlan]) -> Iterator[Note]:
    """The copies of one pipeline in the order of its steps."""
    made = made_values(pipeline, stages)
    moved: dict[int, list[Transfer]] = {}
    for transfer in pipeline.transfers:
        moved.setdefault(transfer.reader, []).append(transfer)
    for step in pipeline.every_step:
        if step.stage < 0:
            for transfer in moved.get(step.index, ()):
                yield _moved(step.node, transfer, made[transfer.slot])
            continue
        stage = stages[step.stage]
        for port, source in zip(stage.inputs, step.args, strict=True):
            if isinstance(source, Slot) and not port.filled:
                yield from _notes(step, stage, port, made[source.index])
    for transfer in moved.get(OUTPUT, ()):
        yield _moved(pipeline.name, transfer, made[transfer.slot])


def _moved(place: str, transfer: Transfer, value: Made) -> Note:
    """What an expression, a decision or the caller reads of a device."""
    binding = value.binding or "each"
    size = row_bytes_text(value.type, binding)
    text = f"`{value.by}` goes from {transfer.source} to {transfer.target}, {size}"
    return Note(place, "copy", text, row_bytes(value.type, binding))


def _notes(step: Step, stage: StagePlan, port: PortPlan, value: Made) -> Iterator[Note]:
    size = row_bytes(value.type, step.binding)
    for reason in _reasons(step, stage, port, value):
        yield Note(step.node, "copy", f"{reason}, {row_bytes_text(value.type, step.binding)}", size)


def _reasons(step: Step, stage: StagePlan, port: PortPlan, value: Made) -> Iterator[str]:
    if value.device != place_of(port, stage):
        yield f"`{value.by}` goes from {value.device} to {stage.device}"
    if _changes_form(port, value):
        verb = {"padded": "padded", "packed": "packed"}.get(port.form, "taken apart")
        yield f"`{value.by}` is {verb} for `{port.name}`"
    elif _gathers(step, stage, port, value):
        yield f"`{value.by}` of several requests is gathered into a batch"


def _changes_form(port: PortPlan, value: Made) -> bool:
    """`ragged` takes whatever form there is; what is padded already serves again unless other buckets are asked."""
    if port.form in ("padded", "packed"):
        return port.form != value.form or (bool(port.buckets) and port.buckets != value.buckets)
    return port.form in ("dense", "object") and value.form in ("padded", "packed", "ragged")


def _gathers(step: Step, stage: StagePlan, port: PortPlan, value: Made) -> bool:
    single = value.binding in (None, "each")
    return single and port.type.has_rows and stage.has_rows and stage.batching.max_rows != 1
