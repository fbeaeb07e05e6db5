"""Stages that are kept to some multiprocessors of a simulated device: streams, order, answers, what can not be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import backends
from backends.device import device
from backends.device.sim import RaceError, Simulation, WrongValue
from backends.device.sim.driver import SimDriver
from backends.device.sim.queue import SimStream
from backends.device.stream import Stream
from executor import LoadError
from tests.executor.devices.test_engine import FUNCTIONS, SEEDS, ask, chain, diamond, leaks, row
from tests.executor.plain import Plain, PlainBackend, PlainInstance, running
from tests.simulated import on_simulator

Settings = dict[str, dict[str, Any]]


def kept(**sms: int) -> Settings:
    """Stages that are kept to so many multiprocessors."""
    return {name: {"device": "sim:0", "sms": count} for name, count in sms.items()}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[SimStream]]:
    """The streams that each stage's work was issued on, in order, without repetitions."""
    found: dict[str, list[SimStream]] = defaultdict(list)
    issue = SimDriver.issue

    def seen(self: SimDriver, stream: SimStream, label: str, *more: Any) -> None:
        if stream not in found[label]:
            found[label].append(stream)
        issue(self, stream, label, *more)

    monkeypatch.setattr(SimDriver, "issue", seen)
    return found


@contextmanager
def engine(
    name: str, monkeypatch: pytest.MonkeyPatch, settings: Settings, *, made: Any = None, **more: Any
) -> Iterator[tuple[Plain, Simulation]]:
    """A diamond `a` -> `b`, `c` -> `d` on a simulated device; nothing is left on it at the end."""
    with on_simulator(name, monkeypatch, **more) as simulation:
        with running(made or diamond(), FUNCTIONS, delay=0, settings=settings) as r:
            yield r, simulation
            r.backend.batches.clear()
        assert leaks(simulation) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_its_work_is_on_streams_of_the_partition_and_no_other_is(
    seed: int, monkeypatch: pytest.MonkeyPatch, ran: dict[str, list[SimStream]]
) -> None:
    with engine(f"partition {seed}", monkeypatch, kept(b=16, d=32)) as (r, _):
        ask(r, range(8))
    assert {name: {s.sms for s in streams} for name, streams in ran.items() if name in FUNCTIONS} == {
        "a": {0},
        "b": {16},
        "c": {0},
        "d": {32},
    }
    assert len(ran["b"]) == len(ran["d"]) == 1


def test_each_instance_has_a_stream_also_where_stages_share_a_partition(
    monkeypatch: pytest.MonkeyPatch, ran: dict[str, list[SimStream]]
) -> None:
    settings = kept(b=16, c=16)
    settings["b"] |= {"instances": 3, "batching.max": 1}
    with engine("instances", monkeypatch, settings) as (r, _):
        sites = [(s.plan.name, slot.site) for s in r.engine.stages if s.plan.sms for slot in s.slots]
        bound: dict[str, list[Any]] = {name: [] for name, _ in sites}
        for name, site in sites:
            assert site is not None
            bound[name].append(site.stream_of([]).handle)
        ask(r, range(24))
    assert len({*bound["b"], *bound["c"]}) == 4
    assert {s.sms for s in (*bound["b"], *bound["c"])} == {16}
    assert {*ran["b"]} <= {*bound["b"]}
    assert ran["c"] == bound["c"]


def test_an_engine_that_is_started_again_opens_no_streams_without_end(
    monkeypatch: pytest.MonkeyPatch, ran: dict[str, list[SimStream]]
) -> None:
    with on_simulator("again", monkeypatch):
        for _ in range(20):
            with running(chain("b"), FUNCTIONS, delay=0, settings=kept(b=16)) as r:
                np.testing.assert_array_equal(r.ask(x=row(2))["out"], row(4))
    assert len(ran["b"]) == 16


def test_serial_and_concurrent_answers_are_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, ran: dict[str, list[SimStream]]
) -> None:
    """Also then its work is in its partition: a library may compute another way with fewer multiprocessors."""
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((n, 4)).astype(np.float32) for n in (1, 3, 2, 5)]

    def answers(name: str, serial: bool, settings: Settings) -> list[bytes]:
        ran.clear()
        with engine(name, monkeypatch, settings, serial=serial) as (r, _):
            return [response["out"].tobytes() for response in r.answers(*[r.send(x=x) for x in inputs])]

    plain = answers("plain", False, {})
    assert answers("serial", True, kept(b=16)) == plain
    assert [s.sms for s in ran["b"]] == [16]
    assert all(answers(f"concurrent {seed}", False, kept(b=16)) == plain for seed in SEEDS)


def test_what_another_device_makes_is_brought_to_the_partition(
    monkeypatch: pytest.MonkeyPatch, ran: dict[str, list[SimStream]]
) -> None:
    place = {"a": "sim:1"}
    settings = kept(b=16, c=16)
    with engine("far", monkeypatch, settings, place=lambda plan: place.get(plan.name, "sim:0")) as (r, _):
        ask(r, range(6))
    assert {s.sms for s in (*ran["b"], *ran["c"])} == {16}


def test_warm_up_runs_there_too(monkeypatch: pytest.MonkeyPatch, ran: dict[str, list[SimStream]]) -> None:
    settings = kept(b=16)
    settings["b"]["warmup.batch"] = (1, 4)
    with engine("warm", monkeypatch, settings, made=chain("b")):
        assert [s.sms for s in ran["b"]] == [16]


def test_work_takes_longer_the_fewer_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """In simulated seconds; copies to and from the host do not."""

    def seconds(sms: int) -> tuple[float, float]:
        with on_simulator("slow", monkeypatch, order="eager", launch_cost=0.0) as simulation:
            found = simulation.accelerator()
            stream = found.partition_stream(sms)
            array = found.upload(np.zeros(1000, np.int8), stream)
            copied = simulation.makespan
            stream.launch(lambda out: out.fill(1), writes=[array])
            return copied, simulation.makespan - copied

    whole, part = seconds(128), seconds(16)
    assert part == pytest.approx((whole[0], 8 * whole[1]))


@pytest.mark.parametrize("sms", [129, 10_000])
def test_more_than_the_device_has_fails_at_loading(sms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_simulator("many", monkeypatch):
        with pytest.raises(LoadError) as caught, running(chain("a", "b"), FUNCTIONS, settings=kept(b=sms)):
            pass
        text = str(caught.value)
        assert "`b`" in text
        assert f"`sms = {sms}`: sim:0 has 128 multiprocessors" in text
        assert "from 1 to 128" in caught.value.hint
        with running(chain("b"), FUNCTIONS, delay=0, settings=kept(b=128)) as r:
            np.testing.assert_array_equal(r.ask(x=row(2))["out"], row(4))


def test_a_backend_that_opens_a_stream_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its work would be on that stream, whatever the setting says."""

    def load(self: PlainBackend, stage: Any, config: Any) -> PlainInstance:
        self.live += 1
        made = PlainInstance(self, stage.name)
        made.stream = device("sim:0").stream()  # type: ignore[attr-defined]
        return made

    with on_simulator("own", monkeypatch):
        monkeypatch.setattr(PlainBackend, "load", load)
        monkeypatch.setattr("executor.loading._simulated", lambda *loaded: backends.load("plain").load(*loaded))
        text = "`sms = 16` can not hold: backend `plain` works on a stream that it opens itself"
        with pytest.raises(LoadError, match=text), running(chain("b"), FUNCTIONS, settings=kept(b=16)):
            pass
        backend = backends.load("plain")
        assert isinstance(backend, PlainBackend)
        assert backend.live == 0


def test_where_a_wait_for_a_partition_is_dropped_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a batch on a stream of a partition is not ordered behind what made its inputs."""
    wait = Stream.wait
    monkeypatch.setattr(Stream, "wait", lambda self, event: None if self.handle.sms else wait(self, event))

    def six() -> None:
        with on_simulator("no wait", monkeypatch), running(diamond(), FUNCTIONS, delay=0, settings=kept(b=16)) as r:
            for job in [r.send(x=row(v)) for v in range(6)]:
                job.exception(5)

    with pytest.raises((RaceError, WrongValue)):
        six()


def test_who_reads_what_instances_made_goes_on_in_different_lanes() -> None:
    found = Simulation().accelerator()
    assert [found.partition_stream(16).lane % found.lanes for _ in range(6)] == [0, 1, 2, 3, 0, 1]
