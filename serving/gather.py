"""Requests that come thick and fast enter the engine together.

What entering, every hand-over between threads and waking the event loop again cost is paid for a cohort, not for a
request. How many callers there are shows in how many requests were lately under way at once: with N of them a request
takes N times what the event loop needs for one, and a part of that it may wait for the others. So a lone caller never
waits, a few hardly do, and nobody does where requests come more slowly than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PER_CALLER = 1e-4
"""Seconds a request may wait for each of the callers: well below what one costs the event loop."""
FEW = 3
"""Callers from which on a request waits for the next one at least."""
NEXT = 1.5
"""Gaps until the next one, with some to spare. How many callers there are shows only when some are kept waiting."""
LONGEST = 3e-3
"""Seconds a request may wait at most."""
WEIGHT = 0.1
"""Of the newest gap between two requests in their mean."""
FORGET = 0.01
"""Share by which the number of callers falls with each request that finds fewer."""


class Gather:
    """When the requests of one event loop enter one engine: at the end of this turn, or some turns later."""

    __slots__ = ("_callers", "_gap", "_last")

    def __init__(self) -> None:
        self._gap = 1.0
        """Mean seconds between requests."""
        self._last = 0.0
        self._callers = 0.0
        """The most that were under way at once, lately."""

    def arrived(self, now: float, under_way: int) -> None:
        """A request came at `now`, by the loop's clock; it is one of `under_way`."""
        self._gap += WEIGHT * (min(now - self._last, 1.0) - self._gap)
        self._last = now
        self._callers = max(under_way, self._callers - FORGET * (self._callers - under_way))

    def wait(self) -> float:
        """Seconds that the first of the next ones shall wait for company; 0: enter at the end of this turn."""
        if self._callers < 2:
            return 0.0
        found = PER_CALLER * self._callers
        if self._callers >= FEW:
            found = max(found, NEXT * self._gap)
        found = min(LONGEST, found)
        return found if self._gap < found else 0.0

    def schedule(self, loop: asyncio.AbstractEventLoop, enter: Callable[[asyncio.AbstractEventLoop], None]) -> None:
        """Call `enter` when those that have come by then shall enter. The engine asks for the first one of them."""
        wait = self.wait()
        if wait:
            loop.call_later(wait, enter, loop)
        else:
            loop.call_soon(enter, loop)
