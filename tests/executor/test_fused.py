"""Static runs on an engine over simulated devices: answers, errors, counters and timings are those of the members."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import backends
from backends.base import BatchResult
from backends.device.sim import Simulation, use
from backends.device.sim.instance import SimInstance
from backends.fused import FusedInstance, graphs
from backends.values import Array
from executor import Engine
from executor.errors import Overloaded, StageFailed
from executor.tap import Tap
from pipeline_dsl.ir import Ref
from pipeline_dsl.planning import build
from tests.pipeline_dsl.graphs import HOST, Build, stage

from .plain import Plain, PlainBackend, PlainInstance, running

BAD = 100.0
"""What a row begins with that stages refuse which look."""


def rows(count: int, rng: random.Random) -> Array:
    return np.array([[rng.randint(-5, 5) for _ in range(4)] for _ in range(count)], np.float32)


def mixed(number: int) -> Any:
    """Another function for each stage; exact in float32."""

    def function(*inputs: Array) -> tuple[Array]:
        return (sum((k + 2) * x for k, x in enumerate(inputs)) + number,)  # type: ignore[return-value]

    return function


class Made:
    """A random pipeline of device stages, and what each of its values is for an input."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.build = Build()
        x = self.build.input("x")
        values: dict[str, Ref] = {"x": x}
        self.reads: dict[str, list[str]] = {}
        self.functions: dict[str, Any] = {}
        for i in range(rng.randint(2, 7)):
            name = f"s{i}"
            reads = rng.choices(list(values), k=rng.choice([1, 1, 2, 3]))
            ports = {f"x{k}": "f32[*, 4]" for k in range(len(reads))}
            made = stage(name, ports, {"y": "f32[*, 4]"}, backend="plain")
            values[name] = self.build.call(name, made, *(values[r] for r in reads))
            self.reads[name] = reads
            self.functions[name] = mixed(i)
        self.outputs = sorted(rng.sample(list(self.reads), rng.randint(1, len(self.reads))))
        for name in self.outputs:
            self.build.output(name, values[name])
        self.settings = {name: {"device": "sim:0"} for name in self.reads}
        if rng.random() < 0.3:
            self.settings[rng.choice(list(self.reads))] = {"device": "cpu"}

    def value(self, name: str, x: Array) -> Array:
        if name == "x":
            return x
        made: Array = self.functions[name](*(self.value(r, x) for r in self.reads[name]))[0]
        return made

    def needed(self, outputs: list[str]) -> set[str]:
        """The stages behind some outputs."""
        found: set[str] = set()
        todo = list(outputs)
        while todo:
            name = todo.pop()
            if name != "x" and name not in found:
                found.add(name)
                todo += self.reads[name]
        return found


def replays(engine: Engine) -> int:
    found = [slot.instance for one in engine.sets for slot in one.slots]
    return sum(i.graphs.replays for i in found if isinstance(i, FusedInstance))


@pytest.fixture(autouse=True)
def _paying(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's clock does not know what a launch costs the host: here every graph pays."""
    monkeypatch.setattr(graphs, "worthwhile", lambda *_: True)


@contextmanager
def simulated(seed: int = 0) -> Iterator[Simulation]:
    with use(Simulation(seed)) as simulation:
        yield simulation
        simulation.check()


class TestAnswers:
    def test_of_random_pipelines_are_what_their_functions_give(self) -> None:
        sets = graphed = 0
        for seed in range(60):
            made = Made(seed)
            rng = random.Random(seed)
            with simulated(seed), running(made.build, made.functions, delay=0, settings=made.settings) as plain:
                asked = []
                for i in range(14):
                    x = rows(rng.randint(1, 4), rng)
                    wanted = rng.sample(made.outputs, rng.randint(1, len(made.outputs))) if i % 3 == 0 else made.outputs
                    asked.append((x, wanted, plain.send(x=x, options={"outputs": wanted})))
                    if i % 2:
                        asked[-1][2].result(20)
                for x, wanted, job in asked:
                    response = job.result(20)
                    for name in wanted:
                        np.testing.assert_array_equal(response[name], made.value(name, x), f"seed {seed}, {name}")
                    ran = [e.node for e in response.executions]
                    assert sorted(ran) == sorted(f"p.{name}" for name in made.needed(wanted)), seed
                sets += len(plain.engine.sets)
                graphed += replays(plain.engine)
        assert sets > 40
        assert graphed > 200

    def test_are_the_same_when_run_apart(self) -> None:
        for seed in range(10):
            made = Made(seed)
            apart = {name: {**keys, "fuse": "false"} for name, keys in made.settings.items()}
            x = rows(3, random.Random(seed))
            found = []
            for settings in (made.settings, apart):
                with simulated(seed), running(made.build, made.functions, delay=0, settings=settings) as plain:
                    assert bool(plain.engine.sets) <= (settings is made.settings)
                    found.append(dict(plain.send(x=x).result(20)))
            assert all(np.array_equal(found[0][name], found[1][name]) for name in made.outputs)

    def test_nothing_is_copied_between_members(self) -> None:
        with diamond() as plain:
            for _ in range(3):
                plain.send(x=rows(2, random.Random(0))).result(20)
            copied = {n.node: dict(n.copied_bytes) for n in plain.engine.stats().nodes}
        assert copied == {"p.h": {}, "p.u": {}, "p.v": {}, "p.w": {}}


# ---- one pipeline

FUNCTIONS: dict[str, Any] = {"a": mixed(1), "b": mixed(2), "c": mixed(3), "d": mixed(4)}


def diamond_build() -> Build:
    made = Build()
    h = made.call("h", stage("a", backend="plain"), made.input("x"))
    u = made.call("u", stage("b", backend="plain"), h)
    v = made.call("v", stage("c", backend="plain"), h)
    both = {"x": "f32[*, 4]", "z": "f32[*, 4]"}
    made.output("w", made.call("w", stage("d", both, backend="plain"), u, v))
    made.output("v", v)
    return made


@contextmanager
def diamond(functions: dict[str, Any] | None = None, **settings: dict[str, Any]) -> Iterator[Plain]:
    keys = {name: {"device": "sim:0", **settings.get(name, {})} for name in FUNCTIONS}
    with simulated(), running(diamond_build(), {**FUNCTIONS, **(functions or {})}, delay=0, settings=keys) as plain:
        yield plain


def answer(x: Array) -> Array:
    h = FUNCTIONS["a"](x)[0]
    w: Array = FUNCTIONS["d"](FUNCTIONS["b"](h)[0], FUNCTIONS["c"](h)[0])[0]
    return w


def refusing(name: str, error: type[Exception] = ValueError) -> Any:
    def function(*inputs: Array) -> tuple[Array]:
        made: tuple[Array] = FUNCTIONS[name](*inputs)
        if (np.abs(inputs[0]) > BAD).any():
            raise error("too large")
        return made

    return function


def failing(name: str) -> Any:
    """Fails single rows."""

    def function(*inputs: Array) -> BatchResult:
        bad = np.flatnonzero((np.abs(inputs[0]) > BAD).any(axis=1))
        return BatchResult(FUNCTIONS[name](*inputs), {int(i): ValueError(f"row {i}") for i in bad} or None)

    return function


def entered_together(plain: Plain, batches: list[Array]) -> list[Any]:
    """Requests that come in as one cohort, so that they share a batch."""
    import asyncio

    async def main() -> list[Any]:
        return await asyncio.gather(*(plain.engine.asubmit("p", {"x": x}) for x in batches), return_exceptions=True)

    return asyncio.run(main())


class TestErrors:
    @pytest.mark.parametrize(("name", "node"), [("a", "p.h"), ("c", "p.v"), ("d", "p.w")])
    def test_name_the_member_that_raised(self, name: str, node: str) -> None:
        with diamond({name: refusing(name)}) as plain:
            for _ in range(3):
                plain.send(x=rows(2, random.Random(1))).result(20)
            job = plain.send(x=np.full((1, 4), 1e6, np.float32))
            error = job.exception(20)
            assert isinstance(error, StageFailed)
            assert error.node == node
            assert f"stage `{name}` raised ValueError: too large" in str(error)
            assert isinstance(error.__cause__, ValueError)
            failures = {n.node: dict(n.failures) for n in plain.engine.stats().nodes}
            assert failures == {n: {error.reason: 1} if n == node else {} for n in failures}
            x = rows(1, random.Random(2))
            assert np.array_equal(plain.send(x=x).result(20)["w"], answer(x))

    @pytest.mark.parametrize("function", [refusing, failing])
    def test_one_bad_row_ends_its_own_request_only(self, function: Any) -> None:
        with diamond({"b": function("b")}) as plain:
            batches = [rows(1 + i % 3, random.Random(i)) for i in range(9)]
            batches[4][0, 0] = 1e6
            found = entered_together(plain, batches)
            for i, (x, response) in enumerate(zip(batches, found, strict=True)):
                if i == 4:
                    assert isinstance(response, StageFailed)
                    assert response.node == "p.u"
                else:
                    assert np.array_equal(response["w"], answer(x)), response

    def test_a_result_that_is_not_as_promised_names_its_stage(self) -> None:
        with diamond({"c": lambda x: (x[:, :2].copy(),)}) as plain:
            error = plain.send(x=rows(2, random.Random(1))).exception(20)
        assert isinstance(error, StageFailed)
        assert error.node == "p.v"
        assert "stage `c`, output `y`: f32[*, 4] is expected" in str(error)

    def test_a_full_queue_is_that_of_the_first_member(self) -> None:
        from threading import Event

        begun, go = Event(), Event()

        def slow(x: Array) -> tuple[Array]:
            begun.set()
            assert go.wait(20)
            made: tuple[Array] = FUNCTIONS["a"](x)
            return made

        with diamond({"a": slow}, a={"queue.max": 2}) as plain:
            first = plain.send(x=rows(1, random.Random(0)))
            assert begun.wait(20)
            jobs = [plain.send(x=rows(2, random.Random(0))) for _ in range(2)]
            error = jobs[1].exception(20)
            assert isinstance(error, Overloaded)
            assert error.node == "p.h"
            assert "the queue of stage `a` is full" in str(error)
            waiting = {s.stage: s.waiting_rows for s in plain.engine.stats().stages}
            assert waiting == {"a": 2, "b": 0, "c": 0, "d": 0}
            go.set()
            first.result(20)
            jobs[0].result(20)


class TestFigures:
    def test_members_are_counted_at_their_own_call_sites(self) -> None:
        with diamond() as plain:
            jobs = [plain.send(x=rows(2, random.Random(i))) for i in range(5)]
            for job in jobs:
                job.result(20)
            plain.send(x=rows(3, random.Random(9)), options={"outputs": ["v"]}).result(20)
            assert plain.engine.drain(20)
            found = {n.node: (n.stage, n.succeeded, n.rows) for n in plain.engine.stats().nodes}
            assert found == {
                "p.h": ("a", 6, 13),
                "p.u": ("b", 5, 10),
                "p.v": ("c", 6, 13),
                "p.w": ("d", 5, 10),
            }
            executions = {n.node: n.executions for n in plain.engine.stats().nodes}
            assert executions["p.u"] == executions["p.w"] < executions["p.h"] == executions["p.v"]
            assert [len(s.busy) for s in plain.engine.stats().stages] == [1, 1, 1, 1]

    def test_timings_of_an_answer_follow_one_another(self) -> None:
        """When it is given, and when its batch is known to have ended; by a clock that goes on."""
        backends.register("plain", lambda: PlainBackend(FUNCTIONS))
        program = diamond_build().program(stages={name: {"device": "sim:0"} for name in FUNCTIONS})
        with simulated():
            engine = Engine(build(program, HOST))
            engine.start()
            responses = [engine.submit("p", {"x": rows(2, random.Random(1))}).result(20) for _ in range(5)]
            for ended in (False, True):
                for response in responses:
                    ran = response.executions
                    assert [(e.node, e.stage, e.rows) for e in ran] == [
                        ("p.h", "a", 2),
                        ("p.u", "b", 2),
                        ("p.v", "c", 2),
                        ("p.w", "d", 2),
                    ]
                    for one, two in itertools.pairwise(ran):
                        assert one.start_ns < one.end_ns == two.start_ns == two.enqueued_ns
                assert ended or engine.drain(20)
            queues = {n.node: n.queue.total for n in engine.stats().nodes}
            assert queues["p.u"] == queues["p.v"] == queues["p.w"] == 0 < queues["p.h"]
            engine.stop()

    def test_a_batch_runs_once_in_each_member(self) -> None:
        with diamond() as plain:
            entered_together(plain, [rows(1, random.Random(i)) for i in range(8)])
            assert [len(plain.rows(name)) for name in "abcd"] == [1, 1, 1, 1]
            assert plain.rows("d") == [8]


class TestApart:
    def test_where_somebody_looks_at_every_call(self) -> None:
        program = diamond_build().program(stages={name: {"device": "sim:0"} for name in FUNCTIONS})
        plan = build(program, HOST)
        assert plan.fused
        backends.register("plain", lambda: PlainBackend(FUNCTIONS))
        for serial in (False, True):
            for tap in (None, Tap()):
                with simulated():
                    engine = Engine(replace(plan, serial=serial), tap=tap)
                    engine.start()
                    assert bool(engine.sets) == (not serial and tap is None)
                    x = rows(2, random.Random(3))
                    assert np.array_equal(engine.submit("p", {"x": x}).result(20)["w"], answer(x))
                    engine.stop()

    def test_where_an_instance_has_a_thread_of_its_own(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(PlainInstance, "thread_affine", True)
        with caplog.at_level(logging.INFO, "pipectl"), diamond() as plain:
            assert plain.engine.sets == []
            x = rows(2, random.Random(3))
            assert np.array_equal(plain.send(x=x).result(20)["w"], answer(x))
        assert "p.h + p.u + p.v + p.w: run apart: stage `a` is called from a thread of its own" in caplog.messages

    def test_where_a_member_waits_for_its_device(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Branches beside each other would wait for one another."""
        monkeypatch.setattr(SimInstance, "asynchronous", False, raising=False)
        with caplog.at_level(logging.INFO, "pipectl"), diamond() as plain:
            assert plain.engine.sets == []
        assert "run apart: stage `a` waits for its device" in caplog.text

    def test_two_instances_share_the_batches(self) -> None:
        two = {name: {"instances": 2} for name in FUNCTIONS}
        with diamond(**two) as plain:
            assert [len(one.slots) for one in plain.engine.sets] == [2]
            asked = [rows(1 + i % 3, random.Random(i)) for i in range(30)]
            jobs = [plain.send(x=x) for x in asked]
            for x, job in zip(asked, jobs, strict=True):
                assert np.array_equal(job.result(20)["w"], answer(x))
