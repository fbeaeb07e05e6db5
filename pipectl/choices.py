"""Which arms of `route` requests took, and why: for `pipectl run --explain-route`.

A route records its choices as it makes them; an answer takes those of its own request.
"""

from __future__ import annotations

from dataclasses import replace

from executor.trace import Recorder, RouteRecord

from .answer import Answer
from .encode import printable
from .report import table
from .runner import Done

SHOWN = 100
"""Lines of the table at most."""


class Choices:
    """What routes chose, by request."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._pending: dict[int, list[RouteRecord]] = {}
        self._lines: list[tuple[str, str, str, str]] = []
        self._more = 0

    def explained(self, done: Done) -> Answer:
        """The answer with the choices for it. Those of a request that failed are not told."""
        routes = self._recorder.routes
        while routes:
            record = routes.popleft()
            self._pending.setdefault(record.serial, []).append(record)
        if done.response is None:
            return done.answer
        found = tuple(self._pending.pop(done.response.serial, ()))
        for r in found:
            if len(self._lines) < SHOWN:
                self._lines.append((printable(done.answer.id), r.node, r.arm, printable(r.why)))
            else:
                self._more += 1
        return replace(done.answer, routes=found)

    def lines(self) -> list[str]:
        """A table with a line for each choice."""
        if not self._lines:
            return ["no request came to a `route`"]
        more = [f"and {self._more} more"] if self._more else []
        return [*table([("request", "route", "arm", "why"), *self._lines], left=True), *more]
