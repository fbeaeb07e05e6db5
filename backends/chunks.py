"""Artifacts whose row axis is fixed (`rows = n`): a batch is run in chunks of n, the last one filled up with
rows.

Only ports with `*` are cut; the others go to every chunk. Results are put together once, which is a reported
copy unless the batch was exactly one chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline_dsl.plan import StagePlan

from .base import BackendError, InstanceConfig
from .device import DeviceArray
from .device.ops import concatenate, take, zeros

Run = Callable[[tuple[Any, ...]], list[Any]]
"""Arrays in port order -> arrays in port order, on one device."""


def in_chunks(run: Run, stage: StagePlan, config: InstanceConfig) -> Callable[[tuple[Any, ...], int], list[Any]]:
    """What runs any number of rows through an artifact that takes exactly `contract.rows` of them."""
    size = stage.contract.rows or 1
    cut_inputs = [port.type.has_rows for port in stage.inputs]
    cut_outputs = [port.type.has_rows for port in stage.outputs]
    packed = next((p.name for p in (*stage.inputs, *stage.outputs) if p.form in ("packed", "ragged")), None)
    if packed is not None:
        message = f"stage `{stage.name}`: `{packed}` is packed, so its rows can not be cut into chunks of {size}"
        raise BackendError(message, "leave out `rows`, or use `pad`")
    if not all(cut_outputs):
        raise BackendError(f"stage `{stage.name}`: `rows = {size}` needs `*` in every output")

    def chunked(inputs: tuple[Any, ...], rows: int) -> list[Any]:
        if rows == size:
            return run(inputs)
        parts = []
        for start in range(0, max(rows, 1), size):
            chunk = [_chunk(v, start, size) if cut else v for v, cut in zip(inputs, cut_inputs)]
            parts.append(run(tuple(chunk)))
        return [_joined(columns, rows, config) for columns in zip(*parts)]

    return chunked


def _chunk(array: Any, start: int, size: int) -> Any:
    """Rows from `start`, filled up to `size` by repeating the last one (zeros if there is none)."""
    part = array[start : start + size]
    if len(part) == size:
        return part
    if type(part) is DeviceArray:
        if not len(part):
            return zeros(part.block.device, (size, *part.shape[1:]), part.dtype)
        return take(part, [min(i, len(part) - 1) for i in range(size)])
    filled = np.zeros((size, *array.shape[1:]), array.dtype)
    filled[: len(part)] = part
    if len(part):
        filled[len(part) :] = part[-1]
    return filled


def _joined(parts: tuple[Any, ...], rows: int, config: InstanceConfig) -> Any:
    if len(parts) == 1:
        return parts[0][:rows]
    whole = concatenate(parts)
    if config.on_copy is not None:
        config.on_copy(whole.nbytes, "rows")
    return whole[:rows]
