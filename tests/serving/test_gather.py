"""Who waits for company before the engine, and for how long: by hand, without an event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from serving.access import ANYONE
from serving.gather import LONGEST, NEXT, PER_CALLER, Gather
from serving.tensors import InferCall

from .attacks import x
from .programs import running


def arrivals(gather: Gather, gap: float, under_way: int, count: int = 200, start: float = 100.0) -> None:
    for i in range(count):
        gather.arrived(start + i * gap, under_way)


@pytest.mark.parametrize("gap", [1e-5, 1e-3, 1.0])
def test_a_lone_caller_never_waits(gap: float) -> None:
    gather = Gather()
    arrivals(gather, gap, under_way=1)
    assert gather.wait() == 0


def test_requests_of_a_slow_pipeline_never_wait() -> None:
    gather = Gather()
    arrivals(gather, 0.01, under_way=64)
    assert gather.wait() == 0


@pytest.mark.parametrize(("callers", "expected"), [(2, 2 * PER_CALLER), (8, 8 * PER_CALLER), (64, LONGEST)])
def test_the_more_callers_the_longer(callers: int, expected: float) -> None:
    gather = Gather()
    arrivals(gather, 1e-5, callers)
    assert gather.wait() == pytest.approx(expected)


@pytest.mark.parametrize(("callers", "waits"), [(2, False), (4, True)])
def test_from_a_few_callers_on_a_request_waits_for_the_next(callers: int, waits: bool) -> None:
    """Or a loop that is late with each would never see that there are more."""
    gather = Gather()
    arrivals(gather, 8e-4, callers)
    assert gather.wait() == (pytest.approx(NEXT * 8e-4) if waits else 0)


def test_callers_are_remembered_while_the_engine_is_quick() -> None:
    """Most requests find nothing under way where answers are made in no time, however many clients there are."""
    gather = Gather()
    for i in range(200):
        gather.arrived(100 + i * 1e-4, 8 if i % 20 == 0 else 1)
    assert gather.wait() > 6 * PER_CALLER


def test_callers_that_left_are_forgotten() -> None:
    gather = Gather()
    arrivals(gather, 1e-5, under_way=8)
    arrivals(gather, 1e-5, under_way=1, count=1000, start=101)
    assert gather.wait() == 0


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
