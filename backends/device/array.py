"""An array in an accelerator's memory, as the executor passes it on: a shape, a dtype and the block it lies in.

It holds no values that Python could look at: reading one is a copy to the host and takes its time, so whoever wants
that says so (`Accelerator.download`). Slices and reshapes are views of the same block.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .block import Block


class DeviceArray:
    """`data` is the library's own array, of the storage dtype: bf16 and fp8, which neither numpy nor CuPy know, are
    carried as unsigned integers of their width (`storage`)."""

    __slots__ = ("block", "data", "dtype")

    def __init__(self, data: Any, block: Block, dtype: np.dtype[Any]) -> None:
        self.data = data
        self.block = block
        self.dtype = dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def ndim(self) -> int:
        return int(self.data.ndim)

    @property
    def size(self) -> int:
        return prod(self.data.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def device(self) -> str:
        """`cuda:0`."""
        return self.block.device.name

    @property
    def address(self) -> int:
        """Device pointer of the first item."""
        return self.block.device.driver.address(self.data)

    @property
    def contiguous(self) -> bool:
        return bool(self.data.flags.c_contiguous)

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def __getitem__(self, key: Any) -> DeviceArray:
        """A view. TypeError for an index that would copy: that is `take`."""
        if isinstance(key, list | np.ndarray):
            raise TypeError("a device array is indexed by numbers and slices; `backends.device.take` copies rows")
        view = self.data[key] if type(key) is slice else self.data[_as_view(key, self.data.ndim)]
        return DeviceArray(view, self.block, self.dtype)

    def __iter__(self) -> Iterator[DeviceArray]:
        return (self[i] for i in range(len(self)))

    def reshape(self, *shape: Any) -> DeviceArray:
        """A view in another shape. ValueError if the rows do not lie side by side."""
        if not self.contiguous:
            raise ValueError("only an array whose items lie side by side can be a view in another shape")
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        return DeviceArray(self.data.reshape(wanted), self.block, self.dtype)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"an array on {self.device} is not read by accident; copy it to the host first")

    def __repr__(self) -> str:
        return f"DeviceArray({self.dtype}{list(self.shape)} on {self.device})"


def _as_view(key: Any, ndim: int) -> Any:
    """An index that leaves a 0-d view where all axes have a number, instead of a value."""
    keys = key if isinstance(key, tuple) else (key,)
    return (*keys, ...) if Ellipsis not in keys and len(keys) <= ndim else key


_UNSIGNED: dict[int, np.dtype[Any]] = {1: np.dtype(np.uint8), 2: np.dtype(np.uint16)}


def storage(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that a value is stored in: itself, or an unsigned integer for those that only ml_dtypes knows."""
    module = getattr(dtype.type, "__module__", "")
    return _UNSIGNED[dtype.itemsize] if module == "ml_dtypes" else dtype
