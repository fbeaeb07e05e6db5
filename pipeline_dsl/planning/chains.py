"""Chains of a directed acyclic graph: few of them, so that each node is in one and no two nodes of a chain could run
side by side. Each chain becomes a stream.

Nodes are numbered in topological order. Sets of nodes are bit sets: bit n of an int stands for node n.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence

Edges = Sequence[Sequence[int]]
"""For each node those at the other end, ascending."""


def bits(numbers: Sequence[int]) -> int:
    """The set of some nodes."""
    found = 0
    for number in numbers:
        found |= 1 << number
    return found


def ancestors(before: Edges, through: int = -1) -> list[int]:
    """For each node the set of those with a path to it, whose inner nodes are all in `through` (-1: any)."""
    found: list[int] = []
    for reads in before:
        reached = 0
        for node in reads:
            reached |= 1 << node
            if through >> node & 1:
                reached |= found[node]
        found.append(reached)
    return found


def reduction(before: Edges, through: int = -1) -> list[tuple[int, ...]]:
    """The edges without those that a longer path implies (transitive reduction). Inner nodes of such a path are in
    `through`: others may not run, and then order nothing."""
    above = ancestors(before, through)
    kept = []
    for reads in before:
        implied = 0
        for node in reads:
            if through >> node & 1:
                implied |= above[node]
        kept.append(tuple(node for node in reads if not implied >> node & 1))
    return kept


def cover(nodes: Sequence[int], reduced: Edges, above: Sequence[int]) -> list[list[int]]:
    """The chains of some nodes, each ascending, in order of their first nodes. As many as possible of the edges in
    `reduced` are inside of a chain; chains that `above` (all ancestors) allows to follow one another are joined."""
    inside = set(nodes)
    after: dict[int, list[int]] = {node: [] for node in nodes}
    for node in nodes:
        for earlier in reduced[node]:
            if earlier in inside:
                after[earlier].append(node)
    following = matching(after)
    heads = inside.difference(following.values())
    return _joined([list(_walk(head, following)) for head in sorted(heads)], above)


def _walk(node: int, following: dict[int, int]) -> Iterator[int]:
    yield node
    while node in following:
        node = following[node]
        yield node


def _joined(chains: list[list[int]], above: Sequence[int]) -> list[list[int]]:
    """A chain goes behind the latest one whose end comes before its beginning anyway."""
    found: list[list[int]] = []
    ends: dict[int, list[int]] = {}
    open_ends = 0
    for chain in chains:
        free = open_ends & above[chain[0]]
        if free:
            end = free.bit_length() - 1
            open_ends ^= 1 << end
            whole = ends.pop(end)
            whole += chain
        else:
            whole = chain
            found.append(whole)
        ends[whole[-1]] = whole
        open_ends |= 1 << whole[-1]
    return found


def matching(after: dict[int, list[int]]) -> dict[int, int]:
    """For as many nodes as possible one of those after it, each for one node only (Hopcroft and Karp: shortest
    augmenting paths, all of one length at a time)."""
    match: dict[int, int] = {}
    taken: dict[int, int] = {}
    for node, choices in after.items():
        choice = next((c for c in choices if c not in taken), None)
        if choice is not None:
            match[node], taken[choice] = choice, node
    while (layers := _layers(after, match, taken)) is not None:
        for node in [node for node in after if node not in match]:
            _augment(node, after, match, taken, layers)
    return match


def _layers(after: dict[int, list[int]], match: Collection[int], taken: dict[int, int]) -> dict[int, int] | None:
    """How far each node is from one without a match, by alternating paths; None if none leads to a free choice."""
    far = {node: 0 for node, choices in after.items() if choices and node not in match}
    queue = deque(far)
    ends = False
    while queue:
        node = queue.popleft()
        for choice in after[node]:
            if choice not in taken:
                ends = True
            elif taken[choice] not in far:
                far[taken[choice]] = far[node] + 1
                queue.append(taken[choice])
    return far if ends else None


def _augment(
    start: int, after: dict[int, list[int]], match: dict[int, int], taken: dict[int, int], layers: dict[int, int]
) -> None:
    """Takes a path from `start` to a free choice, if one is left; what leads nowhere leaves the layers."""
    path = [(start, iter(after[start]))]
    while path:
        node, choices = path[-1]
        for choice in choices:
            holder = taken.get(choice)
            if holder is None:
                _take(choice, [on_path for on_path, _ in path], match, taken)
                return
            if layers.get(holder) == layers.get(node, -2) + 1:
                path.append((holder, iter(after[holder])))
                break
        else:
            layers.pop(node, None)
            path.pop()


def _take(choice: int, path: list[int], match: dict[int, int], taken: dict[int, int]) -> None:
    """Each node of a path takes the choice of the next, the last one a free one."""
    for node in reversed(path):
        before = match.get(node)
        match[node], taken[choice] = choice, node
        if before is None:
            return
        choice = before
