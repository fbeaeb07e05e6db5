"""Steps without a stage that make or read streams, and what a request brings beside its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from backends.streams import ElementStream, Reader
from backends.values import Ragged, Value
from executor.cohort import Cohort, Layout
from executor.columns import Items, size_of
from executor.element import Element
from executor.errors import RequestError, StageFailed
from executor.node import Arguments, Going, Node
from executor.passage import Passage
from executor.request import sequence_of
from executor.wiring import Wirer
from pipeline_dsl.plan import ContextPlan, Step
from pipeline_dsl.types import TensorType, Unknown
from pipeline_dsl.units import bytes_text

if TYPE_CHECKING:
    from executor.flow import Flow


class StreamOf(Node):
    """Its arguments as a stream that has ended."""

    __slots__ = ()

    def __init__(self, step: Step, arguments: Arguments, sides: int, wirer: Wirer) -> None:
        super().__init__(step.node, arguments, sides)

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        made = []
        for i in range(len(cohort)):
            values = [None if c is None else c.element(i) for c in cohort.columns]
            made.append(ElementStream.of([(v, size_of(v)) for v in values]).reader())
        return ((self.edges, cohort.layout, (Items(made),)),)


class Context(Node):
    """The id of a request, or one of its headers."""

    __slots__ = ("_read",)

    def __init__(self, step: Step, arguments: Arguments, sides: int, wirer: Wirer) -> None:
        super().__init__(step.node, arguments, sides)
        plan = step.control
        assert isinstance(plan, ContextPlan)
        self._read: Callable[[Element], Value] = _READ[plan.what](plan.argument)

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        values: list[Any] = [self._read(owner) for owner in cohort.layout.owners]
        absent = all(value is None for value in values)
        return ((self.edges, cohort.layout, (None if absent else Items(values),)),)


def _header(name: str) -> Callable[[Element], Value]:
    return lambda element: (element.root.headers or {}).get(name)


_READ: dict[str, Callable[[str], Callable[[Element], Value]]] = {
    "request_id": lambda _: lambda element: element.id,
    "correlation_id": lambda _: lambda element: str(sequence_of(element.root).id),
    "sequence_start": lambda _: lambda element: sequence_of(element.root).start,
    "sequence_end": lambda _: lambda element: sequence_of(element.root).end,
    "header": _header,
}


class Collect(Node):
    """Waits for the end of each element's stream; no thread waits with it."""

    __slots__ = ("_kind",)

    def __init__(self, step: Step, arguments: Arguments, sides: int, wirer: Wirer) -> None:
        super().__init__(step.node, arguments, sides)
        self._kind = step.types[0]

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        readers = cohort.columns[0]
        assert readers is not None
        for i in range(len(cohort)):
            _Collecting(self, cohort.layout.cut(i, i + 1), readers.element(i), passage.flow).go_on()
        return ()

    def value(self, elements: list[Value]) -> Value:
        """All elements as one value."""
        return gathered(elements, self._kind)


MOST_BYTES = 1 << 30
"""Of the elements of one `collect`: a stream that never ends must not take all memory."""


class _Collecting:
    """The elements of one stream so far."""

    __slots__ = ("_bytes", "_elements", "_flow", "_layout", "_node", "_reader")

    def __init__(self, node: Collect, layout: Layout, reader: Reader, flow: Flow) -> None:
        self._node = node
        self._layout = layout
        self._reader = reader
        self._flow = flow
        self._elements: list[Value] = []
        self._bytes = 0

    def go_on(self) -> None:
        """Take what is there; come back when there is more. On whatever thread made it."""
        owner = self._layout.owners[0]
        try:
            self._add(self._reader.take())
            over = self._reader.exhausted
            if over:
                self._add(self._reader.take())  # what failed behind its last element says so now
        except RequestError as error:
            self._flow.end([(owner, copy(error))])
            return
        if owner.done:
            self._reader.close()
        elif over:
            self._reader.close()
            self._flow.workers.put(self._finish)
        else:
            self._reader.when_ready(self.go_on)

    def _add(self, values: list[Value]) -> None:
        self._elements += values
        self._bytes += sum([size_of(value) for value in values])
        if self._bytes > MOST_BYTES:
            self._elements = []
            self._reader.close()
            owner = self._layout.owners[0]
            text = (
                f"its stream has more than {bytes_text(MOST_BYTES)}: `map` takes the elements of a long one one by one"
            )
            raise StageFailed(text, pipeline=owner.pipeline, node=self._node.name, request_id=owner.id)

    def _finish(self) -> None:
        node, owner = self._node, self._layout.owners[0]
        try:
            value = node.value(self._elements)
        except Exception as cause:  # elements of different sizes, or out of memory: no request may hang for it
            error = StageFailed(f"its elements can not be put together: {cause}", pipeline=owner.pipeline)
            error.node, error.request_id, error.__cause__ = node.name, owner.id, cause
            self._flow.end([(owner, error)])
            return
        self._flow.enter(node.edges, Cohort(self._layout, (Items([value]),)))


def of_elements(kind: TensorType) -> TensorType:
    """The type of all elements of a stream together, where nothing says what their number is called."""
    return TensorType(kind.dtype, (Unknown(), *kind.dims))


def gathered(elements: list[Value], kind: TensorType) -> Value:
    """Elements as one value of a type that has their number in front."""
    if kind.is_ragged:
        rows = [cast(Any, element) for element in elements]
        return Ragged(rows) if rows else Ragged([np.zeros((0,) * (len(kind.dims) - 1), kind.dtype.numpy)][:0])
    if len(kind.dims) > 1 and elements:
        if len({np.shape(cast(Any, element)) for element in elements}) > 1:
            return Ragged(cast(Any, elements))
        made = np.stack(cast(Any, elements))
    else:
        sizes = [dim.size.value or 0 for dim in kind.dims[1:] if hasattr(dim, "size")]
        made = np.empty((len(elements), *sizes), kind.dtype.numpy)
        if len(kind.dims) == 1:
            made[:] = elements
    made.flags.writeable = False
    return made
