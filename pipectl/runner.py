"""Requests through a pipeline: a bounded number under way, answers in order, failures in their place.

The answer of a pipeline with stream outputs comes in parts, as its elements are made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import wait
from typing import Any, NamedTuple

from executor.errors import Cancelled, Overloaded, RequestError
from executor.request import Job, Response
from executor.streaming.answer import StreamResponse
from executor.streaming.pieces import Pieces

from .answer import Answer, Failure
from .app import PipelineHandle
from .inputs import Ask
from .interrupt import Interrupt


class Done(NamedTuple):
    """A request that ended; `response` has its timings, None if it failed."""

    answer: Answer
    response: Response | None
    last: bool = True
    """False of a part of an answer: there is more of it, and no response yet."""
    told: bool = True
    """False where all parts were there before: the answer holds nothing."""


def answers(
    handle: PipelineHandle,
    asks: Iterator[Ask],
    in_flight: int,
    interrupt: Interrupt,
    *,
    patient: bool = True,
    **options: Any,
) -> Iterator[Done]:
    """Every request's end, in order. Requests are read as others end, none once `interrupt` was received.

    If `patient`, a request that was refused because a queue is full is made again when the others have ended,
    and fewer are made at a time from then on.
    Closing the iterator cancels what is under way."""
    under_way: deque[tuple[Ask, Job | Failure]] = deque()
    last = -1
    try:
        while True:
            while len(under_way) < in_flight and (ask := _next(asks, interrupt)) is not None:
                under_way.append((ask, _start(handle, ask, options)))
            if not under_way:
                return
            ask, job = under_way[0]
            done = _end(ask, job)
            if patient and _refused(done):
                if done.answer.index > last:  # made since the number was last halved
                    in_flight, last = max(1, in_flight // 2), under_way[-1][0].index
                wait([job for _, job in under_way if isinstance(job, Job)])
                done = _end(under_way[0][0], _start(handle, under_way[0][0], options))
            yield from _parts(handle, ask, done, interrupt)
            under_way.popleft()
    finally:
        for _, job in under_way:
            if isinstance(job, Job):
                job.cancel()


def _refused(done: Done) -> bool:
    return done.answer.failure is not None and done.answer.failure.code == Overloaded.grpc_code


def _next(asks: Iterator[Ask], interrupt: Interrupt) -> Ask | None:
    if interrupt:
        return None
    try:
        with interrupt.reading():
            return next(asks, None)
    except KeyboardInterrupt:
        if interrupt:  # the first one: what is under way still gets its answer
            return None
        raise


def _start(handle: PipelineHandle, ask: Ask, options: dict[str, Any]) -> Job | Failure:
    if ask.error:
        return Failure(ask.error, "INVALID_ARGUMENT")
    try:
        return handle.submit(ask.inputs, id=ask.id, sequence=ask.sequence, **options)
    except RequestError as error:
        return failure(error)


def _end(ask: Ask, job: Job | Failure) -> Done:
    if isinstance(job, Failure):
        return Done(Answer(ask.index, ask.id, failure=job), None)
    try:
        response = job.result()
    except RequestError as error:
        return Done(Answer(ask.index, ask.id, failure=failure(error)), None)
    return Done(Answer(ask.index, ask.id, response), response)


def _parts(handle: PipelineHandle, ask: Ask, done: Done, interrupt: Interrupt) -> Iterator[Done]:
    """An answer as it is, or the parts of one that grows and then its end. A signal cancels what still grows."""
    if not isinstance(done.response, StreamResponse):
        yield done
        return
    pieces = Pieces(done.response, handle.streams)
    part = 0
    while True:
        try:
            if interrupt:
                raise KeyboardInterrupt
            with interrupt.reading():
                piece = next(pieces, None)
        except RequestError as error:
            yield Done(Answer(ask.index, ask.id, failure=failure(error), part=part), None)
            return
        except KeyboardInterrupt:
            pieces.close()
            cancelled = Failure("interrupted", Cancelled.grpc_code)
            yield Done(Answer(ask.index, ask.id, failure=cancelled, part=part), None)
            return
        if piece is None:
            yield Done(Answer(ask.index, ask.id), done.response, told=False)
            return
        yield Done(Answer(ask.index, ask.id, piece, part=part), None, last=False)
        part += 1


def failure(error: RequestError) -> Failure:
    """A request's error as what writers show."""
    return Failure(error.message, error.grpc_code, error.node, error.retryable)
