"""Streams of device steps: what every assignment owes, on random graphs, and the shapes people write."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_dsl.plan import INGRESS
from pipeline_dsl.planning.chains import ancestors, matching, reduction
from pipeline_dsl.planning.stream_assignment import Assignment, Work, assign

from .graphs import function_calls

GPU, OTHER, HOST = "cuda:0", "cuda:1", ""


def random_steps(seed: int, size: int, *, devices: Sequence[str] = (GPU,), timed: bool = False) -> list[Work]:
    """A graph of some density, some steps of it on the host or on another device, some skippable."""
    rng = random.Random(seed)
    density = rng.choice([0.05, 0.15, 0.4])
    found = []
    for i in range(size):
        after = tuple(p for p in range(i) if rng.random() < density) or (INGRESS,)
        seconds = rng.choice([None, 1e-6, 20e-6, 1e-3, 5e-3]) if timed else None
        found.append(Work(rng.choice(devices), after, seconds, rng.random() < 0.1))
    return found


def before(steps: Sequence[Work], also: Sequence[Sequence[int]] = ()) -> list[set[int]]:
    """All that comes before each step, as sets: by hand, to check the bit sets."""
    found: list[set[int]] = []
    for i, step in enumerate(steps):
        reads = {p for p in (*step.after, *(also[i] if also else ())) if p != INGRESS}
        found.append(reads.union(*(found[p] for p in reads)))
    return found


def ordered_on_device(steps: Sequence[Work], found: Assignment, ran: Sequence[bool], seed: int) -> list[set[int]]:
    """Happens-before among the steps that ran, by streams and events alone, when they are issued in a random order
    that respects the graph."""
    rng = random.Random(seed)
    left = {i: {p for p in step.after if p != INGRESS} for i, step in enumerate(steps)}
    last: dict[tuple[str, int], set[int]] = {}
    order: list[set[int]] = [set() for _ in steps]
    recorded: dict[int, set[int]] = {}
    while left:
        node = rng.choice(sorted(n for n, needs in left.items() if not needs & left.keys()))
        del left[node]
        if found.streams[node] < 0 or not ran[node]:
            continue
        lane = steps[node].device, found.streams[node]
        known = set(last.get(lane, ()))
        for p in found.waits[node]:
            known |= recorded.get(p, set())
        order[node] = known
        last[lane] = known | {node}
        if found.signals[node]:
            recorded[node] = known | {node}
    return order


GraphSeed = tuple[int, int]
graphs = st.tuples(st.integers(0, 10**6), st.integers(1, 40))


class TestEveryAssignment:
    @settings(max_examples=200, deadline=None)
    @given(graphs, st.sampled_from([1, 2, 3, 16]), st.booleans(), st.data())
    def test_every_edge_is_covered_whatever_order_steps_are_issued_in(
        self, graph: GraphSeed, budget: int, timed: bool, data: st.DataObject
    ) -> None:
        seed, size = graph
        steps = random_steps(seed, size, devices=(GPU, GPU, GPU, OTHER, HOST), timed=timed)
        found = assign(steps, budget=budget)
        rng = random.Random(seed)
        ran = [not step.skippable or rng.random() < 0.5 for step in steps]
        order = ordered_on_device(steps, found, ran, data.draw(st.integers(0, 10**6)))
        for node, step in enumerate(steps):
            for p in step.after:
                if p != INGRESS and step.device and steps[p].device == step.device and ran[p] and ran[node]:
                    assert p in order[node]

    @settings(max_examples=200, deadline=None)
    @given(graphs)
    def test_steps_that_could_run_side_by_side_have_streams_of_their_own(self, graph: GraphSeed) -> None:
        steps = random_steps(*graph, devices=(GPU, GPU, OTHER, HOST))
        found = assign(steps, budget=len(steps))
        above = before(steps)
        for a, b in combinations(range(len(steps)), 2):
            if steps[a].device and steps[a].device == steps[b].device and a not in above[b]:
                assert found.streams[a] != found.streams[b]

    @settings(max_examples=200, deadline=None)
    @given(graphs, st.integers(1, 16), st.booleans())
    def test_counts(self, graph: GraphSeed, budget: int, timed: bool) -> None:
        steps = random_steps(*graph, devices=(GPU, GPU, OTHER, HOST), timed=timed)
        found = assign(steps, budget=budget)
        for device in found.devices:
            nodes = [i for i, step in enumerate(steps) if step.device == device.device]
            used = {found.streams[i] for i in nodes}
            assert used == set(range(device.streams))
            assert device.streams <= budget
            assert 0 <= device.priority < device.streams
            assert device.events == sum(found.signals[i] for i in nodes)
            assert device.waits == sum(len(found.waits[i]) for i in nodes)
            assert device.events <= device.waits <= device.edges
            assert device.edges == sum(p in nodes for i in nodes for p in steps[i].after)
        assert [d.device for d in found.devices] == list(dict.fromkeys(s.device for s in steps if s.device))
        for i, step in enumerate(steps):
            assert (found.streams[i] >= 0) == bool(step.device)
            assert all(steps[p].device == step.device and p in step.after for p in found.waits[i])

    @settings(max_examples=50, deadline=None)
    @given(graphs, st.booleans())
    def test_it_is_deterministic(self, graph: GraphSeed, timed: bool) -> None:
        steps = random_steps(*graph, devices=(GPU, OTHER, HOST), timed=timed)
        assert assign(steps, budget=3) == assign(list(steps), budget=3)

    @settings(max_examples=50, deadline=None)
    @given(graphs)
    def test_without_a_budget_to_keep_streams_are_as_many_as_steps_side_by_side(self, graph: GraphSeed) -> None:
        """Never fewer than the widest set of steps that could run together (found as a maximum antichain would be: by
        Dilworth, as a minimum cover of all pairs that are in order), and at most as many as chains of the reduction."""
        steps = random_steps(*graph)
        above = before(steps)
        pairs: dict[int, list[int]] = {i: [j for j in range(len(steps)) if i in above[j]] for i in range(len(steps))}
        width = len(steps) - len(matching(pairs))
        reduced = reduction([tuple(p for p in s.after if p != INGRESS) for s in steps])
        edges: dict[int, list[int]] = {i: [j for j, reads in enumerate(reduced) if i in reads] for i in pairs}
        assert width <= assign(steps, budget=99).devices[0].streams <= len(steps) - len(matching(edges))


class TestShapes:
    def test_a_chain_is_one_stream_without_events(self) -> None:
        found = assign([Work(GPU, (i - 1,)) for i in range(8)])
        assert found.streams == (0,) * 8
        assert not any(found.signals)
        (device,) = found.devices
        assert (device.streams, device.events, device.waits, device.edges) == (1, 0, 0, 7)

    def test_a_diamond_has_two_streams_and_an_event_each_way(self) -> None:
        found = assign([Work(GPU, (INGRESS,)), Work(GPU, (0,)), Work(GPU, (0,)), Work(GPU, (1, 2))])
        assert found.streams == (0, 0, 1, 0)
        assert found.waits == ((), (), (0,), (2,))
        assert found.signals == (True, False, True, False)

    def test_an_edge_that_a_longer_path_implies_needs_no_event(self) -> None:
        found = assign([Work(GPU, ()), Work(GPU, (0,)), Work(GPU, (0,)), Work(GPU, (0, 1, 2))])
        assert found.waits[3] == (2,)

    def test_what_follows_through_the_host_shares_a_stream(self) -> None:
        found = assign([Work(GPU, ()), Work(HOST, (0,)), Work(GPU, (1,))])
        assert found.streams == (0, -1, 0)
        assert found.devices[0].edges == 0

    def test_devices_are_numbered_apart(self) -> None:
        found = assign([Work(GPU, ()), Work(GPU, ()), Work(OTHER, (0,)), Work(OTHER, (1,))])
        assert found.streams == (0, 1, 0, 1)
        assert found.waits == ((),) * 4

    def test_serial_is_one_stream_a_device(self) -> None:
        found = assign(random_steps(5, 30, devices=(GPU, OTHER)), serial=True)
        assert set(found.streams) == {0}
        assert not any(found.waits)


class TestTimes:
    def test_short_branches_join_their_producer(self) -> None:
        steps = [Work(GPU, (), 1e-3), Work(GPU, (0,), 1e-3), Work(GPU, (0,), 5e-6), Work(GPU, (1, 2), 1e-3)]
        assert assign(steps).streams == (0, 0, 0, 0)
        assert assign(steps, worthwhile=1e-6).streams == (0, 0, 1, 0)

    def test_a_short_branch_goes_where_it_could_not_run_beside_anything(self) -> None:
        """0 -> 1 -> 4 and 0 -> 2 -> 3 -> 4: the short 2 could run beside 1, which has the stream of 0, but not beside
        3, though that reads 0 as well."""
        steps = [
            Work(GPU, (), 1e-3),
            Work(GPU, (0,), 1e-3),
            Work(GPU, (0,), 5e-6),
            Work(GPU, (0, 2), 1e-3),
            Work(GPU, (1, 3), 1e-3),
        ]
        found = assign(steps)
        assert found.streams[2] == found.streams[3]
        assert found.devices[0].streams == 2

    def test_short_steps_alone_share_one_stream(self) -> None:
        assert assign([Work(GPU, (), 1e-6) for _ in range(5)]).devices[0].streams == 1

    def test_a_step_that_was_never_measured_keeps_its_stream(self) -> None:
        assert assign([Work(GPU, (), 1e-3), Work(GPU, ())]).devices[0].streams == 2

    @pytest.mark.parametrize(("slow", "stream"), [(1, 0), (2, 1)])
    def test_the_longest_path_has_the_priority(self, slow: int, stream: int) -> None:
        times = {1: 1e-3, 2: 1e-3, slow: 9e-3}
        steps = [Work(GPU, (), 1e-3), *(Work(GPU, (0,), times[i]) for i in (1, 2)), Work(GPU, (1, 2), 1e-3)]
        found = assign(steps)
        assert found.devices[0].priority == found.streams[slow]
        assert found.streams[slow] == stream or found.streams[3] == found.streams[slow]

    def test_without_times_the_longest_path_is_that_of_most_steps(self) -> None:
        found = assign([Work(GPU, ()), Work(GPU, (0,)), Work(GPU, (0,)), Work(GPU, (2,)), Work(GPU, (3,))])
        assert found.devices[0].priority == found.streams[4]

    def test_chains_that_do_not_overlap_in_time_come_together_first(self) -> None:
        """a -> long and a -> short, b -> late: with two streams, `late` follows what ends early, not `long`."""
        steps = [
            Work(GPU, (), 1e-3),  # 0: a
            Work(GPU, (0,), 9e-3),  # 1: long
            Work(GPU, (0,), 1e-3),  # 2: ends early
            Work(HOST, (0,), 4e-3),  # 3
            Work(GPU, (3,), 1e-3),  # 4: begins late
        ]
        found = assign(steps, budget=2)
        assert found.streams[4] == found.streams[2] != found.streams[1]

    def test_wide_graphs_are_spread_evenly(self) -> None:
        found = assign([Work(GPU, (), 1e-3) for _ in range(64)], budget=16)
        assert [found.streams.count(i) for i in range(16)] == [4] * 16


class TestChains:
    @given(graphs)
    def test_the_reduction_has_the_same_order_and_no_edge_too_many(self, graph: GraphSeed) -> None:
        reads = [tuple(p for p in s.after if p != INGRESS) for s in random_steps(*graph)]
        reduced = reduction(reads)
        assert ancestors(reduced) == ancestors(reads)
        above = ancestors(reads)
        for node, kept in enumerate(reduced):
            assert set(kept) <= set(reads[node])
            assert not any(above[a] >> b & 1 for a in kept for b in kept)
            assert node >= len(reads) or all(a < b for a, b in pairwise(kept))

    def test_what_may_not_run_implies_nothing(self) -> None:
        reads = [(), (0,), (0, 1)]
        assert reduction(reads)[2] == (1,)
        assert reduction(reads, through=0b101)[2] == (0, 1)

    @given(st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 7), unique=True), max_size=8))
    def test_matchings_are_the_largest(self, choices: dict[int, list[int]]) -> None:
        found = matching(choices)
        assert len(set(found.values())) == len(found)
        assert all(choice in choices[node] for node, choice in found.items())
        assert len(found) == _largest(tuple(sorted(choices)), choices, frozenset())

    def test_long_augmenting_paths_need_no_recursion(self) -> None:
        size = 5000
        choices = {i: [i, i + 1] for i in range(size)}
        choices[size] = [0]
        assert len(matching(choices)) == size + 1

    @pytest.mark.parametrize("shape", ["chain", "wide", "blocks"])
    def test_work_grows_with_the_graph(self, shape: str) -> None:
        few, many = (function_calls(partial(assign, shaped(shape, size))) for size in (200, 2000))
        assert many < 12 * few


def shaped(shape: str, size: int) -> list[Work]:
    """A chain; steps side by side; tens that branch off and meet again."""
    if shape == "wide":
        return [Work(GPU, ()) for _ in range(size)]
    far = [(i - 1, i - 9) if shape == "blocks" and i % 10 == 9 else (i - 1,) for i in range(size)]
    return [Work(GPU, tuple(sorted(after))) for after in far]


def _largest(nodes: tuple[int, ...], choices: dict[int, list[int]], used: frozenset[int]) -> int:
    """By trying everything."""
    if not nodes:
        return 0
    first, *rest = nodes
    best = _largest(tuple(rest), choices, used)
    for choice in choices[first]:
        if choice not in used:
            best = max(best, 1 + _largest(tuple(rest), choices, used | {choice}))
            if best == len(nodes):
                break
    return best
