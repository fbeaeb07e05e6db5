"""R15: memory, descriptors and threads while many requests come, are wrong, are cancelled, or stream."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import grpc
import numpy as np

from .server import INFER, STREAM, Server, number, rows, running

SIDE_BY_SIDE = 32
SAMPLES = 20
WARM = 0.3
"""Share of the samples before the line is laid."""

Call = Callable[[Any, random.Random], Coroutine[Any, Any, None]]


async def _mixed(channel: Any, chance: random.Random) -> None:
    await channel.unary_unary(INFER)(rows("quick", chance.choice([1, 1, 2, 8, 16])))


async def _wrong(channel: Any, chance: random.Random) -> None:
    data = chance.choice([rows("fails", 1, 13.0), rows("nothing"), b"\xff\xff", rows("quick")[:-3]])
    try:
        await channel.unary_unary(INFER)(data)
    except grpc.aio.AioRpcError:
        pass


async def _cancelled(channel: Any, chance: random.Random) -> None:
    call = channel.unary_unary(INFER)(rows("quick"))
    asyncio.get_running_loop().call_later(chance.uniform(0, 0.004), call.cancel)
    await asyncio.gather(call, return_exceptions=True)


async def _streamed(channel: Any, chance: random.Random) -> None:
    async for _ in channel.stream_stream(STREAM)(iter([number("counts", chance.randrange(8))])):
        pass


async def _drive(server: Server, call: Call, times: int) -> list[int]:
    """Memory after each of some equal parts."""
    chance, sizes = random.Random(15), []
    async with grpc.aio.insecure_channel(server.grpc) as channel:

        async def client(left: Iterator[int]) -> None:
            for _ in left:
                await call(channel, chance)

        for _ in range(SAMPLES):
            left = iter(range(times // SAMPLES))
            await asyncio.gather(*[client(left) for _ in range(SIDE_BY_SIDE)])
            sizes.append(server.memory())
    return sizes


def memory(scale: float) -> dict[str, object]:
    """KiB that a thousand more requests cost, by a line through the samples after the first ones."""
    parts: list[tuple[str, Call, int]] = [
        ("answered", _mixed, 100_000),
        ("wrong", _wrong, 10_000),
        ("cancelled", _cancelled, 10_000),
        ("streamed", _streamed, 10_000),
    ]
    found: dict[str, object] = {}
    with running() as server:
        asyncio.run(_drive(server, _mixed, 2000))
        before = server.holds()
        for name, call, times in parts:
            count = max(2000, int(times * scale))
            sizes = asyncio.run(_drive(server, call, count))[int(SAMPLES * WARM) :]
            slope = float(np.polyfit(np.arange(len(sizes)), sizes, 1)[0]) / 1024 / (count / SAMPLES / 1000)
            found[name] = {
                "requests": count,
                "kib_per_1000": slope,
                "grown_percent": 100 * (sizes[-1] / sizes[0] - 1),
                "mib": sizes[-1] / 2**20,
            }
        found["held_before"], found["held_after"] = before, server.holds()
    return found
