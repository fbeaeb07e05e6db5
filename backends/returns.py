"""What a python stage returned, brought into port order and form; rows that hold an exception are set aside.

`Returns(stage)` is compiled once. One output: the value itself. Several: a tuple in port order, or a dict of
exactly the ports. Lists and scalars are converted to the declared dtype; arrays are passed on untouched (the
executor checks them). Raises `OutputError`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline_dsl.plan import PortPlan, StagePlan
from pipeline_dsl.types import Ragged as RaggedDim
from pipeline_dsl.types import Sized

from .base import Batch, BatchResult
from .checks import OutputError
from .convert import array, describe, ragged, scalar
from .shapes import Mismatch
from .values import Ragged, Value

Failed = dict[int, Exception]
Convert = Callable[[Any, Batch, Failed], Value]
MadeBy = Callable[[PortPlan, StagePlan], Convert]

_ndarray = np.ndarray


class Returns:
    """Turns return values into `BatchResult`s."""

    __slots__ = ("_converts", "_dtypes", "_names", "_single", "_stage")

    def __init__(self, stage: StagePlan, made_by: MadeBy | None = None) -> None:
        """`made_by` gives the converter of a port where results are on an accelerator."""
        self._stage = stage
        self._names = tuple(port.name for port in stage.outputs)
        self._single = len(stage.outputs) == 1
        self._converts = [(made_by or converter)(port, stage) for port in stage.outputs]
        self._dtypes = [None if made_by else _plain_dtype(port) for port in stage.outputs]

    def __call__(self, returned: Any, batch: Batch) -> BatchResult:
        """The result of one call. OutputError if it can not be one."""
        values = (returned,) if self._single else self._split(returned)
        for value, dtype in zip(values, self._dtypes):
            if type(value) is not _ndarray or value.dtype is not dtype:
                return self._converted(values, batch)
        return BatchResult(values)

    def _converted(self, values: tuple[Any, ...], batch: Batch) -> BatchResult:
        failed: Failed = {}
        outputs = []
        for convert, value, name in zip(self._converts, values, self._names):
            try:
                outputs.append(convert(value, batch, failed))
            except Mismatch as error:
                raise OutputError(self._stage.name, name, str(error)) from None
        return BatchResult(tuple(outputs), failed or None)

    def _split(self, returned: Any) -> tuple[Any, ...]:
        names = self._names
        if type(returned) is tuple and len(returned) == len(names):
            return returned
        if isinstance(returned, dict):
            if returned.keys() == set(names):
                return tuple([returned[name] for name in names])
            raise self._wrong(f"a dict with {', '.join(map(str, returned)) or 'nothing'}")
        if not names and returned is None:
            return ()
        raise self._wrong(describe(returned))

    def _wrong(self, found: str) -> OutputError:
        names = ", ".join(self._names)
        message = f"a tuple of {len(self._names)} in port order, or a dict of {names}, is expected; found {found}"
        return OutputError(self._stage.name, "", message)


def _plain_dtype(port: PortPlan) -> Any:
    """dtype of arrays that need no look at all; None where each value goes through its converter."""
    return port.type.dtype.numpy if port.form in ("dense", "padded", "packed") else None


def converter(port: PortPlan, stage: StagePlan) -> Convert:
    """What brings the values of one output into form, on the host."""
    if port.form == "scalar":
        return _scalars(port)
    if port.type.is_ragged:
        return _raggeds(port, stage)
    return _arrays(port)


def _scalars(port: PortPlan) -> Convert:
    dtype, optional = port.type.dtype, port.type.optional

    def convert(value: Any, batch: Batch, failed: Failed) -> Value:
        if isinstance(value, Exception):
            failed[0] = value
            return _blank(port)
        if value is None and (optional or dtype.name != "json"):
            return None
        return scalar(_host(value), dtype)

    return convert


def _arrays(port: PortPlan) -> Convert:
    dtype, rank, has_rows = port.type.dtype, port.type.rank, port.type.has_rows

    def convert(value: Any, batch: Batch, failed: Failed) -> Value:
        value = _host(value)
        if value is None:
            return None
        if has_rows:
            value = _set_aside(value, failed, port)
        elif isinstance(value, Exception):
            failed[0] = value
            return np.zeros((0,) * (rank or 1), dtype.numpy)
        if isinstance(value, np.ndarray) and (value.dtype != object or not dtype.numeric):
            return value
        if isinstance(value, list | tuple | np.ndarray):
            return array(value, dtype, rank)
        raise Mismatch(f"{port.type} is expected, found {describe(value)}")

    return convert


def _raggeds(port: PortPlan, stage: StagePlan) -> Convert:
    dtype = port.type.dtype
    rank = None if port.type.rank is None else port.type.rank - 1
    source = same_lengths(port, stage)
    has_rows = port.type.has_rows
    keeps_padded = port.form in ("padded", "packed")

    def convert(value: Any, batch: Batch, failed: Failed) -> Value:
        value = _host(value)
        if value is None or isinstance(value, Ragged):
            return value
        if isinstance(value, np.ndarray) and value.dtype != object:
            if keeps_padded or (source is None and not len(value)):
                return value if keeps_padded else ragged(value, dtype, rank)
            return padded_with_lengths(value, source, batch, port)
        if isinstance(value, np.ndarray) and value.ndim > 1 and (keeps_padded or source is not None):
            return value if keeps_padded else padded_with_lengths(value, source, batch, port)
        if not isinstance(value, list | tuple | np.ndarray):
            raise Mismatch(f"{port.type} is expected, found {describe(value)}")
        if has_rows:
            value = _set_aside(value, failed, port)
        return ragged([_host(row) for row in value], dtype, rank)

    return convert


def same_lengths(port: PortPlan, stage: StagePlan) -> int | None:
    """Index of an input with the same ragged dim in the same place, whose lengths hold for this output."""
    dims = [(i, d) for i, d in enumerate(port.type.dims) if isinstance(d, RaggedDim)]
    if len(dims) != 1 or dims[0][0] != 1:
        return None
    for i, other in enumerate(stage.inputs):
        if len(other.type.dims) > 1 and other.type.dims[1] == dims[0][1]:
            return i
    return None


def padded_with_lengths(value: Any, source: int | None, batch: Batch, port: PortPlan) -> Value:
    """A padded array as `Ragged`, with the lengths of an input. Mismatch if there is none, or it is too small."""
    held = batch.inputs[source] if source is not None else None
    if not isinstance(held, Ragged):
        names = [str(d.size) for d in port.type.dims if isinstance(d, RaggedDim)]
        raise Mismatch(
            f"a list with one array per row is expected, found {describe(value)}; "
            f"a padded array needs an input that has `~{names[0]}` too"
        )
    lengths = held.lengths()
    if value.ndim < 2 or len(value) != len(lengths) or value.shape[1] < int(lengths.max(initial=0)):
        longest = int(lengths.max(initial=0))
        raise Mismatch(f"an array padded to [{len(lengths)}, {longest}, ..] is expected, found {describe(value)}")
    return Ragged(padded=value, lengths=lengths)


def _set_aside(value: Any, failed: Failed, port: PortPlan) -> Any:
    """The value with rows that are exceptions replaced by blanks of the right shape; the exceptions go to
    `failed`."""
    if not isinstance(value, list | tuple) and not (isinstance(value, np.ndarray) and value.dtype == object):
        return value
    errors = {i: row for i, row in enumerate(value) if isinstance(row, Exception)}
    if not errors:
        return value
    failed.update(errors)
    rows = list(value)
    good = next((row for i, row in enumerate(rows) if i not in errors), None)
    blank = _blank_row(good, port)
    for i in errors:
        rows[i] = blank
    return rows


def _blank_row(good: Any, port: PortPlan) -> Any:
    tail = port.type.dims[1:]
    if not tail:
        return _blank(port)
    if isinstance(good, np.ndarray):
        return np.zeros_like(good) if good.dtype != object else np.full(good.shape, _blank(port), object)
    if isinstance(good, list):
        return good
    shape = [d.size.value or 0 if isinstance(d, Sized) else 0 for d in tail]
    blank = np.zeros(shape, port.type.dtype.numpy)
    return blank if port.type.dtype.numeric else np.full(shape, _blank(port), object)


def _blank(port: PortPlan) -> Any:
    kind, name = port.type.dtype.kind, port.type.dtype.name
    return {"string": "", "bytes": b"", "json": None}.get(name, False if kind == "bool" else 0)


def _host(value: Any) -> Any:
    """A torch tensor as numpy array that shares its memory; anything else as it is."""
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        from .interop import to_numpy

        return to_numpy(value)
    return value
