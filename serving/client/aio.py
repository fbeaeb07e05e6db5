"""The same for asyncio: `async with aconnect(url) as server: answer = await server["hello"](name="Ada")`.

Belongs to one event loop. Cancelling a task ends its call on the server too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any

import grpc
import grpc.aio
from grpc_reflection.v1alpha import reflection_pb2

from serving.protocol import message
from serving.typed.schema import service_name

from .attempts import Attempts
from .channel import NO_RETRIES, Target, target
from .describe import METADATA, REFLECTION, Description, asked, files, listing, missing, pipelines
from .errors import failure
from .retry import Retry


def aconnect(
    url: str, *, token: str = "", root: bytes | None = None, timeout: float | None = 60.0, retry: Retry | None = None
) -> AsyncServer:
    """As `connect`, inside async code."""
    return AsyncServer(target(url, token, root), timeout, retry or Retry())


class AsyncServer:
    """The pipelines of a server, by name."""

    def __init__(self, to: Target, timeout: float | None, retry: Retry) -> None:
        self.target = to
        self._channel = to.channel(NO_RETRIES, library=grpc.aio)
        self._timeout = timeout
        self._retry = retry

    async def pipelines(self) -> tuple[str, ...]:
        """Names of those that are served now."""
        return pipelines(await self._reflected(listing()))

    def __getitem__(self, name: str) -> AsyncPipeline:
        """One that is not there is a KeyError of its first call."""
        return AsyncPipeline(self, name)

    async def describe(self, name: str) -> Description:
        """What a pipeline takes and gives. KeyError that suggests the nearest name if there is none."""
        found = files(await self._reflected(asked(service_name(name))))
        if not found:
            raise missing(name, await self.pipelines())
        request: Any = message("inference.ModelMetadataRequest")(name=name)
        answer: Any = message("inference.ModelMetadataResponse")
        data = await self.call(METADATA, request.SerializeToString(), self.attempts(True), self.target.metadata())
        return Description(name, found, answer.FromString(data))

    def attempts(self, repeatable: bool, timeout: float | None = None) -> Attempts:
        """Those of a call that begins now."""
        return Attempts(self._retry, repeatable, self._timeout if timeout is None else timeout)

    async def _reflected(self, requests: list[Any]) -> list[Any]:
        ask = self._channel.stream_stream(
            REFLECTION,
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        attempts = self.attempts(True)

        async def all_of() -> list[Any]:
            call = ask(iter(requests), timeout=attempts.left, metadata=self.target.metadata())
            return [response async for response in call]

        found: list[Any] = await _tried(attempts, all_of)
        return found

    async def call(self, path: str, data: bytes, attempts: Attempts, metadata: Any) -> bytes:
        """The one answer of a call, as bytes."""
        ask = self._channel.unary_unary(path)
        found: bytes = await _tried(attempts, lambda: ask(data, timeout=attempts.left, metadata=metadata))
        return found

    async def stream(self, path: str, data: bytes, attempts: Attempts, metadata: Any) -> AsyncGenerator[bytes]:
        """All answers of a call. Once there was one, nothing is tried again."""
        ask = self._channel.unary_stream(path)
        began = False
        while True:
            call = ask(data, timeout=attempts.left, metadata=metadata)
            try:
                async for answer in call:
                    began = True
                    yield answer
                return
            except grpc.RpcError as error:
                told = failure(error)
            finally:
                call.cancel()
            if began:
                raise told
            await asyncio.sleep(attempts.again(told))

    async def close(self) -> None:
        """End all calls."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncServer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _tried(attempts: Attempts, ask: Callable[[], Awaitable[Any]]) -> Any:
    while True:
        try:
            return await ask()
        except grpc.RpcError as error:
            told = failure(error)
        await asyncio.sleep(attempts.again(told))


class AsyncPipeline:
    """One pipeline of a server, as `sync.Pipeline`."""

    def __init__(self, server: AsyncServer, name: str) -> None:
        self.name = name
        self._server = server
        self._described: Description | None = None

    async def description(self) -> Description:
        """What it takes and gives, asked of the server once."""
        if self._described is None:
            self._described = await self._server.describe(self.name)
        return self._described

    async def __call__(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the deadline of the call, which the server keeps too
        id: str = "",
        headers: Mapping[str, str] | None = None,
        **ports: Any,
    ) -> dict[str, Any]:
        """The answer. `timeout`: seconds for all attempts. ClientError if there is none, TypeError for a pipeline that
        gives a stream."""
        described = await self.description()
        data = described.asked({**(inputs or {}), **ports}, stream=False)
        metadata = self._server.target.metadata(id, headers)
        attempts = self._server.attempts(described.repeatable, timeout)
        return described.decode(await self._server.call(described.path, data, attempts, metadata))

    async def stream(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the same
        id: str = "",
        headers: Mapping[str, str] | None = None,
        **ports: Any,
    ) -> AsyncGenerator[dict[str, Any]]:
        """What is new, piece by piece. Closing it ends the work behind it. TypeError for a pipeline without streams."""
        described = await self.description()
        data = described.asked({**(inputs or {}), **ports}, stream=True)
        metadata = self._server.target.metadata(id, headers)
        attempts = self._server.attempts(described.repeatable, timeout)
        async with aclosing(self._server.stream(described.path, data, attempts, metadata)) as answers:
            async for answer in answers:
                yield described.decode(answer)
