"""What is tried again, and when: the decision alone."""

from __future__ import annotations

from typing import Any

import pytest

from serving.client.attempts import Attempts
from serving.client.errors import ClientError
from serving.client.retry import Retry

RETRY = Retry(attempts=4, first=0.1, longest=0.3)
REFUSED = {"pipectl-started": "no"}


def failed(code: str = "UNAVAILABLE", pushback: str | None = None, **trailers: str) -> ClientError:
    found: dict[str, Any] = {name.replace("_", "-"): value for name, value in trailers.items()}
    if pushback is not None:
        found["grpc-retry-pushback-ms"] = pushback
    return ClientError("no", code, found.items())


@pytest.mark.parametrize(("attempt", "wait"), [(1, 0.1), (2, 0.2), (3, 0.3), (4, None), (9, None)])
def test_pauses_grow_to_a_limit_and_end(attempt: int, wait: float | None) -> None:
    assert RETRY.wait(failed(), attempt, True, None, jitter=1.0) == (wait and pytest.approx(wait))
    if wait is not None:
        assert RETRY.wait(failed(), attempt, True, None, jitter=0.0) == pytest.approx(wait / 2)


def test_a_server_says_when() -> None:
    assert RETRY.wait(failed("RESOURCE_EXHAUSTED", "700"), 1, True, None, jitter=0.0) == pytest.approx(0.7)
    assert RETRY.wait(failed("RESOURCE_EXHAUSTED", "700"), 1, True, None, jitter=1.0) == pytest.approx(0.875)


@pytest.mark.parametrize("pushback", ["-1", "soon", ""])
def test_a_server_that_wants_no_other_try_gets_none(pushback: str) -> None:
    assert RETRY.wait(failed("UNAVAILABLE", pushback), 1, True, None, 0.5) is None


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "INTERNAL", "DEADLINE_EXCEEDED", "NOT_FOUND", "UNAUTHENTICATED"])
def test_other_failures_stay(code: str) -> None:
    assert RETRY.wait(failed(code, "100"), 1, True, None, 0.5) is None


def test_a_message_that_is_too_large_stays_so() -> None:
    assert RETRY.wait(failed("RESOURCE_EXHAUSTED"), 1, True, None, 0.5) is None


def test_what_may_not_run_twice_is_tried_again_only_where_nothing_ran() -> None:
    started = failed("UNAVAILABLE", "100")
    refused = failed("UNAVAILABLE", "100", pipectl_started="no")
    assert RETRY.wait(started, 1, False, None, 0.0) is None
    assert RETRY.wait(failed(), 1, False, None, 0.0) is None  # the connection broke: it may have run
    assert RETRY.wait(refused, 1, False, None, 0.0) == pytest.approx(0.1)


def test_no_attempt_begins_after_the_deadline() -> None:
    assert RETRY.wait(failed("UNAVAILABLE", "500"), 1, True, 0.5, 0.0) is None
    assert RETRY.wait(failed("UNAVAILABLE", "500"), 1, True, 0.6, 0.0) == pytest.approx(0.5)


def test_attempts_raise_what_is_not_tried_again() -> None:
    attempts = Attempts(RETRY, True, 60)
    assert all(attempts.again(failed()) < 0.31 for _ in range(3))
    error = failed()
    with pytest.raises(ClientError) as caught:
        attempts.again(error)
    assert caught.value is error
    assert Attempts(RETRY, True, None).left is None
    assert Attempts(RETRY, True, 0).left == 0
