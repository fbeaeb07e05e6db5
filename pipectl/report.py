"""What the answers cost: a short table with a line for each node, made from the timings of the responses.

    Response.executions --add--> Report --lines--> text

A batch is seen once by each request in it, so each request adds its share: nothing is kept but a few sums.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from executor.request import Execution, Response
from executor.trace import arrows
from pipeline_dsl.plan import Plan

HEAD = ("node", "rows", "batches", "rows/batch", "queue", "compute", "critical path")


@dataclass(slots=True)
class Line:
    """Sums of one node. Times in ns."""

    requests: int = 0
    rows: float = 0.0
    batches: float = 0.0
    queue_ns: int = 0
    """Of all requests."""
    compute_ns: float = 0.0
    """Of all batches."""
    critical_ns: int = 0
    """Queue and compute where this node was on the critical path of a request."""


class Report:
    """Sums over the responses of one pipeline."""

    def __init__(self, plan: Plan, pipeline: str) -> None:
        self._sources = arrows(plan)
        self._lines = {step.node: Line() for step in plan.pipelines[pipeline].every_step if step.stage >= 0}
        self._seconds = array("d")
        self.failed = 0

    def add(self, response: Response | None) -> None:
        """Count a response, or a failure for None."""
        if response is None:
            self.failed += 1
            return
        self._seconds.append(response.seconds)
        for execution in response.executions:
            line = self._lines[execution.node]
            line.requests += 1
            line.rows += execution.rows / execution.requests
            line.batches += 1 / execution.requests
            line.queue_ns += execution.start_ns - execution.enqueued_ns
            line.compute_ns += (execution.end_ns - execution.start_ns) / execution.requests
        for execution in critical_path(response.executions, self._sources):
            self._lines[execution.node].critical_ns += execution.end_ns - execution.enqueued_ns

    @property
    def answered(self) -> int:
        return len(self._seconds)

    def lines(self, seconds: float) -> list[str]:
        """The table and a summary of a run that took `seconds`."""
        if not self.answered:
            return [self._summary(seconds)]
        return [*table([HEAD, *self._cells()]), "", self._summary(seconds)]

    def _cells(self) -> Iterator[tuple[str, ...]]:
        total = sum(line.critical_ns for line in self._lines.values()) or 1
        for node, line in self._lines.items():
            batches = round(line.batches)
            yield (
                node,
                str(round(line.rows)),
                str(batches),
                f"{line.rows / line.batches:.1f}" if batches else "-",
                _time(line.queue_ns / line.requests) if line.requests else "-",
                _time(line.compute_ns / line.batches) if batches else "-",
                f"{100 * line.critical_ns / total:.0f} %",
            )

    def _summary(self, seconds: float) -> str:
        count = self.answered
        text = f"{count} answer{'' if count == 1 else 's'} in {_time(seconds * 1e9)}"
        if count > 1 and seconds:
            middle, high = (_quantile(self._seconds, q) for q in (0.5, 0.99))
            text += f", {count / seconds:.0f} a second; median {_time(middle * 1e9)}, p99 {_time(high * 1e9)}"
        return text + (f"; {self.failed} failed" if self.failed else "")


def critical_path(executions: Sequence[Execution], sources: Mapping[str, Sequence[str]]) -> Iterator[Execution]:
    """From the execution that ended last back to the inputs, each time along the source that ended last."""
    latest: dict[str, Execution] = {}
    for execution in executions:
        if execution.node not in latest or latest[execution.node].end_ns <= execution.end_ns:
            latest[execution.node] = execution
    at = max(latest.values(), key=lambda e: e.end_ns, default=None)
    while at is not None:
        yield at
        before = [latest[node] for node in sources.get(at.node, ()) if node in latest]
        at = max(before, key=lambda e: e.end_ns, default=None)


def table(rows: Sequence[Sequence[str]], left: bool = False) -> list[str]:
    """The first column to the left, the others to the right, or all to the `left`."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for first, *others in rows:
        put = str.ljust if left else str.rjust
        cells = [first.ljust(widths[0]), *(put(cell, width) for cell, width in zip(others, widths[1:]))]
        lines.append("  ".join(cells).rstrip())
    return lines


def _time(ns: float) -> str:
    """Three digits and a unit: `12.3 ms`."""
    for unit, size in (("s", 1e9), ("ms", 1e6)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 1000 * size else f"{ns / size:.0f} {unit}"
    return f"{ns / 1e3:.3g} us"


def _quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]
