"""Those that wait before a door: callers in turn, the requests of each in the order they came.

    add(a1) add(a2) add(a3) add(b1) -> a1 b1 a2 a3

A caller is any text that says who asks; "" is one caller too. One that sends a thousand requests waits for them itself:
another's request is behind one of each caller at most. Not thread-safe, as its door.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .request import Request


class Line:
    """Requests in turn by caller. Callers without one take no place."""

    __slots__ = ("_count", "_queues")

    def __init__(self) -> None:
        self._queues: OrderedDict[str, OrderedDict[Request, None]] = OrderedDict()
        """By caller; the one whose turn it is first."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, request: Request) -> bool:
        return request in self._queues.get(request.caller, ())

    def __iter__(self) -> Iterator[Request]:
        """All of them, caller by caller."""
        return (request for queue in self._queues.values() for request in queue)

    def add(self, request: Request) -> None:
        """Behind the others of its caller; a caller that has none is the last whose turn it is."""
        self._queues.setdefault(request.caller, OrderedDict())[request] = None
        self._count += 1

    def discard(self, request: Request) -> None:
        """It waits no more; nothing happens if it did not."""
        queue = self._queues.get(request.caller)
        if queue is None or request not in queue:
            return
        del queue[request]
        self._count -= 1
        if not queue:
            del self._queues[request.caller]

    def first(self) -> Request:
        """Whose turn it is. Only of a line that has some."""
        return next(iter(next(iter(self._queues.values()))))

    def pop(self) -> Request:
        """Take out `first`; its caller has the next turn after all others."""
        request = self.first()
        self._queues.move_to_end(request.caller)
        self.discard(request)
        return request

    def yielding(self, caller: str) -> Request | None:
        """Who makes room in a line that is full: the newest request of the caller that has most, if it has at least
        two more than this one. Both have as many then, or the other still has more."""
        own = len(self._queues.get(caller, ()))
        if self._count - own < own + 2:  # nobody can have so many: what most refusals of a flood cost
            return None
        longest = max(self._queues.values(), key=len)
        if len(longest) < own + 2:
            return None
        return next(reversed(longest))
