"""The answer of a request with stream outputs: handed out as soon as its streams exist, complete when they have ended.

    Handover (streams, early outputs) --> StreamResponse with an OutputReader for each stream --> caller
    Completion (late outputs) and the end of every stream --> the request ends

The request stays inside until then: its deadline covers the streams, cancelling it or closing a reader stops what
makes them. A reader that nobody holds any more counts as closed; one of several that is closed holds the others back
no longer, and the last one cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from weakref import ReferenceType, ref

from backends.streams import EMPTY, ElementStream, Reader
from backends.values import Value
from executor.cohort import Cohort
from executor.columns import Copies
from executor.egress import values_of
from executor.errors import Cancelled, RequestError, StageFailed
from executor.node import Egress
from executor.request import Request, Response, hand_out

if TYPE_CHECKING:
    from executor.flow import Flow


class NotYet(LookupError):
    """An output that comes when the streams have ended, asked for before."""


class OutputReader(Reader):
    """A stream output as its caller reads it: an iterator, or an async iterator.

    Closing it, or dropping it, before its end cancels the request, unless another of its streams is still read."""

    __slots__ = ("__weakref__", "_answer", "_error", "_held", "_inner", "_waiter", "name")

    def __init__(self, answer: StreamAnswer, name: str) -> None:
        self._answer = answer
        self.name = name
        self._inner: Reader | None = None
        self._error: RequestError | None = None
        """Why there will be no stream."""
        self._waiter: Callable[[], object] | None = None
        self._held = True

    def __repr__(self) -> str:
        return f"OutputReader({self.name} of {self._answer.request_id!r})"

    def attach(self, reader: Reader) -> None:
        """The stream exists."""
        self._inner = reader
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            reader.when_ready(waiter)

    def fail(self, error: RequestError) -> None:
        """The request has failed before the stream existed."""
        self._error = error
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter()

    def poll(self) -> Any:
        if self._inner is not None:
            return self._inner.poll()
        if self._error is not None:
            raise self._error
        return EMPTY

    def take(self, most: int = 1 << 30) -> list[Value]:
        if self._inner is not None:
            return self._inner.take(most)
        if self._error is not None:
            raise self._error
        return []

    @property
    def exhausted(self) -> bool:
        return self._inner is not None and self._inner.exhausted

    def fork(self) -> Reader:
        """Only of a stream that exists."""
        if self._inner is None:
            raise NotYet(f"stream `{self.name}` does not exist yet")
        return self._inner.fork()

    def when_ready(self, call: Callable[[], object]) -> None:
        if self._inner is not None:
            self._inner.when_ready(call)
            return
        self._waiter = call
        if self._inner is not None or self._error is not None:  # meanwhile, on another thread
            self._waiter = None
            call()

    def close(self) -> None:
        """Read no more; the request is cancelled if it has not ended and no other stream of it is read."""
        over = self.exhausted
        self._held = False
        if self._inner is not None:
            self._inner.close()
        if not over:
            self._answer.left()

    @property
    def reading(self) -> bool:
        """Somebody may still read elements."""
        return self._held and not self.exhausted

    def __del__(self) -> None:
        if getattr(self, "_held", False) and not self._answer.ended:
            inner = self._inner
            over = inner is not None and inner.stream.ended and not inner.stream.waiting
            if not over:
                self._answer.abandon()


class StreamResponse(Response):
    """Outputs by name: a reader for each stream, and the others as they come.

    `late` names those that come when the streams have ended; before that they raise `NotYet`. `wait` waits for the
    end, and raises what the request failed with."""

    __slots__ = ("_answer",)

    def __init__(self, answer: StreamAnswer, request: Request, outputs: dict[str, Value], now: int) -> None:
        super().__init__(request, outputs, now)
        self._answer = answer

    def __getitem__(self, name: str) -> Value:
        if name in self._outputs:
            return self._outputs[name]
        if name in self._answer.coming:
            raise NotYet(f"`{name}` comes when the streams of the request have ended: read them first, or `wait`")
        if name in self._answer.came:
            return self._answer.came[name]
        raise KeyError(name)

    def __iter__(self) -> Any:
        return iter((*self._outputs, *self._answer.came))

    def __len__(self) -> int:
        return len(self._outputs) + len(self._answer.came)

    @property
    def early(self) -> tuple[str, ...]:
        """Outputs that were there when it was handed out, streams among them."""
        return tuple(self._outputs)

    @property
    def late(self) -> tuple[str, ...]:
        """Outputs that are not there yet."""
        return self._answer.coming

    @property
    def ended(self) -> bool:
        """Whether everything is there, or the request has failed."""
        return self._answer.ended

    @property
    def end(self) -> Reader:
        """A reader without elements: it ends, or fails, with the request."""
        return self._answer.closing.reader()

    def wait(self) -> StreamResponse:
        """Wait until the request has ended. Streams must be read meanwhile, or be short enough to be held."""
        for _ in self.end:
            pass
        return self

    def close(self) -> None:
        """Cancel the request unless it has ended."""
        self._answer.cancel()

    @property
    def seconds(self) -> float:
        """From submit to the end; to the beginning of the streams while they run."""
        finished = self._answer.finished_ns or self.finished_ns
        return (finished - self.arrived_ns) / 1e9

    @property
    def executions(self) -> Any:
        if self._answer.runs is not None:
            self._runs = self._answer.runs
        return super().executions


class StreamAnswer:
    """What a request with stream outputs keeps of its answer. It does not hold the readers once they are given out."""

    __slots__ = (
        *(
            "_flow",
            "_given",
            "_kept",
            "_left",
            "_pipeline",
            "_request",
            "came",
            "closing",
            "coming",
            "ended",
            "finished_ns",
        ),
        *("request_id", "runs"),
    )

    def __init__(self, request: Request, flow: Flow) -> None:
        variant = request.variant
        names = [o.name for o in variant.outputs if o.type.stream]
        self._flow = flow
        self._request: Request | None = request
        self._pipeline = request.pipeline
        self.request_id = request.id
        self._kept: dict[str, OutputReader] = {name: OutputReader(self, name) for name in names}
        """Until the answer is handed out."""
        self._given: dict[str, ReferenceType[OutputReader]] = {name: ref(r) for name, r in self._kept.items()}
        self._left = len(names) + 2  # the streams, the handover, the completion
        self.came: dict[str, Value] = {}
        """Late outputs."""
        self.coming: tuple[str, ...] = tuple(o.name for o in variant.late if not o.type.stream)
        self.closing = ElementStream()
        """Ends with the request."""
        self.ended = False
        self.finished_ns = 0
        self.runs: list[Any] | None = None

    # ---- as it grows

    def hand_over(self, request: Request, values: dict[str, Value]) -> None:
        """Its streams exist, and what else is early."""
        flow = self._flow
        outputs: dict[str, Value] = {}
        readers = self._kept
        for output in request.variant.outputs:
            if output.type.stream:
                outputs[output.name] = readers[output.name]
            elif output.name in values:
                outputs[output.name] = values[output.name]
        begun = [(name, self._attached(name, value)) for name, value in values.items() if name in readers]
        response = StreamResponse(self, request, outputs, flow.clock.now())
        self._kept = {}
        with flow.lock:
            sink, request.sink = (None, None) if request.done else (request.sink, None)
        hand_out(sink, response, request.id)
        self._watch(begun)
        self._one_less()

    def complete(self, request: Request, values: dict[str, Value]) -> None:
        """Everything else is there."""
        streams = {o.name for o in request.variant.late if o.type.stream}
        self.came.update({name: value for name, value in values.items() if name not in streams})
        self.coming = ()
        self._watch([(name, self._attached(name, values[name])) for name in streams])
        self._one_less()

    def _attached(self, name: str, value: Value) -> Reader:
        """The reader of an output's stream; one of no elements where it is absent."""
        source = ElementStream.of(()).reader() if value is None else cast(Reader, value)
        held = self._given[name]()
        if held is not None:
            held.attach(source.fork())
        return source

    def _watch(self, begun: Sequence[tuple[str, Reader]]) -> None:
        """Notice when streams have ended."""
        for _, reader in begun:
            stream = reader.stream
            reader.close()
            self._flow.streams.opened(self._pipeline)
            stream.when_begun(partial(self._begun, stream))
            stream.when_ended(self._stream_ended)

    def _begun(self, stream: ElementStream, error: BaseException | None) -> None:
        request = self._request
        if error is None and stream.count and request is not None:
            self._flow.streams.begun(self._pipeline, self._flow.clock.now() - request.arrived_ns)

    def _stream_ended(self, error: BaseException | None) -> None:
        self._flow.streams.closed(self._pipeline)
        request = self._request
        if request is None:
            return
        if error is None:
            self._one_less()
        elif isinstance(error, RequestError):
            self._flow.end([(request, error)])
        else:
            text = f"internal error: {type(error).__name__}: {error}"
            self._flow.end([(request, StageFailed(text, pipeline=request.pipeline, request_id=request.id))])

    def _one_less(self) -> None:
        with self._flow.lock:
            self._left -= 1
            request = None if self._left else self._request
        if request is not None:
            self._flow.end([(request, Response(request, {}, self._flow.clock.now()))])

    # ---- the end

    def finish(self, outcome: Response | RequestError) -> None:
        """The request has ended. Not with the engine's lock held: readers are woken."""
        self.ended = True
        self._request = None
        if isinstance(outcome, RequestError):
            self.finished_ns = self._flow.clock.now()
            for held in self._given.values():
                reader = held()
                if reader is not None:
                    reader.fail(outcome)
            self.closing.fail(outcome)
        else:
            self.finished_ns = outcome.finished_ns
            self.runs = outcome.runs
            self.closing.end()
        self._kept = {}

    def cancel(self) -> None:
        """Its caller wants no more of it."""
        request = self._request
        if request is not None:
            text = "cancelled: its stream was closed"
            self._flow.end([(request, Cancelled(text, pipeline=request.pipeline, request_id=request.id))])

    def left(self) -> None:
        """A reader was closed before its end: unless another stream is read, nobody wants any more."""
        readers = [held() for held in self._given.values()]
        if not any(reader is not None and reader.reading for reader in readers):
            self.cancel()

    def abandon(self) -> None:
        """The same, from wherever a reader is collected."""
        self._flow.workers.put(self.left)


class Handover(Egress):
    """The end of what is handed out at once."""

    __slots__ = ()

    def answer(self, cohort: Cohort, flow: Flow) -> None:
        for request, values in _by_request(cohort, flow, early=True):
            if not request.done and request.answer is not None:
                request.answer.hand_over(request, values)


class Completion(Egress):
    """The end of what comes when streams have ended."""

    __slots__ = ()

    def answer(self, cohort: Cohort, flow: Flow) -> None:
        for request, values in _by_request(cohort, flow, early=False):
            if not request.done and request.answer is not None:
                request.answer.complete(request, values)


def _by_request(cohort: Cohort, flow: Flow, *, early: bool) -> list[tuple[Request, dict[str, Value]]]:
    owners = cast(Sequence[Request], cohort.layout.owners)  # only requests come to the end of a pipeline
    variant = owners[0].variant
    names = [o.name for o in (variant.early if early else variant.late)]
    copies = Copies()
    rows = values_of(cohort, copies)
    flow.tally.copied(variant.pipeline.name, copies)
    return [(owner, dict(zip(names, row))) for owner, row in zip(owners, rows)]
