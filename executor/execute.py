"""Run one group on one instance, so that one bad row fails its own request only.

    parts of a group --gather--> Batch --Instance.execute--> outputs --scatter--> Produced, and Failed

A batch that raises is halved and run again, where the stage allows it and within a retry budget, until only the
requests at fault are left. A batch whose process died runs again once. Dead rows are cut out before. Nothing here
touches the inbox or the engine's lock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from copy import copy
from itertools import pairwise
from typing import NamedTuple

from backends.base import Batch, BatchResult, StageDied, StageHung
from backends.device import DeviceLost
from backends.streams import Reader
from backends.values import InvalidInput, Value

from .assemble import Gathered, scatter
from .budget import RETRY_BURST, RetryBudget
from .cohort import NEVER, Cohort, Layout
from .columns import Items
from .element import Element
from .errors import DeadlineExceeded, InvalidArgument, RequestError, StageFailed, StageUnavailable
from .join import Columns
from .ledger import Ledger, Part, by_node
from .node import Call, Streaming
from .stage import Slot, StageRuntime
from .streaming.call import StreamingCall
from .trace import Recorder
from .workers import Task

LONGEST = 4096
"""Characters of a stage's own message that are passed on."""


class StageExited(Exception):
    """A stage raised what is meant to end a program: SystemExit, KeyboardInterrupt."""


class Failed(NamedTuple):
    """An element that ends here."""

    element: Element
    error: RequestError


Produced = tuple[Call, Layout, Columns]
"""What a node made for a layout."""


class Run:
    """What one instance does with groups, one after the other: `run`, read what came of it, `clear`."""

    __slots__ = ("_later", "begun", "budget", "ended_ns", "failed", "ledger", "now", "produced", "slot", "stage")

    def __init__(
        self,
        stage: StageRuntime,
        slot: Slot,
        now: Callable[[], int],
        budget: RetryBudget,
        recorder: Recorder | None,
        later: Callable[[Task], None],
    ) -> None:
        """`later` runs something on a worker."""
        self.stage = stage
        self.slot = slot
        self.now = now
        self.budget = budget
        self.ledger = Ledger(stage, slot, recorder)
        self._later = later
        self.produced: list[Produced] = []
        self.failed: list[Failed] = []
        self.begun: list[StreamingCall] = []
        """Calls that make elements from now on."""
        self.ended_ns = 0

    def run(self, parts: list[Part]) -> None:
        """Run a group. Does not raise for anything a stage does."""
        now = self.ended_ns = self.now()
        for node, cohort, enqueued in parts:
            layout = cohort.layout
            late = layout.deadline_ns <= now or (node.timeout_ns and enqueued + node.timeout_ns <= now)
            if late or layout.living() is not None:
                parts = self._living(parts, now)
                break
        if not parts:
            return
        if len(parts) > 1:
            parts.sort(
                key=lambda part: (part[0].name, id(part[0]))
            )  # stable: call sites side by side, arrivals in order
        if self.stage.plan.has_rows:
            self._batch(parts, now)
        else:
            self._each(parts)

    def clear(self) -> None:
        """An instance that rests keeps nothing alive."""
        self.produced = []
        if self.failed:
            self.failed = []
        if self.begun:
            self.begun = []

    # ---- before

    def _living(self, parts: list[Part], now: int) -> list[Part]:
        """The parts without requests that ended or ran out of time."""
        left = []
        for node, cohort, enqueued in parts:
            living = self._in_time(node, cohort, enqueued, now)
            stats = self.stage.stats(node.name, self.slot)
            stats.dropped(len(cohort) - len(living))
            if living:
                left.append((node, cohort.take(living, stats, "dead"), enqueued))
        return left

    def _in_time(self, node: Call, cohort: Cohort, enqueued: int, now: int) -> list[int]:
        """Elements whose time is not up; the others fail."""
        late = enqueued + (node.timeout_ns or NEVER) <= now
        living = []
        for i, owner in enumerate(cohort.layout.owners):
            if owner.done:
                continue
            if late or (owner.deadline_ns is not None and owner.deadline_ns <= now):
                text = "the call's timeout passed while it waited" if late else "the deadline passed while it waited"
                self._fail(owner, DeadlineExceeded(text), node)
            else:
                living.append(i)
        return living

    # ---- rows

    def _batch(self, parts: list[Part], start: int, again: bool = False) -> None:
        """Run parts as one batch; on failure halve it or give up."""
        stage = self.stage
        name = parts[0][0].name
        stats = self.slot.stats.get(name) or stage.stats(name, self.slot)
        try:
            gathered = stage.assembler.gather(parts, stats)
            most = stage.max_rows
            result = self._chunks(gathered, parts, most) if 0 < most < gathered.rows else self._call(gathered, parts)
        except Exception as error:
            self._broken(parts, error, again)
            return
        end = self.ended_ns = self.now()
        self.ledger.batch(parts, gathered, stats, start, end)
        if self.budget.tokens < RETRY_BURST:
            self.budget.earn()
        if stage.learns and self.slot.site is None:
            stage.rhythm.served(end - start)
        self._spread(parts, gathered, result)

    def _call(self, gathered: Gathered, parts: list[Part]) -> BatchResult:
        """One call of the instance, its result checked and its ragged outputs made so."""
        result = self._executed(gathered, parts)
        assembler = self.stage.assembler
        if assembler.ragged_out and result.elements is None:
            result.outputs = assembler.outputs(result.outputs, gathered)
        return result

    def _executed(self, gathered: Gathered, parts: list[Part]) -> BatchResult:
        """One call of the instance, its result checked."""
        stage, slot = self.stage, self.slot
        if slot.wants_context:
            batch = self._as_batch(gathered, parts)
        else:
            batch = Batch(gathered.inputs, gathered.rows, stream=slot.stream)
        try:
            made = slot.execute(batch)
        except Exception:
            raise
        except BaseException as error:  # sys.exit and the like: it ends the request, not this thread
            raise StageExited(f"{type(error).__name__}: {error}".removesuffix(": ")) from error
        result = slot.check(batch, made)
        if slot.copies.bytes:
            slot.copies.move_to(stage.stats(parts[0][0].name, slot))
        return result

    def _chunks(self, gathered: Gathered, parts: list[Part], most: int) -> BatchResult:
        """A single request that exceeds the row limit: several calls, one result."""
        outputs: list[tuple[Value, ...]] = []
        failed: dict[int, Exception] = {}
        stats = self.stage.stats(parts[0][0].name, self.slot)
        for lo in range(0, gathered.rows, most):
            chunk = self.stage.assembler.chunk(gathered, lo, min(lo + most, gathered.rows))
            result = self._call(chunk, parts)
            outputs.append(result.outputs)
            failed.update({lo + row: error for row, error in (result.failed or {}).items()})
        return BatchResult(self.stage.assembler.unchunk(outputs, stats), failed or None)

    def _as_batch(self, gathered: Gathered, parts: list[Part]) -> Batch:
        owners = [o for _, c, _ in parts for o in c.layout.owners]
        latest = max([max(_deadlines(part)) for part in parts])
        return Batch(
            gathered.inputs,
            gathered.rows,
            sizes=tuple(b - a for a, b in pairwise(gathered.offsets)),
            request_ids=tuple(o.id for o in owners),
            deadline_ns=None if latest == NEVER else latest,
            cancelled=lambda: all(o.done for o in owners),
            stream=self.slot.stream,
            node=parts[0][0].name,
        )

    def _spread(self, parts: list[Part], gathered: Gathered, result: BatchResult) -> None:
        """Outputs to call sites: neighbours of one call site stay one cohort."""
        if len(parts) == 1 and not result.failed:
            node, cohort, _ = parts[0]
            columns = scatter(result.outputs, gathered.offsets, node.binding, 0, len(cohort.layout.owners))
            self.produced.append((node, cohort.layout, columns))
            return
        lo = 0
        for node, cohorts in by_node(parts):
            hi = lo + sum(map(len, cohorts))
            layout = (
                cohorts[0].layout if len(cohorts) == 1 else Layout(tuple(o for c in cohorts for o in c.layout.owners))
            )
            if result.failed:
                self._rows_failed(node, layout, gathered, lo, result)
            else:
                columns = scatter(result.outputs, gathered.offsets, node.binding, lo, hi)
                self.produced.append((node, layout, columns))
            lo = hi

    def _rows_failed(self, node: Call, layout: Layout, gathered: Gathered, lo: int, result: BatchResult) -> None:
        """Fail the elements that have a row that failed; the others go on."""
        bad: dict[int, Exception] = {}
        for row, error in (result.failed or {}).items():
            element = bisect_right(gathered.offsets, row) - 1 - lo
            if 0 <= element < len(layout):
                bad.setdefault(element, error)
        for element, error in bad.items():
            self._fail(layout.owners[element], self._error(error), node, error)
        stats = self.stage.stats(node.name, self.slot)
        stats.succeeded -= len(bad)  # the batch was recorded before its rows were looked at
        good = [i for i in range(len(layout)) if i not in bad]
        if good:
            columns = scatter(result.outputs, gathered.offsets, node.binding, lo, lo + len(layout))
            cohort = Cohort(layout, columns).take(good, stats, "failed")
            self.produced.append((node, cohort.layout, cohort.columns))

    # ---- one by one

    def _each(self, parts: list[Part]) -> None:
        """A stage without `*`: once for each element; neighbours of one call site stay one cohort."""
        for node, cohort, enqueued in parts:
            made: list[tuple[Value, ...]] = []
            good: list[int] = []
            for i, owner in enumerate(cohort.layout.owners):
                if owner.done:
                    continue
                try:
                    made.append(self._one((node, cohort.cut(i, i + 1), enqueued)))
                    good.append(i)
                except Exception as error:
                    self._fail(owner, self._error(error), node, error)
            if good:
                columns = tuple(Items(list(values)) for values in zip(*made))
                self.produced.append((node, cohort.layout.take(good), columns))

    def _one(self, part: Part) -> tuple[Value, ...]:
        """One element."""
        node, cohort, _ = part
        start = self.now()
        gathered = self.stage.assembler.element(cohort.columns, 0, self.stage.stats(node.name, self.slot))
        if self.stage.streams:
            return self._streaming(part, gathered, start)
        try:
            result = self._call(gathered, [part])
        except StageDied as error:
            if isinstance(error, StageHung) or not self.stage.repeatable or not self.budget.spend():
                raise
            result = self._call(gathered, [part])
        self.ended_ns = self.now()
        if result.failed:
            raise next(iter(result.failed.values()))
        stats = self.stage.stats(node.name, self.slot)
        self.ledger.batch([part], gathered, stats, start, self.ended_ns)
        self.budget.earn()
        return result.outputs

    def _streaming(self, part: Part, gathered: Gathered, start: int) -> tuple[Value, ...]:
        """One element of a stage that gives or takes streams: the handles of what it gives, or its outputs."""
        node, cohort, enqueued = part
        given = tuple(v for v in gathered.inputs if isinstance(v, Reader))
        try:
            result = self._call(gathered, [part])
        except BaseException:
            _close(given)
            raise
        self.ended_ns = self.now()
        if result.elements is not None and isinstance(node, Streaming):
            call = StreamingCall(
                node, self.stage, self.slot, cohort.layout, result.elements, given, enqueued, start, self._later
            )
            self.begun.append(call)
            return tuple([stream.reader() for stream in call.streams])
        _close(given)
        if result.failed:
            raise next(iter(result.failed.values()))
        self.ledger.batch([part], gathered, self.stage.stats(node.name, self.slot), start, self.ended_ns)
        return result.outputs

    # ---- after

    def failure(self, cause: BaseException, node: Call, owner: Element) -> RequestError:
        """What a stage raised behind its first element, as the failure of its request."""
        if not isinstance(cause, Exception):
            cause = StageExited(f"{type(cause).__name__}: {cause}".removesuffix(": "))
        return self._told(owner, self._error(cause), node, cause)

    def _broken(self, parts: list[Part], error: Exception, again: bool) -> None:
        """A batch raised: run it again, halve it, or fail all of it."""
        requests = sum(len(c) for _, c, _ in parts)
        if self.stage.repeatable and not isinstance(error, StageHung | DeviceLost):
            if isinstance(error, StageDied) and not again and self.budget.spend():
                self._again(parts)
                return
            if requests > 1 and self.budget.spend():
                for half in _halves(parts, requests // 2):
                    self._again(half)
                return
        for node, cohort, _ in parts:
            for owner in cohort.layout.owners:
                self._fail(owner, self._error(error, requests), node, error)

    def _again(self, parts: list[Part]) -> None:
        """Run parts once more, without what ended or ran out of time meanwhile."""
        now = self.now()
        left = []
        for node, cohort, enqueued in parts:
            living = self._in_time(node, cohort, enqueued, now)
            if living:
                left.append((node, cohort.take(living, self.stage.stats(node.name, self.slot), "dead"), enqueued))
        if left:
            self._batch(left, now, again=True)

    def _error(self, error: Exception, requests: int = 1) -> RequestError:
        if isinstance(error, RequestError):
            return copy(error)  # each request gets its own: it will carry its id
        if isinstance(error, InvalidInput) and requests == 1:
            return InvalidArgument(str(error))
        if isinstance(error, StageHung):
            return DeadlineExceeded(str(error))
        if isinstance(error, DeviceLost):
            return StageUnavailable(str(error))
        if isinstance(error, StageDied):
            why = "" if self.stage.repeatable else "; not run again, because the stage is `effects = once`"
            return StageUnavailable(f"{error}{why}")
        text = str(error) if isinstance(error, InvalidInput) else _raised(self._raiser(error), error)
        shared = f" (raised for a batch of {requests} requests)" if requests > 1 else ""
        return StageFailed(text + shared)

    def _fail(self, owner: Element, error: RequestError, node: Call, cause: Exception | None = None) -> None:
        self.failed.append(Failed(owner, self._told(owner, error, node, cause)))

    def _told(self, owner: Element, error: RequestError, node: Call, cause: Exception | None) -> RequestError:
        """An error that says where it happened; counted."""
        place = self._place(node, cause)
        error.pipeline = owner.pipeline
        error.node = error.node or place
        error.instance = self.slot.index
        error.request_id = owner.id
        if isinstance(cause, MemoryError):
            cause.__traceback__ = None  # its frames hold what there is no room for
        if cause is not error:
            error.__cause__ = cause
        self.stage.stats(place, self.slot).failed(error.reason)
        return error

    def _raiser(self, error: BaseException) -> str:
        """The stage that raised."""
        return self.stage.plan.name

    def _place(self, node: Call, cause: BaseException | None) -> str:
        """The call site that a failure belongs to."""
        return node.name


def _close(readers: Sequence[Reader]) -> None:
    for reader in readers:
        reader.close()


def _deadlines(part: Part) -> list[int]:
    """When each request's time is up: its own, or that of the call."""
    node, cohort, enqueued = part
    limit = enqueued + node.timeout_ns if node.timeout_ns else NEVER
    return [limit if o.deadline_ns is None else min(limit, o.deadline_ns) for o in cohort.layout.owners]


def _halves(parts: Sequence[Part], at: int) -> tuple[list[Part], list[Part]]:
    """The first `at` elements, and the others."""
    left: list[Part] = []
    right: list[Part] = []
    for node, cohort, enqueued in parts:
        n = min(max(at, 0), len(cohort))
        if n:
            left.append((node, cohort.cut(0, n), enqueued))
        if n < len(cohort):
            right.append((node, cohort.cut(n, len(cohort)), enqueued))
        at -= len(cohort)
    return left, right


def _raised(stage: str, error: Exception) -> str:
    """What a stage raised, in words that name it; its own message may be huge, or raise when it is made."""
    try:
        message = str(error)
    except Exception as failure:
        message = f"(its text can not be shown: {type(failure).__name__})"
    if len(message) > LONGEST:
        message = f"{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}"
    if message.startswith(f"stage `{stage}`"):  # ours: what it returned is not what its signature says
        return message
    said = message if isinstance(error, StageExited) else f"{type(error).__name__}: {message}".removesuffix(": ")
    return f"stage `{stage}` raised {said}"
