"""Which streams of which device a pipeline or region uses, and what crosses from one device to another."""

from __future__ import annotations

from dataclasses import dataclass

OUTPUT = -1
"""Reader of a value that is an output of the pipeline."""


@dataclass(frozen=True, slots=True)
class DeviceStreams:
    """How the steps of one pipeline, or of one region, share the streams of one device.

    Each step has a stream (`Step.stream`), which runs its steps in the order of their numbers. `Step.waits` are the
    steps of other streams that it has to wait for: with the order of the streams, that covers every edge."""

    device: str
    """`cuda:0`; `cuda:0,1` for stages whose instances are on several."""
    streams: int
    """They are numbered from 0."""
    priority: int
    """The stream of the longest path, which is to have a high priority."""
    events: int
    """Steps that record an event."""
    waits: int
    """Waits for one, of all steps together."""
    edges: int
    """Edges between two steps of this device: the events and waits there would be with one for each edge."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A value that is copied from one device to another before a step, or the caller, can read it."""

    slot: int
    reader: int
    """Number of the step; OUTPUT."""
    source: str
    """Device where it is made: `cpu`, `cuda:0`; `cpu or cuda:0` for the result of a construct whose arms differ."""
    target: str
