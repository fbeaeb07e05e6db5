"""Values on their way through the graph: what shares a batch, and that each request gets its own values back."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from backends.base import BatchResult
from backends.values import Ragged
from executor.errors import InvalidArgument, StageFailed
from pipeline_dsl.ir import Constant, RaggedRule
from tests.pipeline_dsl.graphs import Build, number, stage, type_of

from .plain import running


def filled(value: float, rows: int = 2) -> Any:
    return np.full((rows, 4), value, np.float32)


def vector(*values: float) -> Any:
    return np.asarray(values, np.float32)


def plain(name: str, *types: dict[str, str], **contract: Any) -> Any:
    """A stage of that name; `types` are its inputs and outputs, rows of four without."""
    return stage(name, *types, backend="plain", **contract)


def add_if_there(x: Any, w: Any) -> tuple[Any, ...]:
    return (x + (0 if w is None else w),)


# ---- ports without `*`: only requests with the same value share a batch


def test_vectors_that_a_stage_made_are_not_mixed_up() -> None:
    made = Build()
    x, v = made.input("x"), made.input("v", "f32[4]")
    w = made.call("w", plain("w", {"v": "f32[*, 4]"}), v, binding="lift")
    out = made.call("s", plain("s", {"x": "f32[*, 4]", "w": "f32[4]"}), x, w)
    made.output("out", out)
    with running(made, {"w": lambda v: (v * 1,), "s": lambda x, w: (x + w,)}) as r:
        jobs = [r.send(x=filled(i), v=np.full(4, 10 * i, np.float32)) for i in range(3)]
        for i, answer in enumerate(r.answers(*jobs)):
            np.testing.assert_array_equal(answer["out"], filled(11 * i))
        assert r.rows("w") == [3]
        assert r.rows("s") == [2, 2, 2]


def test_minus_zero_is_not_zero() -> None:
    made = Build()
    x, sign = made.input("x"), made.input("sign", "f32")
    made.output("out", made.call("s", plain("s", {"x": "f32[*, 4]", "sign": "f32"}), x, sign))
    with running(made, {"s": lambda x, sign: (np.copysign(x, np.float32(sign)),)}) as r:
        jobs = [r.send(x=filled(1), sign=v) for v in (0.0, -0.0, float("nan"), float("nan"))]
        assert [a["out"][0, 0] for a in r.answers(*jobs)][:2] == [1, -1]
        assert r.rows("s") == [2, 2, 4]


def test_any_json_value_may_be_a_group_key() -> None:
    made = Build()
    x, j = made.input("x"), made.input("j", "json")
    made.output("out", made.call("s", plain("s", {"x": "f32[*, 4]", "j": "json"}), x, j))
    seen: list[Any] = []
    with running(made, {"s": lambda x, j: (seen.append(j), x)[1:]}) as r:
        given = [[1], {"a": 1}, None, 1, True, 1.0, (1, {"a": 2}), (1,), (True,), "1"]
        r.answers(*[r.send(x=filled(1), j=v) for v in given])
        assert list(map(repr, seen)) == list(map(repr, given))


# ---- optional ports


@pytest.mark.parametrize("shape", ["f32[4]", "f32[B, 4]"])
@pytest.mark.parametrize("there", [(0, 1), (1, 0), (0, 1, 1, 0)])
def test_requests_with_and_without_an_optional_input(shape: str, there: tuple[int, ...]) -> None:
    """They share the first batch, and meet their optional inputs at a join behind it."""
    made = Build()
    x, w = made.input("x"), made.input("w", f"{shape}?")
    a = made.call("a", plain("a"), x)
    takes = {"x": "f32[*, 4]", "w": shape.replace("B", "*") + "?"}
    made.output("out", made.call("s", plain("s", takes), a, w))
    with running(made, {"a": lambda x: (x * 1,), "s": add_if_there}) as r:
        value = np.full(4, 100, np.float32) if shape == "f32[4]" else filled(100)
        jobs = [r.send(x=filled(i), **({"w": value} if t else {})) for i, t in enumerate(there)]
        for i, (t, answer) in enumerate(zip(there, r.answers(*jobs), strict=True)):
            np.testing.assert_array_equal(answer["out"], filled(i + 100 * t))
        assert r.rows("a") == [2 * len(there)]


def test_an_optional_output_of_a_stage() -> None:
    made = Build()
    v = made.input("v", "f32[4]")
    w = made.call("w", plain("w", {"v": "f32[4]"}, {"y": "f32[4]?"}), v, binding="each")
    takes = {"x": "f32[*, 4]", "w": "f32[*, 4]?"}
    made.output("out", made.call("s", plain("s", takes), v, w, binding="lift"), "f32[4]")
    made.output("w", w, "f32[4]?")
    with running(made, {"w": lambda v: (v * 1 if v[0] % 2 else None,), "s": add_if_there}) as r:
        jobs = [r.send(v=np.full(4, i, np.float32)) for i in range(5)]
        for i, answer in enumerate(r.answers(*jobs)):
            np.testing.assert_array_equal(answer["out"], np.full(4, 2 * i if i % 2 else i))
            assert (answer["w"] is None) == (i % 2 == 0)


def test_optional_ragged_rows_in_buckets() -> None:
    made = Build()
    x, w = made.input("x", "f32[B, ~L]"), made.input("w", "f32[B, ~K]?")
    rules = (RaggedRule("L", "pad", buckets=(2, 4)), RaggedRule("K", "pad", buckets=(2, 4)))
    takes = {"x": "f32[*, ~L]", "w": "f32[*, ~K]?"}
    a = made.call("a", plain("a", {"x": "f32[*, ~L]"}, {"y": "f32[*, ~L]"}), x)
    made.output("out", made.call("s", plain("s", takes, {"y": "f32[*]"}, ragged=rules), a, w), "f32[B]")
    sums = {"a": lambda x: (x,), "s": lambda x, w: add_if_there(x.sum(1), None if w is None else w.sum(1))}
    with running(made, sums) as r:
        given: list[dict[str, Any]] = [
            {"x": [[1, 2, 3]]},
            {"x": [[1]], "w": [[5, 5, 5, 5]]},
            {"x": [[2], [1, 1, 1, 1]]},
            {"x": [[2]], "w": [[7]]},
        ]
        answers = r.answers(*[r.send(**inputs) for inputs in given])
        assert [a["out"].tolist() for a in answers] == [[6], [21], [2, 4], [9]]


# ---- constants beside rows


def test_call_sites_that_give_constants_to_different_ports() -> None:
    made = Build()
    shared = plain("s", {"a": "f32[*]", "b": "f32[*]"}, {"y": "f32[*]"}, effects="once")
    x = made.input("x", "f32[B]")
    made.output("left", made.call("left", shared, number(100.0), x), "f32[B]")
    made.output("right", made.call("right", shared, x, number(1000.0)), "f32[B]")
    with running(made, {"s": lambda a, b: (a + b,)}) as r:
        answer = r.ask(x=vector(1, 2, 3))
        np.testing.assert_array_equal(answer["left"], vector(101, 102, 103))
        np.testing.assert_array_equal(answer["right"], vector(1001, 1002, 1003))
        assert r.rows("s") == [6]


def test_a_json_list_as_constant() -> None:
    made = Build()
    x = made.input("x", "f32[B]")
    called = plain("s", {"x": "f32[*]", "j": "json[*]"}, {"y": "json[*]"})
    made.output("out", made.call("s", called, x, Constant([1, 2], type_of("json"))), "json[B]")
    with running(made, {"s": lambda x, j: (j.copy(),)}) as r:
        for rows in (2, 3):
            assert list(r.ask(x=vector(*range(rows)))["out"]) == [[1, 2]] * rows


# ---- JSON


def test_json_of_any_form_is_lifted() -> None:
    made = Build()
    called = plain("s", {"j": "json[*]"}, {"y": "json[*]"})
    made.output("out", made.call("s", called, made.input("j", "json"), binding="lift"), "json")
    with running(made, {"s": lambda j: (j.copy(),)}) as r:
        given = [[1, 2], [3, 4], {"a": 1}, None, "x", [[1]]]
        assert [r.ask(j=v)["out"] for v in given] == given
        assert [a["out"] for a in r.answers(*[r.send(j=v) for v in given])] == given
        assert r.rows("s") == [*[1] * len(given), len(given)]


def test_null_does_not_stand_for_what_comes_in_with_it() -> None:
    made = Build()
    called = plain("s", {"j": "json"}, {"y": "json"})
    made.output("out", made.call("s", called, made.input("j", "json"), binding="each"), "json")
    given = [None, {"a": 1}, None, 3]
    with running(made, {"s": lambda j: (j,)}, delay=0) as r:

        async def one_turn() -> list[Any]:
            return await asyncio.gather(*[r.engine.asubmit("p", {"j": v}) for v in given])

        assert [a["out"] for a in asyncio.run(one_turn())] == given


# ---- rows that become one row, and one row that becomes rows


def test_rows_of_a_stage_lifted_into_one() -> None:
    made = Build()
    a = made.call("a", plain("a"), made.input("x", "f32[N, 4]"))
    called = plain("s", {"x": "f32[*, N, 4]"}, effects="once")
    made.output("out", made.call("s", called, a, binding="lift"), "f32[4]")
    with running(made, {"a": lambda x: (x * 1,), "s": lambda x: (x.sum(1),)}) as r:
        sizes = [1, 2, 2, 3]
        answers = r.answers(*[r.send(x=filled(1, rows=n)) for n in sizes])
        for n, answer in zip(sizes, answers, strict=True):
            np.testing.assert_array_equal(answer["out"], np.full(4, n))
        assert sorted(r.rows("s")) == [1, 1, 2]


def test_a_matrix_of_one_ragged_row_gives_rows() -> None:
    made = Build()
    m = made.call("m", plain("m", {"v": "f32[*]"}, {"y": "f32[*, ~L, 8]"}), made.input("v", "f32"), binding="lift")
    made.output("out", made.call("s", plain("s", {"r": "f32[*, ~K]"}, {"y": "f32[*]"}), m), "f32[L]")
    functions = {
        "m": lambda v: (Ragged([np.ones((int(n), 8), np.float32) for n in v]),),
        "s": lambda r: (vector(*(row.sum() for row in r)),),
    }
    with running(made, functions) as r:
        answers = r.answers(*[r.send(v=n) for n in (1, 3, 2)])
        assert [a["out"].tolist() for a in answers] == [[8], [8, 8, 8], [8, 8]]
        assert r.rows("s") == [6]


# ---- ragged rows in each form


def sums_of_packed(x: Any, ends: Any) -> tuple[Any, ...]:
    assert ends[0] == 0
    assert ends[-1] == len(x)
    return (vector(*(x[lo:hi].sum() for lo, hi in pairwise(ends))), x * 2)


PACKED = {"x": "f32[*, ~L]", "ends": "i64[?]"}
PACK = (RaggedRule("L", "pack", offsets="ends"),)


def packed_program() -> Build:
    made = Build()
    called = plain("s", PACKED, {"sum": "f32[*]", "twice": "f32[*, ~L]"}, ragged=PACK)
    sums = made.call("s", called, made.input("x", "f32[B, ~L]"))
    made.output("sum", sums, "f32[B]")
    made.output("twice", type(sums)(sums.node, "twice"), "f32[B, ~L]")
    return made


def ramp(*lengths: int) -> list[Any]:
    return [np.arange(n, dtype=np.float32) + n for n in lengths]


@pytest.mark.parametrize("most", [2, 100])
def test_packed_rows_there_and_back(most: int) -> None:
    with running(packed_program(), {"s": sums_of_packed}, settings={"s": {"batching.max": most}}) as r:
        given = [ramp(3, 1, 2, 5, 4), ramp(2), [], ramp(1, 3)]
        for rows, answer in zip(given, r.answers(*[r.send(x=g) for g in given]), strict=True):
            np.testing.assert_array_equal(answer["sum"], [row.sum() for row in rows])
            assert [row.tolist() for row in answer["twice"]] == [(row * 2).tolist() for row in rows]
        assert max(r.rows("s")) <= max(most, 2)


def test_packed_items_that_do_not_add_up() -> None:
    functions = {"s": lambda x, ends: (np.zeros(len(ends) - 1, np.float32), x[:-1])}
    with running(packed_program(), functions) as r, pytest.raises(StageFailed, match=r"`twice`.* 3 .* found 2"):
        r.ask(x=ramp(2, 1))


def rejecting(**contract: Any) -> Build:
    made = Build()
    called = plain("s", {"x": "f32[*, ~L]"}, {"y": "f32[*]"}, ragged=(RaggedRule("L", "reject"),), **contract)
    made.output("out", made.call("s", called, made.input("x", "f32[B, ~L]")), "f32[B]")
    return made


def test_a_stage_that_rejects_ragged_rows_gets_arrays() -> None:
    with running(rejecting(effects="once"), {"s": lambda x: (x.sum(1),)}) as r:
        given = [ramp(2, 2), ramp(3), ramp(2), []]
        for rows, answer in zip(given, r.answers(*[r.send(x=g) for g in given]), strict=True):
            np.testing.assert_array_equal(answer["out"], [row.sum() for row in rows])
        assert sorted(r.rows("s")) == [0, 1, 3]


def test_a_stage_that_rejects_ragged_rows_refuses_unequal_ones() -> None:
    with running(rejecting(), {"s": lambda x: (x.sum(1),)}) as r, pytest.raises(InvalidArgument, match="lengths 1, 2"):
        r.ask(x=ramp(1, 2))


EMPTY = {
    "i64[*, ~L]": ("i64[B, ~L]", (0, 4), (0,)),
    "i64[*, ~L, 8]": ("i64[B, ~L, 8]", (0, 4, 8), (0, 8)),
    "i64[*, 8, ~L]": ("i64[B, 8, ~L]", (0, 8, 4), None),
    "string[*, ~L]": ("string[B, ~L]", (0, 4), (0,)),
}
"""Type of a port, of what is given to it, and the shapes of no rows padded to 4 and packed."""


HOW = ("pad", "pack", "reject", "")
NO_ROWS = [(t, how) for t, (_, _, packed) in EMPTY.items() for how in HOW if how != "pack" or packed]
"""Rows are packed along their first dim only."""


@pytest.mark.parametrize(("takes", "how"), NO_ROWS)
def test_no_ragged_rows(takes: str, how: Any) -> None:
    """They keep dtype and rank, however they came about: given so, or left over where requests failed."""
    gives, padded, packed = EMPTY[takes]
    buckets = (4,) if how == "pad" else ()
    rules = (RaggedRule("L", how, "" if "string" in takes else 0, buckets=buckets),) if how else ()
    made = Build()
    x = made.input("x", gives)
    a = made.call("a", plain("a", {"x": takes}, {"y": takes}), x)
    made.output("out", made.call("s", plain("s", {"x": takes}, {"y": takes}, ragged=rules), a), gives)
    seen: list[Any] = []

    def react(x: Any) -> Any:
        seen.append(x)
        return (x,)

    def picky(x: Any) -> BatchResult:
        return BatchResult((x,), {i: ValueError("long") for i, row in enumerate(x) if row.size})

    one = np.zeros([4 if d == "~L" else 8 for d in takes[:-1].split(", ")[1:]], type_of(takes).dtype.numpy)
    one[...] = "" if "string" in takes else 0
    with running(made, {"a": picky, "s": react}, settings={"a": {"batching.max": 4}}) as r:
        assert len(r.ask(x=[])["out"]) == 0
        jobs = [r.send(x=rows) for rows in ([], [one], [])]
        r.finish(*jobs)
        assert [type(job.exception()) for job in jobs] == [type(None), StageFailed, type(None)]
    for found in seen:
        assert found.dtype == type_of(takes).dtype.numpy
        if how == "pack":
            assert found.shape == packed
        elif how:
            assert found.shape == tuple(0 if n == 4 and how == "reject" else n for n in padded)


@pytest.mark.parametrize("rules", [(), (RaggedRule("L", "pad", buckets=(4,)),)])
def test_ragged_inputs_some_without_rows(rules: tuple[RaggedRule, ...]) -> None:
    made = Build()
    called = plain("s", {"x": "i64[*, ~L]"}, {"y": "i64[*, ~L]"}, ragged=rules)
    made.output("out", made.call("s", called, made.input("x", "i64[B, ~L]")), "i64[B, ~L]")
    with running(made, {"s": lambda x: (x,)}) as r:
        given: list[Any] = [[], [[1, 2], [3]], [[], [4]]]
        answers = r.answers(*[r.send(x=g) for g in given])
        assert [[row.tolist() for row in a["out"]] for a in answers] == given


def test_failed_requests_leave_ragged_ones_whole() -> None:
    made = Build()
    x = made.input("x", "f32[B, ~L]")
    a = made.call("a", plain("a", {"x": "f32[*, ~L]"}, {"y": "f32[*, ~L]"}), x)
    pad = (RaggedRule("L", "pad"),)
    both = plain("both", {"a": "f32[*, ~L]", "x": "f32[*, ~L]"}, {"y": "f32[*]"}, ragged=pad)
    made.output("out", made.call("both", both, a, x), "f32[B]")

    def twice(x: Any) -> BatchResult:
        bad = {i: ValueError("bad") for i, row in enumerate(x) if len(row) and row[0] < 0}
        return BatchResult((Ragged([row * 2 for row in x]),), bad)

    with running(made, {"a": twice, "both": lambda a, x: ((a + x).sum(1),)}) as r:
        given: list[Any] = [[[1, 2], [3]], [[-1], [2]], [], [[5]], [[], [1, 1, 1]], [[-2]]]
        jobs = [r.send(x=g) for g in given]
        r.finish(*jobs)
        for rows, job in zip(given, jobs, strict=True):
            if any(row and row[0] < 0 for row in rows):
                assert "bad" in str(job.exception(0))
            else:
                np.testing.assert_array_equal(job.result(0)["out"], [3 * sum(row) for row in rows])


# ---- rows that fail


def test_all_rows_of_two_call_sites_fail() -> None:
    made = Build()
    shared, x = plain("s"), made.input("x")
    made.output("left", made.call("left", shared, x))
    made.output("right", made.call("right", shared, x))
    functions = {"s": lambda x: BatchResult((None,), {i: ValueError(f"row {i}") for i in range(len(x))})}
    with running(made, functions) as r, pytest.raises(StageFailed, match="ValueError: row 0"):
        r.ask(x=filled(1))


def test_failed_rows_are_not_counted_as_answered() -> None:
    made = Build()
    made.output("out", made.call("s", plain("s"), made.input("x")))

    def react(x: Any) -> BatchResult:
        return BatchResult((x * 1,), {i: ValueError("negative") for i, v in enumerate(x[:, 0]) if v < 0})

    with running(made, {"s": react}) as r:
        jobs = [r.send(x=filled(v)) for v in (1, -1, 2)]
        r.finish(*jobs)
        assert [job.exception() is None for job in jobs] == [True, False, True]
        (node,) = r.engine.stats().nodes
        assert (node.succeeded, node.failures, node.executions) == (2, {"BACKEND": 1}, 1)


def test_an_error_of_the_executor_raised_by_a_stage_names_each_request() -> None:
    """As a stage does that itself asks an engine."""
    made = Build()
    made.output("out", made.call("s", plain("s", effects="once"), made.input("x")))

    def react(x: Any) -> Any:
        raise InvalidArgument("not that")

    with running(made, {"s": react}) as r:
        jobs = [r.send(x=filled(1), options={"id": name}) for name in ("a", "b")]
        r.finish(*jobs)
        errors = [job.exception() for job in jobs]
        assert [getattr(e, "request_id", None) for e in errors] == ["a", "b"]


# ---- the ends


def test_wanted_outputs_twice_in_any_order_or_none() -> None:
    made = Build()
    x = made.input("x")
    made.output("out", made.call("s", plain("s", {"a": "f32[*, 4]", "b": "f32[*, 4]"}), x, x))
    made.output("x", x)
    made.output("three", number(3.0), "f32")
    with running(made, {"s": lambda a, b: (a + b,)}) as r:
        answer = r.ask(x=filled(1))
        np.testing.assert_array_equal(answer["out"], filled(2))
        np.testing.assert_array_equal(answer["x"], filled(1))
        assert answer["three"] == 3.0
        for wanted in (["three", "three", "x"], ["x"], []):
            (answer,) = r.answers(r.send(x=filled(1), options={"outputs": wanted}))
            assert list(answer) == list(dict.fromkeys(wanted))


def test_no_rows() -> None:
    made = Build()
    made.output("out", made.call("s", plain("s"), made.input("x")))
    with running(made, {"s": lambda x: (x + 1,)}) as r:
        assert r.ask(x=filled(0, rows=0))["out"].shape == (0, 4)
        answers = r.answers(*[r.send(x=filled(0, rows=n)) for n in (0, 2, 0, 1)])
        assert [len(a["out"]) for a in answers] == [0, 2, 0, 1]
        assert r.rows("s") == [0, 3]


def test_text_and_bf16_rows() -> None:
    made = Build()
    text, one, half = made.input("text", "string[B]"), made.input("one", "string"), made.input("half", "bf16[B]")
    joined = plain("joined", {"text": "string[*]", "half": "bf16[*]"}, {"y": "string[*]"})
    upper = plain("upper", {"text": "string[*]"}, {"y": "string[*]"})
    total = plain("total", {"half": "bf16[N]"}, {"y": "bf16"})
    made.output("joined", made.call("joined", joined, text, half), "string[B]")
    made.output("upper", made.call("upper", upper, one, binding="lift"), "string")
    made.output("total", made.call("total", total, half, binding="each"), "bf16")
    functions = {
        "joined": lambda text, half: (np.array([a + str(float(h)) for a, h in zip(text, half)], object),),
        "upper": lambda text: (np.array([a.upper() for a in text], object),),
        "total": lambda half: (float(half.sum()),),
    }
    with running(made, functions) as r:
        jobs = [r.send(text=["a", "b"][:n], one="é" * n, half=[1.0, 2.0][:n]) for n in (1, 2, 0)]
        answers = r.answers(*jobs)
        assert [list(a["joined"]) for a in answers] == [["a1.0"], ["a1.0", "b2.0"], []]
        assert [(a["upper"], a["total"]) for a in answers] == [("É", 1.0), ("ÉÉ", 3.0), ("", 0.0)]


def test_optional_json_of_any_form_is_lifted() -> None:
    made = Build()
    x, j = made.input("x", "f32"), made.input("j", "json?")
    called = plain("s", {"x": "f32[*]", "j": "json[*]?"}, {"y": "json[*]"})
    made.output("out", made.call("s", called, x, j, binding="lift"), "json")

    def react(x: Any, j: Any) -> Any:
        made = np.empty(len(x), object)
        for i in range(len(x)):
            made[i] = None if j is None else j[i]
        return (made,)

    with running(made, {"s": react}) as r:
        given = [[1, [2, 3]], [1, 2], {"a": 1}, None, [[1]]]
        assert [a["out"] for a in r.answers(*[r.send(x=1.0, j=v) for v in given])] == given
        assert sorted(r.rows("s")) == [1, 4]
