"""The engine with a manual clock and a gated stage: batching, limits, priorities, time, failures, the door."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest

from backends.base import Batch, BatchResult, StageDied
from backends.values import InvalidInput
from executor.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    Overloaded,
    StageFailed,
    StageUnavailable,
    Unavailable,
)
from tests.pipeline_dsl.graphs import Build, number, stage

from .gates import PATIENCE, Scene, answer, one_stage, row, scene

MS = 1_000_000


def held(s: Scene, *values: float, **options: Any) -> list[Any]:
    """Jobs that wait in the inbox while a first batch keeps the instance busy."""
    jobs = [s.send(0.0)]
    s.gate.began()
    jobs += [s.send(v, **options) for v in values]
    return jobs


# ---- batching


def test_what_waits_goes_together_when_the_instance_is_free() -> None:
    with scene() as s:
        jobs = held(s, 1, 2, 3)
        s.gate.open(2)
        for value, job in enumerate(jobs):
            np.testing.assert_array_equal(answer(job)["out"], row(value))
        assert s.gate.rows() == [[0], [1, 2, 3]]


def test_max_counts_rows_and_cohorts_are_not_cut_to_fill() -> None:
    with scene(batching_max=4) as s:
        jobs = held(s)
        jobs += [s.send(1, rows=3), s.send(2, rows=3), s.send(3)]
        s.gate.open(4)
        list(map(answer, jobs))
        assert s.gate.rows() == [[0], [1, 1, 1, 3], [2, 2, 2]]


def test_a_request_larger_than_max_is_split_and_put_together_again() -> None:
    with scene(batching_max=4) as s:
        s.gate.open(4)
        x = np.arange(40, dtype=np.float32).reshape(10, 4)
        out = answer(s.engine.submit("p", {"x": x}))["out"]
        np.testing.assert_array_equal(out, x)
        assert [b.rows for b in s.gate.seen] == [4, 4, 2]


def test_delay_waits_for_company_and_no_longer() -> None:
    with scene(batching_delay=2 * MS, batching_max=4) as s:
        first = s.send(1)
        s.clock.advance(MS)
        second = s.send(2)
        assert s.gate.seen == []
        s.clock.advance(MS)
        s.gate.began()
        s.gate.open()
        answer(first), answer(second)
        assert s.gate.rows() == [[1, 2]]


def test_a_full_batch_does_not_wait_for_the_delay() -> None:
    with scene(batching_delay=1000 * MS, batching_max=2) as s:
        jobs = [s.send(1), s.send(2)]
        s.gate.open()
        list(map(answer, jobs))
        assert s.gate.rows() == [[1, 2]]


def test_preferred_size_goes_at_once_and_the_rest_waits() -> None:
    with scene(batching_delay=1000 * MS, batching_max=8, batching_preferred=[2, 4]) as s:
        jobs = [s.send(1), s.send(2), s.send(3)]
        s.gate.open(2)
        answer(jobs[0]), answer(jobs[1])
        assert s.gate.rows() == [[1, 2]]
        s.clock.advance(1000 * MS)
        answer(jobs[2])
        assert s.gate.rows() == [[1, 2], [3]]


def test_a_deadline_is_not_slept_through() -> None:
    with scene(batching_delay=1000 * MS) as s:
        job = s.send(1, timeout=0.5)
        s.clock.advance(500 * MS)
        with pytest.raises(DeadlineExceeded):
            answer(job)


def test_priority_levels_are_served_in_order_and_never_mixed() -> None:
    with scene(queue_levels=2) as s:
        jobs = held(s)
        jobs += [s.send(2, priority=2), s.send(1, priority=1), s.send(22, priority=2), s.send(11, priority=1)]
        s.gate.open(5)
        list(map(answer, jobs))
        assert s.gate.rows()[1:] == [[1, 11], [2, 22]]


def test_two_instances_run_at_a_time() -> None:
    with scene(instances=2) as s:
        jobs = [s.send(1)]
        s.gate.began()
        jobs.append(s.send(2))
        s.gate.began()
        s.gate.open(2)
        list(map(answer, jobs))
        assert sorted(s.gate.rows()) == [[1], [2]]


def test_call_sites_share_a_stage_and_its_batches() -> None:
    shared = stage("s", backend="gate")
    made = Build()
    x = made.input("x")
    made.output("a", made.call("a", shared, x))
    made.output("b", made.call("b", shared, x))
    with scene(made) as s:
        blocker = s.send(0)
        s.gate.began()
        job = s.send(1)
        s.gate.open(10)
        answer(blocker)
        out = answer(job)
        np.testing.assert_array_equal(out["a"], row(1))
        np.testing.assert_array_equal(out["b"], row(1))
        assert [sorted(batch) for batch in s.gate.rows()] == [[0], [0, 1, 1]]


# ---- limits


def test_a_full_queue_refuses_at_once() -> None:
    with scene(queue_max=2) as s:
        jobs = held(s, 1, 2)
        with pytest.raises(Overloaded, match=r"p\.s.*queue of stage `s` is full.*`queue.max = 2` rows"):
            answer(s.send(3))
        s.gate.open(2)
        list(map(answer, jobs))


def test_queue_timeout_rejects_what_waited_too_long() -> None:
    with scene(queue_timeout=5 * MS) as s:
        jobs = held(s, 1)
        s.clock.advance(5 * MS)
        with pytest.raises(DeadlineExceeded, match=r"queue\.timeout"):
            answer(jobs[1])
        s.gate.open()
        answer(jobs[0])
        assert s.gate.rows() == [[0]]


def test_the_door_lets_in_so_many_and_refuses_beyond_its_line() -> None:
    door = {"max_inflight": 1, "queue.max": 1}
    with scene(pipeline=door) as s:
        first = s.send(1)
        s.gate.began()
        second = s.send(2)
        with pytest.raises(Overloaded, match="1 requests are inside and 1 wait"):
            s.send(3)
        s.gate.open(2)
        answer(first), answer(second)
        assert s.gate.rows() == [[1], [2]]


def test_cancelled_in_line_never_enters() -> None:
    with scene(pipeline={"max_inflight": 1}) as s:
        first = s.send(1)
        s.gate.began()
        second = s.send(2)
        assert second.cancel()
        s.gate.open(1)
        answer(first)
        assert s.gate.rows() == [[1]]


# ---- time and cancellation


def test_expired_work_never_starts() -> None:
    with scene() as s:
        jobs = held(s, 1, timeout=0.001)
        s.clock.advance(2 * MS)
        with pytest.raises(DeadlineExceeded):
            answer(jobs[1])
        s.gate.open(2)
        answer(jobs[0])
        assert s.gate.rows() == [[0]]


def test_cancel_while_waiting_and_while_running() -> None:
    with scene() as s:
        running, waiting = held(s, 1)
        assert waiting.cancel()
        assert running.cancel()
        assert not running.cancel()
        for job in (running, waiting):
            with pytest.raises(CancelledError):
                answer(job)
            assert job.cancelled()
            assert isinstance(job.exception(), Cancelled)
        s.gate.open()
    assert s.gate.rows() == [[0]]


def test_a_call_timeout_names_its_node() -> None:
    made = Build()
    made.output("out", made.call("s", stage("s", backend="gate"), made.input("x"), timeout_ns=3 * MS))
    with scene(made) as s:
        job = s.send(1)
        s.gate.began()
        s.clock.advance(3 * MS)
        with pytest.raises(DeadlineExceeded, match=r"p\.s"):
            answer(job)
        s.gate.open()


# ---- failures


def raises_for(value: float, error: Exception) -> Any:
    def react(batch: Batch) -> BatchResult:
        if (np.asarray(batch.inputs[0])[:, 0] == value).any():
            raise error
        return BatchResult(batch.inputs[:1])

    return react


def test_one_bad_request_fails_alone() -> None:
    with scene() as s:
        s.gate.react = raises_for(3, ValueError("three"))
        jobs = held(s, 1, 2, 3, 4)
        s.gate.open(100)
        for value in (0, 1, 2, 4):
            np.testing.assert_array_equal(answer(jobs[value])["out"], row(value))
        with pytest.raises(
            StageFailed, match=r"p\.s\[0\]: stage `s` raised ValueError: three \(request r4\)"
        ) as caught:
            answer(jobs[3])
        assert isinstance(caught.value.__cause__, ValueError)
        assert (caught.value.pipeline, caught.value.node, caught.value.http_status) == ("p", "p.s", 500)


def test_a_stage_that_runs_once_fails_its_batch() -> None:
    with scene(one_stage(effects="once")) as s:
        s.gate.react = raises_for(2, ValueError("two"))
        jobs = held(s, 1, 2)
        s.gate.open(2)
        answer(jobs[0])
        for job in jobs[1:]:
            with pytest.raises(StageFailed, match="batch of 2 requests"):
                answer(job)
        assert s.gate.rows() == [[0], [1, 2]]


def test_invalid_input_is_the_callers_fault() -> None:
    with scene() as s:
        s.gate.react = raises_for(1, InvalidInput("no ones, please"))
        s.gate.open(1)
        with pytest.raises(InvalidArgument, match="no ones, please"):
            answer(s.send(1))


def test_failed_rows_take_their_request_only() -> None:
    with scene() as s:
        s.gate.react = lambda b: BatchResult(
            b.inputs[:1], {i: ValueError("odd") for i, v in enumerate(b.inputs[0][:, 0]) if v % 2}
        )
        jobs = held(s, 2, 3, 4)
        s.gate.open(2)
        np.testing.assert_array_equal(answer(jobs[3])["out"], row(4))
        with pytest.raises(StageFailed, match="odd"):
            answer(jobs[2])
        assert len(s.gate.seen) == 2


def test_a_wrong_result_names_stage_and_port() -> None:
    with scene() as s:
        s.gate.react = lambda b: BatchResult((np.zeros((b.rows, 5), np.float32),))
        s.gate.open(1)
        with pytest.raises(StageFailed, match=r"stage `s`, output `y`"):
            answer(s.send(1))


def test_a_dead_process_is_tried_once_more() -> None:
    with scene() as s:
        died = iter([StageDied("gone"), None])

        def react(batch: Batch) -> BatchResult:
            if error := next(died, None):
                raise error
            return BatchResult(batch.inputs[:1])

        s.gate.react = react
        s.gate.open(2)
        np.testing.assert_array_equal(answer(s.send(1))["out"], row(1))


def test_a_dead_process_is_not_tried_again_where_effects_are_once() -> None:
    with scene(one_stage(effects="once")) as s:
        s.gate.react = raises_for(1, StageDied("gone"))
        s.gate.open(1)
        with pytest.raises(StageUnavailable, match="effects = once"):
            answer(s.send(1))


# ---- inputs and outputs


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        ({}, "missing input `x`"),
        ({"x": row(1), "y": 1}, "no input `y`"),
        ({"x": [[1, 2, 3]]}, "input `x`"),
        ({"x": np.zeros((1, 4), np.int64)}, "input `x`"),
        ({"x": "text"}, "input `x`"),
    ],
)
def test_wrong_inputs_are_refused_at_the_door(inputs: dict[str, Any], match: str) -> None:
    with scene() as s:
        with pytest.raises(InvalidArgument, match=match):
            s.engine.submit("p", inputs)
        assert s.gate.seen == []


def test_unknown_names_suggest_known_ones() -> None:
    with scene() as s:
        with pytest.raises(NotFound, match="no pipeline `q`"):
            s.engine.submit("q", {})
        with pytest.raises(NotFound, match=r"no output `outt`.*`out`"):
            s.send(1, outputs=["outt"])


def test_only_what_is_wanted_runs() -> None:
    made = Build()
    x = made.input("x")
    made.output("a", made.call("s", stage("s", backend="gate"), x))
    made.output("b", made.call("n", stage("n"), x))
    made.output("c", x)
    made.output("d", number(2.0), "f32")
    with scene(made) as s:
        out = answer(s.send(1, outputs=["b", "c", "d"]))
        assert list(out) == ["b", "c", "d"]
        assert out["d"] == 2.0
        np.testing.assert_array_equal(out["c"], row(1))
        assert s.gate.seen == []


def test_a_stage_with_effects_runs_though_nobody_reads_it() -> None:
    made = Build()
    x = made.input("x")
    made.call("s", stage("s", backend="gate", effects="once"), x)
    made.output("out", made.call("n", stage("n"), x))
    with scene(made) as s:
        job = s.send(1)
        s.gate.began()
        s.gate.open()
        answer(job)
        assert s.gate.rows() == [[1]]


@pytest.mark.host
def test_no_copies_along_a_chain_that_keeps_its_batch() -> None:
    made = Build()
    value = made.call("s", stage("s", backend="gate"), made.input("x"))
    for i in range(3):
        value = made.call(f"n{i}", stage(f"n{i}"), value)
    made.output("out", value)
    with scene(made) as s:
        jobs = held(s, 1, 2, 3)
        s.gate.open(2)
        results = [answer(j)["out"] for j in jobs]
        copied = {n.node: dict(n.copied_bytes) for n in s.engine.stats().nodes}
        assert copied["p.s"] == {"gather": 3 * 16}
        assert all(not copied[f"p.n{i}"] for i in range(3))
        assert all(np.shares_memory(a, s.gate.seen[1].inputs[0]) for a in results[1:])


def test_results_are_read_only() -> None:
    with scene() as s:
        s.gate.open(1)
        out = answer(s.send(1))["out"]
        with pytest.raises(ValueError, match="read-only"):
            out[0, 0] = 5


# ---- life


def test_timings_and_counters() -> None:
    with scene() as s:
        jobs = held(s, 1, 2)
        s.clock.advance(4 * MS)
        s.gate.open(2)
        list(map(answer, jobs))
        timing = answer(jobs[2]).timings["s"]
        assert timing.batch_rows == 2
        assert timing.queue == pytest.approx(0.004)
        node = s.engine.stats().nodes[0]
        assert (node.succeeded, node.rows, node.executions) == (3, 3, 2)


def test_drain_refuses_new_work_and_finishes_the_old() -> None:
    with scene() as s:
        job = s.send(1)
        s.gate.began()
        drained: list[bool] = []
        waiting = threading.Thread(target=lambda: drained.append(s.engine.drain(PATIENCE)))
        waiting.start()
        while s.engine.state != "draining":
            pass
        with pytest.raises(Unavailable, match="draining"):
            s.send(2)
        s.gate.open()
        answer(job)
        waiting.join(PATIENCE)
        assert drained == [True]


def test_stop_ends_what_is_inside() -> None:
    with scene() as s:
        running, waiting = held(s, 1)
        stopper = threading.Thread(target=s.engine.stop)
        stopper.start()
        for job in (running, waiting):
            with pytest.raises(Unavailable, match="stopped"):
                answer(job)
        s.gate.open(2)
        stopper.join(PATIENCE)
        assert s.gate.closed == 1


def test_asyncio_answers_and_cancels() -> None:
    with scene() as s:

        async def run() -> None:
            first = asyncio.create_task(s.engine.asubmit("p", {"x": row(1)}))
            await asyncio.to_thread(s.gate.began)
            second = asyncio.create_task(s.engine.asubmit("p", {"x": row(2)}))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            s.gate.open(2)
            np.testing.assert_array_equal((await first)["out"], row(1))

        asyncio.run(run())
    assert s.gate.rows() == [[1]]


def test_a_cohort_wakes_an_event_loop_once() -> None:
    with scene() as s:

        async def run() -> int:
            loop = asyncio.get_running_loop()
            calls = 0
            original = loop.call_soon_threadsafe

            def counted(*args: Any) -> Any:
                nonlocal calls
                calls += args[0].__name__ == "_resolve"
                return original(*args)

            loop.call_soon_threadsafe = counted  # type: ignore[method-assign]  # counting is the test
            blocker = asyncio.create_task(s.engine.asubmit("p", {"x": row(0)}))
            await asyncio.to_thread(s.gate.began)
            tasks = [asyncio.create_task(s.engine.asubmit("p", {"x": row(i)})) for i in range(8)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # the turn in which they all come in
            s.gate.open(2)
            await asyncio.gather(blocker, *tasks)
            return calls

        assert asyncio.run(run()) == 2
