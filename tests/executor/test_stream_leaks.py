"""Streams that are given up at any point leave nothing; neither do many that end."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
from typing import Any

import pytest

from backends.streams import ElementStream, Reader
from executor.control.stream_map import StreamScope
from executor.errors import Cancelled, DeadlineExceeded, RequestError
from executor.request import Request
from executor.streaming.answer import StreamAnswer
from executor.streaming.call import StreamingCall
from executor.streaming.pieces import AsyncPieces, Pieces, together

from .streaming import PATIENCE, SEEN, Scene, running, until

TEXT = """
pipeline p(n: i64, long: bool) -> (s: stream i64, t: stream i64, whole: i64[N], sum: i64) {
  s = numbers(n)
  loud = doubled(s)
  t = map x in loud {
    yield double(x)
  }
  few = first(s, 3)
  sum = if long {
    yield total(s)
  } else {
    yield few
  }
  tried = try (first = 10s) {
    yield numbers(200)
  } fallback {
    yield stream_of(1)
  }
  return s, t, whole = collect(tried), sum
}
"""
KINDS = (ElementStream, Reader, StreamingCall, StreamScope, StreamAnswer, Request)


def left() -> dict[str, int]:
    """Objects of streams and requests that are alive; other tests may have left some."""
    gc.collect()
    kinds = [type(o).__name__ for o in gc.get_objects() if issubclass(type(o), KINDS)]  # o.__class__ may be a trap
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def test_two_hundred_streams_given_up_anywhere_leave_nothing() -> None:
    chance, before = random.Random(4), left()
    with running(TEXT) as scene:
        for _ in range(5):
            _give_up(scene, chance)
        scene.rests()
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        for _ in range(200):
            _give_up(scene, chance)
        scene.rests()
        assert threading.active_count() == threads
        assert len(os.listdir("/proc/self/fd")) == files
        begun = sum(count for (what, _), count in SEEN.items() if what == "begun")
        until(lambda: sum(count for (what, _), count in SEEN.items() if what == "closed") == begun)
        until(lambda: left() == before, left)


def _give_up(scene: Scene, chance: random.Random) -> None:
    """A request that is read for a while and then left, in one of many ways."""
    n = chance.choice([-1, -1, 3, 50, 500, 666])
    job: Any = scene.engine.submit("p", {"n": n, "long": chance.random() < 0.5}, timeout=1.0)
    if chance.random() < 0.2:
        job.cancel()
    try:
        answer = job.result(PATIENCE)
    except (RequestError, Cancelled):
        return
    reader = answer[chance.choice(["s", "t"])]
    try:
        for _ in range(chance.randrange(60)):  # the other stream is not read, and holds this one back at its bound
            next(reader, None)
            if n >= 0 and reader.exhausted:
                break
    except RequestError:
        return
    way = chance.choice(["close", "drop", "cancel", "deadline", "answer"])
    if way == "close":
        reader.close()
    elif way == "cancel":
        job.cancel()
    elif way == "deadline":
        scene.clock.advance(2_000_000_000)
    elif way == "answer":
        answer.close()


def test_tasks_that_are_cancelled_anywhere_leave_nothing() -> None:
    async def main(scene: Scene) -> None:
        groups = together(scene.engine.plan.pipelines["p"])
        chance = random.Random(7)

        async def read() -> None:
            n = chance.choice([-1, 20, 666])
            async for _ in AsyncPieces(lambda: scene.engine.asubmit("p", {"n": n, "long": False}), groups):
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(read()) for _ in range(60)]
        for task in tasks:
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(asyncio.all_tasks()) == 1

    before = left()
    with running(TEXT) as scene:
        asyncio.run(main(scene))
        scene.rests()
        until(lambda: left() == before, left)


def test_a_deadline_in_the_middle_of_everything() -> None:
    with running(TEXT) as scene:
        readers = [scene.send(n=-1, long=False, _timeout=1.0)["s"] for _ in range(20)]
        for reader in readers:
            next(reader)
        scene.clock.advance(2_000_000_000)
        for reader in readers:
            with pytest.raises(DeadlineExceeded):
                for _ in reader:
                    pass
        del readers, reader


def test_ten_thousand_short_streams_leave_memory_flat() -> None:
    text = "pipeline p(n: i64) -> (s: stream i64, count: i64) {\n  t = told(n)\n  return s = t.s, count = t.count\n}"
    with running(text) as scene:
        groups = together(scene.engine.plan.pipelines["p"])

        def run(times: int) -> None:
            for _ in range(times):
                assert len(list(Pieces(scene.send(n=3), groups))) == 4

        run(2000)
        gc.collect()
        before, objects = _resident(), len(gc.get_objects())
        run(10_000)
        gc.collect()
        assert _resident() - before < 2 << 20
        assert len(gc.get_objects()) - objects < 200


def _resident() -> int:
    """Bytes of memory that the process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
