"""What is kept alive once a request has ended: nothing but what its caller keeps."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from backends.base import BatchResult
from backends.values import Ragged
from executor.clock import SWEEP, SystemClock
from executor.errors import Cancelled, InvalidArgument, Overloaded, StageFailed
from executor.ingress import MAX_VARIANTS
from pipeline_dsl.ir import RaggedRule
from tests.pipeline_dsl.graphs import Build, stage

from .gates import PATIENCE, answer, row, scene
from .plain import Plain, running
from .test_engine import MS


@contextmanager
def no_collector() -> Iterator[None]:
    """What dies here dies at once, without the help of the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def one(**options: Any) -> Build:
    made = Build()
    made.output("out", made.call("s", stage("s", backend="plain"), made.input("x"), **options))
    return made


def big() -> Any:
    """Rows that own their memory."""
    return np.ones((256, 4), np.float32)


def forget(r: Plain) -> None:
    """Drop the batches that the test's own backend keeps."""
    r.backend.batches.clear()


def gone(*refs: weakref.ref[Any]) -> bool:
    """Whether all die once the worker, which may be a few steps behind its answers, is done."""
    end = time.monotonic() + PATIENCE
    while any(found() is not None for found in refs):
        if time.monotonic() > end:
            return False
    return True


def fails(x: Any) -> Any:
    raise ValueError("no")


def test_inputs_and_outputs_die_with_the_answer() -> None:
    refs: list[weakref.ref[Any]] = []

    def react(x: Any) -> Any:
        made = x + 1
        refs.append(weakref.ref(made))
        return (made,)

    with running(one(), {"s": react}, delay=0) as r, no_collector():
        for _ in range(3):
            x = big()
            refs.append(weakref.ref(x))
            r.send(x=x).result(5)
            del x
            forget(r)
        assert r.engine.drain(5)
        assert gone(*refs)


@pytest.mark.host
def test_a_thread_that_runs_on_keeps_nothing_of_what_it_ran_before() -> None:
    sent = threading.Event()  # until then the caller's frames hold what it sent
    refs: list[weakref.ref[Any]] = []
    alive: list[bool] = []

    def first(x: Any) -> Any:
        assert sent.wait(PATIENCE)
        refs.append(weakref.ref(x))
        return (x + 1,)

    def second(x: Any) -> Any:
        refs.append(weakref.ref(x))
        return (x + 1,)

    def third(x: Any) -> Any:
        forget(r)
        alive.extend(ref() is not None for ref in refs)
        return (x,)

    made = Build()
    value = made.input("x")
    for name in ("first", "second", "third"):
        value = made.call(name, stage(name, backend="plain"), value)
    made.output("out", value)
    with running(made, {"first": first, "second": second, "third": third}, delay=0) as r, no_collector():
        job = r.send(x=np.ones((4, 4), np.float32))
        sent.set()
        job.result(5)
    assert alive == [False, False]


def test_a_call_timeout_does_not_keep_what_it_watches() -> None:
    with running(one(timeout_ns=1000 * MS), {"s": lambda x: (x * 2,)}, delay=0) as r, no_collector():
        refs = []
        for _ in range(3):
            x = big()
            refs.append(weakref.ref(x))
            r.send(x=x).result(5)
            del x
            forget(r)
        assert r.engine.drain(5)
        assert gone(*refs)


def test_errors_do_not_keep_their_batch_once_dropped() -> None:
    with running(one(), {"s": fails}, delay=0) as r, no_collector():
        refs = []
        for _ in range(3):
            x = big()
            refs.append(weakref.ref(x))
            assert isinstance(r.send(x=x).exception(5), StageFailed)
            del x
            forget(r)
        assert r.engine.drain(5)
        assert gone(*refs)


def test_errors_of_tasks_do_not_keep_their_batch_once_dropped() -> None:
    refs = []

    async def ask(r: Plain) -> None:
        x = big()
        refs.append(weakref.ref(x))
        try:
            await r.engine.asubmit("p", {"x": x})
        except StageFailed:
            return

    async def ask_three(r: Plain) -> None:
        for _ in range(3):
            await ask(r)
            forget(r)
        assert r.engine.drain(5)
        await asyncio.sleep(0)
        assert gone(*refs)

    with running(one(), {"s": fails}, delay=0) as r, no_collector():
        asyncio.run(ask_three(r))


def test_failed_compute_steps_do_not_keep_their_values() -> None:
    made = Build()
    x, n = made.input("x"), made.input("n", "i64")
    rest = made.compute("rest", "%", n, n, type_="i64")
    made.output("out", made.call("s", stage("s", {"x": "f32[*, 4]", "n": "i64"}, backend="plain"), x, rest))
    with running(made, {"s": lambda x, n: (x * n,)}, delay=0) as r, no_collector():
        value = big()
        found = weakref.ref(value)
        assert isinstance(r.send(x=value, n=0).exception(5), InvalidArgument)
        del value
        assert r.engine.drain(5)
        assert gone(found)


def test_refused_and_cancelled_requests_are_dropped() -> None:
    door = {"max_inflight": 1, "queue.max": 1}
    with scene(pipeline=door) as s, no_collector():
        first = s.send(1)
        s.gate.began()
        refs = []
        x = big()
        refs.append(weakref.ref(x))
        second = s.engine.submit("p", {"x": x}, timeout=100)
        x = big()
        refs.append(weakref.ref(x))
        with pytest.raises(Overloaded):
            s.engine.submit("p", {"x": x}, timeout=100)
        del x
        assert second.cancel()
        assert isinstance(second.exception(), Cancelled)
        del second
        assert gone(*refs)
        s.gate.open()
        answer(first)


def test_a_cancelled_job_does_not_keep_its_neighbours() -> None:
    """It rode along in a batch that ended later."""
    made = Build()
    s_out = made.call("s", stage("s", backend="gate"), made.input("x"))
    made.output("out", made.call("n", stage("n"), s_out))
    with scene(made) as s, no_collector():
        blocker = s.send(0)
        s.gate.began()
        jobs = [s.send(v) for v in (1, 2)]
        s.gate.open()
        answer(blocker)
        s.gate.began()
        assert jobs[0].cancel()
        s.gate.open()
        result = answer(jobs[1])["out"]
        np.testing.assert_array_equal(result, row(2))
        found = weakref.ref(result.base if result.base is not None else result)
        assert s.engine.drain(5)
        del result
        jobs.pop()
        s.gate.seen.clear()
        assert gone(found)
        assert jobs[0].done()


def test_cancelled_timers_leave_the_heap() -> None:
    clock = SystemClock()
    for _ in range(10 * SWEEP):
        clock.call_at(clock.now() + 3600 * 10**9, lambda: None).cancel()
    assert len(clock._heap) <= 2 * SWEEP
    kept = [clock.call_at(clock.now() + 3600 * 10**9, lambda: None) for _ in range(3 * SWEEP)]
    assert sum(item[2].call is not None for item in clock._heap) == len(kept)
    clock.close()


def test_callers_can_not_fill_the_memory_with_sets_of_outputs() -> None:
    made = Build()
    x = made.input("x")
    for name in "abcdef":
        made.output(name, x)
    with running(made, {}) as r:
        for wanted in permutations("abcdef"):
            r.send(x=row(1), options={"outputs": wanted}).result(5)
        assert len(r.engine.ingress.variants) <= MAX_VARIANTS


# ---- answers that lie in a large batch


def spelled(made: Any) -> dict[str, Any]:
    return {"s": lambda x: (made([np.full(int(v[0]), v[1], np.float32) for v in x]),)}


def packed(rows: list[Any]) -> Ragged:
    values = np.concatenate(rows)
    return Ragged(values=values, offsets=np.cumsum([0, *map(len, rows)]))


def padded(rows: list[Any]) -> Ragged:
    return Ragged(padded=Ragged(rows).padded(), lengths=np.array([len(r) for r in rows]))


def views(rows: list[Any]) -> Ragged:
    return Ragged(list(packed(rows)))


@pytest.mark.host
@pytest.mark.parametrize("form", [packed, padded, views])
@pytest.mark.parametrize("binding", ["rows", "lift"])
def test_small_ragged_results_do_not_keep_their_batch(form: Any, binding: Any) -> None:
    made = Build()
    rows = binding == "rows"
    called = stage("s", {"x": "f32[*, 4]"}, {"y": "f32[*, ~L]"}, backend="plain")
    value = made.call("s", called, made.input("x", "f32[B, 4]" if rows else "f32[4]"), binding=binding)
    made.output("out", value, "f32[B, ~L]" if rows else "f32[L]")

    def vector(n: int) -> Any:
        x = np.array([n, 7, 0, 0], np.float32)
        return x[None] if rows else x

    with running(made, spelled(form)) as r:
        lengths = [1, 2, 1000]
        results = [a["out"] for a in r.answers(*[r.send(x=vector(n)) for n in lengths])]
        assert r.rows("s") == [3]
        for n, found in zip(lengths, results, strict=True):
            (array,) = found if rows else [found]
            np.testing.assert_array_equal(array, np.full(n, 7))
            held = array if array.base is None else array.base
            assert held.nbytes < 4 * 4096 if n == 1000 else held.nbytes <= 64
        (copied,) = r.engine.stats().copied_bytes.values()
        assert copied == {"egress": 12}


def test_pieces_of_ragged_batches_that_failed_do_not_keep_them() -> None:
    made = Build()
    rule = (RaggedRule("L", "pad"),)
    called = stage("s", {"x": "f32[*, ~L]"}, {"y": "f32[*, ~L]"}, backend="plain", ragged=rule)
    made.output("out", made.call("s", called, made.input("x", "f32[B, ~L]")), "f32[B, ~L]")

    def react(x: Any) -> BatchResult:
        return BatchResult((x * 1,), {i: ValueError("long") for i, v in enumerate(x) if v[-1]})

    with running(made, {"s": react}) as r:
        jobs = [r.send(x=[np.ones(n, np.float32)]) for n in (2, 1000, 3)]
        r.finish(*jobs)
        assert jobs[1].exception() is not None
        for n, job in ((2, jobs[0]), (3, jobs[2])):
            (array,) = job.result()["out"]
            np.testing.assert_array_equal(array, np.ones(n))
            held = array if array.base is None else array.base
            assert held.nbytes <= 64
