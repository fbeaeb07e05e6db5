"""Whether a call is tried again, and when: a pure decision.

A server that wants to be asked again says when (`grpc-retry-pushback-ms`); a connection that broke does not, and is
tried again with growing pauses. Only what is safe: a pipeline that may run twice, or a refusal before anything ran.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ClientError


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how soon."""

    attempts: int = 5
    """The first one too; 1: never again."""
    first: float = 0.1
    """Seconds before the second attempt, where the server does not say; doubled for each further one."""
    longest: float = 2.0

    def wait(
        self, error: ClientError, attempt: int, repeatable: bool, left: float | None, jitter: float
    ) -> float | None:
        """Seconds until the next attempt; None: there is none. `attempt` counts from 1, `left` is what the deadline
        leaves, `jitter` between 0 and 1 keeps callers that were refused together apart."""
        if attempt >= self.attempts or not (repeatable or error.refused):
            return None
        if error.code not in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"):
            return None
        pushback = error.pushback
        if pushback is None:
            if error.code != "UNAVAILABLE":  # a message that is too large
                return None
            wait = min(self.longest, self.first * 2 ** (attempt - 1)) * (0.5 + jitter / 2)
        elif pushback < 0:
            return None
        else:
            wait = pushback * (1 + jitter / 4)
        return None if left is not None and wait >= left else wait
