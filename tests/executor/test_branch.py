"""`if`, `match`: who takes which arm, and what that costs those who do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from executor.errors import InvalidArgument
from tests.pipeline_dsl.graphs import number, stage

from .gates import answer, scene
from .nesting import Nest
from .plain import running
from .test_map import rows

IN = {"x": "f32[*, 4]"}
OUT = {"y": "f32[*, 4]"}


def halves(subject: str = "bool") -> Nest:
    """which, x -> if which then a(x) else b(x) -> out"""
    made = Nest()
    which, x = made.input("which", subject), made.input("x")
    a, b = stage("a", IN, OUT, backend="plain"), stage("b", IN, OUT, backend="plain")
    arms = {True: lambda: [made.call("then", a, x)], None: lambda: [made.call("other", b, x)]}
    (out,) = made.branch("out", which, arms, {"out": "f32[B, 4]"})
    made.output("out", out)
    return made


FUNCTIONS = {"a": lambda x: (x + 10,), "b": lambda x: (x + 20,)}


def test_each_request_takes_its_arm() -> None:
    with running(halves(), FUNCTIONS) as r:
        jobs = [r.send(which=w, x=rows(v)) for v, w in enumerate([True, False, True, False])]
        found = [a["out"][0, 0] for a in r.answers(*jobs)]
        assert found == [10, 21, 12, 23]
        assert (r.rows("a"), r.rows("b")) == ([1, 1], [1, 1]) or (r.rows("a"), r.rows("b")) == ([2], [2])
        assert r.engine.stats().constructs["arm", "p.out", "case_1"] == 2


@pytest.mark.host
def test_the_arm_not_taken_runs_nothing_and_copies_nothing() -> None:
    with running(halves(), FUNCTIONS) as r:
        x = rows(1)
        r.ask(which=True, x=x)
        (batch,) = [b for s, b in r.backend.batches if s == "a"]
        assert np.shares_memory(batch.inputs[0], x)
        assert r.rows("b") == []
        assert not r.engine.stats().copied_bytes.get("p.out")


def test_an_answer_does_not_wait_for_the_other_arm() -> None:
    with running(halves(), FUNCTIONS, settings={"a": {"batching.delay": 5_000_000}}) as r:
        slow, fast = r.send(which=True, x=rows(1)), r.send(which=False, x=rows(2))
        r.tick()
        assert fast.result(5)["out"][0, 0] == 22
        assert not slow.done()
        r.finish(slow)


def test_match_on_texts_and_numbers() -> None:
    for type_, values in (("string", ("a", "b", "c")), ("i64", (3, 4, 5))):
        made = Nest()
        kind, x = made.input("kind", type_), made.input("x")
        a, b = stage("a", IN, OUT, backend="plain"), stage("b", IN, OUT, backend="plain")
        arms = {
            values[0]: lambda: [made.call("one", a, x)],  # noqa: B023 - called at once
            values[1:2]: lambda: [made.call("two", b, x)],  # noqa: B023 - called at once
        }
        (out,) = made.branch("out", kind, arms, {"out": "f32[B, 4]?"})
        made.output("out", out, "f32[B, 4]?")
        with running(made, FUNCTIONS) as r:
            found = r.answers(*[r.send(kind=v, x=rows(1)) for v in values])
            assert [a["out"] if a["out"] is None else a["out"][0, 0] for a in found] == [11, 21, None]
            assert r.engine.stats().constructs["arm", "p.out", "none"] == 1


def test_an_absent_result_at_a_stage_and_in_expressions() -> None:
    """Without an else: `??`, `present` and a port that is optional see that it is not there."""
    made = Nest()
    which, x, n = made.input("which", "bool"), made.input("x"), made.input("n", "f32")
    a = stage("a", IN, OUT, backend="plain")
    lean = stage("lean", {"x": "f32[*, 4]", "w": "f32[*, 4]?"}, OUT, backend="plain")
    (y, k) = made.branch("y", which, {True: lambda: [made.call("a", a, x), n]}, {"y": "f32[B, 4]?", "k": "f32?"})
    made.output("out", made.call("lean", lean, x, y))
    made.output("there", made.compute("there", "present", k, type_="bool"), "bool")
    made.output("default", made.compute("default", "??", k, number(-1.0)), "f32")
    functions = {"a": lambda x: (x + 10,), "lean": lambda x, w: (x if w is None else x + w,)}
    with running(made, functions) as r:
        yes, no = r.answers(*[r.send(which=w, x=rows(1), n=5) for w in (True, False)])
        assert (yes["out"][0, 0], yes["there"], yes["default"]) == (12, True, 5)
        assert (no["out"][0, 0], no["there"], no["default"]) == (1, False, -1)


def test_a_condition_that_is_not_a_number_is_false() -> None:
    made = Nest()
    score, x = made.input("score", "f32"), made.input("x")
    a, b = stage("a", IN, OUT, backend="plain"), stage("b", IN, OUT, backend="plain")
    sure = made.compute("sure", ">=", score, number(0.5), type_="bool")
    arms = {True: lambda: [made.call("then", a, x)], None: lambda: [made.call("other", b, x)]}
    (out,) = made.branch("out", sure, arms, {"out": "f32[B, 4]"})
    made.output("out", out)
    with running(made, FUNCTIONS) as r:
        assert r.ask(score=float("nan"), x=rows(1))["out"][0, 0] == 21


def test_a_condition_that_is_absent_ends_its_request_only() -> None:
    with running(halves("bool?"), FUNCTIONS) as r:
        bad, good = r.send(x=rows(1)), r.send(which=True, x=rows(2))
        r.finish(bad, good)
        assert good.result()["out"][0, 0] == 12
        error = bad.exception()
        assert isinstance(error, InvalidArgument)
        assert error.node == "p.out"


def cascade() -> Nest:
    """x: f32[N, 4] -> map: small; large only where small is not sure -> out"""
    made = Nest()
    x = made.input("x", "f32[N, 4]")
    small = stage("small", IN, {"y": "f32[*, 4]", "sure": "bool[*]"}, backend="plain")
    large = stage("large", IN, OUT, backend="plain")

    def body(item: Any) -> Any:
        y = made.call("s", small, item, binding="lift")
        sure = type(y)(y.node, "sure")
        arms = {
            True: lambda: [y, number("small", "string")],
            None: lambda: [made.call("l", large, item, binding="lift"), number("large", "string")],
        }
        return made.branch("pick", sure, arms, {"y": "f32[4]", "tier": "string"})

    out, tier = made.map("out", {"item": (x, "f32[4]")}, body, {"out": "f32[N, 4]", "tier": "string[N]"})
    made.output("out", out, "f32[N, 4]")
    made.output("tier", tier, "string[N]")
    return made


CASCADE = {"small": lambda x: (x + 1, x[:, 0] % 2 == 0), "large": lambda x: (x + 100,)}


def test_hard_rows_of_many_requests_share_a_batch_and_come_back_in_order() -> None:
    with running(cascade(), CASCADE) as r:
        jobs = [r.send(x=rows(*v)) for v in ((1, 2, 3), (4, 6), (), (5,))]
        found = r.answers(*jobs)
        assert [a["out"][:, 0].tolist() for a in found] == [[101, 3, 103], [5, 7], [], [105]]
        assert found[0]["tier"].tolist() == ["large", "small", "large"]
        assert (r.rows("small"), r.rows("large")) == ([6], [3])


@pytest.mark.host
def test_rows_that_all_take_one_arm_are_not_copied() -> None:
    with running(cascade(), CASCADE) as r:
        r.answers(r.send(x=rows(2, 4)))
        r.answers(r.send(x=rows(1, 3)))
        assert r.rows("large") == [2]
        assert not r.engine.stats().copied_bytes.get("p.pick")


def test_a_stage_that_must_run_is_waited_for_in_the_arm_taken() -> None:
    made = Nest()
    which, x = made.input("which", "bool"), made.input("x")
    once = stage("once", IN, OUT, backend="plain", effects="once")
    b = stage("b", IN, OUT, backend="plain")

    def arm() -> Any:
        made.call("audit", once, x)
        return [made.call("then", b, x)]

    (out,) = made.branch("out", which, {True: arm, None: lambda: [x]}, {"out": "f32[B, 4]"})
    made.output("out", out)
    made.output("other", x)
    functions = {"once": lambda x: (x,), "b": lambda x: (x + 1,)}
    with running(made, functions) as r:
        job = r.send(which=True, x=rows(1), options={"outputs": ["other"]})
        r.finish(job)
        assert r.rows("once") == [1], "it runs though nobody asked for what it is inside of"
        r.ask(which=False, x=rows(1))
        assert r.rows("once") == [1]


@pytest.mark.parametrize("value", [True, False])
def test_a_branch_in_a_branch(value: bool) -> None:
    made = Nest()
    which, x = made.input("which", "bool"), made.input("x")
    a, b = stage("a", IN, OUT, backend="plain"), stage("b", IN, OUT, backend="plain")

    def inner() -> Any:
        y = made.call("y", a, x)
        arms = {True: lambda: [made.call("deep", b, y)], None: lambda: [y]}
        return made.branch("inner", which, arms, {"z": "f32[B, 4]"})

    (out,) = made.branch("out", which, {None: inner}, {"out": "f32[B, 4]"})
    made.output("out", out)
    with running(made, FUNCTIONS) as r:
        assert r.ask(which=value, x=rows(0))["out"][0, 0] == (30 if value else 10)


def test_cancelled_in_an_arm() -> None:
    with scene(halves_at_gate()) as s:
        job = s.engine.submit("p", {"which": True, "x": rows(1)})
        s.gate.began()
        assert job.cancel()
        s.gate.open()
        other = s.engine.submit("p", {"which": True, "x": rows(2)})
        s.gate.open()
        assert answer(other)["out"][0, 0] == 2


def halves_at_gate() -> Nest:
    made = Nest()
    which, x = made.input("which", "bool"), made.input("x")
    s = stage("s", IN, OUT, backend="gate")
    (out,) = made.branch(
        "out", which, {True: lambda: [made.call("then", s, x)], None: lambda: [x]}, {"out": "f32[B, 4]"}
    )
    made.output("out", out)
    return made
