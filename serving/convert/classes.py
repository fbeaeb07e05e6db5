"""The classification extension: the highest items of an output, each as `value:index[:label]`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from backends.values import Array
from executor.errors import InvalidArgument
from serving.tensors import TensorOut

MAX_ITEMS = 1_000_000
"""Items of an output that may be classified."""


def classified(tensor: TensorOut, top: object, *, rows: bool, labels: str) -> TensorOut:
    """BYTES [rows, top], or [top] where the output has no rows. InvalidArgument where that is not possible."""
    place = f"output `{tensor.name}`: classification"
    if type(top) is not int or top < 1:
        raise InvalidArgument(f"{place} takes a whole number from 1, found {top!r}")
    if not isinstance(tensor.data, np.ndarray) or tensor.datatype == "BOOL":
        raise InvalidArgument(f"{place} needs numbers, its datatype is {tensor.datatype}")
    if tensor.data.size > MAX_ITEMS:
        raise InvalidArgument(f"{place} takes at most {MAX_ITEMS} items, there are {tensor.data.size}")
    table = tensor.data.reshape(len(tensor.data), -1) if rows and tensor.data.ndim else tensor.data.reshape(1, -1)
    if top > table.shape[1]:
        raise InvalidArgument(f"{place} of {top} classes: there are only {table.shape[1]}")
    names = _labels(labels) if labels else ()
    items = [item for row in table for item in _row(row, top, names)]
    return TensorOut(tensor.name, "BYTES", (len(table), top) if rows else (top,), items)


def _row(row: Array, top: int, labels: tuple[str, ...]) -> list[bytes]:
    values = row.astype(np.float64) if row.dtype.kind not in "iu" else row
    order = np.argsort(-values if values.dtype.kind == "f" else _negated(values), kind="stable")[:top]
    items = []
    for index in order.tolist():
        value = values[index]
        text = f"{float(value):f}:{index}" if values.dtype.kind == "f" else f"{int(value)}:{index}"
        items.append((f"{text}:{labels[index]}" if index < len(labels) else text).encode())
    return items


def _negated(values: Array) -> Array:
    """Whole numbers in the opposite order, without the overflow that negation has."""
    return np.invert(values)


@lru_cache(maxsize=64)
def _labels(path: str) -> tuple[str, ...]:
    """Names of the classes, one a line; () where there is no such file."""
    try:
        return tuple(Path(path).read_text(encoding="utf-8").splitlines())
    except OSError:
        return ()
