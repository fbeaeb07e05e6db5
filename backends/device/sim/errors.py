"""What the simulator finds."""

from __future__ import annotations


class RaceError(Exception):
    """Two uses of one memory that nothing orders, or memory, an event or a slab used outside of its life.

    A mistake of who issued the work, whatever the values turned out to be."""


class WrongValue(RaceError):
    """Bytes that differ from what the work gives in the order in which it was issued."""
