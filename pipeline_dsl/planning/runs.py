"""Static runs: steps that follow one another without a queue, because nothing could come between them.

A step goes on its producer's run when (DESIGN: nodes, instances, runs)
- everything it reads was made in that run, so all of it is in one cohort, and the run's last step is what it follows;
- whatever else reads that last step comes after this one anyway;
- both are on one device, and its stage has no other call site whose batches it would miss;
- it waits for nobody (delay 0, no sequence) and takes any cohort the run may bring (`max` not smaller, counted in
  equal rows);
- neither of the two is a construct. What is in its regions has runs of its own there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_dsl.ir import Binding
from pipeline_dsl.plan import INGRESS, StagePlan

from .devices import CPU


@dataclass(frozen=True, slots=True)
class Place:
    """What decides whether a step may go on without a queue. `max_rows` 0: any number."""

    device: str
    rows: Binding
    max_rows: int = 0
    waits: bool = False
    shared: bool = False
    """Its stage has other call sites."""
    alone: bool = False
    """Nothing goes on its run: a construct."""


COMPUTE = Place(CPU, "each")
CONTROL = Place(CPU, "each", alone=True)


def place_of(stage: StagePlan, binding: Binding, shared: bool) -> Place:
    """The place of a call; without `*` (`each`) rows are not counted."""
    waits = stage.batching.delay_ns != 0 or stage.contract.sequence is not None
    return Place(stage.device, binding, stage.batching.max_rows, waits, shared)


@dataclass(slots=True)
class _Run:
    tail: int
    rows: Binding
    max_rows: int
    """Rows a cohort of this run may have; 0: any number."""

    def add(self, step: int, rows: Binding) -> None:
        self.tail = step
        if rows not in ("each", self.rows):
            # From here on rows are counted in another unit (items of an element, or elements): no bound is known.
            self.rows, self.max_rows = rows, 0


def runs(
    places: Sequence[Place], producers: Sequence[tuple[int, ...]], consumers: Sequence[tuple[int, ...]]
) -> tuple[int, ...]:
    """The number of each step's run; numbers follow the order of the runs' first steps. Steps are named by their
    place in the sequences."""
    later = reachable(consumers)
    found: list[_Run] = []
    numbers: list[int] = []
    for step, place in enumerate(places):
        number = _followed(step, producers[step], numbers)
        if number is not None and _goes_on(step, found[number], places, consumers, later):
            found[number].add(step, place.rows)
        else:
            number = len(found)
            found.append(_Run(step, place.rows, place.max_rows))
        numbers.append(number)
    return tuple(numbers)


def reachable(consumers: Sequence[tuple[int, ...]]) -> list[int]:
    """For each step, the steps after it as a bit set: bit n stands for step n."""
    later = [0] * len(consumers)
    for step in range(len(consumers) - 1, -1, -1):
        for consumer in consumers[step]:
            later[step] |= 1 << consumer | later[consumer]
    return later


def _followed(step: int, reads: tuple[int, ...], numbers: list[int]) -> int | None:
    """The one run that made all a step reads; None if it reads inputs, several runs, or nothing."""
    if not reads or INGRESS in reads:
        return None
    made_in = {numbers[producer] for producer in reads}
    return made_in.pop() if len(made_in) == 1 else None


def _goes_on(
    step: int, run: _Run, places: Sequence[Place], consumers: Sequence[tuple[int, ...]], later: Sequence[int]
) -> bool:
    place = places[step]
    if place.alone or places[run.tail].alone:
        return False
    others_wait = all(other == step or later[step] >> other & 1 for other in consumers[run.tail])
    same_place = place.device == places[run.tail].device and not place.waits and not place.shared
    return step in consumers[run.tail] and others_wait and same_place and _fits(place, run)


def _fits(place: Place, run: _Run) -> bool:
    if place.max_rows == 0:
        return True
    return run.rows == place.rows and 0 < run.max_rows <= place.max_rows
