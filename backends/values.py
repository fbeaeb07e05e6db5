"""Run-time values that stages and callers see beside numpy arrays: `Ragged`, and the errors a stage may
raise.

A `Ragged` is a sequence of rows of unequal size. It holds one form (rows, packed or padded) and makes the
others on demand; a change of form is a copy, which is reported to `on_copy` and so ends up in the
copied-bytes counter. Where all rows have the same length the packed and the padded form are the same memory,
and a change of form is a view. On an accelerator the rows, `values` and `padded` are `device.DeviceArray`s;
`offsets` and `lengths` are on the host everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Lengths = NDArray[np.int64]

set_writable = cast(Callable[[Array, bool], None], np.ndarray.setflags)
"""Whether an array may be written. By position: a keyword costs as much again."""

SHORT_ROW = 4096
"""Bytes. Rows below it are padded through the packed form: one more copy, but no Python step for each row."""


class InvalidInput(ValueError):
    """Raised by a stage when the client's data is at fault: INVALID_ARGUMENT / 400, never run again."""


class Ragged(Sequence[Array]):
    """Rows of unequal size along one or more dims.

    Packed form: `values` holds the rows one after the other along axis 0 (only the first dim of a row
    varies) and `offsets`, int64 [rows + 1], where each begins. Padded form: array [rows, longest, ...]
    beside `lengths`, int64 [rows]. Rows form: a list of arrays, for rows that vary in another dim, or as a
    stage returned them."""

    __slots__ = ("_lengths", "_made", "_offsets", "_padded", "_rows", "_values", "fill", "on_copy")

    def __init__(
        self,
        rows: Sequence[Array] | None = None,
        *,
        values: Array | None = None,
        offsets: Lengths | None = None,
        padded: Array | None = None,
        lengths: Lengths | None = None,
        fill: Any = None,
        on_copy: Callable[[int], None] | None = None,
    ) -> None:
        """Give `rows`, or `values` with `offsets`, or `padded` with `lengths` and, where it is known, what
        `fill`s the padding. ValueError for anything else."""
        given = (
            rows is not None,
            values is not None and offsets is not None,
            padded is not None and lengths is not None,
        )
        if sum(given) != 1:
            raise ValueError("Ragged takes rows, or values with offsets, or padded with lengths")
        self._rows = list(rows) if rows is not None else None
        self._values = values
        self._offsets = offsets
        self._padded = padded
        self._lengths = lengths
        self._made: tuple[Any, Array] | None = None
        self.fill = fill
        """What stands behind the end of each row of the padded form; None: anything."""
        self.on_copy = on_copy

    def __len__(self) -> int:
        if self._rows is not None:
            return len(self._rows)
        if self._offsets is not None:
            return len(self._offsets) - 1
        assert self._lengths is not None
        return len(self._lengths)

    def __getitem__(self, index: Any) -> Any:
        """Row `index` as a view; a slice gives a `Ragged` of views."""
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"row {index} of {n}")
        index %= n
        if self._rows is not None:
            return self._rows[index]
        if self._offsets is not None:
            assert self._values is not None
            return self._values[self._offsets[index] : self._offsets[index + 1]]
        assert self._padded is not None
        assert self._lengths is not None
        return self._padded[index, : self._lengths[index]]

    def __iter__(self) -> Iterator[Array]:
        if self._rows is not None:
            return iter(self._rows)
        if self._values is not None:
            assert self._offsets is not None
            values, bounds = self._values, self._offsets.tolist()
            return (values[a:b] for a, b in pairwise(bounds))
        assert self._padded is not None
        assert self._lengths is not None
        return (row[:n] for row, n in zip(self._padded, self._lengths.tolist()))

    def __repr__(self) -> str:
        return f"Ragged({len(self)} rows, {self.dtype})"

    @property
    def dtype(self) -> np.dtype[Any]:
        """dtype of the rows; float64 if there are none to tell."""
        if self._values is not None:
            return self._values.dtype
        if self._padded is not None:
            return self._padded.dtype
        return self._rows[0].dtype if self._rows else np.dtype(np.float64)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows themselves, padding not counted."""
        if self._values is not None:
            return int(self._values.nbytes)
        if self._padded is not None:
            assert self._lengths is not None
            items = int(np.prod(self._padded.shape[2:], dtype=np.int64))
            return int(self._lengths.sum()) * items * self._padded.itemsize
        return sum(int(row.nbytes) for row in self)

    @property
    def is_packed(self) -> bool:
        return self._values is not None

    @property
    def is_padded(self) -> bool:
        return self._padded is not None

    def parts(self) -> Sequence[Any]:
        """The arrays it holds: one, or its rows."""
        if self._values is not None:
            return (self._values,)
        return (self._padded,) if self._padded is not None else self._rows or ()

    def converted(self, convert: Callable[[Any], Any]) -> Ragged:
        """The same form with other arrays in place of those it holds, in the same order and of the same sizes."""
        if self._rows is not None:
            return Ragged([convert(row) for row in self._rows], on_copy=self.on_copy)
        if self._values is not None:
            return Ragged(values=convert(self._values), offsets=self._offsets, on_copy=self.on_copy)
        assert self._padded is not None
        return Ragged(padded=convert(self._padded), lengths=self._lengths, fill=self.fill, on_copy=self.on_copy)

    def shape_of(self, index: int) -> tuple[int, ...]:
        """Shape of row `index`."""
        return tuple(int(n) for n in self[index].shape)

    def lengths(self, axis: int = 0) -> Lengths:
        """Size of each row along `axis`, int64 [rows]."""
        if self._rows is not None:
            sizes = map(len, self._rows) if axis == 0 else (row.shape[axis] for row in self._rows)
            return np.array([*sizes], np.int64)
        if self._values is not None:
            assert self._offsets is not None
            return np.diff(self._offsets) if axis == 0 else np.full(len(self), self._values.shape[axis], np.int64)
        assert self._padded is not None
        assert self._lengths is not None
        return self._lengths if axis == 0 else np.full(len(self), self._padded.shape[axis + 1], np.int64)

    def packed(self) -> tuple[Array, Lengths]:
        """(values, offsets): rows one after the other along axis 0. A copy unless this is the form held.

        ValueError if rows differ in another dim than their first."""
        if self._values is not None:
            assert self._offsets is not None
            return self._values, self._offsets
        lengths = self.lengths()
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        if self._padded is not None:
            return self._unpadded(self._padded, lengths), offsets
        values = _concatenated(self._rows) if self._rows else np.zeros((0,), self.dtype)
        self._copied(values.nbytes)
        return values, offsets

    def padded(self, value: Any = 0, length: int | None = None) -> Array:
        """[rows, length, ...] filled up with `value`; `length` defaults to the longest row.

        A copy unless this padded form is held, or was the last one asked for. Rows that differ in further
        dims are padded there too. ValueError if a row is longer than `length`."""
        if self._padded is not None and self._fits(value, length):
            return self._padded
        if self._made is not None and self._made[0] == (value, length):
            return self._made[1]
        made: Array = self._make_padded(value, length)
        self._made = ((value, length), made)
        return made

    @property
    def padded_form(self) -> Array | None:
        """The padded form, if that is the one held, whatever fills it."""
        return self._padded

    def holds_padded(self, value: Any, length: int | None) -> bool:
        """Whether `padded` would copy nothing."""
        if self._made is not None and self._made[0] == (value, length):
            return True
        return self._padded is not None and self._fits(value, length)

    def cleaned(self, value: Any) -> Ragged:
        """The padded form held, with `value` in its padding: in place where it may be written, else a copy.

        Only for who owns it."""
        assert self._padded is not None
        assert self._lengths is not None
        array, width = self._padded, self._padded.shape[1]
        if not _on_host(array):
            return self._cleaned_on_device(array, value)
        short = [(i, n) for i, n in enumerate(self._lengths.tolist()) if n < width]
        if short and not array.flags.writeable:
            array = array.copy()
            self._copied(array.nbytes)
        for i, n in short:
            array[i, n:] = value
        return Ragged(padded=array, lengths=self._lengths, fill=value, on_copy=self.on_copy)

    def _cleaned_on_device(self, array: Any, value: Any) -> Ragged:
        """`cleaned`, always of a copy: an array on a device does not say whether others read it."""
        assert self._lengths is not None
        if bool((self._lengths < array.shape[1]).any()):
            array = _device_operations().filled_behind(array, self._lengths, value)
            self._copied(array.nbytes)
        return Ragged(padded=array, lengths=self._lengths, fill=value, on_copy=self.on_copy)

    def _fits(self, value: Any, length: int | None) -> bool:
        """Whether the padded form held is of that length and filled with `value`."""
        assert self._padded is not None
        assert self._lengths is not None
        if length is not None and length != self._padded.shape[1]:
            return False
        if self.fill is not None and self.fill == value:
            return True
        return bool((self._lengths == self._padded.shape[1]).all())

    def _make_padded(self, value: Any, length: int | None) -> Any:
        lengths = self.lengths()
        longest = int(lengths.max()) if len(lengths) else 0
        if length is not None and longest > length:
            raise ValueError(f"a row has {longest} items, more than {length}")
        width = longest if length is None else length
        if self._is_flat(lengths):
            return self._filled(self.packed()[0], lengths, width, value)
        return self._filled_by_row(width, value)

    def take(self, indices: Sequence[int]) -> Ragged:
        """The rows at `indices`, as views. A plain range keeps the form held."""
        if isinstance(indices, range) and indices.step == 1 and self._rows is None:
            return self._cut(indices.start, max(indices.stop, indices.start))
        return Ragged([self[i] for i in indices], on_copy=self.on_copy)

    def _cut(self, start: int, stop: int) -> Ragged:
        if self._values is not None:
            assert self._offsets is not None
            bounds = self._offsets[start : stop + 1]
            values = self._values[bounds[0] : bounds[-1]]
            return Ragged(values=values, offsets=bounds - bounds[0], on_copy=self.on_copy)
        assert self._padded is not None
        assert self._lengths is not None
        return Ragged(
            padded=self._padded[start:stop], lengths=self._lengths[start:stop], fill=self.fill, on_copy=self.on_copy
        )

    def _is_flat(self, lengths: Lengths) -> bool:
        """Whether padding goes through the packed form: always where rows are not held one by one, else for short
        rows that vary in their first dim only."""
        if self._rows is None:
            return True
        if not self._rows or self._rows[0].ndim == 0:
            return False
        first = self._rows[0]
        if not _on_host(first):
            return len({row.shape[1:] for row in self._rows}) == 1
        size = first[:1].nbytes * int(lengths.sum())
        if size >= SHORT_ROW * len(lengths):
            return False
        return first.ndim == 1 or len({row.shape[1:] for row in self._rows}) == 1

    def _unpadded(self, padded: Any, lengths: Lengths) -> Any:
        width = padded.shape[1]
        if _is_contiguous(padded) and bool((lengths == width).all()):
            return padded.reshape(-1, *padded.shape[2:])
        if isinstance(padded, np.ndarray):
            values = padded[np.arange(width) < lengths[:, None]]
        else:
            values = _device_operations().packed(padded, lengths)
        self._copied(values.nbytes)
        return values

    def _filled(self, values: Any, lengths: Lengths, width: int, value: Any) -> Any:
        shape = (len(lengths), width, *values.shape[1:])
        if _is_contiguous(values) and bool((lengths == width).all()):
            return values.reshape(shape)
        if isinstance(values, np.ndarray):
            out = np.full(shape, value, dtype=values.dtype)
            out[np.arange(width) < lengths[:, None]] = values
        else:
            out = _device_operations().padded(values, lengths, width, value)
        self._copied(out.nbytes)
        return out

    def _filled_by_row(self, width: int, value: Any) -> Any:
        rows: list[Any] = list(self)
        rank = rows[0].ndim if rows else 1
        rest = [max(row.shape[axis] for row in rows) for axis in range(1, rank)]
        if rows and not isinstance(rows[0], np.ndarray):
            out = _device_operations().in_corners(rows, (width, *rest), value, self.dtype)
        else:
            out = np.full((len(rows), width, *rest), value, dtype=self.dtype)
            for i, row in enumerate(rows):
                place: tuple[int | slice, ...] = (i, *map(slice, row.shape))
                out[place] = row
        self._copied(out.nbytes)
        return out

    def _copied(self, size: int) -> None:
        if self.on_copy is not None:
            self.on_copy(size)


def _concatenated(rows: Sequence[Any]) -> Any:
    return np.concatenate(rows) if isinstance(rows[0], np.ndarray) else _device_operations().concatenate(rows)


def _on_host(array: Any) -> bool:
    return isinstance(array, np.ndarray)


def _is_contiguous(array: Any) -> bool:
    return bool(array.flags.c_contiguous if isinstance(array, np.ndarray) else array.contiguous)


def _device_operations() -> Any:
    """What computes on arrays of an accelerator; imported when there are some, since it builds on this module."""
    from .device import ops

    return ops


Value = Any
"""What a port holds: ndarray (on an accelerator `device.DeviceArray`), `Ragged`, or a Python value for rank 0
(LANGUAGE §7)."""
