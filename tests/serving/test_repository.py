"""What is served changes in one step, or not at all; nobody's request is lost by it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from executor.errors import LoadError, NotFound, Unavailable
from pipeline_dsl.diagnostics import CompileError
from serving.access import ANYONE
from serving.catalog import Clash
from serving.deployment import Source
from serving.operations import Operations, operations
from serving.options import ServerOptions
from serving.repository import Repository
from serving.tensors import InferCall, TensorIn

from .programs import compiled

FIRST = """pipe 1
param BY: f32 = 1.0
stage f(x: f32[*]) -> (y: f32[*]) using null(value = BY)
pipeline p(x: f32[*]) -> (y: f32[*]) { return y = f(x) }
"""
SECOND = FIRST.replace("1.0", "2.0")
BROKEN = FIRST.replace("return y = f(x)", "return y = g(x)")
UNLOADABLE = FIRST.replace("value = BY", 'fail = "load"')


def served(*sources: Source, **options: bool) -> Operations:
    return operations(Repository(sources, compiled), ServerOptions(**options))  # type: ignore[arg-type]  # flags only


async def answer(ops: Operations, version: str = "") -> float:
    x = TensorIn("x", "FP32", (1,), np.zeros(1, np.float32).tobytes())
    found = await ops.inference.infer(ANYONE, InferCall("p", version, inputs=[x]))
    return float(found.outputs[0].data[0])


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "p.pipe"
    path.write_text(FIRST)
    return path


def write(path: Path, text: str | None) -> None:
    """Put a text in a file's place, or nothing."""
    path.unlink() if text is None else path.write_text(text)


def states(ops: Operations) -> list[tuple[str, str, str]]:
    return [(e.name, e.version, e.state) for e in ops.control.index(ANYONE)]


def test_a_reload_swaps_the_pipeline(pipe: Path) -> None:
    async def scenario() -> None:
        ops = served(Source(pipe))
        await ops.repository.start()
        try:
            assert await answer(ops) == 1
            old = ops.repository.catalog.pipeline("p").deployment
            write(pipe, SECOND)
            assert await ops.repository.reload(Source(pipe))
            assert await answer(ops) == 2
            await ops.repository.settled()
            assert old.engine.state == "stopped"
        finally:
            await ops.repository.stop()

    asyncio.run(asyncio.wait_for(scenario(), 30))


@pytest.mark.parametrize(("text", "reason"), [(BROKEN, "E0103"), (UNLOADABLE, "set to fail at load"), (None, "E0009")])
def test_what_does_not_load_leaves_the_old_one(pipe: Path, text: str | None, reason: str) -> None:
    async def scenario() -> None:
        ops = served(Source(pipe))
        await ops.repository.start()
        try:
            write(pipe, text)
            assert not await ops.repository.reload(Source(pipe))
            assert await answer(ops) == 1
            (entry,) = ops.control.index(ANYONE)
            assert entry.state == "READY"
            assert reason in entry.reason
            assert ops.health.ready(ANYONE)
            write(pipe, SECOND)
            assert await ops.repository.reload(Source(pipe))
            assert ops.control.index(ANYONE)[0].reason == ""
        finally:
            await ops.repository.stop()

    asyncio.run(scenario())


def test_no_request_is_lost_while_pipelines_are_swapped(pipe: Path) -> None:
    async def scenario() -> None:
        ops = served(Source(pipe))
        await ops.repository.start()
        done = asyncio.Event()
        answers: list[float] = []

        async def client() -> None:
            while not done.is_set():
                answers.append(await answer(ops))

        try:
            clients = [asyncio.create_task(client()) for _ in range(4)]
            for text in (SECOND, FIRST, BROKEN, SECOND, FIRST):
                write(pipe, text)
                await ops.repository.reload(Source(pipe))
            done.set()
            await asyncio.gather(*clients)
            assert set(answers) == {1.0, 2.0}
        finally:
            await ops.repository.stop()

    asyncio.run(scenario())


def test_versions_live_side_by_side(tmp_path: Path) -> None:
    paths = []
    for version, text in ((1, FIRST), (2, SECOND)):
        (tmp_path / str(version)).mkdir()
        paths.append(tmp_path / str(version) / "p.pipe")
        paths[-1].write_text(text)

    async def scenario() -> None:
        ops = served(Source(paths[0], 1), Source(paths[1], 2))
        await ops.repository.start()
        try:
            assert [await answer(ops, v) for v in ("", "1", "2")] == [2, 1, 2]
            assert ops.models.metadata(ANYONE, "p").versions == ("1", "2")
            assert states(ops) == [("p", "1", "READY"), ("p", "2", "READY")]
            assert [s.version for s in ops.statistics.statistics(ANYONE, "p")] == ["1", "2"]
        finally:
            await ops.repository.stop()

    asyncio.run(scenario())


def test_two_files_with_the_same_pipeline_are_refused(pipe: Path) -> None:
    other = pipe.with_name("other.pipe")
    other.write_text(FIRST)

    async def scenario() -> None:
        ops = served(Source(pipe), Source(other))
        with pytest.raises(Clash, match=r"p\.pipe and in .*other\.pipe"):
            await ops.repository.start()

    asyncio.run(scenario())


@pytest.mark.parametrize(("text", "error"), [(BROKEN, CompileError), (UNLOADABLE, LoadError)])
def test_a_start_that_fails_leaves_nothing(pipe: Path, text: str, error: type[Exception]) -> None:
    other = pipe.with_name("other.pipe")
    other.write_text(text)

    async def scenario() -> None:
        ops = served(Source(pipe), Source(other))
        with pytest.raises(error):
            await ops.repository.start()
        await ops.repository.start(strict=False)
        try:
            assert not ops.health.ready(ANYONE)
            assert await answer(ops) == 1
            assert states(ops) == [("other", "1", "UNAVAILABLE"), ("p", "1", "READY")]
            with pytest.raises(Unavailable, match="`other` is not served now"):
                ops.models.metadata(ANYONE, "other")
        finally:
            await ops.repository.stop()

    asyncio.run(scenario())


def test_load_and_unload_by_name(pipe: Path) -> None:
    async def scenario() -> None:
        ops = served(Source(pipe), model_control=True)
        await ops.repository.start()
        try:
            await ops.control.unload(ANYONE, "p", {"unload_dependents": True})
            assert states(ops) == [("p", "1", "UNAVAILABLE")]
            with pytest.raises(Unavailable, match="unloaded"):
                await answer(ops)
            await ops.control.load(ANYONE, "p", {"config": '{"parameters": {"BY": {"string_value": "5.0"}}}'})
            assert await answer(ops) == 5
            assert ops.models.config(ANYONE, "p").parameters["BY"].string_value == "5.0"
            with pytest.raises(NotFound, match="`q`"):
                await ops.control.load(ANYONE, "q", {})
            with pytest.raises(Unavailable, match="E0106"):
                await ops.control.load(ANYONE, "p", {"config": '{"parameters": {"BY": "much"}}'})
            assert await answer(ops) == 5
        finally:
            await ops.repository.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("parameters", "code", "words"),
    [
        ({"config": "{"}, "INVALID_ARGUMENT", "no JSON"),
        ({"config": "[" * 100_000}, "INVALID_ARGUMENT", "no JSON"),
        ({"config": '{"backend": "python"}'}, "INVALID_ARGUMENT", "`backend`"),
        ({"config": 3}, "INVALID_ARGUMENT", "as a string"),
        ({"config": '{"parameters": {"BY": 3}}'}, "INVALID_ARGUMENT", "BY"),
        ({"file:1/model.py": b"import os"}, "UNIMPLEMENTED", "file:1/model.py"),
        ({"conf": ""}, "INVALID_ARGUMENT", "`conf`"),
    ],
)
def test_loads_with_wrong_parameters_change_nothing(
    pipe: Path, parameters: dict[str, object], code: str, words: str
) -> None:
    async def scenario() -> None:
        ops = served(Source(pipe), model_control=True)
        await ops.repository.start()
        try:
            with pytest.raises(Exception, match=words) as caught:
                await ops.control.load(ANYONE, "p", parameters)
            assert getattr(caught.value, "grpc_code", "") == code
            assert await answer(ops) == 1
        finally:
            await ops.repository.stop()

    asyncio.run(scenario())


def test_control_is_off_unless_allowed(pipe: Path) -> None:
    async def scenario() -> None:
        ops = served(Source(pipe))
        with pytest.raises(Unavailable, match="--model-control"):
            await ops.control.load(ANYONE, "p", {})
        with pytest.raises(Unavailable, match="--model-control"):
            await ops.control.unload(ANYONE, "p", {})

    asyncio.run(scenario())


def test_a_server_that_drains_is_not_ready_and_says_so(pipe: Path) -> None:
    async def scenario() -> None:
        ops = served(Source(pipe))
        await ops.repository.start()
        try:
            assert await ops.repository.drain(5)
            assert not ops.health.ready(ANYONE)
            assert not ops.health.model_ready(ANYONE, "p")
            with pytest.raises(Unavailable, match="shutting down"):
                await answer(ops)
        finally:
            await ops.repository.stop()

    asyncio.run(scenario())
