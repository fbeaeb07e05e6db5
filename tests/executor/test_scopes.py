"""Scopes in scopes: what ends above ends all below, what fails below goes up to who asked, and nothing stays."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import pytest

from executor.errors import Cancelled, DeadlineExceeded, StageFailed
from tests.pipeline_dsl.graphs import number, stage

from .gates import PATIENCE, answer, row, scene
from .nesting import Nest
from .plain import running
from .test_engine import MS
from .test_map import rows
from .test_memory import forget, gone, no_collector

IN = {"x": "f32[*, 4]"}
OUT = {"y": "f32[*, 4]"}
PAIR = {"a": "f32[*, 4]", "b": "f32[*, 4]"}


def maps(backend: str = "plain", on_error: Any = "fail", **options: Any) -> Nest:
    """x: f32[N, 4] -> map -> map over the four values: add one -> out; both stages are joined in the inner body"""
    made = Nest()
    x = made.input("x", "f32[N, 4]")
    one = {"v": "f32[*]"}, {"w": "f32[*]"}
    s = stage("s", *one, backend=backend)
    t = stage("t", *one, backend="plain")
    both = stage("both", {"a": "f32[*]", "b": "f32[*]"}, {"w": "f32[*]"}, backend="plain")

    def inner(j: Any) -> Any:
        left, right = made.call("l", s, j, binding="lift"), made.call("r", t, j, binding="lift")
        return [made.call("both", both, left, right, binding="lift")]

    def outer(i: Any) -> Any:
        return made.map("inner", {"j": (i, "f32")}, inner, {"w": "f32[4]"}, on_error=on_error)

    (out,) = made.map("outer", {"i": (x, "f32[4]")}, outer, {"out": "f32[N, 4]"}, **options)
    made.output("out", out, "f32[N, 4]")
    return made


def test_cancelled_in_the_middle_of_nested_maps() -> None:
    shut, inside = threading.Event(), threading.Event()

    def slow(v: Any) -> Any:
        inside.set()
        assert shut.wait(PATIENCE)
        return (v,)

    functions = {"s": slow, "t": lambda v: (v + 1,), "both": lambda a, b: (a + b,)}
    with running(maps(), functions, delay=0) as r:
        job = r.send(x=rows(1, 2, 3))
        assert inside.wait(PATIENCE)
        assert job.cancel()
        assert [text for text in r.engine.check_idle() if "slot" not in text] == [], "while the stage still runs"
        shut.set()
        with pytest.raises(Cancelled):
            job.result(PATIENCE)


def test_late_in_the_middle_of_nested_maps() -> None:
    with scene(maps("gate", on_error="drop")) as s:
        job = s.engine.submit("p", {"x": rows(1, 2)}, timeout=0.05)
        s.gate.began()
        s.clock.advance(50 * MS)
        with pytest.raises(DeadlineExceeded):
            answer(job)
        s.gate.open(10)


def test_a_failure_goes_up_through_all_that_does_not_mend_it() -> None:
    def picky(v: Any) -> Any:
        if (v == 2).any():
            raise ValueError("two")
        return (v,)

    functions = {"s": picky, "t": lambda v: (v + 1,), "both": lambda a, b: (a + b,)}
    with running(maps(), functions) as r:
        bad, good = r.send(x=rows(1, 2)), r.send(x=rows(3))
        r.finish(bad, good)
        assert good.result()["out"].tolist() == [[7, 7, 7, 7]]
        error = bad.exception()
        assert isinstance(error, StageFailed)
        assert error.message.endswith("(item 0 of `p.inner`) (item 1 of `p.outer`)")
    with running(maps(on_error="fail", in_flight=1), functions) as r:
        job = r.send(x=rows(1, 3, 2, 4))
        r.finish(job)
        assert isinstance(job.exception(), StageFailed)


def test_the_outer_map_may_drop_what_fails_inside() -> None:
    made = maps()

    def picky(v: Any) -> Any:
        if (v == 2).any():
            raise ValueError("two")
        return (v,)

    functions = {"s": picky, "t": lambda v: (v,), "both": lambda a, b: (a + b,)}
    (outer,) = [n for n in made.nodes if n.id == "p.outer"]
    object.__setattr__(outer, "on_error", "drop")
    with running(made, functions) as r:
        assert r.ask(x=rows(1, 2, 3))["out"][:, 0].tolist() == [2, 6]


def test_arms_meet_again_at_a_join_of_the_same_request() -> None:
    """Two branches part the same requests differently; what reads both waits for both, request by request."""
    made = Nest()
    left, right, x = made.input("left", "bool"), made.input("right", "bool"), made.input("x")
    names = ("a", "b", "c")
    a, b, c = (stage(name, IN, OUT, backend="plain") for name in names)
    both = stage("both", PAIR, OUT, backend="plain")
    (one,) = made.branch("one", left, {True: lambda: [made.call("na", a, x)], None: lambda: [x]}, {"y": "f32[B, 4]"})
    (two,) = made.branch(
        "two", right, {True: lambda: [made.call("nb", b, x)], None: lambda: [made.call("nc", c, x)]}, {"y": "f32[B, 4]"}
    )
    made.output("out", made.call("both", both, one, two))
    functions = {
        "a": lambda x: (x + 10,),
        "b": lambda x: (x + 100,),
        "c": lambda x: (x + 1000,),
        "both": lambda a, b: (a + b,),
    }
    with running(made, functions) as r:
        jobs = [r.send(left=i % 2 == 0, right=i % 3 == 0, x=row(i)) for i in range(12)]
        for i, found in enumerate(r.answers(*jobs)):
            expected = 2 * i + (10 if i % 2 == 0 else 0) + (100 if i % 3 == 0 else 1000)
            assert found["out"][0, 0] == expected


def everything() -> Nest:
    """x -> map: if sure(item): try s(item) fallback item, else a route -> out"""
    made = Nest()
    x = made.input("x", "f32[N, 4]")
    s = stage("s", IN, OUT, backend="plain")
    sure = stage("sure", IN, {"f": "bool[*]"}, backend="plain")

    def body(item: Any) -> Any:
        flag = made.call("flag", sure, item, binding="lift")

        def then() -> Any:
            return made.attempt(
                "t",
                lambda: [made.call("y", s, item, binding="lift")],
                lambda: [item],
                {"z": "f32[4]"},
                timeout_ns=1000 * MS,
                retries=1,
                hedge_ns=900 * MS,
            )

        def other() -> Any:
            arms = {"a": (0.5, lambda: [item]), "b": (0.5, lambda: [made.call("yb", s, item, binding="lift")])}
            return made.route("r", number(1, "i64"), arms, {"z": "f32[4]"})

        return made.branch("pick", flag, {True: then, None: other}, {"z": "f32[4]"})

    (out,) = made.map("out", {"i": (x, "f32[4]")}, body, {"out": "f32[N, 4]"}, on_error="drop")
    made.output("out", out, "f32[N, 4]")
    return made


def test_what_was_below_a_request_dies_with_its_answer() -> None:
    """Children, scopes and columns hold one another no longer once they ended: no collector is needed."""

    def s(x: Any) -> Any:
        if (x[:, 0] == 2).any():
            raise ValueError("two")
        return (x + 1,)

    with running(everything(), {"s": s, "sure": lambda x: (x[:, 0] < 3,)}, delay=0) as r, no_collector():
        refs = []
        for _ in range(3):
            x = rows(2, *[0, 1, 3, 4] * 20)
            refs.append(weakref.ref(x))
            found = r.send(x=x).result(PATIENCE)
            assert len(found["out"]) == 81
            refs.append(weakref.ref(found["out"]))
            del x, found
            forget(r)
        assert r.engine.drain(PATIENCE)
        assert gone(*refs)


def test_what_was_below_a_request_dies_with_its_cancellation() -> None:
    shut, inside = threading.Event(), threading.Event()

    def s(x: Any) -> Any:
        inside.set()
        assert shut.wait(PATIENCE)
        return (x + 1,)

    with running(everything(), {"s": s, "sure": lambda x: (x[:, 0] < 3,)}, delay=0) as r, no_collector():
        x = np.ones((64, 4), np.float32)
        ref = weakref.ref(x)
        job = r.send(x=x)
        assert inside.wait(PATIENCE)
        job.cancel()
        del x
        shut.set()
        assert r.engine.drain(PATIENCE)
        forget(r)
        del job
        assert gone(ref)


# ---- out of memory, at every step of ours


def no_room(*_: Any) -> Any:
    raise MemoryError("no room")


@pytest.mark.parametrize(
    "step",
    [
        "map.fold",
        "map.unfold",
        "map.gather",
        "map.repeated",
        "map.parents",
        "attempt.gather",
        "attempt.parents",
        "attempt.chosen",
        "branch.host_values",
        "route.share_of",
    ],
)
def test_out_of_memory_in_a_construct(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def s(x: Any) -> Any:
        if (x[:, 0] == 2).any():
            raise ValueError("two")
        return (x + 1,)

    made = everything()
    with running(made, {"s": s, "sure": lambda x: (x[:, 0] < 3,)}, delay=0) as r:
        with monkeypatch.context() as patch:
            patch.setattr(f"executor.control.{step}", no_room)
            for _ in range(3):
                job = r.send(x=rows(1, 2, 3, 4))
                assert isinstance(job.exception(PATIENCE), StageFailed | None)
        assert len(r.send(x=rows(1, 2, 3, 4)).result(PATIENCE)["out"]) == 4
