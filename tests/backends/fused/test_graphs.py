"""Captured graphs on a simulated device: right values whoever still reads the last ones, and no race."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from backends.base import Batch, BatchResult
from backends.device import DeviceLost
from backends.device.ops import assigned
from backends.device.sim import RaceError, Simulation
from backends.fused import RowsFailed
from backends.fused.captured import Captured, Copy, Loan
from backends.fused.graphs import close, next_size, worthwhile

from .members import CHAIN, DIAMOND, OnDevice, expected, instance_of, rows_of, run, values


@pytest.fixture(params=range(3))
def simulation(request: pytest.FixtureRequest) -> Iterator[Simulation]:
    """Nothing was raced for, and nothing is left, when a test ends."""
    made = Simulation(request.param)
    yield made
    made.check()


def right(outputs: Any, x: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(values(outputs), expected(x), strict=True))


class TestValues:
    @pytest.mark.parametrize("order", ["random", "late", "eager"])
    @pytest.mark.parametrize("seed", range(12))
    def test_of_batches_of_all_sizes_on_any_stream_are_those_of_the_members(self, seed: int, order: str) -> None:
        simulation = Simulation(seed, order=order)
        device = simulation.accelerator()
        instance, _ = instance_of(device)
        streams = [device.stream() for _ in range(2)]
        batches = [rows_of(1 + (3 * i + seed) % 9, i) for i in range(12)]
        made = [run(instance, x, streams[i * (seed + 1) % 2]) for i, x in enumerate(batches)]
        assert all(right(outputs, x) for outputs, x in zip(made, batches, strict=True))
        assert instance.graphs.replays > 3
        assert instance.graphs.why_not == ""
        simulation.check()

    def test_of_a_graph_do_not_call_the_members(self, simulation: Simulation) -> None:
        """On a device whose stages are enqueued: Python runs once, when it is captured."""
        device = simulation.accelerator()
        instance, loaded = instance_of(device)
        stream = device.stream()
        for i in range(2):
            run(instance, rows_of(4, i), stream)
        calls = [one.calls for one in loaded]
        for i in range(5):
            assert right(run(instance, rows_of(4, i), stream), rows_of(4, i))
        assert [one.calls for one in loaded] == calls

    def test_that_are_a_members_input_are_copied_out(self, simulation: Simulation) -> None:
        """Else the next batch would overwrite them with its own inputs."""
        device = simulation.accelerator()
        instance, _ = instance_of(device, CHAIN)
        for member in instance.members:
            member.instance.execute = lambda batch: BatchResult(batch.inputs)  # type: ignore[method-assign]
        members = [m._replace(execute=m.instance.execute) for m in instance.members]
        instance.members[:] = members
        instance._programs.clear()
        instance.select(range(len(members)))
        stream = device.stream()
        batches = [rows_of(2, i) for i in range(5)]
        made = [run(instance, x, stream) for x in batches]
        assert instance.graphs.replays == 4
        for outputs, x in zip(made, batches, strict=True):
            assert np.array_equal(values(outputs)[0], x)


class TestReaders:
    """Hazard 5: a replay overwrites outputs that a slower branch or the egress still holds."""

    def held(self, simulation: Simulation, **options: Any) -> list[bool]:
        """Replay some batches before anybody reads what the first ones gave."""
        device = simulation.accelerator()
        instance, _ = instance_of(device, **options)
        stream = device.stream()
        run(instance, rows_of(4), stream)
        batches = [rows_of(4, 10 + i) for i in range(4)]
        made = [run(instance, x, stream) for x in batches]
        assert instance.graphs.replays == 4
        return [right(outputs, x) for outputs, x in zip(made, batches, strict=True)]

    @pytest.mark.parametrize("copies", [1, 2, 3])
    def test_that_have_not_begun_find_their_values(self, simulation: Simulation, copies: int) -> None:
        assert all(self.held(simulation, copies=copies))

    def test_the_values_are_wrong_where_nobody_knows_who_holds_them(
        self, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = Loan.__init__

        def forgetful(self: Loan, copy: Copy, stream: Any) -> None:
            original(self, copy, stream)
            copy.lent = False

        monkeypatch.setattr(Loan, "__init__", forgetful)
        assert not all(self.held(simulation))

    def slow(self, simulation: Simulation, replays_on: int) -> None:
        """A reader on another stream is enqueued. What it reads is dropped when one more batch has been launched, and
        more batches follow."""
        device = simulation.accelerator()
        instance, _ = instance_of(device)
        streams = [device.stream() for _ in range(3)]
        run(instance, rows_of(4), streams[0])
        read = []
        batches = [rows_of(4, i) for i in range(6)]
        for i, x in enumerate(batches):
            outputs = run(instance, x, streams[i // 2 % replays_on])
            streams[i // 2 % replays_on].record()
            with streams[2].use():
                read.append([device.compute(o.shape, o.dtype, assigned, [o], streams[2]) for o in outputs])
            last = outputs  # the one before is nobody's from here on
        del last, outputs
        assert all(right(outputs, x) for outputs, x in zip(read, batches, strict=True))

    @pytest.mark.parametrize("replays_on", [1, 2])
    def test_that_are_enqueued_come_before_the_next_replay(self, simulation: Simulation, replays_on: int) -> None:
        self.slow(simulation, replays_on)

    def raced(self, simulation: Simulation) -> None:
        """Raise what was found first, whatever came of it."""
        with contextlib.suppress(RaceError):
            self.slow(simulation, 2)
        simulation.check()

    def test_a_replay_that_is_not_ordered_behind_them_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def at_once(self: Captured, copy: Copy, stream: Any) -> None:
            self._device.driver.replay(copy.graph, stream.handle)
            stream.launched(writes=copy.outputs, reads=self.statics)

        monkeypatch.setattr(Captured, "launch", at_once)
        with pytest.raises(RaceError, match=r"reads: no stream, event or wait of the host orders the two"):
            self.raced(Simulation(1))

    def test_a_loan_that_forgets_its_readers_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def forgetful(self: Loan) -> None:
            self.owner = None
            self.copy.lent = False

        monkeypatch.setattr(Loan, "retire", forgetful)
        with pytest.raises(RaceError, match=r"reads: no stream, event or wait of the host orders the two"):
            self.raced(Simulation(1))


class TestMemory:
    def test_least_used_graphs_go(self, simulation: Simulation) -> None:
        device = simulation.accelerator()
        instance, _ = instance_of(device, most=2)
        stream = device.stream()
        for rows in (1, 2, 1, 2, 4, 2, 4):
            assert right(run(instance, rows_of(rows), stream), rows_of(rows))
            assert right(run(instance, rows_of(rows), stream), rows_of(rows))
        assert sorted(size for _, size in instance.graphs.kept) == [2, 4]
        run(instance, rows_of(1), stream)
        assert right(run(instance, rows_of(1), stream), rows_of(1))
        assert sorted(size for _, size in instance.graphs.kept) == [1, 4]

    def test_nothing_is_left_when_it_is_closed(self, simulation: Simulation) -> None:
        device = simulation.accelerator()
        before = device.live_bytes
        instance, _ = instance_of(device)
        stream = device.stream()
        last = None
        for i in range(8):
            last = run(instance, rows_of(4 + i % 3), stream)
        assert instance.graphs.replays > 0
        assert device.live_bytes > before
        instance.close()
        assert right(last, rows_of(5))  # what is still held is not taken away
        del instance, last
        gc.collect()
        stream.synchronize()
        device.synchronize()
        assert device.live_bytes == before
        assert simulation.leaks() == []

    def test_graphs_make_room_for_a_batch_that_lacks_memory(self, simulation: Simulation) -> None:
        device = simulation.accelerator()
        instance, loaded = instance_of(device)
        stream = device.stream()
        for _ in range(3):
            run(instance, rows_of(4), stream)
        assert instance.graphs.kept
        loaded[2].fails = MemoryError("16 EiB")
        with pytest.raises(MemoryError):
            run(instance, rows_of(65), stream)
        assert instance.graphs.why_not == "memory is short"
        assert not instance.graphs.kept
        loaded[2].fails = None
        assert right(run(instance, rows_of(65), stream), rows_of(65))

    def test_memory_of_graphs_is_not_that_of_batches(self, simulation: Simulation) -> None:
        """Doors close where batches hold too much; a graph holds what it holds for ever."""
        device = simulation.accelerator()
        instance, _ = instance_of(device)
        stream = device.stream()
        for _ in range(4):
            run(instance, rows_of(64), stream)
        assert instance.graphs.replays > 0
        one = 64 * 3 * 4
        assert device.live_bytes == one  # the inputs
        assert len(instance.graphs.kept) == 1

    def test_short_memory_costs_one_size_only(self, simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
        device = simulation.accelerator()
        instance, _ = instance_of(device)
        stream = device.stream()

        def short(*_: Any) -> Any:
            raise MemoryError("16 EiB")

        run(instance, rows_of(4), stream)
        with monkeypatch.context() as patch:
            patch.setattr(instance.graphs, "_captured", short)
            assert right(run(instance, rows_of(4), stream), rows_of(4))
        for _ in range(3):
            assert right(run(instance, rows_of(2), stream), rows_of(2))
            assert right(run(instance, rows_of(4), stream), rows_of(4))
        assert [size for _, size in instance.graphs.kept] == [2]
        assert list(instance.graphs.dropped.values()) == ["memory is short: 16 EiB"]


class TestFallback:
    def test_a_member_that_can_not_be_captured(
        self, simulation: Simulation, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(OnDevice, "capturable", False)
        with caplog.at_level(logging.INFO, "pipectl"):
            instance, _ = instance_of(simulation.accelerator())
        (record,) = caplog.records
        assert record.getMessage() == (
            "p.h + p.u + p.v + p.w: runs without graphs: stage `a` can not be captured: its backend does not say that "
            "it can"
        )
        self.eager(instance)

    def test_a_member_that_raises_while_it_is_captured(
        self, simulation: Simulation, caplog: pytest.LogCaptureFixture
    ) -> None:
        instance, loaded = instance_of(simulation.accelerator())
        inner = loaded[2].execute

        def refuses(batch: Batch) -> BatchResult:
            if batch.stream.hold is not None:
                raise RuntimeError("no .item() here")
            return inner(batch)

        instance.members[2] = instance.members[2]._replace(execute=refuses)
        instance._programs.clear()
        instance.select(range(4))
        with caplog.at_level(logging.INFO, "pipectl"):
            self.eager(instance)
        (record,) = caplog.records
        assert record.getMessage() == (
            "p.h + p.u + p.v + p.w: runs without graphs: stage `c` raised RuntimeError: no .item() here"
        )

    def test_a_graph_that_does_not_give_what_its_members_give(self, simulation: Simulation) -> None:
        instance, _ = instance_of(simulation.accelerator())
        device = instance.device

        def constant(batch: Batch) -> BatchResult:
            """Bakes what it saw when it was captured into the graph."""
            x = batch.inputs[0]
            seen = np.array(x.data.ideal)
            return BatchResult(
                (device.compute(x.shape, x.dtype, lambda out, _: np.copyto(out, seen * seen), [x], batch.stream),)
            )

        instance.members[2] = instance.members[2]._replace(execute=constant)
        instance._programs.clear()
        instance.select(range(4))
        self.eager(instance)
        assert "a graph does not give what its stages give: output 0 differs" in instance.graphs.why_not

    def eager(self, instance: Any) -> None:
        stream = instance.device.stream()
        for i in range(4):
            assert right(run(instance, rows_of(3, i), stream), rows_of(3, i))
        assert instance.graphs.replays == 0
        assert instance.graphs.why_not

    def test_a_replay_that_raises_is_run_by_the_members(
        self, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        device = simulation.accelerator()
        instance, _ = instance_of(device)
        stream = device.stream()
        for _ in range(3):
            run(instance, rows_of(4), stream)

        def broken(graph: Any, stream: Any) -> None:
            raise RuntimeError("launch failed")

        with monkeypatch.context() as patch:
            patch.setattr(device.driver, "replay", broken)
            assert right(run(instance, rows_of(4, 5), stream), rows_of(4, 5))
        replays = instance.graphs.replays
        assert right(run(instance, rows_of(4, 6), stream), rows_of(4, 6))
        assert instance.graphs.replays == replays
        assert list(instance.graphs.dropped.values()) == ["RuntimeError: launch failed"]

    def test_a_lost_device_is_not_mended(self, simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
        device = simulation.accelerator()
        instance, _ = instance_of(device)
        stream = device.stream()
        for _ in range(3):
            run(instance, rows_of(4), stream)

        def lost(graph: Any, stream: Any) -> None:
            raise DeviceLost("illegal address")

        monkeypatch.setattr(device.driver, "replay", lost)
        with pytest.raises(DeviceLost):
            run(instance, rows_of(4), stream)

    def test_a_batch_that_fails_by_itself_costs_no_graph(self, simulation: Simulation) -> None:
        device = simulation.accelerator()
        instance, loaded = instance_of(device)
        stream = device.stream()
        run(instance, rows_of(4), stream)
        loaded[3].fails = ValueError("a bad row")
        for _ in range(2):
            with pytest.raises(ValueError, match="a bad row"):
                run(instance, rows_of(4), stream)
            assert instance.program.blamed is not None
            assert instance.program.blamed[1] == 3
        loaded[3].fails = None
        assert right(run(instance, rows_of(4), stream), rows_of(4))
        assert instance.graphs.replays == 1

    def test_rows_that_fail_are_told_with_the_member(self, simulation: Simulation) -> None:
        device = simulation.accelerator()
        instance, loaded = instance_of(device)
        loaded[1].failed = {2: ValueError("row 2")}
        with pytest.raises(RowsFailed) as found:
            run(instance, rows_of(4), device.stream())
        assert found.value.member == 1
        assert list(found.value.rows) == [2]
        assert loaded[3].calls == 0


class TestGain:
    def test_a_graph_must_save_a_share_of_the_time(self) -> None:
        assert worthwhile([1.0, 1.0, 9.0], [0.95, 0.94, 0.2])
        assert not worthwhile([1.0, 1.0, 1.0], [0.96, 0.96, 0.1])

    def test_one_that_does_not_is_dropped(self, simulation: Simulation) -> None:
        """The simulator's clock knows nothing of what a launch costs the host."""
        device = simulation.accelerator()
        instance, loaded = instance_of(device, gain=0.05)
        stream = device.stream()
        for i in range(5):
            assert right(run(instance, rows_of(4, i), stream), rows_of(4, i))
        assert instance.graphs.replays == 0
        assert instance.graphs.why_not == ""
        ((_, size),) = instance.graphs.dropped
        assert size == 4
        calls = loaded[0].calls
        run(instance, rows_of(4), stream)
        assert loaded[0].calls == calls + 1  # it is not tried again

    def test_the_next_size_has_room(self) -> None:
        assert [next_size(n, (1, 2, 4)) for n in (1, 2, 3, 4, 5)] == [1, 2, 4, 4, None]

    def test_floats_may_differ_by_the_order_of_additions(self) -> None:
        x = np.array([1000.0, 0.001, np.nan, np.inf], np.float32)
        assert close(x * np.float32(1.001), x)
        assert not close(x + np.array([100, 0, 0, 0], np.float32), x)
        assert not close(np.array([1, 2]), np.array([1, 3]))


class TestInstances:
    def test_two_at_the_same_time(self, simulation: Simulation) -> None:
        device = simulation.accelerator()
        wrong: list[Any] = []

        def serve(seed: int) -> None:
            try:
                instance, _ = instance_of(device)
                stream = device.stream()
                for i in range(12):
                    x = rows_of(1 + (i + seed) % 5, 100 * seed + i)
                    if not right(run(instance, x, stream), x):
                        wrong.append((seed, i))
                assert instance.graphs.replays > 3, instance.graphs.why_not
                instance.close()
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=serve, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_sizes_that_a_profile_names_are_captured_ahead(self, simulation: Simulation) -> None:
        text = DIAMOND + "profile gpu {\n  * { device = cuda(0) }\n  a { graphs = [2, 8] }\n}\n"
        device = simulation.accelerator()
        instance, _ = instance_of(device, text)
        instance.warmup()
        assert [size for _, size in instance.graphs.kept] == [2, 8]
        stream = device.stream()
        assert right(run(instance, rows_of(5), stream), rows_of(5))
        assert instance.graphs.replays == 1
        assert right(run(instance, rows_of(9), stream), rows_of(9))
        assert instance.graphs.replays == 1

    def test_members_that_nobody_needs_do_not_run(self, simulation: Simulation) -> None:
        device = simulation.accelerator()
        instance, loaded = instance_of(device)
        instance.select((0, 2))
        stream = device.stream()
        for i in range(4):
            x = rows_of(3, i)
            (v,) = values(run(instance, x, stream))
            assert np.array_equal(v, expected(x)[0])
        assert instance.graphs.replays == 3
        assert loaded[1].calls == loaded[3].calls == 0
