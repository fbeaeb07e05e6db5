"""A set as one stage: its inbox is the first member's, and each of its instances is one instance of every member.

The members are loaded as any stage is, and keep their counters; nothing arrives at them, since each has one call only
and that is in the set.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from backends.base import Batch, BatchResult
from backends.fused import FusedInstance, Member
from executor.batcher import Entry
from executor.clock import Clock
from executor.cohort import Cohort
from executor.columns import Copies, CopySink
from executor.devices.site import Books, Site
from executor.node import Call
from executor.stage import Slot, StageRuntime
from executor.stats import NodeStats
from pipeline_dsl.plan import FusedPlan, Plan

from .call import FusedCall

_log = logging.getLogger("pipectl")


class FusedRuntime(StageRuntime):
    """Inbox, batcher and instances of a set."""

    def __init__(self, plan: FusedPlan, members: Sequence[StageRuntime], clock: Clock) -> None:
        super().__init__(plan.stage, clock)
        self.fused = plan
        self.members = tuple(members)
        self._by_node = {m.node: runtime for m, runtime in zip(plan.members, members, strict=True)}

    def assemble(self) -> bool:
        """Make its instances of those of its members, which are loaded and warm; False if they had better run apart."""
        why = next((why for m in self.members for slot in m.slots if (why := _apart(slot))), "")
        if why:
            stage = next(m.plan.name for m in self.members if any(map(_apart, m.slots)))
            _log.info("%s: run apart: stage `%s` %s", " + ".join(self._by_node), stage, why)
            return False
        self.slots = [self._instance(index) for index in range(self.plan.instances)]
        self.free = self.slots[::-1]
        for member in self.members:
            member.within = self
        return True

    def _instance(self, index: int) -> Slot:
        slots = [member.slots[index] for member in self.members]
        site = slots[0].site
        assert site is not None, "looked at before"
        plans = self.fused.members
        members = [
            Member(p, m.plan.name, s.instance, s.execute, s.check) for p, m, s in zip(plans, self.members, slots)
        ]
        instance = FusedInstance(self.fused, members, site.device)
        instance.warmup()
        own = Site(site.device, instance, self.plan, index, serial=site.serial)
        return Slot(index, instance, _as_it_is, Copies(), None, site=own)

    def member_slot(self, node: str, index: int) -> Slot:
        """The instance of the member with that call site that belongs to one of the set."""
        return self._by_node[node].slots[index]

    def stats(self, node: str, slot: Any) -> NodeStats:
        """Counters of a member's call site; in the books of its own instance for what is booked late."""
        runtime = self._by_node[node]
        own = runtime.slots[slot.index]
        if isinstance(slot, Books):
            assert own.site is not None, "members are on a device"
            return runtime.stats(node, own.site.books)
        return runtime.stats(node, own)

    def entry(self, node: Call, cohort: Cohort, rows: int, now: int) -> Entry:
        made = super().entry(node, cohort, rows, now)
        made.key = _key(node, None)
        return made

    def entries(self, node: Call, cohort: Cohort, now: int, copies: CopySink) -> list[Entry]:
        made = super().entries(node, cohort, now, copies)
        for entry in made:
            entry.key = _key(node, entry.key)
        return made


def sets_of(plan: Plan, stages: Sequence[StageRuntime], clock: Clock) -> list[FusedRuntime]:
    """The runtimes of all sets, not assembled."""
    return [FusedRuntime(fused, [stages[m.stage] for m in fused.members], clock) for fused in plan.fused]


def _apart(slot: Slot) -> str:
    """Why an instance is in no set; "" if it may be in one."""
    if slot.site is None:
        return "is not on a device"
    if slot.thread is not None:
        return "is called from a thread of its own"
    if not getattr(slot.instance, "asynchronous", True):
        return "waits for its device: others could not be launched meanwhile"
    return ""


def _key(node: Call, key: Any) -> Any:
    """Cohorts for which other members run share no batch."""
    assert isinstance(node, FusedCall), "nothing else arrives at a set"
    return node.wanted, key


def _as_it_is(batch: Batch, result: BatchResult) -> BatchResult:
    """Members' results were checked one by one."""
    return result
