"""Results in the order in which their batches were taken, where several instances might finish in another.

A batch gets a ticket when it is taken; what it made is held until all that were taken before have ended. At most one
batch an instance is held. Used with the engine's lock held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class Order(Generic[T]):
    """Of the batches of one stage."""

    __slots__ = ("_held", "_next", "_tickets")

    def __init__(self) -> None:
        self._tickets: Iterator[int] = count()
        self._next = 0
        """The oldest batch that has not ended."""
        self._held: dict[int, list[T]] = {}

    def __len__(self) -> int:
        """Batches that have ended and wait for others."""
        return len(self._held)

    def ticket(self) -> int:
        """For a batch that is taken now."""
        return next(self._tickets)

    def settle(self, ticket: int, made: Sequence[T]) -> list[T]:
        """A batch has ended; what may go on now, in order."""
        self._held[ticket] = list(made)
        ready: list[T] = []
        while self._next in self._held:
            ready += self._held.pop(self._next)
            self._next += 1
        return ready
