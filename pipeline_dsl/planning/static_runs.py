"""Static runs: which steps of a region may run as one stage, so that nothing is between them.

A set is convex and as large as these rules let it be:
- one device, rows counted in one unit, equally many instances;
- what comes from outside comes with the inputs of the first step: a step of the set reads what that reads, all of it,
  or it reads steps of the set and beside them only what that reads too;
- only the first may wait for company, and no other takes fewer rows than it.

So a cohort that the first step may run is one that all of them may run, and nothing else arrives on the way. Sources
come before every step that reads them, so no path leaves a set and comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from pipeline_dsl.ir import Binding
from pipeline_dsl.plan import INGRESS


@dataclass(frozen=True, slots=True)
class Joining:
    """What decides which steps may be in one set with a step. `max_rows` 0: any number."""

    name: str
    """Of its stage."""
    device: str
    rows: Binding
    max_rows: int = 0
    instances: int = 1
    waits: bool = False
    """It waits for company: only the first of a set may."""
    only: frozenset[str] | None = None
    """The stages that may be in a set with it; None: any."""


@dataclass(slots=True, eq=False)
class _Set:
    first: Joining
    sources: frozenset[int]
    members: list[int] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    only: frozenset[str] | None = None
    fewest: int = 0
    """Rows that the member with the lowest limit takes; 0: any number."""

    def add(self, step: int, one: Joining) -> None:
        self.members.append(step)
        self.names.add(one.name)
        self.only = _both(self.only, one.only)
        self.fewest = _fewer(self.fewest, one.max_rows)

    def takes(self, other: _Set) -> bool:
        """Whether the members of a set that begins later may be in this one."""
        one, two = self.first, other.first
        alike = (one.device, one.rows, one.instances) == (two.device, two.rows, two.instances)
        enough = not other.fewest or 0 < one.max_rows <= other.fewest
        return alike and enough and not two.waits and self.allows(other) and other.allows(self)

    def allows(self, other: _Set) -> bool:
        return self.only is None or self.only >= other.names

    def swallow(self, other: _Set) -> None:
        self.members += other.members
        self.names |= other.names
        self.only = _both(self.only, other.only)
        self.fewest = _fewer(self.fewest, other.fewest)


def static_runs(steps: Sequence[Joining | None], producers: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """The sets of more than one step, in the order of their first steps. Steps are in topological order and named by
    their place; None for one that is in no set."""
    of: dict[int, _Set] = {}
    entered: dict[frozenset[int], list[_Set]] = {}
    for step, one in enumerate(steps):
        if one is None:
            continue
        reads = frozenset(producers[step]) or frozenset((INGRESS,))
        alone = _Set(one, reads)
        alone.add(step, one)
        inside = sorted({id(of[p]): of[p] for p in reads if p in of}.values(), key=lambda found: found.members[0])
        joined = _followed(alone, inside, reads) if inside else _beside(alone, entered.get(reads, ()))
        if joined is None:
            entered.setdefault(reads, []).append(alone)
            of[step] = alone
            continue
        for other in inside[1:]:
            joined.swallow(other)
            entered[other.sources].remove(other)
            of.update(dict.fromkeys(other.members, joined))
        joined.swallow(alone)
        of[step] = joined
    found = {id(one): tuple(sorted(one.members)) for one in of.values()}
    return tuple(sorted(members for members in found.values() if len(members) > 1))


def _followed(alone: _Set, inside: list[_Set], reads: frozenset[int]) -> _Set | None:
    """The set that a step goes on, where all sets that it reads from can be one."""
    first = inside[0]
    members = {m for found in inside for m in found.members}
    together = all(found.sources == first.sources for found in inside)
    if not together or not reads <= first.sources | members:
        return None
    joining = (*inside[1:], alone)
    fit = all(map(first.takes, joining)) and all(a.allows(b) and b.allows(a) for a, b in combinations(joining, 2))
    return first if fit else None


def _beside(alone: _Set, entered: Sequence[_Set]) -> _Set | None:
    """A set that reads the same from outside."""
    return next((found for found in entered if found.takes(alone)), None)


def _fewer(one: int, two: int) -> int:
    return min(one, two) if one and two else one or two


def _both(one: frozenset[str] | None, two: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or two is None:
        return two if one is None else one
    return one & two
