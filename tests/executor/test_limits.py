"""Limits, priorities, time and repeated executions at their edges."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from backends.base import BatchResult, StageDied
from backends.process import StageHung
from executor.errors import DeadlineExceeded, Overloaded, RequestError, StageFailed, StageUnavailable
from executor.execute import RETRY_BURST
from tests.pipeline_dsl.graphs import Build, stage

from .gates import PATIENCE, answer, one_stage, row, scene
from .plain import running
from .test_engine import MS, held


def many(s: Any, *values: float, pipeline: str = "p", **options: Any) -> list[Any]:
    """Requests of one turn of an event loop, which enter together: what each gets, or its error."""

    async def ask() -> list[Any]:
        asked = [s.engine.asubmit(pipeline, {"x": row(v)}, **options) for v in values]
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(ask())


# ---- instances


def test_instances_share_what_came_in_together_where_each_element_runs_alone() -> None:
    made = Build()
    called = stage("s", {"x": "f32[N, 4]"}, {"y": "f32[N, 4]"}, backend="gate")
    made.output("out", made.call("s", called, made.input("x"), binding="each"))
    with scene(made, instances=2) as s:
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.extend(many(s, 1, 2, 3, 4)))
        asking.start()
        s.gate.began(), s.gate.began()
        s.gate.open(4)
        asking.join(PATIENCE)
        for value, found in zip((1, 2, 3, 4), answers, strict=True):
            np.testing.assert_array_equal(found["out"], row(value))


# ---- queue limits


def test_override_lets_a_deadline_replace_the_queue_timeout() -> None:
    with scene(queue_timeout=5 * MS, queue_override=True) as s:
        jobs = held(s)
        jobs += [s.send(1, timeout=1), s.send(2)]
        s.clock.advance(6 * MS)
        with pytest.raises(DeadlineExceeded, match=r"queue\.timeout"):
            answer(jobs[2])
        s.gate.open(2)
        answer(jobs[0]), answer(jobs[1])
        assert s.gate.rows() == [[0], [1]]


def test_late_entries_go_last_where_they_may_wait() -> None:
    with scene(queue_timeout=5 * MS, queue_on_timeout="delay", batching_max=1) as s:
        jobs = held(s, 1)
        s.clock.advance(6 * MS)
        jobs.append(s.send(2))
        s.gate.open(3)
        list(map(answer, jobs))
        assert s.gate.rows() == [[0], [2], [1]]


def test_pieces_of_a_cohort_that_do_not_fit_are_refused() -> None:
    """Cut by `batching.max`, its pieces enter the inbox one by one."""
    with scene(queue_max=4, batching_max=2) as s:
        blocker = s.send(0)
        s.gate.began()
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.extend(many(s, *range(1, 9))))
        asking.start()
        while s.engine.stages[0].waiting < 2:
            pass
        s.gate.open(3)
        asking.join(PATIENCE)
        answer(blocker)
        assert [isinstance(a, Overloaded) for a in answers] == [False] * 4 + [True] * 4


# ---- priorities


def test_levels_beyond_the_last_are_the_last() -> None:
    with scene(queue_levels=2) as s:
        jobs = held(s)
        jobs += [s.send(p, priority=p) for p in (2, 3, 99, 1)]
        jobs.append(s.send(-1, priority=-1))
        s.gate.open(3)
        list(map(answer, jobs))
        assert s.gate.rows()[1:] == [[1, -1], [2, 3, 99]]


def test_several_levels_of_one_turn_part() -> None:
    with scene(queue_levels=3, queue_default_level=2) as s:
        blocker = s.send(0)
        s.gate.began()

        async def ask() -> None:
            levels = (3, None, 1, 2, 1, 7)
            asked = [s.engine.asubmit("p", {"x": row(i)}, priority=p) for i, p in enumerate(levels)]
            waiting = asyncio.gather(*asked)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            s.gate.open(5)
            await waiting

        asyncio.run(ask())
        answer(blocker)
        assert s.gate.rows()[1:] == [[2, 4], [1, 3], [0, 5]]


# ---- pipelines and variants share a stage


def test_wanted_outputs_do_not_break_up_a_batch() -> None:
    """Requests for other outputs are other call sites of the same name; each stays one cohort."""
    made = Build()
    x = made.input("x")
    value = made.call("s", stage("s", backend="gate"), x)
    made.output("out", made.call("n", stage("n"), value))
    made.output("x", x)
    with scene(made) as s:
        jobs = held(s)
        jobs += [s.send(v, outputs=["out"] if v % 2 else None) for v in range(1, 7)]
        s.gate.open(2)
        for v, job in enumerate(jobs):
            np.testing.assert_array_equal(answer(job)["out"], row(v))
        (node,) = [n for n in s.engine.stats().nodes if n.node == "p.n"]
        assert node.executions == 3


def test_pipelines_share_a_stage_and_each_gets_its_own_values() -> None:
    shared = stage("s", backend="gate")
    builds = []
    for name in ("p", "q"):
        made = Build(name)
        made.output("out", made.call("s", shared, made.input("x")))
        builds.append(made)
    first, second = builds
    with scene(first, second) as s:
        jobs = [s.send(0)]
        s.gate.began()
        jobs += [s.engine.submit(name, {"x": row(v)}) for v, name in enumerate("pqpq", 1)]
        s.gate.open(2)
        for v, job in enumerate(jobs):
            np.testing.assert_array_equal(answer(job)["out"], row(v))
        assert [sorted(rows) for rows in s.gate.rows()] == [[0], [1, 2, 3, 4]]


# ---- executions that must not be repeated, or not too often


def seen_once(s: Any) -> None:
    """No request's row was in two batches."""
    rows = [v for batch in s.gate.rows() for v in batch]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("error", [ValueError("e"), StageDied("gone"), StageHung("hung"), SystemExit(1)])
def test_effects_once_is_never_repeated(error: BaseException) -> None:
    with scene(one_stage(effects="once")) as s:

        def react(batch: Any) -> BatchResult:
            if (np.asarray(batch.inputs[0])[:, 0] == 2).any():
                raise error
            return BatchResult(batch.inputs[:1])

        s.gate.react = react
        jobs = held(s, 1, 2, 3)
        s.gate.open(100)
        answer(jobs[0])
        for job in jobs[1:]:
            assert isinstance(job.exception(PATIENCE), RequestError)
        seen_once(s)


def test_effects_once_with_a_wrong_result_in_a_later_chunk() -> None:
    with scene(one_stage(effects="once"), batching_max=2) as s:
        s.gate.react = lambda b: BatchResult(b.inputs[:1] if len(s.gate.seen) < 3 else (np.zeros(3, np.float32),))
        s.gate.open(100)
        x = np.arange(24, dtype=np.float32).reshape(6, 4)
        with pytest.raises(StageFailed, match="output `y`"):
            answer(s.engine.submit("p", {"x": x}))
        assert s.gate.rows() == [[0, 4], [8, 12], [16, 20]]


def test_a_dead_process_in_a_later_chunk_runs_all_chunks_again() -> None:
    with scene(batching_max=2) as s:

        def react(batch: Any) -> BatchResult:
            if len(s.gate.seen) == 2:
                raise StageDied("gone")
            return BatchResult(batch.inputs[:1])

        s.gate.react = react
        s.gate.open(100)
        x = np.arange(16, dtype=np.float32).reshape(4, 4)
        np.testing.assert_array_equal(answer(s.engine.submit("p", {"x": x}))["out"], x)
        assert s.gate.rows() == [[0, 4], [8, 12], [0, 4], [8, 12]]


def test_a_process_that_dies_at_every_batch_ends_in_time() -> None:
    with scene() as s:
        s.gate.react = lambda b: (_ for _ in ()).throw(StageDied("gone"))
        s.gate.always_open = True
        jobs = [s.send(v) for v in range(40)]
        s.gate.open(1000)
        for job in jobs:
            assert isinstance(job.exception(PATIENCE), StageUnavailable)
        assert len(s.gate.seen) <= 40 + 2 * RETRY_BURST


def test_a_storm_of_poison_does_not_multiply_the_work() -> None:
    made = Build()
    made.output("out", made.call("s", stage("s", backend="plain"), made.input("x")))

    def react(x: Any) -> Any:
        raise ValueError("poison")

    with running(made, {"s": react}) as r:
        for _ in range(50):
            jobs = [r.send(x=row(1)) for _ in range(32)]
            r.finish(*jobs)
            assert {type(job.exception()) for job in jobs} == {StageFailed}
        assert len(r.backend.batches) <= 50 + 2 * RETRY_BURST


# ---- call timeouts


def test_a_call_timeout_ends_what_runs_and_what_waits() -> None:
    made = Build()
    made.output("out", made.call("s", stage("s", backend="gate"), made.input("x"), timeout_ns=3 * MS))
    with scene(made) as s:
        running_, *waiting = held(s, 1, 2)
        s.clock.advance(2 * MS)
        later = s.send(3)
        s.clock.advance(MS)
        for job in (running_, *waiting):
            with pytest.raises(DeadlineExceeded, match="the call's timeout"):
                answer(job)
        s.gate.open(2)
        answer(later)
        assert s.gate.rows() == [[0], [3]]


def test_time_that_passes_between_halves_counts() -> None:
    """What ran out of time while its batch was being halved is not run again."""
    with scene() as s:

        def react(batch: Any) -> BatchResult:
            if batch.rows > 1:
                s.clock._now += 10 * MS
                raise ValueError("too many")
            return BatchResult(batch.inputs[:1])

        jobs = held(s, 1, timeout=0.005)
        jobs += [s.send(2), s.send(3)]
        s.gate.react = react
        s.gate.open(100)
        answer(jobs[0]), answer(jobs[2]), answer(jobs[3])
        with pytest.raises(DeadlineExceeded):
            answer(jobs[1])
        assert [r for r in s.gate.rows() if len(r) == 1] == [[0], [2], [3]]


def test_a_request_without_rows_does_not_share_a_batch_that_is_too_large() -> None:
    with scene(one_stage(effects="once"), batching_max=2) as s:

        async def ask() -> list[Any]:
            asked = [s.engine.asubmit("p", {"x": row(n, rows=n)}) for n in (0, 3, 0, 1, 1)]
            return await asyncio.gather(*asked)

        s.gate.always_open = True
        s.gate.open(100)
        assert [len(a["out"]) for a in asyncio.run(ask())] == [0, 3, 0, 1, 1]
        for batch in s.gate.seen:
            assert batch.rows <= 2
            assert len(batch.sizes) == len(batch.request_ids)
            assert sum(batch.sizes) == batch.rows


def test_what_ended_on_its_way_does_not_wait() -> None:
    """Nothing would take it out of the inbox again, but the next batch."""
    made = Build()
    a = made.call("a", stage("a", backend="gate"), made.input("x"))
    made.output("out", made.call("s", stage("s", backend="gate"), a))
    with scene(made, batching_delay=1000 * MS) as s:
        job = s.send(1)
        s.gate.began()
        job.cancel()
        s.gate.open()
        assert s.engine.drain(PATIENCE)
        assert s.engine.check_idle() == []


def test_a_batch_knows_the_latest_deadline_of_its_requests_and_calls() -> None:
    made = Build()
    made.output("out", made.call("s", stage("s", backend="gate"), made.input("x"), timeout_ns=10 * MS))
    with scene(made) as s:
        start = s.clock.now()
        jobs = held(s, 1, timeout=0.005)
        s.clock.advance(MS)
        jobs += [s.send(2, timeout=0.005), s.send(3, timeout=1)]
        s.gate.open(2)
        list(map(answer, jobs))
        assert [b.deadline_ns for b in s.gate.seen] == [start + 10 * MS, start + 11 * MS]


def test_a_batch_without_deadlines_has_none() -> None:
    with scene() as s:
        jobs = [*held(s, 1, timeout=1), s.send(2)]
        s.gate.open(2)
        list(map(answer, jobs))
        assert [b.deadline_ns for b in s.gate.seen] == [None, None]


def test_a_storm_of_poison_in_one_stage_does_not_reach_another() -> None:
    first, second = Build("p"), Build("q")
    first.output("out", first.call("s", stage("s", backend="plain"), first.input("x")))
    second.output("out", second.call("t", stage("t", backend="plain"), second.input("x")))

    def storm(x: Any) -> Any:
        raise ValueError("poison")

    def react(x: Any) -> Any:
        if (x[:, 0] == 2).any():
            raise ValueError("two")
        return (x * 1,)

    with running(first, {"s": storm, "t": react}, second) as r:
        for _ in range(20):
            jobs = [r.send(x=row(1)) for _ in range(32)]
            r.finish(*jobs)
        jobs = [r.send("q", x=row(v)) for v in range(4)]
        r.finish(*jobs)
        assert [job.exception() is None for job in jobs] == [True, True, False, True]
