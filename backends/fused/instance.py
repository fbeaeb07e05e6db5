"""An instance that is several: the members of a static run, called one after the other or replayed as one graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from backends.base import Batch, BatchResult
from backends.device import Accelerator, DeviceLost
from pipeline_dsl.plan import FusedPlan

from .graphs import Graphs
from .program import Member, Program


class FusedInstance:
    """One instance of each member. Members that no output needs are left out: see `select`."""

    thread_affine = False

    def __init__(
        self, plan: FusedPlan, members: Sequence[Member], device: Accelerator, graphs: Graphs | None = None
    ) -> None:
        """`members` are those of the plan, in order, all on `device`."""
        self.plan = plan
        self.members = list(members)
        self.device = device
        self.wants_context = any(member.wants_context for member in members)
        self.graphs = Graphs(plan, device) if graphs is None else graphs
        self._programs: dict[tuple[int, ...], Program] = {}
        self.program = self.select(range(len(members)))
        """What the next batch runs."""
        why = _not_capturable(self.members) if plan.graphs else ""
        if why:
            self.graphs.give_up(why)

    def select(self, members: Iterable[int]) -> Program:
        """Run these members from now on: ascending numbers, with all that they read from."""
        wanted = tuple(members)
        found = self._programs.get(wanted)
        if found is None:
            found = self._programs[wanted] = Program(self.plan, self.members, wanted)
        self.program = found
        found.blamed = None
        return found

    def spans(self, members: tuple[int, ...]) -> Iterator[tuple[int, float]]:
        """Of each of these members its number, and the share of a batch's time that had gone by when it had ended."""
        program = self._programs[members]
        return zip((number for number, _ in program.members), accumulate(program.shares), strict=True)

    def execute(self, batch: Batch) -> BatchResult:
        """Run a batch on `batch.stream`, the calling thread's current stream; inputs are arrays of the device."""
        program = self.program
        failed = ""
        outputs = None
        try:
            outputs = self.graphs.run(program, batch)
        except (DeviceLost, MemoryError):
            raise
        except Exception as error:
            failed = f"{type(error).__name__}: {error}"
        try:
            if outputs is None:
                outputs = program.run(batch, program.streams(batch.stream))
        except MemoryError:
            if self.graphs.kept:  # what they hold is what the batch lacks
                self.graphs.give_up("memory is short")
            raise
        if failed:  # and its members do not: it is not the batch's fault
            self.graphs.drop(program, batch.rows, failed)
        return BatchResult(outputs)

    def warmup(self) -> None:
        """Capture what the profile wants captured before the first request. The members are warm."""
        if self.plan.ahead:
            for rows in self.plan.graphs:
                self.graphs.capture(self.program, rows)

    def close(self) -> None:
        """Let go of the graphs; the members are closed by who loaded them."""
        self.graphs.close()


def _not_capturable(members: Sequence[Member]) -> str:
    """Why the members can not be captured; "" if they can."""
    for member in members:
        if not getattr(member.instance, "capturable", False):
            return f"stage `{member.stage}` can not be captured: its backend does not say that it can"
        if member.bound is not None:
            return f"stage `{member.stage}` can not be captured: it works on a stream of its own"
    return ""
