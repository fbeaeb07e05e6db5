"""Cohorts on their way: along edges, through joins and inboxes, onto instances, and out again.

    cohort at a node -> inbox -> Group -> (worker) Run -> columns -> edges -> .. -> answers

Runs on whatever thread brought something: a caller that enters requests, a worker that ran a batch, a timer. Inboxes
and joins change under the engine's lock; tensors move outside of it. What ends a request goes to `end`, which the
engine gives.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from backends.device import DeviceLost

from .batcher import Entry
from .clock import Clock
from .cohort import NEVER, Cohort, Layout
from .columns import Copies
from .devices import Landings, Reaper, Site, hosted
from .devices.site import Launch
from .element import Element
from .errors import DeadlineExceeded, Overloaded, StageFailed, StageUnavailable
from .gpu_time import GpuTime
from .join import Columns
from .ledger import Part
from .node import Call, Edge, Going, Node
from .order import Order
from .passage import Passage, Places
from .request import Outcome
from .resources import Claim
from .scope import Aftermath, Continue, Scope
from .stage import Slot, StageRuntime
from .stats import StreamStats
from .streaming.pump import Pump
from .tally import Tally
from .tap import Tap
from .trace import Recorder
from .workers import Task, Worker

if TYPE_CHECKING:
    from .execute import Produced, Run

Ends = list[tuple[Element, Outcome]]
Work = tuple[StageRuntime, Slot, list[Part]]
"""A group and the instance that was taken for it."""


class Flow:
    """The moving part of an engine."""

    def __init__(
        self,
        clock: Clock,
        lock: threading.Lock,
        workers: Worker,
        end: Callable[[Sequence[tuple[Element, Outcome]]], int],
        rested: Callable[[], None],
        recorder: Recorder | None = None,
        tap: Tap | None = None,
        *,
        accelerated: bool = False,
    ) -> None:
        """`end` ends elements; `rested` is called with the lock held after an instance was freed. `tap` sees every
        call's values. `accelerated`: stages may run on devices other than the host."""
        self.clock = clock
        self.lock = lock
        self.workers = workers
        self.end = end
        self.rested = rested
        self.watched = False
        """Whether anybody waits for instances to rest: else nobody need be told."""
        self.recorder = recorder
        self.tap = tap
        self.random = random.Random()
        """What routes draw from; a test may seed it."""
        self.shadows: set[Scope] = set()
        """Open scopes that no request waits for; changed with the lock held."""
        self.tally = Tally(lock)
        self.pump = Pump(self)
        self.streams = StreamStats()
        self.reaper = Reaper() if accelerated else None
        self.gpu_time = GpuTime()
        self.landings = Landings(self.reaper) if self.reaper is not None else None
        self.arriving: set[object] = set()
        """One for each cohort that waits for values on their way to the host; changed with the lock held."""

    def enter(self, edges: Sequence[Edge], cohort: Cohort) -> None:
        """Let a cohort in along the edges of a pipeline's inputs."""
        passage = Passage(self)
        self.propagate(edges, cohort.layout, cohort.columns, passage)
        self._leave(passage)

    def go_on(self, going: Mapping[Continue, list[Scope]]) -> None:
        """Have scopes go on, on a worker."""
        self.workers.put(partial(self._go_on, going))

    def _go_on(self, going: Mapping[Continue, list[Scope]]) -> None:
        passage = Passage(self)
        for how, scopes in going.items():
            try:
                for edges, layout, columns in how(scopes, passage):
                    self.propagate(edges, layout, columns, passage)
            except Exception as error:  # out of memory, mostly: no request may hang for it
                self.internal_error(scopes[0].node, [s.parent for s in scopes], error)
        self._leave(passage)

    def carry_on(self, going: Sequence[Going], passage: Passage) -> None:
        """Take further what a node has sent on."""
        for edges, layout, columns in going:
            self.propagate(edges, layout, columns, passage)
        self._leave(passage)

    def _leave(self, passage: Passage) -> None:
        self._post(passage)
        self._finish(passage)

    def _post(self, passage: Passage) -> None:
        if passage.ready or passage.behind:
            self.post([*passage.ready, *passage.behind], self.clock.now())

    def propagate(self, edges: Sequence[Edge], layout: Layout, columns: Columns, passage: Passage) -> None:
        """Take columns along edges as far as they go without a stage."""
        todo: list[Going] = []
        while True:
            for edge in edges:
                node = edge.target
                try:
                    picked = columns if edge.columns is None else edge.pick(columns)
                    if node.join is None:
                        cohort = Cohort(layout, picked) if node.direct else node.cohort(layout, (picked,))
                    elif (found := self._joined(node, edge.side, layout, picked)) is not None:
                        cohort = found
                    else:
                        continue
                    if node.lands and self._lands(node, cohort):
                        continue
                    if node.stage is not None and not node.background:  # as its `arrive` does, without a call
                        passage.ready.append((node, cohort))  # type: ignore[arg-type]  # only calls have a stage
                    else:
                        todo += node.arrive(cohort, passage)
                except Exception as error:  # out of memory, mostly: no request may hang for it
                    self.internal_error(node, layout.owners, error)
            if not todo:
                return
            edges, layout, columns = todo.pop()

    # ---- devices

    def _lands(self, node: Node, cohort: Cohort) -> bool:
        """Whether it waits for values on their way to the host; it goes on by itself then."""
        assert self.landings is not None, "nothing lies on a device"
        copies, wait = Copies(), object()
        with self.lock:
            self.arriving.add(wait)
        flies = False
        try:
            flies = self.landings.begin(cohort, node.lands, copies, partial(self._landed, node, wait))
        finally:
            if not flies:
                self._waits_no_more(wait)
        if flies:
            self.tally.copied(node.name, copies)
        return flies

    def _landed(self, node: Node, wait: object, cohort: Cohort, error: Exception | None) -> None:
        """Reaper: what a cohort waited for has arrived, or never will."""
        self.workers.put(partial(self._arrived, node, wait, cohort, error))

    def _arrived(self, node: Node, wait: object, cohort: Cohort, error: Exception | None) -> None:
        passage = Passage(self)
        try:
            self._go_on_with(node, cohort, error, passage)
        finally:
            self._waits_no_more(wait)
        self._finish(passage)  # whose callbacks may wait for the engine to rest

    def _waits_no_more(self, wait: object) -> None:
        with self.lock:
            self.arriving.discard(wait)
            self.rested()

    def _go_on_with(self, node: Node, cohort: Cohort, error: Exception | None, passage: Passage) -> None:
        """Worker: a cohort has its values on the host, or they never come."""
        if error is not None:
            self._device_failed(node, cohort.layout.owners, error)
            return
        try:
            if isinstance(node, Call) and not node.background:
                passage.ready.append((node, cohort))
            else:
                for edges, layout, columns in node.arrive(cohort, passage):
                    self.propagate(edges, layout, columns, passage)
        except Exception as mistake:  # out of memory, mostly: no request may hang for it
            self.internal_error(node, cohort.layout.owners, mistake)
        self._post(passage)

    def _launch(self, stage: StageRuntime, slot: Slot, site: Site, parts: list[Part]) -> None:
        """Worker: run a group on a device, as far as that can be done without waiting for it."""
        assert self.reaper is not None, "nothing runs on a device"
        launch = site.run(slot, parts, self.gpu_time)
        with self.lock:
            site.flying += 1
            site.device.flying += 1
        self.reaper.watch(launch.event, partial(self._ended, stage, slot, launch))

    def _ended(self, stage: StageRuntime, slot: Slot, launch: Launch, error: Exception | None) -> None:
        """Reaper: a group that was launched has ended."""
        site = slot.site
        assert site is not None, "only launched batches end later"
        now = self.clock.now()
        if error is None:
            try:
                site.book(launch, now)
            except Exception as mistake:  # ours, or of a device that is lost now: the instance must be freed
                error = mistake
        if error is not None:
            for parts, *_ in launch.batches:
                for node, cohort, _ in parts:
                    self._device_failed(node, cohort.layout.owners, error)
        with self.lock:
            late = self._next_in_line(stage.claim, now) if stage.claim is not None else []
            if stage.ended(slot):
                late += self._dispatch(stage, now)
                self.pump.resume(stage, slot)
            self.rested()
        site.device.sweep()
        if late:
            self.end(late)

    def _device_failed(self, node: Node, owners: Sequence[Element], cause: Exception) -> None:
        """End elements for work that failed on a device after it was launched."""
        kind = StageUnavailable if isinstance(cause, DeviceLost) else StageFailed
        text = f"its device failed: {type(cause).__name__}: {cause}"
        ended: Ends = []
        for owner in owners:
            if not owner.done:
                error = kind(text, pipeline=owner.pipeline, node=node.name, request_id=owner.id)
                error.__cause__ = cause
                ended.append((owner, error))
        self.end(ended)

    def _joined(self, node: Node, side: int, layout: Layout, columns: Columns) -> Cohort | None:
        """One side of a node with several; the cohort it completes, if any."""
        assert node.join is not None
        with self.lock:
            match = node.join.match(side, layout, columns)
        if match is None:
            return None
        if match.sides is not None:
            return node.cohort(match.layout, match.sides)
        copies = Copies()
        cohort = node.cohort(match.layout, match.assemble(copies))
        self.tally.copied(node.name, copies)
        return cohort

    def _execute(self, stage: StageRuntime, slot: Slot, parts: list[Part]) -> None:
        """Worker: run a group, hand on what it made, and so on with what is next for this thread."""
        work: Work | None = (stage, slot, parts)
        while work is not None:
            work = self._run(*work)

    def _run(self, stage: StageRuntime, slot: Slot, parts: list[Part]) -> Work | None:
        """Worker: run a group, hand on what it made; the next group for this thread."""
        run = slot.run
        if self.tap is not None:
            for node, cohort, _ in parts:
                self.tap.entered(node, cohort if self.reaper is None else _on_host(cohort))
        site = slot.site
        try:
            if site is None:
                run.run(parts)
            else:
                self._launch(stage, slot, site, parts)
        except Exception as error:  # ours, not the stage's: no request may hang for it
            for node, cohort, _ in parts:
                self.internal_error(node, cohort.layout.owners, error)
        for _, cohort, _ in parts:
            cohort.served = True
        parts.clear()  # whoever started this thread holds the list, and what it ran on need not be kept
        produced = run.produced
        if len(produced) == 1 and not run.failed and not run.begun and self.tap is None and stage.order is None:
            node, layout, columns = produced[0]
            if node.then is not None:  # straight on, the most frequent case by far
                produced.clear()
                return self.post([(node.then, Cohort(layout, columns))], run.ended_ns, stage, slot)
        return self._go_further(stage, slot, run)

    def _go_further(self, stage: StageRuntime, slot: Slot, run: Run) -> Work | None:
        """Worker: what came of a group takes its ways; the next group for this thread."""
        passage = Passage(self)
        if run.failed:
            passage.ended = [(f.element, f.error) for f in run.failed]
        if run.begun:
            self.pump.admit(run.begun)
        if self.tap is not None:
            self._show(self.tap, run)
        for node, layout, columns in run.produced if stage.order is None else self._in_turn(stage.order, run, slot):
            self.propagate(node.edges, layout, columns, passage)
        begun = run.begun
        run.clear()
        work = self._hand_on(passage, run.ended_ns, stage, slot)
        if begun:
            self.pump.begin(begun)
        return work

    def _in_turn(self, order: Order[Produced], run: Run, slot: Slot) -> list[Produced]:
        """What may go on now that a batch has ended."""
        with self.lock:
            return order.settle(slot.ticket, run.produced)

    def advanced(self, passage: Passage, now: int, stage: StageRuntime, slot: Slot) -> Task | None:
        """Worker: an instance made elements of a stream, and it is the inbox's turn; the next task for this thread."""
        work = self._hand_on(passage, now, stage, slot, advanced=True)
        return None if work is None else partial(self._execute, *work)

    def _hand_on(
        self, passage: Passage, now: int, stage: StageRuntime, slot: Slot, *, advanced: bool = False
    ) -> Work | None:
        """Worker: free an instance and go on with what it made; the next group for this thread."""
        if passage.behind:
            passage.ready += passage.behind
        work = self.post(passage.ready, now, stage, slot, advanced)
        if passage.done or passage.ended:
            if work is not None:  # callbacks may block, and no instance waits for them
                self.workers.put(partial(self._execute, *work))
            self._finish(passage)
            return None
        return work

    def _show(self, tap: Tap, run: Run) -> None:
        """What a group came to, before it goes on and requests are answered."""
        for node, layout, columns in run.produced:
            tap.made(node, layout, columns if self.reaper is None else hosted(columns))
        for failed in run.failed:
            tap.failed(failed.element, failed.error)

    def internal_error(self, node: Node, owners: Sequence[Element], cause: Exception) -> None:
        """End elements for a mistake of ours, or for want of memory."""
        ended: Ends = []
        for owner in owners:
            text = f"internal error: {type(cause).__name__}: {cause}"
            error = StageFailed(text, pipeline=owner.pipeline, node=node.name, request_id=owner.id)
            error.__cause__ = cause
            ended.append((owner, error))
        self.end(ended)

    def post(
        self,
        ready: Places,
        now: int,
        stage: StageRuntime | None = None,
        slot: Slot | None = None,
        advanced: bool = False,
    ) -> Work | None:
        """Put cohorts into inboxes and free the slot that made them. From a worker: what to run on with."""
        arrivals: list[tuple[Part, int, Entry | None]] = []
        for node, cohort in ready:
            try:
                rows = node.stage.whole(node, cohort)
                if rows is not None:  # it need not be an entry unless it waits
                    arrivals.append(((node, cohort, now), rows, None))
                else:
                    arrivals += [(entry.part, entry.rows, entry) for entry in self._entries(node, cohort, now)]
            except Exception as error:  # out of memory, mostly: no request may hang for it
                self.internal_error(node, cohort.layout.owners, error)
        work: Work | None = None
        refused: Ends = []
        run_on = slot is not None and slot.thread is None
        with self.lock:
            if slot is not None and stage is not None and not (slot.ready and self.pump.goes_on(stage, slot, advanced)):
                stage.release(slot)
                if stage.claim is not None and slot.site is None:
                    refused += self._next_in_line(stage.claim, now)
            for part, rows, entry in arrivals:
                node, cohort, _ = part
                target = node.stage
                idle = target.idle_slot(rows)
                if idle is None:
                    refused += self._put(target, entry or target.entry(node, cohort, rows, now), now)
                elif run_on and work is None and idle.thread is None and not node.background:
                    work = target, idle, [part]
                else:
                    (idle.thread or self.workers).put(partial(self._execute, target, idle, [part]))
            if stage is not None and stage.waiting:
                refused += self._dispatch(stage, now)
            if slot is not None:
                if slot.ready and stage is not None:
                    self.pump.resume(stage, slot)
                if self.watched:
                    self.rested()
        if refused:
            self.end(refused)
        return work

    def _entries(self, node: Call, cohort: Cohort, now: int) -> list[Entry]:
        """A cohort whose values, size or timeout need a look before it enters the inbox."""
        copies = Copies()
        entries = node.stage.entries(node, cohort, now, copies)
        self.tally.copied(node.name, copies)
        if node.timeout_ns:
            for entry in entries:
                self.clock.call_at(now + node.timeout_ns, partial(self._call_timeout, node, ref(entry.cohort)))
        return entries

    def _put(self, stage: StageRuntime, entry: Entry, now: int) -> Ends:
        """(locked) Into the inbox, and out again if an instance is free; requests that it has no room for."""
        if entry.cohort.layout.living() == []:  # they ended before it came here: nothing would take it out again
            return []
        policy = stage.refuses(entry.level, entry.rows)
        if policy is not None:
            text = f"the queue of stage `{stage.plan.name}` is full: `queue.max = {policy.max_rows}` rows"
            return _all_fail(entry, partial(Overloaded, text))
        stage.put(entry)
        return self._dispatch(stage, now)

    def _dispatch(self, stage: StageRuntime, now: int) -> Ends:
        """(locked) Hand groups to free instances; requests that waited too long."""
        late: Ends = []
        for entry in stage.expired(now):
            late += _all_fail(entry, partial(DeadlineExceeded, "it waited longer than `queue.timeout` allows"))
        while (taken := stage.take(now)) is not None:
            slot, entries = taken
            parts = [entry.part for entry in entries]
            (slot.thread or self.workers).put(partial(self._execute, stage, slot, parts))
        if stage.waiting and (until := stage.wait_until(now)) != NEVER:
            stage.set_timer(until, partial(self._look, stage))
        return late

    def _next_in_line(self, claim: Claim, now: int) -> Ends:
        """(locked) Give back what an execution held; stages that wait for it go on. Requests that waited too long."""
        late: Ends = []
        for stage in claim.give_back():
            late += self._dispatch(stage, now)
            for slot in stage.slots:
                self.pump.resume(stage, slot)
        return late

    def _finish(self, passage: Passage) -> None:
        """Answer requests whose wanted outputs are all there, and tell the others why not."""
        if passage.ended:
            self.end(passage.ended)
            passage.ended.clear()  # the errors' tracebacks hold the frames that hold this list
        for node, cohort in passage.done:
            try:
                node.answer(cohort, self)
            except Exception as error:  # out of memory, mostly: no request may hang for it
                self.internal_error(node, cohort.layout.owners, error)

    # ---- timers

    def _call_timeout(self, node: Call, waiting: ref[Cohort]) -> None:
        cohort = waiting()
        if cohort is not None and not cohort.served:
            text = f"the call's timeout of {node.timeout_ns or 0:,} ns passed"
            self.end(
                [
                    (o, DeadlineExceeded(text, pipeline=o.pipeline, node=node.name, request_id=o.id))
                    for o in cohort.layout.owners
                    if not o.done
                ]
            )

    def _look(self, stage: StageRuntime) -> None:
        """A stage's delay or queue timeout is due."""
        with self.lock:
            stage.clear_timer()
            late = self._dispatch(stage, self.clock.now())
        self.end(late)

    def bury(self, after: Aftermath) -> None:
        """(locked) Take out of inboxes what has ended, and count what happened."""
        for stage in after.bereft:
            stage.drop_dead()
        if after.counts:
            self.tally.events.update(after.counts)


def _on_host(cohort: Cohort) -> Cohort:
    return Cohort(cohort.layout, hosted(cohort.columns))


def _all_fail(entry: Entry, error: Any) -> Ends:
    return [
        (o, error(pipeline=o.pipeline, node=entry.node.name, request_id=o.id))
        for o in entry.cohort.layout.owners
        if not o.done
    ]
