"""What is the same at every call site of a stage, sizes and constants: batches need not be kept apart by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline_dsl.ir import Constant
from pipeline_dsl.operations import scalar
from pipeline_dsl.plan import MapPlan, PipelinePlan, Slot, Source, StagePlan, Step, TryPlan
from pipeline_dsl.types import Ragged, Rest, Sized, TensorType


def known_sizes(pipelines: Iterable[PipelinePlan], stages: Sequence[StagePlan]) -> Mapping[int, frozenset[str]]:
    """Size names by stage index."""
    found: dict[tuple[int, str], set[int | None]] = defaultdict(set)
    for pipeline in pipelines:
        types = slot_types(pipeline)
        for step in pipeline.every_step:
            for name, number in _sizes(step, stages, types):
                found[step.stage, name].add(number)
    known: dict[int, set[str]] = defaultdict(set)
    for (stage, name), numbers in found.items():
        if len(numbers) == 1 and None not in numbers:
            known[stage].add(name)
    return {stage: frozenset(names) for stage, names in known.items()}


def fixed_ports(pipelines: Iterable[PipelinePlan], stages: Sequence[StagePlan]) -> Mapping[int, frozenset[str]]:
    """Input ports that get one constant, or nothing, at every call; by stage index."""
    found: dict[tuple[int, str], list[Source]] = defaultdict(list)
    for pipeline in pipelines:
        for step in pipeline.every_step:
            if step.stage >= 0:
                for port, source in zip(stages[step.stage].inputs, step.args, strict=True):
                    found[step.stage, port.name].append(source)
    fixed: dict[int, set[str]] = defaultdict(set)
    for (stage, name), sources in found.items():
        if not any(isinstance(s, Slot) for s in sources) and all(s == sources[0] for s in sources):
            fixed[stage].add(name)
    return {stage: frozenset(names) for stage, names in fixed.items()}


def slot_types(pipeline: PipelinePlan) -> dict[int, TensorType]:
    """The type of each slot."""
    types = {port.slot: port.type for port in pipeline.inputs}
    for step in pipeline.every_step:
        types.update(zip(step.outputs, step.types, strict=True))
        types.update(given_types(step, types))
    return types


def given_types(step: Step, types: Mapping[int, TensorType]) -> Iterator[tuple[int, TensorType]]:
    """The slots that a construct gives its regions: items of a `map`, the error of a `try`."""
    if isinstance(step.control, MapPlan):
        for slot, source in zip(step.control.body.given, step.args, strict=False):
            if isinstance(source, Slot):
                yield slot, item_type(types[source.index])
            elif source is not None:
                yield slot, item_type(source.type)
    elif isinstance(step.control, TryPlan):
        yield from ((slot, scalar("json")) for slot in step.control.fallback.given)


def item_type(kind: TensorType) -> TensorType:
    """The type of one item along the first dim, whose ragged sizes are plain ones."""
    dims = (Sized(d.size) if isinstance(d, Ragged) else d for d in kind.dims[1:])
    return kind.with_dims(tuple(dims))


def _sizes(
    step: Step, stages: Sequence[StagePlan], types: Mapping[int, TensorType]
) -> Iterator[tuple[str, int | None]]:
    """Each plain size name a call binds, with the number it is there; None if that is not known."""
    if step.stage < 0:
        return
    for port, source in zip(stages[step.stage].inputs, step.args, strict=True):
        if isinstance(source, Slot):
            yield from _bound(port.type, types[source.index])
        elif isinstance(source, Constant):
            yield from _bound(port.type, source.type)


def _bound(port: TensorType, given: TensorType) -> Iterator[tuple[str, int | None]]:
    # From the right: a lifted argument lacks the row axis.
    for wanted, dim in zip(reversed(port.dims), reversed(given.dims), strict=False):
        if isinstance(wanted, Rest) or isinstance(dim, Rest):
            return
        if isinstance(wanted, Sized) and wanted.size.symbol is not None:
            yield wanted.size.symbol.name, dim.size.value if isinstance(dim, Sized) else None
