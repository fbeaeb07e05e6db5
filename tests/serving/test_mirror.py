"""Copies that follow their stores while a server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.access import ANYONE
from serving.mirror import Mirror, follow, look
from serving.operations import Operations, operations
from serving.options import ServerOptions
from serving.repository import Repository
from serving.sources import SourceError, sources
from serving.stores import Store
from serving.tensors import InferCall, TensorIn

from .live import until
from .memory_store import Lying, Memory, lie, memory
from .programs import compiled

TEXT = """pipe 1
stage f(x: f32[*]) -> (y: f32[*]) using null(value = VALUE)
pipeline NAME(x: f32[*]) -> (y: f32[*]) { return y = f(x) }
"""
CODE = """pipe 1
stage f(x: f32[*]) -> (y: f32[*]) using python("stored_stages:f")
pipeline NAME(x: f32[*]) -> (y: f32[*]) { return y = f(x) }
"""


def text(name: str, value: int) -> str:
    return TEXT.replace("NAME", name).replace("VALUE", str(value))


class Scene:
    """A server of stores, which looks at them when a test says so."""

    def __init__(self, *urls: str) -> None:
        self.mirror = Mirror([Store(url) for url in urls], sources)
        self.mirror.refresh_all()
        self.ops: Operations = operations(Repository(self.mirror.sources(), compiled), ServerOptions())
        self.turn = asyncio.Lock()

    async def look(self) -> None:
        await look(self.ops.repository, self.mirror, self.mirror.stores, self.mirror.sources, self.turn)
        await self.ops.repository.settled()

    async def answer(self, name: str) -> float:
        x = TensorIn("x", "FP32", (1,), np.zeros(1, np.float32).tobytes())
        found = await self.ops.inference.infer(ANYONE, InferCall(name, inputs=[x]))
        return float(found.outputs[0].data[0])

    def index(self) -> dict[str, tuple[str, str]]:
        return {e.name: (e.state, e.reason) for e in self.ops.repository.index()}

    def folders(self) -> list[str]:
        assert self.mirror._root is not None
        return sorted(p.name for p in self.mirror._root.iterdir())


def serving(url: str, scenario: Callable[[Scene], Awaitable[Any]]) -> None:
    async def run() -> None:
        scene = Scene(url)
        root = scene.mirror._root
        assert root is not None
        try:
            await scene.ops.repository.start()
            await scenario(scene)
        finally:
            await scene.ops.close()
            scene.mirror.close()
        assert not root.exists()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_what_is_served_follows_its_store() -> None:
    async def scenario(scene: Scene, store: Memory) -> None:
        assert await scene.answer("a") == 1
        await scene.look()
        assert scene.folders() == ["1"]  # nothing changed, nothing was copied
        store.write("a.pipe", text("a", 2))
        store.write("b/1/b.pipe", text("b", 3))
        await scene.look()
        assert (await scene.answer("a"), await scene.answer("b")) == (2, 3)
        store.remove("b/1/b.pipe")
        store.write("a.pipe", text("a", 4))
        await scene.look()
        await scene.look()
        assert await scene.answer("a") == 4
        assert "b" not in scene.ops.repository.catalog.pipelines
        assert scene.folders() == ["3"]  # earlier copies are gone

    with memory() as store:
        store.write("a.pipe", text("a", 1))
        serving(store.url, lambda scene: scenario(scene, store))


def test_code_of_a_new_copy_is_imported_anew() -> None:
    """Two files share a module; a third one that is new needs the new module while the old one is in use."""
    code = "def f(*, x):\n    return x * 0 + {}\n"

    async def scenario(scene: Scene, store: Memory) -> None:
        assert (await scene.answer("b"), await scene.answer("c")) == (1, 1)
        store.write("stored_stages.py", code.format(2))
        store.write("a.pipe", CODE.replace("NAME", "a"))
        await scene.look()
        assert [await scene.answer(name) for name in "abc"] == [2, 2, 2]

    with memory() as store:
        store.write("stored_stages.py", code.format(1))
        store.write("b.pipe", CODE.replace("NAME", "b"))
        store.write("c.pipe", CODE.replace("NAME", "c"))
        serving(store.url, lambda scene: scenario(scene, store))


def test_a_file_with_a_mistake_leaves_the_old_one() -> None:
    async def scenario(scene: Scene, store: Memory) -> None:
        store.write("a.pipe", "pipe 1\nstage f(")
        await scene.look()
        await scene.look()
        assert await scene.answer("a") == 1
        state, reason = scene.index()["a"]
        assert state == "READY"
        assert reason.startswith(f"{store.url}/a.pipe:2:")
        assert scene.folders() == ["1", "2"]  # the first still runs
        store.write("a.pipe", text("a", 2))
        await scene.look()
        await scene.look()
        assert scene.index() == {"a": ("READY", "")}
        assert scene.folders() == ["3"]

    with memory() as store:
        store.write("a.pipe", text("a", 1))
        serving(store.url, lambda scene: scenario(scene, store))


def test_a_store_that_fails_halfway_leaves_the_old_copy() -> None:
    one, two = text("a", 1).encode(), text("a", 20).encode()

    async def scenario(scene: Scene) -> None:
        lie({"a.pipe": len(two), "m.bin": 3}, {"a.pipe": two, "m.bin": RuntimeError("SECRET")})
        await scene.look()
        assert scene.index() == {"a": ("READY", "lying://root: it can not be read: RuntimeError")}
        assert await scene.answer("a") == 1
        assert scene.folders() == ["1"]
        lie({"a.pipe": len(one)}, {"a.pipe": one})
        await scene.look()  # as it was when it was copied
        assert scene.index() == {"a": ("READY", "")}
        lie({"a.pipe": len(two), "m.bin": 3}, {"a.pipe": two, "m.bin": b"123"})
        await scene.look()
        assert await scene.answer("a") == 20

    serving(lie({"a.pipe": len(one)}, {"a.pipe": one}), scenario)


def test_a_store_with_nothing_to_serve_is_not_copied_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(scene: Scene, store: Memory) -> None:
        store.remove("a.pipe")
        store.write("readme.md", "nothing")
        copies = []
        copy = Store.copy

        def counted(store: Store, *args: Any) -> None:
            copies.append(store)
            copy(store, *args)

        monkeypatch.setattr(Store, "copy", counted)
        for _ in range(3):
            await scene.look()
        assert len(copies) == 1
        assert f"{store.url}: no .pipe files" in scene.index()["a"][1]

    with memory() as store:
        store.write("a.pipe", text("a", 1))
        serving(store.url, lambda scene: scenario(scene, store))


def test_following_looks_until_it_is_stopped() -> None:
    async def scenario(scene: Scene, store: Memory) -> None:
        stop = asyncio.Event()
        repository, found = scene.ops.repository, scene.mirror.sources
        following = asyncio.create_task(follow(repository, scene.mirror, found, 0.01, stop, scene.turn))
        store.write("a.pipe", text("a", 2))
        deployment = repository.catalog.pipeline("a").deployment
        await until(lambda: repository.catalog.pipeline("a").deployment is not deployment)
        stop.set()
        await following
        assert await scene.answer("a") == 2

    with memory() as store:
        store.write("a.pipe", text("a", 1))
        serving(store.url, lambda scene: scenario(scene, store))


def test_one_file_of_a_store() -> None:
    with memory() as store:
        store.write("a.pipe", text("a", 1))
        store.write("b.pipe", text("b", 1))
        mirror = Mirror([Store(f"{store.url}/b.pipe")], sources)
        mirror.refresh_all()
        (found,) = mirror.sources()
        assert (str(found), found.path.name) == (f"{store.url}/b.pipe", "b.pipe")
        missing = Mirror([Store(f"{store.url}/c.pipe")], sources)
        with pytest.raises(SourceError, match=r"there is no c\.pipe"):
            missing.refresh_all()
        mirror.close()
        missing.close()


def test_a_mirror_that_is_closed_gives_up_its_copy(tmp_path: Path) -> None:
    lie({"a.pipe": 1}, {"a.pipe": b"1"})
    mirror = Mirror([Store("lying://root")], sources)
    Lying.data = {"root/a.pipe": b"1"}
    mirror.close()
    with pytest.raises(SourceError, match="the server ends"):
        mirror.refresh_all()
    mirror.close()
