"""One program on one device: checked, then timed beside what is written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from .by_hand import WAYS, ByHand, agree
from .costs import Cost, in_turn
from .engines import Spans, Told, addresses, ask, cost_of, moved, on_engine, spans_of, told
from .simulated import by_hand
from .works import Mode, Work

MODES: tuple[Mode, ...] = ("apart", "together", "graph")
WARM = 8
"""Requests before anything is counted: graphs are captured, memory is taken."""


class Differs(AssertionError):
    """An answer is not what it must be."""


@dataclass
class Result:
    """What was found of one program with requests of so many rows."""

    work: str
    rows: int
    nodes: int
    edges: int
    counters: dict[str, Told] = field(default_factory=dict)
    """By mode."""
    costs: dict[str, Cost] = field(default_factory=dict)
    """By mode, and by way by hand; on a GPU."""
    spans: Spans | None = None
    """Of one request whose stages run apart."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Simulated, by way by hand; on the simulator."""
    moved: int = 0
    """Values that were not handed on where they lay."""

    def ratio(self, mode: str, way: str) -> tuple[float, float]:
        """Ours over theirs: of throughput (more is better), of latency (less is better)."""
        ours, theirs = self.costs[mode], self.costs[way]
        return ours.per_second / theirs.per_second, ours.latency / theirs.latency

    def host_us(self, name: str) -> float:
        """CPU microseconds of the process for each stage of a request."""
        return self.costs[name].host / self.nodes * 1e6

    def report(self) -> dict[str, Any]:
        """For JSON."""
        made = asdict(self)
        if self.costs:
            made["host_us_per_node"] = {name: self.host_us(name) for name in self.costs}
            made["ratios"] = {
                f"{mode} / {way}": dict(zip(("throughput", "latency"), self.ratio(mode, way), strict=True))
                for mode in MODES
                for way in WAYS
                if mode in self.costs and way in self.costs
            }
        return made


def checked(work: Work, rows: int, on: str, library: str) -> Result:
    """The program's answers are compared on the host, on the device in every mode and in the serial one, and by hand;
    bytes and pointers are looked at. Differs if something is not as it must be."""
    result = Result(work.name, rows, len(work.nodes), work.edges)
    x = work.rows(rows)
    expected = work.answer(work.stages("numpy", "cpu"), x)
    with on_engine(work, on, library, "apart", rows, serial=True) as running:
        serial = ask(running, x)
    _same(work, "serial", serial, expected)
    for mode in MODES:
        with addresses() as found, on_engine(work, on, library, mode, rows) as running:
            answers = [ask(running, x) for _ in range(WARM)]
            for answer in answers:
                _same(work, mode, answer, expected)
            if mode == "apart":
                _identical(work, serial, answers)
                result.moved = moved(work, found)
                result.spans = spans_of(running, work, on, x)
            result.counters[mode] = told(running, on, x, 10)
    return result


def _same(work: Work, what: str, answer: Any, expected: Any) -> None:
    if not agree(answer, expected):
        worst = float(np.abs(answer - expected).max())
        raise Differs(f"{work.name}, {len(expected)} rows, {what}: answers differ from the host's by up to {worst:.3g}")


def _identical(work: Work, serial: Any, answers: list[Any]) -> None:
    if any(answer.tobytes() != serial.tobytes() for answer in answers):
        raise Differs(f"{work.name}, {len(serial)} rows: the concurrent mode does not give the bits of the serial one")


def timed(result: Result, work: Work, on: str, library: str, *, count: int, times: int) -> None:
    """Our modes and the ways by hand, measured in turn on a GPU. Differs if a way by hand gives another answer."""
    x = work.rows(result.rows)
    expected = work.answer(work.stages("numpy", "cpu"), x)
    ways: dict[str, ByHand] = {}
    for name, way in WAYS.items():
        ways[name] = way(work, x, on)
        _same(work, name, ways[name].ask(), expected)
    measures: dict[str, Callable[[], Cost]] = {name: partial(way.cost, count) for name, way in ways.items()}
    for mode in MODES:
        measures[mode] = partial(_on_engine, work, on, library, mode, x, count)
    result.costs = in_turn(measures, times)


def _on_engine(work: Work, on: str, library: str, mode: Mode, x: Any, count: int) -> Cost:
    with on_engine(work, on, library, mode, len(x)) as running:
        for _ in range(WARM):
            ask(running, x)
        return cost_of(running, x, count)


def simulated(result: Result, work: Work) -> None:
    """The ways by hand on the simulator."""
    x = work.rows(result.rows)
    expected = work.answer(work.stages("numpy", "cpu"), x)
    for name, stepwise in (("one stream", False), ("stepwise", True)):
        answer, result.seconds[name] = by_hand(work, x, stepwise=stepwise)
        _same(work, name, answer, expected)
