"""Cohorts on their way: along edges, through joins and inboxes, onto instances, and out again.

    cohort at a node -> inbox -> Group -> (worker) Run -> columns -> edges -> .. -> answers

Runs on whatever thread brought something: a caller that enters requests, a worker that ran a batch, a timer. Inboxes
and joins change under the engine's lock; tensors move outside of it. What ends a request goes to `end`, which the
engine gives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import ref

from .batcher import Entry
from .clock import Clock
from .cohort import NEVER, Cohort, Layout
from .columns import Copies
from .egress import responses
from .errors import DeadlineExceeded, InvalidArgument, Overloaded, StageFailed
from .join import Columns
from .request import Outcome, Request
from .stage import Slot, StageRuntime
from .variant import Edge, Node
from .workers import Task, Worker

Ends = list[tuple[Request, Outcome]]
Places = list[tuple[Node, Cohort]]
"""Cohorts and the nodes they have reached."""


class Flow:
    """The moving part of an engine."""

    def __init__(
        self,
        clock: Clock,
        lock: threading.Lock,
        workers: Worker,
        end: Callable[[Sequence[tuple[Request, Outcome]]], int],
        rested: Callable[[], None],
    ) -> None:
        """`end` ends requests; `rested` is called with the lock held after an instance was freed."""
        self.clock = clock
        self.lock = lock
        self.workers = workers
        self.end = end
        self.rested = rested
        self.copies: dict[str, Copies] = {}
        """Copies at joins, doors and the egress, by node or pipeline; changed with the lock held."""

    def enter(self, edges: Sequence[Edge], cohort: Cohort) -> None:
        """Let a cohort in along the edges of a pipeline's inputs."""
        ready: Places = []
        done: Places = []
        ended: Ends = []
        self.propagate(edges, cohort.layout, cohort.columns, ready, done, ended)
        if ready:
            self.post(ready, self.clock.now())
        self._finish(done, ended)

    def propagate(
        self, edges: Sequence[Edge], layout: Layout, columns: Columns, ready: Places, done: Places, ended: Ends
    ) -> None:
        """Take columns along edges as far as they go without a stage.

        What reaches a stage is added to `ready`, what reaches the egress to `done`, what fails to `ended`."""
        todo = [(edges, layout, columns)]
        while todo:
            edges, layout, columns = todo.pop()
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
                    if node.stage is not None:
                        ready.append((node, cohort))
                    elif node.evaluate is None:
                        done.append((node, cohort))
                    elif (made := self._computed(node, cohort, ended)) is not None:
                        todo.append((node.edges, made.layout, made.columns))
                except Exception as error:  # out of memory, mostly: no request may hang for it
                    self._internal_error(node, layout, error)

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
        self._count_copies(node.name, copies)
        return cohort

    def _computed(self, node: Node, cohort: Cohort, ended: Ends) -> Cohort | None:
        """A compute step's result; elements that failed go to `ended`."""
        column, failed = node.compute(cohort)
        made = Cohort(cohort.layout, (column,))
        if not failed:
            return made
        for i, cause in failed.items():
            owner = cohort.layout.owners[i]
            error = InvalidArgument(str(cause), pipeline=owner.pipeline, node=node.name, request_id=owner.id)
            error.__cause__ = cause
            ended.append((owner, error))
        good = [i for i in range(len(cohort)) if i not in failed]
        return made.take(good, Copies(), "failed") if good else None

    def _execute(self, stage: StageRuntime, slot: Slot, entries: list[Entry]) -> Task | None:
        """Worker: run a group, hand on what it made; the next task for this thread."""
        run = slot.run
        try:
            run.run(entries)
        except Exception as error:  # ours, not the stage's: no request may hang for it
            for entry in entries:
                self._internal_error(entry.node, entry.cohort.layout, error)
        ready: Places = []
        done: Places = []
        ended: Ends = [(f.request, f.error) for f in run.failed] if run.failed else []
        for node, layout, columns in run.produced:
            self.propagate(node.edges, layout, columns, ready, done, ended)
        run.produced, run.failed = [], []  # an instance that rests keeps nothing alive
        for entry in entries:
            entry.done = True
        task = self.post(ready, run.ended_ns, stage, slot)
        if done or ended:
            if task is not None:  # callbacks may block, and no instance waits for them
                self.workers.put(task)
            self._finish(done, ended)
            return None
        return task

    def _internal_error(self, node: Node, layout: Layout, cause: Exception) -> None:
        ended: list[tuple[Request, Outcome]] = []
        for owner in layout.owners:
            text = f"internal error: {type(cause).__name__}: {cause}"
            error = StageFailed(text, pipeline=owner.pipeline, node=node.name, request_id=owner.id)
            error.__cause__ = cause
            ended.append((owner, error))
        self.end(ended)

    def post(self, ready: Places, now: int, stage: StageRuntime | None = None, slot: Slot | None = None) -> Task | None:
        """Put cohorts into inboxes and free the slot that made them. From a worker: what to run on with."""
        entries: list[Entry] = []
        for node, cohort in ready:
            try:
                whole = node.stage.entry(node, cohort, now)  # type: ignore[union-attr]  # what is ready is at a stage
                if whole is not None:
                    entries.append(whole)
                else:
                    entries += self._entries(node, cohort, now)
            except Exception as error:  # out of memory, mostly: no request may hang for it
                self._internal_error(node, cohort.layout, error)
        task: Task | None = None
        refused: list[tuple[Request, Outcome]] = []
        with self.lock:
            if slot is not None and stage is not None:
                stage.free.append(slot)
                if stage.claim is not None:
                    for other in stage.claim.give_back():
                        refused += self._dispatch(other, now)
            for entry in entries:
                target = entry.node.stage
                assert target is not None
                idle = target.idle_slot(entry.rows)
                if idle is None:
                    refused += self._put(target, entry, now)
                elif slot is not None and slot.thread is None and task is None and idle.thread is None:
                    task = partial(self._execute, target, idle, [entry])
                else:
                    (idle.thread or self.workers).put(partial(self._execute, target, idle, [entry]))
            if stage is not None and any(stage.levels):
                refused += self._dispatch(stage, now)
            if slot is not None:
                self.rested()
        if refused:
            self.end(refused)
        return task

    def _entries(self, node: Node, cohort: Cohort, now: int) -> list[Entry]:
        """A cohort whose values, size or timeout need a look before it enters the inbox."""
        assert node.stage is not None
        copies = Copies()
        entries = node.stage.entries(node, cohort, now, copies)
        self._count_copies(node.name, copies)
        if node.timeout_ns:
            for entry in entries:
                self.clock.call_at(now + node.timeout_ns, partial(self._call_timeout, ref(entry)))
        return entries

    def _put(self, stage: StageRuntime, entry: Entry, now: int) -> list[tuple[Request, Outcome]]:
        """(locked) Into the inbox, and out again if an instance is free; requests that it has no room for."""
        if entry.cohort.layout.living() == []:  # they ended before it came here: nothing would take it out again
            return []
        policy = stage.refuses(entry.level, entry.rows)
        if policy is not None:
            text = f"the queue of stage `{stage.plan.name}` is full: `queue.max = {policy.max_rows}` rows"
            return _all_fail(entry, partial(Overloaded, text))
        stage.put(entry)
        return self._dispatch(stage, now)

    def _dispatch(self, stage: StageRuntime, now: int) -> list[tuple[Request, Outcome]]:
        """(locked) Hand groups to free instances; requests that waited too long."""
        late: list[tuple[Request, Outcome]] = []
        for entry in stage.expired(now):
            late += _all_fail(entry, partial(DeadlineExceeded, "it waited longer than `queue.timeout` allows"))
        while (taken := stage.take(now)) is not None:
            slot, entries = taken
            (slot.thread or self.workers).put(partial(self._execute, stage, slot, entries))
        if any(stage.levels) and (until := stage.wait_until(now)) != NEVER:
            stage.set_timer(until, partial(self._look, stage))
        return late

    def _finish(self, done: Places, ended: Ends) -> None:
        """Answer requests whose wanted outputs are all there, and tell the others why not."""
        if ended:
            self.end(ended)
            ended.clear()  # the errors' tracebacks hold the frames that hold this list
        for node, cohort in done:
            try:
                self._answer(cohort)
            except Exception as error:  # out of memory, mostly: no request may hang for it
                self._internal_error(node, cohort.layout, error)

    def _answer(self, cohort: Cohort) -> None:
        """All wanted outputs of these requests are there."""
        copies = Copies()
        ended = responses(cohort, self.clock.now(), copies)
        self._count_copies(cohort.layout.owners[0].pipeline, copies)
        self.end(ended)

    # ---- timers

    def _call_timeout(self, waiting: ref[Entry]) -> None:
        entry = waiting()
        if entry is not None and not entry.done:
            text = f"the call's timeout of {entry.node.timeout_ns or 0:,} ns passed"
            self.end(
                [
                    (o, DeadlineExceeded(text, pipeline=o.pipeline, node=entry.node.name, request_id=o.id))
                    for o in entry.cohort.layout.owners
                    if not o.done
                ]
            )

    def _look(self, stage: StageRuntime) -> None:
        """A stage's delay or queue timeout is due."""
        with self.lock:
            stage.clear_timer()
            late = self._dispatch(stage, self.clock.now())
        self.end(late)

    def _count_copies(self, place: str, copies: Copies) -> None:
        if not copies.bytes:
            return
        with self.lock:
            total = self.copies.setdefault(place, Copies())
            for reason, size in copies.bytes.items():
                total.copied(size, reason)


def _all_fail(entry: Entry, error: Any) -> list[tuple[Request, Outcome]]:
    return [
        (o, error(pipeline=o.pipeline, node=entry.node.name, request_id=o.id))
        for o in entry.cohort.layout.owners
        if not o.done
    ]
