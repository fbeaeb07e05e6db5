"""`route`: who takes which arm, the same in every process; shadows, which nobody notices."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest

from executor.control.route import share_of
from executor.errors import Unavailable
from pipeline_dsl.ir import Operand
from tests.pipeline_dsl.graphs import number, stage

from .gates import PATIENCE, answer, scene
from .nesting import Nest
from .plain import running
from .test_engine import MS
from .test_map import rows

IN = {"x": "f32[*, 4]"}
OUT = {"y": "f32[*, 4]"}


def split(canary: float = 0.1, keyed: bool = True) -> Nest:
    """user, x -> route by user { to stable a(x); to canary b(x) } -> out, arm"""
    made = Nest()
    user, x = made.input("user", "string"), made.input("x")
    a, b = stage("a", IN, OUT, backend="plain"), stage("b", IN, OUT, backend="plain")
    results = {"out": "f32[B, 4]", "arm": "string"}

    def to(name: str, called: Any) -> Any:
        return lambda: [made.call(name, called, x), number(name, "string")]

    arms = {"stable": (1 - canary, to("stable", a)), "canary": (canary, to("canary", b))}
    for ref in made.route("r", user if keyed else None, arms, results):
        made.output(ref.port, ref, results[ref.port])
    return made


FUNCTIONS = {"a": lambda x: (x + 10,), "b": lambda x: (x + 20,)}
USERS = [f"user{i}" for i in range(400)]


def arms(r: Any, users: list[str]) -> dict[str, str]:
    jobs = [r.send(user=u, x=rows(0)) for u in users]
    return {u: a["arm"] for u, a in zip(users, r.answers(*jobs), strict=True)}


def test_one_key_one_arm() -> None:
    with running(split(), FUNCTIONS) as r:
        first, second = arms(r, USERS), arms(r, USERS[::-1])
        assert first == second
        assert 15 <= Counter(first.values())["canary"] <= 70
        events = r.engine.stats().constructs
        assert events["arm", "p.r", "canary"] + events["arm", "p.r", "stable"] == 800


def test_a_larger_share_takes_keys_from_one_arm_only() -> None:
    with running(split(0.1), FUNCTIONS) as r:
        few = arms(r, USERS)
    with running(split(0.3), FUNCTIONS) as r:
        many = arms(r, USERS)
    assert {u for u, arm in few.items() if arm == "canary"} < {u for u, arm in many.items() if arm == "canary"}


@pytest.mark.parametrize("key", ["user1", "Grüße", 7, -1, True, b"x", ""])
def test_keys_hash_alike_in_every_process(key: Any) -> None:
    code = f"from executor.control.route import share_of; print(repr(share_of('p.r', {key!r})))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) == share_of("p.r", key)


def test_keys_hash_as_they_always_did() -> None:
    """A release that moved them would move every user of every experiment."""
    assert [round(share_of("rank.score", k), 6) for k in ("ann", 7, b"ann")] == [0.07151, 0.977059, 0.358482]


def test_hashes_are_even_and_salted() -> None:
    places = [share_of("p.r", u) for u in USERS]
    assert abs(float(np.mean(places)) - 0.5) < 0.05
    others = [share_of("p.other", u) for u in USERS]
    assert abs(float(np.corrcoef(places, others)[0, 1])) < 0.2


def test_without_a_key_arms_are_drawn() -> None:
    with running(split(0.5, keyed=False), FUNCTIONS) as r:
        r.engine.flow.random.seed(3)
        jobs = [r.send(user="u", x=rows(0)) for _ in range(100)]
        first = [a["arm"] for a in r.answers(*jobs)]
        assert 30 <= first.count("canary") <= 70
        r.engine.flow.random.seed(3)
        jobs = [r.send(user="u", x=rows(0)) for _ in range(100)]
        assert [a["arm"] for a in r.answers(*jobs)] == first


def shadowed(sample: float = 1.0, backend: str = "plain", same_stage: bool = False) -> Nest:
    """x -> route { to a s(x); shadow b z(x) } -> out"""
    made = Nest()
    x = made.input("x")
    a = stage("s", IN, OUT, backend="gate" if backend == "gate" else "plain")
    b = a if same_stage else stage("z", IN, OUT, backend=backend)

    def shadow() -> list[Operand]:
        made.call("next", b, x)
        return []

    (out,) = made.route(
        "r", None, {"a": (1.0, lambda: [made.call("now", a, x)])}, {"out": "f32[B, 4]"}, {"b": (sample, shadow)}
    )
    made.output("out", out)
    return made


def broken(x: Any) -> Any:
    raise ValueError("the shadow")


def test_a_shadow_runs_and_answers_nobody() -> None:
    with running(shadowed(), {"s": lambda x: (x + 1,), "z": lambda x: (x + 2,)}) as r:
        found = r.ask(x=rows(1))
        assert found["out"][0, 0] == 2
        r.tick()
        assert r.engine.drain(PATIENCE)
        assert r.rows("z") == [1]
        assert r.engine.stats().constructs["shadow", "p.r/b", "success"] == 1
        assert [e.node for e in found.executions] == ["p.now"]


def test_a_shadow_that_fails() -> None:
    with running(shadowed(), {"s": lambda x: (x + 1,), "z": broken}, delay=0) as r:
        assert r.send(x=rows(1)).result(PATIENCE)["out"][0, 0] == 2
        assert r.engine.drain(PATIENCE)
        assert r.engine.stats().constructs["shadow", "p.r/b", "failure"] == 1
        assert dict(r.engine.stats().pipelines[0].failures) == {}


def test_a_slow_shadow_holds_no_answer() -> None:
    shut = threading.Event()

    def slow(x: Any) -> Any:
        assert shut.wait(PATIENCE)
        return (x,)

    with running(shadowed(), {"s": lambda x: (x + 1,), "z": slow}, delay=0) as r:
        assert r.send(x=rows(1)).result(PATIENCE)["out"][0, 0] == 2
        assert not r.engine.drain(0), "what still runs is waited for"
        shut.set()


def test_some_are_sampled() -> None:
    with running(shadowed(0.25), {"s": lambda x: (x,), "z": lambda x: (x,)}) as r:
        r.engine.flow.random.seed(1)
        r.answers(*[r.send(x=rows(1)) for _ in range(200)])
        r.tick()
        assert r.engine.drain(PATIENCE)
        assert 25 <= sum(r.rows("z")) <= 75


def test_shadows_wait_behind_everything_else_and_are_dropped_under_load() -> None:
    """Both arms call one stage. While it is busy, 64 rows of shadows may wait; requests go first."""
    with scene(shadowed(same_stage=True, backend="gate"), batching_max=1) as s:
        first = s.send(0)
        s.gate.began()
        others = [s.send(i) for i in range(1, 100)]
        for job in [first, *others]:
            s.gate.open()
            answer(job)
        s.gate.open(200)
        assert s.engine.drain(PATIENCE)
        seen = [v[0] for v in s.gate.rows()]
        assert seen[:100] == [float(i) for i in range(100)], "requests in order, before any shadow"
        assert len(seen) == 164
        events = s.engine.stats().constructs
        assert (events["shadow", "p.r/b", "success"], events["shadow", "p.r/b", "dropped"]) == (64, 36)


def test_stopping_drops_shadows() -> None:
    with running(shadowed(), {"s": lambda x: (x,), "z": lambda x: (x,)}, settings={"s": {"batching.delay": 0}}) as r:
        assert r.send(x=rows(1)).result(PATIENCE)
        assert any("a shadow of" in text for text in r.engine.check_idle())
        r.engine.stop()
        assert r.rows("z") == []
        with pytest.raises(Unavailable):
            r.send(x=rows(1))


def test_a_shadow_outlives_a_request_that_was_cancelled() -> None:
    with running(shadowed(), {"s": lambda x: (x,), "z": lambda x: (x,)}) as r:
        job = r.send(x=rows(1))
        assert job.cancel()
        r.clock.advance(10 * MS)
        assert r.engine.drain(PATIENCE)
        assert (r.rows("s"), r.rows("z")) == ([], [1])
