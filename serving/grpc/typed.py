"""Typed services over gRPC: a method for each pipeline, found anew when what is served changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from executor.errors import InvalidArgument
from serving.operations import Operations
from serving.tensors import InferCall
from serving.typed.catalog import TypedCall, TypedCatalog

from .callers import Callers, header
from .status import Status

REQUEST_ID = "x-request-id"
"""Header with the id of a request."""


class TypedHandlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC ships no types
    """Looks methods up by their path, as gRPC asks it to."""

    def __init__(self, operations: Operations, status: Status, callers: Callers) -> None:
        self._of = operations
        self._status = status
        self._callers = callers
        self._methods: dict[str, Any] = {}
        self.catalog = TypedCatalog()

    def renew(self) -> None:
        """Offer what is served now."""
        served = [v[max(v)] for v in self._of.repository.catalog.pipelines.values()]
        self.catalog = TypedCatalog(served)
        self._methods = {path: self._method(call) for path, call in self.catalog.calls.items()}

    def service(self, handler_call_details: Any) -> Any:
        return self._methods.get(handler_call_details.method)

    def _method(self, call: TypedCall) -> Any:
        if call.streams:
            return grpc.unary_stream_rpc_method_handler(self._stream(call))
        return grpc.unary_unary_rpc_method_handler(self._unary(call))

    def _unary(self, typed: TypedCall) -> Callable[[bytes, Any], Any]:
        async def run(data: bytes, context: Any) -> bytes:
            try:
                call = self._call(typed, data, context)
                answer = await self._of.inference.infer(self._callers.caller(context), call)
                made: bytes = typed.messages.response(answer.outputs).SerializeToString()
                return made
            except Exception as error:
                await self._status.end(context, error)

        return run

    def _stream(self, typed: TypedCall) -> Callable[[bytes, Any], Any]:
        async def run(data: bytes, context: Any) -> AsyncGenerator[bytes]:
            try:
                call = self._call(typed, data, context)
                async with aclosing(self._of.inference.stream(self._callers.caller(context), call)) as answers:
                    async for answer in answers:
                        yield typed.messages.response(answer.outputs).SerializeToString()
            except Exception as error:
                await self._status.end(context, error)

        return run

    def _call(self, typed: TypedCall, data: bytes, context: Any) -> InferCall:
        try:
            request = typed.messages.request.FromString(data)
        except DecodeError:
            raise InvalidArgument(f"the message is no request of pipeline `{typed.model}`") from None
        call = InferCall(typed.model, inputs=typed.messages.tensors(request), id=header(context, REQUEST_ID) or "")
        self._callers.annotate(call, context)
        return call
