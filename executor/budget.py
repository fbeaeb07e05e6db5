"""How much may be done again: what fails everywhere must not cost twice the work."""

from __future__ import annotations

RETRY_SHARE = 0.1
"""Executions that may be repeated, as a share of all."""
RETRY_BURST = 64.0
"""Repeated executions that may come at once."""


class RetryBudget:
    """A bucket that fills with executions and empties with repeated ones."""

    __slots__ = ("tokens",)

    def __init__(self) -> None:
        self.tokens = RETRY_BURST

    def earn(self) -> None:
        if self.tokens < RETRY_BURST:
            self.tokens += RETRY_SHARE

    def spend(self) -> bool:
        """Take one; False if there is none."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
