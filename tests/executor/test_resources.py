"""`limit`: executions hold units of shared resources; turns by priority, nobody starves, nothing is left over."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

import backends
from executor import Engine
from executor.clock import ManualClock
from executor.resources import Claim, Resources, totals_of
from pipeline_dsl.plan import ResourceClaim, StagePlan
from pipeline_dsl.planning import build
from tests.pipeline_dsl.graphs import HOST, Build, stage

from .gates import PATIENCE, Gate, answer, row


class Fake:
    """A stage and its claim, as far as resources look at them."""

    def __init__(self, resources: Resources, name: str, priority: int, units: dict[str, int]) -> None:
        self.name = name
        self.limits = tuple(ResourceClaim(n, u) for n, u in units.items())
        self.limit_priority = priority
        self.claim = Claim(resources, cast(Any, self))

    def take(self) -> bool:
        return self.claim.take(cast(Any, self))

    def back(self) -> list[str]:
        """Those that wait, after it has ended."""
        return [cast(Any, s).name for s in self.claim.give_back()]

    def leave(self) -> None:
        self.claim.leave()


def claim(resources: Resources, name: str, priority: int = 1, **units: int) -> Fake:
    return Fake(resources, name, priority, units)


def test_as_many_run_as_there_are_units() -> None:
    resources = Resources({"bus": 2})
    a, b, c = (claim(resources, n, bus=1) for n in "abc")
    assert [a.take(), b.take(), c.take()] == [True, True, False]
    assert a.back() == ["c"]
    assert c.take()
    assert resources.held == {"bus": 2}
    b.back(), c.back()
    assert resources.held == {"bus": 0}


def test_all_units_are_taken_at_once_or_none() -> None:
    resources = Resources({"bus": 1, "disk": 1})
    both, disk = claim(resources, "both", bus=1, disk=1), claim(resources, "disk", disk=1)
    assert disk.take()
    assert not both.take()
    assert resources.held == {"bus": 0, "disk": 1}
    assert disk.back() == ["both"]
    assert both.take()


def test_a_large_claim_is_not_starved_by_small_ones() -> None:
    resources = Resources({"bus": 2})
    small, other, large = (claim(resources, n, bus=u) for n, u in (("small", 1), ("other", 1), ("large", 2)))
    assert small.take()
    assert not large.take()
    assert not other.take(), "the unit that is free is kept for the large one"
    assert small.back() == ["large", "other"]
    assert large.take()


def test_who_waits_for_something_else_is_not_held_up() -> None:
    resources = Resources({"bus": 1, "disk": 1})
    a, b, disk = claim(resources, "a", bus=1), claim(resources, "b", bus=1), claim(resources, "d", disk=1)
    assert a.take()
    assert not b.take()
    assert disk.take()


def test_priority_two_has_half_the_turns_of_priority_one() -> None:
    resources = Resources({"bus": 1})
    first, second = claim(resources, "first", bus=1), claim(resources, "second", priority=2, bus=1)
    turns, running, other = "1", first, second
    assert first.take()
    for _ in range(11):
        assert not other.take()
        running.back()
        if not running.take():  # it wants to go on, and it is the other one's turn
            assert other.take()
            running, other = other, running
        turns += "1" if running is first else "2"
    assert turns == "112112112112" or turns == "121121121121"


def test_who_has_nothing_to_run_leaves_the_line() -> None:
    resources = Resources({"bus": 1})
    a, b, c = (claim(resources, n, bus=1) for n in "abc")
    a.take(), b.take(), c.take()
    b.leave()
    assert a.back() == ["c"]


def test_totals_are_the_largest_claim_or_what_the_profile_says() -> None:
    plans: Any = [type("P", (), {"limits": (ResourceClaim("bus", n),)})() for n in (1, 3)]
    assert totals_of(plans, {}) == {"bus": 3}
    assert totals_of(plans, {"bus": 5, "disk": 1}) == {"bus": 5, "disk": 1}
    assert totals_of(plans, {"bus": 2}) == {"bus": 3}


# ---- in an engine


def engine_of(claims: dict[str, dict[str, Any]], instances: int = 1) -> tuple[Engine, Gate]:
    """Pipelines `a` and `b`, each with a gated stage of its name."""
    gate = Gate()
    backends.register("gate", lambda: gate)
    builds = []
    for name in claims:
        made = Build(name)
        made.output("out", made.call("s", stage(f"{name}_s", backend="gate"), made.input("x")))
        builds.append(made)
    settings = {f"{name}_s": {"instances": instances, **keys} for name, keys in claims.items()}
    engine = Engine(build(builds[0].program(*builds[1:], stages=settings), HOST), ManualClock())
    engine.start()
    return engine, gate


def test_stages_that_share_a_resource_take_turns() -> None:
    engine, gate = engine_of({"a": {"limit.resource.bus": 1}, "b": {"limit.resource.bus": 1}})
    try:
        first, second = engine.submit("a", {"x": row(1)}), engine.submit("b", {"x": row(2)})
        gate.began()
        assert engine.stats().resources[0].held == 1
        assert len(gate.seen) == 1
        gate.open()
        answer(first)
        gate.began()
        gate.open()
        answer(second)
        assert engine.drain(PATIENCE)
        assert engine.check_idle() == []
    finally:
        engine.stop()


def test_instances_of_one_stage_count_each() -> None:
    claims = {"limit.resource.bus": 1, "limit.total.bus": 2, "batching.max": 1}
    engine, gate = engine_of({"a": claims}, instances=3)
    try:
        jobs = [engine.submit("a", {"x": row(v)}) for v in range(3)]
        gate.began(), gate.began()
        assert engine.stats().resources[0].held == 2
        assert len(gate.seen) == 2
        gate.open(3)
        for value, job in enumerate(jobs):
            np.testing.assert_array_equal(answer(job)["out"], row(value))
        assert engine.drain(PATIENCE)
        assert engine.check_idle() == []
    finally:
        engine.stop()


def test_a_request_that_gives_up_while_it_waits_holds_nothing() -> None:
    engine, gate = engine_of({"a": {"limit.resource.bus": 1}, "b": {"limit.resource.bus": 1}})
    try:
        first, second = engine.submit("a", {"x": row(1)}), engine.submit("b", {"x": row(2)})
        gate.began()
        second.cancel()
        gate.open()
        answer(first)
        third = engine.submit("a", {"x": row(3)})
        gate.began()
        gate.open()
        answer(third)
        assert engine.drain(PATIENCE)
        assert engine.check_idle() == []
    finally:
        engine.stop()


def test_a_stage_plan_without_limits_claims_nothing() -> None:
    engine, gate = engine_of({"a": {}})
    gate.always_open = True
    try:
        plan: StagePlan = engine.plan.stages[0]
        assert plan.limits == ()
        assert engine.stages[0].claim is None
    finally:
        engine.stop()
