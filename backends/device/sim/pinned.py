"""Pinned host memory: slabs that are given out again as soon as nothing refers to them, the last one returned first."""

from __future__ import annotations

import ctypes
import weakref
from bisect import bisect_right, insort
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.values import Array

from .errors import RaceError
from .memory import Chunk, Life

if TYPE_CHECKING:
    from .simulation import Simulation


Lease = Any
"""The bytes of a slab that is in use, with the buffer protocol: alive as long as an array over them is."""


class Slabs:
    """The pool of one process."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._free: list[Chunk] = []
        """The one returned last behind."""
        self._starts: list[int] = []
        """Addresses of all there are, sorted."""
        self._at: dict[int, Life] = {}
        """The latest life of the slab at an address."""
        self._leases: dict[int, weakref.ref[Any]] = {}
        self.made = 0

    @property
    def lives(self) -> list[Life]:
        """Those in use."""
        return [life for life in self._at.values() if not life.freed]

    def take(self, nbytes: int) -> Lease:
        """A slab of at least that many bytes, its content undefined."""
        chunk = next((c for c in reversed(self._free) if c.capacity >= nbytes), None)
        if chunk is not None:
            self._free.remove(chunk)
        else:
            chunk = Chunk(nbytes)
            self.made += 1
            insort(self._starts, chunk.start)
        life = Life("pinned host memory", chunk, nbytes, None, self._simulation.number_of_life(), written=True)
        self._at[chunk.start] = life
        lease = (ctypes.c_ubyte * nbytes).from_buffer(chunk.actual.data)
        self._leases[chunk.start] = weakref.ref(lease, lambda _: self._returned(life))
        return lease

    def _returned(self, life: Life) -> None:
        """Nothing refers to a slab any more."""
        simulation = self._simulation
        with simulation.lock:
            use = life.unordered(simulation.host)
            if use is not None and not simulation.lost:
                simulation.found(
                    RaceError(
                        f"{life} was returned to its pool while the host does not know that {use} has ended; "
                        "keep a slab until the event behind its copy has passed"
                    )
                )
            life.free("the host")
            if use is None:
                life.chunk.used = {}
            if life.pending:
                life.poison()  # the next one who gets it writes to it at once
            self._free.append(life.chunk)

    def of(self, array: Array) -> tuple[Life, int, int] | None:
        """The slab that an array lies in, with its first byte there and the one behind its last; None for others."""
        if not array.size:
            return None
        low, high = np.lib.array_utils.byte_bounds(array)
        index = bisect_right(self._starts, low) - 1
        if index < 0:
            return None
        life = self._at[self._starts[index]]
        start = life.chunk.start
        return (life, low - start, high - start) if high <= start + life.chunk.capacity else None


def over(life: Life, array: Array, low: int) -> tuple[Array, Array]:
    """The (actual, ideal) bytes that an array over a slab covers, without keeping the slab in use."""
    made = [
        np.ndarray(array.shape, array.dtype, plane, low if all(s >= 0 for s in array.strides) else 0, array.strides)
        for plane in (life.chunk.actual, life.chunk.ideal)
    ]
    return made[0], made[1]


def expected(life: Life, array: Array, low: int, high: int) -> Array:
    """What an array over a slab is to hold once the copies to it that were issued have run."""
    value = np.array(array)
    pending = [s for s in life.segments if s.writer is not None and not s.writer.done and s.low < high and low < s.high]
    if pending and value.flags.c_contiguous and array.flags.c_contiguous:
        raw = value.reshape(-1).view(np.uint8)
        for s in pending:
            a, b = max(s.low, low), min(s.high, high)
            raw[a - low : b - low] = life.chunk.ideal[a:b]
    return value
