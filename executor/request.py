"""A request, its answer, and the future a caller holds.

A `Request` is what travels; it ends exactly once, through `Engine.finish`. A `Response` is its answer: outputs by
name, and what each step cost it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from backends.values import Value

from .element import Element
from .errors import RequestError
from .sequence import Seat, SequenceInfo

if TYPE_CHECKING:
    from .streaming.answer import StreamAnswer
    from .variant import Variant

_log = logging.getLogger("pipectl")

_NO_SEATS: Mapping[str, Seat] = MappingProxyType({})


class Execution(NamedTuple):
    """One batch of one node on one instance, as every request of it saw it. Times are monotonic ns."""

    node: str
    stage: str
    instance: int
    enqueued_ns: int
    start_ns: int
    end_ns: int
    rows: int
    requests: int


class StepTiming(NamedTuple):
    """What one step cost a request; seconds, monotonic ns for the two ends."""

    queue: float
    compute: float
    batch_rows: int
    start_ns: int
    end_ns: int


class Timings(dict[str, StepTiming]):
    """What each step cost, by node."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: dict[str, set[str]] = {}

    def __missing__(self, name: str) -> StepTiming:
        nodes = self.stages.get(name, set())
        if len(nodes) == 1:
            return self[next(iter(nodes))]
        hint = f"it is called by {', '.join(sorted(nodes))}" if nodes else f"nodes: {', '.join(self)}"
        raise KeyError(f"no timings of `{name}`; {hint}")


class Request(Element):
    """One client call on its way."""

    __slots__ = (
        "answer",
        "arrived_ns",
        "headers",
        "id",
        "level",
        "nbytes",
        "pipeline",
        "rows",
        "seats",
        "sequence",
        "serial",
        "sink",
        "timer",
        "values",
        "variant",
    )

    id: str
    serial: int
    pipeline: str
    level: int

    def __init__(
        self,
        id: str,
        serial: int,
        pipeline: str,
        variant: Variant,
        values: tuple[Value, ...],
        nbytes: int,
        rows: int,
        arrived_ns: int,
        deadline_ns: int | None,
        level: int,
        sink: Sink,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.id = id
        self.serial = serial
        """Counts requests, whatever ids their callers choose."""
        self.pipeline = pipeline
        self.variant = variant
        self.values = values
        """Its inputs in port order; dropped once it entered the graph."""
        self.nbytes = nbytes
        self.rows = rows
        """Along `*` of the pipeline's inputs; 1 without."""
        self.arrived_ns = arrived_ns
        self.deadline_ns = deadline_ns
        self.level = level
        """Priority; 0 where the caller named none."""
        self.sink: Sink | None = sink
        """None once it has its outcome."""
        self.done = False
        self.layouts = []
        self.runs = None
        self.scopes = None
        self.streams = None
        self.timer: Any = None
        self.headers = headers
        """What came beside its inputs; names in lower case."""
        self.answer: StreamAnswer | None = None
        """Of one with stream outputs."""
        self.sequence: SequenceInfo | None = None
        """Of a request of a sequence."""
        self.seats: Mapping[str, Seat] = _NO_SEATS
        """Its sequence's places at sequence stages, by call site."""

    @property
    def root(self) -> Request:
        return self

    @property
    def circuit(self) -> Variant:
        return self.variant

    def __repr__(self) -> str:
        return f"Request({self.id!r}, {self.pipeline}{', done' if self.done else ''})"


def sequence_of(request: Request) -> SequenceInfo:
    """The sequence of a request; its door lets in no other."""
    assert request.sequence is not None, f"{request!r} belongs to no sequence"
    return request.sequence


class Response(Mapping[str, Value]):
    """Outputs by name. `seconds` counts from submit to answer."""

    __slots__ = ("_outputs", "_runs", "arrived_ns", "finished_ns", "id", "pipeline", "serial")

    def __init__(self, request: Request, outputs: dict[str, Value], finished_ns: int) -> None:
        self.id = request.id
        self.serial = request.serial
        self.pipeline = request.pipeline
        self.arrived_ns = request.arrived_ns
        self.finished_ns = finished_ns
        self._outputs = outputs
        self._runs = [layout.executions for layout in request.layouts]
        if request.runs:
            self._runs += request.runs.values()

    def __getitem__(self, name: str) -> Value:
        return self._outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    @property
    def runs(self) -> list[Any]:
        """What ran for it, as layouts hold it."""
        return self._runs

    @property
    def seconds(self) -> float:
        return (self.finished_ns - self.arrived_ns) / 1e9

    @property
    def executions(self) -> list[Execution]:
        """Every batch this request was in, in the order they ended."""
        found = (Execution(*fields) for run in self._runs for fields in run)
        return sorted(found, key=lambda e: e.end_ns)

    @property
    def timings(self) -> Timings:
        """Per node, named without the pipeline; a stage's name is as good where it names one node.

        A node that ran again for this request shows its last run."""
        prefix = len(self.pipeline) + 1
        found = Timings()
        for e in self.executions:
            queue, compute = (e.start_ns - e.enqueued_ns) / 1e9, (e.end_ns - e.start_ns) / 1e9
            found[e.node[prefix:]] = StepTiming(queue, compute, e.rows, e.start_ns, e.end_ns)
            found.stages.setdefault(e.stage, set()).add(e.node[prefix:])
        return found

    def __repr__(self) -> str:
        return f"Response({self.id!r}, {', '.join(self._outputs)}, {self.seconds * 1e3:.1f} ms)"


Outcome = Response | RequestError


class Job(Future[Response]):
    """A request in flight, for threads: a `concurrent.futures.Future` whose `cancel` works at any time.

    Its callbacks run on a worker and must not wait for other requests, nor for elements of a stream."""

    def __init__(self, cancel: Callable[[Request], bool]) -> None:
        """`cancel` ends a request that has not ended."""
        super().__init__()
        self._cancel = cancel
        self.request: Request | None = None

    def cancel(self) -> bool:
        """End the request unless it has ended; queued work is dropped, running work is not waited for."""
        return self.request is not None and self._cancel(self.request)

    def cancelled(self) -> bool:
        from concurrent.futures import CancelledError

        return self.done() and isinstance(self.exception(), CancelledError)

    def deliver(self, outcome: Outcome) -> None:
        if isinstance(outcome, RequestError):
            self.set_exception(outcome)
        else:
            self.set_result(outcome)


Sink: TypeAlias = Job | asyncio.Future[Response]
"""Who waits: a thread, or a task of an event loop."""


def hand_out(sink: Sink | None, response: Response, id: str) -> None:
    """Hand an answer to who waits for it, before its request has ended."""
    if isinstance(sink, Job):
        try:
            sink.deliver(response)
        except BaseException:  # a callback's: the streams go on
            _log.exception("a callback of request %s raised", id)
    elif sink is not None:
        _to_loop(sink.get_loop(), [(sink, response)])


def deliver(ended: list[tuple[Request, Outcome]]) -> None:
    """Hand outcomes to whoever waits: threads one by one, each event loop with a single wake-up."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Response], Outcome]]] = {}
    for request, outcome in ended:
        sink, request.sink = request.sink, None  # or an error's traceback, which holds the request, keeps it for ever
        if isinstance(sink, Job):
            try:
                sink.deliver(outcome)
            except BaseException:  # a callback's: those that wait for the other outcomes must get them
                _log.exception("a callback of request %s raised", request.id)
        elif sink is not None:
            loops.setdefault(sink.get_loop(), []).append((sink, outcome))
    for loop, pairs in loops.items():
        _to_loop(loop, pairs)
    for request, outcome in ended:
        if request.answer is not None:
            request.answer.finish(outcome)


def _to_loop(loop: asyncio.AbstractEventLoop, pairs: list[tuple[asyncio.Future[Response], Outcome]]) -> None:
    try:
        loop.call_soon_threadsafe(_resolve, pairs)
    except RuntimeError:  # the loop was closed: nobody waits any more
        pass


def _resolve(pairs: list[tuple[asyncio.Future[Response], Outcome]]) -> None:
    for future, outcome in pairs:
        if future.done():
            continue
        if isinstance(outcome, RequestError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
