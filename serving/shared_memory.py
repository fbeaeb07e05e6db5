"""System shared memory that clients register: regions by name, mapped once, checked again at every use.

    register --map--> Region --lease--> view for one request --release--> (unmapped once unregistered and unused)

Off unless the server allows it. A region belongs to who registered it. Only memory of this server's own user that
nobody else may write is taken: whoever shrinks a mapped file stops its readers, and that user could do so anyway.
"""

from __future__ import annotations

import mmap
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from .catalog import shown
from .errors import AlreadyExists, InvalidArgument, NotFound, Unavailable

SHM = Path("/dev/shm")
MAX_REGIONS = 1024
"""Regions that may be registered at a time."""


@dataclass(frozen=True, slots=True)
class RegionInfo:
    """A region as the status lists it."""

    name: str
    key: str
    offset: int
    byte_size: int


class Region:
    """Mapped memory. Unmapped once it was closed and no request uses it."""

    __slots__ = ("_closed", "_fd", "_map", "_users", "info")

    def __init__(self, info: RegionInfo, fd: int) -> None:
        """Takes over the descriptor."""
        self.info = info
        self._fd = fd
        self._map: mmap.mmap | None = mmap.mmap(fd, info.offset + info.byte_size)
        self._users = 0
        self._closed = False

    def take(self, offset: int, size: int, place: str) -> memoryview:
        """`size` bytes for one user. InvalidArgument if they do not lie in the region, or it has shrunk."""
        info = self.info
        if offset < 0 or size < 0 or offset + size > info.byte_size:
            raise InvalidArgument(
                f"{place}: bytes {offset} to {offset + size} are not in region `{info.name}` of {info.byte_size} bytes"
            )
        if os.fstat(self._fd).st_size < info.offset + info.byte_size:
            raise InvalidArgument(f"{place}: the memory of region `{info.name}` is smaller than it was registered")
        assert self._map is not None
        self._users += 1
        start = info.offset + offset
        return memoryview(self._map)[start : start + size]

    def leave(self) -> None:
        """One user less."""
        self._users -= 1
        if self._closed and not self._users:
            self._unmap()

    def close(self) -> None:
        """Unmap it as soon as nobody uses it."""
        if not self._closed:
            self._closed = True
            if not self._users:
                self._unmap()

    def _unmap(self) -> None:
        os.close(self._fd)
        found, self._map = self._map, None
        try:
            if found is not None:
                found.close()
        except BufferError:
            pass  # an answer still holds a view: the memory goes with it


class Lease:
    """The views that one request holds."""

    __slots__ = ("_memory", "_owner", "_regions")

    def __init__(self, memory: SharedMemory, owner: str) -> None:
        self._memory = memory
        self._owner = owner
        self._regions: list[Region] = []

    def view(self, region: str, offset: int, size: int, place: str) -> memoryview:
        """Bytes of a region. NotFound, or InvalidArgument with `place` in front."""
        found = self._memory.find(self._owner, region, place)
        view = found.take(offset, size, place)
        self._regions.append(found)
        return view

    def release(self) -> None:
        for region in self._regions:
            region.leave()
        self._regions.clear()


class SharedMemory:
    """All regions of a server, by owner and name."""

    def __init__(self, *, enabled: bool, folder: Path = SHM) -> None:
        self._enabled = enabled
        self._folder = folder
        self._regions: dict[tuple[str, str], Region] = {}

    def lease(self, owner: str) -> Lease:
        """For one request of that caller."""
        self._allowed()
        return Lease(self, owner)

    def register(self, owner: str, name: str, key: str, offset: int, size: int) -> None:
        """Map a region. InvalidArgument for a key or a size that is not good, AlreadyExists for a name in use."""
        self._allowed()
        if not name or len(name) > 256 or not name.isprintable():
            raise InvalidArgument(f"region `{shown(name)}`: a name has 1 to 256 printable characters")
        if (owner, name) in self._regions:
            raise AlreadyExists(f"region `{name}` is registered already")
        if len(self._regions) >= MAX_REGIONS:
            raise InvalidArgument(f"region `{name}`: {MAX_REGIONS} regions are registered, the most there may be")
        if offset < 0 or size < 1 or offset + size > 2**48:
            raise InvalidArgument(f"region `{name}`: offset {offset} and size {size} make no region")
        info = RegionInfo(name, key, offset, size)
        fd = self._open(info)
        try:
            self._regions[owner, name] = Region(info, fd)
        except (OSError, ValueError) as error:
            os.close(fd)
            raise InvalidArgument(f"region `{name}`: it can not be mapped: {error}") from None

    def _open(self, info: RegionInfo) -> int:
        place = f"region `{info.name}`: key `{shown(info.key)}`"
        key = info.key.removeprefix("/")
        if not key or "/" in key or key in (".", "..") or len(key) > 250 or not key.isprintable():
            raise InvalidArgument(f"{place} is no name of shared memory")
        try:
            fd = os.open(self._folder / key, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise InvalidArgument(f"{place} can not be opened: {error.strerror}") from None
        found = os.fstat(fd)
        problem = ""
        if not stat.S_ISREG(found.st_mode):
            problem = "is no shared memory"
        elif found.st_uid != os.geteuid() or found.st_mode & 0o022:
            problem = "belongs to another user, or others may write it"
        elif found.st_size < info.offset + info.byte_size:
            problem = f"has {found.st_size} bytes, {info.offset + info.byte_size} are registered"
        if problem:
            os.close(fd)
            raise InvalidArgument(f"{place} {problem}")
        return fd

    def find(self, owner: str, name: str, place: str) -> Region:
        """NotFound with `place` in front if the caller has none of that name."""
        found = self._regions.get((owner, name))
        if found is None:
            raise NotFound(f"{place}: there is no region `{shown(name)}` of shared memory")
        return found

    def status(self, owner: str, name: str = "") -> list[RegionInfo]:
        """The caller's own regions; NotFound for a name it has not."""
        self._allowed()
        if name:
            return [self.find(owner, name, "status").info]
        return [region.info for (of, _), region in self._regions.items() if of == owner]

    def unregister(self, owner: str, name: str = "") -> None:
        """Forget one of the caller's regions, or all; requests that use one keep it until they end."""
        self._allowed()
        for key in [k for k in self._regions if k[0] == owner and name in ("", k[1])]:
            self._regions.pop(key).close()

    def close(self) -> None:
        """Forget all regions of everybody."""
        for region in self._regions.values():
            region.close()
        self._regions.clear()

    def _allowed(self) -> None:
        if not self._enabled:
            raise Unavailable("shared memory is off; start the server with --allow-client-shm")
