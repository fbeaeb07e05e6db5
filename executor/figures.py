"""What caches, sequences and shared resources come to at a moment, for a `Snapshot`. Called with the engine's lock."""

from __future__ import annotations

from collections.abc import Iterable

from .admission import Door
from .resources import Resources
from .sequence_door import SequenceDoor
from .stage import StageRuntime
from .stats import CacheSnapshot, ResourceSnapshot, SequenceSnapshot


def caches(stages: Iterable[StageRuntime]) -> tuple[CacheSnapshot, ...]:
    """Of the stages that have one."""
    return tuple(
        CacheSnapshot(
            s.plan.name,
            str(s.plan.version or 1),
            s.plan.device,
            s.cache.hits,
            s.cache.misses,
            s.cache.evictions,
            s.cache.bytes,
            len(s.cache),
        )
        for s in stages
        if s.cache is not None
    )


def sequences(doors: Iterable[Door]) -> tuple[SequenceSnapshot, ...]:
    """Of the pipelines that take them."""
    return tuple(
        SequenceSnapshot(d.name, d.open, d.unseated, dict(d.ended)) for d in doors if isinstance(d, SequenceDoor)
    )


def resources(held: Resources) -> tuple[ResourceSnapshot, ...]:
    """All that stages claim."""
    return tuple(ResourceSnapshot(name, total, held.held[name]) for name, total in held.totals.items())
