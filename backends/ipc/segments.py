"""Shared memory between two processes: anonymous segments that one side writes and the other only reads.

    Arena (writer) --descriptor, once--> Attached (reader)
    Arena <--regions whose last array died-- Attached

A segment is a memfd: it has no name, is in no file system, and is gone with the last process that maps it. It is sealed
against a change of size and against new writable mappings, so a reader can neither be made to crash by a shrink nor
write. Arrays come from `np.frombuffer`, which keeps the mapping alive as long as any array on it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import weakref
from collections import deque
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
"""Regions start at multiples of a cache line."""

SMALLEST = 1 << 20
"""Bytes of the smallest segment."""

KEPT = 256 << 20
"""Bytes an arena keeps for reuse; idle segments beyond them are dropped."""

_SEAL_FUTURE_WRITE = 0x10  # fcntl names it from Python 3.13 on
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW

Bytes = NDArray[np.uint8]


class Region(msgspec.Struct, array_like=True, frozen=True):
    """`size` bytes at `offset` of a segment."""

    segment: int
    offset: int
    size: int


class Opened(msgspec.Struct, array_like=True, frozen=True):
    """A new segment; its descriptor travels beside the message, in the same order."""

    segment: int
    size: int


class SegmentError(Exception):
    """The other side named a segment or region that does not exist."""


class _Segment:
    """One mapping of the writer and the gaps in it, sorted by offset."""

    __slots__ = ("gaps", "memory", "size", "used")

    def __init__(self, memory: mmap.mmap, size: int) -> None:
        self.memory = memory
        self.size = size
        self.used = 0
        self.gaps: list[tuple[int, int]] = [(0, size)]

    def take(self, size: int) -> int | None:
        """Offset of `size` bytes in the first gap that is long enough."""
        for i, (offset, length) in enumerate(self.gaps):
            if length >= size:
                self.gaps[i : i + 1] = [(offset + size, length - size)] if length > size else []
                self.used += size
                return offset
        return None

    def give(self, offset: int, size: int) -> None:
        """Make the bytes a gap again, joined with its neighbours."""
        self.used -= size
        i = next((i for i, gap in enumerate(self.gaps) if gap[0] > offset), len(self.gaps))
        if i < len(self.gaps) and offset + size == self.gaps[i][0]:
            size += self.gaps.pop(i)[1]
        if i and sum(self.gaps[i - 1]) == offset:
            i -= 1
            before = self.gaps.pop(i)
            offset, size = before[0], before[1] + size
        self.gaps.insert(i, (offset, size))


class Arena:
    """The writer's segments. Grows by new segments, never waits. One thread at a time."""

    def __init__(self) -> None:
        self._segments: dict[int, _Segment] = {}
        self._taken: dict[tuple[int, int], int] = {}
        self._opened: list[tuple[Opened, int]] = []
        self._dropped: list[int] = []
        self._next = 0

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self._segments.values())

    @property
    def taken(self) -> int:
        """Regions in use."""
        return len(self._taken)

    def reserve(self, size: int) -> tuple[Region, Bytes]:
        """A region of `size` > 0 bytes and the array to write it through. OSError if the system has no memory."""
        rounded = -(-size // ALIGNMENT) * ALIGNMENT
        for key, segment in self._segments.items():
            offset = segment.take(rounded)
            if offset is not None:
                return self._take(key, offset, size, rounded)
        key = self._open(rounded)
        offset = self._segments[key].take(rounded)
        assert offset is not None
        return self._take(key, offset, size, rounded)

    def _take(self, key: int, offset: int, size: int, rounded: int) -> tuple[Region, Bytes]:
        self._taken[key, offset] = rounded
        return Region(key, offset, size), np.frombuffer(self._segments[key].memory, np.uint8, size, offset)

    def release(self, region: Region) -> None:
        """Take a region back; nothing may read it any more. SegmentError if it is not taken."""
        rounded = self._taken.pop((region.segment, region.offset), None)
        if rounded is None:
            raise SegmentError("a region was returned that is not in use")
        self._segments[region.segment].give(region.offset, rounded)

    def news(self) -> tuple[list[Opened], list[int], list[int]]:
        """(new segments, segments dropped, descriptors of the new ones) since the last call; whoever sends the
        descriptors closes them."""
        self._trim()
        opened, dropped = self._opened, self._dropped
        self._opened, self._dropped = [], []
        return [o for o, _ in opened], dropped, [fd for _, fd in opened]

    def close(self) -> None:
        """Forget all segments; memory that arrays still show goes with them."""
        for _, fd in self._opened:
            os.close(fd)
        self._opened.clear()
        self._segments.clear()
        self._taken.clear()

    def _open(self, size: int) -> int:
        """A new segment that doubles the arena, so that their number stays small; what is idle was too small."""
        self._drop([key for key, segment in self._segments.items() if not segment.used])
        length = max(SMALLEST, 1 << (size - 1).bit_length(), min(self.size, KEPT))
        fd = os.memfd_create("pipectl", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, length)
            memory = mmap.mmap(fd, length)
            _seal(fd)
        except BaseException:
            os.close(fd)
            raise
        key = self._next
        self._next += 1
        self._segments[key] = _Segment(memory, length)
        self._opened.append((Opened(key, length), fd))
        return key

    def _trim(self) -> None:
        idle = [key for key, segment in self._segments.items() if not segment.used]
        while idle and self.size > KEPT:
            self._drop([idle.pop()])

    def _drop(self, keys: list[int]) -> None:
        """Forget idle segments; one that was never announced needs no word to the reader."""
        for key in keys:
            del self._segments[key]
            unsent = next((entry for entry in self._opened if entry[0].segment == key), None)
            if unsent is None:
                self._dropped.append(key)
            else:
                self._opened.remove(unsent)
                os.close(unsent[1])


def _seal(fd: int) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS | _SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL)
    except OSError:  # kernels before 5.1 do not know FUTURE_WRITE
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)


class Attached:
    """The reader's mappings of an arena of the other process.

    It collects the regions whose last array died, on whatever thread that happens, to be sent with the next message.
    """

    def __init__(self, tracks: bool = True) -> None:
        """`tracks` False: the writer knows by itself when regions are free."""
        self._maps: dict[int, mmap.mmap] = {}
        self._tracks = tracks
        self._freed: deque[Region] = deque()
        self._handed = 0
        """Regions that were read and not yet taken as freed."""

    @property
    def freed(self) -> int:
        """Regions that wait to be taken by `take_freed`."""
        return len(self._freed)

    @property
    def held(self) -> int:
        """Regions that arrays still show."""
        return self._handed - len(self._freed)

    def attach(self, opened: list[Opened], fds: list[int]) -> None:
        """Map new segments and close their descriptors. SegmentError if one is not what it is said to be."""
        try:
            if len(opened) != len(fds):
                raise SegmentError(f"{len(opened)} segments were announced, {len(fds)} came")
            for segment, fd in zip(opened, fds):
                if not fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
                    raise SegmentError("a segment is not sealed")
                if os.fstat(fd).st_size != segment.size:
                    raise SegmentError("a segment has another size than announced")
                self._maps[segment.segment] = mmap.mmap(fd, segment.size, prot=mmap.PROT_READ)
        finally:
            for fd in fds:
                os.close(fd)

    def detach(self, dropped: list[int]) -> None:
        """Forget segments; arrays on them stay valid and keep their memory."""
        for segment in dropped:
            self._maps.pop(segment, None)

    def read(self, region: Region) -> Bytes:
        """The bytes of a region, read-only, [size]. Its region is freed when the last array on them dies."""
        memory = self._maps.get(region.segment)
        if memory is None or region.offset < 0 or region.size <= 0 or region.offset + region.size > len(memory):
            raise SegmentError("a region lies outside its segment")
        array: Bytes = np.frombuffer(memory, np.uint8, region.size, region.offset)
        if self._tracks:
            finalizer: Any = weakref.finalize(array, self._freed.append, region)
            finalizer.atexit = False
            self._handed += 1
        return array

    def take_freed(self) -> list[Region]:
        """The regions freed since the last call."""
        taken = []
        while self._freed:
            taken.append(self._freed.popleft())
        self._handed -= len(taken)
        return taken

    def close(self) -> None:
        """Forget all mappings; arrays on them stay valid."""
        self._maps.clear()
