"""ModelInfer and ModelStreamInfer. Messages pass as bytes: `wire` reads and writes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from executor.errors import RequestError
from serving.access import Caller
from serving.errors import text
from serving.operations import Operations
from serving.tensors import InferCall

from .callers import Callers, header
from .status import Status
from .wire import decode, encode, encode_stream, encode_stream_error

REAL_STATUS = "triton_grpc_error"
"""Header with which a stream ends with a status at its first error, instead of going on with messages."""


class InferenceHandlers:
    """The two calls that carry tensors."""

    def __init__(self, operations: Operations, status: Status, callers: Callers) -> None:
        self._inference = operations.inference
        self._window = operations.options.stream_window
        self._status = status
        self._callers = callers
        self._open = 0
        """Calls whose answers were not sent whole yet."""

    def _closed(self, _: Any) -> None:
        self._open -= 1

    async def infer(self, data: bytes, context: Any) -> bytes:
        """One response."""
        try:
            self._open += 1
            context.add_done_callback(self._closed)
            call = decode(data)
            self._callers.annotate(call, context)
            call.company = self._open
            return encode(await self._inference.infer(self._callers.caller(context), call))
        except Exception as error:
            await self._status.end(context, error)

    async def stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncGenerator[bytes]:
        """Responses to a stream of requests, which run side by side."""
        try:
            caller = self._callers.caller(context)
            caller.require("inference")
        except RequestError as error:
            await self._status.end(context, error)
        strict = header(context, REAL_STATUS) == "true"
        relay = Relay(self._window)
        reader = asyncio.create_task(self._read(requests, context, caller, relay))
        try:
            async for answer in relay.answers():
                if isinstance(answer, bytes):
                    yield answer
                elif strict:
                    await self._status.end(context, answer.error)
                else:
                    yield encode_stream_error(text(self._status.told(answer.error)), answer.id)
        finally:
            reader.cancel()
            relay.cancel()
            await asyncio.gather(reader, *relay.tasks, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[bytes], context: Any, caller: Caller, relay: Relay) -> None:
        """Start an answer for each request; wait where too many are under way."""
        try:
            async for data in requests:
                await relay.room()
                try:
                    call = decode(data)
                    self._callers.annotate(call, context)
                    streams = self._inference.streams(call.model, call.version)
                except Exception as error:
                    relay.start(_failed("", error), ordered=True)
                else:
                    relay.start(self._answers(caller, call), ordered=not streams)
        finally:
            relay.close()

    async def _answers(self, caller: Caller, call: InferCall) -> AsyncGenerator[bytes | Failure]:
        try:
            async with aclosing(self._inference.stream(caller, call)) as answers:
                async for answer in answers:
                    yield encode_stream(answer)
        except Exception as error:
            yield Failure(call.id, error)


class Failure:
    """An error in a stream, and the id of the request it belongs to."""

    __slots__ = ("error", "id")

    def __init__(self, id: str, error: Exception) -> None:
        self.id = id
        self.error = error


async def _failed(id: str, error: Exception) -> AsyncGenerator[bytes | Failure]:
    yield Failure(id, error)


class Relay:
    """Answers of requests that run side by side, for one reader, at most `window` of each.

    Those of plain requests come in the order of the requests; those of pipelines that stream as they are there."""

    def __init__(self, window: int) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(window)
        self._queue: asyncio.Queue[bytes | Failure | None] = asyncio.Queue(window)
        self._last: asyncio.Event | None = None
        self._closed = False
        self._end: asyncio.Task[None] | None = None

    async def room(self) -> None:
        """Wait until another request may start."""
        await self._room.acquire()

    def start(self, answers: AsyncGenerator[bytes | Failure], *, ordered: bool) -> None:
        """Run one request; `room` was awaited for it."""
        before, done = (self._last, asyncio.Event()) if ordered else (None, None)
        if done is not None:
            self._last = done
        task = asyncio.create_task(self._run(answers, before, done))
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    async def _run(
        self, answers: AsyncGenerator[bytes | Failure], before: asyncio.Event | None, done: asyncio.Event | None
    ) -> None:
        try:
            async for answer in answers:
                if before is not None:
                    await before.wait()
                    before = None
                await self._queue.put(answer)
        finally:
            if done is not None:
                if before is not None and not before.is_set():
                    await before.wait()
                done.set()
            await answers.aclose()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._room.release()
        self._finish()

    def close(self) -> None:
        """No further requests come."""
        self._closed = True
        self._finish()

    def cancel(self) -> None:
        """The reader went away."""
        for task in (*self.tasks, *filter(None, [self._end])):
            task.cancel()

    def _finish(self) -> None:
        if self._closed and not self.tasks and self._end is None:
            self._end = asyncio.create_task(self._queue.put(None))

    async def answers(self) -> AsyncIterator[bytes | Failure]:
        """All answers, until the last request has ended."""
        while (answer := await self._queue.get()) is not None:
            yield answer
