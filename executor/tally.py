"""What is counted outside of instances: events at constructs, and bytes copied at joins, constructs and ends.

Instances count for themselves (`stats.NodeStats`); this is shared by all threads and changed with the engine's lock
held.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from .columns import Copies

Event = tuple[str, str, str]
"""(kind, node, what): `("map", "p.boxes", "failure")`."""


class Tally:
    """One for each engine."""

    __slots__ = ("_lock", "copies", "events")

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self.copies: dict[str, Copies] = {}
        """By node, or by pipeline for doors and ends."""
        self.events: Counter[Event] = Counter()

    def count(self, kind: str, node: str, events: Mapping[str, int], copies: Copies | None = None) -> None:
        """Things that happened at a construct, and what it copied."""
        with self._lock:
            for what, number in events.items():
                self.events[kind, node, what] += number
            if copies is not None and copies.bytes:
                self._add(node, copies)

    def copied(self, place: str, copies: Copies) -> None:
        if copies.bytes:
            with self._lock:
                self._add(place, copies)

    def _add(self, place: str, copies: Copies) -> None:
        copies.move_to(self.copies.setdefault(place, Copies()))
