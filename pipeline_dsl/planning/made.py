"""Where and in which form each value of a pipeline is, from what makes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline_dsl.ir import Binding
from pipeline_dsl.operations import scalar
from pipeline_dsl.plan import Form, MapPlan, PipelinePlan, PortPlan, Slot, Source, StagePlan, Step, TryPlan, regions
from pipeline_dsl.types import TensorType

from .call_facts import item_type
from .devices import CPU


@dataclass(frozen=True, slots=True)
class Made:
    """A value where it is made."""

    by: str
    """`text`, `embed.encoder.hidden`."""
    type: TensorType
    device: str
    """`cuda:0`; `cpu or cuda:0` where a construct gives what one of its arms makes."""
    form: Form
    buckets: tuple[int, ...]
    binding: Binding | None
    """None for an input of the pipeline."""


def place_of(port: PortPlan, stage: StagePlan) -> str:
    """The device of what a stage takes or gives at a port: text and single values are on the host wherever it runs."""
    return stage.device if port.type.dtype.numeric and port.form not in ("scalar", "object") else CPU


def made_values(pipeline: PipelinePlan, stages: Sequence[StagePlan]) -> dict[int, Made]:
    """Every value of a pipeline, by its slot."""
    made: dict[int, Made] = {}
    for port in pipeline.inputs:
        form: Form = "ragged" if port.type.is_ragged else "dense"
        made[port.slot] = Made(port.name, port.type, CPU, form, (), None)
    _add(pipeline.steps, stages, made)
    return made


def _add(steps: Iterable[Step], stages: Sequence[StagePlan], made: dict[int, Made]) -> None:
    """What steps make, those in regions before the construct that hands their values on."""
    for step in steps:
        for slot, source in _items(step):
            made[slot] = _item(step, source, made)
        for region in regions(step.control):
            made.update((slot, Made(step.node, scalar("json"), CPU, "scalar", (), "each")) for slot in _errors(step))
            _add(region.steps, stages, made)
        for i, (slot, type_) in enumerate(zip(step.outputs, step.types, strict=True)):
            made[slot] = _result(step, i, type_, stages) if step.control is None else _handed_on(step, i, type_, made)


def _items(step: Step) -> Iterator[tuple[int, Source]]:
    """The slot of each item of a `map`, and what it is an item of."""
    if isinstance(step.control, MapPlan):
        yield from zip(step.control.body.given, step.args, strict=False)


def _errors(step: Step) -> tuple[int, ...]:
    return step.control.fallback.given if isinstance(step.control, TryPlan) else ()


def _item(step: Step, source: Source, made: Mapping[int, Made]) -> Made:
    """An item is where its source is."""
    if not isinstance(source, Slot):
        kind = item_type(source.type) if source is not None else scalar("json")
        return Made(f"an item of {step.node}", kind, CPU, "dense", (), "each")
    whole = made[source.index]
    form: Form = "dense" if whole.form in ("ragged", "padded", "packed") else whole.form
    return Made(f"an item of {whole.by}", item_type(whole.type), whole.device, form, (), "each")


def _handed_on(step: Step, index: int, type_: TensorType, made: Mapping[int, Made]) -> Made:
    """A result of a construct is where its regions make it; if that depends on the element, in one of these places."""
    yields = [region.yields[index] for region in regions(step.control) if index < len(region.yields)]
    devices = {made[source.index].device if isinstance(source, Slot) else CPU for source in yields}
    form: Form = "ragged" if type_.is_ragged else "dense"
    return Made(step.node, type_, " or ".join(sorted(devices)) or CPU, form, (), "each")


def _result(step: Step, index: int, type_: TensorType, stages: Sequence[StagePlan]) -> Made:
    if step.stage < 0:
        return Made(step.node, type_, CPU, "scalar", (), "each")
    stage = stages[step.stage]
    port = stage.outputs[index]
    return Made(f"{step.node}.{port.name}", type_, place_of(port, stage), port.form, port.buckets, step.binding)
