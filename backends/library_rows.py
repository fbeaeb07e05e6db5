"""`Ragged` as a python stage on an accelerator sees it: its rows and forms are arrays of CuPy or torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .values import Lengths, Ragged


class LibraryRows(Ragged):
    """A `Ragged` of device arrays, each shown through `shown`. `offsets` and lengths are on the host, as everywhere.

    Changes of form are computed on the device, on the current stream, and counted like those of any `Ragged`."""

    __slots__ = ("_open", "held")

    def __init__(self, held: Ragged, shown: Callable[[Any], Any]) -> None:
        super().__init__(held.parts() if not (held.is_packed or held.is_padded) else ())
        self.held = held
        """The value itself, as the executor knows it."""
        self._open = shown

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, index: Any) -> Any:
        found = self.held[index]
        return LibraryRows(found, self._open) if isinstance(index, slice) else self._open(found)

    def __iter__(self) -> Iterator[Any]:
        return map(self._open, self.held)

    @property
    def dtype(self) -> Any:
        return self.held.dtype

    @property
    def nbytes(self) -> int:
        return self.held.nbytes

    @property
    def is_packed(self) -> bool:
        return self.held.is_packed

    @property
    def is_padded(self) -> bool:
        return self.held.is_padded

    @property
    def padded_form(self) -> Any:
        held = self.held.padded_form
        return None if held is None else self._open(held)

    def shape_of(self, index: int) -> tuple[int, ...]:
        return self.held.shape_of(index)

    def lengths(self, axis: int = 0) -> Lengths:
        return self.held.lengths(axis)

    def packed(self) -> tuple[Any, Lengths]:
        values, offsets = self.held.packed()
        return self._open(values), offsets

    def padded(self, value: Any = 0, length: int | None = None) -> Any:
        return self._open(self.held.padded(value, length))

    def holds_padded(self, value: Any, length: int | None) -> bool:
        return self.held.holds_padded(value, length)

    def take(self, indices: Sequence[int]) -> Ragged:
        return LibraryRows(self.held.take(indices), self._open)
