"""Values of a program as protobuf takes them, and back: arrays, nested lists, single values, rows of unequal length."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_dsl.dtypes import DTYPES

from .errors import ClientError

LENGTHS = ".lengths"
"""What follows a port's name in that of its lengths."""
NUMPY = {d.kserve: d.numpy for d in DTYPES.values() if d.kserve and d.numeric}
_WHOLE = {d.kserve for d in DTYPES.values() if d.kind in ("int", "uint")}

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output as the server describes it; -1 in the shape is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> Any:
        """Of its arrays; texts and bytes are objects."""
        return NUMPY.get(self.datatype, np.dtype(object))

    @property
    def varying(self) -> int:
        """The dim that has a size for each row, of a ragged one."""
        return next((i for i, size in enumerate(self.shape) if i and size < 0), 1)

    def read(self, message: Any) -> Any:
        """The array of a message with a shape; rows of unequal length as a list."""
        shape = tuple(message.shape)
        try:
            if self.datatype == "BYTES":
                found = np.fromiter(message.items, object, len(message.items)).reshape(shape)
            else:
                found = np.frombuffer(message.data, self.dtype).reshape(shape)
        except ValueError as error:
            raise ClientError(f"output `{self.name}` can not be read: {error}", "INTERNAL") from None
        if not message.lengths:
            return found
        before = (slice(None),) * (self.varying - 1)
        return [row[(*before, slice(length))] for row, length in zip(found, message.lengths)]


def numbers(tensor: Tensor, value: Any) -> Array:
    """A value as an array of the tensor's datatype. ClientError if it does not hold it."""
    dtype = NUMPY.get(tensor.datatype)
    if dtype is None:
        raise ClientError(f"input `{tensor.name}` has the datatype {tensor.datatype}, which is not known here")
    try:
        given = np.array(value)
        made = given.astype(dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise ClientError(f"input `{tensor.name}` takes {tensor.datatype}: {error}") from None
    if tensor.datatype in _WHOLE and given.size and not np.array_equal(made, given):
        raise ClientError(f"input `{tensor.name}` takes {tensor.datatype}, which does not hold {value!r:.80}")
    return made


def taken(tensor: Tensor, value: Any, text: bool = False) -> Array:
    """A value as the array to send. `text`: items of BYTES as `str`, else as `bytes`."""
    if tensor.datatype != "BYTES":
        return np.ascontiguousarray(numbers(tensor, value))
    found = np.array(value, object)
    items = [_item(one, text) for one in found.ravel().tolist()]
    if not all(isinstance(one, str if text else bytes) for one in items):
        raise ClientError(f"input `{tensor.name}` takes texts or bytes")
    return np.fromiter(items, object, len(items)).reshape(found.shape)


def _item(one: Any, text: bool) -> Any:
    if text:
        return one.decode() if isinstance(one, bytes) else one
    return one.encode() if isinstance(one, str) else one


def item(value: Any, text: bool) -> Any:
    """A single value as a field takes it; an object or a list for a text is JSON."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size == 1):
        value = value.item()
    if text and isinstance(value, dict | list):
        return json.dumps(value)
    return _item(value, text) if isinstance(value, str | bytes) else value


def filled(message: Any, tensor: Tensor, value: Any, *, ragged: bool = False) -> None:
    """Put a value into a message with a shape."""
    if ragged and tensor.datatype != "BYTES":
        array, lengths = _padded(tensor, value)
        message.lengths.extend(lengths)
    else:
        array = taken(tensor, value, text=message.DESCRIPTOR.name == "Texts")
    message.shape.extend(array.shape)
    if tensor.datatype == "BYTES":
        message.items.extend(array.ravel().tolist())
    else:
        message.data = array.tobytes()


def _padded(tensor: Tensor, rows: Sequence[Any]) -> tuple[Array, list[int]]:
    """Rows of unequal length in one array, and the length of each."""
    axis = tensor.varying - 1
    arrays = [numbers(tensor, row) for row in rows]
    lengths = [array.shape[axis] for array in arrays]
    longest = max(lengths, default=0)
    padded = [
        np.pad(array, [(0, longest - array.shape[i] if i == axis else 0) for i in range(array.ndim)])
        for array in arrays
    ]
    return (np.stack(padded) if padded else np.zeros((0, 0), tensor.dtype)), lengths
