"""`map` over a stream: the body runs for each element, results are streams in the order of the elements.

    reader --pull, while there is room--> children --body--> StreamFold --emit, in order--> streams of the results

Children of many requests share batches like items of any `map`. A child is begun only if its result will fit: those
under way, those that wait for their turn and those that wait to be read are together at most the bound of a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from backends.streams import ELEMENTS, ElementStream, Reader
from backends.values import Value
from executor.cohort import Cohort, Layout
from executor.columns import Items, size_of
from executor.element import Child, Element
from executor.errors import InvalidArgument, RequestError
from executor.join import Columns
from executor.node import Arguments, Going, Node
from executor.passage import Passage
from executor.scope import Aftermath, Scope
from executor.streaming.call import fail
from executor.streaming.pump import ended_early, register, unregister
from executor.wiring import Wirer
from pipeline_dsl.plan import MapPlan, Step
from pipeline_dsl.types import TensorType, Unknown

from .folding import repeated, zero_item

if TYPE_CHECKING:
    from executor.flow import Flow

FAILED = object()
"""In place of the results of an element that failed."""


class StreamMap(Node):
    """Opens a scope for each element of the graph that brings a stream."""

    __slots__ = ("body", "inside", "maximum", "on_error", "ordered", "results", "window", "zeros")

    def __init__(self, step: Step, arguments: Arguments, sides: int, wirer: Wirer) -> None:
        super().__init__(step.node, arguments, sides)
        plan = step.control
        assert isinstance(plan, MapPlan)
        inner = wirer.inside()
        self.inside = inner.circuit
        self.body = inner.region(step, plan.body, lambda arguments, sides: StreamFold(self, arguments, sides))
        self.results = len(plan.body.yields)
        self.zeros = tuple(_zero(kind) for kind in step.types[: self.results])
        """The results of an element that failed."""
        self.maximum = plan.maximum
        self.window = min(plan.in_flight or ELEMENTS, ELEMENTS)
        self.on_error = plan.on_error
        self.ordered = plan.order == "keep"

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        scopes = [self._open(cohort.cut(i, i + 1), passage.flow) for i in range(len(cohort))]
        readers = zip(*[[stream.reader() for stream in scope.streams] for scope in scopes])
        columns = tuple([Items(list(column)) for column in readers])
        for scope in scopes:
            passage.flow.workers.put(scope.pull)
        return ((self.edges, cohort.layout, columns),)

    def _open(self, cohort: Cohort, flow: Flow) -> StreamScope:
        scope = StreamScope(self, cohort, flow)
        with flow.lock:
            scope.enter()
            alive = register(scope.parent, scope) and not scope.closed
        if not alive:
            scope.cancel(ended_early(scope.parent))
        return scope

    def emit(self, scopes: Sequence[Scope], passage: Passage) -> Sequence[Going]:
        """An element has failed where others go on without it."""
        for scope in cast(Sequence[StreamScope], scopes):
            scope.go_on()
        return ()


class StreamScope(Scope):
    """The elements of one stream that are under way. Its numbers change with the engine's lock held."""

    __slots__ = (
        "_beginning",
        "_putting",
        "captured",
        "emitted",
        "flow",
        "next",
        "over",
        "reader",
        "results",
        "streams",
    )

    node: StreamMap

    def __init__(self, node: StreamMap, cohort: Cohort, flow: Flow) -> None:
        parent: Element = cohort.layout.owners[0]
        super().__init__(node, node.inside, parent)
        self.flow = flow
        source = cohort.columns[0]
        assert source is not None
        self.reader: Reader = source.element(0)
        self.captured: Columns = tuple([cohort.columns[c] for c in node.body.captured])
        marked = 1 if node.on_error == "mark" else 0
        self.streams = tuple(ElementStream(later=flow.workers.put) for _ in range(node.results + marked))
        self.next = 0
        """Number of the element that is begun next."""
        self.emitted = 0
        """Number of the element that is put next, where order is kept."""
        self.results: dict[int, Any] = {}
        """Of elements that have ended and were not put yet."""
        self.over = False
        """All elements have been begun."""
        self._beginning = Turns()
        self._putting = Turns()

    # ---- in

    def pull(self) -> None:
        """Begin as many elements as there are and there is room for."""
        self._beginning.take(self._pull_all)

    def _pull_all(self) -> None:
        try:
            while self._pull():
                pass
        except RequestError as error:
            self._fail(copy(error))

    def _pull(self) -> bool:
        """Whether it may go on at once."""
        with self.flow.lock:
            inside = len(self.live) + len(self.results)
        room = min(self.node.window, ELEMENTS - max([s.waiting for s in self.streams], default=0)) - inside
        if room <= 0 or not all(stream.credit for stream in self.streams):
            if not inside:
                full = next((s for s in self.streams if not s.credit), self.streams[0])
                full.when_credit(self._wake)
            return False
        values = self.reader.take(room)
        if values:
            self._begin(values)
            return True
        if not self.reader.exhausted:
            self.reader.when_ready(self._wake)
            return False
        if self.reader.take():
            raise AssertionError("an exhausted reader has nothing")  # its error, if it has one, was raised
        with self.flow.lock:
            self.over = True
        self._finish()
        return False

    def _wake(self) -> None:
        self.flow.workers.put(self.pull)

    def _begin(self, values: list[Value]) -> None:
        node = self.node
        if node.maximum is not None and self.next + len(values) > node.maximum:
            raise InvalidArgument(f"its stream has more than `max = {node.maximum}` elements")
        with self.flow.lock:
            if self.closed:
                return
            children = [Child(self, self.next + i, self.parent.deadline_ns) for i in range(len(values))]
            self.next += len(values)
            self.live.update(children)
        captured = [None if c is None else repeated(c, [len(values)]) for c in self.captured]
        self.flow.enter(node.body.edges, Cohort(Layout(tuple(children)), (Items(values), *captured)))

    # ---- out

    def take(self, child: Child, result: Any) -> None:
        """(locked) An element has come to its end."""
        self.live.discard(child)
        self.results[child.index] = result

    def go_on(self) -> None:
        """Put what is next, and begin others in their place. Not with the lock held."""
        self._putting.take(self._put_all)
        self._finish()
        self._wake()

    def _put_all(self) -> None:
        while (result := self._next()) is not None:
            self._put(result)

    def _next(self) -> tuple[Any] | None:
        """The results to put next, in a tuple of one."""
        with self.flow.lock:
            if self.closed or not self.results:
                return None
            number = self.emitted if self.node.ordered else next(iter(self.results))
            if number not in self.results:
                return None
            self.emitted += 1
            return (self.results.pop(number),)

    def _put(self, result: tuple[Any]) -> None:
        (values,) = result
        marks = self.node.on_error == "mark"
        if values is FAILED and not marks:
            return
        good = values is not FAILED
        row = (*(values if good else self.node.zeros), good) if marks else values
        for stream, value in zip(self.streams, row):
            stream.put(value, size_of(value))

    def _finish(self) -> None:
        """End the streams once everything is put."""
        with self.flow.lock:
            if self.closed or not self.over or self.live or self.results:
                return
            self.close()
            unregister(self.parent, self)
        self.reader.close()
        for stream in self.streams:
            stream.end()

    # ---- failures

    def lost(self, child: Child, error: RequestError, after: Aftermath) -> None:
        after.count("map", self.node.name, "failure")
        self.take(child, FAILED)
        if self.node.on_error == "fail":
            error.message += f" (element {child.index} of `{self.node.name}`)"
            after.stopped.append((self, error))
            after.ends.append((self.parent, error))
        else:
            after.go(self.node.emit, self)

    def _fail(self, error: RequestError) -> None:
        error.pipeline, error.request_id = self.parent.pipeline, self.parent.id
        error.node = error.node or self.node.name
        self.cancel(error)
        self.flow.end([(self.parent, error)])

    def cancel(self, error: RequestError) -> None:
        """Make no more. Not with the lock held."""
        after = Aftermath((), self.flow.clock.now)
        with self.flow.lock:
            self.abandon(after)
            self.results.clear()
            unregister(self.parent, self)
            self.flow.bury(after)
        self.reader.close()
        fail(self.streams, error)
        after.stop_makers()


class Turns:
    """Lets one thread at a time do something; who comes meanwhile has it done once more."""

    __slots__ = ("_again", "_busy", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._busy = False
        self._again = False

    def take(self, step: Callable[[], None]) -> None:
        """Do it, or leave it to the thread that is at it."""
        with self._lock:
            if self._busy:
                self._again = True
                return
            self._busy = True
        again = True
        while again:
            step()
            with self._lock:
                again = self._busy = self._again
                self._again = False


class StreamFold(Node):
    """The end of the body."""

    __slots__ = ("construct",)

    def __init__(self, construct: StreamMap, arguments: Arguments, sides: int) -> None:
        super().__init__(construct.name, arguments, sides)
        self.construct = construct

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        scopes: dict[StreamScope, None] = {}
        with passage.flow.lock:
            for i, owner in enumerate(cohort.layout.owners):
                if not owner.done:
                    owner.done = True
                    child = cast(Child, owner)
                    child.leave()
                    scope = cast(StreamScope, child.scope)
                    scope.take(child, tuple([None if c is None else c.element(i) for c in cohort.columns]))
                    scopes[scope] = None
        passage.flow.tally.count("map", self.construct.name, {"success": len(cohort)})
        for scope in scopes:
            scope.go_on()
        return ()


def _zero(kind: TensorType) -> Value:
    return zero_item(kind.with_dims((Unknown(), *kind.dims)))
