"""Which stream each step of a pipeline or region gets on its device, and which steps wait for which.

    steps, measured costs -> chains -> streams, waits, events

Steps that could run side by side get different streams, steps that follow one another the same (Nimble: the edges of
the transitive reduction, matched so that as many as possible are inside of a chain). Only an edge of the reduction
that goes from one stream to another needs an event. What that is good for depends on times: a step that is shorter
than it takes to record and to wait gets no stream of its own, and where there are more chains than streams, those come
together that make the longest path longer by the least. Without measured times every step counts the same.

Waits do not rely on an order of steps in which neither needs the other, so they hold in whatever order such steps are
issued. Pure; linear in nodes and edges but for the matching, which is so for the graphs that people write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_dsl.plan import INGRESS, DeviceStreams

from .chains import ancestors, bits, cover, reduction

BUDGET = 16
"""Streams that a device gets at most."""
WORTHWHILE = 50e-6
"""Seconds that a chain of steps must take for a stream of its own: below, an event and a wait cost what it gains."""


@dataclass(frozen=True, slots=True)
class Work:
    """One step, as its stream depends on it. Steps are named by their place in a sequence in topological order."""

    device: str
    """"" for the host."""
    after: tuple[int, ...]
    """Steps whose results it needs, ascending; INGRESS is passed over."""
    seconds: float | None = None
    """Measured; None where unknown."""
    skippable: bool = False
    """It may not run though steps after it do, because what it makes is kept. Then it orders nothing."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """By step: its stream (-1 on the host), the steps of other streams that it waits for, whether others wait for it;
    and what that comes to on each device."""

    streams: tuple[int, ...]
    waits: tuple[tuple[int, ...], ...]
    signals: tuple[bool, ...]
    devices: tuple[DeviceStreams, ...]


def assign(
    steps: Sequence[Work], *, budget: int = BUDGET, worthwhile: float = WORTHWHILE, serial: bool = False
) -> Assignment:
    """Streams for all devices of some steps. `serial`: one for each device, and no events."""
    before = tuple(tuple(p for p in step.after if p != INGRESS) for step in steps)
    above = ancestors(before)
    times = _Times.of(steps, before)
    streams = [-1] * len(steps)
    waits: list[tuple[int, ...]] = [()] * len(steps)
    devices = []
    for device in dict.fromkeys(step.device for step in steps if step.device):
        nodes = [i for i, step in enumerate(steps) if step.device == device]
        here = set(nodes)
        edges = tuple(tuple(p for p in reads if p in here) if i in here else () for i, reads in enumerate(before))
        reduced = reduction(edges, bits([i for i in nodes if not steps[i].skippable]))
        chains = [nodes] if serial else cover(nodes, reduced, above)
        chains = _absorbed(chains, steps, edges, above, worthwhile)
        chains = _merged(chains, edges, times, budget)
        for number, chain in enumerate(chains):
            for node in chain:
                streams[node] = number
        for node in nodes:
            waits[node] = tuple(p for p in reduced[node] if streams[p] != streams[node])
        devices.append(
            DeviceStreams(
                device=device,
                streams=len(chains),
                priority=times.longest(chains),
                events=len({p for node in nodes for p in waits[node]}),
                waits=sum(len(waits[node]) for node in nodes),
                edges=sum(len(edges[node]) for node in nodes),
            )
        )
    waited = {p for reads in waits for p in reads}
    return Assignment(tuple(streams), tuple(waits), tuple(i in waited for i in range(len(steps))), tuple(devices))


@dataclass(frozen=True, slots=True)
class _Times:
    """When each step runs if nothing but what it needs holds it up, in nanoseconds, or in steps where no time is
    known."""

    cost: tuple[int, ...]
    start: tuple[int, ...]
    path: tuple[int, ...]
    """The longest path that goes through it."""

    @classmethod
    def of(cls, steps: Sequence[Work], before: Sequence[tuple[int, ...]]) -> _Times:
        known = [max(1, round(step.seconds * 1e9)) for step in steps if step.seconds is not None]
        usual = sum(known) // len(known) if known else 1
        cost = [usual if step.seconds is None else max(1, round(step.seconds * 1e9)) for step in steps]
        start = [0] * len(steps)
        rest = list(cost)
        for node, reads in enumerate(before):
            start[node] = max((start[p] + cost[p] for p in reads), default=0)
        for node in range(len(steps) - 1, -1, -1):
            for p in before[node]:
                rest[p] = max(rest[p], cost[p] + rest[node])
        return cls(tuple(cost), tuple(start), tuple(map(int.__add__, start, rest)))

    def end(self, node: int) -> int:
        return self.start[node] + self.cost[node]

    def longest(self, chains: Sequence[Sequence[int]]) -> int:
        """The chain with most of the longest path of these, the first of equal ones."""
        whole = max(self.path[node] for chain in chains for node in chain)
        shares = [sum(self.cost[node] for node in chain if self.path[node] == whole) for chain in chains]
        return shares.index(max(shares))


def _absorbed(
    chains: list[list[int]],
    steps: Sequence[Work],
    edges: Sequence[tuple[int, ...]],
    above: Sequence[int],
    worthwhile: float,
) -> list[list[int]]:
    """The chains without those that are known to be short: they join another one.

    That is the chain of a producer or consumer whose steps all come before or after theirs anyway; else that of the
    last producer, of the first consumer, or the first that is left."""
    short = {i for i, chain in enumerate(chains) if _seconds(chain, steps) < worthwhile}
    if not short:
        return chains
    where = {node: i for i, chain in enumerate(chains) for node in chain}
    after: dict[int, list[int]] = {}
    for node in where:
        for p in edges[node]:
            after.setdefault(p, []).append(node)
    joined = [list(chain) for chain in chains]
    for i in sorted(short):
        chain = joined[i]
        near = [where[p] for p in reversed(edges[chain[0]])]
        near += [where[c] for c in after.get(chain[-1], ())]
        others = [o for o in dict.fromkeys(near) if o != i] or [o for o in range(len(chains)) if joined[o] and o != i]
        if not others:
            break
        to = next((o for o in others if _one_after_another(chain, joined[o], above)), others[0])
        joined[to] = sorted(joined[to] + chain)
        joined[i] = []
        where.update(dict.fromkeys(chain, to))
    return sorted(filter(None, joined))


def _seconds(chain: Sequence[int], steps: Sequence[Work]) -> float:
    """What the steps of a chain take together; infinite if one was never measured."""
    known = [steps[node].seconds for node in chain]
    return sum(float("inf") if seconds is None else seconds for seconds in known)


def _one_after_another(chain: Sequence[int], other: Sequence[int], above: Sequence[int]) -> bool:
    """Whether no step of one could run beside a step of the other."""
    return all(above[max(a, b)] >> min(a, b) & 1 for a in chain for b in other)


def _merged(chains: list[list[int]], edges: Sequence[tuple[int, ...]], times: _Times, budget: int) -> list[list[int]]:
    """At most `budget` chains. In the order in which they begin, each goes behind those that let it begin soonest,
    counted from where its delay makes the longest path longer; among equal ones where a producer of it is."""
    if len(chains) <= budget:
        return chains
    merged: list[list[int]] = [[] for _ in range(budget)]
    free = [0] * budget
    where: dict[int, int] = {}
    whole = max(times.path)
    for chain in sorted(chains, key=lambda c: (times.start[c[0]], -times.path[c[0]], c[0])):
        start, slack = times.start[chain[0]], whole - max(times.path[node] for node in chain)
        near = {where[p] for p in edges[chain[0]] if p in where}
        delays = [max(0, at - start) for at in free]
        to = min(range(budget), key=lambda i: (max(0, delays[i] - slack), delays[i], i not in near, i))
        merged[to] += chain
        where.update(dict.fromkeys(chain, to))
        free[to] = times.end(chain[-1]) + delays[to]
    return sorted(sorted(chain) for chain in merged if chain)
