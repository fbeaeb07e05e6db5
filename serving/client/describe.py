"""What a server says of a typed service, and messages by it: nothing here speaks to a server.

reflection (file descriptors) + ModelMetadata (datatypes) -> Description -> request bytes, values by name
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodOptions
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2

from pipeline_dsl.spell import did_you_mean
from serving.typed.schema import COMMON, METHOD, request_name, response_name, service_name

from .errors import ClientError
from .values import LENGTHS, Tensor, filled, item, taken

REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
METADATA = "/inference.GRPCInferenceService/ModelMetadata"
_PREFIX = "pipectl."


class Description:
    """One pipeline: its ports, and its messages."""

    def __init__(self, name: str, files: Iterable[bytes], metadata: Any) -> None:
        """`files` as reflection gives them, `metadata` a ModelMetadataResponse."""
        pool = DescriptorPool()
        for data in dict.fromkeys(files):
            pool.Add(FileDescriptorProto.FromString(data))
        self.name = name
        self.inputs, self.outputs = (
            {t.name: Tensor(t.name, t.datatype, tuple(t.shape)) for t in tensors}
            for tensors in (metadata.inputs, metadata.outputs)
        )
        self.request: Any = GetMessageClass(pool.FindMessageTypeByName(request_name(name)))
        self.response: Any = GetMessageClass(pool.FindMessageTypeByName(response_name(name)))
        method = pool.FindServiceByName(service_name(name)).methods_by_name[METHOD]
        self.path = f"/{service_name(name)}/{METHOD}"
        self.streams: bool = method.server_streaming
        """It answers with any number of messages."""
        self.repeatable: bool = method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
        """No stage of it is `effects = once`, so that a call may run twice."""

    def asked(self, values: Mapping[str, Any], *, stream: bool) -> bytes:
        """As `encode`. TypeError for one answer of a pipeline that gives a stream, and the other way round."""
        if self.streams and not stream:
            raise TypeError(f"pipeline `{self.name}` gives a stream: read it with `stream`")
        if stream and not self.streams:
            raise TypeError(f"pipeline `{self.name}` has no stream output: call it")
        return self.encode(values)

    def encode(self, values: Mapping[str, Any]) -> bytes:
        """A request with these inputs; None is left out. ClientError for a value that does not fit."""
        fields = self.request.DESCRIPTOR.fields_by_name
        made = self.request()
        for name, value in values.items():
            if name not in fields:
                hint = did_you_mean(name, fields) or f"inputs: {', '.join(fields)}"
                raise ClientError(f"`{self.name}` has no input `{name}`; {hint}")
            if value is not None:
                self._put(made, fields[name], value)
        data: bytes = made.SerializeToString()
        return data

    def _put(self, made: Any, field: Any, value: Any) -> None:
        tensor = self.inputs[field.name]
        try:
            if field.message_type is not None:
                filled(getattr(made, field.name), tensor, value, ragged=field.name + LENGTHS in self.inputs)
            elif field.is_repeated:
                getattr(made, field.name).extend(taken(tensor, value, field.type == field.TYPE_STRING).ravel().tolist())
            else:
                setattr(made, field.name, item(value, field.type == field.TYPE_STRING))
        except (TypeError, ValueError) as error:
            raise ClientError(f"input `{field.name}` takes {tensor.datatype}: {error}") from None

    def decode(self, data: bytes) -> dict[str, Any]:
        """Outputs by name: arrays, Python values of single ports, None for what is absent. A message of a stream holds
        those that are new, and no others."""
        message = self.response.FromString(data)
        return dict(self._values(message))

    def _values(self, message: Any) -> Iterator[tuple[str, Any]]:
        for field in self.response.DESCRIPTOR.fields:
            value = getattr(message, field.name)
            there = len(value) > 0 or not self.streams if field.is_repeated else True
            if field.has_presence:
                there = message.HasField(field.name)
            if there:
                yield field.name, self._read(field, value)
            elif not self.streams:
                yield field.name, None

    def _read(self, field: Any, value: Any) -> Any:
        tensor = self.outputs[field.name]
        if field.message_type is not None:
            return tensor.read(value)
        if not field.is_repeated:
            return value
        return np.array(list(value), tensor.dtype)


def missing(name: str, there: Sequence[str]) -> KeyError:
    """What a program is told that asks for a pipeline which is not there, with the nearest name."""
    guess = did_you_mean(name, there) or f"pipelines: {', '.join(there) or 'none'}"
    return KeyError(f"no pipeline `{name}`; {guess}")


# ---- what to ask a server


def asked(symbol: str) -> list[Any]:
    """Requests of reflection for a service and what all services share."""
    made = reflection_pb2.ServerReflectionRequest
    return [made(file_containing_symbol=symbol), made(file_by_filename=COMMON)]


def listing() -> list[Any]:
    """The request for the names of all services."""
    return [reflection_pb2.ServerReflectionRequest(list_services="")]


def files(responses: Iterable[Any]) -> list[bytes]:
    """Files of the answers, those that others need first. Empty if the service is not there."""
    found = [list(r.file_descriptor_response.file_descriptor_proto) for r in responses]
    return [data for group in reversed(found) for data in group] if found and found[0] else []


def pipelines(responses: Iterable[Any]) -> tuple[str, ...]:
    """Names of the pipelines among all services."""
    names = [s.name for r in responses for s in r.list_services_response.service]
    found = [name.split(".")[1] for name in names if name.startswith(_PREFIX) and name.count(".") == 2]
    return tuple(sorted(name for name in found if service_name(name) in names))
