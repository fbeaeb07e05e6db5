"""`map`: what goes into its body in which batches, and what comes out for whom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backends.values import InvalidInput, Ragged
from executor.errors import InvalidArgument, StageFailed
from pipeline_dsl.ir import Apply
from tests.pipeline_dsl.graphs import number, stage

from .gates import answer, scene
from .nesting import Nest
from .plain import running

ROWS = {"x": "f32[*, 4]"}
OUT = {"y": "f32[*, 4]"}
BAD = 100.0


def rows(*values: float) -> Any:
    """A row of four for each value."""
    return np.repeat(np.array(values, np.float32)[:, None], 4, 1)


def double(x: Any) -> Any:
    if (x >= BAD).any():
        raise ValueError("too large")
    return (x * 2,)


def mapped(body: Any = None, results: Any = None, backend: str = "plain", **options: Any) -> Nest:
    """x: f32[N, 4] -> map -> out"""
    made = Nest()
    x = made.input("x", "f32[N, 4]")
    called = stage("s", ROWS, OUT, backend=backend)
    inside = body or (lambda item: [made.call("y", called, item, binding="lift")])
    found = made.map("out", {"item": (x, "f32[4]")}, inside, results or {"out": "f32[N, 4]"}, **options)
    for ref in found:
        made.output(ref.port, ref, (results or {"out": "f32[N, 4]"})[ref.port])
    return made


def test_items_of_all_requests_share_batches() -> None:
    with running(mapped(), {"s": double}) as r:
        answers = r.answers(*[r.send(x=rows(*v)) for v in ((1, 2), (3,), (4, 5, 6))])
        assert [a["out"][:, 0].tolist() for a in answers] == [[2, 4], [6], [8, 10, 12]]
        assert r.rows("s") == [6]


@pytest.mark.host
def test_folding_copies_nothing() -> None:
    """The items of a request are views of what it brought, and its answer is what the stage made."""
    seen: list[Any] = []

    def keep(x: Any) -> Any:
        made = x * 2
        seen.extend((x, made))
        return (made,)

    x = rows(1, 2, 3)
    with running(mapped(), {"s": keep}) as r:
        answer = r.ask(x=x)["out"]
        assert np.shares_memory(seen[0], x)
        assert np.shares_memory(seen[1], answer)
        assert r.engine.stats().copied_bytes.get("p.out", {}) == {}
        assert not any(n.copied_bytes for n in r.engine.stats().nodes)


def test_no_items() -> None:
    with running(mapped(results={"out": "f32[N, 4]"}), {"s": double}) as r:
        empty, full = r.answers(r.send(x=rows()), r.send(x=rows(1)))
        assert (empty["out"].shape, empty["out"].dtype) == ((0, 4), np.float32)
        assert full["out"].shape == (1, 4)
        assert r.rows("s") == [1]
        assert r.ask(x=rows())["out"].shape == (0, 4)


def test_texts() -> None:
    made = Nest()
    x = made.input("x", "string[N]")
    called = stage("s", {"t": "string[*]"}, {"u": "string[*]"}, backend="plain")
    (out,) = made.map(
        "out",
        {"item": (x, "string")},
        lambda item: [made.call("y", called, item, binding="lift")],
        {"out": "string[N]"},
    )
    made.output("out", out, "string[N]")

    def upper(t: Any) -> Any:
        found = np.empty(len(t), object)
        found[:] = [w.upper() for w in t]
        return (found,)

    with running(made, {"s": upper}) as r:
        first, second = r.answers(r.send(x=["a", "b"]), r.send(x=["c"]))
        assert first["out"].tolist() == ["A", "B"]
        assert second["out"].tolist() == ["C"]
        none = r.ask(x=np.empty(0, object))["out"]
        assert (none.shape, none.dtype) == ((0,), object)


def test_a_stage_without_rows_runs_for_each_item() -> None:
    made = Nest()
    x = made.input("x", "f32[N, 4]")
    called = stage("s", {"v": "f32[4]"}, {"n": "f32"}, backend="plain")
    (out,) = made.map(
        "out", {"i": (x, "f32[4]")}, lambda i: [made.call("y", called, i, binding="each")], {"out": "f32[N]"}
    )
    made.output("out", out, "f32[N]")
    with running(made, {"s": lambda v: (float(v.sum()),)}) as r:
        assert r.ask(x=rows(1, 2))["out"].tolist() == [4, 8]


def test_what_is_outside_is_repeated_for_each_item() -> None:
    made = Nest()
    x = made.input("x", "f32[N, 4]")
    k = made.input("k", "f32")
    called = stage("s", {"x": "f32[*, 4]", "k": "f32[*]"}, OUT, backend="plain")
    (out,) = made.map(
        "out",
        {"i": (x, "f32[4]")},
        lambda i: [made.call("y", called, i, k, binding="lift")],
        {"out": "f32[N, 4]"},
    )
    made.output("out", out, "f32[N, 4]")
    with running(made, {"s": lambda x, k: (x * k[:, None],)}) as r:
        first, second = r.answers(r.send(x=rows(1, 2), k=10), r.send(x=rows(3), k=7))
        assert (first["out"][:, 0].tolist(), second["out"][:, 0].tolist()) == ([10, 20], [21])
        assert r.rows("s") == [3]


def test_two_sources() -> None:
    made = Nest()
    x, z = made.input("x", "f32[N, 4]"), made.input("z", "f32[M]")
    called = stage("s", {"x": "f32[*, 4]", "k": "f32[*]"}, OUT, backend="plain")
    (out,) = made.map(
        "out",
        {"i": (x, "f32[4]"), "j": (z, "f32")},
        lambda i, j: [made.call("y", called, i, j, binding="lift")],
        {"out": "f32[N, 4]"},
    )
    made.output("out", out, "f32[N, 4]")
    with running(made, {"s": lambda x, k: (x * k[:, None],)}) as r:
        good, bad = r.send(x=rows(1, 2), z=[3, 4]), r.send(x=rows(1, 2), z=[3, 4, 5])
        r.finish(good, bad)
        assert good.result()["out"][:, 0].tolist() == [3, 8]
        error = bad.exception()
        assert isinstance(error, InvalidArgument)
        assert "2, 3 items" in str(error)
        assert error.node == "p.out"


def test_more_items_than_the_maximum() -> None:
    with running(mapped(maximum=100), {"s": double}) as r:
        many, few = r.send(x=rows(*range(100)) * 0), r.send(x=np.zeros((1_000_000, 4), np.float32))
        r.finish(many, few)
        assert len(many.result()["out"]) == 100
        error = few.exception()
        assert isinstance(error, InvalidArgument)
        assert str(error) == (
            f"p.out: 1,000,000 items are more than `max = 100` allows (request {few.request.id})"  # type: ignore[union-attr]  # it was sent
        )
        assert sum(r.rows("s")) == 100


def test_items_of_one_that_fails_end_it() -> None:
    with running(mapped(), {"s": double}) as r:
        bad, good = r.send(x=rows(1, BAD, 3)), r.send(x=rows(4, 5))
        r.finish(bad, good)
        assert good.result()["out"][:, 0].tolist() == [8, 10]
        error = bad.exception()
        assert isinstance(error, StageFailed)
        assert "(item 1 of `p.out`)" in error.message
        assert (error.node, error.request_id) == ("p.y", bad.request.id)  # type: ignore[union-attr]  # it was sent


@pytest.mark.parametrize("order", ["keep", "any"])
def test_failed_items_are_marked(order: Any) -> None:
    results = {"out": "f32[N, 4]", "ok": "bool[N]"}
    with running(mapped(results=results, on_error="mark", order=order), {"s": double}) as r:
        some, none, every = r.send(x=rows(1, BAD, 3)), r.send(x=rows(4)), r.send(x=rows(BAD, BAD))
        r.finish(some, none, every)
        found = some.result()
        pairs = list(zip(found["out"][:, 0].tolist(), found["ok"].tolist()))
        assert (sorted(pairs) if order == "any" else pairs) == (
            [(0, False), (2, True), (6, True)] if order == "any" else [(2, True), (0, False), (6, True)]
        )
        assert none.result()["ok"].tolist() == [True]
        assert every.result()["ok"].tolist() == [False, False]
        assert every.result()["out"].shape[0] == 2
        empty = r.ask(x=rows())
        assert (empty["ok"].shape, empty["ok"].dtype) == ((0,), np.bool_)


def test_failed_items_are_dropped() -> None:
    with running(mapped(on_error="drop"), {"s": double}) as r:
        some, every = r.send(x=rows(1, BAD, 3)), r.send(x=rows(BAD))
        r.finish(some, every)
        assert some.result()["out"][:, 0].tolist() == [2, 6]
        assert every.result()["out"].shape == (0, 4)


def test_rows_of_unequal_size() -> None:
    """One item gives a vector of any length; together they are ragged."""
    made = Nest()
    x = made.input("x", "f32[N, 4]")
    called = stage("s", {"v": "f32[4]"}, {"w": "f32[K]"}, backend="plain")
    (out,) = made.map(
        "out", {"i": (x, "f32[4]")}, lambda i: [made.call("y", called, i, binding="each")], {"out": "f32[N, ~K]"}
    )
    made.output("out", out, "f32[N, ~K]")
    with running(made, {"s": lambda v: (np.arange(v[0], dtype=np.float32),)}) as r:
        found = r.ask(x=rows(2, 0, 3))["out"]
        assert isinstance(found, Ragged)
        assert [row.tolist() for row in found] == [[0, 1], [], [0, 1, 2]]
        none = r.ask(x=rows())["out"]
        assert isinstance(none, Ragged)
        assert len(none) == 0


def test_over_ragged_rows_and_over_each_of_them() -> None:
    """A map in a map: the outer over rows of unequal size, the inner over what is in each."""
    made = Nest()
    x = made.input("x", "f32[N, ~K]")
    called = stage("s", {"v": "f32[*]"}, {"w": "f32[*]"}, backend="plain")

    def inner(i: Any) -> Any:
        return made.map(
            "inner", {"j": (i, "f32")}, lambda j: [made.call("y", called, j, binding="lift")], {"w": "f32[K]"}
        )

    (out,) = made.map("out", {"i": (x, "f32[K]")}, inner, {"out": "f32[N, ~K]"})
    made.output("out", out, "f32[N, ~K]")
    with running(made, {"s": lambda v: (v + 1,)}) as r:
        ragged = [np.arange(n, dtype=np.float32) for n in (2, 0, 3)]
        first, second = r.answers(r.send(x=ragged), r.send(x=[np.ones(1, np.float32)]))
        assert [row.tolist() for row in first["out"]] == [[1, 2], [], [1, 2, 3]]
        assert [row.tolist() for row in second["out"]] == [[2]]
        assert r.rows("s") == [6]


def test_windows() -> None:
    """A request has at most `in_flight` items under way; others are not held back by it."""
    with running(mapped(in_flight=2), {"s": double}) as r:
        giant, small = r.send(x=rows(1, 2, 3, 4, 5)), r.send(x=rows(6, 7))
        r.tick()
        assert small.result(5)["out"][:, 0].tolist() == [12, 14]
        assert giant.done() is False
        r.finish(giant)
        assert giant.result()["out"][:, 0].tolist() == [2, 4, 6, 8, 10]
        assert r.rows("s") == [4, 2, 1]


def test_windows_with_items_that_fail() -> None:
    with running(mapped(in_flight=2, on_error="drop"), {"s": double}) as r:
        job = r.send(x=rows(BAD, 2, BAD, BAD, 5))
        r.finish(job)
        assert job.result()["out"][:, 0].tolist() == [4, 10]


def test_a_slow_item_holds_nobody_elses_answer() -> None:
    with scene(mapped(backend="gate"), batching_max=1, queue_max=10) as s:
        first = s.engine.submit("p", {"x": rows(1, 2)})
        second = s.engine.submit("p", {"x": rows(3)})
        s.gate.began()
        s.gate.open(1)
        s.gate.began()
        s.gate.open(1)
        s.gate.began()
        assert answer(first)["out"][:, 0].tolist() == [1, 2]
        assert not second.done()
        s.gate.open(1)
        assert answer(second)["out"][:, 0].tolist() == [3]


def test_cancelled_while_its_items_wait_and_run() -> None:
    with scene(mapped(backend="gate"), batching_max=1, queue_max=10) as s:
        job = s.engine.submit("p", {"x": rows(1, 2, 3)})
        s.gate.began()
        assert job.cancel()
        s.gate.open(1)
        other = s.engine.submit("p", {"x": rows(4)})
        s.gate.began()
        s.gate.open(1)
        assert answer(other)["out"][:, 0].tolist() == [4]
        assert s.gate.rows() == [[1], [4]]


def test_executions_of_items_are_those_of_the_request() -> None:
    with running(mapped(), {"s": double}) as r:
        found = r.ask(x=rows(1, 2, 3))
        assert [(e.node, e.rows) for e in found.executions] == [("p.y", 3)]
        assert found.timings["y"].batch_rows == 3
        events = r.engine.stats().constructs
        assert events["map", "p.out", "success"] == 3


def test_constants_and_expressions_of_items() -> None:
    made = Nest()
    x = made.input("x", "f32[N]")
    out, tag = made.map(
        "out",
        {"i": (x, "f32")},
        lambda i: [made.compute("c", "+", i, Apply("*", (i, number(10)))), number(7, "i64")],
        {"out": "f32[N]", "tag": "i64[N]"},
    )
    made.output("out", out, "f32[N]")
    made.output("tag", tag, "i64[N]")
    with running(made, {}) as r:
        found = r.ask(x=[1, 2])
        assert found["out"].tolist() == [11, 22]
        assert found["tag"].tolist() == [7, 7]


def test_invalid_items() -> None:
    def refuse(x: Any) -> Any:
        raise InvalidInput("no such item")

    with running(mapped(), {"s": refuse}) as r:
        job = r.send(x=rows(1))
        r.finish(job)
        assert isinstance(job.exception(), InvalidArgument)
