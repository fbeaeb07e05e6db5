"""Stages on one device that keep their batch hand it on as it is: by counters, by pointers, and by all that the device
was given to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from backends.base import Batch, BatchResult
from backends.device import DeviceArray
from backends.device.sim import SimDriver
from backends.device.sim.instance import SimInstance
from executor.stats import Snapshot
from tests.executor.gates import PATIENCE
from tests.executor.nesting import Nest
from tests.executor.plain import Plain, running
from tests.pipeline_dsl.graphs import Build, chain, diamond, stage
from tests.simulated import on_simulator

pytestmark = pytest.mark.host  # it moves stages to a device itself

ROWS = {"x": "f32[*, 4]"}
OUT = {"y": "f32[*, 4]"}
REQUESTS, EACH = 3, 2


@dataclass
class Seen:
    """What stages were handed and gave, and what the device was given to do."""

    reads: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    """Stage -> the addresses of a batch's inputs, batch by batch."""
    writes: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    work: Counter[str] = field(default_factory=Counter)
    """Stages, copies and everything else that ran on the device."""


@pytest.fixture
def seen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Stages run on a simulated device, and are looked at."""
    found = Seen()
    execute, issue = SimInstance.execute, SimDriver._issue

    def executed(instance: SimInstance, batch: Batch) -> BatchResult:
        found.reads.setdefault(instance.name, []).append(addresses(batch.inputs))
        result = execute(instance, batch)
        found.writes.setdefault(instance.name, []).append(addresses(result.outputs))
        return result

    def issued(driver: SimDriver, stream: Any, label: str, *rest: Any) -> None:
        found.work[label] += 1
        issue(driver, stream, label, *rest)

    monkeypatch.setattr(SimInstance, "execute", executed)
    monkeypatch.setattr(SimDriver, "_issue", issued)
    with on_simulator(request.node.nodeid, monkeypatch):
        yield found


def addresses(values: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple([v.address for v in values if isinstance(v, DeviceArray)])


def rows(first: float, count: int = EACH) -> Any:
    return np.arange(first, first + 4 * count, dtype=np.float32).reshape(count, 4)


@contextmanager
def three_requests(made: Build, functions: dict[str, Any], **more: Any) -> Iterator[tuple[Plain, list[Any]]]:
    """An engine that has answered three requests of two rows each, in one batch."""
    with running(made, functions, **more) as r:
        jobs = [r.send(x=rows(10 * i)) for i in range(REQUESTS)]
        yield r, r.answers(*jobs)


def between(snapshot: Snapshot) -> dict[Any, int]:
    """Copied bytes by place and reason, less the first batch and what answers take."""
    found = {(n.node, why): b for n in snapshot.nodes for why, b in n.copied_bytes.items()}
    found.update({(place, why): b for place, reasons in snapshot.copied_bytes.items() for why, b in reasons.items()})
    return {key: nbytes for key, nbytes in found.items() if nbytes and key[1] != "to_host"}


def plus(number: float) -> Any:
    return lambda x: (x + np.float32(number),)


def test_a_chain(seen: Seen) -> None:
    functions = {f"s{i}": plus(i) for i in range(4)}
    with three_requests(chain(4, backend="plain"), functions) as (r, answers):
        for i, answer in enumerate(answers):
            np.testing.assert_array_equal(answer["out"], rows(10 * i) + 6)
        assert r.rows("s0") == r.rows("s3") == [REQUESTS * EACH]
        assert between(r.engine.stats()) == {("p.n0", "gather"): REQUESTS * EACH * 16}
    for i in range(3):
        assert seen.writes[f"s{i}"] == seen.reads[f"s{i + 1}"]
        assert len(seen.writes[f"s{i}"][0]) == 1
    assert seen.work == {"upload": 1, "s0": 1, "s1": 1, "s2": 1, "s3": 1, "download": 1}


def test_a_diamond(seen: Seen) -> None:
    functions = {"a": plus(1), "b": plus(2), "c": plus(3), "d": lambda left, right: (left + right,)}
    with three_requests(diamond(backend="plain"), functions) as (r, answers):
        for i, answer in enumerate(answers):
            np.testing.assert_array_equal(answer["out"], 2 * rows(10 * i) + 7)
        assert between(r.engine.stats()) == {("p.a", "gather"): REQUESTS * EACH * 16}
    assert seen.reads["b"] == seen.reads["c"] == seen.writes["a"]
    assert seen.reads["d"] == [seen.writes["b"][0] + seen.writes["c"][0]]
    assert seen.work == {"upload": 1, "a": 1, "b": 1, "c": 1, "d": 1, "download": 1}


def test_an_if_where_all_take_one_arm(seen: Seen) -> None:
    made = Nest()
    which, x = made.input("which", "bool"), made.input("x")
    first = made.call("first", stage("a", ROWS, OUT, backend="plain"), x)
    b, c = stage("b", ROWS, OUT, backend="plain"), stage("c", ROWS, OUT, backend="plain")
    arms = {True: lambda: [made.call("then", b, first)], None: lambda: [made.call("other", c, first)]}
    (chosen,) = made.branch("chosen", which, arms, {"y": "f32[B, 4]"})
    made.output("out", made.call("last", stage("d", ROWS, OUT, backend="plain"), chosen))
    with running(made, {"a": plus(1), "b": plus(2), "c": plus(3), "d": plus(4)}) as r:
        answers = r.answers(*[r.send(which=True, x=rows(10 * i)) for i in range(REQUESTS)])
        for i, answer in enumerate(answers):
            np.testing.assert_array_equal(answer["out"], rows(10 * i) + 7)
        assert between(r.engine.stats()) == {("p.first", "gather"): REQUESTS * EACH * 16}
    assert seen.writes["a"] == seen.reads["b"]
    assert seen.writes["b"] == seen.reads["d"]
    assert seen.work == {"upload": 1, "a": 1, "b": 1, "d": 1, "download": 1}


def test_a_map_that_keeps_its_rows(seen: Seen) -> None:
    """Rows become items and items rows again, all in their places."""
    made = Nest()
    first = made.call("first", stage("a", ROWS, OUT, backend="plain"), made.input("x", "f32[N, 4]"))
    inner = stage("b", ROWS, OUT, backend="plain")
    (mapped,) = made.map(
        "mapped",
        {"item": (first, "f32[4]")},
        lambda item: [made.call("each", inner, item, binding="lift")],
        {"y": "f32[N, 4]"},
    )
    made.output("out", made.call("last", stage("c", ROWS, OUT, backend="plain"), mapped), "f32[N, 4]")
    with three_requests(made, {"a": plus(1), "b": plus(2), "c": plus(3)}) as (r, answers):
        for i, answer in enumerate(answers):
            np.testing.assert_array_equal(answer["out"], rows(10 * i) + 6)
        assert between(r.engine.stats()) == {("p.first", "gather"): REQUESTS * EACH * 16}
    assert seen.writes["a"] == seen.reads["b"]
    assert seen.writes["b"] == seen.reads["c"]
    assert seen.work == {"upload": 1, "a": 1, "b": 1, "c": 1, "download": 1}


def test_batches_that_meet_are_copied_and_counted(seen: Seen) -> None:
    """What the tests above would find: three batches of one stage are one batch of the next."""
    settings = {"s0": {"batching.max": EACH}, "s1": {"batching.max": REQUESTS * EACH}}
    with running(chain(2, backend="plain"), {"s0": plus(1), "s1": plus(2)}, settings=settings) as r:
        jobs = [r.send(x=rows(10 * i)) for i in range(REQUESTS)]
        for i, job in enumerate(jobs):  # no delay passes: the second stage waits until its batch is full
            np.testing.assert_array_equal(job.result(PATIENCE)["out"], rows(10 * i) + 3)
        assert between(r.engine.stats()) == {("p.n1", "gather"): REQUESTS * EACH * 16}
        assert (r.rows("s0"), r.rows("s1")) == ([EACH] * REQUESTS, [REQUESTS * EACH])
    assert seen.work["s0"] == seen.work["upload"] == REQUESTS
    assert seen.work.total() == 2 * REQUESTS + len(["concatenate", "s1", "download"])
