"""A stage at run time: one inbox, one batching decision, and instances with a slot each.

All call sites of a stage, in all pipelines of the engine, share its `StageRuntime` and so each other's batches.
Methods that end in "(locked)" in their docstring are called with the engine's lock held and are short; what an
instance does with a group is `execute`'s business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from backends.base import Batch, BatchResult, Instance
from backends.generators import reads_streams, streams
from pipeline_dsl.plan import LevelPolicy, StagePlan

from .assemble import Assembler
from .batcher import Entry, Group, Rhythm, Wait, decide
from .cache import Cache
from .clock import Clock, Timer
from .cohort import NEVER, Cohort
from .columns import Copies, CopySink
from .element import Element
from .grouping import Grouping
from .node import Call
from .order import Order
from .resources import Claim
from .stats import NodeStats
from .workers import Worker

if TYPE_CHECKING:
    from .devices.site import Site
    from .execute import Run
    from .fused.runtime import FusedRuntime
    from .streaming.call import StreamingCall


_BACKLOG = LevelPolicy(max_rows=64)
"""What may wait in the background; more is dropped."""


class Slot:
    """One instance and its counters. `thread` is the worker that a thread-affine instance lives on, else None."""

    __slots__ = (
        "calls",
        "check",
        "copies",
        "execute",
        "index",
        "instance",
        "ready",
        "run",
        "site",
        "stats",
        "stream",
        "thread",
        "ticket",
        "wants_context",
    )

    def __init__(
        self,
        index: int,
        instance: Instance,
        check: Callable[[Batch, BatchResult], BatchResult],
        copies: Copies,
        stream: Any,
        thread: Worker | None = None,
        site: Site | None = None,
    ) -> None:
        self.index = index
        self.instance = instance
        self.stream = stream
        """That of the batch at hand: inputs are ready on it, and so must results be. None on the host."""
        self.site = site
        """Its place on an accelerator; None on the host."""
        self.execute: Callable[[Batch], BatchResult] = instance.execute if site is None else site.execute
        """One call of the instance."""
        self.check = check
        self.copies = copies
        """What the instance and the check copied in the batch at hand."""
        self.thread = thread
        self.run: Run
        """Set by the engine that it serves."""
        self.wants_context = getattr(instance, "wants_context", True)
        """Whether it reads more of a batch than inputs and rows."""
        self.calls: set[StreamingCall] = set()
        """Calls whose streams have not ended."""
        self.ready: deque[StreamingCall] = deque()
        """Those that can make elements now."""
        self.stats: dict[str, NodeStats] = {}
        self.ticket = 0
        """Of the batch at hand, where results must keep their order."""

    @property
    def busy(self) -> bool:
        """Whether something of it goes on behind what it is asked to do: batches on a device, calls with streams."""
        return bool(self.calls) or (self.site is not None and self.site.flying > 0)


class StageRuntime:
    """Inbox, batcher and instances of one stage."""

    def __init__(self, plan: StagePlan, clock: Clock) -> None:
        self.plan = plan
        self.clock = clock
        self.assembler = Assembler(plan)
        self.grouping = Grouping(plan)
        self.max_rows = plan.batching.max_rows
        self.repeatable = plan.contract.effects != "once"
        self.always = not self.repeatable or plan.contract.sequence is not None
        """It runs whoever reads its outputs: a sequence's state must not miss a request that wants others."""
        self.takes_streams = reads_streams(plan)
        """An instance waits for elements while it runs: each of its calls is a batch of its own."""
        self.streams = self.takes_streams or streams(plan)
        self.slots: list[Slot] = []
        self.free: list[Slot] = []
        self.levels: list[list[Entry]] = [[] for _ in (*plan.queue.levels, None)]
        """What waits by priority; in the last list what runs in the background, when nothing else waits."""
        self.waiting = 0
        """Entries in the inbox."""
        self._background = len(self.levels)
        self.rhythm = Rhythm()
        self.load_seconds = 0.0
        self.within: FusedRuntime | None = None
        """The set whose inbox its call waits at, if it runs as one with others."""
        self.cache = Cache(plan.cache, clock.now) if plan.cache is not None else None
        """Answers that are kept; its instances share them."""
        ordered = plan.batching.in_order and plan.instances > 1
        self.order: Order[Any] | None = Order() if ordered else None
        """Where results must go on in the order of their batches, and might not."""
        self.claim: Claim | None = None
        """What an execution needs of shared resources; set by the engine."""
        self._timed = any(level.timeout_ns for level in plan.queue.levels)
        self._timer: Timer | None = None
        self.learns = plan.batching.delay_ns != 0
        self._uniform = self.grouping.uniform and len(plan.queue.levels) == 1
        self._shares = not plan.has_rows and (plan.instances > 1 or self.takes_streams)
        """Free instances share the elements of a cohort."""

    def __repr__(self) -> str:
        return f"StageRuntime({self.plan.name}, {len(self.free)} of {len(self.slots)} free)"

    def stats(self, node: str, slot: Slot) -> NodeStats:
        """Counters of one call site on one instance."""
        found = slot.stats.get(node)
        if found is None:
            plan = self.plan
            version = str(plan.version or 1)
            found = slot.stats[node] = NodeStats(
                node.partition(".")[0], node, plan.name, version=version, device=plan.device, instance=slot.index
            )
        return found

    # ---- in

    def whole(self, node: Call, cohort: Cohort) -> int | None:
        """Rows of a cohort that runs, or enters the inbox, as it is, without a look at its values; else None."""
        if not self._uniform or node.timeout_ns or (self._shares and len(cohort.layout.owners) > 1):
            return None
        rows = self.assembler.rows(cohort.columns, node.binding, len(cohort.layout.owners))
        return None if self.max_rows and rows > self.max_rows else rows

    def entry(self, node: Call, cohort: Cohort, rows: int, now: int) -> Entry:
        """A whole cohort as it enters the inbox."""
        level = self._background if node.background else 1
        return Entry(node, cohort, rows, None, level, now, cohort.layout.deadline_ns)

    def entries(self, node: Call, cohort: Cohort, now: int, copies: CopySink) -> list[Entry]:
        """A cohort as it enters the inbox: cut where group keys differ, or where it exceeds the row limit."""
        deadline = now + node.timeout_ns if node.timeout_ns else NEVER
        made = []
        for part, key in [g for c in self.grouping.present(cohort, copies) for g in self._groups(c, node, copies)]:
            rows = self.assembler.rows(part.columns, node.binding, len(part))
            if self._shares and len(part) > 1:
                pieces = _even(part, len(part) if self.takes_streams else self.plan.instances)
            elif self.max_rows and rows > self.max_rows and len(part) > 1:
                pieces = self._pieces(part, node)
            else:
                pieces = [(part, rows)]
            level = self._level(node, part.layout.owners[0])
            made += [Entry(node, p, n, key, level, now, min(deadline, p.layout.deadline_ns)) for p, n in pieces]
        return made

    def _groups(self, cohort: Cohort, node: Call, copies: CopySink) -> list[tuple[Cohort, Hashable]]:
        """The cohort with its group key, taken apart where its elements must not, or had better not, share a batch."""
        keys = self.grouping.keys(cohort.columns, node.binding, len(cohort))
        if len(self.plan.queue.levels) > 1 and node.priority is None:
            wanted = [self._level(node, owner) for owner in cohort.layout.owners]
            keys = list(zip(keys, wanted)) if keys is not None else list(wanted)
        if keys is None:
            return [(cohort, None)]
        first = keys[0]
        if all(k == first for k in keys):
            return [(cohort, first)]
        groups: dict[Hashable, list[int]] = {}
        for i, key in enumerate(keys):
            groups.setdefault(key, []).append(i)
        return [(cohort.take(indices, copies, "group"), key) for key, indices in groups.items()]

    def _pieces(self, cohort: Cohort, node: Call) -> list[tuple[Cohort, int]]:
        """Cuts at element boundaries of at most `max_rows` rows; an element that alone has more stays whole."""
        offsets = self.assembler.offsets(cohort.columns, node.binding, len(cohort))
        pieces: list[tuple[Cohort, int]] = []
        lo = 0
        for i in range(1, len(cohort)):
            if offsets[i + 1] - offsets[lo] > self.max_rows:
                pieces.append((cohort.cut(lo, i), offsets[i] - offsets[lo]))
                lo = i
        pieces.append((cohort.cut(lo, len(cohort)), offsets[-1] - offsets[lo]))
        return pieces

    def refuses(self, level: int, rows: int) -> LevelPolicy | None:
        """The policy that has no room for `rows` more, if so. (locked)"""
        policy = _BACKLOG if level == self._background else self.plan.queue.levels[level - 1]
        entries = self.levels[level - 1]
        if not policy.max_rows or not entries:
            return None
        return policy if sum(e.rows for e in entries) + rows > policy.max_rows else None

    def put(self, entry: Entry) -> None:
        """Let it wait. (locked)"""
        if self.learns:
            self.rhythm.arrived(entry.arrived_ns)
        self.levels[entry.level - 1].append(entry)
        self.waiting += 1

    def _level(self, node: Call, owner: Element) -> int:
        """The priority level of a request here: its call site's, else its own, else the default."""
        if node.background:
            return self._background
        queue = self.plan.queue
        wanted = node.priority or owner.level or queue.default_level
        return min(max(wanted, 1), len(queue.levels))

    # ---- out

    def take(self, now: int) -> tuple[Slot, list[Entry]] | None:
        """A free instance and what it shall run now, if there is any. (locked)"""
        if not self.free:
            return None
        decision = decide(self._served(), self.plan.batching, now, self.rhythm, self._fair_share())
        if isinstance(decision, Group):
            if self.claim is not None and not self.claim.take(self):
                return None
            self._remove(decision.entries)
            return self._taken(self._idlest()), decision.entries
        if self.claim is not None:
            self.claim.leave()
        return None

    def wait_until(self, now: int) -> int:
        """When the inbox must be looked at again though nothing arrived; NEVER if not. (locked)"""
        until = self._looks(now) if self.free else NEVER
        if self._timed:
            for policy, entries in zip(self.plan.queue.levels, self.levels):
                if policy.timeout_ns:
                    due = (e.arrived_ns + policy.timeout_ns for e in entries if _may_wait_too_long(e, policy))
                    until = min(until, *due, NEVER)
        return until

    def _looks(self, now: int) -> int:
        """When the entries that wait may make a batch by themselves; NEVER if they do not wait for that. (locked)"""
        decision = decide(self._served(), self.plan.batching, now, self.rhythm, self._fair_share())
        return decision.until_ns if isinstance(decision, Wait) else NEVER

    def _served(self) -> list[list[Entry]]:
        """The levels that the next batch may come from."""
        if self.levels[-1] and any(self.levels[:-1]):
            return self.levels[:-1]
        return self.levels

    def _fair_share(self) -> int:
        """Rows a batch may take where each element runs alone, so that free instances share the work."""
        if self.takes_streams:
            return 1
        if self.plan.has_rows or len(self.free) < 2:
            return 0
        waiting = sum(e.rows for entries in self.levels for e in entries)
        return max(1, -(-waiting // len(self.free)))

    def _remove(self, entries: list[Entry]) -> None:
        level = self.levels[entries[0].level - 1]
        if len(entries) == len(level):
            level.clear()
        else:
            chosen = set(map(id, entries))
            level[:] = [e for e in level if id(e) not in chosen]
        self._count()

    def _count(self) -> None:
        """Entries were taken out."""
        self.waiting = sum(map(len, self.levels))

    def drop_dead(self) -> None:
        """Take out entries all of whose requests have ended. (locked)"""
        for entries in self.levels:
            if entries:
                entries[:] = [e for e in entries if e.cohort.layout.living() != []]
        self._count()

    def expired(self, now: int) -> list[Entry]:
        """Take out what waited longer than its level allows; entries that may go late are only marked. (locked)"""
        if not self._timed:
            return []
        gone: list[Entry] = []
        for policy, entries in zip(self.plan.queue.levels, self.levels):
            if not policy.timeout_ns:
                continue
            over = [e for e in entries if _waited_too_long(e, policy, now)]
            if policy.on_timeout == "reject":
                gone += over
                entries[:] = [e for e in entries if e not in over]
            else:
                for entry in over:
                    entry.late = True
        self._count()
        return gone

    def idle_slot(self, rows: int) -> Slot | None:
        """An instance that may take a cohort of `rows` past the inbox: one rests and nothing waits. (locked)"""
        if not self.free or self.learns or self.waiting:
            return None
        if self.max_rows and rows > self.max_rows:
            return None
        if self._shares and rows > 1 and len(self.free) > 1:
            return None  # its elements run alone: let the free instances share them
        if self.claim is not None and not self.claim.take(self):
            return None
        return self._idlest() if self.order is None else self._taken(self._idlest())

    def _idlest(self) -> Slot:
        """(locked) The free instance whose device has least to do; on the host the one that was free last."""
        free = self.free
        if len(free) == 1 or free[0].site is None:
            return free.pop()
        load = [slot.site.load if slot.site is not None else 0 for slot in free]
        return free.pop(len(free) - 1 - load[::-1].index(min(load)))

    def _taken(self, slot: Slot) -> Slot:
        """(locked) An instance that is about to run a batch."""
        if self.order is not None:
            slot.ticket = self.order.ticket()
        return slot

    def release(self, slot: Slot) -> None:
        """An instance is done with a group: it is free, unless as many of its batches are under way as may be.
        (locked)"""
        site = slot.site
        if site is not None and site.flying >= site.depth:
            site.parked = True
        else:
            self.free.append(slot)

    def ended(self, slot: Slot) -> bool:
        """A batch that was launched has ended; whether that frees the instance. (locked)"""
        site = slot.site
        assert site is not None, "only launched batches end later"
        site.flying -= 1
        site.device.flying -= 1
        freed, site.parked = site.parked, False
        if freed:
            self.free.append(slot)
        return freed

    # ---- timer

    def set_timer(self, when_ns: int, call: Callable[[], None]) -> None:
        """Look again at `when_ns`; an earlier timer that is set stays. (locked)"""
        timer = self._timer
        if timer is not None and timer.call is not None and timer.when_ns <= when_ns:
            return
        if timer is not None:
            timer.cancel()
        self._timer = self.clock.call_at(when_ns, call)

    def clear_timer(self) -> None:
        """Forget the timer that just ran, or is no longer wanted. (locked)"""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _may_wait_too_long(entry: Entry, policy: LevelPolicy) -> bool:
    """Whether the queue's timeout holds for it still."""
    return not entry.late and not (policy.allow_override and entry.deadline_ns != NEVER)


def _waited_too_long(entry: Entry, policy: LevelPolicy, now: int) -> bool:
    return _may_wait_too_long(entry, policy) and entry.arrived_ns + policy.timeout_ns <= now


def _even(cohort: Cohort, parts: int) -> list[tuple[Cohort, int]]:
    """Cuts of about the same number of elements, with that number."""
    size = -(-len(cohort) // parts)
    cuts = (cohort.cut(lo, min(lo + size, len(cohort))) for lo in range(0, len(cohort), size))
    return [(cut, len(cut)) for cut in cuts]
