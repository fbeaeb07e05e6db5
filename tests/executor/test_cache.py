"""Answers that are kept: by row and by call, bounded in bytes and time, exact keys, counts."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backends.base import BatchResult
from backends.values import Ragged
from executor.assemble import Gathered
from executor.cache import ENTRY_BYTES, Cache, Keys, identity
from executor.errors import StageFailed
from pipeline_dsl.ir import RaggedRule
from pipeline_dsl.plan import CachePolicy, StagePlan
from pipeline_dsl.planning import build
from tests.pipeline_dsl.graphs import HOST, Build, stage

from .gates import answer, one_stage, row, scene
from .plain import Plain, running

SECOND = 1_000_000_000
PLENTY = 1 << 20


def cached(name: str = "s", inputs: Any = None, outputs: Any = None, **contract: Any) -> Build:
    made = Build()
    called = stage(name, inputs, outputs, backend="plain", effects="none", **contract)
    types = [str(p.type).replace("*", "B") for p in called.signature.inputs]
    args = [made.input(p.name, t) for p, t in zip(called.signature.inputs, types, strict=True)]
    binding: Any = "rows" if called.signature.has_rows else "each"
    out = called.signature.outputs[0].type
    made.output("out", made.call("s", called, *args, binding=binding), str(out).replace("*", "B"))
    return made


def keeping(made: Build, fn: Any, delay: int = 0, **settings: Any) -> Any:
    keys = {"cache.size": PLENTY, **{k.replace("_", ".", 1): v for k, v in settings.items()}}
    return running(made, {"s": fn}, delay=delay, settings={"s": keys})


def rows(*values: float) -> Any:
    return np.concatenate([row(v) for v in values])


def firsts(s: Plain) -> list[list[float]]:
    """First items of the rows of each batch."""
    return [b.inputs[0][:, 0].tolist() for _, b in s.backend.batches]


def double(x: Any) -> tuple[Any, ...]:
    return (x * 2,)


# ---- rows


def test_rows_that_are_kept_leave_the_batch_and_the_others_share_it() -> None:
    with keeping(cached(), double) as s:
        np.testing.assert_array_equal(s.ask(x=rows(1, 2))["out"], rows(2, 4))
        np.testing.assert_array_equal(s.ask(x=rows(2, 3, 1, 4))["out"], rows(4, 6, 2, 8))
        np.testing.assert_array_equal(s.ask(x=rows(4, 1))["out"], rows(8, 2))
        assert firsts(s) == [[1, 2], [3, 4]]


def test_equal_rows_of_one_batch_run_once() -> None:
    with keeping(cached(), double, delay=1_000_000) as s:
        jobs = [s.send(x=rows(v, 7)) for v in (1, 2)]
        a, b = s.answers(*jobs)
        np.testing.assert_array_equal(a["out"], rows(2, 14))
        np.testing.assert_array_equal(b["out"], rows(4, 14))
        assert firsts(s) == [[1, 7, 2]]


def test_what_did_not_run_is_no_execution_and_no_row() -> None:
    with keeping(cached(), double) as s:
        for values in [(1, 2), (2, 3), (1, 3)]:
            s.ask(x=rows(*values))
        (node,) = s.engine.stats().nodes
        assert (node.succeeded, node.executions, node.rows) == (3, 2, 3)
        (kept,) = s.engine.stats().caches
        assert (kept.stage, kept.hits, kept.misses, kept.evictions) == ("s", 3, 3, 0)


def test_a_row_that_fails_is_not_kept_and_fails_all_that_are_equal() -> None:
    calls: list[list[float]] = []

    def picky(x: Any) -> Any:
        calls.append(x[:, 0].tolist())
        failed = {i: ValueError("no") for i, v in enumerate(x[:, 0]) if v == 13}
        return BatchResult((x,), failed or None)

    with keeping(cached(), picky, delay=1_000_000) as s:
        good, bad, again = s.send(x=rows(1)), s.send(x=rows(13)), s.send(x=rows(13))
        s.finish(good, bad, again)
        np.testing.assert_array_equal(answer(good)["out"], rows(1))
        for job in (bad, again):
            with pytest.raises(StageFailed, match="no"):
                answer(job)
        job = s.send(x=rows(13))
        s.finish(job)
        assert calls == [[1, 13], [13]]


def test_answers_are_read_only_and_in_memory_of_their_own() -> None:
    with keeping(cached(), double) as s:
        s.ask(x=rows(*range(64)))
        cache: Any = s.engine.stages[0].cache
        kept = [values[0] for values, _, _ in cache._rows.values()]
        assert not any(k.flags.writeable or k.base is not None for k in kept)
        assert cache.bytes == 64 * (16 + ENTRY_BYTES)


def test_text_and_ragged_rows() -> None:
    def spell(t: Any) -> tuple[Any, ...]:
        return (Ragged([np.arange(len(x), dtype=np.float32) for x in t]),)

    made = cached(inputs={"t": "string[*]"}, outputs={"r": "f32[*, ~L]"})
    with keeping(made, spell) as s:
        for _ in range(2):
            found = s.ask(t=np.array(["", "abc", "a", "abc"], object))["out"]
            assert [r.tolist() for r in found] == [[], [0, 1, 2], [0], [0, 1, 2]]
        assert s.rows("s") == [3]


@pytest.mark.parametrize("how", ["pad", "pack"])
def test_what_a_row_is_padded_with_is_no_part_of_its_key(how: Any) -> None:
    def total(r: Any, lengths: Any) -> tuple[Any, ...]:
        if how == "pad":
            return (r.sum(axis=1),)
        return (np.array([part.sum() for part in np.split(r, np.cumsum(lengths)[:-1])], np.float32),)

    rule = RaggedRule("L", how, 0, lengths="lengths")
    made = Build()
    ports = {"r": "f32[*, ~L]", "lengths": "i64[*]"}
    called = stage("s", ports, {"y": "f32[*]"}, backend="plain", effects="none", ragged=(rule,))
    made.output("out", made.call("s", called, made.input("r", "f32[B, ~L]"), None), "f32[B]")
    with keeping(made, total) as s:
        short, long = np.ones(2, np.float32), np.ones(5, np.float32)
        assert s.ask(r=[short])["out"].tolist() == [2]
        assert s.ask(r=[long, short])["out"].tolist() == [5, 2]
        assert s.ask(r=[short, long])["out"].tolist() == [2, 5]
        assert s.rows("s") == [1, 1]


def test_sizes_that_only_an_output_has_do_not_mix() -> None:
    def wide(x: Any) -> tuple[Any, ...]:
        return (np.repeat(x[:, :1], int(x[0, 0]), axis=1),)

    with keeping(cached(outputs={"y": "f32[*, N]"}), wide) as s:
        assert s.ask(x=rows(2))["out"].shape == (1, 2)
        assert s.ask(x=rows(3, 2))["out"].tolist() == [[3] * 3, [2] * 3]


# ---- calls


def test_a_stage_without_rows_keeps_whole_calls() -> None:
    calls: list[int] = []

    def total(v: Any, k: Any) -> tuple[Any, ...]:
        calls.append(k)
        return (float(v.sum() + k),)

    made = cached(inputs={"v": "f32[N]", "k": "i64"}, outputs={"y": "f32"})
    with keeping(made, total) as s:
        ones = np.ones(3, np.float32)
        assert [s.ask(v=ones, k=k)["out"] for k in (1, 2, 1, 2)] == [4, 5, 4, 5]
        assert s.ask(v=ones[:2], k=1)["out"] == 3
    assert calls == [1, 2, 1]


def test_only_the_named_ports_make_the_key() -> None:
    made = cached(inputs={"x": "f32[*, 4]", "note": "string[*]"}, outputs={"y": "f32[*, 4]"})
    with keeping(made, lambda x, note: (x,), cache_key=("x",)) as s:
        for note in ("a", "b"):
            s.ask(x=rows(1), note=np.array([note], object))
        assert s.rows("s") == [1]


# ---- bounds


def cache_of(size: int = PLENTY, ttl: int = 0) -> tuple[Cache, list[int]]:
    now = [0]
    return Cache(CachePolicy(size, ttl), lambda: now[0]), now


def some(bytes_: int) -> tuple[Any]:
    return (np.zeros(bytes_, np.uint8),)


def test_the_least_recently_used_goes_first() -> None:
    cache, _ = cache_of(3 * (ENTRY_BYTES + 10))
    for key in (b"a", b"b", b"c"):
        cache.put(key, some(10))
    cache.get([b"a"])
    cache.put(b"d", some(10))
    assert [row is not None for row in cache.get([b"a", b"b", b"c", b"d"])] == [True, False, True, True]
    assert (cache.evictions, cache.bytes, len(cache)) == (1, 3 * (ENTRY_BYTES + 10), 3)


def test_what_is_larger_than_all_of_it_is_not_kept() -> None:
    cache, _ = cache_of(1000)
    cache.put(b"a", some(10))
    cache.put(b"b", some(1000))
    assert len(cache) == 1
    assert cache.bytes == ENTRY_BYTES + 10


def test_an_answer_is_given_until_it_is_too_old() -> None:
    cache, now = cache_of(ttl=10)
    cache.put(b"a", some(1))
    now[0] = 9
    assert cache.get([b"a"]) != [None]
    now[0] = 10
    assert cache.get([b"a"]) == [None]
    assert (cache.bytes, len(cache), cache.evictions) == (0, 0, 0)
    cache.put(b"a", some(1))
    assert cache.get([b"a"]) != [None]


def test_time_is_the_engines_clock() -> None:
    with keeping(cached(), double, cache_ttl=SECOND) as s:
        answer(s.send(x=rows(1)))
        s.clock.advance(SECOND - 1)
        answer(s.send(x=rows(1)))
        s.clock.advance(1)
        answer(s.send(x=rows(1)))
        assert s.rows("s") == [1, 1]


def test_keeping_again_replaces() -> None:
    cache, _ = cache_of()
    cache.put(b"a", some(10))
    cache.put(b"a", some(20))
    assert (len(cache), cache.bytes) == (1, ENTRY_BYTES + 20)


def test_threads_may_use_it_together() -> None:
    cache, _ = cache_of(20 * (ENTRY_BYTES + 8))

    def work(seed: int) -> None:
        for i in range(500):
            key = b"%d" % ((i * 7 + seed) % 50)
            if cache.get([key]) == [None]:
                cache.put(key, some(8))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.bytes == len(cache) * (ENTRY_BYTES + 8) <= cache.policy.max_bytes
    assert cache.hits + cache.misses == 2000


# ---- keys


def plan_of(**inputs: str) -> StagePlan:
    called = stage("s", inputs, {"y": "f32[*]"} if "*" in "".join(inputs.values()) else {"y": "f32"}, effects="none")
    made = Build()
    args = [made.input(name, kind.replace("*", "B")) for name, kind in inputs.items()]
    made.output("out", made.call("s", called, *args, binding="each"), "f32")
    plan = build(made.program(stages={"s": {"cache.size": PLENTY}}), HOST)
    return plan.stages[0]


def keys(plan: StagePlan, *values: Any) -> list[bytes]:
    found = len(values[0]) if plan.has_rows else 1
    return Keys(plan)(Gathered(values, found, range(found + 1), {}))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("json", [1, True, 1.0, "1", None, [1], {"a": 1}, {"a": 2}, {}]),
        ("string", ["", "a", "b", "ab"]),
        ("bytes", [b"", b"a", b"ab"]),
        ("f32", [0.0, -0.0, 1.0, float("inf")]),
        ("f32[N]", [np.zeros(0, np.float32), np.zeros(1, np.float32), np.zeros(2, np.float32)]),
        ("string[N]", [np.array(a, object) for a in (["ab"], ["a", "b"], [], ["b", "a"])]),
    ],
)
def test_different_values_have_different_keys_and_equal_ones_the_same(kind: str, values: list[Any]) -> None:
    plan = plan_of(x=kind)
    made = [keys(plan, v)[0] for v in values]
    assert len(set(made)) == len(values)
    assert made == [keys(plan, v)[0] for v in values]


def test_values_do_not_run_into_one_another() -> None:
    plan = plan_of(a="string", b="string")
    assert keys(plan, "x", "yz") != keys(plan, "xy", "z")


def test_json_objects_are_equal_in_any_order() -> None:
    plan = plan_of(x="json")
    assert keys(plan, {"a": 1, "b": 2}) == keys(plan, {"b": 2, "a": 1})


def test_rows_of_ragged_values_are_keyed_one_by_one() -> None:
    plan = plan_of(x="f32[*, ~L]")
    a, b = np.ones(2, np.float32), np.ones(3, np.float32)
    assert keys(plan, Ragged([a, b]))[1] == keys(plan, Ragged([b]))[0]


def test_what_a_stage_is_belongs_to_the_key(tmp_path: Any) -> None:
    plan = plan_of(x="f32")
    file = tmp_path / "m.onnx"
    file.write_bytes(b"one")
    first = replace(plan, backend="onnx", arguments={"artifact": str(file)})
    before = identity(first)
    file.write_bytes(b"two")
    others = [identity(first), identity(replace(first, version=2)), identity(replace(first, arguments={"a": 1}))]
    assert len({before, *others}) == 4


def test_stages_without_a_cache_run_as_before() -> None:
    with scene(one_stage(effects="none")) as s:
        assert s.engine.stages[0].cache is None
        s.gate.open(2)
        answer(s.send(1)), answer(s.send(1))
        assert len(s.gate.seen) == 2
