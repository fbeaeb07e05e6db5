"""The few operations that the executor does to arrays itself, for arrays of any device.

Numpy arrays are computed on at once, and what is made of them is read-only. Device arrays are computed on by their
device, on the calling thread's current stream, and nobody waits. Where arrays of several places meet, they are brought
to one first. Views are not here: both kinds of array slice and reshape themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .array import DeviceArray, storage
from .stream import current_device

if TYPE_CHECKING:
    from .accelerator import Accelerator


def on_device(value: Any) -> bool:
    """Whether it is an array in an accelerator's memory."""
    return type(value) is DeviceArray


def concatenate(parts: Sequence[Any]) -> Any:
    """Arrays of one dtype and row shape put one after the other, in new memory. ValueError if rows differ."""
    parts = _together(parts)
    first = parts[0]
    if type(first) is not DeviceArray:
        return _closed(np.concatenate(parts))
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


def joined(parts: Sequence[Any]) -> Any:
    """As `concatenate`; where the calling thread works for a device, host arrays of numbers are joined in memory from
    which they are copied there, in one go."""
    working = current_device()
    if working is None or any(type(p) is DeviceArray or p.dtype.hasobject for p in parts):
        return concatenate(parts)
    return working.upload_joined(parts)


def stack(parts: Sequence[Any]) -> Any:
    """Arrays of one shape as the rows of a new one."""
    parts = _together(parts)
    if type(parts[0]) is not DeviceArray:
        return _closed(np.stack(parts))
    return concatenate([part[None] for part in parts])


def take(array: Any, rows: Sequence[int]) -> Any:
    """The rows with these numbers, in new memory."""
    if type(array) is not DeviceArray:
        return _closed(array[list(rows)])
    wanted = np.asarray(rows, np.int64)
    device = array.block.device
    xp = device.xp

    def work(out: Any, source: Any) -> None:
        xp.take(source, xp.asarray(wanted), axis=0, out=out)

    return device.compute((len(wanted), *array.shape[1:]), array.dtype, work, [array])


def placed(array: Any, rows: Sequence[int], total: int, fill: Any) -> Any:
    """`total` rows with those of `array` at `rows` and `fill` at the others, in new memory."""
    if type(array) is not DeviceArray:
        made = np.full((total, *array.shape[1:]), fill, array.dtype)
        made[list(rows)] = array
        return _closed(made)
    wanted = np.asarray(rows, np.int64)
    device = array.block.device
    xp, empty = device.xp, stored(fill, array.dtype)

    def work(out: Any, source: Any) -> None:
        out[...] = empty
        out[xp.asarray(wanted)] = source

    return device.compute((total, *array.shape[1:]), array.dtype, work, [array])


def in_corners(parts: Sequence[Any], shape: Sequence[int], fill: Any, dtype: Any) -> Any:
    """[parts, *shape] with each part in the corner of its row and `fill` elsewhere."""
    if not any(map(on_device, parts)):
        made = np.full((len(parts), *shape), fill, dtype)
        for row, part in zip(made, parts, strict=True):
            row[tuple(map(slice, part.shape))] = part
        return made
    parts, empty = _together(parts), stored(fill, dtype)

    def work(out: Any, *reads: Any) -> None:
        out[...] = empty
        for row, part in zip(out, reads, strict=True):
            row[tuple(map(slice, part.shape))] = part

    return parts[0].block.device.compute((len(parts), *shape), dtype, work, parts)


def padded(values: Any, lengths: Any, width: int, fill: Any) -> Any:
    """Rows that lie one after the other, [rows, width, ...] with `fill` behind each; `lengths` is on the host."""
    device, rows, tail = values.block.device, len(lengths), values.shape[1:]
    xp, empty = device.xp, stored(fill, values.dtype)
    places = np.flatnonzero(np.arange(width) < lengths[:, None])  # on the host: a mask on the device is waited for

    def work(out: Any, source: Any) -> None:
        out[...] = empty
        out.reshape(rows * width, *tail)[xp.asarray(places)] = source

    return device.compute((rows, width, *tail), values.dtype, work, [values])


def packed(array: Any, lengths: Any) -> Any:
    """The rows of a padded array without what is behind them, one after the other; `lengths` is on the host."""
    device, (rows, width, *tail) = array.block.device, array.shape
    xp = device.xp
    places = np.flatnonzero(np.arange(width) < lengths[:, None])

    def work(out: Any, source: Any) -> None:
        xp.take(source.reshape(rows * width, *tail), xp.asarray(places), axis=0, out=out)

    return device.compute((len(places), *tail), array.dtype, work, [array])


def filled_behind(array: Any, lengths: Any, fill: Any) -> Any:
    """A copy of a padded array with `fill` behind the end of each row; `lengths` is on the host."""
    device, (rows, width, *tail) = array.block.device, array.shape
    xp, empty = device.xp, stored(fill, array.dtype)
    places = np.flatnonzero(np.arange(width) >= lengths[:, None])

    def work(out: Any, source: Any) -> None:
        out[...] = source
        out.reshape(rows * width, *tail)[xp.asarray(places)] = empty

    return device.compute(array.shape, array.dtype, work, [array])


def copied(array: DeviceArray) -> DeviceArray:
    """The same items side by side in new memory."""
    device = array.block.device
    return device.compute(array.shape, array.dtype, assigned, [array])


def zeros(device: Accelerator, shape: Sequence[int], dtype: Any) -> DeviceArray:
    """A new array of zeros on a device."""
    return device.compute(shape, dtype, _clear, [])


def stored(value: Any, dtype: Any) -> Any:
    """A single value as arrays of the dtype hold it: bf16 and fp8 are held as their bits (`array.storage`)."""
    held = storage(np.dtype(dtype))
    return value if held == dtype else np.asarray(value, dtype).view(held)[()]


def assigned(out: Any, source: Any) -> None:
    """The work of a copy: for `Accelerator.compute`."""
    out[...] = source


def _clear(out: Any) -> None:
    out[...] = 0


def _together(parts: Sequence[Any]) -> Sequence[Any]:
    """Arrays of one place: where some are on a device, all are brought to the one that the thread works for."""
    first = parts[0]
    if type(first) is not DeviceArray:
        if DeviceArray not in map(type, parts):
            return parts
        first = next(p for p in parts if type(p) is DeviceArray)
    working = current_device() or first.block.device
    return [working.bring(p) for p in parts]


def _closed(array: Any) -> Any:
    array.setflags(write=False)
    return array
