"""The few operations that the executor does to arrays itself, for arrays of any device.

Numpy arrays are computed on at once. Device arrays are computed on by their device, on the calling thread's current
stream, and nobody waits. Views are not here: both kinds of array slice and reshape themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .array import DeviceArray


def on_device(value: Any) -> bool:
    """Whether it is an array in an accelerator's memory."""
    return type(value) is DeviceArray


def concatenate(parts: Sequence[Any]) -> Any:
    """Arrays of one device, dtype and row shape put one after the other, in new memory. ValueError if rows differ."""
    first = parts[0]
    if type(first) is not DeviceArray:
        return np.concatenate(parts)
    if any(p.shape[1:] != first.shape[1:] for p in parts):
        raise ValueError(f"rows of unequal shape: {', '.join(sorted({str(p.shape[1:]) for p in parts}))}")
    device = first.block.device
    xp = device.xp
    return device.compute(
        (sum(map(len, parts)), *first.shape[1:]),
        first.dtype,
        lambda out, *reads: xp.concatenate(reads, out=out),
        parts,
    )


def stack(parts: Sequence[Any]) -> Any:
    """Arrays of one shape as the rows of a new one."""
    first = parts[0]
    if type(first) is not DeviceArray:
        return np.stack(parts)
    return concatenate([part[None] for part in parts])


def take(array: Any, rows: Sequence[int]) -> Any:
    """The rows with these numbers, in new memory."""
    if type(array) is not DeviceArray:
        return array[list(rows)]
    wanted = np.asarray(rows, np.int64)
    device = array.block.device
    xp = device.xp

    def work(out: Any, source: Any) -> None:
        xp.take(source, xp.asarray(wanted), axis=0, out=out)

    return device.compute((len(wanted), *array.shape[1:]), array.dtype, work, [array])


def repeat(array: Any, counts: Sequence[int]) -> Any:
    """Row i `counts[i]` times, in new memory."""
    if type(array) is not DeviceArray:
        return np.repeat(array, counts, axis=0)
    return take(array, np.repeat(np.arange(len(array)), counts).tolist())


def padded(values: Any, lengths: Any, width: int, fill: Any) -> Any:
    """Rows that lie one after the other, [rows, width, ...] with `fill` behind each; `lengths` is on the host."""
    device, rows = values.block.device, len(lengths)
    xp = device.xp
    inside = np.arange(width) < lengths[:, None]

    def work(out: Any, source: Any) -> None:
        out[...] = fill
        out[xp.asarray(inside)] = source

    return device.compute((rows, width, *values.shape[1:]), values.dtype, work, [values])


def packed(array: Any, lengths: Any) -> Any:
    """The rows of a padded array without what is behind them, one after the other; `lengths` is on the host."""
    device, width = array.block.device, array.shape[1]
    xp = device.xp
    inside = np.arange(width) < lengths[:, None]

    def work(out: Any, source: Any) -> None:
        out[...] = source[xp.asarray(inside)]

    return device.compute((int(lengths.sum()), *array.shape[2:]), array.dtype, work, [array])


def filled_behind(array: Any, lengths: Any, fill: Any) -> None:
    """Write `fill` behind the end of each row of a padded array, in place."""
    device = array.block.device
    xp = device.xp
    behind = np.arange(array.shape[1]) >= lengths[:, None]

    def work(out: Any) -> None:
        out[xp.asarray(behind)] = fill

    device.current().launch(work, writes=[array])
