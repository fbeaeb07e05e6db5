"""Which values are streams, who reads them, and what comes only when they have ended.

A stream has a cursor for each reader, so a column of readers that goes along several edges is forked for all but the
last of them. A stage with stream outputs writes at two times: its streams at once, its other outputs when the call has
ended. Those count as written by a step of their own, whose number is its `late_key`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from executor.columns import Column, Items
from executor.join import Columns
from executor.node import Edge, Node
from pipeline_dsl.plan import CollectPlan, MapPlan, PipelinePlan, Slot, Source, Step, regions

if TYPE_CHECKING:
    from executor.stage import StageRuntime

Stages = Mapping[int, "StageRuntime"] | Sequence["StageRuntime"]


def stream_slots(pipeline: PipelinePlan) -> frozenset[int]:
    """The slots of a pipeline that hold streams."""
    steps = pipeline.every_step
    return frozenset(slot for step in steps for slot, kind in zip(step.outputs, step.types) if kind.stream)


def streams(step: Step) -> bool:
    """Whether it is a call that gives streams."""
    return step.stage >= 0 and any(kind.stream for kind in step.types)


def late_key(step: int) -> int:
    """The number under which a streaming step writes its other outputs; and back."""
    return -2 - step


class StreamEdge(Edge):
    """An edge that carries readers which others get as well."""

    __slots__ = ("_forks",)

    def __init__(self, target: Node, side: int, columns: tuple[int, ...], forks: frozenset[int]) -> None:
        super().__init__(target, side, columns)
        self._forks = forks
        """Places among the columns it picks."""

    def pick(self, produced: Columns) -> Columns:
        picked = super().pick(produced)
        return tuple(forked(column) if i in self._forks else column for i, column in enumerate(picked))


def forked(column: Column | None) -> Column | None:
    """Readers that begin where those of a column are."""
    if column is None:
        return None
    readers = [column.element(i) for i in range(len(column))]
    return Items([None if reader is None else reader.fork() for reader in readers])


def with_forks(edges: Sequence[Edge], width: int, readers: frozenset[int]) -> list[Edge]:
    """The edges of one producer, of whose `width` columns those in `readers` hold streams."""
    made: list[Edge] = []
    taken: set[int] = set()
    for edge in reversed(edges):
        columns = tuple(range(width)) if edge.columns is None else edge.columns
        forks = frozenset(i for i, column in enumerate(columns) if column in taken)
        taken.update(readers.intersection(columns))
        made.append(StreamEdge(edge.target, edge.side, columns, forks) if forks else edge)
    return made[::-1]


# ---- what is late


def late_slots(pipeline: PipelinePlan, stages: Stages) -> frozenset[int]:
    """Slots that are written only when some stream has ended."""
    found: set[int] = set()
    _mark(pipeline.steps, stages, found)
    return frozenset(found)


def _mark(steps: Iterable[Step], stages: Stages, late: set[int]) -> None:
    for step in steps:
        if any(_is_late(arg, late) for arg in step.args) or isinstance(step.control, CollectPlan):
            late.update(step.outputs, *(region.given for region in regions(step.control)))
        for region in regions(step.control):
            _mark(region.steps, stages, late)
        late.update(_own(step, stages, late))


def _own(step: Step, stages: Stages, late: set[int]) -> Iterator[int]:
    """Late outputs of a step that reads nothing late."""
    if step.stage >= 0:
        plan = stages[step.stage].plan
        if any(port.type.stream for port in (*plan.inputs, *plan.outputs)):
            yield from (slot for slot, kind in zip(step.outputs, step.types) if not kind.stream)
    elif not (isinstance(step.control, MapPlan) and step.control.over_stream):
        for region in regions(step.control):
            waits = any(slot in late for inner in region.steps for slot in inner.outputs)
            whole = waits and isinstance(step.control, MapPlan)
            for slot, source in zip(step.outputs, region.yields):
                if whole or _is_late(source, late):
                    yield slot


def _is_late(source: Source, late: set[int]) -> bool:
    return isinstance(source, Slot) and source.index in late
