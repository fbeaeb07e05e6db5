"""Page-locked host memory in slabs of a power of two bytes, which go back to their class when nothing refers to them.

Page-locking takes long, waits for the device and breaks a capture, so slabs are never given back to the system but by
`trim`, and the small classes have some before the first request.
"""

from __future__ import annotations

import threading
from typing import Any

SMALLEST, PREPARED = 12, 20
"""Classes from 4 KiB on; those up to 1 MiB have slabs from the start."""
AT_START = 2
"""Slabs of each of them."""


class Slab:
    """What a buffer is part of: `ptr` and `size` as CuPy's pointers read them."""

    __slots__ = ("_home", "_root", "ptr", "size")

    def __init__(self, root: Any, nbytes: int, home: list[Any]) -> None:
        self.ptr = root.ptr
        self.size = nbytes
        self._root = root
        self._home = home

    def __del__(self) -> None:
        self._home.append(self._root)


class Pinned:
    """Slabs that copies of every device may use."""

    def __init__(self, cupy: Any, prepare: bool = True) -> None:
        self._cupy = cupy
        self._idle: dict[int, list[Any]] = {}
        self._lock = threading.Lock()
        self.made = 0
        """Slabs so far."""
        if prepare:
            for power in range(SMALLEST, PREPARED + 1):
                self._idle[power] = [self._new(power) for _ in range(AT_START)]

    def take(self, nbytes: int, capturing: bool = False) -> Any:
        """A buffer of that many bytes. `capturing`: the calling thread writes a graph down. MemoryError where the
        system has no more page-locked memory."""
        power = max(SMALLEST, (nbytes - 1).bit_length())
        with self._lock:
            home = self._idle.setdefault(power, [])
        try:
            root = home.pop()
        except IndexError:
            if capturing:
                raise RuntimeError(
                    f"{nbytes:,} bytes of page-locked memory were asked for while a graph is captured, and none of that"
                    " size is idle: copies to and from the host belong before and behind it"
                ) from None
            root = self._new_or_trimmed(power)
        return self._cupy.cuda.PinnedMemoryPointer(Slab(root, nbytes, home), 0)

    def trim(self) -> None:
        """Give back what nobody uses."""
        for home in list(self._idle.values()):
            home.clear()

    def _new_or_trimmed(self, power: int) -> Any:
        try:
            return self._new(power)
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            if error.status != 2:
                raise
        self.trim()
        return self._new(power)

    def _new(self, power: int) -> Any:
        self.made += 1
        return self._cupy.cuda.PinnedMemory(1 << power, self._cupy.cuda.runtime.hostAllocPortable)
