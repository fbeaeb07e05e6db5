"""Static runs: steps of one region that run as one, with one inbox, one gather and nothing between them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipeline_dsl.ir import Binding, Constant

from .stages import StagePlan


@dataclass(frozen=True, slots=True)
class Given:
    """A value that a set is entered with, by its place among `FusedPlan.given`."""

    index: int


@dataclass(frozen=True, slots=True)
class Made:
    """An output of a member, both by their place."""

    member: int
    output: int


Fed = Given | Made | Constant | None
"""Where an input of a member comes from; None for an absent optional."""


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """One step of a set."""

    step: int
    node: str
    stage: int
    """Index into `Plan.stages`."""
    inputs: tuple[Fed, ...]
    """In port order of the stage."""
    stream: int
    """`Step.stream`: members of one stream run one after the other, those of others beside them."""


@dataclass(frozen=True, slots=True)
class FusedPlan:
    """A set of steps that runs as one stage.

    Its batches are those of the first member: what the others would do with the same rows is the same. Its `stage` is
    the first member's, with the set's own ports."""

    pipeline: str
    stage: StagePlan
    binding: Binding
    members: tuple[MemberPlan, ...]
    """In the order in which they run."""
    given: tuple[int, ...]
    """Slots that are read from outside, one for each input of `stage`."""
    made: tuple[Made, ...]
    """What is read outside, one for each output of `stage`."""
    slots: tuple[int, ...]
    """The slots of `made`."""
    graphs: tuple[int, ...] = ()
    """Rows that a captured graph may have, ascending; none: it is never captured."""
    ahead: bool = False
    """The graphs are captured before the first request, not when batches of their size have come."""

    def outputs_of(self, members: Collection[int]) -> tuple[int, ...]:
        """The places of what some members make among `made`."""
        return tuple(i for i, made in enumerate(self.made) if made.member in members)

    def inputs_of(self, members: Collection[int]) -> frozenset[int]:
        """The places of what some members read from outside among `given`."""
        fed = (fed for i in members for fed in self.members[i].inputs)
        return frozenset(one.index for one in fed if isinstance(one, Given))
