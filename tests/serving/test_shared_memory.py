"""Regions of clients: read and written in place, refused where they lie, kept while in use."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from executor.errors import RequestError
from serving.access import ANYONE, Caller
from serving.errors import AlreadyExists, InvalidArgument, NotFound, Unavailable
from serving.options import ServerOptions
from serving.shared_memory import SharedMemory
from serving.tensors import InferCall, Parameter, TensorIn, Wanted

from .programs import running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "shm"
    path.mkdir()
    return path


@pytest.fixture
def memory(folder: Path) -> Iterator[SharedMemory]:
    found = SharedMemory(enabled=True, folder=folder)
    yield found
    found.close()


def made(folder: Path, key: str, size: int, mode: int = 0o600) -> Path:
    path = folder / key
    path.write_bytes(bytes(size))
    path.chmod(mode)
    return path


def test_a_region_is_the_memory_of_its_key(memory: SharedMemory, folder: Path) -> None:
    path = made(folder, "k", 64)
    memory.register("me", "r", "/k", 16, 32)
    lease = memory.lease("me")
    view = lease.view("r", 4, 8, "input `x`")
    view[:] = b"12345678"
    assert path.read_bytes()[20:28] == b"12345678"
    del view
    lease.release()
    assert [(r.name, r.key, r.offset, r.byte_size) for r in memory.status("me")] == [("r", "/k", 16, 32)]


@pytest.mark.parametrize("key", ["", "/", "..", "/../x", "a/b", "a\0b", "k" * 300, "a\nb"])
def test_keys_that_are_paths_are_refused(memory: SharedMemory, key: str) -> None:
    with pytest.raises(InvalidArgument, match="no name of shared memory"):
        memory.register("me", "r", key, 0, 8)


def test_regions_that_are_no_regions_are_refused(memory: SharedMemory, folder: Path) -> None:
    made(folder, "k", 64)
    made(folder, "open", 64, 0o666)
    (folder / "folder").mkdir()
    (folder / "link").symlink_to(folder / "k")
    for key, words in (("nothing", "opened"), ("open", "others"), ("folder", "opened"), ("link", "opened")):
        with pytest.raises(InvalidArgument, match=words):
            memory.register("me", "r", key, 0, 8)
    for offset, size in ((0, 65), (60, 8), (-1, 8), (0, 0), (2**63, 2**63)):
        with pytest.raises(InvalidArgument, match="`r`"):
            memory.register("me", "r", "k", offset, size)
    assert memory.status("me") == []


def test_a_name_is_taken_once_and_for_its_owner_alone(memory: SharedMemory, folder: Path) -> None:
    made(folder, "k", 64)
    memory.register("me", "r", "k", 0, 8)
    with pytest.raises(AlreadyExists):
        memory.register("me", "r", "k", 0, 8)
    assert memory.status("you") == []
    with pytest.raises(NotFound):
        memory.lease("you").view("r", 0, 8, "input `x`")
    memory.unregister("you")
    assert len(memory.status("me")) == 1


def test_a_region_that_shrank_is_refused_at_use(memory: SharedMemory, folder: Path) -> None:
    path = made(folder, "k", 8192)
    memory.register("me", "r", "k", 0, 8192)
    os.truncate(path, 100)
    with pytest.raises(InvalidArgument, match="smaller than it was registered"):
        memory.lease("me").view("r", 0, 8, "input `x`")


@pytest.mark.parametrize(("offset", "size"), [(0, 65), (64, 1), (-1, 4), (60, 8), (2**62, 8)])
def test_views_lie_in_their_region(memory: SharedMemory, folder: Path, offset: int, size: int) -> None:
    made(folder, "k", 128)
    memory.register("me", "r", "k", 0, 64)
    with pytest.raises(InvalidArgument, match="input `x`"):
        memory.lease("me").view("r", offset, size, "input `x`")


def test_a_region_in_use_stays_until_it_is_released(memory: SharedMemory, folder: Path) -> None:
    made(folder, "k", 64)
    memory.register("me", "r", "k", 0, 64)
    lease = memory.lease("me")
    view = lease.view("r", 0, 4, "input `x`")
    descriptors = len(os.listdir("/proc/self/fd"))
    memory.unregister("me", "r")
    assert memory.status("me") == []
    view[:] = b"good"
    assert bytes(view) == b"good"
    del view
    lease.release()
    assert len(os.listdir("/proc/self/fd")) < descriptors


def test_it_is_off_unless_allowed(folder: Path) -> None:
    memory = SharedMemory(enabled=False, folder=folder)
    with pytest.raises(Unavailable, match="--allow-client-shm"):
        memory.register("me", "r", "k", 0, 8)
    with pytest.raises(Unavailable):
        memory.status("me")


# ---- in requests


def tensor(region: str = "in", size: int = 16, **more: Parameter) -> TensorIn:
    parameters: dict[str, Parameter] = {"shared_memory_region": region, "shared_memory_byte_size": size}
    return TensorIn("x", "FP32", (1, 4), None, parameters | more)


OUT: dict[str, Parameter] = {"shared_memory_region": "out", "shared_memory_byte_size": 16}


def test_tensors_are_read_and_written_in_regions(pipe: Path) -> None:
    key = f"pipectl-test-{os.getpid()}"
    path = made(Path("/dev/shm"), key, 64)
    path.write_bytes(np.arange(4, dtype=np.float32).tobytes() + bytes(48))

    async def scenario() -> None:
        async with running(pipe, ServerOptions(shared_memory=True)) as ops:
            ops.memory.register(ANYONE, "in", key, 0, 16)
            ops.memory.register(ANYONE, "out", key, 32, 16)
            call = InferCall("rows", inputs=[tensor()], outputs=(Wanted("y", OUT), Wanted("z")))
            answer = await ops.inference.infer(ANYONE, call)
            y, z = answer.outputs
            assert y.data is None
            assert dict(y.parameters) == {**OUT, "shared_memory_offset": 0}
            assert z.data.tolist() == [[0, 1, 2, 3]]
            assert np.frombuffer(path.read_bytes()[32:48], np.float32).tolist() == [0, 1, 2, 3]
            ops.memory.unregister(ANYONE)

    try:
        asyncio.run(scenario())
    finally:
        path.unlink()


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        (InferCall("rows", inputs=[tensor("no")]), "NOT_FOUND", "`no`"),
        (InferCall("rows", inputs=[tensor(size=12)]), "INVALID_ARGUMENT", "16 bytes"),
        (InferCall("rows", inputs=[tensor(size=-4)]), "INVALID_ARGUMENT", "-4"),
        (InferCall("rows", inputs=[tensor(shared_memory_offset=60)]), "INVALID_ARGUMENT", "`in`"),
        (InferCall("rows", inputs=[tensor(shared_memory_offset="4")]), "INVALID_ARGUMENT", "'4'"),
        (InferCall("rows", inputs=[tensor()._replace(data=bytes(16))]), "INVALID_ARGUMENT", "has data"),
        (
            InferCall("rows", inputs=[tensor()], outputs=(Wanted("y", {**OUT, "shared_memory_byte_size": 8}),)),
            "INVALID_ARGUMENT",
            "16 bytes",
        ),
        (
            InferCall("rows", inputs=[tensor()], outputs=(Wanted("y", {**OUT, "shared_memory_region": "no"}),)),
            "NOT_FOUND",
            "output `y`",
        ),
    ],
)
def test_regions_that_lie_are_refused(pipe: Path, call: InferCall, code: str, words: str) -> None:
    key = f"pipectl-test-{os.getpid()}"
    path = made(Path("/dev/shm"), key, 64)

    async def scenario() -> None:
        async with running(pipe, ServerOptions(shared_memory=True)) as ops:
            ops.memory.register(ANYONE, "in", key, 0, 64)
            ops.memory.register(ANYONE, "out", key, 0, 64)
            with pytest.raises(RequestError, match=words) as caught:
                await ops.inference.infer(ANYONE, call)
            assert caught.value.grpc_code == code
            others = Caller("other", ANYONE.groups)
            with pytest.raises(NotFound):
                await ops.inference.infer(others, InferCall("rows", inputs=[tensor()]))
            ops.memory.unregister(ANYONE)

    try:
        asyncio.run(scenario())
    finally:
        path.unlink()
