"""Which sources a change concerns, and a repository that follows its files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from serving.access import ANYONE
from serving.deployment import Source
from serving.operations import Operations, operations
from serving.options import ServerOptions
from serving.repository import Repository
from serving.sources import sources
from serving.tensors import InferCall, TensorIn
from serving.watch import affected, watch

from .live import until
from .programs import compiled

TEXT = """pipe 1
stage f(x: f32[*]) -> (y: f32[*]) using null(value = VALUE)
pipeline NAME(x: f32[*]) -> (y: f32[*]) { return y = f(x) }
"""


def write(path: Path, name: str, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TEXT.replace("NAME", name).replace("VALUE", str(value)))


def test_a_change_concerns_the_sources_of_its_folder(tmp_path: Path) -> None:
    one, two = Source(tmp_path / "e" / "1" / "e.pipe"), Source(tmp_path / "e" / "2" / "e.pipe", 2)
    top = Source(tmp_path / "a.pipe")
    found = [one, two, top]
    assert affected([tmp_path / "e" / "1" / "stages.py"], found) == [one, top]
    assert affected([tmp_path / "e" / "2" / "models" / "m.onnx"], found) == [two, top]
    assert affected([tmp_path / "a.pipe"], found) == [top]
    assert affected([tmp_path.parent / "other"], found) == []


async def answer(ops: Operations, name: str) -> float:
    x = TensorIn("x", "FP32", (1,), np.zeros(1, np.float32).tobytes())
    found = await ops.inference.infer(ANYONE, InferCall(name, inputs=[x]))
    return float(found.outputs[0].data[0])


def test_a_repository_follows_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.pipe", "a", 1)
    write(tmp_path / "b" / "1" / "b.pipe", "b", 1)

    async def scenario() -> None:
        ops = operations(Repository(sources(tmp_path), compiled), ServerOptions())
        stop = asyncio.Event()
        watching = asyncio.create_task(watch(ops.repository, [tmp_path], lambda: sources(tmp_path), stop))
        await asyncio.sleep(0)  # its first step begins to watch
        try:
            await ops.repository.start()
            await asyncio.to_thread(write, tmp_path / "b" / "2" / "b.pipe", "b", 2)
            await until(lambda: list(ops.repository.catalog.pipelines.get("b", ())) == [2])
            assert await answer(ops, "b") == 2
            await asyncio.to_thread((tmp_path / "a.pipe").unlink)
            await until(lambda: "a" not in ops.repository.catalog.pipelines)
            await asyncio.to_thread((tmp_path / "b" / "pipe.toml").write_text, "versions = 3")
            await asyncio.to_thread(write, tmp_path / "c.pipe", "c", 3)  # with a wrong policy nothing changes
            await asyncio.to_thread((tmp_path / "b" / "pipe.toml").write_text, 'versions = "all"')
            await until(lambda: sorted(ops.repository.catalog.pipelines.get("b", ())) == [1, 2])
            await until(lambda: "c" in ops.repository.catalog.pipelines)
            assert await answer(ops, "c") == 3
        finally:
            stop.set()
            await watching
            await ops.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))
