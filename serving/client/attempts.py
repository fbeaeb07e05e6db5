"""One call in several attempts, within one deadline."""

from __future__ import annotations

import random
import time

from .errors import ClientError
from .retry import Retry


class Attempts:
    """Counts the attempts of a call; the time that is left is that of all of them."""

    def __init__(self, retry: Retry, repeatable: bool, timeout: float | None) -> None:
        self._retry = retry
        self._repeatable = repeatable
        self._ends = None if timeout is None else time.monotonic() + timeout
        self._attempt = 1

    @property
    def left(self) -> float | None:
        """Seconds; None: any number."""
        return None if self._ends is None else max(0.0, self._ends - time.monotonic())

    def again(self, error: ClientError) -> float:
        """Seconds until the next attempt. The error itself is raised if there is none."""
        wait = self._retry.wait(error, self._attempt, self._repeatable, self.left, random.random())
        if wait is None:
            raise error
        self._attempt += 1
        return wait
