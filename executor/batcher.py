"""Which waiting cohorts form the next batch: a pure decision.

    decide(levels, policy, now) -> Group | Wait | None

`levels` are the inbox's lists of entries, level 1 first, each in order of arrival. Limits count rows. A cohort is
never cut to fill a batch. Entries of unequal group keys never share one. Without a delay whatever waits goes the
moment an instance is free; with one, the oldest entry waits at most that long, and never past its deadline.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pipeline_dsl.plan import AUTO, BatchPolicy

from .cohort import NEVER, Cohort

if TYPE_CHECKING:
    from .node import Call


class Entry:
    """A cohort that waits at a stage."""

    __slots__ = ("arrived_ns", "cohort", "deadline_ns", "key", "late", "level", "node", "rows")

    def __init__(
        self,
        node: Call,
        cohort: Cohort,
        rows: int,
        key: Hashable,
        level: int,
        arrived_ns: int,
        deadline_ns: int = NEVER,
    ) -> None:
        self.node = node
        self.cohort = cohort
        self.rows = rows
        self.key = key
        self.level = level
        self.arrived_ns = arrived_ns
        self.deadline_ns = deadline_ns
        """The earliest of its members, and of the call's own timeout."""
        self.late = False
        """Past its queue timeout where the policy is to serve it last."""

    @property
    def part(self) -> tuple[Call, Cohort, int]:
        """What an instance gets of it."""
        return self.node, self.cohort, self.arrived_ns


class Group(NamedTuple):
    """Take these entries now. All are of one level and one key."""

    entries: list[Entry]
    reason: str
    """`ready`, `full`, `preferred`, `delay` or `deadline`."""


class Wait(NamedTuple):
    """Nothing to take before then, unless something arrives."""

    until_ns: int


@dataclass(slots=True)
class Rhythm:
    """What a stage has learnt of itself, for `delay = auto` and deadlines: moving averages, 0 before the first."""

    interval_ns: float = 0.0
    """Between arrivals of cohorts."""
    service_ns: float = 0.0
    """Of one execution."""
    last_arrival_ns: int = 0

    def arrived(self, now: int) -> None:
        if self.last_arrival_ns:
            gap = now - self.last_arrival_ns
            self.interval_ns += 0.2 * (gap - self.interval_ns) if self.interval_ns else gap
        self.last_arrival_ns = now

    def served(self, ns: int) -> None:
        self.service_ns += 0.2 * (ns - self.service_ns) if self.service_ns else ns


def auto_delay(rhythm: Rhythm, entries: int) -> int:
    """How long the oldest of `entries` should wait for one more.

    Waiting one arrival interval costs each waiting entry that interval and saves the next one the rest of an
    execution it would have to sit out. Where that does not pay, or nothing is known yet, 0."""
    gap, service = rhythm.interval_ns, rhythm.service_ns
    if not gap or not service or entries * gap >= service - gap:
        return 0
    return int(min(2 * gap * entries, service))


def decide(
    levels: Sequence[Sequence[Entry]], policy: BatchPolicy, now: int, rhythm: Rhythm, limit: int = 0
) -> Group | Wait | None:
    """The next batch, the time to look again, or None if nothing waits. `limit` (rows) lowers `policy.max_rows`."""
    most = min(policy.max_rows or NEVER, limit or NEVER)
    until = NEVER
    for entries in levels:
        if not entries:
            continue
        for same in _by_key(entries):
            choice = _choose(same, policy, most, now, rhythm)
            if isinstance(choice, Group):
                return choice
            until = min(until, choice.until_ns)
    return Wait(until) if until != NEVER else None


def _by_key(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Entries grouped by key, the most urgent first within and between groups."""
    if len(entries) == 1:
        return [list(entries)]
    ordered = sorted(entries, key=_urgency) if any(e.late or e.deadline_ns != NEVER for e in entries) else entries
    groups: dict[Hashable, list[Entry]] = {}
    for entry in ordered:
        groups.setdefault(entry.key, []).append(entry)
    return list(groups.values())


def _urgency(entry: Entry) -> tuple[bool, int, int]:
    return (entry.late, entry.deadline_ns, entry.arrived_ns)


def _choose(same: list[Entry], policy: BatchPolicy, most: int, now: int, rhythm: Rhythm) -> Group | Wait:
    waiting = sum(e.rows for e in same)
    if waiting >= most:
        return Group(_fill(same, most), "full")
    if policy.preferred and (best := max((p for p in policy.preferred if p <= waiting), default=0)):
        return Group(_fill(same, best), "preferred")
    delay = auto_delay(rhythm, len(same)) if policy.delay_ns == AUTO else policy.delay_ns
    if not delay:
        return Group(same, "ready")
    due = min(e.arrived_ns for e in same) + delay
    latest = min(e.deadline_ns for e in same) - int(rhythm.service_ns)
    if now >= min(due, latest):
        return Group(same, "delay" if due <= latest else "deadline")
    return Wait(min(due, latest))


def _fill(same: list[Entry], most: int) -> list[Entry]:
    """The first entry and every later one that still fits."""
    chosen, rows = [same[0]], same[0].rows
    for entry in same[1:]:
        if rows + entry.rows <= most:
            chosen.append(entry)
            rows += entry.rows
    return chosen
