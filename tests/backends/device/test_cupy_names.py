"""The fake offers nothing that CuPy does not have, and the driver's calls fit CuPy's signatures. Needs CuPy, no GPU."""

from __future__ import annotations

import re

import pytest

from tests.backends.device import fake_cupy

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")

CALLS = {
    "cuda.Stream.__init__": "null non_blocking ptds priority",
    "cuda.Stream.from_external": "obj",
    "cuda.Stream.begin_capture": "mode",
    "cuda.Stream.record": "event",
    "cuda.Stream.wait_event": "event",
    "cuda.Event.__init__": "block disable_timing interprocess",
    "cuda.get_current_stream": "device_id",
    "cuda.get_elapsed_time": "start_event end_event",
    "cuda.PinnedMemory.__init__": "size flags",
    "cuda.MemoryPointer.copy_from_host_async": "mem size stream",
    "cuda.MemoryPointer.copy_to_host_async": "mem size stream",
    "cuda.PythonFunctionAllocator.malloc": "size",
    "cuda.MemoryPool.malloc": "size",
    "cuda.graph.Graph.launch": "stream",
    "cuda.graph.Graph.upload": "stream",
    "cuda.runtime.memcpyPeerAsync": "dst dstDevice src srcDevice size stream",
    "cuda.runtime.deviceCanAccessPeer": "device peerDevice",
    "cuda.runtime.deviceGetAttribute": "attrib device",
}


def find(path: str) -> object:
    found = cupy
    for name in path.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize(("path", "names"), CALLS.items())
def test_calls_fit(path: str, names: str):
    signature = (find(path).__doc__ or "").splitlines()[0]
    assert all(re.search(rf"\b{name}\b", signature) for name in names.split()), signature


def test_what_a_class_is_made_of():
    for path, names in {
        "cuda.UnownedMemory": "ptr size owner device_id",
        "cuda.PythonFunctionAllocator": "malloc_func",
    }.items():
        signature = (find(path).__doc__ or "").splitlines()[0]
        assert all(name in signature for name in names.split()), signature


@pytest.mark.parametrize("place", ["", "cuda", "cuda.runtime", "cuda.Stream", "cuda.Event", "cuda.MemoryPool"])
def test_the_fake_has_no_names_of_its_own(place: str):
    fake, real = fake_cupy.make(fake_cupy.World()), cupy
    for name in filter(None, place.split(".")):
        fake, real = getattr(fake, name), getattr(real, name)
    ours = {"made", "recorded", "awaited"}  # of the fake's inside
    names = {name for name in vars(fake) if not name.startswith("_")} - ours
    assert names <= set(dir(real)), names - set(dir(real))


@pytest.mark.parametrize("status", sorted(fake_cupy.NAMES))
def test_errors_read_as_theirs(status: int):
    real = cupy.cuda.runtime.CUDARuntimeError(status)
    assert (str(real), real.status) == (fake_cupy.NAMES[status], status)


def test_a_buffer_of_pinned_memory_keeps_what_is_behind_it():
    import gc

    import numpy as np

    from backends.device.cuda.pinned import Slab

    memory, home = np.arange(64, dtype=np.uint8), []
    root = type("Root", (), {"ptr": memory.__array_interface__["data"][0]})()
    array = np.frombuffer(cupy.cuda.PinnedMemoryPointer(Slab(root, 16, home), 0), np.uint8, 16)
    gc.collect()
    assert array.tolist() == list(range(16))
    assert home == []
    view = array[4:8]
    del array
    assert home == []
    assert view.tolist() == [4, 5, 6, 7]
    del view
    assert home == [root]
