"""Requests that come thick and fast enter the engine together.

What entering, every hand-over between threads and waking the event loop again cost is paid for a cohort, not for a
request. Requests wait only where company is to be expected: others are under way, or were beside the last one, and
they come in less time than the wait. The more are under way, the longer one more may wait: by then each waits for the
others anyway. A lone caller never waits, nor does anybody of a slow pipeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PER_REQUEST = 1e-4
"""Seconds a request may wait for each one that is under way."""
LONGEST = 2e-3
"""Seconds a request may wait at most."""
WEIGHT = 0.1
"""Of the newest gap between two requests in their mean."""


class Gather:
    """When the requests of one event loop enter one engine: at the end of this turn, or some turns later."""

    __slots__ = ("_before", "_gap", "_last", "_size", "_under_way")

    def __init__(self) -> None:
        self._gap = 1.0
        """Mean seconds between requests."""
        self._last = 0.0
        self._size = 0
        """How many have come since the last ones entered."""
        self._before = 0
        """How many of those entered together."""
        self._under_way = 0

    def arrived(self, now: float, under_way: int) -> None:
        """A request came at `now`, by the loop's clock; it is one of `under_way`."""
        self._gap += WEIGHT * (min(now - self._last, 1.0) - self._gap)
        self._last = now
        self._size += 1
        self._under_way = under_way

    def wait(self) -> float:
        """Seconds that the first of the next ones shall wait for company; 0: enter at the end of this turn."""
        if self._under_way < 2 and self._before < 2:
            return 0.0
        longest = min(LONGEST, PER_REQUEST * max(self._under_way, self._before))
        return longest if self._gap < longest else 0.0

    def schedule(self, loop: asyncio.AbstractEventLoop, enter: Callable[[asyncio.AbstractEventLoop], None]) -> None:
        """Call `enter` when those that have come by then shall enter. The engine asks for the first one of them."""
        wait = self.wait()
        if wait:
            loop.call_later(wait, self._let_in, loop, enter)
        else:
            loop.call_soon(self._let_in, loop, enter)

    def _let_in(self, loop: asyncio.AbstractEventLoop, enter: Callable[[asyncio.AbstractEventLoop], None]) -> None:
        self._before, self._size = self._size, 0
        enter(loop)
