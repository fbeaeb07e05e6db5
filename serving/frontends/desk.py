"""The parent's side of one frontend: its messages become operations, their answers messages.

    Call -> Inference.infer | stream -> Answer.. | Failed          Ask -> Answers of the protocol -> Told | Failed

Operations check the caller's groups here, in the process that runs them. When the frontend is gone, everything it asked
for is cancelled.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from backends.ipc.plan_codec import encode_signature
from serving.access import ANYONE
from serving.errors import InvalidArgument
from serving.operations import Operations

from .faults import to_failed
from .link import Link
from .messages import (
    Ask,
    Call,
    Cancel,
    Credit,
    Ended,
    FromFrontend,
    Listening,
    Pipelines,
    Refused,
    Seen,
    Shown,
    Told,
    caller_of,
    from_frontend,
)
from .tensors import Packer, pack_answer, unpack_call

if TYPE_CHECKING:
    from serving.grpc.service import Answers as GrpcAnswers
    from serving.http.routes import Answers as HttpAnswers

WINDOW = 16
"""Responses of a stream that its reader has not taken yet."""


class Desk:
    """Answers one frontend. Belongs to the event loop of the operations."""

    def __init__(self, operations: Operations, sock: socket.socket) -> None:
        self.link = Link(sock, from_frontend, self._take, self._gone)
        self.listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when its ports answer; a `ListenError` if they can not."""
        self.gone = asyncio.Event()
        self.calls = 0
        """Requests so far."""
        self.connections = 0
        self._of = operations
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._credits: dict[int, asyncio.Semaphore] = {}
        self._grpc: GrpcAnswers | None = None
        self._http: HttpAnswers | None = None

    def show(self) -> None:
        """Tell what is served now."""
        repository, health = self._of.repository, self._of.health
        catalog = repository.catalog
        up = [name for name in catalog.pipelines if health.model_ready(ANYONE, name)]
        sources = [
            Pipelines(
                d.source.path,
                d.source.version,
                [encode_signature(s.plan) for s in d.served.values()],
                [s.repeatable for s in d.served.values()],
            )
            for d in catalog.deployments
        ]
        shown = Shown(health.ready(ANYONE), repository.leaving, catalog.growing, catalog.known, up, sources)
        self.link.post(shown)

    async def idle(self) -> None:
        """Return when nothing it asked for is under way."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def close(self) -> None:
        """End what it asked for."""
        self.link.close()

    # ---- messages

    def _take(self, message: FromFrontend) -> None:
        match message:
            case Call():
                self.calls += 1
                run = self._stream(message) if message.stream else self._infer(message)
                self._start(message.number, run)
            case Ask():
                self._start(message.number, self._ask(message))
            case Cancel():
                task = self._tasks.get(message.number)
                if task is not None:
                    task.cancel()
            case Credit():
                credit = self._credits.get(message.number)
                if credit is not None:
                    credit.release()
            case Seen():
                self.connections = message.connections
            case Listening():
                self.listening.set_result(None)
            case Refused():
                self.listening.set_exception(ListenError(message.reason))

    def _start(self, number: int, run: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._told(number, run))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    async def _told(self, number: int, run: Coroutine[Any, Any, None]) -> None:
        try:
            await run
        except Exception as error:
            self.link.post(to_failed(number, error))

    def _gone(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        if not self.listening.done():
            self.listening.set_exception(ListenError("a frontend ended before its ports answered"))
        self.gone.set()

    # ---- operations

    async def _infer(self, call: Call) -> None:
        # Not kept in a name here: its memory is free once `infer` and the engine let go of it.
        answer = await self._of.inference.infer(caller_of(call.caller), unpack_call(call, self.link.attached))
        if not self.link.closed:
            with Packer(self.link.arena) as packer:
                self.link.post(pack_answer(call.number, answer, packer))

    async def _stream(self, call: Call) -> None:
        credit = self._credits[call.number] = asyncio.Semaphore(WINDOW)
        try:
            given = unpack_call(call, self.link.attached)
            async with aclosing(self._of.inference.stream(caller_of(call.caller), given)) as answers:
                async for answer in answers:
                    await credit.acquire()
                    with Packer(self.link.arena) as packer:
                        self.link.post(pack_answer(call.number, answer, packer))
            self.link.post(Ended(call.number))
        finally:
            del self._credits[call.number]

    async def _ask(self, ask: Ask) -> None:
        told = await (self._ask_grpc(ask) if ask.protocol == "grpc" else self._ask_http(ask))
        self.link.post(told)

    async def _ask_grpc(self, ask: Ask) -> Told:
        if self._grpc is None:
            from serving.grpc.service import Answers

            self._grpc = Answers(self._of)
        return Told(ask.number, await self._grpc(caller_of(ask.caller), ask.method, ask.body))

    async def _ask_http(self, ask: Ask) -> Told:
        from serving.http.routes import METRICS_ENTRY, TABLE, Answers

        if self._http is None:
            self._http = Answers(self._of)
        entry = next((e for e in (*TABLE, METRICS_ENTRY) if (e.method, e.path) == (ask.method, ask.route)), None)
        if entry is None:
            raise InvalidArgument(f"there is no route {ask.method} {ask.route}")
        reply = await self._http(caller_of(ask.caller), entry, ask.path, ask.body)
        return Told(ask.number, b"".join(reply.body), reply.status, reply.type, list(reply.headers))


class ListenError(Exception):
    """A frontend that can not listen, and why."""
