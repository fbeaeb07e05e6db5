"""The memory of one simulated device: a free list for each stream, the last one freed given out first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import RaceError
from .memory import REUSE, Chunk, Life

if TYPE_CHECKING:
    from .driver import SimDriver
    from .queue import SimStream


class Pool:
    """Memory that is freed may be used by later work on the same stream at once, and by no other before a trim."""

    def __init__(self, driver: SimDriver) -> None:
        self._driver = driver
        self._free: dict[int, list[Chunk]] = {}
        """Of each stream, the one freed last behind."""
        self.nbytes = 0
        """Of all chunks, free ones included."""
        self.peak = 0
        self.lives: dict[Life, None] = {}
        """Memory that is given out."""
        self.allocations = 0
        """So far, failed ones included."""
        self.reused = 0
        self.fail = range(0)
        """Numbers of allocations that find no memory; 0 is the first one."""

    def allocate(self, nbytes: int, stream: SimStream) -> Life:
        """Memory for work on `stream`. MemoryError over the size of the device."""
        number, self.allocations = self.allocations, self.allocations + 1
        if number in self.fail:
            raise MemoryError(f"{self._driver.name}: allocation {number} is set to fail")
        chunk = self._take(nbytes, stream.number)
        if chunk is None:
            chunk = Chunk(nbytes)
            total = self._driver.simulation.settings.memory
            if self.nbytes + chunk.capacity > total:
                raise MemoryError(f"{self._driver.name}: {nbytes} bytes are wanted, {self.nbytes} of {total} are taken")
            self.nbytes += chunk.capacity
            self.peak = max(self.peak, self.nbytes)
        life = Life(self._driver.name, chunk, nbytes, stream, self._driver.simulation.number_of_life())
        self.lives[life] = None
        return life

    def _take(self, nbytes: int, stream: int) -> Chunk | None:
        free = self._free.get(stream)
        if free:
            for i in range(len(free) - 1, -1, -1):
                if nbytes <= free[i].capacity <= max(nbytes, 1) * REUSE + 256:
                    self.reused += 1
                    return free.pop(i)
        return None

    def free(self, life: Life, stream: SimStream) -> None:
        """Give memory back to the pool of a stream. RaceError if the stream is not behind each use of it."""
        simulation = self._driver.simulation
        if life.freed:
            raise simulation.found(RaceError(f"{life} is freed twice, by {life.freed} and by {stream}"))
        use = life.unordered(stream.clock)
        del self.lives[life]
        life.free(f"{stream}")
        self._free.setdefault(stream.number, []).append(life.chunk)
        if use is not None:
            raise simulation.found(
                RaceError(f"{life} is freed on {stream}, which is not behind {use}; wait for its event first")
            )

    def forget(self, life: Life) -> None:
        """Memory of a device that is lost."""
        self.lives.pop(life, None)

    def trim(self) -> None:
        """Run everything, and give back what is free."""
        self._driver.simulation.run_all()
        self.nbytes -= sum(chunk.capacity for free in self._free.values() for chunk in free)
        self._free.clear()
