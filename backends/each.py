"""`each = true`: a python stage written for one row; the backend loops over the rows of a batch.

The callable sees each `*` port without the row axis (rank 0: a Python value) and returns one row. A row that
raises fails alone. Rows are put together once at the end: that copy is reported. On an accelerator a single number
of a row is a 0-d array, since a Python value would be waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from typing import Any

import numpy as np

from pipeline_dsl.plan import Form, PortPlan, StagePlan
from pipeline_dsl.types import Ragged as RaggedDim
from pipeline_dsl.types import Sized

from .adoption import Adoption
from .base import BackendError, Batch, BatchResult, InstanceConfig
from .device import DeviceArray
from .returns import Returns
from .signature import CONTEXT
from .values import Ragged, Value


def each_row(
    fn: Callable[..., Any],
    keys: dict[str, Any],
    stage: StagePlan,
    config: InstanceConfig,
    context: Callable[[Batch], Any] | None,
    adoption: Adoption | None = None,
) -> Callable[[Batch], BatchResult]:
    """What executes a batch row by row. BackendError for a stage without `*`."""
    if not stage.has_rows:
        raise BackendError(f"stage `{stage.name}`: each = true needs ports with `*`", "leave `each` out")
    names = tuple(port.name for port in stage.inputs)
    row_returns = Returns(row_stage(stage), None if adoption is None else adoption.of_one_row)
    returns = Returns(stage, None if adoption is None else adoption.converter)

    def execute(batch: Batch) -> BatchResult:
        common = dict(keys)
        if context is not None:
            common[CONTEXT] = context(batch)
        columns = [_rows(port, value) for port, value in zip(stage.inputs, batch.inputs)]
        done: list[tuple[Value, ...] | Exception] = []
        for row in zip(range(batch.rows), *columns):
            try:
                given = _ONE if adoption is None else Batch(row[1:], 1)
                single = row_returns(fn(**dict(zip(names, row[1:])), **common), given)
                done.append(single.failed[0] if single.failed else single.outputs)
            except Exception as error:
                done.append(error)
        result = returns(_joined(done, stage, adoption is None), batch)
        _report(result, config)
        return result

    return execute


def row_stage(stage: StagePlan) -> StagePlan:
    """The stage as one row sees it: ports without the row axis, `~L` a plain size."""
    return replace(stage, inputs=tuple(map(_row_port, stage.inputs)), outputs=tuple(map(_row_port, stage.outputs)))


_ONE = Batch((), 1)


def _row_port(port: PortPlan) -> PortPlan:
    if not port.type.has_rows:
        return port
    dims = tuple(Sized(d.size) if isinstance(d, RaggedDim) else d for d in port.type.dims[1:])
    form: Form = "scalar" if not dims else "dense" if port.type.dtype.numeric else "object"
    return replace(port, type=port.type.with_dims(dims), form=form)


def _rows(port: PortPlan, value: Value) -> Iterator[Any]:
    """One item per row; a port without `*` gives its value to every row."""
    if not port.type.has_rows or value is None:
        return repeat(value)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return iter(value.tolist())
    return iter(value)


def _joined(done: list[tuple[Value, ...] | Exception], stage: StagePlan, on_host: bool) -> Any:
    columns = []
    for i, port in enumerate(stage.outputs):
        rows = [row if isinstance(row, Exception) else row[i] for row in done]
        columns.append(_stacked(rows, port) if on_host else rows)
    return columns[0] if len(columns) == 1 else tuple(columns)


def _stacked(rows: list[Any], port: PortPlan) -> Any:
    """An array if all rows are arrays of one shape and dtype, else the list for `Returns` to judge."""
    first = rows[0] if rows else None
    if port.type.is_ragged or not isinstance(first, np.ndarray) or first.dtype != port.type.dtype.numpy:
        return rows
    same = all(isinstance(r, np.ndarray) and r.shape == first.shape and r.dtype == first.dtype for r in rows)
    return np.stack(rows) if same else rows


def _report(result: BatchResult, config: InstanceConfig) -> None:
    if config.on_copy is not None:
        size = sum(v.nbytes for v in result.outputs if isinstance(v, np.ndarray | Ragged | DeviceArray))
        config.on_copy(size, "each")
