"""Stages that stream: what their calls yield, brought into form, and checked like any output.

    user's iterator --Yields--> Elements (the contract of `base`) --StreamCheck--> checked Elements

A stage with stream outputs is seen as two: its elements (the stream ports as plain ones) and its rest (the other
outputs, which the call returns when it ends). Both go through the same `Returns` and `OutputCheck` as every result.
Closing what is made here closes the user's iterator, so that its own clean-up runs, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline_dsl.plan import StagePlan

from .base import Batch, BatchResult, Elements
from .checks import OutputCheck, OutputError
from .convert import describe
from .returns import MadeBy, Returns
from .values import Value

NONE: tuple[Value, ...] = ()


def streams(stage: StagePlan) -> bool:
    """Whether a call of the stage gives its outputs piece by piece."""
    return any(port.type.stream for port in stage.outputs)


def reads_streams(stage: StagePlan) -> bool:
    """Whether a call of the stage waits for elements of others."""
    return any(port.type.stream for port in stage.inputs)


def element_stage(stage: StagePlan) -> StagePlan:
    """The stage as one element shows it: its stream outputs, each a plain value."""
    ports = tuple(replace(p, type=replace(p.type, stream=False)) for p in stage.outputs if p.type.stream)
    return replace(stage, outputs=ports)


def rest_stage(stage: StagePlan) -> StagePlan:
    """The stage as its end shows it: the outputs that are no streams."""
    return replace(stage, outputs=tuple(p for p in stage.outputs if not p.type.stream))


class Yields:
    """Turns what a python stage gives when it is called into `Elements`."""

    __slots__ = ("_element", "_rest", "_stage")

    def __init__(self, stage: StagePlan, made_by: MadeBy | None = None) -> None:
        """`made_by` as of `Returns`."""
        self._stage = stage
        self._element = Returns(element_stage(stage), made_by)
        self._rest = Returns(rest_stage(stage), made_by)

    def __call__(self, returned: Any, batch: Batch) -> BatchResult:
        """The result of one call. OutputError if it gives nothing to iterate."""
        if not hasattr(returned, "__next__"):
            port = next(p for p in self._stage.outputs if p.type.stream)
            text = f"{port.type} is expected: a generator that yields elements, found {describe(returned)}"
            raise OutputError(self._stage.name, port.name, text)
        return BatchResult(NONE, elements=self._elements(returned, batch))

    def _elements(self, iterator: Iterator[Any], batch: Batch) -> Elements:
        try:
            while True:
                try:
                    item = next(iterator)
                except StopIteration as stop:
                    return _whole(self._rest(stop.value, batch))
                yield _whole(self._element(item, batch))
        finally:
            close: Callable[[], object] | None = getattr(iterator, "close", None)
            if close is not None:
                close()


def _whole(result: BatchResult) -> tuple[Value, ...]:
    for error in (result.failed or {}).values():
        raise error  # an exception that was yielded
    return result.outputs


class StreamCheck:
    """Checks the results of a stage with stream outputs, element by element. Used like an `OutputCheck`."""

    __slots__ = ("_element", "_rest", "_stage")

    def __init__(self, stage: StagePlan, on_copy: Callable[[int, str], None] | None = None) -> None:
        self._stage = stage
        self._element = OutputCheck(element_stage(stage), on_copy)
        self._rest = OutputCheck(rest_stage(stage), on_copy)

    def __call__(self, batch: Batch, result: BatchResult) -> BatchResult:
        """The result with checked elements. OutputError if it has none."""
        if result.elements is None:
            raise OutputError(self._stage.name, "", "it has stream outputs, and its result holds no elements")
        return BatchResult(NONE, elements=self._checked(batch, result.elements))

    def _checked(self, batch: Batch, elements: Elements) -> Elements:
        try:
            while True:
                try:
                    values = next(elements)
                except StopIteration as stop:
                    return _closed(self._rest(batch, BatchResult(stop.value or NONE)))
                yield _closed(self._element(batch, BatchResult(values)))
        finally:
            elements.close()


def _closed(result: BatchResult) -> tuple[Value, ...]:
    """Outputs that nobody writes any more: readers share them."""
    for value in result.outputs:
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return result.outputs


def check_of(stage: StagePlan, on_copy: Callable[[int, str], None] | None = None) -> OutputCheck | StreamCheck:
    """What judges the results of a stage."""
    return StreamCheck(stage, on_copy) if streams(stage) else OutputCheck(stage, on_copy)
