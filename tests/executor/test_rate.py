"""`rate_limit`: a token bucket at the door, apart for each value of a header, with a hint when to come again."""

from __future__ import annotations

from typing import Any

import pytest

from executor.errors import Overloaded
from executor.rate import MAX_KEYS, Rate
from pipeline_dsl.plan import RatePolicy

from .gates import answer, scene

MS = 1_000_000
SECOND = 1000 * MS


class Asked:
    """A request, as far as the rate looks at it."""

    def __init__(self, at: int, headers: dict[str, str] | None = None) -> None:
        self.arrived_ns = at
        self.headers = headers
        self.pipeline, self.id = "p", "r"


def comes(rate: Rate, at: int, **headers: str) -> float | None:
    """Lets one in; the seconds to wait if it comes too soon."""
    request: Any = Asked(at, {k.replace("_", "-"): v for k, v in headers.items()})
    try:
        rate.check(request)
    except Overloaded as full:
        return full.retry_after
    rate.spend(request)
    return None


def test_a_burst_and_then_one_at_a_time() -> None:
    rate = Rate(RatePolicy(10, SECOND, burst=3))
    assert [comes(rate, 0) for _ in range(4)] == [None, None, None, pytest.approx(0.1)]
    assert comes(rate, 60 * MS) == pytest.approx(0.04)
    assert comes(rate, 100 * MS) is None
    assert comes(rate, 100 * MS) == pytest.approx(0.1)


def test_what_is_saved_is_bounded() -> None:
    rate = Rate(RatePolicy(10, SECOND, burst=2))
    assert [comes(rate, 100 * SECOND) for _ in range(3)] == [None, None, pytest.approx(0.1)]


def test_less_than_one_in_a_time() -> None:
    rate = Rate(RatePolicy(0.5, SECOND))
    assert comes(rate, 0) is None
    assert comes(rate, 0) == pytest.approx(2)
    assert comes(rate, 2 * SECOND) is None


def test_values_of_a_header_are_counted_apart() -> None:
    rate = Rate(RatePolicy(1, SECOND, by="x-user"))
    assert comes(rate, 0, x_user="a") is None
    assert comes(rate, 0, x_user="b") is None
    assert comes(rate, 0) is None  # those without it share one
    assert [comes(rate, 0, x_user="a"), comes(rate, 0)] == [1, 1]


def test_the_number_of_values_is_bounded() -> None:
    rate = Rate(RatePolicy(1, SECOND, by="x-user"))
    for i in range(MAX_KEYS + 5):
        comes(rate, 0, x_user=str(i))
    assert len(rate) == MAX_KEYS
    assert comes(rate, 0, x_user=str(MAX_KEYS)) == 1


# ---- at the door


def test_too_many_requests_are_refused_with_a_hint() -> None:
    with scene(pipeline={"rate_limit.rate": 2.0, "rate_limit.burst": 1}) as s:
        s.gate.open(2)
        answer(s.send(1))
        with pytest.raises(Overloaded, match=r"more requests than `rate_limit` lets in: 2 in 1 s") as refused:
            s.send(2)
        assert (refused.value.grpc_code, refused.value.http_status) == ("RESOURCE_EXHAUSTED", 429)
        assert refused.value.retry_after == pytest.approx(0.5)
        s.clock.advance(500 * MS)
        answer(s.send(3))
        assert s.engine.stats().pipelines[0].failures == {"REJECTED": 1}


def test_headers_have_no_case_and_the_message_names_the_value() -> None:
    settings = {"rate_limit.rate": 1.0, "rate_limit.burst": 1, "rate_limit.by": "x-user"}
    with scene(pipeline=settings) as s:
        s.gate.open(2)
        for user in ("ada", "bob"):
            answer(s.send(1, headers={"X-User": user}))
        with pytest.raises(Overloaded, match=r"for `x-user: ada`"):
            s.send(2, headers={"x-USER": "ada"})


def test_a_request_that_the_line_refuses_costs_nothing() -> None:
    settings = {"rate_limit.rate": 1.0, "rate_limit.burst": 2, "max_inflight": 1, "queue.max": 0}
    with scene(pipeline=settings) as s:
        first = s.send(1)
        with pytest.raises(Overloaded, match=r"queue\.max"):
            s.send(2)
        s.gate.open(2)
        answer(first)
        answer(s.send(3))
        with pytest.raises(Overloaded, match="rate_limit"):
            s.send(4)


def test_without_burst_those_of_one_time_may_come_at_once() -> None:
    with scene(pipeline={"rate_limit.rate": 3.0, "rate_limit.per": 10 * SECOND}) as s:
        s.gate.open(3)
        for _ in range(3):
            answer(s.send(1))
        with pytest.raises(Overloaded, match="3 in 10 s"):
            s.send(1)
