"""Messages of the KServe and Triton protocols, from descriptor sets in a pool of their own.

    config = message("inference.ModelConfig")(name="embed")

A process may import tritonclient besides: its generated classes live in protobuf's default pool, these never do.
`scripts/protocol.py` compiles the `.proto` files beside this one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

SERVICE = "inference.GRPCInferenceService"

_SETS = ("model_config", "grpc_service")
"""Descriptor sets, each behind those it imports."""


@cache
def pool() -> DescriptorPool:
    """All descriptors of this package, and nothing else."""
    made = DescriptorPool()
    for name in _SETS:
        data = (files(__name__) / f"{name}.binpb").read_bytes()
        for file in FileDescriptorSet.FromString(data).file:
            made.Add(file)
    return made


@cache
def message(name: str) -> Callable[..., Any]:
    """The class of a message by its full name. `Any`, because its fields exist only at run time."""
    made: type[Message] = GetMessageClass(pool().FindMessageTypeByName(name))
    return made
