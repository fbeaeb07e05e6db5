"""Streams through an engine: order, bounds, ends, failures; who waits for whom, and who does not."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Any

import pytest

from executor.errors import Cancelled, DeadlineExceeded, LoadError, StageFailed, Unavailable
from executor.request import Response
from executor.streaming.answer import StreamResponse
from executor.streaming.output import NotYet
from executor.streaming.pieces import AsyncPieces, Pieces, together
from tests.simulated import on_simulator

from .streaming import PATIENCE, SEEN, Scene, running, until
from .streaming_stages import CLOCKS, GATES, LOG

PLAIN = """
pipeline p(n: i64) -> (s: stream i64) {
  return s = numbers(n)
}
"""
MS = 1_000_000


def gate(name: str, elements: int = 0) -> str:
    GATES[name] = threading.Semaphore(elements)
    return name


def drained(reader: Any) -> tuple[list[Any], Exception | None]:
    """All elements, and what came instead of the end."""
    found = []
    while True:
        try:
            found.append(next(reader))
        except StopIteration:
            return found, None
        except Exception as error:
            return found, error


# ---- elements


def test_elements_come_in_order_and_the_stream_ends() -> None:
    with running(PLAIN) as scene:
        for n in (0, 1, 5, 300):
            assert list(scene.send(n=n)["s"]) == list(range(n))


ARRAYS = """
pipeline p(n: i64) -> (s: stream f32[4], all: f32[S, 4], last: f32[4]) {
  made, last = rays(n)
  s = map x in made { yield long(x) }
  return s, all = collect(made), last
}
"""


def arrays_come() -> None:
    with running(ARRAYS) as scene:
        for n in (0, 3):
            answer = scene.send(n=n)
            assert [x.tolist() for x in answer["s"]] == [[2.0 * i] * 4 for i in range(n)]
            whole = answer.wait()
            assert whole["all"].tolist() == [[float(i)] * 4 for i in range(n)]
            assert whole["last"].tolist() == [-float(n)] * 4


def test_elements_may_be_arrays() -> None:
    arrays_come()


@pytest.mark.host  # it moves stages to a device itself
def test_elements_of_a_stage_on_a_device_may_be_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_simulator("arrays", monkeypatch):
        arrays_come()


def test_a_reader_may_be_a_thread_a_task_or_nobody_for_a_while() -> None:
    async def tasks(answers: list[Any]) -> list[list[int]]:
        async def read(answer: Any) -> list[int]:
            return [element async for element in answer["s"]]

        return await asyncio.gather(*map(read, answers))

    with running(PLAIN) as scene:
        answers = [scene.send(n=200) for _ in range(20)]
        assert asyncio.run(tasks(answers[:10])) == [list(range(200))] * 10
        assert [list(a["s"]) for a in answers[10:]] == [list(range(200))] * 10


def test_calls_of_one_instance_take_turns() -> None:
    with running("pipeline p(name: string) -> (s: stream i64) {\n  return s = ticking(name)\n}") as scene:
        CLOCKS.append(scene.clock)
        readers = [scene.send(name=gate("a"))["s"]]
        other = scene.engine.submit("p", {"name": gate("b")})
        for name in "ab":
            GATES[name].release(99)
        readers.append(other.result(PATIENCE)["s"])
        assert [list(r) for r in readers] == [list(range(20))] * 2
        assert LOG[:12].count("a") in (6, 7)


def test_streams_that_are_made_together_have_equally_many_elements() -> None:
    text = "pipeline p(n: i64) -> (a: stream i64, b: stream string) {\n  a, b = pairs(n)\n  return a, b\n}"
    with running(text) as scene:
        answer = scene.send(n=5)
        assert list(answer["a"]) == [0, 1, 2, 3, 4]
        assert list(answer["b"]) == ["0", "1", "2", "3", "4"]


# ---- what comes when


LATE = """
pipeline p(n: i64) -> (s: stream i64, n_out: i64, count: i64, whole: i64[N]) {
  t = told(n)
  return s = t.s, n_out = n, count = t.count, whole = collect(t.s)
}
"""


def test_an_answer_is_there_when_its_streams_are() -> None:
    with running(LATE) as scene:
        answer = scene.send(n=100)
        assert isinstance(answer, StreamResponse)
        assert answer["n_out"] == 100
        assert set(answer.late) == {"count", "whole"}
        assert not answer.ended
        with pytest.raises(NotYet, match="`count` comes when the streams"):
            answer["count"]
        with pytest.raises(KeyError):
            answer["nothing"]
        assert list(answer["s"]) == list(range(100))
        answer.wait()
        assert answer["count"] == 100
        assert answer["whole"].tolist() == list(range(100))
        assert sorted(answer) == ["count", "n_out", "s", "whole"]
        assert answer.ended
        assert answer.timings["t"].batch_rows == 1


def test_outputs_without_streams_are_answered_as_ever() -> None:
    with running(LATE) as scene:
        answer = scene.send(n=1000, _outputs=["count"])
        assert type(answer) is Response
        assert answer["count"] == 1000


def test_a_stream_that_begins_late_is_a_reader_from_the_start() -> None:
    text = """
pipeline p(n: i64) -> (a: stream i64, b: stream i64) {
  t = told(n)
  return a = t.s, b = numbers(t.count)
}
"""
    with running(text) as scene:
        answer = scene.send(n=100)
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.extend(answer["b"]))
        thread.start()
        assert list(answer["a"]) == list(range(100))
        thread.join(PATIENCE)
        assert found == list(range(100))


# ---- bounds


def test_a_slow_reader_holds_its_bound_and_nobody_else_back() -> None:
    with running(PLAIN) as scene:
        slow = scene.send(n=1000, _id="slow")["s"]
        until(lambda: SEEN["made", "slow"] >= 63)
        for _ in range(5):
            assert list(scene.send(n=500)["s"]) == list(range(500))
        assert SEEN["made", "slow"] <= 64
        assert slow._inner.stream.waiting <= 64
        assert list(slow) == list(range(1000))


def test_a_stage_that_waits_for_elements_holds_nobody_back() -> None:
    text = """
pipeline p(name: string) -> (t: stream i64) {
  return t = doubled(gated(name))
}
pipeline other(n: i64) -> (t: stream i64) {
  return t = doubled(numbers(n))
}
"""
    with running(text) as scene:
        waiting = scene.send(name=gate("g"))["t"]
        slow = scene.send("other", n=1000)["t"]
        until(lambda: slow._inner.stream.waiting == 64)
        assert list(scene.send("other", n=300)["t"]) == [2 * i for i in range(300)]
        GATES["g"].release()
        assert next(waiting) == 0
        assert list(slow) == [2 * i for i in range(1000)]
        GATES["g"].release()
        waiting.close()


@pytest.mark.parametrize(("profile", "most"), [("ahead { max = 4 }", 4), ("ahead { bytes = 80B }", 10)])
def test_bounds_are_settings(profile: str, most: int) -> None:
    with running(PLAIN, f"  numbers {{ {profile} }}") as scene:
        reader = scene.send(n=100, _id="r")["s"]
        until(lambda: SEEN["made", "r"] == most - 1)
        assert reader._inner.stream.waiting == most
        assert list(reader) == list(range(100))


def test_the_slowest_of_several_readers_counts() -> None:
    text = """
pipeline p(n: i64) -> (s: stream i64, t: stream i64) {
  s = numbers(n)
  return s, t = doubled(s)
}
"""
    with running(text) as scene:
        answer = scene.send(n=1000, _id="r")
        fast = [next(answer["t"]) for _ in range(60)]
        assert fast == [2 * i for i in range(60)]
        until(lambda: SEEN["made", "r"] >= 63)
        assert SEEN["made", "r"] <= 64
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.extend(answer["t"]))
        thread.start()
        assert list(answer["s"]) == list(range(1000))
        thread.join(PATIENCE)
        assert [*fast, *found] == [2 * i for i in range(1000)]


def test_a_stream_that_nobody_reads_any_more_is_closed() -> None:
    text = "pipeline p(n: i64) -> (sum: i64) {\n  return sum = first(numbers(n), 3)\n}"
    with running(text) as scene:
        assert scene.send(n=-1, _id="endless")["sum"] == 3
        until(lambda: SEEN["closed", "endless"] == 1)


def test_an_arm_that_is_not_taken_holds_no_stream_back() -> None:
    text = """
pipeline p(n: i64, all: bool) -> (s: stream i64, sum: i64) {
  s = numbers(n)
  sum = if all {
    yield total(s)
  } else {
    yield 0
  }
  return s, sum
}
"""
    with running(text) as scene:
        for everything in (False, True):
            answer = scene.send(n=300, all=everything)
            assert list(answer["s"]) == list(range(300))
            assert answer.wait()["sum"] == (sum(range(300)) if everything else 0)


# ---- steps over streams


def test_stages_that_take_streams_get_what_is_made_as_it_is_made() -> None:
    text = "pipeline p(name: string) -> (t: stream i64) {\n  return t = doubled(gated(name))\n}"
    with running(text) as scene:
        reader = scene.send(name=gate("g"))["t"]
        for i in range(3):
            GATES["g"].release()
            assert next(reader) == 2 * i
        GATES["g"].release()
        reader.close()


def test_a_shadow_reads_streams_of_its_own_to_their_end() -> None:
    text = """
pipeline p(name: string) -> (n: i64) {
  n = route {
    to old weight 100% {
      yield 1
    }
    shadow new sample 100% {
      yield first(gated(name), 3)
    }
  }
  return n
}
"""
    with running(text) as scene:
        assert scene.send(name=gate("g"))["n"] == 1
        assert SEEN["closed", "g"] == 0
        GATES["g"].release(3)
        until(lambda: SEEN["made", "g"] >= 2)
        GATES["g"].release()
        until(lambda: SEEN["closed", "g"] == 1)
        until(lambda: scene.engine.flow.tally.events["shadow", "p.n/new", "success"] == 1)


def test_collect_and_stream_of() -> None:
    text = """
stage points(n: i64) -> (p: stream f32[2]) using null(elements = 3)
stage words(n: i64) -> (w: stream string) using null(value = "echo", elements = 2)

pipeline p(n: i64, x: f32[2]) -> (ids: i64[N], none: i64[M], made: stream i64, empty: stream string, x: f32[K, 2]) {
  made: stream i64 = stream_of(1, n, 3)
  return ids = collect(numbers(n)), none = collect(numbers(0)), made, empty = stream_of(), x = collect(stream_of(x, x))
}
"""
    with running(text) as scene:
        answer = scene.send(n=4, x=[1.0, 2.0]).wait()
        assert answer["ids"].tolist() == [0, 1, 2, 3]
        assert answer["none"].tolist() == []
        assert answer["none"].dtype == answer["ids"].dtype
        assert list(answer["made"]) == [1, 4, 3]
        assert list(answer["empty"]) == []
        assert answer["x"].tolist() == [[1, 2], [1, 2]]


def test_a_stream_without_end_can_not_be_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.streaming.nodes.MOST_BYTES", 1 << 16)
    with running("pipeline p(n: i64) -> (all: i64[N]) {\n  return all = collect(numbers(n))\n}") as scene:
        with pytest.raises(StageFailed, match="more than 64 KiB"):
            scene.send(n=-1, _id="endless")
        until(lambda: SEEN["closed", "endless"] == 1)


def test_what_a_request_brings() -> None:
    text = """
pipeline p(n: i64) -> (id: string, user: string?) {
  return id = request_id(), user = header("X-User")
}
"""
    with running(text) as scene:
        assert dict(scene.send(n=1, _id="r7", _headers={"X-USER": "ada"})) == {"id": "r7", "user": "ada"}
        assert scene.send(n=1)["user"] is None


# ---- ends that are none


def test_readers_get_what_came_before_a_failure() -> None:
    with running(PLAIN) as scene:
        found, error = drained(scene.send(n=666, _id="bad")["s"])
        assert found == [0, 1, 2]
        assert isinstance(error, StageFailed)
        assert error.message == "stage `numbers` raised ValueError: it is 666"
        assert (error.node, error.request_id) == ("p.s", "bad")
        assert SEEN["closed", "bad"] == 1


def test_a_failure_goes_through_the_stages_that_read_it() -> None:
    text = """
pipeline p(n: i64) -> (t: stream i64, sum: i64) {
  s = numbers(n)
  return t = doubled(s), sum = total(s)
}
"""
    with running(text) as scene:
        answer = scene.send(n=667)
        found, error = drained(answer["t"])
        assert found == [2 * i for i in range(len(found))]
        assert "stage `numbers` raised ValueError: it is 667" in str(error)
        with pytest.raises(StageFailed, match="stage `numbers`"):
            answer.wait()
        with pytest.raises(NotYet):
            answer["sum"]


def test_a_deadline_covers_the_whole_stream() -> None:
    with running(PLAIN) as scene:
        reader = scene.send(n=-1, _id="late", _timeout=1.0)["s"]
        assert next(reader) == 0
        until(lambda: SEEN["made", "late"] >= 63)
        scene.clock.advance(2000 * MS)
        rest, error = drained(reader)
        assert isinstance(error, DeadlineExceeded)
        assert rest == list(range(1, len(rest) + 1))
        assert len(rest) >= 63
        until(lambda: SEEN["closed", "late"] == 1)


@pytest.mark.parametrize("how", ["reader", "answer", "job", "drop"])
def test_whoever_stops_reading_cancels_the_request(how: str) -> None:
    with running(PLAIN) as scene:
        job: Any = scene.engine.submit("p", {"n": -1}, id="gone")
        answer = job.result(PATIENCE)
        assert next(answer["s"]) == 0
        if how == "reader":
            answer["s"].close()
        elif how == "answer":
            answer.close()
        elif how == "job":
            assert job.cancel()
            with pytest.raises(Cancelled):
                list(answer["s"])
            assert not job.cancel()
        del answer, job
        until(lambda: SEEN["closed", "gone"] == 1)


def test_one_of_several_readers_may_be_dropped() -> None:
    text = "pipeline p(n: i64) -> (a: stream i64, b: stream string) {\n  a, b = pairs(n)\n  return a, b\n}"
    with running(text) as scene:
        assert list(scene.send(n=500)["a"]) == list(range(500))
        answer = scene.send(n=500)
        answer["a"].close()
        assert len(list(answer["b"])) == 500
        answer = scene.send(n=10_000_000)
        answer["a"].close()
        answer["b"].close()
        with pytest.raises(Cancelled):
            answer.wait()


def test_a_call_that_is_at_it_is_closed_when_it_comes_back() -> None:
    with running("pipeline p(name: string) -> (s: stream i64) {\n  return s = gated(name)\n}") as scene:
        answer = scene.send(name=gate("g", 1))
        assert next(answer["s"]) == 0
        answer.close()
        with pytest.raises(Cancelled):
            next(answer["s"])
        assert SEEN["closed", "g"] == 0
        GATES["g"].release()
        until(lambda: SEEN["closed", "g"] == 1)


def test_stopping_ends_streams_and_closes_what_makes_them() -> None:
    with running(PLAIN) as scene:
        answers = [scene.send(n=-1, _id=str(i)) for i in range(5)]
        for answer in answers:
            next(answer["s"])
        scene.engine.stop()
        for i, answer in enumerate(answers):
            with pytest.raises(Unavailable):
                list(answer["s"])
            assert SEEN["closed", str(i)] == 1


def test_stages_that_would_wait_for_themselves_are_refused() -> None:
    text = """
pipeline p(n: i64) -> (t: stream i64) {
  once = doubled(numbers(n))
  between = map x in once {
    yield x + 1
  }
  twice = doubled(between)
  return t = twice
}
"""
    words = "`p.twice` holds an instance while it waits for elements of `p.once`"
    with pytest.raises(LoadError, match=re.escape(words)), running(text):
        pass
    with running(text, "  p.once { instances = 1 }") as scene:
        assert list(scene.send(n=3)["t"]) == [2, 6, 10]


# ---- map over a stream


MAP = """
pipeline p(n: i64, k: i64) -> (t: stream i64) {
  t = map x in numbers(n) {
    yield double(x) + k
  }
  return t
}
pipeline marked(n: i64) -> (t: stream i64, ok: stream bool) {
  t, ok = map (on_error = mark) x in numbers(n) {
    yield picky(x)
  }
  return t, ok
}
pipeline dropped(n: i64) -> (t: i64[N]) {
  t = map (on_error = drop) x in numbers(n) {
    yield picky(x)
  }
  return t = collect(t)
}
pipeline failing(n: i64) -> (t: stream i64) {
  t = map x in numbers(n) {
    yield picky(x + 1)
  }
  return t
}
pipeline few(n: i64) -> (t: stream i64) {
  t = map (max = 10) x in numbers(n) {
    yield x
  }
  return t
}
"""


def test_map_takes_elements_one_by_one_and_keeps_their_order() -> None:
    with running(MAP) as scene:
        answers = [scene.send(n=200, k=k) for k in range(10)]
        for k, answer in enumerate(answers):
            assert list(answer["t"]) == [2 * x + k for x in range(200)]
        double = next(n for n in scene.engine.stats().nodes if n.stage == "double")
        assert double.rows == 2000
        assert double.executions < 2000


def test_map_begins_no_more_than_it_can_hold() -> None:
    with running(MAP) as scene:
        reader = scene.send(n=1000, k=0, _id="slow")["t"]
        until(lambda: reader._inner.stream.waiting == 64)
        until(lambda: SEEN["made", "slow"] >= 64 + 63)
        assert list(scene.send(n=300, k=0)["t"]) == [2 * x for x in range(300)]
        assert SEEN["made", "slow"] <= 64 + 64
        assert list(reader) == [2 * x for x in range(1000)]


def test_failed_elements_are_marked_dropped_or_end_the_request() -> None:
    with running(MAP) as scene:
        answer = scene.send("marked", n=7)
        assert list(answer["t"]) == [0, 1, 2, 3, 4, 0, 6]
        assert list(answer["ok"]) == [False, True, True, True, True, False, True]
        assert scene.send("dropped", n=7)["t"].tolist() == [1, 2, 3, 4, 6]
        found, error = drained(scene.send("failing", n=100)["t"])
        assert "5 is a multiple of 5 (element 4 of `failing.t`)" in str(error)
        assert found == [1, 2, 3, 4][: len(found)]


def test_more_elements_than_max_end_the_request() -> None:
    with running(MAP) as scene:
        assert list(scene.send("few", n=10)["t"]) == list(range(10))
        with pytest.raises(Exception, match="more than `max = 10`"):
            list(scene.send("few", n=-1, _id="many")["t"])
        until(lambda: SEEN["closed", "many"] == 1)


# ---- try


TRY = """
pipeline p(n: i64) -> (s: stream i64) {
  s = try {
    yield numbers(n)
  } fallback {
    yield stream_of(7)
  }
  return s
}
pipeline soon(name: string) -> (s: stream i64) {
  s = try (first = 50ms) {
    yield gated(name)
  } fallback err {
    yield stream_of(8)
  }
  return s
}
stage broken(n: i64) -> (s: stream i64) using null(fail = "all")

pipeline failed(n: i64) -> (s: stream i64) {
  s = try {
    yield broken(n)
  } fallback err {
    yield stream_of(9)
  }
  return s
}
"""


def test_a_stream_falls_back_until_its_first_element() -> None:
    with running(TRY) as scene:
        assert list(scene.send(n=3)["s"]) == [0, 1, 2]
        assert list(scene.send(n=0)["s"]) == []
        assert list(scene.send("failed", n=1)["s"]) == [9]


def test_a_failure_behind_the_first_element_ends_the_stream() -> None:
    with running(TRY) as scene:
        found, error = drained(scene.send(n=666)["s"])
        assert found == [0, 1, 2]
        assert isinstance(error, StageFailed)


def test_first_limits_the_time_to_the_first_element_only() -> None:
    with running(TRY) as scene:
        slow = scene.engine.submit("soon", {"name": gate("slow")})
        until(lambda: bool(scene.engine.stages[scene_stage(scene, "gated")].slots[0].calls))
        scene.clock.advance(60 * MS)
        assert list(slow.result(PATIENCE)["s"]) == [8]
        GATES["slow"].release()
        until(lambda: SEEN["closed", "slow"] == 1)
        quick = scene.send("soon", name=gate("quick", 1))["s"]
        assert next(quick) == 0
        scene.clock.advance(60 * MS)
        GATES["quick"].release()
        assert next(quick) == 1
        GATES["quick"].release()
        quick.close()


def scene_stage(scene: Scene, name: str) -> int:
    return next(s.plan.index for s in scene.engine.stages if s.plan.name == name)


# ---- pieces


PIECES = """
pipeline p(n: i64) -> (a: stream i64, b: stream string, n_out: i64, count: i64) {
  a, b = pairs(n)
  return a, b, n_out = n, count = total(a)
}
"""


def pieces(scene: Scene, **inputs: Any) -> Pieces:
    return Pieces(scene.send(**inputs), together(scene.engine.plan.pipelines["p"]))


def test_pieces_tell_each_thing_once() -> None:
    with running(PIECES) as scene:
        assert list(pieces(scene, n=2)) == [{"n_out": 2}, {"a": 0, "b": "0"}, {"a": 1, "b": "1"}, {"count": 1}]
        assert list(pieces(scene, n=0)) == [{"n_out": 0}, {"count": 0}]


def test_leaving_pieces_cancels() -> None:
    with running(PIECES) as scene:
        for piece in pieces(scene, n=10_000):
            if piece.get("a") == 3:
                break
        del piece
        with pieces(scene, n=10_000) as some:
            next(some)
        assert list(some) == []


def test_pieces_in_a_task() -> None:
    async def main(scene: Scene) -> None:
        groups = together(scene.engine.plan.pipelines["p"])

        def start(n: int) -> AsyncPieces:
            return AsyncPieces(lambda: scene.engine.asubmit("p", {"n": n}), groups)

        found = [piece async for piece in start(2)]
        assert found == [{"n_out": 2}, {"a": 0, "b": "0"}, {"a": 1, "b": "1"}, {"count": 1}]
        async with start(10_000) as some:
            assert await anext(some) == {"n_out": 10_000}
            with pytest.raises(NotYet):
                some.response["count"]
        task = asyncio.create_task(_last(start(10_000_000)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with running(PIECES) as scene:
        asyncio.run(main(scene))


async def _last(stream: AsyncPieces) -> Any:
    return [piece async for piece in stream][-1]


def test_streams_are_counted() -> None:
    with running(PLAIN) as scene:
        reader = scene.send(n=100)["s"]
        assert scene.engine.stats().streams["p"].open == 1
        list(reader)
        scene.rests()
        stats = scene.engine.stats()
        assert stats.streams["p"].open == 0
        assert stats.streams["p"].first.count == 1
        node = next(n for n in stats.nodes if n.stage == "numbers")
        assert (node.elements, node.executions, node.succeeded) == (100, 1, 1)
