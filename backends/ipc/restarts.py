"""When a process that died is started again: back-off and breaker. Pure; the caller brings the time.

A death counts against the stage only until one of its processes answers a batch: a kill from outside is followed by a
short back-off however often it happens, a stage that dies on every batch runs into the breaker.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class RestartPolicy:
    """Deaths in a row, without an answered batch between them. Times are monotonic seconds."""

    first: float = 0.1
    """Back-off after the first death; doubles with each further one."""
    longest: float = 10.0
    """Longest back-off, and the pause of an open breaker."""
    limit: int = 5
    """So many deaths within `window` open the breaker."""
    window: float = 30.0
    _deaths: list[float] = field(default_factory=list)
    _open: bool = False

    @property
    def is_open(self) -> bool:
        """Open until a batch is answered; the process is tried again after each pause."""
        return self._open

    @property
    def deaths(self) -> int:
        """Deaths that count now."""
        return len(self._deaths)

    def died(self, now: float) -> float:
        """Record a death; the seconds to wait before the next start."""
        self._deaths = [t for t in self._deaths if now - t < self.window]
        self._deaths.append(now)
        self._open = self._open or len(self._deaths) >= self.limit
        if self._open:
            return self.longest
        return min(self.first * 2.0 ** (len(self._deaths) - 1), self.longest)

    def answered(self) -> None:
        """A batch was answered: the stage works."""
        if self._deaths:
            self._deaths.clear()
            self._open = False
