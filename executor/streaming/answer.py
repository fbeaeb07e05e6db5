"""The answer of a request with stream outputs: handed out as soon as its streams exist, complete when they have ended.

    Handover (streams, early outputs) --> StreamResponse with an OutputReader for each stream --> caller
    Completion (late outputs) and the end of every stream --> the request ends

The request stays inside until then: its deadline covers the streams, cancelling it or closing a reader stops what
makes them. A reader that nobody holds any more counts as closed; one of several that is closed holds the others back
no longer, and the last one cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from weakref import ReferenceType, ref

from backends.streams import ElementStream, Reader
from backends.values import Value
from executor.errors import Cancelled, RequestError, StageFailed
from executor.request import Request, Response, hand_out

from .output import NotYet, OutputReader

if TYPE_CHECKING:
    from executor.flow import Flow


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
