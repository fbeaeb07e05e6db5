"""`try`: attempts, their time, and what is done when none comes to its end."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from backends.base import BatchResult
from backends.values import InvalidInput
from executor.budget import RETRY_BURST
from executor.errors import Cancelled, DeadlineExceeded, StageFailed
from tests.pipeline_dsl.graphs import number, stage

from .gates import PATIENCE, Scene, answer, scene
from .nesting import Nest
from .plain import running
from .test_engine import MS
from .test_map import rows

IN = {"x": "f32[*, 4]"}
OUT = {"y": "f32[*, 4]"}


def guarded(backend: str = "plain", fallback: Any = None, effects: Any = "repeatable", **options: Any) -> Nest:
    """x -> try s(x) fallback err: x -> out, err"""
    made = Nest()
    x = made.input("x")
    s = stage("s", IN, OUT, backend=backend, effects=effects)
    none = number(None, "json")
    results = {"out": "f32[B, 4]", "told": "json"}
    body = lambda: [made.call("y", s, x), none]  # noqa: E731 - beside the other region
    for ref in made.attempt("t", body, fallback or (lambda err: [x, err]), results, err="err", **options):
        made.output(ref.port, ref, results[ref.port])
    return made


def fails(*bad: float) -> Any:
    def call(x: Any) -> Any:
        if np.isin(x[:, 0], bad).any():
            raise ValueError("bad")
        return (x + 10,)

    return call


def test_the_body_where_it_does_not_fail() -> None:
    with running(guarded(), {"s": fails()}) as r:
        found = r.answers(r.send(x=rows(1)), r.send(x=rows(2)))
        assert [(a["out"][0, 0], a["told"]) for a in found] == [(11, None), (12, None)]
        assert r.rows("s") == [2]


def test_the_fallback_is_told_why() -> None:
    with running(guarded(), {"s": fails(2)}) as r:
        good, bad = r.answers(r.send(x=rows(1)), r.send(x=rows(2)))
        assert good["out"][0, 0] == 11
        assert bad["out"][0, 0] == 2
        assert bad["told"] == {
            "code": "INTERNAL",
            "message": "stage `s` raised ValueError: bad",
            "stage": "s",
        }
        assert r.engine.stats().constructs["try", "p.t", "fallback"] == 1


def test_a_fallback_that_fails_too_is_what_the_caller_is_told() -> None:
    made = Nest()
    x = made.input("x")
    s, b = stage("s", IN, OUT, backend="plain"), stage("b", IN, OUT, backend="plain")
    (out,) = made.attempt("t", lambda: [made.call("y", s, x)], lambda: [made.call("z", b, x)], {"out": "f32[B, 4]"})
    made.output("out", out)
    with running(made, {"s": fails(1), "b": fails(1)}) as r:
        job = r.send(x=rows(1))
        r.finish(job)
        error = job.exception()
        assert isinstance(error, StageFailed)
        assert error.node == "p.z"


def test_a_retry_may_succeed() -> None:
    calls: list[float] = []

    def once_bad(x: Any) -> Any:
        calls.append(x[0, 0])
        if len(calls) == 1:
            raise ValueError("the first time")
        return (x + 10,)

    with running(guarded(retries=1), {"s": once_bad}) as r:
        assert r.ask(x=rows(1))["out"][0, 0] == 11
        assert len(calls) == 2
        events = r.engine.stats().constructs
        assert (events["try", "p.t", "attempt"], events["try", "p.t", "retry"]) == (2, 1)
        assert ("try", "p.t", "fallback") not in events


def test_retries_come_to_an_end() -> None:
    with running(guarded(retries=2), {"s": fails(1)}) as r:
        assert r.ask(x=rows(1))["out"][0, 0] == 1
        assert r.rows("s") == [1, 1, 1]


def test_what_must_run_once_is_not_run_again() -> None:
    with running(guarded(retries=2, effects="once"), {"s": fails(1)}) as r:
        assert r.ask(x=rows(1))["out"][0, 0] == 1
        assert r.rows("s") == [1]


def test_what_the_caller_got_wrong_is_not_tried_again() -> None:
    def refuse(x: Any) -> Any:
        raise InvalidInput("no")

    with running(guarded(retries=2), {"s": refuse}) as r:
        found = r.ask(x=rows(1))
        assert found["told"]["code"] == "INVALID_ARGUMENT"
        assert r.rows("s") == [1]


def test_a_storm_of_retries_is_cut_off() -> None:
    many = int(RETRY_BURST) + 100
    with running(guarded(retries=1), {"s": fails(1)}, settings={"s": {"batching.max": 1}}) as r:
        for _ in range(many):
            r.ask(x=rows(1))
        assert many + RETRY_BURST - 1 <= len(r.rows("s")) <= many + RETRY_BURST + many / 10 + 2


def held(s: Scene, *values: float, **options: Any) -> list[Any]:
    """Requests whose batch has begun."""
    jobs = []
    for value in values:
        jobs.append(s.send(value, **options))
        s.gate.began()
    return jobs


def test_a_body_that_is_late() -> None:
    with scene(guarded("gate", timeout_ns=80 * MS)) as s:
        (job,) = held(s, 1)
        s.clock.advance(79 * MS)
        assert not job.done()
        s.clock.advance(MS)
        found = answer(job)
        assert found["out"][0, 0] == 1
        assert found["told"] == {"code": "DEADLINE_EXCEEDED", "message": "`timeout` of 80 ms passed", "stage": ""}
        s.gate.open()


def test_the_deadline_of_the_request_is_stronger() -> None:
    with scene(guarded("gate", timeout_ns=80 * MS)) as s:
        (job,) = held(s, 1, timeout=0.05)
        s.clock.advance(50 * MS)
        with pytest.raises(DeadlineExceeded, match="the deadline passed"):
            answer(job)
        s.clock.advance(50 * MS)
        s.gate.open()


def test_time_is_that_of_all_retries_together() -> None:
    with scene(guarded("gate", timeout_ns=80 * MS, retries=1)) as s:

        def broken(batch: Any) -> Any:
            raise ValueError("bad")

        s.gate.react = broken
        (job,) = held(s, 1)
        s.clock.advance(70 * MS)
        s.gate.open()
        s.gate.began()
        s.clock.advance(10 * MS)
        assert answer(job)["told"]["code"] == "DEADLINE_EXCEEDED"
        s.gate.open()


def test_a_queue_that_is_full_is_a_failure() -> None:
    with scene(guarded("gate"), batching_max=1, queue_max=1) as s:
        (first,) = held(s, 1)
        second, third = s.send(2), s.send(3)
        assert answer(third)["told"]["code"] == "RESOURCE_EXHAUSTED"
        s.gate.open(2)
        assert answer(first)["out"][0, 0] == 1
        assert answer(second)["told"] is None


def test_the_hedge_wins() -> None:
    """A second attempt beside a slow first one: it answers, and the first is forgotten."""
    with scene(guarded("gate", hedge_ns=20 * MS), instances=2) as s:
        first, inside = threading.Event(), threading.Event()
        begun: list[int] = []

        def react(batch: Any) -> Any:
            begun.append(len(begun))
            if begun[-1] == 0:
                inside.set()
                assert first.wait(PATIENCE)
            return BatchResult((batch.inputs[0] + len(begun),))

        s.gate.react = react
        (job,) = held(s, 1)
        s.gate.open()
        assert inside.wait(PATIENCE)
        s.clock.advance(20 * MS)
        s.gate.began()
        s.gate.open()
        assert answer(job)["out"][0, 0] == 3
        first.set()
        assert s.engine.drain(PATIENCE)
        events = s.engine.stats().constructs
        found = {what: n for (_, _, what), n in events.items()}
        assert found == {"attempt": 2, "hedge": 1, "hedge_won": 1, "success": 1}


def test_no_hedge_where_the_first_is_quick_or_effects_forbid_it() -> None:
    with scene(guarded("gate", hedge_ns=20 * MS)) as s:
        (job,) = held(s, 1)
        s.gate.open()
        answer(job)
        s.clock.advance(100 * MS)
        assert len(s.gate.seen) == 1
    with scene(guarded("gate", hedge_ns=20 * MS, effects="once")) as s:
        (job,) = held(s, 1)
        s.clock.advance(100 * MS)
        s.gate.open()
        answer(job)
        assert len(s.gate.seen) == 1


def test_one_of_two_attempts_may_fail() -> None:
    with scene(guarded("gate", hedge_ns=20 * MS), instances=2) as s:
        results = iter([ValueError("the one"), None])

        def react(batch: Any) -> Any:
            if (error := next(results)) is not None:
                raise error
            return BatchResult((batch.inputs[0] + 5,))

        s.gate.react = react
        (job,) = held(s, 1)
        s.clock.advance(20 * MS)
        s.gate.began()
        s.gate.open(2)
        assert answer(job)["out"][0, 0] == 6


def test_cancelled_requests_are_not_tried_again() -> None:
    with scene(guarded("gate", retries=3, timeout_ns=100 * MS)) as s:

        def broken(batch: Any) -> Any:
            raise ValueError("bad")

        s.gate.react = broken
        (job,) = held(s, 1)
        assert job.cancel()
        s.gate.open()
        with pytest.raises(Cancelled):
            answer(job)
        assert s.engine.drain(PATIENCE)
        s.clock.advance(100 * MS)
        assert len(s.gate.seen) == 1


def in_a_map(on_error: Any = "fail", **options: Any) -> Nest:
    """x: f32[N, 4] -> map: try s(item) fallback item -> out"""
    made = Nest()
    x = made.input("x", "f32[N, 4]")
    s = stage("s", IN, OUT, backend="plain")

    def body(item: Any) -> Any:
        return made.attempt(
            "t", lambda: [made.call("y", s, item, binding="lift")], lambda: [item], {"z": "f32[4]"}, **options
        )

    (out,) = made.map("out", {"i": (x, "f32[4]")}, body, {"out": "f32[N, 4]"}, on_error=on_error)
    made.output("out", out, "f32[N, 4]")
    return made


def test_a_try_for_each_item() -> None:
    with running(in_a_map(), {"s": fails(2, 4)}) as r:
        first, second = r.answers(r.send(x=rows(1, 2, 3)), r.send(x=rows(4, 5)))
        assert first["out"][:, 0].tolist() == [11, 2, 13]
        assert second["out"][:, 0].tolist() == [4, 15]


def test_a_map_in_a_try() -> None:
    made = Nest()
    x = made.input("x", "f32[N, 4]")
    s = stage("s", IN, OUT, backend="plain")

    def body() -> Any:
        return made.map(
            "m", {"i": (x, "f32[4]")}, lambda i: [made.call("y", s, i, binding="lift")], {"z": "f32[N, 4]"}, maximum=3
        )

    (out,) = made.attempt("t", body, lambda: [x], {"out": "f32[N, 4]"}, retries=1)
    made.output("out", out, "f32[N, 4]")
    with running(made, {"s": fails(2)}) as r:
        found = r.answers(*[r.send(x=rows(*v)) for v in ((1, 3), (1, 2), (1, 1, 1, 1))])
        assert [a["out"][:, 0].tolist() for a in found] == [[11, 13], [1, 2], [1, 1, 1, 1]]


def test_what_ran_for_attempts_is_part_of_the_answer() -> None:
    with running(guarded(retries=1), {"s": fails()}) as r:
        assert [e.node for e in r.ask(x=rows(1)).executions] == ["p.y"]


def test_timers_do_not_outlive_their_attempts() -> None:
    with running(guarded(timeout_ns=1000 * MS, hedge_ns=500 * MS), {"s": fails()}) as r:
        r.ask(x=rows(1))
        assert [t.call for _, _, t in r.clock._heap if t.call is not None] == []
