"""The door of a pipeline: how many requests may be inside, and the bounded line before it.

Only the door waits or refuses; nothing inside ever does. Counts are those of the containers. Not thread-safe: the
engine calls it with its lock held.
"""

from __future__ import annotations

from collections import OrderedDict

from pipeline_dsl.plan import AdmissionPolicy

from .errors import Overloaded, RequestError
from .rate import Rate
from .request import Request


class Door:
    """Requests inside and in line of one pipeline."""

    __slots__ = ("bytes_inside", "inside", "line", "name", "policy", "rate", "refused")

    def __init__(self, name: str, policy: AdmissionPolicy) -> None:
        self.name = name
        self.policy = policy
        self.inside: set[Request] = set()
        self.line: OrderedDict[Request, None] = OrderedDict()
        self.bytes_inside = 0
        self.rate: Rate | None = None
        """How many may come in a time, if that is limited."""
        self.refused: list[tuple[Request, RequestError]] = []
        """Requests that stood in line and can not enter any more; whoever called `finish` ends them."""

    def __len__(self) -> int:
        return len(self.inside) + len(self.line)

    def admit(self, request: Request) -> bool:
        """Whether it may enter now; else it stands in line. Overloaded if the line is full."""
        if not self.line and self._fits(request):
            self._enter(request)
            return True
        if len(self.line) >= self.policy.queue_max:
            raise Overloaded(
                f"{len(self.inside)} requests are inside and {len(self.line)} wait, the most that"
                f" `queue.max = {self.policy.queue_max}` allows",
                pipeline=self.name,
                request_id=request.id,
            )
        self.line[request] = None
        return False

    def finish(self, request: Request, answered: bool) -> list[Request]:
        """It has ended, inside or in line, with an answer or without; those that may enter now."""
        if request in self.inside:
            self._leave(request)
        else:
            self.line.pop(request, None)
        entering: list[Request] = []
        while self.line and self._fits(first := next(iter(self.line))):
            del self.line[first]
            self._enter(first)
            entering.append(first)
        return entering

    def _fits(self, request: Request) -> bool:
        policy = self.policy
        if policy.max_inflight and len(self.inside) >= policy.max_inflight:
            return False
        return not (policy.max_bytes and self.inside and self.bytes_inside + request.nbytes > policy.max_bytes)

    def _enter(self, request: Request) -> None:
        self.inside.add(request)
        self.bytes_inside += request.nbytes

    def _leave(self, request: Request) -> None:
        self.inside.discard(request)
        self.bytes_inside -= request.nbytes
