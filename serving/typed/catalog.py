"""The typed services of everything that is served at one moment, in a descriptor pool of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from serving.deployment import Served
from serving.protocol import pool as protocol_pool

from .messages import Messages
from .schema import METHOD, common, file_of, request_name, response_name, service_name


class TypedCall(NamedTuple):
    """One method of a typed service."""

    model: str
    messages: Messages
    streams: bool


class TypedCatalog:
    """Latest versions only: a service is named by its pipeline."""

    def __init__(self, served: Iterable[Served] = ()) -> None:
        self.pool = DescriptorPool()
        self.services: list[str] = []
        self.calls: dict[str, TypedCall] = {}
        """By path: `/pipectl.hello.Hello/Run`."""
        for name in ("model_config.proto", "grpc_service.proto"):
            proto = FileDescriptorProto()
            protocol_pool().FindFileByName(name).CopyToProto(proto)
            self.pool.Add(proto)
        self.pool.Add(common())
        for one in served:
            self._add(one)

    def _add(self, served: Served) -> None:
        name = served.name
        self.pool.Add(file_of(served.plan, served.repeatable))
        request, response = (self._message(full) for full in (request_name(name), response_name(name)))
        messages = Messages(served.plan, request, response)
        self.calls[f"/{service_name(name)}/{METHOD}"] = TypedCall(name, messages, served.codec.streams)
        self.services.append(service_name(name))

    def _message(self, name: str) -> Any:
        return GetMessageClass(self.pool.FindMessageTypeByName(name))
