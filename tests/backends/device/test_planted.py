"""The simulator bites: each mistake that a device layer can make is planted in ours, and is found with every seed.

Numbers are those of the hazards in the design notes of GPU execution; 3, 4 and 11 are about libraries, and tested with
their backends; 7 here and there. What each scenario does without the mistake is tested beside it, for many seeds."""

from __future__ import annotations

import gc
from contextlib import nullcontext, suppress

import numpy as np
import pytest

from backends.device import Accelerator, DeviceArray, Event, Stream, accelerator, ops
from backends.device.block import Block
from backends.device.sim import RaceError, SimDriver, Simulation
from backends.device.sim.memory import Life
from tests.backends.device.programs import ORDERS, diamond, settle

SEEDS = range(20)


def outcome(scenario, seed, order="random", **settings):
    """What a scenario ended with: a RaceError that was raised or only noted, a wrong value, a leak, or None."""
    simulation = Simulation(seed, order=order, host_orders="none", **settings)
    devices = [simulation.accelerator(i) for i in range(2)]
    gc.disable()  # finalizers run where the scenario drops things, not anywhere
    try:
        scenario(*devices)
        settle(simulation, *devices)
    except (RaceError, AssertionError) as error:
        return simulation.errors[0] if simulation.errors else error
    finally:
        gc.enable()
    return None


def caught(scenario, kind=RaceError, match="", **settings):
    """With every seed and order."""
    for seed in SEEDS:
        for order in ORDERS:
            found = outcome(scenario, seed, order, **settings)
            assert isinstance(found, kind), (seed, order, found)
            assert match in str(found)


# ---- the scenarios


def branches(device: Accelerator, _: Accelerator) -> None:
    """A fork and a join, again and again in the same memory."""
    diamond(device)


def between_devices(device: Accelerator, other: Accelerator) -> None:
    """There and back."""
    for i in range(3):
        x = np.arange(6.0) + i
        with device.in_lane(0, 0).use():
            made = device.compute(x.shape, x.dtype, _increment, [device.upload(x)])
        with other.in_lane(0, 0).use():
            moved = other.compute(x.shape, x.dtype, _increment, [other.transfer(made)])
        del made
        with device.in_lane(1, 0).use():
            back = device.transfer(moved)
        del moved
        landing = device.download(back)
        del back
        landing.event.synchronize()
        assert np.array_equal(landing.array, x + 2)


def short_lived(device: Accelerator, _: Accelerator) -> None:
    """Views, temporary arrays and host arrays that nobody refers to when their work runs."""
    stream, other = device.in_lane(0, 0), device.in_lane(0, 1)
    for i in range(4):
        with stream.use():
            source = device.upload(np.arange(8.0) + i)
        with other.use():
            made = ops.concatenate([source[2:4], ops.take(source, [7, 0])])
        del source
        with stream.use():
            again = device.upload(np.zeros(8))
        landing = device.download(made)
        del again, made
        landing.event.synchronize()
        assert landing.array.tolist() == [2 + i, 3 + i, 7 + i, i]


def late_reader(device: Accelerator, _: Accelerator) -> None:
    """Answers that are read when others were computed since."""
    landings = []
    for i in range(6):
        with device.in_lane(i, 0).use():
            landings.append((i, device.download(device.upload(np.full(4, i)))))
        if i % 2:
            number, landing = landings.pop(0)
            landing.event.synchronize()
            assert (landing.array == number).all()
    for number, landing in landings:
        landing.event.synchronize()
        assert (landing.array == number).all()


def cancelled(device: Accelerator, _: Accelerator) -> None:
    """Work whose result nobody waits for; half of it fails to be launched."""
    for i in range(6):
        with suppress(ZeroDivisionError), device.in_lane(i, 0).use():
            x = device.upload(np.full(4, i))
            device.compute((4,), x.dtype, _fails if i % 2 else _increment, [x])
            device.download(x)


def replayed(device: Accelerator, _: Accelerator, guarded: bool = True) -> None:
    """A graph that is launched again while what it made before is read on another stream."""
    stream, reader = device.in_lane(0, 0), device.in_lane(0, 1)
    source, out = device.empty((4,), np.float64, stream), device.empty((4,), np.float64, stream)
    stream.launch(_increment, writes=[out], reads=[_filled(stream, source, 0)])
    driver = device.driver
    driver.begin_capture(stream.handle)
    driver.launch(stream.handle, _increment, [out.data], [source.data])
    graph = driver.end_capture(stream.handle)
    seen = []
    for i in range(3):
        _filled(stream, source, i)
        if guarded:
            stream.order(writes=[out], reads=[source])
        driver.replay(graph, stream.handle)
        stream.launched(writes=[out], reads=[source])
        with reader.use():
            copy = device.compute((4,), np.float64, _copy, [out])
        seen.append(device.download(copy))
        del copy
    for i, landing in enumerate(seen):
        landing.event.synchronize()
        assert (landing.array == i + 1).all()


def _filled(stream: Stream, array: DeviceArray, value: float) -> DeviceArray:
    stream.launch(lambda out: out.fill(value), writes=[array])
    return array


def _increment(out, x):
    np.add(x, 1, out=out, casting="unsafe")


def _copy(out, x):
    out[...] = x


def _fails(out, x):
    raise ZeroDivisionError


SCENARIOS = [branches, between_devices, short_lived, late_reader, cancelled, replayed]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("peer", [True, False])
def test_nothing_is_found_where_nothing_is_planted(scenario, peer):
    for seed in range(60):
        for order in ORDERS:
            assert outcome(scenario, seed, order, peer=peer) is None


# ---- 1: a wait that is missing


def deaf(stream, event):
    """`Stream.wait` that books the event and forgets to tell the device."""
    stream.ticks += 1
    stream.clock[stream] = stream.ticks
    for other, tick in event.clock.items():
        stream.clock[other] = max(tick, stream.clock.get(other, -1))


@pytest.mark.parametrize("scenario", [branches, between_devices, short_lived, late_reader, replayed])
def test_a_wait_that_is_dropped(monkeypatch, scenario):
    monkeypatch.setattr(Stream, "wait", deaf)
    caught(scenario)


def test_a_read_that_is_not_ordered(monkeypatch):
    monkeypatch.setattr(Block, "order_read", lambda block, stream: None)
    caught(branches)


def test_an_event_that_is_too_old(monkeypatch):
    def oldest(stream, tick):
        return stream._events[0] if stream._events else stream.record()

    monkeypatch.setattr(Stream, "event_after", oldest)
    caught(branches)


def test_a_wait_that_is_dropped_gives_wrong_values(monkeypatch):
    """Without any clocks too: the order that a seed picks is hostile enough."""
    monkeypatch.setattr(Stream, "wait", deaf)
    monkeypatch.setattr(Life, "read", lambda *_, **__: None)
    monkeypatch.setattr(Life, "write", lambda life, low, high, op: [setattr(s, "written", True) for s in life.segments])
    monkeypatch.setattr(Life, "unordered", lambda *_: None)
    wrong = [seed for seed in SEEDS if outcome(branches, seed) is not None]
    assert len(wrong) > len(SEEDS) // 2


# ---- 2: memory that is given out while it is read


def careless(block):
    """`Block.retire` that waits for nobody."""
    with block.device.lock:
        block.device.held_bytes -= block.nbytes
        block.device.driver.free(block.memory, block.stream.handle)
    block.memory = None


@pytest.mark.parametrize("scenario", [branches, between_devices, short_lived])
def test_a_block_that_is_retired_too_early(monkeypatch, scenario):
    monkeypatch.setattr(Block, "retire", careless)
    caught(scenario, match="is freed on stream")


def test_a_write_that_does_not_wait_for_readers(monkeypatch):
    monkeypatch.setattr(Block, "order_write", Block.order_read)
    caught(replayed, match="reads")


# ---- 5: a graph that overwrites what is read


def test_a_graph_that_is_launched_over_what_is_read():
    caught(lambda a, b: replayed(a, b, guarded=False), match="writes bytes")


# ---- 6: pinned memory


def forgetful(stream, *things):
    """`Stream.keep` that keeps nothing."""


@pytest.mark.parametrize("scenario", [branches, late_reader, cancelled])
def test_a_slab_that_nobody_keeps(monkeypatch, scenario):
    monkeypatch.setattr(Stream, "keep", forgetful)
    caught(scenario, match="returned to its pool")


def test_a_slab_that_two_copies_share(monkeypatch):
    slabs = {}

    def shared(device, shape, dtype):
        held = slabs.setdefault(device, np.frombuffer(device.driver.pinned(1024), np.uint8))
        return held[: int(np.prod(shape)) * dtype.itemsize].view(dtype).reshape(shape)

    monkeypatch.setattr(Accelerator, "pinned_array", shared)
    caught(late_reader)


def test_an_answer_that_is_read_before_it_has_arrived(monkeypatch):
    monkeypatch.setattr(Event, "synchronize", lambda event: None)
    for seed in SEEDS:
        for order in ("random", "late"):
            assert isinstance(outcome(branches, seed, order), AssertionError | RaceError)


# ---- 7: an input that is written in place


def test_a_stage_that_writes_what_others_read():
    def in_place(first, second):
        shared = first.upload(np.ones(4, np.float32))
        made = [first.empty((4,), np.float32) for _ in range(2)]

        def doubled(out, x):
            x *= 2  # planted: `x` is another branch's too
            out[...] = x

        def kept(out, x):
            out[...] = x

        first.side.launch(doubled, writes=[made[0]], reads=[shared])
        first.inward.launch(kept, writes=[made[1]], reads=[shared])

    caught(in_place, match="launched to read")


# ---- 8: the default stream


def test_work_on_the_default_stream(monkeypatch):
    monkeypatch.setattr(accelerator, "current", lambda device: Stream(device, device.driver.current_stream(), 99))
    monkeypatch.setattr(SimDriver, "current", lambda driver, stream: nullcontext())
    caught(between_devices, match="default stream")


def test_the_stream_of_another_device(monkeypatch):
    monkeypatch.setattr(accelerator, "current", lambda device: Stream(device, WRONG[0], 99))
    simulation = Simulation()
    first, second = simulation.accelerator(0), simulation.accelerator(1)
    WRONG[:] = [second.side.handle]
    with pytest.raises(RaceError, match="another device"):
        first.upload(np.arange(3))


WRONG: list[object] = []


# ---- 9: what is collected before its work ran


def test_uses_that_are_not_booked(monkeypatch):
    def silent(stream, writes=(), reads=()):
        stream.ticks += 1
        stream.clock[stream] = stream.ticks
        for array in writes:
            array.block.was_written(stream, stream.ticks)

    monkeypatch.setattr(Stream, "launched", silent)
    caught(short_lived, match="is freed on stream")


def test_memory_of_another_library_that_is_dropped_after_its_launch():
    def dropped(device, _):
        stream, other = device.in_lane(0, 0), device.in_lane(0, 1)
        theirs = device.driver.library_array(np.arange(4.0), stream.handle)
        other.wait(stream.record())
        made = device.empty((4,), np.float64, other)
        other.order(writes=[made])
        device.driver.launch(other.handle, _copy, [made.data], [theirs.data])
        other.launched(writes=[made])

    caught(dropped, match="is freed on stream")


# ---- 10: events


def test_an_event_that_is_recycled_before_its_waiter_was_issued(monkeypatch):
    record = Stream.record

    def early(stream):
        event = record(stream)
        if event.handle not in returned:
            returned.append(event.handle)
            stream.device.driver.recycle(event.handle)
        return event

    returned = []
    monkeypatch.setattr(Stream, "record", early)
    monkeypatch.setattr(Event, "__del__", lambda event: None)
    caught(branches, match="recycled")


# ---- 12: what is never returned


def test_a_block_that_is_lost(monkeypatch):
    monkeypatch.setattr(Block, "__del__", lambda block: None)
    caught(cancelled, AssertionError, "memory")


def test_events_that_are_never_swept(monkeypatch):
    monkeypatch.setattr(accelerator, "_ended", lambda event: False)
    caught(cancelled, AssertionError)


def test_a_lost_device_lets_go_of_everything():
    for seed in SEEDS:
        simulation = Simulation(seed)
        device = simulation.accelerator()
        device.driver.fail_op = 9
        with suppress(Exception):
            diamond(device)
            diamond(device)
        assert device.driver.lost is not None
        assert not device.sweep()
        del device
        gc.collect()
        assert simulation.leaks() == []
        simulation.check()
