"""Units of shared resources that executions hold: all at once when they begin, given back when they end.

A stage whose units are not there waits; who is next is decided by turns: an execution of a stage with priority 2 counts
as two of one with priority 1, and the stage with the lowest count goes first. What the first in line still lacks is
kept for it, so a large claim is not starved by small ones, and nobody waits while it holds something: no deadlock.
Used with the engine's lock held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pipeline_dsl.plan import StagePlan

if TYPE_CHECKING:
    from .stage import StageRuntime


class Claim:
    """What an execution of one stage needs."""

    __slots__ = ("_resources", "passes", "priority", "units")

    def __init__(self, resources: Resources, plan: StagePlan) -> None:
        self._resources = resources
        self.units = {c.name: c.units for c in plan.limits}
        self.priority = plan.limit_priority
        self.passes = 0
        """Executions so far, each counted `priority` times; never behind those that were served meanwhile."""

    def take(self, stage: StageRuntime) -> bool:
        """Take the units for an execution; False if it is not the stage's turn, which then waits in line."""
        return self._resources.take(self, stage)

    def leave(self) -> None:
        """The stage has nothing to run: it no longer waits."""
        self._resources.waiting.pop(self, None)

    def give_back(self) -> list[StageRuntime]:
        """Return the units of an execution that has ended; the stages that wait for some, the next one first."""
        return self._resources.give_back(self)


class Resources:
    """All resources of an engine."""

    def __init__(self, totals: Mapping[str, int]) -> None:
        self.totals = dict(totals)
        self.held = dict.fromkeys(totals, 0)
        self.waiting: dict[Claim, StageRuntime] = {}
        self._served = 0
        """The count of the last that was served: who comes back after a rest starts from there."""

    def take(self, claim: Claim, stage: StageRuntime) -> bool:
        if claim not in self.waiting:
            claim.passes = max(claim.passes, self._served)
            self.waiting[claim] = stage
        free = {name: total - self.held[name] for name, total in self.totals.items()}
        for first in self.line():
            fits = all(free[name] >= units for name, units in first.units.items())
            if first is claim:
                if fits:
                    self._hold(claim)
                return fits
            for name, units in first.units.items():
                free[name] -= units
        return False

    def _hold(self, claim: Claim) -> None:
        del self.waiting[claim]
        for name, units in claim.units.items():
            self.held[name] += units
        self._served = max(self._served, claim.passes)
        claim.passes += claim.priority

    def line(self) -> Iterable[Claim]:
        """Those that wait, the next one first."""
        return sorted(self.waiting, key=lambda claim: claim.passes + claim.priority)

    def give_back(self, claim: Claim) -> list[StageRuntime]:
        for name, units in claim.units.items():
            self.held[name] -= units
        return [self.waiting[other] for other in self.line()]


def totals_of(stages: Iterable[StagePlan], said: Mapping[str, int]) -> dict[str, int]:
    """Units of each resource: what the profile says, and at least the largest claim."""
    found = dict(said)
    for stage in stages:
        for claim in stage.limits:
            found[claim.name] = max(found.get(claim.name, 0), claim.units)
    return found
