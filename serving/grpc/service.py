"""`inference.GRPCInferenceService`: every call as an operation, messages in and out."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from serving.access import Caller
from serving.errors import InvalidArgument
from serving.front import Front
from serving.operations import Operations
from serving.operations.models import TensorInfo
from serving.operations.statistics import Duration, ModelStatistics
from serving.protocol import SERVICE, message, pool

from .callers import Callers
from .inference import InferenceHandlers
from .status import Status

Handler = Callable[[Caller, Any], Any]
"""A caller and a request to the fields of a response; asynchronous or not."""
Ask = Callable[[Caller, str, bytes], Awaitable[bytes]]
"""A caller, a method's name and its message to the message of the answer."""


def handler(operations: Front, status: Status, callers: Callers, ask: Ask | None = None) -> Any:
    """The whole service, for a server to add. With `ask` it answers what does not infer; else `operations` do."""
    inference = InferenceHandlers(operations, status, callers)
    methods = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(inference.infer),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(inference.stream),
    }
    calls = Calls(operations) if isinstance(operations, Operations) else None
    for method in pool().FindServiceByName(SERVICE).methods:
        if method.name in methods:
            continue
        if ask is not None:
            methods[method.name] = grpc.unary_unary_rpc_method_handler(_asking(ask, method.name, status, callers))
        else:
            request: Any = message(method.input_type.full_name)
            response = message(method.output_type.full_name)
            answer = _unary(getattr(calls, method.name), request, response, status, callers)
            methods[method.name] = grpc.unary_unary_rpc_method_handler(answer, None, _serialized)
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def _serialized(response: Any) -> bytes:
    made: bytes = response.SerializeToString()
    return made


def _parsed(request: Any, data: bytes) -> Any:
    """Here and not in gRPC, which would tell the caller UNKNOWN and the log a traceback."""
    try:
        return request.FromString(data)
    except DecodeError:
        raise InvalidArgument(f"the message is no {request.DESCRIPTOR.name}") from None


def _unary(
    call: Handler, request: Any, response: Callable[..., Any], status: Status, callers: Callers
) -> Callable[[bytes, Any], Awaitable[Any]]:
    async def answer(data: bytes, context: Any) -> Any:
        try:
            fields = call(callers.caller(context), _parsed(request, data))
            if inspect.isawaitable(fields):
                fields = await fields
            return response(**fields)
        except Exception as error:
            await status.end(context, error)

    return answer


def _asking(ask: Ask, name: str, status: Status, callers: Callers) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def answer(data: bytes, context: Any) -> bytes:
        try:
            return await ask(callers.caller(context), name, data)
        except Exception as error:
            await status.end(context, error)

    return answer


class Answers:
    """The calls that do not infer, from bytes to bytes: for what somebody else's port took in."""

    def __init__(self, operations: Operations) -> None:
        self._calls = Calls(operations)
        self._types = {
            method.name: (message(method.input_type.full_name), message(method.output_type.full_name))
            for method in pool().FindServiceByName(SERVICE).methods
        }

    async def __call__(self, caller: Caller, name: str, data: bytes) -> bytes:
        """The message of the answer. InvalidArgument if `data` is no message of the method."""
        kind, response = self._types[name]
        request: Any = kind
        try:
            asked = request.FromString(data)
        except DecodeError:
            raise InvalidArgument(f"the message is no request of {name}") from None
        fields = getattr(self._calls, name)(caller, asked)
        if inspect.isawaitable(fields):
            fields = await fields
        return _serialized(response(**fields))


class Calls:
    """One method for each call but inference, by the call's name: its request to the fields of its response."""

    def __init__(self, operations: Operations) -> None:
        self._of = operations

    # ---- health and metadata

    def ServerLive(self, caller: Caller, request: Any) -> dict[str, Any]:
        return {"live": self._of.health.live(caller)}

    def ServerReady(self, caller: Caller, request: Any) -> dict[str, Any]:
        return {"ready": self._of.health.ready(caller)}

    def ModelReady(self, caller: Caller, request: Any) -> dict[str, Any]:
        return {"ready": self._of.health.model_ready(caller, request.name, request.version)}

    def ServerMetadata(self, caller: Caller, request: Any) -> dict[str, Any]:
        found = self._of.models.server(caller)
        return {"name": found.name, "version": found.version, "extensions": found.extensions}

    def ModelMetadata(self, caller: Caller, request: Any) -> dict[str, Any]:
        found = self._of.models.metadata(caller, request.name, request.version)
        return {
            "name": found.name,
            "versions": found.versions,
            "platform": found.platform,
            "inputs": map(_tensor, found.inputs),
            "outputs": map(_tensor, found.outputs),
        }

    def ModelConfig(self, caller: Caller, request: Any) -> dict[str, Any]:
        return {"config": self._of.models.config(caller, request.name, request.version)}

    def ModelStatistics(self, caller: Caller, request: Any) -> dict[str, Any]:
        found = self._of.statistics.statistics(caller, request.name, request.version)
        return {"model_stats": map(_statistics, found)}

    # ---- repository

    def RepositoryIndex(self, caller: Caller, request: Any) -> dict[str, Any]:
        entries = self._of.control.index(caller, request.repository_name, request.ready)
        return {
            "models": [{"name": e.name, "version": e.version, "state": e.state, "reason": e.reason} for e in entries]
        }

    async def RepositoryModelLoad(self, caller: Caller, request: Any) -> dict[str, Any]:
        given = _values(request.parameters)
        await self._of.control.load(caller, request.model_name, given, request.repository_name)
        return {}

    async def RepositoryModelUnload(self, caller: Caller, request: Any) -> dict[str, Any]:
        given = _values(request.parameters)
        await self._of.control.unload(caller, request.model_name, given, request.repository_name)
        return {}

    # ---- shared memory

    def SystemSharedMemoryStatus(self, caller: Caller, request: Any) -> dict[str, Any]:
        regions = self._of.memory.status(caller, request.name)
        fields = ("name", "key", "offset", "byte_size")
        return {"regions": {r.name: {f: getattr(r, f) for f in fields} for r in regions}}

    def SystemSharedMemoryRegister(self, caller: Caller, request: Any) -> dict[str, Any]:
        self._of.memory.register(caller, request.name, request.key, request.offset, request.byte_size)
        return {}

    def SystemSharedMemoryUnregister(self, caller: Caller, request: Any) -> dict[str, Any]:
        self._of.memory.unregister(caller, request.name)
        return {}

    def CudaSharedMemoryStatus(self, caller: Caller, request: Any) -> dict[str, Any]:
        self._of.memory.cuda_status(caller, request.name)
        return {}

    def CudaSharedMemoryRegister(self, caller: Caller, request: Any) -> dict[str, Any]:
        self._of.memory.cuda_register(caller, request.name)
        return {}

    def CudaSharedMemoryUnregister(self, caller: Caller, request: Any) -> dict[str, Any]:
        self._of.memory.cuda_unregister(caller, request.name)
        return {}

    # ---- settings

    def TraceSetting(self, caller: Caller, request: Any) -> dict[str, Any]:
        given = {name: list(setting.value) for name, setting in request.settings.items()}
        found = self._of.settings.update_trace(caller, given, request.model_name)
        return {"settings": {name: {"value": values} for name, values in found.items()}}

    def LogSettings(self, caller: Caller, request: Any) -> dict[str, Any]:
        given = _values(request.settings)
        found = self._of.settings.update_log(caller, given) if given else self._of.settings.log_settings(caller)
        return {"settings": {name: {_log_field(value): value} for name, value in found.items()}}


def _tensor(info: TensorInfo) -> dict[str, Any]:
    return {"name": info.name, "datatype": info.datatype, "shape": info.shape}


def _statistics(s: ModelStatistics) -> dict[str, Any]:
    stats = {"success": s.success, "fail": s.fail, "queue": s.queue, "compute_infer": s.compute}
    nothing = Duration(s.success.count)
    stats |= {"compute_input": nothing, "compute_output": nothing}
    return {
        "name": s.name,
        "version": s.version,
        "last_inference": s.last_ms,
        "inference_count": s.inferences,
        "execution_count": s.executions,
        "inference_stats": {name: {"count": d.count, "ns": d.ns} for name, d in stats.items()},
    }


def _values(given: Any) -> dict[str, Any]:
    """Values of a map of messages with one `parameter_choice` each; None where it holds nothing."""
    found = {}
    for name, value in given.items():
        field = value.WhichOneof("parameter_choice")
        found[name] = None if field is None else getattr(value, field)
    return found


def _log_field(value: object) -> str:
    return "bool_param" if isinstance(value, bool) else "uint32_param" if isinstance(value, int) else "string_param"
