"""System shared memory for clients: a region for what each sends and one for what it gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import grpc

from serving.protocol import message

from .payloads import Region, raw
from .works import Work, inputs

SERVICE = "/inference.GRPCInferenceService/"


@contextmanager
def regions(work: Work, address: str) -> Iterator[list[Region]]:
    """One for each request of the work, known to the server at `address` until the end, with its input written."""
    with grpc.insecure_channel(address) as channel, ExitStack() as stack:
        made = []
        for i, given in enumerate(inputs(work.name)):
            region = Region(f"bench{i}", given.nbytes)
            for end in ("in", "out"):
                memory = SharedMemory(create=True, size=region.size)
                stack.callback(memory.unlink)
                stack.callback(memory.close)
                if end == "in" and memory.buf is not None:
                    memory.buf[: region.size] = raw(given)
                _call(channel, "Register", name=f"{region.name}_{end}", key=f"/{memory.name}", byte_size=region.size)
                stack.callback(_call, channel, "Unregister", name=f"{region.name}_{end}")
            made.append(region)
        yield made


def _call(channel: grpc.Channel, verb: str, **fields: Any) -> None:
    request: Any = message(f"inference.SystemSharedMemory{verb}Request")(**fields)
    channel.unary_unary(f"{SERVICE}SystemSharedMemory{verb}")(request.SerializeToString(), timeout=10)
