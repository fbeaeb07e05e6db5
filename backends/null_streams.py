"""Streams of the `null` backend: `null(elements = N, latency = 1ms, fail = "after K")`.

A stage with stream outputs yields N elements (default 1), or one for each element of its stream input if it has one
and says no number. Each element is what a plain output would be: an echo, zeros or a number, and takes `latency`.
A stage that only reads a stream reads it to its end first. `fail = "after K"` raises behind K elements."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import repeat
from typing import Any

from pipeline_dsl.plan import StagePlan

from .base import BackendError, Batch, BatchResult, Elements
from .generators import NONE, element_stage, rest_stage, streams
from .streams import Reader
from .values import Value

Execute = Callable[[Batch], BatchResult]


def streaming(stage: StagePlan, values: Callable[[StagePlan], Execute], error: Callable[[], Exception]) -> Execute:
    """What executes a null stage with streams. `values` makes what gives the values of a plain stage, `error` what
    it is to fail with."""
    plain = _plain_inputs(stage)
    rest = values(replace(rest_stage(stage), inputs=plain.inputs))
    if not streams(stage):
        return lambda batch: rest(_drained(batch, stage))
    count, after = stage.arguments.get("elements"), _failing_after(stage)
    element = values(replace(element_stage(stage), inputs=plain.inputs))

    def elements(batch: Batch) -> Elements:
        made = 0
        for given in _rounds(batch, count):
            if made == after:
                raise error()
            made += 1
            yield element(given).outputs
        if made == after:
            raise error()
        return rest(_drained(batch, stage)).outputs

    return lambda batch: BatchResult(NONE, elements=elements(batch))


def _plain_inputs(stage: StagePlan) -> StagePlan:
    ports = (replace(p, type=replace(p.type, stream=False)) for p in stage.inputs)
    return replace(stage, inputs=tuple(ports))


def _rounds(batch: Batch, count: Any) -> Iterable[Batch]:
    """The inputs of each element: those of the call, a stream's next element in its place."""
    at = next((i for i, value in enumerate(batch.inputs) if isinstance(value, Reader)), None)
    if at is None:
        return repeat(batch, 1 if count is None else int(count))
    reader = iter(batch.inputs[at])
    items = reader if count is None else (item for item, _ in zip(reader, range(int(count))))
    return (_with(batch, at, item) for item in items)


def _with(batch: Batch, at: int, value: Value) -> Batch:
    return replace(batch, inputs=(*batch.inputs[:at], value, *batch.inputs[at + 1 :]))


def _drained(batch: Batch, stage: StagePlan) -> Batch:
    """The batch with the last element of each stream in its place; None of an empty one."""
    inputs = list(batch.inputs)
    for i, value in enumerate(inputs):
        if isinstance(value, Reader):
            inputs[i] = None
            for item in value:
                inputs[i] = item
    return replace(batch, inputs=tuple(inputs))


def _failing_after(stage: StagePlan) -> int | None:
    policy = str(stage.arguments.get("fail", ""))
    if not policy or policy in ("load", "all"):
        return 0 if policy == "all" else None
    word, _, operand = policy.partition(" ")
    if word == "after" and operand.isdigit():
        return int(operand)
    message = f"stage `{stage.name}`: fail = {policy!r} is unknown for a stream"
    raise BackendError(message, 'write "load", "all" or "after N"')
