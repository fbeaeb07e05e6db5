"""Who waits for company before the engine, and for how long: by hand, without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from serving.access import ANYONE
from serving.gather import LONGEST, PER_REQUEST, Gather
from serving.tensors import InferCall

from .attacks import x
from .programs import running


class Loop:
    """Keeps what shall be called, and when."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def call_soon(self, call: Callable[..., None], *args: Any) -> None:
        self.call_later(0.0, call, *args)

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> None:
        self.due.append((delay, lambda: call(*args)))


def arrivals(gather: Gather, gap: float, under_way: int, count: int = 200, start: float = 100.0) -> None:
    for i in range(count):
        gather.arrived(start + i * gap, under_way)


def entered(gather: Gather, company: int, loop: Loop, now: float, gap: float) -> float:
    """A request and those that come before it enters; how long it waited."""
    gather.arrived(now, company)
    gather.schedule(loop, lambda loop: None)  # type: ignore[arg-type]  # all that is used of a loop
    for i in range(1, company):
        gather.arrived(now + i * gap, company)
    wait, call = loop.due.pop()
    call()
    return wait


def test_a_lone_caller_never_waits() -> None:
    gather, loop = Gather(), Loop()
    for i in range(100):
        assert entered(gather, 1, loop, 100 + i * 1e-4, 0) == 0


def test_requests_of_a_slow_pipeline_never_wait() -> None:
    gather = Gather()
    arrivals(gather, 0.01, under_way=32)
    assert gather.wait() == 0


@pytest.mark.parametrize(("under_way", "expected"), [(2, 2 * PER_REQUEST), (8, 8 * PER_REQUEST), (64, LONGEST)])
def test_the_more_are_under_way_the_longer(under_way: int, expected: float) -> None:
    gather = Gather()
    arrivals(gather, 1e-5, under_way)
    assert gather.wait() == pytest.approx(expected)


def test_company_that_entered_together_is_expected_again() -> None:
    gather, loop = Gather(), Loop()
    arrivals(gather, 1e-5, under_way=1)
    for i in range(20):
        entered(gather, 8, loop, 101 + i * 1e-3, 1e-5)
    gather.arrived(101.02, 1)
    assert gather.wait() == pytest.approx(8 * PER_REQUEST)


def test_after_a_pause_nobody_waits() -> None:
    gather = Gather()
    arrivals(gather, 1e-5, under_way=8)
    assert gather.wait() > 0
    gather.arrived(200.0, 8)
    assert gather.wait() == 0


def test_many_at_once_are_one_batch(tmp_path: Any) -> None:
    path = tmp_path / "p.pipe"
    path.write_text(
        "pipe 1\nstage f(x: f32[*, 4]) -> (y: f32[*, 4]) using null()\n"
        "pipeline rows(x: f32[*, 4]) -> (y: f32[*, 4]) { return y = f(x) }\n"
    )

    async def scenario() -> None:
        async with running(path) as ops:
            calls = [InferCall("rows", inputs=[x(data=np.full(4, i, np.float32).tobytes())]) for i in range(50)]
            answers = await asyncio.gather(*[ops.inference.infer(ANYONE, call) for call in calls])
            assert [float(a.outputs[0].data[0, 0]) for a in answers] == list(range(50))
            assert ops.statistics.statistics(ANYONE, "rows.y")[0].executions == 1

    asyncio.run(scenario())
