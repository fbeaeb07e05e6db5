"""Many callers at a time: each gets the answer to its own request, bit by bit, and nothing of it stays (R21)."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pipectl
from executor.errors import Cancelled, DeadlineExceeded, InvalidArgument, Overloaded, RequestError, StageFailed

pytestmark = pytest.mark.usefixtures("nothing_left")

THREADS = 32
REQUESTS = 50

PIPE = """pipe 1

stage double(x: f32[*, W]) -> (y: f32[*, W])
  using python("MODULE:double")
stage shift(x: f32[*, W], by: i64) -> (y: f32[*, W])
  using python("MODULE:shift")
stage both(a: f32[*, W], b: f32[*, W]) -> (y: f32[*, W])
  using python("MODULE:both")
stage total(x: i64[*, ~L]) -> (y: i64[*])
  using python("MODULE:total")
stage spread(x: i64[*, ~L]) -> (y: i64[*, ~L])
  using python("MODULE:spread")
stage upper(x: string[*]) -> (y: string[*])
  using python("MODULE:upper")
stage whole(x: u8[H, V]) -> (y: i64)
  using python("MODULE:whole")
stage fussy(x: i64[*]) -> (y: i64[*])
  using python("MODULE:fussy")

pipeline diamond(x: f32[*, W], by: i64 = 7) -> (y: f32[*, W], left: f32[*, W]) {
  l = double(x)
  r = shift(x, by)
  return y = both(l, r), left = l
}
pipeline chain(x: f32[*, W]) -> (y: f32[*, W]) {
  return y = double(double(x))
}
pipeline ragged(x: i64[*, ~L]) -> (y: i64[*, ~L], sum: i64[*]) {
  s = spread(x)
  return y = s, sum = total(s)
}
pipeline text(x: string[*]) -> (y: string[*]) {
  return y = upper(upper(x))
}
pipeline each(x: u8[H, V]) -> (y: i64) {
  return y = whole(x)
}
pipeline picky(x: i64[*]) -> (y: i64[*]) {
  p = fussy(x)
  return y = fussy(p)
}

profile plain {
  double { queue { max = 100000 } }
}
profile small extends plain {
  double { instances = 2, batching { max = 16, delay = 1ms } }
  both { batching { max = 4 } }
  total { batching { delay = auto } }
}
profile apart extends plain {
  double { isolate = process, batching { max = 16 } }
  spread { isolate = process }
}
"""
PYTHON = """
def double(*, x): return x * 2
def shift(*, x, by): return x + by
def both(*, a, b): return a - b
def total(*, x): return [int(row.sum()) for row in x]
def spread(*, x): return [row * 3 for row in x]
def upper(*, x): return [one.upper() for one in x]
def whole(*, x): return int(x.sum())
def fussy(*, x):
    if (x < 0).any(): raise ValueError("negative")
    return x + 1
"""

Inputs = dict[str, Any]
Expected = dict[str, Any]


def a_diamond(rng: np.random.Generator, number: int) -> tuple[Inputs, Expected]:
    x = rng.random((rng.integers(0, 6), rng.choice([1, 3, 8])), np.float32) + np.float32(number)
    by = int(rng.integers(0, 3))
    return {"x": x, "by": by}, {"y": x * 2 - (x + by).astype("f4"), "left": x * 2}


def a_chain(rng: np.random.Generator, number: int) -> tuple[Inputs, Expected]:
    x = rng.random((rng.integers(1, 40), rng.choice([1, 3, 8])), np.float32) + np.float32(number)
    return {"x": x}, {"y": x * 4}


def a_ragged(rng: np.random.Generator, number: int) -> tuple[Inputs, Expected]:
    rows = [rng.integers(0, 1000, rng.integers(0, 9)) + number for _ in range(rng.integers(1, 5))]
    return {"x": rows}, {"y": [row * 3 for row in rows], "sum": [int(row.sum()) * 3 for row in rows]}


def a_text(rng: np.random.Generator, number: int) -> tuple[Inputs, Expected]:
    words = [f"word {number} {i} é" for i in range(rng.integers(0, 5))]
    return {"x": words}, {"y": [word.upper() for word in words]}


def an_each(rng: np.random.Generator, number: int) -> tuple[Inputs, Expected]:
    x = rng.integers(0, 256, (rng.integers(1, 9), rng.integers(1, 9)), np.uint8)
    return {"x": x}, {"y": int(x.sum())}


def a_picky(rng: np.random.Generator, number: int) -> tuple[Inputs, Expected]:
    x = np.arange(number, number + rng.integers(1, 4))
    if rng.random() < 0.02:
        return {"x": -x - 1}, {}
    return {"x": x}, {"y": x + 2}


MAKERS: dict[str, Callable[[np.random.Generator, int], tuple[Inputs, Expected]]] = {
    "diamond": a_diamond,
    "chain": a_chain,
    "ragged": a_ragged,
    "text": a_text,
    "each": an_each,
    "picky": a_picky,
}


class Tally:
    """What was sent, what came of it, and weak references to what was sent."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.inputs: list[weakref.ref[Any]] = []

    def book(self, name: str, inputs: Inputs, expected: Expected, outcome: Any) -> None:
        wrong = check(name, inputs, expected, outcome)
        with self.lock:
            (self.failed if isinstance(outcome, RequestError) else self.answered)[name] += 1
            self.rows[name] += 1 if name == "each" else len(inputs["x"])
            self.wrong += wrong
            self.inputs += [weakref.ref(v) for v in inputs.values() if isinstance(v, np.ndarray)]


def check(name: str, inputs: Inputs, expected: Expected, outcome: Any) -> list[str]:
    """How an outcome differs from what it must be, bit by bit."""
    if not expected:
        planted = isinstance(outcome, StageFailed) and "negative" in outcome.message
        return [] if planted else [f"{name}: the planted failure is missing: {outcome}"]
    if isinstance(outcome, RequestError):
        return [f"{name}: {outcome}"]
    wrong = []
    for output, value in expected.items():
        found = outcome[output]
        same = (
            len(found) == len(value) and all(map(np.array_equal, found, value))
            if isinstance(value, list)
            else np.array_equal(found, value) and np.asarray(found).dtype == np.asarray(value).dtype
        )
        if not same:
            wrong.append(f"{name}: {output} of {inputs} is {found}, not {value}")
    return wrong


def client(app: pipectl.App, seed: int, tally: Tally) -> None:
    """One thread: single requests, and bursts that wait together."""
    rng = np.random.default_rng(seed)
    names = list(MAKERS)
    sent = 0
    while sent < REQUESTS:
        burst = [rng.choice(names) for _ in range(min(rng.integers(1, 5), REQUESTS - sent))]
        made = [(str(name), *MAKERS[name](rng, seed * REQUESTS + sent + i)) for i, name in enumerate(burst)]
        jobs = [app[name].submit(inputs) for name, inputs, _ in made]
        for (name, inputs, expected), job in zip(made, jobs, strict=True):
            tally.book(name, inputs, expected, job.exception(60) or job.result())
        sent += len(burst)


async def aclient(app: pipectl.App, seed: int, tally: Tally) -> None:
    """One task of an event loop."""
    rng = np.random.default_rng(seed)
    for i in range(REQUESTS // 5):
        name = str(rng.choice(list(MAKERS)))
        inputs, expected = MAKERS[name](rng, seed * REQUESTS + i)
        try:
            outcome: Any = await app[name].asubmit(inputs)
        except RequestError as error:
            outcome = error
        tally.book(name, inputs, expected, outcome)


async def aclients(app: pipectl.App, tally: Tally) -> None:
    await asyncio.gather(*(aclient(app, 1000 + i, tally) for i in range(THREADS)))


def everyone(app: pipectl.App) -> Tally:
    """All threads and one event loop at a time."""
    tally = Tally()
    threads = [threading.Thread(target=client, args=(app, i, tally)) for i in range(THREADS)]
    threads.append(threading.Thread(target=lambda: asyncio.run(aclients(app, tally))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a client hangs"
    return tally


@pytest.mark.parametrize("profile", ["plain", "small", "apart"])
def test_every_answer_belongs_to_its_request(program, profile):
    with pipectl.load(program(PYTHON, PIPE), profile=profile) as app:
        tally = everyone(app)
        assert tally.wrong == []
        assert tally.answered.total() + tally.failed.total() == THREADS * REQUESTS + THREADS * (REQUESTS // 5)
        assert tally.failed.keys() <= {"picky"}
        assert app.drain(10)
        assert app._engine.check_idle() == []
        check_counters(app, tally)
        gc.collect()
        assert [one for one in tally.inputs if one() is not None] == []


def check_counters(app: pipectl.App, tally: Tally) -> None:
    """`stats` is what was sent."""
    stats = app._engine.stats()
    for pipeline in stats.pipelines:
        name = pipeline.pipeline
        assert pipeline.succeeded == tally.answered[name]
        assert sum(pipeline.failures.values()) == tally.failed[name]
        assert (pipeline.inflight, pipeline.waiting) == (0, 0)
        assert pipeline.duration.count == tally.answered[name]
    nodes = {node.node: node for node in stats.nodes}
    assert nodes["diamond.l"].succeeded == nodes["diamond.y"].succeeded == tally.answered["diamond"]
    assert nodes["each.y"].succeeded == nodes["each.y"].rows == tally.answered["each"]
    assert nodes["diamond.l"].rows == tally.rows["diamond"]
    assert nodes["chain.y"].rows == tally.rows["chain"]
    assert nodes["ragged.sum"].rows == tally.rows["ragged"]
    assert sum(nodes["picky.p"].failures.values()) == tally.failed["picky"]
    assert nodes["picky.p"].succeeded == nodes["picky.y"].succeeded == tally.answered["picky"]
    assert sum(stage.waiting_requests for stage in stats.stages) == 0


def test_ends_of_every_kind_at_a_time(program):
    """Answers, refusals, cancellations, deadlines and failures mixed: each request ends once, in one of its ways."""
    with pipectl.load(program(PYTHON, PIPE), profile="small") as app:
        ends: Counter[str] = Counter()
        lock = threading.Lock()

        def one(seed: int) -> None:
            rng = np.random.default_rng(seed)
            for i in range(REQUESTS):
                kind = ("good", "cancelled", "late", "bad", "failing")[rng.integers(5)]
                end = outcome_of(app, kind, seed * REQUESTS + i)
                with lock:
                    ends[f"{kind}: {end}"] += 1

        threads = [threading.Thread(target=one, args=(i,)) for i in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert ends.total() == THREADS * REQUESTS
        assert set(ends) <= {
            "good: answered",
            "cancelled: answered",
            "cancelled: Cancelled",
            "late: answered",
            "late: DeadlineExceeded",
            "bad: InvalidArgument",
            "failing: StageFailed",
        }
        assert ends["bad: InvalidArgument"] > 0
        assert ends["late: DeadlineExceeded"] > 0
        assert ends["failing: StageFailed"] > 0
        assert app.drain(10)
        assert app._engine.check_idle() == []
        stats = app._engine.stats()
        succeeded = sum(p.succeeded for p in stats.pipelines)
        assert succeeded == sum(n for end, n in ends.items() if end.endswith("answered"))
        assert sum(sum(p.failures.values()) for p in stats.pipelines) == ends.total() - succeeded


def outcome_of(app: pipectl.App, kind: str, number: int) -> str:
    """Make a request of a kind; "answered" if its answer was right, or the name of the error."""
    x = np.full((2, 3), number, np.float32)
    try:
        if kind == "failing":
            app["picky"](x=np.array([-1]))
        job = app["chain"].submit(x=x if kind != "bad" else [["no"]], timeout=0.0005 if kind == "late" else None)
        if kind == "cancelled":
            job.cancel()
        np.testing.assert_array_equal(job.result(30)["y"], x * 4)
    except (Cancelled, DeadlineExceeded, InvalidArgument, StageFailed) as error:
        return type(error).__name__
    return "answered"


def test_cancelled_tasks_of_an_event_loop_cancel_their_requests(program):
    """R11, small: tasks cancelled at random moments; what is left is answered, and nothing waits inside."""

    async def play(app: pipectl.App) -> Counter[str]:
        rng = np.random.default_rng(1)
        ends: Counter[str] = Counter()

        async def one(number: int) -> None:
            x = np.full((1, 3), number, np.float32)
            task = asyncio.ensure_future(app["chain"].asubmit(x=x))
            if rng.random() < 0.5:
                for _ in range(rng.integers(0, 4)):
                    await asyncio.sleep(0)
                task.cancel()
            try:
                np.testing.assert_array_equal((await task)["y"], x * 4)
                ends["answered"] += 1
            except asyncio.CancelledError:
                ends["cancelled"] += 1

        await asyncio.gather(*(one(i) for i in range(400)))
        return ends

    with pipectl.load(program(PYTHON, PIPE), profile="small") as app:
        ends = asyncio.run(play(app))
        assert ends.total() == 400
        assert ends["cancelled"] > 50
        assert app.drain(10)
        assert app._engine.check_idle() == []
        (chain,) = [p for p in app._engine.stats().pipelines if p.pipeline == "chain"]
        assert chain.succeeded + sum(chain.failures.values()) <= 400
        assert chain.succeeded >= ends["answered"]


def test_a_full_line_refuses_and_the_rest_is_answered(program):
    text = PIPE.replace(
        "profile small ", "profile narrow {\n  chain { max_inflight = 4, queue { max = 4 } }\n}\nprofile small "
    )
    with pipectl.load(program(PYTHON, text), profile="narrow") as app:
        jobs, refusals, inputs = [], [], []
        for i in range(500):
            try:
                x = np.full((1, 1), i, np.float32)
                inputs.append(weakref.ref(x))
                jobs.append((i, app["chain"].submit(x=x, timeout=3600)))
            except Overloaded as error:
                refusals.append(error)
        for i, job in jobs:
            assert job.result(30)["y"][0, 0] == 4 * i
        assert len(jobs) + len(refusals) == 500
        assert all(error.pipeline == "chain" and error.retryable for error in refusals)
        assert app.drain(10)
        assert app._engine.check_idle() == []
        del x
        jobs.clear(), refusals.clear()
        gc.collect()
        assert [one for one in inputs if one() is not None] == [], "no timer holds what was refused or answered"


def test_stopped_while_requests_are_under_way(program):
    """Every caller is told; nobody waits for an engine that is gone."""
    app = pipectl.load(program(PYTHON, PIPE), profile="small")
    tally: Counter[str] = Counter()
    lock = threading.Lock()
    started = threading.Barrier(9)

    def one(seed: int) -> None:
        started.wait(10)
        for i in range(10_000):
            try:
                app["chain"].submit(x=np.full((1, 1), i, np.float32)).result(30)
                end = "answered"
            except RequestError as error:
                end = error.grpc_code
            with lock:
                tally[end] += 1
            if end != "answered":
                return

    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    started.wait(10)
    while tally["answered"] < 50:
        threading.Event().wait(0.001)
    app.stop()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a caller hangs"
    assert set(tally) == {"answered", "UNAVAILABLE"}
    assert tally["UNAVAILABLE"] == 8
