"""Run a group on an instance of a set: as a group of any stage, but what fails is a member's fault.

Rows that fail in one member do not go through the others: their requests end, and the rest of the batch runs again
without them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from backends.base import BatchResult
from backends.fused import FusedInstance, RowsFailed
from executor.assemble import Gathered
from executor.budget import RetryBudget
from executor.execute import Run
from executor.ledger import Part
from executor.node import Call
from executor.trace import Recorder
from executor.workers import Task

from .call import FusedCall
from .ledger import FusedLedger
from .runtime import FusedRuntime

if TYPE_CHECKING:
    from executor.stage import Slot


class ElementsFailed(Exception):
    """Some elements of a batch failed in one member."""

    def __init__(self, bad: Mapping[int, Exception]) -> None:
        super().__init__(f"{len(bad)} elements failed")
        self.bad = bad


class FusedRun(Run):
    """What one instance of a set does with groups."""

    __slots__ = ("_blamed", "_instance", "_set")

    def __init__(
        self,
        stage: FusedRuntime,
        slot: Slot,
        now: Callable[[], int],
        budget: RetryBudget,
        recorder: Recorder | None,
        later: Callable[[Task], None],
    ) -> None:
        super().__init__(stage, slot, now, budget, recorder, later)
        self.ledger = FusedLedger(stage, slot, recorder)
        assert isinstance(slot.instance, FusedInstance), "a set has instances of sets"
        self._set = stage
        self._instance = slot.instance
        self._blamed: list[tuple[BaseException, int]] = []
        """Failures of the group at hand, and the members that they come from."""

    def clear(self) -> None:
        super().clear()
        if self._blamed:
            self._blamed = []

    def _executed(self, gathered: Gathered, parts: list[Part]) -> BatchResult:
        call = parts[0][0]
        assert isinstance(call, FusedCall), "nothing else arrives at a set"
        program = self._instance.select(call.wanted)
        try:
            return super()._executed(gathered, parts)
        except RowsFailed as failed:
            self._blamed += [(error, failed.member) for error in failed.rows.values()]
            if not self.stage.plan.has_rows:
                raise next(iter(failed.rows.values())) from None
            bad: dict[int, Exception] = {}
            for row, error in sorted(failed.rows.items()):
                bad.setdefault(bisect_right(gathered.offsets, row) - 1, error)
            raise ElementsFailed(bad) from None
        except Exception:
            if program.blamed is not None:
                self._blamed.append(program.blamed)
            raise
        finally:
            for number, _ in program.members:
                node = self._set.fused.members[number].node
                copies = self._set.member_slot(node, self.slot.index).copies
                if copies.bytes:
                    copies.move_to(self.stage.stats(node, self.slot))

    def _broken(self, parts: list[Part], error: Exception, again: bool) -> None:
        """As `Run._broken`; elements that failed by themselves end, the others run again."""
        if not isinstance(error, ElementsFailed):
            super()._broken(parts, error, again)
            return
        left: list[Part] = []
        lo = 0
        for node, cohort, enqueued in parts:
            good = []
            for i, owner in enumerate(cohort.layout.owners):
                why = error.bad.get(lo + i)
                if why is None:
                    good.append(i)
                else:
                    self._fail(owner, self._error(why), node, why)
            if good:
                left.append((node, cohort.take(good, self.stage.stats(node.name, self.slot), "failed"), enqueued))
            lo += len(cohort)
        if left:
            self._again(left)

    def _raiser(self, error: BaseException) -> str:
        number = self._member(error)
        return super()._raiser(error) if number is None else self._set.members[number].plan.name

    def _place(self, node: Call, cause: BaseException | None) -> str:
        number = None if cause is None else self._member(cause)
        return super()._place(node, cause) if number is None else self._set.fused.members[number].node

    def _member(self, error: BaseException) -> int | None:
        """The member that a failure comes from; None if it is the set's own."""
        return next((number for known, number in self._blamed if known in (error, error.__cause__)), None)
