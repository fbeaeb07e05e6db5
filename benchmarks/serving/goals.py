"""What the figures are compared with: the table of goals, each a ratio to another server of the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

HIGHER_IS_BETTER = ("requests_per_s",)


@dataclass(frozen=True)
class At:
    """A point of a run: of the servers named the one with the best figure, by protocol and number of clients."""

    servers: tuple[str, ...]
    protocol: str
    clients: int


@dataclass(frozen=True)
class Goal:
    """`figure` of `ours` over that of `theirs` (without: the figure itself), against `bound`."""

    work: str
    figure: str
    ours: At
    theirs: At | None
    bound: float
    at_least: bool = False


@dataclass(frozen=True)
class Outcome:
    """A goal and what was found."""

    goal: Goal
    value: float

    @property
    def met(self) -> bool:
        return self.value >= self.goal.bound if self.goal.at_least else self.value <= self.goal.bound

    def __str__(self) -> str:
        goal = self.goal
        at = goal.ours
        name = f"{goal.work} {goal.figure}, {' or '.join(at.servers)}, {at.protocol}, {at.clients} clients"
        over = f" / {' or '.join(goal.theirs.servers)}" if goal.theirs else ""
        sign = ">=" if goal.at_least else "<="
        return f"{'OK' if self.met else 'MISS':4} {self.value:7.3f} {sign} {goal.bound:<6.3g} {name}{over}"


def _goals() -> tuple[Goal, ...]:
    def ours(protocol: str, clients: int, server: str = "pipectl") -> At:
        return At((server,), protocol, clients)

    def theirs(protocol: str, clients: int, *servers: str) -> At:
        return At(servers or ("triton", "triton, no wait", "triton, 1 ms wait"), protocol, clients)

    cpu, rate, p50 = "cpu_ms", "requests_per_s", "p50_ms"
    g1, g8, g32, g64, h64 = (
        ours(p, c) for p, c in (("grpc", 1), ("grpc", 8), ("grpc", 32), ("grpc", 64), ("http", 64))
    )
    two = "pipectl, 2 encoders", "triton, 2 encoders"
    shared = "grpc, shared memory"
    unequal = At(("pipectl", "pipectl, single texts"), "grpc", 32)
    return (
        Goal("w1", cpu, g32, theirs("none", 32, "in-process"), 1.08),
        Goal("w1", cpu, ours("http", 32), theirs("none", 32, "in-process"), 1.03),
        Goal("w1", rate, g32, theirs("grpc", 32), 1.0, at_least=True),
        Goal("w1", rate, ours("grpc", 32, two[0]), theirs("grpc", 32, two[1]), 1.0, at_least=True),
        Goal("w1", p50, g1, theirs("none", 1, "in-process"), 1.15),
        Goal("w5", rate, unequal, theirs("grpc", 32, "triton, padded"), 1.5, at_least=True),
        Goal("w5", rate, unequal, theirs("grpc", 32, "triton, equal shapes"), 1.2, at_least=True),
        Goal("w5", rate, unequal, theirs("none", 32, "in-process, sorted"), 0.95, at_least=True),
        Goal("w2", p50, g1, theirs("grpc", 1), 0.5),
        Goal("w2", cpu, g8, theirs("grpc", 8), 0.7),
        Goal("w2", cpu, g64, theirs("grpc", 64), 0.7),
        Goal("w2", cpu, g8, theirs("grpc", 8, "echo"), 1.15),
        Goal("w2", cpu, g64, theirs("grpc", 64, "echo"), 1.15),
        Goal("w2", rate, g8, theirs("grpc", 8), 1.9, at_least=True),
        Goal("w2", rate, g64, theirs("grpc", 64), 1.2, at_least=True),
        Goal("w2", cpu, h64, None, 0.15),
        Goal("w2", cpu, h64, theirs("http", 64), 1 / 3),
        Goal("w2", cpu, h64, theirs("http", 64, "mosec"), 1.0),
        Goal("w2", rate, h64, theirs("http", 64), 2.0, at_least=True),
        Goal("w3", rate, g32, theirs("grpc", 32), 1.1, at_least=True),
        Goal("w3", p50, g1, theirs("grpc", 1), 0.8),
        Goal("w4", cpu, ours("grpc", 4), theirs("grpc", 4, "echo"), 1.15),
        Goal("w4", rate, ours(shared, 4), theirs(shared, 4), 3.0, at_least=True),
        Goal("w1", "pss_mb", g32, theirs("grpc", 32), 0.75),
        Goal("w1", "ready_s", g32, theirs("grpc", 32), 0.5),
        Goal("w2", "ready_s", g64, theirs("grpc", 64), 0.5),
    )


GOALS = _goals()


def outcomes(rows: Sequence[Row]) -> list[Outcome]:
    """The goals that a run has figures for."""
    found = []
    for goal in GOALS:
        ours = _figure(rows, goal, goal.ours)
        theirs = 1.0 if goal.theirs is None else _figure(rows, goal, goal.theirs)
        if ours is not None and theirs is not None:
            found.append(Outcome(goal, ours / theirs))
    return found


def _figure(rows: Sequence[Row], goal: Goal, at: At) -> float | None:
    values = [
        row[goal.figure]
        for row in rows
        if (row["work"], row["protocol"], row["clients"]) == (goal.work, at.protocol, at.clients)
        and row["server"] in at.servers
        and row.get(goal.figure) is not None
    ]
    if not values:
        return None
    return float(max(values) if goal.figure in HIGHER_IS_BETTER else min(values))
