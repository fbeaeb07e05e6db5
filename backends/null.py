"""Backend `null`: no real work, but settable latency, failures and values, for tests and for measuring the
executor.

    null(latency = 2ms, per_row = 10us, busy = true, fail = "every 3", value = "zeros")

`value`: "echo" (default: each output is the input of the same name, else the input at its place, else the
first of its type), "zeros", or a number to fill outputs with. `fail`: "load" (can not be loaded), "all",
"every N" (each Nth batch raises), "rows V" (a row whose first input begins with V fails alone), "batch V"
(one such row fails its batch). Latency (float seconds here) is slept through, or with `busy = true` spent on
the processor. `elements` is for stages with streams: see `null_streams`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline_dsl.plan import PortPlan, StagePlan
from pipeline_dsl.types import Ragged as RaggedDim
from pipeline_dsl.types import Rows

from .base import BackendError, Batch, BatchResult, Instance, InstanceConfig
from .null_streams import streaming
from .placement import host_only
from .shapes import ROWS, Mismatch, Sizes, dims_of, target_of
from .values import Ragged, Value

Execute = Callable[[Batch], BatchResult]
Predicate = Callable[[Value], Exception | None]
"""From a row of the first input to the exception that stands in its place."""


class NullError(RuntimeError):
    """The failure that was asked for."""


class NullBackend:
    """Loads null stages. Tests give their own `sleep`, and a `predicate` that fails single rows of every
    stage."""

    name = "null"

    def __init__(self, sleep: Callable[[float], None] = time.sleep, predicate: Predicate | None = None) -> None:
        self._sleep = sleep
        self._predicate = predicate

    def load(self, stage: StagePlan, config: InstanceConfig) -> Instance:
        """An instance without any model. BackendError for `fail = "load"` and for settings it does not
        know."""
        host_only(stage, config.device)
        if stage.arguments.get("fail") == "load":
            raise BackendError(f"stage `{stage.name}` is set to fail at load", 'leave out fail = "load"')
        if any(p.type.stream for p in (*stage.inputs, *stage.outputs)):

            def paced(part: StagePlan) -> Execute:
                return _delayed(_values(part), part, self._sleep)

            return NullInstance(streaming(stage, paced, lambda: _failure(stage)))
        execute = _values(stage)
        execute = _failing(execute, stage, self._predicate)
        return NullInstance(_delayed(execute, stage, self._sleep))


class NullInstance:
    """Holds nothing but the function it runs."""

    thread_affine = False
    wants_context = False
    __slots__ = ("execute",)

    def __init__(self, execute: Execute) -> None:
        self.execute = execute

    def warmup(self) -> None:
        """Nothing to warm up."""

    def close(self) -> None:
        """Nothing to release."""


# ---- values


def _values(stage: StagePlan) -> Execute:
    value = stage.arguments.get("value", "echo")
    if value == "echo":
        sources = [_source(i, port, stage) for i, port in enumerate(stage.outputs)]
        if sources == list(range(len(stage.inputs))):
            return lambda batch: BatchResult(batch.inputs)
        return lambda batch: BatchResult(_echoed(sources, batch, stage))
    if value == "zeros" or isinstance(value, int | float):
        fill = 0 if value == "zeros" else value
        return lambda batch: BatchResult(tuple([_filled(p, fill, batch, stage) for p in stage.outputs]))
    message = f"stage `{stage.name}`: value = {value!r} is unknown"
    raise BackendError(message, 'write "echo", "zeros" or a number')


def _source(index: int, port: PortPlan, stage: StagePlan) -> int | None:
    """The input an output echoes."""
    names = [p.name for p in stage.inputs]
    if port.name in names:
        return names.index(port.name)
    if index < len(names) and stage.inputs[index].type == port.type:
        return index
    return next((i for i, p in enumerate(stage.inputs) if p.type == port.type), None)


def _echoed(sources: list[int | None], batch: Batch, stage: StagePlan) -> tuple[Value, ...]:
    return tuple(
        _filled(port, 0, batch, stage) if source is None else batch.inputs[source]
        for source, port in zip(sources, stage.outputs)
    )


def _filled(port: PortPlan, value: Any, batch: Batch, stage: StagePlan) -> Value:
    """A value of the port's type filled up; sizes that no input has are 1."""
    dtype = port.type.dtype
    item = value if dtype.numeric else {"string": "", "bytes": b"", "json": None}[dtype.name]
    if port.form == "scalar":
        return {"bool": bool, "int": int, "uint": int, "float": float}.get(dtype.kind, lambda v: v)(item)
    sizes = _sizes(batch, stage)
    shape = [_size(dim, sizes) for dim in port.type.dims]
    if port.form == "packed":
        shape[:2] = [shape[0] * shape[1]]
    array = np.full(shape, item, dtype.numpy)
    if port.form != "ragged":
        return array
    return Ragged(padded=array, lengths=np.full(len(array), array.shape[1], np.int64))


def _sizes(batch: Batch, stage: StagePlan) -> Sizes:
    sizes: Sizes = {ROWS: batch.rows}
    for port, value in zip(stage.inputs, batch.inputs):
        if isinstance(value, np.ndarray):
            try:
                dims_of(port.type).match(value.shape, sizes)
            except Mismatch:  # what was put in is not judged here
                continue
    return sizes


def _size(dim: Any, sizes: Sizes) -> int:
    if isinstance(dim, Rows):
        return int(sizes[ROWS])
    target = target_of(dim)
    if isinstance(target, int):
        return target
    if isinstance(target, str):
        known = sizes.get(target, 1)
        return int(np.max(known)) if isinstance(dim, RaggedDim) else int(known)
    try:
        return int(target.evaluate(sizes)) if target is not None else 1
    except KeyError:
        return 1


# ---- failures and latency


def _failing(execute: Execute, stage: StagePlan, predicate: Predicate | None) -> Execute:
    policy = str(stage.arguments.get("fail", ""))
    word, _, operand = policy.partition(" ")
    if predicate is not None:
        execute = _failing_rows(execute, predicate)
    if word == "":
        return execute
    if word == "all":
        return lambda batch: _raise(stage)
    if word == "every" and operand.isdigit() and int(operand):
        return _failing_every(execute, int(operand), stage)
    if word == "rows" and operand:
        return _failing_rows(execute, _begins_with(operand, stage))
    if word == "batch" and operand:
        return _failing_batches(execute, _begins_with(operand, stage))
    raise BackendError(
        f"stage `{stage.name}`: fail = {policy!r} is unknown",
        'write "load", "all", "every N", "rows V" or "batch V"',
    )


def _raise(stage: StagePlan) -> BatchResult:
    raise _failure(stage)


def _failure(stage: StagePlan) -> Exception:
    return NullError(f"stage `{stage.name}` is set to fail")


def _failing_every(execute: Execute, period: int, stage: StagePlan) -> Execute:
    count = 0

    def failing(batch: Batch) -> BatchResult:
        nonlocal count
        count += 1
        return _raise(stage) if count % period == 0 else execute(batch)

    return failing


def _failing_rows(execute: Execute, predicate: Predicate) -> Execute:
    def failing(batch: Batch) -> BatchResult:
        result = execute(batch)
        failed = _failures(batch, predicate)
        return BatchResult(result.outputs, failed) if failed else result

    return failing


def _failing_batches(execute: Execute, predicate: Predicate) -> Execute:
    def failing(batch: Batch) -> BatchResult:
        for error in _failures(batch, predicate).values():
            raise error
        return execute(batch)

    return failing


def _failures(batch: Batch, predicate: Predicate) -> dict[int, Exception]:
    first = batch.inputs[0]
    rows = [first] if not isinstance(first, np.ndarray | Ragged) or batch.rows != len(first) else first
    found = {i: predicate(row) for i, row in enumerate(rows)}
    return {i: error for i, error in found.items() if error is not None}


def _begins_with(operand: str, stage: StagePlan) -> Predicate:
    def predicate(row: Value) -> Exception | None:
        head = row.flat[0] if isinstance(row, np.ndarray) and row.size else row
        if str(head) == operand or (isinstance(head, np.floating | float) and f"{head:g}" == operand):
            return NullError(f"stage `{stage.name}` is set to fail for {operand}")
        return None

    return predicate


def _delayed(execute: Execute, stage: StagePlan, sleep: Callable[[float], None]) -> Execute:
    whole, per_row = (float(stage.arguments.get(key, 0)) for key in ("latency", "per_row"))
    if not whole and not per_row:
        return execute
    wait = spin if stage.arguments.get("busy") else sleep

    def delayed(batch: Batch) -> BatchResult:
        wait(whole + per_row * batch.rows)
        return execute(batch)

    return delayed


def spin(duration: float) -> None:
    """Keep the processor busy for so many seconds."""
    end = time.perf_counter() + duration
    while time.perf_counter() < end:
        pass
