"""Failures in odd places: whatever raises, each request ends once, slots come free and threads live on."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

import backends
from backends.base import BatchResult, InstanceConfig
from backends.values import InvalidInput
from executor import Engine, Job, LoadError
from executor.clock import ManualClock, SystemClock
from executor.errors import DeadlineExceeded, Overloaded, RequestError, StageFailed, Unavailable
from executor.stage import StageRuntime
from executor.workers import Worker
from pipeline_dsl.plan import StagePlan
from pipeline_dsl.planning import build
from tests.pipeline_dsl.graphs import HOST, Build, diamond, number, stage

from .gates import PATIENCE, Gate, answer, one_stage, row, scene
from .plain import running
from .test_engine import MS, held


class Odd(BaseException):
    """What `except Exception` does not catch."""


def raises(error: BaseException) -> Any:
    def call(*_: Any) -> Any:
        raise error

    return call


def in_time(work: Any) -> None:
    """Run on another thread; fail if it does not return."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it hangs"


# ---- callbacks


@pytest.mark.parametrize("error", [ValueError("a"), SystemExit(1), Odd()])
def test_a_callback_that_raises_harms_nobody(error: BaseException) -> None:
    with scene(pipeline={"max_inflight": 4}) as s:
        jobs = held(s, 1, 2, 3)
        jobs += [s.send(4)]  # stands in line until one of them has ended
        for job in jobs[:3]:
            job.add_done_callback(raises(error))
        s.gate.open(10)
        for value, job in enumerate(jobs):
            np.testing.assert_array_equal(answer(job)["out"], row(value))


def test_a_callback_that_raises_on_the_timer_thread() -> None:
    gate = Gate()
    backends.register("gate", lambda: gate)
    engine = Engine(build(one_stage().program(), HOST))
    engine.start()
    try:
        for _ in range(2):
            job = engine.submit("p", {"x": row(1)}, timeout=0.001)
            job.add_done_callback(raises(SystemExit(1)))
            with pytest.raises(DeadlineExceeded):
                answer(job)
        gate.always_open = True
        gate.open(10)
        assert engine.drain(PATIENCE)
    finally:
        engine.stop()


def test_a_call_that_raises_leaves_the_timer_thread_alive() -> None:
    clock = SystemClock()
    done = threading.Event()
    clock.call_at(0, raises(ValueError("timer")))
    clock.call_at(0, raises(Odd()))
    clock.call_at(0, done.set)
    assert done.wait(PATIENCE)
    clock.close()


def test_a_task_that_raises_leaves_its_thread_alive() -> None:
    worker = Worker("w")
    worker.put(raises(ValueError("task")))
    worker.put(raises(Odd()))
    assert worker.call(lambda: 3) == 3
    assert worker.stop(PATIENCE)


def test_a_callback_may_submit_and_cancel() -> None:
    with scene() as s:
        second: Future[Any] = Future()
        first = s.send(1)
        first.add_done_callback(lambda _: second.set_result(s.send(2)))
        s.gate.open(2)
        job = second.result(PATIENCE)
        np.testing.assert_array_equal(answer(job)["out"], row(2))


# ---- the executor's own steps


def test_out_of_memory_at_egress(monkeypatch: pytest.MonkeyPatch) -> None:
    with scene() as s:
        jobs = held(s, 1, 2)
        monkeypatch.setattr("executor.node.responses", raises(MemoryError("no room")))
        s.gate.open(1)
        with pytest.raises(StageFailed, match="internal error: MemoryError: no room"):
            answer(jobs[0])
        monkeypatch.undo()
        s.gate.open(1)
        list(map(answer, jobs[1:]))


def test_out_of_memory_at_a_join(monkeypatch: pytest.MonkeyPatch) -> None:
    made = diamond()
    functions = {name: lambda x: (x * 1,) for name in "abc"} | {"d": lambda left, right: (left + right,)}
    for called in made.stages.values():
        object.__setattr__(called, "backend", "plain")
    settings = {"b": {"batching.max": 1}}
    with running(made, functions, settings=settings) as r:
        monkeypatch.setattr("executor.join.merge", raises(MemoryError("no room")))
        jobs = [r.send(x=row(v)) for v in (1, 2)]
        r.finish(*jobs)
        assert {type(job.exception()) for job in jobs} == {StageFailed}
        monkeypatch.undo()
        np.testing.assert_array_equal(r.ask(x=row(2))["out"], row(4))


@pytest.mark.parametrize("method", ["whole", "entries"])
def test_out_of_memory_before_an_inbox(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Build()
    a = made.call("a", stage("a", backend="plain"), made.input("x"))
    made.output("out", made.call("s", stage("s", backend="plain"), a, timeout_ns=MS if method == "entries" else None))
    functions = {"a": lambda x: (x * 1,), "s": lambda x: (x * 1,)}
    with running(made, functions, delay=0) as r:
        real = getattr(StageRuntime, method)

        def refuse(stage: StageRuntime, *rest: Any) -> Any:
            return raises(MemoryError("no room"))() if stage.plan.name == broken else real(stage, *rest)

        monkeypatch.setattr(StageRuntime, method, refuse)
        for broken in "as" if method == "whole" else "s":  # noqa: B007 - `refuse` reads it
            with pytest.raises(StageFailed, match="internal error: MemoryError: no room"):
                r.send(x=row(1)).result(PATIENCE)
        monkeypatch.undo()
        np.testing.assert_array_equal(r.ask(x=row(2))["out"], row(2))


def test_a_join_behind_one_that_failed_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = diamond()
    for called in made.stages.values():
        object.__setattr__(called, "backend", "plain")
    functions = {name: lambda x: (x * 1,) for name in "abc"} | {"d": lambda left, right: (left + right,)}
    functions["c"] = raises(ValueError("c"))
    with running(made, functions, delay=0) as r:
        for _ in range(3):
            with pytest.raises(StageFailed, match="ValueError: c"):
                r.send(x=row(1)).result(PATIENCE)


# ---- stop


def test_stop_from_a_callback() -> None:
    with scene() as s:
        stopped = threading.Event()

        def stop(_: Any) -> None:
            s.engine.stop()
            stopped.set()

        s.send(1).add_done_callback(stop)
        s.gate.open()
        assert stopped.wait(PATIENCE)
        assert s.gate.closed == 1


class AffineGate(Gate):
    def load(self, stage: StagePlan, config: InstanceConfig) -> Any:
        instance = super().load(stage, config)
        instance.thread_affine = True
        return instance


def affine_engine(clock: ManualClock | None = None) -> tuple[Engine, Gate]:
    gate = AffineGate()
    backends.register("gate", lambda: gate)
    engine = Engine(build(one_stage().program(), HOST), clock or ManualClock())
    engine.start()
    return engine, gate


def test_stop_from_a_callback_on_the_thread_of_an_instance() -> None:
    engine, gate = affine_engine()
    stopped = threading.Event()

    def stop(_: Any) -> None:
        engine.stop()
        stopped.set()

    engine.submit("p", {"x": row(1)}).add_done_callback(stop)
    gate.open()
    assert stopped.wait(PATIENCE)
    assert gate.closed == 1


def test_stop_does_not_wait_for_ever_for_an_instance_on_its_own_thread() -> None:
    engine, gate = affine_engine()
    job = engine.submit("p", {"x": row(1)})
    gate.began()
    in_time(lambda: engine.stop(timeout=0.01))
    with pytest.raises(Unavailable):
        answer(job)
    gate.open()


def test_stop_waits_for_all_threads_together() -> None:
    worker = Worker("w", threads=50)
    shut = threading.Event()
    for _ in range(50):
        worker.put(lambda: shut.wait(PATIENCE) and None)
    in_time(lambda: worker.stop(0.3))
    shut.set()


class SlowLoad(Gate):
    """Loads when told."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.loading, self.go = threading.Event(), threading.Event()

    def load(self, stage: StagePlan, config: InstanceConfig) -> Any:
        self.loading.set()
        assert self.go.wait(PATIENCE)
        return super().load(stage, config)


def test_stop_while_it_loads() -> None:
    slow = SlowLoad()
    backends.register("gate", lambda: slow)
    engine = Engine(build(one_stage().program(), HOST), ManualClock())
    failed: list[BaseException] = []

    def start() -> None:
        try:
            engine.start()
        except Unavailable as error:
            failed.append(error)

    starting = threading.Thread(target=start)
    starting.start()
    assert slow.loading.wait(PATIENCE)
    in_time(engine.stop)
    slow.go.set()
    starting.join(PATIENCE)
    assert [type(e) for e in failed] == [Unavailable]
    assert engine.state == "stopped"
    assert slow.closed == 1


def test_start_is_for_new_engines() -> None:
    with scene() as s, pytest.raises(Unavailable, match="ready"):
        s.engine.start()
    with pytest.raises(Unavailable, match="stopped"):
        s.engine.start()


def test_drain_ends_when_the_engine_stops() -> None:
    with scene() as s:
        s.send(1)
        s.gate.began()
        drained: list[bool] = []
        waiting = threading.Thread(target=lambda: drained.append(s.engine.drain()))
        waiting.start()
        while s.engine.state != "draining":
            pass
        s.engine.stop(timeout=0.01)
        s.gate.open()
        waiting.join(PATIENCE)
        assert not waiting.is_alive()


# ---- the door


def test_a_queue_timeout_holds_for_requests_with_a_deadline() -> None:
    door = {"max_inflight": 1, "queue.timeout": 5 * MS}
    with scene(pipeline=door) as s:
        first = s.send(1, timeout=1)
        s.gate.began()
        second = s.send(2, timeout=1)
        third = s.send(3, timeout=0.001)
        s.clock.advance(MS)
        with pytest.raises(DeadlineExceeded, match="deadline passed"):
            answer(third)
        s.clock.advance(4 * MS)
        with pytest.raises(DeadlineExceeded, match=r"queue\.timeout"):
            answer(second)
        s.gate.open()
        answer(first)


def test_a_deadline_holds_for_requests_that_waited_before_the_door() -> None:
    door = {"max_inflight": 1, "queue.timeout": 5 * MS}
    with scene(pipeline=door) as s:
        first = s.send(1)
        s.gate.began()
        second = s.send(2, timeout=0.020)
        s.clock.advance(4 * MS)
        s.gate.open()
        answer(first)
        s.gate.began()
        s.clock.advance(15 * MS)
        assert not second.done()
        s.clock.advance(MS)
        with pytest.raises(DeadlineExceeded, match="deadline passed"):
            answer(second)
        s.gate.open()


def test_refused_requests_are_counted_once_and_leave_nothing() -> None:
    door = {"max_inflight": 1, "queue.max": 1}
    with scene(pipeline=door) as s:
        jobs = [s.send(1)]
        s.gate.began()
        jobs.append(s.send(2))
        with pytest.raises(Overloaded):
            s.send(3, timeout=1)

        async def some() -> list[Any]:
            asked = [s.engine.asubmit("p", {"x": row(v)}, timeout=1) for v in (4, 5)]
            return await asyncio.gather(*asked, return_exceptions=True)

        assert [type(e) for e in asyncio.run(some())] == [Overloaded, Overloaded]
        s.clock.advance(2000 * MS)
        assert dict(s.engine.stats().pipelines[0].failures) == {"REJECTED": 3}
        s.gate.open(2)
        list(map(answer, jobs))


def test_wrong_inputs_are_counted() -> None:
    with scene() as s:
        with pytest.raises(Exception, match="missing input"):
            s.engine.submit("p", {})
        assert dict(s.engine.stats().pipelines[0].failures) == {"REJECTED": 1}


# ---- event loops


def test_a_loop_that_closed_meanwhile() -> None:
    with scene() as s:
        loop = asyncio.new_event_loop()
        task = loop.create_task(s.engine.asubmit("p", {"x": row(1)}))
        loop.run_until_complete(asyncio.sleep(0))
        s.gate.began()
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is what this test is about
        loop.close()
        job = s.send(2)
        s.gate.open(2)
        np.testing.assert_array_equal(answer(job)["out"], row(2))
        del task
        gc.collect()


def test_a_loop_that_closed_before_its_requests_came_in() -> None:
    with scene() as s:
        loop = asyncio.new_event_loop()
        task = loop.create_task(s.engine.asubmit("p", {"x": row(1)}))
        loop.call_soon(loop.stop)
        loop.run_forever()
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is what this test is about
        loop.close()

        async def other() -> Any:
            s.gate.open()
            return await s.engine.asubmit("p", {"x": row(2)})

        np.testing.assert_array_equal(asyncio.run(other())["out"], row(2))
        assert s.engine._coming == {}
        del task
        gc.collect()


# ---- thread-affine instances


def test_a_worker_of_one_instance_does_not_run_on() -> None:
    """Else the instance would wait for a thread that is busy with what comes behind it."""
    gate, affine = Gate("behind"), AffineGate()
    affine.always_open = True
    backends.register("gate", lambda: affine)
    backends.register("behind", lambda: gate)
    made = Build()
    first = made.call("s", stage("s", backend="gate"), made.input("x"))
    made.output("out", made.call("behind", stage("behind", backend="behind"), first))
    engine = Engine(build(made.program(), HOST), ManualClock())
    engine.start()
    try:
        jobs: list[Job] = []
        for value in (1, 2):
            jobs.append(engine.submit("p", {"x": row(value)}))
            affine.began()
        gate.open(2)
        list(map(answer, jobs))
        assert engine.drain(PATIENCE)
    finally:
        engine.stop()


# ---- several engines


def test_deaths_in_one_engine_are_seen_whatever_others_do() -> None:
    """The token that says `nobody died` never repeats."""
    from executor.cohort import Deaths

    seen = {Deaths.count}
    with scene() as s:
        for _ in range(5):
            assert s.send(1).cancel()
            assert Deaths.count not in seen
            seen.add(Deaths.count)
            s.gate.open()


# ---- loading


class Interrupted(Gate):
    """The third instance is interrupted, as if by Ctrl-C at the thread that waits for it."""

    def load(self, stage: StagePlan, config: InstanceConfig) -> Any:
        if config.index == 2:
            raise Odd("third")
        return super().load(stage, config)


def test_a_stage_may_raise_anything_while_it_loads() -> None:
    gate = Interrupted()
    backends.register("gate", lambda: gate)
    engine = Engine(build(one_stage().program(stages={"s": {"instances": 4}}), HOST), ManualClock())
    with pytest.raises(LoadError, match="Odd: third"):
        engine.start()
    assert gate.closed == 3


def test_an_interrupted_start_leaves_nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    backends.register("gate", lambda: gate)
    engine = Engine(build(one_stage().program(stages={"s": {"instances": 3}}), HOST), ManualClock())
    real, calls = Future.result, iter(range(100))

    def result(future: Any, timeout: float | None = None) -> Any:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return real(future, timeout)

    monkeypatch.setattr(Future, "result", result)
    with pytest.raises(KeyboardInterrupt):
        engine.start()
    monkeypatch.undo()
    assert gate.closed == len(gate.loaded) > 0
    assert engine.state == "new"


# ---- what instances may come up with


class Untold(InvalidInput):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def given(x: Any, failed: Any = None) -> BatchResult:
    return BatchResult((x * 1,), failed)


ODD: dict[str, Any] = {
    "nothing": lambda x: None,
    "a tuple": lambda x: (x,),
    "no outputs": lambda x: BatchResult(()),
    "outputs that are none": lambda x: BatchResult(None),  # type: ignore[arg-type]  # that is the point
    "text": lambda x: BatchResult(("x",)),
    "an array of text": lambda x: BatchResult((np.full(x.shape, "x", object),)),
    "too few rows": lambda x: BatchResult((x[1:],)),
    "failures that are text": lambda x: given(x, {0: "bad", 1: "bad"}),
    "failures of rows that are text": lambda x: given(x, {"a": ValueError("bad")}),
    "failures in a list": lambda x: given(x, [ValueError("bad")]),
    "failures that are nothing": lambda x: given(x, {0: None, 1: None}),
    "errors that can not be told": raises(Untold("x")),
    "rows that can not be told": lambda x: given(x, {0: Untold("x"), 1: Untold("y")}),
    "the end of an iteration": raises(StopIteration(3)),
    "a cancelled task": raises(asyncio.CancelledError()),
    "the end of a generator": raises(GeneratorExit()),
    "an exit": raises(SystemExit(3)),
    "out of memory": raises(MemoryError()),
    "too deep": raises(RecursionError("deep")),
}


@pytest.mark.parametrize("effects", ["none", "once"])
@pytest.mark.parametrize("how", ODD)
def test_whatever_an_instance_does_all_are_answered(how: str, effects: Any) -> None:
    with scene(one_stage(effects=effects)) as s:
        odd = ODD[how]
        s.gate.react = lambda b: odd(b.inputs[0]) if b.inputs[0][0, 0] else BatchResult(b.inputs[:1])
        jobs = held(s, 1, 2)
        s.gate.open(20)
        np.testing.assert_array_equal(answer(jobs[0])["out"], row(0))
        for job in jobs[1:]:
            assert isinstance(job.exception(PATIENCE), RequestError)
        s.gate.open(1)
        np.testing.assert_array_equal(answer(s.send(0))["out"], row(0))


@pytest.mark.parametrize("strange", [{5: ValueError("e")}, {-1: ValueError("e")}, {}])
def test_failures_of_rows_that_are_not_there_fail_nobody(strange: Any) -> None:
    with scene() as s:
        s.gate.react = lambda b: given(b.inputs[0], strange)
        s.gate.open(10)
        for job in held(s, 1, 2):
            answer(job)


def test_long_chains_of_steps() -> None:
    made = Build()
    value: Any = made.input("n", "i64")
    for i in range(2000):
        value = made.compute(f"c{i}", "+", value, number(1, "i64"), type_="i64")
    made.output("out", value, "i64")
    with running(made, {}) as r:
        assert r.ask(n=5)["out"] == 2005


# ---- callbacks that block


def test_a_callback_may_wait_for_another_request() -> None:
    """The instance that made its answer is free by then."""
    with scene() as s:
        found: Future[Any] = Future()
        job = s.send(1)
        job.add_done_callback(lambda _: found.set_result(s.send(2).result(PATIENCE / 2)["out"]))
        s.gate.open(2)
        np.testing.assert_array_equal(found.result(PATIENCE), row(2))


def test_a_callback_may_drain() -> None:
    with scene() as s:
        drained: Future[bool] = Future()
        s.send(1).add_done_callback(lambda _: drained.set_result(s.engine.drain(PATIENCE / 2)))
        s.gate.open()
        assert drained.result(PATIENCE)


def test_a_callback_of_a_failed_request_may_wait_for_another() -> None:
    with scene() as s:
        found: Future[Any] = Future()
        s.gate.react = lambda b: raises(ValueError("one"))() if b.inputs[0][0, 0] == 1 else BatchResult(b.inputs[:1])
        job = s.send(1)
        job.add_done_callback(lambda _: found.set_result(s.send(2).result(PATIENCE / 2)["out"]))
        s.gate.open(2)
        np.testing.assert_array_equal(found.result(PATIENCE), row(2))
