"""The door of a pipeline: how many requests may be inside, and the bounded line before it.

Only the door waits or refuses; nothing inside ever does. Callers come out of the line in turn, and where it is full the
one with most requests makes room for others (`line.py`). Counts are those of the containers. Not thread-safe: the
engine calls it with its lock held.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline_dsl.plan import AdmissionPolicy

from .errors import Overloaded, RequestError
from .line import Line
from .rate import Rate
from .request import Request


class Door:
    """Requests inside and in line of one pipeline."""

    __slots__ = ("bytes_inside", "crowded", "inside", "line", "name", "policy", "rate", "refused")

    def __init__(self, name: str, policy: AdmissionPolicy) -> None:
        self.name = name
        self.policy = policy
        self.inside: set[Request] = set()
        self.line = Line()
        self.bytes_inside = 0
        self.crowded: Callable[[], bool] | None = None
        """Whether devices hold as much as they may for what is inside."""
        self.rate: Rate | None = None
        """How many may come in a time, if that is limited."""
        self.refused: list[tuple[Request, RequestError]] = []
        """Requests that stood in line and can not enter any more; whoever called `admit` or `finish` ends them."""

    def __len__(self) -> int:
        return len(self.inside) + len(self.line)

    def admit(self, request: Request) -> bool:
        """Whether it may enter now; else it stands in line. Overloaded if the line is full and no caller has two
        requests more in it; if one has, the newest of those is in `refused`."""
        if not self.line and self._fits(request):
            self._enter(request)
            return True
        if len(self.line) >= self.policy.queue_max:
            other = self.line.yielding(request.caller)
            if other is None:
                raise self._full(request)
            self.refused.append((other, self._full(other)))
            self.line.discard(other)
        self.line.add(request)
        return False

    def finish(self, request: Request, answered: bool) -> list[Request]:
        """It has ended, inside or in line, with an answer or without; those that may enter now."""
        if request in self.inside:
            self._leave(request)
        else:
            self.line.discard(request)
        entering: list[Request] = []
        while self.line and self._fits(self.line.first()):
            first = self.line.pop()
            self._enter(first)
            entering.append(first)
        return entering

    def _full(self, request: Request) -> Overloaded:
        return Overloaded(
            f"{len(self.inside)} requests are inside and {len(self.line)} wait, the most that"
            f" `queue.max = {self.policy.queue_max}` allows",
            pipeline=self.name,
            request_id=request.id,
        )

    def _fits(self, request: Request) -> bool:
        policy = self.policy
        if policy.max_inflight and len(self.inside) >= policy.max_inflight:
            return False
        if self.crowded is not None and self.inside and self.crowded():
            return False
        return not (policy.max_bytes and self.inside and self.bytes_inside + request.nbytes > policy.max_bytes)

    def _enter(self, request: Request) -> None:
        self.inside.add(request)
        self.bytes_inside += request.nbytes

    def _leave(self, request: Request) -> None:
        self.inside.discard(request)
        self.bytes_inside -= request.nbytes
