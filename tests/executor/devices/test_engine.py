"""An engine whose stages run on simulated devices: order, memory, failures, several devices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from backends.device import DeviceArray, device
from backends.device.driver import DeviceLost
from backends.device.sim import RaceError, Simulation, WrongValue
from backends.device.stream import Stream
from executor.devices import landing, reaper
from executor.devices.site import Site
from executor.errors import StageFailed, StageUnavailable
from tests.executor.plain import Plain, running
from tests.pipeline_dsl.graphs import Build, stage
from tests.simulated import Place, on_simulator

SEEDS = range(8)


def row(value: float) -> Any:
    return np.full((1, 4), value, np.float32)


def chain(*names: str) -> Build:
    made = Build()
    value = made.input("x")
    for name in names:
        value = made.call(name, stage(name, backend="plain"), value)
    made.output("out", value)
    return made


def diamond() -> Build:
    made = Build()
    first = made.call("a", stage("a", backend="plain"), made.input("x"))
    left = made.call("b", stage("b", backend="plain"), first)
    right = made.call("c", stage("c", backend="plain"), first)
    both = stage("d", {"l": "f32[*, 4]", "r": "f32[*, 4]"}, backend="plain")
    made.output("out", made.call("d", both, left, right))
    return made


FUNCTIONS = {
    "a": lambda x: (x + 1,),
    "b": lambda x: (x * 2,),
    "c": lambda x: (x * 3,),
    "d": lambda l, r: (l - r,),  # noqa: E741 - left and right
}


def places(**by_stage: str) -> Place:
    """Each stage where it is said to be."""
    return lambda plan: by_stage.get(plan.name, "sim:0")


def leaks(simulation: Simulation) -> list[str]:
    """What is held though nothing runs any more."""
    for index in simulation.drivers:
        device(f"sim:{index}").trim()
    return simulation.leaks()


@pytest.fixture
def sim(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Simulation]:
    with on_simulator(request.node.nodeid, monkeypatch) as simulation:
        yield simulation


def ask(r: Plain, values: range) -> None:
    jobs = [r.send(x=row(v)) for v in values]
    for value, response in zip(values, r.answers(*jobs), strict=True):
        np.testing.assert_array_equal(response["out"], row(-(value + 1)))


def test_a_diamond_runs_on_two_streams(sim: Simulation) -> None:
    with running(diamond(), FUNCTIONS, delay=0) as r:
        ask(r, range(6))
        found = device("sim:0")
        assert found.streams_used >= 2
        assert found.waits > 0
    assert leaks(sim) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_stages_on_several_devices(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places(b="sim:1", c="cpu")
    with on_simulator(f"several {seed}", monkeypatch, place) as simulation:
        with running(diamond(), FUNCTIONS, delay=0) as r:
            ask(r, range(6))
            r.backend.batches.clear()  # those of the host stage hold what was copied to it
        assert leaks(simulation) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_instances_on_several_devices(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches go to the device that has least to do; what they read comes along."""
    settings = {name: {"instances": 2, "batching.max": 1} for name in FUNCTIONS}
    with on_simulator(f"instances {seed}", monkeypatch, lambda _: "sim:0,1") as simulation:
        with running(diamond(), FUNCTIONS, delay=0, settings=settings) as r:
            ask(r, range(12))
            assert all(simulation.driver(i).launched for i in (0, 1))
        assert leaks(simulation) == []


def test_where_a_wait_is_dropped_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the executor does not order a batch behind what made its inputs."""
    monkeypatch.setattr(Stream, "wait", lambda self, event: None)

    def six() -> None:
        with on_simulator("no wait", monkeypatch), running(diamond(), FUNCTIONS, delay=0) as r:
            for job in [r.send(x=row(v)) for v in range(6)]:
                job.exception(5)

    with pytest.raises((RaceError, WrongValue)):
        six()


def test_where_a_landing_is_read_early_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: an answer is given out before its copy to the host has ended. Meanwhile nothing runs on the device,
    however long the threads of the engine take."""
    monkeypatch.setattr(landing.Landings, "_all", lambda self, events, passed: passed(None))
    monkeypatch.setattr(landing, "_in_order", lambda events: False)
    with on_simulator("early", monkeypatch, order="late"), running(chain("a", "b"), FUNCTIONS, delay=0) as r:
        with monkeypatch.context() as still:
            still.setattr(Simulation, "poll", lambda self, op: None)
            still.setattr(reaper, "_sleep", lambda event: time.sleep(reaper.LONGEST))
            found = r.ask(x=row(3))["out"].copy()
        assert not np.array_equal(found, row((3 + 1) * 2))


def test_a_lost_device_fails_what_it_holds_and_makes_the_engine_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with on_simulator("lost", monkeypatch, places(a="cpu")) as simulation:
        with running(chain("a", "b", "c"), FUNCTIONS, delay=0) as r:
            assert r.engine.state == "ready"
            simulation.driver(0).fail_op = simulation.driver(0).launched + 2
            error = r.send(x=row(1)).exception(5)
            assert isinstance(error, StageUnavailable | StageFailed), error
            assert "illegal address" in str(error)
            assert r.engine.state == "lost"
            later = r.send(x=row(1)).exception(5)
            assert later is not None
            assert "illegal address" in str(later)
        assert isinstance(simulation.driver(0).lost, DeviceLost)


def test_a_host_pipeline_goes_on_beside_a_lost_device(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Build("q")
    other.output("out", other.call("h", stage("h", backend="plain"), other.input("x")))
    with on_simulator("beside", monkeypatch, places(h="cpu")) as simulation:
        functions = {**FUNCTIONS, "h": lambda x: (x + 7,)}
        with running(chain("a"), functions, other, delay=0) as r:
            simulation.driver(0).fail_op = simulation.driver(0).launched + 1
            assert r.send(x=row(1)).exception(5) is not None
            np.testing.assert_array_equal(r.send("q", x=row(1)).result(5)["out"], row(8))


def test_memory_that_is_short_fails_the_batch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that does not fit ends with an error that says so; a smaller one goes through behind it."""
    with on_simulator("short", monkeypatch, memory=1 << 16), running(chain("a", "b"), FUNCTIONS, delay=0) as r:
        large = np.ones((1 << 14, 4), np.float32)
        error = r.send(x=large).exception(5)
        assert isinstance(error, StageFailed), error
        assert "sim:0 has no" in str(error)
        np.testing.assert_array_equal(r.send(x=row(1)).result(5)["out"], row(4))


def test_doors_close_while_devices_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_simulator("full", monkeypatch), running(chain("a"), FUNCTIONS) as r:
        first = r.send(x=row(1))
        found = device("sim:0")
        found.limit = 1
        held = found.empty((4,), np.float32, found.side)
        second = r.send(x=row(2))
        assert r.engine.stats().pipelines[0].waiting == 1
        del held
        r.answers(first)
        np.testing.assert_array_equal(r.answers(second)[0]["out"], row(3))


def test_an_instance_is_free_when_batches_end_not_when_they_are_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """While two batches are under way a third waits and grows."""
    with on_simulator("depth", monkeypatch, order="late"):
        settings = {"a": {"batching.max": 8}}
        with running(chain("a"), FUNCTIONS, delay=0, settings=settings) as r:
            held: list[Any] = []
            watch = r.engine.flow.reaper.watch
            r.engine.flow.reaper.watch = lambda event, then: held.append((event, then))  # type: ignore[method-assign]
            jobs = [r.send(x=row(0))]
            while len(r.rows("a")) < 1:
                pass
            jobs.append(r.send(x=row(1)))
            while len(r.rows("a")) < 2:
                pass
            jobs += [r.send(x=row(v)) for v in (2, 3, 4)]
            assert r.rows("a") == [1, 1]
            r.engine.flow.reaper.watch = watch  # type: ignore[method-assign]
            for event, then in held:
                watch(event, then)
            for value, job in enumerate(jobs):
                np.testing.assert_array_equal(job.result(5)["out"], row(value + 1))
            assert r.rows("a") == [1, 1, 3]


def test_serial_and_concurrent_answers_are_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((4, 4)).astype(np.float32)
    functions = {
        "a": lambda x: (np.tanh(x @ weights),),
        "b": lambda x: (np.exp(x) @ weights,),
        "c": lambda x: (x @ weights @ weights,),
        "d": lambda l, r: (l / (1 + np.abs(r)),),  # noqa: E741 - left and right
    }
    inputs = [rng.standard_normal((n, 4)).astype(np.float32) for n in (1, 3, 2, 5)]

    def answers(name: str, serial: bool) -> list[bytes]:
        with on_simulator(name, monkeypatch, serial=serial), running(diamond(), functions) as r:
            jobs = [r.send(x=x) for x in inputs]
            made = [response["out"].tobytes() for response in r.answers(*jobs)]
            used = device("sim:0").streams_used
            assert used == 1 if serial else used > 1
        return made

    once = answers("serial", True)
    assert all(answers(f"concurrent {seed}", False) == once for seed in SEEDS)


def test_gpu_time_and_batches_are_counted_when_they_end(sim: Simulation) -> None:
    with running(chain("a", "b"), FUNCTIONS, delay=0) as r:
        response = r.ask(x=row(1))
        assert [e.node for e in response.executions] == ["p.a", "p.b"]
        assert all(e.end_ns >= e.start_ns for e in response.executions)
        assert r.engine.drain(5)
        stats = r.engine.stats()
        assert {n.node: (n.executions, n.rows) for n in stats.nodes} == {"p.a": (1, 1), "p.b": (1, 1)}
        assert all(s.gpu_seconds for s in stats.stages)


def test_what_a_stage_sees_is_on_its_device(sim: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    execute = Site.execute

    def spy(self: Site, batch: Any) -> Any:
        result = execute(self, batch)
        seen.append(([v.device for v in batch.inputs], [v.device for v in result.outputs]))
        return result

    monkeypatch.setattr(Site, "execute", spy)
    with running(chain("a", "b"), FUNCTIONS, delay=0) as r:
        assert not isinstance(r.ask(x=row(1))["out"], DeviceArray)
    assert seen == [(["sim:0"], ["sim:0"])] * 2
