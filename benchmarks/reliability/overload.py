"""R8: more requests than can be answered, at random times: what is still answered, and how soon the rest is refused."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import grpc

from .server import INFER, SERVICE, Server, quantile, rows, running

LOADS = (1, 2, 3, 5)


async def _closed(server: Server, clients: int, seconds: float) -> float:
    """Answers a second to clients that wait for theirs."""
    data, done, end = rows("busy"), 0, time.perf_counter() + seconds
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary(INFER)

        async def client() -> None:
            nonlocal done
            while time.perf_counter() < end:
                await call(data)
                done += 1

        await asyncio.gather(*[client() for _ in range(clients)])
    return done / seconds


async def _open(server: Server, peak: float, load: float, seconds: float) -> dict[str, float | dict[str, int]]:
    """Requests come at random times, whether or not others were answered."""
    chance, data = random.Random(8), rows("busy")
    took: dict[str, list[float]] = {}
    tasks: set[asyncio.Task[None]] = set()
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary(INFER)

        async def one() -> None:
            begun = time.perf_counter()
            code = "OK"
            try:
                await call(data)
            except grpc.aio.AioRpcError as error:
                code = error.code().name
            took.setdefault(code, []).append(time.perf_counter() - begun)

        begun = due = time.perf_counter()
        while due < begun + seconds:
            due += chance.expovariate(peak * load)
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            task = asyncio.create_task(one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        passed = time.perf_counter() - begun
        await asyncio.gather(*tasks)
    refused = [t for code, times in took.items() if code != "OK" for t in times]
    return {
        "sent_per_s": sum(map(len, took.values())) / passed,
        "answered_per_s": len(took.get("OK", [])) / passed,
        "of_peak": len(took.get("OK", [])) / passed / peak,
        "answered_p99_ms": quantile(took.get("OK", []), 0.99),
        "refused_p99_ms": quantile(refused, 0.99),
        "codes": dict(Counter({code: len(times) for code, times in took.items()})),
    }


def overload(scale: float) -> dict[str, object]:
    """Answers a second at multiples of what is the most, and how long they took."""
    seconds = max(3.0, 60 * scale)
    found: dict[str, object] = {}
    with running(SERVICE, "--profile", "tight") as server:
        asyncio.run(_closed(server, 8, 1))
        peak = asyncio.run(_closed(server, 16, seconds))
        found["peak_per_s"] = peak
        for load in LOADS:
            found[f"{load}x"] = asyncio.run(_open(server, peak, load, seconds))
    return found
