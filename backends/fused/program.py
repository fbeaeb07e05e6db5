"""The members of a set in order: what each is given, the stream it runs on, what is handed out at the end.

A `Program` is the part of a set that some outputs need. Values pass from member to member as they are: arrays on the
device, which are ordered by the streams and blocks they lie in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter_ns
from typing import NamedTuple

from backends.base import Batch, BatchResult, Instance
from backends.device import Stream
from backends.values import Value
from pipeline_dsl.ir import Constant
from pipeline_dsl.plan import FusedPlan, Given, MemberPlan


class RowsFailed(Exception):
    """Some rows of a batch failed in one member; the others have not been through all of them."""

    def __init__(self, member: int, rows: Mapping[int, Exception]) -> None:
        super().__init__(f"{len(rows)} rows failed")
        self.member = member
        self.rows = rows


class Member(NamedTuple):
    """One loaded member."""

    plan: MemberPlan
    stage: str
    """Its name."""
    instance: Instance
    execute: Callable[[Batch], BatchResult]
    """Calls the instance, its inputs brought to the device and ordered on the batch's stream."""
    check: Callable[[Batch, BatchResult], BatchResult]
    """Raises `OutputError` for a result that is not what the stage's signature says."""

    @property
    def bound(self) -> Stream | None:
        """The stream that its instance works on whatever the batch's is, if it has one."""
        return getattr(self.instance, "stream", None)

    @property
    def wants_context(self) -> bool:
        return getattr(self.instance, "wants_context", True)


class Program:
    """Some members of a set."""

    def __init__(self, plan: FusedPlan, members: Sequence[Member], wanted: Iterable[int]) -> None:
        """`wanted`: members by their number, with all that they read from."""
        chosen = tuple(wanted)
        self.members = [(number, members[number]) for number in chosen]
        self.made = [plan.made[i] for i in plan.outputs_of(chosen)]
        self._streams = list(dict.fromkeys(member.plan.stream for _, member in self.members))
        self.chains = len(self._streams)
        """Streams that it runs on, beside each other."""
        self._chain = {stream: chain for chain, stream in enumerate(self._streams)}
        self.shares: tuple[float, ...] = (1 / len(chosen),) * len(chosen)
        """Part of the time each member took when they ran one by one, in order."""
        self.blamed: tuple[BaseException, int] | None = None
        """What the last failure was, and the member that raised it."""

    def streams(self, main: Stream) -> list[Stream]:
        """`main` for the first member's, others of its lane beside it."""
        return [main, *(main.device.in_lane(main.lane, stream) for stream in self._streams[1:])]

    def run(self, batch: Batch, streams: Sequence[Stream]) -> tuple[Value, ...]:
        """Run all of it; the outputs are ready on the first stream, which is the calling thread's current one.

        Raises what a member raises, and `RowsFailed`."""
        main = streams[0]
        values: dict[int, tuple[Value, ...]] = {}
        used: set[Stream] = set()
        marks = [perf_counter_ns()]
        for number, member in self.members:
            stream = member.bound or streams[self._chain[member.plan.stream]]
            try:
                if stream is main:
                    result = _called(member, batch, values, stream)
                else:
                    used.add(stream)
                    with stream.use():
                        result = _called(member, batch, values, stream)
            except BaseException as error:
                self.blamed = error, number
                raise
            if result.failed:
                raise RowsFailed(number, result.failed)
            values[number] = result.outputs
            marks.append(perf_counter_ns())
        for stream in used:
            main.after(stream, stream.ticks)
        total = max(marks[-1] - marks[0], 1)
        self.shares = tuple([(b - a) / total for a, b in itertools.pairwise(marks)])
        return tuple([values[made.member][made.output] for made in self.made])


def _called(member: Member, batch: Batch, values: Mapping[int, tuple[Value, ...]], stream: Stream) -> BatchResult:
    inputs: list[Value] = []
    for fed in member.plan.inputs:
        if fed is None:
            inputs.append(None)
        elif isinstance(fed, Constant):
            inputs.append(fed.value)
        elif isinstance(fed, Given):
            inputs.append(batch.inputs[fed.index])
        else:
            inputs.append(values[fed.member][fed.output])
    part = Batch(tuple(inputs), batch.rows, stream=stream)
    if member.wants_context:
        part.sizes, part.request_ids, part.deadline_ns = batch.sizes, batch.request_ids, batch.deadline_ns
        part.cancelled, part.node = batch.cancelled, member.plan.node
    return member.check(part, member.execute(part))
