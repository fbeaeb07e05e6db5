"""`try`: attempts at the body, and the fallback where none comes to its end.

    parent --> attempt (child) --body--> Settle: the first one wins, the parent goes on
                  | fails, is late, is refused
                  +--> another attempt, while retries, time, effects and the budget allow
                  +--> the fallback, entered by the parent itself

A second attempt beside the first (`hedge`) starts when that takes long. What the fallback raises is the parent's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from executor.budget import RetryBudget
from executor.clock import Timer
from executor.cohort import NEVER, Cohort, Layout
from executor.columns import Column, Copies, Items, chosen
from executor.element import Child, Element
from executor.errors import DeadlineExceeded, InvalidArgument, NotFound, RequestError
from executor.join import Part, gather
from executor.node import Arguments, Call, Going, Node
from executor.passage import Passage
from executor.scope import Aftermath, Opening, Placed, Scope, parents
from executor.streaming.first import FirstElement
from executor.wiring import Wirer
from pipeline_dsl.plan import Step, TryPlan

if TYPE_CHECKING:
    from executor.flow import Flow


class AttemptScope(Placed):
    """The attempts for one element."""

    __slots__ = ("deadline_ns", "error", "hedge", "part", "retries", "timers", "tries")

    node: Try

    def __init__(self, node: Try, parent: Element, place: int, part: Part, now: int) -> None:
        super().__init__(node, node.inside, parent, place)
        self.part = part
        """What the construct read for it."""
        own = now + node.timeout_ns if node.timeout_ns else NEVER
        self.deadline_ns = min(own, NEVER if parent.deadline_ns is None else parent.deadline_ns)
        self.tries = 0
        self.retries = node.retries
        self.hedge: Child | None = None
        """The attempt that began beside the first."""
        self.error: RequestError
        """Why the last attempt failed."""
        self.timers: list[Timer] = []

    def begin(self) -> Child:
        """Another attempt."""
        child = Child(self, self.tries, None if self.deadline_ns == NEVER else self.deadline_ns)
        self.tries += 1
        self.live.add(child)
        return child

    def close(self) -> None:
        super().close()
        for timer in self.timers:
            timer.cancel()

    def lost(self, child: Child, error: RequestError, after: Aftermath) -> None:
        self.live.discard(child)
        self.error = error
        if self.live:
            return  # the one beside it may yet win
        node = self.node
        if self.retries and node.may_repeat(self, after.now(), error):
            self.retries -= 1
            after.count("try", node.name, "retry")
            after.go(node.again, self)
        else:
            after.count("try", node.name, "fallback")
            self.close()
            after.go(node.fall_back, self)


class Try(Node):
    """Begins attempts."""

    __slots__ = (
        "_budget",
        "body",
        "fallback",
        "first_ns",
        "hedge_ns",
        "inside",
        "repeatable",
        "retries",
        "stage_names",
        "takes_error",
        "timeout_ns",
    )

    def __init__(self, step: Step, arguments: Arguments, sides: int, wirer: Wirer) -> None:
        super().__init__(step.node, arguments, sides)
        plan = step.control
        assert isinstance(plan, TryPlan)
        inner = wirer.inside()
        self.inside = inner.circuit
        self.body = inner.region(step, plan.body, lambda arguments, sides: self._end(step, arguments, sides))
        self.fallback = wirer.arm(self, step, plan.fallback)
        self.takes_error = bool(plan.fallback.given)
        self.timeout_ns = plan.timeout_ns
        self.first_ns = plan.first_ns
        self.repeatable = inner.circuit.repeatable
        self.retries = plan.retries if self.repeatable else 0
        self.hedge_ns = plan.hedge_ns if self.repeatable else None
        self.stage_names = {n.name: n.stage.plan.name for c in inner.circuit for n in c.nodes if isinstance(n, Call)}
        self._budget = RetryBudget()

    def _end(self, step: Step, arguments: Arguments, sides: int) -> Node:
        """The end of the body; where that yields streams, an attempt waits for their first elements before."""
        streams = [i for i, kind in enumerate(step.types) if kind.stream]
        if not streams:
            return Settle(self, arguments, sides)
        settle = Settle(self, tuple((0, i) for i in range(len(arguments))), 1)
        return FirstElement(self.name, arguments, sides, streams, settle)

    def may_repeat(self, scope: AttemptScope, now: int, error: RequestError | None = None) -> bool:
        """Whether another attempt may begin; it is paid for, if so."""
        if isinstance(error, InvalidArgument | NotFound):
            return False  # the same again would fail the same
        return now < scope.deadline_ns and self._budget.spend()

    # ---- in

    def reads(self) -> Sequence[int]:
        return ()

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        flow = passage.flow
        now = flow.clock.now()
        layout, columns = cohort.layout, cohort.columns
        scopes = [AttemptScope(self, p, i, (layout, columns, i), now) for i, p in enumerate(layout.owners)]
        opening = Opening(layout, scopes)
        for scope in scopes:
            scope.opening = opening
        inner = Layout(tuple([scope.begin() for scope in scopes]))
        with flow.lock:
            opening.enter(inner)
            for _ in scopes:
                self._budget.earn()
        self._set_timers(scopes, now, flow)
        flow.tally.count("try", self.name, {"attempt": len(scopes)})
        return ((self.body.edges, inner, tuple([columns[c] for c in self.body.captured])),)

    def _set_timers(self, scopes: Sequence[AttemptScope], now: int, flow: Flow) -> None:
        for scope in scopes:
            if self.timeout_ns:
                scope.timers.append(flow.clock.call_at(now + self.timeout_ns, partial(self._late, scope, flow)))
            if self.first_ns:
                late = partial(self._late, scope, flow, "first", self.first_ns)
                scope.timers.append(flow.clock.call_at(now + self.first_ns, late))
            if self.hedge_ns:
                scope.timers.append(flow.clock.call_at(now + self.hedge_ns, partial(self._hedge, scope, flow)))
            if scope.closed:  # on another thread, before it had these timers
                for timer in scope.timers:
                    timer.cancel()

    def _late(self, scope: AttemptScope, flow: Flow, option: str = "timeout", limit: int | None = None) -> None:
        with flow.lock:
            live = tuple(scope.live)
            if limit is not None:
                scope.retries = 0  # the time was for all of them
        text = f"`{option}` of {(limit or self.timeout_ns or 0) / 1e6:g} ms passed"
        flow.end([(c, DeadlineExceeded(text, pipeline=c.pipeline, node=self.name, request_id=c.id)) for c in live])

    def _hedge(self, scope: AttemptScope, flow: Flow) -> None:
        """The first attempt takes long."""
        with flow.lock:
            wanted = not scope.closed and len(scope.live) == 1 and self.may_repeat(scope, flow.clock.now())
        if wanted:
            flow.tally.count("try", self.name, {"hedge": 1})
            flow.go_on({self.beside: [scope]})

    # ---- further attempts

    def again(self, scopes: Sequence[Scope], passage: Passage) -> Sequence[Going]:
        """Another attempt for each."""
        return self._begin(cast(Sequence[AttemptScope], scopes), passage, hedge=False)

    def beside(self, scopes: Sequence[Scope], passage: Passage) -> Sequence[Going]:
        """A second attempt for each, beside the first."""
        return self._begin(cast(Sequence[AttemptScope], scopes), passage, hedge=True)

    def _begin(self, scopes: Sequence[AttemptScope], passage: Passage, hedge: bool) -> Sequence[Going]:
        children: list[Child] = []
        with passage.flow.lock:
            scopes = [s for s in scopes if not s.closed]
            for scope in scopes:
                child = scope.begin()
                children.append(child)
                if hedge:
                    scope.hedge = child
        if not children:
            return ()
        columns = self._read(scopes, passage)
        passage.flow.tally.count("try", self.name, {"attempt": len(children)})
        return ((self.body.edges, Layout(tuple(children)), tuple([columns[c] for c in self.body.captured])),)

    def _read(self, scopes: Sequence[AttemptScope], passage: Passage) -> tuple[Column | None, ...]:
        """What the construct read for these elements."""
        copies = Copies()
        columns = gather([s.part for s in scopes], copies)
        passage.flow.tally.copied(self.name, copies)
        return columns

    def fall_back(self, scopes: Sequence[Scope], passage: Passage) -> Sequence[Going]:
        """The elements themselves go into the fallback."""
        living = [s for s in cast(Sequence[AttemptScope], scopes) if not s.parent.done]
        if not living:
            return ()
        columns = self._read(living, passage)
        given: list[Column] = [Items([self._told(s.error) for s in living])] if self.takes_error else []
        captured = [columns[c] for c in self.fallback.captured]
        return ((self.fallback.edges, parents(living), (*given, *captured)),)

    def _told(self, error: RequestError) -> dict[str, str]:
        """The error as the fallback reads it."""
        return {"code": error.grpc_code, "message": error.message, "stage": self.stage_names.get(error.node, "")}


class Settle(Node):
    """The end of a body: an attempt that gets here first has won."""

    __slots__ = ("construct",)

    def __init__(self, construct: Try, arguments: Arguments, sides: int) -> None:
        super().__init__(construct.name, arguments, sides)
        self.construct = construct

    def reads(self) -> Sequence[int]:
        return ()

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        node, flow = self.construct, passage.flow
        won: list[int] = []
        scopes: list[AttemptScope] = []
        after = Aftermath((), flow.clock.now)
        with flow.lock:
            for i, owner in enumerate(cohort.layout.owners):
                if not owner.done:
                    won.append(i)
                    scopes.append(_settle(cast(Child, owner), after))
            flow.bury(after)
        if not won:
            return ()
        try:
            copies = Copies()
            columns = cohort.columns if len(won) == len(cohort) else chosen(cohort.columns, won, copies, "dead")
            flow.tally.count("try", node.name, {"success": len(won)}, copies)
            return ((node.edges, parents(scopes), columns),)
        except Exception as error:  # the attempts have ended: nobody but their elements can be told
            flow.internal_error(node, [s.parent for s in scopes], error)
            return ()


def _settle(child: Child, after: Aftermath) -> AttemptScope:
    """(locked) An attempt has won: those beside it end."""
    child.done = True
    scope = cast(AttemptScope, child.scope)
    scope.live.discard(child)
    if child is scope.hedge:
        after.count("try", scope.node.name, "hedge_won")
    scope.close()
    child.leave()
    scope.end_children(after)
    return scope
