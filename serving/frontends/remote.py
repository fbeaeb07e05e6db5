"""A `Front` whose engines are in the parent: calls go over the link, answers come back to who waits for them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving.access import Access, Caller
from serving.errors import RequestError, TooLarge
from serving.options import ServerOptions
from serving.tensors import InferAnswer, InferCall

from .faults import to_error
from .link import Link
from .messages import Answer, Ask, Cancel, Credit, Ended, Failed, Message, Shown, Told, who
from .remote_repository import Readiness, RemoteRepository
from .tensors import Packer, pack_call, unpack_answer

if TYPE_CHECKING:
    from serving.http.replies import Reply
    from serving.http.routes import Entry


class Remote:
    """Asks the parent. `inference` of the frontend, and what answers its other requests."""

    def __init__(self, link: Link, repository: RemoteRepository) -> None:
        self._link = link
        self._repository = repository
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[InferAnswer | Told]] = {}
        self._streams: dict[int, asyncio.Queue[InferAnswer | RequestError | None]] = {}

    # ---- inference

    async def infer(self, caller: Caller, call: InferCall) -> InferAnswer:
        """The one response of a call."""
        number = next(self._numbers)
        with Packer(self._link.arena) as packer:
            self._link.post(pack_call(number, caller, call, packer, stream=False))
        answer = await self._answer(number)
        assert isinstance(answer, InferAnswer)
        return answer

    async def stream(self, caller: Caller, call: InferCall) -> AsyncGenerator[InferAnswer]:
        """All responses of a call. Closing the generator ends the work behind it."""
        number = next(self._numbers)
        queue: asyncio.Queue[InferAnswer | RequestError | None] = asyncio.Queue()  # bounded by the credit
        self._streams[number] = queue
        ended = False
        try:
            with Packer(self._link.arena) as packer:
                self._link.post(pack_call(number, caller, call, packer, stream=True))
            while (answer := await queue.get()) is not None:
                if isinstance(answer, RequestError):
                    ended = True
                    raise answer
                yield answer
                del answer  # or its memory would stay while the next one is awaited
                self._link.post(Credit(number))
            ended = True
        finally:
            del self._streams[number]
            if not ended:
                self._link.post(Cancel(number))

    def streams(self, model: str, version: str = "") -> bool:
        """Whether a pipeline gives any number of responses; False for one that is not there."""
        try:
            return self._repository.catalog.pipeline(model, version).codec.streams
        except RequestError:
            return False

    # ---- everything else

    async def ask_grpc(self, caller: Caller, name: str, data: bytes) -> bytes:
        """The message that answers a method which does not infer."""
        number = next(self._numbers)
        return (await self._told(Ask(number, who(caller), "grpc", name, "", {}, data))).body

    async def ask_http(self, caller: Caller, entry: Entry, path: Mapping[str, str], body: bytes) -> Reply:
        """The reply of a route."""
        from serving.http.replies import Reply

        number = next(self._numbers)
        told = await self._told(Ask(number, who(caller), "http", entry.method, entry.path, dict(path), body))
        return Reply(told.status, (told.body,) if told.body else (), told.media, told.headers)

    async def _told(self, ask: Ask) -> Told:
        try:
            self._link.post(ask)
        except OverflowError as error:
            raise TooLarge(str(error)) from None
        told = await self._answer(ask.number)
        assert isinstance(told, Told)
        return told

    async def _answer(self, number: int) -> InferAnswer | Told:
        future: asyncio.Future[InferAnswer | Told] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            return await future
        except asyncio.CancelledError:
            self._link.post(Cancel(number))
            raise
        finally:
            del self._waiting[number]

    # ---- messages

    def take(self, message: Message) -> None:
        """A message of the parent. One that nobody waits for any more is read and dropped, which frees its memory."""
        match message:
            case Answer():
                self._deliver(message.number, unpack_answer(message, self._link.attached))
            case Told():
                self._deliver(message.number, message)
            case Failed():
                self._fail(message)
            case Ended():
                if message.number in self._streams:
                    self._streams[message.number].put_nowait(None)
            case Shown():
                self._repository.show(message)

    def _deliver(self, number: int, answer: InferAnswer | Told) -> None:
        future = self._waiting.get(number)
        if future is not None:
            if not future.done():
                future.set_result(answer)
        elif number in self._streams and isinstance(answer, InferAnswer):
            self._streams[number].put_nowait(answer)

    def _fail(self, failed: Failed) -> None:
        future = self._waiting.get(failed.number)
        if future is not None:
            if not future.done():
                future.set_exception(to_error(failed))
        elif failed.number in self._streams:
            self._streams[failed.number].put_nowait(to_error(failed))


@dataclass(frozen=True, slots=True)
class RemoteFront:
    """What the ports of a frontend stand on."""

    options: ServerOptions
    access: Access
    repository: RemoteRepository
    health: Readiness
    inference: Remote
