"""An array over simulated memory: the bytes that lazily run work sees, and beside them those of program order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backends.values import Array

if TYPE_CHECKING:
    from .memory import Life


class SimData:
    """Two numpy views of equal shape: `actual` and `ideal` bytes of one life of memory."""

    __slots__ = ("__weakref__", "_bounds", "actual", "ideal", "life")

    def __init__(self, actual: Array, ideal: Array, life: Life, bounds: tuple[int, int] | None = None) -> None:
        self.actual = actual
        self.ideal = ideal
        self.life = life
        self._bounds = bounds

    @property
    def shape(self) -> tuple[int, ...]:
        return self.actual.shape

    @property
    def ndim(self) -> int:
        return self.actual.ndim

    @property
    def size(self) -> int:
        return self.actual.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.actual.dtype

    @property
    def nbytes(self) -> int:
        return self.actual.nbytes

    @property
    def flags(self) -> Any:
        return self.actual.flags

    @property
    def strides(self) -> tuple[int, ...]:
        return self.actual.strides

    @property
    def bounds(self) -> tuple[int, int]:
        """First byte in the memory, and the one behind the last."""
        if self._bounds is None:
            low, high = np.lib.array_utils.byte_bounds(self.actual) if self.actual.size else (0, 0)
            start = self.life.chunk.start if self.actual.size else 0
            self._bounds = (low - start, high - start)
        return self._bounds

    def __len__(self) -> int:
        return len(self.actual)

    def __getitem__(self, key: Any) -> SimData:
        return SimData(self.actual[key], self.ideal[key], self.life)

    def reshape(self, *shape: Any) -> SimData:
        """A view in another shape."""
        return SimData(self.actual.reshape(*shape), self.ideal.reshape(*shape), self.life, self._bounds)

    def view(self, dtype: Any) -> SimData:
        """The same bytes as items of another dtype."""
        return SimData(self.actual.view(dtype), self.ideal.view(dtype), self.life, self._bounds)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"memory of {self.life.place} is not read by accident; download it")

    def __repr__(self) -> str:
        return f"SimData({self.dtype}{list(self.shape)} of {self.life})"
