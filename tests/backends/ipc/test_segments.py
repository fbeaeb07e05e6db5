"""Arenas: regions never overlap, come back, and segments go when they are of no use."""

import fcntl
import mmap
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.ipc import segments
from backends.ipc.segments import ALIGNMENT, SMALLEST, Arena, Attached, Opened, Region, SegmentError


@pytest.fixture
def pair():
    arena, attached = Arena(), Attached()
    yield arena, attached
    arena.close()
    attached.close()


def pass_on(arena, attached):
    opened, dropped, fds = arena.news()
    attached.attach(opened, fds)
    attached.detach(dropped)


@given(st.lists(st.tuples(st.integers(1, 400_000), st.integers(0, 5)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_regions_never_overlap_and_all_memory_comes_back(steps):
    arena = Arena()
    held = []
    for size, gives_back in steps:
        region, view = arena.reserve(size)
        assert view.size == size
        assert region.offset % ALIGNMENT == 0
        for other in held:
            assert other.segment != region.segment or (
                region.offset + region.size <= other.offset or other.offset + other.size <= region.offset
            )
        held.append(region)
        for _ in range(min(gives_back, len(held)) if gives_back > 2 else 0):
            arena.release(held.pop(len(held) // 2))
    for region in held:
        arena.release(region)
    assert arena.taken == 0
    for segment in arena._segments.values():
        assert segment.gaps == [(0, segment.size)]
    arena.close()


def test_what_is_written_is_read_on_the_other_side(pair):
    arena, attached = pair
    region, target = arena.reserve(1000)
    target[:] = np.arange(1000) % 251
    pass_on(arena, attached)
    read = attached.read(region)
    assert (read == np.arange(1000) % 251).all()
    assert not read.flags.writeable


def test_a_region_is_freed_when_its_last_view_dies(pair):
    arena, attached = pair
    region, _ = arena.reserve(4096)
    pass_on(arena, attached)
    view = attached.read(region).view(np.float32).reshape(32, 32)[3:5, ::2]
    assert attached.take_freed() == []
    assert (attached.held, attached.freed) == (1, 0)
    del view
    assert (attached.held, attached.freed) == (0, 1)
    assert attached.take_freed() == [region]
    assert (attached.held, attached.freed) == (0, 0)
    arena.release(region)


def test_arrays_outlive_both_sides():
    arena, attached = Arena(), Attached()
    region, target = arena.reserve(5000)
    target[:] = 7
    pass_on(arena, attached)
    array = attached.read(region)
    del target
    arena.close()
    attached.close()
    assert (array == 7).all()


def test_growth_drops_idle_segments_and_tells_the_reader(pair):
    arena, attached = pair
    small, _ = arena.reserve(10)
    pass_on(arena, attached)
    arena.release(small)
    arena.reserve(3 * SMALLEST)
    opened, dropped, fds = arena.news()
    assert dropped == [small.segment]
    assert [o.size for o in opened] == [4 * SMALLEST]
    attached.attach(opened, fds)
    attached.detach(dropped)
    with pytest.raises(SegmentError):
        attached.read(small)


def test_idle_memory_above_the_bound_is_dropped(pair, monkeypatch):
    arena, attached = pair
    monkeypatch.setattr(segments, "KEPT", 4 * SMALLEST)
    big, _ = arena.reserve(10 * SMALLEST)
    pass_on(arena, attached)
    arena.release(big)
    assert arena.news() == ([], [big.segment], [])
    assert arena.size == 0


def test_a_segment_dropped_before_it_was_announced_is_never_mentioned(pair):
    arena, _ = pair
    region, _ = arena.reserve(10)
    arena.release(region)
    arena.reserve(2 * SMALLEST)
    opened, dropped, fds = arena.news()
    for fd in fds:
        os.close(fd)
    assert len(opened) == 1
    assert dropped == []


def test_the_reader_can_neither_shrink_nor_write(pair):
    arena, _ = pair
    arena.reserve(10)
    _, _, (fd,) = arena.news()
    try:
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        with pytest.raises(PermissionError):
            mmap.mmap(fd, SMALLEST)
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SEAL
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "region",
    [Region(0, -64, 8), Region(0, SMALLEST, 1), Region(0, SMALLEST - 64, 65), Region(0, 0, 0), Region(9, 0, 8)],
)
def test_regions_outside_a_segment_are_refused(pair, region):
    arena, attached = pair
    arena.reserve(10)
    pass_on(arena, attached)
    with pytest.raises(SegmentError):
        attached.read(region)


def test_segments_that_are_not_what_they_are_said_to_be_are_refused(pair):
    _, attached = pair
    with pytest.raises(SegmentError, match="not sealed"):
        attached.attach([Opened(0, 4096)], [os.memfd_create("x", os.MFD_ALLOW_SEALING)])
    fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 100)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    with pytest.raises(SegmentError, match="size"):
        attached.attach([Opened(0, 4096)], [fd])
    with pytest.raises(SegmentError, match="announced"):
        attached.attach([Opened(0, 4096)], [])


def test_a_region_can_not_be_returned_twice(pair):
    arena, _ = pair
    region, _ = arena.reserve(10)
    arena.release(region)
    with pytest.raises(SegmentError):
        arena.release(region)
