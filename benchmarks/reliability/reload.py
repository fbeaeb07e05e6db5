"""R13: a pipeline is loaded anew a hundred times while clients ask it."""

from __future__ import annotations

import asyncio
import time

import grpc

from serving.protocol import message

from .server import INFER, SERVICE, Server, quantile, rows, running

CLIENTS = 4
LOAD = "/inference.GRPCInferenceService/RepositoryModelLoad"


async def _ask(server: Server, done: asyncio.Event, took: list[float], failed: list[str]) -> None:
    data = rows("quick")
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary(INFER)
        while not done.is_set():
            begun = time.perf_counter()
            try:
                await call(data)
                took.append(time.perf_counter() - begun)
            except grpc.aio.AioRpcError as error:
                failed.append(error.code().name)


async def _measured(server: Server, reloads: int, seconds: float) -> dict[str, object]:
    """While so many reloads run one after the other; with none of them, for so many seconds."""
    done, took, failed = asyncio.Event(), list[float](), list[str]()
    clients = [asyncio.create_task(_ask(server, done, took, failed)) for _ in range(CLIENTS)]
    request = message("inference.RepositoryModelLoadRequest")(model_name="quick").SerializeToString()
    begun = time.perf_counter()
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        for _ in range(reloads):
            await channel.unary_unary(LOAD)(request)
    if not reloads:
        await asyncio.sleep(seconds)
    passed = time.perf_counter() - begun
    done.set()
    await asyncio.gather(*clients)
    return {
        "requests": len(took),
        "failed": len(failed),
        "seconds": passed,
        "p50_ms": quantile(took, 0.5),
        "p99_ms": quantile(took, 0.99),
        "memory_mib": server.memory() / 2**20,
    }


def reload(scale: float) -> dict[str, object]:
    """Latencies without and with reloads, requests that failed, and memory behind each."""
    times = max(20, int(100 * scale))
    with running(SERVICE, "--model-control", "explicit") as server:
        asyncio.run(_measured(server, 5, 0))
        steady = asyncio.run(_measured(server, 0, max(3.0, 20 * scale)))
        return {"steady": steady, "reloads": times, "reloading": asyncio.run(_measured(server, times, 0))}
