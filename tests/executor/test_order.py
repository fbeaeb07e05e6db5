"""`batching.order = keep`: results leave a stage in the order of its batches, whichever instance is first."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from executor.errors import StageFailed
from executor.order import Order
from tests.pipeline_dsl.graphs import Build, stage

from .gates import PATIENCE, answer, row
from .plain import running


def test_results_wait_for_those_before() -> None:
    order: Order[str] = Order()
    a, b, c = order.ticket(), order.ticket(), order.ticket()
    assert order.settle(b, ["b1", "b2"]) == []
    assert len(order) == 1
    assert order.settle(a, ["a"]) == ["a", "b1", "b2"]
    assert order.settle(c, []) == []
    assert len(order) == 0


def slow_and_after(seen: list[float], gates: dict[float, threading.Event]) -> Any:
    """`s` holds rows back until their gate opens; `after` notes what comes."""

    def slow(x: Any) -> tuple[Any, ...]:
        assert gates[float(x[0, 0])].wait(PATIENCE)
        if x[0, 0] == 13:
            raise ValueError("thirteen")
        return (x,)

    def after(x: Any) -> tuple[Any, ...]:
        seen.extend(x[:, 0].tolist())
        return (x,)

    made = Build()
    first = made.call("s", stage("s", backend="plain"), made.input("x"))
    made.output("out", made.call("after", stage("after", backend="plain"), first))
    settings = {"s": {"instances": 2, "batching.max": 1, "batching.order": "keep", "batching.delay": 0}}
    return running(made, {"s": slow, "after": after}, delay=0, settings=settings)


@pytest.mark.parametrize("first", [1.0, 13.0])
def test_the_second_batch_waits_for_the_first_even_if_that_fails(first: float) -> None:
    seen: list[float] = []
    gates = {first: threading.Event(), 2.0: threading.Event()}
    with slow_and_after(seen, gates) as s:
        jobs = [s.send(x=row(v)) for v in (first, 2.0)]
        gates[2.0].set()
        while len(s.engine.stages[0].free) < 1:  # until the second has ended
            pass
        assert seen == []
        gates[first].set()
        np.testing.assert_array_equal(answer(jobs[1])["out"], row(2))
        if first == 13:
            with pytest.raises(StageFailed, match="thirteen"):
                answer(jobs[0])
        else:
            answer(jobs[0])
        assert seen == ([2] if first == 13 else [1, 2])


def test_one_instance_needs_no_order() -> None:
    made = Build()
    made.output("out", made.call("s", stage("s", backend="plain"), made.input("x")))
    with running(made, {"s": lambda x: (x,)}, settings={"s": {"batching.order": "keep"}}) as s:
        assert s.engine.stages[0].order is None
        s.ask(x=row(1))
