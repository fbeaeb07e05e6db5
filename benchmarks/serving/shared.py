"""System shared memory for clients: a region for what each sends and one for what it gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import grpc

from serving.protocol import message

from .bare import Bare
from .payloads import Region, raw
from .works import Work, inputs

SERVICE = "/inference.GRPCInferenceService/"


@contextmanager
def regions(work: Work, address: str) -> Iterator[list[Region]]:
    """One for each request of the work, known to the server at `address` until the end, with its input written."""
    with grpc.insecure_channel(address) as channel, ExitStack() as stack:
        made, written = [], []
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
                written.append(memory)
            made.append(region)
        yield made
        check(work, written[1::2])


def check(work: Work, outputs: Sequence[SharedMemory]) -> None:
    """Raise ValueError if clients did not get what the functions give."""
    bare = Bare(work)
    for given, memory in zip(inputs(work.name), outputs):
        expected = bare(given).tobytes()
        if memory.buf is None or memory.buf[: len(expected)] != expected:
            raise ValueError(f"{work.name}: a region does not hold the answer to its request")


def _call(channel: grpc.Channel, verb: str, **fields: Any) -> None:
    request: Any = message(f"inference.SystemSharedMemory{verb}Request")(**fields)
    channel.unary_unary(f"{SERVICE}SystemSharedMemory{verb}")(request.SerializeToString(), timeout=10)
