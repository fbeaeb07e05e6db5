"""Pipelines of a server for programs that wait: `connect(url)["hello"](name="Ada")`.

Thread-safe. What a pipeline takes is asked of the server once, when it is first used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from types import TracebackType
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection_pb2

from serving.protocol import message
from serving.typed.schema import service_name

from .attempts import Attempts
from .channel import NO_RETRIES, Target, target
from .describe import METADATA, REFLECTION, Description, asked, files, listing, missing, pipelines
from .errors import failure
from .retry import Retry


def connect(
    url: str, *, token: str = "", root: bytes | None = None, timeout: float | None = 60.0, retry: Retry | None = None
) -> Server:
    """A server by HOST:PORT, `grpc://HOST:PORT` or `grpcs://HOST:PORT`; nothing is sent yet.

    `root`: certificates to trust instead of the system's. `timeout`: seconds for each call that names none. `retry`:
    how often and how soon what is safe is tried again. ValueError for a URL of another kind."""
    return Server(target(url, token, root), timeout, retry or Retry())


class Server:
    """The pipelines of a server, by name."""

    def __init__(self, to: Target, timeout: float | None, retry: Retry) -> None:
        self.target = to
        self._channel = to.channel(NO_RETRIES)
        self._timeout = timeout
        self._retry = retry
        self._found: dict[str, Pipeline] = {}

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Names of those that are served now."""
        return pipelines(self._reflected(listing()))

    def __getitem__(self, name: str) -> Pipeline:
        """KeyError that suggests the nearest name if there is none."""
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = Pipeline(self, self._describe(name))
        return found

    def _describe(self, name: str) -> Description:
        found = files(self._reflected(asked(service_name(name))))
        if not found:
            raise missing(name, self.pipelines)
        request: Any = message("inference.ModelMetadataRequest")(name=name)
        answer: Any = message("inference.ModelMetadataResponse")
        data = self.call(METADATA, request.SerializeToString(), self.attempts(True), self.target.metadata())
        return Description(name, found, answer.FromString(data))

    def attempts(self, repeatable: bool, timeout: float | None = None) -> Attempts:
        """Those of a call that begins now."""
        return Attempts(self._retry, repeatable, self._timeout if timeout is None else timeout)

    def _reflected(self, requests: list[Any]) -> list[Any]:
        ask = self._channel.stream_stream(
            REFLECTION,
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        attempts, metadata = self.attempts(True), self.target.metadata()
        found: list[Any] = _tried(attempts, lambda: list(ask(iter(requests), timeout=attempts.left, metadata=metadata)))
        return found

    def call(self, path: str, data: bytes, attempts: Attempts, metadata: Any) -> bytes:
        """The one answer of a call, as bytes."""
        ask = self._channel.unary_unary(path)
        found: bytes = _tried(attempts, lambda: ask(data, timeout=attempts.left, metadata=metadata))
        return found

    def stream(self, path: str, data: bytes, attempts: Attempts, metadata: Any) -> Generator[bytes]:
        """All answers of a call. Once there was one, nothing is tried again."""
        ask = self._channel.unary_stream(path)
        began = False
        while True:
            answers = ask(data, timeout=attempts.left, metadata=metadata)
            try:
                for answer in answers:
                    began = True
                    yield answer
                return
            except grpc.RpcError as error:
                told = failure(error)
            finally:
                answers.cancel()
            if began:
                raise told
            time.sleep(attempts.again(told))

    def close(self) -> None:
        """End all calls."""
        self._channel.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _tried(attempts: Attempts, ask: Callable[[], Any]) -> Any:
    while True:
        try:
            return ask()
        except grpc.RpcError as error:
            told = failure(error)
        time.sleep(attempts.again(told))


class Pipeline:
    """One pipeline of a server. Inputs by name: arrays, lists, single values; outputs as `Description.decode` says."""

    def __init__(self, server: Server, description: Description) -> None:
        self._server = server
        self.description = description

    def __call__(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        timeout: float | None = None,
        id: str = "",
        headers: Mapping[str, str] | None = None,
        **ports: Any,
    ) -> dict[str, Any]:
        """The answer. `timeout`: seconds for all attempts. ClientError if there is none, TypeError for a pipeline that
        gives a stream."""
        described = self.description
        data = described.asked({**(inputs or {}), **ports}, stream=False)
        attempts = self._server.attempts(described.repeatable, timeout)
        metadata = self._server.target.metadata(id, headers)
        return described.decode(self._server.call(described.path, data, attempts, metadata))

    def stream(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        timeout: float | None = None,
        id: str = "",
        headers: Mapping[str, str] | None = None,
        **ports: Any,
    ) -> Generator[dict[str, Any]]:
        """What is new, piece by piece. Closing it ends the work behind it. TypeError for a pipeline without streams."""
        described = self.description
        data = described.asked({**(inputs or {}), **ports}, stream=True)
        attempts = self._server.attempts(described.repeatable, timeout)
        metadata = self._server.target.metadata(id, headers)
        return self._pieces(self._server.stream(described.path, data, attempts, metadata))

    def _pieces(self, answers: Generator[bytes]) -> Generator[dict[str, Any]]:
        with closing(answers):
            for answer in answers:
                yield self.description.decode(answer)
