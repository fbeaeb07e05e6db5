"""What a stage returned, checked against its signature before anyone reads it.

`OutputCheck(stage)` is compiled once and called by the executor on each `BatchResult` of any backend: number
of outputs, form, dtype, rank, rows, sizes that inputs have too, `where` bounds, items of text, None only
where the type is optional; that arrays of numbers are on the stage's device, and all else on the host. Arrays that are
not C-contiguous are copied, where they are, and reported; arrays are closed for writing, but for those of ragged
ports; nothing else is ever changed. Outputs of static shape take a fast path without a table of sizes. Checks of
callers' values are in `inputs`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline_dsl.ir import Bound
from pipeline_dsl.plan import PortPlan, StagePlan
from pipeline_dsl.sizes import Symbol
from pipeline_dsl.types import Ragged as RaggedDim
from pipeline_dsl.types import Rows, Sized

from .base import Batch, BatchResult
from .convert import TEXT_TYPES, describe, scalar
from .device import DeviceArray
from .inputs import check_json
from .shapes import ROWS, Dims, Mismatch, RaggedDims, Sizes, check_bounds, dims_of, packed_dims
from .values import Ragged, Value, set_writable

_ndarray = np.ndarray
_ARRAYS = (np.ndarray, DeviceArray)


class OutputError(Exception):
    """A stage returned something else than its signature says: INTERNAL / 500. Names stage, port, both
    sides."""

    def __init__(self, stage: str, port: str, message: str) -> None:
        place = f"stage `{stage}`, output `{port}`" if port else f"stage `{stage}`"
        super().__init__(f"{place}: {message}")
        self.stage = stage
        self.port = port


class OutputCheck:
    """Checks the results of one stage. Safe to call from several threads."""

    __slots__ = ("_bounds", "_inputs", "_on_copy", "_on_device", "_outputs", "_stage", "_static", "_unsettled")

    def __init__(self, stage: StagePlan, on_copy: Callable[[int, str], None] | None = None) -> None:
        """`on_copy` is called with (bytes, reason) for an array that had to be made contiguous."""
        self._stage = stage
        self._on_copy = on_copy
        self._outputs = [PortCheck(port, stage.device) for port in stage.outputs]
        self._bounds = _bounds_of_outputs(stage)
        needed = _names_of(stage.outputs).union(*({s.name for s in _symbols_of(b)} for b in self._bounds))
        self._inputs = [(i, PortCheck(p, stage.device)) for i, p in enumerate(stage.inputs) if needed & _names_of((p,))]
        self._unsettled = bool(self._bounds) or any(check.deferred for check in self._outputs)
        static = [] if self._bounds else _static_specs(stage)
        self._static, self._on_device = (static, []) if stage.on_host else ([], static)

    def __call__(self, batch: Batch, result: BatchResult) -> BatchResult:
        """The same result, or one with contiguous copies. OutputError if it is not what the signature
        says."""
        static = self._static
        if static and len(result.outputs) == len(static):
            lead = (batch.rows,)
            for value, (dtype, has_rows, tail) in zip(result.outputs, static):
                if (
                    type(value) is not _ndarray
                    or value.dtype is not dtype
                    or value.shape != (lead + tail if has_rows else tail)
                    or not value.flags.c_contiguous
                ):
                    break
                set_writable(value, False)
            else:
                return result
        return self._checked(batch, result)

    def _checked(self, batch: Batch, result: BatchResult) -> BatchResult:
        stage, failed = self._stage, result.failed
        if self._on_device and self._passes(batch.rows, result.outputs):
            return result
        if len(result.outputs) != len(self._outputs):
            names = ", ".join(port.name for port in stage.outputs)
            message = f"{len(self._outputs)} outputs are expected ({names}), found {len(result.outputs)}"
            raise OutputError(stage.name, "", message)
        if failed and len(failed) >= batch.rows:
            return result
        sizes = self._sizes(batch)
        outputs, same = [], True
        for check, value in zip(self._outputs, result.outputs):
            checked = self._value(check, value, sizes, failed)
            same = same and checked is value
            outputs.append(checked)
        if self._unsettled:
            self._settle(outputs, sizes)
        return result if same else BatchResult(tuple(outputs), failed)

    def _passes(self, rows: int, outputs: Sequence[Value]) -> bool:
        """Whether results on an accelerator, of static shape, are all that is wanted."""
        check = self._outputs[0]
        return len(outputs) == len(self._on_device) and all(
            type(value) is DeviceArray
            and value.dtype == dtype
            and value.shape == ((rows, *tail) if has_rows else tail)
            and value.contiguous
            and check.is_in_place(value)
            for value, (dtype, has_rows, tail) in zip(outputs, self._on_device)
        )

    def _sizes(self, batch: Batch) -> Sizes:
        sizes: Sizes = {ROWS: batch.rows}
        for index, check in self._inputs:
            value = batch.inputs[index]
            if value is not None:
                try:
                    check.shape(value, sizes)
                except Mismatch:  # inputs are the executor's: what it proved is not judged again here
                    continue
        return sizes

    def _value(self, check: PortCheck, value: Value, sizes: Sizes, failed: Mapping[int, Exception] | None) -> Value:
        port = check.port
        try:
            if value is None and port.type.dtype.name != "json":
                if not port.type.optional:
                    raise Mismatch(f"{port.type} is expected, found None")
                return None
            check.kind(value, failed)
            check.shape(value, sizes)
        except Mismatch as error:
            raise self._error(port, value, error) from None
        value = self._contiguous(value)
        if type(value) is _ndarray and not port.type.is_ragged:  # else what is padded is cleaned first
            set_writable(value, False)
        return value

    def _settle(self, outputs: Sequence[Value], sizes: Sizes) -> None:
        """Expressions and bounds, now that all sizes are known."""
        for check, value in zip(self._outputs, outputs):
            if check.deferred and value is not None:
                try:
                    check.shape(value, sizes)
                except Mismatch as error:
                    raise self._error(check.port, value, error) from None
        try:
            check_bounds(self._bounds, sizes)
        except Mismatch as error:
            raise OutputError(self._stage.name, "", str(error)) from None

    def _error(self, port: PortPlan, value: Value, error: Mismatch) -> OutputError:
        message = str(error)
        if "expected" not in message:
            message = f"{port.type} is expected, found {describe(value)}: {message}"
        return OutputError(self._stage.name, port.name, message)

    def _contiguous(self, value: Value) -> Value:
        if type(value) is _ndarray:
            if value.flags.c_contiguous:
                return value
        elif type(value) is not DeviceArray or value.contiguous:
            return value
        if self._on_copy is not None:
            self._on_copy(value.nbytes, "contiguous")
        return value.block.device.contiguous(value) if type(value) is DeviceArray else np.ascontiguousarray(value)


class PortCheck:
    """Kind, place, dtype and shape of one port's values."""

    __slots__ = ("_devices", "_dims", "_dtype", "_ragged", "_text", "deferred", "port")

    def __init__(self, port: PortPlan, device: str = "cpu") -> None:
        """`device`: the stage's, or several (`cuda:0,1`); numbers are there, all else is on the host."""
        self.port = port
        kind, _, numbers = device.partition(":")
        self._devices: frozenset[str] = frozenset()
        """Where arrays must be; empty for the host."""
        if device != "cpu" and port.type.dtype.numeric:
            self._devices = frozenset(f"{kind}:{n}" if n else kind for n in numbers.split(","))
        self._dtype = port.type.dtype.numpy
        self._dims: Dims | None = None
        if port.form in ("dense", "object", "padded"):
            self._dims = dims_of(port.type)
        elif port.form == "packed":
            self._dims = packed_dims(port.type)
        self._ragged = RaggedDims(port.type.dims) if port.type.is_ragged else None
        self._text = TEXT_TYPES.get(port.type.dtype.name)
        self.deferred = port.type.is_ragged or (self._dims is not None and self._dims.deferred)

    def kind(self, value: Value, failed: Mapping[int, Exception] | None) -> None:
        """Mismatch if it is not the right sort of object or of another dtype."""
        if self.port.form == "scalar":
            _check_scalar(value, self.port)
            return
        parts: Sequence[Any] = (value,)
        if isinstance(value, Ragged) and self._ragged is not None:
            parts = value.parts()
            wrong = next((r for r in parts if r.dtype != self._dtype), None)
            if wrong is not None:
                raise Mismatch(f"{self.port.type} is expected, found rows of {wrong.dtype}")
            self._check_place(parts)
        elif isinstance(value, _ARRAYS) and self._dims is not None:
            if value.dtype != self._dtype:
                raise Mismatch(f"{self.port.type} is expected, found {describe(value)}")
            if self._devices or type(value) is DeviceArray:
                self._check_place(parts)
        else:
            wanted = "a Ragged" if self._dims is None else "an ndarray"
            raise Mismatch(f"{self.port.type} is expected as {wanted}, found {describe(value)}")
        skipped = failed if self.port.type.has_rows else None
        if self._text is not None:
            _check_items(parts, self._text, skipped)
        elif self.port.type.dtype.name == "json":
            _check_json(parts, skipped)

    def _check_place(self, parts: Sequence[Any]) -> None:
        """Mismatch for an array that is elsewhere."""
        for part in parts:
            if not self.is_in_place(part):
                here = " or ".join(sorted(self._devices)) or "the host"
                there = part.device if type(part) is DeviceArray else "the host"
                raise Mismatch(f"{self.port.type} on {here} is expected, found {describe(part)} on {there}")

    def is_in_place(self, array: Any) -> bool:
        """Whether an array is where the stage's results must be."""
        return array.device in self._devices if type(array) is DeviceArray else not self._devices

    def shape(self, value: Value, sizes: Sizes) -> None:
        """Mismatch if a size is not what the type and the known sizes allow; binds the names it meets."""
        if isinstance(value, Ragged):
            if self._ragged is not None:
                self._ragged.match(value, sizes)
        elif self._dims is not None:
            self._dims.match(value.shape, sizes)


def _static_specs(stage: StagePlan) -> list[tuple[np.dtype[Any], bool, tuple[int, ...]]]:
    """(dtype, has `*`, other sizes) of each output, or nothing if one of them needs the full check."""
    specs = []
    for port in stage.outputs:
        tail = port.type.dims[1:] if port.type.has_rows else port.type.dims
        sizes = tuple(d.size.value if isinstance(d, Sized) else None for d in tail)
        if port.form != "dense" or None in sizes or any(isinstance(d, Rows) for d in tail):
            return []
        specs.append((port.type.dtype.numpy, port.type.has_rows, tuple(n for n in sizes if n is not None)))
    return specs


def _bounds_of_outputs(stage: StagePlan) -> tuple[Bound, ...]:
    """Bounds on a size that outputs have; the others are proved before the call."""
    names = _names_of(stage.outputs)
    return tuple(b for b in stage.bounds if names & {s.name for s in _symbols_of(b)})


def _symbols_of(bound: Bound) -> frozenset[Symbol]:
    return bound.left.symbols | bound.right.symbols


def _names_of(ports: Sequence[PortPlan]) -> set[str]:
    sized = (d for port in ports for d in port.type.dims if isinstance(d, Sized | RaggedDim))
    return {symbol.name for dim in sized for symbol in dim.size.symbols}


def _check_scalar(value: Value, port: PortPlan) -> None:
    if isinstance(value, np.ndarray | np.generic | DeviceArray):
        raise Mismatch(f"{port.type} is expected as a Python value, found {describe(value)}")
    found = scalar(value, port.type.dtype)
    if port.type.dtype.name == "json":
        check_json(found)


def _check_items(parts: Sequence[Any], wanted: type, failed: Mapping[int, Exception] | None) -> None:
    for part in parts:
        items = part.ravel().tolist()
        if {*map(type, items)} <= {wanted}:
            continue
        for i, item in _judged(part, items, failed):
            if type(item) is not wanted:
                raise Mismatch(f"{wanted.__name__} is expected, found {describe(item)} at item {i}")


def _check_json(parts: Sequence[Any], failed: Mapping[int, Exception] | None) -> None:
    for part in parts:
        for i, item in _judged(part, part.ravel().tolist(), failed):
            try:
                check_json(item)
            except Mismatch as error:
                raise Mismatch(f"item {i}: {error}") from None


def _judged(part: Any, items: list[Any], failed: Mapping[int, Exception] | None) -> Iterator[tuple[int, Any]]:
    """The items of rows that did not fail, with their numbers."""
    width = max(len(items) // max(len(part), 1), 1)
    return ((i, item) for i, item in enumerate(items) if not (failed and i // width in failed))
