"""One thread that sees work of devices end, and says so.

Events of one stream pass in order, those of several in any. While all that is watched is on one stream the thread
sleeps in the driver; else it looks at all of them again and again, at growing intervals. What was watched first is told
first among all that have passed, and whatever something depends on has been told before it: an answer is complete when
it is given.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from backends.device import Event

_log = logging.getLogger("pipectl")

Then = Callable[[Exception | None], None]
"""Called when an event has passed, or with what the work before it failed with. Short, and does not raise."""

Watched = tuple[Event, Then]

SHORTEST, LONGEST = 20e-6, 1e-3
"""Seconds between two looks."""


class Reaper:
    """Watches events. `watch` may be called from any thread."""

    def __init__(self) -> None:
        self._coming: SimpleQueue[Watched | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="pipectl-reaper", daemon=True)
        self._thread.start()

    def watch(self, event: Event, then: Then) -> None:
        """Call `then` once the event has passed."""
        self._coming.put((event, then))

    def stop(self, timeout: float) -> bool:
        """End the thread once all that is watched has passed; False if something still has not after `timeout`."""
        self._coming.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        watched: list[Watched] = []
        pause = SHORTEST
        going = True
        while going or watched:
            going = self._take(watched, None if not watched else pause if going else 0) and going
            if not watched:
                continue
            if len({event.stream for event, _ in watched}) == 1:
                _sleep(watched[0][0])
            pause = SHORTEST if _tell(_passed(watched)) else min(2 * pause, LONGEST)

    def _take(self, watched: list[Watched], pause: float | None) -> bool:
        """What has come meanwhile, waiting for it as long as `pause` says (None: for ever); False at the end."""
        try:
            coming = self._coming.get(timeout=pause) if pause != 0 else self._coming.get_nowait()
            while True:
                if coming is None:
                    return False
                watched.append(coming)
                coming = self._coming.get_nowait()
        except Empty:
            return True


def _tell(found: list[tuple[Then, Exception | None]]) -> int:
    """Call what waited; how many. A function: what they hold must not stay with a thread that waits."""
    for then, error in found:
        try:
            then(error)
        except Exception:  # ours: what else has ended must be told
            _log.exception("what follows the end of work on a device raised")
    return len(found)


def _sleep(event: Event) -> None:
    """Wait in the driver."""
    try:
        event.synchronize()
    except Exception:  # the look that follows finds out
        return


def _passed(watched: list[Watched]) -> list[tuple[Then, Exception | None]]:
    """Take out what has passed, in the order it came. The last is looked at first: if it has passed, so has all that it
    depends on when that is looked at."""
    found: list[tuple[Then, Exception | None]] = []
    left: list[Watched] = []
    for event, then in reversed(watched):
        try:
            (found.append((then, None)) if event.ready() else left.append((event, then)))
        except Exception as error:
            found.append((then, error))
    watched[:] = left[::-1]
    return found[::-1]
