"""The responses of one request, from handles as the engine's answers hold them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from executor.errors import StageFailed
from serving.parts import parts
from tests.executor.streaming import running


class Handle:
    """A stream output: iterated on the loop or, if it `blocks`, on a thread; closed at the end."""

    def __init__(self, *elements: Any, fails: bool = False) -> None:
        self.elements = elements
        self.fails = fails
        self.closed = False
        self.given = 0

    def _all(self) -> Iterator[Any]:
        for element in self.elements:
            self.given += 1
            yield element
        if self.fails:
            raise RuntimeError("broke")

    def close(self) -> None:
        self.closed = True


class Waiting(Handle):
    def __iter__(self) -> Iterator[Any]:
        return self._all()


class Asynchronous(Handle):
    async def __aiter__(self) -> AsyncIterator[Any]:
        for element in self._all():
            await asyncio.sleep(0)
            yield element


KINDS = [Waiting, Asynchronous]


async def collected(response: dict[str, Any], streams: tuple[str, ...]) -> list[dict[str, Any]]:
    return [part async for part in parts(response, streams)]


def run(response: dict[str, Any], *streams: str) -> list[dict[str, Any]]:
    return asyncio.run(asyncio.wait_for(collected(response, streams), 20))


def test_without_streams_there_is_one() -> None:
    assert run({"a": 1, "b": 2}) == [{"a": 1, "b": 2}]
    assert run({}) == [{}]


@pytest.mark.parametrize("kind", KINDS)
def test_one_for_each_element_and_the_rest_first(kind: Callable[..., Handle]) -> None:
    handle = kind("x", None, "y")
    assert run({"a": 1, "s": handle}, "s") == [{"a": 1}, {"s": "x"}, {"s": None}, {"s": "y"}]
    assert handle.closed


@pytest.mark.parametrize("kind", KINDS)
def test_no_elements_are_no_parts(kind: Callable[..., Handle]) -> None:
    assert run({"s": kind()}, "s") == []


def test_outputs_that_come_with_the_end_are_the_last_part() -> None:
    response: dict[str, Any] = {}

    class Last(Asynchronous):
        def _all(self) -> Iterator[Any]:
            yield from super()._all()
            response["count"] = 2

    response["s"] = Last("x", "y")
    assert run(response, "s") == [{"s": "x"}, {"s": "y"}, {"count": 2}]


def test_several_streams_keep_their_own_order() -> None:
    found = run({"s": Asynchronous(1, 2, 3), "t": Waiting("a", "b")}, "s", "t")
    assert [part["s"] for part in found if "s" in part] == [1, 2, 3]
    assert [part["t"] for part in found if "t" in part] == ["a", "b"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_stream_raises_comes_behind_its_elements(kind: Callable[..., Handle]) -> None:
    handle, other = kind(1, fails=True), Asynchronous(*range(1000))
    found: list[dict[str, Any]] = []

    async def scenario() -> None:
        async for part in parts({"s": handle, "t": other}, ("s", "t")):
            found.append(part)  # noqa: PERF401 - those before the failure are looked at

    with pytest.raises(RuntimeError, match="broke"):
        asyncio.run(scenario())
    assert {"s": 1} in found
    assert handle.closed
    assert other.closed


def test_a_reader_that_leaves_closes_the_handles() -> None:
    handle = Asynchronous(*range(1000))

    async def scenario() -> None:
        coming = parts({"s": handle}, ("s",))
        assert await anext(coming) == {"s": 0}
        await coming.aclose()

    asyncio.run(scenario())
    assert handle.closed
    assert handle.given < 10


ENGINE = """
pipeline p(n: i64) -> (s: stream i64, n_out: i64, count: i64) {
  t = told(n)
  return s = t.s, n_out = n, count = t.count
}
pipeline bad(n: i64) -> (s: stream i64) {
  return s = numbers(n)
}
"""


def test_parts_of_an_engines_answers() -> None:
    async def told(engine: Any, pipeline: str, n: int) -> list[dict[str, Any]]:
        response = await engine.asubmit(pipeline, {"n": n})
        return [part async for part in parts(response, ("s",))]

    async def left(engine: Any) -> None:
        response = await engine.asubmit("p", {"n": 10_000})
        async with aclosing(parts(response, ("s",))) as coming:
            assert await anext(coming) == {"n_out": 10_000}
            assert await anext(coming) == {"s": 0}

    with running(ENGINE) as scene:
        first, *elements, last = asyncio.run(told(scene.engine, "p", 200))
        assert first == {"n_out": 200}
        assert elements == [{"s": i} for i in range(200)]
        assert last == {"count": 200}
        with pytest.raises(StageFailed, match="it is 666"):
            asyncio.run(told(scene.engine, "bad", 666))
        asyncio.run(left(scene.engine))
