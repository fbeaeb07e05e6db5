"""Requests let in at a rate: a token bucket for a pipeline, or one for each value of a header.

    request --check--> Overloaded with `retry_after` | nothing --(the door takes it)--> spend

Pure but for its buckets: time is that of the requests' arrival. Used with the engine's lock held.
"""

from __future__ import annotations

from collections import OrderedDict

from pipeline_dsl.plan import RatePolicy

from .errors import Overloaded
from .request import Request

MAX_KEYS = 10_000
"""Header values that are counted apart; the one that has waited longest is forgotten for a new one."""


class Rate:
    """The buckets of one pipeline. A bucket that is full is as good as none."""

    __slots__ = ("_buckets", "_fill_ns", "policy")

    def __init__(self, policy: RatePolicy) -> None:
        self.policy = policy
        self._fill_ns = policy.per_ns / policy.rate
        """Time in which one token comes."""
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Tokens and when they were counted, by header value."""

    def __len__(self) -> int:
        return len(self._buckets)

    def check(self, request: Request) -> None:
        """Overloaded if it comes too soon; nothing is taken yet."""
        missing = 1 - self._tokens(self._key(request), request.arrived_ns)
        if missing <= 0:
            return
        policy = self.policy
        who = f" for `{policy.by}: {self._key(request)}`" if policy.by else ""
        text = f"more requests than `rate_limit` lets in{who}: {policy.rate:g} in {policy.per_ns / 1e9:g} s"
        error = Overloaded(text, pipeline=request.pipeline, request_id=request.id)
        error.retry_after = missing * self._fill_ns / 1e9
        raise error

    def spend(self, request: Request) -> None:
        """It was let in."""
        key = self._key(request)
        self._buckets[key] = (self._tokens(key, request.arrived_ns) - 1, request.arrived_ns)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)

    def _key(self, request: Request) -> str:
        return (request.headers or {}).get(self.policy.by, "") if self.policy.by else ""

    def _tokens(self, key: str, now: int) -> float:
        tokens, counted = self._buckets.get(key, (float(self.policy.burst), now))
        return min(float(self.policy.burst), tokens + max(now - counted, 0) / self._fill_ns)
